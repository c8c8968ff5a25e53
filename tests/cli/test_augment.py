"""`foveal augment`: one sheet, one JSON object, one sentence for what cannot be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from foveal.train.network.pictures.augment import POLICIES
from foveal.train.network.settings import TrainSettings

SMALL = ["--pictures", "3", "--variants", "2", "--size", "32"]


def test_it_writes_a_picture_and_says_what_is_on_it(
    cli: Callable, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "new" / "sheet.png"
    said = cli("augment", photos, "--policy", "xray", "-o", out, *SMALL)
    assert (said.code, said.err) == (0, "")
    says = POLICIES.pick("xray").says
    assert said.out == f"xray: {says}.\n{out}: 3 × 2 pictures\n"
    with Image.open(out) as picture:
        assert picture.format == "PNG"
        picture.load()


def test_json_is_one_object(cli: Callable, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "sheet.png"
    values = json.loads(cli("augment", photos, "-o", out, *SMALL, "--json", "--seed", 4).out)
    assert values["sheet"] == str(out)
    assert values["policy"]["name"] == TrainSettings().policy  # what `fit` would use
    assert values["policy"]["mirrors"] is True
    assert [picture["label"] for picture in values["pictures"]] == ["dots", "grid", "waves"]
    assert (values["variants"], values["size_px"], values["seed"]) == (2, 32, 4)
    assert values["left_out"] == []


def test_a_broken_picture_costs_a_line(
    cli: Callable, make_photos: Callable, tmp_path: Path
) -> None:
    make_photos(tmp_path / "data", count=2)
    for name in ("dots", "waves"):
        (tmp_path / "data" / name / "00.png").write_bytes(b"nothing")
    words = ["augment", tmp_path / "data", "-o", tmp_path / "s.png", *SMALL, "--pictures", 6]
    said = cli(*words)
    assert said.code == 0
    assert sorted(line.partition(" is left out: ")[0] for line in said.err.splitlines()) == [
        "dots/00.png", "waves/00.png",
    ]  # fmt: skip
    left_out = json.loads(cli(*words, "--json", "--overwrite").out)["left_out"]
    assert {one["path"] for one in left_out} == {"dots/00.png", "waves/00.png"}


def test_a_table_is_read_as_fit_reads_it(cli: Callable, photos: Path, tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("picture,kind\ndots/00.png,round\ngrid/00.png,square\n")
    said = cli(
        "augment", table, "-o", tmp_path / "s.png", *SMALL, "--path-column", "picture",
        "--label-column", "kind", "--root", photos, "--json",
    )  # fmt: skip
    assert said.code == 0, said.err
    assert [one["label"] for one in json.loads(said.out)["pictures"]] == ["round", "square"]


def test_other_aspects_are_treated_as_was_said(cli: Callable, tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / "data" / name).mkdir(parents=True)
        Image.new("RGB", (90, 30), "white").save(tmp_path / "data" / name / "1.png")
    seen = {}
    for shape in ("crop", "squash", "pad"):
        out = tmp_path / f"{shape}.png"
        words = [*SMALL, "--policy", "none", "--shape", shape]
        assert cli("augment", tmp_path / "data", "-o", out, *words).code == 0
        seen[shape] = out.read_bytes()
    assert seen["crop"] == seen["squash"] != seen["pad"]  # grey bars


def test_help_says_of_every_policy_what_it_does(cli: Callable) -> None:
    lines = [line.strip() for line in cli("augment", "--help").out.splitlines()]
    for name in POLICIES.names():
        assert f"{name:15} {POLICIES.pick(name).says}" in lines
    start = lines.index("Policies:") + 1
    assert lines[start : lines.index("", start)] == [
        f"{name:15} {POLICIES.pick(name).says}" for name in POLICIES.names()
    ]


def test_the_base_install_is_told_which_extra_it_needs(
    refused: Callable, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foveal.recipes.sheet.find_spec", lambda name: None)
    assert refused(1, "augment", photos, "-o", tmp_path / "s.png") == (
        "Augmentation needs the extra 'train'. Run: pip install 'foveal[train]'"
    )


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--policy", "standart"], "No policy is called 'standart'. Did you mean 'standard'?"),
        (["--pictures", "0"], "--pictures 0 cannot work. Expected at least 1."),
        (["--variants", "0"], "--variants 0 cannot work. Expected at least 1."),
        (["--size", "3"], "--size 3 cannot work. Expected 16 to 1,024 pixels."),
        (["--seed", "-1"], "--seed -1 cannot work. Expected 0 or more."),
        (["--shape", "round"], "--shape 'round' cannot work."),
        (["--reader", "foldrs"], "Did you mean 'folders'?"),
    ],
)
def test_an_option_that_cannot_work_is_one_sentence(
    refused: Callable, photos: Path, tmp_path: Path, words: list[str], sentence: str
) -> None:
    assert sentence in refused(2, "augment", photos, "-o", tmp_path / "s.png", *words)


def test_data_that_is_not_there_is_one_sentence(refused: Callable, tmp_path: Path) -> None:
    said = refused(2, "augment", tmp_path / "nowhere", "-o", tmp_path / "s.png")
    assert said.startswith(f"There is no dataset at {tmp_path / 'nowhere'}.")


@pytest.fixture
def taken(tmp_path: Path) -> Path:
    (tmp_path / "file.txt").write_text("mine")
    (tmp_path / "mine.png").write_bytes(b"mine")
    (tmp_path / "folder.png").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("out", "sentence"),
    [
        ("file.txt/sheet.png", "file.txt is a file, not a folder."),
        ("file.txt/new/sheet.png", "file.txt is a file, not a folder."),
        ("sheet.jpg", "Expected a file name that ends in .png."),
        ("folder.png", "is a folder. Name a file."),
        ("mine.png", "already exists. Choose another name, or replace it with --overwrite."),
    ],
)
def test_a_file_that_cannot_be_written_is_refused_before_any_work(
    refused: Callable, photos: Path, taken: Path, out: str, sentence: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("foveal.recipes.sheet.read", None)
    assert sentence in refused(2, "augment", photos, "-o", taken / out)


def test_an_earlier_sheet_is_replaced_when_asked_for(
    cli: Callable, photos: Path, taken: Path
) -> None:
    said = cli("augment", photos, "-o", taken / "mine.png", *SMALL, "--overwrite")
    assert said.code == 0
    with Image.open(taken / "mine.png") as picture:
        picture.load()
