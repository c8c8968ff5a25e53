"""`foveal demo`: the whole story on the embedded demo set."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from foveal.cli import options as o
from foveal.cli.console import console, show
from foveal.cli.options import Quiet

Folder = Annotated[
    Path, typer.Option("--out", "-o", help="Folder for photographs, model and report.")
]
OWN = frozenset({"set", "model", "model.run"})  # what the folder holds in the end


def demo(
    folder: Folder = Path("demo"), overwrite: o.Overwrite = False, quiet: Quiet = False
) -> None:
    """Go the whole way once, from pictures to predictions, offline.

    The photographs are drawn by the program: a manufactured surface, clean or with one of five
    kinds of defect; a few wrong labels, duplicates and one broken file are planted among them.
    """
    from foveal.data.demo import write_demo
    from foveal.recipes.model import load
    from foveal.recipes.requested import FitOrder, JudgeOrder
    from foveal.recipes.story import fit_and_save, judge_and_save

    _clear(folder, overwrite=overwrite)
    model = folder / "model"
    with console(quiet=quiet) as heard:
        heard.say(f"1. Rendering photographs of a manufactured surface: {folder / 'set'}")
        key = write_demo(folder / "set")
        groups = {"group_pattern": key.group_pattern}
        words = f"{key.photos} --group-pattern '{key.group_pattern}'"
        heard.say(f"\n2. foveal fit {words} -o {model}")
        order = FitOrder.from_options(key.photos, None, groups)
        fitted = fit_and_save(order, model, overwrite=False, listener=heard)
        heard.stop()
        for line in fitted.lines():
            show(line)
        heard.say(f"\n3. foveal test {model} {words}")
        test = JudgeOrder.from_options(key.photos, groups)
        judged = judge_and_save(test, model, None, listener=heard)
        heard.stop()
        for line in judged.lines():
            show(line)
        heard.say(f"\n4. foveal predict {model} {key.photos}/… --top 2")
        shown = sorted(key.photos.glob("*/*.jpg"))[::97]
        for answer in load(model).stream(shown, top=2):
            said = ", ".join(f"{label} {100 * p:.1f} %" for label, p in answer.top)
            show(f"{Path(answer.path).relative_to(key.photos)}: {said or answer.error}")
    show()
    show(f"The report: {(judged.folder / 'report.html').absolute().as_uri()}")


def _clear(folder: Path, *, overwrite: bool) -> None:
    """Refuse a folder that is taken; with ``overwrite``, remove an earlier demo and nothing else.

    Raises:
        AlreadyThere: if something is there that may not be replaced.
    """
    from foveal.core.errors import AlreadyThere
    from foveal.core.files import check_free

    check_free(folder, overwrite=overwrite)
    there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if more := sorted(there - OWN):
        raise AlreadyThere(
            f"{folder} holds more than a demo: {more[0]}.", hint="Choose another name."
        )
    for name in there:
        shutil.rmtree(folder / name)
