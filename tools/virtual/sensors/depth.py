"""Depth sensors by their physics: structured light, stereo, time of flight.

Each takes what a camera without faults would know (depth, normals, infrared albedo) and gives depth as its kind of
device has it: `depth_disparity` and `depth_phase` say what happens, docs/sensors.md what is left out and how it
compares with real ones. Numbers are those of real devices, their sources beside them.
"""

from __future__ import annotations

from typing import Annotated, Literal

import cv2
import numpy as np
from annotated_types import Interval
from jaxtyping import Float

from simulacra.recon.runs.configuration import config
from simulacra.recon.runs.ranges import Share

from .chance import key, normal_field, two_normal_fields
from .depth_disparity import grained, lit, matched
from .depth_grid import Scene, point_samples, scene_of, to_picture
from .depth_phase import LIGHT, multipath, phasors

Block = Annotated[int, Interval(ge=1, le=31)]
# Of the sensor's own grid; coarser than the picture, or the picture's.
Focal = Annotated[float, Interval(ge=10, le=1e5)]
# In either direction along x, or none: then nothing is measured.
Baseline = Annotated[float, Interval(ge=-10, le=10)]
Metres = Annotated[float, Interval(ge=0, le=1000)]
Disparity = Annotated[float, Interval(ge=0, le=1000)]
# Albedo x cosine / (range / 1 m)^2.
Return = Annotated[float, Interval(ge=0, le=1e4)]


def _check_reach(nearest: float, farthest: float) -> None:
    if nearest > farthest:
        raise ValueError(f"nearest_m at most farthest_m: not {nearest:g} of {farthest:g}")


@config
class StructuredLight:
    """A projected pattern seen by an infrared camera: Kinect for Xbox 360, Xtion and their kind.

    Attributes:
        focal_px: of the sensor's own grid; 580 for 640 x 480 of the Kinect (Khoshelham and Oude Elberink 2012, whose
            baseline of 75 mm and noise this is: 1.4 mm x (z / 1 m)^2, which is 0.062 px with that of the steps).
        baseline_m: where the projector is on the camera's x axis; shadows are on the other side of near things.
        block_px: side of the block that is compared with the pattern: 9 (Konolige and Mihelich 2010).
        near_share: part of the block that a near surface needs to win it; under a half near things grow.
        near_jitter: standard deviation of that part: edges are ragged.
        noise_px: standard deviation of disparity at a strong return.
        weak_return: of albedo x cosine / (range / 1 m)^2: here the noise is 1.4 times that of a strong one.
        least_return: of the same; under it there is no measurement.
        steepest_px: no measurement where the surface's disparity changes by more within a block.
        step_px: disparities are multiples of it: 1/8 px (Konolige and Mihelich 2010).
        grain_px: side of the square that shares its noise; blocks overlap.
        nearest_m: no measurement before it.
        farthest_m: no measurement beyond it.
        depth_step_m: depths are multiples of it.
    """

    kind: Literal["structured_light"] = "structured_light"
    focal_px: Focal = 580.0
    baseline_m: Baseline = 0.075
    block_px: Block = 9
    near_share: Share = 0.42
    near_jitter: Share = 0.06
    noise_px: Disparity = 0.05
    weak_return: Return = 0.02
    least_return: Return = 0.006
    steepest_px: Disparity = 3.0
    step_px: Disparity = 0.125
    grain_px: Block = 5
    nearest_m: Metres = 0.4
    farthest_m: Metres = 5.0
    depth_step_m: Metres = 0.001

    def __post_init__(self) -> None:
        _check_reach(self.nearest_m, self.farthest_m)


@config
class Stereo:
    """Two infrared cameras, with or without a projected texture: RealSense D400 and its kind.

    The variance of a block's disparity is 2 sigma^2 / sum of squared differences along x (the bound for matching by
    Foerstner and Guelch 1987), sigma that of the pictures' grey levels; a projected texture adds to the differences,
    the less the weaker its return.

    Attributes:
        focal_px: of the sensor's own grid; 424 for 848 x 480 of a D435 with 90 degrees.
        baseline_m: where the other camera is on the x axis of this one; 50 mm in a D435.
        block_px: side of the block that is compared.
        near_share: part of the block that a near surface needs to win it.
        near_jitter: standard deviation of that part.
        texture: rms difference from pixel to pixel that the projector makes at return 1; 0 without a projector.
        picture_noise: of grey levels, of the full scale of 1.
        noise_px: what is left of disparity's noise with any texture: 0.05 to 0.1 px in devices.
        worst_px: no measurement where the noise by lack of texture is larger.
        steepest_px: no measurement where the surface's disparity changes by more within a block.
        step_px: disparities are multiples of it: 1/32 px in a D435.
        grain_px: side of the square that shares its noise.
        nearest_m: no measurement before it.
        farthest_m: no measurement beyond it.
        depth_step_m: depths are multiples of it.
    """

    kind: Literal["stereo"] = "stereo"
    focal_px: Focal = 424.0
    baseline_m: Baseline = 0.05
    block_px: Block = 7
    near_share: Share = 0.42
    near_jitter: Share = 0.06
    texture: Return = 0.25
    picture_noise: Share = 0.006
    noise_px: Disparity = 0.06
    worst_px: Disparity = 0.35
    steepest_px: Disparity = 3.0
    step_px: Disparity = 0.03125
    grain_px: Block = 5
    nearest_m: Metres = 0.2
    farthest_m: Metres = 8.0
    depth_step_m: Metres = 0.001

    def __post_init__(self) -> None:
        _check_reach(self.nearest_m, self.farthest_m)


