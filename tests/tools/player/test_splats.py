"""The renderer of the browser draws what simulacra's own rasterizer draws."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

import simulacra.tools.player
from simulacra.render.avatar import drive
from simulacra.render.body import BodyModel
from simulacra.render.camera import Cameras, look_at
from simulacra.render.gaussians import Gaussians, rasterize_gaussians
from tests.browser import Browser, Page, serve_folder
from tests.render.test_avatar import gesture, planted
from tests.tools.player.pictures import as_script, camera_script, gaussians_script, picture, psnr, rig_script

SOURCE = Path(simulacra.tools.player.__path__[0]) / "src"
SIZE = 512
# The bound that all pictures of a run are held to. Bytes alone would allow 58.9 dB.
LEAST_DB = 55.0


@pytest.fixture(scope="module")
def page(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("page")
    for file in SOURCE.glob("*.js"):
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "index.html").write_text(
        '<link rel=icon href="data:,"><script type=module>import {SplatRenderer} from "./splats.js";'
        'import {DepthSorter, sorter} from "./sort.js"; Object.assign(window, {SplatRenderer, DepthSorter, sorter});'
        "window.fresh = options => { window.renderer?.dispose(); const canvas = document.createElement('canvas');"
        f"canvas.width = canvas.height = {SIZE}; window.renderer = new SplatRenderer(canvas, options); }};"
        "window.loaded = true;</script>"
    )
    with serve_folder(folder) as address:
        opened = browser.open(f"{address}/index.html")
        opened.wait_for("window.loaded")
        yield opened
        assert opened.complaints == []


def cloud(degree: int, count: int = 4000, seed: int = 0) -> Gaussians:
    """Gaussians of all shapes, some behind the camera, some at its edge, some nearly invisible."""
    generator = torch.Generator().manual_seed(seed)
    means = torch.randn(count, 3, generator=generator) * torch.tensor([0.5, 0.5, 0.6])
    means[: count // 20, 2] += 4.0
    return Gaussians(
        means,
        torch.randn(count, 4, generator=generator),
        torch.randn(count, 3, generator=generator) * 0.8 - 5.0,
        torch.randn(count, generator=generator) * 2.5,
        torch.randn(count, (degree + 1) ** 2, 3, generator=generator) * 0.3,
    )


def camera(eye: tuple[float, float, float] = (0.4, 0.3, 2.6)) -> Cameras:
    made = look_at(torch.tensor([eye]), torch.zeros(1, 3), 1.3 * SIZE, SIZE, SIZE)
    made.Ks[0, 0, 2] += 21.0  # a principal point that is not in the middle
    made.Ks[0, 1, 1] *= 1.05
    return made


@dataclass(frozen=True)
class Case:
    degree: int
    eps2d: float
    antialiased: bool


CASES = [Case(0, 0.1, False), Case(0, 0.3, True), Case(1, 0.3, False), Case(3, 0.1, False)]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gaussians_look_as_in_our_own_picture(page: Page, case: Case) -> None:
    gaussians, view, white = cloud(case.degree), camera(), torch.ones(3)
    mode = "antialiased" if case.antialiased else "classic"
    ours = rasterize_gaussians(gaussians, view, background=white, mode=mode, eps2d=case.eps2d)
    page.evaluate("fresh()")
    page.evaluate(f"renderer.load({gaussians_script(gaussians, case.eps2d, case.antialiased)})")
    page.evaluate(f"renderer.setCamera({camera_script(view)})")
    expected = ours.rgb_premul[0].clamp(0, 1).numpy()
    assert psnr(picture(page, "[1, 1, 1, 1]")[..., :3], expected) >= LEAST_DB
    page.evaluate(f"renderer.load({gaussians_script(gaussians, case.eps2d + 0.4, case.antialiased)})")
    page.evaluate(f"renderer.setCamera({camera_script(view)})")
    assert psnr(picture(page, "[1, 1, 1, 1]")[..., :3], expected) < LEAST_DB


def test_without_half_floats_the_picture_is_nearly_as_good(page: Page) -> None:
    gaussians, view = cloud(0), camera()
    ours = rasterize_gaussians(gaussians, view, eps2d=0.1).rgb_premul[0].clamp(0, 1).numpy()
    page.evaluate("fresh({halfFloat: false})")
    page.evaluate(f"renderer.load({gaussians_script(gaussians, 0.1)})")
    page.evaluate(f"renderer.setCamera({camera_script(view)})")
    drawn = picture(page)[..., :3]
    assert not page.evaluate("renderer.halfFloat")
    # Every Gaussian rounds the pixel to a byte: half a step each, some of which cancel.
    assert psnr(drawn, ours) >= 45.0


def test_coverage_is_in_the_fourth_channel(page: Page) -> None:
    gaussians, view = cloud(0), camera()
    ours = rasterize_gaussians(gaussians, view, eps2d=0.1).alpha[0].numpy()
    page.evaluate("fresh()")
    page.evaluate(f"renderer.load({gaussians_script(gaussians, 0.1)})")
    page.evaluate(f"renderer.setCamera({camera_script(view)})")
    # Nearly all of the picture is covered, and near 1 each layer rounds to a step of half floats, 1/2048.
    assert psnr(picture(page, "[0, 0, 0, 0]")[..., 3], ours) >= LEAST_DB - 1


def test_a_posed_avatar_with_a_pulled_face_looks_as_in_our_own_picture(page: Page, body: BodyModel) -> None:
    avatar, rig = planted(body, standoff=0.01)
    generator = torch.Generator().manual_seed(3)
    rest = avatar.gaussians.replace(
        log_scales=torch.randn(len(avatar), 3, generator=generator) * 0.5 - 4.0,
        logit_opacities=torch.randn(len(avatar), generator=generator) * 2 + 1,
        sh=torch.randn(len(avatar), 1, 3, generator=generator),
    )
    avatar, pose = avatar.replace(gaussians=rest), gesture(body)
    posed = drive(avatar, rig, pose)
    middle = posed.means.mean(0, keepdim=True)
    view = look_at(middle + torch.tensor([[0.5, 0.3, 3.0]]), middle, 1.2 * SIZE, SIZE, SIZE)
    ours = rasterize_gaussians(posed, view, eps2d=0.1).rgb_premul[0].clamp(0, 1).numpy()
    T_skin = body.pose(rig.rest, pose).T_skin[0, :, :3]
    page.evaluate("fresh()")
    page.evaluate(f"renderer.load({gaussians_script(rest, 0.1)}, {rig_script(rig)})")
    page.evaluate(f"renderer.setPose({as_script(T_skin.float())})")
    page.evaluate(f"renderer.setCamera({camera_script(view)})")
    assert psnr(picture(page)[..., :3], ours) < LEAST_DB  # its face is still neutral
    page.evaluate(f"renderer.setExpression({pose.expression[0].tolist()})")
    assert psnr(picture(page)[..., :3], ours) >= LEAST_DB


@pytest.mark.parametrize("how", ["a worker", "no worker", "a worker that is refused later"])
def test_sorting_is_exact_and_ties_go_by_falling_index(page: Page, how: str) -> None:
    generator = np.random.default_rng(5)
    depths = np.concatenate([generator.uniform(0.1, 1e4, 3000), generator.choice([1.5, 2.5], 1000)])
    depths = generator.permutation(depths).astype(np.float32)
    means = np.stack([np.zeros_like(depths), np.zeros_like(depths), depths], 1)
    by_hand = sorted(range(len(depths)), key=lambda i: (-depths[i], -i))
    before = {
        "a worker": "",
        "no worker": "window.Worker = class { constructor() { throw new Error('refused'); } };",
        "a worker that is refused later": (
            "window.Worker = class { postMessage(m) { if (!m.means) setTimeout(() => "
            "this.onerror({preventDefault() {}}), 10); } terminate() {} };"
        ),
    }[how]
    order = page.evaluate(
        f"(async () => {{ const kept = window.Worker; {before} const sorter = new DepthSorter(); window.Worker = kept;"
        f"sorter.load({{count: {len(depths)}, means: {as_script(means)}, acted: [], influences: 0}});"
        "const {order} = await sorter.sort({rows: [0, 0, 1, 0], moved: []}); sorter.dispose(); return [...order]; })()"
    )
    assert order == by_hand


def test_a_lost_context_comes_back_with_the_same_picture(page: Page) -> None:
    gaussians, view = cloud(0, 500), camera()
    page.evaluate("fresh()")
    page.evaluate(f"renderer.load({gaussians_script(gaussians, 0.1)})")
    page.evaluate(f"renderer.setCamera({camera_script(view)})")
    before = picture(page)
    page.evaluate(
        "new Promise(done => { const lose = renderer.gl.getExtension('WEBGL_lose_context'); renderer.onrestored = done;"
        "lose.loseContext(); setTimeout(() => lose.restoreContext(), 50); })"
    )
    page.evaluate(f"renderer.setCamera({camera_script(view)})")
    assert np.array_equal(before, picture(page))


def test_more_than_the_device_holds_is_refused_in_words(page: Page) -> None:
    page.evaluate("fresh()")
    words = page.evaluate(
        "(() => { const n = 2 ** 27; try { renderer.load({means: {length: 3 * n}, sh: {length: 3 * n}}); }"
        " catch (error) { return error.message; } })()"
    )
    assert "more than this device's textures hold" in words
