"""`Model`: predicting, and a save that is proven or does not happen."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import foveal
from foveal.core.errors import AlreadyThere, BadWeights, FovealError, OutOfRange
from foveal.image.preprocess import Preprocess
from foveal.model import predictor
from foveal.recipes.model import Model


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def fresh(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A model just fitted, not saved yet."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOVEAL_CACHE", str(tmp_path_factory.mktemp("cache")))
        return foveal.fit(photos, backbone="classical")


def test_one_path_gives_one_answer_and_several_a_list(saved: Path, photos: Path) -> None:
    model, file = foveal.load(saved), photos / "waves" / "03.png"
    assert model.predict(file).label == model.predict(str(file)).label == "waves"
    assert [answer.label for answer in model.predict([file, photos / "dots"])] == [
        "waves", *["dots"] * 20,
    ]  # fmt: skip
    assert model.predict([]) == []
    assert model.predict("gone.jpg").error == "the file is not there"
    assert model.predict("gone.jpg").label is None


def test_a_model_answers_the_same_before_and_after_saving(
    fresh: Model, photos: Path, tmp_path: Path
) -> None:
    files = sorted(photos.glob("*/0*.png"))
    before = fresh.predict(files, top=3)
    fresh.save(tmp_path / "m")
    assert foveal.load(tmp_path / "m").predict(files, top=3) == before


def test_first_answers_come_before_the_last_file_is_named(saved: Path, photos: Path) -> None:
    drawn = 0

    def endless() -> Iterator[Path]:
        nonlocal drawn
        while True:
            drawn += 1
            yield photos / "dots" / "00.png"

    answers = foveal.load(saved).stream(endless())
    for _ in range(500):
        assert next(answers).label == "dots"
    assert 500 <= drawn < 500 + 4 * 32


@pytest.mark.slow
def test_ten_thousand_pictures_take_no_more_memory_than_a_thousand(
    saved: Path, photos: Path, tmp_path: Path
) -> None:
    import subprocess
    import sys

    for number in range(10_000):
        (tmp_path / f"{number:05}.png").hardlink_to(photos / "dots" / "00.png")
    peaks = []
    for count in (1_000, 10_000):
        code = (
            "import resource, sys, foveal, pathlib\n"
            "model = foveal.load(sys.argv[1])\n"
            "files = (pathlib.Path(sys.argv[2]) / f'{n:05}.png' for n in range(int(sys.argv[3])))\n"
            "assert sum(a.label == 'dots' for a in model.stream(files)) == int(sys.argv[3])\n"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, str(saved), str(tmp_path), str(count)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        peaks.append(int(done.stdout))
    assert peaks[1] < 1.1 * peaks[0]


def test_a_graph_that_answers_otherwise_is_not_saved(
    fresh: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, logits = fresh._proof
    moved = logits.copy()
    moved[7, 1] += 2e-4
    monkeypatch.setattr(fresh, "_proof", (files, moved))
    with pytest.raises(FovealError, match=r"logits are up to 0.0002 apart, 0.0001 is allowed"):
        fresh.save(tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


def test_a_serving_path_that_cuts_pictures_otherwise_is_not_saved(
    fresh: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = {**fresh.bundle.card, "preprocess": {**fresh.bundle.card["preprocess"], "crop": 0.9}}
    from foveal.model.bundle import fresh_bundle

    wrong = Model(fresh_bundle(card, fresh.bundle.content), proof=fresh._proof, run=fresh.run)
    with pytest.raises(FovealError, match="answers differently from the one trained"):
        wrong.save(tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


def test_a_picture_that_changed_since_the_fit_refuses_the_save(
    make_photos: Callable, tmp_path: Path
) -> None:
    root = make_photos(tmp_path / "photos", count=6)
    model = foveal.fit(root, backbone="classical")
    for path in root.glob("*/*.png"):
        shutil.copy(root / "dots" / "00.png", tmp_path / "same.png")
        path.write_bytes((tmp_path / "same.png").read_bytes())
    with pytest.raises(FovealError, match="answers differently"):
        model.save(tmp_path / "m")
    assert not (tmp_path / "m").exists()
    assert not (tmp_path / "m.run").exists()


def test_a_loaded_model_can_be_saved_elsewhere_byte_for_byte(saved: Path, tmp_path: Path) -> None:
    foveal.load(saved).save(tmp_path / "copy")
    assert content(tmp_path / "copy") == content(saved)
    assert not (tmp_path / "copy.run").exists()


def test_a_model_can_replace_itself(fresh: Model, saved: Path, tmp_path: Path) -> None:
    fresh.save(tmp_path / "m")
    foveal.load(tmp_path / "m").save(tmp_path / "m", overwrite=True)
    assert content(tmp_path / "m") == content(saved)


def test_saving_twice_is_refused_unless_asked_for(fresh: Model, tmp_path: Path) -> None:
    fresh.save(tmp_path / "m")
    with pytest.raises(AlreadyThere):
        fresh.save(tmp_path / "m")
    fresh.save(tmp_path / "m", overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m", "m.run"]


@pytest.mark.parametrize("name", [".", "..", ""])
def test_a_folder_without_a_name_of_its_own_is_refused(
    fresh: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "inner").mkdir()
    monkeypatch.chdir(tmp_path / "inner")
    with pytest.raises(OutOfRange, match="a name of its own"):
        fresh.save(name)


def test_missing_parents_are_made(fresh: Model, tmp_path: Path) -> None:
    assert fresh.save(tmp_path / "a" / "b" / "m") == tmp_path / "a" / "b" / "m"


def test_a_fresh_process_proves_the_model_and_imports_nothing_from_here(
    fresh: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("numpy.py").write_text("raise SystemExit('imported from the current folder')")
    fresh.save(tmp_path / "m")


def test_python_says_what_is_wrong_as_the_command_line_does(photos: Path) -> None:
    with pytest.raises(FovealError, match=r"No setting is called 'backbon'\. Did you mean"):
        foveal.fit(photos, backbon="classical")
    with pytest.raises(FovealError, match="There is no dataset at"):
        foveal.fit(photos / "nowhere", backbone="classical")
    with pytest.raises(FovealError, match="There is no model at"):
        foveal.load(photos / "nowhere")


def test_pixels_of_another_shape_never_reach_the_network(saved: Path) -> None:
    model = foveal.load(saved)
    with pytest.raises(BadWeights, match=r"pixels is of shape 96 × 96 × 3, expected 64 × 64 × 3"):
        predictor.Predictor(model.bundle.graph, model.classes, Preprocess(size_px=64, crop=1.0))


@pytest.mark.parametrize("files", [None, 5, b"", np.zeros((0, 0, 3)), [None], object()])
def test_what_is_no_path_is_refused_by_its_kind(saved: Path, files: object) -> None:
    with pytest.raises(OutOfRange, match="a path or a list of paths"):
        foveal.load(saved).predict(files)  # type: ignore[arg-type]  # on purpose


def test_no_classes_are_no_answer(saved: Path, photos: Path) -> None:
    with pytest.raises(OutOfRange, match="at least 1"):
        foveal.load(saved).predict(photos / "dots" / "00.png", top=0)


@pytest.mark.parametrize("data", [None, 5, [], ""])
def test_what_is_no_dataset_is_refused(data: object) -> None:
    with pytest.raises(OutOfRange, match=r"a path, or what foveal\.read returned"):
        foveal.fit(data, backbone="classical")  # type: ignore[arg-type]  # on purpose
    with pytest.raises(OutOfRange, match="the path of a folder or a table"):
        foveal.read(data)  # type: ignore[arg-type]  # on purpose
