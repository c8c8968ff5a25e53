"""Claim: a ready ImageNet classifier scores what its weights score elsewhere, to 0.5 points.

Run with ``python benchmarks/imagenet_samples.py`` (about two minutes on two cores). Each network
is made a model by ``foveal import`` and judged by ``foveal test`` on the 1,000 photographs of
``imagenet_samples``; the reference is what the shared data's README gives for the same files and
weights under torch (Resize 256 bilinear, CenterCrop 224). That proves reading, resizing and
normalising from file to answer. One line of JSON per network.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from domains import BACKBONES, SHARED, foveal

PICTURES = ["--crop", "0.875", "--interpolation", "bilinear", "--size", "224"]
IMAGENET = ["--mean", "0.485", "0.456", "0.406", "--std", "0.229", "0.224", "0.225"]
NETWORKS = {  # name: options, top-1 and top-5 of the reference, in per cent
    "resnet18": ([*BACKBONES["resnet18"], *IMAGENET], 75.5, 92.0),
    "mobilenetv2_100": (BACKBONES["mobilenetv2_100"], 87.2, 97.2),
    "torchvision:squeezenet1_1": (
        ["--weights", SHARED / "weights" / "squeezenet1_1.safetensors", *IMAGENET], 62.7, 84.6,
    ),
}  # fmt: skip
CLASSES = SHARED / "imagenet_meta" / "kaggle" / "LOC_synset_mapping.txt"
MOST = 0.5  # points


def main() -> int:
    """Print what each network scores beside its reference; 1 where one is off."""
    off = 0
    for name, (options, top1, top5) in NETWORKS.items():
        with tempfile.TemporaryDirectory() as folder:
            model = Path(folder) / "model"
            foveal("import", name, "-o", model, "--classes", CLASSES, *PICTURES, *options)
            test = foveal("test", model, SHARED / "imagenet_samples")
        found = {key: round(100 * test[key]["value"], 1) for key in ("top1", "top5")}  # type: ignore[index]  # JSON
        off |= abs(found["top1"] - top1) > MOST or abs(found["top5"] - top5) > MOST
        print(json.dumps({"network": name, **found, "reference": [top1, top5]}), flush=True)
    return int(off)


if __name__ == "__main__":
    raise SystemExit(main())
