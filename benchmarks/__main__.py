"""The benchmarks of Foveal itself, one after the other, or those that are named.

Run with ``make bench`` or ``python -m benchmarks NAME …``. Those with peers or long ones run by
their own command: see README.md.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
OWN = ("split_stability", "decode", "imagenet_samples", "fit_overhead", "domains")


def main() -> int:
    """Run them; return the first exit code that is not 0."""
    for name in sys.argv[1:] or OWN:
        print(f"── {name}", flush=True)
        done = subprocess.run([sys.executable, str(HERE / f"{name}.py")], check=False)
        if done.returncode:
            return done.returncode
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
