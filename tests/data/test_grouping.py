from __future__ import annotations

import pytest

from foveal.core.errors import OutOfRange
from foveal.data.grouping import groups_of
from foveal.data.reading import ReadSettings

TRACKS = ["07/2_1.png", "07/2_2.png", "08/2_1.png", "08/3_1.png"]
LABELS = [[path[:2]] for path in TRACKS]


def test_numbers_in_file_names_start_again_in_every_class():
    groups, told = groups_of(TRACKS, LABELS, ReadSettings(group_pattern=r"^(\d+)_"))
    assert groups == ["07/2", "07/2", "08/2", "08/3"]
    (finding,) = told
    assert finding.kind == "group-scope"
    assert "1 group name (of 2)" in finding.message
    assert "group_scope=all" in finding.message


def test_a_patient_with_pictures_of_two_classes_is_one_group_where_that_is_said():
    settings = ReadSettings(group_pattern=r"^(\d+)_", group_scope="all")
    groups, told = groups_of(TRACKS, LABELS, settings)
    assert groups == ["2", "2", "2", "3"]
    assert "group_scope=class" in told[0].message


def test_a_folder_level_names_the_group_in_all_classes():
    paths = ["sick/anna/1.png", "well/anna/2.png", "well/bert/3.png"]
    labels = [["sick"], ["well"], ["well"]]
    assert groups_of(paths, labels, ReadSettings(group_level=2))[0] == ["anna", "anna", "bert"]
    scoped = ReadSettings(group_level=2, group_scope="class")
    assert groups_of(paths, labels, scoped)[0] == ["sick/anna", "well/anna", "well/bert"]


def test_the_pattern_sees_the_name_of_the_file_alone():
    groups, _ = groups_of(["p1_x/p2_y.png"], [["a"]], ReadSettings(group_pattern=r"(p\d)_"))
    assert groups == ["a/p2"]


def test_files_that_fit_no_group_stand_for_themselves_and_are_told():
    paths = ["a/1_1.png", "a/odd.png"]
    groups, told = groups_of(paths, [["a"], ["a"]], ReadSettings(group_pattern=r"^(\d+)_"))
    assert groups == ["a/1", None]
    (finding,) = told
    assert (finding.kind, finding.rows) == ("no-group", (1,))
    assert "a/odd.png" in finding.message


@pytest.mark.parametrize("settings", [{"group_pattern": r"^(x\d+)"}, {"group_level": 2}])
def test_a_pattern_or_level_that_fits_nothing_is_refused(settings):
    with pytest.raises(OutOfRange, match=r"fits a file: 07/2_1.png and all others"):
        groups_of(TRACKS, LABELS, ReadSettings(**settings))


def test_no_setting_means_no_groups():
    assert groups_of(TRACKS, LABELS, ReadSettings()) == ([None] * 4, [])
