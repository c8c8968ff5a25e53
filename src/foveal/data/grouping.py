"""`groups_of`: which images are of one thing, told by their file names or folders."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Sequence

from foveal.core.errors import OutOfRange
from foveal.core.words import counted, shown
from foveal.data.finding import Finding
from foveal.data.reading import ReadSettings


def groups_of(
    paths: Sequence[str], labels: Sequence[Sequence[str]], settings: ReadSettings
) -> tuple[list[str | None], list[Finding]]:
    r"""Return the group of every image, or None where it stands for itself, and what to tell.

    With the scope ``class`` the label stands before the name: track 2 of class 07 is another
    thing than track 2 of class 08.

    Args:
        paths: N files relative to the root.
        labels: N lists of class names.
        settings: its ``group_pattern`` or ``group_level`` is followed; with neither, no groups.

    Raises:
        OutOfRange: if the pattern or level fits no file at all.

    >>> settings = ReadSettings(group_pattern=r"^(\d+)_")
    >>> groups_of(["07/2_1.png", "08/2_1.png"], [["07"], ["08"]], settings)[0]
    ['07/2', '08/2']
    """
    if settings.group_pattern is not None:
        name_of, field = _by_pattern(settings.group_pattern), "group_pattern"
    elif settings.group_level is not None:
        name_of, field = _by_level(settings.group_level), "group_level"
    else:
        return [None] * len(paths), []
    names = [name_of(path) for path in paths]
    without = [path for path, name in zip(paths, names, strict=True) if name is None]
    if paths and len(without) == len(paths):
        raise OutOfRange(
            field,
            getattr(settings, field),
            f"something that fits a file: {paths[0]} and all others have no such group",
        )
    findings = []
    if without:
        rows = tuple(row for row, name in enumerate(names) if name is None)
        findings.append(
            Finding(
                kind="no-group",
                message=f"{counted(without, 'image')} of {len(paths):,} fit no group by {field} "
                f"and stand for themselves: {shown(without)}.",
                rows=rows,
            )
        )
    findings += _ambiguous(names, labels, settings)
    if settings.group_scope_used == "all":
        return names, findings
    return [
        None if name is None else "/".join([*label, name])
        for name, label in zip(names, labels, strict=True)
    ], findings


def _by_pattern(pattern: str) -> Callable[[str], str | None]:
    search = re.compile(pattern).search

    def name_of(path: str) -> str | None:
        found = search(path.rpartition("/")[2])
        return found.group(1) if found else None

    return name_of


def _by_level(level: int) -> Callable[[str], str | None]:
    def name_of(path: str) -> str | None:
        folders = path.split("/")[:-1]
        return folders[level - 1] if level <= len(folders) else None

    return name_of


def _ambiguous(
    names: Sequence[str | None], labels: Sequence[Sequence[str]], settings: ReadSettings
) -> list[Finding]:
    """Say so where the scope decides whether two images are of one thing."""
    classes: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for name, label in zip(names, labels, strict=True):
        if name is not None:
            classes[name].add(tuple(label))
    several = sorted(name for name, seen in classes.items() if len(seen) > 1)
    if not several:
        return []
    used = settings.group_scope_used
    meant = "another thing in each" if used == "class" else "the same thing in all"
    other = "all" if used == "class" else "class"
    remedy = "the same thing in all" if used == "class" else "another thing in each"
    return [
        Finding(
            kind="group-scope",
            message=f"{counted(several, 'group name')} (of {len(classes):,}) stand in several "
            f"classes ({shown(several)}) and were taken for {meant}; if one is {remedy}, "
            f"say group_scope={other}.",
            score=0.5,
        )
    ]
