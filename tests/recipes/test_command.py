"""The command that a run keeps can be pasted, however the run was started."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from foveal.recipes.command import command, command_in
from foveal.recipes.training.diary import Diary

RANKS = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "GROUP_WORLD_SIZE": "1"}
HOSTS = {"WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4", "GROUP_WORLD_SIZE": "2"}


@pytest.mark.parametrize(
    ("program", "environment", "expected"),
    [
        ("/opt/venv/bin/foveal", {}, "foveal fit 'a b' -o m"),
        ("C:/venv/Scripts/foveal.exe", {}, "foveal fit 'a b' -o m"),
        ("/opt/lib/foveal/__main__.py", {}, "foveal fit 'a b' -o m"),
        (
            "/opt/lib/foveal/__main__.py",
            RANKS,
            "torchrun --nproc-per-node 2 -m foveal fit 'a b' -o m",
        ),
        (
            "/opt/lib/foveal/__main__.py",
            HOSTS,
            "torchrun --nnodes 2 --nproc-per-node 4 -m foveal fit 'a b' -o m",
        ),
        ("my train.py", {}, "python 'my train.py' fit 'a b' -o m"),
        ("", {}, ""),
        ("-c", {}, ""),
    ],
)
def test_it_is_what_a_person_would_type(program: str, environment: dict, expected: str) -> None:
    assert command([program, "fit", "a b", "-o", "m"], environment) == expected


def test_what_earlier_versions_kept_is_read() -> None:
    assert command_in({"command": ["foveal", "fit", "a b"]}) == "foveal fit 'a b'"
    assert command_in({"command": "foveal fit"}) == "foveal fit"
    assert command_in({}) == ""


def test_a_run_s_command_runs(photos: Path, tmp_path: Path) -> None:
    words = ["fit", str(photos), "-o", "first model", "--backbone", "classical"]
    subprocess.run([sys.executable, "-m", "foveal", *words, "-q"], cwd=tmp_path, check=True)
    kept = json.loads((tmp_path / "first model.run" / "run.json").read_bytes())["command"]
    assert kept == f"foveal {shlex.join(words)} -q"
    (tmp_path / "foveal").write_text(f'#!/bin/sh\nexec {sys.executable} -m foveal "$@"\n')
    (tmp_path / "foveal").chmod(0o755)
    path = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run(["sh", "-c", f"{kept} --overwrite"], cwd=tmp_path, check=True, env=path)


def test_a_run_that_went_on_keeps_the_command_that_began_it(
    cli: Callable, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tell(self: object, news: object) -> None:
        signal.raise_signal(signal.SIGINT)

    words = ["--strategy", "scratch", "--backbone", "test_resnet", "--size", "32", "--epochs", "1"]
    out = tmp_path / "model"
    with monkeypatch.context() as patched:
        patched.setattr(Diary, "tell", tell)
        assert cli("fit", photos, "-o", out, *words, "-q").code == 130
    assert cli("fit", "-o", out, "--resume", "-q").code == 0
    kept = json.loads((tmp_path / "model.run" / "run.json").read_bytes())["command"]
    assert kept == shlex.join(["foveal", "fit", str(photos), "-o", str(out), *words, "-q"])
    assert cli("test", out, photos, "-q").code == 0
    assert kept in (tmp_path / "model.run" / "report.html").read_text()
