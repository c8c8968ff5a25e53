"""Stages of networks that are not as the families are, and what is said of a wrong name.

The families themselves: tests/contracts/test_stages.py.
"""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from torch import nn

from foveal.core.errors import UnknownName
from foveal.train.network.stages import HEAD, STEM, Stage, pick_stage, stages

TABLE: dict[str, tuple[dict[str, Any], dict[str, set[str]]]] = {  # as the head of the file says
    "vgg16": (
        {},
        {
            STEM: {"features.0", "features.2", "features.5", "features.7"},
            "stage1": {"features.10", "features.12", "features.14"},
            "stage2": {"features.17", "features.19", "features.21"},
            "stage3": {"features.24", "features.26", "features.28"},
            "stage4": {"pre_logits"},
            HEAD: {"head"},
        },
    ),
    "resnet18": (
        {},
        {
            STEM: {"conv1", "bn1"},
            **{f"stage{number}": {f"layer{number}"} for number in range(1, 5)},
            HEAD: {"fc"},
        },
    ),
    "mobilenetv2_100": (
        {},
        {
            STEM: {"conv_stem", "bn1", "blocks.0"},
            "stage1": {"blocks.1"},
            "stage2": {"blocks.2"},
            "stage3": {"blocks.3", "blocks.4"},
            "stage4": {"blocks.5", "blocks.6", "conv_head", "bn2"},
            HEAD: {"classifier"},
        },
    ),
    "convnext_atto": (
        {},
        {
            STEM: {"stem"},
            "stage1": {"stages.0"},
            "stage2": {"stages.1"},
            "stage3": {"stages.2"},
            "stage4": {"stages.3", "head.norm"},
            HEAD: {"head.fc"},
        },
    ),
    "vit_tiny_patch16_224": (
        {},
        {
            STEM: {"patch_embed"},
            "stage1": {"blocks.0", "blocks.1", "blocks.2"},
            "stage2": {"blocks.3", "blocks.4", "blocks.5"},
            "stage3": {"blocks.6", "blocks.7", "blocks.8"},
            "stage4": {"blocks.9", "blocks.10", "blocks.11", "norm"},
            HEAD: {"head"},
        },
    ),
}


def built(name: str, **arguments: Any) -> nn.Module:
    """A network of timm's without memory for its weights: only their names matter."""
    with torch.device("meta"):
        network: nn.Module = timm.create_model(name, **arguments)
    return network


def learning(network: nn.Module, stage: Stage) -> set[str]:
    """The modules of a stage that have parameters."""
    return {name for name in stage.modules if list(network.get_submodule(name).parameters())}


@pytest.mark.parametrize("name", TABLE)
def test_the_table_of_the_file_is_true(name: str) -> None:
    arguments, expected = TABLE[name]
    network = built(name, **arguments)
    assert {stage.name: learning(network, stage) for stage in stages(network)} == expected


def test_what_a_vit_keeps_outside_its_modules_is_in_the_stem() -> None:
    stem, *later = stages(built("test_vit"))
    assert {"cls_token", "pos_embed"} <= set(stem.parameters)
    assert all("." in name for stage in later for name in stage.parameters)


def test_a_distilled_network_has_two_classifiers_and_both_are_the_head() -> None:
    head = stages(built("deit_tiny_distilled_patch16_224"))[-1]
    assert head.parameters == ("head.weight", "head.bias", "head_dist.weight", "head_dist.bias")


def test_a_network_without_classifier_has_no_head() -> None:
    assert [stage.name for stage in stages(built("resnet18", num_classes=0))] == [
        STEM, "stage1", "stage2", "stage3", "stage4",
    ]  # fmt: skip


def test_where_groups_and_grids_do_not_fit_every_group_is_a_stage() -> None:
    network: Any = built("mobilenetv2_100")
    groups = [STEM, *(f"stage{number}" for number in range(1, 8)), HEAD]
    assert [stage.name for stage in stages(network)] != groups
    network.feature_info = [  # a coarse map before a finer one
        {"module": "blocks.3", "reduction": 4},
        {"module": "blocks.1", "reduction": 8},
        {"module": "blocks.6", "reduction": 16},
    ]
    assert [stage.name for stage in stages(network)] == groups
    network.feature_info = []
    assert [stage.name for stage in stages(network)] == groups


def test_a_network_of_ones_own_has_a_stage_for_every_child_that_learns() -> None:
    network = nn.Sequential()
    network.add_module("first", nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)))
    network.add_module("second", nn.Conv2d(8, 8, 3))
    network.add_module("pool", nn.AdaptiveAvgPool2d(1))
    network.add_module("last", nn.Linear(8, 2))
    assert [(stage.name, stage.modules) for stage in stages(network)] == [
        ("stage1", ("first",)),
        ("stage2", ("second", "pool")),
        (HEAD, ("last",)),
    ]


def test_a_pooling_ends_its_stage_and_a_dropout_begins_the_next() -> None:
    network = nn.Sequential(
        nn.Identity(), nn.Conv2d(3, 8, 3), nn.MaxPool2d(2), nn.Dropout(), nn.ReLU(),
        nn.Conv2d(8, 8, 3), nn.Flatten(), nn.Sequential(nn.Dropout1d()), nn.Linear(8, 2),
    )  # fmt: skip
    assert [stage.modules for stage in stages(network)] == [
        ("0", "1", "2"),
        ("3", "4", "5", "6"),
        ("7", "8"),
    ]


def test_a_module_that_two_stages_share_is_taken_apart() -> None:
    network = built("densenet121")
    owned = [name for stage in stages(network) for name in stage.modules]
    assert "features" not in owned
    assert "features.denseblock1" in owned


def test_a_stage_is_found_by_its_name() -> None:
    assert pick_stage(built("resnet18"), "stage3").modules == ("layer3",)


def test_a_typo_in_a_stage_is_answered_with_the_nearest_there_is() -> None:
    with pytest.raises(UnknownName) as refused:
        pick_stage(built("resnet18"), "stag3")
    assert str(refused.value) == "No stage of this ResNet is called 'stag3'. Did you mean 'stage3'?"
    with pytest.raises(UnknownName, match="Known: head, stage1, stage2"):
        pick_stage(built("resnet18"), "layer4")
