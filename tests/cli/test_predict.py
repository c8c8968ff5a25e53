"""`foveal predict`: every way of naming pictures, every way of answering."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def lines(cli: Callable, saved: Path) -> Callable[..., list[dict]]:
    """Return what predicts with ``--json`` and gives the parsed lines."""

    def answers(*words: object, stdin: bytes = b"", code: int = 0) -> list[dict]:
        said = cli("predict", saved, *words, "--json", stdin=stdin)
        assert said.code == code, said.err
        return [json.loads(line) for line in said.out.splitlines()]

    return answers


def test_each_file_is_answered_with_its_class_in_order(lines: Callable, photos: Path) -> None:
    files = [photos / name / "07.png" for name in ("waves", "dots", "grid")]
    out = lines(*files)
    assert [line["path"] for line in out] == list(map(str, files))
    assert [line["label"] for line in out] == ["waves", "dots", "grid"]
    assert all(0.5 < line["probability"] <= 1 for line in out)


def test_top_names_that_many_classes_most_probable_first(lines: Callable, photos: Path) -> None:
    (line,) = lines(photos / "dots" / "00.png", "--top", 2)
    shares = [entry["probability"] for entry in line["top"]]
    assert len(shares) == 2
    assert shares == sorted(shares, reverse=True)
    assert line["top"][0]["label"] == line["label"] == "dots"


def test_asking_for_more_classes_than_there_are_names_them_all(
    lines: Callable, photos: Path
) -> None:
    (line,) = lines(photos / "dots" / "00.png", "--top", 99)
    assert {entry["label"] for entry in line["top"]} == {"dots", "grid", "waves"}
    assert sum(entry["probability"] for entry in line["top"]) == pytest.approx(1)


def test_a_folder_stands_for_the_pictures_in_and_below_it_sorted(
    cli: Callable, saved: Path, photos: Path, tmp_path: Path
) -> None:
    shutil.copytree(photos / "dots", tmp_path / "new" / "b")
    shutil.copy(photos / "grid" / "00.png", tmp_path / "new" / "A.PNG")
    shutil.copy(photos / "grid" / "00.png", tmp_path / "new" / ".hidden.png")
    (tmp_path / "new" / "notes.txt").write_text("no picture")
    (tmp_path / "new" / "b" / "round").symlink_to(tmp_path / "new", target_is_directory=True)
    said = cli("predict", saved, tmp_path / "new", "--json")
    paths = [Path(json.loads(line)["path"]) for line in said.out.splitlines()]
    assert paths == [tmp_path / "new" / "A.PNG", *sorted((tmp_path / "new" / "b").glob("*.png"))]
    assert "1 hidden file or folder left out: .hidden.png" in said.err
    assert "1 file left out whose ending is not a picture's: .txt" in said.err
    assert "1 link to a folder above not followed: b/round" in said.err


def test_a_glob_is_expanded_where_the_shell_did_not(lines: Callable, photos: Path) -> None:
    out = lines(f"{photos}/*/0[12].png")
    assert [line["label"] for line in out] == ["dots"] * 2 + ["grid"] * 2 + ["waves"] * 2


def test_a_deep_glob_over_links_in_circles_answers_each_picture_once(
    lines: Callable, photos: Path, tmp_path: Path
) -> None:
    shutil.copytree(photos / "dots", tmp_path / "new" / "deep" / "dots")
    for name in ("up", "deep/up", "deep/again", "deep/dots/top"):
        (tmp_path / "new" / name).symlink_to(tmp_path / "new", target_is_directory=True)
    out = lines(f"{tmp_path}/new/**/*.png")
    assert [Path(line["path"]).name for line in out] == [f"{n:02}.png" for n in range(20)]


def test_a_name_that_looks_like_a_glob_is_taken_as_it_is(
    lines: Callable, photos: Path, tmp_path: Path
) -> None:
    odd = tmp_path / "shot [1].png"
    shutil.copy(photos / "waves" / "00.png", odd)
    (line,) = lines(odd)
    assert (line["path"], line["label"]) == (str(odd), "waves")


@pytest.mark.parametrize("words", [(), ("-",)])
def test_paths_come_from_standard_input(lines: Callable, photos: Path, words: tuple) -> None:
    listed = f"{photos}/dots/00.png\n\n{photos}/grid/00.png\r\n{photos}/waves/00.png"
    out = lines(*words, stdin=listed.encode())
    assert [line["label"] for line in out] == ["dots", "grid", "waves"]


def test_a_broken_file_is_answered_in_its_place(cli: Callable, saved: Path, photos: Path) -> None:
    good = photos / "dots" / "00.png"
    said = cli("predict", saved, good, "gone.png", good, photos / "..", "--json")
    assert said.code == 0
    first, broken, third, *_ = map(json.loads, said.out.splitlines())
    assert (first["label"], third["label"]) == ("dots", "dots")
    assert broken == {"path": "gone.png", "error": "the file is not there"}
    assert "1 of 63 files could not be read." in said.err


def test_a_pipe_in_the_place_of_a_picture_is_answered_and_not_waited_for(
    cli: Callable, lines: Callable, saved: Path, photos: Path, tmp_path: Path
) -> None:
    shutil.copy(photos / "grid" / "00.png", tmp_path / "1.png")
    os.mkfifo(tmp_path / "2.png")
    pipe, good = lines(tmp_path / "2.png", tmp_path / "1.png")
    assert (pipe["error"], good["label"]) == ("not a regular file", "grid")
    said = cli("predict", saved, tmp_path)
    assert said.out.count("\n") == 1
    assert "1 file left out as not regular (pipes, sockets, devices): 2.png." in said.err


def test_exit_code_one_when_no_file_could_be_read(lines: Callable, tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "page.png").write_text("<!doctype html><html>")
    out = lines(tmp_path / "empty.jpg", tmp_path / "page.png", code=1)
    assert [line["error"] for line in out] == ["empty file", "not a picture: looks like HTML"]


def test_exit_code_one_and_a_sentence_when_there_is_no_picture(
    cli: Callable, saved: Path, tmp_path: Path
) -> None:
    said = cli("predict", saved, tmp_path)
    assert (said.code, said.out) == (1, "")
    assert "There was no picture to answer." in said.err


@pytest.mark.parametrize("name", ["x" * 5000, "nul\0byte.png", "a/" * 900 + "b.png"])
def test_a_path_that_cannot_be_is_answered_like_any_other(
    lines: Callable, photos: Path, name: str
) -> None:
    listed = f"{name}\n{photos}/dots/00.png\n"
    broken, good = lines(stdin=listed.encode())
    assert broken["path"] == str(Path(name))
    assert broken["error"]
    assert good["label"] == "dots"


HOSTILE = ["a,b.png", 'say "x".png', "=cmd|x!A0.png", "two\nlines.png", "\x1b[2Jwipe.png", " .png"]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_stays_one_answer_in_every_format(
    cli: Callable, saved: Path, photos: Path, tmp_path: Path, name: str, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(photos / "grid" / "00.png", name)
    text = cli("predict", saved, name)
    assert text.out.count("\n") == 1
    assert re.search(r": grid (100|9\d)\.\d %\n$", text.out)
    assert "\x1b" not in text.out
    assert json.loads(cli("predict", saved, name, "--json").out)["path"] == name
    rows = list(csv.reader(io.StringIO(cli("predict", saved, name, "--csv").out)))
    assert rows[0] == ["path", "label", "probability", "error"]
    assert [row[:2] for row in rows[1:]] == [[f"'{name}" if name[0] == "=" else name, "grid"]]


def test_a_name_that_is_no_unicode_is_read_and_told_as_an_escape(
    saved: Path, photos: Path, tmp_path: Path
) -> None:
    name = os.fsencode(tmp_path) + b"/caf\xe9.png"
    try:
        shutil.copy(photos / "grid" / "00.png", name)
    except OSError:
        pytest.skip("this file system takes Unicode names alone")
    strict = {**os.environ, "PYTHONIOENCODING": "utf-8"}  # as where the locale is not POSIX
    for words in (["--json", os.fsdecode(name)], ["--json"]):  # named, and on standard input
        done = subprocess.run(
            [sys.executable, "-m", "foveal", "predict", str(saved), *words],
            input=name + b"\n",
            env=strict,
            capture_output=True,
            check=True,
        )
        (line,) = done.stdout.decode("utf-8").splitlines()
        assert json.loads(line) == {**json.loads(line), "path": os.fsdecode(name), "label": "grid"}
    for words in ([], ["--csv"]):
        done = subprocess.run(
            [sys.executable, "-m", "foveal", "predict", str(saved), os.fsdecode(name), *words],
            env=strict,
            capture_output=True,
            check=True,
        )
        assert "caf\\udce9.png" in done.stdout.decode("utf-8")


def test_csv_lists_further_classes_and_reasons(cli: Callable, saved: Path, photos: Path) -> None:
    said = cli("predict", saved, photos / "dots" / "00.png", "gone.png", "--csv", "--top", 2)
    good, broken = csv.DictReader(io.StringIO(said.out))
    assert float(good["probability"]) > 0.5
    assert good["label2"] in {"grid", "waves"}
    assert 0 < float(good["probability2"]) < float(good["probability"])
    assert broken["label2"] == broken["probability2"] == ""
    assert (broken["label"], broken["error"]) == ("", "the file is not there")


def test_quiet_leaves_the_answers_and_no_words(cli: Callable, saved: Path, photos: Path) -> None:
    said = cli("predict", saved, photos / "dots" / "00.png", "gone.png", "-q")
    assert said.err == ""
    assert said.out.count("\n") == 2


@pytest.mark.parametrize("words", [["--top", "0"], ["--json", "--csv"]])
def test_what_cannot_be_asked_is_refused_before_anything_is_loaded(
    refused: Callable, words: list[str]
) -> None:
    assert "cannot work" in refused(2, "predict", "nowhere", "x.png", *words)


def test_a_reader_that_has_heard_enough_is_no_error(saved: Path, photos: Path) -> None:
    files = [str(photos / "dots" / "00.png")] * 300
    command = [sys.executable, "-m", "foveal", "predict", str(saved), *files]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert b"dots" in process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0
