from __future__ import annotations

import hashlib
import shutil

import pytest

from foveal.core.errors import BadData, BrokenImage, OutOfRange
from foveal.data import scan as scan_module
from foveal.data.finding import Finding
from foveal.data.readers import read
from foveal.data.readers.saved import save
from foveal.data.scan import broken_check, scan


class Heard:
    """A listener that remembers how far it got."""

    def __init__(self) -> None:
        self.steps: list[tuple[int, int]] = []

    def say(self, sentence: str) -> None:
        raise AssertionError(sentence)

    def progress(self, stage: str, done: int, total: int, unit: str = "images") -> None:
        self.steps.append((done, total))


def test_every_picture_gets_its_hash_and_its_size(put, monkeypatch):
    monkeypatch.setattr(scan_module, "AT_ONCE", 2)
    root = put({f"a/{n}.png": n for n in range(5)})
    heard = Heard()
    manifest = scan(read(root), listener=heard, workers=2)
    for path, digest in zip(manifest.paths, manifest.table["sha256"], strict=True):
        assert digest == hashlib.sha256((root / path).read_bytes()).hexdigest()
    assert manifest.table["width"].to_list() == [3] * 5
    assert manifest.table["height"].to_list() == [2] * 5
    assert heard.steps == [(0, 5), (2, 5), (4, 5), (5, 5)]


def test_sizes_are_as_displayed(shared, tmp_path):
    folder = tmp_path / "a"
    folder.mkdir()
    pictures = sorted((shared / "nasty_images").rglob("*andscape_6*.jpg"))
    shutil.copy(pictures[0], folder)
    manifest = scan(read(tmp_path))
    assert manifest.table["width"][0] > manifest.table["height"][0]


def test_a_broken_file_is_left_out_and_told_with_the_reason(put):
    good = {f"a/{n}.png": n for n in range(30)}
    manifest = scan(read(put({**good, "a/005.png": b"<html>", "b/x.png": 31})))
    assert len(manifest) == 31
    (finding,) = manifest.findings
    assert (finding.kind, finding.path) == ("broken", "a/005.png")
    assert "HTML" in finding.message


def test_a_file_that_vanished_is_broken_and_not_a_crash(put):
    root = put({f"a/{n:02d}.png": n for n in range(30)})
    manifest = read(root)
    (root / "a" / "07.png").unlink()
    assert [(f.kind, f.path) for f in scan(manifest).findings] == [("broken", "a/07.png")]


def test_findings_of_the_reader_follow_their_rows(put):
    root = put({"a/00.png": b"", **{f"a/{n:02d}.png": n for n in range(1, 30)}})
    manifest = read(root)
    told = Finding(kind="x", message="these", rows=(0, 3))
    scanned = scan(manifest.with_table(manifest.table, told))
    (followed,) = [f for f in scanned.findings if f.kind == "x"]
    assert [scanned.paths[row] for row in followed.rows] == ["a/03.png"]


def test_strict_stops_at_the_first_broken_file(put):
    root = put({"a/0.png": 1, "a/1.png": b"", "a/2.png": b""})
    with pytest.raises(BrokenImage, match=r"^a/1\.png: empty file$"):
        scan(read(root), strict=True)


def test_too_many_broken_files_stop_with_the_list(put):
    root = put({f"a/{n:02d}.png": b"" if n % 2 else n for n in range(60)})
    with pytest.raises(BadData, match="30 of 60 files are broken, more than 5%") as error:
        scan(read(root))
    assert str(error.value).count("empty file") == 20
    assert "a/01.png: empty file" in str(error.value)
    assert "and 10 more" in str(error.value)
    assert len(scan(read(root), max_broken=0.5)) == 30


def test_nothing_but_broken_files_always_stops(put):
    with pytest.raises(BadData, match="All 2 files are broken"):
        scan(read(put({"a/0.png": b"", "a/1.png": b""})), max_broken=1)


def test_broken_check_counts_against_all_files():
    broken = [Finding(kind="broken", message="why", path="x.png")]
    broken_check([], 10, strict=True, max_broken=0)
    broken_check(broken, 20, strict=False, max_broken=0.05)
    with pytest.raises(BadData, match="1 of 19"):
        broken_check(broken, 19, strict=False, max_broken=0.05)
    with pytest.raises(BrokenImage, match=r"x.png: why"):
        broken_check(broken, 20, strict=True, max_broken=1)


@pytest.mark.parametrize("wrong", [{"max_broken": 1.5}, {"max_broken": -1}, {"workers": 0}])
def test_nonsense_is_refused(put, wrong):
    with pytest.raises(OutOfRange, match=next(iter(wrong))):
        scan(read(put({"a/0.png": 1})), **wrong)


def test_the_same_picture_twice_is_a_duplicate(put, told):
    manifest = scan(read(put({"a/0.png": 1, "a/1.png": 1, "a/2.png": 2})))
    assert told(manifest, "duplicate").startswith("The same picture 2 times")
    assert manifest.findings[0].rows == (0, 1)


def test_the_same_picture_with_two_labels_is_a_conflict(put, told):
    manifest = scan(read(put({"ant/0.png": 1, "bee/1.png": 1, "bee/2.png": 1})))
    assert "3 times, labelled ant and bee: ant/0.png, bee/1.png, bee/2.png" in told(
        manifest, "conflict"
    )
    assert told(manifest, "duplicate") == ""


def test_the_same_picture_in_two_parts_is_a_leak(put, told):
    manifest = scan(read(put({"train/a/0.png": 1, "test/a/1.png": 1, "train/b/2.png": 2})))
    assert "in test and train" in told(manifest, "leak")


def test_a_hash_from_a_saved_manifest_is_never_trusted(put, tmp_path, told):
    root = put({"a/0.png": 1, "a/1.png": 1, "b/2.png": 2})
    save(scan(read(root)), tmp_path / "m.parquet")
    (root / "a" / "1.png").write_bytes((root / "b" / "2.png").read_bytes())
    again = scan(read(tmp_path / "m.parquet"))
    assert again.table["sha256"][1] == again.table["sha256"][2]
    assert "1 picture changed since the manifest was saved: a/1.png" in told(again, "changed")
    assert told(again, "duplicate") == ""
    assert "a and b" in told(again, "conflict")
