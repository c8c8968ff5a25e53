"""The job in fastai: ``vision_learner`` on resnet18, frozen, with its own defaults.

So its head has two layers, batch-norm layers of the body keep learning (``train_bn``), and the
learning rate goes through one cycle. Nothing is validated between epochs, which saves it time.

Run by benchmarks/transfer.py in an environment of its own: TRAIN TEST WEIGHTS.
"""

from __future__ import annotations

import argparse
import json
from importlib.metadata import version
from pathlib import Path

from fastai.vision.all import (
    CategoryBlock,
    DataBlock,
    ImageBlock,
    IndexSplitter,
    Normalize,
    Resize,
    get_image_files,
    imagenet_stats,
    parent_label,
    set_seed,
    vision_learner,
)
from safetensors.torch import load_file
from torch import nn
from torchvision.models import resnet18


def main() -> None:
    """Train, score, print one line of JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    set_seed(asked.seed)

    def pretrained(**_: object) -> nn.Module:
        """Return torchvision's resnet18 with our weights: fastai would fetch its own."""
        network = resnet18(weights=None)
        network.load_state_dict({k: v.float() for k, v in load_file(asked.weights).items()})
        return network

    block = DataBlock(
        blocks=(ImageBlock, CategoryBlock),
        get_items=get_image_files,
        get_y=parent_label,
        splitter=IndexSplitter([]),
        item_tfms=Resize(224),
        batch_tfms=Normalize.from_stats(*imagenet_stats),
    )
    data = block.dataloaders(asked.train, bs=32, num_workers=2)
    learner = vision_learner(data, pretrained)
    learner.freeze()
    with learner.no_bar(), learner.no_logging():
        learner.fit_one_cycle(asked.epochs)
        scored = data.test_dl(sorted(get_image_files(asked.test)), with_labels=True)
        probabilities, labels = learner.get_preds(dl=scored)
    right = int((probabilities.argmax(dim=1) == labels).sum())
    versions = {name: version(name) for name in ("fastai", "torch", "torchvision")}
    print(json.dumps({"right": right, "images": len(labels), "versions": versions}))


if __name__ == "__main__":
    main()
