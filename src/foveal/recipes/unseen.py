"""Unseen: what of a dataset a model may be judged by, and under which of its own classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from foveal.core.errors import BadData
from foveal.core.listener import Listener
from foveal.data.classes import match_classes
from foveal.data.manifest import Manifest
from foveal.model import parts
from foveal.model.bundle import Bundle


def unseen(bundle: Bundle, data: Manifest, listener: Listener) -> tuple[Manifest, int]:
    """Return the rows that may be scored, each picture once, and how many were learnt from.

    Raises:
        BadData: if nothing is left to score.
    """
    seen = bundle.seen
    known = [seen.get(sha[: parts.PREFIX]) for sha in data.table["sha256"].to_list()]
    rows = [row for row, part in enumerate(known) if part in {None, "test"}]
    left_out = len(known) - len(rows)
    if not rows:
        chosen = known.count("val")
        also = f" and chosen by the other {chosen}" if chosen else ""
        raise BadData(
            f"None of the {len(known)} pictures of {data.source or data.root} can be scored: the "
            f"model was trained on {len(known) - chosen} of them{also}.",
            hint="Test it on others; where the data names its parts, add a test part, else "
            "`foveal fit` holds a share of it out (--test-share).",
        )
    once = _once(data, rows, listener)
    if left_out:
        listener.say(
            f"{left_out} of {len(known)} pictures are left out: the model was trained or chosen "
            f"on them. {len(once)} are scored."
        )
    return data.rows(once), left_out


def _once(data: Manifest, rows: Sequence[int], listener: Listener) -> list[int]:
    """Return the rows with each picture once; one that stands in two classes has no truth.

    Copies would be counted as if they were news, and make every interval too narrow.

    Raises:
        BadData: if no picture is left.
    """
    labels, ids = data.table["labels"].to_list(), data.table["sha256"].to_list()
    first: dict[str, int] = {}
    contradicted = set()
    for row in rows:
        known = first.setdefault(ids[row], row)
        if labels[known] != labels[row]:
            contradicted.add(ids[row])
    if contradicted:
        examples = ", ".join(data.paths[first[digest]] for digest in sorted(contradicted)[:3])
        listener.say(
            f"{len(contradicted)} pictures stand in two classes and are not scored: {examples}."
        )
    once = [row for digest, row in first.items() if digest not in contradicted]
    if copies := len(rows) - len(first):
        listener.say(f"{copies} copies of pictures are not scored: each picture counts once.")
    if not once:
        raise BadData("Every picture stands in two classes.", hint="Take one label of each away.")
    return once


def tell_groups(bundle: Bundle, scored: Manifest, listener: Listener) -> None:
    """Say when a model was fitted on groups and the test knows of none."""
    data = bundle.card.get("data") or {}
    if data.get("grouped") and scored.table["group"].null_count() == len(scored):
        how = f" ({data['grouping']})" if data.get("grouping") else ""
        listener.say(
            f"The model was fitted on groups of pictures{how}, the test is not told of any: every "
            "picture counts as its own, and where they are not, the intervals are too narrow."
        )


def labels_of(bundle: Bundle, scored: Manifest) -> NDArray[np.int64]:
    """Return the model's number for the true class of each picture, matched by name.

    Raises:
        BadData: for a class that the model does not have.
    """
    labels_N = scored.label_indices
    counts_K = np.bincount(labels_N, minlength=len(scored.classes))
    to_model_K = match_classes(bundle.classes, scored.classes, images_K=counts_K)
    return to_model_K[labels_N]
