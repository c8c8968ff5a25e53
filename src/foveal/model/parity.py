"""The proof at saving: a fresh process, given files and the bundle alone, answers the same.

Training reads cached features through numpy; whoever opens the bundle reads files through one
ONNX graph. They meet in no line of code, so comparing them on real images finds every way in
which serving could differ from training. Run as ``python -m foveal.model.parity BUNDLE`` with
a JSON list of files on standard input, the module is the second of the two.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from foveal.core.errors import FovealError

TOLERANCE = 1e-4  # largest difference of a logit


def prove(folder: Path, files: Sequence[Path], expected_NK: NDArray[np.float32]) -> float:
    """Compare the bundle's answers in a fresh process with the training path's.

    Args:
        folder: a finished bundle.
        files: N pictures.
        expected_NK: their logits by the training path.

    Returns:
        The largest absolute difference of a logit.

    Raises:
        FovealError: if it is above 1e-4, or the bundle does not answer.
    """
    done = subprocess.run(  # -P: nothing that lies in the current folder is imported
        [sys.executable, "-P", "-m", "foveal.model.parity", str(folder)],
        input=json.dumps([str(file) for file in files]),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        why = done.stderr.strip().splitlines()[-1:] or ["it said nothing"]
        raise FovealError(f"The model just made does not answer in a fresh process: {why[0]}.")
    answered_NK = np.asarray(json.loads(done.stdout), dtype=np.float32)
    if answered_NK.shape != expected_NK.shape:
        raise FovealError(
            f"The model just made answers {answered_NK.shape} where {expected_NK.shape} was due."
        )
    apart = float(np.abs(answered_NK - expected_NK).max(initial=0.0))
    if not apart <= TOLERANCE:
        raise FovealError(
            f"The model just made answers differently from the one trained: logits are up to "
            f"{apart:.2g} apart, {TOLERANCE:g} is allowed.",
            hint="It was not saved; please report this with your backbone's name.",
        )
    return apart


def answer() -> None:
    """Read files from standard input, write their logits (N, K) to standard output as JSON."""
    from foveal.model.bundle import read_bundle
    from foveal.model.predictor import Predictor

    bundle = read_bundle(Path(sys.argv[1]))
    predictor = Predictor(bundle.graph, bundle.classes, bundle.preprocess)
    files = [Path(name) for name in json.load(sys.stdin)]
    logits = []
    for batch in predictor.batches(files):
        for _row, reason in batch.broken:
            raise FovealError(reason)
        logits.extend(predictor.logits(batch.pixels).tolist())
    json.dump(logits, sys.stdout)


if __name__ == "__main__":
    answer()
