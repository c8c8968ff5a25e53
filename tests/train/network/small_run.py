"""A small run as a process of its own, which tests start, kill, stop and start again.

    python small_run.py OPTIONS        one run, or one rank of it, where torchrun starts it
    python small_run.py --nursery      forks a run for every line of OPTIONS it reads

Loading torch takes longer than the run: the nursery does it once. It answers in lines: ``began
PID``, ``step N`` when an update is done, and ``ended PID CODE``, negative for a signal.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import FrameType

import numpy as np
import torch
import torch._dynamo  # the first step would load it
from safetensors.torch import save_file
from torch import Tensor, nn

from foveal.core.listener import Silent
from foveal.image.preprocess import Preprocess
from foveal.train.network.inputs import Inputs
from foveal.train.network.loop import StepSettings, Update
from foveal.train.network.losses import LossSettings, cross_entropy
from foveal.train.network.machine import Machine, machine
from foveal.train.network.optimizers import OPTIMIZERS
from foveal.train.network.pictures import canvas
from foveal.train.network.pictures.augment import POLICIES, augmented
from foveal.train.network.pictures.canvas import Canvases, canvas_side, canvases
from foveal.train.network.pictures.feed import Batch, FeedSettings, feed
from foveal.train.network.pictures.order import steps_per_epoch
from foveal.train.network.run import Plan, train
from foveal.train.network.saving.checkpoint import Checkpoints
from foveal.train.network.schedule import warmup_cosine

SIZE_PX, CLASSES, BATCH = 32, 3, 12
DEFAULTS = {
    "photos": "",  # class folders
    "folder": "",  # gets checkpoints/, canvases/ and final.safetensors; other ranks': rank1.…
    "epochs": 8,
    "workers": 0,
    "micro": None,
    "norm": "batch",  # or frozen, or none
    "dropout": 0.2,
    "average": 0.9,
    "clip": 1.0,
    "optimizer": "adamw",
    "rate": 0.01,
    "save_every_s": 0.0,
    "policy": "standard",
    "signals": "python",  # or system: its own defaults
    "slow_judge_s": 0.0,
    "own_start": False,  # each rank begins with weights of its own
    "poisoned": None,  # a step at which, once, the last rank's pictures are no numbers
}


def network(norm: str, dropout: float, start: int) -> nn.Module:
    """Return two convolutions and a head; with ``frozen``, BatchNorm keeps its statistics."""
    torch.manual_seed(start)
    layers = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2),
        nn.Identity() if norm == "none" else nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(64, CLASSES),
    )
    layers.register_parameter("spare", nn.Parameter(torch.ones(3)))  # never used
    if norm == "frozen":
        from foveal.train.network.frozen.freezing import freeze_until

        with torch.no_grad():
            layers[1](torch.randn(64, 8, 4, 4) * 2 + 1)  # statistics of its own
        freeze_until(layers, "stage3")  # the first one is the spare parameter's
        assert not layers[1].training
    return layers


def judge(one: nn.Module, inputs: Inputs, seen: Canvases, labels: Tensor) -> Mapping[str, float]:
    """Return the scores on the training pictures, whole."""
    pixels = torch.from_numpy(seen.pixels[:].copy()).permute(0, 3, 1, 2)
    with torch.no_grad():
        logits = one(inputs.planes(pixels))
    right = (logits.argmax(1) == labels).float().mean()
    return {"log_loss": nn.functional.cross_entropy(logits, labels).item(), "top1": right.item()}


def run(options: Mapping[str, object]) -> None:
    """Do the run, from wherever it was cut off."""
    options = {**DEFAULTS, **options}
    torch.set_num_threads(1)
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002 — a run saves the state of this one
    if options["signals"] == "python":
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, _ends)
    with machine("cpu") as here:
        _run(here, **options)


def _run(here: Machine, **options) -> None:
    folder = Path(options["folder"])
    preprocess = Preprocess(size_px=SIZE_PX)
    files = sorted(Path(options["photos"]).rglob("*.png"))
    names = sorted({file.parent.name for file in files})
    canvas.free_memory = lambda: 1000  # so that canvases lie in a file
    with canvases(
        files, preprocess, side_px=canvas_side(SIZE_PX), folder=folder / "canvases"
    ) as drawn:
        labels_n = np.array([names.index(files[row].parent.name) for row in drawn.rows])
        inputs = Inputs(preprocess=preprocess, classes=CLASSES, machine=here)
        policy = POLICIES.pick(options["policy"])
        settings = FeedSettings(
            batch=BATCH, rank=here.rank, ranks=here.ranks, workers=options["workers"]
        )
        per_epoch = steps_per_epoch(len(drawn), batch=BATCH)
        steps = per_epoch * options["epochs"]
        labels = torch.from_numpy(labels_n)

        def judged(one: nn.Module) -> Mapping[str, float]:
            if here.leads and options["slow_judge_s"]:
                _say("judging")
                time.sleep(options["slow_judge_s"])
            return judge(one, inputs, drawn, labels)

        plan = Plan(
            steps=steps,
            steps_per_epoch=per_epoch,
            batch=BATCH,
            batches=lambda first: feed(
                drawn,
                labels_n,
                partial(augmented, policy.make(SIZE_PX)),
                settings,
                steps=steps,
                first_step=first,
            ),
            prepare=_poisoned(inputs, options["poisoned"], here),
            optimizer=lambda one: OPTIMIZERS.pick(options["optimizer"])(
                [
                    {
                        "params": [p for p in one.parameters() if p.requires_grad],
                        "lr": options["rate"],
                        "weight_decay": 0.05,
                    }
                ]
            ),
            loss=cross_entropy,
            loss_settings=LossSettings(smoothing=0.1),
            rate=partial(warmup_cosine, total=steps, warmup=4),
            judge=judged,
            step_settings=StepSettings(clip=options["clip"], micro=options["micro"]),
            average=options["average"],
            save_every_s=options["save_every_s"],
            save_share=float("inf"),  # each epoch, however short
            facts={"rate": options["rate"], "micro": options["micro"]},
        )
        start = here.rank if options["own_start"] else 0
        one = here.place(network(options["norm"], options["dropout"], start))
        train(
            one,
            plan,
            machine=here,
            checkpoints=Checkpoints(folder / ("checkpoints" if here.leads else "elsewhere")),
            listener=Said(),
            tell=lambda what: _say(f"step {what.step}") if isinstance(what, Update) else None,
        )
    state = {name: value.contiguous() for name, value in one.state_dict().items()}
    save_file(state, folder / f"{'final' if here.leads else f'rank{here.rank}'}.safetensors")


class Said(Silent):
    """Says aloud what a run says of trouble."""

    def say(self, sentence: str) -> None:
        """Say it in one line."""
        _say(f"said {sentence}")


def _poisoned(
    inputs: Inputs, step: int | None, here: Machine
) -> Callable[[Batch], tuple[Tensor, Tensor]]:
    """Return ``inputs`` that once, on the last rank, are no numbers."""
    left = [step]

    def prepared(batch: Batch) -> tuple[Tensor, Tensor]:
        planes, labels = inputs(batch)
        if here.rank == here.ranks - 1 and batch.step in left:
            left.clear()
            planes[0] = float("nan")
        return planes, labels

    return prepared


def _ends(*_: object) -> None:
    sys.exit(143)


def _say(line: str) -> None:
    os.write(1, f"{line}\n".encode())  # whole: it is short


def nursery() -> None:
    """Fork a run for every line of options; say what becomes of them."""
    signal.signal(signal.SIGCHLD, _bury)
    while True:
        try:
            line = sys.stdin.readline()
        except InterruptedError:
            continue
        if not line:
            return
        options, environment = json.loads(line)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        pid = os.fork()
        if pid == 0:
            _child(options, environment)
        _say(f"began {pid}")
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})


def _child(options: Mapping[str, object], environment: Mapping[str, str]) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
    os.environ |= environment
    code = 1
    try:
        run(options)
        code = 0
    except KeyboardInterrupt:
        code = 130
    except SystemExit as stopped:
        code = int(stopped.code or 0)
    except BaseException:  # noqa: BLE001 — the nursery's own code must not go on in a child
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _bury(_number: int, _frame: FrameType | None) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        _say(f"ended {pid} {os.waitstatus_to_exitcode(status)}")


if __name__ == "__main__":
    if sys.argv[1] == "--nursery":
        nursery()
    else:
        run(json.loads(sys.argv[1]))
