"""Class names: equal by name alone, and what to say when two are nearly equal."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from foveal.core.errors import BadData

SHOWN = 5
NUMBER = re.compile(r"\+?(-?)0*([0-9]+?)(?:\.([0-9]*?)0*)?")  # sign, whole part, fraction


def match_classes(
    model_classes: Sequence[str],
    data_classes: Sequence[str],
    *,
    images_K: NDArray[np.int64] | None = None,
) -> NDArray[np.int64]:
    """Return which class of the model each class of the data is, by exact name.

    Numbering each folder's classes on its own is what scores images against the wrong class
    when a class is missing, empty or hidden in one of them (ultralytics#13936,
    pytorch-image-models#957, mmpretrain#507); here a number never meets another numbering.

    Args:
        model_classes: names in the order of the model's outputs.
        data_classes: names in the order of the data's labels.
        images_K: images per class of the data; a class without any may be unknown to the model.

    Returns:
        For each class of the data its number in the model (K,) int64; -1 for an unknown one
        without images. ``match_classes(…)[manifest.label_indices]`` are the model's labels.

    Raises:
        BadData: naming the classes that the model does not have, and what they may have meant.

    >>> match_classes(["ant", "bee", "wasp"], ["bee", "wasp"]).tolist()
    [1, 2]
    >>> match_classes(["ant", "bee"], ["Bee"])
    Traceback (most recent call last):
    foveal.core.errors.BadData: The data has 1 class that the model does not: 'Bee'. \
'Bee' differs from the model's 'bee' only in case: rename it.
    """
    index = {name: number for number, name in enumerate(model_classes)}
    out = np.array([index.get(name, -1) for name in data_classes], dtype=np.int64)
    missing = out < 0 if images_K is None else (out < 0) & (images_K > 0)
    if unknown := [name for name, lacks in zip(data_classes, missing, strict=True) if lacks]:
        number = "1 class" if len(unknown) == 1 else f"{len(unknown):,} classes"
        more = f" and {len(unknown) - SHOWN:,} more" if len(unknown) > SHOWN else ""
        raise BadData(
            f"The data has {number} that the model does not: "
            f"{', '.join(map(repr, unknown[:SHOWN]))}{more}.",
            hint=_remedy(unknown, model_classes),
        )
    return out


def lookalikes(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Return the names that differ only in case, white space, Unicode form or as numbers, together.

    Each set is sorted.

    >>> lookalikes(["cat", "dog", "Cat ", "bird"])
    [('Cat ', 'cat')]
    >>> lookalikes(["1", "2", "1.0", "10"])
    [('1', '1.0')]
    """
    alike = defaultdict(list)
    for name in sorted(set(names)):
        alike[plain(name)].append(name)
    return [tuple(group) for group in alike.values() if len(group) > 1]


def plain(name: str) -> str:
    r"""Return a name without its case, extra white space and Unicode form, for comparing alone.

    >>> plain("  Rolled-In\tScale ")
    'rolled-in scale'
    >>> plain("007.50")  # a number is written in one way
    '7.5'
    """
    folded = unicodedata.normalize("NFKC", name).casefold()
    text = " ".join(unicodedata.normalize("NFKC", folded).split())
    if number := NUMBER.fullmatch(text):
        minus, whole, fraction = number.groups("")
        return f"{minus}{whole}.{fraction}".rstrip(".")
    return text


def difference(one: str, other: str) -> str:
    """Return in what two look-alike names differ.

    >>> difference("cat", "Cat"), difference("cat", " cat")
    ('case', 'white space')
    >>> difference("1", "1.0")
    'how the number is written'
    """
    if unicodedata.normalize("NFKC", one) == unicodedata.normalize("NFKC", other):
        return "Unicode form"
    if one.casefold() == other.casefold():
        return "case"
    if NUMBER.fullmatch(one.strip()) and one.strip() != other.strip():
        return "how the number is written"
    return "white space" if one.split() == other.split() else "case and white space"


def _remedy(unknown: Sequence[str], known: Sequence[str]) -> str:
    alike = {plain(name): name for name in known}
    for name in unknown:
        if twin := alike.get(plain(name)):
            return (
                f"{name!r} differs from the model's {twin!r} only in {difference(name, twin)}: "
                "rename it."
            )
    if close := difflib.get_close_matches(unknown[0], known, n=1):
        return f"Did you mean {close[0]!r}?"
    names = ", ".join(map(repr, known[:SHOWN]))
    more = f" and {len(known) - SHOWN:,} more" if len(known) > SHOWN else ""
    return f"The model knows {names}{more}."
