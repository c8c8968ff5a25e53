"""What a run took: seconds per stage, peak memory, versions; and the `run.json` that keeps it."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from foveal.core.errors import AlreadyThere
from foveal.core.files import check_exists, check_free, write_file
from foveal.core.machine import peak_memory
from foveal.core.settings import read_json, to_json

RUN = "run.json"
REPORT = "report.html"
NUMBERS = "test.json"
METRICS = "metrics.jsonl"
OWN = frozenset({RUN, REPORT, NUMBERS, METRICS})  # what a run's folder may hold
PACKAGES = ("foveal", "numpy", "pillow", "onnxruntime", "onnx", "polars", "torch", "timm")


class Clock:
    """Seconds of wall time per stage, in the order they were first entered.

    >>> clock = Clock()
    >>> with clock("reading"):
    ...     pass
    >>> list(clock.seconds)
    ['reading']
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Count what happens inside the block to ``stage``."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start

    @property
    def total(self) -> float:
        """Seconds of all stages together."""
        return sum(self.seconds.values())


def peak_mb() -> float | None:
    """Return the largest memory this process has held, in 10^6 bytes; None where unknown."""
    peak = peak_memory()
    return None if peak is None else round(peak / 1e6, 1)


def environment() -> dict[str, str]:
    """Return today's date and the versions of Python and of what computes, where installed."""
    found = {
        "date": datetime.now(UTC).date().isoformat(),
        "python": platform.python_version(),
        "machine": platform.machine(),
    }
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def run_folder(bundle: Path) -> Path:
    """Return the folder beside a bundle that keeps what a run has besides its model.

    >>> run_folder(Path("models/screws")).as_posix()
    'models/screws.run'
    """
    clean = bundle.resolve() if bundle.name in {"", ".."} else bundle
    return clean.with_name(f"{clean.name}.run")


def check_run_folder(folder: Path, *, overwrite: bool) -> None:
    """Refuse a run's folder that may not be replaced, before any work is spent on it.

    Raises:
        AlreadyThere: if it exists; with ``overwrite``, if it holds anything but a run's files.
    """
    check_free(folder, overwrite=overwrite)
    there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if more := sorted(there - OWN):
        raise AlreadyThere(
            f"{folder} holds more than a run: {more[0]}.",
            hint="It would be replaced with the model: choose another name.",
        )


def write_run(folder: Path, facts: Mapping[str, Any]) -> Path:
    """Write ``run.json``: complete settings, versions, times, command; what no bundle holds.

    Of a training, the epochs also stand in ``metrics.jsonl``, a line each.
    """
    path = folder / RUN
    if course := facts.get("course"):
        write_file(folder / METRICS, to_lines(course["epochs"]))
    finished = datetime.now(UTC).isoformat(timespec="seconds")
    write_file(path, to_json({"finished": finished, **facts}))
    return path


def to_lines(epochs: Iterable[Mapping[str, Any]]) -> bytes:
    r"""Return epochs as JSON, a line each.

    >>> to_lines([{"number": 1}, {"number": 2}])
    b'{"number": 1}\n{"number": 2}\n'
    """
    return "".join(json.dumps(epoch, allow_nan=False) + "\n" for epoch in epochs).encode()


def read_run(path: Path) -> dict[str, Any]:
    """Return a ``run.json``, given as the file or as its folder.

    Raises:
        FovealError: if it is not there or no JSON object.
    """
    file = path / RUN if path.is_dir() else path
    check_exists(file, "run.json")
    return read_json(file.read_bytes(), where=str(file))
