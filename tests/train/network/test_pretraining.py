"""Pretraining: sizes rise, ranks share a batch, a teacher is listened to, a graph comes out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load

from foveal.backbone.running import OnnxBackbone
from foveal.backbone.spec import LAST, LOGITS
from foveal.backbone.torch_weights import to_bytes
from foveal.core.errors import BadWeights, OutOfRange, UnknownName
from foveal.train.network import pretraining
from foveal.train.network.machine import ALONE, Machine
from foveal.train.network.pictures.canvas import Canvases
from foveal.train.network.pretrain_settings import PretrainSettings
from foveal.train.network.pretraining import Course, at_sizes, exported, new_network, plan_of
from foveal.train.network.run import train
from foveal.train.network.teaching import Student

SMALL = {"layers": [1, 1, 1, 1], "channels": [8, 8, 16, 16], "stem_type": "deep", "stem_width": 8}
SETTINGS = PretrainSettings(
    model_args=SMALL, epochs=6, sizes=(24, 32), canvas_px=32, batch=16, rate=0.1, average=0.9
)


def score(logits: np.ndarray, labels: np.ndarray) -> Mapping[str, float]:
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return {
        "log_loss": float(-log_p[np.arange(len(labels)), labels].mean()),
        "top1": float((logits.argmax(1) == labels).mean()),
    }


def course(*, taught: bool = False, count: int = 64, seed: int = 0) -> Course:
    """Two classes: bright above, bright below."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    pixels = rng.integers(0, 120, (count, 32, 32, 3), np.uint8)
    for picture, label in zip(pixels, labels, strict=True):
        picture[16 * label : 16 * label + 16] += 120
    seen = np.stack([labels, 1 - labels, np.ones(count)], axis=1).astype(np.float16)
    held = Canvases(pixels, np.arange(count) * 3)  # rows are numbers of files, not of pictures
    return Course(
        canvases=held,
        labels_n=labels,
        val=Canvases(pixels[:20], np.arange(20)),
        val_labels_M=labels[:20],
        classes=2,
        seen_nD=seen if taught else None,
        score=score,
        called=str,
    )


def plan(of: Course, settings: PretrainSettings = SETTINGS, machine: Machine = ALONE) -> Any:
    return plan_of(of, settings, machine=machine, facts={})


@pytest.mark.parametrize("taught", [False, True])
def test_a_network_learns_what_the_pictures_show_and_comes_out_as_a_backbone(taught: bool) -> None:
    lesson = course(taught=taught)
    network = new_network(SETTINGS, lesson)
    run = train(network, plan(lesson), machine=ALONE)
    assert run.epochs[-1].scores["top1"] == 1
    spec, model, weights, count = exported(network, SETTINGS, name="small", weights="a test")
    assert (spec.architecture, spec.model_args, spec.classifier) == ("resnet18", SMALL, "fc")
    assert spec.preprocess.size_px == 32
    tensors = load(weights)
    assert not any(name.startswith(("network.", "guess.")) for name in tensors)
    assert count == sum(
        t.size for n, t in tensors.items() if "running" not in n and "num_" not in n
    )
    blocks = OnnxBackbone(spec, model).embed(lesson.val.pixels, [LAST, LOGITS])
    assert (blocks[LOGITS].argmax(1) == lesson.val_labels_M).all()
    assert blocks[LAST].shape == (20, 16)


def test_sizes_rise_and_end_with_the_size_of_use() -> None:
    made = plan(course())
    sides = [made.prepare(batch)[0].shape[-1] for batch in made.batches(0)]
    per_epoch = made.steps_per_epoch
    assert sides == [24] * (3 * per_epoch) + [32] * (3 * per_epoch)


def test_the_teacher_s_word_belongs_to_its_picture() -> None:
    made = plan(course(taught=True))
    for batch in made.batches(0):
        _, targets = made.prepare(batch)
        assert targets[:, :2].argmax(1).tolist() == batch.labels.tolist()
        assert (targets[:, 2] == batch.labels).all()  # its first feature is the label


def test_a_run_goes_on_with_the_very_batches_it_would_have_had() -> None:
    made = plan(course(taught=True))
    whole = [made.prepare(batch) for batch in made.batches(0)]
    later = [made.prepare(batch) for batch in made.batches(9)]
    for (pictures, targets), (again, also) in zip(whole[9:], later, strict=True):
        assert torch.equal(pictures, again)
        assert torch.equal(targets, also)


