"""The contact sheet: every picture is there, whole and in its place, and no text is cut off."""

from __future__ import annotations

import numpy as np
from PIL import Image

from foveal.recipes.contact import PAPER, Row, contact_sheet


def flat(value: int, side: int = 40) -> np.ndarray:
    return np.full((side, side, 3), value, np.uint8)


def row(*values: int, name: str = "a", first: bool = True) -> Row:
    others = np.stack([flat(value) for value in values[1:]])
    return Row(name, "path/a.jpg", flat(values[0]) if first else None, others)


def sheet_of(*rows: Row, title: str = "t", lines: tuple[str, ...] = ("x",)) -> np.ndarray:
    heads = ["original", *(str(n) for n in range(len(rows[0].others)))]
    return np.asarray(contact_sheet(title, lines, heads, rows))


def places(sheet: np.ndarray, value: int) -> tuple[int, int, int, int]:
    """Return top, left, height and width of what has exactly this grey."""
    ys, xs = np.nonzero((sheet == value).all(axis=2))
    return int(ys.min()), int(xs.min()), int(np.ptp(ys)) + 1, int(np.ptp(xs)) + 1


def test_every_picture_is_shown_whole_in_rows_and_columns() -> None:
    values = [[101, 103, 105], [111, 113, 115]]
    sheet = sheet_of(row(*values[0]), row(*values[1]))
    found = [[places(sheet, value) for value in line] for line in values]
    assert all((height, width) == (40, 40) for line in found for *_, height, width in line)
    for line in found:
        assert len({top for top, *_ in line}) == 1
        lefts = [left for _, left, *_ in line]
        assert lefts == sorted(lefts)
        assert lefts[1] - lefts[0] > lefts[2] - lefts[1]  # the original stands apart
    assert [left for _, left, *_ in found[0]] == [left for _, left, *_ in found[1]]


def test_a_row_may_be_without_an_original() -> None:
    with_one = sheet_of(row(101, 103, 105))
    without = sheet_of(row(101, 103, 105, first=False))
    assert with_one.shape == without.shape
    assert not (without == 101).all(axis=2).any()
    assert places(without, 103) == places(with_one, 103)


def test_long_text_makes_the_sheet_wider() -> None:
    short = sheet_of(row(101, 103))
    paper = np.asarray(Image.new("RGB", (1, 1), PAPER))[0, 0]
    for long in (
        sheet_of(row(101, 103), lines=("many words " * 12,)),
        sheet_of(row(101, 103, name="a class of a long name " * 6)),
        sheet_of(row(101, 103), title="long " * 20),
    ):
        assert long.shape[1] > 2 * short.shape[1]
        assert (long[:, -28:] == paper).all()  # the margin is free: nothing was cut off


def test_names_that_are_no_text_are_drawn_all_the_same() -> None:
    strange = sheet_of(row(101, 103, name="a\nb\udcffc"))
    assert (strange == sheet_of(row(101, 103, name="a?b?c"))).all()
