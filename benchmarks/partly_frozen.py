"""Claim: on kept activations an epoch of a partly frozen network takes half of the time.

resnet18 at 128 px, frozen up to stage3, on 194 photographs; 49 judge it after every epoch. Against
running the frozen part again in every epoch, in eval mode and without gradients, which is already
the cheap way: the same pictures, policy, batches, optimiser and loop. Beside it what it costs to
begin with: the frozen part once over every view. The aim was a third and is not reached, nor can
it be here: the fourth stage does 23 % of the multiplications of a pass, and three times that to
learn, so all that is spared is about as much as what is left. Behind stage4 only the head is left.

Run:     python benchmarks/partly_frozen.py --save       (--stage for other freezing points)
Data:    `shared/data/domains/hymenoptera/train`; every fifth photograph judges.
Measure: epochs in one process, alternating, again and kept; the first of each does not count.
         A ratio is of neighbours: median (least to most) of n = 7 rounds, in wall time and in
         CPU time of the process, which other programs on the machine disturb less (with
         --threads 1: several threads that wait for each other burn it).
Results: benchmarks/results/partly_frozen-DATE.json.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import timm
import torch
from beside import spread, text
from child import machine
from domains import SHARED
from numpy.typing import NDArray
from results import save
from safetensors.torch import load_file
from torch import nn

from foveal.image.preprocess import Preprocess
from foveal.recipes.training.schooling import score
from foveal.train.network.allocator import keep_freed_memory
from foveal.train.network.frozen.activations import (
    above_inputs,
    above_logits,
    activation_bytes,
    activation_feed,
    activations,
)
from foveal.train.network.frozen.freezing import freeze_until
from foveal.train.network.frozen.part import split
from foveal.train.network.inputs import Inputs
from foveal.train.network.loop import updates
from foveal.train.network.machine import ALONE
from foveal.train.network.pictures.augment import POLICIES, augmented
from foveal.train.network.pictures.canvas import Canvases, canvas_side, canvases
from foveal.train.network.pictures.feed import FeedSettings
from foveal.train.network.planning import Lesson, plan_of
from foveal.train.network.run import Plan
from foveal.train.network.settings import TrainSettings

NETWORK = "resnet18"
POLICY, BATCH, SEED = "light", 32, 0
JUDGES = 5  # one photograph in so many


@dataclass(frozen=True, slots=True)
class Taken:
    """What something took."""

    wall_s: float
    cpu_s: float


def taken(work: Callable[[], object]) -> Taken:
    """Return the time that some work takes, and what it costs the processor."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Taken(time.perf_counter() - wall, time.process_time() - cpu)


def lesson(size_px: int) -> Lesson:
    """Return the decoded photographs."""
    files = sorted((SHARED / "domains" / "hymenoptera" / "train").glob("*/*.jpg"))
    names = sorted({file.parent.name for file in files})
    judging = files[::JUDGES]
    learnt = [file for file in files if file not in set(judging)]
    preprocess = Preprocess(size_px=size_px)

    def labels(some: Sequence[Any], made: Canvases) -> NDArray[np.int64]:
        return np.array([names.index(some[row].parent.name) for row in made.rows])

    wide = canvases(learnt, preprocess, side_px=canvas_side(size_px))
    seen = canvases(judging, preprocess, side_px=size_px, crop=preprocess.crop)
    return Lesson(
        canvases=wide,
        labels_n=labels(learnt, wide),
        val_pixels=seen.pixels,
        val_labels_M=labels(judging, seen),
        classes=len(names),
        preprocess=preprocess,
        score=score,
        called=lambda row: learnt[row].name,
    )


def network(classes: int) -> nn.Module:
    """Return the network with its weights and a new head."""
    made: nn.Module = timm.create_model(NETWORK)
    made.load_state_dict(load_file(SHARED / "weights" / f"{NETWORK}.safetensors"))
    made.reset_classifier(classes)  # type: ignore[operator]  # timm's
    return made


def epochs(made: nn.Module, plan: Plan) -> Iterator[None]:
    """Train, stopping after every epoch, which is judged."""
    loop = updates(
        made,
        plan.batches(0),
        plan.optimizer(made),
        prepare=plan.prepare,
        loss=plan.loss,
        loss_settings=plan.loss_settings,
        rate=plan.rate,
        settings=plan.step_settings,
    )
    while True:
        for _ in islice(loop, plan.steps_per_epoch):
            pass
        plan.judge(made.eval())
        yield


