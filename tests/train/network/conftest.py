"""Small runs as processes of their own, for tests that kill, stop and compare them."""

from __future__ import annotations

import json
import os
import random
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("small_run.py")
STEPS = 40
PATIENCE_S = 120.0

Result = tuple[bytes, bytes]


class Nursery:
    """Starts runs by forking one process that has loaded torch, and hears what they say."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", SCRIPT, "--nursery"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._heard = b""
        assert self.process.stdout is not None
        os.set_blocking(self.process.stdout.fileno(), False)
        self._ears = selectors.DefaultSelector()
        self._ears.register(self.process.stdout, selectors.EVENT_READ)

    def begin(self, options: dict[str, object], environment: dict[str, str] | None = None) -> int:
        """Return the number of the process of a new run."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([options, environment or {}]).encode() + b"\n")
        self.process.stdin.flush()
        return int(self.hear("began").split()[1])

    def hear(self, *beginnings: str) -> str:
        """Return the next line that begins in one of these ways."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            while b"\n" in self._heard:
                line, _, self._heard = self._heard.partition(b"\n")
                if line.decode().startswith(beginnings):
                    return line.decode()
            assert time.monotonic() < deadline, f"nothing of {beginnings} was heard"
            if self._ears.select(timeout=1.0):
                assert self.process.stdout is not None
                read = os.read(self.process.stdout.fileno(), 65536)
                assert read, "the nursery has ended"
                self._heard += read

    def end(self) -> None:
        """Close the nursery."""
        self._ears.close()
        self.process.communicate(timeout=30)


class Run:
    """A run in a folder: begun again as often as it is killed."""

    script = SCRIPT

    def __init__(
        self, nursery: Nursery, photos: Path, folder: Path, *, ranks: int = 1, **options: object
    ) -> None:
        self.nursery, self.folder, self.ranks = nursery, folder, ranks
        self.options = {"photos": str(photos), "folder": str(folder), **options}

    def begin(self) -> list[int]:
        """Start a process for every rank."""
        port = _free_port()
        return [
            self.nursery.begin(
                self.options,
                {
                    "RANK": str(rank),
                    "LOCAL_RANK": str(rank),
                    "WORLD_SIZE": str(self.ranks),
                    "MASTER_ADDR": "127.0.0.1",
                    "MASTER_PORT": str(port),
                },
            )
            for rank in range(self.ranks)
        ]

    def to_the_end(self) -> Run:
        """Let it run, from wherever it is."""
        self.begin()
        assert self.ended() == [0] * self.ranks
        return self

    def ended(self) -> list[int]:
        """Wait for all ranks; return their exit codes."""
        said = [self.nursery.hear("ended") for _ in range(self.ranks)]
        return [int(line.split()[2]) for line in said]

    def wait_for(self, line: str) -> None:
        """Wait until it says so."""
        while (said := self.nursery.hear(line.split(maxsplit=1)[0], "ended")) != line:
            assert not said.startswith("ended"), f"it ended before {line!r}"

    def reached(self, step: int) -> bool:
        """Wait until it says that it has done this step or a later one; False: it ended before.

        A process that was killed a moment late may have saved more than it had said.
        """
        while not (said := self.nursery.hear("step", "ended")).startswith("ended"):
            if int(said.split()[1]) >= step:
                return True
        for _ in range(self.ranks - 1):
            self.nursery.hear("ended")
        return False

    def killed(self, draw: random.Random, times: int) -> Run:
        """Kill it ``times`` at random moments, each later than the one before; then let it end.

        On a fast machine it may be over before the last of them.
        """
        kills = 0
        for after in sorted(draw.sample(range(STEPS - 2), times)):
            pids = self.begin()
            if not self.reached(after):
                break
            time.sleep(draw.uniform(0, 0.01))
            with suppress(ProcessLookupError):
                os.kill(draw.choice(pids), signal.SIGKILL)
            kills += -signal.SIGKILL in self.ended()
        assert kills > times // 2
        return self.to_the_end()

    @property
    def steps(self) -> list[int]:
        """The steps of the checkpoints."""
        paths = (self.folder / "checkpoints").glob("step-*.safetensors")
        return sorted(int(path.stem.removeprefix("step-")) for path in paths)

    @property
    def result(self) -> Result:
        """The final network, and the last checkpoint: weights, average, optimiser, epochs."""
        last = self.folder / "checkpoints" / f"step-{STEPS:08}.safetensors"
        return (self.folder / "final.safetensors").read_bytes(), last.read_bytes()

    @property
    def litter(self) -> list[str]:
        """What lies about that is neither a checkpoint nor the result."""
        found = [path.relative_to(self.folder) for path in self.folder.rglob("*") if path.is_file()]
        return sorted(
            str(path) for path in found if path.suffix != ".safetensors" or path.name[0] == "."
        )


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture(scope="module")
def small_run(photos: Path) -> Iterator[Callable[..., Run]]:
    """Return what makes a ``Run`` of a folder and options; see ``small_run.py``."""
    if sys.platform == "win32":
        pytest.skip("kill -9 and fork are POSIX")
    nursery = Nursery()
    yield partial(Run, nursery, photos)
    nursery.end()
