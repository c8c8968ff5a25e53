"""A pool: numpy's arithmetic in one graph, evidence that adds up, the same bytes every time."""

from __future__ import annotations

import json
import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from foveal.backbone import graphs
from foveal.backbone.classical import classical
from foveal.backbone.running import OnnxBackbone
from foveal.core.errors import BadWeights, OutOfRange
from foveal.image.preprocess import Preprocess
from foveal.model.graph import HEAT_MAP, LOGITS, PROBABILITIES, UNEXPLAINED, classifier_graph
from foveal.model.linear import LinearHead, softmax
from foveal.model.pool import Pool, pooled_logits
from foveal.model.predictor import Predictor

_alone = runpy.run_path(str(Path(__file__).with_name("test_graph.py")))
CLASSES, EVERY, build, joined, run = (
    _alone[name] for name in ("CLASSES", "EVERY", "build", "joined", "run")
)


@pytest.fixture
def pool(tiny) -> Pool:
    """Two networks whose finest grids have 5 and 8 cells a side, and whose heads differ."""
    members = (build(tiny(seed=0), ("last",)), build(tiny(seed=7), EVERY, seed=4))
    return Pool(members=members, weights=(0.7, 0.3), temperature=0.8)


def own_logits(pool, pixels):
    return [member.head.logits(joined(member, pixels)) for member in pool.members]


def test_the_graph_answers_as_numpy_does(pool, pixels):
    out = run(pool, pixels)
    logs = [np.log(softmax(logits)) for logits in own_logits(pool, pixels)]
    expected = (0.7 * logs[0] + 0.3 * logs[1]) / 0.8
    np.testing.assert_allclose(out[LOGITS], expected, atol=1e-5)
    np.testing.assert_allclose(out[LOGITS], pool.logits(own_logits(pool, pixels)), atol=1e-5)
    np.testing.assert_allclose(out[PROBABILITIES], softmax(expected), atol=1e-6)


def test_three_members_may_answer_together(tiny, pixels):
    members = tuple(build(tiny(seed=seed), ("last",), seed=seed) for seed in (1, 2, 3))
    pool = Pool(members=members, weights=(0.2, 0.5, 0.3))
    expected = pool.logits(own_logits(pool, pixels))
    np.testing.assert_allclose(run(pool, pixels)[LOGITS], expected, atol=1e-5)


