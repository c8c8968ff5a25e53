"""The command line: parse, call, print. One file per verb; nothing heavy until a verb runs."""

from __future__ import annotations

import io
import os
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from foveal.cli.augment import augment
from foveal.cli.bring import bring
from foveal.cli.cache import cache
from foveal.cli.console import in_flags, plain, tell
from foveal.cli.demo import demo
from foveal.cli.doctor import doctor
from foveal.cli.fit import fit
from foveal.cli.lr import lr
from foveal.cli.predict import predict
from foveal.cli.pretrain import pretrain
from foveal.cli.ranks import speaks
from foveal.cli.refusals import ParserError
from foveal.cli.test import judge
from foveal.cli.verb import Verb, Verbs
from foveal.core.errors import FovealError

_ENDS = (("interrupted", 130), ("terminated", 143))  # 128 and the number of the signal

app = typer.Typer(
    cls=Verbs,
    context_settings={"max_content_width": 120},
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.command("fit", cls=Verb)(fit)
app.command("test", cls=Verb)(judge)
app.command("predict", cls=Verb)(predict)
app.command("import", cls=Verb)(bring)
app.command("augment", cls=Verb)(augment)
app.command("lr", cls=Verb)(lr)
app.command("pretrain", cls=Verb)(pretrain)
app.command("demo", cls=Verb)(demo)
app.command("doctor", cls=Verb)(doctor)
app.command("cache", cls=Verb)(cache)


def _version(asked: bool) -> None:
    if asked:
        from foveal import __version__

        print(f"foveal {__version__}")  # noqa: T201 — what was asked for
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which it is.")
    ] = False,
) -> None:
    """From a folder of photographs to a tested, saved, usable image classifier."""


def run() -> None:
    """Run the command: results go to stdout, words to stderr; every exit code means something.

    0: done. 1: it failed, one sentence on stderr says why. 2: asked for in a way that cannot
    work. 130: interrupted, 143: terminated (SIGTERM); nothing is half-written.
    """
    signal.signal(signal.SIGTERM, _terminate)
    _ready_streams()
    command = typer.main.get_command(app)
    try:  # not `app()`: typer would take Ctrl-C and closed pipes for itself
        with command.make_context("foveal", sys.argv[1:]) as context:
            command.invoke(context)
    except typer.Exit as exit_:
        raise SystemExit(exit_.exit_code) from None
    except FovealError as error:
        _fail(f"foveal: {error}", error.exit_code)
    except (KeyboardInterrupt, typer.Abort) as stopped:
        word, code = _ENDS[isinstance(stopped, _Terminated)]
        _fail(f"foveal: {word}; nothing was half-written.", code, stopped=True)
    except BrokenPipeError:  # whoever read our output has heard enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None
    except OSError as error:  # forbidden, read-only, too long a name: the system's own words
        where = f"{error.filename}: " if error.filename else ""
        _fail(f"foveal: {where}{error.strerror or error}.", 1)
    except ParserError as error:
        if speaks(error.format_message()):
            error.show(sys.stderr)
        raise SystemExit(error.exit_code) from None
    raise SystemExit(0)


def _ready_streams() -> None:
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started us
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115 — open until the end
    for stream in (sys.stdout, sys.stderr):  # a name that is not Unicode is shown as an escape
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if isinstance(sys.stdin, io.TextIOWrapper):  # … and read as it is
        sys.stdin.reconfigure(errors="surrogateescape")


class _Terminated(KeyboardInterrupt):
    """Somebody asked this process to end: it tidies up as after Ctrl-C."""


def _terminate(_signal: int, _frame: object) -> None:
    raise _Terminated


def _fail(sentence: str, code: int, *, stopped: bool = False) -> None:
    said = plain(in_flags(sentence))
    if speaks(said, stopped=stopped):
        tell(said)
    raise SystemExit(code) from None
