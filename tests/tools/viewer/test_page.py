"""The page in a browser: what a person does with it, by keyboard and pointer, at three widths."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from simulacra.render.body import BodyModel
from simulacra.tools.viewer.drawing import DrawnRun
from simulacra.tools.viewer.studio import Studio
from simulacra.tools.viewer.summary import Summary
from simulacra.tools.viewer.tags import read_tags
from tests.browser import Browser, Page
from tests.recon.evaluate.test_again import save_run
from tests.recon.planted_capture import planted_avatar, planted_session
from tests.tools.viewer.serving import copy_run, ids_of, served, write_scored_run

# Two views each, of which one has the hole that is looked for.
RUNS, WORST = 20, 10
WIDTHS = (360, 900, 1600)
# More work than this waiting for each processor says nothing of the page's own time.
BUSY = 4
# What all pictures of a run are held to.
LEAST_DB = 55.0


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("judged")
    for number in range(RUNS):
        write_scored_run(root / f"run{number:02d}", {("a", 0): 30.0 - number, ("a", 1): 40.0 + number})
    return root


@pytest.fixture(scope="module")
def address(runs: Path) -> Iterator[str]:
    with served([runs]) as found:
        yield found


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    opened = browser.open(f"{address}/")
    opened.wait_for("document.body.dataset.shown")
    yield opened
    # A picture that is not there is one of the things that are tried.
    assert [said for said in opened.complaints if "Failed to load resource" not in said] == []
    assert all(asked.startswith((address, "blob:")) for asked in opened.requests)  # nothing from elsewhere
    opened.close()


def shown(page: Page) -> list[str]:
    """Run, camera, frame and both layers of what is to be seen."""
    return page.evaluate("document.body.dataset.shown").split(" ")


def press(page: Page, keys: str) -> None:
    for key in keys:
        page.press(key)


def slide(page: Page, selector: str, value: int) -> None:
    page.evaluate(
        f"(e => {{ e.value = {value}; e.dispatchEvent(new Event('input')); }})"
        f"(document.querySelector({json.dumps(selector)}))"
    )


def keep_picture(page: Page, name: str) -> None:
    """Where somebody wants to look at them (`$SIMULACRA_SCREENSHOTS`)."""
    if folder := os.environ.get("SIMULACRA_SCREENSHOTS"):
        page.screenshot(Path(folder) / f"{name}.png")


def test_the_ten_worst_frames_of_twenty_runs_are_tagged_by_keyboard_within_a_minute(
    page: Page, runs: Path, address: str
) -> None:
    begun = time.monotonic()
    page.press("g")
    page.wait_for(f"document.body.dataset.rows == {2 * RUNS}")
    for place in range(WORST):
        wanted = ids_of(address)[f"run{RUNS - 1 - place:02d}"]
        page.wait_for(f"document.body.dataset.shown.startsWith('{wanted} a 0 ')")
        press(page, "2" if place % 2 else "1s")
        page.press("j")
    page.wait_for(f"document.body.dataset.tagged == {WORST}")
    took = time.monotonic() - begun
    assert took < 60 or os.getloadavg()[0] > BUSY * (os.cpu_count() or 1)
    for place in range(WORST):
        run = runs / f"run{RUNS - 1 - place:02d}"
        end = time.monotonic() + 10
        while (found := read_tags(run)) == [] and time.monotonic() < end:
            time.sleep(0.05)
        assert [(t["camera"], t["frame"], t["tag"]) for t in found] == [
            ("a", 0, "hole" if place % 2 else "bad hand")
        ]


def test_keys_do_nothing_while_a_note_is_written(page: Page, runs: Path) -> None:
    page.press("3")
    page.wait_for("document.querySelectorAll('#tags li').length == 1")
    before = shown(page)
    page.press("t")
    page.wait_for("document.activeElement.id == 'note'")
    press(page, "j12 wd")
    page.press("Enter", 13)
    page.wait_for("document.querySelector('#tags li').textContent.includes('j12 wd')")
    assert shown(page) == before
    assert page.evaluate("document.activeElement.id") != "note"
    assert page.evaluate("document.querySelectorAll('#tags li').length") == 1
    page.press("u")
    page.wait_for("document.querySelectorAll('#tags li').length == 0")
    page.press("j")  # and now they do
    page.wait_for(f"document.body.dataset.shown != {json.dumps(' '.join(before))}")


def test_the_wipe_follows_pointer_and_keys(page: Page) -> None:
    wipe = "Number(document.querySelector('.line').getAttribute('aria-valuenow'))"
    cut = "parseFloat(getComputedStyle(document.querySelector('.stack')).getPropertyValue('--wipe'))"
    page.press("ArrowLeft", 37)
    page.wait_for(f"{wipe} == 45 && {cut} == 45")
    box = page.evaluate("document.querySelector('.stack').getBoundingClientRect().toJSON()")
    at = (box["x"] + 0.8 * box["width"], box["y"] + 20)
    page.send("Input.dispatchMouseEvent", type="mouseMoved", x=at[0], y=at[1])
    page.wait_for(f"Math.abs({wipe} - 80) <= 1")
    page.evaluate("document.querySelector('.line').focus()")
    page.press("Home", 36)
    page.wait_for(f"{wipe} == 0")


def test_layers_and_runs_side_by_side(page: Page, address: str) -> None:
    page.press("d")  # past the overlay, for which this run has no photographs
    page.wait_for("document.body.dataset.shown.includes(' person difference')")
    overlay = "[...document.getElementById('right').options].find(o => o.value == 'overlay')"
    assert (
        page.evaluate(f"{overlay}.disabled && {overlay}.textContent")
        == "overlay (the capture of this run has gone)"
    )
    page.wait_for("document.querySelectorAll('#bars canvas').length == 2")
    page.press("D")
    other = ids_of(address)["run03"]
    page.evaluate(
        f"(e => {{ e.value = '{other}'; e.dispatchEvent(new Event('change')); }})(document.getElementById('beside'))"
    )
    page.wait_for("document.querySelectorAll('#panes figure').length == 3")  # both, and their difference
    page.wait_for("[...document.querySelectorAll('#panes .stack > img')].every(i => i.naturalWidth == 64)")
    page.wait_for(f"document.body.dataset.shown.endsWith('{other}')")


def test_a_reload_and_a_second_tab_each_keep_their_own(browser: Browser, page: Page, address: str) -> None:
    page.press("j")
    page.press("e")
    page.wait_for("document.body.dataset.shown.includes(' render render')")
    before, where = shown(page), page.evaluate("location.href")
    second = browser.open(f"{address}/")
    second.wait_for("document.body.dataset.shown")
    assert shown(second)[3:5] == ["person", "render"]
    second.close()
    page.send("Page.reload")
    page.wait_for("document.body.dataset.shown && performance.navigation.type == 1")
    assert shown(page) == before and page.evaluate("location.href") == where


def test_a_run_that_goes_is_said_and_the_page_lives_on(browser: Browser, runs: Path, tmp_path: Path) -> None:
    run = copy_run(runs / "run00", tmp_path / "going")
    copy_run(runs / "run01", tmp_path / "staying")
    with served([tmp_path]) as address:
        page = browser.open(f"{address}/#run={ids_of(address)['staying']}")
        page.wait_for("document.body.dataset.shown")
        run.rename(tmp_path.parent / "gone")
        page.press("r")
        page.wait_for("document.getElementById('problems').textContent.includes('no longer there')")
        page.press("r")
        page.wait_for("document.getElementById('problems').textContent == ''")
        page.close()


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_wider_than_the_window(page: Page, width: int) -> None:
    page.resize(width, 800)
    page.wait_for(f"document.documentElement.clientWidth == {width}")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("document.querySelector('.stack').getBoundingClientRect().width") > 0.9 * min(
        width - 40, 0.6 * width
    )
    keep_picture(page, f"compare_{width}")


@pytest.fixture(scope="module")
def whole(body: BodyModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a run with an avatar, fit and capture, and of the capture alone."""
    root = tmp_path_factory.mktemp("whole")
    session = planted_session(root / "session", body, planted_avatar(body))
    save_run(root / "run", session, body)
    with served([root]) as address:
        yield address


