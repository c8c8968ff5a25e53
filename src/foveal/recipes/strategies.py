"""The strategies of ``foveal fit``: how a network and rows become a classifier."""

from __future__ import annotations

from collections.abc import Callable

from foveal.backbone.spec import Backbone
from foveal.core.listener import Listener
from foveal.core.table import Table
from foveal.recipes.clock import Clock
from foveal.recipes.fitted import Fitted
from foveal.recipes.orders import FitSettings
from foveal.recipes.prepare import Prepared
from foveal.recipes.probe import probe

Strategy = Callable[[Backbone, Prepared, FitSettings, Listener, Clock], Fitted]


STRATEGIES: Table[Strategy] = Table("strategy", {"probe": probe})
