"""What every augmentation policy promises."""

from __future__ import annotations

import hashlib
import pickle
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from foveal.image.pixels import pixels_of_file
from foveal.image.preprocess import Preprocess
from foveal.train.network.pictures.augment import POLICIES, Change, augmented
from foveal.train.network.saving.random_states import random_states, restore_random_states

SIZE, SIDE = 48, 55
DRAWS = 40

HASH = """
import hashlib, torch
from foveal.train.network.pictures.augment import POLICIES, augmented
torch.set_num_threads(1)
canvas = (torch.arange(3 * 55 * 55) * 37 % 251).to(torch.uint8).reshape(3, 55, 55)
for name in reversed(POLICIES.names()):
    change = POLICIES.pick(name).make(48)
    pictures = [augmented(change, canvas, seed=5, epoch=e, index=i)
                for i in (2, 1, 0) for e in (1, 0)]
    print(name, hashlib.sha256(torch.stack(pictures).numpy().tobytes()).hexdigest())
"""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Sums of parts made by several threads may round otherwise; the feed has one as well."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=POLICIES.names())
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def change(name: str) -> Change:
    return POLICIES.pick(name).make(SIZE)


def coloured(side: int = SIDE) -> Tensor:
    """A picture of dots and slopes, with no symmetry and all colours."""
    rng = np.random.default_rng(side)
    slopes = np.linspace(0, 160, side)[:, None] * np.array([1.0, 0.6, 0.2])
    values = slopes[None] * np.linspace(0.3, 1, side)[:, None, None]
    values = values + rng.integers(0, 90, (side, side, 3))
    return torch.from_numpy(values.astype(np.uint8).transpose(2, 0, 1).copy())


def drawn(change: Change, canvas: Tensor, count: int = DRAWS) -> list[Tensor]:
    return [augmented(change, canvas, seed=1, epoch=2, index=index) for index in range(count)]


def next_draws() -> tuple[float, float, float]:
    numpy = np.random.rand()  # noqa: NPY002 — the global generator is what is asked for
    return torch.rand(()).item(), random.random(), numpy


class TestEveryPolicy:
    @pytest.mark.parametrize(("size", "side"), [(32, 37), (48, 48), (40, 160), (64, 20)])
    def test_gives_bytes_of_the_size_that_was_asked_for(
        self, name: str, size: int, side: int
    ) -> None:
        for out in drawn(POLICIES.pick(name).make(size), coloured(side), 12):
            assert out.dtype == torch.uint8
            assert out.shape == (3, size, size)

    def test_is_a_function_of_seed_epoch_and_index_alone(self, name: str, change: Change) -> None:
        canvas = coloured()
        asked = [(seed, epoch, index) for seed in (0, 7) for epoch in (0, 3) for index in range(5)]
        first = {
            (seed, epoch, index): augmented(change, canvas, seed=seed, epoch=epoch, index=index)
            for seed, epoch, index in asked
        }
        again = POLICIES.pick(name).make(SIZE)  # another order, another object, other generators
        for seed, epoch, index in reversed(asked):
            torch.manual_seed(index)
            random.seed(index)
            np.random.seed(index)  # noqa: NPY002 — the generator a plugin may be tempted by
            out = augmented(again, canvas, seed=seed, epoch=epoch, index=index)
            assert torch.equal(out, first[seed, epoch, index])

    def test_leaves_every_generator_where_it_was(self, change: Change) -> None:
        states = random_states()
        expected = next_draws()
        restore_random_states(states)
        drawn(change, coloured(), 6)
        assert next_draws() == expected

    def test_shows_another_picture_in_other_epochs_places_and_runs(
        self, name: str, change: Change
    ) -> None:
        canvas = coloured()
        for changing in ("seed", "epoch", "index"):
            fixed = {"seed": 0, "epoch": 0, "index": 0}
            seen = {
                augmented(change, canvas, **{**fixed, changing: number}).numpy().tobytes()
                for number in range(12)
            }
            assert len(seen) == {"none": 1, "flip": 2}.get(name, 12), changing

    def test_leaves_its_input_alone(self, change: Change) -> None:
        canvas = coloured()
        before = canvas.clone()
        drawn(change, canvas)
        assert torch.equal(canvas, before)

    def test_a_grey_picture_stays_grey(self, change: Change) -> None:
        for out in drawn(change, coloured()[:1].expand(3, -1, -1).clone()):
            assert torch.equal(out[0], out[1])
            assert torch.equal(out[0], out[2])

    def test_mirrors_if_it_says_so_and_only_then(self, name: str, change: Change) -> None:
        dark_and_light = torch.zeros(3, SIDE, SIDE, dtype=torch.uint8)
        dark_and_light[..., SIDE // 2 :] = 255
        half = SIZE // 2
        mirrored = [
            bool(out[..., :half].float().mean() > out[..., half:].float().mean())
            for out in drawn(change, dark_and_light, 100)
        ]
        assert any(mirrored) == POLICIES.pick(name).mirrors

    def test_goes_to_another_process_and_does_the_same_there(self, change: Change) -> None:
        sent = pickle.loads(pickle.dumps(change))
        canvas = coloured()
        for one, other in zip(drawn(change, canvas, 6), drawn(sent, canvas, 6), strict=True):
            assert torch.equal(one, other)

    def test_says_in_one_short_line_what_it_does(self, name: str) -> None:
        says = POLICIES.pick(name).says
        assert 10 < len(says) < 80
        assert says.isprintable()
        assert not says.endswith(".")

    def test_a_photograph_stays_a_photograph(self, change: Change, shared: Path) -> None:
        file = shared / "domains" / "hymenoptera" / "train" / "bees" / "2452236943_255bfd9e58.jpg"
        canvas = pixels_of_file(file, Preprocess(size_px=SIDE, crop=1.0))
        pictures = drawn(change, torch.from_numpy(canvas.transpose(2, 0, 1).copy()))
        mean = torch.stack(pictures).float().mean(dim=(0, 2, 3)).numpy()
        assert np.abs(mean - canvas.mean(axis=(0, 1))).max() < 50  # the colours of a hand
        assert (np.diff(mean) < 0).all()
        assert min(out.float().std() for out in pictures) > 10  # none of them is flat


def test_another_process_gives_the_same_bits() -> None:
    done = subprocess.run(
        [sys.executable, "-c", HASH], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    canvas = (torch.arange(3 * 55 * 55) * 37 % 251).to(torch.uint8).reshape(3, 55, 55)
    for name in POLICIES.names():
        change = POLICIES.pick(name).make(48)
        pictures = [
            augmented(change, canvas, seed=5, epoch=e, index=i) for i in (2, 1, 0) for e in (1, 0)
        ]
        digest = hashlib.sha256(torch.stack(pictures).numpy().tobytes()).hexdigest()
        assert f"{name} {digest}" in done


def test_the_table_opens_without_torch() -> None:
    code = "import sys, foveal.train.network.pictures.augment; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
