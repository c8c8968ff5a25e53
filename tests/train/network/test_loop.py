"""The training loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

import pytest
import torch
from torch import Tensor, nn

from foveal.core.errors import FovealError, OutOfRange
from foveal.train.network.loop import Diverged, StepSettings, Update, updates
from foveal.train.network.losses import LossSettings, cross_entropy
from foveal.train.network.pictures.feed import Batch

SIZE = 12  # pictures a batch


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """On tensors this small, two threads mostly wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Heard:
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, sentence: str) -> None:
        self.said.append(sentence)

    def progress(self, stage: str, done: int, total: int, unit: str = "images") -> None:
        raise AssertionError("the loop knows nothing of progress")


def network(*more: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 4, 8), *more, nn.ReLU(), nn.Linear(8, 3))


def batches(first: int = 0, count: int = 200) -> Iterator[Batch]:
    """Pictures whose brightest channel is their class: a function of the step alone."""
    for step in range(first, count):
        rng = torch.Generator().manual_seed(step)
        labels = torch.randint(0, 3, (SIZE,), generator=rng)
        pixels = torch.randint(0, 120, (SIZE, 3, 4, 4), generator=rng, dtype=torch.uint8)
        pixels[torch.arange(SIZE), labels] += 100
        rows = torch.arange(SIZE) + SIZE * step
        yield Batch(step=step, epoch=0, rows=rows, pixels=pixels, labels=labels)


def prepare(batch: Batch) -> tuple[Tensor, Tensor]:
    return batch.pixels.float() / 255 - 0.5, batch.labels


def run(
    one: nn.Module,
    *,
    steps: int = 5,
    first: int = 0,
    prepare: Callable[[Batch], tuple[Tensor, Tensor]] = prepare,
    optimizer: torch.optim.Optimizer | None = None,
    heard: Heard | None = None,
    **said: float,
) -> list[Update]:
    loop = updates(
        one,
        batches(first),
        optimizer or torch.optim.SGD(one.parameters(), lr=0.1, momentum=0.9),
        prepare=prepare,
        loss=cross_entropy,
        loss_settings=LossSettings(smoothing=0.1),
        rate=lambda step: 1 / (1 + step),
        settings=StepSettings(**said),
        listener=heard or Heard(),
    )
    return list(islice(loop, steps))


def weights(one: nn.Module) -> list[Tensor]:
    return [value.clone() for value in one.state_dict().values()]


def apart(one: nn.Module, other: nn.Module) -> float:
    pairs = zip(weights(one), weights(other), strict=True)
    return max((a.double() - b.double()).abs().max().item() for a, b in pairs)


def test_it_learns() -> None:
    one = network()
    fast = torch.optim.Adam(one.parameters(), lr=0.2)
    done = run(one, steps=100, optimizer=fast)
    assert done[-1].loss < 0.6 < done[0].loss
    inputs, labels = prepare(next(batches(150)))
    assert (one(inputs).argmax(1) == labels).float().mean() > 0.9


def test_the_rate_is_a_share_of_each_groups_peak_and_the_peak_outlasts_a_resume() -> None:
    one = network()
    layers = [one[1], one[-1]]
    groups = [
        {"params": list(layer.parameters()), "lr": lr}
        for layer, lr in zip(layers, (0.1, 0.4), strict=True)
    ]
    optimizer = torch.optim.SGD(groups)
    done = run(one, steps=4, optimizer=optimizer)
    assert [update.rate for update in done] == pytest.approx([0.4, 0.2, 0.4 / 3, 0.1])
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.1 / 4)
    again = torch.optim.SGD([{**group} for group in groups])
    again.load_state_dict(optimizer.state_dict())
    assert run(one, first=4, steps=1, optimizer=again)[0].rate == pytest.approx(0.4 / 5)


@pytest.mark.parametrize("micro", [1, 3, 5, 16])
def test_a_batch_in_parts_trains_as_the_whole_one_does(micro: int) -> None:
    whole, parts = network(), network()
    losses = [update.loss for update in run(whole)]
    assert [update.loss for update in run(parts, micro=micro)] == pytest.approx(losses, abs=1e-6)
    assert apart(whole, parts) < 1e-6


