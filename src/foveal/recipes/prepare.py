"""Prepare: files become a scanned manifest, split into what is learnt from and what is not."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from foveal.core.errors import BadData, DiskFull
from foveal.core.listener import Listener
from foveal.data.manifest import Manifest, Part
from foveal.data.memory import remember, remembered, split_key
from foveal.data.scan import scan
from foveal.data.split import Split, parts_by_prefix, split
from foveal.data.units import Units, units_of
from foveal.recipes.orders import PrepareSettings

TOLD = 5  # findings of one kind that are said; the report counts them all


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prepared:
    """A dataset ready to be fitted on."""

    manifest: Manifest  # scanned; its classes are those that have a picture to train on
    split: Split
    units: Units  # of every row: what folds and intervals must not tear
    parts: dict[str, Part]  # hash prefix -> part of every row


def prepare(data: Manifest, settings: PrepareSettings, listener: Listener) -> Prepared:
    """Read every file's header, leave the broken out, and hold a test part out.

    A picture that was held out of this folder before, with the same settings, stays held out.

    Raises:
        BadData: where there is nothing to learn from: fewer than two classes, or a class with
            one picture to train on.
        FovealError: when more files are broken than ``settings`` puts up with.
    """
    manifest = scan(data, listener=listener, strict=settings.strict, max_broken=settings.max_broken)
    tell(manifest, listener)
    manifest = labelled(manifest, listener)
    key = split_key(manifest, test_share=settings.test_share, seed=settings.seed)
    kept = remembered(key, listener=listener)
    parts = split(manifest, test_share=settings.test_share, seed=settings.seed, kept=kept)
    _tell_parts(manifest, parts, settings, listener)
    by_prefix = parts_by_prefix(manifest, parts)
    manifest = _learnable(manifest, parts.train)
    parts = replace(parts, val=_answerable(manifest, parts.val))
    if manifest.table["part"].null_count() == len(manifest):  # else the data itself remembers
        try:
            remember(key, by_prefix)
        except (DiskFull, OSError) as error:
            listener.say(
                f"{error} Which pictures are held out is not remembered on this machine: added "
                "ones may move some. The model itself knows what it has seen."
            )
    return Prepared(manifest=manifest, split=parts, units=units_of(manifest), parts=by_prefix)


def _tell_parts(
    manifest: Manifest, parts: Split, settings: PrepareSettings, listener: Listener
) -> None:
    """Say when a test of this model needs other pictures than these."""
    named = manifest.table["part"].null_count() < len(manifest)
    if named and settings.test_share and not len(parts.test):
        val = " and a val part, which it is chosen by," if len(parts.val) else " part"
        listener.say(
            f"The data names a train{val} but no test part, and nothing else is held out of data "
            "that names its parts: test the model on other pictures."
        )


def tell(manifest: Manifest, listener: Listener) -> None:
    """Say what reading and scanning noticed: every broken file, and the first of all else."""
    told: Counter[str] = Counter()
    for finding in manifest.findings:
        told[finding.kind] += 1
        if finding.kind == "broken":
            listener.say(f"{finding.path} is left out: {finding.message}")
        elif told[finding.kind] <= TOLD:
            listener.say(finding.message)
    for kind, count in told.items():
        if kind != "broken" and count > TOLD:
            listener.say(f"… and {count - TOLD:,} more of the kind {kind!r}.")


def labelled(manifest: Manifest, listener: Listener) -> Manifest:
    """Return the rows with a label; the others teach nothing and cannot be scored.

    Findings stay, but for the numbers of their rows.

    Raises:
        BadData: if there is none.
    """
    known = manifest.table["labels"].list.len() > 0
    if known.all():
        return manifest
    if not known.any():
        raise BadData(
            f"Not one picture of {manifest.source or manifest.root} has a label.",
            hint="Is another column the label? Name it with label_column.",
        )
    listener.say(
        f"{len(known) - known.sum():,} of {len(known):,} pictures are left out: they have no label."
    )
    findings = tuple(replace(finding, rows=()) for finding in manifest.findings)
    return replace(manifest.rows(known.arg_true().to_numpy()), findings=findings)


def _answerable(manifest: Manifest, val: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the rows of the val part but those of classes that no picture to train on has."""
    labels = manifest.table["labels"].gather(val).to_list()
    known = [set(row) <= set(manifest.classes) for row in labels]
    answerable: NDArray[np.int64] = val[np.array(known, dtype=bool)]
    return answerable


def _learnable(manifest: Manifest, train: NDArray[np.int64]) -> Manifest:
    """Return the manifest with the classes that have pictures to train on.

    Raises:
        BadData: for fewer than two of them, or one with a single picture.
    """
    labels = manifest.table["labels"].gather(train).to_list()
    counts = dict.fromkeys(manifest.classes, 0)
    for row in labels:
        for name in row:
            counts[name] += 1
    there = {name: count for name, count in counts.items() if count}
    if not there:
        raise BadData(
            f"{manifest.source or manifest.root} has no picture to train on.",
            hint="Put some below a folder for each class.",
        )
    or_all = ", or hold none of them out (test_share=0)" if len(train) < len(manifest) else ""
    if len(there) < 2:
        seen = {name for names in manifest.table["labels"].to_list() for name in names}
        left = " to train on: all others are held out" if len(seen) > 1 else ""
        raise BadData(
            f"{manifest.source or manifest.root} has pictures of one class only, "
            f"{next(iter(there))!r}{left}.",
            hint="A classifier tells classes apart: add pictures of a second one"
            f"{or_all if left else ''}.",
        )
    if lonely := [name for name, count in there.items() if count < 2]:
        raise BadData(
            f"Class {lonely[0]!r} has one picture to train on."
            if len(lonely) == 1
            else f"{len(lonely)} classes have one picture to train on, such as {lonely[0]!r}.",
            hint="At least two are needed to choose by cross-validation: add some, merge the "
            f"class with another, take it out{or_all}.",
        )
    return replace(manifest, classes=tuple(there))
