"""The person and the cameras say together whether a session's world is upright."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from simulacra.recon.multiview.rig import CameraRig
from simulacra.recon.preflight.bodies import measure_agreement, stack_views
from simulacra.recon.preflight.consistency import Consistency, _check_upright
from simulacra.recon.preflight.geometry import check_cameras
from simulacra.recon.preflight.record import Check
from simulacra.recon.preflight.samples import Body, CameraSamples, SessionSamples
from simulacra.recon.session import Session
from tests.recon.calibrate.planted_people import CAMERAS, Scene, planted_scene
from tests.recon.calibrate.test_judged import session_of


@pytest.fixture(scope="module")
def scene() -> Scene:
    return planted_scene(2, frames=4, turn_deg=0.0, place_m=0.0, boards=0)


def on_their_sides(rig: CameraRig, pixels: np.ndarray) -> tuple[CameraRig, np.ndarray]:
    """Cameras turned a quarter about their axes (clockwise, seen from behind) and what their square pictures show."""
    quarter = np.eye(4)
    quarter[:2, :2] = [[0, 1], [-1, 0]]  # what was down in the picture is right
    turned = np.stack([pixels[..., 1], 1000 - pixels[..., 0]], axis=-1)
    return CameraRig(rig.intrinsics, quarter @ rig.viewmats), turned


def seen(
    rig: CameraRig, pixels: np.ndarray, scene: Scene, R_world: np.ndarray
) -> tuple[Session, Consistency]:
    """A session whose world is turned, and what a preflight makes of it."""
    viewmats = rig.viewmats.copy()
    viewmats[:, :3, :3] = viewmats[:, :3, :3] @ R_world.T
    session = session_of(CameraRig(rig.intrinsics, viewmats), len(pixels))
    session = replace(session, about={"T_world_source": np.eye(4).tolist()})
    confidence = scene.body.detections.confidence
    samples = SessionSamples(
        tuple(
            CameraSamples(
                name, (), 0,
                {t: Body(pixels[t, c], confidence[t, c], 1.0, 500.0) for t in range(len(pixels))}, {},
            )
            for c, name in enumerate(CAMERAS)
        ),
        tuple(range(len(pixels))), (), True,
    )  # fmt: skip
    agreement = measure_agreement(stack_views(session, samples))
    return session, Consistency(agreement, agreement, np.zeros((4, 4)), (), {})


def up_axis(session: Session) -> Check:
    return next(check for check in check_cameras(session) if check.code == "up-axis")


@pytest.mark.parametrize("sideways", [False, True])
def test_an_upright_world_passes_and_a_lying_one_names_its_axis(scene: Scene, sideways: bool) -> None:
    rig, pixels = scene.truth, scene.body.detections.pixels
    if sideways:
        rig, pixels = on_their_sides(rig, pixels)
    session, found = seen(rig, pixels, scene, np.eye(3))
    assert up_axis(session).status == "pass" and _check_upright(session, found)[0].status == "pass"
    to_z_up = Rotation.from_euler("x", 90, degrees=True).as_matrix()
    session, found = seen(rig, pixels, scene, to_z_up)
    check = _check_upright(session, found)[0]
    assert check.status == "fail" and check.measured > 60  # and as much as the person leans
    assert check.remedy.endswith("--world-up +z")


def test_a_world_on_its_head_is_told_by_the_person(scene: Scene) -> None:
    """A level ring of cameras on their sides does not know which end is up; the person does."""
    rig, pixels = on_their_sides(scene.truth, scene.body.detections.pixels)
    session, found = seen(rig, pixels, scene, np.diag([1.0, -1.0, -1.0]))
    check = _check_upright(session, found)[0]
    assert check.status == "fail" and check.remedy.endswith("--world-up -y")
