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


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningRates:
    """What a range test suggests for a training."""

    found: RateRange  # in shares of the rates as they were set
    optimizer: str
    rate: float  # as it was set, of the deepest stage
    head_rate: float  # as it was set, of the classifier
    chart: Path | None = None  # where it is drawn

    def to_mapping(self) -> dict[str, Any]:
        """Return it for scripts."""
        return {
            "suggestion": self._rates(self.found.suggestion),
            "steepest": self._rates(self.found.steepest),
            "tenth": self._rates(self.found.tenth),
            "set": self._rates(1.0),
            "optimizer": self.optimizer,
            "too_high": self.found.too_high,
            "points": [
                {"rate": p.share * self.rate, "loss": p.loss, "smoothed": p.smoothed}
                for p in self.found.points
            ],
            "chart": None if self.chart is None else str(self.chart),
        }

    def lines(self) -> list[str]:
        """Return it for people."""
        share, rate, points = self.found.suggestion, self.rate, self.found.points
        if share is None:
            first = (
                "Nothing is suggested: the loss fell at no rate. Is the rate not what is wrong?"
                if self.found.too_high
                else "Nothing is suggested: the loss neither fell nor rose. Try --steps 300."
            )
        else:
            head = rate_text(share * self.head_rate)
            first = f"Suggested for {self.optimizer}: --rate {rate_text(share * rate)} "
            first += f"--head-rate {head}"
        reasons = [
            f"{what} {rate_text(found * rate)}"
            for what, found in (
                ("the loss falls fastest at", self.found.steepest),
                ("a tenth of the rate at its least is", self.found.tenth),
            )
            if found is not None
        ]
        last = rate_text(points[-1].share * rate)
        ends = (
            f"At {last} it was too high: the loss left all it had reached."
            if self.found.too_high
            else f"Not even {last} was too high."
        )
        why = "; ".join(reasons)
        return [
            first,
            *([f"{why[0].upper()}{why[1:]}."] if why else []),
            ends,
            *([f"{self.chart}: {len(points)} steps"] if self.chart is not None else []),
        ]

    def svg(self, title: str) -> str:
        """Return the chart."""
        share, points = self.found.suggestion, self.found.points
        marks = [
            Mark(
                found * self.rate, f"{text} (suggested)" if found == share else text, found == share
            )
            for found, text in (
                (self.found.steepest, "where the loss falls fastest"),
                (self.found.tenth, "a tenth of the rate at the least loss"),
                (1.0, "as it was set"),
            )
            if found is not None
        ]
        return rate_chart(
            [point.share * self.rate for point in points],
            [point.loss for point in points],
            [point.smoothed for point in points],
            marks,
            title=title,
            axis=f"learning rate of the deepest stage; the classifier's is "
            f"{self.head_rate / self.rate:.3g} times that",
        )

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
    if steps < 10:
        raise OutOfRange("steps", steps, "at least 10")
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
        rate=wanted.rate,
        head_rate=wanted.head_rate,
        chart=out,
    )
    if out is not None:
        title = f"{order.data.absolute().name}: loss over learning rate, {wanted.optimizer}"
        write_file(out, rates.svg(title).encode(errors="replace"))
    return rates
