"""Part folders over class folders: ``photos/{train,val,test}/CLASS/**.jpg``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from foveal.core.errors import BadData, OutOfRange
from foveal.core.words import counted
from foveal.data.assemble import SPELLINGS, Rows, assemble
from foveal.data.finding import Finding
from foveal.data.grouping import groups_of
from foveal.data.manifest import PARTS, Manifest, Part
from foveal.data.readers.folders import TABLE_SETTINGS, class_folders, no_classes
from foveal.data.reading import ReadSettings
from foveal.data.walk import Listing, walk


def sniff(path: Path) -> bool:
    """Return whether a folder right below ``path`` is named like a part and holds folders.

    So ``photos/train/*.jpg`` beside ``photos/plane/*.jpg`` is a class of railways, not a part.
    """
    try:
        return path.is_dir() and any(
            inner.is_dir()
            for folder in path.iterdir()
            if folder.is_dir() and folder.name.lower() in SPELLINGS
            for inner in folder.iterdir()
            if not inner.name.startswith(".")
        )
    except OSError:  # a folder that may not be read; reading it will say so
        return False


def read(path: Path, settings: ReadSettings) -> Manifest:
    """Read part folders; the classes are one list over all parts, matched by name.

    A part that is not there stays empty. Which spelling stood for which part is told, and so is
    a class that one part lacks.

    Raises:
        OutOfRange: if ``path`` is a file, or settings for tables were given.
        BadData: if two folders name one part, if none has class folders with pictures, or if
            class names of two parts differ so that a picture would be scored wrong.
    """
    if not path.is_dir():
        raise OutOfRange("path", str(path), "a folder with train, val or test folders")
    settings.refuse(TABLE_SETTINGS, f"{path}, read as part folders,")
    found = walk(path)
    folder_of = _part_folders(found, path)
    paths: list[str] = []
    labels: list[list[str]] = []
    parts: list[Part] = []
    classes: list[str] = []
    findings = [*found.findings(), *_spelled(folder_of), *_beside(found, folder_of)]
    for part, folder in folder_of.items():
        here = class_folders(found.within(folder), path / folder)
        paths += [f"{folder}/{name}" for name in here.paths]
        labels += here.labels
        parts += [part] * len(here.paths)
        classes += here.classes
        findings += here.findings
    if not paths:
        raise no_classes(found, path)
    groups, told = groups_of(paths, labels, settings)
    return assemble(
        path,
        Rows(paths=paths, labels=labels, groups=groups, parts=parts),
        declared=classes,
        findings=[*findings, *told],
        grouping=settings.grouping,
        source=f"part folders {path}/{{{','.join(folder_of.values())}}}",
    )


def _part_folders(found: Listing, path: Path) -> dict[Part, str]:
    """Return the folder of each part that is there, in the order train, val, test."""
    out: dict[Part, str] = {}
    for folder in found.folders:
        part = SPELLINGS.get(folder.lower())
        if part is None:
            continue
        if part in out:
            raise BadData(
                f"{path} has two folders for {part}: {out[part]!r} and {folder!r}.",
                hint="Keep one, or move the pictures of both into it.",
            )
        out[part] = folder
    if not out:
        raise BadData(
            f"{path} has no folder named train, val or test.",
            hint="For plain class folders leave the reader away.",
        )
    return {part: out[part] for part in PARTS if part in out}


def _spelled(folder_of: dict[Part, str]) -> Iterator[Finding]:
    for part, folder in folder_of.items():
        if folder != part:
            yield Finding(
                kind="part-spelling",
                message=f"Folder {folder!r} was read as the part {part}.",
                score=0.1,
                path=folder,
            )


def _beside(found: Listing, folder_of: dict[Part, str]) -> Iterator[Finding]:
    """Tell of folders and pictures that lie beside the part folders."""
    for folder in found.folders:
        if "/" not in folder and folder not in folder_of.values():
            pictures = found.within(folder).pictures
            yield Finding(
                kind="beside-parts",
                message=f"Folder {folder!r} lies beside the part folders and was left out: "
                f"{counted(pictures, 'picture')} in it.",
                score=1.0 if pictures else 0.1,
                path=folder,
            )
    if loose := [picture for picture in found.pictures if "/" not in picture]:
        yield Finding(
            kind="loose",
            message=f"{counted(loose, 'picture')} left out for want of a part and a class, "
            "right beside the part folders.",
        )
