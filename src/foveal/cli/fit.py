"""`foveal fit`: from labelled photographs to a saved classifier."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypedDict, Unpack

import typer

from foveal.cli import options as o
from foveal.cli import training_options as t
from foveal.cli.console import console, result

if TYPE_CHECKING:
    from foveal.recipes.story import Saved
    from foveal.train.network.forecast import Forecast

Data = Annotated[
    Path | None,
    typer.Argument(help="A folder CLASS/*.jpg or {train,val,test}/CLASS/*, or a table of files."),
]
Settings = Annotated[
    Path | None, o.option("Repeat the run of this run.json; further options win.", "--settings")
]


class Main(o.Network, total=False):
    """What most people decide, if anything."""

    strategy: Annotated[
        str | None,
        o.option(
            "probe: a head reads the frozen network; finetune, scratch, auto: it is trained too.",
            "--strategy",
        ),
    ]
    test_share: Annotated[
        float | None, o.option("Share held out for `foveal test`; 0: none.", "--test-share")
    ]
    seed: Annotated[int | None, o.option("Of every random choice.", "--seed")]


@o.headed
class Head(TypedDict, total=False):
    """What the head on a frozen network reads, and how it is chosen."""

    features: Annotated[
        str | None,
        o.option(
            "What the head reads: auto (chosen), last, or blocks by name, a,b,c.", "--features"
        ),
    ]
    head: Annotated[str | None, o.option("probe, prototype, or auto.", "--head")]
    class_weights: t.ClassWeights
    folds: Annotated[
        int | None,
        o.option(
            "Folds of the cross-validation.",
            "--folds",
            otherwise="5; 3 from 1,000 pictures on",
        ),
    ]


class Fitting(Main, o.Reading, o.Weights, Head, t.Training, total=False):
    """Everything that decides a fit."""


def records() -> tuple[type, ...]:
    """Return the settings that the options are of; those of reading have no defaults."""
    from foveal.recipes.orders import PrepareSettings
    from foveal.train.head.settings import ProbeSettings
    from foveal.train.network.settings import TrainSettings

    return PrepareSettings, ProbeSettings, TrainSettings


@o.spread(records)
def fit(  # noqa: PLR0913 — one parameter per option
    out: o.Out,
    data: Data = None,
    *,
    settings: Settings = None,
    resume: t.Resume = False,
    dry_run: t.DryRun = False,
    overwrite: o.Overwrite = False,
    as_json: o.AsJson = False,
    quiet: o.Quiet = False,
    **options: Unpack[Fitting],
) -> None:
    """Make a classifier from labelled photographs and save it.

    Example: foveal fit photos/ -o model/ --backbone mobilenetv2_100
    """
    from foveal.core.machine import rank
    from foveal.recipes.requested import FitOrder
    from foveal.recipes.story import fit_and_save
    from foveal.recipes.workplace import Workplace

    given = o.given(**options)
    order = (
        FitOrder.resumed(Workplace.of(out), data, given)
        if resume
        else FitOrder.from_options(data, settings, given)
    )
    leads = rank() == 0
    with console(quiet=quiet or not leads) as heard:
        idle = o.of(t.Training, given) if order.fit.train.strategy == "probe" else {}
        if idle:
            flags = ", ".join(o.FLAGS.get(name, f"--{name}") for name in idle)
            heard.say(
                f"Without --strategy finetune, or another that trains, nothing needs {flags}."
            )
        if dry_run:
            from foveal.recipes.dry import dry_run as forecast

            goes_on = Workplace.of(out) if resume else None
            done: Forecast | Saved = forecast(order, heard, goes_on)
        else:
            done = fit_and_save(order, out, overwrite=overwrite, resume=resume, listener=heard)
    if leads:
        result(done, as_json=as_json)
