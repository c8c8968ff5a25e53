"""The whole story of `foveal pretrain`: pictures in, a backbone folder out that `fit` takes."""

from __future__ import annotations

import errno
import io
import json
import shlex
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import foveal
from foveal.backbone import store
from foveal.backbone.catalog import pick
from foveal.backbone.settings import BackboneSettings
from foveal.core.errors import (
    AlreadyThere,
    BadData,
    BadWeights,
    CannotResume,
    DiskFull,
    FovealError,
    MissingExtra,
    NotThere,
    OutOfRange,
)
from foveal.core.listener import SILENT
from foveal.data.reading import ReadSettings
from foveal.recipes.pretraining import pretrain, ready, teacher
from foveal.recipes.pretraining.order import PretrainOrder
from foveal.recipes.pretraining.pictures import Pictures, schoolbook
from foveal.recipes.pretraining.pretrain import pretrain_and_save
from foveal.recipes.pretraining.teacher import FACTS, SEEN, seen_by
from foveal.recipes.workplace import Workplace
from foveal.train.network.pretrain_settings import PretrainSettings

SMALL = {"layers": [1, 1, 1, 1], "channels": [8, 8, 16, 16], "stem_type": "deep", "stem_width": 8}
SETTINGS = PretrainSettings(
    model_args=SMALL, epochs=2, sizes=(32, 64), canvas_px=64, batch=16, val_share=0.2, average=0.5
)


class Ears:
    """Remembers what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, sentence: str) -> None:
        self.said.append(sentence)

    def progress(
        self, stage: str, done: int, total: int, unit: str = "", *, note: str = ""
    ) -> None:
        pass


@pytest.fixture(scope="module")
def made(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backbone folder, trained beside ``classical``; nobody may change it."""
    out = tmp_path_factory.mktemp("pretrained") / "small"
    order = PretrainOrder(
        data=(photos,), settings=SETTINGS, teacher=BackboneSettings(backbone="classical")
    )
    done = pretrain_and_save(order, out)
    assert done.folder == out
    assert done.facts["val"] == 12
    assert set(done.facts["sizes"]) == {32, 48, 64, 80}
    return out


def test_the_command_that_uses_it_can_be_pasted() -> None:
    facts = {"arch": "resnet18", "parameters": 1, "kept": 1, "epochs": [1], "val": 3}
    facts |= {"how": "of the val part", "sizes": {}}
    use = pretrain.Pretrained(folder=Path("my net"), facts=facts).lines()[-1]
    words = shlex.split(use.removeprefix("use it: foveal "))
    assert words == ["fit", "PHOTOS", "-o", "MODEL", "--backbone", "my net"]


def test_the_folder_is_a_backbone_and_nothing_else_is_left(made: Path) -> None:
    names = {"README.md", "backbone.json", "backbone.onnx", "model.safetensors", "pretraining.json"}
    assert {path.name for path in made.iterdir()} == names
    assert [path.name for path in made.parent.iterdir()] == ["small"]
    backbone = pick(BackboneSettings(backbone=str(made)), threads=1)
    assert backbone.spec.widths()["last"] == 16
    assert backbone.spec.model_args == SMALL


def test_a_fit_takes_it(made: Path, photos: Path) -> None:
    model = foveal.fit(photos, backbone=str(made), features="last")
    assert model.predict([photos / "dots" / "00.png"])[0].label in {"dots", "grid", "waves"}


def test_the_card_tells_pictures_teacher_and_scores(made: Path, photos: Path) -> None:
    text = (made / "README.md").read_text()
    assert str(photos.parent) not in text  # no path of this machine
    assert f"48 of 3 classes from {photos.name}.\n" in text
    assert "**Teacher**: classical" in text
    facts = json.loads((made / "pretraining.json").read_text())
    for size, right in facts["sizes"].items():
        assert f"| {size} | {100 * right:.1f} |" in text
    assert [epoch["size"] for epoch in facts["epochs"]] == [32, 64]


