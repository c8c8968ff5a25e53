"""Looks: people see what training would see."""

from __future__ import annotations

import numpy as np
import torch

from foveal.train.network.pictures.augment import POLICIES, augmented
from foveal.train.network.pictures.looks import looks, mixed_looks
from foveal.train.network.pictures.mixing import mixed

CANVASES = np.random.default_rng(0).integers(0, 256, (3, 40, 40, 3), dtype=np.uint8)


def test_a_look_is_what_the_epoch_would_show() -> None:
    policy = POLICIES.pick("standard")
    pictures = looks(policy, CANVASES, size_px=32, epochs=4, seed=6)
    assert pictures.shape == (3, 4, 32, 32, 3)
    canvas = torch.from_numpy(CANVASES[2].transpose(2, 0, 1).copy())
    shown = augmented(policy.make(32), canvas, seed=6, epoch=3, index=2)
    np.testing.assert_array_equal(pictures[2, 3].transpose(2, 0, 1), shown.numpy())


def test_a_mixed_look_is_one_of_the_batch_of_all() -> None:
    pictures = looks(POLICIES.pick("strong"), CANVASES, size_px=32, epochs=5, seed=6)
    both = mixed_looks(pictures, seed=6)
    assert both.shape == (5, 32, 32, 3)
    batch = torch.from_numpy(pictures[:, 4].transpose(0, 3, 1, 2).astype(np.float32))
    expected, _ = mixed(batch, torch.arange(3), 3, seed=6, step=4)
    assert np.abs(both[4].transpose(2, 0, 1) - expected[1].numpy()).max() <= 0.5
    assert any((both[epoch] != pictures[epoch % 3, epoch]).any() for epoch in range(5))
