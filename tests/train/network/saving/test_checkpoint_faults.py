"""A save that is cut off anywhere leaves the old checkpoint or the new one, whole.

Cut off by an error of the disk, by the end of the process, by kill -9, and by a power cut, after
which only what was synced is there. Run as a program this file is the process that dies.
"""

from __future__ import annotations

import errno
import io
import itertools
import os
import random
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import pytest
import torch

from foveal.train.network.saving.checkpoint import Checkpoints
from foveal.train.network.saving.checkpoint_file import State

DEMANDS = {"open", "write", "fsync", "replace", "unlink"}


def state(step: int, *, numbers: int = 5000) -> State:
    return State(
        step=step,
        network={"weight": torch.full((numbers,), float(step)), "bias": torch.full((3,), step)},
        average={"weight": torch.full((numbers,), float(step))},
        optimizer={"state": {0: {"step": torch.tensor(float(step))}}},
        random=[],
        facts={"step": step},
    )


def step_of(folder: Path) -> int:
    """Return the step of the last checkpoint, once it is sure that all of it is of that step."""
    found = Checkpoints(folder).latest()
    assert found is not None
    assert found.average is not None
    said = [found.network["weight"], found.network["bias"], found.average["weight"]]
    assert all((numbers == found.step).all() for numbers in said)
    assert found.facts["step"] == found.optimizer["state"][0]["step"].item() == found.step
    return found.step


def begun(folder: Path) -> Checkpoints:
    """Return the checkpoints of a run at step 2."""
    checkpoints = Checkpoints(folder)
    for step in (1, 2):
        checkpoints.save(state(step))
    return checkpoints


def drafts(folder: Path) -> list[Path]:
    return list(folder.glob(".*.draft"))


Heard = Callable[[str, Any], None]


class Raw(io.FileIO):
    """A file whose every write is heard, half done: what is cut off there is torn."""

    def __init__(self, path: Path, mode: str, hear: Heard) -> None:
        super().__init__(path, mode)
        self.hear = hear

    def write(self, content: Any) -> int:
        half = len(memoryview(content).cast("B")) // 2
        done = super().write(memoryview(content).cast("B")[:half]) if half else 0
        self.hear("write", self.name)
        return done + super().write(memoryview(content).cast("B")[half:])


@contextmanager
def listening(hear: Heard) -> Iterator[None]:
    """Let ``hear`` know of everything that is asked of the disk, just before it is done."""
    real = {name: getattr(os, name) for name in ("fsync", "replace", "unlink")}
    open_path = Path.open

    def opening(self: Path, mode: str = "r", *rest: Any, **named: Any) -> IO[Any]:
        if "x" not in mode:
            return open_path(self, mode, *rest, **named)
        hear("open", self)
        return io.BufferedWriter(Raw(self, "xb", hear))

    def heard(name: str) -> Callable[..., Any]:
        def call(*words: Any, **named: Any) -> Any:
            hear(name, words)
            return real[name](*words, **named)

        return call

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "open", opening)
        for name in real:
            patch.setattr(os, name, heard(name))
        yield


@dataclass
class Fault:
    """Does something at the k-th demand of a save: fails, or ends the process."""

    at: int
    act: Callable[[str], None]
    lasting: bool = False  # whether every later demand fails as well
    demands: list[str] = field(default_factory=list)

    def __call__(self, name: str, _what: object) -> None:
        self.demands.append(name)
        if len(self.demands) == self.at or (self.lasting and len(self.demands) > self.at):
            self.act(name)


def fail(_name: str) -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def die(name: str) -> None:
    os.write(1, f"{name}\n".encode())
    os._exit(9)


@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from then on"])
def test_an_error_at_any_demand_leaves_the_old_or_the_new(tmp_path: Path, lasting: bool) -> None:
    failed = set()
    for at in itertools.count(1):
        folder = tmp_path / str(at)
        checkpoints = begun(folder)
        fault = Fault(at, fail, lasting)
        try:
            with listening(fault):
                checkpoints.save(state(3))
        except OSError:
            told = True
        else:
            told = False
        assert told == (fault.demands[at - 1 : at] not in ([], ["unlink"]))  # it is safe by then
        assert not drafts(folder) or lasting
        assert step_of(folder) in {2, 3}
        if len(fault.demands) < at:
            assert step_of(folder) == 3
            break
        failed.add(fault.demands[at - 1])
        checkpoints.save(state(4))
        assert step_of(folder) == 4
        assert not drafts(folder)
        assert len(list(folder.iterdir())) == 2
    assert failed == DEMANDS


def test_an_error_at_the_very_first_save_leaves_nothing_that_could_mislead(
    tmp_path: Path,
) -> None:
    for at in itertools.count(1):
        folder = tmp_path / str(at)
        fault = Fault(at, fail)
        checkpoints = Checkpoints(folder)
        with suppress(OSError), listening(fault):
            checkpoints.save(state(1))
        assert Checkpoints(folder).latest() is None or step_of(folder) == 1
        if len(fault.demands) < at:
            break
        checkpoints.save(state(2))
        assert step_of(folder) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes can be forked")
