"""`foveal cache`: shows what is kept, and forgets it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def filled(cli: Callable, photos: Path, tmp_path: Path, own_cache: Path) -> Path:
    """A cache that one fit has filled."""
    assert cli("fit", photos, "-o", tmp_path / "m", "--backbone", "classical").code == 0
    return own_cache


def kinds(cli: Callable, *words: str) -> list[str]:
    return [entry["kind"] for entry in json.loads(cli("cache", "--json", *words).out)["entries"]]


def test_an_empty_cache_says_so(cli: Callable) -> None:
    assert cli("cache").out == "The cache is empty.\n"


def test_it_shows_what_a_fit_left(cli: Callable, filled: Path) -> None:
    assert kinds(cli) == ["features", "parts"]
    assert kinds(cli, "--only", "parts") == ["parts"]
    text = cli("cache").out
    assert "60 images, classical" in text or "48 images, classical" in text
    assert "which pictures were held out" in text


def test_clearing_takes_what_can_be_made_again(cli: Callable, filled: Path) -> None:
    entries = json.loads(cli("cache", "--json").out)["entries"]
    freed = json.loads(cli("cache", "--clear", "--json").out)["freed_bytes"]
    assert freed >= sum(e["size_bytes"] for e in entries if e["kind"] == "features") > 0
    assert kinds(cli) == ["parts"]


def test_what_was_held_out_is_forgotten_only_by_name(cli: Callable, filled: Path) -> None:
    assert cli("cache", "--clear", "--only", "parts").code == 0
    assert kinds(cli) == ["features"]


@pytest.mark.parametrize("words", [["--only", "partz"], ["--clear", "--only", "partz"]])
def test_a_kind_with_a_typo_clears_nothing(cli: Callable, filled: Path, words: list) -> None:
    said = cli("cache", *words)
    assert said.code == 2
    assert "Did you mean 'parts'?" in said.err
    assert kinds(cli) == ["features", "parts"]


def test_the_next_fit_after_clearing_gives_the_same_model(
    cli: Callable, filled: Path, photos: Path, tmp_path: Path
) -> None:
    cli("cache", "--clear")
    cli("cache", "--clear", "--only", "parts")
    assert cli("fit", photos, "-o", tmp_path / "again", "--backbone", "classical").code == 0
    assert (tmp_path / "again" / "bundle.json").read_bytes() == (
        tmp_path / "m" / "bundle.json"
    ).read_bytes()
