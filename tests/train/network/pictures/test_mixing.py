"""Mixing: the labels say exactly what share of the picture each class has."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from foveal.core.errors import OutOfRange
from foveal.train.network.pictures.mixing import mixed

LABELS = torch.tensor([2, 0, 3, 3, 1])
VALUES = torch.tensor([0.1, 0.7, 0.3, 0.9])  # of all pixels of a class
K = 4


def flat(dtype: torch.dtype = torch.float32) -> Tensor:
    """Pictures of one colour each, which tells the class."""
    return VALUES[LABELS][:, None, None, None].expand(-1, 3, 20, 24).to(dtype).clone()


@pytest.mark.parametrize(
    "alphas",
    [{"mixup_alpha": 1.0, "cutmix_alpha": 0.0}, {"mixup_alpha": 0.0, "cutmix_alpha": 1.0}, {}],
    ids=["mixup", "cutmix", "either"],
)
class TestEitherWay:
    def test_targets_are_the_shares_of_the_picture(self, alphas: dict[str, float]) -> None:
        for step in range(60):
            pixels, targets = mixed(flat(), LABELS, K, seed=0, step=step, **alphas)
            assert pixels.shape == (5, 3, 20, 24)
            assert targets.shape == (5, K)
            assert targets.dtype == torch.float32
            torch.testing.assert_close(targets.sum(dim=1), torch.ones(5))
            torch.testing.assert_close(pixels.mean(dim=(1, 2, 3)), targets @ VALUES)

    def test_a_partner_is_another_picture_and_the_own_class_stays_in(
        self, alphas: dict[str, float]
    ) -> None:
        shares = []
        for step in range(60):
            _, targets = mixed(flat(), LABELS, K, seed=0, step=step, **alphas)
            shares.append(targets[torch.arange(5), LABELS])
            assert targets[3, 3] == pytest.approx(1)  # mixed with one of its own class
            assert (targets > 0).sum(dim=1).max() <= 2
        assert min(float(share[0]) for share in shares) < 0.9

    def test_is_a_function_of_seed_and_step_and_leaves_the_generator(
        self, alphas: dict[str, float]
    ) -> None:
        torch.manual_seed(1)
        before = torch.get_rng_state()
        one = mixed(flat(), LABELS, K, seed=0, step=9, **alphas)
        assert torch.equal(torch.get_rng_state(), before)
        torch.manual_seed(2)
        again = mixed(flat(), LABELS, K, seed=0, step=9, **alphas)
        assert all(torch.equal(a, b) for a, b in zip(one, again, strict=True))
        others = [
            mixed(flat(), LABELS, K, seed=seed, step=step, **alphas)[1]
            for seed, step in ((0, 8), (1, 9), (9, 0))
        ]
        assert not any(torch.equal(one[1], other) for other in others)

    def test_leaves_its_input_alone(self, alphas: dict[str, float]) -> None:
        pixels, labels = flat(), LABELS.clone()
        for step in range(10):
            mixed(pixels, labels, K, seed=0, step=step, **alphas)
        assert torch.equal(pixels, flat())
        assert torch.equal(labels, LABELS)

    def test_half_precision_stays_half_precision(self, alphas: dict[str, float]) -> None:
        pixels, targets = mixed(flat(torch.bfloat16), LABELS, K, seed=0, step=1, **alphas)
        assert (pixels.dtype, targets.dtype) == (torch.bfloat16, torch.float32)

    def test_a_batch_of_one_is_left_as_it_is(self, alphas: dict[str, float]) -> None:
        pixels, targets = mixed(flat()[:1], LABELS[:1], K, seed=0, step=3, **alphas)
        torch.testing.assert_close(pixels, flat()[:1])
        torch.testing.assert_close(targets, torch.tensor([[0.0, 0.0, 1.0, 0.0]]))


def ways(**alphas: float) -> list[str]:
    """Which way every step was mixed: a sum has one value, a patchwork those of the two."""
    out = []
    for step in range(120):
        pixels, _ = mixed(flat(), LABELS, K, seed=0, step=step, **alphas)
        values = [set(picture.unique().tolist()) for picture in pixels]
        cut = all(value <= set(VALUES.tolist()) for value in values)
        out.append("cutmix" if cut else "mixup")
        assert cut or all(len(value) == 1 for value in values)
    return out


def test_each_way_can_be_had_alone() -> None:
    assert set(ways(mixup_alpha=1.0, cutmix_alpha=0)) == {"mixup"}
    assert set(ways(mixup_alpha=0, cutmix_alpha=1.0)) == {"cutmix"}


def test_both_ways_take_turns() -> None:
    assert 40 < ways(mixup_alpha=1.0, cutmix_alpha=1.0).count("mixup") < 80


def test_alpha_says_how_equal_the_shares_are() -> None:
    def spread(alpha: float) -> float:
        only_mixup = {"mixup_alpha": alpha, "cutmix_alpha": 0.0}
        shares = [
            float(mixed(flat(), LABELS, K, seed=0, step=step, **only_mixup)[1][0, 2])
            for step in range(200)
        ]
        assert abs(np.mean(shares) - 0.5) < 0.1
        return float(np.var(shares))

    # the variance of Beta(a, a) is 1 / (4 (2a + 1))
    assert spread(0.2) == pytest.approx(1 / (4 * 1.4), rel=0.15)
    assert spread(8.0) == pytest.approx(1 / (4 * 17), rel=0.3)


def test_with_neither_nothing_is_mixed() -> None:
    pixels, targets = mixed(flat(), LABELS, K, seed=0, step=0, mixup_alpha=0, cutmix_alpha=0)
    assert torch.equal(pixels, flat())
    assert targets.argmax(dim=1).tolist() == LABELS.tolist()
    assert targets.sum() == 5


@pytest.mark.parametrize("alpha", [-0.1, float("nan")])
@pytest.mark.parametrize("name", ["mixup_alpha", "cutmix_alpha"])
def test_an_alpha_that_is_none_is_refused(name: str, alpha: float) -> None:
    with pytest.raises(OutOfRange, match=f"{name} = .* Expected 0"):
        mixed(flat(), LABELS, K, seed=0, step=0, **{name: alpha})
