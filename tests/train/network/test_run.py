"""A run: judged, averaged, saved, resumed, taken back."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from foveal.core.errors import CannotResume, FovealError
from foveal.train.network.loop import StepSettings, Update
from foveal.train.network.losses import LossSettings, cross_entropy
from foveal.train.network.machine import Machine
from foveal.train.network.pictures.feed import Batch
from foveal.train.network.run import Epoch, Plan, Scores, Trained, train
from foveal.train.network.saving.checkpoint import Checkpoints
from foveal.train.network.saving.checkpoint_file import State
from foveal.train.network.scaling import START
from foveal.train.network.schedule import warmup_cosine

SIZE, STEPS, EPOCH = 8, 20, 5


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """On tensors this small, two threads mostly wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """Both signals raise KeyboardInterrupt, also where pytest itself runs in the background."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, signal.default_int_handler) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


class Heard:
    def __init__(self) -> None:
        self.said: list[str] = []
        self.notes: list[str] = []
        self.done: list[int] = []

    def say(self, sentence: str) -> None:
        self.said.append(sentence)

    def progress(
        self, stage: str, done: int, total: int, unit: str = "images", *, note: str = ""
    ) -> None:
        self.notes.append(note)
        self.done.append(done)


def network() -> nn.Module:
    """BatchNorm and dropout: a network with statistics and chance of its own."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Flatten(),
        nn.Linear(32, 3),
    )


