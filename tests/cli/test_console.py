"""What is shown: never a control character of somebody else's, never a broken encoding."""

from __future__ import annotations

import io
import json
import sys

import pytest

from foveal.cli.console import Console, plain, put, show


def test_a_name_cannot_steer_the_terminal() -> None:
    assert plain("a\x1b[31m\r\x07b\x9b") == "a\\x1b[31m\\r\\x07b\\x9b"
    assert plain("two\nlines") == "two\nlines"
    assert plain("ü 你 – ✓\u00a0x") == "ü 你 – ✓\u00a0x"


def test_a_line_stays_one_line(capsys: pytest.CaptureFixture) -> None:
    show("a\nb")
    assert capsys.readouterr().out == "a\\nb\n"


def test_json_keeps_names_that_are_no_unicode(capsys: pytest.CaptureFixture) -> None:
    put({"path": "caf\udce9", "name": "日本"})
    out = capsys.readouterr().out
    assert out == '{"path": "caf\\udce9", "name": "日本"}\n'
    assert json.loads(out) == {"path": "caf\udce9", "name": "日本"}


def test_json_is_ascii_where_stdout_is_not_unicode(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="latin-1"))
    put({"name": "日本"})
    assert json.loads(raw.getvalue()) == {"name": "日本"}


def test_json_without_a_number_is_refused_rather_than_written() -> None:
    with pytest.raises(ValueError, match="JSON"):
        put({"value": float("nan")})


def test_words_go_to_stderr_and_quiet_silences_them(capsys: pytest.CaptureFixture) -> None:
    Console().say("hello \x1b[2J")
    Console(quiet=True).say("nobody hears this")
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "hello \\x1b[2J\n")


def test_without_a_terminal_there_are_no_bars(capsys: pytest.CaptureFixture) -> None:
    console = Console()
    for done in range(11):
        console.progress("embedding", done, 10)
    console.stop()
    assert capsys.readouterr().err == ""


def test_bars_tell_speed_and_time_left_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen, now = Terminal(), [0.0]
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("foveal.cli.console.time.monotonic", lambda: now[0])
    console = Console()
    console.progress("embedding", 0, 100)
    now[0] = 1.0
    console.progress("embedding", 40, 100)
    console.say("A [bold] word.")
    console.progress("embedding", 80, 100)
    console.stop()
    assert "embedding" in screen.getvalue()
    assert "80/100" in screen.getvalue()
    assert "A [bold] word." in screen.getvalue()
