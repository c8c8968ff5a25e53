"""Ready classifiers of torchvision's, with its weights or with those of a file."""

from __future__ import annotations

import io
import math
from contextlib import redirect_stderr
from typing import Any

import torch
from torch import nn
from torchvision import models
from torchvision.transforms import InterpolationMode

from foveal.backbone.settings import TORCHVISION, BackboneSettings
from foveal.backbone.torch_bodies import ReadyBody
from foveal.backbone.torch_load import Loaded, no_weights
from foveal.backbone.torch_weights import fill, from_file, stated_licence
from foveal.core.errors import OutOfRange, UnknownName
from foveal.image.preprocess import Preprocess


def load_torchvision(settings: BackboneSettings) -> Loaded:
    """Build the classifier ``torchvision:NAME`` and give it its weights.

    Raises:
        UnknownName: for a name that torchvision does not know.
        BadWeights: if the weights are of another network.
        FovealError: if they cannot be downloaded.
    """
    name = settings.backbone.removeprefix(TORCHVISION)
    known = models.list_models(module=models)
    if name not in known:
        raise UnknownName("torchvision network", name, known)
    record = models.get_model_weights(name)["DEFAULT"]
    wanted = settings.preprocess(_of_torchvision(record.transforms()))
    assumed: list[str] = []
    if settings.weights is None:
        network = _build(name, settings, weights=record)
        source, licence = f"torchvision/{name}.{record.name}", None
    else:
        tensors = from_file(settings.weights)
        network = _build(name, settings, weights=None)
        fill(network, tensors, convert=None, where=settings.weights.name, name=settings.backbone)
        source, licence = settings.weights.name, stated_licence(settings.weights)
        assumed = settings.assumptions(
            wanted, source=source, as_in=f"torchvision's record of {name}"
        )
    network.eval()
    return Loaded(
        network=network,
        body=ReadyBody(network, wanted.size_px).eval(),
        name=settings.backbone,
        preprocess=wanted,
        weights=source,
        licence=licence,
        assumed=tuple(assumed),
        architecture=None,
        model_args={},
        classifier=None,
    )


def _build(name: str, settings: BackboneSettings, *, weights: Any) -> nn.Module:  # noqa: ANN401  # an enum a network
    try:
        with torch.random.fork_rng(devices=[]), redirect_stderr(io.StringIO()):
            network: nn.Module = models.get_model(
                name, weights=weights, progress=False, **settings.model_args
            )
    except OSError:
        raise no_weights(settings.backbone, answers=False) from None
    except (TypeError, ValueError) as error:
        raise OutOfRange(
            "model_args", dict(settings.model_args), f"arguments of torchvision's {name} ({error})"
        ) from None
    return network


def _of_torchvision(transforms: Any) -> Preprocess:  # noqa: ANN401  # torchvision has no types
    """Return how torchvision says pictures reach these weights."""
    (size_px,), (resize_px,) = transforms.crop_size, transforms.resize_size
    cubic = transforms.interpolation is InterpolationMode.BICUBIC
    return Preprocess(
        size_px=size_px,
        crop=share(size_px, resize_px),
        interpolation="bicubic" if cubic else "bilinear",
        mean=tuple(transforms.mean),
        std=tuple(transforms.std),
    )


def share(size_px: int, resize_px: int) -> float:
    """Return the crop whose ``Preprocess.resize_px`` is ``resize_px`` again, rounding included.

    >>> [Preprocess(size_px=224, crop=share(224, side)).resize_px for side in (232, 236, 256)]
    [232, 236, 256]
    """
    crop = size_px / resize_px
    return crop if math.floor(size_px / crop) == resize_px else math.nextafter(crop, 0.0)