@config
class TimeOfFlight:
    """Modulated light and its phase: Azure Kinect (640 x 576, unbinned, narrow) and its kind.

    Attributes:
        focal_px: of the sensor's own grid; 504 in an Azure Kinect.
        footprint_px: side of what a pixel sees, with the optics' blur.
        ambiguity_m: ranges are known up to multiples of it.
        fine_hz: the highest modulation; 200 MHz and more in that sensor (Bamji et al. 2018).
        coherence: of a pixel's phasors at the fine frequency; less is a mixture and no measurement.
        noise_m: of range at return 1 (albedo x cosine / (range / 1 m)^2). Set on one frame of two real rigs, so that
            the noise within a surface is the same (docs/sensors.md); with `ambient` it is 8 mm at 3.86 m and an albedo
            of 0.15, where the data sheet has at most 17.
        ambient: what adds to the photons that make noise, as a return.
        least_return: under it no measurement.
        wiggling_m: amplitude of the error that swings with range, four times in a fine wavelength of range.
        offset_m: of all ranges of this unit; up to 11 mm by the data sheet.
        multipath: times the light of one bounce; 0 leaves it out.
        grain_px: side of the square that shares its noise: firmware smooths. Set with noise_m.
        nearest_m: no measurement before it.
        farthest_m: no measurement beyond it.
        depth_step_m: depths are multiples of it.
    """

    kind: Literal["time_of_flight"] = "time_of_flight"
    focal_px: Focal = 504.0
    footprint_px: Annotated[float, Interval(ge=0.01, le=100)] = 1.4
    ambiguity_m: Annotated[float, Interval(ge=0.1, le=1000)] = 7.5
    fine_hz: Annotated[float, Interval(ge=1e5, le=1e10)] = 200e6
    coherence: Share = 0.75
    noise_m: Metres = 0.0006
    ambient: Return = 0.01
    least_return: Return = 0.004
    wiggling_m: Metres = 0.0015
    offset_m: Annotated[float, Interval(ge=-1000, le=1000)] = 0.0
    multipath: Annotated[float, Interval(ge=0, le=100)] = 1.0
    grain_px: Block = 3
    nearest_m: Metres = 0.25
    farthest_m: Metres = 5.4
    depth_step_m: Metres = 0.001

    def __post_init__(self) -> None:
        _check_reach(self.nearest_m, self.farthest_m)


DepthSensor = StructuredLight | Stereo | TimeOfFlight


def sense_depth(
    depth: Float[np.ndarray, "h w"],
    normals: Float[np.ndarray, "h w 3"],
    infrared: Float[np.ndarray, "h w"],
    K: Float[np.ndarray, "3 3"],
    viewmat: Float[np.ndarray, "4 4"],
    sensor: DepthSensor,
    seed: int,
) -> Float[np.ndarray, "h w"]:
    """What a sensor measures of a scene: z in metres on the same grid, 0 where it measures nothing.

    Args:
        depth: z in metres, 0 where nothing is.
        normals: in the world, unit; zeros are taken to face the sensor.
        infrared: albedo at the sensor's wavelength, 0..1.
        K: of the picture.
        viewmat: world to camera.
        seed: the same one gives the same numbers.
    """
    margin = 2 if isinstance(sensor, TimeOfFlight) else sensor.block_px
    scene = scene_of(depth, normals, infrared, K, viewmat, sensor.focal_px, margin)
    if scene is None:
        return np.zeros(depth.shape, np.float32)
    if isinstance(sensor, TimeOfFlight):
        z = _time_of_flight(scene, sensor, seed)
    elif isinstance(sensor, StructuredLight):
        z = _structured_light(scene, sensor, seed)
    else:
        z = _stereo(scene, sensor, seed)
    z[~((z >= sensor.nearest_m) & (z <= sensor.farthest_m))] = 0
    return _round_to_steps(to_picture(scene, z), sensor.depth_step_m)


def _round_to_steps(values: Float[np.ndarray, "h w"], step: float) -> Float[np.ndarray, "h w"]:
    return np.rint(values / np.float32(step)) * np.float32(step) if step > 0 else values


