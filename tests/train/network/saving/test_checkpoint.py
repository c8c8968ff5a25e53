"""The folder: the last two stay, damage costs one step back and a warning, a full disk nothing."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from foveal.core.errors import AlreadyThere, CannotResume, Damaged, DiskFull, OutOfRange
from foveal.core.listener import Silent
from foveal.train.network.saving import checkpoint, checkpoint_file
from foveal.train.network.saving.checkpoint import Checkpoints
from foveal.train.network.saving.checkpoint_file import State
from foveal.train.network.saving.random_states import random_states

FLIPS = 200
EVERY = 97


class Ear(Silent):
    def __init__(self) -> None:
        self.heard: list[str] = []

    def say(self, sentence: str) -> None:
        self.heard.append(sentence)


def state(step: int, *, numbers: int = 50) -> State:
    """Return a state in which everything says its step."""
    return State(
        step=step,
        network={"weight": torch.full((numbers,), float(step)), "count": torch.tensor(step)},
        average={"weight": torch.full((numbers,), step + 0.5)},
        optimizer={"state": {0: {"step": torch.tensor(float(step))}}, "param_groups": []},
        random=[random_states()],
        facts={"step": step},
    )


def is_of_one_step(found: State) -> bool:
    assert found.average is not None
    said = {
        *found.network["weight"].tolist(),
        *(found.average["weight"] - 0.5).tolist(),
        found.network["count"].item(),
        found.optimizer["state"][0]["step"].item(),
        found.facts["step"],
    }
    return said == {found.step}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def step_of(found: State | None) -> int | None:
    return None if found is None else found.step


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A folder with steps 1 and 2."""
    checkpoints = Checkpoints(tmp_path / "run")
    for step in (1, 2):
        checkpoints.save(state(step))
    return tmp_path / "run"


def test_a_run_without_checkpoints_has_no_last_one(tmp_path: Path) -> None:
    assert Checkpoints(tmp_path / "none").latest() is None
    assert Checkpoints(tmp_path).latest() is None


def test_the_last_two_stay_in_folders_made_for_them(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "new" / "run")
    for step in (0, 5, 10, 99_999_995, 100_000_000):
        path = checkpoints.save(state(step))
        assert step_of(Checkpoints(path.parent).latest()) == step
    assert names(path.parent) == ["step-100000000.safetensors", "step-99999995.safetensors"]


def test_new_folders_outlast_a_power_cut_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(checkpoint, "sync_folder", synced.append)
    Checkpoints(tmp_path / "new" / "run").save(state(1))
    assert synced == [tmp_path, tmp_path / "new", tmp_path / "new" / "run"]


def test_fewer_than_two_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OutOfRange, match="keep = 1 cannot work"):
        Checkpoints(tmp_path, keep=1)


def test_more_stay_where_more_are_asked_for(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=3)
    for step in range(6):
        checkpoints.save(state(step))
    assert [int(name[5:13]) for name in names(tmp_path)] == [3, 4, 5]


def test_files_of_others_are_neither_read_nor_removed(saved: Path) -> None:
    others = ["step-9.safetensors", "step-00000003.safetensors.bak", "notes.txt"]
    for name in others:
        (saved / name).write_text("mine")
    (saved / "step-00000009.safetensors").mkdir()
    (saved / "step-00000008.safetensors").symlink_to("gone")
    checkpoints = Checkpoints(saved)
    assert step_of(checkpoints.latest()) == 2
    checkpoints.save(state(3))
    assert {*others, "step-00000009.safetensors"} < set(names(saved))


def test_a_new_run_does_not_take_the_place_of_another(saved: Path) -> None:
    for begin in (Checkpoints(saved).check_none, lambda: Checkpoints(saved).save(state(1))):
        with pytest.raises(
            AlreadyThere, match=r"holds the checkpoints of a run at step 2\. Resume"
        ):
            begin()
    assert step_of(Checkpoints(saved).latest()) == 2


def test_a_run_that_went_back_has_no_later_steps_left(saved: Path) -> None:
    checkpoints = Checkpoints(saved)
    for step in (10, 20, 15):
        checkpoints.latest()
        checkpoints.save(state(step))
    assert names(saved) == ["step-00000010.safetensors", "step-00000015.safetensors"]
    checkpoints.save(state(15, numbers=3))  # once more, and otherwise
    found = checkpoints.latest()
    assert found is not None
    assert len(found.network["weight"]) == 3


def damages(content: bytes) -> Iterator[bytes]:
    """Yield the content cut at every 97th byte, then with one of 200 bits flipped."""
    for end in range(0, len(content), EVERY):
        yield content[:end]
    for bit in np.random.default_rng(5).choice(8 * len(content), FLIPS, replace=False):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << (bit % 8)
        yield bytes(flipped)


def test_every_cut_and_every_flipped_bit_is_noticed_and_the_one_before_is_used(
    saved: Path,
) -> None:
    path = saved / "step-00000002.safetensors"
    trials = 0
    for content in damages(path.read_bytes()):
        path.write_bytes(content)
        ear = Ear()
        found = Checkpoints(saved, listener=ear).latest()
        assert found is not None
        assert found.step == 1
        assert is_of_one_step(found)
        assert ear.heard == [
            f"step-00000002.safetensors in {saved} is damaged: "
            "the run goes on from the one before, at step 1."
        ]
        trials += 1
    assert trials > FLIPS + 100


