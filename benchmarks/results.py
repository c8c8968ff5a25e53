"""Dated results: what a benchmark found, with machine and versions, as JSON beside it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from foveal.recipes.clock import environment

RESULTS = Path(__file__).with_name("results")


def save(name: str, facts: Mapping[str, object]) -> Path:
    """Write ``results/NAME-DATE.json``, over an earlier one of the same day; return where it is.

    Added are the moment, the versions of what Foveal runs on, and the commit, with "changed" if
    tracked files differ from it.
    """
    now = datetime.now(UTC)
    found = {
        "benchmark": name,
        "finished": now.isoformat(timespec="seconds"),
        "commit": _git("rev-parse", "--short", "HEAD")
        + (", changed" if _git("status", "--porcelain", "--untracked-files=no") else ""),
        "versions": environment(),
        **facts,
    }
    path = RESULTS / f"{name}-{now:%Y-%m-%d}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    return path


def _git(*words: str) -> str:
    done = subprocess.run(
        ["git", *words], cwd=RESULTS.parent, capture_output=True, text=True, check=False
    )
    return done.stdout.strip()
