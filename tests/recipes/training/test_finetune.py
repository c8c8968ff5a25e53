"""Fine-tuning, from photographs to a bundle that needs no torch."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

import foveal
from foveal.core.errors import BadWeights, OutOfRange, UnknownName
from foveal.core.listener import SILENT
from foveal.recipes.fitted import Fitted
from foveal.recipes.model import Model
from foveal.recipes.requested import FitOrder
from foveal.recipes.story import fit_and_save
from foveal.recipes.task import Task
from foveal.recipes.training import finetune, schooling
from foveal.recipes.training.begun import Begun, Start
from foveal.recipes.training.outcome import Outcome
from foveal.recipes.workplace import Workplace

if TYPE_CHECKING:
    from foveal.train.network.machine import Machine

QUICK = {
    "strategy": "finetune",
    "epochs": 2,
    "batch": 16,
    "features": "last",
    "average": 0.5,
    "rate": 1e-3,
}


@pytest.fixture(scope="module")
def hard(make_photos: Callable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs that a frozen tiny network with seeded weights tells apart badly."""
    return make_photos(tmp_path_factory.mktemp("hard") / "photos", hard=True, count=16)


def order(data: Path, backbone: Path, **changes: object) -> FitOrder:
    return FitOrder.from_options(data, None, {**QUICK, "backbone": str(backbone), **changes})


def finetuned(data: Path, backbone: Path, **changes: object) -> Model:
    return foveal.fit(data, **{**QUICK, "backbone": str(backbone), **changes})


