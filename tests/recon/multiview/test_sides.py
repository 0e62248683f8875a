"""Planted left/right swaps are found, and nothing else is called a swap."""

import numpy as np
import pytest

from simulacra.recon.multiview.detections import Detections
from simulacra.recon.multiview.sides import SwapConfig, best_sequence, undo_swaps
from simulacra.recon.multiview.triangulate import triangulate
from simulacra.recon.observe.landmarks import POSE33
from tests.recon.planted_person import Planted, planted

ARMS = 1


def _plant(scene: Planted, flips: np.ndarray) -> Detections:
    return scene.detections.exchanged(flips)


def _no_flips(scene: Planted) -> np.ndarray:
    return np.zeros((*scene.confidence.shape[:2], len(POSE33.groups)), dtype=bool)


def test_nothing_is_swapped_in_a_sound_capture() -> None:
    scene = planted(cameras=5, frames=10, noise_px=8.0)
    result = undo_swaps(scene.detections, scene.cameras)
    assert not result.swapped.any()
    np.testing.assert_array_equal(result.detections.pixels, scene.pixels)


@pytest.mark.parametrize("cameras", [4, 8, 10])
def test_whole_swaps_are_undone(cameras: int) -> None:
    scene = planted(cameras=cameras, frames=6, noise_px=6.0)
    flips = _no_flips(scene)
    flips[2:4, 1] = True
    flips[:, cameras - 1] = True
    result = undo_swaps(_plant(scene, flips), scene.cameras)
    np.testing.assert_array_equal(result.swapped, flips)
    np.testing.assert_array_equal(result.detections.pixels, scene.pixels)


def test_most_cameras_swapped_is_told_by_handedness() -> None:
    """Three of four wrong: the majority agrees on a person that is inside out."""
    scene = planted(cameras=4, frames=4, noise_px=4.0)
    flips = _no_flips(scene)
    flips[:, :3] = True
    result = undo_swaps(_plant(scene, flips), scene.cameras)
    np.testing.assert_array_equal(result.swapped, flips)


def test_only_the_arms_swapped() -> None:
    scene = planted(cameras=5, frames=5, noise_px=4.0)
    flips = _no_flips(scene)
    flips[1:4, 2, ARMS] = True
    result = undo_swaps(_plant(scene, flips), scene.cameras)
    np.testing.assert_array_equal(result.swapped, flips)


def test_a_swap_and_an_outlier_together() -> None:
    scene = planted(cameras=5, frames=3, noise_px=2.0)
    flips = _no_flips(scene)
    flips[1, 3] = True
    seen = _plant(scene, flips)
    seen.pixels[:, 0, 27] += 150.0
    result = undo_swaps(seen, scene.cameras)
    np.testing.assert_array_equal(result.swapped, flips)
    points = triangulate(result.detections, scene.cameras).points
    assert np.linalg.norm(points - scene.points, axis=-1).max() < 0.02


def test_missing_detections_are_no_swaps() -> None:
    scene = planted(cameras=4, frames=4, noise_px=2.0)
    pixels, confidence = scene.pixels.copy(), scene.confidence.copy()
    pixels[1, 2], confidence[1, 2] = np.nan, 0.0
    result = undo_swaps(Detections(pixels, confidence), scene.cameras)
    assert not result.swapped.any()


def test_switched_off_it_changes_nothing() -> None:
    scene = planted(cameras=4, frames=2)
    flips = _no_flips(scene)
    flips[:, 1] = True
    seen = _plant(scene, flips)
    result = undo_swaps(seen, scene.cameras, SwapConfig(enabled=False))
    np.testing.assert_array_equal(result.detections.pixels, seen.pixels)


def test_the_sequence_is_the_cheapest_of_all() -> None:
    """Against every one of the 4^4 sequences of two cameras over four frames."""
    unary = np.random.default_rng(3).random((4, 4)) * 3
    hops = np.bitwise_count(np.arange(4)[:, None] ^ np.arange(4)[None])
    everything = np.stack(np.meshgrid(*[np.arange(4)] * 4, indexing="ij"), -1).reshape(-1, 4)
    cost = unary[np.arange(4), everything].sum(1) + 0.7 * hops[everything[:, :-1], everything[:, 1:]].sum(1)
    np.testing.assert_array_equal(best_sequence(unary, 0.7), everything[cost.argmin()])


def test_mirror_is_an_involution_within_groups() -> None:
    mirror = np.array(POSE33.mirror)
    np.testing.assert_array_equal(mirror[mirror], np.arange(33))
    for group in POSE33.groups:
        assert {POSE33.mirror[k] for k in group} == set(group)
