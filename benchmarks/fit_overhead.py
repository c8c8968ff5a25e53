"""Claim: a whole `foveal fit` costs little more than reading the pictures once with the network.

2,000 pictures, ten classes, resnet18, nothing held out. To reach: the whole process of
`foveal fit --features last` takes at most 1.3 × the seconds of one pass (decode, resize, forward
to the last features; imports not counted), the one that chooses among blocks at most 1.6 ×; and
adding ten pictures and fitting again takes less than a fifth of the first fit.

Run:     python benchmarks/fit_overhead.py --save
Data:    `shared/data/imagenet_samples`, 1,000 photographs, each once as it is and once with a
         border cut off and compressed again; a class is a tenth of the WordNet numbers, in order.
Measure: pass, fit with last, pass, fit with the choice, ten pictures more; n = 3 rounds; every fit
         in its own process with a cache that holds the exported backbone only, but the last.
         A ratio is of a fit and the pass just before it: median (least to most).
Results: benchmarks/results/fit_overhead-DATE.json.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from child import machine, run
from domains import BACKBONES, SHARED
from PIL import Image
from results import save

CLASSES = 10
NEW = 10  # pictures added for the second fit
BORDER_PX = 3  # cut off each side of a variant


def photographs(folder: Path, new: Path, images: int) -> None:
    """Write ``images`` pictures to ``folder``/CLASS and ``NEW`` more variants to ``new``/CLASS."""
    files = sorted((SHARED / "imagenet_samples").glob("*/*.jpg"))[: images // 2]
    for number, file in enumerate(files):
        name = f"class {number * CLASSES // len(files)}"
        for part in (folder, new):
            (part / name).mkdir(parents=True, exist_ok=True)
        shutil.copy(file, folder / name)
        _variant(file, BORDER_PX, folder / name / f"variant-{file.name}")
        if number % (len(files) // NEW) == 0:
            _variant(file, 2 * BORDER_PX, new / name / f"new-{file.name}")


def _variant(file: Path, border_px: int, target: Path) -> None:
    with Image.open(file) as image:
        box = (border_px, border_px, image.width - border_px, image.height - border_px)
        image.convert("RGB").crop(box).save(target, quality=88)


def one_pass(folder: Path, backbone: str) -> dict[str, float]:
    """Return the seconds of reading every picture once and taking the last features of it.

    The session is made before the clock starts, on a batch that does not count.
    """
    from foveal.backbone.catalog import pick
    from foveal.backbone.settings import BackboneSettings
    from foveal.image.stream import stream

    files = sorted(folder.glob("*/*.jpg"))
    weights = SHARED / "weights" / f"{backbone}.safetensors"
    network = pick(BackboneSettings(backbone=backbone, weights=weights))
    preprocess = network.spec.preprocess
    for batch in stream(files[:8], preprocess):
        network.embed(batch.pixels, ["last"])
    start = time.perf_counter()
    seen = 0
    for batch in stream(files, preprocess):
        seen += len(network.embed(batch.pixels, ["last"])["last"])
    return {"pass_s": time.perf_counter() - start, "images": seen}


def fit(folder: Path, scratch: Path, *more: object, keep: bool = False) -> dict[str, Any]:
    """Run `foveal fit` as a user does; return what it took, stage by stage as well.

    Args:
        folder: the pictures.
        scratch: holds ``exported``, the backbones; the cache is made of it anew for each fit.
        more: further options.
        keep: leave the cache as the fit before left it.
    """
    cache, model = scratch / "cache", scratch / "model"
    if not keep:
        shutil.rmtree(cache, ignore_errors=True)
        if (scratch / "exported").is_dir():
            shutil.copytree(scratch / "exported", cache / "backbones")
    shutil.rmtree(model, ignore_errors=True)
    cost, said = run(
        [sys.executable, "-m", "foveal", "fit", folder, "-o", model, "--overwrite", "--quiet",
         "--json", "--test-share", 0, "--backbone", "resnet18", *BACKBONES["resnet18"], *more],
        FOVEAL_CACHE=cache,
    )  # fmt: skip
    found = json.loads(said)
    return {**asdict(cost), "blocks": found["blocks"], "stages_s": found["seconds"]}


def round_of(folder: Path, new: Path, scratch: Path) -> dict[str, dict[str, Any]]:
    """Return every measurement of one round by name."""
    out: dict[str, dict[str, Any]] = {}
    for name, more in (("last", ["--features", "last"]), ("choice", [])):
        _, said = run(
            [sys.executable, __file__, "--pass", folder], FOVEAL_CACHE=scratch / "prepared"
        )
        out[f"pass before {name}"] = json.loads(said)
        out[f"fit {name}"] = fit(folder, scratch, *more)
        print(f"{name}: {out[f'pass before {name}']}, {out[f'fit {name}']}", file=sys.stderr)
    grown = scratch / "grown"
    shutil.copytree(folder, grown)
    shutil.copytree(new, grown, dirs_exist_ok=True)
    out["fit again"] = fit(grown, scratch, keep=True)
    print(f"again: {out['fit again']}", file=sys.stderr)
    shutil.rmtree(grown)
    return out


def ratios(rounds: Sequence[dict[str, dict[str, Any]]]) -> dict[str, list[float]]:
    """Return the three ratios, round by round."""
    return {
        "fit last / pass": [
            r["fit last"]["wall_s"] / r["pass before last"]["pass_s"] for r in rounds
        ],
        "fit choice / pass": [
            r["fit choice"]["wall_s"] / r["pass before choice"]["pass_s"] for r in rounds
        ],
        "fit again / fit": [r["fit again"]["wall_s"] / r["fit choice"]["wall_s"] for r in rounds],
    }


def main() -> None:
    """Measure, print, and save where asked to."""
    parser = argparse.ArgumentParser(description="What `foveal fit` takes beside one pass.")
    parser.add_argument("--n", type=int, default=3, help="rounds")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/…json")
    parser.add_argument("--pass", dest="pass_over", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.pass_over:
        print(json.dumps(one_pass(asked.pass_over, "resnet18")))
        return
    where = machine()
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        folder, new = scratch / "photographs", scratch / "new"
        photographs(folder, new, asked.images)
        photographs(scratch / "few", scratch / "few-new", 4 * CLASSES)
        fit(scratch / "few", scratch)  # exports the network, warms the disk
        for kept in ("exported", "prepared/backbones"):
            shutil.copytree(scratch / "cache" / "backbones", scratch / kept)
        rounds = [round_of(folder, new, scratch) for _ in range(asked.n)]
    found = ratios(rounds)
    for name, values in found.items():
        print(
            f"{name}: {statistics.median(values):.2f} ({min(values):.2f}–{max(values):.2f}), "
            f"n = {len(values)}"
        )
    if asked.save:
        settings = {"n": asked.n, "images": asked.images}
        facts = {"machine": where, "settings": settings, "ratios": found, "rounds": rounds}
        print(save("fit_overhead", facts))


if __name__ == "__main__":
    main()
