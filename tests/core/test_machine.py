"""What a process may use: as the kernel says it, in folders made here."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from foveal.core.errors import OutOfRange
from foveal.core.machine import free_memory, rank, ranks

GB = 10**9


def _machine(root: Path, *, available_kb: int, groups: dict[str, tuple[str, int, int]]) -> Path:
    """Write a kernel's files: path of a control group -> its limit, use, and cache in that."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/meminfo").write_text(f"MemTotal: 99 kB\nMemAvailable:   {available_kb} kB\n")
    (root / "proc/self/cgroup").write_text("4:memory:/old\n0::/jobs/mine\n")
    for path, (limit, used, cache) in groups.items():
        folder = root / "sys/fs/cgroup" / path
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "memory.max").write_text(f"{limit}\n")
        (folder / "memory.current").write_text(f"{used}\n")
        (folder / "memory.stat").write_text(f"anon 5\nfile {cache}\nfile_mapped 7\n")
    return root


def test_what_the_kernel_calls_available_is_free(tmp_path: Path) -> None:
    assert free_memory(_machine(tmp_path, available_kb=2000, groups={})) == 2000 * 1024


@pytest.mark.parametrize("path", ["jobs/mine", "jobs", ""])
def test_a_limit_of_any_control_group_above_counts_and_its_cache_does_not(
    tmp_path: Path, path: str
) -> None:
    groups = {"jobs/mine": ("max", 9 * GB, 0), path: (str(4 * GB), 3 * GB, 1 * GB)}
    assert free_memory(_machine(tmp_path, available_kb=50_000_000, groups=groups)) == 2 * GB


def test_a_group_that_is_over_its_limit_leaves_nothing(tmp_path: Path) -> None:
    groups = {"jobs": (str(1 * GB), 2 * GB, 0)}
    assert free_memory(_machine(tmp_path, available_kb=50_000_000, groups=groups)) == 0


def test_a_system_that_does_not_say_has_half_of_what_is_built_in(tmp_path: Path) -> None:
    built_in = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert free_memory(tmp_path) == built_in // 2  # a folder without proc


TORCHRUN = {
    "WORLD_SIZE": "4",
    "RANK": "3",
    "LOCAL_RANK": "1",
    "MASTER_ADDR": "a",
    "MASTER_PORT": "1",
}


def test_the_environment_says_which_rank_this_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in TORCHRUN:
        monkeypatch.delenv(name, raising=False)
    assert ranks() == (0, 1, 0)
    monkeypatch.setenv("RANK", "3")  # a scheduler's own, of one process
    assert rank() == 0
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)
    assert ranks() == (3, 4, 1)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("WORLD_SIZE", "abc", "WORLD_SIZE = 'abc' cannot work. Expected 1 or more"),
        ("WORLD_SIZE", "0", "WORLD_SIZE = '0' cannot work"),
        ("RANK", "4", "RANK = '4' cannot work. Expected 0 to 3, of 4 ranks"),
        ("RANK", "-1", "RANK = '-1' cannot work"),
        ("LOCAL_RANK", "x", "LOCAL_RANK = 'x' cannot work"),
        ("MASTER_ADDR", "", "MASTER_ADDR = None cannot work. Expected where ranks meet"),
    ],
)
def test_ranks_that_cannot_be_are_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str
) -> None:
    for each, good in {**TORCHRUN, name: value}.items():
        monkeypatch.setenv(each, good)
    with pytest.raises(OutOfRange, match=expected):
        ranks()
