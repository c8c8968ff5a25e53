"""Trackers: each keeps a run whole, however often it was cut off; none can stop a training."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from foveal.core.errors import MissingExtra, UnknownName
from foveal.recipes.training.mlflow_runs import MlflowRuns
from foveal.recipes.training.tracking import TRACKERS, Tracker, Tracking, trackers
from foveal.train.network.loop import Update
from foveal.train.network.run import Epoch

Points = dict[str, list[tuple[int, float]]]
Tool = tuple[str, Callable[[], Points]]
SETTINGS = {"fit": {"train": {"rate": 5e-4, "policy": "light"}, "prepare": {"seed": 3}}}


def seen_by_tensorboard(folder: Path) -> Points:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0})
    found.Reload()
    return {
        name: [(event.step, event.value) for event in found.Scalars(name)]
        for name in found.Tags()["scalars"]
    }


def seen_by_mlflow(folder: Path) -> Points:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("foveal").experiment_id
    run = client.search_runs([experiment], order_by=["attributes.start_time DESC"])[0]
    return {
        name: [(each.step, each.value) for each in client.get_metric_history(run.info.run_id, name)]
        for name in run.data.metrics
    }


class Client:
    """Stands in for MLflow's: what was logged stays, by the address of the database."""

    stores: dict[str, list[Any]] = {}  # noqa: RUF012  # for all clients, as a database is

    def __init__(self, tracking_uri: str) -> None:
        self.runs = self.stores.setdefault(tracking_uri, [])

    def get_experiment_by_name(self, name: str) -> Any:
        return SimpleNamespace(experiment_id=name) if self.runs else None

    def create_experiment(self, name: str, *, artifact_location: str) -> str:
        assert artifact_location.startswith("file:///")
        return name

    def create_run(self, experiment: str, *, run_name: str) -> Any:
        run = SimpleNamespace(
            info=SimpleNamespace(run_id=str(len(self.runs)), status="RUNNING", run_name=run_name),
            data=SimpleNamespace(metrics={}, params={}),
        )
        self.runs.append(run)
        return run

    def search_runs(self, experiments: list[str], **_: Any) -> list[Any]:
        return self.runs[::-1]

    def update_run(self, run_id: str, *, status: str) -> None:
        self.runs[int(run_id)].info.status = status

    set_terminated = lambda self, run_id, status: self.update_run(run_id, status=status)  # noqa: E731

    def get_metric_history(self, run_id: str, name: str) -> list[Any]:
        return self.runs[int(run_id)].data.metrics[name]

    def log_batch(self, run_id: str, *, metrics: Any = (), params: Any = ()) -> None:
        data = self.runs[int(run_id)].data
        for each in metrics:
            data.metrics.setdefault(each.key, []).append(each)
        for each in params:
            assert each.key not in data.params
            data.params[each.key] = each.value


def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    modules = {name: ModuleType(name) for name in ("mlflow", "mlflow.tracking", "mlflow.entities")}
    vars(modules["mlflow.tracking"])["MlflowClient"] = Client
    vars(modules["mlflow.entities"]).update(
        Metric=lambda key, value, timestamp, step: SimpleNamespace(key=key, value=value, step=step),
        Param=lambda key, value: SimpleNamespace(key=key, value=value),
    )
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(Client, "stores", {})
    monkeypatch.setattr("foveal.recipes.training.mlflow_runs.find_spec", lambda name: name)


MLFLOW = all(find_spec(name) for name in ("mlflow", "sqlalchemy", "alembic"))


