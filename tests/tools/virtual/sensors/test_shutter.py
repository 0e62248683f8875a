"""Shutters: a moving bar is smeared as wide as it moves, a moving wall leans as far as it goes during the readout."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from simulacra.render.camera import look_at
from simulacra.tools.virtual.sensors.shutter import motion_blurred, rolled


def bar(left: int = 40, right: int = 88, speed: float = 20.0) -> tuple[np.ndarray, np.ndarray]:
    image, motion = np.zeros((64, 128, 3), np.float32), np.zeros((64, 128, 2), np.float32)
    image[:, left:right] = 1
    motion[:, left:right, 0] = speed
    return image, motion


@pytest.mark.parametrize(("speed", "share"), [(20.0, 0.5), (-20.0, 0.5), (20.0, 1.0), (8.0, 0.5)])
def test_a_moving_bar_is_smeared_over_its_way(speed: float, share: float) -> None:
    """The edge's ramp is as wide as the way, half of it outside of the bar; the sum of light stays."""
    image, motion = bar(speed=speed)
    row = motion_blurred(image, motion, share)[32, :, 0]
    way = abs(speed) * share
    for edge, side in ((40, 1), (88, -1)):
        at = np.arange(128) + 0.5
        expected = np.clip(0.5 + side * (at - edge) / way, 0, 1)
        near = np.abs(at - edge) < way / 2 + 4
        # A few samples along the way make steps.
        assert np.abs(row - expected)[near].max() < 0.15, edge
        half = np.interp(0.5, row[near][::side], at[near][::side])
        assert half == pytest.approx(edge, abs=0.3)  # the middle of the exposure is the picture's moment
    assert row.sum() == pytest.approx(image[32, :, 0].sum(), rel=0.01)
    assert (row[0:25] == 0).all()
    # The control: a shutter that is open for a moment leaves a sharp edge.
    assert np.array_equal(motion_blurred(image, motion, 0.01), image)


def test_a_still_background_is_seen_through_the_smear_and_stays_sharp() -> None:
    image, motion = bar()
    ground = np.zeros_like(image)
    ground[::2] = 0.5
    image = np.where(image > 0, image, ground)
    out = motion_blurred(image, motion, 0.5)
    assert np.array_equal(out[:, :30], ground[:, :30])
    assert out[32, 36:40, 0].min() > 0.5  # light of the bar over the stripe
    assert out[33, 34, 0] < 0.25


def test_the_nearer_hides_the_farther_if_depths_are_known() -> None:
    """A bar passes behind a still post: with depths the post stays whole."""
    image, motion = bar()
    depth = np.where(image[..., 0] > 0, 3.0, 0.0).astype(np.float32)
    post = (slice(None), slice(88, 96))
    image[post], motion[post], depth[post] = 0.25, 0, 1.0
    hidden = motion_blurred(image, motion, 0.5, depth)
    np.testing.assert_allclose(hidden[post], 0.25, atol=1e-6)
    assert motion_blurred(image, motion, 0.5)[32, 90, 0] > 0.3  # without, what moves is taken to be in front


def test_blur_of_coverage_goes_with_the_color() -> None:
    image, motion = bar()
    with_alpha = np.concatenate([0.5 * image, image[..., :1]], -1)
    out = motion_blurred(with_alpha, motion, 0.5)
    np.testing.assert_allclose(out[..., 0], 0.5 * out[..., 3], atol=1e-6)
    assert 0 < out[32, 38, 3] < 1


def wall() -> torch.Tensor:
    y, x = torch.meshgrid(torch.linspace(-0.8, 0.8, 9), torch.linspace(-0.5, 0.5, 5), indexing="ij")
    return torch.stack([x, y, torch.zeros_like(x)], -1).reshape(-1, 3)


@pytest.mark.parametrize("readout", [0.3, 0.9])
def test_rolling_leans_by_readout_times_velocity(readout: float) -> None:
    """A wall that goes sideways in the picture: each row has it where it is when the row is read."""
    camera = look_at(torch.tensor([[0.0, 0.0, 2.0]]), torch.zeros(1, 3), 300.0, 320, 240)
    velocity = torch.tensor([0.1, 0.0, 0.0]).expand(45, 3)  # 15 px a frame interval at 2 m
    still = wall()
    before, _ = camera.project(still)
    after, _ = camera.project(rolled(still, velocity, camera, readout))
    seen = (before[0, :, 1] > 0) & (before[0, :, 1] < 240)
    moved = (after - before)[0, seen]
    expected = readout * 15.0 * (after[0, seen, 1] / 240 - 0.5)
    torch.testing.assert_close(moved[:, 0], expected, atol=1e-3, rtol=0)
    assert float(moved[:, 0].max() - moved[:, 0].min()) > 10 * readout
    torch.testing.assert_close(moved[:, 1], torch.zeros_like(expected), atol=1e-4, rtol=0)


def test_rolling_along_the_rows_stretches() -> None:
    """What goes down with the readout is read later: a wall grows by 1 / (1 - speed x readout / height)."""
    camera = look_at(torch.tensor([[0.0, 0.0, 2.0]]), torch.zeros(1, 3), 300.0, 320, 240)
    velocity = torch.tensor([0.0, -0.2, 0.0]).expand(45, 3)  # 30 px a frame interval, down
    rows = camera.project(wall())[0][0, :, 1]
    after = camera.project(rolled(wall(), velocity, camera, 0.8))[0][0, :, 1]
    inside = (rows > 20) & (rows < 220)
    stretch = (after[inside] - 120) / (rows[inside] - 120).where(rows[inside] != 120, torch.nan)
    stretch = stretch[stretch.isfinite()]
    torch.testing.assert_close(stretch, torch.full_like(stretch, 1 / (1 - 30 * 0.8 / 240)), atol=2e-3, rtol=0)


def test_a_global_shutter_moves_nothing() -> None:
    camera = look_at(torch.tensor([[0.0, 0.0, 2.0]]), torch.zeros(1, 3), 300.0, 320, 240)
    assert torch.equal(rolled(wall(), torch.ones(45, 3), camera, 0.0), wall())


def test_what_is_far_away_changes_nothing() -> None:
    """Only the part about what moves is worked on: the same numbers in a larger picture."""
    image, motion = bar()
    image = (image * np.random.default_rng(0).random(image.shape)).astype(np.float32)
    wide = ((96, 80), (112, 144), (0, 0))
    small = motion_blurred(image, motion, 0.5)
    large = motion_blurred(np.pad(image, wide), np.pad(motion, wide), 0.5)
    np.testing.assert_allclose(large[96:-80, 112:-144], small, atol=1e-6)
    assert large.sum() == pytest.approx(small.sum(), rel=1e-5)
