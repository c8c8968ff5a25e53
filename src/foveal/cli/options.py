"""Options that several verbs share, and how their values become settings records."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from foveal.core.errors import OutOfRange

Triple = tuple[float, float, float]


def option(help_text: str, *names: str) -> Any:  # noqa: ANN401 — typer's own marker
    """Mark a parameter, inside its ``Annotated``, as given by these names."""
    return typer.Option(*names, help=help_text, show_default=False)


# How a dataset is read
Reader = Annotated[str | None, option("How to read it, where guessing fails.", "--reader")]
PathColumn = Annotated[
    str | None, option("Column of a table that names the files.", "--path-column")
]
LabelColumn = Annotated[str | None, option("Column that names the classes.", "--label-column")]
PartColumn = Annotated[str | None, option("Column that says train, val or test.", "--part-column")]
GroupColumn = Annotated[str | None, option("Column that names the groups.", "--group-column")]
GroupPattern = Annotated[
    str | None,
    option(r"Pattern on the file name; its one ( ) names the group: '^(\d+)_'.", "--group-pattern"),
]
GroupLevel = Annotated[
    int | None, option("Folder level that names the group; 1 is below the root.", "--group-level")
]
GroupScope = Annotated[
    str | None, option("Whether group names restart: in each 'class', or 'all'.", "--group-scope")
]
Root = Annotated[Path | None, option("Folder that a table's paths start from.", "--root")]
MaxBroken = Annotated[
    float | None, option("Share of unreadable files to put up with (0.05).", "--max-broken")
]
Strict = Annotated[bool, typer.Option("--strict", help="Stop at the first unreadable file.")]

# Which network
Backbone = Annotated[
    str | None,
    option("A timm name, foveal-s, classical, a folder or an .onnx file.", "--backbone"),
]
Weights = Annotated[
    Path | None, option("Weights of the network: a .safetensors file.", "--weights")
]
ModelArg = Annotated[
    list[str] | None,
    option("An argument of timm's for the network: pad_type=same. May be repeated.", "--model-arg"),
]
Size = Annotated[int | None, option("Side of the square the network sees, in pixels.", "--size")]
Mean = Annotated[Triple | None, option("Mean of R G B that the weights expect, on 0–1.", "--mean")]
Std = Annotated[Triple | None, option("Deviation of R G B they expect, on 0–1.", "--std")]
Crop = Annotated[float | None, option("Share of the resized side that is kept.", "--crop")]
Interpolation = Annotated[str | None, option("bilinear or bicubic.", "--interpolation")]
Shape = Annotated[
    str | None, option("What happens to other aspects: crop, squash or pad.", "--shape")
]

# What every verb has
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder to write the model to.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]


def given(**options: object) -> dict[str, Any]:
    """Return the options that were given: the others keep their record's default.

    >>> given(size=None, crop=1.0, strict=False)
    {'crop': 1.0}
    """
    return {
        name: value for name, value in options.items() if value is not None and value is not False
    }


def model_arguments(pairs: Sequence[str]) -> Mapping[str, Any]:
    """Return ``KEY=VALUE`` pairs as a mapping; values are read as JSON, else as text.

    >>> model_arguments(["pad_type=same", "bn_eps=1e-3"])
    {'pad_type': 'same', 'bn_eps': 0.001}

    Raises:
        OutOfRange: for one without an equals sign.
    """
    arguments: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise OutOfRange("--model-arg", pair, "KEY=VALUE, such as pad_type=same")
        try:
            arguments[key] = json.loads(value)
        except ValueError:
            arguments[key] = value
    return arguments
