"""A network is trained from scratch on pictures in memory, at rising sizes, beside a teacher."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import interpolate

from foveal.backbone.spec import BackboneSpec
from foveal.core.errors import BadWeights, OutOfRange, UnknownName
from foveal.image.preprocess import Preprocess
from foveal.train.network.loop import Prepared, StepSettings
from foveal.train.network.losses import LOSSES, LossSettings
from foveal.train.network.machine import Machine
from foveal.train.network.optimizers import OPTIMIZERS, Groups
from foveal.train.network.pictures.canvas import Canvases
from foveal.train.network.pictures.crops import Crops, shown
from foveal.train.network.pictures.feed import Batch
from foveal.train.network.pictures.order import batches_of, epoch_order, steps_per_epoch
from foveal.train.network.pretrain_settings import PretrainSettings
from foveal.train.network.run import Plan
from foveal.train.network.schedule import warmup_cosine
from foveal.train.network.seeding import random_from
from foveal.train.network.teaching import LIKENESSES, Student, targets_of, taught

if TYPE_CHECKING:
    import onnx

Score = Callable[[NDArray[np.float32], NDArray[np.int64]], Mapping[str, float]]
_JUDGED = 125  # pictures at a time
SHARE = 0.5  # of a card's free memory that pictures may take


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Course:
    """The pictures to learn from, what the teacher sees in them, and those that judge."""

    canvases: Canvases  # n pictures
    labels_n: NDArray[np.int64]
    val: Canvases  # M pictures, held at the same side
    val_labels_M: NDArray[np.int64]
    classes: int  # K
    seen_nD: NDArray[np.float16] | None  # the teacher's last features; None: there is no teacher
    score: Score  # what val's logits are worth; ``log_loss`` is among it
    called: Callable[[int], str]  # the name of a canvas's row


def bare_network(settings: PretrainSettings, classes: int) -> nn.Module:
    """Return a network for so many classes that knows nothing, or what ``settings.init`` holds.

    Chance is a function of the seed.

    Raises:
        UnknownName: for an architecture that timm does not know.
        OutOfRange: for arguments that it does not take.
        NotThere: if there are no weights to begin with at the path that was named.
        BadWeights: if they are of another network.
    """
    import timm

    from foveal.backbone.torch_load import build
    from foveal.backbone.torch_weights import fill, from_file

    if not timm.is_model(settings.arch):
        raise UnknownName("architecture", settings.arch, timm.list_models())
    if "num_classes" in settings.model_args:
        raise OutOfRange("model_args", "num_classes", "nothing: the pictures say how many")
    with random_from("network", settings.seed):
        arguments = {**settings.model_args, "num_classes": classes}
        network = build(settings.arch, arguments, pretrained=False)
    if settings.init is not None:
        tensors = from_file(settings.init)
        fill(network, tensors, convert=None, where=settings.init.name, name=settings.arch)
    if not isinstance(cast(Any, network).get_classifier(), nn.Linear):
        raise BadWeights(f"{settings.arch} has no single linear layer as its classifier.")
    return network


def new_network(settings: PretrainSettings, course: Course) -> nn.Module:
    """Return a `bare_network` for the classes of ``course``.

    With a teacher it is a `Student`, whose ``network`` is what is wanted in the end.
    """
    network = bare_network(settings, course.classes)
    if course.seen_nD is None:
        return network
    with random_from("student", settings.seed):
        return Student(network, course.seen_nD.shape[1])


def plan_of(
    course: Course, settings: PretrainSettings, *, machine: Machine, facts: Mapping[str, Any]
) -> Plan:
    """Return the plan of a run over ``course``.

    Args:
        course: the pictures; its canvases stay open as long as the plan is used.
        settings: see there.
        machine: of this process.
        facts: what a resumed run must have in common with this one.

    Raises:
        UnknownName: for a loss, likeness or optimiser that is none.
    """
    make_optimizer = OPTIMIZERS.pick(settings.optimizer)
    loss = LOSSES.pick(settings.loss)
    if course.seen_nD is not None:
        loss = taught(
            loss,
            LIKENESSES.pick(settings.likeness),
            classes=course.classes,
            weight=settings.teacher_weight,
        )
    per_epoch = steps_per_epoch(len(course.canvases), batch=settings.batch)
    total = per_epoch * settings.epochs
    held = on_card(course.canvases, machine)
    return Plan(
        steps=total,
        steps_per_epoch=per_epoch,
        batch=settings.batch,
        batches=partial(_batches, course, held, settings, machine, total),
        prepare=partial(_prepared, course, settings, machine),
        optimizer=lambda network: make_optimizer(_groups(network, settings)),
        loss=loss,
        loss_settings=LossSettings(smoothing=settings.smoothing),
        rate=partial(
            warmup_cosine,
            total=total,
            warmup=int(settings.warmup * total),
            hold=int(settings.hold * total),
        ),
        judge=lambda network: course.score(
            answers(network, course, settings.preprocess, machine), course.val_labels_M
        ),
        step_settings=StepSettings(clip=settings.clip),
        average=settings.average,
        seed=settings.seed,
        facts=facts,
        called=course.called,
        sizes=settings.sizes,
    )


def answers(
    network: nn.Module, course: Course, preprocess: Preprocess, machine: Machine
) -> NDArray[np.float32]:
    """Return the logits (M, K) of the whole val pictures at the size of ``preprocess``."""
    network.eval()
    found = []
    with torch.inference_mode(), machine.autocast():
        for first in range(0, len(course.val), _JUDGED):
            pixels = torch.tensor(course.val.pixels[first : first + _JUDGED]).permute(0, 3, 1, 2)
            planes = _planes(pixels, preprocess, machine)
            size = (preprocess.size_px, preprocess.size_px)
            seen = interpolate(planes, size, mode="bicubic", antialias=True)
            found.append(network(seen)[:, : course.classes].float().cpu().numpy())
    return np.concatenate(found)


def at_sizes(
    network: nn.Module,
    course: Course,
    settings: PretrainSettings,
    sizes: tuple[int, ...],
    machine: Machine,
) -> dict[int, float]:
    """Return the share of val that is right at each of some input sizes.

    Objects look larger in crops than in whole pictures, so a network may do better at a size
    that it was not trained at.

    Source:
        Touvron et al., "Fixing the train-test resolution discrepancy", NeurIPS 2019.
    """
    found = {}
    for size in sizes:
        logits = answers(network, course, replace(settings.preprocess, size_px=size), machine)
        found[size] = float((logits.argmax(1) == course.val_labels_M).mean())
    return found


def on_card(canvases: Canvases, machine: Machine) -> Tensor | None:
    """Return the pictures (n, S, S, 3) on the card, where there is one with room for them.

    Then no picture crosses over twice. Half of the memory that is free is left to the network.
    """
    if machine.device.type != "cuda":
        return None
    free, _ = torch.cuda.mem_get_info(machine.device)
    if canvases.pixels.nbytes > SHARE * free:
        return None
    return torch.tensor(canvases.pixels, device=machine.device)


def _batches(
    course: Course,
    held: Tensor | None,
    settings: PretrainSettings,
    machine: Machine,
    steps: int,
    first_step: int,
) -> Iterator[Batch]:
    """Yield this rank's part of each batch, canvases as they are: augmenting is done in one go."""
    per_epoch = steps_per_epoch(len(course.canvases), batch=settings.batch)
    epoch, parts = -1, np.empty((0, 0), np.int64)
    for step in range(first_step, steps):
        if step // per_epoch != epoch:
            epoch = step // per_epoch
            order_n = epoch_order(len(course.canvases), seed=settings.seed, epoch=epoch)
            parts = batches_of(
                order_n, batch=settings.batch, rank=machine.rank, ranks=machine.ranks
            )
        numbers_B = parts[step % per_epoch]
        pixels = (
            torch.from_numpy(course.canvases.pixels[numbers_B])
            if held is None
            else held[torch.from_numpy(numbers_B).to(held.device)]
        )
        yield Batch(
            step,
            epoch,
            torch.from_numpy(course.canvases.rows[numbers_B]),
            pixels.permute(0, 3, 1, 2),
            torch.from_numpy(course.labels_n[numbers_B]),
        )


