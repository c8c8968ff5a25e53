"""Whether a command that fails leaves everything as it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest


def everything(folder: Path) -> dict[str, bytes | None]:
    """Return every file and folder below ``folder``, drafts included, with its content."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


@pytest.fixture
def refused(cli: Callable, tmp_path: Path) -> Callable[..., str]:
    """Return what runs a command that must fail, checks how, and returns its one sentence."""

    def check(code: int, *words: object) -> str:
        before = everything(tmp_path)
        said = cli(*words, "-q")
        assert said.code == code, said.err
        assert said.out == ""
        assert "Traceback" not in said.err
        assert said.err.startswith("foveal: ")
        assert said.err.count("\n") == 1 or "files are broken" in said.err  # those are listed
        assert everything(tmp_path) == before
        return said.err.removeprefix("foveal: ").rstrip("\n")

    return check
