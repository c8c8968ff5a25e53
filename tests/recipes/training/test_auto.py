"""The strategy that chooses between probe, network and both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import foveal
from foveal.core.errors import OutOfRange
from foveal.core.listener import SILENT
from foveal.model.linear import softmax
from foveal.model.pool import Pool
from foveal.recipes.clock import Clock
from foveal.recipes.fitted import Fitted
from foveal.recipes.model import Model
from foveal.recipes.orders import fit_settings
from foveal.recipes.promise import promise_of
from foveal.recipes.ship import bundle_of
from foveal.recipes.task import Task
from foveal.recipes.training import auto as module
from foveal.recipes.training.auto import auto

QUICK = {
    "strategy": "auto",
    "epochs": 1,
    "batch": 16,
    "features": "last",
    "average": 0.5,
    "rate": 1e-3,
    "budget": "1h",
    "test_share": 0,
    "val_share": 0.45,
}


@pytest.fixture(scope="module")
def hard(make_photos: Callable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_photos(tmp_path_factory.mktemp("hard") / "photos", hard=True, count=20)


def task(data: Path, backbone: Path, listener: object = SILENT, **changes: object) -> Task:
    wanted = fit_settings({**QUICK, "backbone": str(backbone), **changes})
    return Task(data=foveal.read(data), settings=wanted, listener=listener, clock=Clock())


def saying(fitted: Fitted, *, wrong: int | None, sure: float = 3.0) -> Fitted:
    """Return the same fit, had it been right but on every third picture from ``wrong`` on.

    None: always right. Where it is wrong it is not sure of it.
    """
    held = fitted.promise.predictions
    number = np.arange(len(held))
    right = np.ones(len(held), bool) if wrong is None else number % 3 != wrong
    said = np.where(right, held.labels, (held.labels + 1) % 3)
    logits = np.eye(3)[said] * np.where(right, sure, 0.5)[:, None]
    return replace(
        fitted, promise=promise_of(replace(held, probabilities=softmax(logits)), "On val,")
    )


@pytest.fixture
def staged(monkeypatch: pytest.MonkeyPatch) -> Callable:
    """Let probe and network answer val as told, and return what auto makes of it."""

    def stage(one: Task, probe: dict, network: dict) -> Fitted:
        whole_begin, whole_schooled = module.begin, module.schooled

        def begin(*given: object) -> object:
            begun = whole_begin(*given)
            return replace(begun, probe=saying(begun.probe, **probe))

        monkeypatch.setattr(module, "begin", begin)

        def schooled(*given: object) -> object:
            outcome = whole_schooled(*given)
            return SimpleNamespace(fitted=lambda: saying(outcome.fitted(), **network))

        monkeypatch.setattr(module, "schooled", schooled)
        return auto(one)

    return stage


BAD, GOOD = {"wrong": 0, "sure": 0.5}, {"wrong": None}


def test_a_network_that_val_clearly_prefers_is_kept(
    hard: Path, trainable: Path, staged: Callable, heard: Callable
) -> None:
    listener = heard()
    found = staged(task(hard, trainable, listener), BAD, GOOD)
    assert found.story["training"]["epochs"] == 1
    assert "The network is kept." in listener.sentences[-1]
    assert found.story["auto"]["sentence"] == listener.sentences[-1]
    assert set(found.story["auto"]["compared"]) == {"probe", "network", "pool"}


def test_the_probe_is_kept_and_learnt_from_all_pictures_where_the_network_does_not_pay(
    hard: Path, trainable: Path, staged: Callable, heard: Callable
) -> None:
    listener = heard()
    found = staged(task(hard, trainable, listener), {"wrong": 0}, BAD)
    assert "The probe is kept." in listener.sentences[-1]
    assert len(found.prepared.split.val) == 0
    assert "cross-validation" in found.promise.how
    assert found.story["training"]["kept"] is None
    assert found.course is not None
    assert [epoch["number"] for epoch in found.course["epochs"]] == [1]
    assert found.course["kept"] is None
    assert found.course["sentence"].endswith(found.story["auto"]["sentence"])
    readme = bundle_of(found).read("README.md").decode()
    assert found.story["training"]["sentence"].split(".")[0] in readme
    assert "## Why this one" in readme


def test_nothing_is_trained_where_the_probe_leaves_nothing_to_win(
    hard: Path, trainable: Path, staged: Callable, heard: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = heard()

    def never(*given: object) -> None:
        raise AssertionError("it was trained")

    monkeypatch.setattr(module, "schooled", never)
    found = staged(task(hard, trainable, listener), GOOD, GOOD)
    assert "nothing is left for fine-tuning to win" in listener.sentences[-1]
    assert "training" not in found.story


def test_two_that_know_different_things_are_pooled_into_one_graph(
    hard: Path, trainable: Path, staged: Callable, heard: Callable, tmp_path: Path
) -> None:
    listener = heard()
    found = staged(task(hard, trainable, listener), {"wrong": 0}, {"wrong": 1})
    assert isinstance(found.classifier, Pool)
    assert "The pool is kept, the network with weight" in listener.sentences[-1]
    assert sum(found.classifier.weights) == pytest.approx(1)
    model = Model(bundle_of(found), proof=found.proof)
    folder = model.save(tmp_path / "model")  # proven in a fresh process
    answer = foveal.load(folder).predict(hard / "dots" / "00.png")
    assert answer == model.predict(hard / "dots" / "00.png")


def test_a_budget_too_small_for_one_epoch_says_how_long_one_takes(
    hard: Path, trainable: Path
) -> None:
    with pytest.raises(OutOfRange, match=r"budget = .*that is what one epoch takes here"):
        auto(task(hard, trainable, budget="0.001s"))


def test_the_budget_decides_how_many_epochs_there_are(
    hard: Path, trainable: Path, heard: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    from foveal.train.network import forecast

    monkeypatch.setattr(forecast, "epochs_within", lambda *_: 1)
    listener = heard()
    model = foveal.fit(
        hard,
        listener=listener,
        **{
            **QUICK,
            "strategy": "finetune",
            "backbone": str(trainable),
            "epochs": 2,
            "budget": "10m",
        },
    )
    assert model.bundle.card["training"]["epochs"] == 1
    assert model.bundle.card["settings"]["train"]["epochs"] == 1
    assert any("1 of them fit into the budget of 10m" in s for s in listener.sentences)


def test_a_dry_run_knows_that_it_has_ten_minutes(
    hard: Path, trainable: Path, heard: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    from foveal.recipes.dry import dry_run
    from foveal.recipes.requested import FitOrder
    from foveal.train.network import forecast

    asked: list[float] = []

    def within(_found: object, budget_s: float, _plan: object) -> int:
        asked.append(budget_s)
        return 1

    monkeypatch.setattr(forecast, "epochs_within", within)
    words = {**QUICK, "strategy": "auto", "backbone": str(trainable), "budget": None}
    found = dry_run(FitOrder.from_options(hard, None, words), heard())
    assert (asked, found.epochs) == ([600.0], 1)
