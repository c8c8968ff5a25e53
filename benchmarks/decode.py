"""Scaled JPEG decoding: how far from the full path is it, and how much faster?

Claim: every picture's pixels stay within 1/255 on the mean and 4/255 at the 99th percentile of
those from full decoding (worst of 1,870 scaled decodings: 0.60 and 3), and a photograph of 13
megapixels is read 2.0 times as fast to 224 px (1.3–2.4), 6.0 times to 64 px (5.6–7.0).
Machine: 2 cores of an AMD EPYC shared with other work, Python 3.11.7, Pillow 13.0.0 with
libjpeg-turbo 3.2.0, one thread, n = 5 alternating runs; 2026-11-23.

Run:     python benchmarks/decode.py [headroom …]     (default: the shipped one)
Data:    `shared/data`: imagenet_samples_original (20), imagenet_samples (1,000), hymenoptera (396)
         and 12 mosaics of 4 to 64 originals, up to 4,000 × 3,200 pixels, made here at qualities 75
         and 95 with and without chroma subsampling.
Measure: the worst picture for every size × shape × interpolation whose rule lets a picture shrink;
         images/s of one thread, full and scaled alternating, median of 5 with the range.
Results: docs/decisions/0004-scaled-jpeg.md.
"""

from __future__ import annotations

import math
import os
import platform
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
import PIL
from PIL import Image, features

from foveal.image import decode
from foveal.image.header import header
from foveal.image.pixels import pixels
from foveal.image.preprocess import Preprocess
from foveal.image.window import window

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("FOVEAL_SHARED", ROOT.parent / "shared")) / "data"

RECORDS = [
    Preprocess(size_px=size, crop=crop, shape=shape, interpolation=interpolation)
    for size in (32, 64, 128, 224)
    for crop, shape in ((0.875, "crop"), (1.0, "squash"), (1.0, "pad"))
    for interpolation in ("bilinear", "bicubic")
]


@contextmanager
def headroom(value: float) -> Iterator[None]:
    """Decode with another ``HEADROOM``; infinity is the full path."""
    shipped, decode.HEADROOM = decode.HEADROOM, value
    try:
        yield
    finally:
        decode.HEADROOM = shipped


def deviation(data: bytes, preprocess: Preprocess, value: float) -> tuple[float, float] | None:
    """Return mean and 99th percentile of |scaled − full| in 1/255; None where nothing is scaled."""
    size = header(data)
    if window(size.width, size.height, preprocess).shrink < 2 * value:
        return None
    with headroom(value):
        scaled = pixels(data, preprocess).astype(np.int16)
    with headroom(math.inf):
        full = pixels(data, preprocess).astype(np.int16)
    off = np.abs(scaled - full)
    return (float(off.mean()), float(np.percentile(off, 99))) if off.any() else None


def mosaics(originals: list[bytes]) -> Iterator[bytes]:
    """Yield large JPEGs with real detail: originals side by side, not enlarged."""
    tiles = [Image.open(BytesIO(data)).convert("RGB").resize((500, 400)) for data in originals]
    for side in (2, 4, 8):
        sheet = Image.new("RGB", (500 * side, 400 * side))
        for place in range(side * side):
            sheet.paste(tiles[place % len(tiles)], (500 * (place % side), 400 * (place // side)))
        for quality in (75, 95):
            for subsampling in (0, 2):  # 4:4:4 and 4:2:0
                file = BytesIO()
                sheet.save(file, "JPEG", quality=quality, subsampling=subsampling)
                yield file.getvalue()


def jpegs(folder: str, every: int = 1) -> list[bytes]:
    """Return the bytes of the JPEGs below a folder of the shared data, in a fixed order."""
    return [file.read_bytes() for file in sorted((SHARED / folder).rglob("*.jp*g"))[::every]]


def sources(every: int = 1) -> dict[str, list[bytes]]:
    """Return the pictures to measure, by where they come from; ``every``: only each n-th."""
    originals = jpegs("imagenet_samples_original")
    return {
        "originals": originals,
        "mosaics": list(mosaics(originals)),
        "imagenet_samples": jpegs("imagenet_samples", every),
        "hymenoptera": jpegs("domains/hymenoptera", every),
    }


def worst(data: list[bytes], value: float) -> tuple[int, float, float]:
    """Return how many decodings were scaled, the worst mean and the worst 99th percentile."""
    found = [deviation(one, record, value) for one in data for record in RECORDS]
    scaled = [pair for pair in found if pair is not None]
    return (
        len(scaled),
        max((mean for mean, _ in scaled), default=0.0),
        max((high for _, high in scaled), default=0.0),
    )


def speed(data: list[bytes], preprocess: Preprocess, value: float) -> float:
    """Return images/s of one thread."""
    with headroom(value):
        start = time.perf_counter()
        for one in data:
            pixels(one, preprocess)
        return len(data) / (time.perf_counter() - start)


def main() -> None:
    """Print deviations for each headroom, then speeds with the shipped one."""
    print(f"Pillow {PIL.__version__}, libjpeg-turbo {features.version('libjpeg_turbo')},")
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores {platform.machine()}")
    every = int(os.environ.get("EVERY", "1"))
    found = sources(every)
    for value in [float(text) for text in sys.argv[1:]] or [decode.HEADROOM]:
        for name, data in found.items():
            count, mean, high = worst(data, value)
            print(
                f"headroom {value:4.2f} {name:17} pictures {len(data):5} scaled decodings {count:6}"
                f"  worst mean {mean:.2f}  worst p99 {high:.1f}",
                flush=True,
            )
    originals, mosaic = found["originals"], found["mosaics"]
    photographs = {
        "originals": originals,
        "1,000 × 800": [mosaic[1]] * 20,  # quality 75, 4:2:0
        "2,000 × 1,600": [mosaic[5]] * 10,
        "4,000 × 3,200": [mosaic[9]] * 4,
    }
    for size_px in (64, 224):
        for name, data in photographs.items():
            record = Preprocess(size_px=size_px)
            runs = [
                (speed(data, record, math.inf), speed(data, record, decode.HEADROOM))
                for _ in range(5)
            ]
            full, scaled = (sorted(column) for column in zip(*runs, strict=True))
            ratios = sorted(two / one for one, two in runs)
            print(
                f"to {size_px:3} px, {name:13}: images/s full {statistics.median(full):.0f} "
                f"({full[0]:.0f}–{full[-1]:.0f}), scaled {statistics.median(scaled):.0f} "
                f"({scaled[0]:.0f}–{scaled[-1]:.0f}), ratio {statistics.median(ratios):.2f} "
                f"({ratios[0]:.2f}–{ratios[-1]:.2f})"
            )


if __name__ == "__main__":
    main()
