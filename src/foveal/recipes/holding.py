"""Holding a val part out of the train part, for strategies that choose while they learn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from foveal.core.errors import BadData
from foveal.core.listener import SILENT, Listener
from foveal.data.manifest import Manifest
from foveal.data.split import Split, folds, parts_by_prefix
from foveal.data.units import join
from foveal.recipes.prepare import Prepared


def with_val(
    prepared: Prepared, *, share: float, seed: int, listener: Listener = SILENT
) -> Prepared:
    """Return the same data with about ``share`` of its train part as val; a given val part stays.

    Stratified, in whole groups and whole sets of copies. A class all of whose pictures would be
    held out stays in the train part.

    Args:
        prepared: the data.
        share: of the train part.
        seed: of the draw.
        listener: hears how many were held out.

    Raises:
        BadData: if all pictures to train on are one group.
    """
    if len(prepared.split.val):
        return prepared
    split = with_val_split(prepared.manifest, prepared.split, share=share, seed=seed)
    listener.say(
        f"Of {len(prepared.split.train):,} pictures to learn from, {len(split.val):,} are held out "
        "to judge the training by: they are its val part."
    )
    return replace(prepared, split=split, parts=parts_by_prefix(prepared.manifest, split))


def with_val_split(whole: Manifest, split: Split, *, share: float, seed: int) -> Split:
    """Return a split without val part with one, held out of its train part alone.

    Raises:
        BadData: if all pictures to train on are one group.
    """
    train = split.train
    manifest = whole.rows(train)
    units = join(manifest.table["sha256"].to_list(), manifest.table["group"].to_list())
    count = min(max(2, round(1 / share)), len(units))
    if count < 2:
        raise BadData(
            "All pictures to train on are one group.",
            hint="At least two groups are needed: one to learn from, one to choose the epoch by.",
        )
    labels_N = manifest.label_indices
    held_N = folds(labels_N, units, k=count, seed=seed) == 0
    learnt = np.bincount(labels_N[~held_N], minlength=len(whole.classes))
    held_N &= learnt[labels_N] > 0
    return Split(train=train[~held_N], val=train[held_N], test=split.test)
