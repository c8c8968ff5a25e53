"""The card of a backbone that was trained here: what it is, what it learnt from, how good it is."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Studied:
    """What is known of a pretraining, JSON-ready."""

    order: Mapping[str, Any]  # what was asked for
    found: Mapping[str, Any]  # what it came to


def card(studied: Studied, *, name: str) -> str:
    """Return the card as Markdown: weights, data, teacher, settings, time and results."""
    order, found = studied.order, studied.found
    settings, teacher = dict(order["settings"]), order["teacher"]
    if settings["init"] is not None:
        settings["init"] = Path(settings["init"]).name
    taught = "none" if teacher is None else f"{teacher['backbone']} at {teacher['size_px']} px"
    sizes = "\n".join(f"| {size} | {100 * v:.1f} |" for size, v in found["sizes"].items())
    epochs = "\n".join(
        f"| {e['number']} | {e['size']} | {e['train_loss']:.3f} | {e['val_loss']:.3f} | "
        f"{100 * e['val_top1']:.1f} |"
        for e in found["epochs"]
    )
    hours = found["seconds"].get("training", 0) / 3600
    versions = ", ".join(f"{package} {v}" for package, v in found["versions"].items())
    return f"""# {name}

A backbone for `foveal fit --backbone`, trained from scratch by `foveal pretrain`.

- **Network**: {found["arch"]}, arguments {json.dumps(found["model_args"])},
  {found["parameters"] / 1e6:.2f} M weights.
- **Pictures**: {found["train"]:,} of {found["classes"]} classes from {_names(order["data"])}.
  Their licence decides what the weights may be used for.
- **Teacher**: {taught}.
- **Begun from**: {settings["init"] or "chance"}, seed {settings["seed"]}.
- **Trained**: {hours:.2f} hours, {found["images_per_second"]:.0f} pictures a second, on
  {found["machine"]}; {versions}.

## Right on val, per cent

{found["val"]:,} whole pictures, {found["how"]}; the weights of epoch {found["kept"]}, which had the
least log loss there.

| size, px | top-1 |
|---|---|
{sizes}

## Epochs

| epoch | size, px | loss in training | log loss on val | top-1 on val |
|---|---|---|---|---|
{epochs}

## Settings

```json
{json.dumps(settings, indent=1, ensure_ascii=False)}
```
"""


def _names(paths: list[str]) -> str:
    """Return paths as a person says them: by name, many by the first and the last.

    >>> _names(["/data/a.tar", "/data/b.tar", "/data/c.tar"])
    'a.tar … c.tar (3)'
    """
    names = [shlex.quote(Path(path).name) for path in paths]
    if len(names) <= 2:
        return " and ".join(names)
    return f"{names[0]} … {names[-1]} ({len(names)})"
