"""Judging: never on a picture that was learnt from, never under another class's name."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import foveal
from foveal.core.errors import BadData


def parts_of(folder: Path) -> dict[str, str]:
    return dict(line.split(",") for line in (folder / "parts.csv").read_text().splitlines())


def part(path: Path, parts: dict[str, str]) -> str | None:
    return parts.get(hashlib.sha256(path.read_bytes()).hexdigest()[:16])


def test_only_what_was_held_out_is_scored_and_the_rest_counted(
    saved: Path, photos: Path, heard: Callable
) -> None:
    listener = heard()
    judged = foveal.load(saved).test(photos, listener=listener)
    assert judged.judgement.images == 12
    assert judged.report.data.left_out == 48
    assert (
        "48 of 60 pictures are left out: the model was trained or chosen on them. 12 are scored."
        in listener.sentences
    )


def test_a_renamed_copy_in_another_folder_is_known_again(
    saved: Path, photos: Path, tmp_path: Path
) -> None:
    for name in ("dots", "grid", "waves"):
        (tmp_path / "new" / name).mkdir(parents=True)
        for number, path in enumerate(sorted((photos / name).iterdir(), reverse=True)):
            shutil.copy(path, tmp_path / "new" / name / f"holiday{number}.jpeg")
    judged = foveal.load(saved).test(tmp_path / "new")
    assert (judged.judgement.images, judged.report.data.left_out) == (12, 48)


def test_unseen_pictures_are_all_scored_beside_the_held_out(
    saved: Path, photos: Path, make_photos: Callable, tmp_path: Path
) -> None:
    make_photos(tmp_path / "new", seed=9, count=4)
    shutil.copytree(photos / "grid", tmp_path / "new" / "grid" / "old")
    held = sum(part(path, parts_of(saved)) == "test" for path in (photos / "grid").iterdir())
    judged = foveal.load(saved).test(tmp_path / "new")
    assert 0 < held < 20
    assert judged.judgement.images == 12 + held
    assert judged.report.data.left_out == 20 - held


def test_the_val_part_is_left_out_as_well(make_photos: Callable, tmp_path: Path) -> None:
    for seed, name in enumerate(("train", "val", "test")):
        make_photos(tmp_path / "set" / name, seed=seed, count=5)
    model = foveal.fit(tmp_path / "set", backbone="classical")
    judged = model.test(tmp_path / "set")
    assert (judged.judgement.images, judged.report.data.left_out) == (15, 30)
    with pytest.raises(BadData, match="trained on 0 of them and chosen by the other 15"):
        model.test(tmp_path / "set" / "val")


def test_a_model_that_held_nothing_out_scores_other_pictures_only(
    photos: Path, make_photos: Callable, tmp_path: Path
) -> None:
    model = foveal.fit(photos, backbone="classical", test_share=0)
    with pytest.raises(
        BadData, match=r"None of the 60 pictures .*trained on 60 of them\. .*test-share"
    ):
        model.test(photos)
    assert model.test(make_photos(tmp_path / "new", seed=3, count=3)).judgement.images == 9


def test_an_unknown_class_is_an_error_before_any_picture_is_decoded(
    saved: Path, make_photos: Callable, tmp_path: Path
) -> None:
    root = make_photos(tmp_path / "new", seed=3, count=3)
    (root / "dots").rename(root / "dotes")
    model = foveal.load(saved)
    model.predictor.batches = None  # it would be called
    with pytest.raises(BadData, match="Did you mean 'dots'"):
        model.test(root)


def test_classes_are_matched_by_name_and_never_by_place(
    saved: Path, make_photos: Callable, tmp_path: Path
) -> None:
    """The model knows dots, grid, waves: in a folder of the last two, grid would be number 0."""
    root = make_photos(tmp_path / "new", seed=3, count=6)
    shutil.rmtree(root / "dots")
    judged = foveal.load(saved).test(root)
    values = judged.to_mapping()
    assert values["top1"]["value"] == 1.0
    assert judged.judgement.confusion.tolist() == [[0, 0, 0], [0, 6, 0], [0, 0, 6]]
    assert [row.support for row in judged.judgement.per_class] == [0, 6, 6]


def test_data_of_a_single_class_gives_numbers_without_nonsense(
    saved: Path, make_photos: Callable, tmp_path: Path
) -> None:
    root = make_photos(tmp_path / "new", seed=3, count=6)
    shutil.rmtree(root / "dots")
    shutil.rmtree(root / "grid")
    judged = foveal.load(saved).test(root)
    values = json.loads(json.dumps(judged.to_mapping(), allow_nan=False))
    assert values["top1"]["value"] == 1.0
    assert values["roc_auc"]["value"] is None
    assert b"<html" in judged.html()


def test_a_single_picture_is_enough_for_a_report(
    saved: Path, make_photos: Callable, tmp_path: Path
) -> None:
    root = make_photos(tmp_path / "new", seed=3, count=1)
    shutil.rmtree(root / "dots")
    shutil.rmtree(root / "grid")
    judged = foveal.load(saved).test(root)
    assert judged.judgement.images == 1
    assert "None" not in str(judged)
    assert b"<html" in judged.html()


def test_every_metric_has_a_value_and_an_interval(make_photos: Callable, tmp_path: Path) -> None:
    model = foveal.fit(make_photos(tmp_path / "hard", hard=True), backbone="classical")
    values = model.test(make_photos(tmp_path / "new", seed=7, hard=True)).to_mapping()
    for name in ("top1", "balanced_accuracy", "log_loss", "calibration_error", "roc_auc"):
        number = values[name]
        assert set(number) == {"value", "low", "high"}
        assert number["low"] <= number["value"] <= number["high"]
        assert number["low"] < number["high"]
        assert math.isfinite(number["value"])


def test_baselines_stand_beside_the_model(photos: Path, tiny_folder: Path, saved: Path) -> None:
    model = foveal.fit(photos, backbone=str(tiny_folder), features="last")
    names = [baseline.name for baseline in model.test(photos).judgement.baselines]
    assert names == ["majority", "classical"]
    alone = foveal.load(saved).test(photos).judgement.baselines
    assert [baseline.name for baseline in alone] == ["majority"]


def test_the_classical_baseline_is_the_one_that_was_fitted(photos: Path, tiny_folder: Path) -> None:
    """With the classical block alone the model and its baseline are one and the same."""
    model = foveal.fit(photos, backbone=str(tiny_folder), features="classical")
    judgement = model.test(photos).judgement
    classical = next(b for b in judgement.baselines if b.name == "classical")
    for name in ("top1", "log_loss"):
        assert classical.metrics[name].value == pytest.approx(
            judgement.metrics[name].value, abs=1e-5
        )


def test_groups_are_resampled_whole(saved: Path, make_photos: Callable, tmp_path: Path) -> None:
    root = make_photos(tmp_path / "new", seed=3)
    data = foveal.read(root, group_pattern=r"^(\d)")
    judgement = foveal.load(saved).test(data).judgement
    assert judgement.groups == 6


def test_a_broken_picture_is_left_out_and_named(
    saved: Path, make_photos: Callable, tmp_path: Path
) -> None:
    root = make_photos(tmp_path / "new", seed=3, count=10)
    inside = root / "grid" / "03.png"
    data = bytearray(inside.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 40] = bytes(40)
    inside.write_bytes(data)
    judged = foveal.load(saved).test(root)
    assert judged.judgement.images == 29
    assert [path for path, _ in judged.report.data.broken] == ["grid/03.png"]


def test_the_same_test_gives_the_same_numbers_and_another_seed_other_intervals(
    make_photos: Callable, tmp_path: Path
) -> None:
    model = foveal.fit(make_photos(tmp_path / "hard", hard=True), backbone="classical")
    new = make_photos(tmp_path / "new", seed=7, hard=True)
    first, again = model.test(new).to_mapping(), model.test(new).to_mapping()
    other = model.test(new, seed=1).to_mapping()
    assert first["log_loss"] == again["log_loss"]
    assert first["log_loss"]["value"] == other["log_loss"]["value"]
    assert first["log_loss"]["low"] != other["log_loss"]["low"]


def test_a_folder_whose_name_is_no_unicode_gives_a_report(
    saved: Path, photos: Path, tmp_path: Path
) -> None:
    import os

    try:
        root = Path(os.fsdecode(os.fsencode(tmp_path) + b"/f\xfctur"))
        shutil.copytree(photos, root)
    except OSError:
        pytest.skip("this file system takes Unicode names alone")
    judged = foveal.load(saved).test(root)
    judged.html().decode("utf-8")
    from foveal.core.settings import to_json

    to_json(judged.to_mapping()).decode("utf-8")


def test_copies_of_a_picture_count_once(
    saved: Path, make_photos: Callable, tmp_path: Path, heard: Callable
) -> None:
    new = make_photos(tmp_path / "new", seed=9, count=4)
    model = foveal.load(saved)
    once = model.test(new).judgement
    for path in sorted(new.glob("*/*.png")):
        shutil.copy(path, path.with_stem(f"copy of {path.stem}"))
    listener = heard()
    twice = model.test(new, listener=listener).judgement
    assert twice.images == once.images == 12
    assert twice.metrics["top1"] == once.metrics["top1"]
    assert "12 copies of pictures are not scored: each picture counts once." in listener.sentences


def test_a_picture_in_two_classes_has_no_truth_to_be_scored_by(
    saved: Path, make_photos: Callable, tmp_path: Path, heard: Callable
) -> None:
    new = make_photos(tmp_path / "new", seed=9, count=4)
    shutil.copy(new / "dots" / "00.png", new / "grid" / "the same.png")
    listener = heard()
    judged = foveal.load(saved).test(new, listener=listener)
    assert judged.judgement.images == 11
    assert any("1 pictures stand in two classes" in said for said in listener.sentences)
    shutil.rmtree(new / "waves")
    for path in [*new.glob("*/0[1-9].png")]:
        path.unlink()
    shutil.copy(new / "grid" / "00.png", new / "dots" / "also.png")
    with pytest.raises(BadData, match="Every picture stands in two classes"):
        foveal.load(saved).test(new)


def test_pictures_that_broke_on_decoding_are_not_counted_as_learnt_from(
    photos: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(photos, tmp_path / "photos"))
    file = copy / "dots" / "00.png"
    file.write_bytes(file.read_bytes()[:-40])  # its header is whole
    model = foveal.fit(copy, backbone="classical", test_share=0)
    data = model.bundle.card["data"]
    assert (data["images"]["train"], data["broken"]) == (59, 1)
    assert data["per_class"]["train"]["dots"] == 19


EPOCH = {"number": 1, "rate": 1e-3, "train_loss": 1.5, "val_loss": 1.2, "val_top1": 0.5}
COURSE = {
    "epochs": [EPOCH, {**EPOCH, "number": 2, "val_loss": 0.9}],
    "kept": 2,
    "probe_top1": 0.45,
    "probe_loss": 1.3,
    "sentence": "The network was trained.",
}


def test_the_course_of_a_training_is_in_the_report(saved: Path, photos: Path) -> None:
    model = foveal.load(saved)
    model.run = {"course": COURSE}
    judged = model.test(photos)
    assert judged.report.course is not None
    assert judged.report.course.best.val_loss == 0.9
    assert b"Epoch 2 of 2 was kept" in judged.html()


@pytest.mark.parametrize(
    "nonsense", [None, "long", [], {**COURSE, "kept": 3}, {**COURSE, "epochs": [math.nan]}], ids=str
)
def test_a_course_that_somebody_spoilt_is_left_out(
    saved: Path, photos: Path, nonsense: object
) -> None:
    model = foveal.load(saved)
    model.run = {"course": nonsense}
    judged = model.test(photos)
    assert judged.report.course is None
    assert judged.to_mapping()["course"] is None
