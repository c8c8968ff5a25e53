"""Ranks that meet although a store still has what dead ones wrote."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from torch.distributed import HashStore, Store

from foveal.core.errors import FovealError
from foveal.train.network.meeting import meeting

SOON = timedelta(seconds=20)


def together(store: Store, ranks: int) -> list[Store]:
    """Return what each rank of one start got."""

    def one(rank: int) -> Store:
        return meeting(store, rank, ranks, patience=SOON)

    with ThreadPoolExecutor(ranks) as pool:
        return list(pool.map(one, range(ranks)))


def test_all_ranks_get_the_same_part_of_the_store() -> None:
    parts = together(HashStore(), 3)
    parts[0].set("address", "here")
    assert [part.get("address") for part in parts] == [b"here"] * 3


def test_what_the_ranks_before_wrote_is_not_found() -> None:
    store = HashStore()
    for part in together(store, 2):
        part.set("address", "of the dead")
    again = together(store, 2)
    assert not any(part.check(["address"]) for part in again)
    again[1].set("address", "of the living")
    assert again[0].get("address") == b"of the living"


def test_a_sign_of_the_dead_is_not_taken_for_a_rank_that_is_there() -> None:
    store = HashStore()
    store.set("sign of rank 1", "of one that was killed before it had its name")
    with pytest.raises(FovealError, match=r"1 of 2 ranks did not come within 0:00:00.2"):
        meeting(store, 0, 2, patience=timedelta(seconds=0.2))
    assert len(together(store, 2)) == 2


def test_a_rank_that_waits_in_vain_for_the_first_one_says_so() -> None:
    with pytest.raises(FovealError, match="The first rank did not come"):
        meeting(HashStore(), 1, 2, patience=timedelta(seconds=0.2))


RESTARTED = """
    import os, time
    from foveal.train.network.machine import machine
    rank, start = (int(os.environ[name]) for name in ("RANK", "TORCHELASTIC_RESTART_COUNT"))
    if start and rank == start % 2:
        time.sleep(1)  # the other finds the store as the ranks before have left it
    with machine() as here:
        assert here.gathered(start) == [start, start]
        if start < 4:
            os._exit(1) if rank == start % 2 else time.sleep(60)
"""


def test_ranks_that_torchrun_started_again_meet_whichever_comes_late(tmp_path: Path) -> None:
    script = tmp_path / "restarted.py"
    script.write_text(textwrap.dedent(RESTARTED))
    words = ["--standalone", "--nproc-per-node", "2", "--max-restarts", "4"]
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", *words, script],
        timeout=100,
        check=False,
    )
    assert done.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_rank_that_waits_for_others_hears_signals(number: signal.Signals) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    code = (
        "import signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))\n"
        "from foveal.train.network.machine import machine\n"
        "print('waits', flush=True)\n"
        "with machine(): pass\n"
    )
    place = {"WORLD_SIZE": "2", "RANK": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    with subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, **place, "LOCAL_RANK": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as waiting:
        assert waiting.stdout is not None
        waiting.stdout.readline()
        time.sleep(1)
        waiting.send_signal(number)
        assert waiting.wait(20) in {143, 130, 1, -signal.SIGINT}
