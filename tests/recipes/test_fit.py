"""Fitting: the same pictures give the same bytes, and nothing of this machine is in them."""

from __future__ import annotations

import getpass
import hashlib
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

import foveal
from foveal.core.listener import SILENT
from foveal.evaluate.judge import judge
from foveal.recipes.clock import Clock
from foveal.recipes.fit import fit_classifier
from foveal.recipes.orders import fit_settings
from foveal.recipes.rows import PROOF


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def fit(tmp_path: Path) -> Callable[..., dict[str, bytes]]:
    """Return what fits and saves, and gives every byte of the bundle."""

    def files(data: Path, **settings: object) -> dict[str, bytes]:
        folder = tmp_path / f"m{len(list(tmp_path.iterdir()))}"
        foveal.fit(data, **{"backbone": "classical", **settings}).save(folder)
        return content(folder)

    return files


def test_the_same_fit_gives_the_same_bytes_with_a_cold_cache_and_a_warm_one(
    fit: Callable, photos: Path, saved: Path, own_cache: Path
) -> None:
    cold = fit(photos)
    assert any((own_cache / "features").rglob("*"))
    assert fit(photos) == cold == content(saved)


def test_names_order_and_place_of_the_files_change_no_byte(
    fit: Callable, photos: Path, saved: Path, tmp_path: Path
) -> None:
    other = tmp_path / "elsewhere" / "ünused näme"
    for folder in sorted(photos.iterdir()):
        (other / folder.name).mkdir(parents=True)
        for number, path in enumerate(sorted(folder.iterdir(), reverse=True)):
            ending = ".JPG" if number % 3 else ".png"  # a PNG all the same
            shutil.copy(path, other / folder.name / f"IMG_{number * 37 % 101:03}{ending}")
    assert fit(other) == content(saved)


def test_a_network_of_many_blocks_gives_the_same_bytes_too(
    fit: Callable, photos: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(photos, tmp_path / "copy")
    for path in (tmp_path / "copy").glob("*/*.png"):
        path.rename(path.with_name(hashlib.md5(path.name.encode()).hexdigest() + ".png"))
    first = fit(photos, backbone=str(tiny_folder), features="last,stage1/2x2,classical")
    again = fit(tmp_path / "copy", backbone=str(tiny_folder), features="last,stage1/2x2,classical")
    assert first == again


@pytest.mark.parametrize("network", ["classical", "tiny"])
def test_no_path_time_user_or_command_is_in_a_bundle(
    fit: Callable, photos: Path, tiny_folder: Path, network: str
) -> None:
    backbone = str(tiny_folder) if network == "tiny" else network
    files = fit(photos, backbone=backbone)
    secrets = [str(photos), str(tiny_folder.parent), str(Path.home()), str(Path.cwd()), "pytest"]
    secrets += ["/tmp", "site-packages", "00.png"]
    secrets += [name for name in (socket.gethostname(), getpass.getuser()) if len(name) > 4]
    for name, text in files.items():
        for secret in secrets:
            assert secret.encode() not in text, (name, secret)
    model = onnx.load_from_string(files["model.onnx"])
    assert {entry.key for entry in model.metadata_props} == {
        "imgsz", "names", "preprocess", "temperature",
    }  # fmt: skip
    assert not any(node.doc_string or node.metadata_props for node in model.graph.node)
    assert model.doc_string == model.graph.doc_string == ""


def test_another_seed_is_another_split(fit: Callable, photos: Path, saved: Path) -> None:
    assert fit(photos, seed=1)["parts.csv"] != content(saved)["parts.csv"]


def fitted(data: Path, **settings: object):
    wanted = fit_settings({"backbone": "classical", **settings})
    return fit_classifier(foveal.read(data), wanted, SILENT, Clock())


def test_the_promise_is_what_judging_the_held_out_answers_gives(
    make_photos: Callable, tmp_path: Path
) -> None:
    one = fitted(make_photos(tmp_path / "hard", hard=True))
    used = one.prepared.manifest.table.filter(
        one.prepared.manifest.table["sha256"].is_in(list(one.promise.predictions.ids))
    )
    names = {id_: path.split("/")[0] for id_, path in used.select("sha256", "path").rows()}
    held = one.promise.predictions
    assert [names[id_] for id_ in held.ids] == [held.classes[label] for label in held.labels]
    judged = judge(held, resamples=500)
    assert one.promise.metrics == {name: judged.metrics[name] for name in one.promise.metrics}
    assert set(one.promise.metrics) == {"top1", "log_loss", "balanced_accuracy"}
    assert one.promise.metrics["top1"].value < 1


def test_at_least_sixteen_pictures_are_proven_from_every_class(photos: Path) -> None:
    files, logits = fitted(photos).proof
    assert len(files) == len(logits) == PROOF == 16
    assert all(file.is_absolute() for file in files)
    assert {file.parent.name for file in files[:3]} == {"dots", "grid", "waves"}


def test_a_val_part_that_was_given_is_what_choices_are_made_on(
    make_photos: Callable, tmp_path: Path
) -> None:
    make_photos(tmp_path / "set" / "train", count=10)
    make_photos(tmp_path / "set" / "val", seed=1, count=4)
    make_photos(tmp_path / "set" / "test", seed=2, count=3)
    one = fitted(tmp_path / "set")
    assert one.promise.how == "On the val part,"
    assert len(one.promise.predictions) == 12
    parts = sorted(one.prepared.parts.values())
    assert parts == ["test"] * 9 + ["train"] * 30 + ["val"] * 12


def test_whole_groups_are_held_out_and_the_promise_says_so(photos: Path) -> None:
    data = foveal.read(photos, group_pattern=r"^(\d)")  # two tracks in each class
    one = fit_classifier(data, fit_settings({"backbone": "classical"}), SILENT, Clock())
    assert one.promise.how.endswith("-fold cross-validation, whole groups in a fold,")
    table = one.prepared.manifest.table
    held = {table["group"][row] for row in one.prepared.split.test.tolist()}
    trained = {table["group"][row] for row in one.prepared.split.train.tolist()}
    assert not held & trained


def test_a_picture_broken_inside_is_left_out_and_told(
    photos: Path, tmp_path: Path, heard: Callable
) -> None:
    shutil.copytree(photos, tmp_path / "photos")
    broken = tmp_path / "photos" / "dots" / "00.png"
    data = bytearray(broken.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 40] = bytes(40)  # its header is whole
    broken.write_bytes(data)
    listener = heard()
    wanted = fit_settings({"backbone": "classical", "test_share": 0})
    one = fit_classifier(foveal.read(tmp_path / "photos"), wanted, listener, Clock())
    ((path, reason),) = one.broken
    assert path == "dots/00.png"
    assert f"dots/00.png is left out: {reason}" in listener.sentences
    assert len(one.promise.predictions) == 59


def test_the_baseline_is_the_classical_block_alone(photos: Path, tiny_folder: Path) -> None:
    one = fitted(photos, backbone=str(tiny_folder), features="last")
    assert one.baseline is not None
    assert one.classifier.blocks == ("last",)
    assert one.classifier.classical is None
    assert fitted(photos).baseline is None
