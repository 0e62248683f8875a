"""Transfer of recorded motion to the body, by world orientations.

For a bone that follows a joint, let G be how the joint has turned in the world since its rest pose. If both skeletons
rested in the same pose, the bone would have to turn by G. They do not: a captured skeleton rests with its arms held
out, the body with its arms at an angle. So each bone first gets a correction C that takes its zero-pose direction to
the joint's direction at rest, the smallest such turn after the correction of the bone that it hangs on; then its turn
is X = G C. Pelvis, spine, neck and head are taken to rest upright in both and get none; feet and toes keep that of the
shin, because ankles sit at different heights in different skeletons and a direction to the toes would tilt the soles.
The turn of a limb about itself is spread over its two bones, as skin is, so that it does not wring at the joint.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from simulacra.recon.motion.bvh import Motion
from simulacra.recon.motion.skeletons import REQUIRED_BONES, SKELETONS, Skeleton
from simulacra.render.body import BodyModel, BodyPose, RestBody
from simulacra.render.rotation import axis_angle_to_matrix, matrix_to_axis_angle
from simulacra.render.runtime.errors import InputError

# Of both legs, in the unit of the file: what the root walks is divided by it.
SHORTEST_LEGS = 1e-6
_LIMB_ENDS = {
    "upperarm01": "lowerarm01",
    "lowerarm01": "wrist",
    "wrist": "finger3-1",
    "upperleg01": "lowerleg01",
    "lowerleg01": "foot",
    **{f"finger{finger}-{i}": f"finger{finger}-{i + 1}" for finger in range(1, 6) for i in (1, 2)},
}
# Share of frames that may be below the floor: calibration poses and glitches, which would lift all others off it.
_BELOW_FLOOR = 0.05
# Share of a limb's turn about itself that its first bone takes. The elbow's hinge takes none of the forearm's.
_FIRST_TWIST = {"upperarm01": 0.5, "lowerarm01": 0.0, "upperleg01": 0.5, "lowerleg01": 0.5}


def retarget(
    motion: Motion,
    body: BodyModel,
    rest: RestBody,
    *,
    fps: float | None = None,
    start_at_origin: bool = True,
) -> BodyPose:
    """Poses of the body that move as a recorded skeleton does, one for each frame.

    The root's motion is scaled by the ratio of leg lengths, and the clip is lowered or raised as a whole so that its
    lowest soles, but for a twentieth of the frames, are on y = 0. The expression is zero.

    Args:
        rest: the shaped person to move.
        fps: resample to this rate; the motion's own by default.
        start_at_origin: shift the clip so that the first frame's hips are above the origin.

    Raises:
        InputError: the skeleton's joints have none of the known namings, or its legs have no length.
    """
    if fps is not None:
        motion = motion.resampled(fps)
    skeleton = find_skeleton(motion)
    places = dict(zip(motion.names, motion.rest_positions(), strict=True))
    turn = world_from_motion(skeleton, places)
    turns = _joint_turns(motion, skeleton, turn)
    corrections = _corrections(body, rest, skeleton, {name: turn @ place for name, place in places.items()})
    rotations = _local_rotations(body, rest, turns, corrections)

    still = BodyPose(
        rotations,
        torch.zeros(len(motion), 3, dtype=body.dtype, device=body.device),
        torch.zeros(len(motion), len(body.expression_names), dtype=body.dtype, device=body.device),
    )
    # Legs of another length walk as far in steps of their own: else feet slide.
    hips = _recorded_hips(motion, skeleton, turn) * _leg_ratio(body, rest, skeleton, places)
    translation = torch.from_numpy(hips).to(rotations) - _posed_hips(body, rest, still)
    if start_at_origin:
        translation = translation - (
            translation[0] + _posed_hips(body, rest, still)[0]
        ) * translation.new_tensor([1, 0, 1])
    soles = lowest_soles(body, rest, BodyPose(rotations, translation, still.expression))
    translation = translation - translation.new_tensor([0, 1, 0]) * soles.quantile(_BELOW_FLOOR)
    return BodyPose(rotations, translation, still.expression)


def find_skeleton(motion: Motion) -> Skeleton:
    """The first known naming that the motion's joints have.

    Raises:
        InputError: none.
    """
    for skeleton in SKELETONS:
        joints = {joint for name in skeleton.required for joint in name.split(",")}
        if joints <= set(motion.names):
            return skeleton
    closest = max(SKELETONS, key=lambda skeleton: len(set(skeleton.required) & set(motion.names)))
    raise InputError(
        "The motion's joints have none of the known names",
        expected="joints named as in " + ", ".join(skeleton.name for skeleton in SKELETONS),
        found=f"nearest is {closest.name}, without "
        + ", ".join(sorted(set(closest.required) - set(motion.names))),
        remedy="rename the joints, or add their naming to recon/motion/skeletons.py",
    )


def world_from_motion(skeleton: Skeleton, places: dict[str, np.ndarray]) -> Float[np.ndarray, "3 3"]:
    """The quarter turns from the file's axes to ours, read off its rest pose: hip to head is up, hip to hip is left.

    Raises:
        InputError: the rest pose is too degenerate to tell.
    """

    def axis(vector: np.ndarray) -> np.ndarray:
        largest = np.abs(vector).argmax()
        return np.eye(3)[largest] * np.sign(vector[largest])

    bones = skeleton.bones
    up = axis(places[bones["head"]] - places[bones["upperleg01.L"]])
    left = axis(places[bones["upperleg01.L"]] - places[bones["upperleg01.R"]])
    turn = np.stack([left, up, np.cross(left, up)])
    if not np.isclose(np.linalg.det(turn), 1):
        raise InputError(
            "The motion's rest pose is not a person standing",
            expected="hips side by side, the head above them",
            found=f"hips apart along {left}, the head along {up}",
        )
    return turn


def _joint_turns(motion: Motion, skeleton: Skeleton, turn: np.ndarray) -> dict[str, Tensor]:
    """G of every followed bone, in our axes."""
    turned = torch.from_numpy(turn @ motion.global_rotations() @ turn.T)
    index = {name: i for i, name in enumerate(motion.names)}
    turns = {}
    for bone, joints in skeleton.bones.items():
        if all(joint in index for joint in joints.split(",")):
            first, *second = (turned[:, index[joint]] for joint in joints.split(","))
            turns[bone] = halfway(first, second[0]) if second else first
    return turns


def halfway(first: Float[Tensor, "t 3 3"], second: Float[Tensor, "t 3 3"]) -> Float[Tensor, "t 3 3"]:
    """The rotation in the middle of the shortest arc."""
    return first @ axis_angle_to_matrix(0.5 * matrix_to_axis_angle(first.transpose(-1, -2) @ second))


def smallest_turn(a: Float[Tensor, "*t 3"], b: Float[Tensor, "*t 3"]) -> Float[Tensor, "*t 3 3"]:
    """The rotation by the smallest angle that takes direction a to direction b."""
    a, b = torch.nn.functional.normalize(a, dim=-1), torch.nn.functional.normalize(b, dim=-1)
    axis = torch.linalg.cross(a, b)
    sine, cosine = axis.norm(dim=-1, keepdim=True), (a * b).sum(-1, keepdim=True)
    return axis_angle_to_matrix(axis / sine.clamp(min=1e-12) * torch.atan2(sine, cosine))


def _zero_heads(body: BodyModel, rest: RestBody) -> dict[str, Tensor]:
    heads = body.pose(rest, body.zero_pose(), vertices=body.soles[:1]).T_world_bone[0, :, :3, 3].double()
    return dict(zip(body.bone_names, heads, strict=True))


def _corrections(
    body: BodyModel, rest: RestBody, skeleton: Skeleton, places: dict[str, np.ndarray]
) -> dict[str, Float[Tensor, "3 3"]]:
    """C of every bone, followed or not: that of its parent, and for limbs the turn to the joint's direction on top."""
    heads = _zero_heads(body, rest)
    corrections: dict[str, Tensor] = {}
    for bone, parent in zip(body.bone_names, body.bone_parents.tolist(), strict=True):
        own = corrections[body.bone_names[parent]] if parent >= 0 else torch.eye(3, dtype=torch.float64)
        stem, side = bone.partition(".")[::2]
        end = f"{_LIMB_ENDS[stem]}.{side}" if stem in _LIMB_ENDS else None
        if end is not None and {bone, end} <= skeleton.bones.keys():
            towards = places[skeleton.bones[end]] - places[skeleton.bones[bone]]
            if np.linalg.norm(towards) > 0:
                own = smallest_turn(own @ (heads[end] - heads[bone]), torch.from_numpy(towards)) @ own
        corrections[bone] = own
    return corrections


