"""Generators go on as if nothing had happened."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from foveal.train.network.saving.packing import pack, unpack
from foveal.train.network.saving.random_states import random_states, restore_random_states


def draw() -> list[float]:
    """Draw from every generator; an odd number of normals leaves one waiting in each."""
    return [
        *(random.random(), random.gauss(0, 1)),
        *np.random.rand(2),  # noqa: NPY002 — it is this one that is meant
        *np.random.standard_normal(3),  # noqa: NPY002 — likewise
        *torch.rand(3).tolist(),
        *torch.randn(3).tolist(),
    ]


def test_the_same_numbers_follow_after_a_restore_and_the_read_states_stand_still() -> None:
    draw()
    states = random_states()
    expected = [draw() for _ in range(400)]  # more than any of them has in store
    for _ in range(2):
        restore_random_states(unpack(*pack(states)))
        assert [draw() for _ in range(400)] == expected


def test_a_generator_of_a_card_that_is_not_there_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    restored = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda *words: restored.append(words))
    restore_random_states({**random_states(), "cuda": ["of the first", "of the second"]})
    assert restored == [("of the first", 0)]


def test_cards_are_asked_once_this_process_has_used_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_rng_state_all", lambda: ["of the first"])
    for used in (False, True):
        monkeypatch.setattr(torch.cuda, "is_initialized", lambda used=used: used)
        assert random_states()["cuda"] == ["of the first"] * used


def test_cards_go_on_too() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no graphics card")
    torch.rand(3, device="cuda")
    states = random_states()
    expected = torch.rand(3, device="cuda")
    restore_random_states(unpack(*pack(states)))
    assert torch.equal(torch.rand(3, device="cuda"), expected)
