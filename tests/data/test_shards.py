"""Tar shards: both conventions, in order, from any picture on; what is wrong with one is said."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from foveal.core.errors import BadData, Damaged, NotThere
from foveal.data import shards
from foveal.data.shards import is_shard, read_shards


def write_tar(path: Path, members: Iterable[tuple[str, bytes]], *, mode: str = "w") -> Path:
    with tarfile.open(path, mode) as tar:
        for name, content in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return path


WEB = [
    ("a.jpg", b"first"),
    ("a.cls", b"2"),
    ("b.jpg", b"second"),
    ("b.json", b'{"label": 10}'),
    ("c.png", b"unlabelled"),
    ("notes.txt", b"?"),
]
FOLDERS = [("cat/1.jpg", b"one"), ("dog/2.jpeg", b"two"), ("data/cat/3.png", b"three")]


class TestWhatIsRead:
    def test_a_key_with_its_sidecar_is_a_picture_and_its_class(self, tmp_path: Path) -> None:
        found = read_shards([write_tar(tmp_path / "web.tar", WEB)])
        assert list(found) == [b"first", b"second"]
        assert found.classes == ("2", "10")  # by number
        assert found.labels.tolist() == [0, 1]
        assert found.names == ["web.tar: a.jpg", "web.tar: b.jpg"]

    def test_without_sidecars_the_folder_is_the_class(self, tmp_path: Path) -> None:
        found = read_shards([write_tar(tmp_path / "f.tar.gz", FOLDERS, mode="w:gz")])
        assert list(found) == [b"one", b"two", b"three"]
        assert found.classes == ("cat", "dog")
        assert found.labels.tolist() == [0, 1, 0]

    def test_what_is_no_labelled_picture_is_left_out_and_counted(self, tmp_path: Path) -> None:
        found = read_shards([write_tar(tmp_path / "web.tar", WEB)])
        assert dict(found.left_out) == {
            "web.tar: c.png": "without a label",
            "web.tar: notes.txt": "its ending is not a picture's",
        }
        assert sorted(found.findings()) == [
            "1 member of the shards left out, its ending is not a picture's: web.tar: notes.txt.",
            "1 member of the shards left out, without a label: web.tar: c.png.",
        ]

    def test_several_files_stand_one_behind_the_other_and_any_place_is_a_start(
        self, tmp_path: Path
    ) -> None:
        found = read_shards(
            [
                write_tar(tmp_path / "1.tar", FOLDERS),
                write_tar(tmp_path / "2.tgz", FOLDERS, mode="w:gz"),
            ]
        )
        everything = [b"one", b"two", b"three"] * 2
        for first in range(7):
            assert list(found.bytes_from(first)) == everything[first:]

    def test_rows_keep_the_order_of_the_files(self, tmp_path: Path) -> None:
        found = read_shards([write_tar(tmp_path / f"{n}.tar", FOLDERS) for n in "ab"])
        some = found.rows([4, 0])
        assert list(some) == [b"one", b"two"]
        assert some.labels.tolist() == [0, 1]
        assert len(some) == 2

    def test_the_digest_stands_for_the_content(self, tmp_path: Path) -> None:
        one = read_shards([write_tar(tmp_path / "1.tar", FOLDERS)])
        two = read_shards([write_tar(tmp_path / "2.tar", FOLDERS)])
        other = read_shards([write_tar(tmp_path / "3.tar", FOLDERS[:2])])
        assert one.digest() == two.digest() != other.digest()

    def test_tiny_imagenet_is_read_as_it_lies(self, shared: Path) -> None:
        path = shared / "tiny_imagenet" / "tiny-imagenet-val.tar.gz"
        found = read_shards([path])
        assert (len(found), len(found.classes)) == (5000, 200)
        assert np.bincount(found.labels).tolist() == [25] * 200
        with tarfile.open(path) as tar:
            entry = tar.getmember(found.members[0][4321].name)
            file = tar.extractfile(entry)
            assert file is not None
            assert next(found.bytes_from(4321)) == file.read()


class TestWhatIsRefused:
    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(NotThere, match=r"no shard at .*gone\.tar"):
            read_shards([tmp_path / "gone.tar"])

    def test_a_folder_called_like_a_shard(self, tmp_path: Path) -> None:
        (tmp_path / "folder.tar").mkdir()
        with pytest.raises(NotThere, match="is a folder, not a tar file"):
            read_shards([tmp_path / "folder.tar"])

    @pytest.mark.parametrize("content", [b"", b"GIF89a" * 400, b"\x1f\x8b" + b"?" * 600])
    def test_what_is_no_tar_file(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "x.tar").write_bytes(content)
        with pytest.raises(Damaged, match=r"x\.tar is"):
            read_shards([tmp_path / "x.tar"])

    @pytest.mark.parametrize("packed", [False, True])
    def test_every_cut_is_noticed(self, tmp_path: Path, packed: bool) -> None:
        with tarfile.open(tmp_path / "p.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
            for name, content in FOLDERS:
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
        whole = (tmp_path / "p.tar").read_bytes()
        end = len(FOLDERS) * 1024 + 512  # the first block of the end mark is enough
        content = gzip.compress(whole[:end]) if packed else whole[:end]
        path = tmp_path / "cut.tar"
        path.write_bytes(content)
        assert len(read_shards([path])) == len(FOLDERS)
        for length in range(1, len(content), 1 if packed else 97):
            path.write_bytes(content[:length])
            with pytest.raises(Damaged, match=r"cut\.tar is"):
                read_shards([path])

    def test_a_shard_that_changed_since(self, tmp_path: Path) -> None:
        path = write_tar(tmp_path / "a.tar", FOLDERS)
        found = read_shards([path])
        path.write_bytes(path.read_bytes()[:520])
        with pytest.raises(Damaged):
            list(found)

    def test_links_and_devices_are_never_followed(self, tmp_path: Path) -> None:
        path = tmp_path / "odd.tar"
        with tarfile.open(path, "w") as tar:
            for number, kind in enumerate(
                (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE)
            ):
                entry = tarfile.TarInfo(f"cat/{number}.jpg")
                entry.type, entry.linkname = kind, "/etc/passwd"
                tar.addfile(entry)
            entry = tarfile.TarInfo("../../cat/good.jpg")
            entry.size = 2
            tar.addfile(entry, io.BytesIO(b"ok"))
        found = read_shards([path])
        assert list(found) == [b"ok"]
        assert [reason for _, reason in found.left_out] == ["not a regular file"] * 4

    def test_a_member_too_large_is_left_out(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(shards, "MAX_BYTES", 1000)
        monkeypatch.setattr(shards, "_CHUNK", 1000)
        path = write_tar(tmp_path / "big.tar", [("cat/1.jpg", bytes(1001)), ("cat/2.jpg", b"ok")])
        found = read_shards([path])
        assert list(found) == [b"ok"]
        assert found.left_out[0][1] == "larger than 0 MB"

    def test_a_header_that_wants_all_memory_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(shards, "MAX_BYTES", 70_000)
        path = tmp_path / "pax.tar"
        with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
            entry = tarfile.TarInfo("cat/1.jpg")
            entry.pax_headers = {"comment": "x" * 100_000}
            tar.addfile(entry)
        with pytest.raises(Damaged, match="bytes at once"):
            read_shards([path])

    def test_zeros_without_end_are_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(shards, "MAX_BYTES", 70_000)
        path = write_tar(
            tmp_path / "bomb.tar.gz", [("cat/1.jpg", bytes(4_000_000)), FOLDERS[0]], mode="w:gz"
        )
        with pytest.raises(Damaged, match="it says that it holds more than"):
            read_shards([path])

    def test_nothing_labelled_in_it(self, tmp_path: Path) -> None:
        path = write_tar(tmp_path / "bare.tar", [("1.jpg", b"x"), ("2.cls", b"3")])
        with pytest.raises(BadData, match=r"No labelled picture lies in bare\.tar"):
            read_shards([path])

    def test_classes_that_the_others_do_not_have(self, tmp_path: Path) -> None:
        path = write_tar(tmp_path / "val.tar", FOLDERS)
        assert read_shards([path], classes=("ant", "cat", "dog")).labels.tolist() == [1, 2, 1]
        with pytest.raises(BadData, match="1 class of the shards is not among the others: dog"):
            read_shards([path], classes=("cat",))

    @pytest.mark.parametrize(
        "content", [b"\xff\xfe", b"[" * 100000, b"[1]", b'{"label": [1]}', b""]
    )
    def test_a_sidecar_that_says_nothing_leaves_its_picture_out(
        self, tmp_path: Path, content: bytes
    ) -> None:
        members = [("a.jpg", b"1"), ("a.json", content), ("b.jpg", b"2"), ("b.cls", b"cat")]
        found = read_shards([write_tar(tmp_path / "s.tar", members)])
        assert list(found) == [b"2"]
        assert found.left_out == (("s.tar: a.jpg", "without a label"),)


def test_names_tell_shards() -> None:
    assert is_shard(Path("x/A.TAR.GZ"))
    assert not is_shard(Path("tar"))
