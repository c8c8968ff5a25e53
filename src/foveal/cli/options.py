"""Options that several verbs share, in groups, and how their values become settings records.

A group is a ``TypedDict`` whose keys are the names of settings. A verb takes groups whole, as
``**options: Unpack[Group]``, and ``spread`` shows the parser what is in them, one by one. In help
the options of a ``headed`` group stand together under its docstring; those of others come first.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, TypedDict, TypeVar, get_args, get_type_hints

import typer

from foveal.core.errors import OutOfRange

G = TypeVar("G")
Triple = tuple[float, float, float]
Verb = Callable[..., None]
FLAGS: dict[str, str] = {}  # setting -> flag, where they differ; of all verbs that are declared


_HEADED: list[type] = []  # groups with a heading of their own, in the order of their declaration


def option(help_text: str, *names: str, otherwise: str = "", metavar: str | None = None) -> Any:  # noqa: ANN401 — typer's own marker
    """Mark a parameter, inside its ``Annotated``, as given by these names.

    Args:
        help_text: what is said of it. Its default is not: help takes that from the record.
        names: with their dashes.
        otherwise: what holds where it is not given, if the record leaves that open.
        metavar: its value in help, where that is not just of a type.
    """
    default = otherwise or False
    return typer.Option(*names, help=help_text, show_default=default, metavar=metavar)


def headed(group: type[G]) -> type[G]:
    """Let the options that ``group`` declares stand under its docstring in help."""
    _HEADED.append(group)
    return group


# What every verb has
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder to write the model to.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No words or progress on stderr.")]


@headed
class Files(TypedDict, total=False):
    """How the photographs and their classes are found (else guessed)."""

    path_column: Annotated[
        str | None, option("Column of a table that names the files.", "--path-column")
    ]
    label_column: Annotated[str | None, option("Column that names the classes.", "--label-column")]
    part_column: Annotated[
        str | None, option("Column that says train, val or test.", "--part-column")
    ]
    root: Annotated[Path | None, option("Folder that a table's paths start from.", "--root")]
    reader: Annotated[str | None, option("How to read it, where guessing fails.", "--reader")]


@headed
class Groups(TypedDict, total=False):
    """Which photographs belong together, and are never parted."""

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
        option(
            "Whether group names restart: in each 'class', or 'all'.",
            "--group-scope",
            otherwise="class for a pattern, all for a level",
        ),
    ]


@headed
class Faults(TypedDict, total=False):
    """What may be wrong with the photographs."""

    max_broken: Annotated[
        float | None, option("Share of unreadable files to put up with.", "--max-broken")
    ]
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first unreadable file.")]


class Reading(Files, Groups, Faults, total=False):
    """How a dataset is read, in which groups, and what may be wrong with it."""


ModelArgs = Annotated[
    list[str] | None,
    option(
        "An argument of timm's for the network: pad_type=same. May be repeated.",
        "--model-arg",
        metavar="<KEY=VALUE>",
    ),
]
COLOURS = "<R> <G> <B>"  # three values in help
Mean = Annotated[
    Triple | None, option("Mean that the weights expect, on 0–1.", "--mean", metavar=COLOURS)
]
Std = Annotated[Triple | None, option("Deviation they expect, on 0–1.", "--std", metavar=COLOURS)]
Crop = Annotated[float | None, option("Share of the resized side that is kept.", "--crop")]
Shape = Annotated[
    str | None, option("What happens to other aspects: crop, squash or pad.", "--shape")
]


@headed
class Weights(TypedDict, total=False):
    """The network's weights, and how they see a photograph (else as their record says)."""

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
        option(
            "A timm name, foveal-s, classical, a folder or an .onnx file.",
            "--backbone",
            otherwise="mobilenetv2_100 where its weights can be had, else foveal-s",
        ),
    ]


def spread(records: Callable[[], Iterable[type]] = tuple) -> Callable[[Verb], Verb]:
    """Let the parser see what ``**options: Unpack[Group]`` of a verb stands for, one by one.

    They stand before the parameters that the verb takes by keyword only.

    Args:
        records: returns the settings records that the options go to: help tells their defaults.
    """

    def spread_out(verb: Verb) -> Verb:
        hints = get_type_hints(verb, include_extras=True)
        *own, rest = inspect.signature(verb).parameters.values()
        (group,) = get_args(hints[rest.name])
        more = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=False if get_args(hint)[0] is bool else None,
                annotation=_under(_heading(group, name), hint),
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
        called.records = records  # type: ignore[attr-defined]  # for the verb's help
        FLAGS.update(flags(group))
        return called

    return spread_out


def _heading(group: type, name: str) -> str | None:
    """Return the heading of an option: that of the headed group that declares it.

    A ``TypedDict`` forgets its bases, but has the very annotations of theirs.
    """
    own = group.__annotations__[name]
    declared = (one for one in _HEADED if one.__annotations__.get(name) is own)
    source = next(declared, None)
    return None if source is None else str(source.__doc__).rstrip(".")


def _under(heading: str | None, hint: Any) -> Any:  # noqa: ANN401 — an ``Annotated``
    """Return the type of an option with what the parser is told of it: where it stands in help."""
    kind, told = get_args(hint)
    told = copy(told)
    told.rich_help_panel = heading
    return Annotated[kind, told]


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
        OutOfRange: for one without an equals sign, or one that was given before.
    """
    arguments: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise OutOfRange("model_args", pair, "KEY=VALUE, such as pad_type=same")
        if key in arguments:
            raise OutOfRange("model_args", pair, f"each argument once: {key} was given before")
        try:
            arguments[key] = json.loads(value)
        except ValueError:
            arguments[key] = value
    return arguments
