"""Two virtual people who cross, hug and leave, drawn and looked at by the networks: who is seen, and as whom.

    python -m tests.recon.people.rendered_crowd

Of each: in how many pictures the skeleton lies on the other; of the pictures that show at least half of the outline
that they would show were nobody in the way, in how many the person is found; of all moments, and of those that at
least three such pictures show, in how many it is found by three cameras.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from simulacra.recon.observe import ObserveConfig
from simulacra.recon.observe.presence import count_views
from simulacra.recon.people import observe_person, survey_session
from simulacra.recon.session import Session
from simulacra.recon.session.truth import COMPANIONS_FOLDER, read_truth
from simulacra.render.image import read_mask
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


def crowd(chosen: int = 0, alone: bool = False) -> VirtualCaptureConfig:
    """Five cameras around two people, of whom the truth is the chosen one's."""
    people = [
        Companion(person=PersonConfig(seed=seed), motion=MotionConfig(name="walk", path=path(sign)))
        for seed, sign in ((3, 1.0), (8, -1.0))
    ]
    rig = RigConfig(
        count=5, distance=3.6, height=1.5, look_at_height=0.95, width=640, height_px=480, field_of_view=62
    )
    return VirtualCaptureConfig(
        person=people[chosen].person,
        motion=people[chosen].motion,
        companions=() if alone else (people[1 - chosen],),
        masks=True,
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


def shown(chosen: int, folder: Path) -> np.ndarray:
    """Share of somebody's outline that the other one leaves to be seen, [t c]; 0 out of the picture."""
    areas = []
    for alone in (False, True):
        session = record_session(crowd(chosen, alone), folder / f"{chosen}{alone}")
        files = [
            [session.root / f"masks/{c}/{f:06d}.png" for c in session.camera_names]
            for f in session.frame_indices
        ]
        areas.append(
            np.array([[read_mask(path).sum() if path.exists() else 0.0 for path in row] for row in files])
        )
    return areas[0] / np.maximum(areas[1], 1.0)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # Without the masks, which would tell who is who.
        session = record_session(replace(crowd(), masks=False), folder / "session")
        people = survey_session(session, "all", list(session.frame_indices))
        assert people is not None
        print(f"{people.names}, doubts: {people.doubts}")
        true = [true_pixels(session, number) for number in (0, 1)]
        height = np.stack([1.15 * np.ptp(px[..., 1], axis=-1) for px in true])
        told = distances(true[0], true[1], height.min(0)) > 2 * NEAR
        for number, name in enumerate(people.names):  # both come from the side that their number has
            found = observe_person(
                session, ObserveConfig(looks=1, person=name), folder / name,
                frames=list(session.frame_indices), people=people,
            )  # fmt: skip
            px = np.where(found.pose_score[..., None, None] > 0, found.pose_px, np.nan)[:, :, list(LIMBS)]
            own, others = (distances(px, true[k], height[k]) for k in (number, 1 - number))
            mistaken = told & (others < own) & (others < NEAR)
            each = [
                count_views((found.pose_visibility * found.pose_score[..., None])[:, [c]])
                for c in range(px.shape[1])
            ]
            seen, half = np.stack(each, 1) > 0, shown(number, folder) >= 0.5
            views, enough = seen.sum(1), half.sum(1) >= 3
            print(
                f"{name}: {mistaken.sum()} of {mistaken.size} pictures with the other's skeleton; found in "
                f"{seen[half].mean():.1%} of {half.sum()} that show half of it; by three cameras in "
                f"{(views >= 3).mean():.1%} of {len(views)} moments, and in {(views[enough] >= 3).mean():.1%} of the "
                f"{enough.sum()} that three such pictures show"
            )
            for t, c in zip(*np.nonzero(half & ~seen)):
                print(f"    not found: frame {t}, camera {c}")


if __name__ == "__main__":
    main()
