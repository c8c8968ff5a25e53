"""What has changed since a run began is named, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from foveal.core.errors import CannotResume, FovealError
from foveal.train.network.saving.same_run import check_alike, check_same

BEGUN = {
    "settings": {"rate": 0.001, "epochs": 8, "betas": (0.9, 0.999), "clip": None},
    "data": "5f" * 32,
}


def said(now: dict[str, object]) -> str:
    with pytest.raises(CannotResume) as refused:
        check_same(BEGUN, now, where=Path("run"))
    assert refused.value.exit_code == 2
    return refused.value.what


def test_the_same_run_goes_on_also_where_json_has_changed_the_kinds_of_numbers() -> None:
    settings = {"rate": 0.001, "epochs": 8.0, "betas": [0.9, 0.999], "clip": None}
    check_same(BEGUN, {"data": "5f" * 32, "settings": settings}, where=Path("run"))


def test_every_change_is_named_with_both_values_and_digests_are_short() -> None:
    now = {"settings": {**BEGUN["settings"], "rate": 0.01, "clip": 1.0}, "data": "ab" * 32}
    assert said(now) == (
        "The run in run cannot be resumed: settings.rate was 0.001, is 0.01; settings.clip was "
        "None, is 1; data was '5f5f5f5f5f5f…', is 'abababababab…'."
    )


def test_what_is_new_and_what_is_gone_is_named() -> None:
    now = {"settings": {**BEGUN["settings"], "average": 0.98}}
    assert said(now).endswith(
        "data was '5f5f5f5f5f5f…', is not there; settings.average was not there, is 0.98."
    )


def test_a_flag_is_no_number_and_no_entries_are_no_entry() -> None:
    for before, now in [(True, 1), ("1", 1), ({}, None), (None, "None")]:
        with pytest.raises(CannotResume, match="x was "):
            check_same({"x": before}, {"x": now}, where=Path("run"))


def test_a_setting_that_came_later_is_none_of_the_changes_as_long_as_it_is_off() -> None:
    for off in (None, 0, 0.0, False, "", []):
        check_same({"x": 1}, {"x": 1, "later": off}, where=Path("run"))
        check_same({"x": 1, "gone": off}, {"x": 1}, where=Path("run"))
    with pytest.raises(CannotResume, match="later was not there, is 1"):
        check_same({"x": 1}, {"x": 1, "later": 1}, where=Path("run"))


def test_ranks_of_different_runs_are_refused_and_said_apart() -> None:
    one = {"steps": 8, "settings": {"train": {"epochs": 2}}}
    check_alike([one, dict(one)])
    with pytest.raises(FovealError, match=r"Rank 1 .* rank 0: settings.train.epochs was 2, is 3"):
        check_alike([one, {"steps": 8, "settings": {"train": {"epochs": 3}}}])
