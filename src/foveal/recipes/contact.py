"""A contact sheet: rows of pictures under a title, as one image. It knows nothing of policies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

PAPER, INK, PALE = "#f2f2ef", "#1b1b1f", "#6a6a73"
MARGIN, GAP, GUTTER = 28, 6, 22  # pixels: around all, between pictures, after the first column
TITLE, TEXT, SMALL = 26, 15, 12  # heights of letters, in pixels


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """A row of pictures, and what stands above it."""

    name: str
    detail: str
    first: NDArray[np.uint8] | None  # (side, side, 3) RGB: what the others were made of, if one
    others: NDArray[np.uint8]  # (n, side, side, 3) RGB


def contact_sheet(
    title: str, lines: Sequence[str], heads: Sequence[str], rows: Sequence[Row]
) -> Image.Image:
    """Return the sheet. Characters that the font does not have are drawn as boxes.

    Args:
        title: in large letters.
        lines: below it.
        heads: of the columns: 1 + n.
        rows: at least one, all with n pictures of one size.
    """
    side, count = rows[0].others.shape[1], len(rows[0].others)
    xs = [MARGIN, *(MARGIN + side + GUTTER + i * (side + GAP) for i in range(count))]
    words = [(_font(TITLE), title), *((_font(TEXT), line) for line in lines)]
    words += [(_font(TEXT), f"{_clean(row.name)}   {_clean(row.detail)}") for row in rows]
    width = max(xs[-1] + side, *(MARGIN + round(font.getlength(text)) for font, text in words))
    top = MARGIN + 2 * TITLE + len(lines) * round(1.5 * TEXT) + 2 * SMALL
    step = 2 * TEXT + side + GAP
    sheet = Image.new("RGB", (width + MARGIN, top + len(rows) * step + MARGIN), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, MARGIN), title, INK, _font(TITLE))
    for number, line in enumerate(lines):
        y = MARGIN + round(1.6 * TITLE) + number * round(1.5 * TEXT)
        draw.text((MARGIN, y), line, PALE, _font(TEXT))
    for x, head in zip(xs, heads, strict=True):
        if _font(SMALL).getlength(head) <= side:
            draw.text((x, top - SMALL - GAP), head, PALE, _font(SMALL))
    for number, row in enumerate(rows):
        _draw_row(sheet, draw, row, xs, top + number * step)
    return sheet


def _draw_row(
    sheet: Image.Image, draw: ImageDraw.ImageDraw, row: Row, xs: Sequence[int], y: int
) -> None:
    name = _clean(row.name)
    draw.text((xs[0], y + TEXT // 2), name, INK, _font(TEXT))
    x = xs[0] + _font(TEXT).getlength(name + "  ")
    draw.text((x, y + TEXT // 2 + TEXT - SMALL), _clean(row.detail), PALE, _font(SMALL))
    for x, picture in zip(xs, [row.first, *row.others], strict=True):
        if picture is not None:
            sheet.paste(Image.fromarray(picture), (int(x), y + 2 * TEXT))


def _font(height: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(height)


def _clean(text: str) -> str:
    r"""Return text that can be drawn on one line: no controls, no bytes that are no Unicode.

    >>> _clean("a\nb")
    'a?b'
    """
    return "".join(letter if letter.isprintable() else "?" for letter in text)
