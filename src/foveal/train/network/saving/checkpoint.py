"""The folder of checkpoints: the last good ones of a run, whatever happens while one is saved.

    FOLDER/step-00001000.safetensors    see ``checkpoint_file``
    FOLDER/step-00001200.safetensors

A new one is written beside them, synced, renamed, and its name is synced; only then is the
oldest removed. So whenever a run is cut off, the one before or the new one is there, whole.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from foveal.core.errors import AlreadyThere, Damaged, DiskFull, OutOfRange
from foveal.core.files import sync_folder
from foveal.core.listener import SILENT, Listener
from foveal.model.feature_draft import draft, sweep
from foveal.train.network.saving.checkpoint_file import Sealed, State, read_state

_NAME = re.compile(r"step-(\d{8,})\.safetensors")


class Checkpoints:
    """The checkpoints of one run, in a folder of their own.

    Args:
        folder: need not exist yet.
        keep: how many of the last ones stay; at least two, so that there is one to fall back on.
        listener: hears a warning when a damaged one is passed over.

    Only one process may save. Others may read meanwhile: they see whole files only.
    """

    def __init__(self, folder: Path, *, keep: int = 2, listener: Listener = SILENT) -> None:
        if keep < 2:
            raise OutOfRange("keep", keep, "at least 2 checkpoints: one may turn out damaged")
        self.folder, self.keep, self.listener = folder, keep, listener
        self._damaged: set[Path] = set()
        self._ours = False  # whether what lies there is known to be of this run

    def save(self, state: State) -> Path:
        """Write ``state`` so that it outlasts a power cut; return its file.

        Afterwards the folder holds it and the ones before it, ``keep`` in all. Damaged ones that
        ``latest`` passed over are gone, and so are those of later steps: the run went back.

        Raises:
            AlreadyThere: if there are checkpoints that this object has neither read nor written.
            DiskFull: when there is no room, before anything is written where that can be known.
        """
        if not self._ours:
            self.check_none()
        self._ours = True
        _make(self.folder)
        sweep(self.folder)
        sealed = Sealed(state)
        self._check_room(sealed.size_bytes)
        path = self.folder / f"step-{state.step:08}.safetensors"
        with draft(path) as file:
            sealed.write(file)
            file.flush()
            os.fsync(file.fileno())
        sync_folder(self.folder)
        self._damaged.discard(path)
        self._remove_old(path)
        return path

    def latest(self) -> State | None:
        """Return the last state that is whole; None if nothing was ever saved.

        Raises:
            Damaged: if there are checkpoints and none of them is what was written.
            CannotResume: if the last one is whole and of another version.
        """
        sweep(self.folder)
        self._ours = True
        while paths := self._paths():
            try:
                return self._last_whole(paths)
            except FileNotFoundError:  # whoever saves removed it: there are newer ones
                continue
        return None

    def check_none(self) -> None:
        """Refuse a folder that holds checkpoints, before a new run puts its own there.

        Raises:
            AlreadyThere: saying how far the other run is.
        """
        if paths := self._paths():
            raise AlreadyThere(
                f"{self.folder} holds the checkpoints of a run at step {_step(paths[-1]):,}.",
                hint="Resume it, or name another folder.",
            )

    def _last_whole(self, paths: Sequence[Path]) -> State:
        damaged: list[Path] = []
        for path in reversed(paths):
            try:
                state = read_state(path)
            except Damaged:
                damaged.append(path)
                continue
            if damaged:
                names = " and ".join(each.name for each in damaged)
                self.listener.say(
                    f"{names} in {self.folder} {'is' if len(damaged) == 1 else 'are'} damaged: "
                    f"the run goes on from the one before, at step {state.step:,}."
                )
            self._damaged = set(damaged)
            return state
        raise Damaged(
            f"All checkpoints in {self.folder} are damaged ({len(paths)} tried).",
            hint="Put back a copy if there is one, or begin the run anew in another folder.",
        )

    def _check_room(self, need: int) -> None:
        free = shutil.disk_usage(self.folder).free
        if need > free:
            raise DiskFull(
                f"A checkpoint needs {need / 1e6:,.1f} MB and the disk of {self.folder} has "
                f"{free / 1e6:,.1f} MB left.",
                hint="Free some and resume the run: the checkpoint before is intact."
                if self._paths()
                else "Free some and begin again: nothing was saved yet.",
            )

    def _remove_old(self, newest: Path) -> None:
        paths = self._paths()
        good = [path for path in paths if path not in self._damaged]
        last = [path for path in good if _step(path) <= _step(newest)][-self.keep :]
        for path in {*paths} - {*last}:
            with suppress(OSError):  # Windows, while it is being read: the next save removes it
                path.unlink()

    def _paths(self) -> list[Path]:
        """Return the checkpoints' files by rising step."""
        there = self.folder.glob("step-*.safetensors")
        return sorted(
            (path for path in there if _NAME.fullmatch(path.name) and path.is_file()), key=_step
        )


def _step(path: Path) -> int:
    found = _NAME.fullmatch(path.name)
    return int(found[1]) if found else -1


def _make(folder: Path) -> None:
    """Make a folder, with missing parents, that outlasts a power cut as its files do."""
    if not folder.is_dir():
        _make(folder.parent)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)
