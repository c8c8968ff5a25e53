"""Drafts: whole or not at all, and swept away only when their writer is dead."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from foveal.model.feature_draft import draft, sweep

WRITE_AND_WAIT = """
import sys
from pathlib import Path
from foveal.model.feature_draft import draft
with draft(Path(sys.argv[1])) as file:
    file.write(b"half")
    file.flush()
    print("writing", flush=True)
    sys.stdin.read()
"""


def begin_and_stop(path: Path) -> None:
    with draft(path) as file:
        file.write(b"half")
        raise KeyboardInterrupt


def test_a_draft_becomes_the_file_with_missing_parents(tmp_path: Path) -> None:
    with draft(tmp_path / "a" / "b") as file:
        file.write(b"whole")
    assert (tmp_path / "a" / "b").read_bytes() == b"whole"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]


def test_a_failed_draft_leaves_the_file_as_it_was_and_nothing_beside_it(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"before")
    with pytest.raises(KeyboardInterrupt):
        begin_and_stop(tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"before"
    assert len(list(tmp_path.iterdir())) == 1


def test_the_draft_of_a_living_process_stays_and_that_of_a_killed_one_goes(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITE_AND_WAIT, str(tmp_path / "rows")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"writing\n"
        assert sweep(tmp_path) == 0
        assert len(list(tmp_path.iterdir())) == 1
        writer.kill()
    assert sweep(tmp_path) == 1
    assert list(tmp_path.iterdir()) == []


def test_our_own_draft_is_not_swept_either(tmp_path: Path) -> None:
    with draft(tmp_path / "rows") as file:
        file.write(b"whole")
        assert sweep(tmp_path) == 0
    assert (tmp_path / "rows").read_bytes() == b"whole"


def test_sweeping_a_folder_that_is_not_there_finds_nothing(tmp_path: Path) -> None:
    assert sweep(tmp_path / "none") == 0
