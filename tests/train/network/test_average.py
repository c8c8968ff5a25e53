"""The moving average of a network's weights."""

from __future__ import annotations

from contextlib import suppress

import pytest
import torch
from torch import Tensor, nn

from foveal.core.errors import OutOfRange
from foveal.train.network.average import Average


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def state(of: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in of.state_dict().items()}


def shake(one: nn.Module) -> None:
    """Change weights, statistics and the counter of batches."""
    with torch.no_grad():
        for parameter in one.parameters():
            parameter.add_(torch.randn_like(parameter))
    one.train()
    one(torch.randn(8, 3))


def test_it_is_the_moving_average_written_out_by_hand() -> None:
    one = network()
    average = Average(one, decay=0.5)
    expected = state(one)
    for step in range(20):
        shake(one)
        average.update(one)
        decay = min(0.5, (1 + step) / (10 + step))
        for name, value in one.state_dict().items():
            if value.is_floating_point():
                expected[name] = decay * expected[name] + (1 - decay) * value
            else:
                expected[name] = value.clone()
    for name, value in expected.items():
        torch.testing.assert_close(average.state[name], value)
    assert average.state["1.num_batches_tracked"] == 20


def test_early_on_it_follows_closely_and_later_it_is_slow() -> None:
    one = network()
    average = Average(one, decay=0.9)
    start = one[0].weight.clone()
    with torch.no_grad():
        one[0].weight.add_(1.0)
    average.update(one)
    torch.testing.assert_close(average.state["0.weight"], start + 0.9)  # decay 1/10 at first
    average.updates = 10_000
    with torch.no_grad():
        one[0].weight.add_(1.0)
    before = average.state["0.weight"].clone()
    average.update(one)
    torch.testing.assert_close(average.state["0.weight"], before + 0.1 * (start + 2 - before))


def test_it_is_applied_for_a_block_and_the_networks_own_state_comes_back_bit_by_bit() -> None:
    one = network()
    average = Average(one, decay=0.9)
    shake(one)
    before = state(one)
    with suppress(ZeroDivisionError), average.applied(one) as applied:
        inside = state(applied)
        raise ZeroDivisionError
    assert all(torch.equal(inside[name], value) for name, value in average.state.items())
    assert all(torch.equal(one.state_dict()[name], value) for name, value in before.items())


def test_the_average_is_no_part_of_the_network() -> None:
    one = network()
    average = Average(one, decay=0.9)
    before = {name: value.clone() for name, value in average.state.items()}
    shake(one)
    assert all(torch.equal(average.state[name], value) for name, value in before.items())


def test_a_saved_average_goes_on_to_the_same_bits() -> None:
    one = network()
    average = Average(one, decay=0.9)
    for _ in range(3):
        shake(one)
        average.update(one)
    again = Average(one, decay=0.9)
    again.restore({k: v.clone() for k, v in average.state.items()}, updates=average.updates)
    shake(one)
    average.update(one)
    again.update(one)
    assert all(torch.equal(again.state[name], value) for name, value in average.state.items())


@pytest.mark.parametrize("decay", [1.0, -0.1, float("nan")])
def test_a_decay_that_is_no_share_is_refused(decay: float) -> None:
    with pytest.raises(OutOfRange, match="average"):
        Average(network(), decay=decay)
