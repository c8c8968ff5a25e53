"""Bad input is a feature: one sentence, the right exit code, nothing half-written."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from foveal.core.settings import to_json

BLOCKER = """
import sys
class NoTrain:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "torchvision", "timm", "onnxscript"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, NoTrain())
import importlib.util
find = importlib.util.find_spec
def find_spec(name, package=None):
    try:
        return find(name, package)
    except ModuleNotFoundError:
        return None
importlib.util.find_spec = find_spec
"""


@pytest.fixture
def fit(refused: Callable[..., str], tmp_path: Path) -> Callable[..., str]:
    """Return what runs a fit with ``classical`` that must fail."""

    def check(code: int, data: Path, *words: object) -> str:
        return refused(code, "fit", data, "-o", tmp_path / "m", "--backbone", "classical", *words)

    return check


def test_a_path_that_does_not_exist(fit: Callable, tmp_path: Path) -> None:
    said = fit(2, tmp_path / "nowhere" / "photos")
    assert said == (
        f"There is no dataset at {tmp_path}/nowhere/photos. {tmp_path} is the nearest folder "
        "there is."
    )


def test_an_empty_folder(fit: Callable, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    assert f"{tmp_path}/photos holds no picture. Expected class folders" in fit(
        1, tmp_path / "photos"
    )


def test_a_folder_of_other_files(fit: Callable, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "notes.txt").write_text("none here")
    assert "holds 1 file but no picture" in fit(1, tmp_path / "photos")


def test_pictures_without_class_folders(fit: Callable, tmp_path: Path, photos: Path) -> None:
    shutil.copytree(photos / "dots", tmp_path / "photos")
    assert "holds 20 pictures but no class folders. Sort them" in fit(1, tmp_path / "photos")


def test_one_class_only(fit: Callable, tmp_path: Path, photos: Path) -> None:
    shutil.copytree(photos / "dots", tmp_path / "photos" / "dots")
    said = fit(1, tmp_path / "photos")
    assert "has pictures of one class only, 'dots'. A classifier tells classes apart" in said


def test_one_image_in_a_class(fit: Callable, tmp_path: Path, photos: Path) -> None:
    shutil.copytree(photos, tmp_path / "photos")
    for path in sorted((tmp_path / "photos" / "grid").iterdir())[1:]:
        path.unlink()
    assert "Class 'grid' has one picture to train on. At least two" in fit(1, tmp_path / "photos")


@pytest.fixture
def table(tmp_path: Path, photos: Path) -> Callable[[str], Path]:
    """Return what writes a CSV of ten pictures, with this header and further lines."""

    def write(header: str, *more: str) -> Path:
        lines = [f"{p},{p.parent.name}" for p in sorted(photos.glob("*/0[0-3].png"))]
        path = tmp_path / "labels.csv"
        path.write_text("\n".join([header, *lines, *more]) + "\n")
        return path

    return write


def test_a_table_without_the_column_that_was_named(fit: Callable, table: Callable) -> None:
    said = fit(2, table("path,label"), "--label-column", "species")
    assert "species" in said
    assert "path, label" in said


def test_labels_for_files_that_are_not_there(
    fit: Callable, table: Callable, tmp_path: Path
) -> None:
    path = table("path,label", *(f"gone{n}.png,dots" for n in range(12)))
    said = fit(1, path)
    assert "12 of 24" in said
    assert "gone0.png" in said


def test_a_third_of_the_files_broken(fit: Callable, tmp_path: Path, photos: Path) -> None:
    shutil.copytree(photos, tmp_path / "photos")
    for path in (tmp_path / "photos" / "waves").iterdir():
        path.write_bytes(path.read_bytes()[:40])
    said = fit(1, tmp_path / "photos")
    assert "20 of 60 files are broken, more than 5%" in said
    assert "waves/00.png: " in said


def test_one_broken_file_where_none_is_accepted(
    fit: Callable, tmp_path: Path, photos: Path
) -> None:
    shutil.copytree(photos, tmp_path / "photos")
    (tmp_path / "photos" / "waves" / "03.png").write_bytes(b"")
    assert fit(1, tmp_path / "photos", "--strict") == "waves/03.png: empty file"


def test_a_picture_whose_end_is_missing_where_none_is_accepted(
    fit: Callable, tmp_path: Path, photos: Path
) -> None:
    shutil.copytree(photos, tmp_path / "photos")
    for path in (tmp_path / "photos" / "waves").iterdir():  # whichever are held out
        path.write_bytes(path.read_bytes()[:-900])
    assert "truncated" in fit(1, tmp_path / "photos", "--strict")


def test_a_test_share_that_is_no_share(fit: Callable, photos: Path) -> None:
    assert fit(2, photos, "--test-share", "1") == (
        "--test-share 1.0 cannot work. Expected a share from 0 to less than 1."
    )


def test_a_seed_below_zero(fit: Callable, photos: Path) -> None:
    assert fit(2, photos, "--seed", "-1").startswith("--seed -1 cannot work.")


def test_a_seed_of_more_than_64_bits(fit: Callable, photos: Path) -> None:
    assert fit(2, photos, "--seed", 2**64) == (
        f"--seed {2**64} cannot work. Expected 0 or a positive whole number of at most 64 bits."
    )


def test_a_block_that_the_backbone_does_not_have(fit: Callable, photos: Path) -> None:
    assert "No block is called 'stage9/mean'" in fit(2, photos, "--features", "stage9/mean")


def test_a_head_with_a_typo(fit: Callable, photos: Path) -> None:
    assert "Did you mean 'prototype'?" in fit(2, photos, "--head", "prototyp")


def test_weights_for_a_backbone_that_has_none(fit: Callable, photos: Path, saved: Path) -> None:
    assert "fixed in classical" in fit(2, photos, "--weights", saved / "model.onnx")


# The output folder


def test_an_output_folder_that_is_taken(refused: Callable, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "thesis.txt").write_text("do not lose me")
    said = refused(2, "fit", photos, "-o", tmp_path / "m", "--backbone", "classical")
    assert "already exists. Choose another name, or replace it with --overwrite." in said


def test_overwriting_what_is_no_model(refused: Callable, photos: Path, tmp_path: Path) -> None:
    shutil.copytree(photos, tmp_path / "other")
    words = ["fit", photos, "-o", tmp_path / "other", "--backbone", "classical", "--overwrite"]
    assert "Only a model may be replaced" in refused(2, *words)


def test_overwriting_a_model_beside_which_something_else_lies(
    refused: Callable, photos: Path, tmp_path: Path, saved: Path
) -> None:
    shutil.copytree(saved, tmp_path / "m")
    (tmp_path / "m" / "thesis.txt").write_text("do not lose me")
    words = ["fit", photos, "-o", tmp_path / "m", "--backbone", "classical", "--overwrite"]
    assert "holds more than a model: thesis.txt" in refused(2, *words)


def test_overwriting_a_run_folder_that_holds_other_things(
    refused: Callable, photos: Path, tmp_path: Path, saved: Path
) -> None:
    shutil.copytree(saved, tmp_path / "m")
    (tmp_path / "m.run").mkdir()
    (tmp_path / "m.run" / "marathon.gpx").write_text("do not lose me")
    words = ["fit", photos, "-o", tmp_path / "m", "--backbone", "classical", "--overwrite"]
    assert "holds more than a run: marathon.gpx" in refused(2, *words)


def test_an_output_folder_that_is_a_file(refused: Callable, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "m").write_text("a file")
    assert f"{tmp_path}/m is a file." in refused(2, "fit", photos, "-o", tmp_path / "m")


def test_an_output_folder_below_a_file(refused: Callable, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file")
    words = ["fit", photos, "-o", tmp_path / "file" / "m", "--backbone", "classical"]
    assert "Not a directory" in refused(1, *words)


def test_an_output_folder_among_the_photographs(
    refused: Callable, photos: Path, tmp_path: Path
) -> None:
    shutil.copytree(photos, tmp_path / "photos")
    words = ["fit", tmp_path / "photos", "-o", tmp_path / "photos" / "m", "--backbone", "classical"]
    assert "its pictures would become a class" in refused(2, *words)


def test_an_output_folder_without_a_name(refused: Callable, photos: Path) -> None:
    assert "a folder with a name of its own" in refused(2, "fit", photos, "-o", ".")


# Settings files


@pytest.fixture
def settings(tmp_path: Path, fit: Callable, photos: Path) -> Callable[[int, object], str]:
    """Return what fits with a settings file of this content, which must fail."""

    def check(code: int, content: object) -> str:
        path = tmp_path / "run.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return fit(code, photos, "--settings", path)

    return check


def test_a_settings_file_that_is_not_there(fit: Callable, photos: Path, tmp_path: Path) -> None:
    assert "There is no run.json at" in fit(2, photos, "--settings", tmp_path / "gone.json")


def test_a_settings_file_that_is_no_json(settings: Callable) -> None:
    assert "is not JSON" in settings(1, "folds: 5")


def test_a_settings_file_that_is_a_list(settings: Callable) -> None:
    assert "does not hold a JSON object" in settings(1, [1, 2])


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ({"settings": {"fti": {}}}, "fti"),
        ({"settings": {"fit": {"prode": {}}}}, "prode"),
        ({"settings": {"fit": {"probe": {"fodls": 5}}}}, "fodls"),
        ({"settings": {"read": {"lable_column": "x"}}}, "lable_column"),
    ],
)
def test_a_settings_file_with_an_unknown_key(
    settings: Callable, content: object, name: str
) -> None:
    said = settings(2, content)
    assert f"is called {name!r}. Did you mean" in said
    assert "run.json" in said


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ({"settings": []}, "settings"),
        ({"settings": {"fit": 3}}, "fit"),
        ({"settings": {"fit": {"probe": "strong"}}}, "probe"),
        ({"settings": {"fit": {"probe": {"folds": "many"}}}}, "folds"),
        ({"settings": {"fit": {"prepare": {"test_share": None}}}}, "test_share"),
        ({"settings": {"fit": {"backbone": {"mean": [0.5]}}}}, "mean"),
        ({"settings": {"read": {"group_level": "two"}}}, "group_level"),
    ],
)
def test_a_settings_file_with_a_wrong_type(settings: Callable, content: object, field: str) -> None:
    said = settings(2, content)
    assert said.startswith(field)
    assert "cannot work" in said
    assert "run.json" in said


def test_a_settings_file_that_names_no_photographs(refused: Callable, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"settings": {"fit": {}}}')
    words = ["fit", "--settings", tmp_path / "run.json", "-o", tmp_path / "m"]
    assert "No photographs were named." in refused(2, *words)


# Models


@pytest.mark.parametrize("verb", ["test", "predict"])
def test_a_model_that_is_not_there(refused: Callable, photos: Path, verb: str) -> None:
    said = refused(2, verb, "nowhere", photos)
    assert said == "There is no model at nowhere. `foveal fit` makes one."


def test_a_folder_that_is_no_model(refused: Callable, photos: Path) -> None:
    assert "is no model: it has no bundle.json." in refused(2, "predict", photos, "x.png")


def test_a_flipped_bit_in_any_file_of_a_model(
    refused: Callable, photos: Path, saved: Path, tmp_path: Path
) -> None:
    model = tmp_path / "m"
    shutil.copytree(saved, model)
    files = [path for path in sorted(model.rglob("*")) if path.is_file()]
    assert len(files) >= 8
    for file in files:
        whole = file.read_bytes()
        middle = len(whole) // 2
        flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
        file.write_bytes(flipped)
        said = refused(1, "predict", model, photos / "dots" / "00.png")
        assert str(file.relative_to(model)) in said
        file.write_bytes(whole)


def test_a_model_with_a_file_missing(refused: Callable, saved: Path, tmp_path: Path) -> None:
    model = tmp_path / "m"
    shutil.copytree(saved, model)
    (model / "parts.csv").unlink()
    said = refused(1, "predict", model, "x.png")
    assert said == f"{model}/parts.csv is missing. Copy the whole folder again."


def test_a_test_on_classes_that_the_model_does_not_know(
    refused: Callable, saved: Path, tmp_path: Path, make_photos: Callable
) -> None:
    root = make_photos(tmp_path / "other", seed=5, count=3)
    (root / "waves").rename(root / "Waves")
    said = refused(1, "test", saved, root)
    assert "differs from the model's 'waves' only in case: rename it." in said


def test_a_test_on_nothing_but_training_pictures(
    refused: Callable, saved: Path, photos: Path, tmp_path: Path
) -> None:
    seen = (saved / "parts.csv").read_text().splitlines()
    trained = {line[:16] for line in seen if line.endswith("train")}
    for path in photos.glob("*/*.png"):
        if hashlib.sha256(path.read_bytes()).hexdigest()[:16] in trained:
            target = tmp_path / "again" / path.parent.name / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    said = refused(1, "test", saved, tmp_path / "again")
    assert "the model was trained on 48 of them" in said
    assert "Test it on others" in said


def test_a_report_folder_that_is_a_file(
    refused: Callable, saved: Path, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "report").write_text("a file")
    assert "is a file." in refused(2, "test", saved, photos, "-o", tmp_path / "report")


# Backbones


def test_a_backbone_with_a_typo(refused: Callable, photos: Path, tmp_path: Path) -> None:
    pytest.importorskip("timm")
    words = ["fit", photos, "-o", tmp_path / "m", "--backbone", "resnet81"]
    said = refused(2, *words)
    assert "No backbone is called 'resnet81'." in said
    assert "Did you mean 'resnet" in said


def test_a_backbone_with_a_typo_where_nothing_can_be_exported(photos: Path, tmp_path: Path) -> None:
    code = BLOCKER + "from foveal.cli import run\nrun()"
    words = ["fit", photos, "-o", tmp_path / "m", "--backbone", "resnet81"]
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith(
        "foveal: The backbone 'resnet81' is neither built in nor in the cache"
    )
    assert "needs the extra 'train'. Run: pip install 'foveal[train]'" in done.stderr
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_weights_that_are_not_there(refused: Callable, photos: Path, tmp_path: Path) -> None:
    words = ["fit", photos, "-o", tmp_path / "m", "--backbone", "resnet18", "--weights", "w.pt"]
    assert "There is no weights file at w.pt." in refused(2, *words)


def test_weights_of_another_network(
    refused: Callable, photos: Path, tmp_path: Path, shared: Path
) -> None:
    pytest.importorskip("timm")
    weights = shared / "weights" / "squeezenet1_1.safetensors"
    words = ["--backbone", "resnet18", "--weights", weights]
    said = refused(1, "fit", photos, "-o", tmp_path / "m", *words)
    assert "squeezenet1_1.safetensors" in said
    assert "resnet18" in said


def test_an_onnx_file_that_is_none(refused: Callable, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_text("hello")
    words = ["fit", photos, "-o", tmp_path / "m", "--backbone", tmp_path / "net.onnx"]
    assert "net.onnx" in refused(1, *words)


def test_a_ready_classifier_that_has_no_classifier(refused: Callable, tmp_path: Path) -> None:
    said = refused(1, "import", "classical", "-o", tmp_path / "m")
    assert "classical has no classifier of its own." in said


# The disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Return what mounts a disk of some kilobytes; skips where mounting is not permitted."""
    mounted = []

    def mount(kilobytes: int) -> Path:
        folder = tmp_path / "disk"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]
        if not shutil.which("mount") or subprocess.run(command, check=False).returncode:
            pytest.skip("this machine does not let the test mount a small disk")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("kilobytes", [8, 64, 72, 96])
