"""Outlines as signed distances: how far each is believed follows from what the other cameras measured."""

from __future__ import annotations

import numpy as np
import torch

from simulacra.recon.refine.fusion import fuse
from simulacra.recon.refine.silhouettes import (
    LEAST_SLACK_M,
    MOST_SLACK_M,
    SILENT_PX,
    measure_silhouettes,
    signed_distance,
)
from simulacra.render.camera import Cameras
from tests.recon.refine.test_fusion import CENTER, RADIUS, SIZE, TRUNCATION, VOXEL, distances, observed


def test_distance_to_a_disk() -> None:
    across, down = np.meshgrid(np.arange(SIZE) + 0.5, np.arange(SIZE) + 0.5)
    truth = np.hypot(across - 60, down - 70) - 30
    coverage = np.clip(0.5 - truth, 0, 1).astype(np.float32)
    # Half of the finer grid's pixel, which is a quarter of the image's, and what the chamfer distance errs by.
    near = np.abs(truth) < 15
    assert np.abs(signed_distance(coverage) - truth)[near].max() < 0.45
    assert abs((signed_distance(coverage) - truth)[near].mean()) < 0.05


def test_cameras_that_agree_are_believed_to_half_a_pixel() -> None:
    slack = [outline.slack for outline in measure_silhouettes(*observed())]
    # A pixel of this rig is 6 mm at the ball.
    assert max(slack) < 0.003 and min(slack) >= LEAST_SLACK_M


def test_a_camera_that_is_turned_is_believed_less() -> None:
    depths, masks, cameras = observed()
    straight = measure_silhouettes(depths, masks, cameras)
    turned = 0.012 / 1.5  # 12 mm at the ball
    rotation = torch.tensor(
        [[np.cos(turned), 0, np.sin(turned)], [0, 1, 0], [-np.sin(turned), 0, np.cos(turned)]]
    )
    viewmat = cameras[0].viewmats.clone()
    viewmat[0, :3] = rotation.float() @ viewmat[0, :3]
    cameras[0] = Cameras(viewmat, cameras[0].Ks, SIZE, SIZE)
    found = measure_silhouettes(depths, masks, cameras)
    assert straight[0].slack < 0.004
    assert 0.005 < found[0].slack < MOST_SLACK_M


def test_a_part_that_a_mask_misses_is_not_carved() -> None:
    depths, masks, cameras = observed()
    whole = fuse(depths, masks, cameras, VOXEL, TRUNCATION)
    masks[0] = masks[0].copy()
    masks[0][:, SIZE // 2 :] = 0
    outline = measure_silhouettes(depths, masks, cameras)[0]
    far_side = slice(SIZE // 2 + 10, SIZE // 2 + 30)
    # One in STRIDE pixels is asked: at this size the areas that they speak for do not quite meet.
    assert (outline.distance[SIZE // 2 - 20 : SIZE // 2 + 20, far_side] == np.float32(SILENT_PX)).mean() > 0.9
    assert (
        np.isfinite(outline.distance[:, : SIZE // 4]).all() and (outline.distance[:, : SIZE // 4] > 0).any()
    )
    fused = fuse(depths, masks, cameras, VOXEL, TRUNCATION)
    assert len(fused.points) > 0.97 * len(whole.points)
    assert np.percentile(np.abs(distances(fused)), 95) < 2 * VOXEL


def test_nobody_is_under_the_floor() -> None:
    floor = float(CENTER[1]) - RADIUS / 2
    points = fuse(*observed(), VOXEL, TRUNCATION, floor).points
    assert points[:, 1].min() > floor - VOXEL
    assert points[:, 1].max() > CENTER[1] + 0.9 * RADIUS
