"""fp16: the loss is scaled, and a gradient that overflows costs no batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

import pytest
import torch
from torch import Tensor, nn

from foveal.train.network import scaling as room
from foveal.train.network.loop import Diverged, StepSettings, Update, updates
from foveal.train.network.losses import LossSettings, cross_entropy
from foveal.train.network.pictures.feed import Batch
from foveal.train.network.scaling import LEAST, MOST, START, Scaling

SIZE = 12


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """On tensors this small, two threads mostly wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def network(through: Callable[[Tensor], Tensor] | None = None) -> nn.Module:
    """Return a network with dropout; the gradients of its first layer go ``through`` something."""
    torch.manual_seed(0)
    one = nn.Sequential(nn.Flatten(), nn.Linear(48, 8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 3))
    if through is not None:
        one[1].weight.register_hook(through)
    return one


def in_fp16(gradient: Tensor) -> Tensor:
    """Do to a gradient what fp16 would: the large become infinite, the small 0."""
    return gradient.half().float()


def batches() -> Iterator[Batch]:
    for step in range(100):
        rng = torch.Generator().manual_seed(step)
        labels = torch.randint(0, 3, (SIZE,), generator=rng)
        pixels = torch.randint(0, 120, (SIZE, 3, 4, 4), generator=rng, dtype=torch.uint8)
        pixels[torch.arange(SIZE), labels] += 100
        yield Batch(step=step, epoch=0, rows=torch.arange(SIZE), pixels=pixels, labels=labels)


def run(
    one: nn.Module, scaling: Scaling | None, *, steps: int = 8, times: float = 1.0
) -> list[Update]:
    torch.manual_seed(7)
    loop = updates(
        one,
        batches(),
        torch.optim.SGD(one.parameters(), lr=0.1, momentum=0.9),
        prepare=lambda batch: ((batch.pixels.float() / 255 - 0.5) * times, batch.labels),
        loss=cross_entropy,
        loss_settings=LossSettings(),
        rate=lambda _: 1.0,
        settings=StepSettings(clip=1.0, micro=5),
        scaling=scaling,
    )
    return list(islice(loop, steps))


def apart(one: nn.Module, other: nn.Module) -> float:
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return max((a - b).abs().max().item() for a, b in pairs)


def test_where_everything_fits_not_a_bit_changes() -> None:
    plain, scaled = network(), network()
    assert run(plain, None) == run(scaled, Scaling())
    assert apart(plain, scaled) == 0


def test_a_gradient_that_overflows_halves_the_factor_and_its_batch_is_done_again() -> None:
    """In parts, with the same dropout, until it fits."""
    plain, scaled, factor = network(), network(in_fp16), Scaling(2.0**24)
    done = run(scaled, factor)
    assert 2.0**16 <= factor.factor < 2.0**24
    assert [update.step for update in done] == list(range(8))
    assert [update.loss for update in done] == pytest.approx(
        [update.loss for update in run(plain, None)], abs=1e-3
    )
    assert apart(plain, scaled) < 2e-3


def test_a_gradient_too_small_for_fp16_is_not_lost() -> None:
    lost, kept = network(in_fp16), network(in_fp16)
    start = network()[1].weight
    for one, factor in ((lost, 1.0), (kept, 2.0**20)):
        run(one, Scaling(factor), times=1e-7)
    assert torch.equal(lost[1].weight, start)
    assert not torch.equal(kept[1].weight, start)


def test_after_many_good_steps_twice_the_factor_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "GOOD_STEPS", 3)
    factor = Scaling()
    run(network(), factor, steps=7)
    assert (factor.factor, factor.good) == (4 * START, 1)
    run(network(), factor, steps=40)
    assert factor.factor == MOST


def test_an_overflow_begins_the_count_anew() -> None:
    factor = Scaling(good=400)
    assert factor.lower()
    assert (factor.factor, factor.good) == (START / 2, 0)


def test_where_no_factor_helps_it_diverged() -> None:
    factor = Scaling()
    one = network(lambda gradient: gradient * float("inf"))
    with pytest.raises(Diverged, match="The gradient became"):
        run(one, factor)
    assert factor.factor == LEAST
    assert apart(one, network()) == 0


def test_a_loss_that_is_no_number_is_not_the_factors_fault() -> None:
    factor = Scaling()
    with pytest.raises(Diverged, match="The loss became"):
        run(network(), factor, times=float("nan"))
    assert factor.factor == START
