"""One process run to its end and measured from outside: wall time, CPU time, peak memory.

Benchmarks run whole processes with this, so that a job pays for its interpreter, its imports and
its worker processes. Processes that a job starts and waits for count for its CPU time; its peak
memory is that of the largest single process, not their sum.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a process took."""

    wall_s: float
    cpu_s: float  # user and system, of all its threads and of the children it waited for
    peak_mb: float  # 10^6 bytes, resident

    def __add__(self, later: Cost) -> Cost:
        """Return the cost of one after the other."""
        return Cost(
            wall_s=self.wall_s + later.wall_s,
            cpu_s=self.cpu_s + later.cpu_s,
            peak_mb=max(self.peak_mb, later.peak_mb),
        )


def run(command: Sequence[object], **environment: object) -> tuple[Cost, str]:
    """Run a command; return its cost and what it printed.

    Args:
        command: program and arguments.
        environment: variables on top of this process's own.

    Raises:
        SystemExit: with the command's last words on stderr, if it fails.
    """
    words = [str(word) for word in command]
    own = os.environ | {name: str(value) for name, value in environment.items()}
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        start = time.perf_counter()
        child = subprocess.Popen(words, stdout=out, stderr=err, env=own)
        _, status, usage = os.wait4(child.pid, 0)
        wall_s = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        if child.returncode:
            last = err.read().decode(errors="replace")[-2000:]
            raise SystemExit(f"{' '.join(words)} gave {child.returncode}:\n{last}")
        unit = 1 if sys.platform == "darwin" else 1024
        cost = Cost(
            wall_s=wall_s,
            cpu_s=usage.ru_utime + usage.ru_stime,
            peak_mb=usage.ru_maxrss * unit / 1e6,
        )
        return cost, out.read().decode()


def machine() -> dict[str, object]:
    """Return where a result was measured, and how busy that machine was just before."""
    names = [
        line.partition(":")[2].strip()
        for line in _lines(Path("/proc/cpuinfo"))
        if line.startswith("model name")
    ]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": cores,
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.is_file() else []
