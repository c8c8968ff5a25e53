"""The stages of a network, shallow to deep: one notion for VGG, ResNet, MobileNet, ConvNeXt, ViT.

A stage is what works on one grid, as in ``backbone.spec``: ``stage3`` of ``--freeze-until``
is what yields the features ``stage3/mean``. timm knows which layers follow each other (its
groups) and where a grid ends (its feature maps); this file puts the two together:

==============  ==================  ======  ======  ======  ============================  ====
network         stem                stage1  stage2  stage3  stage4                        head
==============  ==================  ======  ======  ======  ============================  ====
VGG             first two blocks    third   fourth  fifth   the two wide layers           last
ResNet          conv1, bn1          layer1  layer2  layer3  layer4                        fc
MobileNetV2     conv_stem, block 0  1       2       3, 4    5, 6, ``conv_head``           last
ConvNeXt        stem                0       1       2       3, the last norm              last
ViT, 12 blocks  patches, positions  0–2     3–5     6–8     9–11, the last norm           last
==============  ==================  ======  ======  ======  ============================  ====

The head is what starts anew for new classes: the classifier alone. Layers just before it, which
timm counts with it (VGG's wide layers, MobileNetV3's ``conv_head``, ConvNeXt's norm), come
trained and belong to the deepest stage: freezing that one leaves a linear probe in every family.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, cast

from torch import nn

from foveal.backbone.torch_bodies import chosen_stages
from foveal.core.errors import UnknownName

STEM = "stem"
HEAD = "head"

_SIZE_PX = 224  # of an imagined picture: only the ratios of its grids matter


@dataclass(frozen=True, slots=True)
class Stage:
    """Neighbouring layers of a network, by their names in it."""

    name: str  # stem, stage1, stage2, …, head
    parameters: tuple[str, ...]  # in the network's order; every parameter is in one stage
    modules: tuple[str, ...]  # the outermost modules that lie wholly in this stage


def stages(network: nn.Module) -> tuple[Stage, ...]:
    """Return the stages of a network, shallow to deep; those without parameters are left out.

    Networks of timm's whose groups and grids do not fit together get a stage per group. Of a
    network that is not timm's every child with parameters is a stage, in the order of their
    registration, and the last layer with parameters is the head.

    A module without parameters belongs to what comes before it (a pooling ends its stage), a
    dropout to what comes after it, whose input it thins: so a head keeps its dropout when all
    below it is frozen.

    >>> small = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Dropout(), nn.Linear(8, 2))
    >>> [(stage.name, stage.modules) for stage in stages(small)]
    [('stage1', ('0', '1')), ('head', ('2', '3'))]
    """
    head = _classifier(network)
    level = _levels(network, head)
    deepest = max(level.values(), default=0) + 1
    level |= dict.fromkeys(head, deepest)
    names: dict[int, list[str]] = {number: [] for number in sorted(set(level.values()))}
    for name, _ in network.named_parameters():
        names[level[name]].append(name)
    modules = _modules(network, level)
    return tuple(
        Stage(
            HEAD if number == deepest else f"stage{number}" if number else STEM,
            tuple(parameters),
            tuple(name for name, own in modules.items() if own == number),
        )
        for number, parameters in names.items()
    )


def pick_stage(network: nn.Module, name: str) -> Stage:
    """Return the stage of that name.

    Raises:
        UnknownName: if the network has none, with the nearest there is.
    """
    found = {stage.name: stage for stage in stages(network)}
    if name not in found:
        raise UnknownName(f"stage of this {type(network).__name__}", name, found)
    return found[name]


def _classifier(network: nn.Module) -> list[str]:
    """Return the names of the classifier's parameters; a distilled network has two classifiers."""
    if hasattr(network, "get_classifier"):
        answer = cast(Any, network).get_classifier()
        layers = answer if isinstance(answer, tuple | list) else [answer]
    else:
        layers = [m for m in network.modules() if any(True for _ in m.parameters(recurse=False))]
        layers = layers[-1:]
    own = {id(p) for m in layers if isinstance(m, nn.Module) for p in m.parameters()}
    return [name for name, parameter in network.named_parameters() if id(parameter) in own]


