"""Claim: what `foveal-s` answers rightly on Tiny ImageNet's val pictures, at several sizes.

The logits of the very graph that the package runs, on whole pictures (crop 1) and on their middle
(crop 0.875), made by the project's own decoder; 5,000 pictures of 200 classes, of which no one was
trained on. They also chose the epoch that was kept, so the number is a little in its favour. Beside
them the sharp photographs of the same classes among `imagenet_samples`, 200 of 1,000: training
pictures have 64 px and were enlarged.

Run: python benchmarks/foveal_s.py [SIZE …] (needs the shared data; five minutes on two cores).
With ``--pack FOLDER`` it first writes the package's weights file from a folder that `foveal
pretrain` wrote: matrices as float16, vectors as float32, sorted by name.
Results: docs/decisions/0010-foveal-s.md and results/.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from results import save
from safetensors.numpy import load_file, save_file

from foveal.backbone import foveal_s
from foveal.backbone.spec import LOGITS
from foveal.data.shards import Shards, read_shards
from foveal.image.preprocess import Preprocess
from foveal.image.stream import stream

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("FOVEAL_SHARED", ROOT.parent / "shared")) / "data"
VAL = SHARED / "tiny_imagenet" / "tiny-imagenet-val.tar.gz"
SIZES = (64, 96, 128, 160)
CROPS = (1.0, 0.875)


def pack(folder: Path) -> Path:
    """Write the package's weights file from a backbone folder; return it."""
    spec = json.loads((folder / "backbone.json").read_text())["spec"]
    tensors = {
        name: _small(t) for name, t in sorted(load_file(folder / "model.safetensors").items())
    }
    facts = {"architecture": spec["architecture"], "model_args": json.dumps(spec["model_args"])}
    path = Path(foveal_s.__file__).with_name(foveal_s.FILE)
    save_file(tensors, path, metadata=facts)
    return path


def _small(tensor: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(tensor, np.float16) if tensor.ndim > 1 else tensor


def sharp(classes: Sequence[str]) -> tuple[list[Path], NDArray[np.int64]]:
    """Return the photographs of these classes, one a class, and their labels."""
    found = [
        (file, number)
        for number, name in enumerate(classes)
        for file in sorted((SHARED / "imagenet_samples" / name).iterdir())
    ]
    return [file for file, _ in found], np.array([number for _, number in found])


def top1(
    pictures: Shards | Sequence[Path], labels: NDArray[np.int64], preprocess: Preprocess
) -> float:
    """Return the share of pictures whose class the network's own classifier names."""
    backbone, right = foveal_s.foveal_s(preprocess), 0
    for batch in stream(pictures, preprocess, batch=100):
        logits = backbone.embed(batch.pixels, [LOGITS])[LOGITS]
        right += int((logits.argmax(1) == labels[batch.rows]).sum())
    return right / len(pictures)


def main() -> None:
    """Print a line per size and crop, and save them."""
    words = sys.argv[1:]
    if "--pack" in words:
        at = words.index("--pack")
        print(pack(Path(words[at + 1])))
        del words[at : at + 2]
    pictures, found = read_shards([VAL]), {}
    for size in map(int, words or SIZES):
        for crop in CROPS:
            preprocess = replace(foveal_s.DEFAULT_PREPROCESS, size_px=size, crop=crop)
            found[f"{size} px, crop {crop}"] = top1(pictures, pictures.labels, preprocess)
            print(f"{size} px, crop {crop}: {found[f'{size} px, crop {crop}']:.4f}", flush=True)
        files, labels = sharp(pictures.classes)
        whole = replace(foveal_s.DEFAULT_PREPROCESS, size_px=size)
        found[f"{size} px, sharp"] = top1(files, labels, whole)
        print(f"{size} px, sharp: {found[f'{size} px, sharp']:.4f}", flush=True)
    print(save("foveal_s", {"pictures": len(pictures), "top1": found}))


if __name__ == "__main__":
    main()
