"""Depth sensors: planes, steps and corners whose answers are known from the sensors' own geometry and statistics."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import cv2
import numpy as np
import pytest

from simulacra.render.runtime.errors import ConfigError
from simulacra.tools.virtual.sensors.chance import key, normal_field, two_normal_fields
from simulacra.tools.virtual.sensors.depth import (
    DepthSensor,
    Stereo,
    StructuredLight,
    TimeOfFlight,
    sense_depth,
)

F = 500.0
H, W = 160, 200
K = np.array([[F, 0, W / 2], [0, F, H / 2], [0, 0, 1]])
# Grids of their own are as fine as the picture here, unless a test is of that.
LIGHT = StructuredLight(focal_px=F)
STEREO = Stereo(focal_px=F)
FLIGHT = TimeOfFlight(focal_px=F)
# Without what chance does.
QUIET_LIGHT = replace(LIGHT, noise_px=0.0, step_px=0.0, depth_step_m=0.0, near_jitter=0.0)
QUIET_FLIGHT = replace(FLIGHT, noise_m=0.0, wiggling_m=0.0, multipath=0.0, depth_step_m=0.0)
EACH: list[DepthSensor] = [LIGHT, STEREO, FLIGHT]


def kind(sensor: DepthSensor) -> str:
    return type(sensor).__name__


def sense(
    depth: np.ndarray,
    sensor: DepthSensor,
    seed: int = 0,
    albedo: float | np.ndarray = 0.5,
    normals: np.ndarray | None = None,
) -> np.ndarray:
    if normals is None:
        normals = np.zeros((*depth.shape, 3), np.float32)
        normals[depth > 0] = (0, 0, -1)
    infrared = np.where(depth > 0, albedo, 0).astype(np.float32)
    return sense_depth(depth.astype(np.float32), normals, infrared, K, np.eye(4), sensor, seed)


def wall(z: float) -> np.ndarray:
    return np.full((H, W), z, np.float32)


def slab(near: float, far: float) -> np.ndarray:
    """A near slab in the middle of a far wall: columns 80 to 120."""
    depth = wall(far)
    depth[:, 80:120] = near
    return depth


def inner(image: np.ndarray) -> np.ndarray:
    return image[15:-15, 15:-15].astype(np.float64)


def stated_sigma(sensor: DepthSensor, z: float, albedo: float) -> float:
    """The noise of depth that a sensor's own words give for a wall on the axis, metres."""
    strength = albedo / z**2
    if isinstance(sensor, TimeOfFlight):
        return sensor.noise_m * np.sqrt(strength + sensor.ambient) / strength
    if isinstance(sensor, StructuredLight):
        sigma = sensor.noise_px * np.sqrt(1 + (sensor.weak_return / strength) ** 2)
    else:
        lack = sensor.picture_noise * np.sqrt(2 / (sensor.block_px**2 * (sensor.texture * strength) ** 2))
        sigma = np.hypot(sensor.noise_px, lack)
    step = sensor.step_px / np.sqrt(12)
    return z**2 / (F * abs(sensor.baseline_m)) * np.hypot(sigma, step)


@pytest.mark.parametrize("sensor", EACH, ids=kind)
@pytest.mark.parametrize("z", [0.9, 1.7, 2.6])
def test_a_wall_is_where_it_is_within_the_stated_noise(sensor: DepthSensor, z: float) -> None:
    if isinstance(sensor, TimeOfFlight):
        sensor = replace(sensor, wiggling_m=0.0)
    found = [inner(sense(wall(z), sensor, seed)) for seed in range(6)]
    error = np.stack(found) - z
    assert (np.stack(found) > 0).mean() > 0.99
    sigma = stated_sigma(sensor, z, 0.5)
    # Noise is shared by neighbours and rounded in steps: some thousand numbers are as good as independent.
    assert abs(error.mean()) < 0.1 * sigma + 0.0005
    # Rounding of noise that is smaller than a step depends on where between two steps the wall is.
    assert error.std() == pytest.approx(np.hypot(sigma, 0.00029), rel=0.15)


def test_rounding_can_be_biased_where_there_is_no_noise() -> None:
    """The control of the test above: one step off the grid of disparities is seen as such."""
    found = inner(sense(wall(1.7), replace(LIGHT, noise_px=0.0)))
    step = 1.7**2 / (F * 0.075) * 0.125
    assert np.ptp(found) == 0
    assert 0 < abs(found[0, 0] - 1.7) <= step / 2 + 0.0005


