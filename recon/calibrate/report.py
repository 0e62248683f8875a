"""What a calibration knows and does not: numbers with their errors, and what is weak in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from rich.console import Console
from rich.table import Table

from simulacra.recon.calibrate.solve import RigCalibration
from simulacra.recon.multiview.rig import INTRINSICS

# What a good calibration has; below it something is said.
ENOUGH_VIEWS = 15
ENOUGH_COVERAGE = 0.5
ENOUGH_TILT_DEG = 25.0
MOST_REPROJECTION_PX = 0.6
MOST_FOCAL_ERROR = 0.01
MOST_CENTRE_ERROR_M = 0.01
_CELLS = 8


def describe_calibration(calibration: RigCalibration) -> dict[str, Any]:
    """All of it as plain data, cameras in the session's conventions."""
    clocks = calibration.clocks
    return {
        "cameras": [describe_camera(calibration, camera) for camera in range(len(calibration.cameras))],
        "moments": len(calibration.moments),
        "corners": len(calibration.sightings.pixels),
        "residual_over_noise": calibration.bundle.spread,
        "unit_of_time": _unit(calibration),
        "clock_jitter": clocks.jitter,
        "weak": weaknesses(calibration),
        "notes": list(calibration.notes),
    }


def describe_camera(calibration: RigCalibration, camera: int) -> dict[str, Any]:
    """One camera's numbers, standard errors and what they rest on."""
    bundle, errors = calibration.bundle, calibration.bundle.uncertainty
    own = calibration.sightings.camera == camera
    total, in_step = reprojections(calibration)
    lens = calibration.lenses[camera]
    width, height = calibration.sizes[camera]
    finite = np.isfinite(calibration.clocks.lag_errors[camera])
    return {
        "name": calibration.cameras[camera],
        "width": width,
        "height": height,
        "K": bundle.rig.Ks[camera].tolist(),
        "distortion": bundle.rig.intrinsics[camera, 4:].tolist(),
        "viewmat": bundle.rig.viewmats[camera].tolist(),
        "centre_m": bundle.rig.centres[camera].tolist(),
        "estimated": [name for name, free in zip(INTRINSICS, calibration.free[camera], strict=True) if free],
        "standard_errors": {
            **dict(zip(INTRINSICS, errors.intrinsics[camera].tolist(), strict=True)),
            "centre_m": errors.centres_m[camera].tolist(),
            "rotation_deg": errors.rotations_deg[camera].tolist(),
        },
        "reprojection_px": {**_summary(in_step[own]), "with_clocks_in_step": _summary(total[own])},
        "held_out_px": {str(k): v for k, v in lens.held_out_px.items()} if lens else {},
        "views": len(np.unique(calibration.sightings.body[own])),
        "views_shared": len(np.unique(calibration.sightings.body[own & _of_shared_moments(calibration)])),
        "coverage": coverage(calibration, camera),
        "tilt_deg": tilt(calibration, camera),
        "lag": float(calibration.clocks.lags[camera]),
        "lag_error": float(calibration.clocks.lag_errors[camera]) if finite else None,
    }


