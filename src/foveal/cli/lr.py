"""`foveal lr`: which learning rate fits these pictures and this network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Unpack

import typer

from foveal.cli import options as o
from foveal.cli import training_options as t
from foveal.cli.console import console, result
from foveal.cli.fit import records

Data = Annotated[
    Path | None, typer.Argument(help="Labelled photographs, read as `fit` reads them.")
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out", "-o", help="Chart to write: an .svg file, for a browser.", show_default=False
    ),
]
Settings = Annotated[
    Path | None, o.option("For the run of this run.json; further options win.", "--settings")
]
Steps = Annotated[
    int | None,
    o.option("Training steps of the test, each at a higher rate.", "--steps", otherwise="100"),
]


class Main(o.Network, total=False):
    """What most people decide, if anything."""

    strategy: Annotated[
        str | None,
        o.option(
            "finetune, or scratch for a network that knows nothing yet.",
            "--strategy",
            otherwise="finetune",
        ),
    ]
    class_weights: t.ClassWeights
    test_share: Annotated[float | None, o.option("Share held out, as for `fit`.", "--test-share")]
    seed: Annotated[int | None, o.option("Of every random choice.", "--seed")]


class Trying(Main, o.Reading, o.Weights, t.Learning, total=False):
    """Everything that decides how a loss falls."""


@o.spread(records)
def lr(
    data: Data = None,
    out: Out = None,
    steps: Steps = None,
    *,
    settings: Settings = None,
    overwrite: o.Overwrite = False,
    as_json: o.AsJson = False,
    quiet: o.Quiet = False,
    **options: Unpack[Trying],
) -> None:
    """Find the learning rates for training a network.

    Ever higher ones are tried for a step each, and the loss is drawn; nothing is trained to keep.
    It says which --rate and --head-rate to give to `foveal fit`.

    Example: foveal lr photos/ --backbone mobilenetv2_100 -o lr.svg
    """
    from foveal.core.errors import OutOfRange
    from foveal.recipes.lr import STEPS, find_rates
    from foveal.recipes.requested import FitOrder

    if options.get("strategy") == "probe":
        expected = "finetune, scratch or auto: a probe learns at no rate"
        raise OutOfRange("strategy", "probe", expected)
    order = FitOrder.from_options(data, settings, o.given(**options))
    with console(quiet=quiet) as heard:
        done = find_rates(
            order, out, steps=STEPS if steps is None else steps, overwrite=overwrite, listener=heard
        )
    result(done, as_json=as_json)
