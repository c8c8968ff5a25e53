"""`pretrain_and_save`: a network learns from scratch and becomes a backbone folder."""

from __future__ import annotations

import platform
import shlex
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foveal.backbone import store
from foveal.core.errors import AlreadyThere, OutOfRange
from foveal.core.files import check_free
from foveal.core.listener import SILENT, Listener
from foveal.core.machine import cores
from foveal.core.settings import to_json
from foveal.recipes.clock import Clock, environment
from foveal.recipes.pretraining.backbone_card import Studied, card
from foveal.recipes.pretraining.order import FITS, PretrainOrder
from foveal.recipes.pretraining.ready import Ready, machine_of, ready
from foveal.recipes.workplace import Workplace
from foveal.train.network.pretrain_settings import PretrainSettings

if TYPE_CHECKING:
    from foveal.train.network.forecast import Forecast
    from foveal.train.network.run import Epoch, Update

CARD, RECORD = "README.md", "pretraining.json"  # beside the backbone


@dataclass(frozen=True, slots=True, kw_only=True)
class Pretrained:
    """What a pretraining came to."""

    folder: Path
    facts: Mapping[str, Any]  # JSON-ready: scores, sizes, epochs, seconds

    def to_mapping(self) -> dict[str, Any]:
        """Return its facts JSON-ready."""
        return dict(self.facts)

    def lines(self) -> list[str]:
        """Return what a person should read."""
        facts = self.facts
        sizes = ", ".join(f"{100 * v:.1f} % at {size} px" for size, v in facts["sizes"].items())
        return [
            f"{self.folder}: {facts['arch']}, {facts['parameters'] / 1e6:.2f} M weights, "
            f"epoch {facts['kept']} of {len(facts['epochs'])}",
            f"right on val ({facts['val']:,} pictures, {facts['how']}): {sizes}",
            f"use it: foveal fit PHOTOS -o MODEL --backbone {shlex.quote(str(self.folder))}",
        ]


def pretrain_and_save(
    order: PretrainOrder,
    out: Path,
    *,
    overwrite: bool = False,
    resume: bool = False,
    listener: Listener = SILENT,
) -> Pretrained:
    """Train a network from scratch and write it as a backbone folder.

    The run's state lies in ``OUT.training`` until then, see `Workplace`; what the teacher sees is
    kept there too.

    Args:
        order: see there.
        out: the folder to write; ``--backbone OUT`` takes it.
        overwrite: replace what is there.
        resume: go on with the run that was cut off, which has to be of the same order.
        listener: hears what was assumed and how it goes.

    Raises:
        MissingExtra: in a base install.
        OutOfRange: if ``out`` has no name of its own, such as ``.``.
        AlreadyThere: if something is there that may not be replaced, or another process is
            training there.
        BadWeights: if the weights to begin with are of another network.
        BadData: where there is nothing to learn from.
        CannotResume: if settings or data are not those that the run was begun with.
    """
    _check_out(out, overwrite=overwrite)
    place = Workplace.of(out)
    with machine_of(order) as here, ExitStack() as own:
        if here.leads:
            begun = place.held(order.to_mapping(), resume=resume, overwrite=overwrite)
            if resume:
                place.settings()  # refuses where there is none
            own.enter_context(begun)
        with ready(order, here, Clock(), listener) as made:
            try:
                taught = _within_budget(made, place).taught(place)
                return _trained(taught, out, place, overwrite=overwrite)
            except KeyboardInterrupt:
                if here.leads and place.worth_keeping:
                    listener.say(
                        f"What was learnt is kept: foveal pretrain -o {out} --resume goes on."
                    )
                raise


def dry_run(
    order: PretrainOrder, place: Workplace, listener: Listener = SILENT, *, resume: bool = False
) -> Forecast:
    """Return what a pretraining will take on this machine; nothing is written.

    Args:
        order: see there.
        place: where it would keep its state.
        listener: hears what was assumed, and what fits into a budget.
        resume: of the one that was cut off there: what is left of it.

    Raises:
        OutOfRange: for a budget that is too small.
        FovealError: whatever the pretraining itself would raise before it trains.
    """
    with machine_of(order) as here, ExitStack() as own:
        if resume and here.leads:
            own.enter_context(place.kept_out())
        with ready(order, here, Clock(), listener) as made:
            if order.settings.budget is not None:
                return made.within(order.settings.budget, place)
            return made.expected(made.plan(), place, goes_on=resume)


