"""What a process may use: as the kernel says it, in folders made here."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from foveal.core.machine import free_memory

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
