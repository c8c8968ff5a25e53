"""The gradient of a batch where memory runs out: the same one, in parts."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice

import pytest
import torch
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.listener import Silent
from foveal.train.network.batch_norm import synchronised_layer
from foveal.train.network.loop import StepSettings, Update, updates
from foveal.train.network.losses import LossSettings, cross_entropy
from foveal.train.network.pictures.feed import Batch

SIZE = 48  # pictures a batch: six halvings lead to one


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """On tensors this small, two threads mostly wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Heard(Silent):
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, sentence: str) -> None:
        self.said.append(sentence)


class Narrow(nn.Module):
    """A network whose machine has memory for so many pictures only."""

    def __init__(self, most: int, *, error: Exception | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.inside = nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Dropout(0.0), nn.Linear(32, 3)
        )
        self.most, self.error = most, error or torch.OutOfMemoryError("no room")

    def forward(self, inputs: Tensor) -> Tensor:
        out = self.inside(inputs)
        if len(inputs) > self.most:
            raise self.error
        return out


def batches(size: int = SIZE) -> Iterator[Batch]:
    for step in range(100):
        rng = torch.Generator().manual_seed(step)
        labels = torch.randint(0, 3, (size,), generator=rng)
        pixels = torch.randint(0, 120, (size, 3, 4, 4), generator=rng, dtype=torch.uint8)
        pixels[torch.arange(size), labels] += 100
        yield Batch(step=step, epoch=0, rows=torch.arange(size), pixels=pixels, labels=labels)


def run(
    one: nn.Module, steps: int = 30, size: int = SIZE, micro: int | None = None
) -> tuple[list[Update], list[str]]:
    heard = Heard()
    loop = updates(
        one,
        batches(size),
        torch.optim.SGD(one.parameters(), lr=0.1, momentum=0.9),
        prepare=lambda batch: (batch.pixels.float() / 255 - 0.5, batch.labels),
        loss=cross_entropy,
        loss_settings=LossSettings(smoothing=0.1),
        rate=lambda _: 1.0,
        settings=StepSettings(clip=1.0, micro=micro),
        listener=heard,
    )
    return list(islice(loop, steps)), heard.said


@pytest.mark.parametrize(("most", "halvings"), [(1, 6), (3, 4), (16, 2)])
def test_the_curve_of_the_loss_is_that_of_whole_batches(most: int, halvings: int) -> None:
    whole, _ = run(Narrow(SIZE))
    parts, said = run(Narrow(most))
    assert [one.loss for one in parts] == pytest.approx([one.loss for one in whole], abs=1e-5)
    assert [one.norm for one in parts] == pytest.approx([one.norm for one in whole], abs=1e-4)
    assert whole[-1].loss < whole[0].loss / 1.5
    assert len(said) == halvings


def test_an_update_says_how_many_pictures_were_worked_off_at_once() -> None:
    assert {one.micro for one in run(Narrow(SIZE), steps=3)[0]} == {None}
    assert {one.micro for one in run(Narrow(7), steps=3)[0]} == {6}


def test_after_six_halvings_it_ends_with_a_sentence() -> None:
    with pytest.raises(FovealError) as ended:
        run(Narrow(1), size=100)
    assert str(ended.value) == (
        "Memory runs out even for 2 pictures at once. "
        "Take a smaller --size, a smaller network, or free some memory."
    )


def test_another_error_is_none_of_memory() -> None:
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        run(Narrow(7, error=RuntimeError("shapes do not fit")))


def test_cards_that_share_statistics_cannot_change_over_one_by_one() -> None:
    one = Narrow(7)
    one.inside[3] = synchronised_layer(nn.BatchNorm1d(32)).eval()
    one.inside[3].train = lambda _mode=True: one.inside[3]
    with pytest.raises(FovealError, match=r"48 pictures at once.*smaller parts \(micro\)"):
        run(one)


FULL = """
import resource, sys
from pathlib import Path
import torch
from torch import nn
from foveal.core.listener import Silent
from foveal.train.network.pictures.feed import Batch
from foveal.train.network.loop import StepSettings, updates
from foveal.train.network.losses import LossSettings, cross_entropy

class Aloud(Silent):
    def say(self, sentence):
        print(sentence, flush=True)

torch.set_num_threads(1)
one = nn.Sequential(
    nn.Conv2d(3, 32, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 2)
)
optimizer = torch.optim.SGD(one.parameters(), lr=0.1)


def train(pictures, steps):
    batch = Batch(0, 0, torch.arange(pictures),
                  torch.zeros(pictures, 3, 64, 64, dtype=torch.uint8),
                  torch.arange(pictures) % 2)
    for update in updates(
        one, [batch] * steps, optimizer, prepare=lambda batch: (batch.pixels.float(), batch.labels),
        loss=cross_entropy, loss_settings=LossSettings(), rate=lambda _: 1.0,
        settings=StepSettings(), listener=Aloud(),
    ):
        print("done", update.micro, flush=True)


train(2, 1)  # what is loaded with the first step is there now
pages = int(Path("/proc/self/statm").read_text().split()[0])
most = pages * resource.getpagesize() + 70_000_000  # a whole batch's activations take more
resource.setrlimit(resource.RLIMIT_AS, (most, most))
train(64, 2)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits a process's memory")
def test_a_processor_without_memory_left_is_noticed_too() -> None:
    done = subprocess.run([sys.executable, "-c", FULL], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert said[0] == "done None"
    assert said[1].startswith("Memory ran out for 64 pictures at once")
    assert sum(line.startswith("done") for line in said) == 3
    assert said[-1] in {"done 32", "done 16", "done 8", "done 4"}


@pytest.mark.parametrize(
    ("micro", "said"),
    [
        (1, "from one picture alone at 4 pixels. Take another --batch or --micro"),
        (47, "from one picture alone at 4 pixels: parts of 47 leave one over from 48. Take"),
    ],
)
def test_one_picture_alone_is_too_few_for_batch_norm(micro: int, said: str) -> None:
    one = Narrow(SIZE)
    one.inside[3] = nn.BatchNorm1d(32)
    with pytest.raises(FovealError, match=f"^BatchNorm cannot learn {re.escape(said)}"):
        run(one, micro=micro)


def test_another_mistake_in_a_value_is_not_taken_for_that() -> None:
    with pytest.raises(ValueError, match="no such value"):
        run(Narrow(7, error=ValueError("no such value")))
