"""Every error Foveal raises on purpose: one sentence that says what, where and what to do.

FovealError            exit 1, status 400
├── BadUsage           exit 2   words of a command line that mean nothing there
├── OutOfRange         exit 2   a setting that cannot work
├── UnknownName        exit 2   a name that its table does not hold
├── NotThere           exit 2   a path, column or part that does not exist
├── AlreadyThere       exit 2   something would be overwritten
├── BadData            exit 1   a dataset that nothing can be learnt from
├── BrokenImage        exit 1   bytes that are not a picture we read
├── BadWeights         exit 1   weights or graphs that do not fit the network
├── Damaged            exit 1   a file that is not what its hash promised
├── CannotResume       exit 2   a run that was begun with other settings, data or version
├── MissingExtra       exit 1   something that needs `pip install foveal[...]`
└── DiskFull           exit 1   no space left; the state before is intact
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class FovealError(Exception):
    """Base of all errors raised on purpose; anything else that escapes is a bug.

    The command line prints it without a traceback and exits with ``exit_code``; a server
    answers with ``status``. Neither needs to know the subclasses.
    """

    exit_code = 1
    status = 400

    def __init__(self, what: str, *, hint: str = "") -> None:
        super().__init__(f"{what} {hint}".rstrip())
        self.what, self.hint = what, hint


class BadUsage(FovealError):
    """Words of a command line that mean nothing there, or of which one is missing."""

    exit_code = 2


class OutOfRange(FovealError):
    """A setting whose value cannot work.

    >>> raise OutOfRange("size_px", 3, "at least 16 pixels")
    Traceback (most recent call last):
    foveal.core.errors.OutOfRange: size_px = 3 cannot work. Expected at least 16 pixels.
    """

    exit_code = 2

    def __init__(self, field: str, got: object, expected: str) -> None:
        super().__init__(f"{field} = {got!r} cannot work.", hint=f"Expected {expected}.")
        self.field, self.got, self.expected = field, got, expected


class UnknownName(FovealError):
    """A name was asked for that its table does not hold.

    >>> raise UnknownName("head", "prob", ["probe", "prototype"])
    Traceback (most recent call last):
    foveal.core.errors.UnknownName: No head is called 'prob'. Did you mean 'probe'?
    """

    exit_code = 2
    status = 404

    def __init__(self, kind: str, got: str, known: Iterable[str], *, most: int = 12) -> None:
        names = sorted(known)
        close = difflib.get_close_matches(got, names, n=1)
        shown = ", ".join(names[:most]) + (", …" if len(names) > most else "")
        hint = f"Did you mean {close[0]!r}?" if close else f"Known: {shown}."
        super().__init__(f"No {kind} is called {got!r}.", hint=hint)


class NotThere(FovealError):
    """A path, a column or a part that does not exist."""

    exit_code = 2
    status = 404


class AlreadyThere(FovealError):
    """Something of that name exists and would have to be overwritten."""

    exit_code = 2
    status = 409


class BadData(FovealError):
    """A dataset that nothing can be learnt or measured from."""


class BrokenImage(FovealError):
    """Bytes that are not a picture we read; ``what`` is the reason alone, without a path."""

    status = 422


class BadWeights(FovealError):
    """Weights or a graph that do not fit the network they were given for."""


class Damaged(FovealError):
    """A file that is not what its hash promised."""


class CannotResume(FovealError):
    """A run that cannot go on from its checkpoint: settings, data or version are others."""

    exit_code = 2
    status = 409


class MissingExtra(FovealError):
    """Something that the base install leaves out.

    >>> raise MissingExtra("Exporting a timm network", "train")
    Traceback (most recent call last):
    foveal.core.errors.MissingExtra: Exporting a timm network needs the extra 'train'. \
Run: pip install 'foveal[train]'
    """

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(
            f"{what} needs the extra {extra!r}.", hint=f"Run: pip install 'foveal[{extra}]'"
        )
        self.extra = extra


class DiskFull(FovealError):
    """No space was left; what stood there before is intact."""

    status = 507
