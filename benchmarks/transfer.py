"""Claim: the frozen-backbone job takes a fraction of the time it takes by hand, as accurately.

The job: 400 photographs to learn from, 100 to answer, two classes, the same pictures and weights
for everyone. Foveal (`foveal fit`, then `foveal predict`) against what a user would pick instead:
fastai, a PyTorch loop and Keras for ten epochs, and scikit-learn on timm features computed once.
Also counted: Foveal with `foveal test` for `predict`, whose report has intervals, baselines and
heat maps, which no peer makes. To reach, in wall time: 12 × less than the epoch-wise peers with
resnet18, 25 × with mobilenetv2_100, 1.5 × less than scikit-learn, at equal accuracy.

Run:     python benchmarks/transfer.py --save      (peers' environments: benchmarks/README.md)
Data:    `shared/data/imagenet_samples`, one photograph of each ImageNet class, about 341 × 256.
         Classes up to n02655020 are WordNet's animals (398), the others are not (602).
Measure: whole processes, cold but for exported backbone and page cache; before each peer's run
         one of Foveal's, and the ratio is of these two; median (least to most) of n = 3 rounds.
Results: benchmarks/results/transfer-DATE.json, with machine, versions, n and every run.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from beside import HEADER, row, side, spread, text
from child import Cost, machine, run
from domains import BACKBONES, ROOT, SHARED
from results import save

LAST_ANIMAL = "n02655020"  # the puffer; WordNet numbers the nouns below "animal" in one piece
PEERS = Path(__file__).with_name("peers")
JOBS = {  # peer -> its script, its backbone
    "fastai resnet18": ("fastai_learner", "resnet18"),
    "pytorch resnet18": ("pytorch_loop", "resnet18"),
    "pytorch mobilenetv2_100": ("pytorch_loop", "mobilenetv2_100"),
    "keras mobilenetv2_100": ("keras_fit", "mobilenetv2_100"),
    "sklearn resnet18": ("timm_sklearn", "resnet18"),
    "sklearn mobilenetv2_100": ("timm_sklearn", "mobilenetv2_100"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One job, done once."""

    job: str
    beside: str  # the peer whose round this is: Foveal's run and the peer's are compared
    round: int
    cost: Cost
    right: int
    images: int
    steps: dict[str, Cost] | None = None  # Foveal's: fit, predict, test
    versions: dict[str, str] | None = None


