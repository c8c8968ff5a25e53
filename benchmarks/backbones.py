"""Claim: ONNX Runtime runs a frozen network at least 1.3 times as fast as PyTorch does.

And on what it spends its time, which is what keeps small networks from more.

Speed: images/s of one pass over 64 pictures of noise, 224 px, by everything below in turn, round
after round; median and best of ROUNDS after one to warm up. PyTorch gets its pixels normalised
already. Profile: the seconds of every operator of the graph (ONNX Runtime's own profiler), by
kind, with the arithmetic and the bytes it moves beside the machine's peak of both, measured here.

Run: python benchmarks/backbones.py SHARED/data (needs the extra ``train``; about 10 minutes on two
quiet cores). Results: docs/decisions/0008-small-networks.md and results/.
"""

from __future__ import annotations

import gzip
import json
import math
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from results import save

from foveal.backbone import graphs
from foveal.backbone.catalog import pick
from foveal.backbone.running import OnnxBackbone, session_options
from foveal.backbone.settings import BackboneSettings
from foveal.backbone.spec import LAST, PIXELS
from foveal.backbone.torch_load import load_timm

THREADS = 2
ROUNDS = 5
PICTURES = 64
BATCHES = (1, 4, 8, 32)
HALF = (0.5, 0.5, 0.5)

Way = Callable[[], object]


def networks(shared: Path, scratch: Path) -> dict[str, BackboneSettings]:
    """Return the networks whose real weights are at hand."""
    weights = shared / "weights"
    unpacked = scratch / "resnet50.safetensors"
    unpacked.write_bytes(gzip.decompress((weights / "resnet50.safetensors.gz").read_bytes()))
    return {
        "resnet18": BackboneSettings(backbone="resnet18", weights=weights / "resnet18.safetensors"),
        "resnet50": BackboneSettings(backbone="resnet50", weights=unpacked),
        "mobilenetv2_100": BackboneSettings(
            backbone="mobilenetv2_100",
            weights=weights / "mobilenetv2_100.safetensors",
            model_args={"pad_type": "same", "bn_eps": 1e-3},
            mean=HALF,
            std=HALF,
        ),
    }


def ways(settings: BackboneSettings, backbone: OnnxBackbone) -> dict[str, Way]:
    """Return every way to compute the features of the same pictures once."""
    size = backbone.spec.preprocess.size_px
    pixels = np.random.default_rng(0).integers(0, 256, (PICTURES, size, size, 3), dtype=np.uint8)
    found: dict[str, Way] = {
        "foveal, last": lambda: backbone.embed(pixels, [LAST]),
        "foveal, all blocks": lambda: backbone.embed(pixels, list(backbone.spec.widths())),
    }
    graph = graphs.to_bytes(backbone.graph([LAST]))
    spinning = ort.SessionOptions()  # its default; the rest of our options are defaults too
    spinning.intra_op_num_threads = THREADS
    for how, options, together in (
        ("threads share operators, spinning", spinning, 1),
        ("threads share operators, sleeping", session_options(THREADS), 1),
        ("threads have pictures of their own", session_options(1), THREADS),
    ):
        session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        for batch in BATCHES:
            found[f"{how}, batch {batch}"] = _batched(session, pixels, batch, together)
    layouts = {"eager": torch.contiguous_format, "channels_last": torch.channels_last}
    for name, layout in layouts.items():
        found[f"torch, {name}, batch 32"] = _torch(settings, size, layout)
    return found


def _batched(
    session: ort.InferenceSession, pixels: NDArray[np.uint8], batch: int, together: int
) -> Way:
    def one(start: int) -> None:
        session.run(None, {PIXELS: pixels[start : start + batch]})

    def run() -> None:
        with ThreadPoolExecutor(together) as pool:
            list(pool.map(one, range(0, PICTURES, batch)))

    return run


def _torch(settings: BackboneSettings, size: int, layout: torch.memory_format) -> Way:
    network = load_timm(settings).network.to(memory_format=layout)
    generator = torch.Generator().manual_seed(0)
    planes = torch.randn(PICTURES, 3, size, size, generator=generator).to(memory_format=layout)

    def run() -> None:
        with torch.inference_mode():
            for start in range(0, PICTURES, 32):
                features = network.forward_features(planes[start : start + 32])
                network.forward_head(features, pre_logits=True)

    return run


def images_per_second(candidates: dict[str, Way]) -> dict[str, dict[str, float]]:
    """Return median and best images/s, and the CPU milliseconds an image, of every way."""
    wall_s, cpu_s = defaultdict(list), defaultdict(list)
    for round_ in range(ROUNDS + 1):
        for name, way in candidates.items():
            wall, cpu = time.perf_counter(), time.process_time()
            way()
            if round_:
                wall_s[name].append(time.perf_counter() - wall)
                cpu_s[name].append(time.process_time() - cpu)
    return {
        name: {
            "median": PICTURES / statistics.median(wall_s[name]),
            "best": PICTURES / min(wall_s[name]),
            "cpu_ms": 1000 * statistics.median(cpu_s[name]) / PICTURES,
        }
        for name in candidates
    }


