"""`Diary`: what is written down of a training while it goes on, and what is told of it after."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from foveal.recipes.fitted import Fitted
from foveal.recipes.task import Task
from foveal.recipes.training.tracking import Tracking, trackers

if TYPE_CHECKING:
    from foveal.train.network.loop import Update
    from foveal.train.network.run import Epoch, Plan, Trained


class Diary:
    """What is written down while a network is trained: checkpoints, a line an epoch, trackers'."""

    def __init__(self, task: Task, plan: Plan) -> None:
        from foveal.train.network.saving.checkpoint import Checkpoints

        self.task, place = task, task.workplace
        self.epochs: list[Mapping[str, Any]] = []
        self.checkpoints = (
            None if place is None else Checkpoints(place.checkpoints, listener=task.listener)
        )
        wanted = task.settings.train.track
        found = {} if place is None else trackers(wanted, place.tracking, dict(plan.facts))
        self.tracking = Tracking(
            found, steps_per_epoch=plan.steps_per_epoch, listener=task.listener
        )

    def tell(self, news: Update | Epoch) -> None:
        """Hear an update or an epoch."""
        from foveal.train.network.run import Epoch

        self.tracking.tell(news)
        if isinstance(news, Epoch):
            line = epoch_of(news, self.task)
            self.epochs[news.number - 1 :] = [line]  # a run that went back comes by again
            self.task.listener.say(
                f"epoch {news.number} of {self.task.settings.train.epochs}: loss on train "
                f"{line['train_loss']:.3f}; on val {line['val_loss']:.3f}, "
                f"right {100 * line['val_top1']:.1f} %"
            )
            if self.task.workplace is not None:
                self.task.workplace.write_metrics(self.epochs)


def epoch_of(epoch: Epoch, task: Task) -> dict[str, Any]:
    """Return an epoch as ``run.json`` and ``metrics.jsonl`` have it."""
    return {
        "number": epoch.number,
        "rate": epoch.share * task.settings.train.rate,
        "train_loss": epoch.train_loss,
        "val_loss": epoch.scores["log_loss"],
        "val_top1": epoch.scores["top1"],
    }


def course_of(
    task: Task, trained: Trained, probe: Fitted | None, training: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the training epoch by epoch, what its story says of it, the probe on the same val."""
    rival = {} if probe is None else probe.promise.metrics
    return {
        "epochs": [epoch_of(epoch, task) for epoch in trained.epochs],
        "kept": training["kept"],
        "probe_top1": rival["top1"].value if rival else None,
        "probe_loss": rival["log_loss"].value if rival else None,
        "sentence": training["sentence"],
    }