def test_heat_cells_add_up_to_the_evidence_of_all_members_for_the_answer(pool, pixels):
    out = run(pool, pixels)
    assert out[HEAT_MAP].shape == (5, 8, 8)
    answer = out[LOGITS].argmax(axis=1)
    evidence = 0
    for member, weight in zip(pool.members, pool.weights, strict=True):
        centred = member.head.weights_KD - member.head.weights_KD.mean(axis=0)
        moved = joined(member, pixels) - member.centre_D
        evidence += weight / 0.8 * (centred[answer] * moved).sum(axis=1)
    np.testing.assert_allclose(out[HEAT_MAP].sum(axis=(1, 2)), evidence, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(out[UNEXPLAINED], 0, atol=1e-5)


def test_a_member_adds_its_own_map_as_far_as_it_has_weight(tiny, pixels):
    """The same classifier twice, pooled, looks where it looks alone."""
    alone = build(tiny(), EVERY)
    twice = Pool(members=(alone, alone), weights=(0.25, 0.75), temperature=2.0)
    heat, both = run(alone, pixels)[HEAT_MAP], run(twice, pixels)[HEAT_MAP]
    np.testing.assert_allclose(both, heat / 2, rtol=1e-4, atol=1e-5)


def test_what_one_member_cannot_place_is_unexplained_by_its_weight(tiny, pixels):
    host = tiny()
    colours = build(host, ("last", "classical"), classical=classical(host.spec.preprocess))
    sure = LinearHead(colours.head.weights_KD, np.array([1e3, 0, 0], np.float32))  # of one answer
    colours = replace(colours, head=sure)
    shares = []
    for weight in (0.2, 0.8):
        pool = Pool(members=(build(host, ("last",)), colours), weights=(1 - weight, weight))
        out = run(pool, pixels)
        expected = pool.logits(own_logits(pool, pixels))
        np.testing.assert_allclose(out[LOGITS], expected, atol=5e-4)
        shares.append(out[UNEXPLAINED])
    assert (shares[0] > 0).all()
    assert (shares[0] < shares[1]).all()
    assert (shares[1] < run(colours, pixels)[UNEXPLAINED]).all()


def test_a_member_without_a_heat_map_leaves_the_pool_without_one(tiny, pixels):
    members = (build(tiny(last_is_mean=False), ("last",)), build(tiny(seed=7), EVERY))
    pool = Pool(members=members, weights=(0.5, 0.5))
    out = run(pool, pixels)
    assert set(out) == {LOGITS, PROBABILITIES}
    np.testing.assert_allclose(out[LOGITS], pool.logits(own_logits(pool, pixels)), atol=1e-5)


def test_the_same_pool_gives_the_same_bytes_and_says_how_to_read_pictures(tiny):
    def made() -> bytes:
        members = (build(tiny(seed=0), ("last",)), build(tiny(seed=7), EVERY))
        return graphs.to_bytes(
            classifier_graph(Pool(members=members, weights=(0.7, 0.3), temperature=0.8))
        )

    assert made() == made()
    model = graphs.from_bytes(made(), where="pool")
    said = {entry.key: json.loads(entry.value) for entry in model.metadata_props}
    assert said["names"] == list(CLASSES)
    assert said["temperature"] == 0.8
    assert [value.name for value in model.graph.input] == ["pixels"]


def test_weights_in_common_are_stored_once(tiny):
    """Two heads on one frozen network cost one network."""
    alone = build(tiny(), EVERY)
    other = build(tiny(), EVERY, seed=9)
    model = classifier_graph(Pool(members=(alone, other), weights=(0.5, 0.5)))
    single = classifier_graph(alone)

    def stored(graph):
        return [t.name for t in graph.initializer if t.name.endswith("map/w")]

    assert len(stored(model.graph)) == len(stored(single.graph)) == 2
    different = build(tiny(seed=7), EVERY, seed=9)
    apart = classifier_graph(Pool(members=(alone, different), weights=(0.5, 0.5)))
    assert len(stored(apart.graph)) == 4


def test_the_predictor_runs_it_as_any_other(pool, pixels):
    predictor = Predictor(graphs.to_bytes(classifier_graph(pool)), pool.classes, pool.preprocess)
    assert predictor.has_heat_map
    logits, heat, unexplained = predictor.looks(pixels)
    np.testing.assert_allclose(logits, pool.logits(own_logits(pool, pixels)), atol=1e-5)
    assert heat.shape == (5, 8, 8)
    assert unexplained.shape == (5,)


def test_a_pool_is_as_sure_as_its_members_that_agree():
    logits = np.array([[3.0, 1.0, -2.0]])
    same = pooled_logits([logits, logits + 100], (0.4, 0.6))
    np.testing.assert_allclose(softmax(same), softmax(logits), atol=1e-6)
    cooled = pooled_logits([logits, logits], (0.4, 0.6), temperature=2.0)
    np.testing.assert_allclose(softmax(cooled), softmax(logits / 2), atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"weights": (0.5, 0.4)}, "sum to 1"),
        ({"weights": (1.0, 0.0)}, "leave out who has none"),
        ({"weights": (1.5, -0.5)}, "above 0"),
        ({"weights": (float("nan"), 0.5)}, "above 0"),
        ({"weights": (1.0,)}, "one per member"),
        ({"temperature": 0.0}, "temperature = 0"),
        ({"temperature": float("inf")}, "temperature = inf"),
    ],
    ids=str,
)
def test_weights_and_temperatures_that_are_none_are_refused(pool, changes, said):
    with pytest.raises(OutOfRange, match=said):
        replace(pool, **changes)


def test_one_classifier_is_no_pool(pool):
    with pytest.raises(OutOfRange, match="two classifiers at least"):
        Pool(members=pool.members[:1], weights=(1.0,))


def test_members_over_other_classes_are_refused(tiny):
    members = (build(tiny(), ("last",)), build(tiny(), ("last",), classes=("a", "b", "d")))
    with pytest.raises(OutOfRange, match=r"^classes = \('a', 'b', 'd'\)"):
        Pool(members=members, weights=(0.5, 0.5))


@pytest.mark.parametrize("field", [{"size_px": 64}, {"shape": "pad"}, {"crop": 1.0}], ids=str)
def test_networks_that_see_other_pixels_are_refused(tiny, field):
    host = tiny()
    spec = replace(host.spec, name="other", preprocess=Preprocess(**{"size_px": 32, **field}))
    members = (build(host, ("last",)), build(OnnxBackbone(spec, host._model), ("last",)))
    ((name, value),) = field.items()
    with pytest.raises(OutOfRange, match=rf"^{name} = {value!r}.*other is to be pooled with tiny"):
        Pool(members=members, weights=(0.5, 0.5))


def test_networks_that_normalise_differently_may_be_pooled(tiny):
    host = tiny()
    preprocess = Preprocess(size_px=32, mean=(0.5, 0.5, 0.5))
    spec = replace(host.spec, preprocess=preprocess)
    members = (build(host, ("last",)), build(OnnxBackbone(spec, host._model), ("last",)))
    assert Pool(members=members, weights=(0.5, 0.5)).preprocess == host.spec.preprocess


def test_networks_of_different_opsets_are_told_apart(tiny):
    old = tiny(seed=7)
    old._model.opset_import[0].version = 17
    pool = Pool(members=(build(tiny(), ("last",)), build(old, ("last",))), weights=(0.5, 0.5))
    with pytest.raises(BadWeights, match="opsets 18 and 17"):
        classifier_graph(pool)
