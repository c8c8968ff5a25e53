"""Backbone folders: written whole, verified when read, kept in the cache by what was asked for.

backbone.json       the record, and the SHA-256 of the weights
backbone.onnx       the graph; its SHA-256 is the record's fingerprint
model.safetensors   the network's weights in timm's keys, where timm can build it
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foveal.backbone import graphs
from foveal.backbone.running import OnnxBackbone
from foveal.backbone.settings import BackboneSettings
from foveal.backbone.spec import BackboneSpec, NetworkWeights
from foveal.core.errors import Damaged, FovealError, NotThere
from foveal.core.files import cache_folder, check_exists, disk_full_is_said, sha256_of, write_folder
from foveal.core.settings import from_mapping, read_json, to_json, to_mapping

if TYPE_CHECKING:
    import onnx

FORMAT = "foveal-backbone/1"  # of a folder; also stands for the way networks are exported
SPEC, GRAPH, WEIGHTS = "backbone.json", "backbone.onnx", "model.safetensors"
METADATA = "foveal.backbone"  # key in the graph's metadata: the record without its fingerprint
DRAFTS = ".drafts"
STALE_S = 24 * 3600  # a draft older than this was left by a process that was killed


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A backbone in the cache."""

    folder: Path
    name: str
    weights: str
    size_px: int | None  # side of what it sees; None: it is damaged
    size_bytes: int
    last_used_s: float  # seconds since 1970


def cached_folder(settings: BackboneSettings) -> Path:
    """Return where the cache keeps the export of these settings, whether or not it is there.

    The place follows from what was asked for, not from what timm made of it: name, arguments,
    the content of the weights file or "the hub", what was said of the pictures. So it is found
    again without timm.

    Raises:
        NotThere: if the weights file does not exist.
    """
    weights = "hub"
    if settings.weights is not None:
        check_exists(settings.weights, "weights file")
        weights = sha256_of(settings.weights) if settings.weights.is_file() else "none"
    asked = {
        "format": FORMAT,
        "backbone": settings.backbone,
        "weights": weights,
        "model_args": dict(settings.model_args),
        "said": settings.said,
    }
    key = hashlib.sha256(json.dumps(asked, sort_keys=True, default=str).encode()).hexdigest()
    readable = re.sub(r"[^\w.-]", "-", settings.backbone)
    return _cache() / f"{readable}-{key[:16]}"


def sealed(spec: BackboneSpec, model: onnx.ModelProto) -> tuple[BackboneSpec, bytes]:
    """Return the record with its fingerprint, and the graph's file with the record in it."""
    from onnx import helper

    text = json.dumps(_bare(spec), sort_keys=True, ensure_ascii=False)
    helper.set_model_props(model, {METADATA: text})
    content = graphs.to_bytes(model)
    return replace(spec, fingerprint=graphs.fingerprint(content)), content


def spec_in(model: onnx.ModelProto, content: bytes, *, where: str) -> BackboneSpec | None:
    """Return the record that a graph of ours carries; None for a graph of other origin."""
    for entry in model.metadata_props:
        if entry.key == METADATA:
            facts = read_json(entry.value.encode(), where=f"the metadata of {where}")
            fingerprint = {"fingerprint": graphs.fingerprint(content)}
            return from_mapping(BackboneSpec, {**facts, **fingerprint}, where=where)
    return None


def save(
    folder: Path,
    spec: BackboneSpec,
    model: onnx.ModelProto,
    weights: bytes | None,
) -> None:
    """Write a backbone folder; if another process was first, its folder stands.

    Args:
        folder: in the cache.
        spec: the record; its fingerprint is set here.
        model: from ``pixels`` to every output that ``spec`` promises.
        weights: a safetensors file in timm's keys, or None.

    Raises:
        DiskFull: when there is no room; nothing is left behind.
    """
    drafts = folder.parent / DRAFTS
    _remove_stale(drafts)
    draft = drafts / f"{folder.name}.{secrets.token_hex(4)}"
    write(draft, spec, model, weights)
    with disk_full_is_said(folder):
        try:
            draft.rename(folder)
        except OSError:
            shutil.rmtree(draft, ignore_errors=True)
            if not (folder / SPEC).is_file():
                raise


