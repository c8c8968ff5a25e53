"""Whether torch can compile here: it needs a compiler of C++, or triton beside a card."""

from __future__ import annotations

import torch

from foveal.core.errors import FovealError


def check_compiles(device: torch.device) -> None:
    """Refuse to compile where torch cannot, by letting it try on next to nothing.

    What it loads for that would be loaded for the network later.

    Raises:
        FovealError: with torch's reason.
    """
    try:
        torch.compile(lambda numbers: numbers.sin() + 1)(torch.zeros(8, device=device))
    except Exception as error:  # noqa: BLE001  # of torch's compilers, and of those that they call
        reason = next((line for line in str(error).splitlines() if line.strip()), "no reason said")
        raise FovealError(
            f"torch cannot compile a network here: {reason.strip().rstrip('.')}.",
            hint="Leave compile out, or install what it lacks.",
        ) from None
