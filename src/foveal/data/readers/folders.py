"""Class folders: ``photos/CLASS/**.jpg``. The folder right below the root is the class."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from foveal.core.errors import BadData, OutOfRange
from foveal.core.words import counted, shown
from foveal.data.assemble import Rows, assemble
from foveal.data.finding import Finding
from foveal.data.grouping import groups_of
from foveal.data.manifest import Manifest
from foveal.data.reading import ReadSettings
from foveal.data.walk import Listing, walk

TABLE_SETTINGS = ("path_column", "label_column", "group_column", "part_column", "root")
TABLES = (".csv", ".tsv", ".parquet")


def sniff(path: Path) -> bool:
    """Return whether ``path`` is a folder; asked last, since any folder may hold classes."""
    return path.is_dir()


def read(path: Path, settings: ReadSettings) -> Manifest:
    """Read class folders.

    Pictures at any depth below a class folder are of that class. A folder without any file is a
    class without images; one that holds files but no picture is no class; both are told.

    Raises:
        OutOfRange: if ``path`` is a file, or settings for tables were given.
        BadData: if there is no picture in any class folder.
    """
    if not path.is_dir():
        raise OutOfRange("path", str(path), "a folder of class folders")
    settings.refuse(TABLE_SETTINGS, f"{path}, read as class folders,")
    found = walk(path)
    here = class_folders(found, path)
    if not here.paths:
        raise no_classes(found, path)
    groups, told = groups_of(here.paths, here.labels, settings)
    return assemble(
        path,
        Rows(paths=here.paths, labels=here.labels, groups=groups, parts=[None] * len(here.paths)),
        declared=here.classes,
        findings=[*found.findings(), *here.findings, *told],
        grouping=settings.grouping,
        source=f"class folders {path}",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassFolders:
    """Class folders of one folder: N pictures, their labels, and the classes declared."""

    paths: list[str]  # relative to that folder
    labels: list[list[str]]
    classes: list[str]
    findings: list[Finding]


def class_folders(found: Listing, folder: Path) -> ClassFolders:
    """Sort out the class folders of ``folder``, of which ``found`` is the listing."""
    paths = [picture for picture in found.pictures if "/" in picture]
    labels = [[picture.partition("/")[0]] for picture in paths]
    filled = {label for (label,) in labels}
    unread = (*found.others, *found.special)
    other = {path.partition("/")[0] for path in unread if "/" in path} - filled
    classes = [name for name in found.folders if "/" not in name and name not in other]
    loose = [picture for picture in found.pictures if "/" not in picture]
    findings = [*_not_classes(other, folder), *_loose(loose, folder), *_nested(paths)]
    return ClassFolders(paths=paths, labels=labels, classes=classes, findings=findings)


def no_classes(found: Listing, folder: Path) -> BadData:
    """Return the complaint about a folder in which no picture lies in a class folder."""
    if not found.pictures and found.unnamed:
        return BadData(
            f"{folder} holds no picture but under names that are not UTF-8: "
            f"{shown(found.unnamed)}.",
            hint="Rename what is named so, then read it again.",
        )
    if not found.pictures:
        rest = f"{counted(found.others, 'file')} but no picture" if found.others else "no picture"
        return BadData(
            f"{folder} holds {rest}.",
            hint="Expected class folders with pictures in them: photos/CLASS/*.jpg",
        )
    tables = [name for name in found.others if name.lower().endswith(TABLES)]
    hint = (
        f"Is {folder / tables[0]} the table of their labels? Then read that file instead."
        if tables
        else "Sort them into one folder per class, or give a table with their labels."
    )
    return BadData(
        f"{folder} holds {counted(found.pictures, 'picture')} but no class folders.", hint=hint
    )


def _not_classes(names: set[str], folder: Path) -> Iterator[Finding]:
    for name in sorted(names):
        yield Finding(
            kind="not-a-class",
            message=f"{folder / name} holds files but no picture, so it is not taken for a class.",
            path=name,
        )


def _loose(pictures: list[str], folder: Path) -> Iterator[Finding]:
    if pictures:
        yield Finding(
            kind="loose",
            message=f"{counted(pictures, 'picture')} left out for want of a class: right in "
            f"{folder}, not in a class folder ({shown(pictures)}).",
        )


def _nested(paths: list[str]) -> Iterator[Finding]:
    deeper = defaultdict(set)
    for path in paths:
        name, *folders, _ = path.split("/")
        if folders:
            deeper[name].add(folders[0])
    if deeper:
        name = min(deeper)
        yield Finding(
            kind="nested",
            message=f"{counted(deeper, 'class')} with folders inside, whose pictures all count as "
            f"the class: {name!r} holds {shown(sorted(deeper[name]))}. If those are the classes, "
            "read the folder right above them.",
            score=0.5,
        )
