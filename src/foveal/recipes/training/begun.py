"""A network about to be trained, and what its training has to be better than."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from foveal.backbone.spec import BackboneSpec
from foveal.model.linear import LinearHead
from foveal.recipes.fitted import Fitted
from foveal.recipes.rows import Rows

if TYPE_CHECKING:
    from foveal.train.network.run import Network, Plan


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Begun:
    """A network about to be trained."""

    network: Network  # with a classifier for the classes of the rows
    spec: BackboneSpec  # of what it was made from
    rows: Rows  # what is learnt from; their one pair is (train, val)
    baseline: LinearHead | None  # over the classical block
    probe: Fitted | None = None  # what the frozen network reached on the same val part


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Start:
    """A network before its training: what it has to be better than."""

    state: Mapping[str, Any]
    loss: float  # log loss on val


def start_of(begun: Begun, learning: Network, plan: Plan) -> Start | None:
    """Return the network as a probe's head makes it; None for one that knows nothing yet."""
    if begun.probe is None:
        return None
    learning.eval()
    state = deepcopy(begun.network.state_dict())
    return Start(state=state, loss=plan.judge(learning)["log_loss"])


def no_gain(best: float, before: float) -> bool:
    """Return whether a log loss is no less than the one before; one that is no number is not.

    >>> no_gain(0.3, 0.5), no_gain(0.5, 0.5), no_gain(float("nan"), 0.5)
    (False, True, True)
    """
    return not best < before
