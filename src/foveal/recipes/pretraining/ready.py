"""`Ready`: a pretraining whose pictures are there and whose network is made; nothing is learnt yet.

What the teacher sees is not looked at here: how long it will take is measured on a few pictures.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from foveal.backbone.catalog import not_installed, pick
from foveal.backbone.settings import BackboneSettings
from foveal.backbone.spec import Backbone
from foveal.core.errors import BadData, MissingExtra, OutOfRange
from foveal.core.files import sha256_of
from foveal.core.listener import Listener
from foveal.core.settings import to_mapping
from foveal.recipes.clock import Clock
from foveal.recipes.pretraining.order import NOT_THE_RUN, TEACHER, PretrainOrder
from foveal.recipes.pretraining.pictures import Pictures, Schoolbook, schoolbook
from foveal.recipes.pretraining.teacher import is_kept, seconds_of, seen_by
from foveal.recipes.training.schooling import score
from foveal.recipes.workplace import Workplace
from foveal.train.network.pretrain_settings import PretrainSettings

if TYPE_CHECKING:
    from foveal.train.network.forecast import Forecast
    from foveal.train.network.machine import Machine
    from foveal.train.network.pictures.canvas import Canvases
    from foveal.train.network.pretraining import Course
    from foveal.train.network.run import Network, Plan


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ready:
    """A pretraining that may begin, or go on."""

    order: PretrainOrder
    book: Schoolbook
    course: Course
    network: Network  # on the machine's device
    machine: Machine  # in the precision that suits the network, where none was named
    teacher: Backbone | None
    facts: dict[str, Any]  # what a resumed run must have in common with the one that was cut off
    clock: Clock
    listener: Listener

    def plan(self) -> Plan:
        """Return the plan of its run; on a card it holds the pictures, so one at a time."""
        from foveal.train.network.pretraining import plan_of

        return plan_of(self.course, self.order.settings, machine=self.machine, facts=self.facts)

    def of_epochs(self, epochs: int) -> Ready:
        """Return the same of so many epochs, whatever the budget was."""
        settings = replace(self.order.settings, epochs=epochs, budget=None)
        order = replace(self.order, settings=settings)
        facts = {**self.facts, "settings": _settings(order)}
        return replace(self, order=order, facts=facts)

    def taught(self, place: Workplace) -> Ready:
        """Return the same with what the teacher sees; it is kept in ``place``.

        Raises:
            DiskFull: when there is no room for it.
        """
        if self.teacher is None:
            return self
        with self.machine.leader_first(), self.clock("teacher"):
            seen = seen_by(self.teacher, self.book.train, place.folder, self.listener)
        rows = self.course.canvases.rows
        return replace(self, course=replace(self.course, seen_nD=seen[rows]))

    def within(self, budget: str | None, place: Workplace) -> Forecast:
        """Say what it will cost, and return the forecast of the epochs that fit into the budget.

        Raises:
            OutOfRange: for a budget that is too small.
        """
        from foveal.train.network.forecast import fitting

        plan = self.plan()
        return fitting(self.expected(plan, place), plan, budget, self.listener)

    def expected(self, plan: Plan, place: Workplace, *, goes_on: bool = False) -> Forecast:
        """Return what it will cost, the teacher's work included.

        Args:
            plan: of its run.
            place: where the teacher's work may be done already.
            goes_on: whether what was cut off there goes on: what is left counts.
        """
        from foveal.train.network.forecast import NOTHING
        from foveal.train.network.measuring import done_before, forecast, worth_measuring
        from foveal.train.network.saving.checkpoint import Checkpoints

        done, teacher_s = NOTHING, 0.0
        if goes_on:
            kept = Checkpoints(place.checkpoints, listener=self.listener)
            done = done_before(kept, plan, self.machine)
        with self.clock("measuring"):
            if self.teacher is not None and not (
                goes_on and is_kept(self.teacher, self.book.train, place.folder)
            ):
                teacher_s = seconds_of(self.teacher, self.book.train)
            return forecast(
                self.network,
                plan,
                machine=self.machine,
                steps=worth_measuring(plan),
                done=done,
                before_s=teacher_s,
                listener=self.listener,
            )


@contextmanager
def machine_of(order: PretrainOrder) -> Iterator[Machine]:
    """Yield what the network is trained on, joined with other ranks where there are some.

    Raises:
        MissingExtra: in a base install.
        UnknownName: for an optimiser that is none.
        NotThere: for a device that is not there.
    """
    if not_installed():
        raise MissingExtra("Training a network", "train")
    from foveal.train.network.allocator import keep_freed_memory
    from foveal.train.network.machine import machine
    from foveal.train.network.optimizers import OPTIMIZERS

    OPTIMIZERS.pick(order.settings.optimizer)
    keep_freed_memory()
    with machine(order.settings.device, order.settings.precision) as here:
        yield here


@contextmanager
def ready(order: PretrainOrder, here: Machine, clock: Clock, listener: Listener) -> Iterator[Ready]:
    """Yield a pretraining that may begin; inside the block its pictures are there.

    Raises:
        BadWeights: if the weights to begin with are of another network.
        BadData: where there is nothing to learn from.
    """
    from foveal.train.network.pretraining import bare_network, new_network

    settings, teacher = order.settings, None
    with here.leader_first():
        with clock("reading files"):
            book = _book(order, listener)
        bare_network(settings, len(book.classes))  # refuses before the long work
        if order.teacher is not None:
            with clock("teacher"):
                teacher = _teacher(order.teacher, listener)
    with clock("decoding"):
        learnt = _decoded(book.train, settings, listener)
        judging = _decoded(book.val, settings, listener)
    with learnt, judging:
        course = _course(book, learnt, judging, teacher)
        network = new_network(settings, course)
        here = here.suited_to(network)
        yield Ready(
            order=order,
            book=book,
            course=course,
            network=here.place(network),
            machine=here,
            teacher=teacher,
            facts=_facts(order, book, None if teacher is None else teacher.spec.fingerprint),
            clock=clock,
            listener=listener,
        )


def _teacher(wanted: BackboneSettings, listener: Listener) -> Backbone:
    """Return the teacher; what cannot work is said of its settings, not of the network's.

    Raises:
        OutOfRange: as ``pick`` does.
    """
    try:
        return pick(wanted, listener)
    except OutOfRange as refused:
        raise OutOfRange(TEACHER + refused.field, refused.got, refused.expected) from None


def _book(order: PretrainOrder, listener: Listener) -> Schoolbook:
    settings = order.settings
    return schoolbook(
        order.data,
        order.val,
        order.reading,
        val_share=settings.val_share,
        seed=settings.seed,
        listener=listener,
    )


def _decoded(pictures: Pictures, settings: PretrainSettings, listener: Listener) -> Canvases:
    from foveal.train.network.pictures.canvas import canvases

    found = canvases(
        pictures.sources, settings.preprocess, side_px=settings.side_px, listener=listener
    )
    if found.broken:
        row, reason = found.broken[0]
        listener.say(
            f"{len(found.broken):,} of {len(pictures.sources):,} pictures are left out, the "
            f"first of them {pictures.names[row]}: {reason}."
        )
    if not len(found):
        raise BadData("None of the pictures can be read.", hint="Look at some of them.")
    return found


def _course(
    book: Schoolbook, learnt: Canvases, judging: Canvases, teacher: Backbone | None
) -> Course:
    """Return what is learnt; where there is a teacher, zeros that take no room for what it sees."""
    from foveal.train.network.pretraining import Course

    unseen = None
    if teacher is not None:
        unseen = np.broadcast_to(np.zeros(1, np.float16), (len(learnt), teacher.spec.features))
    return Course(
        canvases=learnt,
        labels_n=book.train.labels_N[learnt.rows],
        val=judging,
        val_labels_M=book.val.labels_N[judging.rows],
        classes=len(book.classes),
        seen_nD=unseen,
        score=score,
        called=lambda row: book.train.names[row],
    )


def _facts(order: PretrainOrder, book: Schoolbook, teacher: str | None) -> dict[str, Any]:
    init = order.settings.init
    return {
        "settings": _settings(order),
        "begun_from": None if init is None else sha256_of(init),
        "train": book.train.fact,
        "val": book.val.fact,
        "classes": list(book.classes),
        "teacher": teacher,
        "how": book.how,
    }


def _settings(order: PretrainOrder) -> dict[str, Any]:
    known = to_mapping(order.settings)
    return {name: value for name, value in known.items() if name not in (*NOT_THE_RUN, "budget")}
