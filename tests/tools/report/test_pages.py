"""The pages in a browser: no wider than a phone, no fault that axe-core finds, pictures by keyboard and by buttons.

axe-core is looked for in the folder of packages that `SIMULACRA_NODE_MODULES` names.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from simulacra.recon.evaluate.protocol import lock_protocol
from simulacra.recon.evaluate.scores import collect
from simulacra.recon.evaluate.scoring import Evaluation, write_metrics
from simulacra.recon.preflight import Check, Preflight, save_preflight
from simulacra.render.image import write_image
from simulacra.tools.comparison.comparing import hold_together
from simulacra.tools.comparison.page import write_comparison
from simulacra.tools.comparison.summaries import summarize
from simulacra.tools.report.check_page import write_check_page
from simulacra.tools.report.write import write_run_report
from tests.browser import Browser, Page, open_browser

FRAMES = tuple(range(12))
PROTOCOL = lock_protocol(
    ("front", "a-camera-of-a-long-name-that-someone-gave-it"), FRAMES, (), held_out_every=4
)
CHECKS = (
    Check(
        "image-size",
        "cam01, cam02",
        0.735,
        "% off the calibrated size",
        "0",
        "warn",
        "were pictures cut? scale K",
    ),
    Check("stature", "cam_of_a_long_name", 17.0, "m", "1.0 to 2.2", "fail", "check the depth scale"),
    *(
        Check(code, "cam1", 0.1, "px of the image", "<= 2 px", "pass", "")
        for code in ("focal", "epipolar", "exposure")
    ),
)


def make_run(run: Path, darker: float) -> Path:
    """A run with all that a report shows: pictures of two cameras, numbers over time, regions, tags, doubts, losses."""
    values = {view: 20.0 + np.sin(view.frame) - 10 * darker for view in PROTOCOL.evaluated}
    regions = {view: {"face": value - 2, "torso": value} for view, value in values.items()}
    score = collect("psnr_fg", values)
    settings = {"alpha_threshold": 0.5, "longest_side": 512, "crop_margin": 0.1, "least_confidence": 0.5}
    made = Evaluation(PROTOCOL, {"psnr_fg": score}, settings | {"mask_sources": {"session": 6}}, (), regions)
    write_metrics(run / "evaluate" / "metrics.json", made)
    photo = np.zeros((90, 60, 3), np.float32)
    photo[20:70, 20:40] = 0.8
    for view in PROTOCOL.evaluated:
        for kind, shade in (("photo", 1.0), ("render", 1 - darker), ("difference", 0.2)):
            write_image(
                run / "evaluate" / "views" / f"{view.camera}_{view.frame:06d}_{kind}.png", photo * shade
            )
    for name in ("turntable/000", "turntable/001", "overlay/front"):
        write_image(run / "evaluate" / f"{name}.png", photo)
    (run / "avatar").mkdir()
    steps = np.arange(50.0)
    np.savez(run / "avatar" / "losses.npz", step=steps, total=1 / (1 + steps))
    save_preflight(run / "preflight", Preflight(CHECKS, ("camera 1 lags by 2 frames",)))
    (run / "tags.jsonl").write_text(
        '{"id": "1", "time": "2026", "frame": 3, "camera": "front", "tag": "hole", "note": "knee"}\n'
    )
    stages = {"avatar": {"seconds": 125.0, "peak_mb": 900.0, "skipped": False}}
    config = {"avatar": {"kind": "avatar", "steps": 60}}
    described = {"stages": stages, "session": "/captures/S01", "config_name": "smoke", "config": config}
    (run / "run.json").write_text(json.dumps(described | {"session_fingerprint": "s"}))
    (run / "config.yaml").write_text("avatar:\n  steps: 60\n")
    return run


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    runs = [make_run(folder / name, darker) for name, darker in (("first", 0.1), ("second", 0.2))]
    comparison = hold_together([summarize(run) for run in runs])
    return {
        "report": write_run_report(runs[0]),
        "compare": write_comparison(folder / "compare.html", comparison),
        "check": write_check_page(folder / "check.html", folder / "S01", Preflight(CHECKS), None),
    }


def opened(browser: Browser, path: Path, width: int, *, dark: bool = False) -> Page:
    page = browser.open(width=width, height=740)
    scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
    page.send("Emulation.setEmulatedMedia", features=scheme)
    page.goto(path.resolve().as_uri())
    page.wait_for("document.readyState === 'complete' && !!document.querySelector('h1')")
    return page


@pytest.mark.parametrize("name", ["report", "compare", "check"])
def test_no_page_is_wider_than_its_window(browser: Browser, pages: dict[str, Path], name: str) -> None:
    for width in (360, 900, 1600):
        page = opened(browser, pages[name], width)
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert not page.complaints and all(url.startswith(("file:", "data:")) for url in page.requests)
        page.close()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("name", ["report", "compare", "check"])
def test_axe_finds_no_violation(browser: Browser, pages: dict[str, Path], name: str, dark: bool) -> None:
    folder = os.environ.get("SIMULACRA_NODE_MODULES")
    axe = Path(folder or "node_modules") / "axe-core" / "axe.min.js"
    if not axe.is_file():
        pytest.skip(f"no axe-core at {axe}; SIMULACRA_NODE_MODULES names the folder of packages")
    page = opened(browser, pages[name], 900, dark=dark)
    page.evaluate(axe.read_text("utf-8") + "; 0")
    run = "axe.run().then(found => found.violations.map(v => [v.id, v.nodes[0].html]))"
    assert page.evaluate(run) == []
    # Control: what is wrong is found.
    page.evaluate("document.querySelector('main').append(Object.assign(new Image(), {id: 'wrong'})); 0")
    assert [found[0] for found in page.evaluate(run)] == ["image-alt"]
    page.evaluate("document.getElementById('wrong').remove(); 0")
    if name != "check":
        page.click(".zoom")
        page.press("w")
        assert page.evaluate(run) == []
    page.close()


def caption(page: Page) -> str:
    return page.evaluate("document.querySelector('#lightbox .caption').textContent")


def test_pictures_change_in_place_by_keyboard_and_by_buttons(
    browser: Browser, pages: dict[str, Path]
) -> None:
    page = opened(browser, pages["report"], 360)
    page.evaluate("document.querySelector('.zoom').focus(); 0")
    page.press("Enter", 13, "\r")
    first = page.wait_for(
        "document.querySelector('#lightbox[open]') && document.querySelector('.caption').textContent"
    )
    assert first.endswith(": photo")
    page.press("2")
    assert caption(page) == first.replace("photo", "render")
    page.press("ArrowRight", 39)
    assert caption(page) != first.replace("photo", "render") and caption(page).endswith(": render")
    page.press("ArrowLeft", 37)
    page.press("w")
    assert caption(page).endswith(": photo left, render right")
    assert page.evaluate("document.querySelector('.over').style.clipPath") == "inset(0px 0px 0px 50%)"
    # Where the wipe is dragged to is where it is, and the buttons are large enough for a finger.
    page.evaluate(
        "(w => { w.value = 20; w.dispatchEvent(new Event('input')) })(document.querySelector('.where')); 0"
    )
    assert page.evaluate("document.querySelector('.edge').style.left") == "20%"
    sizes = page.evaluate(
        "[...document.querySelectorAll('#lightbox button')].map(b => b.getBoundingClientRect())"
        ".map(b => [b.width, b.height])"
    )
    assert len(sizes) == 7 and all(min(size) >= 38 for size in sizes)
    page.click(".kinds button:nth-child(3)")
    assert caption(page).endswith(": render left, difference right")
    page.click("#lightbox .close")
    assert not page.evaluate("document.querySelector('#lightbox').open")
    page.close()


def test_views_of_one_camera_alone_are_shown_and_stepped_through(
    browser: Browser, pages: dict[str, Path]
) -> None:
    page = opened(browser, pages["report"], 900)
    shown = "[...document.querySelectorAll('.view')].filter(v => v.offsetParent).length"
    assert page.evaluate(shown) == len(PROTOCOL.evaluated)
    choose = "(f => { f.value = 'front'; f.dispatchEvent(new Event('change')); return 0 })"
    page.evaluate(f"{choose}(document.querySelector('#camera-filter'))")
    assert page.evaluate(shown) == len(PROTOCOL.evaluated) / 2
    page.close()


def test_a_line_of_a_strip_leads_to_its_worst_view(browser: Browser, pages: dict[str, Path]) -> None:
    page = opened(browser, pages["report"], 900)
    links = page.evaluate(
        "[...document.querySelectorAll('.strip a')].map(a => [a.textContent, a.getAttribute('href')])"
    )
    # sin(3) = 0.14, sin(7) = 0.66, sin(11) = -1.0.
    assert [text for text, _ in links] == ["worst 18.00 dB in frame 11"] * 2
    titles = [
        page.evaluate(f"document.querySelector('{href} figcaption b').textContent") for _, href in links
    ]
    assert all(title.endswith("frame 11") for title in titles) and len(set(titles)) == 2
    page.close()


@pytest.mark.parametrize("name", ["report", "compare"])
def test_pages_are_printed_on_few_sheets(browser: Browser, pages: dict[str, Path], name: str) -> None:
    page = opened(browser, pages[name], 900, dark=True)
    printed = base64.b64decode(page.send("Page.printToPDF", printBackground=True)["data"])
    assert printed.startswith(b"%PDF") and 1 <= printed.count(b"/Type /Page\n") <= 4
    page.close()
