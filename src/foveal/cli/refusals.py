"""What the parser refuses, as errors of our own: which option, what was given, what was expected.

Typer brings click, or a copy of it; its errors are known by their names, so that either may speak.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from itertools import takewhile
from types import NoneType
from typing import Any, get_args, get_type_hints

import typer

from foveal.cli.options import Triple
from foveal.core.errors import BadUsage, FovealError, OutOfRange

# What the parser raises.
ParserError: Any = next(
    kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException"
)
HELP_ASKED = "NoArgsIsHelpError"  # … where it answers with the help, which is no refusal

EXPECTED: dict[object, str] = {
    int: "a whole number",
    float: "a number, such as 0.05",
    Triple: "three numbers with spaces between them, such as 0.485 0.456 0.406",
}


class Refusing:
    """A command whose parser complains as Foveal does; to be put before typer's class."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 — the parser's
        """Take the words of a command line, or say in one sentence what is wrong with them.

        Raises:
            BadUsage: for words that mean nothing here.
            OutOfRange: for a value of another kind than the option's.
        """
        try:
            for param, words in _said(ctx, args):
                names = _names(ctx)
                if eaten := [n for n, word in enumerate(words) if word in names]:
                    raise _of_too_few(param, words[: eaten[0]], ctx)
            rest: list[str] = super().parse_args(ctx, list(args))  # type: ignore[misc]  # typer's
        except ParserError as error:
            if type(error).__name__ == HELP_ASKED:
                raise
            raise _in_our_words(error, ctx, args) from None
        return rest


def nearest(wanted: str, names: Iterable[str]) -> str | None:
    """Return the option that was most likely meant: one whose words were all said, else the like.

    >>> options = ["--batch", "--rate", "--clip", "--seed", "--size", "--epochs"]
    >>> [nearest(name, options) for name in ("--sede", "--batch-size", "--learning_rate", "--lr")]
    ['--seed', '--batch', '--rate', None]
    """
    plain = {name.lstrip("-"): name for name in names if name.startswith("--")}
    asked = wanted.lstrip("-").replace("_", "-")
    words = set(asked.split("-"))
    within = [name for name in plain if words.issuperset(name.split("-"))]
    close = difflib.get_close_matches(asked, within or plain, n=1, cutoff=0 if within else 0.6)
    return plain[close[0]] if close else None


def _in_our_words(error: Any, ctx: Any, args: Sequence[str]) -> FovealError:  # noqa: ANN401
    kind, path = type(error).__name__, f"`{ctx.command_path}`"
    if kind == "NoSuchOption":
        near = nearest(error.option_name, _names(ctx))
        hint = f"Did you mean {near}?" if near else f"`{ctx.command_path} --help` lists them."
        return BadUsage(f"{path} has no option {error.option_name}.", hint=hint)
    if kind == "MissingParameter":
        called = _flag(error.param) if error.param.opts[0][:1] == "-" else error.param.name.upper()
        return BadUsage(f"{path} needs {called}.", hint=error.param.help or "")
    if kind == "BadOptionUsage":
        param = next(one for one in _options(ctx) if error.option_name in one.opts)
        return _of_too_few(param, _after(args, error.option_name, _names(ctx)), ctx)
    if kind == "BadParameter":
        words = next(said for param, said in _said(ctx, args) if param.name == error.param.name)
        return OutOfRange(_flag(error.param), " ".join(words), _expected(error.param, ctx))
    _, rest, _ = ctx.command.make_parser(ctx).parse_args(list(args))
    if rest and "extra argument" in error.format_message():
        hint = "A name with spaces needs quotes."
        return BadUsage(f"{path} has no use for {rest[0]!r}.", hint=hint)
    return BadUsage(error.format_message())


def _of_too_few(param: Any, words: Sequence[str], ctx: Any) -> FovealError:  # noqa: ANN401
    """Return what to say of an option with fewer values than it takes, or more than none."""
    flag = _flag(param)
    if param.is_flag:
        return OutOfRange(flag, " ".join(words), "no value")
    if words:
        return OutOfRange(flag, " ".join(words), _expected(param, ctx))
    return BadUsage(f"{flag} needs a value.", hint=param.help or "")


def _expected(param: Any, ctx: Any) -> str:  # noqa: ANN401
    """Return which values the option takes, by the type that it was declared with."""
    hint = get_type_hints(ctx.command.callback)[param.name]
    kinds = [kind for kind in get_args(hint) or (hint,) if kind is not NoneType]
    return EXPECTED.get(hint) or EXPECTED.get(kinds[0], "another value")


def _said(ctx: Any, args: Sequence[str]) -> Iterator[tuple[Any, list[str]]]:  # noqa: ANN401
    """Yield every option that was given, with its values as they were typed."""
    values, _, _ = ctx.command.make_parser(ctx).parse_args(list(args))
    for param in _options(ctx):
        if words := list(_flat(values.get(param.name))):
            yield param, words


def _flat(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _flat(one)


def _after(args: Sequence[str], name: str, names: Sequence[str]) -> list[str]:
    """Return the words that follow an option, up to the next one.

    >>> _after(["--mean", "1", "2", "--json"], "--mean", ["--mean", "--json"])
    ['1', '2']
    >>> _after(["--json=3"], "--json", ["--json"])
    ['3']
    """
    for number, word in enumerate(args):
        if word.startswith(f"{name}="):
            return [word.partition("=")[2]]
        if word == name:
            return list(takewhile(lambda later: later not in names, args[number + 1 :]))
    return []


def _flag(param: Any) -> str:  # noqa: ANN401
    """Return the long name of an option."""
    return str(next((name for name in param.opts if name.startswith("--")), param.opts[0]))


def _options(ctx: Any) -> list[Any]:  # noqa: ANN401
    return [one for one in ctx.command.get_params(ctx) if one.param_type_name == "option"]


def _names(ctx: Any) -> list[str]:  # noqa: ANN401
    return [name for option in _options(ctx) for name in option.opts]
