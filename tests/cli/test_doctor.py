"""`foveal doctor`: what is there, what is not, and what that costs."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

doctor = import_module("foveal.cli.doctor")  # the package has the verb under this name


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return what makes packages look as if they were not installed."""

    def hide(*names: str) -> None:
        def found(name: str) -> str:
            if name in names:
                raise PackageNotFoundError(name)
            return version(name)

        monkeypatch.setattr(doctor, "version", found)

    return hide


def test_every_package_is_told_with_its_version(cli: Callable) -> None:
    said = cli("doctor", "--json")
    values = json.loads(said.out)
    assert said.code == 0
    for name in doctor.BASE:
        assert values[name] == {"found": version(name)}
    assert values["foveal"] == {"found": version("foveal")}


def test_the_extra_that_is_missing_is_no_failure_but_has_a_price(
    cli: Callable, without: Callable
) -> None:
    without("torch", "timm")
    said = cli("doctor", "--json")
    line = json.loads(said.out)["foveal[train]"]
    assert said.code == 0
    assert line["found"] is None
    assert "pip install 'foveal[train]'" in line["costs"]
    assert "can only be used once it was exported elsewhere" in line["costs"]


def test_every_extra_is_told() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert {*doctor.EXTRAS, "dev"} == set(project["project"]["optional-dependencies"])


def test_a_hole_in_the_base_install_is_a_failure(cli: Callable, without: Callable) -> None:
    without("polars")
    said = cli("doctor")
    assert said.code == 1
    (line,) = [line for line in said.out.splitlines() if "polars" in line]
    assert line.startswith("--  polars")
    assert line.endswith("missing  Part of the base install: pip install foveal")


def test_the_cache_is_where_it_says(cli: Callable, own_cache) -> None:
    values = json.loads(cli("doctor", "--json").out)
    assert values["cache"]["found"] == str(own_cache)
    assert values["free disk there"]["found"].endswith(" GB")


def test_a_cache_that_does_not_exist_yet_is_no_obstacle(
    cli: Callable, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOVEAL_CACHE", str(tmp_path / "a" / "b"))
    assert cli("doctor").code == 0