def reprojections(
    calibration: RigCalibration,
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Distances of all corners from where they should be, pixels: as if all cameras of a moment had exposed together,
    and each view at the time that it shows.
    """
    bundle = calibration.bundle
    together = bundle.residuals + calibration.late
    in_step = bundle.residuals - bundle.clocks[:, None] * calibration.sightings.drift
    return np.linalg.norm(together, axis=-1), np.linalg.norm(in_step, axis=-1)


def coverage(calibration: RigCalibration, camera: int) -> float:
    """Part of the image's cells (8 x 8) in which a corner was seen."""
    pixels = calibration.sightings.pixels[calibration.sightings.camera == camera]
    cells = np.floor(pixels / np.array(calibration.sizes[camera]) * _CELLS).astype(int).clip(0, _CELLS - 1)
    return len(np.unique(cells, axis=0)) / _CELLS**2


def tilt(calibration: RigCalibration, camera: int) -> float:
    """Angle between the boards' normals and the viewing direction that a quarter of the views exceed, degrees."""
    seen = np.unique(calibration.sightings.body[calibration.sightings.camera == camera])
    poses = calibration.bundle.rig.viewmats[camera] @ calibration.bundle.bodies[seen]
    direction = poses[:, :3, 3] / np.linalg.norm(poses[:, :3, 3], axis=-1, keepdims=True)
    cosine = np.abs((direction * poses[:, :3, 2]).sum(-1))
    return float(np.percentile(np.degrees(np.arccos(np.clip(cosine, 0, 1))), 75))


def weaknesses(calibration: RigCalibration) -> list[str]:
    """What a person should record again, and why."""
    found = []
    _, in_step = reprojections(calibration)
    errors, rig = calibration.bundle.uncertainty, calibration.bundle.rig
    for camera, name in enumerate(calibration.cameras):
        own = calibration.sightings.camera == camera
        views = len(np.unique(calibration.sightings.body[own]))
        rms = _summary(in_step[own])["rms"]
        focal = float((errors.intrinsics[camera, :2] / rig.intrinsics[camera, :2]).max())
        place = float(np.linalg.norm(errors.centres_m[camera]))
        said = {
            f"only {views} views of the board: 20 and more average its errors": views < ENOUGH_VIEWS,
            f"corners in only {coverage(calibration, camera):.0%} of the image: the lens is not known in the rest": (
                coverage(calibration, camera) < ENOUGH_COVERAGE
            ),
            f"the board was hardly tilted ({tilt(calibration, camera):.0f} degrees): tilt it by 30 and more": (
                tilt(calibration, camera) < ENOUGH_TILT_DEG
            ),
            f"reprojection {rms:.2f} px: a bent board, blur, or cameras out of step": rms
            > MOST_REPROJECTION_PX,
            f"the focal length is known to {focal:.1%} only": focal > MOST_FOCAL_ERROR,
            f"the position is known to {1e3 * place:.0f} mm only": place > MOST_CENTRE_ERROR_M,
        }
        found += [f"{name}: {text}" for text, weak in said.items() if weak]
        lag, error = calibration.clocks.lags[camera], calibration.clocks.lag_errors[camera]
        if np.isfinite(error) and abs(lag) > max(4 * error, 0.1 * calibration.clocks.jitter):
            unit = _unit(calibration)
            found.append(
                f"{name}: its pictures are {lag:+.3g} {unit} older than the cameras' mean (+- {error:.2g})"
            )
    return found


def print_calibrations(calibrations: Sequence[RigCalibration], console: Console | None = None) -> None:
    """The table for the terminal, and what is weak: of one rig, or of cameras that were calibrated alone."""
    console = console or Console()
    table = Table(box=None, padding=(0, 1))
    headings = ("camera", "views", "focal px", "centre px", "lens", "± mm", "± deg", "px rms", "cover")
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "camera" else "right", no_wrap=True)
    for calibration in calibrations:
        for camera in range(len(calibration.cameras)):
            table.add_row(*_row(calibration, camera))
    console.print(table)
    for calibration in calibrations:
        for text in weaknesses(calibration):
            console.print(f"weak: {text}", highlight=False, markup=False)


def _row(calibration: RigCalibration, camera: int) -> list[str]:
    told = describe_camera(calibration, camera)
    errors = calibration.bundle.uncertainty
    f, e = calibration.bundle.rig.intrinsics[camera], errors.intrinsics[camera]
    posed = calibration.linked
    return [
        told["name"],
        f"{told['views']}",
        f"{f[:2].mean():.1f} ± {e[:2].max():.1f}",
        f"{f[2]:.0f}, {f[3]:.0f} ± {e[2:4].max():.0f}",
        str(int(calibration.free[camera, 4:].sum())),
        f"{1e3 * np.linalg.norm(errors.centres_m[camera]):.1f}" if posed else "-",
        f"{np.linalg.norm(errors.rotations_deg[camera]):.2f}" if posed else "-",
        f"{told['reprojection_px']['rms']:.2f}",
        f"{told['coverage']:.0%}",
    ]


def _summary(distances: Float[np.ndarray, " m"]) -> dict[str, float]:
    return {"rms": float(np.sqrt((distances**2).mean())), "median": float(np.median(distances))}


def _of_shared_moments(calibration: RigCalibration) -> Bool[np.ndarray, " n"]:
    """Observations of moments that several cameras saw."""
    pairs = np.unique(np.stack([calibration.sightings.body, calibration.sightings.camera]), axis=1)
    cameras = np.bincount(pairs[0], minlength=len(calibration.moments))
    return cameras[calibration.sightings.body] > 1


def _unit(calibration: RigCalibration) -> str:
    return "s" if all(view.time is not None for view in calibration.views) else "frames"
