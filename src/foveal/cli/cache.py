"""`foveal cache`: what is kept on this machine, and emptying it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from foveal.cli import options as o
from foveal.cli.console import put, show
from foveal.cli.options import AsJson

Clear = Annotated[bool, typer.Option("--clear", help="Remove all features and backbones.")]
Only = Annotated[
    str | None, o.option("One kind alone: 'features', 'backbones' or 'parts'.", "--only")
]


def cache(clear: Clear = False, only: Only = None, as_json: AsJson = False) -> None:
    """Show what the cache holds; with --clear, empty it.

    Features and exported backbones can be made again. What `--only parts` forgets is which
    pictures of a folder were held out: the next fit draws a new test part.
    """
    from foveal.recipes.keep import kept, remove

    if clear:
        freed = remove(only)
        if as_json:
            put({"freed_bytes": freed})
        else:
            show(f"{_size(freed)} freed.")
        return
    entries = kept(only)
    if as_json:
        put({"entries": [entry.to_mapping() for entry in entries]})
        return
    if not entries:
        show("The cache is empty.")
    for entry in entries:
        used = datetime.fromtimestamp(entry.last_used_s, UTC).astimezone()
        show(f"{entry.kind:9}  {_size(entry.size_bytes):>8}  {used:%Y-%m-%d %H:%M}  {entry.label}")


def _size(count: int) -> str:
    """Return bytes for people.

    >>> _size(1_500_000), _size(12)
    ('1.5 MB', '12 B')
    """
    for unit, power in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= power:
            return f"{count / power:.1f} {unit}"
    return f"{count} B"
