"""From what a person named to a backbone that runs: built in, a path, torchvision's or timm's."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from foveal.backbone import store
from foveal.backbone.hub import hub_answers
from foveal.backbone.running import OnnxBackbone
from foveal.backbone.settings import TORCHVISION, BackboneSettings
from foveal.core.errors import MissingExtra, NotThere, OutOfRange
from foveal.core.files import check_exists
from foveal.core.listener import SILENT, Listener
from foveal.core.table import Table

Make = Callable[[BackboneSettings, int | None], OnnxBackbone]  # settings, threads -> backbone

DEFAULT = "mobilenetv2_100"  # the default where its weights can be had: small, fast, Apache-2.0
BUILT_IN = "foveal-s"  # the default elsewhere
TRAIN = ("torch", "torchvision", "timm", "onnxscript")  # what an export needs


def _classical(settings: BackboneSettings, threads: int | None) -> OnnxBackbone:
    from foveal.backbone.classical import DEFAULT_PREPROCESS, classical

    _refuse(settings, "weights", "model_args", "mean", "std")
    return classical(settings.preprocess(DEFAULT_PREPROCESS), threads=threads)


def _foveal_s(settings: BackboneSettings, threads: int | None) -> OnnxBackbone:
    from foveal.backbone.foveal_s import DEFAULT_PREPROCESS, foveal_s

    _refuse(settings, "weights", "model_args", "mean", "std")
    return foveal_s(settings.preprocess(DEFAULT_PREPROCESS), threads=threads)


BACKBONES: Table[Make] = Table(
    "backbone",
    {
        "classical": _classical,
        "foveal-s": _foveal_s,
    },
)  # timm's and torchvision's names come on top of these


def pick(
    settings: BackboneSettings, listener: Listener = SILENT, *, threads: int | None = None
) -> OnnxBackbone:
    """Return the backbone that ``settings`` names, exporting it if the cache has it not yet.

    Only an export needs torch. Everything that was merely assumed is said to ``listener``.

    Args:
        settings: what the user said.
        listener: hears what is assumed, and that an export is under way.
        threads: pictures computed at once; None: one for each core this process may use.

    Raises:
        UnknownName: for a name that neither we nor timm nor torchvision know.
        NotThere: for a path to nothing.
        MissingExtra: if it has to be exported and torch or timm are not installed.
        BadWeights: if weights or graph do not fit.
        FovealError: if weights can neither be found nor downloaded.
    """
    name = settings.backbone
    if name in BACKBONES.names():
        backbone = BACKBONES.pick(name)(settings, threads)
    elif _is_path(name):
        backbone = _from_path(Path(name), settings, threads)
    else:
        folder = store.cached_folder(settings)
        if not folder.is_dir() and (only := _the_only(settings)):
            folder = only.folder
            listener.say(
                f"{name} is taken from the cache as it was exported from {only.weights}, at "
                f"{only.size_px} px."
            )
        elif not folder.is_dir():
            _export(settings, folder, listener)
        backbone = store.load(folder, threads=threads)
    for sentence in backbone.spec.assumed:
        listener.say(sentence)
    return backbone


def default_backbone() -> tuple[str, str]:
    """Return the name of the backbone to use where none was named, and why, as a sentence.

    ``mobilenetv2_100`` if its export from the hub is in the cache, or can be made now (the extra
    ``train`` is installed and the hub answers within two seconds); else ``foveal-s``.
    """
    settings = BackboneSettings(backbone=DEFAULT)
    if store.cached_folder(settings).is_dir() or _the_only(settings):
        return DEFAULT, f"No backbone was named: {DEFAULT} is in the cache and is used."
    if missing := not_installed():
        return (
            BUILT_IN,
            f"No backbone was named: {BUILT_IN} is used, because {DEFAULT} is not in the cache "
            f"and exporting it needs {', '.join(missing)} (the extra 'train').",
        )
    if not hub_answers():
        return (
            BUILT_IN,
            f"No backbone was named: {BUILT_IN} is used, because {DEFAULT} is not in the cache "
            "and the hub with its weights does not answer.",
        )
    return DEFAULT, f"No backbone was named: {DEFAULT} is fetched from the hub."


def _the_only(settings: BackboneSettings) -> store.Kept | None:
    """Return the one export in the cache that a bare name can mean where none can be made anew.

    So a network that was exported from a weights file is found by its name afterwards. Two of
    one name (other weights, other arguments) are never guessed between.
    """
    if settings != BackboneSettings(backbone=settings.backbone):
        return None
    named = [kept for kept in store.kept() if kept.name == settings.backbone]
    if len(named) != 1 or not (not_installed() or not hub_answers()):
        return None
    return named[0]


def _is_path(name: str) -> bool:
    path = Path(name)
    return (
        name.endswith(".onnx") or "/" in name or "\\" in name or (path / store.SPEC).is_file()
    ) and not name.startswith(TORCHVISION)


def _from_path(path: Path, settings: BackboneSettings, threads: int | None) -> OnnxBackbone:
    from foveal.backbone.onnx_file import from_onnx

    check_exists(path, "backbone")
    if path.is_file():
        _refuse(settings, "weights", "model_args")
        return from_onnx(path, settings, threads=threads)
    _refuse(settings, "weights", "model_args", "size_px", "mean", "std")
    backbone = store.load(path, threads=threads)
    return backbone.seeing(settings.preprocess(backbone.spec.preprocess))


def _refuse(settings: BackboneSettings, *fields: str) -> None:
    """Refuse what was said but stands fixed inside the graph, instead of ignoring it."""
    for field in fields:
        if value := getattr(settings, field):
            shown = str(value) if isinstance(value, Path) else value
            raise OutOfRange(field, shown, f"nothing here: it is fixed in {settings.backbone}")


def _export(settings: BackboneSettings, folder: Path, listener: Listener) -> None:
    """Build, export, check and keep a network.

    Raises:
        MissingExtra: in a base install, with what is in the cache instead.
    """
    name = settings.backbone
    if not_installed():
        kept = store.kept()
        there = ", ".join(sorted({one.name for one in kept} | {*BACKBONES.names()}))
        if name in {one.name for one in kept}:
            raise NotThere(
                f"The cache holds {name} of other weights, arguments or sizes, not of these.",
                hint="Say them as they were said when it was exported; `foveal cache` shows them.",
            )
        raise MissingExtra(
            f"The backbone {name!r} is neither built in nor in the cache ({there} can be used; "
            "is it spelled right?), and exporting it",
            "train",
        )
    from foveal.backbone.torch_export import export
    from foveal.backbone.torch_load import load_timm
    from foveal.backbone.torch_ready import load_torchvision
    from foveal.backbone.torch_weights import to_bytes

    loaded = (load_torchvision if name.startswith(TORCHVISION) else load_timm)(settings)
    listener.say(_exporting(name, loaded.preprocess.size_px))
    spec, model = export(loaded)
    weights = to_bytes(loaded.network) if loaded.architecture else None
    store.save(folder, spec, model, weights)


def _exporting(name: str, size_px: int) -> str:
    """Return what is said of an export, and why one in the cache does not do."""
    sizes = sorted({one.size_px for one in store.kept() if one.name == name and one.size_px})
    known = f" It has {name} at {' and '.join(map(str, sizes))} px, asked for otherwise."
    return (
        f"Exporting {name} to ONNX at {size_px} px; the cache keeps it for whoever asks for the "
        f"same weights, size and preprocessing.{known if sizes else ''}"
    )


def not_installed() -> list[str]:
    """Return which packages of the extra ``train`` are not installed, without importing any."""
    return [package for package in TRAIN if find_spec(package) is None]
