"""The place of a training: for one process at a time, and nothing in it is lost by a mistake."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import foveal
from foveal.core.errors import AlreadyThere, CannotResume, NotThere
from foveal.recipes.requested import FitOrder
from foveal.recipes.workplace import Workplace

BEGUN = {"data": "photos", "fit": {"train": {"strategy": "scratch", "rate": 0.1}}}
OTHER = {"data": "photos", "fit": {"train": {"strategy": "scratch", "rate": 0.2}}}


@pytest.fixture
def cut_off(tmp_path: Path) -> Workplace:
    """A training that learnt something before it was cut off."""
    place = Workplace.of(tmp_path / "model")
    place.begin(BEGUN)
    learn(place)
    return place


def learn(place: Workplace) -> None:
    place.checkpoints.mkdir()
    (place.checkpoints / "step-00000003.safetensors").write_bytes(b"learnt")


def test_a_resumption_that_is_refused_changes_nothing(cut_off: Workplace) -> None:
    with pytest.raises(CannotResume), cut_off.held(OTHER, resume=True):
        raise CannotResume("rate was 0.1, is 0.2")
    assert cut_off.settings() == BEGUN
    assert cut_off.worth_keeping


def test_where_nothing_was_learnt_a_resumption_is_a_beginning(tmp_path: Path) -> None:
    place = Workplace.of(tmp_path / "model")
    place.begin(BEGUN)
    with place.held(OTHER, resume=True):
        assert place.settings() == OTHER


def test_what_is_overwritten_comes_back_if_nothing_is_learnt_in_its_place(
    cut_off: Workplace,
) -> None:
    def fail() -> None:
        assert cut_off.settings() == OTHER
        assert not cut_off.worth_keeping
        raise ValueError("no such policy")

    with pytest.raises(ValueError, match="no such policy"), cut_off.held(OTHER, overwrite=True):
        fail()
    assert cut_off.settings() == BEGUN
    assert cut_off.worth_keeping
    assert list(cut_off.folder.parent.iterdir()) == [cut_off.folder]


def test_what_is_overwritten_is_gone_when_something_is_learnt(cut_off: Workplace) -> None:
    def stop() -> None:
        learn(cut_off)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), cut_off.held(OTHER, overwrite=True):
        stop()
    assert cut_off.settings() == OTHER
    assert list(cut_off.folder.parent.iterdir()) == [cut_off.folder]


def killed_while_overwriting(place: Workplace) -> None:
    """Leave what a process leaves that was killed before it learnt anything."""
    place.folder.rename(place.folder.with_name(f".{place.folder.name}.0123abcd.old"))
    place.begin(OTHER)


def test_what_a_killed_process_was_to_overwrite_is_not_lost(cut_off: Workplace) -> None:
    killed_while_overwriting(cut_off)
    with pytest.raises(AlreadyThere, match="Go on with it by --resume"), cut_off.held(OTHER):
        pass
    assert cut_off.settings() == BEGUN
    assert cut_off.worth_keeping
    assert list(cut_off.folder.parent.iterdir()) == [cut_off.folder]


@pytest.mark.parametrize("how", [{"resume": True}, {"overwrite": True}])
def test_what_a_killed_process_was_to_overwrite_goes_when_something_is_learnt(
    cut_off: Workplace, how: dict
) -> None:
    killed_while_overwriting(cut_off)
    with cut_off.held(OTHER, **how):
        learn(cut_off)
    assert cut_off.settings() == OTHER
    assert list(cut_off.folder.parent.iterdir()) == [cut_off.folder]


def test_of_two_that_begin_at_once_one_is_told_so(tmp_path: Path) -> None:
    place, told = Workplace.of(tmp_path / "model"), []
    at_once = threading.Barrier(2)

    def begin() -> None:
        at_once.wait()
        try:
            with place.held(BEGUN):
                at_once.wait(5)
        except AlreadyThere as error:
            told.append(str(error))
            at_once.wait(5)

    both = [threading.Thread(target=begin) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert len(told) == 1
    assert "Another process is training" in told[0]


@pytest.mark.parametrize("how", [{}, {"resume": True}, {"overwrite": True}])
def test_a_second_process_is_kept_out(tmp_path: Path, how: dict) -> None:
    place = Workplace.of(tmp_path / "model")
    with place.held(BEGUN):
        with (
            pytest.raises(AlreadyThere, match=r"Another process is training in .*model.training"),
            place.held(OTHER, **how),
        ):
            pass
        assert place.settings() == BEGUN
    with place.held(OTHER, **how):
        pass


def test_a_file_in_its_place_is_left_alone(tmp_path: Path) -> None:
    place = Workplace.of(tmp_path / "model")
    place.folder.write_text("notes")
    with pytest.raises(AlreadyThere, match="is a file, where the training would keep"):
        place.check_free(overwrite=True)
    assert place.folder.read_text() == "notes"


def test_without_its_settings_a_training_cannot_go_on(cut_off: Workplace) -> None:
    (cut_off.folder / "settings.json").unlink()
    with pytest.raises(CannotResume, match=r"settings.json is missing.* begin anew by --overwrite"):
        cut_off.settings()


def test_a_training_goes_on_by_the_strategy_that_began_it(cut_off: Workplace) -> None:
    with pytest.raises(CannotResume, match="begun with the strategy 'scratch', not 'probe'"):
        FitOrder.resumed(cut_off, None, {"strategy": "probe"})
    assert FitOrder.resumed(cut_off, None, {"strategy": "scratch"}).fit.train.rate == 0.1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"epochs": 9}, r"epochs was 16, is 9\."),
        ({"test_share": 0.5, "seed": 3}, r"test_share was 0.2, is 0.5; seed was 0, is 3\."),
        ({"group_level": 2}, r"group_level was None, is 2\."),
    ],
)
def test_other_settings_are_refused_before_anything_is_done(
    cut_off: Workplace, options: dict[str, object], said: str
) -> None:
    with pytest.raises(CannotResume, match=said):
        FitOrder.resumed(cut_off, None, options)
    FitOrder.resumed(cut_off, None, {"workers": 2, "device": "cpu"})  # these may differ


def test_where_a_training_was_cut_off_the_model_is_not_there_yet(cut_off: Workplace) -> None:
    with pytest.raises(
        NotThere, match=r"yet: its training was cut off\. Go on with it: foveal fit"
    ):
        foveal.load(cut_off.model)


def test_a_training_that_goes_on_has_no_use_for_a_budget(cut_off: Workplace) -> None:
    with pytest.raises(CannotResume, match="the epochs it was begun with: a budget changes"):
        FitOrder.resumed(cut_off, None, {"budget": "1h"})


@pytest.mark.parametrize(("verb", "card"), [("fit", "bundle.json"), ("pretrain", "backbone.json")])
def test_what_is_finished_is_not_resumed(
    cli: Callable, tmp_path: Path, verb: str, card: str
) -> None:
    out = tmp_path / "model"
    out.mkdir()
    assert "Begin it without --resume" in cli(verb, "-o", out, "--resume").err
    (out / card).write_text("{}")
    said = cli(verb, "-o", out, "--resume")
    # Not 0: it may be an older model than the one whose training was to go on.
    assert (said.code, said.err) == (
        2,
        f"foveal: There is no training to resume at {out}.training: {out} is there, and finished. "
        "Use it, or train anew by --overwrite without --resume.\n",
    )
