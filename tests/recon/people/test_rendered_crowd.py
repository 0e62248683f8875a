"""Two virtual people who cross, hug and leave, drawn and looked at by the networks: nobody has the other's skeleton."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from simulacra.recon.observe import ObserveConfig
from simulacra.recon.observe.presence import count_views
from simulacra.recon.people import observe_person, survey_session
from simulacra.recon.session import Session
from simulacra.recon.session.truth import COMPANIONS_FOLDER, read_truth
from simulacra.render.runtime.errors import AssetError, MissingExtraError
from simulacra.tools.virtual.capture import record_session
from simulacra.tools.virtual.config import Companion, PersonConfig, VirtualCaptureConfig
from simulacra.tools.virtual.motion import MotionConfig, Waypoint
from simulacra.tools.virtual.rig import RigConfig

FRAMES, FPS = 24, 5.0
# Landmarks and the bones whose heads are there or nearly so.
LIMBS = {11: "upperarm01.L", 12: "upperarm01.R", 23: "upperleg01.L", 24: "upperleg01.R",
         25: "lowerleg01.L", 26: "lowerleg01.R", 27: "foot.L", 28: "foot.R"}  # fmt: skip
# Landmarks of a person are within this of the joints; two people in a picture are told apart beyond twice that. Of the
# height: hips and shoulders lie 0.03 from what networks call so, detectors err by as much.
NEAR = 0.1


def path(sign: float) -> tuple[Waypoint, ...]:
    """From one side to the middle, a hug, past each other, and away."""
    steps = ((0.0, -1.3, 0.0, 0.0), (1.6, -0.17, 0.0, 0.0), (1.9, -0.17, 0.0, 1.0), (2.6, -0.17, 0.0, 1.0),
             (3.1, 0.0, 0.35, 0.0), (4.8, 1.5, 0.1, 0.0))  # fmt: skip
    return tuple(
        Waypoint(seconds=t, x=sign * x, z=sign * z, heading=sign * 90.0, reach=reach)
        for t, x, z, reach in steps
    )


def crowd() -> VirtualCaptureConfig:
    """Five cameras around two people."""
    other = Companion(person=PersonConfig(seed=8), motion=MotionConfig(name="walk", path=path(-1.0)))
    rig = RigConfig(
        count=5, distance=3.6, height=1.5, look_at_height=0.95, width=640, height_px=480, field_of_view=62
    )
    return VirtualCaptureConfig(
        person=PersonConfig(seed=3),
        motion=MotionConfig(name="walk", path=path(1.0)),
        companions=(other,),
        rig=rig,
        frames=FRAMES,
        fps=FPS,
        true_pictures=False,
    )


def true_pixels(session: Session, number: int) -> np.ndarray:
    """Joints of one of the people in every picture, [t c k 2]."""
    truth = read_truth(session)
    assert truth is not None
    chosen = replace(truth, root=truth.root / COMPANIONS_FOLDER / str(number)) if number else truth
    bones = [truth.joint_names.index(bone) for bone in LIMBS.values()]
    joints = np.stack([chosen.frame(frame).joints[bones] for frame in session.frame_indices])
    found = []
    for camera in session.cameras:
        true = truth.cameras[camera.name]
        local = joints @ true.viewmat[:3, :3].T + true.viewmat[:3, 3]
        image = local @ true.K.T
        found.append(image[..., :2] / image[..., 2:])
    return np.stack(found, 1)


def distances(found: np.ndarray, true: np.ndarray, height: np.ndarray) -> np.ndarray:
    """The median joint's, sides as they are or exchanged, share of the height; NaN where nothing was found."""
    swapped = found[:, :, [1, 0, 3, 2, 5, 4, 7, 6]]
    with np.errstate(all="ignore"):
        each = [np.linalg.norm(seen - true, axis=-1) / height[..., None] for seen in (found, swapped)]
        return np.fmin(*(np.median(one, -1) for one in each))


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Of each of two people: where a skeleton lies on the other one [t c], and how many cameras see it [t]."""
    folder = tmp_path_factory.mktemp("crowd")
    try:
        session = record_session(crowd(), folder / "session")
        people = survey_session(session, "all", list(session.frame_indices))
    except (AssetError, MissingExtraError) as error:
        pytest.skip(str(error))
    assert people is not None and people.names == ("person1", "person2") and not people.doubts
    true = [true_pixels(session, number) for number in (0, 1)]
    height = np.stack([1.15 * np.ptp(px[..., 1], axis=-1) for px in true])
    told = distances(true[0], true[1], height.min(0)) > 2 * NEAR
    mistaken, views = [], []
    for number, name in enumerate(people.names):  # both come from the side that their number has
        found = observe_person(
            session, ObserveConfig(looks=1, person=name), folder / name,
            frames=list(session.frame_indices), people=people,
        )  # fmt: skip
        px = np.where(found.pose_score[..., None, None] > 0, found.pose_px, np.nan)[:, :, list(LIMBS)]
        own, others = (distances(px, true[k], height[k]) for k in (number, 1 - number))
        mistaken.append(told & (others < own) & (others < NEAR))
        views.append(count_views(found.pose_visibility * found.pose_score[..., None]))
    return mistaken, views


@pytest.mark.slow
def test_people_who_cross_hug_and_leave_keep_their_skeletons(
    observed: tuple[list[np.ndarray], list[np.ndarray]],
) -> None:
    assert not any(each.any() for each in observed[0])


@pytest.mark.xfail(reason="of two who hug, three views show one in 71 % of the moments: 99 % is wanted")
@pytest.mark.slow
def test_three_views_show_each_of_them(observed: tuple[list[np.ndarray], list[np.ndarray]]) -> None:
    assert min((views >= 3).mean() for views in observed[1]) >= 0.99