def _prepared(
    course: Course, settings: PretrainSettings, machine: Machine, batch: Batch
) -> Prepared:
    """Return crops of a batch on the device, and what is to be answered to them."""
    part = settings.batch // machine.ranks
    own = slice(machine.rank * part, (machine.rank + 1) * part)
    crops = Crops(area=(settings.least_area, 1.0), mirror=settings.mirror)
    places = crops.places(settings.batch, seed=settings.seed, step=batch.step)[own]
    planes = _planes(batch.pixels, settings.preprocess, machine)
    seen = shown(planes, places, size_px=settings.size_in(batch.epoch))
    labels = batch.labels.to(machine.device)
    if course.seen_nD is None:
        return seen, labels
    numbers_B = np.searchsorted(course.canvases.rows, batch.rows.numpy())
    features = torch.from_numpy(course.seen_nD[numbers_B]).to(machine.device)
    return seen, targets_of(labels, features, course.classes)


def _planes(pixels: Tensor, preprocess: Preprocess, machine: Machine) -> Tensor:
    """Return pixels (B, 3, S, S) as normalised float planes on the device."""
    planes = pixels.to(machine.device, non_blocking=True).float()
    mean = torch.tensor(preprocess.mean, device=planes.device).view(1, 3, 1, 1) * 255
    std = torch.tensor(preprocess.std, device=planes.device).view(1, 3, 1, 1) * 255
    return planes.sub_(mean).div_(std)


