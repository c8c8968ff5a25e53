"""What the stages of a network keep to, whatever its family: random weights, small pictures."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, cast

import pytest
import timm
import torch
from torch import Tensor, nn

from foveal.backbone.spec import LAST, LOGITS
from foveal.backbone.torch_bodies import TimmBody
from foveal.train.network.stages import HEAD, STEM, stages

SIZE_PX, CLASSES = 64, 5
FAMILIES: dict[str, dict[str, Any]] = {
    "vgg11_bn": {"mlp_ratio": 0.01},  # its giant layer, cut down
    "resnet18": {},
    "mobilenetv2_035": {},
    "mobilenetv3_small_050": {},
    "test_convnext": {},
    "test_vit": {"img_size": SIZE_PX},
    "test_efficientnet": {},
    "test_nfnet": {},
}
MORE: dict[str, dict[str, Any]] = {
    "vgg16": {"mlp_ratio": 0.01},
    "resnet50": {},
    "mobilenetv2_100": {},
    "mobilenetv3_large_100": {},
    "convnext_atto": {},
    "vit_tiny_patch16_224": {"img_size": SIZE_PX},
    "densenet121": {},
    "regnety_002": {},
    "res2net50_26w_4s": {},
    "deit_tiny_distilled_patch16_224": {"img_size": SIZE_PX},
    "eva02_tiny_patch14_224": {"img_size": 56},
    "swin_tiny_patch4_window7_224": {"img_size": SIZE_PX, "window_size": 2},
}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """For small networks the faster, and where other programs are busy much the faster."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(
    scope="module",
    params=[*FAMILIES, *(pytest.param(name, marks=pytest.mark.slow) for name in MORE)],
)
def network(request: pytest.FixtureRequest) -> nn.Module:
    """A network in eval mode with weights that all count: timm starts some at zero, or nearly."""
    arguments = {**FAMILIES, **MORE}[request.param]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made: nn.Module = timm.create_model(request.param, num_classes=CLASSES, **arguments)
        _shake(made.parameters())
    return made.eval()


@pytest.fixture(scope="module")
def body(network: nn.Module) -> TimmBody:
    """The network as a backbone names its maps."""
    return TimmBody(network, _side(network))


def _side(network: nn.Module) -> int:
    patches = getattr(network, "patch_embed", None)
    return int(patches.img_size[0]) if patches is not None else SIZE_PX


def _shake(parameters: Iterator[nn.Parameter]) -> None:
    with torch.no_grad():
        for parameter in parameters:
            parameter.add_(torch.randn_like(parameter) * 0.05)


def pictures(network: nn.Module) -> Tensor:
    """Two of them, always the same."""
    side = _side(network)
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1))


def outputs(body: TimmBody) -> dict[str, Tensor]:
    """Every map, the last features and the logits."""
    with torch.no_grad():
        return {name: value.clone() for name, value in body(pictures(body.network)).items()}


def test_every_parameter_is_in_exactly_one_stage(network: nn.Module) -> None:
    counted = Counter(name for stage in stages(network) for name in stage.parameters)
    assert counted == Counter(name for name, _ in network.named_parameters())


def test_every_module_is_in_one_stage_or_only_holds_others(network: nn.Module) -> None:
    owner = {name: stage.name for stage in stages(network) for name in stage.modules}
    for name, module in network.named_modules():
        above = [owned for owned in owner if name == owned or name.startswith(f"{owned}.")]
        holds = bool(list(module.children()))
        assert len(above) == 1 or (not above and holds), name


def test_the_modules_of_a_stage_hold_its_parameters_and_no_others(network: nn.Module) -> None:
    for stage in stages(network):
        held = {
            f"{name}.{inner}"
            for name in stage.modules
            for inner, _ in network.get_submodule(name).named_parameters()
        }
        loose = {name for name in stage.parameters if "." not in name}  # the network's very own
        assert held | loose == set(stage.parameters)


def test_their_names_are_those_of_the_backbones_maps(network: nn.Module, body: TimmBody) -> None:
    names = [stage.name for stage in stages(network)]
    numbered = [f"stage{number}" for number in range(1, len(names) - 1)]
    assert names == [STEM, *numbered, HEAD]
    maps = [name.removesuffix("/map") for name in outputs(body) if name.startswith("stage")]
    assert maps == numbered


def test_a_stage_changes_its_map_and_the_deeper_ones_and_none_before(
    network: nn.Module, body: TimmBody
) -> None:
    before, kept = outputs(body), copy.deepcopy(network.state_dict())
    names = [stage.name for stage in stages(network)]
    order = [STEM, *(f"{name}/map" for name in names[1:-2]), LAST, LOGITS]
    for place, stage in enumerate(stages(network)):
        _shake(network.get_parameter(name) for name in stage.parameters)
        after = outputs(body)
        network.load_state_dict(kept)
        for name in order[1:]:
            same = torch.equal(after[name], before[name])
            assert same == (order.index(name) < place), f"{name} after {stage.name} changed"


def test_the_head_is_the_classifier_alone(network: nn.Module) -> None:
    classifier = cast(Any, network).get_classifier()
    layers = classifier if isinstance(classifier, tuple) else (classifier,)
    own = {id(parameter) for layer in layers for parameter in layer.parameters()}
    head = stages(network)[-1]
    assert {id(network.get_parameter(name)) for name in head.parameters} == own


def test_freezing_all_below_the_head_leaves_a_linear_probe(network: nn.Module) -> None:
    """In train mode, with the frozen modules in eval mode: a linear layer on features at rest."""
    frozen = copy.deepcopy(network)
    for module in frozen.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.5  # as fine-tuning sets it: it may thin what the head reads, no more
    frozen.train()
    *below, head = stages(frozen)
    for name in (name for stage in below for name in stage.modules):
        frozen.get_submodule(name).eval()
    seen: list[Tensor] = []
    reads = frozen.get_submodule(head.modules[0])
    with reads.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone())):
        frozen(pictures(network))
        frozen.eval()
        frozen(pictures(network))
    for learnt, judged in zip(seen[: len(seen) // 2], seen[len(seen) // 2 :], strict=True):
        assert torch.equal(learnt, judged)
    buffers = dict(network.named_buffers())
    for name, buffer in frozen.named_buffers():
        assert torch.equal(buffer, buffers[name]), name


def test_stages_are_neighbours_in_the_order_of_registration(network: nn.Module) -> None:
    order = [name for name, _ in network.named_modules()]
    lasts = [max(map(order.index, stage.modules)) for stage in stages(network)]
    assert all(earlier < later for earlier, later in pairwise(lasts))
