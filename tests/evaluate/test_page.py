from __future__ import annotations

import base64
import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from foveal.evaluate import page
from foveal.evaluate.curves import Course
from foveal.evaluate.interval import Interval
from foveal.evaluate.page import inert_json, render
from foveal.evaluate.report import Cost, DataSummary, MemberFacts, ModelFacts, Report

MakeReport = Callable[..., Report]

HOSTILE = (
    "<script>alert(1)</script>",
    "</script><script>hacked=1</script>",
    "\"><img src=x onerror='hacked=1'>",
    "<!--<script>",
    "{{ 7 * 7 }}{% raw %}",
    "a\u2028b\u2029c\x00d\x1be",
    "\u202egnp.exe",  # right-to-left override
    "مرحبا بالعالم",
    "👩🏽\u200d🔬🐝" * 40,
    "x" * 10_000,
    "caf\udce9",  # bytes of a file name that are not UTF-8
    "&lt;b&gt;&amp;",
)


class Page(HTMLParser):
    """What a browser would make of the file: elements, attributes, text by element."""

    def __init__(self, content: bytes) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.inside: Counter[str] = Counter()
        self.texts: dict[str, list[str]] = {"script": [], "style": [], "": []}
        self._open = ""
        self.feed(content.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.inside[tag] += 1
        self._open = tag if tag in self.texts else ""
        self.texts[""].append(" ")

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    def handle_data(self, data: str) -> None:
        self.texts[self._open].append(data)

    @property
    def text(self) -> str:
        """The words a person reads, with single spaces."""
        return " ".join("".join(self.texts[""]).split())

    @property
    def data(self) -> dict[str, Any]:
        """What the script reads."""
        value: dict[str, Any] = json.loads(self.texts["script"][0])
        return value


def pooled(report: Report, **changes: Any) -> ModelFacts:
    """Return the facts of a model of two networks, the first of which has ``changes``."""
    first = MemberFacts(
        backbone="resnet18", weights="trained further", blocks=("last",), weight=0.6
    )
    second = replace(first, weights="resnet18.safetensors", blocks=("last", "stage2"), weight=0.4)
    return replace(report.model, members=(replace(first, **changes), second))


class TestOneFile:
    def test_names_nothing_outside_itself(self, make_report: MakeReport) -> None:
        for tag, attributes in Page(render(make_report())).elements:
            for name in ("src", "href", "srcset", "action", "poster", "data", "xlink:href"):
                value = attributes.get(name)
                assert value is None or value.startswith(("data:", "#")), (tag, name, value)
            assert tag not in {"link", "iframe", "object", "embed", "base", "form"}

    def test_its_policy_allows_its_own_style_and_script_and_no_other(
        self, make_report: MakeReport
    ) -> None:
        seen = Page(render(make_report()))
        (policy,) = (
            attributes["content"]
            for tag, attributes in seen.elements
            if attributes.get("http-equiv") == "Content-Security-Policy"
        )
        assert policy is not None
        assert policy.startswith("default-src 'none';")
        assert "unsafe" not in policy
        for kind, text in (("style", seen.texts["style"][0]), ("script", seen.texts["script"][1])):
            digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
            assert f"{kind}-src 'sha256-{digest}'" in policy
        assert (seen.inside["style"], seen.inside["script"]) == (1, 2)

    def test_has_no_inline_style_or_handler(self, make_report: MakeReport) -> None:
        for tag, attributes in Page(render(make_report())).elements:
            assert "style" not in attributes, tag
            assert not [name for name in attributes if name.startswith("on")], tag

    def test_is_the_same_for_the_same_report(self, make_report: MakeReport) -> None:
        assert render(make_report()) == render(make_report())


class TestHostileNames:
    def test_make_no_element_and_no_attribute(
        self, make_report: MakeReport, course: Course
    ) -> None:
        tame = tuple(f"class {number}" for number in range(len(HOSTILE)))

        def shape(names: tuple[str, ...]) -> Counter[tuple[str, tuple[str, ...]]]:
            report = make_report(
                names,
                path=names[0] + "/" + names[2] + "/{row}.jpg",
                title=names[0],
                command=names[1],
                course=replace(course, sentence=" ".join(names)),
                model=pooled(make_report(), backbone=names[0], weights=names[2], licence=names[1]),
                settings={names[1]: names[2]},
                data=DataSummary(
                    source=names[1],
                    counts={"test": (5,) * len(names)},
                    findings=names,
                    broken=tuple((name, name) for name in names),
                ),
            )
            return Counter(
                (tag, tuple(sorted(set(attributes) - {"title"})))
                for tag, attributes in Page(render(report)).elements
            )

        assert shape(HOSTILE) == shape(tame)

    def test_reach_the_script_as_they_are(self, make_report: MakeReport) -> None:
        names = Page(render(make_report(HOSTILE))).data["classes"]
        assert names[:4] == list(HOSTILE[:4])
        assert names[7] == HOSTILE[7]
        assert len(names[9]) == page.NAME_LENGTH

    @pytest.mark.parametrize("text", ["</script>", "<!--", "]]>", "\u2028", "&lt;"])
    def test_cannot_end_the_data_block(self, text: str) -> None:
        shown = str(inert_json([text]))
        assert not re.search("[<>&\u2028\u2029]", shown)
        assert json.loads(shown) == [text]


class TestNumbers:
    def test_the_first_thing_said_is_how_often_it_is_right(self, make_report: MakeReport) -> None:
        seen = Page(render(make_report(images=60, mistakes=0.15)))
        assert "85.0 % right answers" in seen.text
        assert "51 of 60 test images · 2 classes" in seen.text
        assert "3 images of the training part were not scored" in seen.text

    def test_every_sentence_metric_and_comparison_is_there(self, make_report: MakeReport) -> None:
        report = make_report()
        text = Page(render(report)).text
        for sentence in report.judgement.sentences:
            assert " ".join(sentence.split()) in text
        words = {"warning": "Warning ", "note": "Note ", "fact": ""}
        for each in report.judgement.said[1:]:
            assert words[each.weight] + " ".join(each.text.split()) in text
        assert {each.weight for each in report.judgement.said} >= {"note", "fact"}
        for label in ("Accuracy (top-1)", "ROC-AUC", "Log loss", "Calibration error"):
            assert label in text
        for words in ("Always the commonest class", "Promised by the fit"):
            assert words in text
        assert "Top5" not in text, "with two classes it has no number"

    def test_a_metric_that_is_not_in_the_glossary_is_shown_by_its_name(
        self, make_report: MakeReport
    ) -> None:
        report = make_report()
        metrics = {**report.judgement.metrics, "quadratic_kappa": Interval(0.77, 0.7, 0.8)}
        report = replace(report, judgement=replace(report.judgement, metrics=metrics))
        assert "Quadratic kappa 0.770 0.700 to 0.800" in Page(render(report)).text

    def test_the_cells_say_what_was_taken_for_what(self, make_report: MakeReport) -> None:
        report = make_report(tuple("abcde"), images=100)
        seen = Page(render(report))
        shown = np.zeros((5, 5), dtype=np.int64)
        for _, attributes in seen.elements:
            if "data-a" in attributes and "cell" in str(attributes.get("class")):
                truth, answer = int(str(attributes["data-t"])), int(str(attributes["data-a"]))
                said = re.search(r": (\d+),", str(attributes["aria-label"]))
                assert said
                shown[truth, answer] = int(said[1])
        np.testing.assert_array_equal(shown, report.judgement.confusion)
        flat = np.array(seen.data["cells"]).reshape(-1, 3)
        again = np.zeros_like(shown)
        again[flat[:, 0], flat[:, 1]] = flat[:, 2]
        np.testing.assert_array_equal(again, report.judgement.confusion)

    def test_data_choice_model_cost_and_settings_are_told(self, make_report: MakeReport) -> None:
        text = Page(render(make_report())).text
        for words in (
            "class folders photos/",
            "The class folder 'wasps' is empty.",
            "train/bees/half.jpg the file ends too early",
            "median 500 × 375",
            "cuts away 43 % of the area",
            "last + stage3/mean probe 0.03 0.210 ± 0.020 90.5 % chosen",
            "The mean and deviation of ImageNet were assumed.",
            "6.3 seconds in all. The test alone: 41 images/s through the network, 612 MB of memory",
            "foveal fit photos/ -o model/ --backbone resnet18",
            '"backbone": "resnet18"',
            "numpy 2.4.6",
        ):
            assert words in text

    def test_the_training_is_told_beside_the_probe(
        self, make_report: MakeReport, course: Course
    ) -> None:
        content = render(make_report(course=course))
        text = Page(content).text
        for words in (
            "All of it was trained.",
            "Epoch 9 of 12 was kept: 90.0 % right on the val part, log loss 0.400.",
            "The probe on the same pictures: 87.4 % right, log loss 0.463.",
            "val train the probe on val the epoch that was kept",
            "epoch learning rate loss on train log loss on val right on val 1 0.00046 2.600",
        ):
            assert words in text
        assert content.decode().count(' over epochs"') == 3
        assert re.search(r'<tr class="chosen"><td class="n">9</td>', content.decode())

    def test_a_training_without_a_probe_is_told_alone(
        self, make_report: MakeReport, course: Course
    ) -> None:
        alone = replace(course, probe_top1=None, probe_loss=None, sentence="")
        text = Page(render(make_report(course=alone))).text
        assert "Epoch 9 of 12 was kept" in text
        assert "robe on" not in text

    def test_where_no_epoch_was_kept_none_is_marked(
        self, make_report: MakeReport, course: Course
    ) -> None:
        content = render(make_report(course=replace(course, kept=None)))
        text = Page(content).text
        assert "The probe on the same pictures: 87.4 % right, log loss 0.463." in text
        assert "was kept" not in text.partition("How it was trained")[2]
        assert "flatter" not in text.partition("How it was trained")[2]
        assert "chosen" not in content.decode().partition('id="training"')[2].partition("</sec")[0]

    def test_what_was_not_trained_has_no_such_section(self, make_report: MakeReport) -> None:
        content = render(make_report()).decode()
        assert "How it was trained" not in content
        assert "#training" not in content

    def test_every_network_of_a_pool_is_told(self, make_report: MakeReport) -> None:
        report = make_report()
        told = "reads last + stage3/mean"
        assert told in Page(render(report)).text
        text = Page(render(replace(report, model=pooled(report, licence="MIT")))).text
        assert "network 1 resnet18, weight 60 %, reads last; weights: trained further (MIT)" in text
        assert "network 2 resnet18, weight 40 %, reads last + stage2; weights: resnet18.s" in text
        assert told not in text

    def test_a_crop_that_cuts_away_little_shows_no_examples(self, make_report: MakeReport) -> None:
        report = make_report()
        cut = report.data.cut_away
        assert cut
        little = replace(report, data=replace(report.data, cut_away=replace(cut, share=0.1)))
        assert 'class="cut"' in render(report).decode()
        assert 'class="cut"' not in render(little).decode()


class TestPictures:
    def test_every_picture_is_in_the_file_once(self, make_report: MakeReport) -> None:
        report = make_report()
        pictures = Page(render(report)).data["pictures"]
        assert {one["path"] for one in pictures} == {one.path for one in report.pictures}
        for one in pictures:
            assert ("card" in one) != ("jpeg" in one)

    def test_the_cards_are_the_surest_mistakes_in_order(self, make_report: MakeReport) -> None:
        report = make_report(tuple("abc"), images=90, mistakes=0.5)
        wrong = [one for one in report.pictures if one.truth != one.answer]
        wrong.sort(key=lambda one: -one.confidence)
        cards = [one for one in Page(render(report)).data["pictures"] if "card" in one]
        assert [one["path"] for one in cards] == [one.path for one in wrong[: len(cards)]]
        assert [one["card"] for one in cards] == [f"card-{n}" for n in range(24)]

    def test_the_share_that_no_map_explains_is_stated(self, make_report: MakeReport) -> None:
        assert "12 % not on the map" in Page(render(make_report())).text

    def test_without_heat_maps_nothing_is_said_of_them(self, make_report: MakeReport) -> None:
        report = make_report()
        bare = tuple(replace(one, heat=None, unexplained=None) for one in report.pictures)
        seen = Page(render(replace(report, pictures=bare)))
        assert "Show where the model looked" not in seen.text
        assert "not on the map" not in seen.text

    def test_without_pictures_the_mistakes_are_counted(self, make_report: MakeReport) -> None:
        text = Page(render(make_report(pictures=False))).text
        assert "No pictures were given to this report; 9 images were answered wrong." in text

    def test_without_mistakes_that_is_said(self, make_report: MakeReport) -> None:
        text = Page(render(make_report(mistakes=0))).text
        assert "There are none: all 60 test images were answered right." in text
        assert "No pair of classes was confused." in text


class TestSize:
    def test_stays_below_5_mb_with_1000_classes_and_5000_pictures(
        self, make_report: MakeReport
    ) -> None:
        # The worst letter: four bytes as HTML, six as JSON.
        names = tuple(f"{'<' * 200} {number}" for number in range(1000))
        content = render(make_report(names, images=5000, mistakes=0.3, side=160))
        assert 4_000_000 < len(content) < 5_000_000, "full, and no more than that"
        seen = Page(content)
        assert len(seen.data["pictures"]) > 200
        assert f"This file holds {len(seen.data['pictures'])} of 5000 test images." in seen.text

    def test_what_does_not_fit_is_left_out_from_the_end(
        self, make_report: MakeReport, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole = [one["path"] for one in Page(render(make_report())).data["pictures"]]
        monkeypatch.setattr(page, "MOST_BYTES", 150_000)
        content = render(make_report())
        some = [one["path"] for one in Page(content).data["pictures"]]
        assert 9 < len(some) < len(whole)
        assert some == whole[: len(some)]
        assert len(content) < 150_000

    @pytest.mark.parametrize("limit", range(200_000, 210_000, 2_000))
    def test_the_limit_holds_to_the_last_picture(
        self, limit: int, make_report: MakeReport, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(page, "MOST_BYTES", limit)
        content = render(make_report(side=160, mistakes=0))
        assert limit - 15_000 < len(content) <= limit


def test_a_report_with_nothing_but_a_judgement_renders(make_report: MakeReport) -> None:
    report = make_report(
        pictures=False,
        choice=(),
        data=DataSummary(source="", counts={}),
        cost=Cost(seconds={}),
        settings={},
        command="",
        environment={},
    )
    text = Page(render(report)).text
    assert "85.0 % right answers" in text
    for absent in ("How the model was chosen", "Cost", "All settings", "Command"):
        assert absent not in text


def test_one_class_more_than_a_table_holds_is_drawn_as_a_map(make_report: MakeReport) -> None:
    for count, map_is_drawn in ((page.TABLE_CLASSES, False), (page.TABLE_CLASSES + 1, True)):
        names = tuple(f"c{number}" for number in range(count))
        content = render(make_report(names, images=3 * count, pictures=False)).decode()
        assert ('<canvas id="map"' in content) == map_is_drawn
        assert ('<table id="matrix"' in content) != map_is_drawn
