"""Checks of cameras: what the session's description alone can show."""

from __future__ import annotations

import itertools

import numpy as np

from simulacra.recon.multiview.up import lean_of
from simulacra.recon.observe.presence import FEWEST_VIEWS, ONE_CAMERA
from simulacra.recon.preflight.record import Check, Status, check_values
from simulacra.recon.session import ROTATION_TOLERANCE, Session, SessionCamera
from simulacra.recon.session.lens import sound_part


def check_cameras(session: Session) -> list[Check]:
    """Intrinsics, lenses and poses."""
    cameras = session.cameras
    checks = [_check_count(cameras), *_check_intrinsics(cameras), *_check_rotation(cameras)]
    return checks + _check_lens(cameras) + _check_placement(cameras)


def _check_count(cameras: tuple[SessionCamera, ...]) -> Check:
    enough = len(cameras) >= FEWEST_VIEWS
    status: Status = "pass" if enough else "warn" if len(cameras) else "fail"
    return Check(
        "cameras", "session", float(len(cameras)), "cameras", f">= {FEWEST_VIEWS}", status, ONE_CAMERA
    )


def _check_intrinsics(cameras: tuple[SessionCamera, ...]) -> list[Check]:
    """Field of view in degrees, fx over fy, and the principal point's distance from the middle in widths."""
    views = {c.name: float(np.degrees(2 * np.arctan(c.width / 2 / c.K[0, 0]))) for c in cameras}
    ratios = {c.name: float(c.K[0, 0] / c.K[1, 1]) for c in cameras}
    offsets = {
        c.name: float(max(abs(c.K[0, 2] / c.width - 0.5), abs(c.K[1, 2] / c.height - 0.5))) for c in cameras
    }
    return [
        # From a long telephoto lens to the widest that a pinhole with a lens model describes; 60 is usual.
        *check_values(
            "focal", views, warn=lambda v: not 8 <= v <= 130, fail=lambda v: not 1 <= v <= 165,
            worse=lambda v: abs(np.log(v / 60.0)), unit="degrees", limit="8 to 130",
            remedy="the focal length is of another image size or in another unit than pixels",
        ),
        *check_values(
            "pixel-aspect", ratios, warn=lambda v: not abs(np.log(v)) < 0.05,
            fail=lambda v: not abs(np.log(v)) < 0.3, worse=lambda v: abs(np.log(v)), unit="", limit="0.95 to 1.05",
            remedy="pixels are square in nearly all cameras: were images resized without K?",
        ),
        *check_values(
            "principal-point", offsets, warn=lambda v: not v < 0.25, unit="widths", limit="< 0.25",
            remedy="were images cropped or resized after the calibration?",
        ),
    ]  # fmt: skip


def _check_rotation(cameras: tuple[SessionCamera, ...]) -> list[Check]:
    errors = {}
    for camera in cameras:
        R = camera.viewmat[:3, :3]
        mirrored = float(np.linalg.det(R)) < 0
        errors[camera.name] = 2.0 if mirrored else float(np.abs(R @ R.T - np.eye(3)).max())
    return check_values(
        "rotation", errors, warn=lambda v: False, fail=lambda v: not v <= ROTATION_TOLERANCE, unit="",
        limit=f"<= {ROTATION_TOLERANCE:g}",
        remedy="a rotation is mirrored or scaled: the calibration is of another convention",
    )  # fmt: skip


def _check_lens(cameras: tuple[SessionCamera, ...]) -> list[Check]:
    """The radius to which undistorted rays go outwards as their image does, over that of the farthest corner."""
    reach = {
        camera.name: sound_part(camera.lens, camera.K, camera.width, camera.height)
        for camera in cameras
        if camera.lens is not None
    }
    return check_values(
        "lens", reach, warn=lambda v: v != 1.0, fail=lambda v: not v > 0.7, worse=lambda v: -v,
        unit="of the way to the corner", limit="1",
        remedy="the lens coefficients fold the image over: calibrate with the board in the corners or fewer "
        "coefficients",
    )  # fmt: skip


def _check_placement(cameras: tuple[SessionCamera, ...]) -> list[Check]:
    centres = np.array([-c.viewmat[:3, :3].T @ c.viewmat[:3, 3] for c in cameras])
    checks = []
    pairs = list(itertools.combinations(range(len(cameras)), 2))
    if pairs:
        distances = [float(np.linalg.norm(centres[i] - centres[j])) for i, j in pairs]
        # Limits of a room in metres: what is beyond the second pair is in millimetres or feet.
        for code, at, fine, possible, limit in (
            ("camera-distance", int(np.argmax(distances)), (0.05, 50.0), (0.005, 300.0), "0.05 to 50"),
            ("camera-apart", int(np.argmin(distances)), (0.01, np.inf), (0.0, np.inf), "> 0.01"),
        ):
            value = distances[at]
            warns, fails = (not low <= value <= high for low, high in (fine, possible))
            status: Status = "fail" if warns and fails else "warn" if warns else "pass"
            where = " and ".join(cameras[k].name for k in pairs[at])
            checks.append(Check(code, where, value, "m", limit, status, "is the calibration in metres?"))
    tilt = lean_of(np.stack([c.viewmat for c in cameras]).astype(np.float64), np.array([0.0, 1.0, 0.0]))
    status = "pass" if tilt < 60 else "warn" if tilt < 120 else "fail"
    checks.append(
        Check("up-axis", "all cameras", tilt, "degrees", "< 60", status, "import again with --world-up")
    )
    return checks + check_values(
        "camera-height", {c.name: float(centre[1]) for c, centre in zip(cameras, centres)},
        warn=lambda v: not v > -0.05, worse=lambda v: -v, unit="m", limit="> -0.05",
        remedy="import again with the floor at y = 0: motion floats or sinks otherwise",
    )  # fmt: skip
