"""The comparison with real sensors: planted noise, planted calibration errors and planted scales are found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from simulacra.recon.session import SessionCamera
from simulacra.render.runtime.errors import InputError
from simulacra.tools.virtual.sensors.command import compare_sensors
from simulacra.tools.virtual.sensors.depth import StructuredLight
from simulacra.tools.virtual.sensors.plot import Line, Panel, draw_panels, histogram
from simulacra.tools.virtual.sensors.refined import (
    FusedDepth,
    by_edge,
    by_slope,
    errors,
    fitted,
    frames_of,
    modelled,
    read_reference,
    spread,
)
from simulacra.tools.virtual.sensors.study import DepthView, agreement, misplaced, surface_noise

K = np.array([[300.0, 0, 128], [0, 300.0, 128], [0, 0, 1]])
SIZE = 256
# Half axes of an ellipsoid, metres: no two directions alike, so that nothing slides on itself.
AXES = np.array([0.3, 0.5, 0.2])


def ring() -> list[SessionCamera]:
    cameras = []
    for k in range(6):
        angle = 2 * np.pi * k / 6
        eye = 1.5 * np.array([np.sin(angle), 0.0, np.cos(angle)])
        forward = -eye / 1.5
        down = np.array([0.0, -1.0, 0.0])
        rotation = np.stack([np.cross(down, forward), down, forward])
        viewmat = np.eye(4)
        viewmat[:3, :3], viewmat[:3, 3] = rotation, -rotation @ eye
        cameras.append(SessionCamera(str(k), SIZE, SIZE, K, viewmat, None, 1000.0))
    return cameras


def seen(camera: SessionCamera) -> np.ndarray:
    """Depth of the ellipsoid, 0 beside it."""
    at = (np.arange(SIZE) + 0.5 - 128) / 300
    rays = (
        np.stack(np.broadcast_arrays(at[None, :], at[:, None], np.ones((SIZE, SIZE))), -1)
        @ camera.viewmat[:3, :3]
    )
    eye = -camera.viewmat[:3, :3].T @ camera.viewmat[:3, 3]
    d, o = rays / AXES, eye / AXES
    a, b, c = (d * d).sum(-1), (d * o).sum(-1), (o * o).sum() - 1
    inside = b * b - a * c
    return np.where(inside > 0, (-b - np.sqrt(np.maximum(inside, 0))) / a, 0).astype(np.float32)


def views(noise: float, turn_deg: float, shift_m: float) -> list[DepthView]:
    rng = np.random.default_rng(1)
    found = []
    for camera in ring():
        depth = seen(camera)
        measured = np.where(depth > 0, depth + noise * rng.standard_normal(depth.shape), 0).astype(np.float32)
        found.append(DepthView(misplaced(camera, turn_deg, shift_m, rng), measured, depth > 0))
    return found


def test_agreement_is_noise_where_cameras_are_right_and_more_where_they_are_not() -> None:
    exact, noisy, wrong = (
        agreement(views(*errors_of)) for errors_of in ((0, 0, 0), (0.002, 0, 0), (0.002, 0.2, 0.004))
    )
    assert np.median(exact.medians) < 0.002  # half a pixel is 2.5 mm, on slanted surfaces
    # The difference of two noisy depths: its median is 0.6745 sqrt(2) sigma facing both cameras, more on the way round.
    assert 0.0018 < np.median(noisy.medians) < 0.0045
    assert np.median(wrong.medians) > 1.5 * np.median(noisy.medians)
    assert np.abs(np.median(noisy.differences)) < 1e-3
    # What aligns a camera with the others takes most of its error away: theirs against each other stay, and the noise.
    assert np.median(wrong.shifts) > 3 * np.median(noisy.shifts)
    assert np.median(wrong.left) < 0.7 * np.median(wrong.before)
    assert np.median(noisy.left) < np.median(wrong.left) < 1.8 * np.median(noisy.left)
    assert len(wrong.medians) == 12 and len(wrong.noise) == 6


@pytest.mark.parametrize("noise", [0.0005, 0.002])
def test_noise_within_a_surface_is_the_planted_noise(noise: float) -> None:
    found = np.median([surface_noise(v.depth, v.inside) for v in views(noise, 0.3, 0.01)])
    # The flattest quarter is a little under the mean: of 115 degrees of freedom, 0.953.
    assert found == pytest.approx(0.953 * noise, rel=0.05)
    assert surface_noise(np.zeros((64, 64), np.float32), np.ones((64, 64), bool)) != noise


def test_a_scale_is_found_by_halving() -> None:
    assert fitted(2.5, lambda scale: 1.0 + scale**2, 0.01, 100.0) == pytest.approx(np.sqrt(1.5), rel=0.01)


def reference() -> FusedDepth:
    """A slanted plate with a round hill."""
    y, x = np.mgrid[:240, :320]
    depth = 1.3 + 0.0004 * x - 0.06 * np.exp(-((x - 160.0) ** 2 + (y - 120.0) ** 2) / 1500)
    inside = np.zeros((240, 320), bool)
    inside[30:210, 40:280] = True
    depth = np.where(inside, np.rint(depth * 1000) / 1000, 0).astype(np.float32)
    return FusedDepth("0", depth, depth, inside)


def test_the_noise_of_a_modelled_recording_is_found_again() -> None:
    """A recording made with a known noise, by another seed: the fit finds it."""
    truth = reference()
    raw = modelled(truth, StructuredLight(noise_px=0.08), 5)
    target = spread(errors(truth, raw))
    found = fitted(
        target,
        lambda scale: spread(errors(truth, modelled(truth, StructuredLight(noise_px=scale), 1))),
        0.01,
        0.5,
    )
    assert found == pytest.approx(0.08, rel=0.07)
    recorded = FusedDepth("0", raw, truth.depth, truth.inside)
    slopes, edges = by_slope(recorded, raw), by_edge(recorded, raw)
    assert np.nanmax(slopes) > np.nanmin(slopes) and np.isfinite(slopes[0])
    assert edges[-1] < 0.005 and np.isfinite(edges).sum() >= 4


def write(folder: Path, name: str, depth: np.ndarray, mask: np.ndarray) -> None:
    for part, image in (
        ("depth_map", np.rint(depth * 1000).astype(np.uint16)),
        ("high_quality_depth", np.rint(depth * 1000).astype(np.uint16)),
        ("mask", 255 * mask.astype(np.uint8)),
    ):
        (folder / part).mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(folder / part / f"{name}.png"), image)


def test_recordings_are_read_and_their_faults_named(tmp_path: Path) -> None:
    truth = reference()
    write(tmp_path, "b", truth.depth, truth.inside)
    write(tmp_path, "a", truth.depth, truth.inside)
    assert frames_of(tmp_path) == ["a", "b"]
    read = read_reference(tmp_path, "a")
    assert np.array_equal(read.inside, truth.inside)
    np.testing.assert_allclose(read.depth, truth.depth, atol=1e-6)
    assert cv2.imwrite(str(tmp_path / "mask" / "a.png"), np.zeros((10, 10), np.uint8))
    with pytest.raises(InputError, match="differ in size"):
        read_reference(tmp_path, "a")
    with pytest.raises(InputError, match="cannot be compared"):
        compare_sensors(tmp_path, tmp_path / "out.png", 10000.0, 0)


def test_a_histogram_is_a_density_and_the_picture_shows_it(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(0, 3, 20000)
    line = histogram("normal", values, 20, 1, (200, 0, 0), filled=True)
    assert np.trapezoid(line.y, line.x) == pytest.approx(1, abs=0.01)
    assert line.x[line.y.argmax()] == pytest.approx(0, abs=1.5)
    out = tmp_path / "plot.png"
    draw_panels(out, [Panel("t", "x", "y", [line, Line("flat", line.x, 0.02 + 0 * line.x, (0, 0, 200))])])
    image = cv2.imread(str(out))
    assert image is not None and image.shape[2] == 3
    blue, red = image[..., 0].astype(int), image[..., 2].astype(int)
    assert (red - blue > 80).sum() > 500 and (blue - red > 80).sum() > 100


@pytest.mark.slow
def test_the_structured_light_model_errs_as_a_real_camera(capture_folder: Callable[[str], Path]) -> None:
    """Set on one frame, looked at on another: mean absolute errors within a fifth, steep surfaces worse in both."""
    folder = next(iter(sorted(p.parent for p in capture_folder("ddrnet_rgbd").rglob("high_quality_depth"))))
    names = frames_of(folder)
    first, other = read_reference(folder, names[0]), read_reference(folder, names[-1])
    target = spread(errors(first, first.raw))
    scale = fitted(
        target, lambda s: spread(errors(first, modelled(first, StructuredLight(noise_px=s), 0))), 0.005, 0.3
    )
    model = modelled(other, StructuredLight(noise_px=scale), 1)
    assert spread(errors(other, model)) == pytest.approx(spread(errors(other, other.raw)), rel=0.2)
    real, virtual = by_slope(other, other.raw), by_slope(other, model)
    np.testing.assert_allclose(virtual, real, rtol=0.35)
    assert virtual[-1] > 3 * virtual[0]
    # The control: a sensor with three times a Kinect's noise is told from it.
    coarse = modelled(other, StructuredLight(noise_px=0.15), 1)
    assert spread(errors(other, coarse)) > 1.5 * spread(errors(other, other.raw))
