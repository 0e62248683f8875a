"""Masks where several people are in the picture, and where somebody is expected."""

from __future__ import annotations

import numpy as np
import pytest

from simulacra.recon.observe.expected import ExpectedBodies, distance, is_expected, region_of_landmarks
from simulacra.recon.observe.landmarks import POSE33
from simulacra.recon.observe.pose import region_of_body, region_of_mask
from simulacra.recon.observe.roi import Roi
from simulacra.recon.observe.separate import separate_mask, separate_soft
from simulacra.recon.observe.soft_mask import SoftMask
from tests.recon.planted_person import STICK_PERSON


def standing(x: float, scale: float = 200.0) -> np.ndarray:
    """The stick person upright in a picture, its middle at column x, its soles at row 400."""
    return np.stack([x - scale * STICK_PERSON[:, 0], 400 - scale * STICK_PERSON[:, 1]], -1)


def test_a_mask_of_two_people_is_divided_between_them() -> None:
    """A block that covers both: each pixel column goes to the nearer of two who stand side by side."""
    mask = np.zeros((450, 500), np.float32)
    mask[60:400, 100:400] = 1.0
    left, right = standing(180), standing(320)
    mine, theirs = separate_mask(mask, left, [right]), separate_mask(mask, right, [left])
    assert mine[60:400, 100:220].min() > 0.95 and mine[60:400, 280:].max() < 0.05
    # Nothing is lost and nothing given twice, but for the few pixels that both claim alike.
    np.testing.assert_allclose((mine + theirs)[mask > 0], 1.0, atol=0.05)
    np.testing.assert_array_equal(separate_mask(mask, left, []), mask)


def test_a_networks_mask_of_both_is_the_other_ones_where_it_is_surer_of_that() -> None:
    region = Roi.square((250.0, 230.0), 512.0)
    both, other = np.zeros((256, 256), np.float32), np.zeros((256, 256), np.float32)
    both[30:230, 50:200] = 0.9
    other[30:230, 125:200] = 0.95
    left, right = standing(180), standing(320)
    alone = separate_soft(SoftMask(both, region), left, [(right, SoftMask(other, region))]).values
    assert alone[60:200, 60:100].min() > 0.8 and alone[60:200, 150:].max() < 0.1
    # Also where the network does not answer about the other: limbs claim.
    unseen = separate_soft(SoftMask(both, region), left, [(right, None)]).values
    assert unseen[60:200, 60:90].min() > 0.8 and unseen[60:200, 165:].max() < 0.1


def test_whose_a_look_is_goes_by_where_people_are_expected() -> None:
    mine, other = standing(180), standing(260)
    noise = np.random.default_rng(0).normal(0, 5, (33, 2))
    assert is_expected(mine + noise, [mine, other]) and not is_expected(other + noise, [mine, other])
    # Turned by half a turn: left and right are exchanged, and it is the same person.
    assert is_expected(mine[list(POSE33.mirror)] + noise, [mine, other])
    assert not is_expected(mine, [None, other])
    assert distance(mine + np.array([36.0, 0.0]), mine) == pytest.approx(0.1, abs=0.02)  # 36 of some 350 px
    people = ExpectedBodies((4, 7), ("a",), np.stack([mine, other])[:, None, None].repeat(2, 1), chosen=1)
    np.testing.assert_array_equal(people.at(7, "a")[0], other)
    assert people.at(5, "a") == [None, None] and people.at(4, "b") == [None, None]


def test_the_region_of_landmarks_and_of_a_mask_are_the_networks_own() -> None:
    """The circle about the hips that reaches from soles to crown, as the detector's two points have it."""
    body = standing(250)
    hip = body[[23, 24]].mean(0)
    usual = region_of_body(hip, hip - [0.0, 200.0])
    some = body.copy()
    some[[13, 15, 30]] = np.nan
    mask = np.zeros((450, 500), np.float32)
    mask[50:400, 160:340] = 1.0
    made = region_of_mask(mask)
    assert made is not None and region_of_mask(np.zeros_like(mask)) is None
    for region in (region_of_landmarks(body), region_of_landmarks(some), made):
        np.testing.assert_allclose(region.center, usual.center, atol=20)
        assert region.size[0] == pytest.approx(usual.size[0], rel=0.15) and abs(region.rotation) < 0.02
