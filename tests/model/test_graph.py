"""The one graph: same answer as numpy, and a heat map whose cells add up."""

from __future__ import annotations

import json

import numpy as np
import pytest

from foveal.backbone import graphs
from foveal.backbone.running import open_session
from foveal.core.errors import OutOfRange
from foveal.model.classifier import Classifier
from foveal.model.evidence import has_heat_map
from foveal.model.graph import HEAT_MAP, LOGITS, PROBABILITIES, UNEXPLAINED, classifier_graph
from foveal.model.linear import LinearHead, softmax

CLASSES = ("a", "b", "c")
EVERY = ("last", "stage1/mean", "stage2/mean", "stage1/2x2", "stage2/2x2")


def build(host, blocks, *, classical=None, classes=CLASSES, seed=3):
    width = sum(host.spec.widths().get(block, 1812) for block in blocks)
    rng = np.random.default_rng(seed)
    head = LinearHead(
        rng.normal(size=(len(classes), width)).astype(np.float32),
        rng.normal(size=len(classes)).astype(np.float32),
    )
    return Classifier(
        host=host,
        classical=classical,
        blocks=tuple(blocks),
        head=head,
        centre_D=rng.normal(size=width).astype(np.float32),
        classes=classes,
        temperature=1.0,
    )


def run(classifier, pixels):
    session = open_session(classifier_graph(classifier), threads=1)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"pixels": pixels}), strict=True))


def joined(classifier, pixels):
    own = [block for block in classifier.blocks if block != "classical"]
    blocks = classifier.host.embed(pixels, own)
    if classifier.classical is not None:
        blocks["classical"] = classifier.classical.embed(pixels, ["last"])["last"]
    return np.concatenate([blocks[block] for block in classifier.blocks], axis=1)


@pytest.mark.parametrize("blocks", [("last",), EVERY, ("stage2/2x2", "last")])
def test_the_graph_answers_as_the_head_does_on_joined_blocks(tiny, pixels, blocks):
    classifier = build(tiny(), blocks)
    out = run(classifier, pixels)
    expected = classifier.head.logits(joined(classifier, pixels))
    np.testing.assert_allclose(out[LOGITS], expected, atol=1e-5)
    np.testing.assert_allclose(out[PROBABILITIES], softmax(expected), atol=1e-6)


@pytest.mark.parametrize("blocks", [("last",), EVERY])
def test_heat_cells_add_up_to_the_evidence_for_the_answer(tiny, pixels, blocks):
    classifier = build(tiny(), blocks)
    out = run(classifier, pixels)
    weights = classifier.head.weights_KD - classifier.head.weights_KD.mean(axis=0)
    answer = out[LOGITS].argmax(axis=1)
    moved = joined(classifier, pixels) - classifier.centre_D
    evidence = (weights[answer] * moved).sum(axis=1)
    np.testing.assert_allclose(out[HEAT_MAP].sum(axis=(1, 2)), evidence, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(out[UNEXPLAINED], 0, atol=1e-5)


def test_the_map_shows_the_cell_that_made_the_difference(tiny):
    host = tiny()
    classifier = build(host, ("last",))
    dark = np.zeros((1, 32, 32, 3), dtype=np.uint8)
    lit = dark.copy()
    lit[0, :8, 24:] = 255  # the top right corner
    change = np.abs(run(classifier, lit)[HEAT_MAP] - run(classifier, dark)[HEAT_MAP])[0]
    assert change[0, -1] > 0
    assert change[-1, 0] == pytest.approx(0, abs=1e-6)


def test_quarters_that_disagree_are_told_apart_by_place(tiny, pixels):
    host = tiny()
    head = np.zeros((2, 16), dtype=np.float32)
    head[0, 1::4] = 1.0  # class a reads the top right quarter of every channel of stage 1
    classifier = Classifier(
        host=host,
        classical=None,
        blocks=("last", "stage1/2x2"),
        head=LinearHead(
            np.concatenate([np.zeros((2, 6), np.float32), head], axis=1),
            np.array([1.0, -1.0], dtype=np.float32),
        ),
        centre_D=np.zeros(22, dtype=np.float32),
        classes=("a", "b"),
    )
    heat = run(classifier, pixels)[HEAT_MAP]
    assert np.abs(heat[:, :4, 4:]).max(axis=0).min() > 0
    np.testing.assert_array_equal(heat[:, :, :4], 0)
    np.testing.assert_array_equal(heat[:, 4:, 4:], 0)


def test_the_classical_block_joins_and_its_colours_stay_unexplained(tiny, pixels):
    from foveal.backbone.classical import classical

    host = tiny()
    classifier = build(host, ("last", "classical"), classical=classical(host.spec.preprocess))
    out = run(classifier, pixels)
    expected = classifier.head.logits(joined(classifier, pixels))
    np.testing.assert_allclose(out[LOGITS], expected, atol=2e-4)
    assert (out[UNEXPLAINED] > 0).all()
    assert (out[UNEXPLAINED] < 1).all()


def test_a_network_whose_last_features_are_no_mean_has_no_heat_map(tiny, pixels):
    classifier = build(tiny(last_is_mean=False), ("last",))
    assert not has_heat_map(classifier)
    assert set(run(classifier, pixels)) == {LOGITS, PROBABILITIES}


def test_the_same_classifier_gives_the_same_bytes_and_says_how_to_read_pictures(tiny):
    first = classifier_graph(build(tiny(), EVERY))
    again = classifier_graph(build(tiny(), EVERY))
    assert graphs.to_bytes(first) == graphs.to_bytes(again)
    said = {entry.key: json.loads(entry.value) for entry in first.metadata_props}
    assert said["names"] == list(CLASSES)
    assert said["imgsz"] == [32, 32]
    assert said["preprocess"]["crop"] == 0.875


def test_parts_that_do_not_fit_are_refused(tiny):
    with pytest.raises(OutOfRange, match="one per row of the head"):
        Classifier(
            host=tiny(),
            classical=None,
            blocks=("last",),
            head=LinearHead(np.zeros((2, 6), np.float32), np.zeros(2, np.float32)),
            centre_D=np.zeros(6, np.float32),
            classes=CLASSES,
        )
