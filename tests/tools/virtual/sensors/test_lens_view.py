"""Pictures through a lens: the session's own undistortion makes them straight again."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from simulacra.recon.session.lens import Lens, undistortion_maps
from simulacra.render.runtime.errors import CalibrationError
from simulacra.tools.virtual.sensors.lens_view import lens_view

K = np.array([[300.0, 0, 161.3], [0, 305.0, 118.2], [0, 0, 1]])
WIDTH, HEIGHT = 320, 240
BARREL = Lens("opencv", (-0.25, 0.08, 0.001, -0.0008, 0.0))
PINCUSHION = Lens("opencv", (0.12, -0.03, 0.0, 0.0, 0.0))
FISHEYE = Lens("opencv_fisheye", (0.03, -0.01, 0.002, 0.0))
TABLE = Lens("radial_table", (0.0, 0.0, 0.8, 1.0, 0.99, 0.97, 0.95, 0.94))


def lines(view_K: np.ndarray, width: int, height: int) -> np.ndarray:
    """A smooth picture of straight stripes, drawn from the plane's own coordinates: slanted, period 20 px."""
    x = (np.arange(width) + 0.5 - view_K[0, 2]) / view_K[0, 0]
    y = (np.arange(height) + 0.5 - view_K[1, 2]) / view_K[1, 1]
    return stripes(x[None, :], y[:, None])


def stripes(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (0.5 + 0.5 * np.sin(2 * np.pi * 15 * (x + 0.3 * y))).astype(np.float32)


def phase_error_px(picture: np.ndarray, mask: np.ndarray) -> float:
    """How far stripes are from where a pinhole has them, pixels across."""
    truth = lines(K, WIDTH, HEIGHT)
    slope = np.gradient(truth, axis=1)
    steep = mask & (np.abs(slope) > 0.1)
    return float(np.abs((picture - truth)[steep] / slope[steep]).max())


@pytest.mark.parametrize("lens", [BARREL, PINCUSHION, FISHEYE, TABLE], ids=lambda lens: lens.model)
def test_distorted_lines_are_straight_again_after_the_sessions_undistortion(lens: Lens) -> None:
    view = lens_view(K, WIDTH, HEIGHT, lens)
    behind = view.picture(lines(view.K, view.width, view.height))
    assert behind.shape == (HEIGHT, WIDTH)
    maps = undistortion_maps(lens, K, WIDTH, HEIGHT)
    straight = cv2.remap(behind, *maps, cv2.INTER_CUBIC, borderValue=-1)
    inner = (maps[0] > 2) & (maps[0] < WIDTH - 3) & (maps[1] > 2) & (maps[1] < HEIGHT - 3)
    assert inner.mean() > 0.7
    assert phase_error_px(straight, inner) < 0.1
    assert phase_error_px(behind, inner) > 1.0  # the control: with the lens, the lines are bent
    assert phase_error_px(cv2.remap(behind, maps[0] + 0.5, maps[1], cv2.INTER_CUBIC), inner) > 0.3


@pytest.mark.parametrize("lens", [BARREL, FISHEYE], ids=lambda lens: lens.model)
def test_every_pixel_behind_the_lens_has_light(lens: Lens) -> None:
    """The drawn picture reaches as far as the lens sees, and little farther."""
    view = lens_view(K, WIDTH, HEIGHT, lens)
    assert view.seen().all()
    white = view.picture(np.ones((view.height, view.width), np.float32))
    np.testing.assert_allclose(white, 1, atol=1e-5)
    assert view.width > WIDTH and view.height > HEIGHT
    assert view.columns.min() >= 0 and view.columns.max() <= view.width - 1
    assert view.columns.min() < 3 and view.rows.max() > view.height - 4


def test_no_lens_changes_nothing() -> None:
    view = lens_view(K, WIDTH, HEIGHT, None)
    image = np.random.default_rng(0).random((HEIGHT, WIDTH, 3)).astype(np.float32)
    np.testing.assert_allclose(view.picture(image), image, atol=1e-6)
    assert np.array_equal(view.nearest(image), image)
    assert np.array_equal(view.K, K)


def test_depth_is_one_of_the_drawn_values() -> None:
    view = lens_view(K, WIDTH, HEIGHT, BARREL)
    depth = np.where(np.arange(view.width) < view.width / 2, 1.0, 3.0).astype(np.float32)
    depth = np.broadcast_to(depth, (view.height, view.width)).copy()
    assert set(np.unique(view.nearest(depth))) == {1.0, 3.0}
    assert len(np.unique(view.picture(depth))) > 2  # the control


def test_where_the_picture_shrinks_pixels_are_means() -> None:
    """Fine stripes at a fisheye's border turn grey, not into coarse ones."""
    wide = Lens("opencv_fisheye", (0.0, 0.0, 0.0, 0.0))
    near = np.array([[180.0, 0, 160], [0, 180.0, 120], [0, 0, 1]])
    view = lens_view(near, WIDTH, HEIGHT, wide)
    assert view.samples > 1
    fine = np.tile(np.float32([0, 1]), (view.height, view.width // 2 + 1))[:, : view.width]
    behind = view.picture(np.ascontiguousarray(fine))
    single = cv2.remap(np.ascontiguousarray(fine), view.columns, view.rows, cv2.INTER_LINEAR)
    border = (slice(80, 160), slice(2, 30))
    assert behind[border].std() < 0.6 * single[border].std()


def test_a_lens_that_sees_all_round_is_refused() -> None:
    short = np.array([[105.0, 0, 160], [0, 105.0, 120], [0, 0, 1]])
    with pytest.raises(CalibrationError, match="too wide"):
        lens_view(short, WIDTH, HEIGHT, Lens("opencv_fisheye", (0.0, 0.0, 0.0, 0.0)))
