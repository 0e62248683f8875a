"""Depth of a ball from all sides: fused, it is that ball; holes are closed and one wrong mask carves nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

from simulacra.recon.refine.depth_cleaning import CleanDepth, clean_depth
from simulacra.recon.refine.fusion import Box, Closer, FusedPoints, _hollows, _solid, fuse
from simulacra.render.camera import Cameras, look_at

SIZE, RADIUS, VOXEL, TRUNCATION = 128, 0.25, 0.01, 0.04
CENTER = np.array([0.1, 0.9, -0.2])


def octahedron() -> list[Cameras]:
    """Six cameras around the ball, two of them nearly above and below."""
    directions = torch.tensor(
        [[1.0, 0, 0], [-1, 0, 0], [0, 0, 1], [0, 0, -1], [0.02, 1, 0], [0.02, -1, 0]], dtype=torch.float32
    )
    center = torch.from_numpy(CENTER).float()
    eyes = center + 1.5 * torch.nn.functional.normalize(directions, dim=-1)
    cameras = look_at(eyes, center.expand(6, 3), 260.0, SIZE, SIZE)
    return [cameras[i] for i in range(6)]


def ball_depth(camera: Cameras) -> tuple[np.ndarray, np.ndarray]:
    """Where the rays of the pixels meet the ball: depth in metres, 0 beside it, and the mask."""
    rays = camera.local_rays()[0].double().numpy()
    middle = (camera.viewmats[0].double().numpy() @ np.append(CENTER, 1))[:3]
    a, b, c = (rays**2).sum(-1), rays @ middle, middle @ middle - RADIUS**2
    inside = b**2 - a * c
    depth = np.where(inside > 0, (b - np.sqrt(np.maximum(inside, 0))) / a, 0)
    return depth.astype(np.float32), (inside > 0).astype(np.float32)


def observed(hole: float = 0.0) -> tuple[list[CleanDepth], list[np.ndarray], list[Cameras]]:
    """What the cameras measured; without depth where the ball's +X +Y +Z side is within `hole` metres of its middle."""
    cameras, depths, masks = octahedron(), [], []
    middle = CENTER + RADIUS * np.ones(3) / np.sqrt(3)
    for camera in cameras:
        depth, mask = ball_depth(camera)
        points = camera.unproject(torch.from_numpy(depth)[None])[0].numpy()
        valid = (mask > 0) & (np.linalg.norm(points - middle, axis=-1) > hole)
        depths.append(clean_depth(depth, valid, mask, camera))
        masks.append(mask)
    return depths, masks, cameras


def distances(fused: FusedPoints) -> np.ndarray:
    """From the surface of the ball, positive outside."""
    return np.asarray(np.linalg.norm(fused.points - CENTER, axis=1) - RADIUS)


def coverage(fused: FusedPoints) -> float:
    """Largest distance from a point of the ball to the fused surface: what a hole would make large."""
    generator = np.random.default_rng(0)
    directions = generator.normal(size=(2000, 3))
    truth = CENTER + RADIUS * directions / np.linalg.norm(directions, axis=1, keepdims=True)
    apart = np.linalg.norm(truth[:, None] - fused.points[None], axis=-1)
    return float(apart.min(1).max())


def test_the_ball_comes_back_with_outward_normals() -> None:
    fused = fuse(*observed(), VOXEL, TRUNCATION)
    assert len(fused.points) > 2000
    assert np.median(np.abs(distances(fused))) < VOXEL / 2
    assert np.percentile(np.abs(distances(fused)), 99) < 2 * VOXEL
    outward = (fused.points - CENTER) / np.linalg.norm(fused.points - CENTER, axis=1, keepdims=True)
    agreement = (fused.normals * outward).sum(1)
    assert np.median(agreement) > 0.95
    assert (agreement > 0).mean() > 0.99
    np.testing.assert_allclose(np.linalg.norm(fused.normals, axis=1), 1, atol=1e-5)
    assert fused.measured.mean() > 0.9
    assert coverage(fused) < 2 * VOXEL


def test_what_no_camera_measured_is_closed_by_the_masks() -> None:
    hole = 0.1
    fused = fuse(*observed(hole), VOXEL, TRUNCATION)
    middle = CENTER + RADIUS * np.ones(3) / np.sqrt(3)
    there = np.linalg.norm(fused.points - middle, axis=1) < hole
    assert not fused.measured[np.linalg.norm(fused.points - middle, axis=1) < hole / 2].any()
    assert fused.measured[~there].mean() > 0.9
    # The visual hull of six cameras bulges beyond the ball, but there is a surface, and it is outside.
    assert there.sum() > 50
    assert np.median(distances(fused)[there]) > -VOXEL
    assert coverage(fused) < hole


