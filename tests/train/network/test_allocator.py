"""Memory of activations is kept for the next step."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from foveal.train.network import allocator
from foveal.train.network.allocator import keep_freed_memory

GLIBC = platform.libc_ver()[0] == "glibc"

FAULTS = """
import resource, sys
import torch
from foveal.train.network.allocator import keep_freed_memory

assert sys.argv[1] == "as it is" or keep_freed_memory()
torch.set_num_threads(1)


def step():
    return sum(torch.ones(16_000_000).sum() for _ in range(2))  # 64 MB each


step(), step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(not GLIBC, reason="this C library is not glibc")
def test_the_next_step_finds_its_memory_where_the_last_one_left_it() -> None:
    assert faults("kept") < 0.2 * faults("as it is")


def test_where_the_c_library_is_another_it_says_that_it_did_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(allocator.sys, "platform", "darwin")
    assert keep_freed_memory() is False


def test_a_linux_without_glibc_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    class Musl:
        """A C library without glibc's names."""

    monkeypatch.setattr(allocator.sys, "platform", "linux")
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda _: Musl())
    assert keep_freed_memory() is False
