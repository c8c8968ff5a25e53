"""Folders of small pictures, written in a line."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import polars as pl
import pytest
from PIL import Image

from foveal.data.manifest import Manifest

Files = Mapping[str, int | bytes | None]  # path -> number of a picture, content, or a folder


def png(number: int) -> bytes:
    """Return a picture 3 × 2 that no other number has."""
    out = io.BytesIO()
    Image.new("RGB", (3, 2), (number % 256, number // 256 % 256, 7)).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def put(tmp_path: Path) -> Callable[[Files], Path]:
    """Write files below a fresh folder `photos` and return it."""

    def write(files: Files) -> Path:
        root = tmp_path / "photos"
        root.mkdir(exist_ok=True)
        for name, content in files.items():
            path = root / name
            (path if content is None else path.parent).mkdir(parents=True, exist_ok=True)
            if content is not None:
                path.write_bytes(png(content) if isinstance(content, int) else content)
        return root

    return write


def made_up(
    labels: Sequence[str],
    *,
    groups: Sequence[str | None] | None = None,
    parts: Sequence[str | None] | None = None,
    contents: Sequence[object] | None = None,
) -> Manifest:
    """Return a scanned manifest of images that do not exist; equal contents are equal pictures."""
    n = len(labels)
    whats = range(n) if contents is None else contents
    table = pl.DataFrame(
        {
            "path": [f"{row}.png" for row in range(n)],
            "labels": [[label] for label in labels],
            "group": pl.Series(groups or [None] * n, dtype=pl.String),
            "part": pl.Series(parts or [None] * n, dtype=pl.String),
            "sha256": [hashlib.sha256(str(what).encode()).hexdigest() for what in whats],
            "width": pl.Series([3] * n, dtype=pl.Int32),
            "height": pl.Series([2] * n, dtype=pl.Int32),
        }
    )
    return Manifest(root=Path(), classes=tuple(sorted(set(labels))), table=table)


@pytest.fixture(scope="session")
def make_manifest() -> Callable[..., Manifest]:
    """`made_up`, for tests in other files."""
    return made_up


@pytest.fixture
def told() -> Callable[[Manifest, str], str]:
    """Return the message of the one finding of a kind; "" where there is none."""

    def message(manifest: Manifest, kind: str) -> str:
        found = [finding.message for finding in manifest.findings if finding.kind == kind]
        assert len(found) < 2, found
        return found[0] if found else ""

    return message