def _structured_light(scene: Scene, sensor: StructuredLight, seed: int) -> Float[np.ndarray, "sh sw"]:
    z, strength = point_samples(scene)
    focal = float(scene.sensor_K()[0])
    focal_baseline = focal * abs(sensor.baseline_m)
    seen = lit(z, focal, sensor.baseline_m)
    noise, luck = _draw_noise(scene, sensor.grain_px, seed)
    share = np.clip(sensor.near_share + np.float32(sensor.near_jitter) * luck, 0.05, 0.95).astype(np.float32)
    disparity, spread = matched(z, seen, focal_baseline, sensor.block_px, share)
    block = (sensor.block_px, sensor.block_px)
    light = cv2.boxFilter(strength, -1, block) / np.maximum(
        cv2.boxFilter((z > 0).astype(np.float32), -1, block), 1e-6
    )
    sigma = sensor.noise_px * np.sqrt(1 + np.square(sensor.weak_return / np.maximum(light, 1e-6)))
    # Near a limit chance decides, the same for neighbours.
    found = (disparity > 0) & (light * np.exp(0.3 * luck) > sensor.least_return)
    found &= spread * np.exp(0.2 * luck) < sensor.steepest_px
    return _depth_of(disparity + sigma * noise, found, focal_baseline, sensor.step_px)


def _stereo(scene: Scene, sensor: Stereo, seed: int) -> Float[np.ndarray, "sh sw"]:
    z, strength = point_samples(scene)
    focal = float(scene.sensor_K()[0])
    focal_baseline = focal * abs(sensor.baseline_m)
    seen = lit(z, focal, sensor.baseline_m)
    noise, luck = _draw_noise(scene, sensor.grain_px, seed)
    share = np.clip(sensor.near_share + np.float32(sensor.near_jitter) * luck, 0.05, 0.95).astype(np.float32)
    disparity, spread = matched(z, seen, focal_baseline, sensor.block_px, share)
    block = (sensor.block_px, sensor.block_px)
    grey = _grey(scene, z)
    across = cv2.filter2D(grey, -1, np.array([[-0.5, 0, 0.5]], np.float32))
    detail = np.square(across) + np.square(sensor.texture * strength)
    differences = cv2.boxFilter(detail, -1, block, normalize=False)
    lack = sensor.picture_noise * np.sqrt(2 / np.maximum(differences, 1e-12))
    sigma = np.sqrt(sensor.noise_px**2 + np.square(lack))
    found = (disparity > 0) & (lack * np.exp(0.3 * luck) < sensor.worst_px)
    found &= spread * np.exp(0.2 * luck) < sensor.steepest_px
    return _depth_of(disparity + sigma * noise, found, focal_baseline, sensor.step_px)


def _grey(scene: Scene, z: Float[np.ndarray, "sh sw"]) -> Float[np.ndarray, "sh sw"]:
    """The infrared picture in even light from all round."""
    height, width = scene.infrared.shape
    rows = np.minimum(((np.arange(scene.height) + scene.y0 + 0.5) / scene.scale).astype(int), height - 1)
    columns = np.minimum(((np.arange(scene.width) + scene.x0 + 0.5) / scene.scale).astype(int), width - 1)
    return np.where(z > 0, scene.infrared[np.ix_(rows, columns)], 0).astype(np.float32)


def _depth_of(
    disparity: Float[np.ndarray, "sh sw"], found: np.ndarray, focal_baseline: float, step: float
) -> Float[np.ndarray, "sh sw"]:
    counted = _round_to_steps(disparity.astype(np.float32), step)
    return np.where(found & (counted > 0), np.float32(focal_baseline) / np.maximum(counted, 1e-6), 0).astype(
        np.float32
    )


def _draw_noise(
    scene: Scene, grain: int, seed: int
) -> tuple[Float[np.ndarray, "sh sw"], Float[np.ndarray, "sh sw"]]:
    """Noise of the disparity, and luck."""
    noise, luck = two_normal_fields(scene.height, scene.width, key(seed, "disparity"))
    return grained(noise, grain), grained(luck, grain)


def _time_of_flight(scene: Scene, sensor: TimeOfFlight, seed: int) -> Float[np.ndarray, "sh sw"]:
    coarse_hz = LIGHT / (2 * sensor.ambiguity_m)
    distance, amplitude, coherence = phasors(scene, sensor.footprint_px, coarse_hz, sensor.fine_hz)
    found = (amplitude > sensor.least_return) & (coherence >= sensor.coherence)
    if sensor.multipath > 0:
        distance = distance + np.float32(sensor.multipath) * multipath(scene, sensor.fine_hz)
    if sensor.wiggling_m > 0:
        wave = LIGHT / (2 * sensor.fine_hz)
        distance = distance + np.float32(sensor.wiggling_m) * np.sin(np.float32(8 * np.pi / wave) * distance)
    if sensor.noise_m > 0:
        known = np.maximum(amplitude, 1e-6)
        sigma = np.float32(sensor.noise_m) * np.sqrt(known + np.float32(sensor.ambient)) / known
        distance = distance + sigma * grained(
            normal_field(scene.height, scene.width, key(seed, "range")), sensor.grain_px
        )
    distance = np.mod(distance + np.float32(sensor.offset_m), np.float32(sensor.ambiguity_m))
    fx, fy, cx, cy = scene.sensor_K()
    x = (np.arange(scene.width, dtype=np.float32) + np.float32(0.5) - cx) / fx
    y = (np.arange(scene.height, dtype=np.float32) + np.float32(0.5) - cy) / fy
    length = np.sqrt(1 + np.square(x)[None, :] + np.square(y)[:, None])
    return np.where(found, distance / length, 0).astype(np.float32)
