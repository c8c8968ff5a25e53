"""`Bundle`: a classifier as a folder of plain files, hashed, with no code in it.

- ``bundle.json``: what it is, and the SHA-256 of every file, itself included
- ``model.onnx``: pixels to logits, probabilities and heat map
- ``README.md``: the model card
- ``parts.csv``: hash prefix and part of every image it has seen
- ``baseline.safetensors``: the classical baseline's head, for an honest comparison
- ``reference/``: pictures as they came, and ``reference.json`` with their logits
- ``config.json``, ``model.safetensors``: timm's own layout, where the head allows it

No times, paths or commands stand in it: the same fit gives the same bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from foveal.core.errors import AlreadyThere, Damaged, FovealError, NotThere, OutOfRange
from foveal.core.files import check_free, sha256_of, write_folder
from foveal.core.settings import read_json, to_json
from foveal.image.preprocess import Preprocess
from foveal.model import parts
from foveal.model.facts import check_facts

FORMAT = "foveal-bundle/1"
CARD = "bundle.json"
GRAPH = "model.onnx"
SEEN = "parts.csv"
BASELINE = "baseline.safetensors"
REFERENCE = "reference/reference.json"
TIMM = ("config.json", "model.safetensors")
OWN = frozenset({CARD, GRAPH, SEEN, BASELINE, "README.md", "reference", *TIMM})
SELF = "bundle_sha256"  # of bundle.json's own bytes, with zeros in the place of these digits
BLANK = "0" * 64


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bundle:
    """A bundle that is whole: fresh from a fit, or read from a folder. It runs nothing."""

    card: Mapping[str, Any]  # bundle.json, whole
    classes: tuple[str, ...]
    preprocess: Preprocess
    graph: bytes  # model.onnx, as hashed
    seen: Mapping[str, str]  # hash prefix -> part
    folder: Path | None = None  # where it was read from
    content: Mapping[str, bytes] = field(default_factory=dict)  # what a fresh one holds

    def read(self, name: str) -> bytes:
        """Return the bytes of a further file, checked against its hash.

        Raises:
            NotThere: if the bundle has no such file.
            Damaged: if it changed since it was hashed.
        """
        if name in self.content:
            return self.content[name]
        assert self.folder is not None
        return _checked(self.folder, name, self.card["sha256"])


def fresh_bundle(card: Mapping[str, Any], content: Mapping[str, bytes]) -> Bundle:
    """Return a bundle that is not on disk yet.

    Args:
        card: JSON-ready, with what ``facts.Facts`` asks for; ``format`` and the hashes are always
            set here, so a card that was read from another bundle may be used again.
        content: name -> bytes of every file but ``bundle.json``; one folder deep at most.

    Raises:
        Damaged: if the card says what cannot be.
    """
    digests = {name: hashlib.sha256(file).hexdigest() for name, file in content.items()}
    facts = {**card, "format": FORMAT, "sha256": dict(sorted(digests.items())), SELF: BLANK}
    classes, preprocess = check_facts(facts, where=CARD)
    return Bundle(
        card={**facts, SELF: hashlib.sha256(to_json(facts)).hexdigest()},
        classes=classes,
        preprocess=preprocess,
        graph=content[GRAPH],
        seen=parts.from_text(content.get(SEEN, b"")),
        content=content,
    )


def write_bundle(
    bundle: Bundle,
    folder: Path,
    *,
    overwrite: bool = False,
    prove: Callable[[Path], None] = lambda _draft: None,
) -> None:
    """Write a bundle so that ``folder`` holds all of it or is as it was.

    Args:
        bundle: fresh or read from elsewhere.
        folder: must not exist yet unless ``overwrite``; missing parents are made.
        overwrite: replace the bundle that is there, in one step.
        prove: is given the finished draft and raises where it must not be kept.

    Raises:
        AlreadyThere: if something is there that may not be replaced.
        DiskFull: when there is no room; what was there before is as it was.
    """
    check_replaceable(folder, overwrite=overwrite)
    with write_folder(folder, overwrite=overwrite) as draft:
        for name in bundle.card["sha256"]:
            target = draft / _inside(name)
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(bundle.read(name))
        (draft / CARD).write_bytes(to_json(bundle.card))
        prove(draft)


def check_replaceable(folder: Path, *, overwrite: bool) -> None:
    """Refuse a target that a bundle may not be written to, before any work is spent on it.

    Raises:
        AlreadyThere: if it exists; with ``overwrite``, if it holds anything but a bundle.
        OutOfRange: if it has no name of its own, such as ``.``.
    """
    if folder.name in {"", ".."}:
        raise OutOfRange("folder", str(folder), "a folder with a name of its own, such as model/")
    check_free(folder, overwrite=overwrite)
    there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if there and (CARD not in there or there - OWN):
        raise AlreadyThere(
            f"{folder} holds more than a model: {min(there - OWN, default='no ' + CARD)}.",
            hint="Only a model may be replaced: choose another name.",
        )


def read_bundle(folder: Path) -> Bundle:
    """Read a bundle and verify every file in it; nothing from it is executed.

    Raises:
        NotThere: if the folder, or a bundle in it, does not exist.
        FovealError: if it is of another format.
        Damaged: if a file is missing, was changed, or lies outside the folder; if the card says
            what cannot be.
    """
    path = folder / CARD
    if not folder.is_dir():
        raise NotThere(f"There is no model at {folder}.", hint="`foveal fit` makes one.")
    if not path.is_file():
        raise NotThere(
            f"{folder} is no model: it has no {CARD}.", hint="Name a folder that `foveal fit` made."
        )
    content = path.read_bytes()
    card = read_json(content, where=str(path))
    if card.get("format") != FORMAT:
        raise FovealError(
            f"{folder} is of format {card.get('format')!r}, this version reads {FORMAT!r}.",
            hint="Open it with the version of Foveal that wrote it.",
        )
    digests, own = card.get("sha256"), str(card.get(SELF)).encode()
    if hashlib.sha256(content.replace(own, BLANK.encode())).hexdigest().encode() != own:
        raise _changed(path)
    if not isinstance(digests, dict) or GRAPH not in digests:
        raise Damaged(f"{path} does not say the hashes of its files.")
    for name in digests:
        if not (folder / _inside(name)).is_file():
            raise Damaged(f"{folder / name} is missing.", hint="Copy the whole folder again.")
        if name != GRAPH:
            _check(folder, name, digests)
    graph = _checked(folder, GRAPH, digests)
    classes, preprocess = check_facts(card, where=str(path))
    known = parts.from_text(_checked(folder, SEEN, digests)) if SEEN in digests else {}
    return Bundle(
        card=card, classes=classes, preprocess=preprocess, graph=graph, seen=known, folder=folder
    )


def _inside(name: str) -> Path:
    """Return a bundle's file name as a path, one folder deep at most.

    Raises:
        Damaged: if it could lead anywhere but into the bundle.
    """
    pieces = name.split("/")
    if len(pieces) > 2 or any(p in {"", ".", ".."} or "\\" in p or ":" in p for p in pieces):
        raise Damaged(f"A bundle may not name the file {name!r}.")
    return Path(*pieces)


def _check(folder: Path, name: str, digests: Mapping[str, str]) -> None:
    if sha256_of(folder / _inside(name)) != digests[name]:
        raise _changed(folder / name)


def _checked(folder: Path, name: str, digests: Mapping[str, str]) -> bytes:
    """Return the bytes of a file after comparing exactly these bytes with the hash."""
    if name not in digests:
        raise NotThere(f"{folder} has no {name}.")
    content = (folder / _inside(name)).read_bytes()
    if hashlib.sha256(content).hexdigest() != digests[name]:
        raise _changed(folder / name)
    return content


def _changed(path: Path) -> Damaged:
    return Damaged(
        f"{path} is not what was saved: its hash differs.",
        hint="Copy the bundle again from where it came.",
    )
