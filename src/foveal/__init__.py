"""Foveal: from a folder of photographs to a tested, saved, usable image classifier.

import foveal
data = foveal.read("photos/")
model = foveal.fit(data, backbone="mobilenetv2_100")
print(model.test(data))
model.save("model/")
foveal.load("model/").predict("x.jpg")
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foveal.core.errors import FovealError

if TYPE_CHECKING:
    from foveal.core.listener import Listener
    from foveal.data.manifest import Manifest
    from foveal.recipes.model import Model

__version__ = version("foveal")
__all__ = ["FovealError", "__version__", "fit", "load", "read"]


def read(path: str | Path, **settings: Any) -> Manifest:
    r"""Read a labelled dataset: class folders, split class folders, a table, a saved manifest.

    Args:
        path: a folder, or a CSV, TSV or Parquet file.
        settings: fields of ``foveal.data.reading.ReadSettings``, such as
            ``group_pattern=r"^(\d+)_"``.

    Raises:
        NotThere: if the path, or a column that was named, does not exist.
        BadData: if no labelled picture is found, or labels contradict each other.
    """
    from foveal.core.errors import OutOfRange
    from foveal.core.settings import from_mapping
    from foveal.data.readers import read as read_any
    from foveal.data.reading import ReadSettings

    if not isinstance(path, (str, Path)) or not str(path).strip():
        raise OutOfRange("path", path, "the path of a folder or a table")
    return read_any(Path(path), settings=from_mapping(ReadSettings, settings, where="foveal.read"))


def fit(data: Manifest | str | Path, *, listener: Listener | None = None, **settings: Any) -> Model:
    """Return a classifier for ``data``, chosen by cross-validation.

    Args:
        data: from ``read``, or what ``read`` takes.
        listener: hears what is chosen, assumed and left out; None: nobody.
        settings: fields of ``foveal.recipes.orders.FitSettings``'s records, such as
            ``backbone="resnet18"``, ``weights="resnet18.safetensors"``, ``features="last"``,
            ``head="probe"``, ``test_share=0.2``, ``seed=0``; and of a training:
            ``strategy="finetune"``, ``epochs=16``, ``freeze_until="stage2"``, ….

    Raises:
        UnknownName, OutOfRange: for a setting that does not exist or cannot work.
        BadData: where there is nothing to learn from.
    """
    from foveal.core.errors import OutOfRange
    from foveal.core.listener import SILENT
    from foveal.data.manifest import Manifest
    from foveal.data.reading import ReadSettings
    from foveal.recipes.orders import fit_settings
    from foveal.recipes.requested import FitOrder
    from foveal.recipes.story import fit_model, fit_order

    wanted = fit_settings(settings, where="foveal.fit")
    if not isinstance(data, (str, Path, Manifest)) or data == "":
        raise OutOfRange("data", data, "a path, or what foveal.read returned")
    if isinstance(data, (str, Path)):
        order = FitOrder(data=Path(data).expanduser(), read=ReadSettings(), fit=wanted)
        return fit_order(order, listener or SILENT)
    return fit_model(data, wanted, listener or SILENT)


def load(folder: str | Path) -> Model:
    """Return a saved model after verifying the hash of every file; nothing in it is executed.

    Raises:
        NotThere: if there is no model in ``folder``.
        Damaged: if a file is not what was saved.
    """
    from foveal.recipes.model import load as load_model

    return load_model(folder)