@pytest.mark.parametrize("sensor", [LIGHT, STEREO], ids=kind)
def test_disparities_come_in_steps(sensor: StructuredLight | Stereo) -> None:
    depth = np.broadcast_to(np.linspace(1.5, 1.9, W), (H, W))
    found = sense(depth, replace(sensor, depth_step_m=0.0))
    disparity = F * sensor.baseline_m / found[found > 0].astype(np.float64)
    whole = disparity / sensor.step_px
    assert np.abs(whole - np.rint(whole)).max() < 2e-4
    assert len(np.unique(np.rint(whole))) > 8


def test_depth_comes_in_millimetres() -> None:
    found = sense(wall(1.234), FLIGHT).astype(np.float64) * 1000
    assert np.abs(found - np.rint(found)).max() < 1e-3
    assert len(np.unique(np.rint(found))) > 3


@pytest.mark.parametrize(("baseline", "side"), [(0.075, "left"), (-0.075, "right")])
@pytest.mark.parametrize("sensor", [QUIET_LIGHT, replace(STEREO, noise_px=0.0, picture_noise=0.0)], ids=kind)
def test_the_shadow_lies_beside_the_near_slab_and_is_as_wide_as_disparity_says(
    sensor: StructuredLight | Stereo, baseline: float, side: str
) -> None:
    near, far = 1.0, 2.0
    found = sense(slab(near, far), replace(sensor, baseline_m=baseline, block_px=1, grain_px=1))
    width = F * abs(baseline) * (1 / near - 1 / far)
    shadow = found[H // 2] == 0
    expected = np.zeros(W, bool)
    expected[slice(int(80 - width), 80) if side == "left" else slice(120, int(120 + width))] = True
    # Less than a pixel is lost at either end.
    assert abs(int(shadow.sum()) - width) <= 1
    assert (shadow & ~expected).sum() <= 1 and (expected & ~shadow).sum() <= 1
    assert (
        sense(slab(near, far), QUIET_FLIGHT)[H // 2] > 0
    ).mean() > 0.97  # the control: one eye has no shadow


def test_near_things_grow_at_edges_and_fine_ones_go() -> None:
    """Against nothing, so that no shadow is in the way."""
    depth = np.zeros((H, W), np.float32)
    depth[40:120, 60:100] = 1.0
    depth[40:120, 140:142] = 1.0
    found = sense(depth, QUIET_LIGHT) > 0
    assert found[80, 55:105].sum() > 40  # wider than it is
    assert found[80, 55:105].sum() <= 40 + 2 * 4
    assert not found[80, 130:150].any()
    half = sense(depth, replace(QUIET_LIGHT, near_share=0.75)) > 0
    assert half[80, 55:105].sum() < 40
    assert (sense(depth, replace(QUIET_LIGHT, block_px=1)) > 0)[80, 140:142].all()


def test_edges_have_no_rings() -> None:
    """Beside the shadow, what a block finds is one of the two surfaces, up to the edge and from it."""
    found = sense(slab(1.0, 2.0), QUIET_LIGHT)[H // 2]
    width = int(np.ceil(F * 0.075 * 0.5))
    beside = found[80 - width - 4 : 80 + 2] == 0
    assert (found[120:-2] > 0).all() and (found[84:120] > 0).all() and (found[2 : 80 - width - 4] > 0).all()
    assert 0 < beside.sum() <= width + 1
    assert (np.minimum(np.abs(found - 1), np.abs(found - 2))[found > 0] < 0.002).all()


def test_a_steep_wall_is_measured_where_it_is() -> None:
    """One surface may have more disparities in a block than one peak is wide."""
    depth = np.broadcast_to(1.0 + 0.004 * np.abs(np.arange(W) - W / 2), (H, W)).astype(np.float32)
    error = inner(sense(depth, QUIET_LIGHT) - depth)
    away = np.abs(np.arange(W)[15:-15] - W / 2) > 8
    assert np.abs(error[:, away]).max() < 0.0015


def test_a_block_takes_detail_away() -> None:
    """Ripples as wide as a block are flattened, wide ones stay."""
    x = np.arange(W)
    kept = []
    for period in (9, 60):
        depth = np.broadcast_to(1.0 + 0.004 * np.sin(2 * np.pi * x / period), (H, W))
        found = inner(sense(depth, QUIET_LIGHT))
        kept.append(found.std() / inner(depth).std())
    assert kept[0] < 0.35 and kept[1] > 0.9


@pytest.mark.parametrize("sensor", EACH, ids=kind)
def test_noise_grows_with_distance_and_with_darkness(sensor: DepthSensor) -> None:
    def noise(z: float, albedo: float) -> float:
        found = inner(sense(wall(z), sensor, 1, albedo))
        return float(found[found > 0].std())

    for z, albedo in ((1.0, 0.6), (3.0, 0.6), (1.0, 0.08)):
        assert noise(z, albedo) == pytest.approx(stated_sigma(sensor, z, albedo), rel=0.2, abs=0.0004)
    assert noise(3.0, 0.6) > 2.5 * noise(1.0, 0.6)
    assert noise(1.0, 0.08) >= noise(1.0, 0.6)


@pytest.mark.parametrize("sensor", EACH, ids=kind)
def test_too_weak_a_return_is_no_measurement(sensor: DepthSensor) -> None:
    assert (inner(sense(wall(1.5), sensor, 0, 0.5)) > 0).all()
    assert not (sense(wall(2.5), sensor, 0, 0.003) > 0).any()
    assert not (sense(wall(20.0), sensor) > 0).any()
    assert not sense(np.zeros((H, W), np.float32), sensor).any()


def test_grazing_surfaces_return_little() -> None:
    """A wall that is seen at 85 degrees returns a tenth: noise of a far one, or none."""
    normals = np.zeros((H, W, 3), np.float32)
    normals[:] = (np.sin(np.radians(85)), 0, -np.cos(np.radians(85)))
    facing, grazing = (
        inner(sense(wall(1.5), replace(FLIGHT, least_return=0.0), 0, 0.5, n)) for n in (None, normals)
    )
    assert grazing.std() > 2.5 * facing.std()


def test_passive_stereo_needs_texture() -> None:
    passive = replace(STEREO, texture=0.0)
    rng = np.random.default_rng(0)
    patterned = np.full((H, W), 0.5)
    patterned[:, : W // 2] = rng.uniform(0.2, 0.8, (H, W // 2))
    found = sense(wall(1.5), passive, 0, patterned) > 0
    assert found[20:-20, 10 : W // 2 - 10].mean() > 0.99
    assert not found[:, W // 2 + 10 :].any()
    assert (sense(wall(1.5), STEREO, 0, 0.5) > 0).mean() > 0.99  # the control: a projector helps


def test_flying_pixels_lie_between_the_surfaces() -> None:
    """Pixels on the edge mix both; where they disagree too much at the fine frequency they are given up."""
    near, far = 1.0, 1.12
    tolerant = replace(QUIET_FLIGHT, coherence=0.0)
    found = sense(slab(near, far), tolerant)[H // 2]
    edge = np.concatenate([found[79:81], found[119:121]])
    rest = np.concatenate([found[1:78], found[82:118], found[122:-1]])
    assert ((edge > near + 0.005) & (edge < far - 0.005)).sum() >= 2
    assert (edge >= near - 1e-5).all() and (edge <= far + 1e-5).all()
    # Elsewhere depth is that of the surface: a pixel is a mean of distances, which differ little within it.
    assert (np.minimum(np.abs(rest - near), np.abs(rest - far)) < 1e-4).all()
    wide = sense(slab(1.0, 1.375), replace(QUIET_FLIGHT, coherence=0.9))[H // 2]
    assert (wide[[79, 80, 119, 120]] == 0).any()
    assert (np.minimum(np.abs(wide - 1.0), np.abs(wide - 1.375))[wide > 0] < 0.02).all()
    # The control: blocks do not mix, they choose.
    blocks = sense(slab(near, far), replace(QUIET_LIGHT, block_px=3))[H // 2]
    assert (np.minimum(np.abs(blocks - near), np.abs(blocks - far))[blocks > 0] < 0.003).all()


def test_light_between_surfaces_makes_corners_farther() -> None:
    """A right-angled corner: each side lights the other. A single wall has no such light."""
    x = (np.arange(W) + 0.5 - W / 2) / F
    depth = np.broadcast_to(1.5 / (1 + np.abs(x)), (H, W)).astype(np.float32)  # the edge is farthest
    normals = np.zeros((H, W, 3), np.float32)
    normals[..., 0] = -np.sign(x) * np.sqrt(0.5)
    normals[..., 2] = -np.sqrt(0.5)
    quiet = replace(QUIET_FLIGHT, multipath=1.0)
    corner = inner(sense(depth, quiet, 0, 0.8, normals) - depth)
    assert (corner > -1e-4).all()
    assert 0.002 < np.median(corner) < 0.05
    dark = inner(sense(depth, quiet, 0, 0.2, normals) - depth)
    assert np.median(dark) < 0.4 * np.median(corner)
    flat = inner(sense(wall(1.5), quiet, 0, 0.8) - 1.5)
    assert np.abs(flat).max() < 1e-4
    off = inner(sense(depth, QUIET_FLIGHT, 0, 0.8, normals) - depth)
    assert np.abs(off).max() < 1e-3 and np.median(np.abs(off)) < 1e-5  # the edge itself is rounded off


def test_wiggling_swings_with_range() -> None:
    sensor = replace(QUIET_FLIGHT, wiggling_m=0.004)
    ranges = np.linspace(1.0, 1.75, 61)
    error = np.array([sense(wall(z), sensor)[H // 2, W // 2] - z for z in ranges])
    assert error.max() == pytest.approx(0.004, rel=0.05) and error.min() == pytest.approx(-0.004, rel=0.05)
    # Four periods in a fine wavelength of range, 0.75 m at 200 MHz.
    spectrum = np.abs(np.fft.rfft(error[:60]))
    assert spectrum[1:].argmax() + 1 == 4


def test_beyond_the_ambiguity_depth_comes_round_again() -> None:
    sensor = replace(QUIET_FLIGHT, ambiguity_m=2.0, least_return=0.0)
    assert sense(wall(2.6), sensor)[H // 2, W // 2] == pytest.approx(0.6, abs=2e-3)
    assert sense(wall(2.6), QUIET_FLIGHT)[H // 2, W // 2] == pytest.approx(2.6, abs=2e-3)


@pytest.mark.parametrize("sensor", EACH, ids=kind)
def test_a_coarser_sensor_has_coarser_noise_in_the_same_place(sensor: DepthSensor) -> None:
    """Half as many pixels along a side: a slanted wall stays where it is, and neighbours share noise."""
    half = replace(sensor, focal_px=F / 2)
    if not isinstance(half, TimeOfFlight):
        half = replace(half, block_px=1, grain_px=1)
    else:
        half = replace(half, wiggling_m=0.0)
    depth = np.broadcast_to(np.linspace(1.2, 1.4, W), (H, W))
    error = np.mean([inner(sense(depth, half, seed) - depth) for seed in range(40)], axis=0)
    assert np.abs(error.mean()) < 5e-4
    slope = np.polyfit(np.arange(error.shape[1]), error.mean(0), 1)[0]
    assert abs(slope * W) < 1e-3
    single = inner(sense(wall(1.3), half, 1) - 1.3)
    assert (single[:, 1:] * single[:, :-1]).mean() / single.var() > 0.4


@pytest.mark.parametrize("sensor", EACH, ids=kind)
def test_the_same_bytes_on_one_and_two_threads(sensor: DepthSensor) -> None:
    threads = cv2.getNumThreads()
    found = []
    for count in (1, 2):
        cv2.setNumThreads(count)
        with ThreadPoolExecutor(count) as pool:
            found.append(list(pool.map(lambda seed: sense(slab(1.0, 2.0), sensor, seed), [3, 4, 3, 4])))
    cv2.setNumThreads(threads)
    assert all(np.array_equal(a, b) for a, b in zip(*found))
    assert np.array_equal(found[0][0], found[0][2])
    assert not np.array_equal(found[0][0], found[0][1])


def test_normal_numbers_are_normal() -> None:
    fields: list[Callable[[], np.ndarray]] = [
        lambda: normal_field(512, 512, key(1, "a")),
        lambda: two_normal_fields(512, 512, key(1, "a"))[0],
        lambda: two_normal_fields(512, 512, key(1, "a"))[1],
    ]
    for make in fields:
        values = make().astype(np.float64)
        assert abs(values.mean()) < 0.008 and abs(values.std() - 1) < 0.006
        assert abs((values**3).mean()) < 0.03 and abs((values**4).mean() - 3) < 0.08
        assert abs((values[:, 1:] * values[:, :-1]).mean()) < 0.008
    first, second = two_normal_fields(512, 512, key(1, "a"))
    assert (
        abs((first * second).mean()) < 0.008
        and abs((np.abs(first) * np.abs(second)).mean() - 2 / np.pi) < 0.008
    )
    assert key(1, "a") != key(1, "b") != key(2, "b")


def test_a_sensor_that_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError):
        StructuredLight(focal_px=0.0)
    with pytest.raises(ConfigError):
        TimeOfFlight(coherence=1.5)