def test_the_end_of_the_process_at_any_demand_leaves_the_old_or_the_new(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, __file__, "die", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    died = done.stdout.split()
    assert set(died) == DEMANDS
    torn = 0
    for at in range(1, len(died) + 1):
        folder = tmp_path / str(at)
        torn += len(drafts(folder))
        assert step_of(folder) in {2, 3}
        assert not drafts(folder)
        checkpoints = Checkpoints(folder)
        checkpoints.latest()
        checkpoints.save(state(4))
        assert step_of(folder) == 4
        assert len(list(folder.iterdir())) == 2
    assert torn > 3


def dying(folder: Path) -> None:
    """End a process at its first demand of the disk, another at its second, and so on."""
    for at in itertools.count(1):
        checkpoints = begun(folder / str(at))
        if (child := os.fork()) == 0:
            with listening(Fault(at, die)):
                checkpoints.save(state(3))
            os._exit(0)
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0:
            return


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes can be forked")
def test_twelve_kills_at_random_moments_lose_no_step_that_was_saved(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, __file__, "kill", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    kills = [tuple(map(int, line.split())) for line in done.stdout.splitlines()]
    assert len(kills) == 12
    for before, saved, last, _ in kills:
        assert before < saved <= last <= saved + 1  # one more may have got its name unheard
    assert sum(left for *_, left in kills) > 0  # some of them in the middle of a save


def killing(folder: Path) -> None:
    """Kill twelve processes that save one step after the other, each going on from the last.

    Prints the step it went on from, the last it said it had saved, the last that is there, and
    how many drafts there were.
    """
    moments = random.Random(11)
    for _ in range(12):
        checkpoints = Checkpoints(folder)
        found = checkpoints.latest()
        before = found.step if found else 0
        told, tell = os.pipe()
        if (child := os.fork()) == 0:
            for step in itertools.count(before + 1):
                checkpoints.save(state(step, numbers=1_000_000))
                os.write(tell, step.to_bytes(4, "big"))
        os.close(tell)
        words = os.read(told, 4)
        time.sleep(moments.uniform(0, 0.15))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        while more := os.read(told, 4):
            words = more
        os.close(told)
        left = len(drafts(folder))
        print(before, int.from_bytes(words, "big"), step_of(folder), left)  # noqa: T201 — the test reads it
        assert not drafts(folder)


class Platter:
    """A disk that keeps only what was synced, as a power cut leaves it.

    A file's content is what it was at its last fsync. A name that was given or taken since the
    folder's last fsync may be on the disk or not, each for itself.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names = {path.name: path.read_bytes() for path in folder.iterdir()}
        self.content: dict[str, bytes] = {}  # of new files by the name they were made with
        self.pending: list[tuple[str, str, str]] = []  # ("give", name, file) or ("take", name, "")
        self.images: list[list[dict[str, bytes]]] = []  # what may be left, demand by demand

    def hear(self, name: str, what: Any) -> None:
        self.images.append([*self.left()])
        if name == "open":
            self.content[what.name] = b""
            self.pending.append(("give", what.name, what.name))
        elif name == "fsync" and stat.S_ISDIR(os.fstat(what[0]).st_mode):
            self.names, self.pending = [*self.left()][-1], []
        elif name == "fsync":
            path = next(each for each in self.folder.iterdir() if self._is(each, what[0]))
            self.content[path.name] = path.read_bytes()
        elif name == "replace":
            old, new = (Path(path).name for path in what)
            self.pending += [("give", new, old), ("take", old, "")]
        elif name == "unlink":
            self.pending.append(("take", Path(what[0]).name, ""))

    def left(self) -> Iterator[dict[str, bytes]]:
        """Yield what may be left: with none of the pending names, …, with all of them."""
        for kept in itertools.product([False, True], repeat=len(self.pending)):
            names = dict(self.names)
            for (deed, name, file), on_disk in zip(self.pending, kept, strict=True):
                if on_disk and deed == "give":
                    names[name] = self.content[file]
                elif on_disk:
                    names.pop(name, None)
            yield names

    def _is(self, path: Path, descriptor: int) -> bool:
        return os.path.samestat(path.stat(), os.fstat(descriptor))


def lay_out(folder: Path, names: dict[str, bytes]) -> Path:
    folder.mkdir()
    for name, content in names.items():
        (folder / name).write_bytes(content)
    return folder


def test_a_power_cut_at_any_demand_leaves_the_old_or_the_new_and_afterwards_the_new(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "run"
    checkpoints = begun(folder)
    platter = Platter(folder)
    with listening(platter.hear):
        checkpoints.save(state(3))
    after = [*platter.left()]
    number = itertools.count()

    def steps(images: Iterable[dict[str, bytes]]) -> set[int]:
        return {step_of(lay_out(tmp_path / f"cut{next(number)}", names)) for names in images}

    assert steps(names for images in platter.images for names in images) == {2, 3}
    assert steps(after) == {3}


if __name__ == "__main__":
    torch.set_num_threads(1)
    {"die": dying, "kill": killing}[sys.argv[1]](Path(sys.argv[2]))
