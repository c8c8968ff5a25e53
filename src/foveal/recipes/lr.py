"""Which learning rate fits these pictures and this network: a range test, in words and drawn."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foveal.backbone.spec import LAST
from foveal.core.errors import OutOfRange
from foveal.core.files import check_exists, check_file, write_file
from foveal.core.listener import SILENT, Listener
from foveal.data.readers import read
from foveal.evaluate.rate_chart import Mark, rate_chart, rate_text
from foveal.recipes.clock import Clock
from foveal.recipes.fit import STRATEGIES
from foveal.recipes.requested import FitOrder
from foveal.recipes.task import Task
from foveal.recipes.training.schooling import machine_of, ready

if TYPE_CHECKING:
    from foveal.train.network.rate_range import RateRange

STEPS = 100
FEWEST_STEPS = 20  # with fewer, even a plain fall is not told from chance


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningRates:
    """What a range test suggests for a training."""

    found: RateRange  # in shares of the rates as they were set
    optimizer: str
    strategy: str  # that trains at them
    rate: float  # as it was set, of the deepest stage
    head_rate: float  # as it was set, of the classifier
    chart: Path | None = None  # where it is drawn

    def to_mapping(self) -> dict[str, Any]:
        """Return it for scripts."""
        return {
            "suggestion": self._rates(self.found.suggestion),
            "steepest": self._rates(self.found.steepest),
            "least": self._rates(self.found.least),
            "set": self._rates(1.0),
            "optimizer": self.optimizer,
            "strategy": self.strategy,
            "too_high": self.found.too_high,
            "loss_at_first": self.found.at_first,
            "points": [
                {
                    "rate": p.share * self.rate,
                    "loss": p.loss,
                    "evened": p.evened,
                    "smoothed": p.smoothed,
                }
                for p in self.found.points
            ],
            "chart": None if self.chart is None else str(self.chart),
        }

    def lines(self) -> list[str]:
        """Return it for people: what to type first, then why, and when not to."""
        found, points = self.found, self.found.points
        first, last = (rate_text(each.share * self.rate) for each in (points[0], points[-1]))
        tried = (
            f"Tried on a copy of the network, for {self.optimizer}: {len(points)} rates from "
            f"{first} to {last}, a training step each."
        )
        return [
            *(self._nothing() if found.suggestion is None else self._something(found.suggestion)),
            tried,
            *([f"{self.chart}: the chart"] if self.chart is not None else []),
        ]

    def _something(self, share: float) -> list[str]:
        """Return what to do with a suggestion."""
        found, last = self.found, self.found.points[-1].share
        said = [
            f"Suggested: {self._options(share)}",
            f"Give these to `foveal fit --strategy {self.strategy}`, other options as here: "
            + (
                "up to this rate the loss fell, above it it rose again."
                if found.too_high
                else f"the loss was least there, and no rate up to {rate_text(last * self.rate)} "
                "was too high."
            ),
        ]
        if found.steepest is not None and found.steepest < share:
            said.append(f"If a training with them does badly: {self._options(found.steepest)}, "
                        "where the loss fell fastest.")  # fmt: skip
        said.append(
            "One short test is no training: which rate is better, only val can tell. "
            f"Without these options it is {self._options(1.0)}."
            if found.too_high
            else f"Higher ones may do better; to try them: foveal lr … {self._options(100)}"
        )
        return said

    def _nothing(self) -> list[str]:
        """Return why nothing is suggested, and what to do."""
        last = rate_text(self.found.points[-1].share * self.rate)
        if self.found.too_high:
            return [
                "Nothing is suggested: at no rate did the loss fall by more than chance before it "
                "rose.",
                "Either the network has little left to learn from these pictures (then "
                "`--strategy probe` is enough), or the test was too short: try --steps 300 or a "
                "larger --batch.",
            ]
        return [
            f"Nothing is suggested: up to {last} the loss neither fell nor rose by more than "
            "chance.",
            f"Try higher rates: foveal lr … {self._options(100)}; or a longer test: --steps 300.",
        ]

    def svg(self, title: str) -> str:
        """Return the chart."""
        found, points = self.found, self.found.points
        marks = [
            Mark(share * self.rate, text, share == found.suggestion)
            for share, text in (
                (found.least, "suggested --rate, where the loss is least"),
                (found.steepest, "where the loss falls fastest, the careful choice"),
                (1.0, "--rate as it is set"),
            )
            if share is not None
        ]
        return rate_chart(
            [point.share * self.rate for point in points],
            [point.evened for point in points],
            [point.smoothed for point in points],
            marks,
            title=title,
            notes=(
                "From left to right, each training step is made at a higher rate than the one "
                "before.",
                "Level: too low to learn. Falling: it learns. Rising: too high. "
                + ("" if found.suggestion is not None else "No fall is more than chance."),
            ),
            axis=f"learning rate of the deepest stage (--rate); the classifier's (--head-rate) is "
            f"{self.head_rate / self.rate:.3g} times that",
        )

    def _options(self, share: float) -> str:
        rate, head = rate_text(share * self.rate), rate_text(share * self.head_rate)
        return f"--rate {rate} --head-rate {head}"

    def _rates(self, share: float | None) -> dict[str, float] | None:
        if share is None:
            return None
        return {"rate": share * self.rate, "head_rate": share * self.head_rate}


def find_rates(
    order: FitOrder,
    out: Path | None = None,
    *,
    steps: int = STEPS,
    overwrite: bool = False,
    listener: Listener = SILENT,
) -> LearningRates:
    """Try rates on what ``foveal fit`` would train, from where it would begin.

    Args:
        order: a fit as it would be asked for, by the strategy "finetune" unless another one trains
            a network. Its rates are what the range lies around: from a thousandth to a thousand
            times of them.
        out: the chart, written whole or not at all; ``.svg``. None: none is drawn.
        steps: of the test.
        overwrite: whether a file there is replaced.
        listener: hears what is assumed and how far it is.

    Raises:
        MissingExtra: in a base install.
        OutOfRange, NotThere, AlreadyThere: for an ``out`` that cannot be written, a setting that
            cannot work, photographs that are not there.
        BadData: where there is nothing to learn from.
    """
    if steps < FEWEST_STEPS:
        raise OutOfRange("steps", steps, f"at least {FEWEST_STEPS}")
    if out is not None:
        check_file(out, ending=".svg", overwrite=overwrite)
    check_exists(order.data, "dataset")
    begin, wanted = STRATEGIES.pick(order.fit.train.strategy).begin, order.fit.train
    if begin is None:  # nobody asked for another one
        wanted = replace(wanted, strategy="finetune")
        begin = STRATEGIES.pick("finetune").begin
    assert begin is not None
    probe = replace(order.fit.probe, features=LAST)  # no other block is in the network's way
    task = Task(
        data=read(order.data, settings=order.read),
        settings=replace(order.fit, train=wanted, probe=probe),
        listener=listener,
        clock=Clock(),
    )
    with machine_of(task) as machine:
        begun = begin(task, machine)
        here = machine.suited_to(begun.network)
        with ready(task, begun, here) as (network, plan):
            from foveal.train.network.rate_range import rate_range

            found = rate_range(network, plan, machine=here, steps=steps, listener=listener)
    rates = LearningRates(
        found=found,
        optimizer=wanted.optimizer,
        strategy=wanted.strategy,
        rate=wanted.rate,
        head_rate=wanted.head_rate,
        chart=out,
    )
    if out is not None:
        title = f"{order.data.absolute().name}: loss over learning rate, {wanted.optimizer}"
        write_file(out, rates.svg(title).encode(errors="replace"))
    return rates
