"""The predictor: answers in order, broken files in their place, whatever the batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from foveal.backbone import graphs
from foveal.core.errors import BadWeights
from foveal.image.stream import stream
from foveal.model.classifier import Classifier
from foveal.model.graph import classifier_graph
from foveal.model.linear import LinearHead, softmax
from foveal.model.predictor import Predictor


@pytest.fixture
def classifier(tiny: Callable) -> Classifier:
    """The tiny network with a head of three classes."""
    host, rng = tiny(), np.random.default_rng(0)
    head = LinearHead(rng.normal(size=(3, 6)).astype(np.float32), np.zeros(3, np.float32))
    return Classifier(
        host=host, classical=None, blocks=("last",), head=head,
        centre_D=np.zeros(6, np.float32), classes=("a", "b", "c"),
    )  # fmt: skip


@pytest.fixture
def predictor(classifier: Classifier) -> Predictor:
    """It at work."""
    graph = graphs.to_bytes(classifier_graph(classifier))
    return Predictor(graph, classifier.classes, classifier.host.spec.preprocess)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Seventy pictures of noise."""
    rng = np.random.default_rng(0)
    out = []
    for number in range(70):
        Image.fromarray(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(
            tmp_path / f"{number:02}.png"
        )
        out.append(tmp_path / f"{number:02}.png")
    return out


def test_it_answers_what_head_and_features_say(
    classifier: Classifier, predictor: Predictor, pixels: np.ndarray
) -> None:
    logits = classifier.head.logits(classifier.host.embed(pixels, ["last"])["last"])
    assert np.abs(predictor.logits(pixels) - logits).max() < 1e-5
    assert np.abs(predictor.probabilities(pixels) - softmax(logits)).max() < 1e-6


def test_answers_come_in_order_with_the_broken_in_their_place(
    predictor: Predictor, files: list[Path]
) -> None:
    wanted = [*files[:40], Path("gone.png"), *files[40:], Path("gone too.png")]
    answers = list(predictor.answers(wanted, top=2))
    assert [answer.path for answer in answers] == list(map(str, wanted))
    for answer in answers:
        if answer.path.startswith("gone"):
            assert answer.error == "the file is not there"
            assert (answer.top, answer.label, answer.probability) == ((), None, None)
        else:
            (batch,) = stream([Path(answer.path)], predictor.preprocess)
            alone = predictor.probabilities(batch.pixels)[0]
            assert answer.label == predictor.classes[int(alone.argmax())]
            assert answer.probability == pytest.approx(float(alone.max()), abs=1e-6)
            assert answer.top[0][1] >= answer.top[1][1]


def test_only_broken_files_are_answered_too(predictor: Predictor) -> None:
    answers = list(predictor.answers(Path(f"gone{n}.png") for n in range(70)))
    assert [answer.path for answer in answers] == [f"gone{n}.png" for n in range(70)]
    assert all(answer.error for answer in answers)


def test_a_graph_that_is_none_is_told(predictor: Predictor) -> None:
    with pytest.raises(BadWeights, match="ONNX Runtime cannot load the model's graph"):
        Predictor(b"no graph", predictor.classes, predictor.preprocess)


def test_no_file_is_no_answer(predictor: Predictor) -> None:
    assert list(predictor.answers([])) == []


def test_files_are_drawn_as_answers_are_taken(predictor: Predictor, files: list[Path]) -> None:
    drawn: list[Path] = []

    def watched() -> Iterator[Path]:
        for file in files * 100:
            drawn.append(file)
            yield file

    answers = predictor.answers(watched())
    next(answers)
    assert len(drawn) <= 4 * 32


def test_a_network_without_a_last_map_has_no_heat_map(tiny: Callable) -> None:
    host = tiny(last_is_mean=False)
    flat = Classifier(
        host=host, classical=None, blocks=("last",),
        head=LinearHead(np.zeros((2, 6), np.float32), np.zeros(2, np.float32)),
        centre_D=np.zeros(6, np.float32), classes=("a", "b"),
    )  # fmt: skip
    graph = graphs.to_bytes(classifier_graph(flat))
    assert not Predictor(graph, flat.classes, host.spec.preprocess).has_heat_map


def test_a_heat_map_comes_with_the_share_it_does_not_explain(
    predictor: Predictor, pixels: np.ndarray
) -> None:
    logits, heat, unexplained = predictor.looks(pixels)
    np.testing.assert_array_equal(logits, predictor.logits(pixels))
    assert heat.shape == (5, 5, 5)
    assert heat.dtype == unexplained.dtype == np.float32
    assert np.allclose(unexplained, 0, atol=1e-5)  # all of it lies on the last map


def test_a_graph_of_other_classes_than_its_card_is_refused(classifier: Classifier) -> None:
    graph = graphs.to_bytes(classifier_graph(classifier))
    for classes in (("a", "b"), ("a", "b", "c", "d")):
        with pytest.raises(BadWeights, match=f"logits is of shape 3, expected {len(classes)} for"):
            Predictor(graph, classes, classifier.host.spec.preprocess)
