"""`matching`: the files and folders that a glob stands for, where links may lead in circles.

Python's own ``**`` follows a link to a folder above round and round, up to the system's forty
levels: two such links are 2⁴⁰ paths, which no one waits for.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path

from foveal.data.walk import walk

DEEP = "**"  # any number of folders, as a whole piece of the pattern


def matching(pattern: str) -> Iterator[str]:
    """Yield what a glob stands for, sorted.

    With ``**`` these are files alone, each of them once however links lead: what fits the pattern,
    and the pictures in folders that fit. Nothing hidden is found below ``**``.

    Args:
        pattern: as a shell's, with ``*``, ``?``, ``[…]`` and ``**``.

    Raises:
        BadData: for a folder below ``**`` that may not be read.
    """
    pieces = Path(pattern).parts
    if DEEP not in pieces:
        yield from sorted(glob.glob(pattern))  # noqa: PTH207 — as a shell would
        return
    first = pieces.index(DEEP)
    below = [p for n, p in enumerate(pieces) if n >= first and pieces[n - 1 : n + 1] != (DEEP,) * 2]
    given: set[tuple[str, str]] = set()  # true folder, and name in it
    for base in sorted(glob.glob(str(Path(*pieces[:first])))) if first else [""]:  # noqa: PTH207
        if not os.path.isdir(base or "."):  # noqa: PTH112 — Path's raises for names that cannot be
            continue
        for path in _below(Path(base), below):
            folder, name = os.path.split(os.path.join(base, path))  # noqa: PTH118 — as spelled
            place = os.path.realpath(folder), name
            if place not in given:
                given.add(place)
                yield os.path.join(folder, name)  # noqa: PTH118


def _below(base: Path, pattern: Sequence[str]) -> list[str]:
    found = walk(base)
    inside = {f"{folder}/" for folder in found.folders if _fits(folder.split("/"), pattern)}
    files = {path for path in (*found.pictures, *found.others) if _fits(path.split("/"), pattern)}
    return sorted(files.union(path for path in found.pictures if _lies_in(path, inside)))


def _lies_in(path: str, folders: set[str]) -> bool:
    return any(path[: n + 1] in folders for n, letter in enumerate(path) if letter == "/")


def _fits(names: Sequence[str], pattern: Sequence[str]) -> bool:
    """Return whether a path, piece by piece, is one that the pattern stands for.

    >>> _fits(["a", "b", "1.png"], ["**", "*.png"]), _fits(["a", "b"], ["**", "*.png"])
    (True, False)
    """
    if not pattern:
        return not names
    if pattern[0] == DEEP:
        return any(_fits(names[skip:], pattern[1:]) for skip in range(len(names) + 1))
    return bool(names) and fnmatch(names[0], pattern[0]) and _fits(names[1:], pattern[1:])
