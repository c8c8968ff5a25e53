"""The bundle: whole or not at all, every bit hashed, no way out of its folder."""

from __future__ import annotations

import hashlib
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
    card = {
        "classes": ["a", "b"],
        "preprocess": to_mapping(Preprocess(size_px=32)),
        "backbone": {"name": "tiny", "weights": "random"},
        "blocks": ["last"],
        "temperature": 1.0,
    }
    return fresh_bundle({**card, **more}, CONTENT)


def reseal(folder: Path, change: Callable[[dict], object]) -> None:
    """Edit a bundle's card and hash it anew, as whoever means harm or mends by hand would."""
    card = json.loads((folder / "bundle.json").read_bytes())
    change(card)
    blank = {**card, "bundle_sha256": "0" * 64}
    digest = hashlib.sha256(to_json(blank)).hexdigest()
    (folder / "bundle.json").write_bytes(to_json({**blank, "bundle_sha256": digest}))


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


@pytest.mark.parametrize(
    "name", ["classes", "sha256", "preprocess", "backbone", "blocks", "temperature"]
)
def test_a_card_that_says_too_little_is_damaged(folder: Path, name: str) -> None:
    reseal(folder, lambda card: card.pop(name))
    with pytest.raises(Damaged, match="does not say"):
        read_bundle(folder)


PROMISE = {"how": "Held out,", "images": 3, "metrics": {"top1": {"value": 1.0}}}
DATA = {"images": {"train": 4}, "per_class": {"train": {"a": 2, "b": 2}}}
NETWORK = {"name": "tiny", "weights": "random"}
MEMBER = {"backbone": NETWORK, "blocks": ["last"], "weight": 0.5, "temperature": 1.0}
TRAINING = {
    "strategy": "finetune",
    "sentence": "The network was trained on.",
    "epochs": 12,
    "kept": 9,
    "policy": "standard",
    "optimizer": "adamw",
    "batch": 64,
    "size_px": 128,
    "frozen_until": None,
    "val_images": 90,
}


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("classes", 5, "classes"),
        ("classes", ["a", 1], r"classes\.1"),
        ("classes", [], "different names"),
        ("classes", ["a", "a"], "different names"),
        ("preprocess", 5, "preprocess"),
        ("preprocess", {"size_px": "x"}, "size_px"),
        ("preprocess", {"size_px": -1}, "size_px"),
        ("preprocess", {"sise": 32}, "sise"),
        ("backbone", {"name": "tiny"}, r"backbone\.weights"),
        ("backbone", {"name": 5, "weights": ""}, r"backbone\.name"),
        ("temperature", "hot", "temperature"),
        ("temperature", 0, "temperature = 0"),
        ("choice", [{"head": "probe"}], r"choice\.0\.blocks"),
        ("promise", PROMISE, "log_loss is missing"),
        ("promise", {**PROMISE, "metrics": {"top1": 0.9}}, r"promise\.metrics\.top1"),
        ("promise", {"how": "no metrics", "images": 1}, r"promise\.metrics"),
        ("data", {**DATA, "images": 5}, r"data\.images"),
        ("data", {**DATA, "images": {"train": -1}}, "below 0"),
        ("data", {**DATA, "per_class": {}}, r"data\.per_class\.train"),
        ("data", {**DATA, "per_class": {"train": {"c": 4}}}, r"data\.per_class\.train"),
        ("names", ["a"], "names"),
        ("settings", "none", "settings"),
        ("members", [MEMBER], "one alone"),
        ("members", [MEMBER, {**MEMBER, "weight": 0.6}], "do not sum to 1"),
        ("members", [MEMBER, {**MEMBER, "weight": 0}], r"members\.1\.weight = 0.*above 0"),
        (
            "members",
            [{**MEMBER, "weight": 2}, {**MEMBER, "weight": -1}],
            r"members\.1\.weight = -1",
        ),
        ("members", [MEMBER, {**MEMBER, "temperature": 0}], r"members\.1\.temperature = 0"),
        ("members", [MEMBER, {**MEMBER, "weight": "half"}], r"members\.1\.weight"),
        ("members", [MEMBER, {**MEMBER, "blocks": "last"}], r"members\.1\.blocks"),
        ("members", [MEMBER, {**MEMBER, "backbone": {}}], r"members\.1\.backbone\.name"),
        ("members", {"first": MEMBER}, "members"),
        ("training", "long", "training"),
        ("training", {**TRAINING, "epochs": 1.5}, r"training\.epochs"),
        ("training", {**TRAINING, "epochs": True}, r"training\.epochs"),
        ("training", {**TRAINING, "kept": 13}, r"training\.kept = 13: there were 12"),
        ("training", {**TRAINING, "kept": 0}, r"training\.kept = 0"),
        ("training", {**TRAINING, "batch": -64}, r"training\.batch = -64"),
        ("training", {**TRAINING, "size_px": 0}, r"training\.size_px = 0"),
        ("training", {**TRAINING, "val_images": 0}, r"training\.val_images = 0"),
        ("training", {**TRAINING, "policy": ["flip"]}, r"training\.policy"),
    ],
)
def test_a_card_that_was_sealed_anew_and_cannot_be_right_is_damaged(
    folder: Path, name: str, value: object, said: str
) -> None:
    reseal(folder, lambda card: card.update({name: value}))
    with pytest.raises(Damaged, match=rf"bundle\.json .*{said}"):
        read_bundle(folder)
    with pytest.raises(Damaged, match=said):
        made(**{name: value})


@pytest.mark.parametrize("number", ["NaN", "1e999"])
def test_a_number_that_is_none_is_damaged(folder: Path, number: str) -> None:
    path = folder / "bundle.json"
    card = path.read_text().replace('"temperature": 1.0', f'"temperature": {number}')
    blank = card.replace(json.loads(card)["bundle_sha256"], "0" * 64)
    digest = hashlib.sha256(blank.encode()).hexdigest()
    path.write_text(blank.replace("0" * 64, digest))
    with pytest.raises(Damaged, match=r"bundle\.json cannot be right"):
        read_bundle(folder)


def test_what_a_later_version_adds_to_a_card_is_no_harm(folder: Path) -> None:
    data = {**DATA, "season": "spring"}
    reseal(folder, lambda card: card.update(data=data, weather="fine"))
    assert read_bundle(folder).card["data"] == data


def test_a_card_may_tell_of_several_networks_and_of_their_training(tmp_path: Path) -> None:
    bundle = made(members=[MEMBER, MEMBER], training=TRAINING)
    write_bundle(bundle, tmp_path / "m")
    assert read_bundle(tmp_path / "m").card["members"] == [MEMBER, MEMBER]
    assert read_bundle(tmp_path / "m").card["training"] == TRAINING
    assert made(training={"kept": 3}).card["training"] == {"kept": 3}, "all of it is optional"


@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"a":' * 100_000, b"\xff", b"[]", b""])
def test_a_card_that_is_no_json_object_is_told(folder: Path, content: bytes) -> None:
    (folder / "bundle.json").write_bytes(content)
    with pytest.raises(
        FovealError, match=r"bundle\.json (is not JSON|does not hold a JSON object)"
    ):
        read_bundle(folder)