def test_a_resumed_run_ends_in_the_same_bits() -> None:
    one, two = network(nn.Dropout(0.5)), network(nn.Dropout(0.5))
    torch.manual_seed(7)
    run(one, steps=8)
    torch.manual_seed(7)
    first = torch.optim.SGD(two.parameters(), lr=0.1, momentum=0.9)
    run(two, steps=3, optimizer=first)
    second = torch.optim.SGD(two.parameters(), lr=0.5, momentum=0.0)
    second.load_state_dict(first.state_dict())
    run(two, first=3, steps=5, optimizer=second)
    assert apart(one, two) == 0


def test_the_network_trains_whatever_the_caller_did_in_between() -> None:
    one = network(nn.BatchNorm1d(8))
    loop = updates(
        one,
        batches(),
        torch.optim.SGD(one.parameters(), lr=0.1),
        prepare=prepare,
        loss=cross_entropy,
        loss_settings=LossSettings(),
        rate=lambda _: 1.0,
        settings=StepSettings(),
    )
    for update in islice(loop, 4):
        assert one.training
        assert one[2].num_batches_tracked == update.step + 1
        one.eval()


def test_long_gradients_are_shortened_and_said_as_they_were() -> None:
    one, two = network(), network()
    free, clipped = run(one, steps=1)[0], run(two, steps=1, clip=0.01)[0]
    assert clipped.norm == free.norm > 0.01
    start = weights(network())
    moved = sum(((a - b) ** 2).sum() for a, b in zip(weights(two), start, strict=True)) ** 0.5
    assert float(moved) == pytest.approx(0.1 * 0.01, rel=1e-3)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_stops_before_the_step_and_names_the_pictures(
    wrong: float,
) -> None:
    one, expected = network(), network()
    run(expected, steps=3)

    def poisoned(batch: Batch) -> tuple[Tensor, Tensor]:
        inputs, labels = prepare(batch)
        return inputs * (wrong if batch.step == 3 else 1.0), labels

    with pytest.raises(Diverged, match=r"at step 3.*Lower the learning rate") as stopped:
        run(one, prepare=poisoned)
    assert stopped.value.rows.tolist() == list(range(36, 48))
    assert apart(one, expected) == 0


def test_a_gradient_that_is_no_number_stops_before_the_step() -> None:
    one = network()
    start = weights(one)
    one[-1].weight.register_hook(lambda gradient: gradient * float("inf"))
    with pytest.raises(Diverged, match="The gradient became"):
        run(one)
    assert all(torch.equal(a, b) for a, b in zip(weights(one), start, strict=True))


class Narrow(nn.Module):
    """A network whose machine has memory for so many pictures only."""

    def __init__(self, inside: nn.Module, most: int) -> None:
        super().__init__()
        self.inside, self.most, self.asked = inside, most, []

    def forward(self, inputs: Tensor) -> Tensor:
        self.asked.append(len(inputs))
        out = self.inside(inputs)
        if len(inputs) > self.most:
            raise torch.OutOfMemoryError
        return out


@pytest.mark.parametrize("most", [1, 3, 7])
def test_where_memory_runs_out_parts_are_halved_once_and_the_gradient_is_the_same(
    most: int,
) -> None:
    plain, narrow, heard = network(), Narrow(network(), most), Heard()
    run(plain)
    run(narrow, heard=heard)
    assert apart(plain, narrow.inside) < 1e-6
    first = narrow.asked.index(next(n for n in narrow.asked if n <= most))
    assert all(n <= most for n in narrow.asked[first:])
    assert len(heard.said) == first
    assert heard.said[0].startswith("Memory ran out for 12 pictures at once: ")


def test_a_step_that_is_done_again_draws_the_same_chance() -> None:
    enough, narrow = network(nn.Dropout(0.5)), Narrow(network(nn.Dropout(0.5)), 6)
    torch.manual_seed(7)
    run(enough, micro=6)
    torch.manual_seed(7)
    run(narrow)
    assert apart(enough, narrow.inside) == 0


def test_where_even_one_picture_is_too_much_it_ends_with_a_sentence() -> None:
    narrow = Narrow(network(), 0)
    with pytest.raises(FovealError, match="even for 1 picture at once"):
        run(narrow)
    assert narrow.asked == [12, 6, 3, 2, 1]


@pytest.mark.parametrize("wrong", [{"clip": -1.0}, {"micro": 0}, {"clip": float("nan")}])
def test_nonsense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(OutOfRange):
        StepSettings(**wrong)
