"""The player's page in a real browser: it loads, plays, shows our own picture, and asks nobody for anything."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import simulacra.tools.player
from simulacra.render.avatar import drive, rig_body
from simulacra.render.body import BodyModel, BodyPose
from simulacra.render.camera import look_at
from simulacra.render.export.rigged import RiggedAvatar, pack_rigged
from simulacra.render.gaussians import rasterize_gaussians
from simulacra.tools.player import write_player
from tests.browser import Browser, Page, serve_folder
from tests.render.test_avatar import gesture, planted
from tests.tools.player.pictures import psnr

PLAYER = Path(simulacra.tools.player.__path__[0])
SIZE = 512
LEAST_DB = 55.0
LARGEST_PAGE = 5e6  # bytes, of one file with 50,000 Gaussians


@pytest.fixture(scope="module")
def content(body: BodyModel) -> RiggedAvatar:
    """A person in random colors who bends from one frame to the other."""
    avatar, rig = planted(body, standoff=0.01)
    generator = torch.Generator().manual_seed(3)
    rest = avatar.gaussians.replace(
        log_scales=torch.randn(len(avatar), 3, generator=generator) * 0.4 - 4.2,
        logit_opacities=torch.randn(len(avatar), generator=generator) + 3,
        sh=torch.randn(len(avatar), 1, 3, generator=generator),
    )
    zero, bent = body.zero_pose(), gesture(body, 0.1)
    fields = ("rotations", "translation", "expression")
    motion = BodyPose(*(torch.cat([getattr(zero, n), getattr(bent, n)]) for n in fields))
    return RiggedAvatar(avatar.replace(gaussians=rest), rig, zero, motion, 10.0)


@pytest.fixture(scope="module")
def pages(content: RiggedAvatar, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The addresses of both forms of the page."""
    folder = tmp_path_factory.mktemp("player")
    packed = pack_rigged(content, binding=False)
    write_player(folder / "person.html", packed, "A <person> & co")
    write_player(folder / "site", packed, "A person")
    with serve_folder(folder / "site") as address:
        yield {"single": (folder / "person.html").as_uri(), "folder": f"{address}/index.html"}


def opened(browser: Browser, url: str) -> Page:
    page = browser.open(url, 700, 700)
    page.wait_for("window.player?.ready || window.playerFailed")
    assert not page.evaluate("window.playerFailed")
    return page


@pytest.mark.parametrize("form", ["single", "folder"])
def test_the_page_shows_our_own_picture_of_the_same_pose(
    browser: Browser, pages: dict[str, str], content: RiggedAvatar, form: str
) -> None:
    page = opened(browser, pages[form])
    assert content.motion is not None
    last = BodyPose(
        content.motion.rotations[1:], content.motion.translation[1:], content.motion.expression[1:]
    )
    posed = drive(content.avatar, content.rig, last)
    middle = posed.means.mean(0, keepdim=True)
    view = look_at(middle + torch.tensor([[0.5, 0.3, 3.0]]), middle, 1.2 * SIZE, SIZE, SIZE)
    ours = rasterize_gaussians(posed, view, eps2d=content.eps2d).rgb_premul[0].clamp(0, 1).numpy()
    asked = {
        "rotations": last.rotations[0].flatten().tolist(),
        "translation": last.translation[0].tolist(),
        "expression": last.expression[0].tolist(),
        "viewmat": view.viewmats[0].flatten().tolist(),
        "K": view.Ks[0].flatten().tolist(),
        "width": SIZE,
        "height": SIZE,
    }
    text = page.evaluate(
        f"player.picture({json.dumps(asked)}).then(bytes => {{ let text = ''; for (let i = 0; i < bytes.length; "
        "i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192)); return btoa(text); })"
    )
    theirs = np.frombuffer(base64.b64decode(text), np.uint8).reshape(SIZE, SIZE, 4)[..., :3] / 255
    assert psnr(theirs, ours) >= LEAST_DB
    page.wait_for("document.getElementById('play').textContent === 'Pause' && player.frame === 1")
    assert page.complaints == []
    own = (
        ("file:", "data:", "blob:")
        if form == "single"
        else (pages["folder"].rsplit("/", 1)[0], "data:", "blob:")
    )
    assert [url for url in page.requests if not url.startswith(own)] == []
    page.close()


def test_sliders_keys_and_the_mouse_move_the_person(browser: Browser, pages: dict[str, str]) -> None:
    page = opened(browser, pages["single"])
    page.click("#play")
    assert not page.evaluate("player.playing")
    page.evaluate("document.activeElement.blur()")
    page.press(" ", 32)
    assert page.evaluate("player.playing")
    page.press(" ", 32)
    page.click("#panel-button")
    assert page.evaluate("document.getElementById('panel-button').getAttribute('aria-expanded')") == "true"
    page.evaluate(
        "(() => { const joint = document.getElementById('joint'); joint.value = player.avatar.header.bones.indexOf("
        "'lowerarm01.L'); joint.dispatchEvent(new Event('change'));"
        "const turn = document.querySelector('#turns input'); turn.value = 90;"
        "turn.dispatchEvent(new Event('input')); })()"
    )
    bone = page.evaluate("player.avatar.header.bones.indexOf('lowerarm01.L')")
    assert page.evaluate(f"player.turned.get({bone})[0]") == pytest.approx(np.pi / 2)
    before = page.evaluate("player.orbit.yaw")
    page.drag((200, 200), (300, 200))
    assert page.evaluate("player.orbit.yaw") == pytest.approx(before - 0.8)
    page.evaluate("document.getElementById('canvas').focus()")
    page.press("ArrowLeft", 37)
    assert page.evaluate("player.orbit.yaw") == pytest.approx(before - 0.9)
    page.click("#untwist")
    assert page.evaluate("player.turned.size") == 0
    assert page.complaints == []
    page.close()