@pytest.fixture(scope="module", autouse=True)
def training_wins() -> Iterator[pytest.MonkeyPatch]:
    """Let no network be kept as it was: two epochs on noise are rarely better than none."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schooling, "start_of", lambda *_: None)
        yield patch


@pytest.fixture(scope="module")
def model(hard: Path, trainable: Path) -> Model:
    return finetuned(hard, trainable)


def test_the_network_itself_has_learnt(model: Model, hard: Path, trainable: Path) -> None:
    from safetensors.numpy import load, load_file

    before = load_file(trainable / "model.safetensors")
    after = load(model.bundle.read("model.safetensors"))
    moved = {
        name
        for name in before
        if before[name].shape == after[name].shape and not np.allclose(before[name], after[name])
    }
    assert "layer4.0.conv1.weight" in moved
    assert any(name.startswith("conv1") for name in moved)


def test_it_is_saved_proven_and_answers_as_it_did(model: Model, hard: Path, tmp_path: Path) -> None:
    picture = hard / "dots" / "00.png"
    before = model.predict(picture)
    folder = model.save(tmp_path / "model")
    assert foveal.load(folder).predict(picture) == before
    assert {"config.json", "model.safetensors"} <= {path.name for path in folder.iterdir()}


def test_timm_opens_it_to_the_same_answers(model: Model, hard: Path, tmp_path: Path) -> None:
    import timm
    import torch

    from foveal.image.pixels import pixels

    folder = model.save(tmp_path / "model")
    network = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    seen = pixels((hard / "grid" / "01.png").read_bytes(), model.bundle.preprocess)
    mean, std = (
        torch.tensor(v).view(3, 1, 1)
        for v in (model.bundle.preprocess.mean, model.bundle.preprocess.std)
    )
    planes = (torch.from_numpy(seen.copy()).permute(2, 0, 1) / 255 - mean) / std
    with torch.no_grad():
        theirs = network(planes[None])[0].numpy()
    ours = model.predictor.logits(seen[None])[0]
    assert np.abs(theirs - ours).max() < 1e-4


def test_the_card_and_the_run_say_what_was_done(model: Model) -> None:
    training = model.bundle.card["training"]
    assert training["strategy"] == "finetune"
    assert training["epochs"] == 2
    assert training["kept"] in {1, 2}
    assert model.bundle.card["promise"]["how"] == "On the val part, which also chose the epoch,"
    course = model.run["course"]
    assert [epoch["number"] for epoch in course["epochs"]] == [1, 2]
    assert 0 <= course["probe_top1"] <= 1
    assert course["probe_loss"] > 0


def test_the_same_fit_gives_the_same_bytes(model: Model, hard: Path, trainable: Path) -> None:
    again = finetuned(hard, trainable)
    assert again.bundle.card["sha256"] == model.bundle.card["sha256"]


def test_where_no_epoch_is_better_on_val_the_model_is_the_probe_of_all_pictures(
    hard: Path, trainable: Path, heard: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(begun: Begun, *_: object) -> Start:
        return Start(state=deepcopy(begun.network.state_dict()), loss=0.0)

    monkeypatch.setattr(schooling, "start_of", start)
    listener = heard()
    one = finetuned(hard, trainable, listener=listener)
    assert any("No epoch had less log loss on val" in s for s in listener.sentences)
    assert any("are held out to judge the training by" in s for s in listener.sentences)
    training = one.bundle.card["training"]
    assert training["kept"] is None
    assert training["sentence"].endswith(finetune.INSTEAD)
    assert [epoch["number"] for epoch in one.run["course"]["epochs"]] == [1, 2]
    assert one.run["course"]["kept"] is None
    assert one.run["course"]["sentence"] == training["sentence"]
    probe = foveal.fit(hard, **{**QUICK, "strategy": "probe", "backbone": str(trainable)})
    assert one.bundle.card["promise"] == probe.bundle.card["promise"]
    files = sorted(hard.rglob("*.png"))[:5]
    ours, theirs = one.predict(files), probe.predict(files)
    assert [p.top for p in ours] == [p.top for p in theirs]


def test_the_network_as_it_was_is_what_auto_compares_where_no_epoch_is_better(
    hard: Path, trainable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.numpy import load_file

    found: list[Fitted] = []

    def start(begun: Begun, *_: object) -> Start:
        return Start(state=deepcopy(begun.network.state_dict()), loss=0.0)

    def kept(task: Task, begun: Begun, here: Machine) -> Outcome:
        outcome = schooling.schooled(task, begun, here)
        found.append(outcome.fitted())
        return outcome

    monkeypatch.setattr(schooling, "start_of", start)
    monkeypatch.setattr(finetune, "schooled", kept)
    finetuned(hard, trainable)
    host = found[0].classifier.host  # type: ignore[union-attr]  # one network, no pool
    after = host.network_weights()
    assert after is not None
    before = load_file(trainable / "model.safetensors")
    same = [name for name in before if before[name].shape == after[name].shape]
    assert len(same) > 10
    assert all(np.array_equal(before[name], after[name]) for name in same)


def test_frozen_stages_do_not_move(hard: Path, trainable: Path) -> None:
    from safetensors.numpy import load, load_file

    one = finetuned(hard, trainable, freeze_until="stage3", epochs=1)
    before = load_file(trainable / "model.safetensors")
    after = load(one.bundle.read("model.safetensors"))
    for name, value in before.items():
        if name.startswith(("conv1", "bn1", "layer1", "layer2", "layer3")):
            np.testing.assert_array_equal(value, after[name])
    assert not np.array_equal(before["layer4.0.conv1.weight"], after["layer4.0.conv1.weight"])


def test_a_val_part_that_was_given_chooses_the_epoch(
    make_photos: Callable, trainable: Path, tmp_path: Path
) -> None:
    make_photos(tmp_path / "set" / "train", count=8, hard=True)
    make_photos(tmp_path / "set" / "val", seed=1, count=4, hard=True)
    one = finetuned(tmp_path / "set", trainable, epochs=1)
    assert one.bundle.card["training"]["val_images"] == 12
    assert one.bundle.card["data"]["images"] == {"train": 24, "val": 12, "test": 0}


def interrupted(data: Path, backbone: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin a fit and send it Ctrl-C when its first epoch has been written down."""
    whole = Workplace.write_metrics

    def write(self: Workplace, epochs: object) -> None:
        whole(self, epochs)
        os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Workplace, "write_metrics", write)
        with pytest.raises(KeyboardInterrupt):
            fit_and_save(order(data, backbone), out, overwrite=False, listener=SILENT)


