"""`foveal demo`: the whole story on the embedded demo set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from foveal.cli import options as o
from foveal.cli.console import Quiet, console, show

Folder = Annotated[
    Path, typer.Option("--out", "-o", help="Folder for photographs, model and report.")
]


def demo(
    folder: Folder = Path("demo"), overwrite: o.Overwrite = False, quiet: Quiet = False
) -> None:
    """Render an inspection set, fit, test, save and predict on it; no network is needed.

    The photographs are drawn by the program: a manufactured surface, clean or with one of five
    kinds of defect; a few wrong labels, duplicates and one broken file are planted among them.
    """
    from foveal.core.files import write_folder
    from foveal.data.demo import write_demo
    from foveal.recipes.model import load
    from foveal.recipes.story import FitOrder, JudgeOrder, fit_and_save, judge_and_save

    with console(quiet=quiet) as heard, write_folder(folder, overwrite=overwrite) as draft:
        heard.say("1. Rendering photographs of a manufactured surface …")
        write_demo(draft / "set")
        photos, model = draft / "set" / "photos", draft / "model"
        heard.say("\n2. foveal fit photos/ -o model/")
        order = FitOrder.from_options(photos, None, {})
        fitted = fit_and_save(order, model, overwrite=False, listener=heard)
        heard.stop()
        for line in fitted.lines():
            show(line)
        heard.say("\n3. foveal test model/ photos/")
        judged = judge_and_save(JudgeOrder.from_options(photos, {}), model, None, listener=heard)
        heard.stop()
        for line in judged.lines():
            show(line)
        heard.say("\n4. foveal predict model/ photos/…")
        shown = sorted(photos.glob("*/*.jpg"))[::97]
        for answer in load(model).stream(shown, top=2):
            said = ", ".join(f"{label} {100 * p:.1f} %" for label, p in answer.top)
            show(f"{Path(answer.path).relative_to(photos)}: {said or answer.error}")
    show(f"\nThe report: {(folder / 'model.run' / 'report.html').absolute().as_uri()}")
