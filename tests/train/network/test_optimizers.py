"""Groups of parameters, and the optimisers that are given them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import timm
import torch
from torch import nn

from foveal.core.errors import UnknownName
from foveal.train.network.frozen.freezing import freeze_until
from foveal.train.network.optimizers import OPTIMIZERS, Groups, groups_of
from foveal.train.network.stages import stages


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """On tensors this small, two threads mostly wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


NETWORKS: dict[str, dict[str, Any]] = {
    "resnet10t": {},
    "mobilenetv2_035": {},
    "test_convnext": {},
    "test_vit": {"img_size": 64},
    "vgg11_bn": {"mlp_ratio": 0.01},
}


def network(name: str = "resnet10t") -> nn.Module:
    torch.manual_seed(0)
    return timm.create_model(name, num_classes=3, **NETWORKS[name])


def groups(one: nn.Module, **changes: float) -> Groups:
    common = {"rate": 0.001, "head_rate": 0.02, "layer_decay": 0.5, "weight_decay": 0.05}
    return groups_of(one, **{**common, **changes})


@pytest.mark.parametrize("name", NETWORKS)
def test_every_parameter_is_in_one_group(name: str) -> None:
    one = network(name)
    counted = Counter(id(p) for group in groups(one) for p in group["params"])
    assert counted == Counter(id(p) for p in one.parameters())
    assert all(group["params"] for group in groups(one))


@pytest.mark.parametrize("name", NETWORKS)
def test_rates_halve_from_stage_to_stage_and_the_head_has_its_own(name: str) -> None:
    one = network(name)
    rates = {group["name"].partition(" ")[0]: group["lr"] for group in groups(one)}
    assert list(rates) == [stage.name for stage in stages(one)]
    *body, head = rates.values()
    assert head == 0.02
    assert body[::-1] == pytest.approx([0.001 * 0.5**number for number in range(len(body))])


def test_both_kinds_of_a_stage_have_its_rate() -> None:
    kinds = Counter((group["name"].partition(" ")[0], group["lr"]) for group in groups(network()))
    assert set(kinds.values()) == {2}


@pytest.mark.parametrize("name", NETWORKS)
def test_biases_and_norms_do_not_decay_and_everything_else_does(name: str) -> None:
    one = network(name)
    free = {id(p) for group in groups(one) if not group["weight_decay"] for p in group["params"]}
    assert {group["weight_decay"] for group in groups(one)} == {0.0, 0.05}
    spared = one.no_weight_decay() if hasattr(one, "no_weight_decay") else set()
    for parameter_name, parameter in one.named_parameters():
        expected = parameter.ndim <= 1 or parameter_name in spared
        assert (id(parameter) in free) == expected, parameter_name


def test_what_timm_spares_is_spared() -> None:
    one = network("test_vit")
    (first, *_) = groups(one)
    assert first["name"] == "stem plain"
    assert any(p is one.pos_embed for p in first["params"])


def test_frozen_parameters_are_in_none() -> None:
    one = network()
    freeze_until(one, "stage3")
    assert {group["name"].partition(" ")[0] for group in groups(one)} == {"stage4", "head"}
    assert groups(one)[0]["lr"] == 0.001


@pytest.mark.parametrize(("name", "rate"), [("adamw", 0.01), ("sgd", 0.1)])
def test_every_optimiser_trains(name: str, rate: float) -> None:
    one = network().train()
    made = OPTIMIZERS.pick(name)(groups(one, rate=rate, head_rate=rate))
    rng = torch.Generator().manual_seed(0)
    inputs, labels = torch.randn(6, 3, 32, 32, generator=rng), torch.arange(6) % 3
    before = {name: value.clone() for name, value in one.named_parameters()}
    losses = []
    for _ in range(12):
        loss = nn.functional.cross_entropy(one(inputs), labels)
        made.zero_grad()
        loss.backward()
        made.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2
    still = [name for name, value in one.named_parameters() if torch.equal(value, before[name])]
    assert still == []


@pytest.mark.parametrize("name", OPTIMIZERS.names())
def test_each_group_learns_at_its_rate_and_decays_by_its_share(name: str) -> None:
    slow, fast = (nn.Parameter(torch.ones(2, 2)) for _ in range(2))
    made = OPTIMIZERS.pick(name)(
        [
            {"params": [slow], "lr": 0.001, "weight_decay": 0.0},
            {"params": [fast], "lr": 0.1, "weight_decay": 0.5},
        ]
    )
    for parameter in (slow, fast):
        parameter.grad = torch.zeros(2, 2)
    made.step()
    assert torch.equal(slow, torch.ones(2, 2))
    assert (fast < 0.99).all()  # it decays although its gradient is 0
    slow.grad, fast.grad = torch.ones(2, 2), None
    before = slow.clone()
    made.step()
    assert 0 < (before - slow).max() < 0.01


def test_a_typo_names_the_nearest_optimiser() -> None:
    with pytest.raises(UnknownName, match=r"No optimizer is called 'adam'\. Did you mean 'adamw'"):
        OPTIMIZERS.pick("adam")
