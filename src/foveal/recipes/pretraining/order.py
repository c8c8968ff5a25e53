"""`PretrainOrder`: a pretraining as it was asked for: data, reading, settings, teacher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from foveal.backbone.settings import BackboneSettings
from foveal.core.errors import CannotResume, NotThere, OutOfRange
from foveal.core.settings import from_mapping, to_mapping
from foveal.data.reading import ReadSettings
from foveal.recipes.requested import kept_backbone
from foveal.recipes.workplace import Workplace
from foveal.train.network.pretrain_settings import PretrainSettings
from foveal.train.network.saving.same_run import check_same

Options = Mapping[str, Mapping[str, Any]]
"""What was said, by record: ``settings``, ``reading``, ``teacher``; none has to be there."""

TEACHER = "teacher_"  # before the names of a teacher's settings
FITS = "epochs_that_fit"  # beside the order in a workplace: what the budget allowed
# What may differ when a run is resumed, or is compared by what it holds instead of where it lies.
NOT_THE_RUN = ("device", "init")
_ELSEWHERE = (*NOT_THE_RUN, "root", f"{TEACHER}weights")


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainOrder:
    """What is to be trained on what, and what decides how."""

    data: tuple[Path, ...]  # tar shards, or one path that ``foveal.read`` takes
    val: tuple[Path, ...] = ()  # likewise; none: what ``data`` names, or a share of it
    settings: PretrainSettings = field(default_factory=PretrainSettings)
    reading: ReadSettings = field(default_factory=ReadSettings)
    teacher: BackboneSettings | None = None

    @classmethod
    def from_options(
        cls,
        data: Sequence[Path],
        val: Sequence[Path],
        options: Options,
        *,
        where: str = "the options",
    ) -> PretrainOrder:
        """Return the order for what was said.

        Raises:
            NotThere: if no pictures were named, or something is said of a teacher without a name.
            UnknownName, OutOfRange: for a setting that does not exist or cannot work.
        """
        if not data:
            raise NotThere("No pictures were named.", hint="Say: foveal pretrain PHOTOS -o OUT")
        teacher = dict(options.get("teacher") or {})
        if teacher and not teacher.get("backbone"):
            raise NotThere(
                "Something is said of a teacher, but not who it is.", hint="Name one: --teacher."
            )
        try:
            named = from_mapping(BackboneSettings, teacher, where=where) if teacher else None
        except OutOfRange as refused:
            raise OutOfRange(TEACHER + refused.field, refused.got, refused.expected) from None
        return cls(
            data=tuple(data),
            val=tuple(val),
            settings=from_mapping(PretrainSettings, options.get("settings", {}), where=where),
            reading=from_mapping(ReadSettings, options.get("reading", {}), where=where),
            teacher=named,
        )

    @classmethod
    def resumed(
        cls, place: Workplace, data: Sequence[Path], val: Sequence[Path], options: Options
    ) -> PretrainOrder:
        """Return the order of the run that was cut off; options may say it once more.

        Pictures may be named where they lie now: that they are the same is seen by their content.

        Raises:
            NotThere: if none was cut off there; if its pictures are not where they were.
            CannotResume: if it is no pretraining, or options were given that differ.
        """
        where, kept = str(place.folder), place.settings()
        if "settings" not in kept:
            raise CannotResume(
                f"{where} holds a training of `foveal fit`.",
                hint="Go on with it by foveal fit --resume.",
            )
        fits = kept.pop(FITS, None)
        _check_kept(kept, fits, where)
        paths = {name: [Path(path) for path in kept.get(name, ())] for name in ("data", "val")}
        begun = cls.from_options(paths["data"], paths["val"], kept, where=where)
        parts = ("settings", "reading", "teacher")
        said = {part: {**(kept.get(part) or {}), **options.get(part, {})} for part in parts}
        order = cls.from_options(data or begun.data, val or begun.val, said)
        if place.worth_keeping:
            check_same(begun.choices(), order.choices(), where=place.folder)
        for path in (*order.data, *order.val):
            if not path.exists():
                raise NotThere(
                    f"The pictures of this training are not at {path}.",
                    hint="Say where they are now, before --resume.",
                )
        if fits is None or not place.worth_keeping:
            return order
        return replace(order, settings=replace(order.settings, epochs=fits, budget=None))

    def choices(self) -> dict[str, Any]:
        """Return what was chosen, flat, but for what may lie or run elsewhere."""
        said = self.to_mapping()
        teacher = {TEACHER + name: value for name, value in (said["teacher"] or {}).items()}
        flat = {**said["settings"], **said["reading"], **teacher}
        return {name: value for name, value in flat.items() if name not in _ELSEWHERE}

    def to_mapping(self) -> dict[str, Any]:
        """Return it JSON-ready, with paths that mean the same from everywhere."""
        settings, reading = to_mapping(self.settings), to_mapping(self.reading)
        if self.settings.init is not None:
            settings["init"] = str(self.settings.init.absolute())
        if self.reading.root is not None:
            reading["root"] = str(self.reading.root.absolute())
        return {
            "data": [str(path.absolute()) for path in self.data],
            "val": [str(path.absolute()) for path in self.val],
            "settings": settings,
            "reading": reading,
            "teacher": None if self.teacher is None else kept_backbone(self.teacher),
        }


def _check_kept(kept: Mapping[str, Any], fits: object, where: str) -> None:
    """Refuse an order that somebody has edited into another shape.

    Raises:
        OutOfRange: naming the entry.
    """
    for name in ("data", "val"):
        paths = kept.get(name, [])
        if not (isinstance(paths, list) and all(isinstance(path, str) for path in paths)):
            raise OutOfRange(name, paths, f"a list of paths (in {where})")
    for name in ("settings", "reading", "teacher"):
        values = kept.get(name, {})
        if not (isinstance(values, dict) or (values is None and name == "teacher")):
            raise OutOfRange(name, values, f"a JSON object (in {where})")
    if not (fits is None or (type(fits) is int and fits >= 1)):
        raise OutOfRange(FITS, fits, f"a number of epochs (in {where})")
