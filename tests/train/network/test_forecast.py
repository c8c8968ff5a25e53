"""The forecast: reckoned from real steps, of which nothing is left behind."""

from __future__ import annotations

import time
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from itertools import accumulate
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from foveal.core.errors import CannotResume, FovealError, OutOfRange
from foveal.train.network.forecast import Done, Forecast, epochs_within, fitting, reckoned
from foveal.train.network.frozen.freezing import freeze_until
from foveal.train.network.losses import LossSettings, cross_entropy
from foveal.train.network.machine import ALONE
from foveal.train.network.measuring import _found, done_before, forecast
from foveal.train.network.pictures.feed import Batch
from foveal.train.network.run import Plan, train
from foveal.train.network.saving.checkpoint import Checkpoints
from foveal.train.network.saving.random_states import random_states

SIZE, STEPS, EPOCH = 4, 60, 12


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Dropout(0.2), nn.Flatten(), nn.Linear(32, 3)
    )


def batches(first: int) -> Iterator[Batch]:
    for step in range(first, STEPS):
        rows = torch.arange(SIZE) + SIZE * step
        pixels = torch.full((SIZE, 3, 4, 4), step, dtype=torch.uint8)
        yield Batch(step, step // EPOCH, rows, pixels, rows % 3)


def prepare(batch: Batch) -> tuple[Tensor, Tensor]:
    return batch.pixels.float() / 255, batch.labels


def plan(**changes: object) -> Plan:
    common = Plan(
        steps=STEPS,
        steps_per_epoch=EPOCH,
        batch=SIZE,
        batches=batches,
        prepare=prepare,
        optimizer=lambda one: torch.optim.AdamW(one.parameters(), lr=0.01),
        loss=cross_entropy,
        loss_settings=LossSettings(),
        rate=lambda _: 1.0,
        judge=lambda _: {"log_loss": 1.0},
    )
    return replace(common, **changes)  # type: ignore[arg-type]  # a test's own words


def moments(*taken: float) -> list[float]:
    return [0.0, *accumulate(taken)]


def of(*taken: float) -> Forecast:
    """The forecast of ``plan`` whose steps, and the judging after them, took so long."""
    return reckoned(_found({0: moments(*taken)}, plan(), None, 1), plan())


def test_nothing_of_the_run_changes() -> None:
    one = network()
    before, states = deepcopy(one.state_dict()), random_states()
    forecast(one, plan())
    assert one.training
    assert all(torch.equal(before[name], value) for name, value in one.state_dict().items())
    after = random_states()
    assert torch.equal(states["torch"], after["torch"])
    assert torch.equal(states["python"][1], after["python"][1])


def test_a_frozen_network_is_measured_and_stays_as_it_is() -> None:
    one = network()
    freeze_until(one, "stage2")
    before = deepcopy(one.state_dict())
    forecast(one, plan())
    assert all(torch.equal(before[name], value) for name, value in one.state_dict().items())
    assert [p.requires_grad for p in one.parameters()] == [False] * 4 + [True] * 2


def test_it_counts_steps_and_the_judging_of_every_epoch() -> None:
    def slow(batch: Batch) -> tuple[Tensor, Tensor]:
        time.sleep(0.01)
        return prepare(batch)

    def judge(one: nn.Module) -> dict[str, float]:
        assert not one.training
        time.sleep(0.1)
        return {"log_loss": 1.0}

    found = forecast(network(), plan(prepare=slow, judge=judge), steps=8)
    assert (found.epochs, found.steps, found.measured) == (5, STEPS, 8)
    assert found.seconds_per_step >= 0.01
    assert found.judge_seconds >= 0.1
    assert found.total_seconds >= STEPS * 0.01 + 5 * 0.1
    assert found.images_per_second == pytest.approx(SIZE / found.seconds_per_step)


def test_the_first_steps_count_once_and_not_for_all() -> None:
    found = of(9.0, *[1.0] * 7, 0.5)
    assert found.seconds_per_step == 1.0
    assert found.start_seconds == 8.0
    assert found.total_seconds == 8.0 + STEPS * 1.0 + 5 * 0.5


def test_one_slow_step_does_not_count() -> None:
    found = of(*[1.0] * 12, 30.0, *[1.0] * 7, 0.5)
    assert found.seconds_per_step == 1.0


@pytest.mark.parametrize("workers", [2, 4])
def test_batches_that_come_in_bursts_are_averaged(workers: int) -> None:
    burst = [float(workers), *[0.0] * (workers - 1)]
    found = of(*burst * (24 // workers), 0.5)
    assert found.seconds_per_step == pytest.approx(1.0)


def test_a_checkpoint_is_as_large_as_was_said(tmp_path: Path) -> None:
    found = forecast(network(), plan())
    train(network(), plan(), checkpoints=Checkpoints(tmp_path))
    for path in tmp_path.iterdir():
        assert path.stat().st_size / 1e6 == pytest.approx(found.checkpoint_mb, rel=0.02)


def test_memory_is_what_the_process_has_held() -> None:
    kept = torch.ones(30_000_000)
    found = forecast(network(), plan(), steps=2)
    assert found.peak_mb is not None
    assert found.peak_mb > kept.numel() * 4 / 1e6


def test_no_rate_is_too_high_to_be_measured() -> None:
    wild = plan(optimizer=lambda one: torch.optim.SGD(one.parameters(), lr=1e30))
    assert forecast(network(), wild).measured == 20


def test_a_run_of_fewer_steps_is_measured_whole() -> None:
    found = forecast(network(), plan(steps=1))
    assert (found.measured, found.steps, found.epochs) == (1, 1, 1)
    assert "1 epoch (1 step) will take about" in found.sentence()


def test_pictures_that_the_run_would_stop_at_are_named() -> None:
    def poisoned(batch: Batch) -> tuple[Tensor, Tensor]:
        inputs, labels = prepare(batch)
        return inputs * (float("nan") if batch.step == 3 else 1.0), labels

    with pytest.raises(FovealError, match="The batch: picture 12, picture 13"):
        forecast(network(), plan(prepare=poisoned))


def test_no_steps_are_refused() -> None:
    with pytest.raises(OutOfRange, match=r"steps = 0 cannot work\. Expected at least 1"):
        forecast(network(), plan(), steps=0)


def test_it_is_said_that_this_is_not_the_training_yet() -> None:
    stages: set[str] = set()

    class Heard:
        def say(self, sentence: str) -> None:
            raise AssertionError(sentence)

        def progress(
            self, stage: str, done: int, total: int, unit: str = "images", *, note: str = ""
        ) -> None:
            assert done <= total == 5 * SIZE
            stages.add(stage)

    forecast(network(), plan(), steps=5, listener=Heard())
    assert stages == {"measuring"}


MEASURED = Forecast(
    epochs=5,
    steps=60,
    images_per_second=8.0,
    seconds_per_step=2.0,
    start_seconds=6.0,
    judge_seconds=4.0,
    total_seconds=146.0,
    peak_mb=1210.0,
    checkpoint_mb=9.44,
    measured=20,
)


@pytest.mark.parametrize(("budget_s", "epochs"), [(34, 1), (61.9, 1), (62, 2), (600, 5)])
def test_a_budget_is_worth_so_many_whole_epochs(budget_s: float, epochs: int) -> None:
    assert epochs_within(MEASURED, budget_s, plan()) == epochs  # of 28 s, after 6 s


def test_a_budget_too_small_for_one_epoch_is_told_how_long_one_takes() -> None:
    with pytest.raises(OutOfRange) as refused:
        epochs_within(MEASURED, 33.0, plan())
    assert str(refused.value) == (
        "budget = '33 s' cannot work. Expected at least 34 s: that is what one epoch takes here."
    )


RISING = replace(MEASURED, seconds_at={80: 1.0, 96: 2.0, 128: 4.0}, start_seconds=0.0)


def rising(epochs: int) -> Plan:
    return plan(steps=epochs * EPOCH, sizes=(80, 96, 128))


def test_sizes_cost_what_they_cost() -> None:
    found = reckoned(RISING, rising(5))
    assert found.total_seconds == EPOCH * (1 + 1 + 2 + 2 + 4) + 5 * 4.0
    assert found.seconds_per_step == pytest.approx(2.0)
    assert found.images_per_second == pytest.approx(SIZE / 2.0)
    assert "2.0 s a step" in found.lines()[1]
    assert "1.0 s at 80 px, 2.0 s at 96 px, 4.0 s at 128 px;" in found.lines()[1]


@pytest.mark.parametrize(
    ("budget_s", "epochs"),
    [(84 + 12, 3), (84 + 12 + 15, 3), (84 + 12 + 16, 4), (10_000, 5)],
)
def test_a_budget_knows_that_epochs_cost_differently(budget_s: float, epochs: int) -> None:
    assert epochs_within(RISING, budget_s, rising(5)) == epochs


def test_a_budget_has_to_do_for_each_size_and_for_the_teacher() -> None:
    with pytest.raises(OutOfRange, match=r"at least 1 min 36 s: that is what one epoch at each of"):
        epochs_within(RISING, 95, rising(5))
    taught = replace(RISING, before_seconds=20.0)
    with pytest.raises(OutOfRange, match=r"at least 1 min 56 s.* the teacher's work included,"):
        epochs_within(taught, 97, rising(5))
    assert (
        reckoned(taught, rising(5)).total_seconds == reckoned(RISING, rising(5)).total_seconds + 20
    )
    assert "20 s for what the teacher sees" in taught.lines()[1]


def test_of_a_run_that_goes_on_what_is_left_counts() -> None:
    found = reckoned(RISING, rising(5), Done(steps=30, epochs=2))
    assert found.total_seconds == 6 * 2 + EPOCH * (2 + 4) + 3 * 4.0
    assert found.sentence().startswith(
        "2 of 5 epochs (30 of 60 steps) are done; the rest will take"
    )
    over = reckoned(MEASURED, plan(), Done(steps=60, epochs=5))
    assert over.sentence() == (
        "All 5 epochs (60 steps) are done: only what comes after them is left."
    )


def test_each_size_is_measured_with_pictures_of_its_own_epochs() -> None:
    epochs: list[int] = []

    def seen(batch: Batch) -> tuple[Tensor, Tensor]:
        epochs.append(batch.epoch)
        time.sleep(0.01 * (1 + batch.epoch))
        return prepare(batch)

    found = forecast(network(), plan(sizes=(8, 16, 32), prepare=seen), steps=12)
    assert epochs == [0] * 4 + [2] * 4 + [4] * 4
    assert found.measured == 12
    assert list(found.seconds_at) == [8, 16, 32]
    for size, slept in ((8, 0.01), (16, 0.03), (32, 0.05)):
        assert found.seconds_at[size] >= slept
    epochs.clear()
    forecast(network(), plan(sizes=(8, 16, 32), prepare=seen), steps=12, done=Done(steps=2 * EPOCH))
    assert set(epochs) == {2, 4}


def test_how_far_a_run_is_stands_in_its_last_checkpoint(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path)
    whole = plan(facts={"rate": 1})
    assert done_before(kept, whole, ALONE) == Done()
    train(network(), plan(facts={"rate": 1}, steps=EPOCH), checkpoints=kept)
    assert done_before(Checkpoints(tmp_path), whole, ALONE) == Done(steps=EPOCH, epochs=1)
    with pytest.raises(CannotResume, match="rate was 1, is 2"):
        done_before(Checkpoints(tmp_path), plan(facts={"rate": 2}), ALONE)


def test_what_fits_is_said() -> None:
    said: list[str] = []

    class Heard:
        def say(self, sentence: str) -> None:
            said.append(sentence)

        def progress(self, *_: object, **__: object) -> None:
            pass

    assert fitting(MEASURED, plan(), None, Heard()) is MEASURED
    assert len(said) == 1
    shorter = fitting(MEASURED, plan(), "62s", Heard())
    assert (shorter.epochs, shorter.steps, shorter.total_seconds) == (2, 2 * EPOCH, 62.0)
    assert said[2] == "2 of them fit into the budget of 62s."


def test_people_read_time_memory_and_what_it_comes_from() -> None:
    assert MEASURED.lines() == [
        "5 epochs (60 steps) will take about 2 min 26 s and 1.2 GB of memory; a checkpoint 9.4 MB.",
        "Measured on 20 steps: 2.0 s a step (8 images/s), 6.0 s more for the first ones, "
        "4.0 s an epoch for val.",
    ]
    assert "of memory" not in replace(MEASURED, peak_mb=None).sentence()


def test_scripts_read_the_same() -> None:
    assert MEASURED.to_mapping()["total_seconds"] == 146.0
