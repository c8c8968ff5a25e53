"""`Workplace`: the folder where a training keeps its state until its model is saved.

    MODEL.training/settings.json    the fit as it was asked for
    MODEL.training/command.txt      what it was begun by, for people
    MODEL.training/checkpoints/     see ``train.network.saving.checkpoint``
    MODEL.training/metrics.jsonl    a line an epoch
    MODEL.training/teacher.npy      what the teacher of a pretraining sees

It lies beside the model that is to be, and goes when that is there: so whatever cuts a run off,
``foveal fit --resume -o MODEL`` finds what it needs, and a finished model has none.
"""

from __future__ import annotations

import glob
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foveal.backbone import store
from foveal.core.errors import AlreadyThere, CannotResume, NotThere
from foveal.core.files import locked, write_file
from foveal.core.settings import read_json, to_json
from foveal.model.bundle import CARD
from foveal.recipes.clock import METRICS, to_lines
from foveal.recipes.command import command

SETTINGS, CHECKPOINTS = "settings.json", "checkpoints"
TEACHER, COMMAND = "teacher.npy", "command.txt"


@dataclass(frozen=True, slots=True)
class Workplace:
    """The folder of a training beside the model it is for."""

    folder: Path

    @classmethod
    def of(cls, model: Path) -> Workplace:
        """Return the workplace for a model.

        >>> Workplace.of(Path("models/screws")).folder.as_posix()
        'models/screws.training'
        """
        clean = model.resolve() if model.name in {"", ".."} else model
        return cls(clean.with_name(f"{clean.name}.training"))

    @property
    def model(self) -> Path:
        """Folder of the model that the training is for.

        >>> Workplace.of(Path("models/screws")).model.as_posix()
        'models/screws'
        """
        return self.folder.with_name(self.folder.name.removesuffix(".training"))

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.folder / CHECKPOINTS

    @property
    def tracking(self) -> Path:
        """Folder of what trackers keep; it stays when the workplace goes.

        >>> Workplace.of(Path("models/screws")).tracking.as_posix()
        'models/screws.tracking'
        """
        return self.model.with_name(f"{self.model.name}.tracking")

    @property
    def metrics(self) -> Path:
        """File with a line of JSON an epoch."""
        return self.folder / METRICS

    def settings(self) -> dict[str, Any]:
        """Return the fit that was begun here, as it was asked for.

        Raises:
            NotThere: if none was.
            AlreadyThere: if none is left here, and beside it lies what one came to.
            CannotResume: if it is no longer known what was asked for.
        """
        path = self.folder / SETTINGS
        if not path.is_file():
            if self.worth_keeping:
                raise CannotResume(
                    f"{path} is missing, so nobody knows what was asked for.",
                    hint="Put it back if there is a copy, or begin anew by --overwrite.",
                )
            if any((self.model / name).is_file() for name in (CARD, store.SPEC)):
                raise AlreadyThere(
                    f"There is no training to resume at {self.folder}: {self.model} is there, "
                    "and finished.",
                    hint="Use it, or train anew by --overwrite without --resume.",
                )
            raise NotThere(
                f"There is no training to resume at {self.folder}.",
                hint="Begin it without --resume.",
            )
        return read_json(path.read_bytes(), where=str(path))

    def command(self) -> str:
        """Return the command that began the training here; "" where it is not known."""
        path = self.folder / COMMAND
        return path.read_text("utf-8", errors="replace") if path.is_file() else ""

    def check_strategy(self, wanted: str) -> None:
        """Refuse to go on by another strategy than the one that began here.

        Raises:
            CannotResume: naming both.
        """
        begun = self.settings().get("fit", {}).get("train", {}).get("strategy", wanted)
        if begun != wanted:
            raise CannotResume(
                f"The training in {self.folder} was begun with the strategy {begun!r}, not "
                f"{wanted!r}.",
                hint="Go on without naming one, or begin anew in another folder.",
            )

    @property
    def worth_keeping(self) -> bool:
        """Whether anything was learnt here: a fit that failed before has nothing to resume."""
        begun = self.checkpoints.is_dir() and any(self.checkpoints.iterdir())
        return begun or (self.folder / TEACHER).is_file()

    @contextmanager
    def held(
        self, settings: Mapping[str, Any], *, resume: bool = False, overwrite: bool = False
    ) -> Iterator[None]:
        """Keep this place for one process while the block runs; a second one is refused.

        A training that was cut off here, and is to be overwritten, comes back if the block fails
        before anything was learnt. One that goes on keeps the settings it was begun with.

        Raises:
            AlreadyThere: if another training was cut off here, or goes on in another process.
        """
        with ExitStack() as lock:
            old = self._taken(lock, resume=resume, overwrite=overwrite)
            try:
                if not (resume and self.worth_keeping):
                    self.begin(settings)
                if not resume:
                    said = command().encode(errors="backslashreplace")
                    write_file(self.folder / COMMAND, said)
                yield
            except BaseException:
                if not self.worth_keeping:
                    self.remove()
                    if old is not None:
                        self._bring_back(old)
                raise
            finally:
                if old is not None:
                    shutil.rmtree(old, ignore_errors=True)

    @contextmanager
    def kept_out(self) -> Iterator[None]:
        """Keep other processes out while the block only looks at what is here.

        Raises:
            AlreadyThere: if a training goes on here in another process.
        """
        with ExitStack() as lock:
            if self.folder.is_dir():
                self._lock(lock)
            yield

    def check_free(self, *, overwrite: bool) -> None:
        """Refuse to begin where another training was cut off, unless it may be overwritten.

        Raises:
            AlreadyThere: saying what to do.
        """
        if self.folder.is_file():
            raise AlreadyThere(
                f"{self.folder} is a file, where the training would keep its state.",
                hint="Move it away, or name another model.",
            )
        if self.worth_keeping and not overwrite:
            raise AlreadyThere(
                f"{self.folder} holds a training that was cut off.",
                hint="Go on with it by --resume, or begin anew by --overwrite.",
            )

    def _taken(self, lock: ExitStack, *, resume: bool, overwrite: bool) -> Path | None:
        """Lock the folder, emptied to begin anew; return the training that was set aside for it."""
        if not self.folder.is_file():
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock(lock)  # before anything is moved that another process uses
        old = self._left_aside(lock)
        if resume:
            return old
        if old is not None and not overwrite:
            self._bring_back(old)
        self.check_free(overwrite=overwrite)
        if self.worth_keeping:
            old = self.folder.with_name(f".{self.folder.name}.{secrets.token_hex(4)}.old")
            self.folder.rename(old)
            self.folder.mkdir()
            self._lock(lock)
        for left in self.folder.iterdir():
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        return old

    def _left_aside(self, lock: ExitStack) -> Path | None:
        """Return, locked, what a killed process had set aside: the last, of trainings cut off."""
        found: Path | None = None
        there = self.folder.parent.glob(f".{glob.escape(self.folder.name)}.*.old")
        for old in sorted(there, key=lambda path: path.stat().st_mtime, reverse=True):
            try:
                lock.enter_context(locked(old))
            except OSError:  # its process lives, or has removed it
                continue
            if found is None and not self.worth_keeping:
                found = old
            else:
                shutil.rmtree(old, ignore_errors=True)
        return found

    def _bring_back(self, old: Path) -> None:
        self.remove()
        old.rename(self.folder)

    def _lock(self, held: ExitStack) -> None:
        try:
            held.enter_context(locked(self.folder))
        except BlockingIOError:
            raise AlreadyThere(
                f"Another process is training in {self.folder}.",
                hint="Wait until it is done, or name another model.",
            ) from None
        except OSError:  # a disk without locks: nobody is kept out
            return

    def begin(self, settings: Mapping[str, Any]) -> None:
        """Write down what was asked for, before any work is done."""
        write_file(self.folder / SETTINGS, to_json(settings))

    def amend_training(self, settings: Mapping[str, Any]) -> None:
        """Write down the settings of training once they are final, where a fit was begun here."""
        if (self.folder / SETTINGS).is_file():
            order = self.settings()
            order["fit"]["train"] = dict(settings)
            self.begin(order)

    def write_metrics(self, epochs: Iterable[Mapping[str, Any]]) -> None:
        """Write all epochs so far: whole, so that a resumed run leaves no line twice."""
        write_file(self.metrics, to_lines(epochs))

    def remove(self) -> None:
        """Remove all of it."""
        shutil.rmtree(self.folder, ignore_errors=True)
