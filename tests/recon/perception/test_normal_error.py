"""Normals of depth maps: exact on planes, right on a ball, and blind where a depth map has edges."""

from __future__ import annotations

import numpy as np
import pytest

from simulacra.recon.perception.normal_error import depth_normals, normal_error

SIDE = 256
K = np.array([[300.0, 0, 130], [0, 310.0, 120], [0, 0, 1]])
RAYS = np.stack(
    [
        *np.meshgrid(
            (np.arange(SIDE) + 0.5 - K[0, 2]) / K[0, 0], (np.arange(SIDE) + 0.5 - K[1, 2]) / K[1, 1]
        ),
        np.ones((SIDE, SIDE)),
    ],
    -1,
)
EVERYWHERE = np.ones((SIDE, SIDE), bool)


def turned(degrees: float, about: tuple[float, float] = (0.6, 0.8)) -> np.ndarray:
    """A unit normal towards the camera, turned by so much from its axis."""
    angle = np.radians(degrees)
    return np.array([np.sin(angle) * about[0], np.sin(angle) * about[1], -np.cos(angle)])


def plane(normal: np.ndarray, distance: float = 2.0) -> np.ndarray:
    return -distance / (RAYS @ normal)


def ball(radius: float = 0.4, away: float = 2.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Depth, validity and true normals of a ball on the axis."""
    center = np.array([0.0, 0.0, away])
    a, b, c = (RAYS**2).sum(-1), RAYS @ center, center @ center - radius**2
    root = b**2 - a * c
    hit = root > 0
    z = np.where(hit, (b - np.sqrt(np.maximum(root, 0))) / a, 0)
    return z, hit, (z[..., None] * RAYS - center) / radius


@pytest.mark.parametrize("degrees", [0.0, 25.0, 50.0])
def test_a_planes_normals_are_exact(degrees: float) -> None:
    normal = turned(degrees)
    found, known = depth_normals(plane(normal), EVERYWHERE, K)
    # Two pixels (three of 512, rounded) at the edges have no whole window.
    assert known[2:-2, 2:-2].all() and not known[:2].any()
    np.testing.assert_allclose(found[known], np.broadcast_to(normal, found[known].shape), atol=1e-9)


@pytest.mark.parametrize("degrees", [0.001, 3.0, 30.0])
def test_a_planted_turn_comes_out(degrees: float) -> None:
    error = normal_error(plane(turned(degrees)), EVERYWHERE, plane(turned(0.0)), EVERYWHERE, K)
    assert error is not None and error.mean_deg == pytest.approx(degrees, abs=1e-6)
    assert error.share == 1.0


def test_a_balls_normals_are_known_and_its_rim_is_left_out() -> None:
    z, hit, true = ball()
    found, known = depth_normals(z, hit, K)
    angles = np.degrees(np.arccos(np.clip((found * true)[known].sum(-1), -1, 1)))
    # The plane of a window of 5 pixels, 17 mm of 400 mm radius, stands for its center to a degree, but for the rim.
    assert np.median(angles) < 0.1 and np.quantile(angles, 0.95) < 1.5
    assert not (known & ~hit).any() and known.sum() > 0.8 * hit.sum()


def test_noise_of_known_size_has_the_known_angle() -> None:
    sigma, distance = 0.002, 2.0
    noisy = plane(turned(0.0), distance) + np.random.default_rng(0).normal(0, sigma, (SIDE, SIDE))
    error = normal_error(noisy, EVERYWHERE, plane(turned(0.0), distance), EVERYWHERE, K)
    assert error is not None
    # A slope of n windows' numbers at steps u deviates by sigma / sqrt(sum u^2); both slopes give a Rayleigh length.
    step = distance / 305.0
    slope = sigma / step / np.sqrt(5 * 10.0)
    assert error.mean_deg == pytest.approx(np.degrees(slope * np.sqrt(np.pi / 2)), rel=0.03)


def test_a_window_over_an_edge_has_no_normal() -> None:
    step = plane(turned(0.0))
    step[:, 128:] += 0.1
    _, known = depth_normals(step, EVERYWHERE, K)
    assert not known[:, 126:130].any() and known[2:-2, 3:125].all()
    hole = EVERYWHERE.copy()
    hole[100, 100] = False
    _, known = depth_normals(plane(turned(0.0)), hole, K)
    assert not known[98:103, 98:103].any() and known[97, 100]


def test_nothing_to_compare_is_no_number() -> None:
    assert normal_error(plane(turned(0.0)), ~EVERYWHERE, plane(turned(0.0)), EVERYWHERE, K) is None
    left, right = EVERYWHERE.copy(), EVERYWHERE.copy()
    left[:, 128:], right[:, :128] = False, False
    assert normal_error(plane(turned(0.0)), left, plane(turned(0.0)), right, K) is None
