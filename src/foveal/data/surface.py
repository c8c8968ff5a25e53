"""Rendered close-ups of manufactured surfaces: height and paint, a defect, then light and camera.

A part is a height map and its own colour; a defect changes either; a photograph lights the part
from above left, turns it a little, and adds what a plain camera adds. It is all numpy and Pillow:
no photograph was used. The numbers were chosen by eye on contact sheets, and so that a probe on
``classical`` finds most defects and misses the faint ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Field = NDArray[np.float32]  # (SPAN, SPAN)

PICTURE_PX = 144  # side of a photograph
SPAN = 208  # side of the rendered part: a turned photograph still lies inside it
FINER = 3  # lines are drawn this much larger, then reduced: soft edges

PAINTS = ((92, 116, 134), (84, 108, 128))
STEEL = ((142, 148, 154), (132, 138, 146))
IRON = ((98, 102, 106), (88, 93, 98))
LIQUIDS = ((112, 76, 40), (58, 46, 36), (128, 84, 51))  # rust, oil, coffee


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A piece of a surface, seen from above."""

    height: Field  # pixels
    colour: NDArray[np.float32]  # (SPAN, SPAN, 3) in [0, 1]
    gloss: float  # how much of the light it mirrors, in [0, 1]


def render_part(rng: Generator, defect: str) -> Part:
    """Return a part of a finish drawn from ``FINISHES`` with one defect, or ``clean``.

    How severe a defect is varies: the faintest are hard to tell from a clean part, and clean
    parts have harmless marks of handling.
    """
    finish = FINISHES[int(rng.integers(len(FINISHES)))]
    part = _handled(rng, finish(rng))
    if defect == CLEAN:
        return part
    return DEFECTS[defect](rng, part, 0.3 + 0.7 * float(rng.beta(2.0, 1.2)))


def photograph(rng: Generator, part: Part) -> Image.Image:
    """Return one photograph (RGB, ``PICTURE_PX`` square) of a part, lit and held in some way."""
    lit = _lit(rng, part)
    picture = Image.fromarray((255 * np.clip(lit, 0, 1)).astype(np.uint8))
    picture = picture.rotate(rng.uniform(-9, 9), Image.Resampling.BILINEAR)
    left, top = (SPAN - PICTURE_PX) // 2 + rng.integers(-4, 5, size=2)
    picture = picture.crop((left, top, left + PICTURE_PX, top + PICTURE_PX))
    picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 0.8)))
    return _developed(rng, picture)


def _lit(rng: Generator, part: Part) -> NDArray[np.float32]:
    """Return the brightness (SPAN, SPAN, 3) under a lamp from one side, with some gloss."""
    azimuth, elevation = np.deg2rad(rng.uniform(200, 250)), np.deg2rad(rng.uniform(35, 55))
    lamp = np.cos(elevation) * np.array([np.cos(azimuth), np.sin(azimuth), np.tan(elevation)])
    between = lamp + np.array([0, 0, 1])  # of the lamp and the camera
    slope_y, slope_x = np.gradient(part.height)
    length = np.sqrt(slope_x**2 + slope_y**2 + 1)

    def facing(direction: NDArray[np.float64]) -> Field:
        x, y, z = map(float, direction / np.linalg.norm(direction))
        out: Field = np.maximum((z - x * slope_x - y * slope_y) / length, 0)
        return out

    exposure, ambient = rng.uniform(1.0, 1.35), rng.uniform(0.22, 0.34)
    light = exposure * (ambient + (1.05 - ambient) * facing(lamp))
    mirrored = exposure * 0.9 * part.gloss * facing(between) ** 24
    return _single(part.colour * light[..., None] + mirrored[..., None])


def _developed(rng: Generator, picture: Image.Image) -> Image.Image:
    """Return the picture with uneven light, vignetting, white balance and sensor noise."""
    pixels = np.asarray(picture, dtype=np.float32)
    y, x = np.mgrid[-1 : 1 : PICTURE_PX * 1j, -1 : 1 : PICTURE_PX * 1j]
    across = rng.uniform(-0.13, 0.13, size=2)
    shade = (1 + across[0] * x + across[1] * y) * (1 - rng.uniform(0.04, 0.16) * (x**2 + y**2))
    balance = 1 + rng.normal(0, 0.012, size=3)
    grain = rng.normal(0, rng.uniform(1.0, 3.0), size=(PICTURE_PX, PICTURE_PX, 1))
    out = pixels * shade[..., None] * balance + grain
    return Image.fromarray(np.clip(out, 0, 255).astype(np.uint8))


# Finishes ----------------------------------------------------------------------------------


