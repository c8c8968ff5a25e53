"""Options that several verbs share, in groups, and how their values become settings records.

A group is a ``TypedDict`` whose keys are the names of settings. A verb takes groups whole, as
``**options: Unpack[Group]``, and ``spread`` shows the parser what is in them, one by one.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, TypedDict, get_args, get_type_hints

import typer

from foveal.core.errors import OutOfRange

Triple = tuple[float, float, float]
FLAGS: dict[str, str] = {}  # setting -> flag, where they differ; of all verbs that are declared


def option(help_text: str, *names: str) -> Any:  # noqa: ANN401 — typer's own marker
    """Mark a parameter, inside its ``Annotated``, as given by these names."""
    return typer.Option(*names, help=help_text, show_default=False)


# What every verb has
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder to write the model to.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No words or progress on stderr.")]


class Files(TypedDict, total=False):
    """How a dataset's files and classes are found."""

    path_column: Annotated[
        str | None, option("Column of a table that names the files.", "--path-column")
    ]
    label_column: Annotated[str | None, option("Column that names the classes.", "--label-column")]
    part_column: Annotated[
        str | None, option("Column that says train, val or test.", "--part-column")
    ]
    root: Annotated[Path | None, option("Folder that a table's paths start from.", "--root")]
    reader: Annotated[str | None, option("How to read it, where guessing fails.", "--reader")]


class Reading(Files, total=False):
    """How a dataset is read, in which groups, and what may be wrong with it."""

    group_column: Annotated[str | None, option("Column that names the groups.", "--group-column")]
    group_pattern: Annotated[
        str | None,
        option(
            r"Pattern on the file name; its one ( ) names the group: '^(\d+)_'.", "--group-pattern"
        ),
    ]
    group_level: Annotated[
        int | None,
        option("Folder level that names the group; 1 is below the root.", "--group-level"),
    ]
    group_scope: Annotated[
        str | None,
        option("Whether group names restart: in each 'class', or 'all'.", "--group-scope"),
    ]
    max_broken: Annotated[
        float | None, option("Share of unreadable files to put up with (0.05).", "--max-broken")
    ]
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first unreadable file.")]


ModelArgs = Annotated[
    list[str] | None,
    option("An argument of timm's for the network: pad_type=same. May be repeated.", "--model-arg"),
]
Mean = Annotated[Triple | None, option("Mean of R G B that the weights expect, on 0–1.", "--mean")]
Std = Annotated[Triple | None, option("Deviation of R G B they expect, on 0–1.", "--std")]
Crop = Annotated[float | None, option("Share of the resized side that is kept.", "--crop")]
Shape = Annotated[
    str | None, option("What happens to other aspects: crop, squash or pad.", "--shape")
]


class Weights(TypedDict, total=False):
    """What a network's weights are, and what they want to see."""

    weights: Annotated[
        Path | None, option("Weights of the network: a .safetensors file.", "--weights")
    ]
    model_args: ModelArgs
    size_px: Annotated[
        int | None, option("Side of the square the network sees, in pixels.", "--size")
    ]
    mean: Mean
    std: Std
    crop: Crop
    interpolation: Annotated[str | None, option("bilinear or bicubic.", "--interpolation")]
    shape: Shape


class Network(TypedDict, total=False):
    """Which network."""

    backbone: Annotated[
        str | None,
        option("A timm name, foveal-s, classical, a folder or an .onnx file.", "--backbone"),
    ]


def spread(verb: Callable[..., None]) -> Callable[..., None]:
    """Let the parser see what ``**options: Unpack[Group]`` of ``verb`` stands for, one by one.

    They stand before the parameters that ``verb`` takes by keyword only.
    """
    hints = get_type_hints(verb, include_extras=True)
    *own, rest = inspect.signature(verb).parameters.values()
    (group,) = get_args(hints[rest.name])
    more = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=False if get_args(hint)[0] is bool else None,
            annotation=hint,
        )
        for name, hint in get_type_hints(group, include_extras=True).items()
    ]
    own = [one.replace(annotation=hints[one.name]) for one in own]
    first = [one for one in own if one.kind is not inspect.Parameter.KEYWORD_ONLY]

    @wraps(verb)
    def called(**values: object) -> None:
        verb(**values)

    parameters = [*first, *more, *own[len(first) :]]
    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # its hook
    called.__annotations__ = {one.name: one.annotation for one in parameters}
    FLAGS.update(flags(group))
    return called


def flags(group: type) -> dict[str, str]:
    """Return the flag of every setting of a group that is not called as its flag is.

    >>> flags(Files)["path_column"]
    '--path-column'
    """
    found = {}
    for name, hint in get_type_hints(group, include_extras=True).items():
        flag = get_args(hint)[1].default  # where typer keeps the first name
        if flag != f"--{name}":
            found[name] = flag
    return found


def of(group: type, options: Mapping[str, object]) -> dict[str, object]:
    """Return those of ``options`` that are in ``group``.

    >>> of(Files, {"reader": "csv", "seed": 1})
    {'reader': 'csv'}
    """
    return {name: value for name, value in options.items() if name in group.__annotations__}


def given(**options: object) -> dict[str, Any]:
    """Return the options that were given, by setting: the others keep their record's default.

    >>> given(size_px=None, crop=1.0, strict=False, model_args=["pad_type=same"])
    {'crop': 1.0, 'model_args': {'pad_type': 'same'}}
    """
    found = {
        name: value for name, value in options.items() if value is not None and value is not False
    }
    if pairs := found.pop("model_args", None):
        found["model_args"] = model_arguments(pairs)  # type: ignore[arg-type]  # a list of texts
    return found


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
            raise OutOfRange("model_args", pair, "KEY=VALUE, such as pad_type=same")
        try:
            arguments[key] = json.loads(value)
        except ValueError:
            arguments[key] = value
    return arguments
