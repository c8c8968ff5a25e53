"""Claim: the base install is at most 200 MB to download and 700 MB on disk, and has no torch.

Run with ``make size``. Builds the wheel, downloads it with its dependencies (as pinned in
constraints.txt) into an empty folder, installs them into an empty environment, and adds up both.
MB are 10^6 bytes; disk is what the environment grew by, compiled files included.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MOST_DOWNLOAD_MB, MOST_DISK_MB = 200.0, 700.0


def main() -> int:
    """Print both sizes and every package of the base install; 1 where a bound is broken."""
    with tempfile.TemporaryDirectory() as folder:
        wheels, env = Path(folder) / "wheels", Path(folder) / "env"
        pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
        pins = ["--constraint", str(ROOT / "constraints.txt")]
        subprocess.run([*pip, "wheel", "--no-deps", "-w", wheels, ROOT], check=True)
        own = next(wheels.glob("foveal-*.whl"))
        subprocess.run([*pip, "download", *pins, "-d", wheels, own], check=True)
        venv.create(env, with_pip=True)
        before = megabytes(env)
        inside = [env / "bin" / "python", "-m", "pip", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*inside, "install", "--no-index", "-f", wheels, own], check=True)
        listed = subprocess.run(
            [*inside[:3], "list", "--format=json"], capture_output=True, check=True
        )
        packages = {each["name"]: each["version"] for each in json.loads(listed.stdout)}
        found = {
            "download_mb": round(megabytes(wheels), 1),
            "disk_mb": round(megabytes(env) - before, 1),
            "wheel_mb": round(own.stat().st_size / 1e6, 2),
            "packages": len(packages) - 1,  # pip itself was there before
            "torch": "torch" in packages,
        }
    print(json.dumps(found))
    too_big = found["download_mb"] > MOST_DOWNLOAD_MB or found["disk_mb"] > MOST_DISK_MB
    return int(too_big or found["torch"])


def megabytes(folder: Path) -> float:
    """Return what the files of a folder take, in 10^6 bytes."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


if __name__ == "__main__":
    raise SystemExit(main())
