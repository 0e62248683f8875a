"""What a virtual person does: built-in motions, or a recorded one, as a pose at any moment.

The moment is a time in seconds, not a frame: cameras that lag, and rows of a rolling shutter, look at moments of their
own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from annotated_types import Interval

from simulacra.recon.motion import load_bvh, retarget
from simulacra.recon.motion.retarget import lowest_soles
from simulacra.recon.runs.configuration import config
from simulacra.recon.runs.ranges import Share
from simulacra.render.body import BodyModel, BodyPose, RestBody
from simulacra.render.body.between import pose_between
from simulacra.render.rotation import axis_angle_to_matrix, matrix_to_axis_angle

BuiltIn = Literal["still", "stand", "sit", "walk", "range", "talk", "turn"]
PoseAt = Callable[[float], BodyPose]
# A motion's angles about the world's axes at zero pose (degrees, +X left, +Y up, +Z forward), and actions of the face.
Angles = dict[str, tuple[float, float, float]]
Actions = dict[str, float]

STEP_SECONDS = 1.1  # of a walk: left and right
# How far arms are lifted to hug.
_REACH_DEG = 60.0
# Seconds of one round of the exercises.
ROUND_SECONDS = 8.0


@config
class Waypoint:
    """Where somebody is at a moment; between two of them they go straight.

    Attributes:
        seconds: since the capture began.
        x: place on the floor, metres.
        z: likewise.
        heading: which way they face, degrees about +Y.
        reach: how far their arms reach forward, 0 to 1: to hug.
    """

    seconds: Annotated[float, Interval(ge=0, le=1e6)] = 0.0
    x: Annotated[float, Interval(ge=-3, le=3)] = 0.0
    z: Annotated[float, Interval(ge=-3, le=3)] = 0.0
    heading: Annotated[float, Interval(ge=-3600, le=3600)] = 0.0
    reach: Share = 0.0


@config
class MotionConfig:
    """What the person does.

    Attributes:
        name: a built-in motion. still: nothing moves. stand: breathes, looks around, blinks. sit: the same on a chair
            that nobody sees. walk: on the spot, as on a treadmill. range: arms, legs, trunk, hands and face through
            their range. talk: the face and the head. turn: once round on the spot in eight seconds.
        bvh: a recorded motion instead.
        start_seconds: where in the motion the capture begins.
        speed: how much faster than recorded.
        heading: which way the person faces at the start, degrees about +Y; 0 is towards +Z.
        path: where they go meanwhile, in order of time; by these, not by `heading`, they are turned then.
    """

    name: BuiltIn = "stand"
    bvh: str | None = None
    start_seconds: Annotated[float, Interval(ge=-1e6, le=1e6)] = 0.0
    speed: Annotated[float, Interval(ge=0.001, le=1000)] = 1.0
    heading: Annotated[float, Interval(ge=-360, le=360)] = 0.0
    path: tuple[Waypoint, ...] = ()


def pose_at(body: BodyModel, rest: RestBody, motion: MotionConfig, seed: int) -> PoseAt:
    """The person's pose as a function of seconds since the capture began.

    Raises:
        InputError: a BVH file that cannot be understood.
    """
    if motion.bvh is not None:
        poses, fps = _load_recording(body, rest, Path(motion.bvh))
        moved = _interpolate(poses, fps)
    else:
        moved = _pose_built_in(body, rest, motion.name, seed)
    turn = torch.tensor([0.0, float(np.radians(motion.heading)), 0.0], dtype=body.dtype)

    def at(seconds: float) -> BodyPose:
        if motion.path:
            return _go(body, moved(motion.start_seconds + motion.speed * seconds), motion.path, seconds)
        return _rotate_person(moved(motion.start_seconds + motion.speed * seconds), turn)

    return at


def _go(body: BodyModel, pose: BodyPose, path: tuple[Waypoint, ...], seconds: float) -> BodyPose:
    """The pose where the path is at a moment, arms stretched as it says."""
    times = [point.seconds for point in path]
    x, z, heading, reach = (
        float(np.interp(seconds, times, [getattr(point, name) for point in path]))
        for name in ("x", "z", "heading", "reach")
    )
    rotations = pose.rotations.clone()
    for side in ("L", "R"):
        rotations[:, body.bone_names.index(f"upperarm01.{side}"), 0] -= float(np.radians(_REACH_DEG * reach))
    turn = torch.tensor([0.0, float(np.radians(heading)), 0.0], dtype=body.dtype)
    turned = _rotate_person(BodyPose(rotations, pose.translation, pose.expression), turn)
    return BodyPose(turned.rotations, turned.translation + turn.new_tensor([x, 0.0, z]), turned.expression)


def _rotate_person(pose: BodyPose, turn: torch.Tensor) -> BodyPose:
    """The whole person turned about the world's upright axis through the origin."""
    if not turn.any():
        return pose
    matrix = axis_angle_to_matrix(turn)
    rotations = pose.rotations.clone()
    rotations[:, 0] = matrix_to_axis_angle(matrix @ axis_angle_to_matrix(pose.rotations[:, 0]))
    return BodyPose(rotations, pose.translation @ matrix.T, pose.expression)


