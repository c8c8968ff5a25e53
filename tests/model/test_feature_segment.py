"""Segments: what was written is read, as a map; any damage at all is noticed."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from foveal.core.errors import Damaged, DiskFull, OutOfRange
from foveal.model.feature_segment import Segment, digests, write_segment


def rows(n: int, d: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


def some_ids(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, 32), dtype=np.uint8)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Three rows of two blocks."""
    return write_segment(tmp_path, [some_ids(3)], {"last": [rows(3, 4)], "s/2x2": [rows(3, 2, 1)]})


def test_pieces_are_read_back_as_one_bit_for_bit(tmp_path: Path) -> None:
    whole, ids = rows(7, 5), some_ids(7)
    path = write_segment(tmp_path, [ids[:3], ids[3:]], {"last": [whole[:2], whole[2:]]})
    segment = Segment(path)
    assert segment.block("last").tobytes() == whole.tobytes()
    assert segment.ids_N32.tobytes() == ids.tobytes()
    assert (len(segment), segment.widths) == (7, {"last": 5})
    assert segment.size_bytes == path.stat().st_size


def test_safetensors_reads_the_same_arrays(small: Path) -> None:
    arrays = load_file(small)
    segment = Segment(small)
    assert sorted(arrays) == ["ids", "last", "s/2x2"]
    for name in ("last", "s/2x2"):
        np.testing.assert_array_equal(arrays[name], segment.block(name))
    np.testing.assert_array_equal(arrays["ids"], segment.ids_N32)


def test_a_block_is_a_read_only_map(small: Path) -> None:
    block = Segment(small).block("last")
    assert str(small) in Path("/proc/self/maps").read_text()
    assert not block.flags.owndata
    with pytest.raises(ValueError, match="read-only"):
        block[0, 0] = 1


@pytest.mark.parametrize("name", ["a", "ab", "abc", "abcd", "ähh"])
def test_rows_are_aligned_however_long_the_header_is(tmp_path: Path, name: str) -> None:
    path = write_segment(tmp_path, [some_ids(3)], {name: [rows(3, 4)]})
    assert Segment(path).block(name).ctypes.data % 8 == 0


def test_a_map_outlives_the_removal_of_its_file(small: Path) -> None:
    block = Segment(small).block("last")
    small.unlink()
    np.testing.assert_array_equal(block, rows(3, 4))


def test_equal_rows_of_one_moment_give_the_same_file(tmp_path: Path) -> None:
    paths = {write_segment(tmp_path, [some_ids(2)], {"last": [rows(2, 2)]}, order=1) for _ in "ab"}
    assert len(paths) == 1
    assert Segment(paths.pop()).order == 1


def test_every_single_flipped_bit_is_noticed(small: Path) -> None:
    content = small.read_bytes()
    for place in range(len(content)):
        flipped = bytearray(content)
        flipped[place] ^= 1 << place % 8
        small.write_bytes(flipped)
        with pytest.raises(Damaged):
            read_all(small)
    small.write_bytes(content)
    read_all(small)


def test_every_cut_and_every_extra_byte_is_noticed_on_opening(small: Path) -> None:
    content = small.read_bytes()
    for length in range(len(content)):
        small.write_bytes(content[:length])
        with pytest.raises(Damaged):
            Segment(small)
    small.write_bytes(content + b"\0")
    with pytest.raises(Damaged):
        Segment(small)


def test_a_file_under_another_segments_name_is_noticed(small: Path, tmp_path: Path) -> None:
    other = write_segment(tmp_path, [some_ids(3, 9)], {"last": [rows(3, 4)]})
    small.replace(other)
    with pytest.raises(Damaged):
        Segment(other)


def test_a_full_disk_is_said_and_leaves_nothing(tiny_disk: Path) -> None:
    with pytest.raises(DiskFull, match="No space is left"):
        write_segment(tiny_disk / "key", [some_ids(2000)], {"last": [rows(2000, 500)]})
    assert list((tiny_disk / "key").iterdir()) == []
    assert Segment(write_segment(tiny_disk, [some_ids(2)], {"last": [rows(2, 2)]}))


@pytest.mark.parametrize("wrong", ["", "ab", "g" * 64, "a" * 63, "a" * 65, "a " * 32])
def test_an_id_that_is_no_sha256_is_refused(wrong: str) -> None:
    with pytest.raises(OutOfRange, match="64 hexadecimal digits"):
        digests(["a" * 64, wrong])


def test_blanks_cannot_make_two_ids_of_three() -> None:
    with pytest.raises(OutOfRange, match="64 hexadecimal digits"):
        digests(["ab" * 32, " " * 64])


def read_all(path: Path) -> None:
    segment = Segment(path)
    for name in segment.widths:
        segment.block(name)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A real disk of one megabyte; skips, visibly, where none may be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a tiny disk is not allowed here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
