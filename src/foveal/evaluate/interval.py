"""`Interval`: a number and how far it may be trusted."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Interval:
    """A measured value with its 95 % interval; all three None where there is no number."""

    value: float | None
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        """Return ``0.913 (0.861–0.952)``.

        >>> str(Interval(0.9134, 0.861, 0.952))
        '0.913 (0.861–0.952)'
        """
        if self.value is None:
            return "–"
        if self.low is None or self.high is None:
            return f"{self.value:.3f}"
        return f"{self.value:.3f} ({self.low:.3f}–{self.high:.3f})"
