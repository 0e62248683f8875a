"""The visual hull: of outlines whose hull is known, at its surface, in color; and what cannot be carved."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from simulacra.recon.avatar.free_splats import hull_gaussians
from simulacra.recon.avatar.record import ACCOUNT, load_trained
from simulacra.recon.avatar.settings import FreeSplatsConfig, Relocation
from simulacra.recon.avatar.train import train_avatar
from simulacra.recon.avatar.visual_hull import Outline, carve
from simulacra.recon.session import Session
from simulacra.render.camera import Cameras, look_at
from simulacra.render.gaussians import rgb_from_sh
from simulacra.render.runtime.errors import CaptureError
from tests.recon.avatar.test_views import TRAINING, masks_of, poisoned
from tests.recon.ellipsoid_person import synthetic_session

MIDDLE, RADIUS, SIDE = np.array([0.1, 0.9, -0.2]), 0.3, 200


def cameras_around(count: int, side: int = SIDE) -> Cameras:
    """Around the ball, at several heights."""
    angle = torch.arange(count) * 2.399963  # the golden angle: on a sphere no two are alike
    height = torch.linspace(-0.7, 0.7, count)
    across = torch.sqrt(1 - height**2)
    away = 2.5 * torch.stack([across * angle.sin(), height, across * angle.cos()], -1)
    middle = torch.tensor(MIDDLE).float()[None]
    return look_at(middle + away, middle.expand(count, 3), 1.8 * SIDE, side, side)


def ball_mask(camera: Cameras) -> np.ndarray:
    """One where a pixel's ray meets the ball."""
    rays = torch.nn.functional.normalize(camera.unproject(torch.ones(1, camera.height, camera.width))[0]
                                         - camera.centers()[0], dim=-1).double().numpy()  # fmt: skip
    towards = MIDDLE - camera.centers()[0].double().numpy()
    along = rays @ towards
    return ((towards @ towards - along**2) < RADIUS**2).astype(np.float32)


def outlines_of(cameras: Cameras) -> list[Outline]:
    singles = [cameras[i : i + 1] for i in range(len(cameras))]
    return [Outline.of_mask(ball_mask(camera), camera) for camera in singles]


@pytest.fixture(scope="module")
def outlines() -> list[Outline]:
    return outlines_of(cameras_around(24))


def test_the_hull_of_a_ball_is_the_ball(outlines: list[Outline]) -> None:
    """It holds the ball to a cell and half a pixel (3.5 mm there), and of many cameras it is hardly larger."""
    hull = carve(outlines, 0.02)
    away = np.linalg.norm(hull.points - MIDDLE, axis=1)
    assert hull.cell == 0.02
    assert away.min() > RADIUS - 0.02 - 0.0035
    assert away.max() < RADIUS * 1.12 and np.median(away) < RADIUS + 0.012
    # One for each cell of the projection along the axis that is nearest to the normal: 0.83 of a ball's surface.
    cells = 0.83 * 4 * np.pi * RADIUS**2 / 0.02**2
    assert len(hull.points) == pytest.approx(cells, rel=0.1)
    outwards = (hull.points - MIDDLE) / away[:, None]
    assert np.median((hull.normals * outwards).sum(1)) > 0.95
    assert (hull.normals * outwards).sum(1).min() > 0.5
    np.testing.assert_allclose(np.linalg.norm(hull.normals, axis=1), 1, atol=1e-9)


def test_more_cameras_carve_more(outlines: list[Outline]) -> None:
    few, many = (carve(some, 0.02) for some in (outlines[::8], outlines))
    reach = [np.linalg.norm(hull.points - MIDDLE, axis=1).max() for hull in (few, many)]
    assert reach[0] > 1.2 * reach[1]
    with pytest.raises(ValueError, match="no end"):
        carve(outlines[:1], 0.02)


def test_coarse_cells_lose_nothing_that_fine_ones_have(outlines: list[Outline]) -> None:
    """What the octree keeps is what looking at every cell keeps."""
    cell = 0.02
    hull = carve(outlines[:6], cell)
    offset = np.mod(hull.points[0], cell)
    low, high = hull.points.min(0) - 3 * cell, hull.points.max(0) + 3 * cell
    axes = [np.arange(np.floor(a / cell), np.ceil(b / cell)) * cell + o for a, b, o in zip(low, high, offset)]
    every = np.stack(np.meshgrid(*axes, indexing="ij"), -1)
    inside = np.ones(every.shape[:3], bool)
    for outline in outlines[:6]:
        inside &= (outline.outside(every.reshape(-1, 3))[0] <= 0).reshape(inside.shape)
    padded = np.pad(inside, 1)
    hidden = np.all([np.roll(padded, s, a) for a in range(3) for s in (-1, 1)], axis=0)[1:-1, 1:-1, 1:-1]
    assert int((inside & ~hidden).sum()) == len(hull.points)


