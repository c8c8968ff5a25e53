"""A file that cannot be read costs a reason, never a traceback or a hang."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from foveal.core.errors import BrokenImage
from foveal.image import source
from foveal.image.source import bytes_of


def test_a_file_gives_its_bytes_and_bytes_themselves(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"abc")
    assert bytes_of(tmp_path / "a.jpg") == b"abc"
    assert bytes_of(b"abc") == b"abc"


def test_each_way_to_be_unreadable_has_its_own_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    (tmp_path / "gone.jpg").symlink_to("nowhere.jpg")
    with socket.socket(socket.AF_UNIX) as listening:
        monkeypatch.chdir(tmp_path)  # a socket's whole name has little room
        listening.bind("socket.jpg")
    for path, said in {
        tmp_path / "no.jpg": "the file is not there",
        tmp_path / "gone.jpg": "the file is not there",
        tmp_path: "a folder, not a file",
        tmp_path / "pipe.jpg": "not a regular file",
        tmp_path / "socket.jpg": "not a regular file",
        Path("/dev/zero"): "not a regular file",
        tmp_path / "loop.jpg": "cannot be read: Too many levels of symbolic links",
        tmp_path / "a\0b.jpg": "cannot be read: embedded null byte",
    }.items():
        with pytest.raises(BrokenImage) as error:
            bytes_of(path)
        assert error.value.what == said


def test_a_forbidden_file_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object) -> int:  # the tests may run as root, whom nothing is forbidden
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(source.os, "open", forbidden)
    with pytest.raises(BrokenImage, match="not allowed to read the file"):
        bytes_of(tmp_path / "secret.jpg")


def test_a_film_is_refused_before_it_fills_the_memory(tmp_path: Path) -> None:
    with (tmp_path / "film.jpg").open("wb") as file:
        file.truncate(3_000_000_000)  # sparse: takes no disk
    with pytest.raises(BrokenImage, match=r"too large: 3\.0 GB"):
        bytes_of(tmp_path / "film.jpg")
