"""`Finding`: one thing worth knowing about the data, in a sentence with its remedy."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is, or may be, wrong with the data.

    ``rows`` are row numbers of the manifest that the finding was made on; empty when it is
    about something that has no row, such as an empty class folder or a file left out.
    """

    kind: str  # short and stable, for scripts: "empty-class", "hidden", "broken", …
    message: str  # what, where and what to do
    score: float = 1.0  # how sure, in [0, 1]
    rows: tuple[int, ...] = ()
    path: str = ""  # the file or folder meant, where it is one; relative to the root
