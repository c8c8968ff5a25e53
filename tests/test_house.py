"""The house: every file explains itself, stays small and owns one thing; heavy doors stay shut."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "foveal"
FILES = sorted(SOURCE.rglob("*.py"))
HEAVY = {"torch", "torchvision", "timm", "sklearn", "scipy", "onnxruntime", "onnx", "polars",
         "jinja2", "numpy", "PIL"}  # fmt: skip


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_file_is_short_explains_itself_and_owns_one_thing(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= 350, "split it along the line its docstring draws"
    assert ast.get_docstring(ast.parse(text)), "say in one line what this file owns"
    assert path.stem not in {"utils", "helpers", "common", "misc"}, "name what it owns"


@pytest.mark.parametrize(
    "words",
    [["--help"], *([verb, "--help"] for verb in ("fit", "test", "predict", "augment", "pretrain"))],
)
def test_help_opens_none_of_the_heavy_packages(words: list[str]) -> None:
    code = (
        "import sys, json, foveal.cli\n"
        "try:\n    foveal.cli.app(standalone_mode=False)\nexcept SystemExit:\n    pass\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=True
    )
    loaded = {name.partition(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}
    assert "typer" in loaded
    assert loaded & HEAVY == set()


@pytest.mark.parametrize("words", [["--help"], ["fit", "--help"]])
def test_help_answers_within_half_a_second_of_processor_time(words: list[str]) -> None:
    import os

    seconds = []
    for _ in range(3):
        before = os.times()
        subprocess.run([sys.executable, "-m", "foveal", *words], capture_output=True, check=True)
        after = os.times()
        seconds.append(
            after.children_user + after.children_system
            - before.children_user - before.children_system
        )  # fmt: skip
    assert min(seconds) < 0.5


def test_importing_foveal_opens_no_heavy_package() -> None:
    code = "import sys, json, foveal; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in json.loads(done.stdout)}
    assert loaded & HEAVY == set()
