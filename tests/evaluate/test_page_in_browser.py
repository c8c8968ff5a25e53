"""The report in a real browser: what it shows, what it does, and that it asks for nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foveal.evaluate import page as page_module
from foveal.evaluate.curves import Course
from foveal.evaluate.interval import Interval
from foveal.evaluate.page import render
from foveal.evaluate.report import Report

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

MakeReport = Callable[..., Report]
CHROMIUM = Path("/usr/bin/chromium")
HOSTILE = (
    "<script>hacked=1</script>",
    "<img src=x onerror=hacked=1>",
    "</script><script>hacked=1</script>",
    "\u202e\u05d0 right to left",
    "W" * 10_000,
)


# Every text's colour against what is painted behind it (WCAG's formula); browsers give computed
# colours as rgb() or, for mixtures, as color(srgb …), so a canvas turns them into bytes.
CONTRAST = """() => {
  const pen = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const over = (colour, below) => {
    pen.fillStyle = `rgb(${below.join(",")})`;
    pen.fillRect(0, 0, 1, 1);
    pen.fillStyle = colour;
    pen.fillRect(0, 0, 1, 1);
    return [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const behind = (node) => {
    if (!node) return [255, 255, 255];
    return over(getComputedStyle(node).backgroundColor, behind(node.parentElement));
  };
  const light = (rgb) => {
    const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = rgb.map((v) => linear(v / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const seen = [];
  while (walk.nextNode()) {
    const node = walk.currentNode.parentElement;
    const text = walk.currentNode.textContent.trim();
    if (!text || ["SCRIPT", "STYLE"].includes(node.tagName) || !node.checkVisibility()) continue;
    const style = getComputedStyle(node);
    const ground = behind(node);
    const ink = over(node instanceof SVGElement ? style.fill : style.color, ground);
    const [a, b] = [light(ink), light(ground)].sort((x, y) => y - x);
    seen.push({ text, ratio: (a + 0.05) / (b + 0.05) });
  }
  return seen;
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if not CHROMIUM.exists():
        pytest.skip(f"there is no browser at {CHROMIUM}")
    with playwright.sync_playwright() as started:
        running = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Callable[..., Any]:
    """Return what opens a report from disk, noting all that it asks for or complains of."""

    @contextmanager
    def opened(
        report: Report, *, width: int = 1280, expected: str = "", **options: Any
    ) -> Iterator[Any]:
        file = tmp_path / "report.html"
        file.write_bytes(render(report))
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        tab = context.new_page()
        asked, complaints = [], []
        tab.on("request", lambda request: asked.append(request.url))
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("dialog", lambda dialog: complaints.append(dialog.message))
        try:
            tab.goto(file.as_uri())
            yield tab
            outside = [url for url in asked if not url.startswith(("data:", file.as_uri()))]
            assert not outside
            assert [one for one in complaints if not expected or expected not in one] == []
        finally:
            context.close()

    return opened


def sideways(tab: Any) -> int:
    """Return by how many pixels the page can be scrolled sideways."""
    return int(tab.evaluate("document.documentElement.scrollWidth - window.innerWidth"))


class TestOpening:
    def test_hostile_names_do_nothing_but_stand_there(
        self, make_report: MakeReport, opened: Callable[..., Any]
    ) -> None:
        with opened(make_report(HOSTILE, path=HOSTILE[1] + "{row}", title=HOSTILE[0])) as tab:
            for cell in tab.locator(".cell").all():
                cell.click()
            tab.locator("#per-class .plain").first.click()
            assert tab.locator("#viewer-title").inner_text().startswith(HOSTILE[0])
            assert tab.locator("#viewer .path").first.inner_text().startswith(HOSTILE[1])
            assert tab.evaluate("typeof hacked") == "undefined"
            assert tab.title() == HOSTILE[0]

    def test_a_script_that_gets_in_all_the_same_is_not_run(
        self, make_report: MakeReport, opened: Callable[..., Any]
    ) -> None:
        with opened(make_report(), expected="Content Security Policy") as tab:
            tab.evaluate("""() => {
                const script = document.createElement("script");
                script.textContent = "hacked = 1";
                document.body.append(script);
                document.body.setAttribute("style", "display: none");
            }""")
            assert tab.evaluate("typeof hacked") == "undefined"
            assert tab.locator("h1").is_visible()

    @pytest.mark.parametrize(
        "names", [("ants", "bees"), tuple(map(str, range(43))), HOSTILE], ids=["2", "43", "hostile"]
    )
    def test_is_never_wider_than_the_window(
        self,
        names: tuple[str, ...],
        make_report: MakeReport,
        course: Course,
        opened: Callable[..., Any],
    ) -> None:
        report = make_report(
            names,
            images=86,
            course=replace(course, sentence="w" * 500),
            command="x" * 500,
            settings={"y" * 300: "z" * 300},
        )
        with opened(report) as tab:
            for width in (320, 390, 1280):
                tab.set_viewport_size({"width": width, "height": 900})
                assert sideways(tab) <= 0
                tab.locator(".cell").first.click()
                assert sideways(tab) <= 0
                box = tab.locator("#viewer").bounding_box()
                assert 0 <= box["x"] <= box["x"] + box["width"] <= width
                tab.keyboard.press("Escape")

    def test_without_scripts_it_still_says_all_its_numbers(
        self, make_report: MakeReport, opened: Callable[..., Any]
    ) -> None:
        report = make_report(tuple(f"class {number}" for number in range(70)), images=210)
        with opened(report, java_script_enabled=False) as tab:
            assert tab.locator(".headline strong").inner_text() == "84.8\xa0%"
            assert tab.locator("#per-class tbody tr").count() == 70
            assert tab.locator(".pairs tbody tr").count() == page_module.PAIRS
            assert tab.locator(".picture").first.is_visible()
            for hidden in ("#map", "#search", "[data-copy]", "#viewer"):
                assert not tab.locator(hidden).first.is_visible()

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_every_word_can_be_read(
        self, scheme: str, make_report: MakeReport, course: Course, opened: Callable[..., Any]
    ) -> None:
        report = make_report(tuple("abcdefghij"), images=300, mistakes=0.5, course=course)
        with opened(report, color_scheme=scheme) as tab:
            tab.evaluate("""() => {
                const cell = document.querySelector(".cell");
                for (const tone of ["good", "bad"]) for (let tint = 1; tint <= 10; tint++) {
                    const other = cell.cloneNode(true);
                    other.className = `cell ${tone} t${tint}`;
                    other.textContent = other.className;
                    cell.after(other);
                }
            }""")
            texts = tab.evaluate(CONTRAST)
        assert len(texts) > 200
        assert not [one for one in texts if one["ratio"] < 4.5]


def test_the_panels_of_a_training_stand_side_by_side_and_on_a_phone_below_each_other(
    make_report: MakeReport, course: Course, opened: Callable[..., Any]
) -> None:
    with opened(make_report(course=course)) as tab:
        panels = tab.locator("#training .panels figure")
        places = [panel.bounding_box() for panel in panels.all()]
        assert len({place["y"] for place in places}) == 1
        assert len({place["x"] for place in places}) == len(places) == 3
        tab.set_viewport_size({"width": 390, "height": 900})
        places = [panel.bounding_box() for panel in panels.all()]
        assert len({place["x"] for place in places}) == 1
        assert places[0]["y"] < places[1]["y"] < places[2]["y"]
        for drawing in tab.locator("#training svg").all():  # nothing written beyond its edges
            box = drawing.bounding_box()
            for text in drawing.locator("text").all():
                word = text.bounding_box()
                assert box["x"] <= word["x"]
                assert word["x"] + word["width"] <= box["x"] + box["width"]
        colours = tab.locator("#training polyline").evaluate_all(
            "all => all.map(line => getComputedStyle(line).stroke)"
        )
        assert "none" not in colours
        assert len(set(colours)) == 3, "train, val (twice) and the rate"


class TestCells:
    def test_a_click_shows_exactly_the_images_of_the_cell(
        self, make_report: MakeReport, opened: Callable[..., Any]
    ) -> None:
        report = make_report(tuple("abc"), images=90, mistakes=0.3)
        with opened(report) as tab:
            for truth, answer in ((0, 1), (2, 2)):
                tab.locator(f'.cell[data-t="{truth}"][data-a="{answer}"]').click()
                expected = {
                    one.path
                    for one in report.pictures
                    if (one.truth, one.answer) == (truth, answer)
                }
                assert set(tab.locator("#viewer .path").all_inner_texts()) == expected
                assert len(expected) == report.judgement.confusion[truth, answer]
                assert tab.locator("#viewer-note").inner_text() == f"{len(expected)} images."
            loaded = tab.locator("#viewer .photo").evaluate_all(
                "async all => { await Promise.all(all.map(one => one.decode()));"
                " return all.every(one => one.naturalWidth > 0) }"
            )
            assert loaded

    def test_the_keyboard_walks_opens_and_closes(
        self, make_report: MakeReport, opened: Callable[..., Any]
    ) -> None:
        with opened(make_report(tuple("abc"), images=90, mistakes=0.5)) as tab:
            tab.locator('.cell[data-t="0"][data-a="0"]').focus()
            for key in ("ArrowRight", "ArrowDown", "ArrowDown", "Enter"):
                tab.keyboard.press(key)
            assert tab.locator("#viewer-title").inner_text() == "c taken for b"
            assert tab.evaluate("document.activeElement.id") == "viewer-title"
            tab.keyboard.press("Escape")
            assert not tab.locator("#viewer").is_visible()
            assert (
                tab.evaluate("document.activeElement.dataset.t + document.activeElement.dataset.a")
                == "21"
            )

    def test_the_cell_stays_in_sight_when_the_viewer_opens(
        self, make_report: MakeReport, opened: Callable[..., Any]
    ) -> None:
        report = make_report(tuple(map(str, range(43))), images=430)
        for width in (390, 1280):
            with opened(report, width=width) as tab:
                cell = tab.locator('.cell[data-t="20"][data-a="20"]')
                cell.scroll_into_view_if_needed()
                cell.click()
                box, viewer = cell.bounding_box(), tab.locator("#viewer").bounding_box()
                lowest = viewer["y"] if width == 390 else 900
                assert 0 <= box["y"] <= box["y"] + box["height"] <= lowest

    def test_a_matrix_wider_than_the_page_says_so_and_fades_until_its_end(
        self, make_report: MakeReport, opened: Callable[..., Any]
    ) -> None:
        report = make_report(tuple(map(str, range(15))), images=150)
        with opened(report) as tab:
            assert not tab.locator(".swipe").is_visible()
        with opened(report, width=390) as tab:
            assert tab.locator(".swipe").is_visible()
            box = tab.locator(".scroll:has(#matrix)")
            playwright.expect(box).to_have_class("scroll wide more")
            box.evaluate("box => box.scrollTo({left: 1e5, behavior: 'instant'})")
            playwright.expect(box).to_have_class("scroll wide")
            assert tab.locator(".swipe").is_visible(), "else the matrix would jump"

    def test_next_walks_over_the_mistakes_from_common_to_rare(
        self, make_report: MakeReport, opened: Callable[..., Any]
    ) -> None:
        report = make_report(tuple("abc"), images=90, mistakes=0.5)
        wrong = report.judgement.confusion.copy()
        np.fill_diagonal(wrong, 0)
        counts = sorted(wrong[wrong > 0].tolist(), reverse=True)
        with opened(report) as tab:
            tab.locator('.cell[data-t="0"][data-a="0"]').click()
            seen = []
            for _ in counts:
                tab.locator("#viewer-next").click()
                seen.append(int(tab.locator("#viewer-note").inner_text().split()[0]))
        assert seen == counts

    def test_a_cell_says_how_many_images_were_left_out(
        self,
        make_report: MakeReport,
        opened: Callable[..., Any],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(page_module, "MOST_BYTES", 150_000)
        with opened(make_report()) as tab:
            tab.locator('.cell[data-t="1"][data-a="1"]').click()
            held = tab.locator("#viewer .picture").count()
            count = int(tab.locator('.cell[data-t="1"][data-a="1"] b').inner_text())
            assert tab.locator("#viewer-note").inner_text() == (
                f"{count} images, of which this file holds {held}: "
                f"{count - held} left out to keep it small."
            )
            assert 0 < held < count

    def test_many_classes_are_a_map_whose_dots_open_their_images(
        self, make_report: MakeReport, opened: Callable[..., Any]
    ) -> None:
        count = 100
        report = make_report(tuple(f"c{number}" for number in range(count)), images=400)
        picture = next(one for one in report.pictures if one.truth != one.answer)
        with opened(report) as tab:
            box = tab.locator("#map").bounding_box()
            at = {
                "x": (picture.answer + 0.5) / count * box["width"],
                "y": (picture.truth + 0.5) / count * box["height"],
            }
            tab.locator("#map").hover(position=at)
            words = f"c{picture.truth} taken for c{picture.answer}"
            assert tab.locator("#map-says").inner_text().startswith(words)
            drawn = tab.locator("#map").evaluate(
                "(map, at) => [...map.getContext('2d').getImageData(at.x, at.y, 1, 1).data]", at
            )
            assert drawn[0] > drawn[2], "a mistake is orange"
            tab.locator("#map").click(position=at)
            assert tab.locator("#viewer-title").inner_text() == words
            assert picture.path in tab.locator("#viewer .path").all_inner_texts()


class TestTables:
    def test_a_heading_sorts_worst_first_then_best_first(
        self, make_report: MakeReport, opened: Callable[..., Any]
    ) -> None:
        report = make_report(tuple("abcdef"), images=120, mistakes=0.4)
        # A class that is never answered has no precision: it stands last both ways.
        rows = report.judgement.per_class
        silent = replace(rows[0], numbers={**rows[0].numbers, "precision": Interval(None)})
        report = replace(report, judgement=replace(report.judgement, per_class=(silent, *rows[1:])))
        with opened(report) as tab:
            for direction in ("ascending", "descending"):
                tab.locator("#per-class .sort", has_text="precision").click()
                texts = tab.locator("#per-class tbody td:nth-child(4)").all_inner_texts()
                values = [float(re.match(r"[\d.]+", text)[0]) for text in texts[:-1]]  # type: ignore[index]
                assert values == sorted(values, reverse=direction == "descending")
                assert texts[-1].startswith("–")
                heading = tab.locator("#per-class th", has_text="precision")
                assert heading.get_attribute("aria-sort") == direction

    def test_a_class_is_found_by_part_of_its_name_and_shows_its_images(
        self, make_report: MakeReport, opened: Callable[..., Any]
    ) -> None:
        names = tuple(f"{colour} {kind}" for colour in ("Red", "blue") for kind in "abcdefgh")
        with opened(make_report(names, images=160)) as tab:
            tab.locator("#search").fill("red")
            assert tab.locator("#per-class tbody tr:visible").count() == 8
            assert tab.locator("#found").inner_text() == "8 of 16 classes"
            tab.locator("#per-class .plain:visible").nth(2).click()
            assert tab.locator("#viewer-title").inner_text().startswith("Red c: ")
            assert tab.locator("#viewer-note").inner_text() == "10 images."
            assert tab.locator("#viewer .picture").count() == 10


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_the_heat_maps_can_be_switched_off(
    scripts: bool, make_report: MakeReport, opened: Callable[..., Any]
) -> None:
    with opened(make_report(), java_script_enabled=scripts) as tab:
        heat = tab.locator(".heat").first
        assert heat.is_visible()
        tab.locator("#heat-on").uncheck()
        assert not heat.is_visible()


def test_the_command_is_copied_or_selected(
    make_report: MakeReport, opened: Callable[..., Any]
) -> None:
    report = make_report()
    with opened(report) as tab:
        button = tab.locator('[data-copy="command"]')
        button.click()
        playwright.expect(button).not_to_have_text("Copy the command")
        if "Selected" in button.inner_text():
            assert tab.evaluate("String(getSelection())").strip() == report.command


def test_on_paper_there_are_no_buttons_and_nothing_is_cut_off(
    make_report: MakeReport, opened: Callable[..., Any]
) -> None:
    with opened(make_report(tuple(map(str, range(20))), images=100)) as tab:
        tab.emulate_media(media="print", color_scheme="dark")
        for hidden in ("nav", "#viewer", "[data-copy]", "#search"):
            assert not tab.locator(hidden).first.is_visible()
        assert (
            tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        )
        table = tab.locator("#per-class")
        assert table.evaluate(
            "table => table.parentNode.scrollHeight <= table.parentNode.clientHeight"
        )
