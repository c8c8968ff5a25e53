"""A run: the loop with what makes it safe and useful around it; plain code in one ``for`` loop.

After every epoch the moving average is judged and the best one kept. The whole state is saved at
each epoch's end and every two minutes, so a run that was cut off goes on bit by bit as if it had
not been. A loss that is no number takes it back to the last state that was saved, at half the
rate.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from math import isnan
from typing import Any

import torch
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.listener import SILENT, Listener
from foveal.train.network.average import Average
from foveal.train.network.checkpoint import Checkpoints
from foveal.train.network.checkpoint_file import State
from foveal.train.network.feed import Batch
from foveal.train.network.loop import Diverged, Prepared, StepSettings, Update, updates
from foveal.train.network.losses import Loss, LossSettings
from foveal.train.network.machine import ALONE, Machine
from foveal.train.network.random_states import random_states, restore_random_states
from foveal.train.network.same_run import check_same
from foveal.train.network.seeding import seed_of
from foveal.train.network.stopping import SIGNALS, Stop

HALVINGS = 3  # of the rate, before a run that diverges is given up
LOG_LOSS = "log_loss"  # the score whose least value decides which epoch is kept
_MANY = 12  # pictures that an error names

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
    save_every_s: float = 120.0  # besides every epoch's end
    facts: Mapping[str, Any] = field(default_factory=dict)  # settings and data, as JSON
    called: Callable[[int], str] = "picture {}".format  # a row's name, for people


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """What one epoch came to."""

    number: int  # from 1
    share: float  # of the peak rate, at its end
    train_loss: float  # mean over its steps, augmentation and smoothing included
    scores: Mapping[str, float]  # of the averaged network on val


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
        checkpoints: an empty folder begins the run. None: nothing is saved.
        listener: hears the stage ``training`` and what was done about trouble.
        tell: hears every update and every epoch, as soon as it is done.

    Raises:
        CannotResume: if the checkpoint is of other settings or data, naming which.
        FovealError: if the loss is no number once more after three halvings of the rate, naming
            the pictures of that batch; whatever ``checkpoints`` raise.
    """
    with _random_states_are_left_alone(), Stop() as stop:
        torch.manual_seed(seed_of("run", plan.seed, machine.rank) % 2**63)
        run = _Run(network, plan, machine, checkpoints, listener, stop, tell)
        run.begin()
        run.go()
        return run.end()