def photographs(folder: Path, *, train: int, test: int) -> tuple[Path, Path]:
    """Copy photographs to ``folder``/{train,test}/{animal,thing}; return both parts."""
    files = sorted((SHARED / "imagenet_samples").glob("*/*.jpg"))
    is_animal = {file: file.parent.name <= LAST_ANIMAL for file in files}
    for name, wanted in (("animal", True), ("thing", False)):
        drawn = [file for file in files if is_animal[file] is wanted]
        random.Random(0).shuffle(drawn)
        cut = (train // 2, train // 2 + test // 2)
        for part, chosen in (("train", drawn[: cut[0]]), ("test", drawn[cut[0] : cut[1]])):
            inside = folder / part / name
            inside.mkdir(parents=True)
            for file in chosen:
                shutil.copy(file, inside)
    return folder / "train", folder / "test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Where the pictures, the exported backbones and the peers' environments are."""

    train: Path
    test: Path
    scratch: Path
    environments: Path
    epochs: int

    def foveal(self, backbone: str) -> tuple[dict[str, Cost], int, int]:
        """Fit, predict and test with a cache that holds backbones only.

        Returns:
            The cost of each step, the pictures answered rightly, and all pictures.
        """
        cache, model = self.scratch / "cache", self.scratch / "model"
        for left in (cache, model, model.with_name("model.run")):
            shutil.rmtree(left, ignore_errors=True)
        if self.exported.is_dir():
            shutil.copytree(self.exported, cache / "backbones")
        orders: dict[str, list[object]] = {
            "fit": [self.train, "--test-share", 0, "-o", model, "--backbone", backbone,
                    *BACKBONES[backbone]],
            "predict": [model, self.test],
            "test": [model, self.test],
        }  # fmt: skip
        steps, said = {}, {}
        for verb, words in orders.items():
            program = [sys.executable, "-m", "foveal", verb, *words, "--json", "--quiet"]
            steps[verb], said[verb] = run(program, FOVEAL_CACHE=cache)
        answers = [json.loads(line) for line in said["predict"].splitlines()]
        right = sum(answer["label"] == Path(answer["path"]).parent.name for answer in answers)
        tested = json.loads(said["test"])["top1"]["value"] * len(answers)
        if round(tested) != right:
            raise SystemExit(f"foveal predict is right on {right}, foveal test on {tested:.1f}.")
        return steps, right, len(answers)

    def peer(self, name: str, seed: int) -> tuple[Cost, dict[str, Any]]:
        """Run a peer in its environment; return its cost and what it says of itself."""
        script, backbone = JOBS[name]
        weights = SHARED / "weights" / f"{backbone}.safetensors"
        words: list[object] = [self.python(name), PEERS / f"{script}.py"]
        words += [self.train, self.test, weights, "--seed", seed]
        if script != "timm_sklearn":
            words += ["--epochs", self.epochs]
        if script in {"pytorch_loop", "timm_sklearn"}:
            words += ["--backbone", backbone]
        cost, said = run(words)
        return cost, json.loads(said.splitlines()[-1])

    def python(self, name: str) -> Path:
        """Return the interpreter of a peer's environment."""
        return self.environments / JOBS[name][0] / "bin" / "python"

    @property
    def exported(self) -> Path:
        """Where backbones are kept that were exported before anything is measured."""
        return self.scratch / "exported"

    def export(self, backbones: Sequence[str]) -> None:
        """Export what is needed, once: the peers have their weights on the disk as well."""
        for backbone in backbones:
            self.foveal(backbone)
            shutil.copytree(self.scratch / "cache" / "backbones", self.exported, dirs_exist_ok=True)

    def rounds(self, peers: Sequence[str], n: int) -> Iterator[Run]:
        """Yield Foveal's run and the peer's, alternating, peer by peer, ``n`` times over."""
        for number in range(n):
            for name in peers:
                steps, right, images = self.foveal(JOBS[name][1])
                yield Run(
                    job=f"foveal {JOBS[name][1]}", beside=name, round=number,
                    cost=steps["fit"] + steps["predict"], right=right, images=images, steps=steps,
                )  # fmt: skip
                cost, said = self.peer(name, seed=number)
                yield Run(job=name, beside=name, round=number, cost=cost, **said)


def summary(name: str, runs: Sequence[Run]) -> dict[str, Any]:
    """Return a peer's numbers beside Foveal's, of the rounds they shared."""
    done = sorted((run for run in runs if run.beside == name), key=lambda run: run.round)
    ours, theirs = ([r for r in done if (r.job == name) is peer] for peer in (False, True))
    both = list(zip(ours, theirs, strict=True))
    reports = [run.steps["fit"] + run.steps["test"] for run in ours if run.steps]
    return {
        "name": name,
        "foveal": {
            **side([run.cost for run in ours], [run.right for run in ours], ours[0].images),
            "fit_wall_s": spread([run.steps["fit"].wall_s for run in ours if run.steps]),
            "report_wall_s": spread([cost.wall_s for cost in reports]),
        },
        "peer": side([run.cost for run in theirs], [run.right for run in theirs], theirs[0].images),
        "ratio": {
            "wall": spread([their.cost.wall_s / our.cost.wall_s for our, their in both]),
            "wall_with_report": spread(
                [
                    their.cost.wall_s / cost.wall_s
                    for their, cost in zip(theirs, reports, strict=True)
                ]
            ),
            "cpu": spread([their.cost.cpu_s / our.cost.cpu_s for our, their in both]),
            "peak": spread([their.cost.peak_mb / our.cost.peak_mb for our, their in both]),
        },
    }


def table(summaries: Sequence[dict[str, Any]]) -> str:
    """Return the summaries as text: a line for Foveal and a line for the peer, then the ratio."""
    lines = [HEADER]
    for found in summaries:
        lines += [row("foveal", found["foveal"]), row(found["name"], found["peer"])]
        ratio, ours = found["ratio"], found["foveal"]
        lines.append(
            f"  wall × {text(ratio['wall'])}, with foveal's report × "
            f"{text(ratio['wall_with_report'])}, CPU × {ratio['cpu']['median']:.1f}, "
            f"memory × {ratio['peak']['median']:.1f}; foveal fit alone "
            f"{text(ours['fit_wall_s'])} s, fit and test {text(ours['report_wall_s'])} s"
        )
    return "\n".join(lines)


def arguments() -> argparse.Namespace:
    """Return what was asked for."""
    parser = argparse.ArgumentParser(description="Foveal beside its peers on the frozen job.")
    parser.add_argument("--n", type=int, default=3, help="rounds")
    parser.add_argument("--peers", nargs="+", choices=JOBS, default=list(JOBS), metavar="PEER")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--train", type=int, default=400, help="photographs to learn from")
    parser.add_argument("--test", type=int, default=100, help="photographs to score")
    parser.add_argument("--environments", type=Path, default=ROOT / ".venv-peers")
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/…json")
    return parser.parse_args()


def main() -> None:
    """Check what is there, warm the disk, measure, print, and save where asked to."""
    asked, where = arguments(), machine()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        train, test = photographs(scratch / "photographs", train=asked.train, test=asked.test)
        few = photographs(scratch / "few", train=20, test=8)
        bench = Bench(
            train=few[0], test=few[1], scratch=scratch, environments=asked.environments, epochs=1
        )
        peers = [name for name in asked.peers if bench.python(name).is_file()]
        for name in set(asked.peers) - set(peers):
            print(f"{name} is left out: {bench.python(name)} is not there.", file=sys.stderr)
        if not peers:
            raise SystemExit("No peer's environment is there: see benchmarks/README.md.")
        bench.export(sorted({JOBS[name][1] for name in peers}))
        for name in peers:  # once, uncounted: libraries in the page cache, bytecode compiled
            bench.peer(name, seed=0)
        bench = Bench(
            train=train, test=test, scratch=scratch, environments=asked.environments,
            epochs=asked.epochs,
        )  # fmt: skip
        runs = []
        for done in bench.rounds(peers, asked.n):
            runs.append(done)
            cost = done.cost
            print(
                f"round {done.round}, {done.job}: {cost.wall_s:.1f} s, CPU {cost.cpu_s:.1f} s, "
                f"{cost.peak_mb:.0f} MB, {done.right} of {done.images} right",
                file=sys.stderr,
                flush=True,
            )
    summaries = [summary(name, runs) for name in peers]
    print(table(summaries))
    if asked.save:
        settings = {key: getattr(asked, key) for key in ("n", "epochs", "train", "test")}
        facts = {"settings": settings, "summary": summaries, "runs": [asdict(run) for run in runs]}
        print(save("transfer", {"machine": where, **facts}))


if __name__ == "__main__":
    main()
