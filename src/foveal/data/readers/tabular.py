"""A table with a path column and a label column: CSV, TSV or Parquet.

Columns are guessed by name from `GUESSES`, in that order, whatever their case; what was guessed
is told, and every one can be named instead. Numbers stay the text that the file holds; a cell
that is empty or NaN is missing.
"""

from __future__ import annotations

import codecs
import difflib
import posixpath
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from foveal.core.errors import BadData, NotThere, OutOfRange
from foveal.core.words import counted, shown
from foveal.data.assemble import SPELLINGS, Rows, assemble
from foveal.data.finding import Finding
from foveal.data.grouping import groups_of
from foveal.data.manifest import Manifest, Part
from foveal.data.reading import ReadSettings

if TYPE_CHECKING:
    import polars as pl

Cells = TypeVar("Cells", "pl.Series", "pl.Expr")
GUESSES = {
    "path": "path file_path filepath file file_name filename image_path image image_file img "
    "img_path picture photo",
    "label": "label labels class class_name classname target category tag tags",
    "group": "group group_id patient patient_id subject subject_id track track_id",
    "part": "part split set subset partition",
}  # names of columns, lower case, spaces and hyphens as underscores
MISSING = ("", "nan", "<na>")  # a cell that says nothing, lower case, as other programs write it
DOUBTFUL = frozenset({"na", "n/a", "null", "none"})  # labels that say nothing, or are a class
ENDINGS = {".csv": ",", ".tsv": "\t", ".parquet": ""}


def sniff(path: Path) -> bool:
    """Return whether ``path`` is a file with the ending of a table."""
    return path.suffix.lower() in ENDINGS and path.is_file()


def read(path: Path, settings: ReadSettings) -> Manifest:
    """Read a table; paths are relative to ``settings.root``, else to the table's folder.

    A list in the label column of a Parquet file is several labels; anything else is one. Equal
    rows for one file count once. A path that leaves the root is read, and told.

    Raises:
        OutOfRange: if ``path`` is no file, or a pattern fits no file.
        NotThere: for a column that the table does not have, naming those it has.
        BadData: if it is no table; if a file is missing, has no path, or has two rows that
            differ; if a part is none of train, val and test.
    """
    if not path.is_file():
        raise OutOfRange("path", str(path), "a file: .csv, .tsv or .parquet")
    table, told = _open(path)
    columns, guessed = _columns(table.columns, settings, path)
    root = settings.root or path.parent
    rows = table.select(
        _text(table, columns["path"], path).alias("path"),
        _labels(table, columns["label"], path).alias("labels"),
        _text(table, columns.get("group"), path).alias("group"),
        _text(table, columns.get("part"), path).alias("part"),
    )
    if not rows.height:
        raise BadData(
            f"{path} has column names but no rows.", hint="Expected a row for each picture."
        )
    rows, repeated = _once(_checked(rows, path, root), path)
    paths, labels = rows["path"].to_list(), rows["labels"].to_list()
    groups, grouping = groups_of(paths, labels, settings)
    named = ", ".join(f"{what} column {column!r}" for what, column in columns.items())
    return assemble(
        root,
        Rows(
            paths=paths,
            labels=labels,
            groups=rows["group"].to_list() if "group" in columns else groups,
            parts=_parts(rows["part"].to_list(), path),
        ),
        findings=[*told, *guessed, *repeated, *_doubtful(labels), *_outside(paths), *grouping],
        grouping=f"group_column={columns['group']!r}" if "group" in columns else settings.grouping,
        source=f"table {path}: {named}",
    )


