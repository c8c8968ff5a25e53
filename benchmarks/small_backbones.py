"""Claim: the network in the box runs at 128 px at least 3 times as fast as resnet18 at 224.

And what other shapes of it would have cost, to run and to train: chance weights, so nothing but
time is compared. Each candidate is a residual network of one basic block a layer that timm builds
from its arguments.

Running: images/s of one pass over PICTURES pictures of noise by `OnnxBackbone.embed` of `last`, two
threads, candidate and resnet18 in turn (ABAB…); the ratio is the median of ROUNDS pairs, with the
least and the most. Training: images per CPU-second of one step (forward, backward, SGD; batch 32,
one thread, channels last, float32 and bf16), the best of STEPS: CPU time, because it depends less
on what else the machine does. Multiply-adds are those of the convolutions.

Run: python benchmarks/small_backbones.py [NAME …] (needs the extra ``train``; ten minutes on two
quiet cores). Results: docs/decisions/0010-foveal-s.md and results/.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import timm
import torch
from results import save
from torch import nn

from foveal.backbone.residual import residual
from foveal.backbone.running import OnnxBackbone
from foveal.backbone.spec import LAST, BackboneSpec
from foveal.image.preprocess import Preprocess
from foveal.train.network.allocator import keep_freed_memory

THREADS, ROUNDS, PICTURES, STEPS, BATCH = 2, 5, 16, 4, 32
HOST = ({"layers": [2, 2, 2, 2], "channels": [64, 128, 256, 512]}, 224)  # resnet18
DEEP = {"layers": [1, 1, 1, 1], "stem_type": "deep"}
CANDIDATES: dict[str, tuple[dict[str, Any], int]] = {
    "foveal-s: stem 8, 48-96-192-384": (
        {**DEEP, "stem_width": 8, "channels": [48, 96, 192, 384]},
        128,
    ),
    "foveal-s at its default size": (
        {**DEEP, "stem_width": 8, "channels": [48, 96, 192, 384]},
        160,
    ),
    "stem 16, 48-96-192-384": ({**DEEP, "stem_width": 16, "channels": [48, 96, 192, 384]}, 128),
    "stem 24, 48-96-192-384": ({**DEEP, "stem_width": 24, "channels": [48, 96, 192, 384]}, 128),
    "stem 7x7, 48-96-192-384": ({"layers": [1, 1, 1, 1], "channels": [48, 96, 192, 384]}, 128),
    "stem 8, 32-96-256-512": ({**DEEP, "stem_width": 8, "channels": [32, 96, 256, 512]}, 128),
    "stem 8, 64-128-256-384": ({**DEEP, "stem_width": 8, "channels": [64, 128, 256, 384]}, 128),
    "stem 8, 64-128-256-512": ({**DEEP, "stem_width": 8, "channels": [64, 128, 256, 512]}, 128),
    "stem 7x7, 64-128-256-512": ({"layers": [1, 1, 1, 1], "channels": [64, 128, 256, 512]}, 128),
}


def network_of(arguments: dict[str, Any]) -> nn.Module:
    """Return a network of chance weights."""
    network: nn.Module = timm.create_model("resnet18", num_classes=200, **arguments)
    return network.eval()


def backbone_of(network: nn.Module, size_px: int) -> OnnxBackbone:
    """Return its graph, ready to run."""
    weights = {name: value.numpy() for name, value in network.state_dict().items()}
    preprocess = Preprocess(size_px=size_px)
    made = residual(weights, preprocess)
    spec = BackboneSpec(
        name="candidate", preprocess=preprocess, features=made.features, last_grid=made.last_grid,
        last_is_mean=True, stages=made.stages, fingerprint="", weights="chance",
        classes=made.classes,
    )  # fmt: skip
    return OnnxBackbone(spec, made.model, threads=THREADS)


def images_per_second(backbone: OnnxBackbone) -> float:
    """Return the speed of one pass."""
    size = backbone.spec.preprocess.size_px
    pixels = np.random.default_rng(0).integers(0, 256, (PICTURES, size, size, 3), np.uint8)
    start = time.perf_counter()
    backbone.embed(pixels, [LAST])
    return PICTURES / (time.perf_counter() - start)


def speeds(candidate: OnnxBackbone, host: OnnxBackbone) -> dict[str, float]:
    """Return the candidate's speed, the host's, and their ratio pair by pair."""
    pairs = [(images_per_second(candidate), images_per_second(host)) for _ in range(ROUNDS + 1)][1:]
    ratios = [ours / theirs for ours, theirs in pairs]
    return {
        "images_per_second": statistics.median(ours for ours, _ in pairs),
        "host": statistics.median(theirs for _, theirs in pairs),
        "ratio": statistics.median(ratios),
        "ratio_least": min(ratios),
        "ratio_most": max(ratios),
    }


def training(network: nn.Module, size_px: int, *, bf16: bool) -> float:
    """Return the images that a CPU-second trains."""
    network = network.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]  # torch's own way
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, nesterov=True)
    planes = torch.randn(BATCH, 3, size_px, size_px).to(memory_format=torch.channels_last)
    labels = torch.randint(0, 200, (BATCH,))

    def step() -> float:
        start = time.process_time()
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            logits = network(planes)
        torch.autograd.backward(nn.functional.cross_entropy(logits.float(), labels))
        optimizer.step()
        return time.process_time() - start

    step()
    return BATCH / min(step() for _ in range(STEPS))


def multiply_adds(network: nn.Module, size_px: int) -> int:
    """Return the multiplications of all convolutions for one picture."""
    total = 0

    def count(layer: nn.Module, _: object, out: torch.Tensor) -> None:
        nonlocal total
        total += out[0].numel() * cast(nn.Conv2d, layer).weight[0].numel()

    hooks = [
        layer.register_forward_hook(cast(Callable[..., None], count))
        for layer in network.modules()
        if isinstance(layer, nn.Conv2d)
    ]
    with torch.no_grad():
        network.eval()(torch.zeros(1, 3, size_px, size_px))
    for hook in hooks:
        hook.remove()
    return total


def main() -> None:
    """Print a line per candidate and save them."""
    keep_freed_memory()
    torch.set_num_threads(1)
    host = backbone_of(network_of(HOST[0]), HOST[1])
    found: dict[str, Any] = {"threads": THREADS, "rounds": ROUNDS, "candidates": {}}
    wanted = sys.argv[1:]
    for name, (arguments, size_px) in CANDIDATES.items():
        if wanted and not any(word in name for word in wanted):
            continue
        network = network_of(arguments)
        facts = {
            "weights_m": sum(p.numel() for p in network.parameters()) / 1e6,
            "multiply_adds_m": multiply_adds(network, size_px) / 1e6,
            **speeds(backbone_of(network, size_px), host),
            "trained_float32": training(network, size_px, bf16=False),
            "trained_bf16": training(network, size_px, bf16=True),
        }
        print(f"{name}: {', '.join(f'{key} {value:.2f}' for key, value in facts.items())}")
        found["candidates"][name] = {"arguments": arguments, "size_px": size_px, **facts}
    print(save("small_backbones", found))


if __name__ == "__main__":
    main()