@pytest.mark.slow
def test_a_run_that_was_cut_off_goes_on_to_the_same_weights(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = PretrainOrder(data=(photos,), settings=SETTINGS)
    pretrain_and_save(order, tmp_path / "whole")

    with monkeypatch.context() as patched:

        def tell(self: object, news: object) -> None:
            if type(news).__name__ == "Update" and news.step == 3:  # type: ignore[attr-defined]
                raise KeyboardInterrupt

        patched.setattr(pretrain._Diary, "tell", tell)
        with pytest.raises(KeyboardInterrupt):
            pretrain_and_save(order, tmp_path / "cut")
    assert not (tmp_path / "cut").exists()
    with pytest.raises(AlreadyThere, match="a training that was cut off"):
        pretrain_and_save(order, tmp_path / "cut")
    other = replace(order, settings=replace(SETTINGS, rate=0.01))
    with pytest.raises(CannotResume, match=r"settings\.rate was 0\.15, is 0\.01"):
        pretrain_and_save(other, tmp_path / "cut", resume=True)
    pretrain_and_save(order, tmp_path / "cut", resume=True)
    whole, cut = (tmp_path / name / "model.safetensors" for name in ("whole", "cut"))
    assert whole.read_bytes() == cut.read_bytes()


def test_nothing_is_resumed_that_was_not_begun(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(NotThere, match="no training to resume"):
        pretrain_and_save(
            PretrainOrder(data=(photos,), settings=SETTINGS), tmp_path / "new", resume=True
        )


def test_pictures_that_cannot_be_read_are_counted_and_none_at_all_is_refused(
    tmp_path: Path, photos: Path
) -> None:
    for name in ("some", "none"):
        with tarfile.open(tmp_path / f"{name}.tar", "w") as tar:
            for number, file in enumerate(sorted(photos.rglob("*.png"))):
                entry = tarfile.TarInfo(file.relative_to(photos).as_posix())
                content = b"no picture" if name == "none" or number == 0 else file.read_bytes()
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    heard = Ears()
    settings = replace(SETTINGS, epochs=1, sizes=(32,))
    order = PretrainOrder(
        data=(tmp_path / "some.tar",), val=(tmp_path / "some.tar",), settings=settings
    )
    pretrain_and_save(order, tmp_path / "out", listener=heard)
    assert any(
        said.startswith("1 of 60 pictures are left out, the first of them some.tar: dots/00.png: ")
        for said in heard.said
    )
    order = PretrainOrder(data=(tmp_path / "none.tar",), settings=settings)
    with pytest.raises(BadData, match="None of the pictures can be read"):
        pretrain_and_save(order, tmp_path / "out2")


def test_the_base_install_says_which_extra_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ready, "not_installed", lambda: ["torch"])
    with pytest.raises(MissingExtra, match=r"pip install 'foveal\[train\]'"):
        pretrain_and_save(PretrainOrder(data=(tmp_path,)), tmp_path / "out")


@pytest.mark.parametrize(
    ("file", "error", "words"),
    [
        ("gone.safetensors", NotThere, "gone.safetensors"),
        ("other.safetensors", BadWeights, "does not fit resnet18: .* missing"),
    ],
)
def test_weights_to_begin_with_are_looked_at_before_the_teacher_works(
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    file: str,
    error: type[FovealError],
    words: str,
) -> None:
    save_file({"fc.weight": np.zeros((3, 16), np.float32)}, tmp_path / "other.safetensors")
    monkeypatch.setattr(ready, "pick", lambda *_: pytest.fail("the teacher was asked"))
    order = PretrainOrder(
        data=(photos,),
        settings=replace(SETTINGS, init=tmp_path / file),
        teacher=BackboneSettings(backbone="classical"),
    )
    with pytest.raises(error, match=words):
        pretrain_and_save(order, tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"other.safetensors"}


def test_what_a_teacher_cannot_be_told_is_said_of_the_teacher(photos: Path, tmp_path: Path) -> None:
    teacher = BackboneSettings(backbone="foveal-s", mean=(1.0, 2.0, 3.0))
    order = PretrainOrder(data=(photos,), settings=SETTINGS, teacher=teacher)
    with pytest.raises(OutOfRange, match=r"teacher_mean = .*fixed in foveal-s"):
        pretrain_and_save(order, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_two_processes_never_train_at_one_place(photos: Path, tmp_path: Path) -> None:
    order = PretrainOrder(data=(photos,), settings=SETTINGS)
    with (
        Workplace.of(tmp_path / "out").held({}),
        pytest.raises(AlreadyThere, match="Another process is training"),
    ):
        pretrain_and_save(order, tmp_path / "out", overwrite=True)


def test_what_the_teacher_saw_survives_a_failure_and_is_used_again(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(SETTINGS, epochs=1, sizes=(32,))
    order = PretrainOrder(
        data=(photos,), settings=settings, teacher=BackboneSettings(backbone="classical")
    )

    def full(*_: object, **__: object) -> None:
        raise DiskFull(tmp_path)

    with monkeypatch.context() as patched:
        patched.setattr(pretrain, "_trained", full)
        with pytest.raises(DiskFull):
            pretrain_and_save(order, tmp_path / "out")
    assert (tmp_path / "out.training" / SEEN).is_file()
    with pytest.raises(AlreadyThere, match="Go on with it by --resume"):
        pretrain_and_save(order, tmp_path / "out")
    monkeypatch.setattr(teacher, "stream", lambda *_, **__: pytest.fail("computed again"))
    pretrain_and_save(order, tmp_path / "out", resume=True)
    assert not (tmp_path / "out.training").exists()


def test_a_backbone_is_replaced_by_a_whole_one_or_not_at_all(
    made: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = Path(shutil.copytree(made, tmp_path / "out"))
    before = {path.name: path.read_bytes() for path in out.iterdir()}

    def full(*_: object, **__: object) -> None:
        raise DiskFull(out)

    order = PretrainOrder(data=(photos,), settings=replace(SETTINGS, epochs=1, sizes=(32,)))
    with monkeypatch.context() as patched:
        patched.setattr(store, "to_json", full)
        with pytest.raises(DiskFull):
            pretrain_and_save(order, out, overwrite=True)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    pretrain_and_save(order, out, overwrite=True, resume=True)
    assert {path.name for path in out.iterdir()} == before.keys()
    assert (out / "backbone.onnx").read_bytes() != before["backbone.onnx"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


class TestTheTeacher:
    @pytest.fixture
    def pictures(self, photos: Path) -> Iterator[Pictures]:
        book = schoolbook((photos,), (), ReadSettings(), val_share=0.2, seed=0, listener=SILENT)
        return book.train

    def test_sees_every_picture_and_what_it_saw_is_kept(
        self, pictures: Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        backbone = pick(BackboneSettings(backbone="classical"), threads=1)
        first = np.array(seen_by(backbone, pictures, tmp_path, SILENT))
        assert first.shape == (48, 1812)
        assert first.dtype == np.float16
        assert {path.name for path in tmp_path.iterdir()} == {SEEN, FACTS}
        monkeypatch.setattr(teacher, "stream", lambda *_, **__: pytest.fail("computed again"))
        assert np.array_equal(seen_by(backbone, pictures, tmp_path, SILENT), first)

    def test_looks_again_where_what_it_saw_is_damaged(
        self, pictures: Pictures, tmp_path: Path
    ) -> None:
        backbone = pick(BackboneSettings(backbone="classical"), threads=1)
        first = np.array(seen_by(backbone, pictures, tmp_path, SILENT))
        whole = (tmp_path / SEEN).read_bytes()
        for damaged in (whole[:-1000], b"", whole[:-9] + b"?" + whole[-8:]):
            (tmp_path / SEEN).write_bytes(damaged)
            assert np.array_equal(seen_by(backbone, pictures, tmp_path, SILENT), first)
            assert (tmp_path / SEEN).read_bytes() == whole

    def test_leaves_nothing_where_the_disk_is_full(
        self, pictures: Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(teacher.os, "fsync", full)
        backbone = pick(BackboneSettings(backbone="classical"), threads=1)
        with pytest.raises(DiskFull):
            seen_by(backbone, pictures, tmp_path, SILENT)
        assert not list(tmp_path.iterdir())

    def test_looks_again_at_other_pictures(self, pictures: Pictures, tmp_path: Path) -> None:
        backbone = pick(BackboneSettings(backbone="classical"), threads=1)
        seen_by(backbone, pictures, tmp_path, SILENT)
        fewer = Pictures(
            sources=list(pictures.sources)[:5],
            labels_N=pictures.labels_N[:5],
            names=pictures.names[:5],
            digest="another",
        )
        assert len(seen_by(backbone, fewer, tmp_path, SILENT)) == 5


def test_the_command_line_says_mistakes_in_one_sentence(tmp_path: Path) -> None:
    def says(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "foveal", "pretrain", *words],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
        )
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
        return done.stderr

    assert "There is no shard at gone.tar" in says("gone.tar", "-o", "out")
    assert "--sizes [3] cannot work." in says("gone.tar", "-o", "out", "--sizes", "3")
    falling = says("gone.tar", "-o", "out", "--sizes", "80,64")
    assert "--sizes [80, 64] cannot work. Expected rising sizes" in falling
    assert "--out '.' cannot work. Expected a folder with a name" in says("gone.tar", "-o", "")
    teacherless = says("gone.tar", "-o", "out", "--teacher-size", "96")
    assert "said of a teacher, but not who it is. Name one: --teacher." in teacherless
    taught = ("gone.tar", "-o", "out", "--teacher", "foveal-s")
    assert "--teacher-size 3 cannot work." in says(*taught, "--teacher-size", "3")
    assert "--teacher-arg 'x' cannot work." in says(*taught, "--teacher-arg", "x")
    assert "Did you mean 'adamw'?" in says("gone.tar", "-o", "out", "--optimizer", "adamv")
    for sizes in ("", "32,abc"):
        assert f"--sizes {sizes!r} cannot work." in says("gone.tar", "-o", "out", "--sizes", sizes)
    assert not list(tmp_path.iterdir())


def test_only_a_backbone_is_ever_replaced(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_text("all of it")
    with pytest.raises(AlreadyThere, match=r"holds more than a backbone: thesis.tex"):
        pretrain_and_save(
            PretrainOrder(data=(photos,), settings=SETTINGS), tmp_path / "home", overwrite=True
        )
    assert (tmp_path / "home" / "thesis.tex").read_text() == "all of it"