def _open(path: Path) -> tuple[pl.DataFrame, list[Finding]]:
    """Return the table, all text if it is no Parquet, and what was guessed to read it."""
    import polars as pl

    try:
        if path.suffix.lower() == ".parquet":
            return pl.read_parquet(path), []
        content = _utf8(path.read_bytes(), path)
        header = content.partition(b"\n")[0].decode("utf-8", "replace")
        expected = ENDINGS.get(path.suffix.lower(), ",")
        separator = max([expected, ",", ";", "\t", "|"], key=header.count)
        told = [] if separator == expected else [_separated(path, separator, expected)]
        return pl.read_csv(content, separator=separator, infer_schema=False), told
    except pl.exceptions.NoDataError:
        raise BadData(f"{path} is empty.", hint="Expected a line of column names.") from None
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        hint = "Save it as UTF-8." if "utf-8" in reason else ""
        raise BadData(f"{path} cannot be read as a table: {reason}.", hint=hint) from None


def _utf8(content: bytes, path: Path) -> bytes:
    """Return text as UTF-8: a spreadsheet's "Unicode text" is UTF-16, and says so at its start."""
    try:
        if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return content.decode("utf-16").encode()
        if b"\0" not in content[:1024]:
            return content
    except UnicodeDecodeError:
        pass
    raise BadData(f"{path} is no text in UTF-8.", hint="Save it as CSV in UTF-8.")


def _separated(path: Path, separator: str, expected: str) -> Finding:
    return Finding(
        kind="separator",
        message=f"{path.name} was read with {separator!r} between its columns, not {expected!r}.",
        score=0.1,
    )


def _columns(
    there: Sequence[str], settings: ReadSettings, path: Path
) -> tuple[dict[str, str], list[Finding]]:
    """Return which column is the path, the label, the group and the part, and what was guessed."""
    given = {what: getattr(settings, f"{what}_column") for what in GUESSES}
    if settings.group_pattern is not None or settings.group_level is not None:
        given["group"] = ""
    by_name = {name.strip().lower().replace(" ", "_").replace("-", "_"): name for name in there}
    listed = f"It has: {shown(there, most=12)}."
    out, guessed = {}, []
    for what, names in GUESSES.items():
        column = given[what]
        if column is None:
            likely = [by_name[name] for name in names.split() if name in by_name]
            if likely:
                out[what] = likely[0]
                also = f" (not {shown(likely[1:])})" if likely[1:] else ""
                guessed.append(f"{likely[0]!r} for the {what}{also}")
            elif what in ("path", "label"):
                raise NotThere(
                    f"{path} has no column that looks like the {what}.",
                    hint=f"{listed} Name one with {what}_column. The first line must be names.",
                )
        elif column in there:
            out[what] = column
        elif column or what in ("path", "label"):
            close = difflib.get_close_matches(column, there, n=1)
            meant = f"Did you mean {close[0]!r}? " if close else ""
            raise NotThere(f"{path} has no column {column!r}.", hint=meant + listed)
    for what, column in out.items():
        if f"{column}_duplicated_0" in there:
            raise BadData(f"{path} has two columns {column!r}; which is the {what} is unclear.")
    told = Finding(
        kind="guessed-columns", message=f"Columns taken: {', '.join(guessed)}.", score=0.1
    )
    return out, [told] if guessed else []


def _text(table: pl.DataFrame, column: str | None, path: Path) -> pl.Expr:
    """Return the expression of a column as text; whole floats lose their point, NaN is null."""
    import polars as pl

    if column is None:
        return pl.lit(None, dtype=pl.String)
    values = table[column]
    if values.dtype.is_nested() or values.dtype == pl.Binary:
        raise BadData(f"Column {column!r} of {path} holds {values.dtype}, not text or numbers.")
    if values.dtype.is_float():
        values = values.fill_nan(None)
        if (values.drop_nulls() % 1 == 0).all():
            values = values.cast(pl.Int64)  # a column of integers that once had gaps
    values = values.cast(pl.String)
    return pl.lit(values.set(_missing(values).fill_null(value=False), None))


def _missing(text: Cells) -> Cells:
    return text.str.strip_chars().str.to_lowercase().is_in(MISSING)


