from __future__ import annotations

import os
import socket
import sys

import pytest

from foveal.core.errors import BadData
from foveal.data.walk import walk


def test_pictures_are_told_by_their_ending_in_any_case_and_sorted(put):
    root = put({"b/2.JPG": 1, "a/1.jpeg": 2, "a/notes.txt": b"x", "a/jpg": b"x", "c.tiff": 3})
    found = walk(root)
    assert found.pictures == ["a/1.jpeg", "b/2.JPG", "c.tiff"]
    assert found.others == ["a/jpg", "a/notes.txt"]
    assert found.folders == ["a", "b"]


def test_hidden_things_and_litter_are_not_entered_and_told(put):
    root = put(
        {
            "a/1.png": 1,
            ".ipynb_checkpoints/1.png": 1,
            "a/._1.png": b"",
            "__MACOSX/a/1.png": 1,
            "a/Thumbs.db": b"",
            ".DS_Store": b"",
        }
    )
    found = walk(root)
    assert found.pictures == ["a/1.png"]
    assert found.hidden == [
        ".DS_Store",
        ".ipynb_checkpoints",
        "__MACOSX",
        "a/._1.png",
        "a/Thumbs.db",
    ]
    (finding,) = found.findings()
    assert finding.kind == "hidden"
    assert "5 hidden" in finding.message


def test_other_files_are_counted_by_their_ending(put):
    root = put({f"a/{n}.txt": b"" for n in range(10)} | {"a/x.XML": b"", "README": b""})
    (finding,) = walk(root).findings()
    assert finding.kind == "not-pictures"
    assert "12 files" in finding.message
    assert ".txt ×10, .xml ×1, no ending ×1" in finding.message


def test_a_link_to_a_folder_above_is_not_followed_round_and_round(put):
    root = put({"a/1.png": 1})
    (root / "a" / "up").symlink_to(root)
    (root / "self").symlink_to("self")
    found = walk(root)
    assert found.pictures == ["a/1.png"]
    assert found.loops == ["a/up"]
    assert found.dangling == ["self"]
    assert [finding.kind for finding in found.findings()] == ["loop", "dangling"]


def test_links_to_folders_and_pictures_elsewhere_are_followed(put, tmp_path):
    root = put({"a/1.png": 1})
    (tmp_path / "else").mkdir()
    (tmp_path / "else" / "2.png").write_bytes(b"x")
    (root / "b").symlink_to(tmp_path / "else")
    (root / "c.png").symlink_to(root / "a" / "1.png")
    (root / "gone.png").symlink_to(root / "nothing.png")
    found = walk(root)
    assert found.pictures == ["a/1.png", "b/2.png", "c.png"]
    assert found.dangling == ["gone.png"]


@pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes on Linux alone")
def test_a_name_that_is_no_text_is_left_out_and_told_printably(put):
    root = put({"a/1.png": 1})
    (root / "a" / os.fsdecode(b"caf\xe9.png")).write_bytes(b"x")
    (root / "a" / os.fsdecode(b"br\xfcche")).mkdir()
    (root / "a" / os.fsdecode(b"br\xfcche") / "2.png").write_bytes(b"x")
    found = walk(root)
    assert found.pictures == ["a/1.png"]
    folder, file = found.findings()
    assert (folder.kind, file.kind) == ("bad-folder-name", "bad-name")
    assert folder.message == (
        "1 folder left out with all that is inside, for want of a name in UTF-8: "
        r"a/br\xfcche/. Rename to have the pictures read."
    )
    assert file.message == r"1 file left out for want of a name in UTF-8; rename: a/caf\xe9.png."


def test_what_is_no_regular_file_is_no_picture_and_told(put, monkeypatch):
    root = put({"a/1.png": 1, "b/x.txt": b""})
    os.mkfifo(root / "a" / "2.png")
    (root / "a" / "3.png").symlink_to("2.png")
    (root / "b" / "null.jpg").symlink_to("/dev/null")
    monkeypatch.chdir(root)  # a socket's whole name has little room
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("4.jpg")
    found = walk(root)
    assert found.pictures == ["a/1.png"]
    assert found.special == ["4.jpg", "a/2.png", "a/3.png", "b/null.jpg"]
    others, special = found.findings()
    assert others.message == "1 file left out whose ending is not a picture's: .txt ×1."
    assert special.kind == "not-regular"
    assert special.message == (
        "4 files left out as not regular (pipes, sockets, devices): "
        "4.jpg, a/2.png, a/3.png and 1 more."
    )


def test_a_folder_that_may_not_be_read_is_named(put, monkeypatch):
    root = put({"secret/1.png": 1})
    real = os.scandir

    def refusing(path):
        if "secret" in str(path):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(BadData, match=r"secret cannot be read: Permission denied"):
        walk(root)


def test_within_is_the_listing_of_a_folder_below(put):
    root = put({"train/a/1.png": 1, "training/a/2.png": 2, "train/x.txt": b"", "train/.h": b""})
    assert walk(root).within("train") == walk(root / "train")