def batches(first: int) -> Iterator[Batch]:
    for step in range(first, STEPS):
        rng = torch.Generator().manual_seed(step)
        labels = torch.randint(0, 3, (SIZE,), generator=rng)
        pixels = torch.randint(0, 120, (SIZE, 3, 4, 4), generator=rng, dtype=torch.uint8)
        pixels[torch.arange(SIZE), labels] += 100
        rows = torch.arange(SIZE) + SIZE * step
        yield Batch(step=step, epoch=step // EPOCH, rows=rows, pixels=pixels, labels=labels)


def prepare(batch: Batch) -> tuple[Tensor, Tensor]:
    return batch.pixels.float() / 255 - 0.5, batch.labels


def judge(one: nn.Module) -> Scores:
    assert not one.training
    with torch.no_grad():
        found = [(one(prepare(batch)[0]), batch.labels) for batch in batches(STEPS - 3)]
    losses = [nn.functional.cross_entropy(logits, labels).item() for logits, labels in found]
    return {"log_loss": sum(losses) / len(losses)}


def plan(**changes: object) -> Plan:
    common = Plan(
        steps=STEPS,
        steps_per_epoch=EPOCH,
        batch=SIZE,
        batches=batches,
        prepare=prepare,
        optimizer=lambda one: torch.optim.AdamW(one.parameters(), lr=0.05),
        loss=cross_entropy,
        loss_settings=LossSettings(),
        rate=lambda step: warmup_cosine(step, total=STEPS, warmup=2),
        judge=judge,
        step_settings=StepSettings(clip=1.0),
        average=0.5,
        save_share=float("inf"),  # each epoch, however short
        facts={"rate": 0.05, "data": "abc"},
        called=lambda row: f"pictures/{row}.png",
    )
    return replace(common, **changes)  # type: ignore[arg-type]  # a test's own words


def weights(one: nn.Module) -> list[Tensor]:
    return [value.clone() for value in one.state_dict().values()]


def equal(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(weights(one), weights(other), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def whole(folder: Path | None = None) -> tuple[nn.Module, Trained]:
    one = network()
    found = train(one, plan(), checkpoints=None if folder is None else Checkpoints(folder))
    return one, found


def cut(at: int, how: Callable[[], None]) -> Callable[[Update | Epoch], None]:
    """Return a listener that does something at a step: the ways in which a run is cut off."""

    def tell(one: Update | Epoch) -> None:
        if isinstance(one, Update) and one.step == at:
            how()

    return tell


def test_it_learns_and_every_epoch_is_judged_and_told() -> None:
    told: list[Update | Epoch] = []
    heard = Heard()
    found = train(network(), plan(), tell=told.append, listener=heard)
    assert [one.number for one in told if isinstance(one, Epoch)] == [1, 2, 3, 4]
    assert sum(isinstance(one, Update) for one in told) == STEPS
    assert found.epochs[-1].train_loss < found.epochs[0].train_loss / 2
    assert found.images_per_second > 0
    assert heard.done[-1] == STEPS * SIZE
    assert "loss" in heard.notes[0]
    assert "log_loss" in heard.notes[-1]


def test_the_network_ends_with_the_weights_of_the_best_epoch() -> None:
    scores = iter([0.9, 0.2, 0.4, 0.6])
    seen: list[list[Tensor]] = []

    def judged(one: nn.Module) -> Scores:
        seen.append(weights(one))
        return {"log_loss": next(scores)}

    one = network()
    found = train(one, plan(judge=judged))
    assert found.kept == 2
    assert all(torch.equal(a, b) for a, b in zip(weights(one), seen[1], strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(weights(one), seen[3], strict=True))
    assert not one.training


def test_what_is_judged_is_the_average_and_training_goes_on_from_its_own_weights() -> None:
    plain, averaged = network(), network()
    train(plain, plan(average=0.0, judge=lambda _: {"log_loss": 0.0}))
    losses: list[float] = []
    train(
        averaged,
        plan(average=0.5, judge=lambda _: {"log_loss": 0.0}),
        tell=lambda one: losses.append(one.loss) if isinstance(one, Update) else None,
    )
    again: list[float] = []
    train(
        network(),
        plan(average=0.0, judge=lambda _: {"log_loss": 0.0}),
        tell=lambda one: again.append(one.loss) if isinstance(one, Update) else None,
    )
    assert losses == again  # the average is a bystander
    assert not equal(plain, averaged)


def test_it_ends_early_when_no_epoch_was_better_for_too_long() -> None:
    scores = iter([0.5, 0.6, 0.7, 0.8])
    found = train(network(), plan(patience=2, judge=lambda _: {"log_loss": next(scores)}))
    assert len(found.epochs) == 3
    assert found.kept == 1


def test_the_global_random_state_is_left_alone() -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    train(network(), plan())
    torch.manual_seed(5)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("at", [0, 3, 4, 11, 18])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_after_a_signal_at_any_step_it_ends_in_the_same_bits(
    tmp_path: Path, at: int, number: signal.Signals
) -> None:
    undisturbed, expected = whole(tmp_path / "one")
    with pytest.raises(KeyboardInterrupt):
        train(
            network(),
            plan(),
            checkpoints=Checkpoints(tmp_path / "two"),
            tell=cut(at, lambda: os.kill(os.getpid(), number)),
        )
    heard = Heard()
    resumed = network()
    found = train(resumed, plan(), checkpoints=Checkpoints(tmp_path / "two"), listener=heard)
    assert any(f"step {at + 1} of {STEPS}" in sentence for sentence in heard.said)
    assert equal(undisturbed, resumed)
    assert found.epochs == expected.epochs
    one, two = (Checkpoints(tmp_path / name).latest() for name in ("one", "two"))
    assert one is not None
    assert two is not None
    assert one.facts["epochs"] == two.facts["epochs"]
    for kind in ("network", "average"):
        left, right = getattr(one, kind), getattr(two, kind)
        assert all(torch.equal(left[name], right[name]) for name in left)
    states = zip(one.optimizer["state"].values(), two.optimizer["state"].values(), strict=True)
    assert all(torch.equal(a["exp_avg_sq"], b["exp_avg_sq"]) for a, b in states)


def test_a_signal_while_it_is_judged_costs_the_judgement_alone(tmp_path: Path) -> None:
    undisturbed, expected = whole()
    calls = []

    def interrupted(one: nn.Module) -> Scores:
        calls.append(1)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return judge(one)

    with pytest.raises(KeyboardInterrupt):
        train(network(), plan(judge=interrupted), checkpoints=Checkpoints(tmp_path / "run"))
    resumed = network()
    found = train(resumed, plan(), checkpoints=Checkpoints(tmp_path / "run"))
    assert equal(undisturbed, resumed)
    assert found.epochs == expected.epochs


def test_the_factor_of_fp16_and_the_size_of_parts_are_part_of_the_state(tmp_path: Path) -> None:
    """The network has room for five pictures; where it goes on, for all, and yet takes four."""

    class Narrow(nn.Module):
        def __init__(self, most: int) -> None:
            super().__init__()
            self.inside, self.most = network(), most

        def forward(self, inputs: Tensor) -> Tensor:
            if self.training and len(inputs) > self.most:
                raise torch.OutOfMemoryError("no room")
            return self.inside(inputs)

    def run(folder: str, at: int, most: int = 5) -> State:
        with suppress(KeyboardInterrupt):
            train(
                Narrow(most),
                plan(average=0.0),
                machine=Machine(torch.device("cpu"), "fp16"),
                checkpoints=Checkpoints(tmp_path / folder),
                tell=cut(at, lambda: os.kill(os.getpid(), signal.SIGINT)),
            )
        state = Checkpoints(tmp_path / folder).latest()
        assert state is not None
        return state

    whole = run("one", STEPS)
    assert whole.facts["micro"] == 4
    assert run("two", 12).facts["scaling"]["factor"] < START  # a gradient overflowed
    parts = run("two", STEPS, most=SIZE)
    assert parts.facts["scaling"] == whole.facts["scaling"]
    assert all(torch.equal(value, parts.network[name]) for name, value in whole.network.items())


def test_a_run_that_goes_on_tells_of_the_epochs_before_first(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(
            network(),
            plan(),
            checkpoints=Checkpoints(tmp_path / "run"),
            tell=cut(12, lambda: os.kill(os.getpid(), signal.SIGINT)),
        )
    told: list[Update | Epoch] = []
    found = train(network(), plan(), checkpoints=Checkpoints(tmp_path / "run"), tell=told.append)
    assert told[:2] == list(found.epochs[:2])
    assert isinstance(told[2], Update)
    assert [one for one in told if isinstance(one, Epoch)] == list(found.epochs)


def test_it_does_not_go_on_with_other_settings_and_says_which(tmp_path: Path) -> None:
    train(network(), plan(), checkpoints=Checkpoints(tmp_path / "run"))
    with pytest.raises(CannotResume, match=r"rate was 0\.05, is 0\.1"):
        train(
            network(),
            plan(facts={"rate": 0.1, "data": "abc"}),
            checkpoints=Checkpoints(tmp_path / "run"),
        )


def test_it_does_not_go_on_with_another_number_of_ranks(tmp_path: Path) -> None:
    train(network(), plan(), checkpoints=Checkpoints(tmp_path / "run"))
    checkpoints = Checkpoints(tmp_path / "run")
    state = checkpoints.latest()
    assert state is not None
    checkpoints.save(replace(state, random=[*state.random, *state.random]))
    with pytest.raises(CannotResume, match=r"ranks was 2, is 1\. Give it what it was begun with"):
        train(network(), plan(), checkpoints=Checkpoints(tmp_path / "run"))


@pytest.mark.parametrize("odd", [float("nan"), float("inf")])
def test_a_score_that_is_no_number_takes_it_back_at_half_the_rate(
    tmp_path: Path, odd: float
) -> None:
    scores = iter([0.9, odd, 0.5, 0.4, 0.3])
    heard, told = Heard(), list[Epoch]()
    found = train(
        network(),
        plan(judge=lambda _: {"log_loss": next(scores)}),
        checkpoints=Checkpoints(tmp_path / "run"),
        listener=heard,
        tell=lambda news: told.append(news) if isinstance(news, Epoch) else None,
    )
    assert (found.halvings, found.kept, len(found.epochs)) == (1, 4, 4)
    assert [epoch.scores["log_loss"] for epoch in told] == [0.9, 0.5, 0.4, 0.3]
    assert any("The log loss on val became infinite or NaN at step 10" in s for s in heard.said)


def test_scores_that_stay_no_numbers_end_it_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(FovealError, match=r"^The log loss on val .* in vain\. Lower the rate"):
        train(
            network(),
            plan(judge=lambda _: {"log_loss": float("nan")}),
            checkpoints=Checkpoints(tmp_path / "run"),
        )


class Slow(Checkpoints):
    """A disk that takes its time, and how often it was asked to."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.steps: list[int] = []

    def save(self, state: State) -> Path:
        self.steps.append(state.step)
        time.sleep(0.3)
        return super().save(state)


@pytest.mark.parametrize(
    ("share", "saved"), [(0.05, [EPOCH, STEPS]), (float("inf"), [*range(EPOCH, STEPS + 1, EPOCH)])]
)
def test_short_epochs_are_not_all_saved_where_the_disk_is_slow(
    tmp_path: Path, share: float, saved: list[int]
) -> None:
    slow = Slow(tmp_path / "run")
    train(network(), plan(save_share=share), checkpoints=slow)
    assert slow.steps == saved


def poisoned(at: int, times: int) -> Callable[[Batch], tuple[Tensor, Tensor]]:
    left = [times]

    def prepared(batch: Batch) -> tuple[Tensor, Tensor]:
        inputs, labels = prepare(batch)
        if batch.step == at and left[0]:
            left[0] -= 1
            inputs[2] = float("nan")
        return inputs, labels

    return prepared


@pytest.mark.parametrize("saved", [True, False])
def test_a_loss_that_is_no_number_takes_it_back_at_half_the_rate(
    tmp_path: Path, saved: bool
) -> None:
    heard = Heard()
    one = network()
    found = train(
        one,
        plan(prepare=poisoned(12, times=2)),
        checkpoints=Checkpoints(tmp_path / "run") if saved else None,
        listener=heard,
    )
    assert found.halvings == 2
    assert [len(found.epochs), found.epochs[-1].share] == [4, pytest.approx(0.0, abs=0.02)]
    back = 10 if saved else 0
    said = [sentence for sentence in heard.said if "half the rate" in sentence]
    assert len(said) == 2
    assert f"from step {back} at half the rate (2 of 3 times)" in said[1]
    assert all(value.isfinite().all() for value in weights(one))


def test_after_three_halvings_it_stops_and_names_the_pictures_of_that_batch(
    tmp_path: Path,
) -> None:
    with pytest.raises(FovealError, match=r"in vain.*pictures/96\.png, pictures/97\.png"):
        train(
            network(),
            plan(prepare=poisoned(12, times=99)),
            checkpoints=Checkpoints(tmp_path / "run"),
        )
    state = Checkpoints(tmp_path / "run").latest()
    assert state is not None
    assert all(value.isfinite().all() for value in state.network.values())


def test_ranks_of_different_runs_are_refused_before_the_first_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def gathered(_: Machine, value: object) -> list[object]:
        other = {**value, "steps": 99} if isinstance(value, dict) and "steps" in value else value
        return [value, other]

    monkeypatch.setattr(Machine, "gathered", gathered)
    told: list[object] = []
    with pytest.raises(FovealError, match=r"Rank 1 .*: steps was 20, is 99\. Start all ranks"):
        train(network(), plan(), tell=told.append)
    assert told == []
