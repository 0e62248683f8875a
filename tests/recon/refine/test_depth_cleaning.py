"""Which depth pixels are believed: those of a wall are, those that fly at its edge or graze are not."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from simulacra.recon.refine.depth_cleaning import BORDER_PX, JUMP_M, CleanDepth, clean_depth
from simulacra.render.camera import Cameras, look_at

SIZE, FOCAL = 96, 200.0
EVERYWHERE = np.ones((SIZE, SIZE), np.float32)


@pytest.fixture(scope="module")
def camera() -> Cameras:
    """Beside the world's axes, so that a normal in the camera's frame is not one in the world."""
    return look_at(torch.tensor([[2.0, 1.5, 0.5]]), torch.tensor([[0.0, 1.0, 0.0]]), FOCAL, SIZE, SIZE)


def plane(camera: Cameras, normal: np.ndarray, distance: float = 1.5) -> np.ndarray:
    """Depth of a plane through the axis at a distance, its normal in the camera's frame."""
    rays = camera.local_rays()[0].numpy()
    return np.asarray((normal[2] * distance / (rays @ normal)).astype(np.float32))


def tilted(degrees: float) -> np.ndarray:
    angle = np.radians(degrees)
    return np.array([np.sin(angle), 0.0, -np.cos(angle)])


def clean(depth: np.ndarray, camera: Cameras, mask: np.ndarray = EVERYWHERE) -> CleanDepth:
    return clean_depth(depth, depth > 0, mask, camera)


def test_a_wall_is_kept_with_its_normal(camera: Cameras) -> None:
    normal = tilted(35)
    depth = plane(camera, normal)
    found = clean(depth, camera)
    inner = np.s_[8:-8, 8:-8]
    assert found.usable[inner].all()
    world = camera.viewmats[0, :3, :3].numpy().T @ normal
    np.testing.assert_allclose(
        found.normals[inner], np.broadcast_to(world, found.normals[inner].shape), atol=0.02
    )
    np.testing.assert_allclose(found.depth[inner], depth[inner], atol=1e-3)
    middle = SIZE // 2
    assert found.cosines[middle, middle] == pytest.approx(np.cos(np.radians(35)), abs=0.02)


def test_a_wall_seen_at_a_grazing_angle_is_dropped(camera: Cameras) -> None:
    # 8 degrees short of edge-on. Close, lest the slope be taken for a step from pixel to pixel.
    steep = np.array([0.0, np.sin(np.radians(82)), -np.cos(np.radians(82))])
    window = np.s_[SIZE // 2 - 4 : SIZE // 2 + 4, SIZE // 2 - 4 : SIZE // 2 + 4]
    depth = plane(camera, steep, 0.15)
    assert np.abs(np.diff(depth[36:60], axis=0)).max() < JUMP_M
    assert not clean(depth, camera).usable[window].any()
    gentle = np.array([0.0, np.sin(np.radians(60)), -np.cos(np.radians(60))])
    assert clean(plane(camera, gentle, 0.15), camera).usable[window].all()


def test_flying_pixels_at_a_step_are_dropped(camera: Cameras) -> None:
    depth = np.full((SIZE, SIZE), 1.5, np.float32)
    depth[:, SIZE // 2 :] = 1.8
    depth[:, SIZE // 2] = 1.65  # between the two surfaces, on neither
    found = clean(depth, camera)
    assert not found.usable[:, SIZE // 2 - BORDER_PX : SIZE // 2 + BORDER_PX + 1].any()
    assert found.usable[8:-8, 8 : SIZE // 2 - 8].all()
    assert found.usable[8:-8, SIZE // 2 + 8 : -8].all()
    # The smoothing does not mix the two.
    np.testing.assert_allclose(found.depth[8:-8, : SIZE // 2 - 8], 1.5, atol=1e-4)


def test_holes_and_the_masks_border_are_kept_away_from(camera: Cameras) -> None:
    depth = np.full((SIZE, SIZE), 1.5, np.float32)
    depth[40:44, 40:44] = 0
    mask = EVERYWHERE.copy()
    mask[:, :20] = 0
    found = clean(depth, camera, mask)
    assert not found.usable[40 - BORDER_PX : 44 + BORDER_PX, 40:44].any()
    assert not found.usable[:, : 20 + BORDER_PX].any()
    assert not found.normals[~found.usable].any()
    assert not found.cosines[~found.usable].any()
    assert found.usable[60:80, 60:80].all()


def test_invalid_pixels_are_not_believed_whatever_they_say(camera: Cameras) -> None:
    depth = np.full((SIZE, SIZE), 1.5, np.float32)
    valid = np.ones((SIZE, SIZE), bool)
    valid[30:50, 30:50] = False
    found = clean_depth(depth, valid, EVERYWHERE, camera)
    assert not found.usable[30:50, 30:50].any()
    assert not found.depth[34:46, 34:46].any()
