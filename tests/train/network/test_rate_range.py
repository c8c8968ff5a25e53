"""The range test: what it tries, where it stops, what it suggests, and that nothing of it stays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from foveal.core.errors import FovealError, OutOfRange
from foveal.train.network.loop import Diverged
from foveal.train.network.losses import LossSettings, cross_entropy
from foveal.train.network.pictures.feed import Batch
from foveal.train.network.rate_range import RatePoint, RateRange, rate_range, suggested
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


def points(losses: Sequence[float], *, per_decade: int = 10) -> list[RatePoint]:
    return [RatePoint(10 ** (n / per_decade - 3), loss, loss) for n, loss in enumerate(losses)]


@pytest.fixture(scope="module")
def found() -> RateRange:
    return rate_range(network(), plan())


def test_rates_rise_by_the_same_factor_until_the_loss_is_four_times_its_least(
    found: RateRange,
) -> None:
    shares = np.array([point.share for point in found.points])
    assert shares[0] == pytest.approx(1e-3)
    np.testing.assert_allclose(shares[1:] / shares[:-1], 1e6 ** (1 / 99))
    smoothed = [point.smoothed for point in found.points]
    assert found.too_high
    assert len(found.points) < 100
    assert smoothed[-1] > 4 * min(smoothed)
    assert all(loss <= 4 * min(smoothed[: n + 1]) for n, loss in enumerate(smoothed[:-1]))


def test_the_loss_is_smoothed_from_its_very_beginning(found: RateRange) -> None:
    losses = [point.loss for point in found.points]
    assert found.points[0].smoothed == pytest.approx(losses[0])
    weights = 0.9 ** np.arange(6)[::-1]
    assert found.points[5].smoothed == pytest.approx(weights @ losses[:6] / weights.sum())


def test_the_suggestion_lies_below_the_rate_at_the_least_loss(found: RateRange) -> None:
    assert found.suggestion is not None
    least = min(found.points, key=lambda point: point.smoothed)
    assert found.tenth == pytest.approx(least.share / 10)
    assert found.points[0].share < found.suggestion < least.share


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
    found = rate_range(network(), plan(prepare=poisoned(9)))
    assert found.too_high
    assert len(found.points) == 9


def test_a_first_loss_that_is_no_number_is_an_error() -> None:
    with pytest.raises(Diverged, match="at step 0"):
        rate_range(network(), plan(prepare=poisoned(0)))


def test_the_batches_of_a_short_run_come_again() -> None:
    seen: list[tuple[int, float]] = []

    def noted(batch: Batch) -> tuple[Tensor, Tensor]:
        seen.append((batch.step, batch.pixels.float().mean().item()))
        return prepare(batch)

    rate_range(network(), plan(prepare=noted), highest=1e-2, steps=STEPS + 2)
    assert [step for step, _ in seen] == list(range(STEPS + 2))
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
    assert [entry[:3] for entry in heard] == [("trying rates", n, 3) for n in (1, 2, 3)]
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


def slide(noise: float = 0.0, seed: int = 0) -> list[RatePoint]:
    """Fall from 2 to 1 around a share of 0.1, least near 10, then rise."""
    at = np.linspace(-3, 2, 51)
    losses = 1 + 1 / (1 + np.exp(6 * (at + 1))) + np.where(at > 1, (at - 1) ** 2, 1e-3 * (1 - at))
    losses += np.random.default_rng(seed).normal(0, noise, len(at))
    return [RatePoint(10**x, y, y) for x, y in zip(at.tolist(), losses.tolist(), strict=True)]


def test_the_steepest_descent_and_the_tenth_are_where_they_were_drawn() -> None:
    steepest, tenth = suggested(slide())
    assert steepest == pytest.approx(0.1, rel=0.1)
    assert tenth == pytest.approx(1.0, rel=0.1)


@pytest.mark.parametrize("seed", range(10))
def test_the_luck_of_one_batch_does_not_decide_where_it_is_steepest(seed: int) -> None:
    steepest, _ = suggested(slide(noise=0.02, seed=seed))
    assert steepest is not None
    assert abs(np.log10(steepest) + 1) < 0.35


def test_that_the_smoothed_loss_comes_late_does_not_move_where_it_is_steepest() -> None:
    late, mean = [], 2.0
    for point in slide():
        mean = 0.9 * mean + 0.1 * point.loss
        late.append(replace(point, smoothed=mean))
    steepest, tenth = suggested(late)
    assert steepest == pytest.approx(0.1, rel=0.1)
    assert tenth is not None
    assert tenth > 1.0


def test_where_the_loss_only_rises_nothing_is_suggested() -> None:
    rising = points([1 + n / 10 for n in range(30)])
    assert suggested(rising) == (None, None)
    assert (
        RateRange(points=tuple(rising), too_high=True, steepest=None, tenth=None).suggestion is None
    )


@pytest.mark.parametrize("steepest", [0.3, 0.1, None])
def test_the_tenth_is_the_suggestion_wherever_the_loss_falls_fastest(
    steepest: float | None,
) -> None:
    both = RateRange(points=(), too_high=True, steepest=steepest, tenth=0.2)
    assert both.suggestion == 0.2
