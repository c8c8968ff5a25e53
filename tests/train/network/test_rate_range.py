"""The range test: what it tries, where it stops, what it suggests, and that nothing of it stays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from foveal.core.errors import FovealError, OutOfRange
from foveal.train.network.loop import Diverged, StepSettings
from foveal.train.network.losses import LossSettings, cross_entropy
from foveal.train.network.pictures.feed import Batch
from foveal.train.network.rate_range import RateRange, rate_range, reading
from foveal.train.network.run import Plan
from foveal.train.network.saving.random_states import random_states

SIZE, STEPS = 16, 30


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Dropout(0.1), nn.Linear(48, 3))


def batches(first: int) -> Iterator[Batch]:
    for step in range(first, STEPS):
        rng = torch.Generator().manual_seed(step)
        labels = torch.randint(0, 3, (SIZE,), generator=rng)
        pixels = torch.randint(0, 150, (SIZE, 3, 4, 4), generator=rng, dtype=torch.uint8)
        pixels[torch.arange(SIZE), labels] += 100
        labels[:3] = torch.randint(0, 3, (3,), generator=rng)  # wrong: to be sure costs
        yield Batch(step, 0, torch.arange(SIZE), pixels, labels)


def prepare(batch: Batch) -> tuple[Tensor, Tensor]:
    return batch.pixels.float() / 255 - 0.5, batch.labels


def plan(**changes: object) -> Plan:
    common = Plan(
        steps=STEPS,
        steps_per_epoch=10,
        batch=SIZE,
        batches=batches,
        prepare=prepare,
        optimizer=lambda one: torch.optim.SGD(one.parameters(), lr=0.1),
        loss=cross_entropy,
        loss_settings=LossSettings(),
        rate=lambda _: 0.5,
        judge=lambda _: {"log_loss": 1.0},
    )
    return replace(common, **changes)  # type: ignore[arg-type]  # a test's own words


@pytest.fixture(scope="module")
def found() -> RateRange:
    return rate_range(network(), plan())


def test_rates_rise_by_the_same_factor_until_the_loss_is_four_times_its_least(
    found: RateRange,
) -> None:
    shares = np.array([point.share for point in found.points])
    assert shares[0] == pytest.approx(1e-3)
    np.testing.assert_allclose(shares[1:] / shares[:-1], 1e6 ** (1 / 99))
    assert found.too_high
    assert 50 < len(found.points) < 100
    assert found.points[-1].loss > 4 * min(point.smoothed for point in found.points)


def test_what_a_batch_costs_the_network_that_has_learnt_nothing_is_taken_off(
    found: RateRange,
) -> None:
    still = rate_range(without_dropout(), plan(), lowest=1e-9, highest=1e-8)
    assert np.std([point.loss for point in still.points]) > 0.01  # batches differ
    evened = [point.evened for point in still.points]
    assert evened == pytest.approx([still.at_first] * 100, abs=1e-5)
    assert still.at_first == pytest.approx(np.mean([point.loss for point in still.points]), 1e-4)
    assert still.suggestion is None
    assert not still.too_high


def test_the_steps_before_the_test_are_not_in_it() -> None:
    """In bfloat16 the first steps, however small, move what lies between two numbers."""
    seen: list[float] = []

    class Jumps(torch.optim.SGD):
        def step(self, closure: None = None) -> None:
            if len(seen) == 0:
                with torch.no_grad():
                    self.param_groups[0]["params"][0][:, :24] *= -1.0
            seen.append(self.param_groups[0]["lr"])

    jumps = plan(optimizer=lambda one: Jumps(one.parameters(), lr=1.0))
    found = rate_range(without_dropout(), jumps, lowest=0.01, highest=1.0, steps=30)
    assert seen[:4] == pytest.approx([0.01] * 4)
    assert len(seen) == 33
    assert len(found.points) == 30
    assert [point.evened for point in found.points] == pytest.approx([found.at_first] * 30)


def without_dropout() -> nn.Module:
    return nn.Sequential(nn.Flatten(), network()[2])  # type: ignore[index]  # a Sequential


def test_the_suggestion_is_the_rate_at_the_least_loss_above_where_it_falls_fastest(
    found: RateRange,
) -> None:
    least = min(found.points, key=lambda point: point.smoothed)
    assert found.suggestion == found.least == least.share
    assert found.steepest is not None
    assert found.points[0].share < found.steepest < least.share


def test_a_batch_in_parts_is_evened_as_a_whole() -> None:
    whole = rate_range(without_dropout(), plan(), highest=1.0, steps=5)
    parts = rate_range(
        without_dropout(), plan(step_settings=StepSettings(micro=3)), highest=1.0, steps=5
    )
    assert [point.evened for point in parts.points] == pytest.approx(
        [point.evened for point in whole.points], rel=1e-5
    )


def test_the_plan_s_own_rates_are_what_is_multiplied() -> None:
    tenfold = plan(optimizer=lambda one: torch.optim.SGD(one.parameters(), lr=1.0))
    one, other = (
        rate_range(network(), plan(), lowest=1e-2, highest=1, steps=12),
        rate_range(network(), tenfold, lowest=1e-3, highest=0.1, steps=12),
    )
    assert [p.loss for p in one.points] == pytest.approx([p.loss for p in other.points], rel=1e-4)


def test_the_same_plan_gives_the_same_answer_and_another_seed_another(found: RateRange) -> None:
    torch.manual_seed(123)
    assert rate_range(network(), plan()) == found
    assert rate_range(network(), plan(seed=1)) != found  # dropout


def test_nothing_of_the_run_changes() -> None:
    one = network().eval()
    before, states = deepcopy(one.state_dict()), random_states()
    rate_range(one, plan(), steps=5)
    assert not one.training
    assert all(torch.equal(before[name], value) for name, value in one.state_dict().items())
    assert torch.equal(states["torch"], random_states()["torch"])


def test_rates_that_break_nothing_are_said_to() -> None:
    found = rate_range(network(), plan(), lowest=1e-4, highest=1e-2, steps=12)
    assert not found.too_high
    assert len(found.points) == 12


def poisoned(at: int) -> Callable[[Batch], tuple[Tensor, Tensor]]:
    def prepared(batch: Batch) -> tuple[Tensor, Tensor]:
        inputs, labels = prepare(batch)
        return inputs * (float("nan") if batch.step == at else 1.0), labels

    return prepared


def test_a_loss_that_is_no_number_ends_it_as_too_high() -> None:
    found = rate_range(network(), plan(prepare=poisoned(19)))
    assert found.too_high
    assert len(found.points) == 9  # the steps before the test are ten


def test_a_first_loss_that_is_no_number_is_an_error() -> None:
    with pytest.raises(Diverged, match="at step 0"):
        rate_range(network(), plan(prepare=poisoned(0)))


def test_the_batches_of_a_short_run_come_again() -> None:
    seen: list[tuple[int, float]] = []

    def noted(batch: Batch) -> tuple[Tensor, Tensor]:
        seen.append((batch.step, batch.pixels.float().mean().item()))
        return prepare(batch)

    rate_range(network(), plan(prepare=noted), highest=1e-2, steps=STEPS - 1)
    assert [step for step, _ in seen] == list(range(STEPS + 2))  # three before the test
    assert [mean for _, mean in seen[STEPS:]] == [mean for _, mean in seen[:2]]


def test_no_batches_are_an_error_and_not_a_wait() -> None:
    with pytest.raises(FovealError, match="no batches to try rates on"):
        rate_range(network(), plan(batches=lambda _: []))


def test_how_far_it_is_can_be_heard() -> None:
    heard: list[tuple[str, int, int, str]] = []

    class Heard:
        def say(self, sentence: str) -> None:
            raise AssertionError(sentence)

        def progress(
            self, stage: str, done: int, total: int, unit: str = "images", *, note: str = ""
        ) -> None:
            heard.append((stage, done, total, note))

    rate_range(network(), plan(), highest=1e-2, steps=3, listener=Heard())
    assert [entry[:3] for entry in heard] == [("trying rates", n, 4) for n in (1, 2, 3, 4)]
    assert heard[0][3].startswith("loss 1.")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"steps": 1}, "steps = 1 cannot work. Expected at least 2."),
        ({"lowest": 0.0}, "lowest = 0.0 cannot work."),
        ({"lowest": 2.0, "highest": 1.0}, "less than highest = 1."),
        ({"highest": float("inf")}, "less than highest = inf."),
    ],
)
def test_a_range_that_is_none_is_one_sentence(changes: dict[str, float], sentence: str) -> None:
    with pytest.raises(OutOfRange) as refused:
        rate_range(network(), plan(), **changes)  # type: ignore[arg-type]  # a test's own words
    assert sentence in str(refused.value)


def slide(noise: float = 0.0, seed: int = 0, steps: int = 100, hard: float = 0.0) -> RateRange:
    """Fall from 2 to 1 around a share of 0.1, least near 3, then rise; batches differ by hard."""
    rng = np.random.default_rng(seed)
    at = np.linspace(-3, 2, steps)
    losses = 1 + 1 / (1 + np.exp(5 * (at + 1))) + np.exp(4 * (at - 1.5))
    losses += rng.normal(0, noise, steps)
    batches = rng.normal(0, hard, steps)
    return reading(10**at, losses + batches, 2 + batches)


def test_it_falls_fastest_and_is_least_where_it_was_drawn() -> None:
    found = slide()
    assert found.steepest == pytest.approx(0.1, rel=0.1)
    assert found.least is not None
    assert 0.5 < found.least < 3
    assert found.too_high


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("steps", [20, 30, 60, 100])
def test_noise_and_few_steps_hardly_move_where_it_falls_fastest(steps: int, seed: int) -> None:
    found = slide(noise=0.05, seed=seed, steps=steps)
    assert found.steepest is not None
    assert abs(np.log10(found.steepest) + 1) < 0.4


@pytest.mark.parametrize("seed", range(10))
def test_hard_batches_do_not_matter(seed: int) -> None:
    assert slide(noise=0.02, seed=seed, hard=0.5).steepest == pytest.approx(0.1, rel=0.5)


def test_the_mark_stands_where_the_curve_that_is_drawn_falls_fastest() -> None:
    for seed in range(5):
        found = slide(noise=0.1, seed=seed)
        falls = np.diff([point.smoothed for point in found.points])
        shares = [point.share for point in found.points]
        assert found.steepest is not None
        assert abs(shares.index(found.steepest) - int(np.argmin(falls))) <= 3


def test_a_wild_end_does_not_bend_the_curve_before_it() -> None:
    at = np.linspace(-3, 2, 60)
    losses = 2 - 1 / (1 + np.exp(-5 * (at + 1)))
    losses[50:] = 1e4
    wild = reading(10**at, losses, np.full(60, 2.0))
    assert wild.steepest == pytest.approx(0.1, rel=0.25)
    assert wild.least is not None
    assert np.log10(wild.least) > -0.2
    assert all(0 < point.smoothed < 5 for point in wild.points)


def nothing(noise: Callable[[np.random.Generator], NDArray[np.float64]]) -> float:
    """Return how often something is read into a hundred courses of nothing but noise."""
    shares, flat = np.geomspace(1e-3, 1e3, 100), np.ones(100)
    found = [
        reading(shares, flat + noise(np.random.default_rng(seed)), flat) for seed in range(100)
    ]
    return sum(each.suggestion is not None for each in found) / 100


def test_nothing_is_read_into_noise() -> None:
    assert nothing(lambda rng: rng.normal(0, 0.1, 100)) <= 0.04
    rise = np.exp(np.linspace(-12, 6, 100))
    assert nothing(lambda rng: rise + rng.normal(0, 0.1, 100) * (1 + rise.clip(0, 3))) <= 0.04


@pytest.mark.parametrize("losses", [[1.0] * 30, [1 + n / 10 for n in range(30)], [0.0] * 30])
def test_where_the_loss_only_rises_or_does_nothing_nothing_is_suggested(
    losses: list[float],
) -> None:
    found = reading(np.geomspace(1e-3, 1, 30), np.array(losses), np.full(30, losses[0]))
    assert (found.suggestion, found.steepest, found.least) == (None, None, None)
    assert found.too_high == (losses[-1] > losses[0])


def test_a_loss_that_falls_to_the_end_was_at_no_rate_too_high() -> None:
    at = np.linspace(-3, 0, 60)
    found = reading(10**at, 2 - 1 / (1 + np.exp(-5 * (at + 1))), np.full(60, 2.0))
    assert not found.too_high
    assert found.steepest == pytest.approx(0.1, rel=0.1)
