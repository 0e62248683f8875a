"""Depth errors, depth at a smaller size, and silhouette overlap."""

import numpy as np
import pytest

from simulacra.recon.perception.depth_error import depth_error, resize_depth
from simulacra.recon.perception.mask_iou import mask_iou


def test_quantiles_bias_and_coverage_of_planted_errors() -> None:
    reference = np.full((10, 10), 2.0, np.float32)
    valid = np.ones((10, 10), bool)
    valid[0] = False
    errors = np.zeros((10, 10), np.float32)
    errors[1:10] = np.linspace(0.001, 0.090, 90).reshape(9, 10)
    rendered = np.ones((10, 10), bool)
    result = depth_error(reference + errors, rendered, reference, valid)
    assert result is not None
    assert result.median_m == pytest.approx(0.0455, abs=1e-6)
    assert result.p90_m == pytest.approx(0.0811, abs=1e-5)
    assert result.bias_m == pytest.approx(0.0455, abs=1e-6)
    assert (result.count, result.coverage) == (90, 1.0)
    rendered[5:] = False
    nearer = depth_error(reference - 0.01, rendered, reference, valid)
    assert nearer is not None
    assert nearer.bias_m == pytest.approx(-0.01, abs=1e-6)
    assert (nearer.count, nearer.coverage) == (40, pytest.approx(4 / 9))


def test_nothing_to_compare_is_none() -> None:
    plane = np.ones((3, 3), np.float32)
    assert depth_error(plane, np.zeros((3, 3), bool), plane, np.ones((3, 3), bool)) is None


def test_a_slanted_plane_keeps_its_depth_at_pixel_centres() -> None:
    columns = np.arange(64) + 0.5
    depth = np.repeat((1.0 + 0.002 * columns)[None].astype(np.float32), 32, axis=0)
    small, valid = resize_depth(depth, np.ones_like(depth, bool), 32, 16)
    assert valid.all()
    expected = 1.0 + 0.002 * 2 * (np.arange(32) + 0.5)
    np.testing.assert_allclose(small, np.repeat(expected[None], 16, axis=0), atol=1e-6)


def test_edges_and_holes_become_invalid_not_averages() -> None:
    depth = np.full((8, 8), 2.0, np.float32)
    depth[:, 3:] = 3.0
    known = np.ones((8, 8), bool)
    known[0, 7] = False
    depth[0, 7] = np.nan
    small, valid = resize_depth(depth, known, 4, 4)
    expected = np.ones((4, 4), bool)
    expected[:, 1] = False  # half near, half far
    expected[0, 3] = False  # a quarter unknown
    np.testing.assert_array_equal(valid, expected)
    np.testing.assert_allclose(
        small[valid], np.where(np.arange(4) < 1, 2.0, 3.0)[None].repeat(4, 0)[valid], atol=1e-6
    )


def test_depth_is_never_enlarged() -> None:
    with pytest.raises(ValueError, match="not enlarged"):
        resize_depth(np.ones((4, 4), np.float32), np.ones((4, 4), bool), 8, 8)


def test_iou_of_known_rectangles() -> None:
    a, b = np.zeros((10, 10), bool), np.zeros((10, 10), bool)
    a[:, :6] = True
    b[:, 4:] = True
    assert mask_iou(a, b) == pytest.approx(20 / 100)
    assert mask_iou(a, a) == 1.0
    assert mask_iou(a, ~a) == 0.0
    assert mask_iou(np.zeros((2, 2), bool), np.zeros((2, 2), bool)) == 1.0
