"""`BackboneSettings`: everything a person may say of the backbone they want."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from foveal.core.errors import OutOfRange
from foveal.image.preprocess import RGB, Interpolation, Preprocess, Shape

TORCHVISION = "torchvision:"  # before a name: torchvision's network of that name

# What timm.create_model understands besides a network's own arguments, and why it is not one.
RESERVED = {
    "pretrained": "--weights",
    "pretrained_cfg": "--mean, --std, --size and so on",
    "pretrained_cfg_overlay": "--mean, --std, --size and so on",
    "checkpoint_path": "--weights",
    "cache_dir": "the variable HF_HOME",
    "img_size": "--size",
    "in_chans": "nothing: pictures have three channels",
    "features_only": "nothing: every stage is an output already",
    "scriptable": "nothing: the network becomes an ONNX graph",
    "exportable": "nothing: the network becomes an ONNX graph",
    "no_jit": "nothing: the network becomes an ONNX graph",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class BackboneSettings:
    """Which network, with which weights, seeing pictures in which way.

    What is None was not said: it comes from the record of the weights, or is assumed aloud.
    """

    backbone: str  # a timm name, torchvision:NAME, classical, a backbone folder, an .onnx file
    weights: Path | None = None  # a safetensors file; None: from the hub
    model_args: Mapping[str, Any] = field(default_factory=dict)  # timm's: {"pad_type": "same"}
    size_px: int | None = None
    mean: RGB | None = None
    std: RGB | None = None
    crop: float | None = None
    interpolation: Interpolation | None = None
    shape: Shape | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot work, whatever network it is for."""
        if not self.backbone.strip():
            raise OutOfRange("backbone", self.backbone, "a name or a path")
        self.preprocess(Preprocess())
        for name, instead in RESERVED.items():
            if name in self.model_args:
                raise OutOfRange("model_args", name, f"arguments of the network; use {instead}")

    @property
    def said(self) -> dict[str, Any]:
        """What was said of the pictures: field of ``Preprocess`` -> value.

        >>> BackboneSettings(backbone="resnet18", crop=1.0).said
        {'crop': 1.0}
        """
        fields = ("size_px", "mean", "std", "crop", "interpolation", "shape")
        values = {name: getattr(self, name) for name in fields}
        return {name: value for name, value in values.items() if value is not None}

    def preprocess(self, otherwise: Preprocess) -> Preprocess:
        """Return ``otherwise`` with everything that was said put in its place."""
        return replace(otherwise, **self.said)
