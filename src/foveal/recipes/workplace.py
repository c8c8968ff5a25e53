"""`Workplace`: the folder where a training keeps its state until its model is saved.

    MODEL.training/settings.json    the fit as it was asked for
    MODEL.training/checkpoints/     see ``train.network.checkpoint``
    MODEL.training/metrics.jsonl    a line an epoch

It lies beside the model that is to be, and goes when that is there: so whatever cuts a run off,
``foveal fit --resume -o MODEL`` finds what it needs, and a finished model has none.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foveal.core.errors import AlreadyThere, NotThere
from foveal.core.files import write_file
from foveal.core.settings import read_json, to_json
from foveal.recipes.clock import METRICS, to_lines

SETTINGS, CHECKPOINTS = "settings.json", "checkpoints"


@dataclass(frozen=True, slots=True)
class Workplace:
    """The folder of a training beside the model it is for."""

    folder: Path

    @classmethod
    def of(cls, model: Path) -> Workplace:
        """Return the workplace for a model.

        >>> Workplace.of(Path("models/screws")).folder.as_posix()
        'models/screws.training'
        """
        clean = model.resolve() if model.name in {"", ".."} else model
        return cls(clean.with_name(f"{clean.name}.training"))

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.folder / CHECKPOINTS

    @property
    def tracking(self) -> Path:
        """Folder of what trackers keep; it stays when the workplace goes.

        >>> Workplace.of(Path("models/screws")).tracking.as_posix()
        'models/screws.tracking'
        """
        return self.folder.with_name(f"{self.folder.name.removesuffix('.training')}.tracking")

    @property
    def metrics(self) -> Path:
        """File with a line of JSON an epoch."""
        return self.folder / METRICS

    def settings(self) -> dict[str, Any]:
        """Return the fit that was begun here, as it was asked for.

        Raises:
            NotThere: if none was.
        """
        path = self.folder / SETTINGS
        if not path.is_file():
            raise NotThere(
                f"There is no training to resume at {self.folder}.",
                hint="Begin it without --resume.",
            )
        return read_json(path.read_bytes(), where=str(path))

    @property
    def worth_keeping(self) -> bool:
        """Whether anything was learnt here: a fit that failed before has nothing to resume."""
        return self.checkpoints.is_dir() and any(self.checkpoints.iterdir())

    def check_free(self, *, overwrite: bool) -> None:
        """Refuse to begin where another training was cut off; with ``overwrite``, remove that.

        Raises:
            AlreadyThere: saying what to do.
        """
        if self.worth_keeping and not overwrite:
            raise AlreadyThere(
                f"{self.folder} holds a training that was cut off.",
                hint="Go on with it by --resume, or begin anew by --overwrite.",
            )
        self.remove()

    def begin(self, settings: Mapping[str, Any]) -> None:
        """Write down what was asked for, before any work is done."""
        write_file(self.folder / SETTINGS, to_json(settings))

    def amend_training(self, settings: Mapping[str, Any]) -> None:
        """Write down the settings of training once they are final, where a fit was begun here."""
        if (self.folder / SETTINGS).is_file():
            order = self.settings()
            order["fit"]["train"] = dict(settings)
            self.begin(order)

    def write_metrics(self, epochs: Iterable[Mapping[str, Any]]) -> None:
        """Write all epochs so far: whole, so that a resumed run leaves no line twice."""
        write_file(self.metrics, to_lines(epochs))

    def remove(self) -> None:
        """Remove all of it."""
        shutil.rmtree(self.folder, ignore_errors=True)
