"""Claim: fine-tuning takes less time than by hand, as accurately; partly frozen, a fraction of it.

The job: resnet18, ants against bees, 195 photographs to learn from, 48 to choose by, 153 to answer;
the same files, weights, epochs, input size and kind of change (a random half to whole of the
picture, mirrored) for everyone. Foveal (`foveal fit --strategy finetune`, then `foveal predict`)
against what a user would write instead: fastai's `fine_tune`, a loop of PyTorch and timm, Keras.
Once with all layers learning, once with the first three stages frozen. To reach on two cores, in
wall time at equal accuracy: 1.3 × less than the fastest peer, partly frozen 3 × less.

Run:     python benchmarks/finetune.py --save      (peers' environments: benchmarks/README.md;
         a minute or two with --short: few pictures and one epoch, to see that all of it works)
         python benchmarks/finetune.py --jobs frozen --epochs 30 --save
Data:    `shared/data/domains/hymenoptera`; a fifth of its train part, drawn once, is the val part.
Measure: whole processes, cold but for exported backbone and page cache; before each peer's run
         one of Foveal's, and the ratio is of these two; median (least to most) of n = 3 rounds.
         Beside it the seconds of training alone, by each one's own clock.
Results: benchmarks/results/finetune_JOBS_EPOCHS-DATE.json, with machine, versions, n, every run.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from beside import HEADER, row, side, spread, text
from child import Cost, machine, run
from domains import BACKBONES, ROOT, SHARED
from results import save

BACKBONE = "resnet18"
PEERS = {  # peer -> its script, the environment it runs in
    "fastai": ("fastai_finetune", "fastai_learner"),
    "timm": ("timm_finetune", "pytorch_loop"),
    "keras": ("keras_finetune", "keras_fit"),
}
FROZEN = {"all": [], "frozen": ["--freeze-until", "stage3"]}  # job -> what it adds to Foveal's
VAL_SHARE = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One job, done once."""

    who: str
    job: str
    beside: str  # the peer whose round this is: Foveal's run and the peer's are compared
    round: int
    cost: Cost
    right: int
    images: int
    train_s: float  # of training and judging the epochs, without imports, answers and saving
    more: dict[str, Any]  # what else it said of itself


def photographs(folder: Path, *, most: int | None = None) -> tuple[Path, Path]:
    """Copy the pictures to ``folder``/data/{train,val}/CLASS and ``folder``/test/CLASS.

    Args:
        folder: does not exist yet.
        most: of a class and a part; None: all.
    """
    source = SHARED / "domains" / "hymenoptera"
    for name in sorted(path.name for path in (source / "train").iterdir()):
        drawn = sorted((source / "train" / name).iterdir())
        random.Random(0).shuffle(drawn)
        cut = round(len(drawn) * (1 - VAL_SHARE))
        parts = {
            "data/train": drawn[:cut],
            "data/val": drawn[cut:],
            "test": sorted((source / "val" / name).iterdir()),
        }
        for part, files in parts.items():
            inside = folder / part / name
            inside.mkdir(parents=True)
            for file in files[:most]:
                shutil.copy(file, inside)
    return folder / "data", folder / "test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Where the pictures, the exported backbone and the peers' environments are; how long."""

    data: Path
    test: Path
    scratch: Path
    environments: Path
    epochs: int
    size_px: int

    def foveal(self, job: str, seed: int) -> tuple[Cost, dict[str, Any]]:
        """Fit and predict with a cache that holds the backbone only; return cost and findings."""
        cache, model = self.scratch / "cache", self.scratch / "model"
        for left in (cache, model, model.with_name("model.run")):
            shutil.rmtree(left, ignore_errors=True)
        if self.exported.is_dir():
            shutil.copytree(self.exported, cache / "backbones")
        orders: dict[str, list[object]] = {
            "fit": [self.data, "--test-share", 0, "-o", model, "--seed", seed,
                    "--backbone", BACKBONE, *BACKBONES[BACKBONE], "--size", self.size_px,
                    "--strategy", "finetune", "--epochs", self.epochs, "--batch", 32,
                    "--policy", "light", *FROZEN[job]],
            "predict": [model, self.test],
        }  # fmt: skip
        steps, said = {}, {}
        for verb, words in orders.items():
            program = [sys.executable, "-m", "foveal", verb, *words, "--json", "--quiet"]
            steps[verb], said[verb] = run(program, FOVEAL_CACHE=cache)
        answers = [json.loads(line) for line in said["predict"].splitlines()]
        seconds = json.loads(said["fit"])["seconds"]
        return steps["fit"] + steps["predict"], {
            "right": sum(one["label"] == Path(one["path"]).parent.name for one in answers),
            "images": len(answers),
            "train_s": seconds["training"] + seconds.get("frozen part", 0),
            "steps": {verb: asdict(cost) for verb, cost in steps.items()},
            "seconds": seconds,
        }

    def peer(self, name: str, job: str, seed: int) -> tuple[Cost, dict[str, Any]]:
        """Run a peer in its environment; return its cost and what it says of itself."""
        weights = SHARED / "weights" / f"{BACKBONE}.safetensors"
        script = Path(__file__).with_name("peers") / f"{PEERS[name][0]}.py"
        words: list[object] = [self.python(name), script, self.data, self.test, weights]
        words += ["--epochs", self.epochs, "--size", self.size_px, "--seed", seed]
        words += ["--frozen"] if FROZEN[job] else []
        cost, said = run(words)
        return cost, json.loads(said.splitlines()[-1])

    def python(self, name: str) -> Path:
        """Return the interpreter of a peer's environment."""
        return self.environments / PEERS[name][1] / "bin" / "python"

    @property
    def exported(self) -> Path:
        """Where the backbone is kept that was exported before anything is measured."""
        return self.scratch / "exported"

    def warm(self, peers: Sequence[str]) -> None:
        """Export the backbone, once, and read everyone's libraries into the page cache."""
        self.foveal("all", seed=0)
        shutil.copytree(self.scratch / "cache" / "backbones", self.exported, dirs_exist_ok=True)
        for name in peers:
            self.peer(name, "all", seed=0)

    def rounds(self, jobs: Sequence[str], peers: Sequence[str], n: int) -> Iterator[Run]:
        """Yield Foveal's run and the peer's, alternating, peer by peer, ``n`` times over."""
        for number in range(n):
            for job in jobs:
                for name in peers:
                    found = {
                        "foveal": self.foveal(job, seed=number),
                        name: self.peer(name, job, seed=number),
                    }
                    for who, (cost, said) in found.items():
                        taken = {key: said.pop(key) for key in ("right", "images", "train_s")}
                        yield Run(
                            who=who, job=job, beside=name, round=number, cost=cost, more=said,
                            **taken,
                        )  # fmt: skip


