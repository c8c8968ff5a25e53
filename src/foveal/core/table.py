"""The extension mechanism: one dict per kind, open to plugins, with did-you-mean."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Generic, TypeVar, cast

from foveal.core.errors import FovealError, UnknownName

T = TypeVar("T")


class Table(Generic[T]):
    """The choices of one kind, such as readers or heads.

    Shipped entries are written as one dict, so a reader sees them all at once and nothing
    depends on import order. Installed plugins join through the entry point group
    ``foveal.<kind>`` and may not replace a shipped name.
    """

    def __init__(self, kind: str, shipped: Mapping[str, T]) -> None:
        self.kind = kind
        self._shipped = dict(shipped)

    def pick(self, name: str) -> T:
        """Return the choice called ``name``.

        Raises:
            UnknownName: if neither the package nor a plugin has it.

        >>> Table("head", {"linear": 1}).pick("linaer")
        Traceback (most recent call last):
        foveal.core.errors.UnknownName: No head is called 'linaer'. Did you mean 'linear'?
        """
        if name in self._shipped:
            return self._shipped[name]
        for point in entry_points(group=f"foveal.{self.kind}", name=name):
            return cast(T, point.load())
        raise UnknownName(self.kind, name, self.names())

    def names(self) -> list[str]:
        """Return all names: the shipped ones in the order of their dict, then plugins, sorted."""
        plugins = {point.name for point in entry_points(group=f"foveal.{self.kind}")}
        if taken := sorted(plugins & self._shipped.keys()):
            raise FovealError(
                f"A plugin wants the shipped {self.kind} name {taken[0]!r}.",
                hint="Give the plugin's entry point another name.",
            )
        return [*self._shipped, *sorted(plugins)]
