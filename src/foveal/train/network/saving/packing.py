"""Nested values as JSON and named tensors, and back again, equal in type and in every bit.

This is what lies between an optimiser's state (tensors, tuples, flags, dicts by number) and a
file that holds JSON and tensors alone. What JSON has no word for is written as a dict of one
tagged entry: ``{"$tuple": [0.9, 0.999]}``. Nothing in it can run code, and nothing is guessed:
a value of a kind that would not come back as it was is refused. (Any dict comes back as a plain
one, and NumPy's float64 as Python's float.)
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import torch
from torch import Tensor

Json: TypeAlias = Any  # dicts, lists, strings, finite numbers, booleans and None
_TENSOR, _TUPLE, _DICT, _FLOAT = "$tensor", "$tuple", "$dict", "$float"


def pack(value: object) -> tuple[Json, dict[str, Tensor]]:
    """Take the tensors out of a nested value.

    Tensors that are the same memory (tied weights) are kept once, and are one tensor again
    when they are unpacked.

    Args:
        value: dicts, lists, tuples, tensors, strings, numbers, booleans and None.

    Returns:
        The rest as JSON, and the tensors by where they stand: ``network/fc.weight``.

    Raises:
        TypeError: for a value of another kind, saying where it stands.

    >>> pack({"betas": (0.9, 0.999), "lr": torch.tensor(0.1)})
    ({'betas': {'$tuple': [0.9, 0.999]}, 'lr': {'$tensor': 'lr'}}, {'lr': tensor(0.1000)})
    """
    packer = _Packer()
    return packer.pack(value, ""), packer.tensors


def unpack(packed: Json, tensors: dict[str, Tensor]) -> Json:
    """Return the value that ``pack`` took apart.

    >>> unpack(*pack({0: {"step": (1, None)}, "loss": math.inf}))
    {0: {'step': (1, None)}, 'loss': inf}
    """
    if isinstance(packed, list):
        return [unpack(item, tensors) for item in packed]
    if not isinstance(packed, dict):
        return packed
    if _TENSOR in packed:
        return tensors[packed[_TENSOR]]
    if _TUPLE in packed:
        return tuple(unpack(packed[_TUPLE], tensors))
    if _DICT in packed:
        return {key: unpack(item, tensors) for key, item in packed[_DICT]}
    if _FLOAT in packed:
        return float(packed[_FLOAT])
    return {key: unpack(item, tensors) for key, item in packed.items()}


class _Packer:
    """Collects the tensors of one value while it is packed."""

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._seen: dict[object, str] = {}  # memory -> name of the tensor that is kept for it

    def pack(self, value: object, place: str) -> Json:
        if isinstance(value, Tensor):
            return {_TENSOR: self._keep(value, place)}
        if isinstance(value, float):
            return value if math.isfinite(value) else {_FLOAT: repr(float(value))}
        if value is None or isinstance(value, str | int):
            return value
        if isinstance(value, list):
            return [self.pack(item, _in(place, at)) for at, item in enumerate(value)]
        if isinstance(value, tuple):
            return {_TUPLE: self.pack([*value], place)}
        if isinstance(value, dict):
            return self._pack_dict(value, place)
        raise TypeError(f"{place} is {type(value).__name__}: it cannot be saved")

    def _pack_dict(self, value: dict[Any, Any], place: str) -> Json:
        pairs = [(key, self.pack(item, _in(place, key))) for key, item in value.items()]
        if all(isinstance(key, str) and not key.startswith("$") for key in value):
            return dict(pairs)
        if odd := [key for key in value if isinstance(key, bool) or not isinstance(key, str | int)]:
            raise TypeError(f"{place} has the key {odd[0]!r}: it cannot be saved")
        return {_DICT: pairs}

    def _keep(self, tensor: Tensor, place: str) -> str:
        if tensor.layout != torch.strided or tensor.is_meta:
            raise TypeError(f"{place} is a tensor without plain numbers: it cannot be saved")
        memory = (tensor.device, tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride())
        if memory not in self._seen or not tensor.numel():  # empty ones all lie at address 0
            while place in self.tensors:
                place += "'"
            self._seen[memory] = place
            self.tensors[place] = tensor
        return self._seen[memory]


def _in(place: str, key: object) -> str:
    return f"{place}/{key}" if place else str(key)
