"""A run: the loop with what makes it safe and useful around it; plain code in one ``for`` loop.

After every epoch the moving average is judged and the best one kept. The whole state is saved every
two minutes and at the ends of epochs (see ``Pace``), so a run that was cut off goes on bit by bit
as if it had not been. A loss that is no number takes it back to that state, at half the rate.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from copy import deepcopy
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import Any, TypeAlias

import torch
from torch import nn

from foveal.core.errors import FovealError
from foveal.core.listener import SILENT, Listener
from foveal.core.words import shown
from foveal.train.network.average import Average
from foveal.train.network.batch_norm import synchronised
from foveal.train.network.loop import Diverged, Prepared, StepSettings, Update, updates
from foveal.train.network.losses import Loss, LossSettings
from foveal.train.network.machine import ALONE, Machine
from foveal.train.network.pictures.feed import Batch
from foveal.train.network.progress import LOG_LOSS, Epoch, Progress
from foveal.train.network.saving.checkpoint import Checkpoints
from foveal.train.network.saving.checkpoint_file import State
from foveal.train.network.saving.pace import Pace
from foveal.train.network.saving.random_states import random_states, random_states_left_alone
from foveal.train.network.saving.same_run import check_alike, check_same
from foveal.train.network.scaling import Scaling
from foveal.train.network.seeding import seed_of
from foveal.train.network.stopping import SIGNALS, Stop

__all__ = ["Epoch", "Plan", "Scores", "Trained", "Update", "train"]

HALVINGS = 3  # of the rate, before a run that diverges is given up

Network: TypeAlias = nn.Module  # for those who may not import torch
Batches = Callable[[int], Iterable[Batch]]
Scores = Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plan:
    """Everything that decides a run but the network; with it, a resumed run is the same run."""

    steps: int  # of the whole run
    steps_per_epoch: int  # an epoch's end is where it is judged
    batch: int  # pictures a step, over all ranks
    batches: Batches  # first step -> this rank's batches from there to the end, in order
    prepare: Callable[[Batch], Prepared]  # see ``inputs.Inputs``
    optimizer: Callable[[nn.Module], torch.optim.Optimizer]  # its rates are the peaks
    loss: Loss
    loss_settings: LossSettings
    rate: Callable[[int], float]  # step -> share of the peak
    judge: Callable[[nn.Module], Scores]  # of a network in eval mode; ``log_loss`` is among them
    step_settings: StepSettings = field(default_factory=StepSettings)
    average: float = 0.0  # decay of the moving average
    patience: int | None = None  # epochs without a better one after which it ends
    seed: int = 0  # of what the network itself draws: dropout, stochastic depth
    compiled: bool = False  # let torch.compile make the network faster, for some time first
    save_every_s: float = 120.0  # besides the ends of epochs
    save_share: float = 0.05  # of the time, at most, goes into saving at the ends of short epochs
    facts: Mapping[str, Any] = field(default_factory=dict)  # settings and data, as JSON
    called: Callable[[int], str] = "picture {}".format  # a row's name, for people
    sizes: tuple[int, ...] = ()  # of the input, where it rises: each for as many epochs


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """How a run went; the network has the weights of the epoch that was kept."""

    epochs: tuple[Epoch, ...]
    kept: int  # number of the epoch with the least ``log_loss``
    halvings: int  # of the rate, after losses that were no number
    seconds: float  # of this process, which may have come in late
    images_per_second: float  # while it trained, judging and saving left out; 0 where none was


def train(
    network: nn.Module,
    plan: Plan,
    *,
    machine: Machine = ALONE,
    checkpoints: Checkpoints | None = None,
    listener: Listener = SILENT,
    tell: Callable[[Update | Epoch], None] = lambda _: None,
) -> Trained:
    """Train ``network`` by ``plan``, or go on from the last of ``checkpoints``.

    Ctrl-C and SIGTERM save the state, within one update, before they take effect. The global
    generators of random numbers are left as they were found.

    Args:
        network: on the machine's device; gets the weights of the epoch that was kept.
        plan: see there.
        machine: of this process, see there; only the first rank judges, saves and speaks.
        checkpoints: an empty folder begins the run. None: nothing is saved. The first rank's is
            used; give the others one too.
        listener: hears the stage ``training`` and what was done about trouble.
        tell: hears every update and every epoch, as soon as it is done, and at first, in a run that
            goes on, the epochs that were done before.

    Raises:
        CannotResume: if the checkpoint is of other settings or data, or of another number of
            ranks, naming which.
        FovealError: if the loss is no number once more after three halvings of the rate, naming
            the pictures of that batch; whatever ``checkpoints`` raise.
    """
    with random_states_left_alone(), synchronised(network, machine), Stop() as stop:
        machine.share(network)
        torch.manual_seed(seed_of("run", plan.seed, machine.rank) % 2**63)
        run = _Run(network, plan, machine, checkpoints, listener, stop, tell)
        run.begin()
        run.go()
        return run.end()


class _Run:
    """One process's part in a run: what it is told, and how far it has come."""

    def __init__(
        self,
        network: nn.Module,
        plan: Plan,
        machine: Machine,
        checkpoints: Checkpoints | None,
        listener: Listener,
        stop: Stop,
        tell: Callable[[Update | Epoch], None],
    ) -> None:
        self.network, self.plan, self.machine = network, plan, machine
        self.checkpoints, self.listener, self.stop, self.tell = checkpoints, listener, stop, tell
        self.at = Progress(
            network,
            plan.optimizer(network),
            Average(network, decay=plan.average),
            Scaling() if machine.precision == "fp16" else None,
        )
        self.began_s, self.saved_step = time.monotonic(), -1
        self.pace = Pace(every_s=plan.save_every_s, share=plan.save_share)
        self.here, self.busy_s = 0, 0.0  # steps of this process, and what they took

    def begin(self) -> None:
        """Go on from what was saved, if anything was."""
        common = {"steps": self.plan.steps, "batch": self.plan.batch, **self.plan.facts}
        check_alike(self.machine.gathered(common))
        self.first = deepcopy(self._state())  # where a run without checkpoints goes back to
        state = self._last()
        if state is None:
            return
        assert self.checkpoints is not None
        before = {"ranks": len(state.random), **state.facts["plan"]}
        now = {"ranks": self.machine.ranks, **self.plan.facts}
        check_same(before, now, where=self.checkpoints.folder)
        self.at.restore(state, rank=self.machine.rank)
        self.listener.say(
            f"The run goes on from step {self.at.step:,} of {self.plan.steps:,}, in epoch "
            f"{self.at.step // self.plan.steps_per_epoch + 1}."
        )
        if self.machine.leads:
            for epoch in self.at.epochs:
                self.tell(epoch)

    def go(self) -> None:
        """Train to the end, back to an earlier state where the loss is no number."""
        while not self._is_over():
            try:
                self._go_on()
            except Diverged as diverged:
                self._go_back(diverged)
            except BaseException:
                if self.stop.obeyed is not None:  # by whatever its handler raised
                    self._save()
                raise

    def end(self) -> Trained:
        """Put the best epoch's weights into the network."""
        if self.saved_step != self.at.step:
            self._save()
        self.network.load_state_dict(self.at.kept)
        self.network.eval()
        return Trained(
            epochs=tuple(self.at.epochs),
            kept=self.at.best().number,
            halvings=self.at.halvings,
            seconds=time.monotonic() - self.began_s,
            images_per_second=self.here * self.plan.batch / self.busy_s if self.busy_s else 0.0,
        )

    def _go_on(self) -> None:
        plan, at = self.plan, self.at
        if self._owes_a_judgement():
            self._judge()
        network = torch.compile(self.network) if plan.compiled else self.network
        loop = updates(
            network,  # type: ignore[arg-type]  # what torch.compile returns is a module
            plan.batches(at.step),
            at.optimizer,
            prepare=plan.prepare,
            loss=plan.loss,
            loss_settings=plan.loss_settings,
            rate=self._rate,
            settings=replace(plan.step_settings, micro=at.micro or plan.step_settings.micro),
            scaling=at.scaling,
            machine=self.machine,
            stop=self.stop,
            listener=self.listener,
        )
        with closing(loop):  # type: ignore[type-var]  # a generator
            while not self._is_over():
                start = time.monotonic()
                update = next(loop, None)
                if update is None:
                    raise FovealError(f"The batches ended at step {at.step} of {plan.steps}.")
                at.average.update(self.network)
                at.step += 1
                self.here += 1
                at.loss_sum, at.micro = at.loss_sum + update.loss, update.micro
                self.busy_s += time.monotonic() - start
                self._show(update)
                due, stopping = self._agreed()
                if self._owes_a_judgement():
                    self._judge()
                if due:
                    self._save()
                if stopping:
                    self.stop.obey()

    def _is_over(self) -> bool:
        """Whether nothing is left to do: all steps, or too many epochs without a better one."""
        if self._owes_a_judgement():
            return False
        if self.at.step >= self.plan.steps:
            return True
        patience, epochs = self.plan.patience, self.at.epochs
        return bool(patience and epochs and epochs[-1].number - self.at.best().number >= patience)

    def _owes_a_judgement(self) -> bool:
        step, per_epoch = self.at.step, self.plan.steps_per_epoch
        at_end = step % per_epoch == 0 or step >= self.plan.steps
        return at_end and len(self.at.epochs) < -(-step // per_epoch)

    def _judge(self) -> None:
        """Let val say what the average is worth; keep it if it is the best so far."""
        at, scores = self.at, self._scores()
        if not isfinite(scores[LOG_LOSS]):
            raise Diverged(at.step, torch.empty(0), "The log loss on val")
        epoch = at.judged(
            scores,
            share=self._rate(at.step - 1),
            steps=at.step - len(at.epochs) * self.plan.steps_per_epoch,
        )
        if self.machine.leads:
            self.tell(epoch)

    def _scores(self) -> Scores:
        """Return what val says: the first rank asks, the others wait and stop where it does."""
        scores: Scores | None = None
        stopped: BaseException | None = None
        with self.at.average.applied(self.network):
            self.network.eval()
            if self.machine.leads:
                try:
                    with self.stop.open():
                        scores = dict(self.plan.judge(self.network))
                except BaseException as error:
                    if self.machine.ranks == 1 or self.stop.obeyed is None:
                        raise
                    stopped = error
        said: Scores | int = self.machine.from_leader(
            self.stop.obeyed if scores is None else scores
        )
        if stopped is not None:
            raise stopped
        if isinstance(said, int):
            self.stop.asked = said
            self.stop.obey()
            raise KeyboardInterrupt
        return said

    def _rate(self, step: int) -> float:
        return self.plan.rate(step) * 0.5**self.at.halvings

    def _show(self, update: Update) -> None:
        if not self.machine.leads:
            return
        self.tell(update)
        scores = self.at.epochs[-1].scores.items() if self.at.epochs else ()
        note = ", ".join(f"{name} {value:.3f}" for name, value in [("loss", update.loss), *scores])
        done, total = self.at.step * self.plan.batch, self.plan.steps * self.plan.batch
        self.listener.progress("training", done, total, note=note)

    def _agreed(self) -> tuple[bool, bool]:
        """Return whether to save and to obey a signal now: all ranks do at the same step."""
        late = self.pace.is_late(epoch_ends=self._owes_a_judgement())
        if self.machine.ranks == 1:
            return late, True
        asked = [self.stop.asked == number for number in SIGNALS]
        flags = torch.tensor([late and self.machine.leads, *asked], device=self.machine.device)
        late, *asked = (self.machine.add_up(flags.float()) > 0).tolist()
        if any(asked):
            self.stop.asked = SIGNALS[asked.index(True)]
        return late, any(asked)

    def _save(self) -> None:
        """Save the state, which the first rank does for all."""
        with self.pace.saving():
            if self.checkpoints is not None:
                state = self._state()
                if self.machine.leads:
                    self.checkpoints.save(state)
        self.saved_step = self.at.step

    def _last(self) -> State | None:
        """Return what was saved last; only the first rank needs to have the folder."""
        if self.checkpoints is None:
            return None
        state = self.checkpoints.latest() if self.machine.leads else None
        found: State | None = self.machine.from_leader(state)
        return found

    def _state(self) -> State:
        return self.at.state(random=self.machine.gathered(random_states()), plan=self.plan.facts)

    def _go_back(self, diverged: Diverged) -> None:
        """Return to the last state that was saved, or to the beginning, at half the rate."""
        parts = self.machine.gathered(diverged.rows.tolist())
        rows = sorted({row for part in parts for row in part})
        halvings = self.at.halvings + 1
        if halvings > HALVINGS:
            batch = f" The batch: {shown(map(self.plan.called, rows), most=12)}." if rows else ""
            raise FovealError(
                f"{diverged.what} Three times the rate was halved, in vain.{batch}",
                hint="Look at these pictures, or take a lower rate." if rows else "Lower the rate.",
            )
        self.at.restore(self._last() or self.first, rank=self.machine.rank)
        self.at.halvings = halvings
        self._save()
        self.listener.say(
            f"{diverged.what} The run goes on from step {self.at.step:,} at half the rate "
            f"({halvings} of {HALVINGS} times)."
        )
