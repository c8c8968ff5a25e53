"""A partly frozen network in two: what lies below the freezing point, and what learns above it.

    cut = split(network, "stage3", size_px=128)
    cut.above(cut.below(planes))  # network(planes)

What ``below`` answers to a picture stays the same from epoch to epoch, so it is computed once
(``activations``) and only ``above`` is trained. That is the network itself, of its own class, with
its own modules and under their own names, but for stand-ins where the frozen ones were: training
it trains the network, and ``stages(above)`` and ``above.state_dict()`` are what is left of the
network's.

One technique for all families: the network's own ``forward`` runs both times. Below, it is broken
off when the last frozen module has answered. Above, that module answers what it is given, and the
other frozen ones something of the right shape in which every number is NaN: it costs nothing, and
would show if anything but the last answer were read further up. So a cut is checked once, on
pictures of no meaning. Where a network does not allow it (a connection past the freezing point, a
learning layer before it) that is said, and its frozen part has to run every epoch.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor, nn

from foveal.core.errors import FovealError, OutOfRange
from foveal.train.network.stages import HEAD, pick_stage, stages

_PICTURES = 3  # of the check: a first axis of this length is that of the pictures
_CLOSE = 1e-4  # of the largest number of an answer

Answers = list[tuple[str, Any]]  # a module's name and what it answered, in the order of the calls


class CannotSplit(FovealError):
    """A network that cannot be cut at a stage: its frozen part has to run every epoch."""

    def __init__(self, network: nn.Module, stage: str, why: str) -> None:
        super().__init__(
            f"{type(network).__name__} cannot be cut behind {stage}: {why}.",
            hint="Its frozen part has to run every epoch.",
        )


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """A network cut behind a stage."""

    stage: str  # the last one that is frozen
    shape: tuple[int, ...]  # of what ``below`` answers to one picture
    below: Callable[[Tensor], Tensor]  # (B, 3, H, W) as for the network -> (B, *shape)
    above: nn.Module  # (B, *shape) -> logits (B, K)


def split(network: nn.Module, stage_name: str, *, size_px: int) -> Split:
    """Cut a network behind a stage.

    The stages up to this one are to stay frozen as long as the cut is used: see ``freezing``.
    ``below`` puts them in eval mode.

    Args:
        network: any; left as it is.
        stage_name: the last stage that is frozen.
        size_px: side of the network's input.

    Raises:
        UnknownName: if the network has no stage of that name.
        OutOfRange: for the head, since nothing would be left to learn.
        CannotSplit: if the network does not allow it.
    """
    found, last = stages(network), pick_stage(network, stage_name)
    if last.name == HEAD:
        raise OutOfRange("freeze_until", stage_name, "a stage below the head, which learns")
    height = found.index(last) + 1
    frozen, learning = (
        [name for stage in part for name in stage.modules]
        for part in (found[:height], found[height:])
    )
    parameters = {name for stage in found[:height] for name in stage.parameters}
    refusal = partial(CannotSplit, network, stage_name)
    device = next(network.parameters()).device
    planes = torch.linspace(-1, 1, _PICTURES * 3 * size_px**2, device=device)
    planes = planes.reshape(_PICTURES, 3, size_px, size_px)
    with _judged(network, parameters):
        heard, logits = _heard(network, [*frozen, *learning], planes)
        border, activation = _border([call for call in heard if call[0] in frozen], refusal)
        answers = dict.fromkeys(frozen) | dict(heard)
        below = partial(_below, network, frozen, border)
        above = _above(network, {name: answers[name] for name in frozen}, border, size_px)
        try:
            heard_above, logits_above = _heard(above, learning, below(planes))
        except Exception as error:
            raise refusal(f"without its frozen modules it fails ({error})") from error
        expected = [*(call for call in heard if call[0] in learning), ("it", logits)]
        odd = _first_other(expected, [*heard_above, ("it", logits_above)])
        if odd is not None:
            raise refusal(f"{odd} also reads what was made before {border}")
    return Split(stage_name, tuple(activation.shape[1:]), below, above)


def _border(answers: Answers, refusal: Callable[[str], CannotSplit]) -> tuple[str, Tensor]:
    """Return the frozen module that is called last and what it answered, if that can be kept."""
    if not answers:
        raise refusal("none of its frozen modules is called")
    name, answer = answers[-1]
    if not isinstance(answer, Tensor) or answer.shape[:1] != (_PICTURES,):
        raise refusal(f"{name} answers something else than a row for each picture")
    if answer.requires_grad:
        raise refusal(f"{name}, which is frozen, reads what layers that learn have made")
    if [other for other, _ in answers].count(name) > 1:
        raise refusal(f"{name} is called several times for a picture")
    return name, answer


def _below(network: nn.Module, frozen: Sequence[str], border: str, planes: Tensor) -> Tensor:
    """Run the network until ``border`` has answered, and return that."""

    def stop(_: nn.Module, __: object, answer: Tensor) -> None:
        raise _Reached(answer)

    for name in frozen:
        network.get_submodule(name).eval()
    with torch.no_grad(), network.get_submodule(border).register_forward_hook(stop):
        try:
            network(planes)
        except _Reached as reached:
            return reached.answer
    raise AssertionError(f"{border} was called when the network was cut, and is no longer")


class _Reached(Exception):
    """The freezing point was reached."""

    def __init__(self, answer: Tensor) -> None:
        super().__init__()
        self.answer = answer


def _above(network: nn.Module, answers: Mapping[str, Any], border: str, size_px: int) -> nn.Module:
    """Return the network with stand-ins for the modules of ``answers``, ``border`` the last."""
    given: list[Tensor] = []  # the activations of the pass under way
    standing_in = {
        name: _StandIn(network.get_submodule(name), partial(_unreal, answer), given)
        for name, answer in answers.items()
    }
    standing_in[border] = _StandIn(network.get_submodule(border), torch.clone, given)
    above = _with(network, standing_in)
    vars(above)["forward"] = partial(_forward, above, given, size_px)
    return above


def _forward(network: nn.Module, given: list[Tensor], size_px: int, activation: Tensor) -> Any:  # noqa: ANN401 — as the network's
    """Answer an activation with what the network would make of its pictures."""
    given[:] = [activation]
    planes = _nothing(activation, 3, size_px, size_px)
    try:
        return type(network).forward(network, planes)
    finally:
        given.clear()


class _StandIn(nn.Module):
    """A module without parameters that answers in the place of another."""

    def __init__(
        self, instead_of: nn.Module, answer: Callable[[Tensor], Any], given: list[Tensor]
    ) -> None:
        super().__init__()
        self._instead_of = (instead_of,)  # a tuple, lest it be registered
        self._answer, self._given = answer, given

    def forward(self, *_: object, **__: object) -> Any:  # noqa: ANN401 — as the other's
        """Answer whatever it is asked."""
        return self._answer(self._given[0])

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 — as the other's
        """Return what else the network wants to know of the other, such as its grid of patches."""
        other = vars(self).get("_instead_of")
        return super().__getattr__(name) if other is None else getattr(other[0], name)


def _with(module: nn.Module, others: Mapping[str, nn.Module]) -> nn.Module:
    """Return a module that shares all with ``module`` but has ``others`` under their names."""
    made = copy.copy(module)
    vars(made).pop("train", None)  # bound to ``module``, see ``freezing``
    vars(made)["_modules"] = inner = dict(module._modules)
    for name, child in module._modules.items():
        below = {
            other.removeprefix(f"{name}."): value
            for other, value in others.items()
            if other.startswith(f"{name}.")
        }
        if name in others:
            inner[name] = others[name]
        elif below and child is not None:
            inner[name] = _with(child, below)
    return made


def _unreal(answer: Any, activation: Tensor) -> Any:  # noqa: ANN401 — as the module's
    """Return what looks like ``answer``, for the pictures of ``activation``, and is not."""
    if isinstance(answer, tuple | list):
        return type(answer)(_unreal(part, activation) for part in answer)
    if isinstance(answer, Tensor) and answer.is_floating_point() and len(answer) == _PICTURES:
        return _nothing(activation, *answer.shape[1:])
    return answer


def _nothing(activation: Tensor, *shape: int) -> Tensor:
    """Return NaN in a shape, for as many pictures as there are, in the memory of one number."""
    return activation.new_full((), torch.nan).expand(len(activation), *shape)


@contextmanager
def _judged(network: nn.Module, frozen: set[str]) -> Iterator[None]:
    """Put the network in eval mode, with gradients for what is not frozen; then back."""
    modes = [(module, module.training) for module in network.modules()]
    gradients = [(parameter, parameter.requires_grad) for parameter in network.parameters()]
    try:
        for module, _ in modes:
            module.training = False
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(name not in frozen)
        with torch.enable_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode
        for parameter, learns in gradients:
            parameter.requires_grad_(learns)


def _heard(network: nn.Module, names: Sequence[str], inputs: Tensor) -> tuple[Answers, Tensor]:
    """Run a network; return what the named modules answered, and what it answered itself."""
    answers: Answers = []

    def hear(name: str, _: nn.Module, __: object, answer: object) -> None:
        answers.append((name, answer))

    with ExitStack() as hooks:
        for name in names:
            module = network.get_submodule(name)
            hooks.enter_context(module.register_forward_hook(partial(hear, name)))
        return answers, network(inputs)


def _first_other(expected: Answers, got: Answers) -> str | None:
    """Return the first module that did not answer the same; None: all did."""
    for (name, before), (other, after) in zip_longest(expected, got, fillvalue=("it", None)):
        if name != other or type(before) is not type(after):
            return name
        if isinstance(before, Tensor) and isinstance(after, Tensor) and not _same(before, after):
            return name
    return None


def _same(before: Tensor, after: Tensor) -> bool:
    if before.shape != after.shape:
        return False
    return bool((before - after).abs().max() <= _CLOSE * before.abs().max())  # NaN is not
