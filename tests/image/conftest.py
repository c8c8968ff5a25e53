"""Pictures made here, so that most of these tests need no shared data."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

Photo = Callable[..., Image.Image]
Encoded = Callable[..., bytes]


@pytest.fixture(scope="session")
def photo() -> Photo:
    """Make a picture with slopes, edges and texture, no two corners alike."""

    def make(width: int = 120, height: int = 80, seed: int = 0) -> Image.Image:
        rng = np.random.default_rng(seed)
        y, x = np.mgrid[0:height, 0:width]
        slope = np.stack([255 * x / width, 255 * y / height, 255 - 255 * x / width], axis=-1)
        coarse = Image.fromarray(rng.integers(0, 256, (9, 13, 3), dtype=np.uint8))
        texture = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))
        pixels = 0.5 * slope + 0.5 * texture
        pixels[: height // 4, : width // 3] = (230, 20, 30)  # red, upper left
        return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))

    return make


@pytest.fixture(scope="session")
def encoded() -> Encoded:
    """Encode a picture: ``encoded(image, "JPEG", orientation=6, quality=90)``."""

    def encode(
        image: Image.Image, kind: str = "PNG", *, orientation: int | None = None, **options: object
    ) -> bytes:
        file = BytesIO()
        if orientation is not None:
            exif = Image.Exif()
            exif[0x0112] = orientation
            options["exif"] = exif.tobytes()
        image.save(file, kind, **options)
        return file.getvalue()

    return encode
