"""Memory of activations is kept for the next step instead of being given back to the kernel.

glibc returns every large block as soon as it is freed, and the next step's activations are
faulted in again, page by page: thousands of faults a picture.
"""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
KEPT_BYTES = 2**30  # blocks up to here come from memory that is kept; glibc allows 2^31 - 1


def keep_freed_memory() -> bool:
    """Tell glibc to keep what is freed, for the rest of this process.

    Call it before the first step. What was allocated at the peak stays with the process, which
    a training run reaches again at its next step anyway.

    Returns:
        Whether it did: False where the C library is not glibc (macOS, Windows, musl).
    """
    if sys.platform != "linux":
        return False
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018 — the name that only glibc has
        mallopt = library.mallopt
    except (AttributeError, OSError):
        return False
    return bool(
        mallopt(M_MMAP_THRESHOLD, KEPT_BYTES) and mallopt(M_TRIM_THRESHOLD, 2 * KEPT_BYTES - 1)
    )
