"""Keep: what the cache holds on this machine, and forgetting it."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from foveal.backbone import store
from foveal.core.errors import UnknownName
from foveal.core.files import cache_folder
from foveal.model.feature_store import FeatureStore

KINDS = ("features", "backbones", "parts")
REMADE = ("features", "backbones")  # what is only a saving of time


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One thing in the cache."""

    kind: str  # of KINDS
    label: str
    size_bytes: int
    last_used_s: float  # seconds since 1970

    def to_mapping(self) -> dict[str, Any]:
        """Return it JSON-ready."""
        return asdict(self)


def kept(kind: str | None = None) -> list[Kept]:
    """Return everything in the cache, or one kind of it, kind by kind.

    Raises:
        UnknownName: for a kind that does not exist.
    """
    _check(kind)
    features = [
        Kept(
            kind="features",
            label=f"{e.images} images, {e.backbone}, {e.pixels}: {', '.join(e.blocks)}",
            size_bytes=e.size_bytes,
            last_used_s=e.last_used_s,
        )
        for e in FeatureStore().usage()
    ]
    backbones = [
        Kept(
            kind="backbones",
            label=f"{entry.name}, {entry.weights}"
            + ("" if entry.size_px is None else f", at {entry.size_px} px"),
            size_bytes=entry.size_bytes,
            last_used_s=entry.last_used_s,
        )
        for entry in store.kept()
    ]
    folder = cache_folder() / "parts"
    ledgers = sorted(folder.glob("*.json")) if folder.is_dir() else []
    parts = [
        Kept(
            kind="parts",
            label=f"which pictures were held out ({path.stem[:8]})",
            size_bytes=path.stat().st_size,
            last_used_s=path.stat().st_mtime,
        )
        for path in ledgers
    ]
    every = [*features, *backbones, *parts]
    return [entry for entry in every if kind in {None, entry.kind}]


def remove(kind: str | None = None) -> int:
    """Remove one kind, or everything that can be made again; return the bytes that freed.

    Which pictures were held out is forgotten only when asked for by name: it cannot be made
    again, and the next fit would draw another test part.

    Raises:
        UnknownName: for a kind that does not exist.
    """
    _check(kind)
    freed = 0
    for name in REMADE if kind is None else (kind,):
        folder = cache_folder() / name
        before = _size(folder)
        if name == "features":
            FeatureStore().clear()
        else:
            shutil.rmtree(folder, ignore_errors=True)
        freed += before - _size(folder)
    return freed


def _check(kind: str | None) -> None:
    if kind is not None and kind not in KINDS:
        raise UnknownName("kind of cache", kind, KINDS)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
