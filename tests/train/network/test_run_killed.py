"""No run is lost: killed, terminated or interrupted, it ends in the bits it would have had.

The runs are processes of ``small_run.py``, with the real feed and everything that draws, averages
or counts: augmentation, dropout, BatchNorm, AdamW, clipping, the moving average.
"""

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
from functools import cache
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("small_run.py")
STEPS = 40
PATIENCE_S = 120.0

Result = tuple[bytes, bytes]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="kill -9 and fork are POSIX")


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


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    found = Nursery()
    yield found
    found.end()


class Run:
    """A run in a folder: begun again as often as it is killed."""

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

    def killed(self, draw: random.Random, times: int) -> Run:
        """Kill it ``times`` at random moments, each later than the one before; then let it end."""
        for after in sorted(draw.sample(range(STEPS - 2), times)):
            pids = self.begin()
            self.wait_for(f"step {after}")
            time.sleep(draw.uniform(0, 0.03))
            os.kill(draw.choice(pids), signal.SIGKILL)
            codes = self.ended()
            assert -signal.SIGKILL in codes
            assert 0 not in codes
        return self.to_the_end()

    @property
    def steps(self) -> list[int]:
        """The steps of the checkpoints."""
        paths = (self.folder / "checkpoints").glob("step-*.safetensors")
        return sorted(int(path.stem.removeprefix("step-")) for path in paths)

    @property
    def result(self) -> Result:
        """The final network, and the last checkpoint: weights, average, optimiser, epochs."""
        return self.result_in(self.folder)

    @staticmethod
    def result_in(folder: Path) -> Result:
        """Return the result of a run in a folder."""
        last = folder / "checkpoints" / f"step-{STEPS:08}.safetensors"
        return (folder / "final.safetensors").read_bytes(), last.read_bytes()

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
def undisturbed(
    nursery: Nursery, photos: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Result]:
    """Return what a run makes that nobody disturbs; each kind of run is made once."""

    @cache
    def result(*, ranks: int = 1, micro: int | None = None) -> Result:
        folder = tmp_path_factory.mktemp("undisturbed")
        return Run(nursery, photos, folder, ranks=ranks, micro=micro).to_the_end().result

    return result


TWELVE = pytest.param(12, marks=pytest.mark.slow)
SLOW = pytest.param(2, 12, marks=pytest.mark.slow)


@pytest.mark.parametrize(("workers", "times"), [(0, 12), (2, 5), SLOW])
def test_a_run_that_is_killed_ends_in_the_same_bits(
    nursery: Nursery,
    photos: Path,
    tmp_path: Path,
    undisturbed: Callable[..., Result],
    workers: int,
    times: int,
) -> None:
    run = Run(nursery, photos, tmp_path, workers=workers).killed(random.Random(workers), times)
    assert run.result == undisturbed()
    run.to_the_end()  # which it is at: workers of a killed run may have outlived it by a moment
    assert run.result == undisturbed()
    assert run.litter == []


@pytest.mark.parametrize("times", [5, TWELVE])
def test_a_run_in_parts_of_batches_that_is_killed_ends_in_the_same_bits(
    nursery: Nursery,
    photos: Path,
    tmp_path: Path,
    undisturbed: Callable[..., Result],
    times: int,
) -> None:
    run = Run(nursery, photos, tmp_path, micro=5).killed(random.Random(3), times)
    assert run.result == undisturbed(micro=5)
    assert run.result[0] != undisturbed()[0]


@pytest.mark.parametrize("times", [5, TWELVE])
def test_two_ranks_of_which_one_is_killed_each_time_end_in_the_same_bits(
    nursery: Nursery,
    photos: Path,
    tmp_path: Path,
    undisturbed: Callable[..., Result],
    times: int,
) -> None:
    run = Run(nursery, photos, tmp_path, ranks=2).killed(random.Random(4), times)
    assert run.result == undisturbed(ranks=2)
    assert run.litter == []


@pytest.mark.slow
def test_torchrun_brings_ranks_back_that_were_killed_and_they_end_in_the_same_bits(
    photos: Path, tmp_path: Path, undisturbed: Callable[..., Result]
) -> None:
    options = {"photos": str(photos), "folder": str(tmp_path)}
    words = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--max-restarts", "12"]
    draw = random.Random(5)
    with subprocess.Popen(
        [sys.executable, *words, "--master-port", str(_free_port()), SCRIPT, json.dumps(options)],
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        moments = sorted(draw.sample(range(STEPS - 2), 12))
        for line in parent.stdout:
            if moments and line.strip() == f"step {moments[0]}":
                moments.pop(0)
                os.kill(draw.choice(_children(parent.pid)), signal.SIGKILL)
    assert parent.returncode == 0
    assert moments == []
    assert Run.result_in(tmp_path) == undisturbed(ranks=2)


def _children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(word) for one in found for word in one.read_text().split()]


@pytest.mark.parametrize(
    ("number", "signals", "code"),
    [
        (signal.SIGTERM, "python", 143),
        (signal.SIGINT, "python", 130),
        (signal.SIGTERM, "system", -signal.SIGTERM),
    ],
)
def test_a_signal_ends_a_run_in_time_at_the_step_it_was_at(
    nursery: Nursery,
    photos: Path,
    tmp_path: Path,
    undisturbed: Callable[..., Result],
    number: signal.Signals,
    signals: str,
    code: int,
) -> None:
    run = Run(nursery, photos, tmp_path, signals=signals, save_every_s=1e9)
    for after in (3, 14, 27):  # 14 ends an epoch; it may be some steps further when it hears
        pids = run.begin()
        run.wait_for(f"step {after}")
        os.kill(pids[0], number)
        start = time.monotonic()
        assert run.ended() == [code]
        assert time.monotonic() - start < 10
        assert max(run.steps) > after
    assert run.to_the_end().result == undisturbed()


@pytest.mark.parametrize("rank", [0, 1])
def test_a_signal_to_one_of_two_ranks_ends_both_at_the_same_step(
    nursery: Nursery,
    photos: Path,
    tmp_path: Path,
    undisturbed: Callable[..., Result],
    rank: int,
) -> None:
    run = Run(nursery, photos, tmp_path, ranks=2, save_every_s=1e9)
    for after in (3, 14, 27):
        pids = run.begin()
        run.wait_for(f"step {after}")
        os.kill(pids[rank], signal.SIGTERM)
        assert run.ended() == [143, 143]
        assert max(run.steps) > after
    assert run.to_the_end().result == undisturbed(ranks=2)


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_signal_does_not_wait_for_the_judgement(
    nursery: Nursery,
    photos: Path,
    tmp_path: Path,
    undisturbed: Callable[..., Result],
    ranks: int,
) -> None:
    run = Run(nursery, photos, tmp_path, ranks=ranks, slow_judge_s=60.0, save_every_s=1e9)
    pids = run.begin()
    run.wait_for("judging")
    os.kill(pids[0], signal.SIGTERM)
    start = time.monotonic()
    assert run.ended() == [143] * ranks
    assert time.monotonic() - start < 10
    assert run.steps == [5]
    run.options["slow_judge_s"] = 0.0
    assert run.to_the_end().result == undisturbed(ranks=ranks)
