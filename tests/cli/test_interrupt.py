"""Ctrl-C: a real signal to a real process, at any moment, leaves nothing half-written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

MOMENTS = {
    "in the middle of the features": "foveal.recipes.rows.stream",
    "in the middle of the choice": "foveal.recipes.probe.choose",
    "while the graph is made": "foveal.recipes.ship.classifier_graph",
    "while the draft is proven": "foveal.model.parity.prove",
    "when all but the last step is done": "foveal.core.files._sync",
}

# The command as it is, except that it tells when it is there, and takes its time.
STALLED = """
import importlib, pathlib, sys, time
module, _, name = sys.argv.pop(1).rpartition(".")
flag = pathlib.Path(sys.argv.pop(1))
owner = importlib.import_module(module)
real = getattr(owner, name)
def slow(*arguments, **named):
    flag.touch()
    time.sleep(20)
    return real(*arguments, **named)
setattr(owner, name, slow)
from foveal.cli import run
run()
"""


def wait_for(there: Callable[[], object], process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 30
    while not there():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "it never came that far"
        time.sleep(0.005)


def check_interrupted(process: subprocess.Popen, folder: Path, code: int = 130) -> None:
    out, err = process.communicate(timeout=15)
    assert process.returncode == code
    word = {130: "interrupted", 143: "terminated"}[code]
    assert err.splitlines()[-1] == f"foveal: {word}; nothing was half-written."
    assert "Traceback" not in err
    assert out == ""
    assert list(folder.iterdir()) == []


def stalled(moment: str, flag: Path, words: list[str]) -> subprocess.Popen:
    """Start a command that stops for a while at a moment; return when it is there."""
    process = subprocess.Popen(
        [sys.executable, "-c", STALLED, MOMENTS[moment], str(flag), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(flag.exists, process)
    return process


@pytest.mark.parametrize("moment", MOMENTS)
def test_nothing_is_left_and_the_next_fit_works(
    moment: str, photos: Path, tmp_path: Path, cli: Callable, own_cache: Path
) -> None:
    (tmp_path / "out").mkdir()
    words = ["fit", str(photos), "-o", str(tmp_path / "out" / "m"), "--backbone", "classical"]
    process = stalled(moment, tmp_path / "there", words)
    process.send_signal(signal.SIGINT)
    check_interrupted(process, tmp_path / "out")
    drafts = [path for path in own_cache.rglob("*") if "draft" in path.name and path.is_file()]
    assert drafts == []
    assert cli(*words, "-q").code == 0


def test_a_polite_request_to_end_leaves_nothing_either(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    words = ["fit", str(photos), "-o", str(tmp_path / "out" / "m"), "--backbone", "classical"]
    process = stalled("while the draft is proven", tmp_path / "there", words)
    process.terminate()
    check_interrupted(process, tmp_path / "out", code=143)


def test_what_a_killed_fit_left_is_swept_by_the_next_but_never_a_living_ones(
    photos: Path, tmp_path: Path, cli: Callable
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    words = ["fit", str(photos), "-o", str(out / "m"), "--backbone", "classical"]
    killed = stalled("while the draft is proven", tmp_path / "first", words)
    killed.kill()
    killed.communicate()
    assert [path.name for path in out.iterdir() if path.is_dir()] != []
    living = stalled("while the draft is proven", tmp_path / "second", words)
    assert cli(*words, "-q").code == 0
    assert [path.name.count(".draft") for path in out.iterdir()].count(1) == 2  # bundle and run
    living.terminate()
    living.communicate(timeout=15)
    assert sorted(path.name for path in out.iterdir()) == ["m", "m.run"]


def test_ctrl_c_reaches_the_proving_process_too(photos: Path, tmp_path: Path) -> None:
    """As a terminal sends it: to every process in the foreground."""
    (tmp_path / "out").mkdir()
    words = ["fit", str(photos), "-o", str(tmp_path / "out" / "m"), "--backbone", "classical"]
    process = subprocess.Popen(
        [sys.executable, "-m", "foveal", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_for(lambda: list((tmp_path / "out").glob(".m.????????.draft/bundle.json")), process)
    os.killpg(process.pid, signal.SIGINT)
    check_interrupted(process, tmp_path / "out")


def test_a_model_that_is_replaced_stands_until_the_new_one_is_whole(
    photos: Path, tmp_path: Path, cli: Callable
) -> None:
    (tmp_path / "out").mkdir()
    words = ["fit", str(photos), "-o", str(tmp_path / "out" / "m"), "--backbone", "classical"]
    assert cli(*words, "-q").code == 0
    before = {p: p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file()}
    flag = tmp_path / "there"
    process = subprocess.Popen(
        [sys.executable, "-c", STALLED, MOMENTS["while the draft is proven"], str(flag), *words,
         "--overwrite", "--seed", "1"],
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    wait_for(flag.exists, process)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=15) == 130
    assert {p: p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file()} == before


def test_predicting_stops_at_once(saved: Path, photos: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "foveal", "predict", str(saved)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    for _ in range(200):
        process.stdin.write(f"{photos}/dots/00.png\n")
    process.stdin.flush()
    assert "dots" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)
    assert process.returncode == 130
    assert err == "foveal: interrupted; nothing was half-written.\n"
