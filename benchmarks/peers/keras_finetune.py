"""The fine-tuning job in Keras on TensorFlow, as its guide to transfer learning has it.

``keras.applications`` has no resnet18, so it is built here of Keras's layers, with the shared
weights: the same network, and its features differ from torch's by rounding alone. As the guide has
it, one epoch of the head on the frozen body comes first, then the asked number of all of it at a
low rate, batch-norm layers in inference mode throughout, and dropout before the last layer.

Run by benchmarks/finetune.py in the environment of keras_fit.py: DATA TEST WEIGHTS.
"""

from __future__ import annotations

import argparse
import json
import time
from importlib.metadata import version
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from safetensors.numpy import load_file

FROZEN = ("conv1", "bn1", "layer1", "layer2", "layer3")
HEAD_RATE, RATE = 3e-3, 3e-4  # of the first epoch, and of all others
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def resnet18(size_px: int, weights: Path) -> keras.Model:
    """Return the body, whose layers have torch's names and weights, up to the last map."""
    inputs = keras.Input((size_px, size_px, 3))
    x = _conv(inputs, "conv1", "bn1", filters=64, kernel=7, stride=2)
    x = layers.ReLU()(x)
    x = layers.MaxPooling2D(3, 2)(layers.ZeroPadding2D(1)(x))
    for stage, filters in enumerate((64, 128, 256, 512), 1):
        for block in range(2):
            name, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            y = layers.ReLU()(
                _conv(x, f"{name}.conv1", f"{name}.bn1", filters=filters, kernel=3, stride=stride)
            )
            y = _conv(y, f"{name}.conv2", f"{name}.bn2", filters=filters, kernel=3, stride=1)
            if stride > 1:
                down = f"{name}.downsample"
                x = _conv(x, f"{down}.0", f"{down}.1", filters=filters, kernel=1, stride=stride)
            x = layers.ReLU()(layers.Add()([x, y]))
    network = keras.Model(inputs, x)
    tensors = {name: value.astype(np.float32) for name, value in load_file(weights).items()}
    for layer in network.layers:
        if layer.weights:
            parts = [tensors[f"{layer.name}.weight"]]
            if parts[0].ndim == 4:  # out, in, height, width
                parts = [parts[0].transpose(2, 3, 1, 0)]
            else:
                rest = ("bias", "running_mean", "running_var")
                parts += [tensors[f"{layer.name}.{name}"] for name in rest]
            layer.set_weights(parts)
    return network


def _conv(
    x: object, conv: str, norm: str, *, filters: int, kernel: int, stride: int
) -> keras.KerasTensor:
    """Return a convolution padded as torch does it, and its normalisation."""
    if kernel > 1:
        x = layers.ZeroPadding2D(kernel // 2)(x)
    x = layers.Conv2D(filters, kernel, stride, use_bias=False, name=conv)(x)
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=norm)(x)


def pictures(folder: Path, size_px: int, *, train: bool = False) -> tf.data.Dataset:
    """Return batches of 32; those to learn from are random crops, mirrored half of the time."""

    def changed(images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        count = tf.shape(images)[0]
        area = tf.random.uniform((count,), 0.5, 1.0)
        aspect = tf.exp(tf.random.uniform((count,), np.log(3 / 4), np.log(4 / 3)))
        height = tf.minimum(tf.sqrt(area / aspect), 1.0)
        width = tf.minimum(tf.sqrt(area * aspect), 1.0)
        top = tf.random.uniform((count,)) * (1 - height)
        left = tf.random.uniform((count,)) * (1 - width)
        boxes = tf.stack([top, left, top + height, left + width], axis=1)
        seen = tf.image.crop_and_resize(images, boxes, tf.range(count), (size_px, size_px))
        return tf.image.random_flip_left_right(seen), labels

    side = round(size_px * 8 / 7) if train else size_px
    found = keras.utils.image_dataset_from_directory(
        folder, image_size=(side, side), crop_to_aspect_ratio=True, shuffle=train, verbose=False
    )
    found = found.map(changed, num_parallel_calls=tf.data.AUTOTUNE) if train else found
    return found.prefetch(tf.data.AUTOTUNE)


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
    keras.utils.set_random_seed(asked.seed)
    train = pictures(asked.data / "train", asked.size, train=True)
    val = pictures(asked.data / "val", asked.size)
    test = pictures(asked.test, asked.size)
    body = resnet18(asked.size, asked.weights)
    inputs = keras.Input((asked.size, asked.size, 3))
    variance = [(255 * part) ** 2 for part in STD]
    x = layers.Normalization(mean=[255 * part for part in MEAN], variance=variance)(inputs)
    x = layers.GlobalAveragePooling2D()(body(x, training=False))
    x = layers.Dense(len(list((asked.data / "train").iterdir())))(layers.Dropout(0.2)(x))
    model = keras.Model(inputs, x)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    start = time.perf_counter()
    body.trainable = False
    model.compile(keras.optimizers.Adam(HEAD_RATE), loss, metrics=["accuracy"])
    model.fit(train, validation_data=val, epochs=1, verbose=0)
    body.trainable = True
    for layer in body.layers:
        layer.trainable = not (asked.frozen and layer.name.startswith(FROZEN))
    model.compile(keras.optimizers.Adam(asked.rate), loss, metrics=["accuracy"])
    history = model.fit(train, validation_data=val, epochs=asked.epochs, verbose=0).history
    train_s = time.perf_counter() - start
    labels_N = np.concatenate([labels for _, labels in test])
    right = int((model.predict(test, verbose=0).argmax(axis=1) == labels_N).sum())
    versions = {"tensorflow": version("tensorflow-cpu"), "keras": version("keras")}
    said = {"right": right, "images": len(labels_N), "train_s": train_s}
    print(json.dumps({**said, "val_top1": history["val_accuracy"][-1], "versions": versions}))


if __name__ == "__main__":
    main()
