"""From settings to a torch network whose every weight came from a named source, never chance."""

from __future__ import annotations

import dataclasses
import inspect
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args

import timm
import torch
from torch import nn

from foveal.backbone.hub import silent_hub_is_left_alone
from foveal.backbone.settings import BackboneSettings
from foveal.backbone.torch_bodies import TimmBody
from foveal.backbone.torch_weights import Convert, fill, from_file, stated_licence
from foveal.core.errors import BadWeights, FovealError, OutOfRange, UnknownName
from foveal.image.preprocess import Interpolation, Preprocess, Shape

OURS = get_args(Interpolation)  # the filters that pictures can be resized with
SHAPES: dict[str, Shape] = {"center": "crop", "squash": "squash", "border": "pad"}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Loaded:
    """A network in eval mode with its weights in place, and what is known of it."""

    network: nn.Module  # the bare network, for its weights
    body: nn.Module  # float (N, 3, size, size), normalised -> name -> output
    name: str  # as the user said it
    preprocess: Preprocess
    weights: str
    licence: str | None
    assumed: tuple[str, ...]
    architecture: str | None  # timm's name; None where timm cannot build it
    model_args: dict[str, Any]
    classifier: str | None


def load_timm(settings: BackboneSettings) -> Loaded:
    """Build the timm network ``settings.backbone`` and give it its weights.

    Raises:
        UnknownName: for a name or a network argument that timm does not know.
        BadWeights: if the weights are of another network, or there are none to be had.
    """
    name = settings.backbone
    if not timm.is_model(name):
        raise UnknownName("backbone", name, [*timm.list_models(), "classical", "foveal-s"])
    like = name if settings.weights is None else _likeliest(name)
    record = record_of(like)
    assumed: list[str] = []
    wanted = settings.preprocess(of_timm(record))
    if (theirs := record.get("interpolation")) not in (*OURS, None) and not settings.interpolation:
        assumed.append(f"timm resizes with {theirs!r} for {name}: bicubic is used in its place.")
    arguments = dict(settings.model_args)
    if record.get("fixed_input_size"):  # timm builds it at another size where nobody says
        arguments["img_size"] = wanted.size_px
    if settings.weights is None:
        network, source = _from_hub(name, arguments)
        licence = record.get("license")
    else:
        network = _from_file(settings.weights, name, record, arguments)
        source, licence = settings.weights.name, stated_licence(settings.weights)
        assumed += settings.assumptions(wanted, source=source, as_in=f"timm's record of {like}")
        assumed += _variants(settings, network, source)
    network.eval()
    arguments.pop("num_classes", None)
    classifier = record.get("classifier")
    return Loaded(
        network=network,
        body=TimmBody(network, wanted.size_px).eval(),
        name=name,
        preprocess=wanted,
        weights=source,
        licence=licence,
        assumed=tuple(assumed),
        architecture=name.partition(".")[0],
        model_args=arguments,
        classifier=classifier if isinstance(classifier, str) else None,
    )


def _likeliest(name: str) -> str:
    """Return which of timm's records a file of weights most likely follows.

    A name with a tag says it itself. Else torchvision's, where timm has one: files of unknown
    origin are mostly of the architecture's first, plain training (resize to 256, crop 224), while
    timm's default tag may be a late recipe tested in another way (``resnet18.a1_in1k``: 0.95).
    """
    plain = f"{name}.tv_in1k"
    return plain if "." not in name and plain in timm.list_pretrained(f"{name}.*") else name


def record_of(name: str) -> Mapping[str, Any]:
    """Return timm's record of the weights of this name.

    Raises:
        UnknownName: for a tag that the architecture does not have.
    """
    architecture, _, tag = name.partition(".")
    known = timm.list_pretrained(f"{architecture}.*") if tag else []
    if tag and name not in known:
        raise UnknownName("backbone", name, known)
    record = timm.models.get_pretrained_cfg(name, allow_unregistered=True)
    return {} if record is None else dataclasses.asdict(record)