def _load_recording(body: BodyModel, rest: RestBody, path: Path) -> tuple[BodyPose, float]:
    recorded = load_bvh(path)
    poses = retarget(recorded, body, rest)
    return poses, recorded.fps


def _interpolate(poses: BodyPose, fps: float) -> PoseAt:
    count = len(poses.translation)

    def at(seconds: float) -> BodyPose:
        place = float(np.clip(seconds * fps, 0, count - 1))
        before = min(int(place), max(count - 2, 0))
        after = min(before + 1, count - 1)
        return pose_between(_row(poses, before), _row(poses, after), place - before)

    return at


def _row(poses: BodyPose, row: int) -> BodyPose:
    one = slice(row, row + 1)
    return BodyPose(poses.rotations[one], poses.translation[one], poses.expression[one])


def _pose_built_in(body: BodyModel, rest: RestBody, name: BuiltIn, seed: int) -> PoseAt:
    phase = float(np.random.default_rng(seed).uniform(0, 2 * np.pi))
    places = {bone: k for k, bone in enumerate(body.bone_names)}
    actions_at = {action: k for k, action in enumerate(body.expression_names)}

    def at(seconds: float) -> BodyPose:
        angles, actions = _MOTIONS[name](0.0 if name == "still" else seconds, phase)
        pose = body.zero_pose()
        for bone, degrees in angles.items():
            pose.rotations[0, places[bone]] = torch.tensor(np.radians(degrees), dtype=pose.rotations.dtype)
        for action, value in actions.items():
            pose.expression[0, actions_at[action]] = float(np.clip(value, 0, 1))
        pose.translation[0, 1] -= float(lowest_soles(body, rest, pose)[0])
        return pose

    return at


def _mirror(
    bone: str, left: tuple[float, float, float], right: tuple[float, float, float] | None = None
) -> Angles:
    """The same turn of a bone and of its mirror image; or one of its own for the right."""
    x, y, z = left
    return {f"{bone}.L": left, f"{bone}.R": right if right is not None else (x, -y, -z)}


def _hands(curl_left: float, curl_right: float) -> Angles:
    """Fingers from stretched (0) to a fist (1). They point down and forward: they curl about the hand's side."""
    found: Angles = {}
    for side, curl, sign in (("L", curl_left, 1.0), ("R", curl_right, -1.0)):
        for finger in range(2, 6):
            for joint, most in ((1, 62.0), (2, 84.0), (3, 55.0)):
                # Across the palm: with the arm hanging, bending goes inwards and back.
                found[f"finger{finger}-{joint}.{side}"] = (
                    0.72 * most * curl,
                    -0.30 * sign * most * curl,
                    -0.62 * sign * most * curl,
                )
        found[f"finger1-2.{side}"] = (18.0 * curl, 0.0, -22.0 * sign * curl)
        found[f"finger1-3.{side}"] = (20.0 * curl, 0.0, -25.0 * sign * curl)
    return found


