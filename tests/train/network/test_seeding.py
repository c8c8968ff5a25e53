"""Randomness as a function of numbers."""

from __future__ import annotations

import pytest
import torch

from foveal.train.network.seeding import random_from, seed_of


def test_neighbouring_numbers_and_other_purposes_have_other_seeds() -> None:
    rows = [(seed, epoch, index) for seed in range(6) for epoch in range(20) for index in range(50)]
    seeds = [seed_of(purpose, *row) for purpose in ("augment", "mix") for row in rows]
    low = {seed & 0xFFFFFFFF for seed in seeds}  # all that torch takes
    assert len(set(seeds)) == len(seeds)
    assert len(low) > len(seeds) - 5
    assert seed_of("mix", 1, 23) != seed_of("mix", 12, 3) != seed_of("mix", 1, 2, 3)


def test_the_same_numbers_draw_the_same_and_others_do_not() -> None:
    def draw(*numbers: int) -> torch.Tensor:
        with random_from("test", *numbers):
            return torch.rand(8)

    assert torch.equal(draw(1, 2), draw(1, 2))
    assert not torch.equal(draw(1, 2), draw(2, 1))


def test_the_generator_goes_on_as_if_nothing_was_drawn_even_after_an_error() -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    with random_from("test", 1):
        torch.rand(100)
    with pytest.raises(ZeroDivisionError), random_from("test", 2):
        _ = torch.rand(7) / (1 // 0)
    assert torch.equal(torch.rand(4), expected)
