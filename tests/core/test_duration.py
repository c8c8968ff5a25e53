"""Durations: as they are written, as they are read, and what is refused."""

from __future__ import annotations

import pytest

from foveal.core.duration import duration_text, parse_duration
from foveal.core.errors import OutOfRange


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90.0),
        ("10m", 600.0),
        ("1.5h", 5400.0),
        ("1h30m", 5400.0),
        ("1h 5s", 3605.0),
        (" 10 M ", 600.0),
    ],
)
def test_numbers_with_units_add_up(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", " ", "10", "m", "-5m", "10 minutes", "0s", "1m1h", "1e9s", "nan s", "1.m", "½h"]
)
def test_anything_else_is_one_sentence_that_names_the_setting(text: str) -> None:
    with pytest.raises(OutOfRange) as refused:
        parse_duration(text, field="--budget")
    assert str(refused.value) == (
        f"--budget = {text!r} cannot work. "
        "Expected a duration with its unit, such as 90s, 10m or 1h30m."
    )


@pytest.mark.parametrize("seconds", [1, 9.94, 9.95, 59.4, 59.6, 119.7, 3569, 3570, 86_369, 86_371])
def test_what_is_read_is_within_a_hundredth_or_half_a_unit_of_what_was_meant(
    seconds: float,
) -> None:
    shown = duration_text(seconds).replace(" ", "").replace("min", "m").replace(",", "")
    assert parse_duration(shown) == pytest.approx(seconds, rel=0.01, abs=0.05)


def test_no_unit_ever_says_sixty_of_the_next_smaller_one() -> None:
    for seconds in range(1, 90_000, 7):
        assert "60" not in duration_text(seconds + 0.6).split()