@pytest.fixture(
    params=[
        "tensorboard",
        "mlflow, a stand-in",
        pytest.param(
            "mlflow",
            marks=[
                pytest.mark.skipif(not MLFLOW, reason="needs foveal[mlflow], which dev leaves out"),
                pytest.mark.filterwarnings("ignore"),  # SQLAlchemy's, of what MLflow does
            ],
        ),
    ]
)
def tool(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tool:
    """A tracker's name, and what shows the points that its tool would."""
    name, _, made_up = request.param.partition(", ")
    if made_up:
        stand_in(monkeypatch)
    show = seen_by_tensorboard if name == "tensorboard" else seen_by_mlflow
    return name, lambda: show(tmp_path)


def tell(
    name: str, folder: Path, steps: range, *, factor: float = 1.0, killed: bool = False
) -> None:
    """Tell of a run with epochs of four steps, as ``train`` would."""
    tracking = Tracking(trackers(name, folder, SETTINGS), steps_per_epoch=4)
    for step in steps:
        tracking.tell(Update(step, loss=factor * step, rate=0.5, norm=1.0))
        if step % 4 == 3:
            number = step // 4 + 1
            scores = {"log_loss": factor / number, "top1": 0.5}
            tracking.tell(Epoch(number=number, share=1.0, train_loss=2.0, scores=scores))
    if not killed:
        tracking.__exit__(None, None, None)
        return
    for tracker in tracking.trackers.values():
        if isinstance(tracker, MlflowRuns):  # five seconds were over
            tracker._write()
        else:  # the kernel closes its file
            tracker.close(well=False)


def expected(steps: int, factor: float = 1.0) -> Points:
    ends = range(3, steps, 4)
    return {
        "train/loss": [(step, factor * step) for step in range(steps)],
        "train/rate": [(step, 0.5) for step in range(steps)],
        "train/gradient_norm": [(step, 1.0) for step in range(steps)],
        "epoch": [(end, float(end // 4 + 1)) for end in ends],
        "epoch/train_loss": [(end, 2.0) for end in ends],
        "val/log_loss": [(end, pytest.approx(factor / (end // 4 + 1))) for end in ends],
        "val/top1": [(end, 0.5) for end in ends],
    }


def test_every_point_is_seen_at_its_step(tool: Tool, tmp_path: Path) -> None:
    name, seen = tool
    tell(name, tmp_path, range(10))
    assert seen() == expected(10)


@pytest.mark.parametrize("at", [1, 5, 8, 12])
def test_a_run_that_was_killed_goes_on_in_the_same_place_without_double_points(
    tool: Tool, tmp_path: Path, at: int
) -> None:
    name, seen = tool
    tell(name, tmp_path, range(12), killed=True)
    tell(name, tmp_path, range(at, 14), killed=True)
    tell(name, tmp_path, range(13, 16))
    assert seen() == expected(16)


def test_a_run_that_is_begun_anew_has_nothing_of_the_one_before(tool: Tool, tmp_path: Path) -> None:
    name, seen = tool
    tell(name, tmp_path, range(12))
    tell(name, tmp_path, range(6), factor=3.0)
    assert seen() == expected(6, factor=3.0)


def test_steps_that_are_made_again_at_a_lower_rate_are_seen_once(
    tool: Tool, tmp_path: Path
) -> None:
    name, seen = tool
    with Tracking(trackers(name, tmp_path), steps_per_epoch=100) as tracking:
        for step in [0, 1, 2, 3, 3, 4]:  # back from 4, which was not made, to 3
            tracking.tell(Update(step, loss=1.0, rate=1.0, norm=1.0))
        for step in [2, 3, 4, 5]:
            tracking.tell(Update(step, loss=1.0, rate=1.0, norm=1.0))
    assert seen()["train/loss"] == [(step, 1.0) for step in range(6)]


def test_an_epoch_that_was_owed_is_logged_before_any_update(tool: Tool, tmp_path: Path) -> None:
    name, seen = tool
    with Tracking(trackers(name, tmp_path), steps_per_epoch=4) as tracking:
        tracking.tell(Epoch(number=2, share=1.0, train_loss=2.0, scores={"top1": 0.75}))
        tracking.tell(Update(8, loss=1.0, rate=1.0, norm=1.0))
    assert seen()["val/top1"] == [(7, 0.75)]
    assert seen()["train/loss"] == [(8, 1.0)]


def test_tracking_that_is_first_asked_for_when_a_run_goes_on_begins_there(
    tool: Tool, tmp_path: Path
) -> None:
    name, seen = tool
    tell(name, tmp_path, range(5, 7))
    assert seen()["train/loss"] == [(5, 5.0), (6, 6.0)]


def test_nothing_is_written_before_there_is_something_to_log(tool: Tool, tmp_path: Path) -> None:
    name, _ = tool
    with Tracking(trackers(name, tmp_path), steps_per_epoch=4):
        pass
    assert list(tmp_path.iterdir()) == []


def test_mlflow_hears_settings_and_how_it_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch)
    tracking = Tracking(trackers("mlflow", tmp_path, SETTINGS), steps_per_epoch=4)
    tracking.tell(Update(0, loss=1.0, rate=1.0, norm=1.0))
    tracking.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    ((run,),) = Client.stores.values()
    assert run.info.status == "KILLED"
    assert run.data.params["fit.train.rate"] == "0.0005"
    tell("mlflow", tmp_path, range(1, 3), killed=True)
    assert run.info.status == "RUNNING"
    tell("mlflow", tmp_path, range(3, 4))
    assert run.info.status == "FINISHED"
    assert len(run.data.metrics["train/loss"]) == 4


def test_mlflow_sends_nothing_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    stand_in(monkeypatch)
    monkeypatch.delenv("MLFLOW_DISABLE_TELEMETRY", raising=False)
    tell("mlflow", tmp_path, range(1))
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_several_are_told_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch)
    tell("tensorboard, mlflow", tmp_path, range(6))
    assert seen_by_tensorboard(tmp_path) == seen_by_mlflow(tmp_path) == expected(6)


def test_one_that_fails_is_said_once_and_the_others_hear_on() -> None:
    class Broken:
        def log(self, step: int, values: Mapping[str, float]) -> None:
            raise OSError("no space\nleft")

        def close(self, *, well: bool) -> None:
            raise AssertionError

    class Fine:
        heard: list[int] = []  # noqa: RUF012  # one object

        def log(self, step: int, values: Mapping[str, float]) -> None:
            self.heard.append(step)

        def close(self, *, well: bool) -> None:
            assert well
            self.heard.append(-1)

    class Heard:
        said: list[str] = []  # noqa: RUF012  # one object

        def say(self, sentence: str) -> None:
            self.said.append(sentence)

        def progress(self, *_: object, **__: object) -> None:
            raise AssertionError

    both: dict[str, Tracker] = {"one": Broken(), "two": Fine()}
    with Tracking(both, steps_per_epoch=4, listener=Heard()) as tracking:
        for step in range(3):
            tracking.tell(Update(step, loss=1.0, rate=1.0, norm=1.0))
    assert Fine.heard == [0, 1, 2, -1]
    assert Heard.said == [
        "one failed (no space left): this training goes on and is no longer tracked there."
    ]


def test_a_name_with_a_typo_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match=r"No tracker is called 'tensorbord'\. Did you mean"):
        trackers("tensorbord", tmp_path)


def test_no_names_are_no_trackers(tmp_path: Path) -> None:
    assert trackers("", tmp_path) == {}


@pytest.mark.parametrize(
    ("name", "module", "sentence"),
    [
        ("tensorboard", "tensorboard_files", "Tracking by TensorBoard needs the extra"),
        ("mlflow", "mlflow_runs", "Tracking by MLflow needs the extra"),
    ],
)
def test_a_tool_that_is_not_installed_is_one_sentence_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, module: str, sentence: str
) -> None:
    monkeypatch.setattr(f"foveal.recipes.training.{module}.find_spec", lambda _: None)
    with pytest.raises(MissingExtra) as missing:
        trackers(name, tmp_path)
    assert str(missing.value) == f"{sentence} {name!r}. Run: pip install 'foveal[{name}]'"


def test_every_tracker_has_an_extra_of_its_name() -> None:
    import tomllib

    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())
    assert set(TRACKERS.names()) <= set(project["project"]["optional-dependencies"])
