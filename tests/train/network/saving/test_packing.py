"""Nested values come back equal in type and bits, and what would not is refused."""

from __future__ import annotations

import json
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some

from foveal.train.network.saving.packing import pack, unpack

KEYS = some.one_of(some.text(max_size=3), some.sampled_from(["$tensor", "$dict", "a/b"]))
LEAVES = some.one_of(some.none(), some.booleans(), some.integers(), some.floats(), some.text())
VALUES = some.recursive(
    LEAVES,
    lambda inner: some.one_of(
        some.lists(inner, max_size=3),
        some.tuples(inner, inner),
        some.dictionaries(KEYS, inner, max_size=3),
        some.dictionaries(some.integers(), inner, max_size=3),
    ),
    max_leaves=12,
)


def through_json(value: object) -> Any:
    packed, tensors = pack(value)
    return unpack(json.loads(json.dumps(packed, allow_nan=False)), tensors)


@settings(max_examples=200, deadline=None)
@given(VALUES)
def test_every_nested_value_comes_back_with_its_types(value: object) -> None:
    assert repr(through_json(value)) == repr(value)


def test_the_order_of_a_dict_stays() -> None:
    assert list(through_json(OrderedDict(b=1, a=2))) == ["b", "a"]


def test_numbers_of_numpy_that_are_floats_come_back_as_floats() -> None:
    assert repr(through_json([np.float64(0.1), np.float64("nan")])) == "[0.1, nan]"


def test_tied_tensors_are_kept_once_and_are_one_again() -> None:
    tied = torch.arange(6.0).reshape(2, 3)
    packed, tensors = pack({"embed": tied, "head": tied.detach(), "turned": tied.T})
    assert list(tensors) == ["embed", "turned"]
    back = unpack(packed, tensors)
    assert back["embed"] is back["head"]
    assert torch.equal(back["turned"], tied.T)


def test_names_that_would_be_the_same_are_told_apart() -> None:
    value = {"a/b": torch.tensor(1), "a": {"b": torch.tensor(2)}, "none": torch.empty(0)}
    back = unpack(*pack({**value, "nothing": torch.empty(0)}))
    assert (back["a/b"].item(), back["a"]["b"].item()) == (1, 2)
    assert back["none"] is not back["nothing"]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"facts": {"at": Path("x")}}, r"^facts/at is \w*Path: it cannot be saved"),
        ({"facts": [np.int64(1)]}, "^facts/0 is int64: "),
        ({"facts": {True: 1}}, "^facts has the key True: "),
        ({"facts": {(1, 2): 1}}, r"^facts has the key \(1, 2\): "),
        ({"rows": torch.eye(2).to_sparse()}, "^rows is a tensor without plain numbers: "),
        ({"rows": torch.empty(2, device="meta")}, "^rows is a tensor without plain numbers: "),
    ],
)
def test_what_would_not_come_back_is_refused_with_its_place(value: object, said: str) -> None:
    with pytest.raises(TypeError, match=said):
        pack(value)
