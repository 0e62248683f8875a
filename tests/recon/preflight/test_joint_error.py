"""Rigs that can measure a body pass, and rigs that cannot are told so before anything runs, and what to do."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from simulacra.recon.preflight import CODES
from simulacra.recon.preflight.joint_error import (
    FAILS,
    SHARED,
    WARNS,
    check_joint_error,
    expect_errors,
    view_rig,
)
from simulacra.recon.preflight.presence import check_moments
from simulacra.recon.preflight.record import Check
from simulacra.recon.preflight.samples import Body, CameraSamples, SessionSamples
from simulacra.recon.session import Frame, Session, SessionCamera, Source
from simulacra.render.camera import look_at
from tests.recon.planted_person import STICK_PERSON, project

WIDTH, HEIGHT, FOCAL = 1280, 960, 1150.0


def rig(eyes, target=(0.0, 0.95, 0.0), depth: float | None = None, zoom: float = 1.0):  # type: ignore[no-untyped-def]
    """Cameras of one kind at these places."""
    at = torch.tensor(np.array(eyes, dtype=np.float64))
    towards = torch.tensor(np.array(target, dtype=np.float64)).expand(len(at), 3)
    cameras = look_at(at, towards, FOCAL * zoom, WIDTH, HEIGHT)
    return tuple(
        SessionCamera(str(i), WIDTH, HEIGHT, K, viewmat, None, depth)
        for i, (K, viewmat) in enumerate(zip(cameras.Ks.numpy(), cameras.viewmats.numpy(), strict=True))
    )


def circle(degrees, radius: float = 3.0, height: float = 1.2) -> list[list[float]]:  # type: ignore[no-untyped-def]
    angles = np.radians(degrees)
    return [[radius * np.sin(a), height, radius * np.cos(a)] for a in angles]


def zoom(radius: float) -> float:
    """So that a person fills the picture, whatever the distance."""
    return radius / 3.0


SOUND = {
    **{f"ring of {n} at {r} m": rig(circle(np.arange(n) * 360 / n, r), zoom=zoom(r))
       for n in (3, 4, 5, 6, 8, 12, 16) for r in (1.5, 3.0, 6.0, 9.0)},
    **{f"arc of {n} over {s} degrees": rig(circle(np.linspace(0, s, n)))
       for n in (2, 3, 4, 6) for s in (45, 60, 90, 120)},
    "dome": rig([[3 * np.sin(a) * np.cos(e), 0.95 + 3 * np.sin(e), 3 * np.cos(a) * np.cos(e)]
                 for e in (0, 0.5, 1.0) for a in np.arange(8) * np.pi / 4]),
    "opposite, with depth": rig(circle([0, 180]), depth=1000.0),
    "side by side, with depth": rig(circle([0, 4]), depth=1000.0),
    "faces": rig([[0.5 * np.sin(a), 1.5, 0.5 * np.cos(a)] for a in (-0.6, -0.3, 0, 0.3, 0.6)], (0.0, 1.5, 0.0)),
    "a desk": rig([[0.8 * np.sin(a), 1.3, 0.8 * np.cos(a)] for a in (-0.6, -0.2, 0.2, 0.6)], (0.0, 1.2, 0.0)),
}  # fmt: skip
UNSOUND = {
    **{f"opposite at {r} m": rig(circle([0, 180], r, 0.95), zoom=zoom(r)) for r in (3.0, 5.0)},
    **{f"{angle} degrees apart": rig(circle([0, angle])) for angle in (2, 5, 10, 15, 175)},
    "stereo": rig([[-0.1, 1.2, 3.0], [0.1, 1.2, 3.0]], [[-0.1, 1.2, 0.0], [0.1, 1.2, 0.0]]),
    "back to back": rig([[0.0, 1.0, 0.0], [0.3, 1.0, 0.0]], [[-3.0, 1.0, 3.0], [3.0, 1.0, 3.0]]),
}


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_rig_raises_no_alarm(name: str) -> None:
    found = expect_errors(view_rig(SOUND[name]))
    assert found.joint_m < WARNS and found.shared > SHARED


@pytest.mark.parametrize("name", UNSOUND)
def test_a_rig_that_cannot_measure_is_found(name: str) -> None:
    assert expect_errors(view_rig(UNSOUND[name])).joint_m > FAILS


def body(camera: SessionCamera, shift: np.ndarray) -> Body | None:
    px = project((STICK_PERSON + shift)[None], camera.viewmat[None], camera.K[None])[0, 0]
    height = 1.05 * float(np.ptp(px[:, 1]))
    return Body(px.astype(np.float32), np.ones(33, np.float32), 0.99, height)


def samples(cameras: tuple[SessionCamera, ...], shifts: dict[int, np.ndarray]) -> SessionSamples:
    """The stick person at a place in each frame, seen by all cameras."""
    seen = [
        CameraSamples(c.name, (), 0, {f: b for f, s in shifts.items() if (b := body(c, s)) is not None}, {})
        for c in cameras
    ]
    return SessionSamples(tuple(seen), tuple(shifts), (), True)


def session(cameras: tuple[SessionCamera, ...], tmp_path) -> Session:  # type: ignore[no-untyped-def]
    frames = (Frame(0, {c.name: Source(f"{c.name}/0.png") for c in cameras}),)
    return Session(tmp_path, cameras, frames, (), {})


def judged(cameras, shifts, tmp_path) -> tuple[Check, Check]:  # type: ignore[no-untyped-def]
    error, shared = check_joint_error(session(cameras, tmp_path), samples(cameras, shifts))
    assert (error.code, shared.code) == ("joint-error", "shared-view") and {error.code, shared.code} < set(
        CODES
    )
    return error, shared


def test_what_is_found_is_said_with_a_place_for_another_camera(tmp_path) -> None:  # type: ignore[no-untyped-def]
    """Opposite along z: joints err along z, and a camera to the side would mend it."""
    error, shared = judged(rig(circle([0, 180], height=0.95)), {0: np.zeros(3)}, tmp_path)
    assert (error.status, shared.status) == ("fail", "pass")
    assert 80 < error.measured < 140
    assert "where the person was seen" in error.evidence and "1.0)" in error.evidence.partition(";")[0]
    x, _, z = (float(v) for v in error.remedy.partition("(")[2].partition(")")[0].split(","))
    assert abs(x) > 2.5 and abs(z) < 1.0
    mended = judged(rig([*circle([0, 180], height=0.95), [x, 0.95, z]]), {0: np.zeros(3)}, tmp_path)
    assert [check.status for check in mended] == ["pass", "pass"]
    # With nobody in the pictures it is a doubt: the person may stand elsewhere.
    assert judged(rig(circle([0, 180], height=0.95)), {}, tmp_path)[0].status == "warn"


def test_where_the_person_stands_decides(tmp_path) -> None:  # type: ignore[no-untyped-def]
    """Two cameras that look at one place measure nothing of somebody far beyond it, in small pictures."""
    pair = rig(circle([0, 60]), zoom=0.5)
    near, _ = judged(pair, {0: np.zeros(3)}, tmp_path)
    away = -9.0 * np.array([np.sin(np.pi / 6), 0.0, np.cos(np.pi / 6)])
    far, _ = judged(pair, {0: away, 1: away}, tmp_path)
    assert near.status == "pass" and far.measured > 1.8 * near.measured and far.status != "pass"


def test_cameras_that_see_no_part_of_the_body_together_are_found(tmp_path) -> None:  # type: ignore[no-untyped-def]
    narrow = rig(circle([0, 90]), [[0.0, 0.3, 0.0], [0.0, 1.6, 0.0]], zoom=2.4)
    _, shared = judged(narrow, {0: np.zeros(3)}, tmp_path)
    assert shared.status == "fail" and shared.measured < 0.1
    assert "point the cameras at one place" in shared.remedy


def test_a_calibration_in_other_units_is_judged_by_the_size_of_the_person(tmp_path) -> None:  # type: ignore[no-untyped-def]
    """What is in millimetres is another check's to say."""
    cameras = rig(circle([0, 60]))
    seen = samples(cameras, {0: np.zeros(3)})
    large = []
    for camera in cameras:
        viewmat = camera.viewmat.copy()
        viewmat[:3, 3] *= 1000
        large.append(replace(camera, viewmat=viewmat))
    usual, _ = check_joint_error(session(cameras, tmp_path), seen)
    found, _ = check_joint_error(session(tuple(large), tmp_path), seen)
    assert found.measured == pytest.approx(usual.measured, rel=0.01)


def test_frames_without_the_person_are_named() -> None:
    cameras = rig(circle([0, 60, 120]))
    shown = samples(cameras, {frame: np.zeros(3) for frame in (3, 4, 5)})
    (check,) = check_moments(replace(shown, stills=(0, 1, 2, 3, 4, 5, 6)))
    assert (check.status, check.measured) == ("warn", pytest.approx(3 / 7))
    assert "frames 0 to 2, 6" in check.evidence
    (check,) = check_moments(replace(shown, stills=(3, 4, 5, 6)))
    assert check.status == "pass" and "frames 6 " in check.evidence
