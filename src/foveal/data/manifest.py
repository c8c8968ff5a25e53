"""`Manifest`: the dataset as a table, one row per image. It knows no reader."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from foveal.core.errors import BadData, UnknownName
from foveal.data.finding import Finding

if TYPE_CHECKING:
    import polars as pl

Part = Literal["train", "val", "test"]
PARTS: tuple[Part, ...] = ("train", "val", "test")

COLUMNS = {
    "path": "file, relative to the root, with forward slashes",
    "labels": "list of class names; one for an ordinary classifier, none where unknown",
    "group": "images of one thing (a patient, a track), never split apart; null: on its own",
    "part": "train, val or test where the source says so; null: not said",
    "sha256": "of the file's bytes, 64 hexadecimal digits; null until scanned",
    "width": "pixels as displayed, after EXIF orientation; null until scanned",
    "height": "likewise",
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Manifest:
    """The dataset as a table. Never changed in place: an operation returns a new one.

    ``table`` is a polars frame with exactly the columns of ``COLUMNS``, in that order
    (String, List(String), String, String, String, Int32, Int32). ``classes`` are sorted
    and may name classes that no row has.
    """

    root: Path
    classes: tuple[str, ...]
    table: pl.DataFrame
    findings: tuple[Finding, ...] = field(default=(), repr=False)  # what reading noticed
    grouping: str = ""  # how groups were told, as settings; "" for none. Other groups, other split
    source: str = ""  # what was read and how, for the report: "class folders photos/"

    def __len__(self) -> int:
        """Return the number of images."""
        return self.table.height

    def __eq__(self, other: object) -> bool:
        """Return whether ``other`` says the same of the same folder, however that is spelled."""
        if not isinstance(other, Manifest):
            return NotImplemented
        return (
            self.root.resolve() == other.root.resolve()
            and self.classes == other.classes
            and self.findings == other.findings
            and self.grouping == other.grouping
            and self.source == other.source
            and self.table.equals(other.table)
        )

    __hash__ = None  # type: ignore[assignment]  # a table has no hash

    @property
    def paths(self) -> list[str]:
        """The files, relative to ``root``, in row order."""
        return self.table["path"].to_list()

    def file(self, path: str) -> Path:
        """Return where the file of a row lies."""
        return self.root / path

    @property
    def label_indices(self) -> NDArray[np.int64]:
        """The class of every row (N,) int64, in [0, K): for ordinary, single-label data.

        Raises:
            BadData: if a row has no label or more than one, naming the first.
            UnknownName: if a row's label is not among ``classes``.
        """
        import polars as pl

        labels = self.table["labels"]
        count = labels.list.len()
        for row in (count != 1).arg_true().head(1):
            raise BadData(
                f"{self.paths[row]} has {count[row] or 'no'} labels.",
                hint="This head wants exactly one label for every image.",
            )
        index = {name: number for number, name in enumerate(self.classes)}
        first = labels.list.first()
        for name in first.filter(~first.is_in(list(index))).head(1):
            raise UnknownName("class", name, self.classes)
        out: NDArray[np.int64] = first.replace_strict(index, return_dtype=pl.Int64).to_numpy()
        return out

    def rows(self, numbers: Sequence[int] | NDArray[np.int64]) -> Manifest:
        """Return the manifest of these rows, in this order; findings stay behind."""
        chosen = self.table[np.asarray(numbers, dtype=np.int64)]
        return replace(self, table=chosen, findings=())

    def with_table(self, table: pl.DataFrame, *findings: Finding) -> Manifest:
        """Return the manifest with another table and these further findings."""
        return replace(self, table=table, findings=(*self.findings, *findings))
