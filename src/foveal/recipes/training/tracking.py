"""Tracking: losses, rates and scores of a training, as the tools that people look at runs with.

Whatever they do, the training goes on: one that fails is said, once, and hears no more. They are
told of a run and of its resumption by the numbers of the steps alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from foveal.core.listener import SILENT, Listener
from foveal.core.table import Table
from foveal.recipes.training.mlflow_runs import MlflowRuns
from foveal.recipes.training.tensorboard_files import TensorboardFiles

if TYPE_CHECKING:
    from foveal.train.network.loop import Update
    from foveal.train.network.run import Epoch


class Tracker(Protocol):
    """Keeps the values of one run where a tool finds them."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Hear what a step came to.

        A first step of 0 begins a run; a later one goes on with the run that was logged here
        before, in the same place. A step that was logged already, by this process or by the one
        that was cut off, is to be seen once.
        """

    def close(self, *, well: bool) -> None:
        """Hear that this process is done, and whether it went well."""


MakeTracker = Callable[[Path, Mapping[str, Any]], Tracker]
"""(folder, settings) -> tracker; it writes nothing before the first ``log``.

Raises ``MissingExtra`` where the tool is not installed.
"""

TRACKERS: Table[MakeTracker] = Table(
    "tracker",
    {
        "tensorboard": TensorboardFiles,
        "mlflow": MlflowRuns,
    },
)


def trackers(
    names: str, folder: Path, settings: Mapping[str, Any] | None = None
) -> dict[str, Tracker]:
    """Return the trackers of a comma-separated list; nothing is written yet.

    Args:
        names: such as ``tensorboard,mlflow``; empty: none.
        folder: where they write.
        settings: of the run, JSON-like, for tools that compare runs by them.

    Raises:
        UnknownName: for one that is none.
        MissingExtra: for one whose tool is not installed.
    """
    wanted = dict.fromkeys(name.strip() for name in names.split(",") if name.strip())
    return {name: TRACKERS.pick(name)(folder, settings or {}) for name in wanted}


class Tracking:
    """Tells trackers what a training tells, for the length of a ``with`` block.

    Args:
        trackers: by name, see ``trackers``.
        steps_per_epoch: of the plan: an epoch is logged at its last step.
        listener: hears of a tracker that failed.
    """

    def __init__(
        self,
        trackers: Mapping[str, Tracker],
        *,
        steps_per_epoch: int,
        listener: Listener = SILENT,
    ) -> None:
        self.trackers = dict(trackers)
        self.steps_per_epoch, self.listener = steps_per_epoch, listener
        self._last: int | None = None

    def __enter__(self) -> Tracking:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close them all."""
        self._each(lambda tracker: tracker.close(well=error is None))
        self.trackers.clear()

    def tell(self, news: Update | Epoch) -> None:
        """Log an update or an epoch."""
        if not self.trackers:
            return
        from foveal.train.network.run import Epoch

        if isinstance(news, Epoch):
            step = news.number * self.steps_per_epoch - 1 if self._last is None else self._last
            scores = {f"val/{name}": value for name, value in news.scores.items()}
            values = {"epoch": float(news.number), "epoch/train_loss": news.train_loss, **scores}
        else:
            step = self._last = news.step
            values = {
                "train/loss": news.loss,
                "train/rate": news.rate,
                "train/gradient_norm": news.norm,
            }
        self._each(lambda tracker: tracker.log(step, values))

    def _each(self, do: Callable[[Tracker], None]) -> None:
        for name, tracker in list(self.trackers.items()):
            try:
                do(tracker)
            except Exception as error:  # noqa: BLE001  # a tool's: the training is worth more
                del self.trackers[name]
                reason = " ".join(str(error).split()) or type(error).__name__
                self.listener.say(
                    f"{name} failed ({reason}): this training goes on and is no longer tracked "
                    "there."
                )