def of_timm(record: Mapping[str, Any]) -> Preprocess:
    """Return how timm says pictures reach these weights."""
    otherwise = Preprocess()
    said = record.get("interpolation", otherwise.interpolation)
    return Preprocess(
        size_px=record.get("input_size", (3, otherwise.size_px))[1],
        crop=record.get("crop_pct", otherwise.crop),
        shape=SHAPES[record.get("crop_mode") or "center"],
        interpolation=cast(Interpolation, said) if said in OURS else "bicubic",
        mean=tuple(record.get("mean", otherwise.mean)),
        std=tuple(record.get("std", otherwise.std)),
    )


def _from_file(
    path: Path, name: str, record: Mapping[str, Any], arguments: dict[str, Any]
) -> nn.Module:
    """Build the network as the file's classifier is wide, and fill it strictly."""
    tensors = from_file(path)
    rows = tensors.get(f"{record.get('classifier')}.weight")
    if rows is not None and rows.shape[0] != record.get("num_classes"):
        arguments.setdefault("num_classes", rows.shape[0])
    network = build(name, arguments, pretrained=False)
    fill(network, tensors, convert=_translation(network), where=path.name, name=name)
    return network


def _translation(network: nn.Module) -> Convert | None:
    """Return timm's own translation of older keys to this family's, where it has one."""
    module = sys.modules[type(network).__module__]
    convert = getattr(module, "checkpoint_filter_fn", getattr(module, "_filter_fn", None))
    if convert is None or len(inspect.signature(convert).parameters) > 1:
        return cast("Convert | None", convert)
    return lambda tensors, _: convert(tensors)


def _from_hub(name: str, arguments: dict[str, Any]) -> tuple[nn.Module, str]:
    """Return timm's own pretrained network and the name of its weights on the hub."""
    if "num_classes" in arguments:
        raise OutOfRange(
            "num_classes",
            arguments["num_classes"],
            "nothing: weights from the hub bring their own classifier",
        )
    with silent_hub_is_left_alone() as answers:
        try:
            network = build(name, arguments, pretrained=True)
        except FovealError:
            raise
        except Exception:  # noqa: BLE001  # the hub's client has errors of many libraries
            raise no_weights(name, answers=answers) from None
    record = cast(Any, network).pretrained_cfg
    return network, record.get("hf_hub_id") or f"timm/{name}"


def no_weights(name: str, *, answers: bool) -> FovealError:
    """Return the error to raise when weights were neither given nor to be had."""
    reason = "could not be downloaded" if answers else "are not on this machine, nor is a network"
    return FovealError(
        f"The weights of {name} {reason}.",
        hint="Give them with --weights FILE.safetensors, or run once with network.",
    )


def build(name: str, arguments: Mapping[str, Any], *, pretrained: bool) -> nn.Module:
    """Call timm, and put its objections into one sentence.

    Raises:
        OutOfRange: for an argument that this network does not take.
        BadWeights: if timm has no weights of that name, or they do not fit the arguments.
    """
    with torch.random.fork_rng(devices=[]):
        try:
            return timm.create_model(name, pretrained=pretrained, **arguments)
        except RuntimeError as error:
            if "No pretrained weights" in str(error):
                raise BadWeights(
                    f"The hub has no weights of {name}.", hint="Give --weights FILE.safetensors."
                ) from None
            reason = " ".join(str(error).split())[:200]
            raise BadWeights(
                f"{name} cannot be built with {_plainly(arguments)}: {reason}"
            ) from None
        except (TypeError, ValueError, AssertionError, AttributeError, LookupError) as error:
            raise OutOfRange(
                "model_args", dict(arguments), f"arguments that timm's {name} takes ({error})"
            ) from None


def _variants(settings: BackboneSettings, network: nn.Module, source: str) -> list[str]:
    """Return a sentence on padding and epsilon, where networks of this family differ in them."""
    if "pad_type" not in inspect.signature(type(network).__init__).parameters:
        return []
    variants = {"pad_type": "same", "bn_eps": "1e-3"}  # what TensorFlow's weights need
    left = [name for name in variants if name not in settings.model_args]
    if not left:
        return []
    options = " ".join(f"--model-arg {name}={variants[name]}" for name in left)
    return [
        f"{source} does not say its {' and '.join(left)}: timm's defaults assumed "
        f"(weights that come from TensorFlow need {options})."
    ]


def _plainly(arguments: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in arguments.items()) or "no arguments"
