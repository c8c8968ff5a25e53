"""The entry point: every way a command may end has its code and at most one sentence."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import foveal
from foveal.core.errors import FovealError


@pytest.fixture
def ends(cli: Callable, monkeypatch: pytest.MonkeyPatch) -> Callable:
    """Return what runs a command that ends by this error."""

    def run(error: BaseException):
        def failing(*_: object) -> None:
            raise error

        monkeypatch.setattr("foveal.recipes.model.read_bundle", failing)
        return cli("predict", "m", "x.png")

    return run


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (FovealError("It broke.", hint="Mend it."), 1, "foveal: It broke. Mend it.\n"),
        (FovealError("a\x1b[2Jb"), 1, "foveal: a\\x1b[2Jb\n"),
        (KeyboardInterrupt(), 130, "foveal: interrupted; nothing was half-written.\n"),
        (PermissionError(13, "Permission denied", "/etc/x"), 1,
         "foveal: /etc/x: Permission denied.\n"),
        (OSError("odd"), 1, "foveal: odd.\n"),
    ],
)  # fmt: skip
def test_an_error_is_one_sentence_with_its_code(
    ends: Callable, error: BaseException, code: int, sentence: str
) -> None:
    said = ends(error)
    assert (said.code, said.out, said.err) == (code, "", sentence)


def test_a_bug_is_shown_whole(ends: Callable) -> None:
    with pytest.raises(ZeroDivisionError):
        ends(ZeroDivisionError())


@pytest.mark.parametrize("words", [["--help"], ["fit", "--help"]])
def test_help_is_no_failure(cli: Callable, words: list[str]) -> None:
    said = cli(*words)
    assert said.code == 0
    assert "Usage: foveal" in said.out


def test_no_words_at_all_show_the_help(cli: Callable) -> None:
    said = cli()
    assert said.code in {0, 2}
    assert "Usage: foveal" in said.out + said.err


def test_the_module_runs_as_the_command_does() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "foveal", "doctor", "--jsn"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == "foveal: `foveal doctor` has no option --jsn. Did you mean --json?\n"


def test_the_version_is_said(cli: Callable) -> None:
    assert cli("--version").out == f"foveal {foveal.__version__}\n"


def test_a_closed_standard_output_is_no_accident(saved: Path, photos: Path) -> None:
    words = [sys.executable, "-m", "foveal", "predict", str(saved), str(photos / "dots"), "--json"]
    done = subprocess.run(
        ["sh", "-c", f"{shlex.join(words)} >&-"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


FULL = Path("/dev/full")
DEAF = ["2>&-", "2>&1 >/dev/null | true"] + ["2>/dev/full"] * FULL.exists()


@pytest.mark.parametrize("deaf", DEAF)
def test_words_that_nobody_can_hear_keep_no_model_from_being_made(
    photos: Path, tmp_path: Path, deaf: str
) -> None:
    out = tmp_path / "m"
    words = [sys.executable, "-m", "foveal", "fit", str(photos), "-o", str(out)]
    line = f"set -o pipefail; {shlex.join([*words, '--backbone', 'classical'])} {deaf}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, check=False)
    assert done.returncode == 0
    assert (out / "bundle.json").is_file()


@pytest.mark.parametrize("deaf", DEAF)
def test_a_last_word_that_nobody_can_hear_leaves_the_exit_code(deaf: str) -> None:
    line = f"set -o pipefail; {shlex.join([sys.executable, '-m', 'foveal', 'fit'])} {deaf}"
    assert subprocess.run(["bash", "-c", line], check=False).returncode == 2


def test_two_dashes_alone_are_no_words(cli: Callable) -> None:
    assert cli("--") == cli()


@pytest.mark.skipif(not FULL.exists(), reason="no device that is always full")
@pytest.mark.parametrize(
    "words",
    [
        "fit {photos} -o {out}/m --backbone classical --json -q",
        "fit {photos} -o {out}/m --backbone classical -q",
        "test {saved} {photos} --out {out}/report --json -q",
        "test {saved} {photos} --out {out}/report -q",
        "predict {saved} {photos}/dots --json -q",
        "predict {saved} {photos}/dots --csv -q",
        "predict {saved} {photos}/dots -q",
        "doctor --json",
        "cache",
    ],
)
def test_a_standard_output_that_is_full_is_one_sentence(
    saved: Path, photos: Path, tmp_path: Path, words: str
) -> None:
    # PYTHONUNBUFFERED would hide that the buffer is written once more at the very end
    env = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    command = shlex.split(words.format(saved=saved, photos=photos, out=tmp_path))
    with FULL.open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "foveal", *command],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=env,
            check=False,
        )
    assert (done.returncode, done.stderr) == (
        1,
        "foveal: The result cannot be written to standard output: No space left on device.\n",
    )
