"""`Machine`: which device a network is trained on, in which precision, beside which other ranks.

The one file that knows of them. Several processes (ranks) train one network on parts of each
batch: ``torchrun --nproc-per-node N -m foveal fit …``, on one host or on several. Their
gradients are added up by plain ``torch.distributed``, over NCCL between graphics cards and
over Gloo between processors.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, distributed, nn

from foveal.core.errors import NotThere, OutOfRange
from foveal.core.machine import ranks
from foveal.train.network.meeting import store_of

PRECISIONS = ("auto", "float32", "bf16", "fp16")
_TENSOR_CORES = (7, 0)  # the first cards that are fast in fp16: Volta
_GROUPS = {"cpu": "gloo", "cuda": "cpu:gloo,cuda:nccl"}  # what is no tensor goes by Gloo
PATIENCE = timedelta(minutes=30)  # that ranks wait for each other: the first one may embed a set


@dataclass(frozen=True, slots=True)
class Machine:
    """Where the work is done, and with whom."""

    device: torch.device
    precision: str = "float32"  # of the products; sums, weights and losses stay float32
    rank: int = 0
    ranks: int = 1
    free: bool = False  # whether the precision may be changed to suit a network

    @property
    def leads(self) -> bool:
        """Whether this process is the one that speaks, judges and saves."""
        return self.rank == 0

    def autocast(self) -> AbstractContextManager[Any]:
        """Compute products in the machine's precision inside the block."""
        if self.precision == "float32":
            return nullcontext()
        kind = torch.bfloat16 if self.precision == "bf16" else torch.float16
        return torch.autocast(self.device.type, kind)

    def suited_to(self, network: nn.Module) -> Machine:
        """Return the machine in the precision that pays for a network, where none was named.

        On processors with bfloat16 units a training step of ResNet-18 takes half as long in
        bf16, one of MobileNetV2 longer than in float32: its depthwise convolutions have no fast
        kernel. So bf16 it is where no convolution is grouped; the rule knows no clock, and a run
        that goes on comes to the same.
        """
        grouped = any(isinstance(m, nn.Conv2d) and m.groups > 1 for m in network.modules())
        if not self.free or grouped or not _has_bf16_units():
            return self
        return replace(self, precision="bf16")

    def place(self, network: nn.Module) -> nn.Module:
        """Move a network to the device, in the layout that convolutions are fastest in."""
        return network.to(self.device).to(memory_format=torch.channels_last)

    @contextmanager
    def leader_first(self) -> Iterator[None]:
        """Let the first rank do the block before the others, which then find it cached."""
        if self.ranks > 1 and not self.leads:
            distributed.barrier()
        yield
        if self.ranks > 1 and self.leads:
            distributed.barrier()

    def add_up(self, tensor: Tensor) -> Tensor:
        """Return the sum of a tensor over all ranks; it is changed in place."""
        if self.ranks > 1:
            distributed.all_reduce(tensor)
        return tensor

    def add_gradients(self, network: nn.Module) -> None:
        """Give every rank the sum of all ranks' gradients: one exchange for the whole network.

        A parameter that no rank has a gradient of stays without one, as in a single process.
        """
        if self.ranks > 1:
            learnt = [p for p in network.parameters() if p.requires_grad]
            gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in learnt]
            used = torch.tensor([float(p.grad is not None) for p in learnt], device=self.device)
            self._exchanged([*gradients, used], scale=1.0)
            for parameter, gradient, ranks in zip(learnt, gradients, used.tolist(), strict=True):
                parameter.grad = gradient if ranks else None

    def average_statistics(self, network: nn.Module) -> None:
        """Give every rank the mean of all ranks' BatchNorm statistics, so that all are equal."""
        if self.ranks > 1:
            floats = [b for b in network.buffers() if b.is_floating_point()]
            self._exchanged(floats, scale=1 / self.ranks)

    def share(self, network: nn.Module) -> None:
        """Give every rank the first one's weights and statistics."""
        if self.ranks > 1:
            state = {name: value.cpu() for name, value in network.state_dict().items()}
            network.load_state_dict(self.from_leader(state))

    def gathered(self, value: object) -> list[Any]:
        """Return every rank's ``value`` in the order of ranks, on every rank."""
        if self.ranks == 1:
            return [value]
        found: list[Any] = [None] * self.ranks
        distributed.all_gather_object(found, value)
        return found

    def from_leader(self, value: object) -> Any:  # noqa: ANN401  # whatever the leader has
        """Return the first rank's ``value`` on every rank."""
        if self.ranks == 1:
            return value
        box = [value]
        distributed.broadcast_object_list(box, src=0)
        return box[0]

    def _exchanged(self, tensors: list[Tensor], *, scale: float) -> None:
        if not tensors:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        distributed.all_reduce(flat)
        flat *= scale
        start = 0
        for tensor in tensors:
            tensor.copy_(flat[start : start + tensor.numel()].view_as(tensor))
            start += tensor.numel()


