"""The study's page in a browser, by keyboard and pointer, at three widths."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from simulacra.tools.study.app import make_study
from simulacra.tools.study.pairs import compared_runs, find_pairs
from simulacra.tools.viewer.access import Access
from tests.browser import Browser, Page
from tests.tools.viewer.serving import served_app, write_scored_run

WIDTHS = (360, 900, 1600)
RUNS = ("sharpened", "blurred")


@pytest.fixture
def answers(tmp_path: Path) -> Path:
    return tmp_path / "answers.jsonl"


@pytest.fixture
def page(browser: Browser, tmp_path: Path, answers: Path) -> Iterator[Page]:
    views = {("front", 0): 30.0, ("back", 3): 20.0, ("side", 0): 25.0}
    runs = [write_scored_run(tmp_path / name, views, shift) for name, shift in zip(RUNS, (0, 4), strict=True)]
    with served_app(make_study(find_pairs(compared_runs(runs)), answers, 0, Access())) as address:
        opened = browser.open(f"{address}/")
        opened.wait_for("document.body.dataset.shown")
        yield opened
        assert opened.complaints == []
        assert all(asked.startswith(address) for asked in opened.requests)  # nothing from elsewhere
        opened.close()


def wait(page: Page, done: int) -> None:
    page.wait_for(f"document.body.dataset.shown.endsWith(' {done}')")


def said(answers: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in answers.read_text().splitlines()]


def test_a_study_is_answered_by_keys(page: Page, answers: Path) -> None:
    for done, key in enumerate(("ArrowLeft", "ArrowDown", "ArrowRight"), 1):
        page.press(key)
        wait(page, done)
    assert [line["answer"] for line in said(answers)] == ["left", "same", "right"]
    assert all(line["seconds"] >= 0 for line in said(answers))
    assert len({line["camera"] for line in said(answers)}) == 3
    assert page.evaluate("!document.getElementById('end').hidden && document.getElementById('bout').hidden")
    page.press("u")
    wait(page, 2)
    assert said(answers)[-1]["removed"] is True
    assert said(answers)[-1]["camera"] == said(answers)[-2]["camera"]
    page.press("ArrowLeft")
    wait(page, 3)
    assert said(answers)[-1]["answer"] == "left"


def test_a_study_is_answered_by_pointer_under_a_name(page: Page, answers: Path) -> None:
    before = page.evaluate("document.body.dataset.shown")
    page.click("#who")
    page.evaluate("document.getElementById('who').value = 'ann u'")
    page.press("u")  # letters that are typed answer nothing
    page.click("#person button")
    page.wait_for(f"document.body.dataset.shown !== {json.dumps(before)}")
    assert not answers.exists()
    page.click("#say-right")
    wait(page, 1)
    (line,) = said(answers)
    assert line["answer"] == "right"
    assert str(line["who"]).startswith("ann")


def test_the_page_names_no_run_and_shows_the_photograph_in_the_middle(page: Page) -> None:
    words = page.evaluate("document.documentElement.outerHTML")
    assert not any(name in words for name in RUNS)
    order = page.evaluate("[...document.querySelectorAll('#pictures figure')].map(f => f.id)")
    assert order == ["left", "photo", "right"]
    left, photo = (
        page.evaluate(f"document.querySelector('#{side} img').getAttribute('src')")
        for side in ("left", "photo")
    )
    page.send("Input.dispatchKeyEvent", type="keyDown", key="p")
    assert page.evaluate("document.querySelector('#left img').getAttribute('src')") == photo
    page.send("Input.dispatchKeyEvent", type="keyUp", key="p")
    assert page.evaluate("document.querySelector('#left img').getAttribute('src')") == left


@pytest.mark.parametrize("width", WIDTHS)
def test_everything_fits_and_says_what_it_is(page: Page, width: int, tmp_path: Path) -> None:
    page.resize(width, 800)
    page.wait_for("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    boxes = page.evaluate(
        "[...document.querySelectorAll('#pictures img, #answers button')].map(e => {"
        "const b = e.getBoundingClientRect(); return [b.left, b.right, b.width, b.height, b.bottom]; })"
    )
    for left, right, wide, high, bottom in boxes:
        assert 0 <= left < right <= width
        assert wide >= 40
        assert high >= 24
        assert bottom <= 800  # answers are seen without scrolling
    assert all(page.evaluate("[...document.images].map(i => i.alt)"))
