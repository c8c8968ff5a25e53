"""`scan`: look at every file once: its hash, its size, and whether it is a picture at all."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path

from foveal.core.errors import BadData, BrokenImage, OutOfRange
from foveal.core.listener import SILENT, Listener
from foveal.core.words import counted, shown
from foveal.data.finding import Finding
from foveal.data.manifest import Manifest
from foveal.image.header import header
from foveal.image.source import bytes_of

AT_ONCE = 1024  # files given to the pool together: Ctrl-C and strictness wait for no more
RENEWED = frozenset({"changed", "conflict", "duplicate", "leak"})  # told anew by each scan
LISTED = 20  # broken files that an error names


@dataclass(frozen=True, slots=True)
class Looked:
    """What one file turned out to be."""

    sha256: str = ""
    width: int = 0
    height: int = 0
    broken: str = ""  # the reason, where it is no picture


def scan(
    manifest: Manifest,
    *,
    listener: Listener = SILENT,
    strict: bool = False,
    max_broken: float = 0.05,
    workers: int | None = None,
) -> Manifest:
    """Return the manifest with the hash, width and height of every picture.

    Every file is read, also where a saved manifest has its hash already: a hash is a claim about
    bytes, and neither size nor time of a file proves that they are the same. (A picture whose
    bytes changed is told; reading is a small part of the decoding that follows anyway.)

    A file that is no picture, or not there, is left out and told with the reason. So are pictures
    of the same bytes, and those of them with different labels or parts.

    Args:
        manifest: of any reader.
        listener: hears the progress.
        strict: stop at the first broken file.
        max_broken: share of broken files, in [0, 1], beyond which all stops.
        workers: threads; None: two for each core, at most 16.

    Raises:
        OutOfRange: if a setting cannot work.
        BrokenImage: the first one, if ``strict``.
        BadData: if too many files are broken, listing them.
    """
    import polars as pl

    if not 0 <= max_broken <= 1:
        raise OutOfRange("max_broken", max_broken, "a share in [0, 1]")
    if workers is not None and workers < 1:
        raise OutOfRange("workers", workers, "at least 1")
    looked: list[Looked] = []
    broken: list[Finding] = []
    listener.progress("scanning", 0, len(manifest))
    with ThreadPoolExecutor(workers or min(16, 2 * (os.cpu_count() or 1))) as pool:
        for paths in _batches(manifest.paths):
            batch = list(pool.map(_look, map(manifest.file, paths)))
            for path, one in zip(paths, batch, strict=True):
                if one.broken:
                    broken.append(Finding(kind="broken", message=one.broken, path=path))
                    if strict:
                        broken_check(broken, len(manifest), strict=True, max_broken=0)
            looked += batch
            listener.progress("scanning", len(looked), len(manifest))
    broken_check(broken, len(manifest), strict=strict, max_broken=max_broken)
    whole = pl.Series([not one.broken for one in looked], dtype=pl.Boolean)
    table = manifest.table.with_columns(
        pl.Series("sha256", [one.sha256 for one in looked], dtype=pl.String),
        pl.Series("width", [one.width for one in looked], dtype=pl.Int32),
        pl.Series("height", [one.height for one in looked], dtype=pl.Int32),
    ).filter(whole)
    before = manifest.table["sha256"].filter(whole).to_list()
    earlier = [finding for finding in manifest.findings if finding.kind not in RENEWED]
    seen = replace(manifest, table=table, findings=_renumbered(earlier, whole.to_list()))
    return seen.with_table(table, *broken, *_changed(seen, before), *_repeated(seen))


def broken_check(broken: Sequence[Finding], total: int, *, strict: bool, max_broken: float) -> None:
    """Stop if broken files are more than a person can be expected to accept unasked.

    Args:
        broken: one finding for each broken file, with its path and the reason as message.
        total: files looked at, broken ones included.
        strict: whether one is too many.
        max_broken: share of ``total`` that may be broken, in [0, 1].

    Raises:
        BrokenImage: the first one, if ``strict``.
        BadData: if more than ``max_broken`` are broken, or all are; the first 20 are listed.
    """
    if not broken:
        return
    lines = [f"{finding.path}: {finding.message}" for finding in broken]
    if strict:
        raise BrokenImage(lines[0])
    if len(broken) > max_broken * total or len(broken) == total:
        listed = "".join(f"\n  {line}" for line in lines[:LISTED])
        more = f"\n  and {len(lines) - LISTED:,} more" if len(lines) > LISTED else ""
        few = f"{len(broken):,} of {total:,} files are broken, more than {max_broken:.0%}"
        which = few if len(broken) < total else f"All {total:,} files are broken"
        raise BadData(
            f"{which}:{listed}{more}\n", hint="Repair or remove them, or raise max_broken."
        )


def _batches(paths: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(paths), AT_ONCE):
        yield paths[start : start + AT_ONCE]


def _look(file: Path) -> Looked:
    try:
        data = bytes_of(file)
        size = header(data)
    except BrokenImage as error:
        return Looked(broken=error.what)
    return Looked(hashlib.sha256(data).hexdigest(), size.width, size.height)


def _renumbered(findings: Sequence[Finding], whole: Sequence[bool]) -> tuple[Finding, ...]:
    """Return findings that point at the rows left, now that broken ones are gone."""
    new = list(accumulate(whole, initial=0))  # how many whole rows lie before each
    return tuple(
        replace(finding, rows=tuple(new[row] for row in finding.rows if whole[row]))
        for finding in findings
    )


def _changed(manifest: Manifest, before: Sequence[str | None]) -> list[Finding]:
    now = manifest.table["sha256"].to_list()
    rows = [
        n for n, (old, new) in enumerate(zip(before, now, strict=True)) if old not in (None, new)
    ]
    if not rows:
        return []
    names = shown(manifest.paths[row] for row in rows)
    message = f"{counted(rows, 'picture')} changed since the manifest was saved: {names}."
    return [Finding(kind="changed", message=message, rows=tuple(rows))]


def _repeated(manifest: Manifest) -> Iterator[Finding]:
    """Yield each set of pictures of the same bytes: as a conflict, a leak or a mere duplicate."""
    import polars as pl

    again = manifest.table.with_row_index("row").filter(pl.col("sha256").is_duplicated())
    sets = again.group_by("sha256", maintain_order=True)
    for rows, paths, labels, parts in (
        sets.agg("row", "path", "labels", "part").drop("sha256").iter_rows()
    ):
        said = sorted({" + ".join(sorted(names)) or "nothing" for names in labels})
        where = sorted({part or "train" for part in parts})
        if len(said) > 1:
            kind, score, why = "conflict", 1.0, f"labelled {' and '.join(said)}"
        elif len(where) > 1:
            kind, score, why = "leak", 1.0, f"in {' and '.join(where)}: learnt from, not scored"
        else:
            kind, score, why = "duplicate", 0.5, "so no split tears them apart"
        yield Finding(
            kind=kind,
            message=f"The same picture {len(rows)} times, {why}: {shown(paths)}.",
            score=score,
            rows=tuple(rows),
            path=paths[0],
        )
