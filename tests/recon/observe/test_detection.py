"""Anchors, box decoding, suppression and heatmaps by known answers."""

from __future__ import annotations

import numpy as np
import pytest

from simulacra.recon.observe.detection import anchor_centers, decode_boxes, overlap, weighted_suppression
from simulacra.recon.observe.hands import region_of_palm
from simulacra.recon.observe.pose import refine_by_heatmaps, region_of_body, tiles_of

POSE = (224, (8, 16, 32, 32, 32))
FACE = (128, (8, 16, 16, 16))
PALM = (192, (8, 16, 16, 16))


@pytest.mark.parametrize(("side", "strides", "count"), [(*POSE, 2254), (*FACE, 896), (*PALM, 2016)])
def test_there_are_as_many_anchors_as_the_network_has_boxes(
    side: int, strides: tuple[int, ...], count: int
) -> None:
    anchors = anchor_centers(side, strides)
    assert anchors.shape == (count, 2)
    np.testing.assert_allclose(anchors.mean(axis=0), 0.5, atol=1e-6)


def test_anchors_run_along_rows_two_to_a_cell_and_six_in_the_shared_layer() -> None:
    anchors = anchor_centers(*POSE)
    np.testing.assert_allclose(anchors[0], [0.5 / 28, 0.5 / 28])
    np.testing.assert_allclose(anchors[1], anchors[0])
    np.testing.assert_allclose(anchors[2], [1.5 / 28, 0.5 / 28])
    np.testing.assert_allclose(anchors[1568 + 392 : 1568 + 392 + 6], np.full((6, 2), 0.5 / 7))


def test_boxes_are_offsets_from_their_anchors() -> None:
    raw = np.zeros((2254, 12), np.float32)
    raw[2] = [22.4, 44.8, 56.0, 112.0, 2.24, 0.0, 0, 0, 0, 0, 0, 0]
    box = decode_boxes(raw, *POSE)[2]
    x, y = anchor_centers(*POSE)[2]
    np.testing.assert_allclose(box[0], [x + 0.1, y + 0.2], atol=1e-6)
    np.testing.assert_allclose(box[1], [0.25, 0.5], atol=1e-6)
    np.testing.assert_allclose(box[2], [x + 0.01, y], atol=1e-6)


def test_overlapping_boxes_become_their_weighted_mean_and_others_stay() -> None:
    boxes = np.array([[[0.50, 0.5], [0.2, 0.2]], [[0.54, 0.5], [0.2, 0.2]], [[0.9, 0.5], [0.1, 0.1]]])
    scores = np.array([0.6, 0.9, 0.7])
    assert overlap(boxes[0], boxes)[1] == pytest.approx(0.16 / 0.24)
    found = weighted_suppression(boxes, scores)
    assert [score for _, score in found] == [0.9, 0.7]
    np.testing.assert_allclose(found[0][0][0, 0], (0.6 * 0.50 + 0.9 * 0.54) / 1.5)
    np.testing.assert_allclose(found[1][0], boxes[2])


def test_nothing_is_found_in_nothing() -> None:
    assert weighted_suppression(np.zeros((0, 4, 2)), np.zeros(0)) == []


def test_a_landmark_moves_to_its_heatmap_where_that_is_confident() -> None:
    heatmaps = np.full((64, 64, 3), -20.0, np.float32)
    heatmaps[30, 40, 0] = 8.0
    heatmaps[30, 41, 0] = 8.0
    heatmaps[30, 40, 1] = -1.0
    px = np.array([[165.0, 118.0], [165.0, 118.0], [400.0, -3.0]], np.float32)
    refined = refine_by_heatmaps(px, heatmaps)
    np.testing.assert_allclose(refined[0], [40.5 * 4, 30 * 4], atol=1e-3)
    np.testing.assert_array_equal(refined[1:], px[1:])


def test_the_body_stands_upright_in_its_region() -> None:
    roi = region_of_body(np.array([100.0, 100.0]), np.array([160.0, 100.0]))
    assert roi.size[0] == pytest.approx(2 * 60 * 1.25)
    up = roi.to_image(2, 2) @ np.array([1.0, 0.0, 1.0])
    np.testing.assert_allclose(up, [175.0, 100.0], atol=1e-9)


def test_the_palms_region_reaches_for_the_fingers() -> None:
    from simulacra.recon.observe.detection import Detection

    keypoints = np.zeros((7, 2), np.float32)
    keypoints[0], keypoints[2] = (50.0, 80.0), (50.0, 40.0)
    roi = region_of_palm(
        Detection(np.array([50.0, 60.0], np.float32), np.array([30.0, 40.0], np.float32), keypoints, 0.9)
    )
    assert roi.size[0] == pytest.approx(104.0)
    np.testing.assert_allclose(roi.center, [50.0, 40.0], atol=1e-5)
    assert roi.rotation == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(("width", "height"), [(1920, 1080), (1080, 1920), (500, 500)])
def test_tiles_cover_the_image_with_overlap(width: int, height: int) -> None:
    for side in sorted({tile.size[0] for tile in tiles_of(width, height)}):
        covered = np.zeros((height, width), int)
        for tile in (tile for tile in tiles_of(width, height) if tile.size[0] == side):
            x, y = (round(c - side / 2) for c in tile.center)
            covered[max(0, y) : y + round(side) + 1, max(0, x) : x + round(side) + 1] += 1
        assert covered.min() >= 1
        assert covered.mean() > 1.3