def measured(size_px: int, stage: str, rounds: int, views: int) -> dict[str, Any]:
    """Return the seconds of every epoch both ways, and of what is computed before the first."""
    data = lesson(size_px)
    settings = TrainSettings(
        strategy="finetune", epochs=rounds + 1, batch=BATCH, policy=POLICY, freeze_until=stage
    )
    inputs = Inputs(preprocess=data.preprocess, classes=data.classes)
    again, whole = plan_of(data, settings, seed=SEED), ALONE.place(network(data.classes))
    freeze_until(whole, stage)

    halved = ALONE.place(network(data.classes))
    freeze_until(halved, stage)
    begun: dict[str, Any] = {}

    def begin() -> None:
        begun["cut"] = split(halved, stage, size_px=size_px)

    cutting = taken(begin)
    cut, order = begun["cut"], FeedSettings(batch=BATCH, seed=SEED)

    def compute() -> None:
        change = partial(augmented, POLICIES.pick(POLICY).make(size_px))
        begun["kept"] = activations(
            cut, data.canvases, data.labels_n, change, order, inputs=inputs, views=views
        )
        still = partial(augmented, POLICIES.pick("none").make(size_px))
        seen = Canvases(data.val_pixels, np.arange(len(data.val_pixels)))
        begun["val"] = activations(
            cut, seen, data.val_labels_M, still, order, inputs=inputs, views=1
        )

    computing = taken(compute)
    kept_plan = replace(
        again,
        batches=lambda first: activation_feed(
            begun["kept"], data.labels_n, order, steps=again.steps, first_step=first
        ),
        prepare=above_inputs,
        judge=lambda above: score(above_logits(above, begun["val"]), data.val_labels_M),
    )
    ways = {"again": epochs(whole, again), "kept": epochs(cut.above, kept_plan)}
    for way in ways.values():
        next(way)
    alternating = [
        {name: taken(partial(next, way)) for name, way in ways.items()} for _ in range(rounds)
    ]
    return {
        "stage": stage,
        "activation": list(cut.shape),
        "bytes": activation_bytes(cut, len(data.canvases), views=views),
        "pictures": len(data.canvases),
        "judging": len(data.val_pixels),
        "cutting": asdict(cutting),
        "computing": asdict(computing),
        "rounds": [{name: asdict(cost) for name, cost in one.items()} for one in alternating],
    }


def summary(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the medians: seconds of an epoch both ways, and their ratio round by round."""
    rounds, out = found["rounds"], {}
    for clock in ("wall_s", "cpu_s"):
        out[clock] = {name: spread([one[name][clock] for one in rounds]) for name in rounds[0]}
        out[clock]["ratio"] = spread([one["again"][clock] / one["kept"][clock] for one in rounds])
    spared = out["cpu_s"]["again"]["median"] - out["cpu_s"]["kept"]["median"]
    out["epochs_to_pay"] = round(found["computing"]["cpu_s"] / spared, 1)
    return out


def main() -> None:
    """Measure, print, and save where asked to."""
    parser = argparse.ArgumentParser(description="Kept activations against running them again.")
    parser.add_argument("--stage", nargs="+", default=["stage3"], help="the last frozen stage")
    parser.add_argument("--n", type=int, default=7, help="rounds")
    parser.add_argument("--size", type=int, default=128, help="side of the input, in pixels")
    parser.add_argument("--views", type=int, default=4, help="of each picture")
    parser.add_argument("--threads", type=int, default=None, help="of torch; as it likes")
    parser.add_argument("--beside", default="", help="what else ran on the machine, in words")
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/…json")
    asked = parser.parse_args()
    where = machine()
    keep_freed_memory()
    if asked.threads:
        torch.set_num_threads(asked.threads)
    runs, summaries = [], {}
    for stage in asked.stage:
        found = measured(asked.size, stage, asked.n, asked.views)
        told = summaries[stage] = summary(found)
        runs.append(found)
        wall, cpu = told["wall_s"], told["cpu_s"]
        print(
            f"{stage}: an epoch takes {text(wall['again'])} s with the frozen part and "
            f"{text(wall['kept'])} s above it, {text(wall['ratio'])} times less (CPU: "
            f"{text(cpu['again'])} and {text(cpu['kept'])} s, {text(cpu['ratio'])} times); "
            f"{asked.views} views take {found['computing']['cpu_s']:.1f} s of CPU and "
            f"{found['bytes'] / 1e6:.1f} MB, which pays after {told['epochs_to_pay']} epochs."
        )
    if asked.save:
        settings = {key: getattr(asked, key) for key in ("n", "size", "views", "threads", "beside")}
        facts = {"machine": where, "settings": settings, "summary": summaries, "runs": runs}
        print(save("partly_frozen", facts))


if __name__ == "__main__":
    main()
