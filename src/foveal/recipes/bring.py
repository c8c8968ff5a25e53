"""Bring: a ready classifier of other origin becomes a model, with the head it has."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from foveal.backbone.catalog import pick
from foveal.backbone.running import OnnxBackbone
from foveal.backbone.settings import BackboneSettings
from foveal.backbone.spec import LAST
from foveal.core.errors import BadWeights, OutOfRange
from foveal.core.files import check_exists
from foveal.core.listener import Listener
from foveal.model.classifier import OWN_LOGITS, Classifier
from foveal.model.linear import LinearHead
from foveal.recipes.model import Model
from foveal.recipes.ship import facts, pack

SYNSET = re.compile(r"n\d{8}\s+\S")  # a WordNet number, then words
AGREE = 1e-3  # of the largest logit: how well the model must give the network's own answers


def bring(settings: BackboneSettings, classes: Path | None, listener: Listener) -> Model:
    """Return a model that answers as the network's own classifier does.

    Where its last layer is linear on the last features, that layer becomes the head, which
    gives heat maps and timm's layout; else the network's logits are taken as they are.

    Args:
        settings: which network, with which weights, seeing pictures in which way.
        classes: file of class names in the network's order; None: ``class 0``, ``class 1``, …
        listener: hears what is assumed.

    Raises:
        BadWeights: if the network has no classifier.
        OutOfRange: if there are not as many names as classes.
    """
    host = pick(settings, listener)
    count = host.spec.classes
    if count is None:
        raise BadWeights(
            f"{host.spec.name} has no classifier of its own.",
            hint="Fit one on it: foveal fit PHOTOS --backbone …",
        )
    names, shown = _names(classes, count)
    if classes is None:
        listener.say("No --classes FILE was given: the classes are called by their numbers.")
    size = host.spec.preprocess.size_px
    noise = np.random.default_rng(0).integers(0, 256, (2, size, size, 3), dtype=np.uint8)
    own_NK = host.embed(noise, [OWN_LOGITS])[OWN_LOGITS]
    head = _linear_head(host, noise, own_NK)
    blocks = (LAST,) if head is not None else (OWN_LOGITS,)
    if head is None:
        head = LinearHead(np.eye(count, dtype=np.float32), np.zeros(count, dtype=np.float32))
    classifier = Classifier(
        host=host,
        classical=None,
        blocks=blocks,
        head=head,
        centre_D=np.zeros(head.weights_KD.shape[1], dtype=np.float32),
        classes=names,
        names=dict(zip(names, shown, strict=True)) if shown != names else {},
    )
    model = Model(pack(classifier, facts(classifier), {}))
    if not _agree(model.predictor.logits(noise), own_NK):
        raise BadWeights(
            f"The model made of {host.spec.name} does not answer as the network itself does.",
            hint="Please report this with the network's name.",
        )
    return model


def _agree(one_NK: NDArray[np.float32], other_NK: NDArray[np.float32]) -> bool:
    return bool(np.abs(one_NK - other_NK).max() <= AGREE * np.abs(other_NK).max())


def _linear_head(
    host: OnnxBackbone, noise: NDArray[np.uint8], own_NK: NDArray[np.float32]
) -> LinearHead | None:
    """Return the network's last layer if the logits are linear in the last features, tried out."""
    weights, name = host.network_weights(), host.spec.classifier
    if weights is None or name is None or f"{name}.weight" not in weights:
        return None
    matrix = np.asarray(weights[f"{name}.weight"], dtype=np.float32)
    count = own_NK.shape[1]
    if matrix.size != count * host.spec.features:
        return None
    bias = np.asarray(weights.get(f"{name}.bias", np.zeros(count)), dtype=np.float32)
    head = LinearHead(matrix.reshape(count, -1), bias)
    return head if _agree(head.logits(host.embed(noise, [LAST])[LAST]), own_NK) else None


def _names(path: Path | None, count: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return class names, and what to show people, from a file.

    A line each (a line ``n01440764 tench`` of ImageNet's own ``LOC_synset_mapping.txt`` names the
    class by its WordNet number and shows the words); or a JSON list; or a JSON object from number
    to name, or to [name, words] as in Keras' ``imagenet_class_index.json``.

    Raises:
        OutOfRange: if they are not ``count`` different names.
    """
    if path is None:
        names = tuple(f"class {number}" for number in range(count))
        return names, names
    check_exists(path, "file of class names")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise OutOfRange(str(path), "its content", "text in UTF-8") from None
    entries: Sequence[object]
    if path.suffix == ".json":
        try:
            value = json.loads(text)
            numbered = isinstance(value, dict)
            entries = [value[str(i)] for i in range(len(value))] if numbered else list(value)
        except (ValueError, KeyError, TypeError):
            raise OutOfRange(
                str(path), "its content", "a JSON list, or an object from 0, 1, … to names"
            ) from None
    else:
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        synsets = all(SYNSET.match(line) for line in lines)
        entries = [line.split(maxsplit=1) if synsets else line for line in lines]
    pairs = [
        (str(e[0]), str(e[-1])) if isinstance(e, list) and e else (str(e),) * 2 for e in entries
    ]
    names = tuple(name for name, _ in pairs)
    if len(names) != count:
        raise OutOfRange(str(path), f"{len(names)} names", f"{count}, one for each class")
    if len(set(names)) != count:
        twice = next(name for name in names if names.count(name) > 1)
        raise OutOfRange(str(path), twice, "every class name once")
    return names, tuple(words for _, words in pairs)