@dataclass
class Kind:
    """What operators of one kind cost for one picture."""

    seconds: float = 0.0
    multiplications: float = 0.0
    bytes_moved: float = 0.0
    count: int = 0


def profile(backbone: OnnxBackbone, *, batch: int, scratch: Path) -> dict[str, Kind]:
    """Return the cost of every kind of operator, for a picture, on one thread, all blocks asked."""
    size = backbone.spec.preprocess.size_px
    pixels = np.random.default_rng(0).integers(0, 256, (batch, size, size, 3), dtype=np.uint8)
    options = session_options(1)
    options.enable_profiling = True
    options.profile_file_prefix = str(scratch / "profile")
    graph = graphs.to_bytes(backbone.graph(backbone.spec.widths()))
    session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    runs = 5
    for _ in range(runs + 1):
        session.run(None, {PIXELS: pixels})
    events = json.loads(Path(session.end_profiling()).read_text())
    nodes = [e for e in events if e.get("cat") == "Node" and e["name"].endswith("_kernel_time")]
    by_node = defaultdict(list)
    for event in nodes:
        by_node[event["args"]["node_index"]].append(event)
    kinds: dict[str, Kind] = defaultdict(Kind)
    for repeated in by_node.values():
        seconds = statistics.median(event["dur"] for event in repeated[1:]) / 1e6
        kind = kinds[_kind(repeated[0]["args"])]
        kind.seconds += seconds / batch
        kind.multiplications += _multiplications(repeated[0]["args"]) / batch
        kind.bytes_moved += _bytes(repeated[0]["args"]) / batch
        kind.count += 1
    return dict(kinds)


def _shapes(args: dict[str, Any], key: str) -> list[list[int]]:
    return [next(iter(value.values())) for value in args[key] if value]


def _kind(args: dict[str, Any]) -> str:
    if args["op_name"] not in {"Conv", "FusedConv"}:
        return str(args["op_name"])
    pictures, weights = _shapes(args, "input_type_shape")[:2]
    grid = _shapes(args, "output_type_shape")[0][2]
    if weights[1] == 1 and pictures[1] > 1:
        return f"Conv, depthwise at {grid}"
    return f"Conv, {weights[2]}×{weights[3]} at {grid}"


def _multiplications(args: dict[str, Any]) -> float:
    if args["op_name"] not in {"Conv", "FusedConv"}:
        return 0.0
    weights = _shapes(args, "input_type_shape")[1]
    return float(math.prod(_shapes(args, "output_type_shape")[0]) * math.prod(weights[1:]))


def _bytes(args: dict[str, Any]) -> float:
    """Return what must be read and written at least once, were nothing in a cache."""
    return float(
        int(args["activation_size"]) + int(args["parameter_size"]) + int(args["output_size"])
    )


def peaks() -> dict[str, float]:
    """Return one thread's own limits here: a large product and a large copy, best of many."""
    torch.set_num_threads(1)
    a = torch.randn(1536, 1536)
    source = torch.zeros(64 * 2**20)
    target = torch.empty_like(source)
    product_s = min(_seconds(lambda: a @ a) for _ in range(60))
    copy_s = min(_seconds(lambda: target.copy_(source)) for _ in range(60))
    return {
        "gflops": 2 * 1536**3 / product_s / 1e9,
        "gb_per_s": 2 * source.numel() * 4 / copy_s / 1e9,
    }


def _seconds(run: Way) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def show(kinds: dict[str, Kind], peak: dict[str, float]) -> None:
    """Print the table of one profile."""
    total = sum(kind.seconds for kind in kinds.values())
    print(f"{'':24} {'n':>3} {'time':>6} {'GFLOP':>7} {'of peak':>8} {'GB/s':>6}")
    for name, kind in sorted(kinds.items(), key=lambda item: -item[1].seconds):
        gflops = 2 * kind.multiplications / kind.seconds / 1e9
        print(
            f"{name:24} {kind.count:3} {kind.seconds / total:6.1%} "
            f"{2 * kind.multiplications / 1e9:7.3f} {gflops / peak['gflops']:8.0%} "
            f"{kind.bytes_moved / kind.seconds / 1e9:6.1f}"
        )


def main() -> None:
    """Print both tables for each network and save them."""
    facts: dict[str, Any] = {"threads": THREADS, "rounds": ROUNDS, "peaks": peaks()}
    torch.set_num_threads(THREADS)
    print("peaks", facts["peaks"])
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        wanted = sys.argv[2:]
        for name, settings in networks(Path(sys.argv[1]), scratch).items():
            if wanted and name not in wanted:
                continue
            backbone = pick(settings, threads=THREADS)
            speeds = images_per_second(ways(settings, backbone))
            for way, speed in speeds.items():
                print(f"{name}: {way}: {', '.join(f'{k} {v:.1f}' for k, v in speed.items())}")
            facts[name] = {"speeds": speeds}
            for batch in (4, 32):
                kinds = profile(backbone, batch=batch, scratch=scratch)
                print(f"{name}, batch {batch}:")
                show(kinds, facts["peaks"])
                facts[name][f"profile, batch {batch}"] = {k: vars(v) for k, v in kinds.items()}
    print(save("backbones", facts))


if __name__ == "__main__":
    main()
