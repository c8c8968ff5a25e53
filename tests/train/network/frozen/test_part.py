"""A network cut in two is the network, whatever family it is of, or the cut is refused."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

from foveal.core.errors import OutOfRange, UnknownName
from foveal.train.network.frozen.freezing import freeze_until
from foveal.train.network.frozen.part import CannotSplit, split
from foveal.train.network.stages import stages

SIZE_PX = 64
FAMILIES: dict[str, dict[str, Any]] = {
    "vgg11_bn": {"mlp_ratio": 0.01},
    "test_resnet": {},
    "mobilenetv3_small_050": {},
    "test_convnext": {},
    "test_vit": {"img_size": SIZE_PX},
}
MORE: dict[str, dict[str, Any]] = {
    "resnet18": {},
    "mobilenetv2_100": {},
    "densenet121": {},
    "regnety_002": {},
    "deit_tiny_distilled_patch16_224": {"img_size": SIZE_PX},
    "swin_tiny_patch4_window7_224": {"img_size": SIZE_PX, "window_size": 2},
    "test_nfnet": {},
}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """For small networks the faster, and where other programs are busy much the faster."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def built(name: str) -> nn.Module:
    """A network in which every weight counts, and some of whose branches drop out in training."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network: nn.Module = timm.create_model(name, num_classes=5, **{**FAMILIES, **MORE}[name])
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.02)
    return network


@pytest.fixture(
    scope="module",
    params=[*FAMILIES, *(pytest.param(name, marks=pytest.mark.slow) for name in MORE)],
)
def network(request: pytest.FixtureRequest) -> nn.Module:
    """In eval mode; nobody may change it."""
    return built(request.param).eval()


def pictures(count: int = 4, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 3, SIZE_PX, SIZE_PX, generator=generator)


def below_the_head(network: nn.Module) -> list[str]:
    return [stage.name for stage in stages(network)][:-1]


def test_above_of_below_is_the_network_behind_every_stage(network: nn.Module) -> None:
    with torch.no_grad():
        expected = network(pictures())
        for stage in below_the_head(network):
            cut = split(network, stage, size_px=SIZE_PX)
            between = cut.below(pictures())
            assert between.shape == (4, *cut.shape), stage
            torch.testing.assert_close(cut.above(between), expected, msg=stage)


def test_what_is_frozen_is_called_below_and_never_above(network: nn.Module) -> None:
    stage = below_the_head(network)[-2]
    cut = split(network, stage, size_px=SIZE_PX)
    below = stages(network)[: below_the_head(network).index(stage) + 1]
    called: list[nn.Module] = []
    handles = [
        network.get_submodule(name).register_forward_hook(lambda module, *_: called.append(module))
        for one in below
        for name in one.modules
    ]
    between = cut.below(pictures())
    assert called
    called.clear()
    cut.above(between)
    assert not called
    for handle in handles:
        handle.remove()


def test_what_is_above_has_the_very_tensors_of_the_network_under_their_names(
    network: nn.Module,
) -> None:
    for stage in below_the_head(network):
        above = split(network, stage, size_px=SIZE_PX).above
        own = network.state_dict(keep_vars=True)
        left = above.state_dict(keep_vars=True)
        assert all(value is own[name] for name, value in left.items())
        later = stages(network)[below_the_head(network).index(stage) + 1 :]
        assert {name for one in later for name in one.parameters} <= left.keys()
        learning = [(one.name, one.parameters) for one in stages(above)][-len(later) :]
        assert learning == [(one.name, one.parameters) for one in later]
        frozen = {name for one in stages(network) for name in one.parameters if one not in later}
        assert all("." not in name for name in frozen & left.keys())  # the network's very own


@pytest.mark.parametrize("name", FAMILIES)
def test_a_step_above_is_the_step_of_the_partly_frozen_network(name: str) -> None:
    whole, cut_up = built(name), built(name)
    stage = below_the_head(whole)[2]
    freeze_until(whole, stage)
    freeze_until(cut_up, stage)
    cut = split(cut_up, stage, size_px=SIZE_PX)
    whole.train()
    whole(pictures()).square().sum().backward()
    cut.above.train()
    cut.above(cut.below(pictures())).square().sum().backward()
    for (key, one), other in zip(whole.named_parameters(), cut_up.parameters(), strict=True):
        assert (one.grad is None) == (other.grad is None), key
        if one.grad is not None:
            torch.testing.assert_close(one.grad, other.grad, rtol=1e-3, atol=1e-4)
    for (key, one), other in zip(whole.named_buffers(), cut_up.buffers(), strict=True):
        torch.testing.assert_close(one, other, msg=key)


def test_training_above_trains_the_network() -> None:
    network = built("test_resnet")
    freeze_until(network, "stage2")
    cut = split(network, "stage2", size_px=SIZE_PX)
    before = copy.deepcopy(network.state_dict())
    between = cut.below(pictures())
    optimizer = torch.optim.SGD([p for p in cut.above.parameters() if p.requires_grad], lr=0.1)
    cut.above.train()
    cut.above(between).square().sum().backward()
    optimizer.step()
    frozen = {n for s in stages(network)[:3] for n in s.parameters}
    for name, _ in network.named_parameters():
        assert torch.equal(network.state_dict()[name], before[name]) == (name in frozen), name
    torch.testing.assert_close(network.eval()(pictures()), cut.above.eval()(cut.below(pictures())))


def test_what_is_below_is_at_rest_even_while_the_network_learns() -> None:
    network = built("test_resnet")
    cut = split(network, "stage2", size_px=SIZE_PX)
    before = copy.deepcopy(dict(network.named_buffers()))
    network.train()
    first = cut.below(pictures())
    assert not first.requires_grad
    assert torch.equal(first, cut.below(pictures()))
    for name, buffer in network.named_buffers():
        assert torch.equal(buffer, before[name]), name


def test_a_cut_leaves_the_network_as_it_was() -> None:
    network = built("test_resnet").train()
    network.get_submodule("layer3").eval()
    network.get_parameter("layer1.0.conv1.weight").requires_grad_(False)
    modes = [module.training for module in network.modules()]
    learning = [parameter.requires_grad for parameter in network.parameters()]
    state = copy.deepcopy(network.state_dict())
    split(network, "stage1", size_px=SIZE_PX)
    assert [module.training for module in network.modules()] == modes
    assert [parameter.requires_grad for parameter in network.parameters()] == learning
    for name, value in network.state_dict().items():
        assert torch.equal(value, state[name]), name
    assert all(parameter.grad is None for parameter in network.parameters())


def test_above_has_modes_of_its_own_after_the_network_was_frozen() -> None:
    network = built("test_vit")
    freeze_until(network, "stage1")
    network.eval()
    above = split(network, "stage1", size_px=SIZE_PX).above
    above.train()
    assert above.training
    assert not network.training
    assert network.get_submodule("blocks.3").training


def test_an_activation_is_not_changed_by_what_works_in_place() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=16), nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(4, 4, 1)),
        nn.Flatten(), nn.LazyLinear(2),
    )  # fmt: skip
    network(pictures())
    cut = split(network, "stage1", size_px=SIZE_PX)
    between = cut.below(pictures())
    before = between.clone()
    with torch.no_grad():
        cut.above(between)
    assert torch.equal(between, before)


class Net(nn.Module):
    """A network of three stages and a head, whose forward pass is a test's own."""

    def __init__(self, forward: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.third, self.head = nn.Conv2d(4, 4, 3, padding=1), nn.Linear(4, 2)
        self._own = forward

    def forward(self, planes: Tensor) -> Tensor:
        return self._own(self, planes)


def _end(net: Any, planes: Tensor) -> Tensor:
    return net.head(net.third(planes).mean((2, 3)))


def plain(net: Any, planes: Tensor) -> Tensor:
    return _end(net, net.second(net.first(planes)))


def past(net: Any, planes: Tensor) -> Tensor:
    first = net.first(planes)
    return _end(net, net.second(first) + 1e-9 * first)


def turned(net: Any, planes: Tensor) -> Tensor:
    return net.head(net.second(net.third(net.first(planes))).mean((2, 3)))


def twice(net: Any, planes: Tensor) -> Tensor:
    return _end(net, net.second(net.second(net.first(planes))))


def never(net: Any, planes: Tensor) -> Tensor:
    return _end(net, planes[:, [0, 1, 2, 0]])


def grown(net: Any, planes: Tensor) -> Tensor:
    first = net.first(planes)
    return _end(net, net.second(first) * len(net.first.weight.unfold(0, 1, 1)) * first.shape[1])


def moved(net: Any, planes: Tensor) -> Tensor:
    return _end(net, net.second(net.first(planes.mean(0, keepdim=True))))


def looked_at(net: Any, planes: Tensor) -> Tensor:
    first = net.first(planes)
    if first.isnan().any():
        raise ValueError("no number")
    return _end(net, net.second(first))


@pytest.mark.parametrize("forward", [plain, grown])
def test_a_network_of_ones_own_can_be_cut_too(forward: Callable[[Any, Tensor], Tensor]) -> None:
    network = Net(forward).eval()
    cut = split(network, "stage2", size_px=SIZE_PX)
    torch.testing.assert_close(cut.above(cut.below(pictures())), network(pictures()))


@pytest.mark.parametrize(
    ("forward", "why"),
    [
        (past, "third also reads what was made before second"),
        (turned, "second, which is frozen, reads what layers that learn have made"),
        (twice, "second is called several times for a picture"),
        (never, "none of its frozen modules is called"),
        (moved, "second answers something else than a row for each picture"),
        (looked_at, r"without its frozen modules it fails \(no number\)"),
    ],
)
def test_a_network_that_does_not_allow_it_is_refused_with_the_reason(
    forward: Callable[[Any, Tensor], Tensor], why: str
) -> None:
    with (
        torch.no_grad(),  # whatever the caller is in the midst of
        pytest.raises(CannotSplit, match=f"Net cannot be cut behind stage2: {why}. Its frozen"),
    ):
        split(Net(forward), "stage2", size_px=SIZE_PX)


def test_behind_the_head_nothing_would_learn() -> None:
    with pytest.raises(OutOfRange, match="freeze_until = 'head' cannot work"):
        split(built("test_resnet"), "head", size_px=SIZE_PX)


def test_a_typo_in_the_stage_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'stage2'"):
        split(built("test_resnet"), "stag2", size_px=SIZE_PX)