def _labels(table: pl.DataFrame, column: str, path: Path) -> pl.Expr:
    """Return the expression of the label column as lists of text; none where unknown."""
    import polars as pl

    if isinstance(table.schema[column], pl.List):
        listed = pl.col(column).cast(pl.List(pl.String)).fill_null([])
        said = listed.list.drop_nulls().list.eval(pl.element().filter(~_missing(pl.element())))
        return said.list.unique(maintain_order=True)
    return pl.concat_list(_text(table, column, path)).list.drop_nulls()


def _checked(rows: pl.DataFrame, path: Path, root: Path) -> pl.DataFrame:
    """Return the rows with tidy paths, each of which is a file."""
    import polars as pl

    for row in rows["path"].is_null().arg_true().head(1):
        raise BadData(f"Row {row + 1} of {path} has no file.", hint="Fill it in or remove it.")
    named = rows["path"].to_list()
    tidy = [_tidy(name, root) for name in named]
    missing = [name for name, found in zip(named, tidy, strict=True) if found is None]
    if missing:
        raise BadData(
            f"{len(missing):,} of {len(named):,} files named in {path} are not there: "
            f"{shown(missing, most=5)}.",
            hint=f"Paths count from {root}; name another folder with root.",
        )
    return rows.with_columns(pl.Series("path", tidy, dtype=pl.String))


def _tidy(name: str, root: Path) -> str | None:
    """Return the path without detours, or None where no file is; Windows' backslashes are read."""
    for spelled in (name, name.replace("\\", "/")):
        if (root / spelled).is_file():
            return posixpath.normpath(spelled)
    return None


def _once(rows: pl.DataFrame, path: Path) -> tuple[pl.DataFrame, list[Finding]]:
    """Return one row per file; refuse files whose rows contradict each other."""
    if rows["path"].n_unique() == rows.height:
        return rows, []
    first: dict[str, tuple[object, ...]] = {}
    differing: dict[str, str] = {}
    repeated = []
    for name, *said in rows.iter_rows():
        if name not in first:
            first[name] = tuple(said)
        elif first[name] == tuple(said):
            repeated.append(name)
        else:
            pairs = zip(("label", "group", "part"), first[name], said, strict=True)
            what, one, other = next(pair for pair in pairs if pair[1] != pair[2])
            differing.setdefault(name, f"{name} has the {what} {_said(one)} and {_said(other)}")
    if differing:
        raise BadData(
            f"{path} contradicts itself on {counted(differing, 'file')}: "
            f"{shown(differing.values())}.",
            hint="Keep one row for each file.",
        )
    message = f"{counted(repeated, 'row')} repeated word for word, counted once: {shown(repeated)}."
    told = Finding(kind="repeated-rows", message=message, score=0.5)
    return rows.unique("path", keep="first", maintain_order=True), [told]


def _said(value: object) -> str:
    return " + ".join(map(repr, value)) if isinstance(value, list) else repr(value or "(none)")


def _parts(values: list[str | None], path: Path) -> list[Part | None]:
    unknown = sorted({v for v in values if v is not None and v.strip().lower() not in SPELLINGS})
    if unknown:
        raise BadData(
            f"{path} names parts that are none: {shown(map(repr, unknown))}.",
            hint="Expected train, val or test; if that column is not the part, say part_column=''.",
        )
    return [None if value is None else SPELLINGS[value.strip().lower()] for value in values]


def _doubtful(labels: Sequence[Sequence[str]]) -> Iterator[Finding]:
    """Tell of labels that look like a missing one and are taken for a class."""
    for name in sorted({n for names in labels for n in names if n.strip().lower() in DOUBTFUL}):
        rows = tuple(row for row, names in enumerate(labels) if name in names)
        yield Finding(
            kind="doubtful-label",
            message=f"{counted(rows, 'row')} with the label {name!r}, taken for a class of that "
            "name; if it means that nobody knows, leave these cells empty.",
            score=0.3,
            rows=rows,
        )


def _outside(paths: list[str]) -> Iterator[Finding]:
    away = [path for path in paths if path.startswith(("../", "/"))]
    if away:
        yield Finding(
            kind="outside",
            message=f"{counted(away, 'file')} lie outside the root: {shown(away)}.",
            score=0.5,
        )
