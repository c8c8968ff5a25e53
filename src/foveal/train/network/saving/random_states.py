"""The state of every random number generator that a training step may draw from."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

RandomStates = Mapping[str, Any]  # generator -> its state, in tensors, numbers and strings


def random_states() -> RandomStates:
    """Return the states of Python's, NumPy's (the global one) and torch's generators.

    Graphics cards have a generator each; they are read once this process has used CUDA: before,
    nothing can have been drawn from them.
    """
    version, words, gauss = random.getstate()
    numpy: Any = np.random.get_state(legacy=False)  # noqa: NPY002 — libraries draw from it
    used = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]  # torch has no types here
    mersenne = numpy["state"]
    key = torch.from_numpy(mersenne["key"].astype(np.int64))  # torch cannot pickle 32 bits unsigned
    return {
        "python": (version, torch.tensor(words, dtype=torch.int64), gauss),
        "numpy": {**numpy, "state": {**mersenne, "key": key}},
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if used else [],
    }


def restore_random_states(states: RandomStates) -> None:
    """Put every generator back to where it was.

    States of graphics cards that are not there are left out: whether a run may go on with other
    devices is for its settings to say.
    """
    version, words, gauss = states["python"]
    random.setstate((version, tuple(words.tolist()), gauss))
    numpy = states["numpy"]
    mersenne = {**numpy["state"], "key": numpy["state"]["key"].numpy().astype(np.uint32)}
    np.random.set_state({**numpy, "state": mersenne})  # noqa: NPY002 — the same as was read
    torch.set_rng_state(states["torch"])
    for device, state in enumerate(states["cuda"][: torch.cuda.device_count()]):
        torch.cuda.set_rng_state(state, device)


@contextmanager
def random_states_left_alone() -> Iterator[None]:
    """Put every generator back, after the block, to where it was before."""
    before = random_states()
    try:
        yield
    finally:
        restore_random_states(before)
