"""No run is lost: killed, terminated or interrupted, it ends in the bits it would have had.

The runs are processes of ``small_run.py``, with the real feed and everything that draws, averages
or counts: augmentation, dropout, BatchNorm, AdamW, clipping, the moving average.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

Result = tuple[bytes, bytes]
SmallRun = Callable[..., Any]  # makes a ``Run``, see conftest.py


@pytest.fixture(scope="module")
def undisturbed(
    small_run: SmallRun, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Result]:
    """Return what a run makes that nobody disturbs; each kind of run is made once."""

    @cache
    def result(*, ranks: int = 1, micro: int | None = None) -> Result:
        folder = tmp_path_factory.mktemp("undisturbed")
        return small_run(folder, ranks=ranks, micro=micro).to_the_end().result

    return result


TWELVE = pytest.param(12, marks=pytest.mark.slow)
SLOW = pytest.param(2, 12, marks=pytest.mark.slow)


@pytest.mark.parametrize(("workers", "times"), [(0, 12), (2, 5), SLOW])
def test_a_run_that_is_killed_ends_in_the_same_bits(
    small_run: SmallRun,
    tmp_path: Path,
    undisturbed: Callable[..., Result],
    workers: int,
    times: int,
) -> None:
    run = small_run(tmp_path, workers=workers).killed(random.Random(workers), times)
    assert run.result == undisturbed()
    run.to_the_end()  # which it is at: workers of a killed run may have outlived it by a moment
    assert run.result == undisturbed()
    assert run.litter == []


@pytest.mark.parametrize("times", [5, TWELVE])
def test_a_run_in_parts_of_batches_that_is_killed_ends_in_the_same_bits(
    small_run: SmallRun,
    tmp_path: Path,
    undisturbed: Callable[..., Result],
    times: int,
) -> None:
    run = small_run(tmp_path, micro=5).killed(random.Random(3), times)
    assert run.result == undisturbed(micro=5)
    assert run.result[0] != undisturbed()[0]


@pytest.mark.parametrize("times", [5, TWELVE])
def test_two_ranks_of_which_one_is_killed_each_time_end_in_the_same_bits(
    small_run: SmallRun,
    tmp_path: Path,
    undisturbed: Callable[..., Result],
    times: int,
) -> None:
    run = small_run(tmp_path, ranks=2).killed(random.Random(4), times)
    assert run.result == undisturbed(ranks=2)
    assert run.litter == []


@pytest.mark.slow
def test_torchrun_brings_ranks_back_that_were_killed_and_they_end_in_the_same_bits(
    small_run: SmallRun, tmp_path: Path, undisturbed: Callable[..., Result]
) -> None:
    run, draw = small_run(tmp_path), random.Random(5)
    moments = sorted(draw.sample(range(38), 3))
    words = ["--standalone", "--nproc-per-node", "2", "--max-restarts", "3"]
    with subprocess.Popen(
        [
            *(sys.executable, "-m", "torch.distributed.run", *words),
            *(run.script, json.dumps(run.options)),
        ],
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        try:
            for line in parent.stdout:
                if moments and line.strip() == f"step {moments[0]}":
                    moments.pop(0)
                    os.kill(draw.choice(_children(parent.pid)), signal.SIGKILL)
        finally:
            parent.terminate()  # where it hangs; else it has ended
    assert parent.returncode == 0
    assert moments == []
    assert run.result == undisturbed(ranks=2)


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
    small_run: SmallRun,
    tmp_path: Path,
    undisturbed: Callable[..., Result],
    number: signal.Signals,
    signals: str,
    code: int,
) -> None:
    run = small_run(tmp_path, signals=signals, save_every_s=1e9)
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
    small_run: SmallRun,
    tmp_path: Path,
    undisturbed: Callable[..., Result],
    rank: int,
) -> None:
    run = small_run(tmp_path, ranks=2, save_every_s=1e9)
    for after in (3, 14, 27):
        pids = run.begin()
        run.wait_for(f"step {after}")
        os.kill(pids[rank], signal.SIGTERM)
        assert run.ended() == [143, 143]
        assert max(run.steps) > after
    assert run.to_the_end().result == undisturbed(ranks=2)


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_signal_does_not_wait_for_the_judgement(
    small_run: SmallRun,
    tmp_path: Path,
    undisturbed: Callable[..., Result],
    ranks: int,
) -> None:
    run = small_run(tmp_path, ranks=ranks, slow_judge_s=60.0, save_every_s=1e9)
    pids = run.begin()
    run.wait_for("judging")
    os.kill(pids[0], signal.SIGTERM)
    start = time.monotonic()
    assert run.ended() == [143] * ranks
    assert time.monotonic() - start < 10
    assert run.steps == [5]
    run.options["slow_judge_s"] = 0.0
    assert run.to_the_end().result == undisturbed(ranks=ranks)