def summary(job: str, name: str, runs: Sequence[Run]) -> dict[str, Any]:
    """Return a peer's numbers beside Foveal's, of the rounds they shared."""
    done = [one for one in runs if (one.job, one.beside) == (job, name)]
    ours, theirs = ([one for one in done if one.who == who] for who in ("foveal", name))
    both = list(zip(ours, theirs, strict=True))

    def numbers(side_of: Sequence[Run]) -> dict[str, Any]:
        right, images = [one.right for one in side_of], side_of[0].images
        found = side([one.cost for one in side_of], right, images)
        return {**found, "train_s": spread([one.train_s for one in side_of])}

    return {
        "job": job,
        "name": name,
        "foveal": numbers(ours),
        "peer": numbers(theirs),
        "ratio": {
            "wall": spread([their.cost.wall_s / our.cost.wall_s for our, their in both]),
            "training": spread([their.train_s / our.train_s for our, their in both]),
            "peak": spread([their.cost.peak_mb / our.cost.peak_mb for our, their in both]),
        },
    }


def table(summaries: Sequence[dict[str, Any]]) -> str:
    """Return the summaries as text: a line for Foveal and a line for the peer, then the ratio."""
    lines = [HEADER]
    for found in summaries:
        ours, theirs, ratio = found["foveal"], found["peer"], found["ratio"]
        lines += [
            row(f"foveal, {found['job']}", ours),
            row(f"{found['name']}, {found['job']}", theirs),
            f"  wall × {text(ratio['wall'])}, training alone × {text(ratio['training'])} "
            f"({ours['train_s']['median']:.1f} and {theirs['train_s']['median']:.1f} s), "
            f"memory × {ratio['peak']['median']:.1f}",
        ]
    return "\n".join(lines)


def arguments() -> argparse.Namespace:
    """Return what was asked for."""
    parser = argparse.ArgumentParser(description="Foveal beside its peers on fine-tuning.")
    parser.add_argument("--n", type=int, default=3, help="rounds")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS), metavar="PEER")
    parser.add_argument("--jobs", nargs="+", choices=FROZEN, default=list(FROZEN), metavar="JOB")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--size", type=int, default=160, help="side of the input, in pixels")
    parser.add_argument("--short", action="store_true", help="few, small pictures; one of each")
    parser.add_argument("--environments", type=Path, default=ROOT / ".venv-peers")
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/…json")
    asked = parser.parse_args()
    if asked.short and asked.save:
        parser.error("--short shows that all of it works: its numbers are no result to save.")
    if asked.short:
        asked.n, asked.epochs, asked.size = 1, 1, 64
    return asked


def main() -> None:
    """Check what is there, warm the disk, measure, print, and save where asked to."""
    asked, where = arguments(), machine()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        few = photographs(scratch / "few", most=16)
        all_of_it = few if asked.short else photographs(scratch / "photographs")
        bench = Bench(
            data=few[0], test=few[1], scratch=scratch, environments=asked.environments,
            epochs=1, size_px=asked.size,
        )  # fmt: skip
        peers = [name for name in asked.peers if bench.python(name).is_file()]
        for name in set(asked.peers) - set(peers):
            print(f"{name} is left out: {bench.python(name)} is not there.", file=sys.stderr)
        if not peers:
            raise SystemExit("No peer's environment is there: see benchmarks/README.md.")
        bench.warm(peers)
        bench = replace(bench, data=all_of_it[0], test=all_of_it[1], epochs=asked.epochs)
        runs = []
        for done in bench.rounds(asked.jobs, peers, asked.n):
            runs.append(done)
            print(
                f"round {done.round}, {done.job}, {done.who}: {done.cost.wall_s:.1f} s, training "
                f"{done.train_s:.1f} s, CPU {done.cost.cpu_s:.1f} s, {done.cost.peak_mb:.0f} MB, "
                f"{done.right} of {done.images} right",
                file=sys.stderr,
                flush=True,
            )
    summaries = [summary(job, name, runs) for job in asked.jobs for name in peers]
    print(table(summaries))
    if asked.save:
        settings = {key: getattr(asked, key) for key in ("n", "epochs", "size")}
        facts = {"settings": settings, "summary": summaries, "runs": [asdict(run) for run in runs]}
        name = "_".join(["finetune", *asked.jobs, str(asked.epochs)])
        print(save(name, {"machine": where, **facts}))


if __name__ == "__main__":
    main()