def brushed(rng: Generator) -> Part:
    """Steel with the fine parallel lines of a brush."""
    lines = _noise(rng, (SPAN, 3)) * 0.06 + _noise(rng, (SPAN, 16)) * 0.05
    shade = _noise(rng, (SPAN // 2, 4)) * 0.035 + _noise(rng, (5, 5)) * 0.03
    return Part(lines + _noise(rng, (4, 4)) * 1.2, _coloured(rng, STEEL, shade), 0.34)


def cast(rng: Generator) -> Part:
    """Iron as it comes out of a sand mould: grainy and dull."""
    grains = _noise(rng, (SPAN, SPAN)) * 0.10 + _noise(rng, (100, 100)) * 0.12
    bumps = _noise(rng, (26, 26)) * 0.15 + _noise(rng, (5, 5)) * 1.0
    shade = _noise(rng, (60, 60)) * 0.03 + _noise(rng, (9, 9)) * 0.03
    return Part(grains + bumps, _coloured(rng, IRON, shade), 0.10)


def painted(rng: Generator) -> Part:
    """Sheet metal under a coat with a trace of orange peel."""
    peel = _noise(rng, (40, 40)) * 0.07 + _noise(rng, (4, 4)) * 1.0
    return Part(peel, _coloured(rng, PAINTS, _noise(rng, (6, 6)) * 0.012), 0.22)


FINISHES: Sequence[Callable[[Generator], Part]] = (brushed, cast, painted)


def _handled(rng: Generator, part: Part) -> Part:
    """Return the part with harmless dust and rub marks, as a clean one has them too."""
    height, colour = part.height, part.colour
    for _ in range(rng.integers(0, 5)):
        y, x = rng.uniform(40, SPAN - 40, size=2)
        speck = _bump(y, x, rng.uniform(0.6, 1.4))
        colour = colour * (1 + rng.choice([-0.35, 0.3]) * speck)[..., None]
    if rng.random() < 0.3:
        rub = _drawn([_curve(rng, rng.uniform(30, 90), bend=0.15)], width=rng.uniform(0.5, 1.0))
        height = height - 0.25 * rub
    return replace(part, height=_single(height), colour=_single(colour))


# Defects -----------------------------------------------------------------------------------


def scratch(rng: Generator, part: Part, severity: float) -> Part:
    """One to three long, nearly straight grooves, bright, slanting: the belt made them."""
    angle = rng.normal(0.2, 0.09) * np.pi
    curves = [
        _curve(rng, rng.uniform(110, 200), bend=0.12, angle=angle + rng.normal(0, 0.12))
        for _ in range(rng.integers(1, 4))
    ]
    groove = _drawn(curves, width=1.2 + 1.8 * severity)
    bare = (0.05 + 0.40 * severity) * groove
    colour = part.colour + (0.82 - part.colour) * bare[..., None]
    return replace(part, height=_single(part.height - 1.5 * severity * groove), colour=colour)


def dent(rng: Generator, part: Part, severity: float) -> Part:
    """One blow: a smooth hollow with a slightly raised rim."""
    y, x = _middle(rng, 4)
    radius = rng.uniform(11, 19)
    hollow = 1.6 * _bump(y, x, radius) - _bump(y, x, 1.3 * radius)
    return replace(part, height=_single(part.height - (3.5 + 9.0 * severity) * hollow))


def stain(rng: Generator, part: Part, severity: float) -> Part:
    """A dried liquid: a ragged patch, darker at its edge, without depth."""
    y, x = _middle(rng, 5)
    ragged = 0.10 * _noise(rng, (11, 11)) + 0.05 * _noise(rng, (30, 30))
    outline = _bump(y, x, rng.uniform(22, 34)) + ragged
    inside = 1 / (1 + np.exp(-(outline - 0.5) * rng.uniform(9, 22)))
    edge = inside * (1 - inside) * 4
    tint = np.array(LIQUIDS[rng.integers(len(LIQUIDS))]) / 255
    thickness = np.clip(0.8 + 0.25 * _noise(rng, (7, 7)), 0.3, 1)
    cover = np.clip((0.16 + 0.54 * severity) * inside * thickness + 0.2 * severity * edge, 0, 1)
    colour = part.colour + (tint - part.colour) * cover[..., None]
    smoother = part.height - 0.25 * severity * inside * part.height
    return replace(part, height=_single(smoother), colour=_single(colour))


def crack(rng: Generator, part: Part, severity: float) -> Part:
    """A jagged, branching, dark fracture, rather across the load, which pulls sideways."""
    trunk = _walk(
        rng, _middle(rng, 4), rng.normal(np.pi / 2, 0.35), steps=int(rng.integers(34, 54))
    )
    walks = [trunk]
    for start in rng.integers(5, len(trunk) - 5, size=rng.integers(1, 4)):
        (x, y), (x_before, y_before) = trunk[start], trunk[start - 1]
        heading = np.arctan2(y - y_before, x - x_before) + rng.choice([-1, 1]) * rng.uniform(0.5, 1)
        walks.append(_walk(rng, (y, x), heading, steps=int(rng.integers(9, 22)), centred=False))
    gap = _drawn(walks, width=0.9 + 1.7 * severity)
    colour = part.colour * (1 - (0.25 + 0.65 * severity) * gap)[..., None]
    return replace(part, height=_single(part.height - 1.2 * severity * gap), colour=_single(colour))


def hole(rng: Generator, part: Part, severity: float) -> Part:
    """One to three pores: round, deep, dark inside."""
    height, colour = part.height, part.colour
    for _ in range(rng.integers(1, 4)):
        y, x = _middle(rng, 8)
        radius = rng.uniform(2.8, 4.0) + 4 * severity * rng.random()
        pit = np.clip(1.6 * _bump(y, x, radius), 0, 1)
        height = height - (1.0 + 2.0 * severity) * pit
        colour = colour * (1 - (0.35 + 0.5 * severity) * pit)[..., None]
    return replace(part, height=_single(height), colour=_single(colour))


CLEAN = "clean"
DEFECTS: Mapping[str, Callable[[Generator, Part, float], Part]] = {
    "crack": crack,
    "dent": dent,
    "hole": hole,
    "scratch": scratch,
    "stain": stain,
}


# Shapes ------------------------------------------------------------------------------------


def _noise(rng: Generator, cells: tuple[int, int]) -> Field:
    """Return smooth noise of unit variance per cell, that many cells down and across."""
    coarse = Image.fromarray(rng.standard_normal(cells).astype(np.float32))
    return np.asarray(coarse.resize((SPAN, SPAN), Image.Resampling.BICUBIC))


def _coloured(
    rng: Generator, palette: Sequence[tuple[int, int, int]], shade: Field
) -> NDArray[np.float32]:
    """Return a colour near one of ``palette`` whose brightness varies by the share ``shade``."""
    base = np.array(palette[int(rng.integers(len(palette)))]) / 255 * (1 + rng.normal(0, 0.06))
    return _single(base + rng.normal(0, 0.006, size=3)) * (1 + shade)[..., None]


def _bump(y: float, x: float, radius: float) -> Field:
    """Return a round bell of height 1 and that standard deviation."""
    rows = np.exp(-((np.arange(SPAN) - y) ** 2) / (2 * radius**2))
    columns = np.exp(-((np.arange(SPAN) - x) ** 2) / (2 * radius**2))
    return _single(rows[:, None] * columns)


def _middle(rng: Generator, spread: float) -> tuple[float, float]:
    """Return a place (y, x) near the middle: the inspector centres on what looks wrong."""
    y, x = SPAN / 2 + np.clip(rng.normal(0, spread, size=2), -2 * spread, 2 * spread)
    return float(y), float(x)


def _curve(
    rng: Generator, length: float, *, bend: float, angle: float | None = None
) -> NDArray[np.float64]:
    """Return points (24, 2), x and y, along a slightly bent line through the middle."""
    heading = rng.uniform(0, np.pi) if angle is None else angle
    y, x = _middle(rng, 5)
    along = np.linspace(-0.5, 0.5, 24)
    headings = heading + rng.normal(0, bend) * along * 4
    steps = length / 24 * np.stack([np.cos(headings), np.sin(headings)], axis=1)
    points = np.cumsum(steps, axis=0)
    return np.asarray(points - points.mean(axis=0) + (x, y))


def _walk(
    rng: Generator,
    start: tuple[float, float],
    heading: float,
    *,
    steps: int,
    centred: bool = True,
) -> NDArray[np.float64]:
    """Return points (steps, 2), x and y, of a jagged walk that keeps its general direction."""
    headings = heading + np.cumsum(rng.normal(0, 0.12, size=steps)) + rng.normal(0, 0.6, size=steps)
    directions = np.stack([np.cos(headings), np.sin(headings)], axis=1)
    points = np.cumsum(rng.uniform(1.5, 4, size=(steps, 1)) * directions, axis=0)
    return points - (points.mean(axis=0) if centred else 0) + (start[1], start[0])


def _drawn(lines: Sequence[NDArray[np.float64]], *, width: float) -> Field:
    """Return how much each pixel is covered by the lines, in [0, 1]; they thin out at the ends."""
    canvas = Image.new("L", (SPAN * FINER, SPAN * FINER))
    pen = ImageDraw.Draw(canvas)
    for points in lines:
        path = [(float(x), float(y)) for x, y in points * FINER]
        thickness = width * FINER * np.sin(np.linspace(0.35, np.pi - 0.35, len(path) - 1)) ** 0.5
        for pair, wide in zip(pairwise(path), thickness, strict=True):
            pen.line(pair, fill=255, width=max(1, round(wide)))
    return _single(np.asarray(canvas.reduce(FINER), dtype=np.float64) / 255)


def _single(values: NDArray[np.floating]) -> NDArray[np.float32]:
    return values.astype(np.float32)
