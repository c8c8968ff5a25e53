"""The job as a careful user does it: timm features computed once, then logistic regression.

One pass in inference mode with channels_last, features standardised, the strength chosen by
5-fold cross-validation over scikit-learn's 10 values.

Run by benchmarks/transfer.py in an environment of its own: TRAIN TEST WEIGHTS --backbone NAME.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from pytorch_loop import arguments, frozen, pictures
from sklearn.linear_model import LogisticRegressionCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn


def features(folder: Path, network: nn.Module, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the last features (N, D) and labels (N,) of the pictures in a folder."""
    rows, labels = [], []
    with torch.inference_mode():
        for images, truth in pictures(folder, network, name, shuffle=False):
            rows.append(network(images.to(memory_format=torch.channels_last)).numpy())
            labels.append(truth.numpy())
    return np.concatenate(rows), np.concatenate(labels)


def main() -> None:
    """Fit, score, print one line of JSON."""
    asked = arguments()
    network = frozen(asked.backbone, asked.weights, 2)
    network.reset_classifier(0)
    network = network.to(memory_format=torch.channels_last)
    train_ND, train_N = features(asked.train, network, asked.backbone)
    test_ND, test_N = features(asked.test, network, asked.backbone)
    probe = make_pipeline(StandardScaler(), LogisticRegressionCV(cv=5, max_iter=1000))
    probe.fit(train_ND, train_N)
    right = int((probe.predict(test_ND) == test_N).sum())
    names = ("torch", "torchvision", "timm", "scikit-learn")
    versions = {name: version(name) for name in names}
    print(json.dumps({"right": right, "images": len(test_N), "versions": versions}))


if __name__ == "__main__":
    main()
