"""The fine-tuning job in fastai: ``fine_tune``, with its own head, rates and schedule.

That is one epoch of the frozen network, then the asked number of all of it, the rates falling by
a hundred from the head to the first layers. With ``--frozen`` the same two steps are written out,
since ``fine_tune`` always unfreezes all: the first three stages stay frozen, and so do their
batch-norm layers, which fastai would train on (``train_bn``, ``BnFreeze``).

Run by benchmarks/finetune.py in the environment of fastai_learner.py: DATA TEST WEIGHTS.
"""

from __future__ import annotations

import argparse
import json
import time
from importlib.metadata import version
from pathlib import Path

from fastai.callback.training import BnFreeze
from fastai.torch_core import params
from fastai.vision.all import (
    CategoryBlock,
    DataBlock,
    Flip,
    GrandparentSplitter,
    ImageBlock,
    L,
    Normalize,
    RandomResizedCrop,
    accuracy,
    get_image_files,
    imagenet_stats,
    model_meta,
    parent_label,
    set_seed,
    vision_learner,
)
from safetensors.torch import load_file
from torch import nn
from torchvision.models import resnet18

RATE = 2e-3  # the default of ``fine_tune``
THIRD_STAGE = 7  # of the body's layers, up to here: conv1, bn1, relu, pooling, three stages


def three_stages(model: nn.Sequential) -> L:
    """Return the groups of parameters: three stages, the fourth, the head."""
    return L(model[0][:THIRD_STAGE], model[0][THIRD_STAGE:], model[1:]).map(params)


def main() -> None:
    """Train, score, print one line of JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path, help="with train/CLASS and val/CLASS")
    parser.add_argument("test", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--frozen", action="store_true", help="the first three stages")
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
        splitter=GrandparentSplitter(train_name="train", valid_name="val"),
        item_tfms=RandomResizedCrop(asked.size, min_scale=0.5),
        batch_tfms=[Flip(), Normalize.from_stats(*imagenet_stats)],
    )
    data = block.dataloaders(asked.data, bs=32, num_workers=2)
    splitter = three_stages if asked.frozen else model_meta[resnet18]["split"]
    more = {"train_bn": False, "cbs": BnFreeze} if asked.frozen else {}
    learner = vision_learner(data, pretrained, splitter=splitter, metrics=accuracy, **more)
    start = time.perf_counter()
    with learner.no_bar(), learner.no_logging():
        if asked.frozen:
            learner.freeze()
            learner.fit_one_cycle(1, slice(RATE), pct_start=0.99)
            learner.freeze_to(-2)
            rates = slice(RATE / 200, RATE / 2)
            learner.fit_one_cycle(asked.epochs, rates, pct_start=0.3, div=5.0)
        else:
            learner.fine_tune(asked.epochs, RATE)
        train_s = time.perf_counter() - start
        scored = data.test_dl(sorted(get_image_files(asked.test)), with_labels=True)
        probabilities, labels = learner.get_preds(dl=scored)
    right = int((probabilities.argmax(dim=1) == labels).sum())
    versions = {name: version(name) for name in ("fastai", "torch", "torchvision")}
    said = {"right": right, "images": len(labels), "train_s": train_s}
    print(json.dumps({**said, "versions": versions}))


if __name__ == "__main__":
    main()
