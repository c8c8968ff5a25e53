"""The job in plain PyTorch: timm's network, its body frozen, a linear head, a loop over epochs.

The body stays in eval mode, so that its batch statistics cannot drift, and needs no gradient.
Pictures are decoded in two worker processes, resized and cropped as in validation. The learning
rate is the best for it of 3e-4, 1e-3, 3e-3 and 1e-2 (on cached features, 5 seeds).

Run by benchmarks/transfer.py in an environment of its own: TRAIN TEST WEIGHTS --backbone NAME.
"""

from __future__ import annotations

import argparse
import json
from importlib.metadata import version
from pathlib import Path

import timm
import torch
from safetensors.torch import load_file
from torch import nn
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder

MEANS = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
ARGUMENTS = {"mobilenetv2_100": {"pad_type": "same", "bn_eps": 1e-3}}  # as its weights want it
DATA = {"mobilenetv2_100": MEANS}


def frozen(name: str, weights: Path, classes: int) -> nn.Module:
    """Return timm's network with these weights in its body, frozen, and a head for ``classes``."""
    network = timm.create_model(name, num_classes=classes, **ARGUMENTS.get(name, {}))
    head = {f"{network.default_cfg['classifier']}.{part}" for part in ("weight", "bias")}
    network.requires_grad_(False)
    network.get_classifier().requires_grad_(True)
    body = {key: value.float() for key, value in load_file(weights).items() if key not in head}
    missing, unexpected = network.load_state_dict(body, strict=False)
    if set(missing) - head or unexpected:
        raise SystemExit(f"{weights} does not fit {name}")
    return network.eval()


def pictures(folder: Path, network: nn.Module, name: str, *, shuffle: bool) -> DataLoader:
    """Return batches of 32, as the network's record wants them."""
    config = timm.data.resolve_data_config(DATA.get(name, {}), model=network)
    dataset = ImageFolder(str(folder), timm.data.create_transform(**config))
    return DataLoader(dataset, batch_size=32, shuffle=shuffle, num_workers=2)


def arguments() -> argparse.Namespace:
    """Return what transfer.py says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def main() -> None:
    """Train, score, print one line of JSON."""
    asked = arguments()
    torch.manual_seed(asked.seed)
    classes = len([path for path in asked.train.iterdir() if path.is_dir()])
    network = frozen(asked.backbone, asked.weights, classes)
    train = pictures(asked.train, network, asked.backbone, shuffle=True)
    optimizer = torch.optim.Adam(network.get_classifier().parameters(), lr=3e-3)
    loss = nn.CrossEntropyLoss()
    for _ in range(asked.epochs):
        for images, labels in train:
            optimizer.zero_grad()
            loss(network(images), labels).backward()
            optimizer.step()
    right = total = 0
    with torch.inference_mode():
        for images, labels in pictures(asked.test, network, asked.backbone, shuffle=False):
            right += int((network(images).argmax(dim=1) == labels).sum())
            total += len(labels)
    versions = {name: version(name) for name in ("torch", "torchvision", "timm")}
    print(json.dumps({"right": right, "images": total, "versions": versions}))


if __name__ == "__main__":
    main()
