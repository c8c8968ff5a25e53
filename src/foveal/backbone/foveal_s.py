"""``foveal-s``: the small network in the box, so that there is one where no network answers.

Its weights are a file of the package, as half-precision numbers; the graph is assembled from them
without torch, and timm builds the same network from ``model_args``, so it can be trained further.
What it was trained on, how, and how good it is: foveal_s.md beside this file.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from foveal.backbone.residual import residual
from foveal.backbone.running import OnnxBackbone
from foveal.backbone.spec import BackboneSpec, NetworkWeights
from foveal.backbone.store import sealed
from foveal.image.preprocess import Preprocess

NAME = "foveal-s"
FILE = "foveal_s.safetensors"
DEFAULT_PREPROCESS = Preprocess(size_px=160, crop=1.0)  # chosen on val: decision 0010
LICENCE = "research use: trained on pictures of ImageNet"


def foveal_s(
    preprocess: Preprocess = DEFAULT_PREPROCESS, *, threads: int | None = None
) -> OnnxBackbone:
    """Return the backbone ``foveal-s`` for pixels made by ``preprocess``.

    Args:
        preprocess: its own default, or with another size: a multiple of 32 pixels. Its ``mean``
            and ``std`` are to be the default's.
        threads: see ``OnnxBackbone``.

    Raises:
        OutOfRange: for another size.

    >>> foveal_s().spec.features
    384
    """
    weights, facts = _file()
    made = residual(weights, preprocess)
    spec = BackboneSpec(
        name=NAME,
        preprocess=preprocess,
        features=made.features,
        last_grid=made.last_grid,
        last_is_mean=True,
        stages=made.stages,
        fingerprint="",
        weights="in the package",
        licence=LICENCE,
        architecture=facts["architecture"],
        model_args=facts["model_args"],
        classifier="fc",
        classes=made.classes,
    )
    spec, _ = sealed(spec, made.model)
    return OnnxBackbone(spec, made.model, threads=threads, read_weights=lambda: dict(weights))


@cache
def _file() -> tuple[NetworkWeights, dict[str, Any]]:
    """Return the weights as float32, in timm's keys, and what the file says of itself."""
    from safetensors.numpy import load

    content = resources.files(__package__).joinpath(FILE).read_bytes()
    length = int.from_bytes(content[:8], "little")
    facts: dict[str, Any] = json.loads(content[8 : 8 + length])["__metadata__"]
    tensors = {
        name: tensor.astype(np.float32) if tensor.dtype == np.float16 else tensor
        for name, tensor in load(content).items()
    }
    return tensors, {**facts, "model_args": json.loads(facts["model_args"])}