def write(
    folder: Path,
    spec: BackboneSpec,
    model: onnx.ModelProto,
    weights: bytes | None,
    *,
    more: Mapping[str, bytes] | None = None,
    overwrite: bool = False,
) -> None:
    """Write a backbone folder where it is wanted; what stood there goes when the new one is whole.

    Args:
        folder: wherever it is wanted.
        spec: the record; its fingerprint is set here.
        model: from ``pixels`` to every output that ``spec`` promises.
        weights: a safetensors file in timm's keys, or None.
        more: name -> content of files for people, such as a card.
        overwrite: replace what is there.

    Raises:
        AlreadyThere: if something is there that may not be replaced.
        DiskFull: when there is no room; what stood there does still.
    """
    spec, content = sealed(spec, model)
    digest = None if weights is None else hashlib.sha256(weights).hexdigest()
    facts = {"format": FORMAT, "weights_sha256": digest, "spec": to_mapping(spec)}
    with write_folder(folder, overwrite=overwrite) as inside:
        (inside / GRAPH).write_bytes(content)
        if weights is not None:
            (inside / WEIGHTS).write_bytes(weights)
        for name, said in (more or {}).items():
            (inside / name).write_bytes(said)
        (inside / SPEC).write_bytes(to_json(facts))


def load(folder: Path, *, threads: int | None = None) -> OnnxBackbone:
    """Read a backbone folder after comparing its graph with the hash in its record.

    Raises:
        NotThere: if it is no backbone folder.
        FovealError: if it is of another format.
        Damaged: if graph or record are not what was written.
    """
    if not (folder / SPEC).is_file():
        raise NotThere(f"{folder} is no backbone folder: it has no {SPEC}.")
    facts = read_json((folder / SPEC).read_bytes(), where=str(folder / SPEC))
    if facts.get("format") != FORMAT:
        raise FovealError(
            f"{folder} is of format {facts.get('format')!r}, this version reads {FORMAT!r}.",
            hint="Export it again.",
        )
    try:
        spec = from_mapping(BackboneSpec, facts["spec"], where=str(folder / SPEC))
        content = (folder / GRAPH).read_bytes()
    except (KeyError, TypeError, OSError):
        raise _damaged(folder / SPEC) from None
    if graphs.fingerprint(content) != spec.fingerprint:
        raise _damaged(folder / GRAPH)
    model = graphs.from_bytes(content, where=str(folder / GRAPH))
    if spec_in(model, content, where=str(folder / GRAPH)) != spec:
        raise _damaged(folder / SPEC)
    with suppress(OSError):  # a folder that may only be read works as well
        (folder / SPEC).touch()
    digest = facts.get("weights_sha256")
    return OnnxBackbone(
        spec,
        model,
        threads=threads,
        read_weights=None if digest is None else lambda: _weights(folder / WEIGHTS, digest),
    )


def kept() -> list[Kept]:
    """Return the backbones in the cache, by name; damaged ones too, called "damaged"."""
    entries = []
    for path in sorted(_cache().glob(f"*/{SPEC}")):
        name, weights, size_px = path.parent.name, "damaged", None
        with suppress(FovealError, OSError, KeyError, TypeError):
            facts = read_json(path.read_bytes(), where=str(path))["spec"]
            name, weights = facts["name"], facts["weights"]
            size_px = facts["preprocess"]["size_px"]
        files = [file.stat() for file in path.parent.iterdir()]
        entries.append(
            Kept(
                folder=path.parent,
                name=name,
                weights=weights,
                size_px=size_px,
                size_bytes=sum(file.st_size for file in files),
                last_used_s=path.stat().st_mtime,
            )
        )
    return entries


def clear() -> int:
    """Remove every backbone from the cache, drafts included, and return the bytes freed."""
    files = [path.stat().st_size for path in _cache().rglob("*") if path.is_file()]
    shutil.rmtree(_cache(), ignore_errors=True)
    return sum(files)


def _cache() -> Path:
    return cache_folder() / "backbones"


def _bare(spec: BackboneSpec) -> Mapping[str, Any]:
    return {key: value for key, value in to_mapping(spec).items() if key != "fingerprint"}


def _weights(path: Path, digest: str) -> NetworkWeights:
    """Return the tensors of exactly the bytes that were hashed."""
    from safetensors.numpy import load as tensors_of

    content = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(content).hexdigest() != digest:
        raise _damaged(path)
    return tensors_of(content)


def _damaged(path: Path) -> Damaged:
    return Damaged(
        f"{path} is not what was saved there.",
        hint=f"Remove the folder {path.parent} and run again to export anew.",
    )


def _remove_stale(drafts: Path) -> None:
    if not drafts.is_dir():
        return
    for draft in drafts.iterdir():
        with suppress(OSError):
            if time.time() - draft.stat().st_mtime > STALE_S:
                shutil.rmtree(draft, ignore_errors=True)
