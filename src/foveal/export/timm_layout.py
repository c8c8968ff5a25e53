"""timm's own layout: ``config.json`` and ``model.safetensors`` for `timm.create_model`.

Written from the backbone's weights and the head without torch, so whichever install fits a
model, ``timm.create_model("local-dir:MODEL", pretrained=True)`` opens it to the same logits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foveal.backbone.spec import LAST
from foveal.core.errors import BadWeights
from foveal.core.settings import to_json
from foveal.image.preprocess import Preprocess
from foveal.model.classifier import Classifier

CROP_MODES = {"crop": "center", "squash": "squash", "pad": "border"}


def fits_timm(classifier: Classifier) -> bool:
    """Whether the classifier is one that timm can build: a timm network, its last features."""
    spec = classifier.host.spec
    return (
        classifier.blocks == (LAST,)
        and spec.architecture is not None
        and spec.classifier is not None
        and not spec.architecture.startswith("torchvision:")
    )


def timm_files(classifier: Classifier, weights: Mapping[str, NDArray[Any]]) -> dict[str, bytes]:
    """Return ``config.json`` and ``model.safetensors``.

    Args:
        classifier: one that ``fits_timm``; its logits, temperature included, are what timm gives.
        weights: the backbone's tensors in timm's own keys, with or without a classifier.

    Raises:
        BadWeights: if the head's shape does not fit the network's last features.
    """
    from safetensors.numpy import save

    spec, head = classifier.host.spec, classifier.head
    name = spec.classifier
    assert name is not None
    tensors = dict(weights)
    old = tensors.get(f"{name}.weight")
    if old is not None and old.size // old.shape[0] != head.weights_KD.shape[1]:
        raise BadWeights(
            f"{spec.name}'s {name}.weight reads {old.shape[1]} features, the head reads "
            f"{head.weights_KD.shape[1]}."
        )
    rest = old.shape[2:] if old is not None else ()  # (1, 1) where the classifier is a convolution
    tensors[f"{name}.weight"] = head.weights_KD.reshape(*head.weights_KD.shape, *rest)
    tensors[f"{name}.bias"] = head.bias_K
    ready = {key: np.ascontiguousarray(value) for key, value in sorted(tensors.items())}
    return {
        "config.json": to_json(_config(classifier)),
        "model.safetensors": save(ready, metadata={"format": "pt"}),
    }


def _config(classifier: Classifier) -> Mapping[str, Any]:
    """Return timm's schema; ``num_classes`` stands beside ``model_args``, never in it.

    transformers fails on a ``model_args`` that holds it.
    """
    spec = classifier.host.spec
    names = list(classifier.classes)
    arguments = {k: v for k, v in spec.model_args.items() if k != "num_classes"}
    return {
        "architecture": spec.architecture,
        "num_classes": len(names),
        "num_features": spec.features,
        "label_names": names,
        "label_descriptions": {name: classifier.names.get(name, name) for name in names},
        **({"model_args": arguments} if arguments else {}),
        "pretrained_cfg": {
            **_pretrained(spec.preprocess),
            "num_classes": len(names),
            "classifier": spec.classifier,
        },
    }


def _pretrained(preprocess: Preprocess) -> dict[str, Any]:
    size = preprocess.size_px
    return {
        "input_size": [3, size, size],
        "fixed_input_size": False,
        "interpolation": preprocess.interpolation,
        "crop_pct": preprocess.crop,
        "crop_mode": CROP_MODES[preprocess.shape],
        "mean": list(preprocess.mean),
        "std": list(preprocess.std),
    }
