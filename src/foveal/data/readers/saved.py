"""A saved manifest: one Parquet file, which opens to an equal `Manifest`."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from foveal.core.errors import BadData, NotThere
from foveal.core.files import write_file
from foveal.data.finding import Finding
from foveal.data.grouping import groups_of
from foveal.data.manifest import COLUMNS, Manifest
from foveal.data.readers.folders import TABLE_SETTINGS
from foveal.data.reading import ReadSettings

if TYPE_CHECKING:
    import polars as pl

KEY = "foveal.manifest"  # of the JSON in the file's metadata
FORMAT = 1
TOLD_OF_GROUPS = frozenset({"no-group", "group-scope", "group-straddles"})  # kinds of finding


def save(manifest: Manifest, path: Path) -> None:
    """Write ``manifest`` to one Parquet file, whole or not at all.

    The columns are those of ``COLUMNS``; root, classes, findings and source stand as JSON in the
    file's metadata. A root at or below the file's folder is stored relative to it, so that the
    folder can be moved as a whole; any other as an absolute path, so that the file can.
    """
    root, folder = manifest.root.absolute(), path.parent.absolute()
    inside = root.is_relative_to(folder)
    about = {
        "format": FORMAT,
        "root": root.relative_to(folder).as_posix() if inside else root.as_posix(),
        "classes": manifest.classes,
        "grouping": manifest.grouping,
        "source": manifest.source,
        "findings": [asdict(finding) for finding in manifest.findings],
    }
    content = io.BytesIO()
    manifest.table.write_parquet(content, metadata={KEY: json.dumps(about)})
    write_file(path, content.getvalue())


def sniff(path: Path) -> bool:
    """Return whether ``path`` is a Parquet file that ``save`` wrote."""
    try:
        return path.is_file() and path.suffix.lower() == ".parquet" and KEY in _metadata(path)
    except BadData:
        return False


def read(path: Path, settings: ReadSettings) -> Manifest:
    """Open a saved manifest; a pattern or level in ``settings`` groups it anew.

    Hashes and sizes are those of the day it was saved: ``scan`` looks at the files again.

    Raises:
        BadData: if it is no saved manifest, or one of a newer Foveal.
        NotThere: if the folder of its pictures is gone and ``settings.root`` names no other.
    """
    settings.refuse(
        [name for name in TABLE_SETTINGS if name != "root"], f"{path}, a saved manifest,"
    )
    metadata = _metadata(path)
    if KEY not in metadata:
        raise BadData(f"{path} is a Parquet file, but not one that Foveal saved.")
    about = json.loads(metadata[KEY])
    if about["format"] > FORMAT:
        raise BadData(
            f"{path} was saved by a newer Foveal (format {about['format']}; this one reads "
            f"{FORMAT}).",
            hint="Update: pip install --upgrade foveal",
        )
    root = settings.root or path.parent / about["root"]
    if not root.is_dir():
        raise NotThere(
            f"The pictures of {path} are not at {root}.", hint="Say where with --root FOLDER."
        )
    manifest = Manifest(
        root=root,
        classes=tuple(about["classes"]),
        table=_table(path),
        findings=tuple(
            Finding(**{**finding, "rows": tuple(finding["rows"])}) for finding in about["findings"]
        ),
        grouping=about["grouping"],
        source=about["source"],
    )
    return _regrouped(manifest, settings)


def _regrouped(manifest: Manifest, settings: ReadSettings) -> Manifest:
    if settings.group_pattern is None and settings.group_level is None:
        return manifest
    import polars as pl

    table = manifest.table
    groups, told = groups_of(manifest.paths, table["labels"].to_list(), settings)
    table = table.with_columns(pl.Series("group", groups, dtype=pl.String))
    return replace(
        manifest,
        table=table,
        findings=(*(f for f in manifest.findings if f.kind not in TOLD_OF_GROUPS), *told),
        grouping=settings.grouping,
    )


def _table(path: Path) -> pl.DataFrame:
    import polars as pl

    try:
        return pl.read_parquet(path).select(list(COLUMNS))
    except (pl.exceptions.PolarsError, OSError) as error:
        raise BadData(f"{path} is damaged: {_first_line(error)}.") from None


def _metadata(path: Path) -> Mapping[str, str]:
    import polars as pl

    try:
        return pl.read_parquet_metadata(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise BadData(f"{path} is no Parquet file: {_first_line(error)}.") from None


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(".")
