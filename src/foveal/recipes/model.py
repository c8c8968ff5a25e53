"""`Model`: what `foveal.fit` and `foveal.load` return: predict, test, save."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foveal.core.listener import SILENT, Listener
from foveal.model.bundle import Bundle, read_bundle, write_bundle
from foveal.model.predictor import Answer, Predictor, all_files

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
            run: facts for ``run.json``: settings, seconds, command; none for a loaded model.
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
        if isinstance(files, (str, Path)):
            return next(iter(self.predictor.answers([Path(files)], top=top)))
        return list(self.stream([Path(file) for file in files], top=top))

    def stream(self, files: Iterable[Path], *, top: int = 1) -> Iterator[Answer]:
        """Yield answers one by one, in constant memory; folders stand for their pictures."""
        from foveal.data.walk import SUFFIXES

        yield from self.predictor.answers(all_files(files, SUFFIXES), top=top)

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

        Raises:
            AlreadyThere: if the folder exists and ``overwrite`` is not set.
            FovealError: if the proof fails; nothing is written then.
            DiskFull: when there is no room; nothing is half-written.
        """
        from foveal.recipes.clock import run_folder, write_run

        path = Path(folder)
        write_bundle(self.bundle, path, overwrite=overwrite, prove=self._prove)
        if self.run:
            write_run(run_folder(path), self.run)
        return path

    def _prove(self, draft: Path) -> None:
        if self._proof is not None:
            from foveal.model.parity import prove

            files, logits_NK = self._proof
            prove(draft, files, logits_NK)


def load(folder: str | Path) -> Model:
    """Return a saved model after verifying the hash of every file; nothing in it is executed.

    Raises:
        NotThere: if there is no model in ``folder``.
        Damaged: if a file is not what was saved.
    """
    return Model(read_bundle(Path(folder)))
