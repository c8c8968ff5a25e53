"""What this process may use of the machine it runs on."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from foveal.core.errors import OutOfRange

_UNKNOWN = 4 << 30  # bytes: taken to be free where the system does not say


def cores() -> int:
    """Return how many cores this process may use, which may be fewer than the machine has.

    >>> cores() >= 1
    True
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1  # macOS and Windows


def ranks() -> tuple[int, int, int]:
    """Return which of how many processes that train together this one is, and which on its host.

    ``torchrun`` says it in the environment. Numbers count from 0; alone, it is 0 of 1, and 0.

    Raises:
        OutOfRange: for numbers that cannot be, or no address to meet at.
    """
    count = _said("WORLD_SIZE", 1, 1, None)
    if count == 1:
        return 0, 1, 0
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        if not os.environ.get(name):
            raise OutOfRange(f"The environment's {name}", None, "where ranks meet: use torchrun")
    return _said("RANK", 0, 0, count), count, _said("LOCAL_RANK", 0, 0, count)


def rank() -> int:
    """Return which of several ``ranks`` this process is; the first alone speaks and saves."""
    return ranks()[0]


def _said(name: str, otherwise: int, least: int, below: int | None) -> int:
    """Return a number of the environment."""
    word = os.environ.get(name, str(otherwise))
    number = int(word) if word.isdecimal() else -1
    if number < least or (below is not None and number >= below):
        most = "or more" if below is None else f"to {below - 1}, of {below} ranks"
        raise OutOfRange(f"The environment's {name}", word, f"{least} {most}, as torchrun sets it")
    return number


def free_memory(root: Path = Path("/")) -> int:
    """Return about how many bytes this process may still take without anything being swapped out.

    Linux says it (``MemAvailable``), and a container or a batch system may allow less: the
    tightest limit of the process's control groups counts, less what they hold that is no cache.
    Other systems only say how much is built in, of which half is taken to be free.

    Args:
        root: where ``proc`` and ``sys`` lie.

    >>> free_memory() > 0
    True
    """
    if (free := _number(root / "proc/meminfo", "MemAvailable:")) is not None:
        return max(0, min([free * 1024, *_allowed(root)]))
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:  # macOS
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    return _UNKNOWN


def peak_memory() -> int | None:
    """Return the most bytes of memory this process has held so far; None where unknown.

    >>> (peak_memory() or 1) > 0
    True
    """
    try:
        import resource
    except ImportError:  # Windows keeps no such record
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024)


def _allowed(root: Path) -> list[int]:
    """Return what each control group (version 2) of this process still allows, in bytes."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    own = next((line[len("0::/") :] for line in lines if line.startswith("0::/")), "")
    top = root / "sys/fs/cgroup"
    allowed = []
    for group in [top / own, *(top / own).parents]:
        limit, used = _number(group / "memory.max"), _number(group / "memory.current")
        if limit is not None and used is not None:
            cache = _number(group / "memory.stat", "file ") or 0
            allowed.append(limit - used + cache)
        if group == top:
            break
    return allowed


def _number(file: Path, key: str = "") -> int | None:
    """Return the number behind ``key`` in a file of the kernel's; None where there is none."""
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return None
    words = next((line[len(key) :].split() for line in lines if line.startswith(key)), [])
    return int(words[0]) if words and words[0].isdigit() else None