def test_every_flipped_bit_of_the_beginning_is_noticed(saved: Path) -> None:
    path = saved / "step-00000002.safetensors"
    content = path.read_bytes()
    for bit in range(8 * 160):  # length, digest, version
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(flipped)
        with pytest.raises(Damaged):
            checkpoint_file.read_state(path)


def test_something_behind_the_end_is_noticed(saved: Path) -> None:
    with (saved / "step-00000002.safetensors").open("ab") as file:
        file.write(b"\0")
    assert step_of(Checkpoints(saved).latest()) == 1


def test_whole_checkpoints_are_read_in_silence(saved: Path) -> None:
    ear = Ear()
    Checkpoints(saved, listener=ear).latest()
    assert ear.heard == []


def test_when_all_are_damaged_it_is_said_and_nothing_is_removed(saved: Path) -> None:
    for path in saved.iterdir():
        path.write_bytes(b"")
    with pytest.raises(Damaged) as refused:
        Checkpoints(saved).latest()
    assert str(refused.value) == (
        f"All checkpoints in {saved} are damaged (2 tried). Put back a copy if there is one, or "
        "begin the run anew in another folder."
    )
    assert len(names(saved)) == 2


def test_a_damaged_one_goes_with_the_next_save_and_never_counts_as_one_to_fall_back_on(
    saved: Path,
) -> None:
    (saved / "step-00000002.safetensors").write_bytes(b"")
    checkpoints = Checkpoints(saved)
    checkpoints.latest()
    assert len(names(saved)) == 2  # until there is something better
    checkpoints.save(state(3))
    assert names(saved) == ["step-00000001.safetensors", "step-00000003.safetensors"]


def test_a_step_that_was_damaged_and_is_written_anew_stays(saved: Path) -> None:
    (saved / "step-00000002.safetensors").write_bytes(b"")
    checkpoints = Checkpoints(saved)
    checkpoints.latest()
    for step in (2, 3):
        checkpoints.save(state(step))
    assert names(saved) == ["step-00000002.safetensors", "step-00000003.safetensors"]


def test_another_version_is_refused_and_not_passed_over(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint_file, "VERSION", 2)
    with pytest.raises(CannotResume, match="written by another version of Foveal"):
        Checkpoints(saved).latest()


def test_drafts_of_killed_saves_are_swept_when_a_run_starts_and_when_one_saves(
    saved: Path,
) -> None:
    draft = saved / ".step-00000003.safetensors.00000000.draft"
    draft.write_bytes(b"half")
    checkpoints = Checkpoints(saved)
    checkpoints.latest()
    assert not draft.exists()
    draft.write_bytes(b"half")
    checkpoints.save(state(3))
    assert not draft.exists()


def test_too_little_room_is_said_with_both_sizes_before_anything_is_written(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9, 1_250_000))
    monkeypatch.setattr(checkpoint, "draft", None)  # nobody may begin to write
    checkpoints = Checkpoints(saved)
    checkpoints.latest()
    with pytest.raises(DiskFull) as refused:
        checkpoints.save(state(3, numbers=500_000))
    assert str(refused.value) == (
        f"A checkpoint needs 4.0 MB and the disk of {saved} has 1.2 MB left. "
        "Free some and resume the run: the checkpoint before is intact."
    )


def test_too_little_room_for_the_first_one_does_not_speak_of_resuming(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9, 1_250_000))
    with pytest.raises(DiskFull, match=r"Free some and begin again: nothing was saved yet\."):
        Checkpoints(tmp_path / "run").save(state(1, numbers=500_000))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real disk of four megabytes; skips, visibly, where none may be mounted."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)]
    if not sys.platform.startswith("linux") or subprocess.run(command, check=False).returncode:
        pytest.skip("no disk may be mounted here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("known", [True, False], ids=["known before", "met while writing"])
def test_a_full_disk_leaves_the_state_before(
    small_disk: Path, known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = Checkpoints(small_disk / "run")
    for step in (1, 2):
        checkpoints.save(state(step, numbers=100_000))
    if not known:
        usage = namedtuple("usage", "total used free")
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 0, 10**9))
    before = names(small_disk / "run")
    with pytest.raises(DiskFull, match="A checkpoint needs" if known else "No space is left"):
        checkpoints.save(state(3, numbers=400_000))
    assert names(small_disk / "run") == before
    found = checkpoints.latest()
    assert found is not None
    assert (found.step, is_of_one_step(found)) == (2, True)
    checkpoints.save(state(4, numbers=100_000))
    assert step_of(checkpoints.latest()) == 4


def test_who_reads_meanwhile_sees_whole_files_of_rising_steps(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(state(0, numbers=100_000))
    ended = threading.Event()

    def save() -> None:
        try:
            for step in range(1, 120):
                checkpoints.save(state(step, numbers=100_000))
        finally:
            ended.set()

    writer = threading.Thread(target=save)
    ear, seen = Ear(), [0]
    writer.start()
    while not ended.is_set():
        found = Checkpoints(tmp_path, listener=ear).latest()
        assert found is not None
        assert is_of_one_step(found)
        seen.append(found.step)
    writer.join()
    assert seen == sorted(seen)
    assert len(set(seen)) > 10
    assert ear.heard == []


def test_a_reader_that_comes_too_late_for_both_looks_again(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = Checkpoints(saved)
    writer.latest()
    read, late = checkpoint.read_state, [3, 4]

    def reading(path: Path) -> State:
        while late:  # two saves between the look and the reading
            writer.save(state(late.pop(0)))
        return read(path)

    monkeypatch.setattr(checkpoint, "read_state", reading)
    assert step_of(Checkpoints(saved).latest()) == 4
