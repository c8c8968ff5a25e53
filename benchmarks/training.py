"""Claim: what fine-tuning reaches beside the probe on three sets, and what it takes.

Run with ``python benchmarks/training.py [SET:NETWORK:STRATEGY …]`` (all: about an hour on two
quiet cores). Each set is fitted on its ``train`` part alone, of which a share is held out as val by
the fit itself, and tested once on its ``val`` part, by the commands a user would type. The settings
below were chosen before any test, by what the pictures are: traffic signs are small, squashed
and never mirrored; steel has no right way up; all else is the default. Needs the shared data
(``FOVEAL_SHARED`` or ``../shared``) and the extra ``train``. One line of JSON per fit.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

from domains import BACKBONES, SHARED, TRACKS, foveal

SIGNS = ["--size", "128", "--shape", "squash"]
SETS: dict[str, tuple[list[str], list[str], list[str]]] = {  # reading, pixels, training
    "hymenoptera": ([], [], []),
    "gtsrb": (
        TRACKS,
        SIGNS,
        ["--policy", "text-and-signs", "--layer-decay", "1", "--val-share", "0.1"],
    ),
    "neu_surface": ([], [], ["--policy", "texture"]),
}
NETWORKS = ("resnet18", "mobilenetv2_100")
STRATEGIES = ("probe", "finetune", "auto")


def score(name: str, network: str, strategy: str, folder: Path) -> dict[str, object]:
    """Fit and test; return what was promised, reached, and what it took."""
    source, model = SHARED / "domains" / name, folder / f"{name}-{network}-{strategy}"
    reading, pixels, training = SETS[name]
    start = time.perf_counter()
    made = foveal(
        "fit", source / "train", "--test-share", 0, "-o", model, "--backbone", network,
        *BACKBONES[network], *reading, *pixels, "--strategy", strategy,
        *([] if strategy == "probe" else training),
        *(["--budget", "2h"] if strategy == "auto" else []),
    )  # fmt: skip
    seconds = time.perf_counter() - start
    test = foveal("test", model, source / "val", *reading)
    return {
        "set": name,
        "network": network,
        "strategy": strategy,
        "top1": test["top1"],
        "log_loss": test["log_loss"],
        "promised": made["promise"]["metrics"]["top1"],  # type: ignore[index]  # JSON
        "training": made.get("training"),
        "auto": made.get("auto"),
        "fit_seconds": round(seconds, 1),
        "seconds": made["seconds"],
        "peak_mb": made["peak_mb"],
    }


def main() -> None:
    """Print a line per set, network and strategy."""
    wanted = sys.argv[1:] or [f"{n}:{w}:{s}" for n in SETS for w in NETWORKS for s in STRATEGIES]
    with tempfile.TemporaryDirectory() as folder:
        for job in wanted:
            name, network, strategy = job.split(":")
            print(json.dumps(score(name, network, strategy, Path(folder))), flush=True)


if __name__ == "__main__":
    main()
