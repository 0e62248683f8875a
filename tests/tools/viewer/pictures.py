"""The README's pictures of the pages, and how long the viewer takes to open a run and to step through it.

    python -m tests.tools.viewer.pictures RUN FOLDER

Writes view_compare.jpg, view_scene.jpg and player.jpg of a finished run into the folder, and prints seconds from the
command to the printed address and from the address to the first picture, and milliseconds of a step, on this machine:
the first ones of a server that has just been started, without a pause between them, and those of another with pauses
as somebody makes them who looks.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from tests.browser import Browser, Page, PageError, open_browser

STEPS, WIDTH, HEIGHT = 40, 1440, 860
LOOKING_S = 0.6
# The next of the worst views, camera and frame, and layers.
WALK = "jdc.dck,d"


def keep(page: Page, path: Path) -> None:
    shot = page.screenshot(path.with_suffix(".png"))
    with Image.open(shot) as picture:
        picture.convert("RGB").save(path, quality=85)
    shot.unlink()


def timed(page: Page, act: Callable[[], object], done: str) -> float:
    begun = time.perf_counter()
    act()
    page.wait_for(done)
    return time.perf_counter() - begun


@contextlib.contextmanager
def viewed(browser: Browser, run: Path) -> Iterator[tuple[Page, str]]:
    """The page of a server of its own, with its first picture, and its address; prints how long that took."""
    begun = time.perf_counter()
    viewer = subprocess.Popen(
        [sys.executable, "-m", "simulacra.tools.cli", "view", str(run)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert viewer.stdout is not None
        address = next(word for line in viewer.stdout for word in line.split() if word.startswith("http"))
        started = time.perf_counter() - begun
        page = browser.open("about:blank", WIDTH, HEIGHT)
        opened = timed(page, lambda: page.goto(address), "document.body.dataset.shown")
        print(f"command to address {started:.2f} s, address to picture {opened:.2f} s")
        yield page, address.split("#")[0]
        page.close()
    finally:
        viewer.terminate()
        viewer.wait()


def step(page: Page, keys: str, pause: float) -> None:
    """Prints how long steps take; those that lead nowhere, as at the last frame, are left out."""
    steps = []
    for number in range(STEPS):
        before = page.evaluate("document.body.dataset.shown")
        page.evaluate(
            "window.stepped = null; document.addEventListener('shown', () => { window.stepped = performance.now(); }, "
            "{ once: true }); addEventListener('keydown', () => { window.pressed = performance.now(); }, "
            "{ once: true, capture: true })"
        )
        where = page.evaluate("location.href")
        page.press(keys[number % len(keys)])
        with contextlib.suppress(PageError):
            page.wait_for(f"location.href != {json.dumps(where)}", seconds=2)
            page.wait_for(f"window.stepped && document.body.dataset.shown != {json.dumps(before)}")
            steps.append(page.evaluate("window.stepped - window.pressed"))
        time.sleep(pause)
    ms = np.array(steps)
    high = np.quantile(ms, 0.95)
    print(
        f"{len(ms)} steps, {pause:g} s between: median {np.median(ms):.0f} ms, 95 % {high:.0f}, worst {ms.max():.0f}, "
        f"{np.count_nonzero(ms >= 100)} of 100 ms or more; load {os.getloadavg()[0]:.1f}"
    )


def look(browser: Browser, run: Path, folder: Path) -> None:
    with viewed(browser, run) as (page, _):
        step(page, "jdkd", 0.0)
    with viewed(browser, run) as (page, address):
        step(page, WALK, LOOKING_S)
        page.goto(f"{address}#tab=compare")
        page.wait_for("document.body.dataset.shown")
        keep(page, folder / "view_compare.jpg")
        page.press("v")
        page.wait_for("document.body.dataset.splats")
        drawn = int(page.evaluate("document.body.dataset.drawn"))
        page.wait_for(f"Number(document.body.dataset.drawn) > {drawn}")
        keep(page, folder / "view_scene.jpg")


def play(browser: Browser, run: Path, folder: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        html = Path(name) / "person.html"
        subprocess.run(
            [sys.executable, "-m", "simulacra.tools.cli", "export", str(run), "--out", str(html)], check=True
        )
        page = browser.open(html.as_uri(), 900, 700)
        page.wait_for("window.player?.ready || window.playerFailed")
        page.wait_for("player.renderer.drawable")
        time.sleep(5)
        print(f"player: {page.evaluate('document.body.innerText').split('frames')[0][-40:]!r}")
        keep(page, folder / "player.jpg")
        page.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    with open_browser() as browser:
        look(browser, given.run.resolve(), given.folder)
        play(browser, given.run, given.folder)


if __name__ == "__main__":
    main()
