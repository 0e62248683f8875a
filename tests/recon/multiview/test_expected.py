"""Covariances that are predicted are those of triangulated noise, on rigs that measure well and on such that do not."""

import numpy as np
import pytest

from simulacra.recon.multiview.detections import Detections, PinholeCameras
from simulacra.recon.multiview.expected import expected_covariances, in_view, meeting_point
from simulacra.recon.multiview.triangulate import TriangulationConfig, triangulate
from tests.recon.planted_person import STICK_PERSON, project, ring_of_cameras

NOISE_M = 0.01
TRIALS = 300


def rig(count: int, spread: float) -> PinholeCameras:
    return PinholeCameras(*ring_of_cameras(count, spread=spread))


def everywhere(cameras: PinholeCameras) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Equal noise of all views, none of them with depth."""
    shape = (len(STICK_PERSON), len(cameras))
    return np.full(shape, NOISE_M), np.full(len(cameras), np.inf), np.ones(shape, bool)


# Spread over the circle, so that a pair of 2 x 30 degrees stands 30 degrees apart.
@pytest.mark.parametrize(
    ("count", "degrees"), [(2, 40), (2, 120), (2, 180), (2, 300), (3, 90), (4, 360), (6, 360)]
)
def test_noise_that_is_triangulated_has_the_covariance_that_was_predicted(count: int, degrees: float) -> None:
    cameras = rig(count, np.radians(degrees))
    predicted = expected_covariances(STICK_PERSON, cameras, *everywhere(cameras))
    exact = project(STICK_PERSON[None], cameras.viewmats, cameras.Ks)
    depth = cameras.local(STICK_PERSON[None])[..., 2]
    generator = np.random.default_rng(0)
    noise = generator.normal(0, NOISE_M, (TRIALS, *exact.shape[1:])) * 1000 / depth[..., None]
    # Wide open, so that nothing is rejected or held to be doubtful.
    settings = TriangulationConfig(noise_m=1.0, outlier_m=5.0, min_parallax=0.01)
    found = triangulate(Detections(exact + noise, np.ones(noise.shape[:-1])), cameras, settings).points
    measured = ((found - STICK_PERSON) ** 2).sum(-1).mean(0)
    ratio = measured / np.trace(predicted, axis1=1, axis2=2)
    # 300 trials of one to three degrees of freedom: 8 % a landmark; a median over 33 of them has far less.
    assert np.median(ratio) == pytest.approx(1.0, abs=0.06)
    assert ratio.min() > 0.7 and ratio.max() < 1.4


def test_a_right_angle_has_the_covariance_of_the_formula() -> None:
    """Of two views at an angle: along the bisector s / (sqrt 2 sin), across it s / (sqrt 2 cos), upwards s / sqrt 2."""
    cameras = rig(2, np.radians(120))  # 60 degrees apart, one of them 0.5 m higher
    level = PinholeCameras(cameras.viewmats.copy(), cameras.Ks)
    middle = np.array([[0.0, 1.0, 0.0]])
    for k, angle in enumerate((-np.pi / 6, np.pi / 6)):
        ahead = -np.array([np.sin(angle), 0, np.cos(angle)])
        R = np.stack([np.cross(ahead, [0, 1, 0]), [0, -1, 0], ahead])
        level.viewmats[k, :3, :3], level.viewmats[k, :3, 3] = R, -R @ (middle[0] - 3 * ahead)
    one = np.ones((1, 2), bool)
    found = expected_covariances(middle, level, np.full((1, 2), NOISE_M), np.full(2, np.inf), one)[0]
    half = np.radians(30)
    expected = NOISE_M**2 / 2 / np.array([np.cos(half) ** 2, 1.0, np.sin(half) ** 2])
    np.testing.assert_allclose(found, np.diag(expected), atol=1e-8)


def test_depth_measures_along_the_line_of_sight_that_nothing_else_does() -> None:
    cameras = rig(2, 2 * np.pi)
    noise, without, seen = everywhere(cameras)
    blind = expected_covariances(STICK_PERSON, cameras, noise, without, seen)
    deep = expected_covariances(STICK_PERSON, cameras, noise, np.full(2, 0.03), seen)
    assert np.sqrt(np.trace(deep, axis1=1, axis2=2)).max() < 0.03
    assert np.median(np.trace(blind, axis1=1, axis2=2)) > 4 * np.median(np.trace(deep, axis1=1, axis2=2))
    nobody = expected_covariances(STICK_PERSON, cameras, noise, without, np.zeros_like(seen))
    np.testing.assert_allclose(
        nobody, 100 * np.broadcast_to(np.eye(3), nobody.shape)
    )  # within a room of 10 m


def test_what_is_outside_of_a_picture_or_behind_it_is_not_in_view() -> None:
    cameras = rig(3, 2 * np.pi)
    points = np.array([[0.0, 0.9, 0.0], [0.0, 3.0, 0.0], *(2 * cameras.centres - [0.0, 0.9, 0.0])])
    seen, depth = in_view(points, cameras, np.full((3, 2), 1000.0))
    assert seen[0].all() and not seen[1].any()
    assert all(depth[2 + k, k] < 0 and not seen[2 + k, k] for k in range(3))


def test_lines_meet_where_they_cross_and_parallel_ones_as_far_away_as_expected() -> None:
    cameras = rig(3, 2 * np.pi)
    towards = cameras.viewmats[:, 2, :3]
    crossing = meeting_point(cameras.centres, towards, np.full(3, 9.0), along=20.0)
    np.testing.assert_allclose(crossing, [0.0, 0.9, 0.0], atol=1e-3)
    beside = np.array([[0.0, 1, 0], [0.2, 1, 0]])
    ahead = np.array([[0.0, 0, 1], [0.0, 0, 1]])
    np.testing.assert_allclose(meeting_point(beside, ahead, np.full(2, 2.5), along=0.25), [0.1, 1, 2.5])
