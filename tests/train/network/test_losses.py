"""What training makes small."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy as torch_cross_entropy

from foveal.core.errors import OutOfRange, UnknownName
from foveal.train.network.losses import (
    LOSSES,
    Loss,
    LossSettings,
    cross_entropy,
    focal,
    weights_of,
)


def batch(size: int = 7, classes: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.randn(size, classes), torch.randint(0, classes, (size,))


def mean(loss: Loss, logits: torch.Tensor, targets: torch.Tensor, **said: object) -> torch.Tensor:
    settings = LossSettings(**said)
    return loss(logits, targets, settings).sum() / weights_of(targets, settings).sum()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_is_torchs(smoothing: float) -> None:
    logits, labels = batch()
    ours = mean(cross_entropy, logits, labels, smoothing=smoothing)
    torch.testing.assert_close(ours, torch_cross_entropy(logits, labels, label_smoothing=smoothing))


def test_weighted_classes_count_as_torchs_do() -> None:
    logits, labels = batch()
    weights = torch.tensor([1.0, 5.0, 0.5, 2.0])
    ours = mean(cross_entropy, logits, labels, weights_K=weights)
    torch.testing.assert_close(ours, torch_cross_entropy(logits, labels, weight=weights))


def test_only_the_ratio_of_weights_counts() -> None:
    logits, labels = batch()
    weights = torch.tensor([1.0, 5.0, 0.5, 2.0])
    one, ten = (
        mean(cross_entropy, logits, labels, smoothing=0.1, weights_K=scale * weights)
        for scale in (1, 10)
    )
    torch.testing.assert_close(one, ten)


@pytest.mark.parametrize("name", LOSSES.names())
class TestEveryLoss:
    def test_class_numbers_and_their_shares_are_one(self, name: str) -> None:
        logits, labels = batch()
        shares = torch.eye(4)[labels]
        settings = LossSettings(smoothing=0.1, weights_K=torch.tensor([1.0, 2.0, 3.0, 4.0]))
        torch.testing.assert_close(
            LOSSES.pick(name)(logits, labels, settings), LOSSES.pick(name)(logits, shares, settings)
        )

    def test_a_batch_in_parts_has_the_same_loss_and_gradient(self, name: str) -> None:
        logits, labels = batch()
        settings = LossSettings(smoothing=0.1, weights_K=torch.tensor([1.0, 2.0, 3.0, 4.0]))
        whole = logits.clone().requires_grad_()
        loss = LOSSES.pick(name)
        total = weights_of(labels, settings).sum()
        (loss(whole, labels, settings).sum() / total).backward()
        parts = logits.clone().requires_grad_()
        for rows in torch.arange(len(labels)).split(3):
            (loss(parts[rows], labels[rows], settings).sum() / total).backward()
        torch.testing.assert_close(parts.grad, whole.grad)

    def test_it_falls_as_the_answer_gets_surer_and_is_never_negative(self, name: str) -> None:
        labels = torch.tensor([0])
        losses = [
            mean(LOSSES.pick(name), torch.tensor([[x, 0.0]]), labels).item()
            for x in (-20.0, -1.0, 0.0, 1.0, 40.0)
        ]
        assert losses == sorted(losses, reverse=True)
        assert losses[-1] == pytest.approx(0, abs=1e-6)
        assert min(losses) >= 0

    def test_half_precision_logits_lose_nothing_to_it(self, name: str) -> None:
        logits, labels = batch()
        half = LOSSES.pick(name)(logits.bfloat16(), labels, LossSettings())
        exact = LOSSES.pick(name)(logits.bfloat16().float(), labels, LossSettings())
        assert torch.equal(half, exact)


def test_the_focal_loss_is_cross_entropy_times_how_unsure_the_answer_is() -> None:
    logits, labels = batch()
    p = torch.softmax(logits, 1)[torch.arange(len(labels)), labels]
    plain = cross_entropy(logits, labels, LossSettings())
    torch.testing.assert_close(focal(logits, labels, LossSettings()), (1 - p) ** 2 * plain)
    torch.testing.assert_close(focal(logits, labels, LossSettings(gamma=0)), plain)


def test_a_loss_with_a_typo_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'cross_entropy'"):
        LOSSES.pick("cross_entrpy")


@pytest.mark.parametrize(
    "wrong",
    [{"smoothing": 1.0}, {"smoothing": -0.1}, {"gamma": -1.0}, {"weights_K": torch.zeros(2)}],
)
def test_nonsense_is_refused(wrong: dict) -> None:
    with pytest.raises(OutOfRange):
        LossSettings(**wrong)
