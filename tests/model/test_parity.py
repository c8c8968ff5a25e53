"""The proof at saving: a fresh process must say the same, or there is no model."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import foveal
from foveal.core.errors import FovealError
from foveal.model.parity import TOLERANCE, prove


@pytest.fixture
def expected(saved: Path, photos: Path) -> tuple[list[Path], np.ndarray]:
    """Four files and their logits, by another path than the fresh process's."""
    files = sorted((photos / "grid").iterdir())[:4]
    predictor = foveal.load(saved).predictor
    return files, np.concatenate([predictor.logits(b.pixels) for b in predictor.batches(files)])


def test_agreement_is_measured(saved: Path, expected: tuple) -> None:
    assert 0 <= prove(saved, *expected) <= TOLERANCE


@pytest.mark.parametrize("wrong", [2e-4, np.nan, np.inf])
def test_one_logit_that_differs_is_enough(saved: Path, expected: tuple, wrong: float) -> None:
    files, logits = expected
    logits[3, 2] += wrong
    with pytest.raises(FovealError, match="answers differently from the one trained"):
        prove(saved, files, logits)


def test_too_few_answers_are_refused(saved: Path, expected: tuple) -> None:
    files, logits = expected
    with pytest.raises(FovealError, match=r"answers \(4, 3\) where \(3, 3\) was due"):
        prove(saved, files, logits[:3])


def test_a_bundle_that_does_not_open_is_refused(
    saved: Path, expected: tuple, tmp_path: Path
) -> None:
    model = Path(shutil.copytree(saved, tmp_path / "m"))
    (model / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(FovealError, match=r"does not answer in a fresh process: .*not what was"):
        prove(model, *expected)


def test_a_picture_that_is_gone_is_refused(saved: Path, expected: tuple) -> None:
    with pytest.raises(FovealError, match=r"does not answer .*the file is not there"):
        prove(saved, [Path("gone.png")], expected[1][:1])


def test_nothing_of_the_current_folder_is_run(
    saved: Path, expected: tuple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("foveal", "numpy", "json"):
        Path(f"{name}.py").write_text("raise SystemExit('run from the current folder')")
    prove(saved, *expected)


def test_file_names_of_any_kind_reach_the_fresh_process(
    saved: Path, expected: tuple, tmp_path: Path
) -> None:
    files, logits = expected
    odd = [tmp_path / name for name in ("ü 你.png", "two\nlines.png", '"q".png', "caf\udce9.png")]
    try:
        for file, name in zip(files, odd, strict=True):
            shutil.copy(file, name)
    except (OSError, UnicodeError):
        pytest.skip("this file system takes Unicode names alone")
    prove(saved, odd, logits)
