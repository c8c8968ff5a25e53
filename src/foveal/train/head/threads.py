"""Work on all cores without the library of matrix products starting threads of its own.

OpenBLAS splits every product over all cores, and a core that waits for another one spins. When
anything else runs on the machine, that costs many times what it gains (measured in
docs/decisions/0007-probe.md), and results differ in their last bits with the number of cores. So
its threads are turned off meanwhile; work is split into parts that depend on the data alone, and
added up in order.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

P = TypeVar("P")
R = TypeVar("R")

_NAMES = ("scipy_openblas_{}64_", "scipy_openblas_{}", "openblas_{}64_", "openblas_{}")


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Team:
    """Threads that share out parts of one job; they end with the team."""

    def __init__(self, parts: int) -> None:
        workers = min(parts, cores())
        self._pool = ThreadPoolExecutor(workers) if workers > 1 else None

    def each(self, work: Callable[[P], R], parts: Sequence[P]) -> list[R]:
        """Return ``work`` of every part, in order."""
        return [*(self._pool.map if self._pool else map)(work, parts)]


@contextmanager
def own_threads() -> Iterator[None]:
    """Let matrix products run on the calling thread alone.

    It is a setting of the whole process; the one before returns at the end. Where numpy was not
    built with an OpenBLAS of its own (macOS, some distributions), nothing changes.
    """
    found = _openblas()
    if found is None:
        yield
        return
    get, put = found
    before = get()
    put(1)
    try:
        yield
    finally:
        put(before)


@cache
def _openblas() -> tuple[Callable[[], int], Callable[[int], Any]] | None:
    """Return how to read and set the number of threads of the OpenBLAS in numpy's wheel."""
    package = Path(np.__file__).parent
    for folder in (package.with_name("numpy.libs"), package / ".dylibs"):
        for file in sorted(folder.glob("*openblas*")):
            library = ctypes.CDLL(str(file))
            for name in _NAMES:
                if hasattr(library, name.format("set_num_threads")):
                    get = getattr(library, name.format("get_num_threads"))
                    return get, getattr(library, name.format("set_num_threads"))
    return None
