"""`Model`: what `foveal.fit` and `foveal.load` return: predict, test, save."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foveal.core.errors import BadData, NotThere, OutOfRange
from foveal.core.files import write_folder
from foveal.core.listener import SILENT, Listener
from foveal.model.bundle import SELF, Bundle, check_replaceable, read_bundle, write_bundle
from foveal.model.predictor import Answer, Predictor
from foveal.recipes.clock import check_run_folder, run_folder, write_run
from foveal.recipes.workplace import Workplace

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from foveal.data.manifest import Manifest
    from foveal.recipes.judge import Judged, Tested

Proof = tuple[tuple[Path, ...], "NDArray[np.float32]"]


class Model:
    """A classifier ready to be used, whether just fitted or loaded from a folder.

    >>> model = foveal.load("model/")                     # doctest: +SKIP
    >>> model.predict("x.jpg").label                      # doctest: +SKIP
    'scratch'
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        proof: Proof | None = None,
        run: dict[str, Any] | None = None,
    ) -> None:
        """Keep the parts.

        Args:
            bundle: what it is.
            proof: files and their logits by the training path, checked when it is saved.
            run: facts for ``run.json``: settings, seconds, command; none where not known.
        """
        self.bundle = bundle
        self.run = run or {}
        self._proof = proof

    def __repr__(self) -> str:
        card = self.bundle.card
        return f"<Model of {len(self.classes)} classes on {card['backbone']['name']}>"

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the probabilities."""
        return self.bundle.classes

    @cached_property
    def predictor(self) -> Predictor:
        """The graph at work; made when first asked for."""
        return Predictor(self.bundle.graph, self.bundle.classes, self.bundle.preprocess)

    def predict(
        self, files: str | Path | Sequence[str | Path], *, top: int = 1
    ) -> Answer | list[Answer]:
        """Return the answer for one file, or a list of them for several.

        A file that cannot be read is answered with its reason in ``error``.

        Args:
            files: one path, or several; a folder in a list stands for the pictures in it.
            top: how many classes each answer names.
        """
        if top < 1:
            raise OutOfRange("top", top, "at least 1")
        many = [files] if isinstance(files, (str, Path)) else files
        if not isinstance(many, (list, tuple)) or not all(
            isinstance(file, (str, Path)) for file in many
        ):
            raise OutOfRange(
                "files", type(files).__name__, "a path or a list of paths: pictures in files"
            )
        if isinstance(files, (str, Path)):
            return next(iter(self.predictor.answers([Path(files)], top=top)))
        return list(self.stream([Path(file) for file in files], top=top))

    def stream(
        self, files: Iterable[Path], *, top: int = 1, listener: Listener = SILENT
    ) -> Iterator[Answer]:
        """Yield answers one by one, in constant memory; folders stand for their pictures.

        Args:
            files: drawn as needed, a few batches ahead.
            top: how many classes each answer names.
            listener: hears what was passed over inside folders.
        """
        yield from self.predictor.answers(_pictures(files, listener), top=top)

    def test(
        self, data: Manifest | str | Path, *, listener: Listener = SILENT, seed: int = 0
    ) -> Judged:
        """Judge the model on labelled pictures that it was not trained on.

        Args:
            data: from ``foveal.read``, or what that reads.
            listener: hears what was left out.
            seed: of the bootstrap.

        Returns:
            Numbers with intervals; ``print`` shows them, ``.report()`` is the HTML page.

        Raises:
            BadData: if the data has classes that the model does not, or nothing is left to score.
        """
        from foveal.recipes.judge import judge_model
        from foveal.recipes.orders import JudgeSettings

        if isinstance(data, (str, Path)):
            from foveal.data.readers import read

            data = read(Path(data))
        return judge_model(self.tested, data, JudgeSettings(seed=seed), listener)

    @property
    def tested(self) -> Tested:
        """What judging needs of the model."""
        from foveal.recipes.judge import Tested

        return Tested(bundle=self.bundle, predictor=self.predictor, run=self.run)

    def save(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Write the bundle to ``folder``, and what else is known of the fit beside it.

        Before it is kept, a fresh process answers at least 16 training pictures from the
        files, and must agree with the training path to 1e-4 in every logit.

        Args:
            folder: of the bundle; ``FOLDER.run`` beside it gets ``run.json``.
            overwrite: replace a model, with its run and reports; anything else stands.

        Raises:
            AlreadyThere: if something is there that may not be replaced.
            FovealError: if the proof fails; nothing is written then.
            DiskFull: when there is no room; nothing is half-written.
        """
        path = Path(folder)
        beside = check_out(path, overwrite=overwrite)
        with ExitStack() as both:
            if self.run or beside.exists():
                draft = both.enter_context(write_folder(beside, overwrite=overwrite))
                write_run(draft, {SELF: self.bundle.card[SELF], **self.run})
            write_bundle(self.bundle, path, overwrite=overwrite, prove=self._prove)
        return path

    def _prove(self, draft: Path) -> None:
        if self._proof is not None:
            from foveal.model.parity import prove

            files, logits_NK = self._proof
            prove(draft, files, logits_NK)


def check_out(folder: Path, *, overwrite: bool) -> Path:
    """Refuse a place that a model may not be written to; return its run's folder.

    Raises:
        AlreadyThere: if something is there that may not be replaced.
        OutOfRange: if the folder has no name of its own.
    """
    check_replaceable(folder, overwrite=overwrite)
    beside = run_folder(folder)
    check_run_folder(beside, overwrite=overwrite)
    return beside


def _pictures(paths: Iterable[Path], listener: Listener) -> Iterator[Path]:
    """Yield files as they are and, of folders, what reading a dataset would find in them."""
    from foveal.data.walk import walk

    for path in paths:
        if not os.path.isdir(path):  # noqa: PTH112 — Path's raises for names that cannot be
            yield path
            continue
        try:
            found = walk(path)
        except BadData:
            yield path  # answered with the reason
            continue
        for finding in found.findings():
            listener.say(f"{path}: {finding.message}")
        yield from (path / name for name in found.pictures)


def load(folder: str | Path) -> Model:
    """Return a saved model after verifying the hash of every file; nothing in it is executed.

    Raises:
        NotThere: if there is no model in ``folder``; of one whose training was cut off, saying how
            it goes on.
        Damaged: if a file is not what was saved.
    """
    place = Workplace.of(Path(folder))
    try:
        return Model(read_bundle(Path(folder)))
    except NotThere as absent:
        if not place.worth_keeping or "fit" not in place.settings():
            raise
        raise NotThere(
            f"There is no model at {folder} yet: its training was cut off.",
            hint=f"Go on with it: foveal fit -o {shlex.quote(str(folder))} --resume",
        ) from absent
