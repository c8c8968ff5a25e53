"""What this process may use of the machine it runs on."""

from __future__ import annotations

import os


def cores() -> int:
    """Return how many cores this process may use, which may be fewer than the machine has.

    >>> cores() >= 1
    True
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1  # macOS and Windows