def _blink(seconds: float, phase: float) -> Actions:
    since = (seconds + phase) % 3.7
    closed = float(np.exp(-(((since - 0.15) / 0.07) ** 2)))
    return {"eyeBlinkLeft": closed, "eyeBlinkRight": closed}


def _relax(seconds: float, phase: float) -> tuple[Angles, Actions]:
    """Arms at the sides, breath in the chest, weight that shifts, a head that looks about."""
    breath = np.sin(2 * np.pi * seconds / 3.6 + phase)
    sway = np.sin(2 * np.pi * seconds / 5.3 + 2 * phase)
    look = np.sin(2 * np.pi * seconds / 6.1 + 3 * phase)
    angles: Angles = {
        "root": (0.3 * breath, 0.8 * sway, 0.6 * sway),
        "spine02": (-0.8 * breath, 0.0, -0.6 * sway),
        "neck02": (1.0 * sway, 5.0 * look, 0.0),
        "head": (2.0 * sway, 7.0 * look, 1.5 * sway),
        **_mirror("clavicle", (0.0, 0.0, 0.8 * breath)),
        **_mirror("upperarm01", (0.0, 0.0, -24.0 + 0.8 * breath)),
        **_mirror("lowerarm01", (-4.0, 0.0, -6.0)),
        **_hands(0.25 + 0.03 * breath, 0.25 - 0.03 * sway),
    }
    return angles, _blink(seconds, phase)


def _stand_still(seconds: float, phase: float) -> tuple[Angles, Actions]:
    return _relax(0.0, 0.0)[0], {}


def _sit(seconds: float, phase: float) -> tuple[Angles, Actions]:
    """As standing, with thighs level, shins upright and forearms lifted."""
    angles, actions = _relax(seconds, phase)
    angles |= _mirror("upperleg01", (-85.0, 0.0, 4.0)) | _mirror("lowerleg01", (85.0, 0.0, 0.0))
    angles |= _mirror("upperarm01", (-20.0, 0.0, -24.0)) | _mirror("lowerarm01", (-45.0, 0.0, -6.0))
    return angles, actions


def _walk(seconds: float, phase: float) -> tuple[Angles, Actions]:
    """A gait by its leading harmonics: hips swing, knees bend twice, arms go against the legs."""
    angles, actions = _relax(seconds, phase)
    turn = 2 * np.pi * seconds / STEP_SECONDS
    for side, p in (("L", turn), ("R", turn + np.pi)):
        swing = np.sin(p)
        knee = 8 + 46 * max(0.0, np.cos(p - 0.35)) ** 1.5 + 8 * max(0.0, -np.cos(p)) ** 2
        angles[f"upperleg01.{side}"] = (-(4 + 23 * swing) - 6 * max(0.0, np.cos(p)), 0.0, 0.0)
        angles[f"lowerleg01.{side}"] = (knee, 0.0, 0.0)
        angles[f"foot.{side}"] = (-6 + 10 * np.sin(p + 0.8), 0.0, 0.0)
    for side, p, sign in (("L", turn + np.pi, 1.0), ("R", turn, -1.0)):
        angles[f"upperarm01.{side}"] = (-18 * np.sin(p), 0.0, -24.0 * sign)
        angles[f"lowerarm01.{side}"] = (-14 - 10 * np.sin(p), 0.0, -6.0 * sign)
    angles["spine03"] = (1.0, 4 * np.sin(turn), 0.0)
    angles["root"] = (2.0, -4 * np.sin(turn), 2 * np.cos(turn))
    return angles, actions


