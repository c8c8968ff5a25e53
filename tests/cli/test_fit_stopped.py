"""A training that is stopped or killed, of one process or of ranks, ends in the same model.

What a run itself keeps to: tests/train/network/test_run_killed.py.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

WORDS = ["--strategy", "scratch", "--backbone", "test_resnet", "--size", "32", "--epochs", "20"]
ALONE = [sys.executable, "-m", "foveal"]
RANKS = [
    *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
    *("-m", "foveal"),
]


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """On pictures this small, two threads mostly wait for each other."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def stopped(program: list[str], words: list[str], out: Path, number: signal.Signals) -> list[str]:
    """Begin a fit, stop it when it has saved a new state, and return what it said after that.

    Its last word comes within ten seconds. On a busy machine Python takes longer to end.
    """
    before = states(out)
    with subprocess.Popen(
        [*program, "fit", *words, "-o", str(out)],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stderr is not None
        deadline = time.monotonic() + 300
        while states(out) == before:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline, "it never came that far"
            time.sleep(0.01)
        process.send_signal(number)
        start, said = time.monotonic(), []
        for line in process.stderr:
            said.append(line.rstrip())
            if line.startswith("foveal:"):
                assert time.monotonic() - start < 10
    if program is ALONE:
        expected = {signal.SIGTERM: 143, signal.SIGINT: 130}.get(number, -number)
        assert process.returncode == expected
    else:
        assert process.returncode != 0
    return said


def states(out: Path) -> list[str]:
    folder = out.with_name(f"{out.name}.training") / "checkpoints"
    return sorted(path.name for path in folder.glob("step-*"))


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def fitted(program: list[str], words: list[str], out: Path) -> dict[str, bytes]:
    subprocess.run([*program, "fit", *words, "-o", str(out), "-q"], check=True)
    assert sorted(path.name for path in out.parent.iterdir()) == [out.name, f"{out.name}.run"]
    return content(out)


def test_a_request_to_end_is_answered_in_time_and_the_state_is_kept(
    photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "model"
    said = stopped(ALONE, [str(photos), *WORDS], out, signal.SIGTERM)
    assert said[-2:] == [
        f"What was learnt is kept: foveal fit -o {out} --resume goes on.",
        "foveal: terminated; nothing was half-written.",
    ]
    assert states(out) != []
    assert not out.exists()


@pytest.mark.slow
@pytest.mark.parametrize("program", [ALONE, RANKS], ids=["alone", "two ranks"])
def test_however_it_was_cut_off_the_model_is_the_same_to_the_byte(
    photos: Path, tmp_path: Path, program: list[str]
) -> None:
    words = [str(photos), *WORDS]
    (tmp_path / "whole").mkdir()
    (tmp_path / "cut").mkdir()
    expected = fitted(program, words, tmp_path / "whole" / "model")
    out = tmp_path / "cut" / "model"
    stopped(program, words, out, signal.SIGKILL if program is ALONE else signal.SIGTERM)
    stopped(program, ["--resume"], out, signal.SIGTERM)
    assert fitted(program, ["--resume"], out) == expected
