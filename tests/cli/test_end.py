"""The end of the process: at once, but nothing that asked to be called is forgotten."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

FULL = Path("/dev/full")
STORY = """
import atexit, sys
class Module:
    def __del__(self):
        print("taken apart")
kept = Module()
from foveal.__main__ import main
import foveal.cli
def run():
    atexit.register(print, "called at the end")
    print("x" * {many})
    {last}
foveal.cli.run = run
main()
"""


def _ended(last: str, *, many: int = 100_000, **more: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", STORY.format(last=last, many=many)],
        capture_output="stdout" not in more,
        text=True,
        check=False,
        env={**os.environ, "PYTHONUNBUFFERED": ""},
        **more,  # type: ignore[call-overload]  # what a test adds
    )


@pytest.mark.parametrize("code", [0, 1, 2, 130, 143])
def test_all_is_written_and_called_and_nothing_taken_apart(code: int) -> None:
    done = _ended(f"raise SystemExit({code})")
    assert done.returncode == code
    assert done.stdout == "x" * 100_000 + "\ncalled at the end\n"


@pytest.mark.skipif(sys.platform == "win32", reason="no signals there")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_whoever_asks_again_while_it_ends_need_not_wait(name: str) -> None:
    again = f"atexit.register(lambda: os.kill(os.getpid(), signal.{name}))"
    done = _ended(f"import os, signal; {again}; raise SystemExit(130)")
    assert done.returncode == -getattr(signal, name)
    assert done.stderr == ""


@pytest.mark.parametrize(("last", "code"), [("KeyboardInterrupt", 130), ("Terminated", 143)])
def test_whoever_asks_again_before_the_last_word_ends_it(last: str, code: int) -> None:
    done = _ended(f"Terminated = type('Terminated', (KeyboardInterrupt,), {{}}); raise {last}")
    assert (done.returncode, done.stderr) == (code, "")


def test_a_bug_ends_as_python_ends_it() -> None:
    done = _ended("1 / 0")
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr
    assert "taken apart" in done.stdout


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")
def test_what_cannot_be_written_is_not_passed_over() -> None:
    with FULL.open("w") as full:
        done = _ended("raise SystemExit(0)", many=1, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 120
    assert "No space left" in done.stderr