def test_beside_the_picture_of_who_shows_the_person_whole_there_is_nobody() -> None:
    """Two outlines that cross leave ghosts where only they look; a third that shows the person whole takes them away,
    one whose picture cuts the person does not speak of them.
    """
    camera = cameras_around(3)[2:3]
    whole = Outline.of_mask(ball_mask(camera), camera)
    cut_camera = camera.cropped(0, 0, SIDE // 2, SIDE)
    cut = Outline.of_mask(ball_mask(cut_camera), cut_camera)
    assert whole.whole and not cut.whole
    away = camera.unproject(torch.full((1, SIDE, SIDE), 2.5))[0, SIDE // 2, SIDE - 1].double().numpy()
    ghost = (away + (away - MIDDLE) * 0.5)[None]  # beside the picture
    for outline, says in ((whole, True), (cut, False)):
        outside, shown = outline.outside(ghost)
        assert not shown[0] and (outside[0] > 0) == says
    behind = camera.centers()[0].double().numpy() * 2 - MIDDLE
    assert whole.outside(behind[None])[0][0] == -np.inf


SETTINGS = FreeSplatsConfig(
    kind="free_splats",
    steps=6,
    longest_side=64,
    grid_mm=40.0,
    checkpoint_every=2,
    densify=Relocation(every=2, until=1.0, share=0.1, most=1200),
)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    return synthetic_session(tmp_path_factory.mktemp("capture") / "session", frames=2, depth=False)


def test_it_begins_on_the_person_in_its_colors(session: Session) -> None:
    guarded = poisoned(session)
    start = hull_gaussians(guarded, 0, TRAINING, masks_of(guarded), SETTINGS)
    again = hull_gaussians(guarded, 0, TRAINING, masks_of(guarded), SETTINGS)
    assert torch.equal(start.sh, again.sh) and torch.equal(start.means, again.means)
    assert 200 < len(start) <= 1200
    for camera in TRAINING:
        view, mask = session.cameras_as_tensors(camera), session.mask(0, camera)
        assert mask is not None
        pixels, _ = view.project(start.means)
        u, v = pixels[0].long().T.numpy()
        assert (mask[v, u] > 0.5).mean() > 0.99
        # What this camera sees best is near to what it shows.
    colors = rgb_from_sh(start.sh, start.means, torch.zeros(1, 3))[0].numpy()
    image, mask = session.image(0, TRAINING[0]), session.mask(0, TRAINING[0])
    assert mask is not None
    shown = image[mask > 0.5]
    assert (colors.min(0) > shown.min(0) - 0.1).all() and (colors.max(0) < shown.max(0) + 0.1).all()
    assert np.abs(colors.mean(0) - shown.mean(0)).max() < 0.1


def test_of_a_budget_that_is_small_cells_are_larger(session: Session) -> None:
    small = FreeSplatsConfig(kind="free_splats", grid_mm=20.0, densify=Relocation(most=300))
    start = hull_gaussians(session, 0, TRAINING, masks_of(session), small)
    assert 100 < len(start) <= 300
    assert float(start.log_scales[0, 0].exp()) > 0.55 * 0.02 * 1.5


def test_it_needs_no_depth_no_body_and_no_held_out_camera(session: Session, tmp_path: Path) -> None:
    guarded = poisoned(session)
    result = train_avatar(tmp_path, guarded, None, None, masks_of(guarded), (0, 1), TRAINING, SETTINGS)
    assert result.avatar is None and result.free is not None
    stored = load_trained(tmp_path).free
    assert stored is not None and torch.equal(stored.means, result.free.means)
    account = json.loads((tmp_path / ACCOUNT).read_text())
    assert account["views"] == len(TRAINING)  # of one moment
    assert SETTINGS.densify.most >= account["gaussians"] == len(stored)
    with np.load(tmp_path / "losses.npz") as losses:
        assert {"l1", "ssim", "mask", "opacity", "scale"} <= set(losses.files)
        assert float(losses["opacity"][0]) == pytest.approx(0.01 * 0.8808, rel=0.02)  # of a logit of 2


def test_what_cannot_be_carved_is_said(session: Session) -> None:
    with pytest.raises(CaptureError, match="too few cameras") as caught:
        hull_gaussians(session, 0, TRAINING[:1], masks_of(session), SETTINGS)
    assert "2 cameras" in str(caught.value.expected)

    def elsewhere(frame: int, camera: str) -> np.ndarray | None:
        mask = session.mask(frame, camera)
        assert mask is not None
        corner = np.zeros_like(mask)
        corner[:8, :8] = 1
        return corner if camera == TRAINING[0] else mask

    with pytest.raises(CaptureError, match="nothing in common"):
        hull_gaussians(session, 0, TRAINING, elsewhere, SETTINGS)
