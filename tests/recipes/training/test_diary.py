"""What is written down of a training while it goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from foveal.recipes.orders import fit_settings
from foveal.recipes.training.diary import Diary
from foveal.recipes.workplace import Workplace
from foveal.train.network.run import Epoch


def epoch(number: int, loss: float) -> Epoch:
    scores = {"log_loss": loss, "top1": 0.5}
    return Epoch(number=number, share=1.0, train_loss=2 * loss, scores=scores)


def test_a_run_that_goes_back_leaves_no_epoch_twice(tmp_path: Path, heard: Callable) -> None:
    listener, place = heard(), Workplace.of(tmp_path / "model")
    task: Any = SimpleNamespace(
        settings=fit_settings({"strategy": "finetune"}), listener=listener, workplace=place
    )
    diary = Diary(task, SimpleNamespace(facts={}, steps_per_epoch=4))  # type: ignore[arg-type]
    for news in (epoch(1, 0.9), epoch(2, 0.8), epoch(3, 0.7), epoch(2, 0.6)):
        diary.tell(news)
    lines = [json.loads(line) for line in place.metrics.read_text().splitlines()]
    assert [(line["number"], line["val_loss"]) for line in lines] == [(1, 0.9), (2, 0.6)]
    assert listener.sentences[0] == (
        "epoch 1 of 16: loss on train 1.800; on val 0.900, right 50.0 %"
    )
