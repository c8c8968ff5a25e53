"""Scratch files: gone after an error, when asked, and when their run was killed.

Across processes, with kill -9: tests/train/network/pictures/test_canvas.py.
"""

from __future__ import annotations

import errno
import shutil
import sys
from pathlib import Path

import pytest

from foveal.core.errors import DiskFull
from foveal.train.network.pictures.scratch_file import ScratchFile, scratch_file, sweep

ENDING = ".test"


def test_what_is_written_stays_until_it_is_removed(tmp_path: Path) -> None:
    with scratch_file(tmp_path / "new" / "folder", ENDING, need=3, what="They") as made:
        made.file.write(b"abc")
    assert made.path.read_bytes() == b"abc"
    assert made.path.parent == tmp_path / "new" / "folder"
    made.remove()
    made.remove()
    assert not made.path.exists()


def test_a_failing_block_leaves_nothing(tmp_path: Path) -> None:
    try:
        with scratch_file(tmp_path, ENDING, need=3, what="They") as made:
            assert made.path.exists()
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        ended = True
    assert ended
    assert list(tmp_path.iterdir()) == []


def test_too_small_a_disk_is_said_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=2_000_000))
    with (
        pytest.raises(DiskFull) as refused,
        scratch_file(tmp_path, ENDING, need=10**10, what="They"),
    ):
        pytest.fail("it was begun")
    assert refused.value.what == (f"They need 10.0 GB and the disk of {tmp_path} has 2.0 MB left.")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_meanwhile_is_said_too_and_leaves_nothing(tmp_path: Path) -> None:
    with (
        pytest.raises(DiskFull, match="No space is left on the disk"),
        scratch_file(tmp_path, ENDING, need=3, what="They"),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such locks")
def test_only_what_nobody_holds_and_has_the_ending_is_swept(tmp_path: Path) -> None:
    held, left = ScratchFile(tmp_path, ENDING), ScratchFile(tmp_path, ENDING)
    other = ScratchFile(tmp_path, ".other")
    left.file.close()
    other.file.close()
    sweep(tmp_path, ENDING)
    assert {path.name for path in tmp_path.iterdir()} == {held.path.name, other.path.name}
    held.remove()
