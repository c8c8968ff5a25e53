"""The bundle: whole or not at all, every bit hashed, no way out of its folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from foveal.core.errors import AlreadyThere, Damaged, FovealError, NotThere, OutOfRange
from foveal.core.settings import to_json, to_mapping
from foveal.image.preprocess import Preprocess
from foveal.model.bundle import Bundle, fresh_bundle, read_bundle, write_bundle

CONTENT = {
    "model.onnx": b"a graph",
    "README.md": b"a card",
    "parts.csv": b"0123456789abcdef,train\n",
    "reference/0.png": b"a picture",
    "reference/reference.json": b"{}\n",
}


def made(**more: object) -> Bundle:
    card = {"classes": ["a", "b"], "preprocess": to_mapping(Preprocess(size_px=32)), **more}
    return fresh_bundle(card, CONTENT)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A bundle on disk."""
    write_bundle(made(), tmp_path / "m")
    return tmp_path / "m"


def test_what_is_written_is_read_again(folder: Path) -> None:
    bundle = read_bundle(folder)
    assert bundle.classes == ("a", "b")
    assert bundle.preprocess == Preprocess(size_px=32)
    assert bundle.graph == b"a graph"
    assert bundle.seen == {"0123456789abcdef": "train"}
    assert bundle.read("reference/0.png") == b"a picture"
    assert bundle.card == made().card


def test_the_same_bundle_is_the_same_bytes_and_survives_being_copied(
    folder: Path, tmp_path: Path
) -> None:
    write_bundle(read_bundle(folder), tmp_path / "copy")
    for path in folder.rglob("*"):
        if path.is_file():
            assert (tmp_path / "copy" / path.relative_to(folder)).read_bytes() == path.read_bytes()


def test_every_single_flipped_bit_is_found(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        whole = path.read_bytes()
        bits = range(8 * len(whole))
        for bit in rng.choice(bits, min(len(bits), 400), replace=False).tolist():
            flipped = bytearray(whole)
            flipped[bit // 8] ^= 1 << bit % 8
            path.write_bytes(flipped)
            with pytest.raises(FovealError):
                read_bundle(folder)
        path.write_bytes(whole)
    read_bundle(folder)


def test_a_class_renamed_by_hand_is_found(folder: Path) -> None:
    card = folder / "bundle.json"
    card.write_text(card.read_text().replace('"a"', '"x"'))
    with pytest.raises(Damaged, match=r"bundle\.json is not what was saved"):
        read_bundle(folder)


@pytest.mark.parametrize("name", sorted(CONTENT))
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(Damaged, match=name):
        read_bundle(folder)


def test_a_file_changed_after_loading_is_found_when_it_is_read(folder: Path) -> None:
    bundle = read_bundle(folder)
    (folder / "reference" / "0.png").write_bytes(b"another")
    with pytest.raises(Damaged, match=r"0\.png"):
        bundle.read("reference/0.png")


def test_a_file_that_the_bundle_does_not_have_is_not_read(folder: Path) -> None:
    (folder / "extra.txt").write_text("not of it")
    with pytest.raises(NotThere, match=r"has no extra\.txt"):
        read_bundle(folder).read("extra.txt")


@pytest.mark.parametrize(
    "name", ["../secret", "/etc/passwd", "a/b/c", "..\\secret", "C:secret", "", "a//b", "./a"]
)
def test_no_file_outside_the_folder_can_be_named(folder: Path, name: str) -> None:
    evil = fresh_bundle({**made().card}, {**CONTENT, name: b"x"})
    (folder / "bundle.json").write_bytes(to_json(evil.card))
    with pytest.raises(Damaged, match="A bundle may not name the file"):
        read_bundle(folder)
    with pytest.raises(Damaged, match="A bundle may not name the file"):
        write_bundle(evil, folder.with_name("other"))
    assert not folder.with_name("other").exists()


def test_a_card_that_is_used_again_keeps_no_old_hash() -> None:
    old = made()
    new = fresh_bundle(old.card, {**CONTENT, "model.onnx": b"another graph"})
    assert new.card["sha256"]["model.onnx"] != old.card["sha256"]["model.onnx"]
    assert new.card["bundle_sha256"] != old.card["bundle_sha256"]


def test_another_format_is_told(folder: Path) -> None:
    card = json.loads((folder / "bundle.json").read_bytes())
    (folder / "bundle.json").write_bytes(to_json({**card, "format": "foveal-bundle/9"}))
    with pytest.raises(FovealError, match="of format 'foveal-bundle/9', this version reads"):
        read_bundle(folder)


def test_nothing_is_kept_where_the_proof_fails(tmp_path: Path) -> None:
    drafts = []

    def fails(draft: Path) -> None:
        drafts.append(read_bundle(draft))  # it is whole by then
        raise FovealError("no")

    with pytest.raises(FovealError, match="no"):
        write_bundle(made(), tmp_path / "m", prove=fails)
    assert len(drafts) == 1
    assert list(tmp_path.iterdir()) == []


def test_an_older_model_stands_where_the_proof_of_a_new_one_fails(folder: Path) -> None:
    def fails(draft: Path) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_bundle(made(note="new"), folder, overwrite=True, prove=fails)
    assert "note" not in read_bundle(folder).card
    assert [path.name for path in folder.parent.iterdir()] == ["m"]


def test_a_model_is_replaced_only_when_asked_for(folder: Path) -> None:
    with pytest.raises(AlreadyThere, match="--overwrite"):
        write_bundle(made(note="new"), folder)
    write_bundle(made(note="new"), folder, overwrite=True)
    assert read_bundle(folder).card["note"] == "new"


@pytest.mark.parametrize("stranger", ["thesis.txt", ".git", "photo.jpg"])
def test_a_folder_with_anything_else_in_it_is_never_replaced(folder: Path, stranger: str) -> None:
    (folder / stranger).write_text("keep me")
    with pytest.raises(AlreadyThere, match="holds more than a model"):
        write_bundle(made(), folder, overwrite=True)
    assert (folder / stranger).read_text() == "keep me"


def test_an_empty_folder_is_free(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    write_bundle(made(), tmp_path / "m")
    read_bundle(tmp_path / "m")


def test_a_folder_needs_a_name_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutOfRange, match="a name of its own"):
        write_bundle(made(), Path())


def test_anybody_may_read_a_bundle(folder: Path) -> None:
    """`mkdtemp` would make it the owner's alone."""
    import os

    mask = os.umask(0)
    os.umask(mask)
    assert folder.stat().st_mode & 0o777 == 0o777 & ~mask


@pytest.mark.parametrize("break_it", [lambda c: c.pop("classes"), lambda c: c.pop("sha256")])
def test_a_card_that_says_too_little_is_damaged(folder: Path, break_it: Callable) -> None:
    card = dict(made().card)
    break_it(card)
    blank = {**card, "bundle_sha256": "0" * 64}
    import hashlib

    own = hashlib.sha256(to_json(blank)).hexdigest()
    (folder / "bundle.json").write_bytes(to_json({**blank, "bundle_sha256": own}))
    with pytest.raises(Damaged, match="does not say"):
        read_bundle(folder)
