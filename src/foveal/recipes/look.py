"""Look: the pictures of a report, with the parts of them that spoke for the answer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from foveal.core.listener import Listener
from foveal.evaluate.gallery import thumbnail, worth_showing
from foveal.evaluate.report import CutAway, CutPicture, Picture
from foveal.explain.occlusion import occlusion
from foveal.image.header import header
from foveal.image.pixels import cut_away as cut_away_share
from foveal.image.pixels import thumbnail as whole_thumbnail
from foveal.image.preprocess import Preprocess
from foveal.image.window import window
from foveal.model.predictions import Predictions
from foveal.model.predictor import Predictor

PICTURES = 600  # looked at again for the report; the page shows as many as its bytes allow
OCCLUDED = 12  # mistakes whose heat map is found by covering parts: 49 runs of the network each
MUCH = 0.1  # of the area: a crop that cuts away more on the mean is shown
EXAMPLES = 4


Maps = tuple[NDArray[np.float32], NDArray[np.float32]]  # heat (N, G, G), unexplained (N,)


def pictures(
    predictor: Predictor,
    predictions: Predictions,
    files: Sequence[Path],
    maps: Maps | None,
    listener: Listener,
) -> tuple[Picture, ...]:
    """Return the pictures a reader learns most from, the most confident mistakes first.

    Args:
        predictor: of the model that was judged.
        predictions: its answers to N images.
        files: N, where they lie.
        maps: where the network looked at each; None where it cannot tell, and parts of the
            pictures have to be covered to find out.
        listener: hears the progress.
    """
    confidence_N = predictions.probabilities.max(axis=1)
    rows = worth_showing(predictions.labels, predictions.answers, confidence_N)[:PICTURES]
    shown: list[Picture] = []
    for batch in predictor.batches(files[row] for row in rows):
        taken = [rows[i] for i in batch.rows.tolist()]
        for position, row in enumerate(taken):
            heat, unexplained = None, None
            if maps is not None:
                heat, unexplained = maps[0][row], float(np.clip(maps[1][row], 0, 1))
            elif len(shown) < OCCLUDED:
                heat = occlusion(predictor.logits, batch.pixels[position])
            shown.append(
                Picture(
                    path=predictions.paths[row],
                    truth=int(predictions.labels[row]),
                    answer=int(predictions.answers[row]),
                    confidence=float(confidence_N[row]),
                    thumbnail=thumbnail(batch.pixels[position]),
                    heat=heat,
                    unexplained=unexplained,
                )
            )
        listener.progress("looking", len(shown), len(rows))
    return tuple(shown)


def cut_away(
    sizes: Sequence[tuple[int, int]], files: Sequence[Path], preprocess: Preprocess
) -> CutAway | None:
    """Return what the crop never shows to the network, with examples; None where it is little.

    Args:
        sizes: width and height of each picture.
        files: where they lie.
        preprocess: of the model.
    """
    shares = np.array([cut_away_share(w, h, preprocess) for w, h in sizes])
    if not len(shares) or shares.mean() <= MUCH:
        return None
    worst = np.argsort(-shares, kind="stable")[:EXAMPLES]
    examples = [_example(files[row], preprocess) for row in worst.tolist()]
    return CutAway(share=float(shares.mean()), examples=tuple(examples))


def _example(file: Path, preprocess: Preprocess) -> CutPicture:
    data = file.read_bytes()
    size = header(data)
    seen = window(size.width, size.height, preprocess)
    return CutPicture(
        path=file.name,
        thumbnail=whole_thumbnail(data, 160),
        size=(size.width, size.height),
        frame=seen.box,
    )
