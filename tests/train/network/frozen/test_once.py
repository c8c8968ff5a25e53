"""The plan above a freezing point trains the network as the whole plan would."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from numpy.typing import NDArray
from torch import nn

from foveal.image.preprocess import Preprocess
from foveal.train.network.answers import logits_of
from foveal.train.network.frozen.freezing import freeze_until
from foveal.train.network.frozen.once import VIEWS, frozen_once
from foveal.train.network.inputs import Inputs
from foveal.train.network.pictures.canvas import Canvases
from foveal.train.network.planning import Lesson, plan_of
from foveal.train.network.run import Plan, Trained, train
from foveal.train.network.saving.checkpoint import Checkpoints
from foveal.train.network.settings import TrainSettings

SIZE, SIDE, CLASSES = 32, 37, 3


class Ears:
    """Remembers what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, sentence: str) -> None:
        self.said.append(sentence)

    def progress(self, stage: str, done: int, total: int, **more: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """For small networks the faster, and where other programs are busy much the faster."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def score(logits_MK: NDArray[np.float32], labels_M: NDArray[np.int64]) -> Mapping[str, float]:
    right = torch.from_numpy(logits_MK).log_softmax(1)[torch.arange(len(labels_M)), labels_M]
    return {
        "log_loss": float(-right.mean()),
        "top1": float((logits_MK.argmax(1) == labels_M).mean()),
    }


def pictures(n: int, side: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Noise with a tint that tells the class."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, n)
    pixels = rng.integers(0, 156, (n, side, side, 3), dtype=np.uint8)
    pixels[np.arange(n), :, :, labels] += 99
    return pixels, labels


@pytest.fixture(scope="module")
def lesson() -> Lesson:
    pixels, labels = pictures(40, SIDE, 0)
    val_pixels, val_labels = pictures(20, SIZE, 1)
    return Lesson(
        canvases=Canvases(pixels, np.arange(40)),
        labels_n=labels,
        val_pixels=val_pixels,
        val_labels_M=val_labels,
        classes=CLASSES,
        preprocess=Preprocess(size_px=SIZE),
        score=score,
        called="picture {}".format,
    )


def settings_of(**more: Any) -> TrainSettings:
    said = {"freeze_until": "stage2", "epochs": 3, "batch": 8, "policy": "light", **more}
    return TrainSettings(**said)


def network_of(settings: TrainSettings) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network: nn.Module = timm.create_model("test_resnet", num_classes=CLASSES)
    if settings.freeze_until:
        freeze_until(network, settings.freeze_until)
    return network


def trained(
    lesson: Lesson, settings: TrainSettings, *, once: bool, checkpoints: Checkpoints | None = None
) -> tuple[nn.Module, Trained]:
    network, plan = network_of(settings), plan_of(lesson, settings, facts={"settings": "same"})
    if not once:
        return network, train(network, plan, checkpoints=checkpoints)
    with frozen_once(network, plan, lesson, settings) as (learning, shorter):
        assert learning is not network
        return network, train(learning, shorter, checkpoints=checkpoints)


def test_the_network_learns_as_it_does_with_its_frozen_part_run_every_epoch(
    lesson: Lesson,
) -> None:
    settings = settings_of(policy="none", average=0.0)
    whole, plainly = trained(lesson, settings, once=False)
    network, short = trained(lesson, settings, once=True)
    assert short.kept == plainly.kept
    for one, other in zip(short.epochs, plainly.epochs, strict=True):
        assert one.train_loss == pytest.approx(other.train_loss, rel=0.02)
        assert one.scores["log_loss"] == pytest.approx(other.scores["log_loss"], rel=0.02)
    assert short.epochs[-1].train_loss < short.epochs[0].train_loss
    inputs = Inputs(preprocess=lesson.preprocess, classes=CLASSES)
    logits = [logits_of(one.eval(), lesson.val_pixels, inputs) for one in (network, whole)]
    np.testing.assert_allclose(logits[0], logits[1], atol=0.05 * np.abs(logits[1]).max())
    said = short.epochs[short.kept - 1].scores["log_loss"]
    assert score(logits[0], lesson.val_labels_M)["log_loss"] == pytest.approx(said, rel=0.01)


def test_what_is_frozen_stays_as_it_was_and_the_rest_does_not(lesson: Lesson) -> None:
    settings = settings_of()
    before = copy.deepcopy(network_of(settings).state_dict())
    after = trained(lesson, settings, once=True)[0].state_dict()
    for name, value in after.items():
        frozen = name.startswith(("conv", "bn", "layer1", "layer2"))
        assert torch.equal(value, before[name]) == frozen, name


def test_a_run_that_was_cut_off_ends_in_the_same_bits(lesson: Lesson, tmp_path: Path) -> None:
    settings = settings_of()
    expected = trained(lesson, settings, once=True)[0].state_dict()
    checkpoints = Checkpoints(tmp_path / "state")
    network, plan = network_of(settings), plan_of(lesson, settings, facts={"settings": "same"})

    def cut_off(news: object) -> None:
        if getattr(news, "step", 0) == 7:
            raise KeyboardInterrupt

    with (
        pytest.raises(KeyboardInterrupt),
        frozen_once(network, plan, lesson, settings) as (learning, shorter),
    ):
        train(learning, shorter, checkpoints=checkpoints, tell=cut_off)
    again = trained(lesson, settings, once=True, checkpoints=checkpoints)[0].state_dict()
    for name, value in again.items():
        assert torch.equal(value, expected[name]), name


@pytest.mark.parametrize(
    ("more", "views"),
    [({"epochs": 9}, VIEWS), ({"epochs": 2}, 2), ({"epochs": 9, "policy": "none"}, None)],
)
def test_views_are_no_more_than_epochs_and_one_without_chance(
    lesson: Lesson, more: dict[str, Any], views: int | None
) -> None:
    settings, ears = settings_of(**more), Ears()
    network, plan = network_of(settings), plan_of(lesson, settings)
    with frozen_once(network, plan, lesson, settings, listener=ears):
        pass
    each = f", in {views} views each," if views else ""
    assert f"behind stage2 of 40 pictures{each} are computed once" in ears.said[0]
    assert "behind stage2 of 20 pictures are computed once" in ears.said[1]


def _unchanged(lesson: Lesson, network: nn.Module, settings: TrainSettings) -> list[str]:
    ears = Ears()
    plan: Plan = plan_of(lesson, settings)
    with frozen_once(network, plan, lesson, settings, listener=ears) as (learning, shorter):
        assert learning is network
        assert shorter is plan
    return ears.said


def test_where_nothing_is_frozen_all_is_trained(lesson: Lesson) -> None:
    settings = settings_of(freeze_until=None)
    assert _unchanged(lesson, network_of(settings), settings) == []


def test_a_policy_that_mixes_needs_the_pictures_themselves_and_it_is_said(lesson: Lesson) -> None:
    settings = settings_of(policy="strong")
    assert _unchanged(lesson, network_of(settings), settings) == [
        "The policy 'strong' mixes the pictures of a batch: the frozen part has to run every epoch."
    ]


def test_a_network_that_cannot_be_cut_is_trained_whole_and_it_is_said(lesson: Lesson) -> None:
    class Twice(nn.Sequential):
        def forward(self, planes: torch.Tensor) -> torch.Tensor:
            return self[2](self[1](self[1](self[0](planes))).mean((2, 3)))

    network = Twice(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Linear(4, CLASSES))
    assert _unchanged(lesson, network, settings_of()) == [
        "Twice cannot be cut behind stage2: 1 is called several times for a picture. Its frozen "
        "part has to run every epoch."
    ]