def _within_budget(made: Ready, place: Workplace) -> Ready:
    """Say what the training will cost, and return it with as many epochs as its budget allows.

    One that goes on keeps the epochs it was begun with.
    """
    if made.machine.from_leader(place.worth_keeping):
        return made
    budget = made.order.settings.budget
    fits = made.within(budget, place).epochs
    if budget is not None and made.machine.leads:
        place.begin({**made.order.to_mapping(), FITS: fits})
    return made.of_epochs(fits)


def _check_out(out: Path, *, overwrite: bool) -> None:
    """Refuse a folder that may not be replaced, before any work is done."""
    if out.name in {"", ".."}:
        raise OutOfRange("out", str(out), "a folder with a name of its own, such as backbone/")
    check_free(out, overwrite=overwrite)
    there = {path.name for path in out.iterdir()} if out.is_dir() else set()
    own = {store.SPEC, store.GRAPH, store.WEIGHTS, CARD, RECORD}
    if more := sorted(there - own):
        raise AlreadyThere(
            f"{out} holds more than a backbone: {more[0]}.",
            hint="Only a backbone may be replaced: choose another name.",
        )


def _trained(made: Ready, out: Path, place: Workplace, *, overwrite: bool) -> Pretrained:
    from foveal.train.network.pretraining import at_sizes
    from foveal.train.network.run import train
    from foveal.train.network.saving.checkpoint import Checkpoints

    order, course, network, here = made.order, made.course, made.network, made.machine
    settings, listener, clock = order.settings, made.listener, made.clock
    with clock("training"):
        run = train(
            network,
            made.plan(),
            machine=here,
            checkpoints=Checkpoints(place.checkpoints, listener=listener),
            listener=listener,
            tell=_Diary(place, settings, listener).tell,
        )
    last = settings.sizes[-1]
    sizes = tuple(sorted({*settings.sizes, *(round(last * share) for share in (0.75, 1, 1.25))}))
    found = {
        "arch": settings.arch,
        "model_args": dict(settings.model_args),
        "train": len(course.canvases),
        "val": len(course.val),
        "classes": course.classes,
        "how": made.book.how,
        "sizes": at_sizes(network, course, settings, sizes, here),
        "kept": run.kept,
        "epochs": [said(epoch, settings) for epoch in run.epochs],
        "images_per_second": run.images_per_second,
        "seconds": dict(clock.seconds),
        "machine": processor(),
        "versions": environment(),
    }
    if not here.leads:
        return Pretrained(folder=out, facts={**found, "parameters": 0})
    return _written(made, found, out, place, overwrite=overwrite)


def _written(
    made: Ready, found: dict[str, Any], out: Path, place: Workplace, *, overwrite: bool
) -> Pretrained:
    """Export the network and write its folder; the run's state goes when that is there."""
    from foveal.train.network.pretraining import exported

    order, clock = made.order, made.clock
    with clock("graph"):
        spec, model, weights, count = exported(
            made.network, order.settings, name=out.name, weights=f"foveal pretrain, {out.name}"
        )
    found = {**found, "parameters": count, "seconds": dict(clock.seconds)}
    text = card(Studied(order=order.to_mapping(), found=found), name=out.name)
    more = {CARD: text.encode(), RECORD: to_json(found)}
    store.write(out, spec, model, weights, more=more, overwrite=overwrite)
    place.remove()
    return Pretrained(folder=out, facts=found)


class _Diary:
    """What is written down while a network is trained: a line an epoch."""

    def __init__(self, place: Workplace, settings: PretrainSettings, listener: Listener) -> None:
        self.place, self.settings, self.listener = place, settings, listener
        self.epochs: list[Mapping[str, Any]] = []

    def tell(self, news: Update | Epoch) -> None:
        """Hear an update or an epoch."""
        from foveal.train.network.run import Epoch

        if not isinstance(news, Epoch):
            return
        line = said(news, self.settings)
        self.epochs[news.number - 1 :] = [line]  # a run that went back comes by again
        self.place.write_metrics(self.epochs)
        self.listener.say(
            f"epoch {line['number']} at {line['size']} px: loss {line['train_loss']:.3f}, "
            f"on val {line['val_loss']:.3f}, right {100 * line['val_top1']:.1f} %"
        )


def said(epoch: Epoch, settings: PretrainSettings) -> dict[str, Any]:
    """Return an epoch as JSON has it."""
    return {
        "number": epoch.number,
        "size": settings.size_in(epoch.number - 1),
        "rate": epoch.share * settings.rate,
        "train_loss": epoch.train_loss,
        "val_loss": epoch.scores["log_loss"],
        "val_top1": epoch.scores["top1"],
    }


def processor() -> str:
    """Return what the machine computes with, in words."""
    return f"{cores()} cores, {platform.processor() or platform.machine()}"
