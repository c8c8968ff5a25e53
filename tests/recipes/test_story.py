"""The story, told as the command line and as Python tell it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import foveal
from foveal.core.errors import AlreadyThere, FovealError
from foveal.core.listener import SILENT
from foveal.recipes import story
from foveal.recipes.requested import FitOrder, JudgeOrder
from foveal.recipes.story import fit_and_save, judge_and_save


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_docstring_of_the_package_is_true(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(photos, "photos")
    shutil.copy(photos / "grid" / "00.png", "x.jpg")
    assert foveal.__doc__ is not None
    told = foveal.__doc__.partition("\n\n")[2]
    assert "mobilenetv2_100" in told
    kept: dict = {}
    exec(told.replace("mobilenetv2_100", "classical"), kept)
    assert "Accuracy (top-1)" in capsys.readouterr().out
    assert foveal.load("model/").predict("x.jpg").label == "grid"
    assert repr(kept["model"]) == "<Model of 3 classes on classical>"


def test_a_run_is_repeated_from_its_settings_to_the_same_bytes(
    cli: Callable, photos: Path, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Relative paths too, and from another folder."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    shutil.copytree(photos, "photos")
    shutil.copytree(tiny_folder, "tiny")
    words = ["--features", "last,stage1/mean", "--head", "auto", "--class-weights", "balanced"]
    words += ["--folds", "3", "--seed", "4", "--test-share", "0.3", "--group-pattern", "^(..)"]
    words += ["--crop", "0.9", "--max-broken", "0.1"]
    assert cli("fit", "photos", "-o", "m", "--backbone", "tiny", *words).code == 0
    run = json.loads(Path("m.run/run.json").read_bytes())
    assert run["settings"]["data"] == str(tmp_path / "work" / "photos")
    assert run["command"].startswith("foveal fit photos -o m --backbone tiny --features last,")
    assert "--group-pattern '^(..)'" in run["command"]
    assert set(run["seconds"]) >= {"features", "choice", "final fit"}
    monkeypatch.chdir("/")
    out = tmp_path / "again"
    for settings in ("m.run/run.json", "m.run"):
        words = ["--settings", tmp_path / "work" / settings, "-o", out, "--overwrite"]
        assert cli("fit", *words).code == 0
        assert content(out) == content(tmp_path / "work" / "m")
    repeated = json.loads((tmp_path / "again.run" / "run.json").read_bytes())
    assert repeated["settings"] == run["settings"]


def test_an_option_wins_over_the_settings_file(cli: Callable, saved: Path, tmp_path: Path) -> None:
    run = saved.with_name("model.run")
    assert cli("fit", "--settings", run, "-o", tmp_path / "m", "--test-share", "0.5").code == 0
    assert (tmp_path / "m" / "parts.csv").read_text().count(",test") == 30
    settings = json.loads((tmp_path / "m.run" / "run.json").read_bytes())["settings"]
    assert settings["fit"]["prepare"]["test_share"] == 0.5


def test_a_run_of_a_manifest_says_what_it_can(photos: Path, tmp_path: Path) -> None:
    model = foveal.fit(foveal.read(photos, group_pattern="^(.)"), backbone="classical")
    model.save(tmp_path / "m")
    settings = json.loads((tmp_path / "m.run" / "run.json").read_bytes())["settings"]
    assert set(settings) == {"fit"}
    with pytest.raises(FovealError, match="No photographs were named"):
        FitOrder.from_options(None, tmp_path / "m.run", {})
    assert (
        FitOrder.from_options(photos, tmp_path / "m.run", {}).fit.backbone.backbone == "classical"
    )


def test_the_report_lies_beside_the_model_with_the_cost_of_the_fit(
    saved: Path, photos: Path, tmp_path: Path
) -> None:
    model = Path(shutil.copytree(saved, tmp_path / "m"))
    shutil.copytree(saved.with_name("model.run"), tmp_path / "m.run")
    done = judge_and_save(JudgeOrder.from_options(photos, {}), model, None, listener=SILENT)
    assert {path.name for path in (tmp_path / "m.run").iterdir()} == {
        "run.json", "report.html", "test.json",
    }  # fmt: skip
    numbers = json.loads((tmp_path / "m.run" / "test.json").read_bytes())
    assert numbers["top1"]["value"] == done.to_mapping()["top1"]["value"]
    assert "fit: features" in json.dumps(numbers)
    page = (tmp_path / "m.run" / "report.html").read_text()
    assert str(photos) in page


def test_the_run_of_another_model_is_not_told_as_its_own(
    saved: Path, photos: Path, tmp_path: Path
) -> None:
    model = Path(shutil.copytree(saved, tmp_path / "m"))
    (tmp_path / "m.run").mkdir()
    run = json.loads((saved.with_name("model.run") / "run.json").read_bytes())
    run["bundle_sha256"] = "0" * 64
    (tmp_path / "m.run" / "run.json").write_text(json.dumps(run))
    done = judge_and_save(JudgeOrder.from_options(photos, {}), model, None, listener=SILENT)
    assert "fit: features" not in json.dumps(done.to_mapping())


def test_a_new_model_takes_the_old_ones_reports_away(
    saved: Path, photos: Path, tmp_path: Path
) -> None:
    order = FitOrder.from_options(photos, None, {"backbone": "classical"})
    out = tmp_path / "m"
    fit_and_save(order, out, overwrite=False, listener=SILENT)
    judge_and_save(JudgeOrder.from_options(photos, {}), out, None, listener=SILENT)
    with pytest.raises(AlreadyThere):
        fit_and_save(order, out, overwrite=False, listener=SILENT)
    fit_and_save(order, out, overwrite=True, listener=SILENT)
    assert [path.name for path in (tmp_path / "m.run").iterdir()] == ["run.json"]


def test_a_report_that_fails_leaves_no_folder(
    saved: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = story.write_file

    def failing(path: Path, text: bytes) -> None:
        if path.name == "test.json":
            raise KeyboardInterrupt
        write(path, text)

    monkeypatch.setattr(story, "write_file", failing)
    with pytest.raises(KeyboardInterrupt):
        judge_and_save(
            JudgeOrder.from_options(photos, {}), saved, tmp_path / "report", listener=SILENT
        )
    assert list(tmp_path.iterdir()) == []


def test_a_folder_whose_name_is_no_unicode_can_be_fitted_saved_and_tested(
    photos: Path, tmp_path: Path
) -> None:
    try:
        root = Path(os.fsdecode(os.fsencode(tmp_path) + b"/f\xfctur"))
        shutil.copytree(photos, root)
    except OSError:
        pytest.skip("this file system takes Unicode names alone")
    order = FitOrder.from_options(root, None, {"backbone": "classical"})
    fit_and_save(order, tmp_path / "m", overwrite=False, listener=SILENT)
    run = json.loads((tmp_path / "m.run" / "run.json").read_bytes())
    assert run["settings"]["data"] == str(root)
    judge_and_save(JudgeOrder.from_options(root, {}), tmp_path / "m", None, listener=SILENT)
    assert (tmp_path / "m.run" / "report.html").is_file()


def test_a_test_makes_groups_as_the_fit_did_and_says_so(
    cli: Callable, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "m"
    fitted = ["fit", photos, "-o", out, "--backbone", "classical", "--group-pattern", r"(.)\.png"]
    assert cli(*fitted).code == 0
    done = cli("test", out, photos, "--json")
    assert "Groups are made as for the fit: --group-pattern '(.)\\\\.png'" in done.err
    assert json.loads(done.out)["groups"] > 1
    other = cli("test", out, photos, "--group-pattern", r"^(..)")
    assert "Groups are made as for the fit" not in other.err


def test_a_test_without_the_groups_of_the_fit_is_told_to_be_too_sure(
    photos: Path, heard: Callable
) -> None:
    data = foveal.read(photos, group_pattern=r"(.)\.png")
    model = foveal.fit(data, backbone="classical")
    listener = heard()
    model.test(photos, listener=listener)
    assert any("the intervals are too narrow" in sentence for sentence in listener.sentences)
    listener = heard()
    model.test(data, listener=listener)
    assert not any("too narrow" in sentence for sentence in listener.sentences)


def test_parts_without_a_test_part_are_said_to_hold_nothing_out(
    cli: Callable, make_photos: Callable, tmp_path: Path
) -> None:
    for seed, name in enumerate(("train", "val")):
        make_photos(tmp_path / "set" / name, seed=seed, count=5)
    words = ["fit", tmp_path / "set", "-o", tmp_path / "m", "--backbone", "classical"]
    assert "and a val part, which it is chosen by, but no test part" in cli(*words).err
    assert cli("test", tmp_path / "m", tmp_path / "set").code == 1
