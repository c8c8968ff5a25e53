from __future__ import annotations

import unicodedata

import numpy as np
import pytest

from foveal.core.errors import BadData
from foveal.data.classes import difference, lookalikes, match_classes, plain


def test_classes_are_matched_by_name_whatever_their_numbers():
    # ultralytics#13936: 180 is missing, and 90 was scored as 180
    numbers = match_classes(["0", "180", "270", "90"], ["0", "270", "90"])
    assert numbers.tolist() == [0, 2, 3]


def test_a_class_the_model_does_not_have_is_an_error_with_the_nearest_name():
    with pytest.raises(BadData, match=r"1 class .*'grap'.*Did you mean 'grape'"):
        match_classes(["apple", "grape"], ["apple", "grap"])


@pytest.mark.parametrize(
    ("theirs", "in_what"),
    [
        ("Cafe\u0301", "Unicode form"),
        ("café", "case"),
        ("Café ", "white space"),
        ("café ", "case and white space"),
    ],
)
def test_a_near_miss_says_in_what_it_differs(theirs, in_what):
    ours = unicodedata.normalize("NFC", "Café")
    with pytest.raises(BadData, match=f"only in {in_what}: rename it"):
        match_classes([ours, "tea"], [theirs])
    assert lookalikes([ours, theirs, "tea"]) == [tuple(sorted([ours, theirs]))]
    assert difference(ours, theirs) == in_what
    assert plain(ours) == plain(theirs)


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("1", "1.0", True),
        ("1", "01", True),
        ("+2.50", "2.5", True),
        ("-1", "-1.", True),
        ("0", "00", True),
        ("1", "10", False),
        ("1", "-1", False),
        ("1.0", "1.01", False),
        ("9" * 40, "9" * 39 + "8", False),
        ("v1", "v1.0", False),
        ("1.2.0", "1.2", False),
    ],
)
def test_numbers_look_alike_where_they_are_equal(one, other, alike):
    assert bool(lookalikes([one, other])) is alike
    if alike:
        assert difference(one, other) == "how the number is written"


def test_many_unknown_classes_are_counted_and_some_named():
    with pytest.raises(BadData, match=r"9 classes.*'x0'.*and 4 more.*The model knows 'a', 'b'\."):
        match_classes(["a", "b"], [f"x{n}" for n in range(9)])


def test_an_unknown_class_without_a_picture_harms_nobody():
    images = np.array([3, 0])
    assert match_classes(["a"], ["a", "unsure"], images_K=images).tolist() == [0, -1]
    with pytest.raises(BadData, match="unsure"):
        match_classes(["a"], ["a", "unsure"], images_K=images[::-1])