def _local_rotations(
    body: BodyModel, rest: RestBody, turns: dict[str, Tensor], corrections: dict[str, Tensor]
) -> Float[Tensor, "t j 3"]:
    """Axis-angles out of the world turns X = G C; a bone that follows nothing keeps still against its parent."""
    heads = _zero_heads(body, rest)
    frames = len(next(iter(turns.values())))
    world: dict[str, Tensor] = {}
    local = []
    for bone, parent in zip(body.bone_names, body.bone_parents.tolist(), strict=True):
        above = (
            world[body.bone_names[parent]]
            if parent >= 0
            else torch.eye(3, dtype=torch.float64).repeat(frames, 1, 1)
        )
        stem, side = bone.partition(".")[::2]
        world[bone] = turns[bone] @ corrections[bone] if bone in turns else above
        second = f"{stem[:-1]}2.{side}"
        if stem in _FIRST_TWIST and second not in turns:
            direction = heads[f"{_LIMB_ENDS[stem]}.{side}"] - heads[bone]
            turns = turns | {second: turns[bone]}
            corrections = corrections | {second: corrections[bone]}
            world[bone] = _less_twist(above, world[bone], direction, _FIRST_TWIST[stem])
        local.append(matrix_to_axis_angle(above.transpose(-1, -2) @ world[bone]))
    return torch.stack(local, dim=1).to(dtype=body.dtype, device=body.device)


