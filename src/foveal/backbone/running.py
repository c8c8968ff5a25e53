"""`OnnxBackbone`: a backbone's graph run by ONNX Runtime, computing only what is asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from foveal.backbone import graphs
from foveal.backbone.spec import PIXELS, BackboneSpec, Blocks, NetworkWeights
from foveal.core.errors import BadWeights, OutOfRange
from foveal.core.machine import cores
from foveal.image.preprocess import Preprocess

if TYPE_CHECKING:
    import onnx

SESSIONS = 2  # kept open: each holds the weights again and its own activations


class OnnxBackbone:
    """A ``Backbone`` whose graph runs on ONNX Runtime.

    Every picture is run alone, one on each thread: no thread waits for another, activations
    stay in the cache, and no answer can depend on a neighbour, as it does where larger matrices
    round differently (docs/decisions/0008-small-networks.md). A session is made the first time
    a set of outputs is asked for, from the graph cut down to it; the last ``SESSIONS`` used are
    kept. It may be used by several threads at once.
    """

    def __init__(
        self,
        spec: BackboneSpec,
        model: onnx.ModelProto,
        *,
        threads: int | None = None,
        read_weights: Callable[[], NetworkWeights] | None = None,
    ) -> None:
        """Keep the parts; nothing is loaded yet.

        Args:
            spec: the record of the network.
            model: graph from ``pixels`` to every output that ``spec`` promises.
            threads: how many pictures are computed at once, at most; None: one for each core
                this process may use.
            read_weights: how to read the network's own weights, where it has them.
        """
        if threads is not None and threads < 1:
            raise OutOfRange("threads", threads, "at least 1")
        self._spec, self._model, self._read_weights = spec, model, read_weights
        self._threads = threads or cores()
        self._sessions: dict[frozenset[str], Any] = {}
        self._lock = threading.Lock()

    @property
    def spec(self) -> BackboneSpec:
        """The record of it."""
        return self._spec

    def seeing(self, preprocess: Preprocess) -> OnnxBackbone:
        """Return the same network for pictures that are cropped or resized in another way.

        Size, mean and std are inside the graph and must stay as they are.
        """
        now = self._spec.preprocess
        fixed = {"size_px": now.size_px, "mean": now.mean, "std": now.std}
        if replace(preprocess, **fixed) != preprocess:  # type: ignore[arg-type]  # fields by name
            raise OutOfRange("preprocess", preprocess, "the graph's own size_px, mean and std")
        spec = replace(self._spec, preprocess=preprocess)
        return OnnxBackbone(
            spec, self._model, threads=self._threads, read_weights=self._read_weights
        )

    def graph(self, outputs: Iterable[str]) -> onnx.ModelProto:
        """Return the ONNX graph from ``pixels`` to just these outputs, blocks or maps."""
        return graphs.prune(self._model, outputs)

    def network_weights(self) -> NetworkWeights | None:
        """Return the network's weights in timm's keys; None where timm cannot build it.

        Raises:
            Damaged: if the file is not what its hash promised.
        """
        return self._read_weights() if self._read_weights else None

    def embed(self, pixels: NDArray[np.uint8], blocks: Sequence[str]) -> Blocks:
        """Return the asked-for ``blocks`` of a batch; nothing else is computed.

        Args:
            pixels: (N, size, size, 3) uint8 RGB, made by ``image`` with ``spec.preprocess``.
            blocks: names of outputs: ``spec.widths()``, and maps or ``logits`` where there are.

        Returns:
            name -> (N, D) float32. The same picture gives the same bits in any batch.

        Raises:
            OutOfRange: if ``pixels`` are of another shape or type.
            UnknownName: for a block that the network does not have.
        """
        size = self._spec.preprocess.size_px
        if pixels.shape[1:] != (size, size, 3) or pixels.dtype != np.uint8:
            raise OutOfRange(
                "pixels", f"{pixels.dtype}{list(pixels.shape)}", f"uint8[N, {size}, {size}, 3]"
            )
        if not len(pixels):  # graphs may divide by the number of pictures
            one = self.embed(np.zeros((1, size, size, 3), np.uint8), blocks)
            return {name: rows[:0] for name, rows in one.items()}
        names = list(dict.fromkeys(blocks))
        session = self._session(names)

        def answer(number: int) -> list[NDArray[np.float32]]:
            alone = np.ascontiguousarray(pixels[number : number + 1])
            return cast(list[NDArray[np.float32]], session.run(names, {PIXELS: alone}))

        with ThreadPoolExecutor(min(self._threads, len(pixels))) as pool:
            answers = list(pool.map(answer, range(len(pixels))))
        columns = zip(*answers, strict=True)
        return {name: np.concatenate(rows) for name, rows in zip(names, columns, strict=True)}

    def _session(self, names: Sequence[str]) -> Any:  # noqa: ANN401  # onnxruntime has no types
        key = frozenset(names)
        with self._lock:
            session = self._sessions.pop(key, None)
            if session is None:
                session = open_session(self.graph(sorted(key)), threads=1)
            self._sessions[key] = session  # the newest comes last
            for oldest in list(self._sessions)[:-SESSIONS]:
                del self._sessions[oldest]
            return session


def open_session(model: onnx.ModelProto, *, threads: int) -> Any:  # noqa: ANN401  # no types
    """Return an ONNX Runtime session of a graph.

    Raises:
        BadWeights: if ONNX Runtime cannot load it.
    """
    import onnxruntime as ort

    ort.disable_telemetry_events()
    try:
        return ort.InferenceSession(
            graphs.to_bytes(model), session_options(threads), providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # noqa: BLE001  # ONNX Runtime's errors share no base but Exception
        reason = str(error).splitlines()[0]
        raise BadWeights(f"ONNX Runtime cannot load the graph: {reason}") from None


def session_options(threads: int) -> Any:  # noqa: ANN401  # onnxruntime has no types
    """Return how graphs are run: fused, silent; threads sleep between operators, never spin."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4
    return options
