"""Flicker along a motion: none where pictures only move, and noise by its own size."""

from __future__ import annotations

import numpy as np
import pytest

from simulacra.recon.perception.flicker import LEAST_PIXELS, Motion, flicker, warp

SIDE = 96
PERSON = np.zeros((SIDE, SIDE), bool)
PERSON[10:-10, 20:-20] = True


def texture(shift: float = 0.0) -> np.ndarray:
    """Linear in x, so that a bilinear sample between pixels is exact."""
    x = np.arange(SIDE) + 0.5 - shift
    row = np.stack([0.2 + 0.004 * x, 0.9 - 0.005 * x, 0.5 + 0.001 * x], -1)
    return np.broadcast_to(row, (SIDE, SIDE, 3)).astype(np.float32).copy()


def moved(by: float, known: np.ndarray = PERSON) -> Motion:
    x, y = np.meshgrid(np.arange(SIDE) + 0.5, np.arange(SIDE) + 0.5)
    return Motion(np.stack([x - by, y], -1), known)


STILL = (texture(), texture())


def test_what_stands_still_does_not_flicker() -> None:
    found = flicker(STILL, STILL, (PERSON, PERSON), moved(0.0))
    assert found is not None and (found.render, found.photograph, found.excess) == (0.0, 0.0, 0.0)
    assert found.count == PERSON.sum()


@pytest.mark.parametrize("by", [3.0, 2.3, -4.75])
def test_what_only_moves_does_not_flicker_and_without_its_motion_it_does(by: float) -> None:
    pictures = (texture(), texture(by))
    found = flicker(pictures, pictures, (PERSON, PERSON), moved(by))
    # Places are in float32 and cv2 interpolates in 32nds of a pixel: 0.016 pixels of 0.005 a pixel of 255 levels.
    assert found is not None and found.render < 0.03
    control = flicker(pictures, STILL, (PERSON, PERSON), moved(0.0))
    assert control is not None and control.excess == pytest.approx(255 * abs(by) * 0.01 / 3, rel=1e-3)


def test_planted_noise_has_its_known_size() -> None:
    draw = np.random.default_rng(0)
    sigma = 0.02
    noisy = tuple((p + draw.normal(0, sigma, p.shape)).astype(np.float32) for p in STILL)
    found = flicker(noisy, STILL, (PERSON, PERSON), moved(0.0))
    assert found is not None
    # |a - b| of two normal numbers has a mean of 2 sigma / sqrt(pi).
    assert found.excess == pytest.approx(255 * 2 * sigma / np.sqrt(np.pi), rel=0.02)
    back = flicker(STILL, noisy, (PERSON, PERSON), moved(0.0))
    assert back is not None and back.excess == pytest.approx(-found.excess)
    same = flicker(noisy, noisy, (PERSON, PERSON), moved(0.0))
    assert same is not None and same.excess == 0.0 and same.render > 5


def test_pixels_at_the_persons_edge_and_without_a_known_motion_do_not_count() -> None:
    white, black = np.ones((SIDE, SIDE, 3), np.float32), np.zeros((SIDE, SIDE, 3), np.float32)
    over = np.where(PERSON[..., None], white, black)
    # By half a pixel the edge is half black in the warped picture; nothing of it may be called flicker.
    found = flicker((over, over), (over, over), (PERSON, PERSON), moved(0.5))
    assert found is not None and found.render < 1e-3 and found.count < PERSON.sum()
    known = PERSON.copy()
    known[:, 48:] = False
    burst = STILL[1].copy()
    burst[:, 48:] = 1.0
    hidden = flicker((STILL[0], burst), STILL, (PERSON, PERSON), moved(0.0, known))
    assert hidden is not None and hidden.excess == 0.0


def test_of_few_pixels_there_is_no_number() -> None:
    few = np.zeros_like(PERSON)
    few.ravel()[: LEAST_PIXELS - 1] = True
    assert flicker(STILL, STILL, (few, few), moved(0.0, np.ones_like(few))) is None


def test_a_picture_is_warped_to_where_it_was_seen() -> None:
    image = np.zeros((SIDE, SIDE, 1), np.float32)
    image[30, 40] = 1.0
    np.testing.assert_array_equal(np.argwhere(warp(image, moved(5.0))[..., 0]), [[30, 45]])