ALONE = Machine(torch.device("cpu"))


@contextmanager
def machine(device: str = "auto", precision: str = "auto") -> Iterator[Machine]:
    """Yield the machine for what was asked, joined with its ranks where ``torchrun`` started some.

    Args:
        device: ``auto`` (a CUDA card where there is one), ``cpu``, ``cuda`` or ``cuda:N``. Ranks
            take the card of their number on the host, and cannot be given another.
        precision: ``auto`` (on cards bf16, or fp16 where they have no units for that; elsewhere
            float32), ``float32``, ``bf16``, ``fp16``. On processors without such units the short
            ones are several times as slow as float32.

    Raises:
        NotThere: for a card that this machine, or this torch, does not have.
        OutOfRange: for a name that is none.
    """
    rank, count, on_host = ranks()
    place = _device(device, on_host if count > 1 else None)
    free = precision == "auto" and place.type == "cpu"
    found = Machine(place, _precision(precision, place), rank, count, free)
    if count == 1:
        yield found
        return
    if place.type == "cuda":
        torch.cuda.set_device(place)
    distributed.init_process_group(
        _GROUPS[place.type],
        store=store_of(rank, count, patience=PATIENCE),
        rank=rank,
        world_size=count,
        timeout=PATIENCE,
    )
    try:
        yield found
    finally:
        distributed.destroy_process_group()


def _device(name: str, local_rank: int | None) -> torch.device:
    cards = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        name = "cuda" if cards else "cpu"
    try:
        place = torch.device(name)
    except RuntimeError:
        raise OutOfRange("device", name, "auto, cpu, cuda or cuda:N") from None
    if place.type not in {"cpu", "cuda"}:
        raise OutOfRange("device", name, "auto, cpu, cuda or cuda:N")
    if place.type == "cpu":
        return torch.device("cpu")
    if place.index is not None and local_rank is not None:
        raise OutOfRange("device", name, "cuda: each of several ranks takes a card of its own")
    number = (local_rank or 0) if place.index is None else place.index
    if number >= cards:
        there = f"{cards} CUDA card{'s' if cards > 1 else ''}" if cards else "no CUDA card"
        raise NotThere(
            f"The device {name!r} is not there: this machine and this torch see {there}.",
            hint="Leave device out, or say cpu.",
        )
    return torch.device("cuda", number)


def _has_bf16_units() -> bool:
    """Return whether this processor multiplies bfloat16 numbers itself; without, they are slow."""
    able = torch.cpu.get_capabilities()
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))


def _precision(name: str, place: torch.device) -> str:
    if name not in PRECISIONS:
        raise OutOfRange("precision", name, "auto, float32, bf16 or fp16")
    if name != "auto":
        return name
    if place.type == "cpu":
        return "float32"
    if torch.cuda.is_bf16_supported(including_emulation=False):
        return "bf16"
    return "fp16" if torch.cuda.get_device_capability(place) >= _TENSOR_CORES else "float32"