def _levels(network: nn.Module, head: list[str]) -> dict[str, int]:
    """Return for every parameter but the head's which stage it is in; 0 is the stem."""
    body = [name for name, _ in network.named_parameters() if name not in set(head)]
    if not hasattr(network, "group_matcher"):
        children = list(dict.fromkeys(name.partition(".")[0] for name in body))
        return {name: children.index(name.partition(".")[0]) + 1 for name in body}
    stem_end, ends = _ends(network)
    group = _timm_groups(network, [*body, *head, *ends, *([stem_end] if stem_end else [])])
    top = min([group[name] for name in head] or [max(group[name] for name in body) + 1])
    lasts = _lasts(group, stem_end, ends, top)
    return {name: min(bisect_left(lasts, group[name]), len(lasts) - 1) for name in body}


def _lasts(group: Mapping[str, int], stem_end: str | None, ends: list[str], top: int) -> list[int]:
    """Return the number of the last group in the stem, in stage 1, …, in the deepest stage.

    Args:
        group: name -> number of its group of timm's.
        stem_end: the module that ends the stem, if a map of the network does.
        ends: the modules that end the stages.
        top: the group of the head; what else is in it or deeper is the deepest stage's.
    """
    lasts = [group[name] for name in ends]
    if lasts:
        stem = group[stem_end] if stem_end else 0
        stem = stem if stem < top else 0  # an activation, which timm puts in no group
        lasts = [stem if stem < lasts[0] else -1, *lasts[:-1], top]
    if not lasts or any(last >= later for last, later in pairwise(lasts)):
        return list(range(max(top, 1)))
    return lasts


def _ends(network: nn.Module) -> tuple[str | None, list[str]]:
    """Return the modules that yield the last map of the stem and of every stage."""
    found = getattr(network, "feature_info", None) or []
    maps = [(str(entry["module"]), _SIZE_PX // int(entry["reduction"])) for entry in found]
    if not maps:
        return None, []
    grids = [grid for _, grid in maps]
    chosen = chosen_stages(grids, _SIZE_PX)
    finer = [name for name, grid in maps[: chosen[0]] if grid > grids[chosen[0]]]
    return finer[-1] if finer else None, [maps[index][0] for index in chosen]


def _timm_groups(network: nn.Module, names: list[str]) -> dict[str, int]:
    """Return the number of timm's group of every name: 0 first, in no group: the last."""
    from timm.models._manipulate import group_with_matcher

    matcher = cast(Any, network).group_matcher(coarse=True)
    numbers: dict[str, int] = group_with_matcher(((n, None) for n in names), matcher, reverse=True)
    return numbers


def _modules(network: nn.Module, level: Mapping[str, int]) -> dict[str, int]:
    """Return the outermost modules that lie wholly in one stage, and that stage."""
    level_of = {id(parameter): level[name] for name, parameter in network.named_parameters()}
    found = dict(_outermost(network, "", level_of))
    before: int | None = None
    for name, own in found.items():
        if own is not None:
            before = own
        elif _thins(network.get_submodule(name)):
            before = None  # it and what follows wait for the next layer that learns
        found[name] = before
    after = max(level.values())
    for name in reversed(found):
        own = found[name]
        found[name] = after = after if own is None else own
    return cast(dict[str, int], found)


def _outermost(
    module: nn.Module, prefix: str, level_of: Mapping[int, int]
) -> Iterator[tuple[str, int | None]]:
    """Yield (name, stage) in the order of registration; None for a module without parameters."""
    for child_name, child in module.named_children():
        name = f"{prefix}{child_name}"
        own = {level_of[id(parameter)] for parameter in child.parameters()}
        if len(own) > 1:
            yield from _outermost(child, f"{name}.", level_of)
        else:
            yield name, own.pop() if own else None


def _thins(module: nn.Module) -> bool:
    """Return whether it is a dropout of any kind, torch's or timm's (``DropPath``)."""
    return any("drop" in type(part).__name__.lower() for part in module.modules())
