"""A pretraining that goes on takes its settings from what it was begun with, and no others."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from foveal.backbone.settings import BackboneSettings
from foveal.core.errors import CannotResume, NotThere, OutOfRange
from foveal.recipes.pretraining import pretrain
from foveal.recipes.pretraining.order import FITS, PretrainOrder
from foveal.recipes.workplace import TEACHER, Workplace
from foveal.train.network.pretrain_settings import PretrainSettings

SMALL = ["layers=[1,1,1,1]", "channels=[8,8,16,16]"]
WORDS = [
    *("--model-arg", SMALL[0], "--model-arg", SMALL[1], "--epochs", "2", "--sizes", "32,64"),
    *("--canvas", "64", "--batch", "16", "--val-share", "0.2", "--no-mirror"),
    *("--device", "cpu", "--teacher", "classical", "--teacher-crop", "1.0"),
]


@pytest.fixture
def begun(photos: Path, tmp_path: Path) -> Workplace:
    """Where a pretraining of ``photos`` was begun, and its teacher has looked at them."""
    place = Workplace.of(tmp_path / "out")
    order = PretrainOrder(
        data=(photos,),
        settings=PretrainSettings(rate=0.1, sizes=(32, 64)),
        teacher=BackboneSettings(backbone="classical"),
    )
    place.begin(order.to_mapping())
    (place.folder / TEACHER).write_bytes(b"seen")
    return place


def test_nothing_but_the_folder_is_needed(begun: Workplace, photos: Path) -> None:
    order = PretrainOrder.resumed(begun, (), (), {})
    assert order.data == (photos,)
    assert (order.settings.rate, order.settings.sizes) == (0.1, (32, 64))
    assert order.teacher == BackboneSettings(backbone="classical")


def test_what_was_said_may_be_said_once_more(begun: Workplace) -> None:
    said = {"settings": {"rate": 0.1, "sizes": ["32", "64"]}, "teacher": {"backbone": "classical"}}
    assert PretrainOrder.resumed(begun, (), (), said) == PretrainOrder.resumed(begun, (), (), {})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"settings": {"rate": 0.2}}, r"rate was 0\.1, is 0\.2\."),
        ({"settings": {"budget": "1h"}}, "budget was None, is '1h'"),
        ({"settings": {"mirror": False}}, "mirror was True, is False"),
        ({"reading": {"label_column": "kind"}}, "label_column was None, is 'kind'"),
        ({"teacher": {"backbone": "foveal-s"}}, "teacher_backbone was 'classical', is 'foveal-s'"),
        (
            {"settings": {"rate": 0.2, "epochs": 3}},
            r"epochs was 11, is 3; rate was 0\.1, is 0\.2",
        ),
    ],
)
def test_what_differs_is_refused_by_name(begun: Workplace, options: dict, words: str) -> None:
    with pytest.raises(CannotResume, match=words):
        PretrainOrder.resumed(begun, (), (), options)


def test_it_may_go_on_elsewhere(begun: Workplace) -> None:
    assert PretrainOrder.resumed(
        begun, (), (), {"settings": {"device": "cpu"}}
    ).settings.device == ("cpu")


def test_pictures_that_moved_are_asked_for_and_taken_from_where_they_are(
    begun: Workplace, photos: Path, tmp_path: Path
) -> None:
    kept = begun.settings()
    begun.begin({**kept, "data": [str(tmp_path / "gone")]})
    with pytest.raises(NotThere, match=r"not at .*gone\. Say where they are now"):
        PretrainOrder.resumed(begun, (), (), {})
    assert PretrainOrder.resumed(begun, (photos,), (), {}).data == (photos,)


def test_the_epochs_that_the_budget_allowed_stay(begun: Workplace) -> None:
    kept = begun.settings()
    begun.begin({**kept, "settings": {**kept["settings"], "budget": "1h"}, FITS: 4})
    for options in ({}, {"settings": {"epochs": 11, "budget": "1h"}}):
        settings = PretrainOrder.resumed(begun, (), (), options).settings
        assert (settings.epochs, settings.budget) == (4, None)


def test_what_was_begun_by_another_verb_is_sent_there(
    cli: Callable, begun: Workplace, tmp_path: Path
) -> None:
    said = cli("fit", "-o", tmp_path / "out", "--resume")
    assert said.code == 2
    assert said.err == (
        f"foveal: {begun.folder} holds a training of `foveal pretrain`. Go on with it by "
        "foveal pretrain --resume.\n"
    )
    begun.begin({"data": "photos", "fit": {}})
    said = cli("pretrain", "-o", tmp_path / "out", "--resume")
    assert said.code == 2
    assert "holds a training of `foveal fit`. Go on with it by foveal fit --resume." in said.err


def test_no_pictures_at_all_are_refused(cli: Callable, tmp_path: Path) -> None:
    said = cli("pretrain", "-o", tmp_path / "out")
    assert (said.code, said.err) == (
        2,
        "foveal: No pictures were named. Say: foveal pretrain PHOTOS -o OUT\n",
    )


def test_after_an_interruption_the_folder_is_enough_from_everywhere(
    cli: Callable, make_photos: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = make_photos(tmp_path / "home" / "photos", count=10)
    monkeypatch.chdir(tmp_path / "home")

    def tell(self: object, news: object) -> None:
        if type(news).__name__ == "Update" and news.step == 1:  # type: ignore[attr-defined]
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patched:
        patched.setattr(pretrain._Diary, "tell", tell)
        said = cli("pretrain", "photos", "-o", "out", *WORDS)
    assert said.code == 130
    assert said.err.endswith(
        "What was learnt is kept: foveal pretrain -o out --resume goes on.\n"
        "foveal: interrupted; nothing was half-written.\n"
    )
    monkeypatch.chdir(tmp_path)
    refused = cli("pretrain", "-o", "home/out", "--resume", "--rate", "0.3", "-q")
    assert refused.code == 2
    assert "cannot be resumed: rate was 0.15, is 0.3." in refused.err
    whole = (photos / "dots" / "00.png").read_bytes()
    (photos / "dots" / "00.png").unlink()
    changed = cli("pretrain", "-o", "home/out", "--resume", "-q")
    assert changed.code == 2
    assert "cannot be resumed: train was " in changed.err
    (photos / "dots" / "00.png").write_bytes(whole)
    done = cli("pretrain", "-o", "home/out", "--resume")
    assert done.code == 0, done.err
    assert "The run goes on from step 2 of 4" in done.err
    assert (tmp_path / "home" / "out" / "README.md").is_file()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("data", value) for value in (None, 5, "photos", [3])],
        *[("val", None), ("settings", None), ("settings", 5), ("reading", []), ("teacher", 5)],
        *[(FITS, value) for value in ("3", 0, True)],
    ],
)
def test_an_order_that_was_edited_is_refused_by_its_entry(
    begun: Workplace, name: str, value: object
) -> None:
    begun.begin({**begun.settings(), name: value})
    with pytest.raises(OutOfRange, match=rf"^{name} = .*\(in .*out.training\)"):
        PretrainOrder.resumed(begun, (), (), {})