def test_what_is_waited_for_is_said_and_neighbours_are_fetched_ahead(
    browser: Browser, whole: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, drawn = threading.Event(), Studio.drawn

    def slow(self: Studio, summary: Summary) -> DrawnRun:
        opened.wait(60)
        return drawn(self, summary)

    monkeypatch.setattr(Studio, "drawn", slow)
    page = browser.open(f"{whole}/#run={ids_of(whole)['run']}&camera=a&frame=0&right=overlay")
    page.wait_for("document.querySelector('.said')?.textContent.startsWith('The server is ')")
    keep_picture(page, "waiting")
    assert not page.evaluate("document.body.dataset.shown || ''")
    opened.set()
    page.wait_for("document.body.dataset.shown.endsWith(' a 0 person overlay ')")
    assert page.evaluate("document.querySelector('.said').textContent") == ""
    page.wait_for("document.body.dataset.ahead == document.body.dataset.shown")
    asked = {
        request.partition("/picture/")[2].partition("/")[2].partition("?")[0] for request in page.requests
    }
    # Another layer on the right and on the left, the next frame, and the cameras on both sides.
    assert {"difference/a/0", "render/a/0", "photo/a/0", "overlay/a/1", "overlay/b/0", "overlay/c/0"} <= asked
    assert page.complaints == []
    page.close()


def test_a_capture_alone_offers_what_it_has(browser: Browser, whole: str) -> None:
    page = browser.open(f"{whole}/#run={ids_of(whole)['session']}")
    page.wait_for("document.body.dataset.shown")
    offered = page.evaluate(
        "Object.fromEntries([...document.getElementById('right').options]"
        ".map(o => [o.value, o.disabled && o.textContent]))"
    )
    assert not offered.pop("photo")
    assert offered.pop("measured") == "depth, sensor (the capture has no depth)"
    assert all(
        said.endswith(" (nothing has been reconstructed of this capture yet)") for said in offered.values()
    )
    assert page.evaluate("document.getElementById('right').value") == "photo"
    assert page.evaluate(
        "document.getElementById('tab-play').disabled && document.getElementById('tab-play').title"
    )
    said = page.evaluate("document.getElementById('position').textContent")
    assert said.startswith("Nothing to sort: nothing has been reconstructed")
    page.press("d")
    page.press("g")  # there is a run beside it, whose views are sorted then
    page.wait_for("document.querySelectorAll('#rows li').length > 0")
    assert page.complaints == []
    page.close()


def test_the_scene_agrees_with_the_exact_picture_in_all_its_layers(browser: Browser, whole: str) -> None:
    page = browser.open(f"{whole}/#tab=scene&run={ids_of(whole)['run']}&camera=c&frame=0")
    page.wait_for("window.simulacraScene && document.body.dataset.scene")
    assert page.evaluate("simulacraScene.agreement('c')") >= LEAST_DB
    slide(page, "#frame", 1)
    page.wait_for("document.body.dataset.scene.endsWith(' 1')")
    assert page.evaluate("simulacraScene.agreement('a')") >= LEAST_DB
    for layer in ("body", "points"):
        page.click(f"#layer-{layer}")
    page.evaluate("simulacraScene.turn(0.4, 0.1)")
    drawn = page.evaluate("document.body.dataset.drawn")
    page.wait_for(f"document.body.dataset.drawn != '{drawn}'")
    page.evaluate("simulacraScene.jump('b')")
    lit = (
        "(() => { const c = document.getElementById('gl'), d = c.getContext('2d').getImageData(0, 0, c.width, c.height)"
        ".data; let n = 0; for (let i = 3; i < d.length; i += 4) n += d[i] > 128; return n > 2000; })()"
    )
    page.wait_for(lit)
    keep_picture(page, "scene")
    assert page.complaints == []
    page.close()


def test_sliders_move_the_avatar_and_the_capture_is_looked_at(browser: Browser, whole: str) -> None:
    ids = ids_of(whole)
    page = browser.open(f"{whole}/#tab=play&run={ids['run']}")
    page.wait_for("document.body.dataset.played == 1")
    before = page.evaluate("document.getElementById('play-picture').src")
    slide(page, "#sliders input", 90)
    page.wait_for(f"document.getElementById('play-picture').src != '{before}'")
    keep_picture(page, "play")
    page.press("v")
    page.wait_for("document.body.dataset.inspected == 'idle'")
    page.press("r")
    page.press("v")
    page.wait_for("document.querySelector('.stack > img')?.alt.startsWith('photo, whole')")
    page.wait_for("document.querySelector('.stack > img').naturalWidth == 96")
    assert page.complaints == []
    page.close()
