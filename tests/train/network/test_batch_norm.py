"""BatchNorm over ranks with cards: which layers are exchanged, and what they keep."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from foveal.train.network.batch_norm import synchronised
from foveal.train.network.frozen.freezing import freeze_until
from foveal.train.network.machine import Machine

CARDS = Machine(torch.device("cuda"), ranks=2)


def network() -> nn.Module:
    """A network of timm's whose BatchNorms have their activation inside."""
    torch.manual_seed(0)
    return timm.create_model("test_efficientnet", num_classes=3)


def synchronised_in(one: nn.Module) -> set[str]:
    return {name for name, part in one.named_modules() if isinstance(part, nn.SyncBatchNorm)}


def norms_in(one: nn.Module) -> set[str]:
    return {
        name
        for name, part in one.named_modules()
        if isinstance(part, nn.modules.batchnorm._BatchNorm)
    }


@pytest.mark.parametrize(
    "machine",
    [Machine(torch.device("cpu"), ranks=2), Machine(torch.device("cuda"))],
    ids=["processors", "one card"],
)
def test_only_between_cards(machine: Machine) -> None:
    one = network()
    with synchronised(one, machine):
        assert synchronised_in(one) == set()


def test_every_layer_that_learns_is_exchanged_and_comes_back() -> None:
    one = network()
    before, own = norms_in(one), dict(one.named_modules())
    with synchronised(one, CARDS):
        assert synchronised_in(one) == before != set()
    assert dict(one.named_modules()) == own


def test_the_network_computes_the_same_its_activations_included() -> None:
    one = network().eval()
    pixels = torch.randn(2, 3, 32, 32)
    expected, names = one(pixels), list(one.state_dict())
    with synchronised(one, CARDS):
        assert torch.equal(one(pixels), expected)
        assert list(one.state_dict()) == names


def test_what_the_layers_learn_and_their_mode_stay() -> None:
    one = network().train()
    with synchronised(one, CARDS):
        one.load_state_dict({k: torch.full_like(v, 3) for k, v in one.state_dict().items()})
        one.eval()
    assert all((value == 3).all() for value in one.state_dict().values())
    assert not any(part.training for part in one.modules())


def test_frozen_layers_stay_frozen() -> None:
    one = network()
    freeze_until(one, "stage2")
    frozen = {name for name in norms_in(one) if not one.get_submodule(name).weight.requires_grad}
    with synchronised(one.train(), CARDS):
        assert synchronised_in(one) == norms_in(one) - frozen
        one.train()
        assert not any(one.get_submodule(name).training for name in frozen)
    assert frozen
