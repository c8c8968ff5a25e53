"""Two ranks train one network: what they make is what one process makes, but for BatchNorm.

Each rank is a process of ``small_run.py``; they are killed and stopped in test_run_killed.py.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

SmallRun = Callable[..., Any]  # makes a ``Run``, see conftest.py


@pytest.fixture
def ends(small_run: SmallRun, tmp_path: Path) -> Callable[..., dict[str, Tensor]]:
    """Return what the network of a run is in the end; dropout draws on each rank for itself."""

    def end(ranks: int, **options: object) -> dict[str, Tensor]:
        folder = tmp_path / f"{ranks} {options}"
        always = {"dropout": 0.0, "save_every_s": 1e9, "epochs": 4}
        small_run(folder, ranks=ranks, **always, **options).to_the_end()
        return load_file(folder / "final.safetensors")

    return end


def apart(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    assert one.keys() == other.keys()
    return max((one[name].double() - other[name].double()).abs().max().item() for name in one)


@pytest.mark.parametrize("norm", ["none", "frozen"])
@pytest.mark.parametrize(("optimizer", "rate"), [("adamw", 0.001), ("sgd", 0.05)])
def test_without_statistics_of_batches_two_ranks_end_where_one_process_does(
    ends: Callable[..., dict[str, Tensor]], norm: str, optimizer: str, rate: float
) -> None:
    how = {"norm": norm, "optimizer": optimizer, "rate": rate}
    assert apart(ends(1, **how), ends(2, **how)) < 1e-4


def test_ranks_may_work_their_part_off_in_parts(ends: Callable[..., dict[str, Tensor]]) -> None:
    how = {"norm": "none", "optimizer": "sgd", "rate": 0.05}
    assert apart(ends(1, **how), ends(2, **how, micro=4)) < 1e-4


def test_with_batchnorm_each_rank_takes_the_statistics_of_its_part(
    ends: Callable[..., dict[str, Tensor]],
) -> None:
    """How far that leads: docs/decisions/0011-ranks.md."""
    assert apart(ends(1), ends(2)) > 1e-3


def test_ranks_end_in_the_same_bits_wherever_they_began(
    small_run: SmallRun, tmp_path: Path
) -> None:
    run = small_run(tmp_path, ranks=2, own_start=True).to_the_end()
    first, second = (load_file(tmp_path / f"{name}.safetensors") for name in ("final", "rank1"))
    assert apart(first, second) == 0
    alike = small_run(tmp_path / "alike", ranks=2).to_the_end()
    assert run.result == alike.result


def test_the_first_rank_alone_has_checkpoints(small_run: SmallRun, tmp_path: Path) -> None:
    small_run(tmp_path, ranks=2, save_every_s=1e9).to_the_end()
    assert (tmp_path / "checkpoints").is_dir()
    assert not (tmp_path / "elsewhere").exists()


def test_a_loss_that_is_no_number_on_one_rank_takes_all_back(
    small_run: SmallRun, tmp_path: Path
) -> None:
    run = small_run(tmp_path, ranks=2, poisoned=12, save_every_s=1e9)
    run.begin()
    said = run.nursery.hear("said")
    assert "from step 10 at half the rate (1 of 3 times)" in said
    assert run.ended() == [0, 0]
    first, second = (load_file(tmp_path / f"{name}.safetensors") for name in ("final", "rank1"))
    assert apart(first, second) == 0
    assert all(torch.isfinite(value).all() for value in first.values())
