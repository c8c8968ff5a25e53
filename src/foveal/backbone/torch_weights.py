"""Putting the tensors of a safetensors file into a network: all of them, each where it belongs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save
from safetensors.torch import load_file
from torch import Tensor, nn

from foveal.core.errors import BadWeights
from foveal.core.files import check_exists

Tensors = dict[str, Tensor]
Convert = Callable[[Tensors, nn.Module], Tensors]


def from_file(path: Path) -> Tensors:
    """Return the tensors of a safetensors file; float16 and bfloat16 become float32.

    Raises:
        NotThere: if there is no such file.
        BadWeights: if it is no safetensors file, or holds infinite numbers or NaN.
    """
    _check(path)
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        hint = "Give a whole one; pickles (.pt, .pth, .bin) can run code and are never read."
        raise BadWeights(
            f"{path} is not a safetensors file ({str(error).splitlines()[0]}).",
            hint="Unpack it first." if path.suffix in {".gz", ".zip", ".xz"} else hint,
        ) from None
    plain = {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}
    for name, tensor in plain.items():
        if not torch.isfinite(tensor).all():
            raise BadWeights(f"{path} holds infinite numbers or NaN in {name}.")
    return plain


def stated_licence(path: Path) -> str | None:
    """Return the licence that a safetensors file states of itself, if it does."""
    with safe_open(path, "pt") as file:
        metadata = file.metadata() or {}
    return metadata.get("license") or metadata.get("licence")


def to_bytes(network: nn.Module) -> bytes:
    """Return the state as a safetensors file in the network's own keys; equal in, equal out."""
    state = network.state_dict()
    return save({name: tensor.contiguous().numpy() for name, tensor in state.items()})


def fill(
    network: nn.Module, tensors: Tensors, *, convert: Convert | None, where: str, name: str
) -> None:
    """Load ``tensors`` into ``network``, every one and into every place.

    Args:
        network: gets the weights.
        tensors: in the keys of the network, or in older ones that ``convert`` knows.
        convert: timm's own translation for this family of networks (torchvision's VGG, DeiT's
            original files, position embeddings of another picture size).
        where: the file, for messages.
        name: the network, for messages.

    Raises:
        BadWeights: naming what is missing, unexpected, or of another shape.
    """
    objection = _misfit(network, tensors)
    if objection and convert is not None:
        try:
            converted = convert(dict(tensors), network)
        except Exception:  # noqa: BLE001  # a translation made for one layout may fail anyhow
            converted = tensors
        if not _misfit(network, converted):
            tensors, objection = converted, ""
    if objection:
        raise BadWeights(
            f"{where} does not fit {name}: {objection}.",
            hint="Name the network it was made for, and its --model-arg KEY=VALUE if any.",
        )
    network.load_state_dict({**_counters(network), **tensors}, strict=True)


def _misfit(network: nn.Module, tensors: Mapping[str, Tensor]) -> str:
    """Return how the tensors differ from the network's, as part of a sentence; "" if not."""
    own = network.state_dict()
    missing = [key for key in own if key not in tensors and key not in _counters(network)]
    unexpected = [key for key in tensors if key not in own]
    reshaped = [
        f"{key} {tuple(tensors[key].shape)} instead of {tuple(own[key].shape)}"
        for key in own
        if key in tensors and tensors[key].shape != own[key].shape
    ]
    kinds = {"missing": missing, "unexpected": unexpected, "of another shape": reshaped}
    return "; ".join(_counted(keys, kind) for kind, keys in kinds.items() if keys)


def _counters(network: nn.Module) -> Tensors:
    """Return BatchNorm's counters of batches: many files leave them out, inference has no use."""
    state: dict[str, Any] = network.state_dict()
    return {key: value for key, value in state.items() if key.endswith("num_batches_tracked")}


def _counted(names: list[str], kind: str, most: int = 2) -> str:
    """Return how many there are and the first of them.

    >>> _counted(["fc.weight", "fc.bias", "conv1.weight"], "missing")
    '3 tensors missing (fc.weight, fc.bias, …)'
    """
    shown = ", ".join(names[:most]) + (", …" if len(names) > most else "")
    return f"{len(names)} tensor{'s' if len(names) > 1 else ''} {kind} ({shown})"


def _check(path: Path) -> None:
    check_exists(path, "weights file")
    if path.is_dir():
        raise BadWeights(f"{path} is a folder.", hint="Name the safetensors file in it.")
