"""`foveal doctor`: what is installed, what is missing, and what that costs you."""

from __future__ import annotations

import platform
import shutil
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from foveal.cli.console import put, show
from foveal.cli.options import AsJson

BASE = ("numpy", "pillow", "onnxruntime", "onnx", "safetensors", "polars", "pydantic", "typer",
        "rich", "jinja2")  # fmt: skip
EXTRAS = {
    "train": (
        ("torch", "torchvision", "timm", "onnxscript"),
        "Without it a timm network can only be used once it was exported elsewhere; "
        "predicting, testing and fitting on exported ones do without.",
        "5.5 GB on disk on Linux (its CUDA libraries included)",
    ),
    "tensorboard": (("tensorboard",), "Without it `--track tensorboard` is refused.", "55 MB"),
    "mlflow": (
        ("mlflow-skinny", "sqlalchemy", "alembic"),
        "Without it `--track mlflow` is refused.",
        "150 MB",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One thing looked at."""

    what: str
    found: str | None  # version or value; None: missing
    costs: str = ""  # what its absence costs, and how to mend it


def doctor(as_json: AsJson = False) -> None:
    """Say what is installed, what is missing, and what that costs you.

    Exit code 1 if something of the base install is missing.
    """
    import typer

    lines = [*_machine(), *_packages(), *_extras(), *_cache()]
    if as_json:
        put({line.what: _plain(line) for line in lines})
    else:
        width = max(len(line.what) for line in lines)
        for line in lines:
            mark = "ok" if line.found else "--"
            rest = f"  {line.costs}" if line.costs else ""
            show(f"{mark}  {line.what:{width}}  {line.found or 'missing'}{rest}")
    if any(line.found is None and line.what in BASE for line in lines):
        raise typer.Exit(1)


def _plain(line: Line) -> dict[str, Any]:
    return {"found": line.found, **({"costs": line.costs} if line.costs else {})}


def _machine() -> list[Line]:
    from foveal.core.machine import cores

    lines = [
        Line(what="foveal", found=_version("foveal")),
        Line(what="python", found=platform.python_version()),
        Line(what="cores", found=str(cores())),
    ]
    meminfo = Path("/proc/meminfo")
    if meminfo.is_file():
        kilobytes = int(meminfo.read_text().split("MemTotal:")[1].split()[0])
        lines.append(Line(what="memory", found=f"{kilobytes * 1024 / 1e9:.1f} GB"))
    return lines


def _packages() -> list[Line]:
    missing = "Part of the base install: pip install foveal"
    found = {name: _version(name) for name in BASE}
    return [
        Line(what=name, found=number, costs="" if number else missing)
        for name, number in found.items()
    ]


def _extras() -> list[Line]:
    lines = []
    for extra, (packages, without, size) in EXTRAS.items():
        found = {name: _version(name) for name in packages}
        absent = [name for name, number in found.items() if number is None]
        said = ", ".join(f"{name} {number}" for name, number in found.items() if number)
        costs = f"{without} To add it: pip install 'foveal[{extra}]' ({size})." if absent else ""
        lines.append(Line(what=f"foveal[{extra}]", found=None if absent else said, costs=costs))
    return lines


def _cache() -> list[Line]:
    from foveal.core.files import cache_folder

    folder = cache_folder()
    there = next(p for p in [folder, *folder.absolute().parents] if p.exists())
    free = shutil.disk_usage(there).free
    return [
        Line(what="cache", found=str(folder)),
        Line(what="free disk there", found=f"{free / 1e9:.1f} GB"),
    ]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
