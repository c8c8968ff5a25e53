"""Threads of our own: the same bits however many cores, and BLAS as it was before."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from foveal.train.head import cross_entropy, threads
from foveal.train.head.cross_entropy import CrossEntropy
from foveal.train.head.threads import Team, own_threads

FIT = """
import hashlib, numpy as np
from foveal.train.head.probe import Probe
rng = np.random.default_rng(0)
labels = rng.integers(0, 5, 700)
features = (rng.normal(size=(700, 900)) + labels[:, None] * 0.05).astype("f4")
head = Probe().fit(features, labels, 5, 0.01)
print(hashlib.sha256(head.weights_KD.tobytes() + head.bias_K.tobytes()).hexdigest())
"""


def test_a_fit_has_the_same_bits_whatever_number_of_threads_blas_would_take() -> None:
    digests = {
        subprocess.run(
            [sys.executable, "-c", FIT],
            env={"OPENBLAS_NUM_THREADS": threads_},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads_ in ("1", "2", "3")
    }
    assert len(digests) == 1


def test_blas_has_one_thread_meanwhile_and_its_own_number_after(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = threads._openblas()
    if found is None:
        pytest.skip("numpy has no OpenBLAS of its own here")
    get, put = found
    before = get()
    put(2)
    try:
        with pytest.raises(KeyboardInterrupt):
            _interrupted(get)
        assert get() == 2
    finally:
        put(before)
    monkeypatch.setattr(threads, "_openblas", lambda: None)
    with own_threads():  # without one there is nothing to set
        assert get() == before


def _interrupted(get: Callable[[], int]) -> None:
    with own_threads():
        assert get() == 1
        raise KeyboardInterrupt


def test_a_team_answers_in_order_from_threads_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "cores", lambda: 3)
    meet = threading.Barrier(3, timeout=10)  # passed only by three at once

    def work(part: int) -> int:
        meet.wait()
        return part * part

    assert Team(5).each(work, [1, 2, 3]) == [1, 4, 9]


def test_one_part_or_one_core_needs_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    here = threading.get_ident()
    assert Team(1).each(lambda _: threading.get_ident(), [0]) == [here]
    monkeypatch.setattr(threads, "cores", lambda: 1)
    assert Team(4).each(lambda _: threading.get_ident(), [0, 1]) == [here, here]


def test_an_error_in_a_part_comes_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "cores", lambda: 2)

    def work(part: int) -> Any:
        raise KeyError(part)

    with pytest.raises(KeyError):
        Team(2).each(work, [1, 2])


def test_a_loss_in_parts_is_the_whole_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    rows_NR, labels_N = rng.normal(size=(50, 6)), rng.integers(0, 3, 50)
    params_KR, direction_KR = rng.normal(size=(2, 3, 7))
    answers = []
    for size in (2**20, 40):  # 50 × 7 numbers: one part, then nine
        monkeypatch.setattr(cross_entropy, "_PART", size)
        loss = CrossEntropy(rows_NR, labels_N, np.linspace(1, 2, 50), 0.3)
        second = loss.second(params_KR)
        answers.append((*loss(params_KR), second.diagonal(), second(direction_KR)))
    for whole, parts in zip(*answers, strict=True):
        np.testing.assert_allclose(parts, whole, rtol=1e-10)