def test_one_wrong_mask_carves_nothing_that_was_measured() -> None:
    depths, masks, cameras = observed()
    wrong = masks[0].copy()
    wrong[:, : SIZE // 2] = 0  # half of the ball is missing in one mask
    fused = fuse(depths, [wrong, *masks[1:]], cameras, VOXEL, TRUNCATION)
    assert np.median(np.abs(distances(fused))) < VOXEL / 2
    assert coverage(fused) < 2 * VOXEL


def test_a_stray_piece_is_dropped() -> None:
    """The person is one body: depth that floats beside it is the sensor's."""
    depths, masks, cameras = observed()
    speck = np.s_[4:14, 4:14]
    depth, mask = ball_depth(cameras[0])
    depth[speck], mask[speck] = 1.5, 1.0
    depths[0] = clean_depth(depth, mask > 0, mask, cameras[0])
    assert depths[0].usable[speck].any()
    fused = fuse(depths, [mask, *masks[1:]], cameras, VOXEL, TRUNCATION)
    assert np.abs(distances(fused)).max() < 0.05


ONE_THREAD = """
import torch
from tests.recon.refine.test_fusion import TRUNCATION, VOXEL, fuse, observed
torch.set_num_threads(1)
fuse(*observed(), VOXEL, TRUNCATION)
print(torch.get_num_threads())
"""


def test_torch_keeps_its_threads() -> None:
    """Numba's own parallel loops left it with two where it had one, at their first call in a process."""
    repository = Path(__file__).resolve().parents[3]
    asked = subprocess.run([sys.executable, "-c", ONE_THREAD], cwd=repository, capture_output=True, text=True)
    assert asked.stdout.strip() == "1", asked.stderr


def test_threads_change_no_bit() -> None:
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(fuse(*observed(), VOXEL, TRUNCATION))
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(found[0].points, found[1].points)
    np.testing.assert_array_equal(found[0].normals, found[1].normals)


def test_a_part_is_fused_more_closely() -> None:
    box = Box(CENTER + np.array([0.0, -0.1, -0.1]), CENTER + np.array([0.35, 0.1, 0.1]))
    part = fuse(*observed(), VOXEL / 2, TRUNCATION, within=Closer(box))
    inner = part.take(box.holds(part.points))
    whole = fuse(*observed(), VOXEL, TRUNCATION)
    coarse = whole.take(box.holds(whole.points))
    # Half the spacing is four times the points, and no wall of the box is a surface.
    assert 3 < len(inner.points) / len(coarse.points) < 5
    assert np.percentile(np.abs(distances(inner)), 99) < VOXEL


def test_what_goes_on_beyond_a_box_is_kept_and_what_floats_in_it_is_not() -> None:
    """An arm that the box cuts off, a hand in it, and something small that is neither."""
    x, y, z = np.mgrid[:30, :30, :30]
    hand = np.sqrt((x - 15.0) ** 2 + (y - 15) ** 2 + (z - 15) ** 2) < 7
    arm = (x < 4) & (np.abs(y - 15) < 3)
    speck = (np.abs(x - 25) < 2) & (np.abs(y - 25) < 2) & (np.abs(z - 25) < 2)
    outside = np.where(hand | arm | speck, -1.0, 1.0).astype(np.float32)
    nothing = np.zeros_like(outside)
    for cut, expected in ((True, (True, True, False)), (False, (True, False, False))):
        solid = _solid(nothing, nothing, outside, outside, cut)
        assert tuple(bool(np.median(solid[part]) < 0) for part in (hand, arm, speck)) == expected


def test_what_is_expected_decides_where_nothing_was_measured() -> None:
    hole = observed(hole=0.12)
    middle = CENTER + RADIUS * np.ones(3) / np.sqrt(3)
    box = Box(middle - 0.1, middle + 0.1)
    bulge = fuse(*hole, VOXEL, TRUNCATION, within=Closer(box))
    known = Closer(box, lambda places: np.linalg.norm(places - CENTER, axis=1) - RADIUS)
    mended = fuse(*hole, VOXEL, TRUNCATION, within=known)
    near = [np.linalg.norm(found.points - middle, axis=1) < 0.08 for found in (bulge, mended)]
    assert np.median(distances(bulge)[near[0]]) > 0.7 * VOXEL
    assert np.abs(np.median(distances(mended)[near[1]])) < VOXEL / 3
    # Where depth speaks, it is not asked: an expectation of nothing at all removes nothing that was measured.
    nothing = Closer(box, lambda places: np.full(len(places), 1.0))
    side = Box(CENTER + np.array([0.15, -0.1, -0.1]), CENTER + np.array([0.35, 0.1, 0.1]))
    kept = fuse(*observed(), VOXEL, TRUNCATION, within=Closer(side, nothing.outside))
    assert np.median(np.abs(distances(kept))) < VOXEL / 2


def test_hollows_that_no_way_leads_to_are_filled() -> None:
    """A ball with two rooms in it: one closed, one with a door."""
    x, y, z = np.mgrid[-1:1:41j, -1:1:41j, -1:1:41j]
    ball = np.sqrt(x**2 + y**2 + z**2) - 0.8
    closed = 0.2 - np.sqrt((x - 0.35) ** 2 + y**2 + z**2)
    door = np.maximum(0.2 - np.sqrt((x + 0.35) ** 2 + y**2 + z**2), 0.1 - np.sqrt((x + 0.35) ** 2 + y**2))
    solid = np.maximum(ball, np.maximum(closed, door)).astype(np.float32)
    filled = _hollows(solid)
    assert filled[(closed > 0.02) & (ball < 0)].all()
    assert not filled[(closed < 0)].any()
    assert filled.sum() > 100
