"""`Scaling`: a factor that keeps gradients in the range of fp16, and finds its own size.

fp16 has no number between 0 and 6e-8, and many gradients are smaller; none of its numbers is larger
than 65,504. So the loss is multiplied before gradients are computed, and they are divided after.
The factor is a power of two, which changes no bit of what fits.
"""

from __future__ import annotations

import torch
from torch import nn

START, LEAST, MOST = 2.0**16, 1.0, 2.0**24
GOOD_STEPS = 500  # after which twice the factor is tried


class Scaling:
    """The factor of a run, which is saved with it.

    Where a gradient overflows, the factor is halved and the same batch is done again: no picture
    is left out. After ``GOOD_STEPS`` steps without, it is doubled.

    Attributes:
        factor: of the loss.
        good: steps since it changed.

    Source:
        Micikevicius et al., "Mixed Precision Training", ICLR 2018, section 3.2.
    """

    def __init__(self, factor: float = START, good: int = 0) -> None:
        self.factor, self.good = factor, good

    def take_out(self, network: nn.Module) -> None:
        """Divide the gradients of ``network`` by the factor."""
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        torch._foreach_mul_(gradients, 1 / self.factor)

    def lower(self) -> bool:
        """Halve the factor, for a gradient overflowed; False where that would not help any more."""
        if self.factor <= LEAST:
            return False
        self.factor, self.good = self.factor / 2, 0
        return True

    def went_well(self) -> None:
        """Count a step whose gradient fitted; double the factor after many of them."""
        self.good += 1
        if self.good >= GOOD_STEPS:
            self.factor, self.good = min(2 * self.factor, MOST), 0
