"""Claim: ranks train what one process trains, but for BatchNorm, and what that costs.

A small residual network from scratch on surfaces of steel, by one process and by two and four ranks
that share every batch of 32: the same order, augmentation, rates and initial weights. BatchNorm
normalises by 32, 16 and 8 pictures then; with it frozen (its statistics taken from 256 pictures
first) nothing differs but the rounding of sums, which float64 makes visible: there it is nothing.

Run:     python benchmarks/ranks.py --save          (--kinds float64: one of the three alone)
Data:    `shared/data/domains/neu_surface`: 360 pictures to train on, 90 that judge.
Measure: seeds 0, 1, 2; how far weights are from those of one process in the end (largest
         difference, seed 0), log loss and pictures answered rightly of the kept epoch.
Results: benchmarks/results/ranks-DATE.json, read in docs/decisions/0011-ranks.md.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from domains import SHARED
from results import save
from safetensors.torch import load_file, save_file
from torch import nn

import foveal
from foveal.image.preprocess import Preprocess
from foveal.recipes.training.schooling import score
from foveal.train.network.machine import machine
from foveal.train.network.pictures.canvas import canvas_side, canvases
from foveal.train.network.planning import Lesson, plan_of
from foveal.train.network.run import train
from foveal.train.network.settings import TrainSettings

FOLDER = SHARED / "domains" / "neu_surface"
PREPROCESS = Preprocess(size_px=64, crop=1.0, shape="squash", interpolation="bilinear")
SETTINGS = TrainSettings(
    strategy="scratch",
    epochs=8,
    batch=32,
    rate=3e-3,
    head_rate=3e-3,
    layer_decay=1.0,
    policy="standard",
    average=0.9,
    device="cpu",
)
RANKS, SEEDS, KINDS = (1, 2, 4), (0, 1, 2), ("batch", "frozen", "float64")


def lesson() -> Lesson:
    """Return the pictures."""
    manifests = [foveal.read(FOLDER / part) for part in ("train", "val")]
    files = [[manifest.file(path) for path in manifest.paths] for manifest in manifests]
    learnt = canvases(files[0], PREPROCESS, side_px=canvas_side(PREPROCESS.size_px))
    judging = canvases(files[1], PREPROCESS, side_px=PREPROCESS.size_px)
    labels = [manifest.label_indices for manifest in manifests]
    return Lesson(
        canvases=learnt,
        labels_n=labels[0][learnt.rows],
        val_pixels=judging.pixels,
        val_labels_M=labels[1][judging.rows],
        classes=len(manifests[0].classes),
        preprocess=PREPROCESS,
        score=score,
        called=str,
    )


def network(shown: Lesson, kind: str, seed: int) -> nn.Module:
    """Return the network to begin with.

    Args:
        shown: the pictures.
        kind: batch; frozen: BatchNorms keep statistics of 256 pictures; float64: that, and so.
        seed: of the weights.
    """
    torch.manual_seed(seed)
    made: nn.Module = timm.create_model("test_resnet", num_classes=shown.classes)
    if kind != "batch":
        pixels = torch.from_numpy(shown.canvases.pixels[:256].copy()).permute(0, 3, 1, 2)
        norms = [part for part in made.modules() if isinstance(part, nn.BatchNorm2d)]
        for norm in norms:
            norm.momentum = None  # the plain mean
        with torch.no_grad():
            made.train()((pixels.float() / 255 - 0.45) / 0.23)
        for norm in norms:
            norm.eval()
            norm.train = lambda _mode=True, norm=norm: norm
    if kind == "float64":
        made.double().register_forward_pre_hook(lambda _, planes: (planes[0].double(),))
    return made


def one_rank(kind: str, seed: int, out: Path) -> None:
    """Train as one of the ranks that there are; the first one writes what came out."""
    torch.set_num_threads(1)
    shown = lesson()
    with machine("cpu") as here:
        made = here.place(network(shown, kind, seed))
        trained = train(made, plan_of(shown, SETTINGS, seed=seed, machine=here), machine=here)
        if here.leads:
            best = trained.epochs[trained.kept - 1]
            out.with_suffix(".json").write_text(json.dumps(dict(best.scores)))
            state = {name: value.contiguous() for name, value in made.state_dict().items()}
            save_file(state, out)


def run(kind: str, ranks: int, seed: int, folder: Path) -> tuple[dict[str, torch.Tensor], Any]:
    """Return the network's state and its scores."""
    out = folder / f"{kind}-{ranks}-{seed}.safetensors"
    starter = [sys.executable]
    if ranks > 1:
        starter += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]
    words = [*starter, __file__, "--rank", kind, str(seed), str(out)]
    subprocess.run(words, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    return load_file(out), json.loads(out.with_suffix(".json").read_text())


def main() -> None:
    """Run all of it and say what came out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--save", action="store_true", help="write the results")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--rank", nargs=3, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.rank:
        kind, seed, out = chosen.rank
        one_rank(kind, int(seed), Path(out))
        return
    found: dict[str, Mapping[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind in chosen.kinds:
            alone: dict[str, torch.Tensor] = {}
            for ranks in RANKS:
                seeds = SEEDS if kind == "batch" else SEEDS[:1]
                runs = [run(kind, ranks, seed, Path(folder)) for seed in seeds]
                state = runs[0][0]
                alone = alone or state
                apart = max(
                    (state[name].double() - alone[name].double()).abs().max().item()
                    for name in state
                )
                losses = [round(scores["log_loss"], 4) for _, scores in runs]
                right = [round(scores["top1"], 4) for _, scores in runs]
                found[f"{kind}, {ranks}"] = {"apart": apart, "log_loss": losses, "top1": right}
                print(
                    f"{kind:7} {ranks} ranks: {apart:.2g} apart; log loss {losses}, mean "
                    f"{statistics.fmean(losses):.3f}; right {right}, mean "
                    f"{100 * statistics.fmean(right):.1f} %",
                    flush=True,
                )
    if chosen.save:
        some = "" if len(chosen.kinds) == len(KINDS) else "_" + "_".join(chosen.kinds)
        save(f"ranks{some}", {"seeds": SEEDS, "batch": SETTINGS.batch, "found": found})


if __name__ == "__main__":
    main()
