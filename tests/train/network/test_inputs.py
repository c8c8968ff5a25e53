"""What a network reads is made of a batch of bytes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2

from foveal.image.preprocess import Preprocess
from foveal.train.network.inputs import Inputs
from foveal.train.network.pictures.feed import Batch
from foveal.train.network.pictures.mixing import mixed

K = 4
PREPROCESS = Preprocess(size_px=16, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))


@pytest.fixture
def batch() -> Batch:
    rng = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (5, 3, 16, 20), generator=rng, dtype=torch.uint8)
    return Batch(
        step=7,
        epoch=1,
        rows=torch.arange(5),
        pixels=pixels,
        labels=torch.tensor([2, 0, 3, 3, 1]),
    )


def by_torchvision(pixels: Tensor) -> Tensor:
    return v2.Compose(
        [v2.ToDtype(torch.float32, scale=True), v2.Normalize(PREPROCESS.mean, PREPROCESS.std)]
    )(pixels)


def test_bytes_are_scaled_and_normalised_as_torchvision_does(batch: Batch) -> None:
    planes, labels = Inputs(preprocess=PREPROCESS, classes=K)(batch)
    torch.testing.assert_close(planes, by_torchvision(batch.pixels), atol=1e-6, rtol=1e-6)
    assert planes.dtype == torch.float32
    assert torch.equal(labels, batch.labels)


def test_the_layout_is_the_one_that_convolutions_are_fastest_in(batch: Batch) -> None:
    planes, _ = Inputs(preprocess=PREPROCESS, classes=K)(batch)
    assert planes.shape == (5, 3, 16, 20)
    assert planes.is_contiguous(memory_format=torch.channels_last)


def test_the_bytes_themselves_stay_as_they_are(batch: Batch) -> None:
    before = batch.pixels.clone()
    Inputs(preprocess=PREPROCESS, classes=K, mixes=True)(batch)
    assert torch.equal(batch.pixels, before)


def test_pictures_are_mixed_where_asked_for_by_seed_and_step(batch: Batch) -> None:
    inputs = Inputs(preprocess=PREPROCESS, classes=K, mixes=True, seed=3)
    planes, targets = inputs(batch)
    expected, shares = mixed(by_torchvision(batch.pixels), batch.labels, K, seed=3, step=7)
    torch.testing.assert_close(planes, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(targets, shares)
    assert targets.shape == (5, K)
    again, _ = inputs(batch)
    assert torch.equal(planes, again)
    others = [Inputs(preprocess=PREPROCESS, classes=K, mixes=True, seed=4)(batch)[0]]
    others.append(inputs(Batch(8, 1, batch.rows, batch.pixels, batch.labels))[0])
    assert not any(torch.equal(planes, other) for other in others)