def test_a_fit_that_was_cut_off_goes_on_to_the_same_bytes(
    hard: Path, trainable: Path, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "model"
    interrupted(hard, trainable, out, monkeypatch)
    place = Workplace.of(out)
    assert not out.exists()
    assert place.metrics.is_file()
    resumed = FitOrder.resumed(place, None, {})
    fit_and_save(resumed, out, overwrite=False, resume=True, listener=SILENT)
    assert foveal.load(out).bundle.card["sha256"] == model.bundle.card["sha256"]
    assert not place.folder.exists()


def test_a_fit_that_was_cut_off_is_not_overwritten_unasked(
    hard: Path, trainable: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Callable
) -> None:
    out = tmp_path / "model"
    interrupted(hard, trainable, out, monkeypatch)
    said = cli("fit", hard, "-o", out, "--strategy", "finetune", "--backbone", trainable)
    assert said.code == 2
    assert "holds a training that was cut off. Go on with it by --resume" in said.err
    other = cli("fit", hard, "-o", out, "--resume", "--rate", "0.1")
    assert other.code == 2
    assert "rate was 0.001, is 0.1" in other.err
    assert Workplace.of(out).checkpoints.is_dir()
    assert Workplace.of(out).settings()["fit"]["train"]["rate"] == 0.001


def test_a_fit_that_failed_before_anything_was_learnt_leaves_nothing(
    hard: Path, trainable: Path, tmp_path: Path, cli: Callable
) -> None:
    words = ["--strategy", "finetune", "--backbone", trainable, "--layer-decay"]
    said = cli("fit", hard, "-o", tmp_path / "model", *words, "0.5", "--freeze-until", "stage9")
    assert said.code == 2
    assert "No stage of this" in said.err
    assert list(tmp_path.iterdir()) == []
    other = cli("fit", hard, "-o", tmp_path / "model", *words, "2")
    assert other.err == "foveal: --layer-decay 2.0 cannot work. Expected a share in (0, 1].\n"


def test_there_is_nothing_to_resume_where_nothing_was_begun(tmp_path: Path, cli: Callable) -> None:
    said = cli("fit", "-o", tmp_path / "model", "--resume")
    assert said.code == 2
    assert "There is no training to resume at" in said.err


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"strategy": "finetuen"}, UnknownName, "Did you mean 'finetune'"),
        ({"policy": "lihgt"}, UnknownName, "Did you mean 'light'"),
        ({"optimizer": "adamv"}, UnknownName, "Did you mean 'adamw'"),
        ({"loss": "focl"}, UnknownName, "Did you mean 'focal'"),
        ({"track": "mlfow"}, UnknownName, "Did you mean 'mlflow'"),
        ({"freeze_until": "stage33"}, UnknownName, "Did you mean 'stage3'"),
        ({"freeze_until": "head"}, OutOfRange, "the head learns"),
        ({"device": "cuda:7"}, foveal.FovealError, "cuda:7"),
        ({"epochs": 0}, OutOfRange, "at least 1"),
        ({"rate": -1.0}, OutOfRange, "more than 0"),
    ],
)
def test_a_setting_that_cannot_work_costs_one_sentence(
    hard: Path, trainable: Path, changes: dict, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        finetuned(hard, trainable, **changes)


@pytest.mark.parametrize("stage", ["stage9", "head"])
def test_a_stage_that_cannot_be_frozen_is_refused_before_any_work(
    hard: Path, trainable: Path, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finetune, "with_val", None)  # the first that reads a picture
    with pytest.raises((UnknownName, OutOfRange), match=stage):
        finetuned(hard, trainable, freeze_until=stage)


def test_compiling_where_torch_cannot_is_refused_before_any_work(
    hard: Path, trainable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_compiler(_: object) -> Callable:
        def fails(_: object) -> None:
            raise RuntimeError("No working C++ compiler found.\n\nSet TORCH_LOGS")

        return fails

    monkeypatch.setattr("torch.compile", no_compiler)
    monkeypatch.setattr(finetune, "begin", None)
    with pytest.raises(foveal.FovealError) as refused:
        finetuned(hard, trainable, compile=True)
    assert str(refused.value) == (
        "torch cannot compile a network here: No working C++ compiler found. "
        "Leave compile out, or install what it lacks."
    )


def test_what_is_only_a_graph_cannot_be_trained(hard: Path) -> None:
    with pytest.raises(BadWeights, match="only a graph"):
        finetuned(hard, Path("classical"))


def test_the_settings_of_a_training_are_in_its_run_and_can_be_repeated(
    hard: Path, trainable: Path, tmp_path: Path
) -> None:
    fit_and_save(
        order(hard, trainable, epochs=1), tmp_path / "model", overwrite=False, listener=SILENT
    )
    run = json.loads((tmp_path / "model.run" / "run.json").read_text())
    assert run["settings"]["fit"]["train"]["epochs"] == 1
    lines = (tmp_path / "model.run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == run["course"]["epochs"]
    again = FitOrder.from_options(None, tmp_path / "model.run", {})
    assert again.fit.train.strategy == "finetune"
