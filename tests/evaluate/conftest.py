"""A report to render: real shapes, made-up numbers."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from foveal.evaluate.curves import Course, Epoch
from foveal.evaluate.interval import Interval
from foveal.evaluate.judge import judge, majority
from foveal.evaluate.report import (
    Cost,
    CutAway,
    CutPicture,
    DataSummary,
    ModelFacts,
    Option,
    Picture,
    Report,
)
from foveal.model.predictions import Predictions

MakeReport = Callable[..., Report]


def jpeg(rng: np.random.Generator, side: int) -> bytes:
    """Return a small picture of smooth noise."""
    small = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    out = io.BytesIO()
    small.resize((side, side), Image.Resampling.BICUBIC).save(out, "JPEG", quality=78)
    return out.getvalue()


def predictions_of(
    truths: np.ndarray[Any, Any],
    answers: np.ndarray[Any, Any],
    confidences: np.ndarray[Any, Any],
    classes: tuple[str, ...],
) -> Predictions:
    """Return predictions with these answers; what they leave is shared by the other classes."""
    rows = np.arange(len(truths))
    rest = (1 - confidences) / (len(classes) - 1)
    probabilities = np.repeat(rest[:, None], len(classes), axis=1)
    probabilities[rows, answers] = confidences
    names = tuple(map(str, rows))
    return Predictions(
        probabilities=probabilities, labels=truths, classes=classes, paths=names, ids=names
    )


@pytest.fixture(scope="session")
def course() -> Course:
    """A training of twelve epochs; the ninth was kept, and beat the probe."""
    epochs = tuple(
        Epoch(
            number=number,
            rate=5e-4 * (1 - number / 12),
            train_loss=0.6 + 2 / number,
            val_loss=0.4 + abs(number - 9) / 10,
            val_top1=0.9 - abs(number - 9) / 20,
        )
        for number in range(1, 13)
    )
    return Course(
        epochs=epochs, kept=9, probe_top1=0.874, probe_loss=0.463, sentence="All of it was trained."
    )


@pytest.fixture(scope="session")
def make_report() -> MakeReport:
    """Return a maker: ``make_report(classes, images=…, mistakes=…, side=…, pictures=…)``."""

    def make(
        classes: tuple[str, ...] = ("ants", "bees"),
        *,
        images: int = 60,
        mistakes: float = 0.15,
        side: int = 32,
        pictures: bool = True,
        path: str = "val/{truth}/{row}.jpg",
        **changes: Any,
    ) -> Report:
        rng = np.random.default_rng(0)
        count = len(classes)
        truths = np.arange(images) % count
        wrong = np.arange(images) < round(images * mistakes)
        rng.shuffle(wrong)
        answers = np.where(wrong, (truths + 1 + rng.integers(0, count - 1, images)) % count, truths)
        confidences = 0.51 + 0.49 * rng.beta(4, 2, images)
        several = [jpeg(rng, side) for _ in range(8)]
        shown = tuple(
            Picture(
                path=path.format(truth=classes[truths[row]], row=row),
                truth=int(truths[row]),
                answer=int(answers[row]),
                confidence=float(confidences[row]),
                thumbnail=several[row % 8],
                heat=rng.normal(size=(7, 7)).astype(np.float32),
                unexplained=0.12,
            )
            for row in range(images if pictures else 0)
        )
        predictions = predictions_of(truths, answers, confidences, classes)
        values: dict[str, Any] = {
            "title": "Ants and bees",
            "judgement": judge(
                predictions,
                baselines={"majority": majority(predictions, np.bincount(truths))},
                promised={"top1": Interval(0.905, 0.862, 0.938)},
                resamples=200,
            ),
            "pictures": shown,
            "model": ModelFacts(
                backbone="resnet18",
                weights="resnet18.safetensors",
                head="probe",
                blocks=("last", "stage3/mean"),
                temperature=1.31,
                input="224 × 224 pixels",
                assumed=("The mean and deviation of ImageNet were assumed.",),
            ),
            "data": DataSummary(
                source="class folders photos/",
                counts={"train": (120,) * count, "test": tuple(np.bincount(truths).tolist())},
                sizes={"smallest": (20, 30), "median": (500, 375)},
                findings=("The class folder 'wasps' is empty.",),
                broken=(("train/bees/half.jpg", "the file ends too early"),),
                left_out=3,
                cut_away=CutAway(
                    share=0.43,
                    examples=(
                        CutPicture(
                            path="val/wide.jpg",
                            thumbnail=several[0],
                            size=(64, 48),
                            frame=(8, 3, 56, 45),
                        ),
                    ),
                ),
            ),
            "choice": (
                Option(
                    head="probe",
                    blocks=("last",),
                    strength=0.1,
                    log_loss=0.3,
                    standard_error=0.02,
                    accuracy=0.88,
                ),
                Option(
                    head="probe",
                    blocks=("last", "stage3/mean"),
                    strength=0.03,
                    log_loss=0.21,
                    standard_error=0.02,
                    accuracy=0.905,
                    chosen=True,
                ),
            ),
            "cost": Cost(
                seconds={"embed": 5.1, "choose": 1.2}, images_per_second=41.0, peak_mb=612.0
            ),
            "settings": {"backbone": "resnet18", "seed": 0},
            "command": "foveal fit photos/ -o model/ --backbone resnet18",
            "environment": {"foveal": "0.1.0", "numpy": "2.4.6"},
        }
        return Report(**(values | changes))

    return make
