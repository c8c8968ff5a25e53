"""TensorBoard: its event files, written record by record, without a thread of their own.

Its own writer hands records to a thread, and a feed forks its workers: what a thread held at that
moment stays locked in them for ever. So the package's record writer is used beneath it.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

from foveal.core.errors import MissingExtra

FOLDER = "tensorboard"
_NAME = "events.out.tfevents."  # TensorBoard reads what has this in its name, by rising names


class TensorboardFiles:
    """The event files of one run: ``tensorboard --logdir FOLDER`` shows them.

    A process that goes on with a run begins another file. Its first record says which steps of
    the ones before no longer hold, which TensorBoard then leaves out.

    Raises:
        MissingExtra: where TensorBoard is not installed.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        if find_spec("tensorboard") is None:
            raise MissingExtra("Tracking by TensorBoard", "tensorboard")
        self.folder = folder / FOLDER
        self._settings = settings
        self._file: IO[bytes] | None = None
        self._last: dict[str, int] = {}  # step of each name

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Write the values as scalars of that step."""
        from tensorboard.compat.proto.event_pb2 import SessionLog
        from tensorboard.compat.proto.summary_pb2 import Summary

        goes_on = self._file is None and step > 0
        if self._file is None:
            self._begin(step)
        if goes_on or any(step <= self._last.get(name, -1) for name in values):
            self._write(step, session_log=SessionLog(status=SessionLog.START))
        self._last.update(dict.fromkeys(values, step))
        scalars = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._write(step, summary=Summary(value=scalars))

    def close(self, *, well: bool) -> None:  # noqa: ARG002 — its files do not say
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _begin(self, step: int) -> None:
        """Open a file that comes after those of the same run; those of another one go."""
        self.folder.mkdir(parents=True, exist_ok=True)
        earlier = sorted(self.folder.glob(f"{_NAME}*"))
        if step == 0:
            for path in earlier:
                path.unlink()
        number = len(earlier)  # two of the same second are told apart by it
        name = f"{_NAME}{int(time.time()):010}.{number:04}.{socket.gethostname()}"
        self._file = (self.folder / name).open("xb")
        self._write(0, file_version="brain.Event:2")

    def _write(self, step: int, **what: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.summary.writer.record_writer import RecordWriter

        assert self._file is not None
        event = Event(wall_time=time.time(), step=step, **what)
        RecordWriter(self._file).write(event.SerializeToString())
        self._file.flush()
