"""A student answers labels and its teacher at once; what it is worth falls to both."""

from __future__ import annotations

import pytest
import timm
import torch
from torch.nn.functional import cross_entropy as torch_cross_entropy

from foveal.train.network.losses import LossSettings, cross_entropy
from foveal.train.network.teaching import LIKENESSES, Student, targets_of, taught

CLASSES, SEEN = 5, 7


def answers(rows: int = 4) -> torch.Tensor:
    return torch.randn(rows, CLASSES + SEEN, generator=torch.Generator().manual_seed(1))


def test_a_student_answers_its_networks_logits_and_then_its_guess() -> None:
    torch.manual_seed(0)
    network = timm.create_model("resnet18", num_classes=CLASSES, channels=(8, 8, 8, 16)).eval()
    student = Student(network, SEEN).eval()
    pictures = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        both = student(pictures)
        torch.testing.assert_close(both[:, :CLASSES], network(pictures))
        last = network.forward_head(network.forward_features(pictures), pre_logits=True)
        torch.testing.assert_close(both[:, CLASSES:], student.guess(last))


def test_the_loss_is_that_of_the_labels_and_the_weighted_distance_from_the_teacher() -> None:
    labels = torch.tensor([0, 4, 2, 1])
    seen = torch.rand(4, SEEN)
    loss = taught(cross_entropy, LIKENESSES.pick("cosine"), classes=CLASSES, weight=3.0)
    got = loss(answers(), targets_of(labels, seen, CLASSES), LossSettings(smoothing=0.1))
    by_labels = torch_cross_entropy(
        answers()[:, :CLASSES], labels, label_smoothing=0.1, reduction="none"
    )
    cosines = torch.cosine_similarity(answers()[:, CLASSES:], seen)
    torch.testing.assert_close(got, by_labels + 3 * (1 - cosines))


@pytest.mark.parametrize("name", LIKENESSES.names())
class TestEveryLikeness:
    def test_is_nothing_for_a_perfect_guess_and_more_for_any_other(self, name: str) -> None:
        likeness, seen = LIKENESSES.pick(name), torch.rand(3, SEEN) + 0.1
        perfect = likeness(seen, seen)
        assert perfect.shape == (3,)
        torch.testing.assert_close(perfect, torch.zeros(3), atol=1e-6, rtol=0)
        assert (likeness(seen.flip(1) - 1, seen) > 0.05).all()

    def test_judges_every_picture_by_itself(self, name: str) -> None:
        likeness, seen, guess = LIKENESSES.pick(name), torch.rand(3, SEEN), torch.rand(3, SEEN)
        torch.testing.assert_close(likeness(guess, seen)[1:2], likeness(guess[1:2], seen[1:2]))

    def test_has_a_gradient_where_the_guess_is_nothing(self, name: str) -> None:
        guess = torch.zeros(2, SEEN, requires_grad=True)
        LIKENESSES.pick(name)(guess, torch.rand(2, SEEN)).sum().backward()
        assert guess.grad is not None
        assert torch.isfinite(guess.grad).all()
