"""Checks of cameras: what the session's description alone can show."""

from __future__ import annotations

import itertools

import numpy as np

from simulacra.recon.preflight.record import Check, Status
from simulacra.recon.session import ROTATION_TOLERANCE, Session, SessionCamera
from simulacra.recon.session.lens import reach as lens_reach


def check_cameras(session: Session) -> list[Check]:
    """Intrinsics, lenses and poses; each check names the worst camera."""
    cameras = session.cameras
    checks = [
        _check_count(cameras),
        _check_field_of_view(cameras),
        _check_pixel_aspect(cameras),
        _check_principal_point(cameras),
        _check_rotation(cameras),
    ]
    if any(camera.lens for camera in cameras):
        checks.append(_check_lens(cameras))
    return checks + _check_placement(cameras)


def _check_count(cameras: tuple[SessionCamera, ...]) -> Check:
    depth = any(camera.depth_scale is not None for camera in cameras)
    status: Status = "pass" if len(cameras) > 1 else "warn" if depth else "fail"
    return Check(
        "cameras",
        "session",
        float(len(cameras)),
        "cameras",
        ">= 2, or 1 with depth",
        status,
        "two cameras that are not held out, or a depth camera, are needed to measure a person",
    )


def _check_field_of_view(cameras: tuple[SessionCamera, ...]) -> Check:
    views = [float(np.degrees(2 * np.arctan(c.width / 2 / c.K[0, 0]))) for c in cameras]
    middle = 60.0
    worst = max(range(len(views)), key=lambda i: abs(np.log(views[i] / middle)))
    value = views[worst]
    status: Status = "pass" if 8 <= value <= 130 else "warn" if 1 <= value <= 165 else "fail"
    return Check(
        "focal",
        cameras[worst].name,
        value,
        "degrees",
        "8 to 130",
        status,
        "the focal length is of another image size or in another unit than pixels",
    )


def _check_pixel_aspect(cameras: tuple[SessionCamera, ...]) -> Check:
    ratios = [float(c.K[0, 0] / c.K[1, 1]) for c in cameras]
    worst = max(range(len(ratios)), key=lambda i: abs(np.log(ratios[i])))
    off = abs(np.log(ratios[worst]))
    status: Status = "pass" if off < 0.05 else "warn" if off < 0.3 else "fail"
    return Check(
        "pixel-aspect",
        cameras[worst].name,
        ratios[worst],
        "",
        "0.95 to 1.05",
        status,
        "pixels are square in nearly all cameras: were images resized without K?",
    )


def _check_principal_point(cameras: tuple[SessionCamera, ...]) -> Check:
    offsets = [float(max(abs(c.K[0, 2] / c.width - 0.5), abs(c.K[1, 2] / c.height - 0.5))) for c in cameras]
    worst = int(np.argmax(offsets))
    status: Status = "pass" if offsets[worst] < 0.25 else "warn"
    return Check(
        "principal-point",
        cameras[worst].name,
        offsets[worst],
        "widths",
        "< 0.25",
        status,
        "were images cropped or resized after the calibration?",
    )


def _check_rotation(cameras: tuple[SessionCamera, ...]) -> Check:
    errors = []
    for camera in cameras:
        R = camera.viewmat[:3, :3]
        mirrored = float(np.linalg.det(R)) < 0
        errors.append(2.0 if mirrored else float(np.abs(R @ R.T - np.eye(3)).max()))
    worst = int(np.argmax(errors))
    status: Status = "pass" if errors[worst] <= ROTATION_TOLERANCE else "fail"
    return Check(
        "rotation",
        cameras[worst].name,
        errors[worst],
        "",
        f"<= {ROTATION_TOLERANCE:g}",
        status,
        "a rotation is mirrored or scaled: the calibration is of another convention",
    )


def _check_lens(cameras: tuple[SessionCamera, ...]) -> Check:
    """The radius to which undistorted rays go outwards as their image does, over that of the farthest corner."""
    reach = {}
    for camera in cameras:
        if camera.lens is None:
            continue
        corners = np.array([[0, 0], [camera.width, 0], [0, camera.height], [camera.width, camera.height]])
        farthest = np.linalg.norm((corners - camera.K[:2, 2]) / camera.K[[0, 1], [0, 1]], axis=1).max()
        reach[camera.name] = lens_reach(camera.lens, float(farthest)) / float(farthest)
    name = min(reach, key=lambda n: reach[n])
    status: Status = "pass" if reach[name] == 1.0 else "warn" if reach[name] > 0.7 else "fail"
    return Check(
        "lens",
        name,
        reach[name],
        "of the way to the corner",
        "1",
        status,
        "the lens coefficients fold the image over: calibrate with the board in the corners or fewer coefficients",
    )


def _check_placement(cameras: tuple[SessionCamera, ...]) -> list[Check]:
    centres = np.array([-c.viewmat[:3, :3].T @ c.viewmat[:3, 3] for c in cameras])
    checks = []
    pairs = list(itertools.combinations(range(len(cameras)), 2))
    if pairs:
        distances = [float(np.linalg.norm(centres[i] - centres[j])) for i, j in pairs]
        for code, at, fine, possible, limit in (
            ("camera-distance", int(np.argmax(distances)), (0.05, 50.0), (0.005, 300.0), "0.05 to 50"),
            ("camera-apart", int(np.argmin(distances)), (0.01, np.inf), (0.0, np.inf), "> 0.01"),
        ):
            value = distances[at]
            status: Status = (
                "pass"
                if fine[0] <= value <= fine[1]
                else "warn"
                if possible[0] <= value <= possible[1]
                else "fail"
            )
            where = " and ".join(cameras[k].name for k in pairs[at])
            checks.append(Check(code, where, value, "m", limit, status, "is the calibration in metres?"))
    mean_up = -np.mean([c.viewmat[1, :3] for c in cameras], axis=0)
    tilt = float(np.degrees(np.arctan2(np.linalg.norm(mean_up[[0, 2]]), mean_up[1])))
    status = "pass" if tilt < 60 else "warn" if tilt < 120 else "fail"
    checks.append(
        Check("up-axis", "all cameras", tilt, "degrees", "< 60", status, "import again with --world-up")
    )
    lowest = int(np.argmin(centres[:, 1]))
    checks.append(
        Check(
            "camera-height",
            cameras[lowest].name,
            float(centres[lowest, 1]),
            "m",
            "> -0.05",
            "pass" if centres[lowest, 1] > -0.05 else "warn",
            "y = 0 is not the floor: motion will float or sink",
        )
    )
    return checks
