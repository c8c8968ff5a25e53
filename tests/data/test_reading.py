from __future__ import annotations

import pytest

from foveal.core.errors import OutOfRange
from foveal.data.reading import ReadSettings


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"group_pattern": "(["}, "regular expression"),
        ({"group_pattern": r"\d+"}, r"exactly one \( \).*not 0"),
        ({"group_pattern": r"(\d)(\d)"}, "not 2"),
        ({"group_level": 0}, "1 .right below"),
        ({"group_scope": "both"}, "class or all"),
        ({"group_pattern": "(a)", "group_level": 1}, "no group_pattern beside it"),
        ({"group_column": "g", "group_level": 1}, "no group_column beside it"),
        ({"group_scope": "all"}, "a group_pattern or a group_level"),
    ],
)
def test_nonsense_is_refused_at_birth(settings, said):
    with pytest.raises(OutOfRange, match=said):
        ReadSettings(**settings)


def test_a_pattern_counts_anew_in_each_class_and_a_level_does_not():
    assert ReadSettings(group_pattern="(a)").group_scope_used == "class"
    assert ReadSettings(group_level=1).group_scope_used == "all"
    assert ReadSettings(group_level=1, group_scope="class").group_scope_used == "class"


def test_grouping_says_how_groups_are_made():
    ways = [
        ReadSettings(),
        ReadSettings(group_pattern="(a)"),
        ReadSettings(group_pattern="(b)"),
        ReadSettings(group_pattern="(a)", group_scope="all"),
        ReadSettings(group_level=1),
    ]
    assert ReadSettings().grouping == ""
    assert len({way.grouping for way in ways}) == len(ways)