def test_no_space_for_the_model(
    cli: Callable, photos: Path, small_disk: Callable, kilobytes: int
) -> None:
    disk = small_disk(kilobytes)  # the model takes 100 kB
    said = cli("fit", photos, "-o", disk / "m", "--backbone", "classical", "-q")
    assert said.code == 1, said
    assert said.err.startswith(f"foveal: No space is left on the disk of {disk}/m")
    assert said.err.count("\n") == 1
    assert list(disk.iterdir()) == []


def test_no_space_for_the_report(
    cli: Callable, saved: Path, photos: Path, small_disk: Callable
) -> None:
    disk = small_disk(64)
    said = cli("test", saved, photos, "-o", disk / "report", "-q")
    assert said.code == 1
    assert "No space is left" in said.err
    assert list(disk.iterdir()) == []


def test_no_space_for_the_cache_costs_nothing_but_the_cache(
    cli: Callable,
    photos: Path,
    small_disk: Callable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FOVEAL_CACHE", str(small_disk(4)))
    said = cli("fit", photos, "-o", tmp_path / "m", "--backbone", "classical")
    assert said.code == 0
    assert "No space is left" in said.err
    assert (tmp_path / "m" / "bundle.json").is_file()


def test_a_disk_that_fills_up_is_told_where_no_disk_can_be_mounted(
    refused: Callable, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Path.write_bytes

    def full(path: Path, content: bytes) -> int:
        if path.name == "bundle.json":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    words = ["fit", photos, "-o", tmp_path / "m", "--backbone", "classical"]
    assert "No space is left on the disk" in refused(1, *words)


def test_a_report_is_never_written_into_the_model_or_the_photographs(
    refused: Callable, saved: Path, photos: Path, tmp_path: Path
) -> None:
    shutil.copytree(saved, tmp_path / "m")
    shutil.copytree(photos, tmp_path / "photos")
    for out in ("m", "photos", "photos/new"):
        words = ["test", tmp_path / "m", tmp_path / "photos", "-o", tmp_path / out]
        assert "a folder outside of" in refused(2, *words)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["classes"], 5),
        (["classes"], ["dots", "grid"]),
        (["preprocess", "size_px"], 128),
        (["promise", "metrics"], {}),
        (["data", "per_class"], {}),
        (["choice", 0, "blocks"], None),
        (["backbone"], None),
    ],
)
def test_a_model_whose_card_was_edited_and_sealed_anew(
    refused: Callable, saved: Path, photos: Path, tmp_path: Path, path: list, value: object
) -> None:
    model = tmp_path / "m"
    shutil.copytree(saved, model)
    card = json.loads((model / "bundle.json").read_bytes())
    place = card
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    blank = to_json({**card, "bundle_sha256": "0" * 64})
    digest = hashlib.sha256(blank).hexdigest()
    (model / "bundle.json").write_bytes(blank.replace(b"0" * 64, digest.encode()))
    for words in (["predict", model, photos / "dots" / "00.png"], ["test", model, photos]):
        assert "Copy the bundle again" in refused(1, *words)
