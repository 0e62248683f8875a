"""Depth on another grid: planes stay planes, edges stay edges, holes stay holes, the nearer surface hides the other."""

import numpy as np
import pytest

from simulacra.recon.importers.depth_grid import register_depth, resample_depth
from simulacra.recon.session import Lens
from simulacra.recon.session.lens import distort

K = np.array([[60.0, 0, 32], [0, 60, 24], [0, 0, 1]])


def rays(width: int, height: int, matrix: np.ndarray) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width] + 0.5
    return np.stack([(columns - matrix[0, 2]) / matrix[0, 0], (rows - matrix[1, 2]) / matrix[1, 1]], -1)


def plane(at: np.ndarray, normal: np.ndarray, offset: float) -> np.ndarray:
    return offset / (at @ normal[:2] + normal[2])


@pytest.mark.parametrize("size", [(256, 192), (100, 75), (31, 23)])
def test_a_slanted_plane_is_resampled_exactly(size: tuple[int, int]) -> None:
    normal = np.array([0.4, -0.3, 1.0])
    small = plane(rays(64, 48, K), normal, 1.2)
    scale = np.diag([size[0] / 64, size[1] / 48, 1.0])
    expected = plane(rays(*size, scale @ K), normal, 1.2)
    found = resample_depth(small, *size)
    # At the rim half a stored pixel is beyond all centres, and the last one counts.
    rim = max(1, round(0.6 * size[0] / 64))
    inner = (slice(rim, -rim), slice(rim, -rim))
    np.testing.assert_allclose(found[inner], expected[inner], rtol=2e-7 * 2)
    # The control: depth itself mixed linearly would be off by more.
    import cv2

    mixed = cv2.resize(small, size, interpolation=cv2.INTER_LINEAR)
    if size[0] > 64:
        assert np.abs(mixed[inner] - expected[inner]).max() > 1e-5


def test_edges_are_not_mixed_and_holes_do_not_spread() -> None:
    depth = np.full((8, 8), 1.0)
    depth[:, 4:] = 2.0
    depth[0, 0] = 0.0
    found = resample_depth(depth, 32, 32)
    assert set(np.unique(found)) == {0.0, 1.0, 2.0}
    assert (found == 0).sum() == 16 and (found[:4, :4] == 0).all()
    assert (found[:, 16:] == 2.0).all() and (found[4:, :16] == 1.0).all()


def test_two_views_of_a_plane_agree() -> None:
    """Another place, another turn, another focal length: the plane in color is the plane as color sees it."""
    angle = np.radians(4)
    T = np.eye(4)
    T[:3, :3] = [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
    T[:3, 3] = [0.05, -0.01, 0.02]
    normal, offset = np.array([0.2, 0.1, 1.0]), 1.5
    depth = plane(rays(64, 48, K), normal, offset)
    K_color = np.array([[100.0, 0, 50], [0, 100, 40], [0, 0, 1]])
    found = register_depth(depth, rays(64, 48, K), T, K_color, None, (100, 80))
    # n . R^T (x - t) = d, so the plane's normal is R n and its offset d + R n . t.
    turned = T[:3, :3] @ normal
    expected = plane(rays(100, 80, K_color), turned, offset + turned @ T[:3, 3])
    inside = found > 0
    assert inside.mean() > 0.85
    # A lone point on a pixel's edge stands for the pixel: half a pixel of slant, and of it only at the rim.
    error = np.abs(found - expected)[inside]
    assert np.quantile(error, 0.9) < 0.001 and error.max() < 0.01
    wrong = register_depth(depth, rays(64, 48, K), np.eye(4), K_color, None, (100, 80))
    assert np.median(np.abs(wrong - expected)[wrong > 0]) > 0.03


def test_the_color_cameras_lens_is_put_in() -> None:
    """Depth lies over the recorded color image, which its lens has bent."""
    lens = Lens("opencv", (-0.25, 0.05, 0.001, -0.002))
    depth = plane(rays(64, 48, K), np.array([0.2, 0.1, 1.0]), 1.5)
    found = register_depth(depth, rays(64, 48, K), np.eye(4), K, lens, (64, 48))
    bent = distort(lens, rays(64, 48, K))
    columns, rows = (np.floor(K[i, i] * bent[..., i] + K[i, 2]).astype(int) for i in (0, 1))
    error = np.abs(found[rows, columns] - depth)
    assert np.median(error) < 0.003 and error.max() < 0.02
    plain = register_depth(depth, rays(64, 48, K), np.eye(4), K, None, (64, 48))
    assert np.median(np.abs(plain[rows, columns] - depth)) > 2 * np.median(error)


def test_the_nearer_surface_hides_and_casts_a_shadow() -> None:
    depth = np.full((48, 64), 2.0)
    depth[16:32, 24:40] = 1.0
    T = np.eye(4)
    T[0, 3] = 0.1  # the color camera is 10 cm to the left: near things move 6 px right, far ones 3
    found = register_depth(depth, rays(64, 48, K), T, K, None, (64, 48))
    assert (found[18:30, 31:45] == 1.0).all()
    assert (found[18:30, 6:25] == 2.0).all()
    assert (found[18:30, 27:30] == 0).all(), "what neither camera can know is not filled"


def test_nothing_in_nothing_out() -> None:
    empty = register_depth(np.zeros((48, 64)), rays(64, 48, K), np.eye(4), K, None, (64, 48))
    assert empty.shape == (48, 64) and not empty.any()
    behind = np.eye(4)
    behind[2, 3] = -5.0
    assert not register_depth(np.ones((48, 64)), rays(64, 48, K), behind, K, None, (64, 48)).any()
    lost = np.full((48, 64, 2), np.nan)
    assert not register_depth(np.ones((48, 64)), lost, np.eye(4), K, None, (64, 48)).any()