def _less_twist(
    above: Float[Tensor, "t 3 3"], own: Float[Tensor, "t 3 3"], direction: Float[Tensor, "3"], share: float
) -> Float[Tensor, "t 3 3"]:
    """The turn `own` with only a share of its turn about `direction`, seen from the bone above."""
    relative = above.transpose(-1, -2) @ own
    swing = smallest_turn(direction.expand(len(own), 3), relative @ direction)
    twist = matrix_to_axis_angle(swing.transpose(-1, -2) @ relative)
    return above @ swing @ axis_angle_to_matrix(share * twist)


def _recorded_hips(motion: Motion, skeleton: Skeleton, turn: np.ndarray) -> Float[np.ndarray, "t 3"]:
    joints = [motion.names.index(skeleton.bones[f"upperleg01.{side}"]) for side in "LR"]
    return motion.positions()[:, joints].mean(1) @ turn.T


def _posed_hips(body: BodyModel, rest: RestBody, pose: BodyPose) -> Float[Tensor, "t 3"]:
    bones = [body.bone_names.index(f"upperleg01.{side}") for side in "LR"]
    return body.pose(rest, pose, vertices=body.soles[:1]).T_world_bone[:, bones, :3, 3].mean(1)


def _leg_ratio(body: BodyModel, rest: RestBody, skeleton: Skeleton, places: dict[str, np.ndarray]) -> float:
    """The body's legs by the skeleton's: hip to knee to ankle, both sides.

    Raises:
        InputError: the skeleton's legs have no length.
    """
    heads = _zero_heads(body, rest)
    own, theirs = 0.0, 0.0
    for side in "LR":
        chain = [f"{bone}.{side}" for bone in ("upperleg01", "lowerleg01", "foot")]
        for upper, lower in pairwise(chain):
            own += float((heads[lower] - heads[upper]).norm())
            theirs += float(np.linalg.norm(places[skeleton.bones[lower]] - places[skeleton.bones[upper]]))
    if theirs < SHORTEST_LEGS:
        raise InputError(
            "The motion's legs have no length", expected="offsets of knees and ankles", found=f"{theirs:g}"
        )
    return own / theirs


def lowest_soles(body: BodyModel, rest: RestBody, pose: BodyPose, chunk: int = 256) -> Float[Tensor, "t"]:
    """Height of the lowest vertex of both feet in each frame, metres; `chunk` frames at a time."""
    lowest = []
    for start in range(0, len(pose.rotations), chunk):
        part = slice(start, start + chunk)
        some = BodyPose(pose.rotations[part], pose.translation[part], pose.expression[part])
        lowest.append(body.pose(rest, some, vertices=body.soles).verts[..., 1].amin(-1))
    return torch.cat(lowest)


__all__ = [
    "REQUIRED_BONES",
    "find_skeleton",
    "halfway",
    "lowest_soles",
    "retarget",
    "smallest_turn",
    "world_from_motion",
]
