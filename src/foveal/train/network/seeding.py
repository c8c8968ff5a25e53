"""Randomness as a function of numbers: the generator is set, used, and put back as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b

import torch


def seed_of(purpose: str, *numbers: int) -> int:
    """Return 64 bits that differ for every purpose and every row of numbers, in any process.

    They are the first bytes of BLAKE2b over ``purpose`` and the numbers in decimal, so that
    neighbours (an epoch, the next) have nothing in common, and (1, 23) is not (12, 3).

    >>> seed_of("augment", 0, 1, 23) == seed_of("augment", 0, 1, 23)
    True
    >>> seed_of("augment", 0, 1, 23) == seed_of("augment", 0, 12, 3)
    False
    """
    text = " ".join([purpose, *map(str, numbers)])
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest())


@contextmanager
def random_from(purpose: str, *numbers: int) -> Iterator[None]:
    """Let torch draw on the processor from a state that follows from ``purpose`` and ``numbers``.

    Afterwards its generator goes on as if nothing had been drawn; those of graphics cards are
    not touched. torchvision's transforms draw from this generator alone; of its seed it uses
    the low 32 bits, so two of a hundred thousand pictures may share their draws.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed_of(purpose, *numbers))
        yield
