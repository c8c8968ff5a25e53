"""What is frozen learns nothing: no gradient, no step, no statistics."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy

import pytest
import timm
import torch
from torch import Tensor, nn

from foveal.core.errors import OutOfRange, UnknownName
from foveal.train.network.frozen.freezing import freeze_until
from foveal.train.network.stages import stages


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """On tensors this small, two threads mostly wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return timm.create_model("resnet10t", num_classes=3).train()


def step(one: nn.Module, times: int = 2) -> None:
    """Train as the loop does: ``train()`` before each step."""
    optimizer = torch.optim.SGD(one.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    for number in range(times):
        one.train()
        rng = torch.Generator().manual_seed(number)
        logits = one(torch.randn(4, 3, 32, 32, generator=rng))
        nn.functional.cross_entropy(logits, torch.tensor([0, 1, 2, 0])).backward()
        optimizer.step()
        optimizer.zero_grad()


def state_of(one: nn.Module, modules: tuple[str, ...]) -> dict[str, Tensor]:
    """Return weights and statistics of some modules."""
    found = {
        f"{name}.{entry}": value.clone()
        for name in modules
        for entry, value in one.get_submodule(name).state_dict().items()
    }
    assert any("running_var" in name for name in found)
    return found


def changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {name for name in before if not torch.equal(before[name], after[name])}


def test_weights_and_statistics_of_frozen_stages_do_not_move_and_those_above_do(
    network: nn.Module,
) -> None:
    frozen = freeze_until(network, "stage2")
    assert [stage.name for stage in frozen] == ["stem", "stage1", "stage2"]
    shallow = tuple(name for stage in frozen for name in stage.modules)
    deep = stages(network)[3].modules
    before, above = state_of(network, shallow), state_of(network, deep)
    step(network)
    assert changed(before, state_of(network, shallow)) == set()
    moved = changed(above, state_of(network, deep))
    assert any("running_mean" in name for name in moved)
    assert any(name.endswith("weight") for name in moved)


def test_only_what_lies_above_gets_a_gradient(network: nn.Module) -> None:
    frozen = {name for stage in freeze_until(network, "stage1") for name in stage.parameters}
    network(torch.randn(2, 3, 32, 32)).sum().backward()
    with_gradient = {name for name, p in network.named_parameters() if p.grad is not None}
    assert with_gradient == {name for name, _ in network.named_parameters()} - frozen


def test_its_mode_is_kept_and_follows_as_before_for_the_rest(network: nn.Module) -> None:
    network.eval()
    frozen = freeze_until(network, "stem")
    assert not network.training
    assert network.train() is network
    inside = [network.get_submodule(name) for stage in frozen for name in stage.modules]
    assert not any(part.training for module in inside for part in module.modules())
    assert network.layer1.training
    network.eval()
    assert not any(part.training for part in network.modules())


def test_freezing_one_in_training_takes_effect_at_once(network: nn.Module) -> None:
    freeze_until(network, "stem")
    assert network.training
    assert not network.bn1.training


def test_a_copy_is_frozen_too_and_has_nothing_in_common(network: nn.Module) -> None:
    freeze_until(network, "stage2")
    copy = deepcopy(network)
    network.eval()
    before, kept = state_of(copy, ("bn1", "layer1")), state_of(network, ("layer4",))
    step(copy)
    assert not network.training  # the copy's train() is not the first one's
    assert not copy.bn1.training
    assert changed(before, state_of(copy, ("bn1", "layer1"))) == set()
    assert changed(kept, state_of(network, ("layer4",))) == set()
    assert not any(p.requires_grad for p in copy.layer2.parameters())


def test_more_can_be_frozen_later(network: nn.Module) -> None:
    freeze_until(network, "stem")
    freeze_until(network, "stage3")
    before = state_of(network, ("bn1", "layer1", "layer3"))
    step(network)
    assert changed(before, state_of(network, ("bn1", "layer1", "layer3"))) == set()


def test_the_head_cannot_be_frozen(network: nn.Module) -> None:
    with pytest.raises(OutOfRange, match=r"freeze_until = 'head'.*stage4: the head learns"):
        freeze_until(network, "head")
    assert all(p.requires_grad for p in network.parameters())


def test_a_typo_names_the_nearest_stage(network: nn.Module) -> None:
    with pytest.raises(UnknownName, match="Did you mean 'stage2'"):
        freeze_until(network, "stage_2")


def test_statistics_that_are_kept_do_not_move_and_scales_learn() -> None:
    import timm

    from foveal.train.network.frozen.freezing import keep_statistics

    network = timm.create_model("test_resnet", num_classes=2)
    freeze_until(network, "stage1")
    keep_statistics(network)
    norm = network.layer4[0].bn1
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    for _ in range(2):
        network.train()
        network(torch.randn(4, 3, 64, 64)).sum().backward()
    assert torch.equal(before["running_mean"], norm.running_mean)
    assert torch.equal(before["running_var"], norm.running_var)
    assert norm.weight.grad is not None
    assert not network.layer1.training
    assert network.layer4[0].conv1.training