def test_nothing_is_cut_off_at_any_width(browser: Browser, pages: dict[str, str]) -> None:
    page = opened(browser, pages["single"])
    page.click("#panel-button")
    for width in (360, 900, 1600):
        page.resize(width, 740, touch=width < 500)
        beyond = page.evaluate(
            "[...document.querySelectorAll('button, input, select, canvas, #panel')].filter(e => { const b = "
            "e.getBoundingClientRect(); return b.width && (b.left < -1 || b.right > innerWidth + 1); }).map(e => e.id)"
        )
        assert beyond == [] and page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        if kept := os.environ.get("SIMULACRA_SCREENSHOTS"):
            page.wait_for("player.renderer.drawable")
            page.screenshot(Path(kept) / f"player_{width}.png")
    page.close()


def test_a_damaged_avatar_is_told_in_the_page(
    browser: Browser, content: RiggedAvatar, tmp_path: Path
) -> None:
    packed = bytearray(pack_rigged(content))
    packed[-100] ^= 1
    write_player(tmp_path / "bad.html", bytes(packed), "bad")
    page = browser.open((tmp_path / "bad.html").as_uri())
    page.wait_for("window.playerFailed")
    assert "damaged" in page.evaluate("document.querySelector('[role=alert]').textContent")
    page.close()


def test_a_folder_that_is_opened_from_the_disk_says_that_it_wants_a_server(
    browser: Browser, content: RiggedAvatar, tmp_path: Path
) -> None:
    write_player(tmp_path, pack_rigged(content), "person")
    page = browser.open((tmp_path / "index.html").as_uri())
    page.wait_for("window.playerFailed")
    assert "python -m http.server" in page.evaluate("document.querySelector('[role=alert]').textContent")
    page.close()


def test_fifty_thousand_gaussians_are_a_page_of_five_megabytes(
    body: BodyModel, content: RiggedAvatar, tmp_path: Path
) -> None:
    """Of noise, which packs worse than a person does: 78,096 Gaussians of one were 3.7 MB."""
    some = torch.arange(50_000) % len(content.avatar)
    generator = torch.Generator().manual_seed(6)
    rest = content.avatar.gaussians[some]
    noisy = {name: getattr(rest, name) for name in ("means", "quats", "log_scales", "logit_opacities", "sh")}
    noisy = {n: v + 0.05 * torch.randn(v.shape, generator=generator) for n, v in noisy.items()}
    binding = content.avatar.binding[some]
    avatar = content.avatar.replace(gaussians=rest.replace(**noisy), binding=binding)
    rig = rig_body(body, avatar.shape, binding)
    packed = pack_rigged(RiggedAvatar(avatar, rig, content.neutral, content.motion), binding=False)
    (file,) = write_player(tmp_path / "many.html", packed, "many")
    assert 2e6 < file.stat().st_size < LARGEST_PAGE


def test_a_title_cannot_leave_its_place(tmp_path: Path) -> None:
    write_player(tmp_path / "page.html", b"", "</title><script>alert(1)</script>\"'")
    written = (tmp_path / "page.html").read_text()
    assert "<script>alert" not in written and "{{" not in written.split("<script")[0]


def test_the_built_file_is_what_the_source_builds(tmp_path: Path) -> None:
    """Skips without node and esbuild (`npm install` in tools/player, or $SIMULACRA_NODE_MODULES)."""
    modules = Path(os.environ.get("SIMULACRA_NODE_MODULES") or PLAYER / "node_modules")
    if not shutil.which("node") or not (modules / "esbuild").is_dir():
        pytest.skip("no node with esbuild")
    pinned = json.loads((PLAYER / "package.json").read_text())["devDependencies"]["esbuild"]
    if (found := json.loads((modules / "esbuild" / "package.json").read_text())["version"]) != pinned:
        pytest.skip(f"esbuild {found}, not {pinned}")
    shutil.copytree(PLAYER, tmp_path / "player", ignore=shutil.ignore_patterns("node_modules", "built"))
    (tmp_path / "player" / "node_modules").symlink_to(modules.resolve())
    subprocess.run(["node", "build.mjs", "built"], cwd=tmp_path / "player", check=True)
    for file in (PLAYER / "built").iterdir():
        assert (tmp_path / "player" / "built" / file.name).read_bytes() == file.read_bytes(), file.name
