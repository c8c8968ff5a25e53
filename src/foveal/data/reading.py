"""What a reader is: the settings it is given, and the two functions it consists of."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal, Protocol

from foveal.core.errors import OutOfRange
from foveal.data.manifest import Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadSettings:
    r"""How a dataset is read, where the source leaves it open; ``None`` means "guess or none".

    Images of one thing (a patient, a track, a batch) form a group and are never split apart.
    A group comes from a column, from a pattern in the file name or from a folder level. Numbers
    in file names often start again in every class (``gtsrb`` has a track 00002 in each), while a
    folder name or a column is usually a name of its own. So ``group_scope`` is ``class`` for a
    pattern and ``all`` for a level unless told otherwise, and where it makes a difference, a
    finding says so. Merging too much costs balance; splitting one patient costs the truth.

    >>> ReadSettings(group_pattern=r"^(\d+)_").group_scope_used
    'class'
    """

    reader: str | None = None  # name in the table of readers
    path_column: str | None = None  # the following four: of a table
    label_column: str | None = None
    group_column: str | None = None  # "" : none, even where one could be guessed
    part_column: str | None = None  # "" : none, even where one could be guessed
    group_pattern: str | None = None  # regular expression with one ( ) on the file's name
    group_level: int | None = None  # 1: the folders right below the root
    group_scope: Literal["class", "all"] | None = None  # do group names count anew in each class
    root: Path | None = None  # what paths of a table or a saved manifest are relative to

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if self.group_pattern is not None:
            try:
                groups = re.compile(self.group_pattern).groups
            except re.error as error:
                raise OutOfRange(
                    "group_pattern", self.group_pattern, f"a regular expression: {error}"
                ) from None
            if groups != 1:
                raise OutOfRange(
                    "group_pattern",
                    self.group_pattern,
                    f"exactly one ( ) around what names the group, not {groups}; (?: ) is free",
                )
        if self.group_level is not None and self.group_level < 1:
            raise OutOfRange("group_level", self.group_level, "1 (right below the root) or more")
        if self.group_scope not in (None, "class", "all"):
            raise OutOfRange("group_scope", self.group_scope, "class or all")
        given = [n for n in ("group_column", "group_pattern", "group_level") if getattr(self, n)]
        if len(given) > 1:
            raise OutOfRange(given[1], getattr(self, given[1]), f"no {given[0]} beside it")
        if self.group_scope and self.group_pattern is None and self.group_level is None:
            raise OutOfRange(
                "group_scope", self.group_scope, "a group_pattern or a group_level beside it"
            )

    @property
    def group_scope_used(self) -> Literal["class", "all"]:
        """The scope that holds for the pattern or level of these settings."""
        return self.group_scope or ("class" if self.group_pattern is not None else "all")

    @property
    def grouping(self) -> str:
        """How a pattern or a level of these settings makes groups; "" where there is neither."""
        if self.group_pattern is None and self.group_level is None:
            return ""
        how = (
            f"group_pattern={self.group_pattern!r}"
            if self.group_pattern is not None
            else f"group_level={self.group_level}"
        )
        return f"{how}, group_scope={self.group_scope_used!r}"

    def refuse(self, names: Collection[str], source: str) -> None:
        """Refuse settings that would be ignored, since a person who gave them meant something.

        Raises:
            OutOfRange: for for the first of the fields ``names`` that is set.
        """
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in names and value is not None:
                raise OutOfRange(field.name, str(value), f"nothing: {source} has no use for it")


class Reader(Protocol):
    """What a reader offers; a module with these two functions is one."""

    def sniff(self, path: Path) -> bool:
        """Return whether ``path`` looks like this reader's; never raises for what exists or not."""

    def read(self, path: Path, settings: ReadSettings) -> Manifest:
        """Read ``path``, which exists; complains with a ``FovealError`` alone."""
