"""The fine-tuning job in plain PyTorch, as timm's users write it: one loop, everything learns.

timm's network, transforms and AdamW without decay of biases and norms, a higher rate for the new
head, one cycle, smoothed labels; judged after every epoch, the best is kept. With ``--frozen`` the
first three stages need no gradient and stay in eval mode, so their statistics cannot drift.
``DataLoader`` with two workers; the layout of tensors and the allocator are as they come.

Run by benchmarks/finetune.py in the environment of pytorch_loop.py: DATA TEST WEIGHTS.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from importlib.metadata import version
from pathlib import Path

import timm
import torch
from safetensors.torch import load_file
from torch import nn
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder

FROZEN = ("conv1", "bn1", "layer1", "layer2", "layer3")
RATE, HEAD_RATE = 3e-4, 3e-3  # peaks


def pretrained(weights: Path, classes: int) -> nn.Module:
    """Return timm's resnet18 with these weights in its body and a new head."""
    network = timm.create_model("resnet18", num_classes=classes)
    body = {k: v.float() for k, v in load_file(weights).items() if not k.startswith("fc.")}
    missing, unexpected = network.load_state_dict(body, strict=False)
    if set(missing) != {"fc.weight", "fc.bias"} or unexpected:
        raise SystemExit(f"{weights} does not fit resnet18")
    return network


def pictures(folder: Path, network: nn.Module, size_px: int, *, train: bool = False) -> DataLoader:
    """Return batches of 32; those to learn from are random crops, mirrored half of the time."""
    config = timm.data.resolve_data_config({"input_size": (3, size_px, size_px)}, model=network)
    light = {"scale": (0.5, 1.0), "hflip": 0.5, "color_jitter": None} if train else {}
    change = timm.data.create_transform(**config, is_training=train, **light)
    return DataLoader(ImageFolder(str(folder), change), 32, shuffle=train, num_workers=2)


@torch.inference_mode()
def score(network: nn.Module, batches: DataLoader) -> tuple[int, int]:
    """Return how many are answered rightly, of how many."""
    network.eval()
    right = [int((network(images).argmax(dim=1) == labels).sum()) for images, labels in batches]
    return sum(right), len(batches.dataset)


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
    parser.add_argument("--rate", type=float, default=RATE)
    asked = parser.parse_args()
    torch.manual_seed(asked.seed)
    network = pretrained(asked.weights, len(list((asked.data / "train").iterdir())))
    fixed = [network.get_submodule(name) for name in FROZEN] if asked.frozen else []
    for part in fixed:
        part.requires_grad_(False)
    train = pictures(asked.data / "train", network, asked.size, train=True)
    val = pictures(asked.data / "val", network, asked.size)
    decayed, plain = [], []
    for name, parameter in network.named_parameters():
        if parameter.requires_grad and not name.startswith("fc."):
            (plain if parameter.ndim == 1 else decayed).append(parameter)
    groups = [
        {"params": decayed, "lr": asked.rate},
        {"params": plain, "lr": asked.rate, "weight_decay": 0.0},
        {"params": network.fc.parameters(), "lr": HEAD_RATE},
    ]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.05)
    peaks = [group["lr"] for group in groups]
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, peaks, epochs=asked.epochs, steps_per_epoch=len(train), pct_start=0.2
    )
    loss = nn.CrossEntropyLoss(label_smoothing=0.1)
    start = time.perf_counter()
    best, kept = -1, network.state_dict()
    for _ in range(asked.epochs):
        network.train()
        for part in fixed:
            part.eval()
        for images, labels in train:
            optimizer.zero_grad()
            loss(network(images), labels).backward()
            optimizer.step()
            cycle.step()
        right, _ = score(network, val)
        if right >= best:
            best, kept = right, copy.deepcopy(network.state_dict())
    train_s = time.perf_counter() - start
    network.load_state_dict(kept)
    right, images = score(network, pictures(asked.test, network, asked.size))
    versions = {name: version(name) for name in ("torch", "torchvision", "timm")}
    said = {"right": right, "images": images, "train_s": train_s, "val_right": best}
    print(json.dumps({**said, "versions": versions}))


if __name__ == "__main__":
    main()