def _groups(network: nn.Module, settings: PretrainSettings) -> Groups:
    """Return the parameters in two groups: biases and norms' scales do not decay."""
    plain = [p for p in network.parameters() if p.ndim <= 1]
    decayed = [p for p in network.parameters() if p.ndim > 1]
    return [
        {"name": "plain", "params": plain, "lr": settings.rate, "weight_decay": 0.0},
        {
            "name": "decayed",
            "params": decayed,
            "lr": settings.rate,
            "weight_decay": settings.weight_decay,
        },
    ]


def exported(
    network: nn.Module, settings: PretrainSettings, *, name: str, weights: str
) -> tuple[BackboneSpec, onnx.ModelProto, bytes, int]:
    """Return a trained network as a backbone's record, graph and weights file, and their number.

    Args:
        network: what ``new_network`` gave, trained since; left in eval mode, on the CPU.
        settings: of its training.
        name: of the backbone.
        weights: where its weights come from, in words.

    Raises:
        BadWeights: if the graph does not agree with torch.
    """
    from foveal.backbone.torch_bodies import TimmBody
    from foveal.backbone.torch_export import export
    from foveal.backbone.torch_load import Loaded
    from foveal.backbone.torch_weights import to_bytes

    bare = (network.network if isinstance(network, Student) else network).cpu().eval()
    classifier = next(
        key for key, layer in bare.named_modules() if layer is cast(Any, bare).get_classifier()
    )
    loaded = Loaded(
        network=bare,
        body=TimmBody(bare, settings.preprocess.size_px).eval(),
        name=name,
        preprocess=settings.preprocess,
        weights=weights,
        licence=None,
        assumed=(),
        architecture=settings.arch,
        model_args=dict(settings.model_args),
        classifier=classifier,
    )
    spec, model = export(loaded)
    return spec, model, to_bytes(bare), sum(p.numel() for p in bare.parameters())
