"""The job in Keras on TensorFlow: ``image_dataset_from_directory``, MobileNetV2 frozen, ``fit``.

Keras's own MobileNetV2 is the network that the shared mobilenetv2_100 weights came from, so they
are put into it layer by layer: same body, same answers (features within 2e-5 of timm's). Otherwise
as Keras's guide to transfer learning has it: rescaled to [-1, 1], pooled, dropout 0.2, one dense
layer, Adam (with the learning rate of pytorch_loop.py), prefetching.

Run by benchmarks/transfer.py in an environment of its own: TRAIN TEST WEIGHTS.
"""

from __future__ import annotations

import argparse
import json
from importlib.metadata import version
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from safetensors.numpy import load_file

SIDE_PX = 224


def body(weights: Path) -> keras.Model:
    """Return MobileNetV2 without its top, frozen, with timm's weights for it."""
    network = keras.applications.MobileNetV2(
        input_shape=(SIDE_PX, SIDE_PX, 3), include_top=False, weights=None
    )
    tensors = load_file(weights)
    order = [key for key in _order(tensors) if not key.startswith("classifier")]
    layers = [layer for layer in network.layers if layer.weights]
    if len(order) != len(layers):
        raise SystemExit(f"{weights} has {len(order)} layers, MobileNetV2 {len(layers)}")
    for key, layer in zip(order, layers, strict=True):
        layer.set_weights(_values(key, tensors, depthwise="Depthwise" in type(layer).__name__))
    network.trainable = False
    return network


def _order(tensors: dict[str, np.ndarray]) -> list[str]:
    """Return the names of timm's layers as the picture passes them, which is Keras's order."""
    inside = ("conv_pw", "bn1", "conv_dw", "bn2", "conv_pwl", "bn3")
    first = ("conv_dw", "bn1", "conv_pw", "bn2")  # of the only block that does not expand

    def place(name: str) -> tuple[int, ...]:
        parts = name.split(".")
        if parts[0] != "blocks":
            return ({"conv_stem": 0, "bn1": 1, "conv_head": 3, "bn2": 4, "classifier": 5}[name],)
        stage, block = int(parts[1]), int(parts[2])
        return (2, stage, block, (first if stage == 0 else inside).index(parts[3]))

    return sorted({key.rpartition(".")[0] for key in tensors}, key=place)


def _values(name: str, tensors: dict[str, np.ndarray], *, depthwise: bool) -> list[np.ndarray]:
    """Return one layer's arrays in Keras's order and axes."""
    weight = tensors[f"{name}.weight"].astype(np.float32)
    if weight.ndim == 4:  # out, in, height, width
        return [weight.transpose((2, 3, 0, 1) if depthwise else (2, 3, 1, 0))]
    rest = ("bias", "running_mean", "running_var")
    return [weight, *(tensors[f"{name}.{part}"].astype(np.float32) for part in rest)]


def pictures(folder: Path, *, shuffle: bool) -> tf.data.Dataset:
    """Return batches of 32 central squares, decoded ahead."""
    return keras.utils.image_dataset_from_directory(
        folder, image_size=(SIDE_PX, SIDE_PX), crop_to_aspect_ratio=True, shuffle=shuffle
    ).prefetch(tf.data.AUTOTUNE)


def main() -> None:
    """Train, score, print one line of JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    keras.utils.set_random_seed(asked.seed)
    train = pictures(asked.train, shuffle=True)
    test = pictures(asked.test, shuffle=False)
    classes = len([path for path in asked.train.iterdir() if path.is_dir()])
    inputs = keras.Input((SIDE_PX, SIDE_PX, 3))
    x = keras.layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    x = body(asked.weights)(x, training=False)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dropout(0.2)(x)
    model = keras.Model(inputs, keras.layers.Dense(classes)(x))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(3e-3), loss, metrics=["accuracy"])
    model.fit(train, epochs=asked.epochs, verbose=0)
    labels_N = np.concatenate([labels for _, labels in test])
    right = int((model.predict(test, verbose=0).argmax(axis=1) == labels_N).sum())
    versions = {"tensorflow": version("tensorflow-cpu"), "keras": version("keras")}
    print(json.dumps({"right": right, "images": len(labels_N), "versions": versions}))


if __name__ == "__main__":
    main()
