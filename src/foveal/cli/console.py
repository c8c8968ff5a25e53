"""The listener of the command line: sentences and progress bars on stderr, results on stdout."""

from __future__ import annotations

import json
import os
import re
import sys
import time
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from foveal.cli.options import FLAGS
from foveal.core.errors import FovealError

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_OPTIONS = " (in the options)"  # as settings say where a value came from
_REFUSED = re.compile(r"^(foveal: |)(?:--)?([a-z][a-z-]*) = (?=.* cannot work\.)", re.DOTALL)


class Console:
    """Shows what a recipe says and how far it is; nothing of it ever reaches stdout.

    Bars appear only on a terminal, and only for stages that are not over at once.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self.bars = not quiet and sys.stderr.isatty()
        self._progress: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._started: dict[str, float] = {}

    def say(self, sentence: str) -> None:
        """Print one sentence to stderr, above the bars."""
        if self.quiet:
            return
        sentence = plain(in_flags(sentence))
        if self._progress is not None:
            self._progress.console.print(sentence, markup=False, highlight=False, soft_wrap=True)
        else:
            tell(sentence)

    def progress(
        self, stage: str, done: int, total: int, unit: str = "images", *, note: str = ""
    ) -> None:
        """Move the bar of ``stage``: done of total, speed, time left, and how it goes."""
        if not self.bars:
            return
        started = self._started.setdefault(stage, time.monotonic())
        if stage not in self._tasks:
            if time.monotonic() - started < 0.5 or done >= total:
                return
            if self._progress is None:
                self._progress = _bars()
                self._progress.start()
            self._tasks[stage] = self._progress.add_task(stage, total=total, unit=unit, note=note)
        assert self._progress is not None
        self._progress.update(self._tasks[stage], completed=done, total=total, note=note)

    def stop(self) -> None:
        """Leave the bars as they are and give the terminal back."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
            self._tasks.clear()


@contextmanager
def console(*, quiet: bool = False) -> Iterator[Console]:
    """Yield a console and give the terminal back whatever happens."""
    heard = Console(quiet=quiet)
    try:
        yield heard
    finally:
        heard.stop()


def tell(sentence: str) -> None:
    """Print words to stderr; where nobody can hear them (a full disk), the work goes on."""
    try:
        print(sentence, file=sys.stderr, flush=True)  # noqa: T201 — the console's one job
    except OSError:
        _to_nowhere(sys.stderr)


def put(values: Mapping[str, Any]) -> None:
    """Print one JSON object on stdout, on one line; names that are no Unicode as escapes."""
    unicode = (sys.stdout.encoding or "").lower() in {"utf-8", "utf8"}
    text = json.dumps(values, ensure_ascii=not unicode, allow_nan=False)
    write(_escaped(text, "Cs") + "\n")


class Result(Protocol):
    """What a verb found, in words and in numbers."""

    def lines(self) -> list[str]:
        """Return it as lines of text, for a terminal."""

    def to_mapping(self) -> dict[str, Any]:
        """Return it JSON-ready."""


def result(found: Result, *, as_json: bool) -> None:
    """Print what a verb found on stdout: one JSON object, or lines for people."""
    if as_json:
        put(found.to_mapping())
        return
    for line in found.lines():
        show(line)


def show(text: str = "") -> None:
    """Print one line of the result on stdout, for people."""
    write(_escaped(text, "Cs", "Cc") + "\n")


def write(text: str) -> None:
    """Write a piece of the result to stdout, now.

    Raises:
        FovealError: where it cannot be written: a full disk, a file that grew too large.
        BrokenPipeError: where nobody reads on.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        _to_nowhere(sys.stdout)
        reason = error.strerror or error
        raise FovealError(f"The result cannot be written to standard output: {reason}.") from None


def _to_nowhere(stream: TextIO) -> None:
    """Let what is left in the buffer go nowhere; else Python would try, and fail, once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def plain(text: str) -> str:
    r"""Return text that no terminal obeys: control characters but line breaks as escapes.

    File and class names come from anywhere; some would clear the screen, or fake a line.

    >>> plain("a\x1b[2Jb")
    'a\\x1b[2Jb'
    """
    return "\n".join(_escaped(line, "Cs", "Cc") for line in text.split("\n"))


def in_flags(sentence: str) -> str:
    """Return a sentence with settings by the names that a command line has for them.

    What is said of a settings file keeps the names that stand in the file.

    >>> in_flags("group_level = 0 cannot work. Say group_scope=all.")
    '--group-level 0 cannot work. Say --group-scope all.'
    >>> in_flags("rate = -1.0 cannot work. Expected more than 0 and finite.")
    '--rate -1.0 cannot work. Expected more than 0 and finite.'
    >>> in_flags("photos/test_share/1.jpg is left out")
    'photos/test_share/1.jpg is left out'
    """
    if "(in " in sentence.replace(_OPTIONS, ""):
        return sentence
    sentence = _REFUSED.sub(r"\1--\2 ", sentence.replace(_OPTIONS, ""))
    return _setting().sub(lambda found: FLAGS[found[1]] + (" " if found[2] else ""), sentence)


@cache
def _setting() -> re.Pattern[str]:
    """Return what finds the settings that are called otherwise; all verbs are declared by then."""
    return re.compile(rf"(?<![\w/.\\-])({'|'.join(FLAGS)})(?![\w/]|\.\w)( ?= ?)?")


def _escaped(text: str, *categories: str) -> str:
    if text.isprintable():
        return text
    return "".join(
        c.encode("unicode_escape").decode() if unicodedata.category(c) in categories else c
        for c in text
    )


def _bars() -> Progress:
    from rich.console import Console as RichConsole
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Speed(ProgressColumn):
        """Units a second, such as ``41 images/s``."""

        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text("" if speed is None else f"{speed:.0f} {task.fields['unit']}/s")

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Speed(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=RichConsole(stderr=True),
    )
