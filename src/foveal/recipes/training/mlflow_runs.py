"""MLflow: a database file of runs, on this machine; nothing is sent anywhere."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from foveal.core.errors import MissingExtra

FILE = "mlflow.db"
EXPERIMENT = "foveal"
EVERY_S = 5.0  # between writes: each is a transaction, as long as a small network's step
_MOST = 1000  # values that MLflow takes at once
_LONGEST, _PARAMS = 500, 100  # characters of a setting, and settings at once


class MlflowRuns:
    """The runs of one model: ``mlflow ui --backend-store-uri sqlite:///FOLDER/mlflow.db``.

    A database and not a folder of files, which MLflow refuses by now. It cannot take values back:
    of a step that is made again, the first values stay, which are the same in a run that was cut
    off, and not in one that went back to a lower rate.

    Raises:
        MissingExtra: where MLflow, or what it needs for a database, is not installed.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        if not all(find_spec(name) for name in ("mlflow", "sqlalchemy", "alembic")):
            raise MissingExtra("Tracking by MLflow", "mlflow")
        self.file = folder / FILE
        self._settings = settings
        self._client: Any = None
        self._run = ""
        self._logged: dict[str, int] = {}  # the last step of each name
        self._waiting: list[tuple[str, float, int, int]] = []  # (name, value, milliseconds, step)
        self._wrote_s = 0.0

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Keep the values; they are written every five seconds and at the end."""
        if self._client is None:
            self._begin(step)
        now = int(time.time() * 1000)
        for name, value in values.items():
            if step > self._logged.get(name, -1):
                self._logged[name] = step
                self._waiting.append((name, value, now, step))
        if time.monotonic() - self._wrote_s > EVERY_S or len(self._waiting) >= _MOST // 2:
            self._write()

    def close(self, *, well: bool) -> None:
        """Write what waits, and how the run ended."""
        if self._client is None:
            return
        with _quiet():
            self._write()
            self._client.set_terminated(self._run, "FINISHED" if well else "KILLED")

    def _begin(self, step: int) -> None:
        """Begin a run, or go on with the last one that was begun here."""
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # else it calls home
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with _quiet():
            from mlflow.tracking import MlflowClient

            client: Any = MlflowClient(tracking_uri=f"sqlite:///{self.file.absolute()}")
            found = client.get_experiment_by_name(EXPERIMENT)
            if found is None:
                artifacts = (self.file.parent / "mlflow-artifacts").absolute().as_uri()
                experiment = client.create_experiment(EXPERIMENT, artifact_location=artifacts)
            else:
                experiment = found.experiment_id
            order = ["attributes.start_time DESC"]
            runs = client.search_runs([experiment], max_results=1, order_by=order) if step else []
            self._run = runs[0].info.run_id if runs else self._new(client, experiment)
            if runs:
                client.update_run(self._run, status="RUNNING")
                for name in runs[0].data.metrics:
                    history = client.get_metric_history(self._run, name)
                    self._logged[name] = max(metric.step for metric in history)
        self._client = client

    def _new(self, client: Any, experiment: str) -> str:  # noqa: ANN401 — MLflow has no types here
        from mlflow.entities import Param

        run = client.create_run(experiment, run_name=self.file.parent.stem)
        params = [Param(name, value[:_LONGEST]) for name, value in _flat(self._settings)]
        for first in range(0, len(params), _PARAMS):
            client.log_batch(run.info.run_id, params=params[first : first + _PARAMS])
        run_id: str = run.info.run_id
        return run_id

    def _write(self) -> None:
        from mlflow.entities import Metric

        metrics = [Metric(*each) for each in self._waiting]
        self._waiting.clear()
        self._wrote_s = time.monotonic()
        for first in range(0, len(metrics), _MOST):
            self._client.log_batch(self._run, metrics=metrics[first : first + _MOST])


def _flat(settings: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    """Yield settings by dotted names, as text.

    >>> list(_flat({"train": {"rate": 0.1}, "seed": 3}))
    [('train.rate', '0.1'), ('seed', '3')]
    """
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", str(value)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the tools' own words about making a database off the terminal."""
    before = logging.root.manager.disable
    logging.disable(max(before, logging.INFO))
    try:
        yield
    finally:
        logging.disable(before)