def _pulse(seconds: float, begin: float, end: float) -> float:
    """0 outside of a span of the round, rising smoothly to 1 in its middle."""
    share = (seconds % ROUND_SECONDS - begin) / (end - begin)
    return float(np.sin(np.pi * share) ** 2) if 0 < share < 1 else 0.0


def _range(seconds: float, phase: float) -> tuple[Angles, Actions]:
    """Exercises, one after the other and overlapping: what an avatar has to have seen."""
    angles, actions = _relax(seconds, phase)
    raise_, front, bend = _pulse(seconds, 0, 3), _pulse(seconds, 2, 4.5), _pulse(seconds, 3.5, 6)
    twist, squat, kick = _pulse(seconds, 4.5, 7), _pulse(seconds, 5.5, 8), _pulse(seconds, 1.5, 4)
    fist = _pulse(seconds, 1, 3) + _pulse(seconds, 4, 6)
    angles |= _mirror("clavicle", (0.0, 0.0, 16 * raise_))
    angles |= _mirror("upperarm01", (-62 * front, 0.0, -24.0 + 105 * raise_ + 12 * front))
    angles |= _mirror("lowerarm01", (-4.0 - 78 * bend, 0.0, -6.0))
    angles |= _hands(min(0.2 + 0.8 * fist, 1.0), min(0.2 + 0.7 * _pulse(seconds, 2, 5), 1.0))
    angles["spine03"] = (10 * squat, 22 * twist, 0.0)
    angles["spine01"] = (8 * squat, 16 * twist, 6 * kick)
    angles["neck02"] = (0.0, -14 * twist, 0.0)
    thigh, shin = -58 * squat, 92 * squat
    angles["upperleg01.L"] = (thigh - 48 * kick, 0.0, 5 * squat)
    angles["lowerleg01.L"] = (shin + 62 * kick, 0.0, 0.0)
    angles["upperleg01.R"] = (thigh, 0.0, -5 * squat)
    angles["lowerleg01.R"] = (shin, 0.0, 0.0)
    angles |= _mirror("foot", (-34 * squat, 0.0, 0.0))
    return angles, actions | {"jawOpen": 0.5 * raise_, "mouthSmileLeft": bend, "mouthSmileRight": bend}


def _talk(seconds: float, phase: float) -> tuple[Angles, Actions]:
    angles, actions = _relax(seconds, phase)
    beat = 2 * np.pi * seconds
    syllable = max(0.0, np.sin(3.1 * beat / 1.7 + phase)) ** 1.3
    smile, brows = _pulse(seconds, 2, 5), _pulse(seconds, 5, 7)
    look = np.sin(beat / 4.3 + phase)
    angles["neck02"] = (3 * np.sin(beat / 2.9), 9 * look, 0.0)
    angles["head"] = (4 * np.sin(beat / 2.3 + 1), 12 * look, 3 * np.sin(beat / 5.1))
    return angles, actions | {
        "jawOpen": 0.45 * syllable,
        "mouthFunnel": 0.5 * max(0.0, np.sin(beat / 0.9 + phase)),
        "mouthSmileLeft": 0.8 * smile,
        "mouthSmileRight": 0.7 * smile,
        "browInnerUp": 0.8 * brows,
        "browOuterUpLeft": 0.6 * brows,
        "browOuterUpRight": 0.6 * brows,
    }


def _turn(seconds: float, phase: float) -> tuple[Angles, Actions]:
    angles, actions = _relax(seconds, phase)
    angles["root"] = (0.0, 360.0 * seconds / ROUND_SECONDS, 0.0)
    return angles, actions


_MOTIONS: Mapping[str, Callable[[float, float], tuple[Angles, Actions]]] = {
    "still": _stand_still,
    "stand": _relax,
    "sit": _sit,
    "walk": _walk,
    "range": _range,
    "talk": _talk,
    "turn": _turn,
}
