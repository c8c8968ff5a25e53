"""`foveal demo`: the whole story in one command, in a folder of its own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Render a small set, and ask no network for a default backbone."""
    from foveal.data import demo

    monkeypatch.setattr(demo, "write_demo", partial(demo.write_demo, per_class=5))
    monkeypatch.setattr(
        "foveal.recipes.task.default_backbone", lambda: ("classical", "classical is used.")
    )


@pytest.mark.usefixtures("small")
def test_it_renders_fits_tests_saves_and_predicts(
    cli: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = cli("demo")
    assert said.code == 0, said.err
    assert {path.name for path in (tmp_path / "demo").iterdir()} == {"set", "model", "model.run"}
    assert "Accuracy (top-1)" in said.out
    report = tmp_path / "demo" / "model.run" / "report.html"
    assert said.out.splitlines()[-1] == f"The report: {report.as_uri()}"
    assert report.is_file()
    assert "truncated" in said.err  # the broken file that was planted
    # Its run.json repeats the fit: the paths in it are where things are.
    assert cli("fit", "--settings", "demo/model.run", "-o", "again", "-q").code == 0
    assert Path("again/bundle.json").read_bytes() == Path("demo/model/bundle.json").read_bytes()
    # What it says it did can be typed.
    line = next(line for line in said.err.splitlines() if line.startswith("3. foveal test"))
    import shlex

    assert cli(*shlex.split(line)[2:], "--json").code == 0


@pytest.mark.usefixtures("small")
def test_an_earlier_demo_is_replaced_only_when_asked_for(cli: Callable, tmp_path: Path) -> None:
    out = tmp_path / "d"
    assert cli("demo", "-o", out, "-q").code == 0
    card = (out / "model" / "bundle.json").read_bytes()
    said = cli("demo", "-o", out)
    assert said.code == 2
    assert "already exists" in said.err
    again = cli("demo", "-o", out, "--overwrite", "-q")
    assert (again.code, again.err) == (0, "")
    assert (out / "model" / "bundle.json").read_bytes() == card


def test_a_folder_of_other_things_is_never_replaced(
    refused: Callable, photos: Path, tmp_path: Path
) -> None:
    shutil.copytree(photos, tmp_path / "d")
    assert "holds more than a demo: dots" in refused(2, "demo", "-o", tmp_path / "d", "--overwrite")


@pytest.mark.slow
def test_the_whole_demo_keeps_the_promise_of_its_readme(cli: Callable, tmp_path: Path) -> None:
    assert cli("demo", "-o", tmp_path / "d", "-q").code == 0
    numbers = json.loads((tmp_path / "d" / "model.run" / "test.json").read_bytes())
    assert numbers["top1"]["value"] > 0.75
