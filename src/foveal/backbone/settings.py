"""`BackboneSettings`: everything a person may say of the backbone they want."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from foveal.core.errors import OutOfRange
from foveal.image.preprocess import RGB, Interpolation, Preprocess, Shape

TORCHVISION = "torchvision:"  # before a name: torchvision's network of that name

SEEING = {  # what can be said of pictures, by what it is about
    "colours": ("mean", "std"),
    "pictures": ("size_px", "crop", "shape", "interpolation"),
}

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

    backbone: str  # timm's, torchvision:NAME, foveal-s, classical, a folder, an .onnx file
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
        values = {name: getattr(self, name) for fields in SEEING.values() for name in fields}
        return {name: value for name, value in values.items() if value is not None}

    def preprocess(self, otherwise: Preprocess) -> Preprocess:
        """Return ``otherwise`` with everything that was said put in its place."""
        return replace(otherwise, **self.said)

    def assumptions(self, used: Preprocess, *, source: str, as_in: str) -> list[str]:
        """Return a sentence for each way of seeing that ``source`` left open and nobody said.

        Args:
            used: what is used all the same.
            source: the weights or graph file that does not say.
            as_in: whose values were taken: "timm's record of resnet18".
        """
        sentences = []
        for what, fields in SEEING.items():
            if left := [name for name in fields if name not in self.said]:
                values = ", ".join(f"{name} {_plain(getattr(used, name))}" for name in left)
                options = " ".join(f"--{name.removesuffix('_px')}" for name in left)
                sentences.append(
                    f"{source} does not say how it wants its {what}: {values} assumed, from "
                    f"{as_in} (else give {options})."
                )
        return sentences


def _plain(value: object) -> str:
    """Return a value as it is said in a sentence.

    >>> _plain((0.5, 0.5, 0.5)), _plain(224)
    ('0.5 0.5 0.5', '224')
    """
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
