"""The choice: by log loss, paired, the simplest within one standard error, in whole units."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from foveal.backbone.spec import BackboneSpec, Stage
from foveal.core.errors import BadData, OutOfRange, UnknownName
from foveal.image.preprocess import Preprocess
from foveal.train.head.choice import Choice, candidates, choose
from foveal.train.head.folds import Pairs
from foveal.train.head.heads import HEADS
from foveal.train.head.settings import ProbeSettings

SPEC = BackboneSpec(
    name="resnet18",
    preprocess=Preprocess(),
    features=512,
    last_grid=7,
    last_is_mean=True,
    stages=tuple(
        Stage(name=f"stage{n}", channels=32 * 2**n, grid=112 // 2**n) for n in range(1, 5)
    ),
    fingerprint="0" * 64,
    weights="none",
)


class Hears:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.steps: list[tuple[int, int, str]] = []

    def say(self, sentence: str) -> None:
        self.said.append(sentence)

    def progress(self, stage: str, done: int, total: int, unit: str = "images") -> None:
        self.steps.append((done, total, unit))


def fold_pairs(unit_N: NDArray[np.int64], k: int = 3) -> Pairs:
    return [(np.flatnonzero(unit_N % k != f), np.flatnonzero(unit_N % k == f)) for f in range(k)]


def chosen(
    blocks: dict[str, NDArray[np.float32]],
    labels_N: NDArray[np.int64],
    *,
    sets: list[tuple[str, ...]] | None = None,
    unit_N: NDArray[np.int64] | None = None,
    **settings: Any,
) -> Choice:
    unit_N = np.arange(len(labels_N)) if unit_N is None else unit_N
    return choose(
        blocks,
        [(name,) for name in blocks] if sets is None else sets,
        labels_N,
        int(labels_N.max()) + 1,
        fold_pairs(unit_N),
        unit_N,
        settings=ProbeSettings(**settings),
    )


class TestCandidates:
    def test_auto_is_six_sets_simplest_first_without_the_last_map_twice(self) -> None:
        means = ("stage1/mean", "stage2/mean", "stage3/mean")
        assert candidates(SPEC, "auto") == (
            ("last",),
            ("last", *means),
            ("last", "stage3/mean", "stage3/2x2"),
            ("last", "classical"),
            ("last", *means, "classical"),
            ("last", "stage3/mean", "stage3/2x2", "classical"),
        )

    def test_a_last_stage_that_is_not_the_last_features_counts(self) -> None:
        spec = replace(SPEC, features=1280)
        assert candidates(spec)[1][-1] == "stage4/mean"

    def test_last_is_pinned_and_blocks_may_be_named(self) -> None:
        assert candidates(SPEC, "last") == (("last",),)
        assert candidates(SPEC, "stage2/2x2, last,classical") == (
            ("stage2/2x2", "last", "classical"),
        )

    def test_classical_alone_and_a_backbone_without_stages_have_fewer(self) -> None:
        bare = replace(SPEC, stages=())
        assert candidates(replace(bare, name="classical")) == (("last",),)
        assert candidates(bare) == (("last",), ("last", "classical"))

    def test_a_block_that_there_is_not_is_answered_with_the_nearest(self) -> None:
        with pytest.raises(UnknownName, match="Did you mean 'stage3/mean'"):
            candidates(SPEC, "last,stage3/men")
        with pytest.raises(UnknownName):
            candidates(replace(SPEC, name="classical"), "classical")

    def test_a_block_named_twice_is_refused(self) -> None:
        with pytest.raises(OutOfRange, match="once"):
            candidates(SPEC, "last,last")


def signal(labels_N: NDArray[np.int64], strength: float, seed: int) -> NDArray[np.float32]:
    """Ten features of which one tells the two classes apart."""
    out_ND = np.random.default_rng(seed).normal(size=(len(labels_N), 10))
    out_ND[:, 0] += strength * (labels_N * 2 - 1)
    return out_ND.astype(np.float32)


def test_a_block_that_tells_more_is_chosen_over_a_simpler_one() -> None:
    labels_N = np.arange(150) % 2
    blocks = {"weak": signal(labels_N, 0.2, 0), "strong": signal(labels_N, 3.0, 1)}
    choice = chosen(blocks, labels_N)
    assert choice.chosen.blocks == ("strong",)
    assert choice.chosen.accuracy > 0.95
    assert [row.chosen for row in choice.rows_table] == [False, True]
    assert choice.behind[1].log_loss == choice.behind[1].standard_error == 0.0
    assert choice.behind[0].log_loss > choice.behind[0].standard_error > 0


def test_the_simplest_within_one_standard_error_of_the_best_wins() -> None:
    """Both tell alike, image by image differently: one of them is best by chance."""
    labels_N = np.arange(200) % 2
    first = signal(labels_N, 1.0, 2)
    second = np.roll(first, 14, axis=0)  # the same features, on other images of the class
    choices = [
        chosen(dict(order), labels_N)
        for order in (
            [("first", first), ("second", second)],
            [("second", second), ("first", first)],
        )
    ]
    assert choices[0].chosen.blocks == ("first",)
    assert choices[1].chosen.blocks == ("second",)
    losses = [row.log_loss for row in choices[0].rows_table]
    assert losses[0] != losses[1]  # one of the two orders took what is not the very best
    for choice in choices:
        assert choice.behind[0].log_loss <= choice.behind[0].standard_error


def test_the_difference_is_paired_so_a_small_steady_gain_counts() -> None:
    """Better by far less than the loss itself is uncertain, but on nearly every image."""
    labels_N = np.arange(400) % 2
    base = signal(labels_N, 1.0, 3)
    more = np.hstack([base, signal(labels_N, 0.35, 4)[:, :1]])
    choice = chosen({"base": base, "more": more}, labels_N)
    behind, row = choice.behind[0], choice.rows_table[0]
    assert behind.log_loss < row.standard_error  # unpaired, it would have been within
    assert choice.chosen.blocks == ("more",)


def test_log_loss_decides_not_accuracy() -> None:
    """One block is right more often but cannot say when; the other knows its doubts."""
    rows = np.arange(400)
    labels_N = rows % 2
    sides_N = (labels_N * 2 - 1).astype(np.float64)
    often_N = np.where(rows // 2 % 5, sides_N, -sides_N)  # right four times out of five
    knows_N = np.where(rows // 2 % 2, sides_N, np.where(rows // 4 % 2, 0.1, -0.1))  # sure of half
    blocks = {
        "often": often_N[:, None].astype(np.float32),
        "knows": knows_N[:, None].astype(np.float32),
    }
    choice = chosen(blocks, labels_N)
    often, knows = choice.rows_table
    assert often.accuracy > knows.accuracy
    assert knows.log_loss < often.log_loss
    assert choice.chosen.blocks == ("knows",)


def test_errors_are_over_units_so_a_gain_on_one_track_is_no_gain() -> None:
    """Ten images a unit: what helps on a few units only is not significant over units."""
    labels_N = np.repeat(np.arange(60) % 2, 10)
    unit_N = np.repeat(np.arange(60), 10)
    base = signal(labels_N, 1.0, 7)
    lucky_N = np.repeat(np.random.default_rng(1).normal(size=60) * 0.6, 10)
    more = np.hstack([base, (lucky_N + 0.18 * (labels_N * 2 - 1))[:, None].astype("f4")])
    grouped = chosen({"base": base, "more": more}, labels_N, unit_N=unit_N)
    alone = choose(
        {"base": base, "more": more},
        [("base",), ("more",)],
        labels_N,
        2,
        fold_pairs(unit_N),
        np.arange(600),
    )
    assert grouped.behind[0].log_loss == alone.behind[0].log_loss
    assert max(b.standard_error for b in grouped.behind) > 2 * max(
        b.standard_error for b in alone.behind
    )


def test_every_candidate_has_twelve_strengths_or_more_before_it_and_stands_at_its_best() -> None:
    labels_N = np.arange(60) // 3 % 3
    blocks = {"a": signal(labels_N, 1.0, 0), "b": signal(labels_N, 0.5, 1)}
    choice = chosen(blocks, labels_N, sets=[("a",), ("b",), ("a", "b")], head="auto")
    assert [(row.head, row.blocks) for row in choice.rows_table[:3]] == [
        ("prototype", ("a",)),
        ("probe", ("a",)),
        ("prototype", ("b",)),
    ]
    for row, curve in zip(choice.rows_table, choice.curves, strict=True):
        strengths = HEADS.pick(row.head).strengths
        assert len(strengths) >= 12
        assert tuple(strength for strength, _ in curve) == strengths[: len(curve)]
        assert len(curve) == len(strengths) or row.strength == curve[-3][0]
        assert (row.strength, row.log_loss) == min(curve, key=lambda point: point[1])
    assert sum(row.chosen for row in choice.rows_table) == 1


def test_out_of_fold_answers_come_with_their_rows() -> None:
    labels_N = np.arange(90) % 2
    block = signal(labels_N, 2.0, 5)
    choice = chosen({"a": block}, labels_N)
    assert sorted(choice.rows.tolist()) == list(range(90))
    right_M = choice.logits.argmax(axis=1) == labels_N[choice.rows]
    assert right_M.mean() == pytest.approx(choice.chosen.accuracy)
    fit, held = fold_pairs(np.arange(90))[0]
    head = HEADS.pick("probe").fit(block[fit], labels_N[fit], 2, choice.chosen.strength)
    mine = choice.logits[np.isin(choice.rows, held)]
    np.testing.assert_allclose(mine, head.logits(block[held]), atol=0.3)  # one standard for all


def test_one_validation_part_judges_alone() -> None:
    labels_N = np.arange(80) % 2
    rows = np.arange(80)
    choice = choose(
        {"a": signal(labels_N, 2.0, 5)}, [("a",)], labels_N, 2, [(rows[:60], rows[60:])], rows
    )
    assert choice.rows.tolist() == list(range(60, 80))


def test_the_same_data_give_the_same_bits() -> None:
    labels_N = np.arange(120) // 3 % 3
    blocks = {"a": signal(labels_N, 1.0, 0), "wide": np.tile(signal(labels_N, 1.0, 1), (1, 20))}
    one, two = (chosen(blocks, labels_N, sets=[("a",), ("a", "wide")]) for _ in range(2))
    assert one.logits.tobytes() == two.logits.tobytes()
    assert one.rows_table == two.rows_table
    assert one.behind == two.behind


def test_more_images_than_the_sample_are_compared_on_the_sample_then_fitted_on_all() -> None:
    labels_N = np.arange(900) // 3 % 3
    blocks = {"weak": signal(labels_N, 0.1, 0), "strong": signal(labels_N, 2.0, 1)}
    hears = Hears()
    choice = choose(
        blocks,
        [("weak",), ("strong",)],
        labels_N,
        3,
        fold_pairs(np.arange(900)),
        np.arange(900),
        settings=ProbeSettings(choice_rows=150),
        listener=hears,
    )
    assert choice.judged_on == 150
    assert len(choice.rows) == len(choice.logits) == 900
    table = next(row for row in choice.rows_table if row.chosen)
    assert choice.chosen.blocks == table.blocks == ("strong",)
    assert choice.chosen.log_loss != table.log_loss
    tried = HEADS.pick("probe").strengths
    assert tried.index(table.strength) > 3
    assert abs(tried.index(choice.chosen.strength) - tried.index(table.strength)) <= 1
    assert hears.steps[-1][0] == hears.steps[-1][1]


def test_progress_only_grows_and_ends_at_its_total() -> None:
    labels_N = np.arange(60) % 2
    hears = Hears()
    choose(
        {"a": signal(labels_N, 1.0, 0)},
        [("a",)],
        labels_N,
        2,
        fold_pairs(np.arange(60)),
        np.arange(60),
        listener=hears,
    )
    done = [step[0] for step in hears.steps]
    assert done == sorted(done)
    assert hears.steps[-1][0] == hears.steps[-1][1] == 3 * len(HEADS.pick("probe").strengths)
    assert {step[2] for step in hears.steps} == {"fits"}


def test_an_interruption_comes_through_at_once() -> None:
    class Stops(Hears):
        def progress(self, stage: str, done: int, total: int, unit: str = "images") -> None:
            if done >= 5:
                raise KeyboardInterrupt

    labels_N = np.arange(60) % 2
    rows = np.arange(60)
    with pytest.raises(KeyboardInterrupt):
        choose(
            {"a": signal(labels_N, 1.0, 0)},
            [("a",)],
            labels_N,
            2,
            fold_pairs(rows),
            rows,
            listener=Stops(),
        )


def test_a_class_in_one_group_only_is_borne() -> None:
    unit_N = np.repeat(np.arange(30), 4)
    labels_N = np.repeat(np.where(np.arange(30) == 7, 2, np.arange(30) % 2), 4)
    choice = chosen({"a": signal(labels_N % 2, 2.0, 0)}, labels_N, unit_N=unit_N)
    assert not np.isin(np.flatnonzero(labels_N == 2), choice.rows).any()
    assert np.isfinite(choice.logits).all()
    assert choice.chosen.accuracy > 0.9


def test_too_few_images_to_judge_by_are_one_sentence() -> None:
    with pytest.raises(BadData, match="at least two"):
        chosen({"a": np.eye(4, dtype=np.float32)}, np.arange(4))


@pytest.mark.parametrize("n", [6, 7])
def test_a_handful_of_images_is_enough(n: int) -> None:
    labels_N = np.array([0, 0, 0, 1, 1, 1, 1])[:n]
    unit_N = np.array([0, 1, 2, 0, 1, 2, 1])[:n]
    choice = chosen({"a": signal(labels_N, 3.0, 0)}, labels_N, unit_N=unit_N, head="auto")
    assert np.isfinite([row.log_loss for row in choice.rows_table]).all()


def test_a_candidate_with_an_unknown_block_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'last'"):
        chosen({"last": np.eye(4, dtype=np.float32)}, np.arange(4) % 2, sets=[("lats",)])
