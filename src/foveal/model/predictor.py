"""`Predictor`: a bundle at work, on ONNX Runtime; files in, answers out, in constant memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from foveal.backbone.running import session_options
from foveal.backbone.spec import PIXELS
from foveal.core.errors import BadWeights
from foveal.core.machine import cores
from foveal.image.preprocess import Preprocess
from foveal.image.stream import Batch, stream
from foveal.model.graph import HEAT_MAP, LOGITS, PROBABILITIES, UNEXPLAINED

if TYPE_CHECKING:
    import onnxruntime as ort


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the model says of one file: the most probable classes, or why there is none."""

    path: str
    top: tuple[tuple[str, float], ...] = ()  # (class, probability in [0, 1]), most probable first
    error: str = ""  # why the file could not be read; then ``top`` is empty

    @property
    def label(self) -> str | None:
        """The most probable class, or None for a file that could not be read."""
        return self.top[0][0] if self.top else None

    @property
    def probability(self) -> float | None:
        """Its probability in [0, 1]."""
        return self.top[0][1] if self.top else None


class Predictor:
    """Runs a classifier's graph; the pixels are made by ``image``, as at training time.

    Raises:
        BadWeights: if ONNX Runtime cannot load the graph, or it is one of other classes or pixels.
    """

    def __init__(self, graph: bytes, classes: Sequence[str], preprocess: Preprocess) -> None:
        import onnxruntime as ort

        try:
            self._session = ort.InferenceSession(
                graph, session_options(cores()), providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # noqa: BLE001 — its errors share no base but Exception
            reason = str(error).splitlines()[0]
            raise BadWeights(f"ONNX Runtime cannot load the model's graph: {reason}") from None
        self._outputs = {output.name for output in self._session.get_outputs()}
        _check(self._session, len(classes), preprocess.size_px)
        self._only = ort.RunOptions()
        self._only.only_execute_path_to_fetches = True
        self.classes = tuple(classes)
        self.preprocess = preprocess

    @property
    def has_heat_map(self) -> bool:
        """Whether the graph says where it looked."""
        return HEAT_MAP in self._outputs

    def logits(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return logits (N, K) float32, temperature included, for uint8 (N, S, S, 3)."""
        return self._run([LOGITS], pixels)[0]

    def probabilities(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return probabilities (N, K) float32 for uint8 (N, S, S, 3)."""
        return self._run([PROBABILITIES], pixels)[0]

    def looks(
        self, pixels: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Return the logits and where the evidence for the answer lies, from one run.

        Returns:
            Logits (N, K) float32, temperature included; heat maps (N, G, G) float32, signed, over
            the square the network saw; and the shares (N,) float32 that have no place, in [0, 1].
        """
        logits, heat, unexplained = self._run([LOGITS, HEAT_MAP, UNEXPLAINED], pixels)
        return logits, heat, unexplained

    def batches(self, files: Iterable[Path]) -> Iterator[Batch]:
        """Yield the files' pixels in batches, decoded beside the network."""
        yield from stream(files, self.preprocess)

    def answers(self, files: Iterable[Path], *, top: int = 1) -> Iterator[Answer]:
        """Yield one answer per file, in order; a broken file is answered with its reason.

        Args:
            files: any number of them: a few batches are in memory at a time.
            top: how many classes each answer names.
        """
        waiting: list[str] = []

        def noted() -> Iterator[Path]:
            for file in files:
                waiting.append(str(file))
                yield file

        first = 0  # the row of waiting[0]
        for batch in self.batches(noted()):
            broken = dict(batch.broken)
            rows = sorted([*batch.rows.tolist(), *broken])
            best = iter(self._best(batch.pixels, top)) if len(batch.pixels) else iter(())
            for row in rows:
                path = waiting[row - first]
                if row in broken:
                    yield Answer(path=path, error=broken[row])
                else:
                    yield Answer(path=path, top=next(best))
            if rows:
                del waiting[: rows[-1] + 1 - first]
                first = rows[-1] + 1

    def _best(self, pixels: NDArray[np.uint8], top: int) -> Iterator[tuple[tuple[str, float], ...]]:
        probabilities_NK = self.probabilities(pixels)
        order_NT = np.argsort(-probabilities_NK, axis=1, kind="stable")[:, :top]
        for probabilities_K, order_T in zip(probabilities_NK, order_NT, strict=True):
            yield tuple((self.classes[k], float(probabilities_K[k])) for k in order_T)

    def _run(self, outputs: list[str], pixels: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        return list(self._session.run(outputs, {"pixels": pixels}, self._only))


def _check(session: ort.InferenceSession, classes: int, size_px: int) -> None:
    """Refuse a graph that takes or gives anything but what the card beside it says."""
    shapes = {value.name: value.shape for value in (*session.get_inputs(), *session.get_outputs())}
    expected = {PIXELS: [size_px, size_px, 3], LOGITS: [classes], PROBABILITIES: [classes]}
    for name, shape in expected.items():
        found = shapes.get(name)
        if found is None or found[1:] != shape:
            raise BadWeights(
                f"The model's graph does not fit its card: {name} is "
                f"{'missing' if found is None else 'of shape ' + _shape(found[1:])}, "
                f"expected {_shape(shape)} for each picture.",
                hint="Copy the bundle again from where it came.",
            )


def _shape(sizes: Sequence[object]) -> str:
    return " × ".join(map(str, sizes))
