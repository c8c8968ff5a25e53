"""Claim: what a frozen backbone and the probe reach on five small sets of five domains.

Run with ``python benchmarks/domains.py`` (resnet18, mobilenetv2_100, classical, foveal-s with the
choice of blocks and with its last features alone; about ten minutes on two cores). Each set is
fitted on its ``train`` part alone and tested once on its ``val`` part, by the commands a user would
type. Needs the shared data (``FOVEAL_SHARED`` or ``../shared``) and,
for the first export of a network, the extra ``train``. One line of JSON per fit.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("FOVEAL_SHARED", ROOT.parent / "shared")) / "data"
SETS = ("hymenoptera", "gtsrb", "neu_surface", "mednist", "chest_xray")
TRACKS = ["--group-pattern", r"^(\d+)_"]  # of gtsrb: frames of one sign
BACKBONES = {
    "resnet18": ["--weights", SHARED / "weights" / "resnet18.safetensors"],
    "mobilenetv2_100": [
        "--weights", SHARED / "weights" / "mobilenetv2_100.safetensors",
        "--model-arg", "pad_type=same", "--model-arg", "bn_eps=1e-3",
        "--mean", "0.5", "0.5", "0.5", "--std", "0.5", "0.5", "0.5",
    ],
    "classical": [],
    "foveal-s": [],
    "foveal-s, last": ["--features", "last"],
}  # fmt: skip


def foveal(*words: object) -> dict[str, object]:
    """Run one command of Foveal's and return its JSON."""
    done = subprocess.run(
        [sys.executable, "-m", "foveal", *map(str, words), "--json", "--quiet"],
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr.decode())
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


def score(backbone: str, name: str, folder: Path, *more: str) -> dict[str, object]:
    """Fit on ``train``, test on ``val``; return what was promised, reached, and what it took."""
    source, model = SHARED / "domains" / name, folder / f"{name}-{backbone.replace(', ', '-')}"
    groups = TRACKS if name == "gtsrb" else []
    start = time.perf_counter()
    made = foveal(
        "fit", source / "train", "--test-share", 0, "-o", model,
        "--backbone", backbone.partition(",")[0], *BACKBONES[backbone],
        *groups, *more,
    )  # fmt: skip
    seconds = time.perf_counter() - start
    test = foveal("test", model, source / "val", *groups)
    return {
        "set": name,
        "backbone": backbone,
        "top1": test["top1"],
        "promised": made["promise"]["metrics"]["top1"],  # type: ignore[index]  # JSON
        "blocks": made["blocks"],
        "baselines": {k: v["top1"]["value"] for k, v in test["baselines"].items()},  # type: ignore[attr-defined]  # JSON
        "fit_seconds": round(seconds, 1),
        "peak_mb": made["peak_mb"],
    }


def main() -> None:
    """Print a line per backbone and set; arguments name the backbones."""
    with tempfile.TemporaryDirectory() as folder:
        for backbone in sys.argv[1:] or BACKBONES:
            for name in SETS:
                print(json.dumps(score(backbone, name, Path(folder))), flush=True)


if __name__ == "__main__":
    main()