class _Run:
    """The state of a run, which has few names: network, average, optimiser, step, epochs."""

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
        self.optimizer = plan.optimizer(network)
        self.average = Average(network, decay=plan.average)
        self.step = 0
        self.epochs: list[Epoch] = []
        self.kept: dict[str, Tensor] = {}  # the state of the best epoch so far
        self.loss_sum = 0.0  # of the epoch under way
        self.halvings = 0
        self.saved_s = self.began_s = time.monotonic()
        self.here, self.busy_s = 0, 0.0  # steps of this process, and what they took

    def begin(self) -> None:
        """Go on from what was saved, if anything was."""
        state = None if self.checkpoints is None else self.checkpoints.latest()
        self.first = deepcopy(self._state())  # where a run without checkpoints goes back to
        if state is None:
            return
        assert self.checkpoints is not None
        check_same(state.facts["plan"], self.plan.facts, where=self.checkpoints.folder)
        self._restore(state)
        self.listener.say(
            f"The run goes on from step {self.step:,} of {self.plan.steps:,}, in epoch "
            f"{self.step // self.plan.steps_per_epoch + 1}."
        )

    def go(self) -> None:
        """Train to the end, back to an earlier state where the loss is no number."""
        while not self._is_over():
            try:
                self._go_on()
            except Diverged as diverged:
                self._go_back(diverged)
            except KeyboardInterrupt:
                self._save()
                raise

    def end(self) -> Trained:
        """Put the best epoch's weights into the network."""
        self._save()
        self.network.load_state_dict(self.kept)
        self.network.eval()
        return Trained(
            epochs=tuple(self.epochs),
            kept=self._best().number,
            halvings=self.halvings,
            seconds=time.monotonic() - self.began_s,
            images_per_second=self.here * self.plan.batch / self.busy_s if self.busy_s else 0.0,
        )

    def _go_on(self) -> None:
        plan = self.plan
        if self._owes_a_judgement():
            self._judge()
        network = torch.compile(self.network) if plan.compiled else self.network
        loop = updates(
            network,  # type: ignore[arg-type]  # what torch.compile returns is a module
            plan.batches(self.step),
            self.optimizer,
            prepare=plan.prepare,
            loss=plan.loss,
            loss_settings=plan.loss_settings,
            rate=self._rate,
            settings=plan.step_settings,
            machine=self.machine,
            stop=self.stop,
            listener=self.listener,
        )
        with closing(loop):  # type: ignore[type-var]  # a generator
            while not self._is_over():
                start = time.monotonic()
                update = next(loop, None)
                if update is None:
                    raise FovealError(f"The batches ended at step {self.step} of {plan.steps}.")
                self.average.update(self.network)
                self.step += 1
                self.here += 1
                self.loss_sum += update.loss
                self.busy_s += time.monotonic() - start
                self._show(update)
                if self._owes_a_judgement():
                    self._judge()
                    self._save()
                elif self._is_due():
                    self._save()
                self.stop.obey()

    def _is_over(self) -> bool:
        """Whether nothing is left to do: all steps, or too many epochs without a better one."""
        if self._owes_a_judgement():
            return False
        if self.step >= self.plan.steps:
            return True
        patience = self.plan.patience
        return bool(
            patience and self.epochs and self.epochs[-1].number - self._best().number >= patience
        )

    def _owes_a_judgement(self) -> bool:
        done = -(-self.step // self.plan.steps_per_epoch)
        at_end = self.step % self.plan.steps_per_epoch == 0 or self.step >= self.plan.steps
        return at_end and len(self.epochs) < done

    def _judge(self) -> None:
        """Let val say what the average is worth; keep it if it is the best so far."""
        scores: dict[str, float] = {}
        with self.average.applied(self.network):
            self.network.eval()
            if self.machine.leads:
                with self.stop.open() if self.machine.ranks == 1 else nullcontext():
                    scores = dict(self.plan.judge(self.network))
        scores = self.machine.from_leader(scores)
        steps = self.step - len(self.epochs) * self.plan.steps_per_epoch
        epoch = Epoch(
            number=len(self.epochs) + 1,
            share=self._rate(self.step - 1),
            train_loss=self.loss_sum / steps,
            scores=scores,
        )
        self.epochs.append(epoch)
        self.loss_sum = 0.0
        if self._best() is epoch:
            self.kept = {name: value.clone() for name, value in self.average.state.items()}
        if self.machine.leads:
            self.tell(epoch)

    def _best(self) -> Epoch:
        """Return the epoch of the least log loss, the first of equals; NaN is the worst."""
        losses = [epoch.scores[LOG_LOSS] for epoch in self.epochs]
        return self.epochs[losses.index(min(losses, key=lambda loss: (isnan(loss), loss)))]

    def _rate(self, step: int) -> float:
        return self.plan.rate(step) * 0.5**self.halvings

    def _show(self, update: Update) -> None:
        if not self.machine.leads:
            return
        self.tell(update)
        scores = self.epochs[-1].scores.items() if self.epochs else ()
        note = ", ".join(f"{name} {value:.3f}" for name, value in [("loss", update.loss), *scores])
        done, total = self.step * self.plan.batch, self.plan.steps * self.plan.batch
        self.listener.progress("training", done, total, note=note)

    def _is_due(self) -> bool:
        """Whether it is time to save: for all ranks at the same step, as a signal is for all."""
        late = time.monotonic() - self.saved_s > self.plan.save_every_s
        if self.machine.ranks == 1:
            return late and self.checkpoints is not None
        asked = [self.stop.asked == number for number in SIGNALS]
        flags = torch.tensor([late and self.machine.leads, *asked], device=self.machine.device)
        late, *asked = (self.machine.add_up(flags.float()) > 0).tolist()
        if any(asked):
            self.stop.asked = SIGNALS[asked.index(True)]
        return late and self.checkpoints is not None

    def _save(self) -> None:
        """Save the state, which the first rank does for all."""
        self.saved_s = time.monotonic()
        if self.checkpoints is None:
            return
        state = self._state()
        if self.machine.leads:
            self.checkpoints.save(state)

    def _state(self) -> State:
        return State(
            step=self.step,
            network=self.network.state_dict(),
            average=self.average.state,
            optimizer=self.optimizer.state_dict(),
            random=self.machine.gathered(random_states()),
            facts={
                "plan": self.plan.facts,
                "epochs": [asdict(epoch) for epoch in self.epochs],
                "kept": self.kept,
                "loss_sum": self.loss_sum,
                "halvings": self.halvings,
                "average_updates": self.average.updates,
            },
        )

    def _restore(self, state: State) -> None:
        facts = state.facts
        self.network.load_state_dict(state.network)
        assert state.average is not None
        self.average.restore(state.average, updates=facts["average_updates"])
        self.optimizer.load_state_dict(dict(state.optimizer))
        restore_random_states(state.random[self.machine.rank])
        self.step, self.loss_sum = state.step, facts["loss_sum"]
        self.epochs = [Epoch(**epoch) for epoch in facts["epochs"]]
        device = self.machine.device
        self.kept = {name: value.to(device) for name, value in facts["kept"].items()}
        self.halvings = facts["halvings"]

    def _go_back(self, diverged: Diverged) -> None:
        """Return to the last state that was saved, or to the beginning, at half the rate."""
        rows = sorted(
            {row for part in self.machine.gathered(diverged.rows.tolist()) for row in part}
        )
        if self.halvings == HALVINGS:
            names = ", ".join(self.plan.called(row) for row in rows[:_MANY])
            more = f" and {len(rows) - _MANY} more" if len(rows) > _MANY else ""
            raise FovealError(
                f"{diverged.what} Three times the rate was halved, in vain. The batch: "
                f"{names}{more}.",
                hint="Look at these pictures, or take a lower rate.",
            )
        halvings = self.halvings + 1
        state = None if self.checkpoints is None else self.checkpoints.latest()
        self._restore(state or self.first)
        self.halvings = halvings
        self._save()
        self.listener.say(
            f"{diverged.what} The run goes on from step {self.step:,} at half the rate "
            f"({halvings} of {HALVINGS} times)."
        )


@contextmanager
def _random_states_are_left_alone() -> Iterator[None]:
    """Put the global generators of random numbers back where they were."""
    before = random_states()
    try:
        yield
    finally:
        restore_random_states(before)
