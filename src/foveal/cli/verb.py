"""A verb's help: its options under the headings of their groups, with the defaults that hold."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable
from typing import Any

from typer.core import TyperCommand, TyperGroup

from foveal.cli.refusals import Refusing
from foveal.core.errors import UnknownName

ARGUMENTS, OPTIONS = "Arguments", "Options"  # what has no heading of its own
NAMES = 29  # letters that the names of an option take before what is said of it, at most


class Verb(Refusing, TyperCommand):
    """One verb of the command line."""

    def format_options(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 — the parser's
        """Write the options, heading by heading, in the order in which the verb has them."""
        records: Callable[[], Iterable[type]] = getattr(self.callback, "records", tuple)
        known = defaults(records())
        sections: dict[str, list[tuple[str, str]]] = {ARGUMENTS: [], OPTIONS: []}
        for param in self.get_params(ctx):
            if param.param_type_name == "argument":
                heading = ARGUMENTS
            else:
                heading = getattr(param, "rich_help_panel", None) or OPTIONS
            if row := _row(param, known, ctx):
                sections.setdefault(heading, []).append(row)
        rows = [row for section in sections.values() for row in section]
        width = max(len(name) for name, _ in rows if len(name) <= NAMES)
        for heading, section in sections.items():
            if section:
                with formatter.section(heading):
                    formatter.write_dl(
                        [(f"{name:{width}}", text) for name, text in section], col_max=width
                    )


class Verbs(Refusing, TyperGroup):
    """All verbs."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 — the parser's
        """Take the words of a command line; `--` alone is none, which the help answers."""
        return super().parse_args(ctx, [] if args == ["--"] else args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # noqa: ANN401 — the parser's
        """Return the verb that is meant.

        Raises:
            UnknownName: if there is none of that name.
        """
        if self.get_command(ctx, args[0]) is None:
            raise UnknownName("verb of foveal", args[0], self.list_commands(ctx))
        return super().resolve_command(ctx, args)


def defaults(records: Iterable[type]) -> dict[str, str]:
    """Return what settings records do where nobody says otherwise, as options would say it.

    >>> from foveal.train.network.pretrain_settings import PretrainSettings
    >>> known = defaults([PretrainSettings])
    >>> known["sizes"], known["weight_decay"], known["crop"], "canvas_px" in known
    ('80,96,128', '0.0002', '1', False)
    """
    return {
        field.name: _text(field.default)
        for record in records
        for field in dataclasses.fields(record)
        if isinstance(field.default, str | int | float | tuple)
        and not isinstance(field.default, bool)
        and field.default != ""
    }


def _text(value: object) -> str:
    if isinstance(value, tuple):
        every_float = all(isinstance(one, float) for one in value)
        return (" " if every_float else ",").join(map(_text, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _row(param: Any, known: dict[str, str], ctx: Any) -> tuple[str, str] | None:  # noqa: ANN401
    """Return the names of an option and what is said of it; words of its own for a default win."""
    if param.show_default is False and param.name in known:
        param.show_default = known[param.name]
    row: tuple[str, str] | None = param.get_help_record(ctx)
    if row is None:
        return None
    return row[0], re.sub(r"\[default: \((.*)\)", r"[default: \1", row[1])