def test_the_parts_of_two_ranks_are_the_batch_of_one() -> None:
    lesson = course(taught=True)
    cpu = torch.device("cpu")
    alone = plan(lesson)
    ranks = [plan(lesson, machine=Machine(cpu, rank=rank, ranks=2)) for rank in (0, 1)]
    batches = zip(alone.batches(0), *(made.batches(0) for made in ranks), strict=True)
    for number, (one, *parts) in enumerate(batches):
        both = [made.prepare(part) for made, part in zip(ranks, parts, strict=True)]
        pictures, targets = alone.prepare(one)
        torch.testing.assert_close(torch.cat([p for p, _ in both]), pictures)
        assert torch.equal(torch.cat([t for _, t in both]), targets)
        if number == 5:
            break


def test_pictures_held_on_a_card_are_the_same_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    lesson = course()
    usual = [made.pixels for made in plan(lesson).batches(0)]
    whole = torch.tensor(lesson.canvases.pixels)  # what a card would hold
    monkeypatch.setattr(pretraining, "on_card", lambda *_: whole)
    held = plan(replace(lesson, canvases=_rows_of(whole)))
    for one, other in zip(usual, held.batches(0), strict=True):
        assert torch.equal(one, other.pixels)


def _rows_of(whole: torch.Tensor) -> Canvases:
    """Canvases whose own pixels are all black."""
    return Canvases(np.zeros(tuple(whole.shape), np.uint8), np.arange(len(whole)) * 3)


def test_chance_is_a_function_of_the_seed() -> None:
    lesson = course()
    first, again = (new_network(SETTINGS, lesson).state_dict() for _ in range(2))
    other = new_network(replace(SETTINGS, seed=1), lesson).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["conv1.0.weight"], other["conv1.0.weight"])


def test_a_network_may_begin_with_weights_of_its_own_kind_only(tmp_path: Any) -> None:
    lesson = course(taught=True)
    before = new_network(replace(SETTINGS, seed=9), lesson)
    assert isinstance(before, Student)
    (tmp_path / "w.safetensors").write_bytes(to_bytes(before.network))
    after = new_network(replace(SETTINGS, init=tmp_path / "w.safetensors"), lesson)
    assert isinstance(after, Student)
    assert torch.equal(after.network.fc.weight, before.network.fc.weight)
    wider = replace(
        SETTINGS, model_args={**SMALL, "stem_width": 12}, init=tmp_path / "w.safetensors"
    )
    with pytest.raises(BadWeights, match=r"w\.safetensors does not fit resnet18"):
        new_network(wider, lesson)


def test_the_share_that_is_right_is_told_for_every_size() -> None:
    lesson = course()
    network = new_network(SETTINGS, lesson)
    train(network, plan(lesson), machine=ALONE)
    found = at_sizes(network, lesson, SETTINGS, (16, 32), ALONE)
    assert found[32] == 1
    assert set(found) == {16, 32}


@pytest.mark.parametrize(
    ("wrong", "error", "words"),
    [
        ({"arch": "resnet81"}, UnknownName, "No architecture is called 'resnet81'. Did you mean"),
        ({"model_args": {"num_classes": 3}}, OutOfRange, "the pictures say how many"),
        ({"model_args": {"chanels": [8]}}, OutOfRange, "model_args"),
        ({"optimizer": "adamv"}, UnknownName, "Did you mean 'adamw'"),
        ({"likeness": "cosin"}, UnknownName, "Did you mean 'cosine'"),
    ],
)
def test_names_with_a_typo_are_refused(wrong: dict[str, Any], error: type, words: str) -> None:
    lesson, settings = course(taught=True), replace(SETTINGS, **wrong)
    with pytest.raises(error, match=words):
        train(new_network(settings, lesson), plan(lesson, settings))


def test_the_rate_stays_at_its_peak_for_the_share_that_is_asked_for() -> None:
    settings = replace(SETTINGS, warmup=0.1, hold=0.5)
    begun = plan(course(), settings)
    rates = [begun.rate(step) for step in range(begun.steps)]
    assert rates.count(1.0) >= begun.steps // 2
    assert rates[-1] < 0.1


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0}, {"sizes": ()}, {"sizes": (8, 32)}, {"sizes": (16, 32), "epochs": 1},
        {"rate": 0.0}, {"average": 1.0}, {"least_area": 0.0}, {"val_share": 1.0}, {"canvas_px": 3},
        {"teacher_weight": -1.0}, {"rate": float("inf")}, {"clip": float("inf")},
        {"hold": -0.1}, {"hold": 0.5, "warmup": 0.5},
    ],
)  # fmt: skip
def test_settings_that_cannot_work_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(OutOfRange, match=next(iter(wrong))):
        PretrainSettings(**wrong)
