"""`Task`: what a strategy is given, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from foveal.backbone.catalog import default_backbone, pick
from foveal.backbone.running import OnnxBackbone
from foveal.backbone.settings import BackboneSettings
from foveal.core.listener import Listener
from foveal.data.manifest import Manifest
from foveal.recipes.clock import Clock
from foveal.recipes.orders import AUTO, FitSettings
from foveal.recipes.prepare import Prepared, prepare
from foveal.recipes.workplace import Workplace


@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """A fit to be done."""

    data: Manifest  # labelled, one class a picture
    settings: FitSettings  # every choice that is not the data's
    listener: Listener  # hears what was assumed, left out and chosen
    clock: Clock  # counts the seconds of each stage
    workplace: Workplace | None = None  # where a training keeps its state; None: nowhere

    def with_settings(self, settings: FitSettings) -> Task:
        """Return the same task with other settings of training; what was read stays read."""
        other = replace(self, settings=settings)
        vars(other).update({k: v for k, v in vars(self).items() if k not in vars(other)})
        return other

    @cached_property
    def named(self) -> BackboneSettings:
        """The backbone as asked for, with the default one in place of "auto"."""
        asked = self.settings.backbone
        if asked.backbone != AUTO:
            return asked
        name, why = default_backbone()
        self.listener.say(why)
        return replace(asked, backbone=name)

    @cached_property
    def host(self) -> OnnxBackbone:
        """The frozen network; exported when it is asked for the first time.

        Raises:
            FovealError: from the backbone, see ``pick``.
        """
        with self.clock("backbone"):
            return pick(self.named, self.listener)

    @cached_property
    def prepared(self) -> Prepared:
        """The data, read and split.

        Raises:
            BadData: where there is nothing to learn from.
        """
        with self.clock("reading files"):
            return prepare(self.data, self.settings.prepare, self.listener)
