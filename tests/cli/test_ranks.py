"""Ranks that fail: one sentence is said once, and torchrun's own report ends with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from foveal.cli import ranks
from foveal.cli.ranks import speaks

RANKS = [
    *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
    *("-m", "foveal"),
]


def rank(number: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make this process a rank of torchrun's; return the file that torchrun reads."""
    file = folder / str(number) / "error.json"
    file.parent.mkdir(exist_ok=True)
    monkeypatch.setenv("LOCAL_RANK", str(number))
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(file))
    monkeypatch.setattr(ranks, "PATIENCE_S", 0.0)
    return file


def test_alone_it_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCHELASTIC_ERROR_FILE", raising=False)
    assert speaks("It broke.")
    assert speaks("interrupted", stopped=True)


def test_the_first_one_speaks_for_those_that_fail_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = rank(0, tmp_path, monkeypatch)
    assert speaks("It broke.")
    assert json.loads(first.read_text())["message"]["message"] == "It broke."
    second = rank(1, tmp_path, monkeypatch)
    assert not speaks("It broke.")
    assert json.loads(second.read_text())["message"]["message"] == "It broke."


def test_another_one_speaks_where_the_first_does_not_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rank(1, tmp_path, monkeypatch)
    assert speaks("It broke here only.")


def test_it_waits_for_the_first_one_and_speaks_when_it_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rank(1, tmp_path, monkeypatch)
    monkeypatch.setattr(ranks, "PATIENCE_S", 60.0)

    def ended(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ranks.time, "sleep", ended)
    assert speaks("It broke here only.")

    def fails(_seconds: float) -> None:
        (tmp_path / "0").mkdir(exist_ok=True)
        (tmp_path / "0" / "error.json").write_text("{}")

    monkeypatch.setattr(ranks.time, "sleep", fails)
    assert not speaks("It broke everywhere.")


def test_of_those_that_are_ended_the_first_speaks_unless_another_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rank(1, tmp_path, monkeypatch)
    assert not speaks("terminated", stopped=True)
    rank(0, tmp_path, monkeypatch)
    assert speaks("terminated", stopped=True)
    (tmp_path / "1" / "error.json").write_text("{}")
    assert not speaks("terminated", stopped=True)


def test_where_nothing_can_be_written_it_is_said_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = rank(0, tmp_path, monkeypatch)
    file.parent.rmdir()
    assert speaks("It broke.")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["fit", "nowhere", "-o", "m", "--sede", "1"],
            "foveal: `foveal fit` has no option --sede.",
        ),
        (["fit", "nowhere", "-o", "m"], "foveal: There is no dataset at nowhere."),
        (["pretrain", "-o", "m", "--resume"], "foveal: There is no training to resume at m"),
    ],
)
def test_torchrun_s_report_ends_with_the_one_sentence(
    tmp_path: Path, words: list[str], sentence: str
) -> None:
    done = subprocess.run(
        [*RANKS, *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 1  # torchrun's own
    lines = done.stderr.splitlines()
    assert sum(sentence in line and "traceback" not in line for line in lines) == 1
    last = [line for line in lines if line.strip()][-2]
    assert last.strip().startswith(f"traceback : {sentence}")
