"""Crops and what comes back from them, against planted points and OpenCV's own warps."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulacra.recon.observe.roi import Roi, crop, points_to_crop, points_to_image, uncrop
from simulacra.recon.observe.soft_mask import SoftMask, average, load_soft_mask, save_soft_mask

REGIONS = st.builds(
    Roi,
    center=st.tuples(st.floats(-50, 300), st.floats(-50, 300)),
    size=st.tuples(st.floats(20, 400), st.floats(20, 400)),
    rotation=st.floats(-7, 7),
    mirror=st.booleans(),
)


def blob(width: int, height: int, x: float, y: float, sigma: float = 6.0) -> np.ndarray:
    """A Gaussian spot whose centre is at (x, y), pixel (0, 0)'s centre being (0.5, 0.5)."""
    v, u = np.mgrid[:height, :width] + 0.5
    return np.exp(-((u - x) ** 2 + (v - y) ** 2) / (2 * sigma**2)).astype(np.float32)


def middle(image: np.ndarray) -> np.ndarray:
    v, u = np.mgrid[: image.shape[0], : image.shape[1]] + 0.5
    return np.array([(image * u).sum(), (image * v).sum()]) / image.sum()


@given(REGIONS)
def test_points_survive_the_way_there_and_back(roi: Roi) -> None:
    points = np.array([[0.0, 0.0], [13.0, 200.5], [256.0, 128.0]], np.float32)
    there = points_to_image(points, roi, 256, 192)
    # float32 positions of a few hundred pixels, times the ratio of the sizes.
    np.testing.assert_allclose(points_to_crop(there, roi, 256, 192), points, atol=2e-2)


def test_center_and_corners_lie_where_the_definition_says() -> None:
    roi = Roi((100.0, 50.0), (40.0, 20.0), rotation=np.pi / 2)
    points = np.array([[5.0, 5.0], [0.0, 5.0], [5.0, 0.0]], np.float32)
    # A quarter turn clockwise: the crop's left edge is above the centre, its top edge to the right of it.
    expected = [[100.0, 50.0], [100.0, 30.0], [110.0, 50.0]]
    np.testing.assert_allclose(points_to_image(points, roi, 10, 10), expected, atol=1e-5)


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("rotation", [0.0, 0.4, -2.0])
def test_a_planted_spot_is_cut_out_and_brought_back_in_place(rotation: float, mirror: bool) -> None:
    image = blob(300, 260, 140.3, 117.8)
    roi = Roi.square((133.0, 120.0), 150.0, rotation, mirror)
    cut = crop(image, roi, 200, 200)
    expected = points_to_crop(np.array([[140.3, 117.8]], np.float32), roi, 200, 200)[0]
    # OpenCV resamples at 1/32 pixel.
    np.testing.assert_allclose(middle(cut), expected, atol=0.05)
    np.testing.assert_allclose(middle(uncrop(cut, roi, 300, 260)), [140.3, 117.8], atol=0.05)


def test_the_whole_image_at_its_own_size_is_itself() -> None:
    image = np.random.default_rng(0).random((31, 40, 3), dtype=np.float32)
    roi = Roi((20.0, 15.5), (40.0, 31.0))
    np.testing.assert_array_equal(crop(image, roi, 40, 31), image)


def test_outside_is_black_or_the_border() -> None:
    image = np.ones((10, 10, 3), np.float32)
    roi = Roi.square((5.0, 5.0), 40.0)
    assert crop(image, roi, 40, 40)[0, 0, 0] == 0.0
    assert crop(image, roi, 40, 40, replicate=True)[0, 0, 0] == 1.0


def test_samples_are_those_of_mediapipe() -> None:
    """MediaPipe warps the region's corners onto the crop's corners, both counted from pixel centres."""
    image = np.random.default_rng(1).random((200, 240, 3), dtype=np.float32)
    roi = Roi.square((120.0, 90.0), 110.0, rotation=0.3)
    corners = points_to_image(np.array([[0, 64], [0, 0], [64, 0], [64, 64]], np.float32), roi, 64, 64)
    to = np.array([[0, 64], [0, 0], [64, 0], [64, 64]], np.float32)
    expected = cv2.warpPerspective(image, cv2.getPerspectiveTransform(corners, to), (64, 64))
    ours = crop(image, roi.sampled_as_mediapipe(64, 64), 64, 64)
    # 1/32 pixel steps of the sampling positions, rounded differently by the two warps.
    assert np.abs(ours - expected).mean() < 0.01
    assert np.abs(crop(image, roi, 64, 64) - expected).mean() > 0.05


def test_soft_masks_are_averaged_where_they_looked(tmp_path) -> None:
    whole = blob(200, 200, 90.0, 110.0, sigma=20.0)
    regions = [Roi.square((100.0, 100.0), 160.0), Roi.square((95.0, 105.0), 150.0, 0.2, mirror=True)]
    masks = [SoftMask(crop(whole, roi, 128, 128), roi) for roi in regions]
    mean = average(masks)
    inside = np.s_[40:160, 40:160]
    # Twice resampled at a coarser grid.
    assert np.abs(mean.in_image(200, 200)[inside] - whole[inside]).max() < 0.02
    save_soft_mask(mean, tmp_path / "mask.npz")
    again = load_soft_mask(tmp_path / "mask.npz")
    assert again.roi == mean.roi
    assert np.abs(again.values - mean.values).max() <= 0.5 / 255 + 1e-6
