"""Transfer of recorded motion to the body, by world orientations.

For a bone that follows a joint, let G be how the joint has turned in the world since the stance, the pose in which the
recorded person stands as the body does at zero pose (`stance`). If both stood in the same pose, the bone would have to
turn by G. They do not: a captured skeleton rests with its arms held out, the body with its arms at an angle. So each
bone first gets a correction C that takes its zero-pose direction to the joint's direction in the stance, the smallest
such turn after the correction of the bone that it hangs on; then its turn is X = G C. Pelvis, spine, neck and head get
none where the skeleton's own zero pose is the stance, for rigs put hips and necks at other places of an upright person;
of a recorded frame the trunk's lean, bend and turn are corrected by its lines. Feet and toes keep the correction of
the shin, because ankles sit at different heights in different skeletons and a direction to the toes would tilt the
soles; only toes that point along the shin, as no foot on a floor does, are followed.
The turn of a limb about itself is spread over its two bones, as skin is, so that it does not wring at the joint; then
both are turned so that the limb's ends are in the recorded direction.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from simulacra.recon.motion.anatomy import SIDES, Anatomy
from simulacra.recon.motion.motion import Motion
from simulacra.recon.motion.names import FINGERS
from simulacra.recon.motion.skeletons import NECK, SPINE, Follow, Skeleton, find_skeleton, follow_joints
from simulacra.recon.motion.stance import Stance, find_stance, trunk_ends
from simulacra.render.body import BodyModel, BodyPose, RestBody
from simulacra.render.rotation import axis_angle_to_matrix, matrix_to_axis_angle
from simulacra.render.runtime.errors import InputError

# Of both legs, in the unit of the file: what the root walks is divided by it.
SHORTEST_LEGS = 1e-6
# Lengths of one leg's thigh by its shin, and of both legs: of no person.
MOST_UNEVEN = 4.0
# Metres from the first frame's place, beyond which no recorder writes.
FARTHEST = 10_000.0
_LIMB_ENDS = {
    "upperarm01": "lowerarm01",
    "lowerarm01": "wrist",
    "wrist": "finger3-1",
    "upperleg01": "lowerleg01",
    "lowerleg01": "foot",
    **{f"finger{finger}-{i}": f"finger{finger}-{i + 1}" for finger in range(1, 6) for i in (1, 2)},
}
# A hand points to the first of these knuckles that the skeleton has.
_KNUCKLES = ("middle", "index", "ring", "little")
# Degrees between the file's foot and the body's: more is no other height of the ankle but another zero pose.
_OTHER_FOOT = 35.0
# Share of frames that may be below the floor: calibration poses and glitches, which would lift all others off it.
_BELOW_FLOOR = 0.05
# Share of a limb's turn about itself that its first bone takes. The elbow's hinge takes none of the forearm's.
_FIRST_TWIST = {"upperarm01": 0.5, "lowerarm01": 0.0, "upperleg01": 0.5, "lowerleg01": 0.5}
_BONES = {
    **{"upper_arm": "upperarm01", "forearm": "lowerarm01", "hand": "wrist"},
    **{"thigh": "upperleg01", "shin": "lowerleg01", "foot": "foot", "toes": "toe3-1"},
    **{finger: f"finger{i}-1" for i, finger in enumerate(FINGERS, 1)},
}
"""The bone that a part of a recorded skeleton moves, the first of several."""


def retarget(
    motion: Motion,
    body: BodyModel,
    rest: RestBody,
    *,
    fps: float | None = None,
    start_at_origin: bool = True,
    names: Path | None = None,
) -> BodyPose:
    """Poses of the body that move as a recorded skeleton does, one for each frame.

    The root's motion is scaled by the ratio of leg lengths, and the clip is lowered or raised as a whole so that its
    lowest soles, but for a twentieth of the frames, are on y = 0. The expression is zero.

    Args:
        rest: the shaped person to move.
        fps: resample to this rate; the motion's own by default.
        start_at_origin: shift the clip so that the first frame's hips are above the origin.
        names: a table of joints by part, for skeletons that are not understood without.

    Raises:
        InputError: the skeleton is not understood, its legs are no person's, or it goes where nobody does.
    """
    skeleton = find_skeleton(motion, names)
    stance = find_stance(motion, skeleton.anatomy)
    if fps is not None:
        motion = motion.resampled(fps)
    heads = _zero_heads(body, rest)
    follow = follow_joints(skeleton, stance.places, {bone: head.numpy() for bone, head in heads.items()})
    ends = _limb_joints(skeleton.anatomy)
    turns = _joint_turns(motion, follow, stance)
    corrections = _corrections(body, heads, skeleton.anatomy, stance, ends)
    positions = motion.positions() @ stance.world.T
    places = torch.from_numpy(positions)
    aims = {bone: places[:, end] - places[:, start] for bone, (start, end) in ends.items()}
    low, top = trunk_ends(skeleton.anatomy, positions)
    rotations = _local_rotations(body, heads, turns, corrections, aims, torch.from_numpy(top - low))

    # Legs of another length walk as far in steps of their own: else feet slide.
    joints = [skeleton.anatomy.joint(f"{side}_thigh") for side in SIDES]
    hips = places[:, joints].mean(1) * _leg_ratio(heads, skeleton.anatomy, stance)
    return _stand(body, rest, rotations, hips.to(rotations), start_at_origin)


def _stand(
    body: BodyModel,
    rest: RestBody,
    rotations: Float[Tensor, "t j 3"],
    hips: Float[Tensor, "t 3"],
    start_at_origin: bool,
) -> BodyPose:
    """The poses with the hips where they are to be, and the floor under the soles.

    Raises:
        InputError: the hips go where nobody does.
    """
    far = float((hips - hips[0]).abs().max())
    if not far < FARTHEST:
        raise InputError(
            "The motion goes where nobody does", expected=f"< {FARTHEST:g} m", found=f"{far:.3g} m"
        )
    still = BodyPose(
        rotations, torch.zeros_like(hips), rotations.new_zeros(len(hips), len(body.expression_names))
    )
    if start_at_origin:
        hips = hips - hips[0] * hips.new_tensor([1, 0, 1])
    translation = hips - _posed_hips(body, rest, still)
    soles = lowest_soles(body, rest, BodyPose(rotations, translation, still.expression))
    translation = translation - translation.new_tensor([0, 1, 0]) * soles.quantile(_BELOW_FLOOR)
    return BodyPose(rotations, translation, still.expression)


def _limb_joints(anatomy: Anatomy) -> dict[str, tuple[int, int]]:
    """The joints at both ends of what each bone, and the twisting bone after it, must point along."""
    ends = {}
    for side, suffix in zip(SIDES, (".L", ".R"), strict=True):
        parts = {part: joints for part in _BONES if (joints := anatomy.parts.get(f"{side}_{part}"))}
        knuckle = next((name for name in _KNUCKLES if name in parts), None)
        chains = [("upper_arm", "forearm", "hand", knuckle), ("thigh", "shin", "foot", "toes")]
        for chain in chains:
            for part, after in pairwise(part for part in chain if part in parts):
                ends[f"{_BONES[part]}{suffix}"] = (parts[part][0], parts[after][0])
        for finger in FINGERS:
            for i, pair in enumerate(pairwise(parts.get(finger, ())), 1):
                ends[f"{_BONES[finger][:-1]}{i}{suffix}"] = pair
    return ends


def _joint_turns(motion: Motion, follow: Mapping[str, Follow], stance: Stance) -> dict[str, Tensor]:
    """G of every followed bone, from the person's axes in the stance to ours."""
    since = np.swapaxes(stance.turned, -1, -2) @ stance.person.T
    turned = torch.from_numpy(stance.world @ motion.global_rotations() @ since)
    return {
        bone: partway(turned[:, first], turned[:, second], share) if share else turned[:, first]
        for bone, (first, second, share) in follow.items()
    }


def partway(
    first: Float[Tensor, "*t 3 3"], second: Float[Tensor, "*t 3 3"], share: float
) -> Float[Tensor, "*t 3 3"]:
    """The rotation at this share of the shortest arc."""
    return first @ axis_angle_to_matrix(share * matrix_to_axis_angle(first.transpose(-1, -2) @ second))


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
    body: BodyModel,
    heads: Mapping[str, Tensor],
    anatomy: Anatomy,
    stance: Stance,
    ends: Mapping[str, tuple[int, int]],
) -> dict[str, Float[Tensor, "3 3"]]:
    """C of every bone, followed or not: that of its parent, and for limbs the turn to the stance's direction on top."""
    corrections: dict[str, Tensor] = {}
    trunk = _trunk_corrections(heads, anatomy, stance)
    places = torch.from_numpy(stance.places)
    for bone, parent in zip(body.bone_names, body.bone_parents.tolist(), strict=True):
        own = corrections[body.bone_names[parent]] if parent >= 0 else torch.eye(3, dtype=torch.float64)
        own = trunk.get(bone, own)
        stem, side = bone.partition(".")[::2]
        if bone in ends:
            towards = places[ends[bone][1]] - places[ends[bone][0]]
            # A hand without that finger points to another's knuckle.
            after = {"foot": "toe3-1", "wrist": _knuckle(anatomy, side)}.get(stem) or _LIMB_ENDS[stem]
            turn = smallest_turn(own @ (heads[f"{after}.{side}"] - heads[bone]), towards)
            angle = float(torch.linalg.vector_norm(matrix_to_axis_angle(turn)))
            if towards.norm() > 0 and (stem != "foot" or angle > np.radians(_OTHER_FOOT)):
                own = turn @ own
        corrections[bone] = own
    return corrections


def _knuckle(anatomy: Anatomy, side: str) -> str | None:
    """The bone of the body to whose head a recorded hand points."""
    word = {"L": "left", "R": "right"}.get(side)
    return next((_BONES[finger] for finger in _KNUCKLES if f"{word}_{finger}" in anatomy.parts), None)


def _trunk_corrections(
    heads: Mapping[str, Tensor], anatomy: Anatomy, stance: Stance
) -> dict[str, Float[Tensor, "3 3"]]:
    """C of the trunk in a recorded frame: by the lines from hips to neck and across hips and shoulders; the head is
    taken to look ahead, upright.
    """
    if stance.frame is None:
        return {}
    places = torch.from_numpy(stance.places)
    low, top = trunk_ends(anatomy, stance.places[None])
    theirs = torch.from_numpy(top - low)[0]
    ours = heads["neck01"] - _trunk_foot(heads)

    def ends(part: str) -> list[Tensor]:
        return [places[anatomy.joint(f"{side}_{part}")] for side in SIDES]

    hips, shoulders = (torch.sub(*ends(part)) for part in ("thigh", "upper_arm"))
    if float(hips @ shoulders) < 0.5 * float(hips.norm() * shoulders.norm()):
        shoulders = hips  # arms on each other's side, as some writers have them, say nothing of the chest
    left = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
    pelvis, chest = (_axes(theirs, across) @ _axes(ours, left).T for across in (hips, shoulders))
    found = {"root": pelvis}
    found |= {bone: partway(pelvis, chest, share / len(SPINE)) for share, bone in enumerate(SPINE, 1)}
    return found | dict.fromkeys((*NECK, "head"), torch.eye(3, dtype=torch.float64))


def _trunk_foot(heads: Mapping[str, Tensor]) -> Float[Tensor, "3"]:
    """The body's lower end of the trunk, as `trunk_ends` has it for a recorded skeleton."""
    return (heads["upperleg01.L"] + heads["upperleg01.R"]) / 2


def _straighten(
    heads: Mapping[str, Tensor], world: dict[str, Tensor], aim: Float[Tensor, "t 3"]
) -> dict[str, Tensor]:
    """World turns of the spine, its bones turned as one so that the line from hips to neck is in a direction."""
    start = world["root"] @ (heads[SPINE[0]] - _trunk_foot(heads))
    bones = [world[bone] @ (heads[after] - heads[bone]) for bone, after in pairwise((*SPINE, NECK[0]))]
    way = torch.stack(bones).sum(0)
    aim = torch.nn.functional.normalize(aim, dim=-1)
    # Where a sphere of the spine's length about its foot meets the line.
    along = (aim * start).sum(-1, keepdim=True)
    root = along**2 - start.square().sum(-1, keepdim=True) + way.square().sum(-1, keepdim=True)
    turn = smallest_turn(way, aim * (along + root.clamp(min=0).sqrt()) - start)
    return {bone: turn @ world[bone] for bone in SPINE}


def _axes(up: Float[Tensor, "3"], across: Float[Tensor, "3"]) -> Float[Tensor, "3 3"]:
    """Orthonormal columns: across as nearly as the second allows, up, and what is square to both."""
    up = torch.nn.functional.normalize(up, dim=0)
    left = torch.nn.functional.normalize(across - (across @ up) * up, dim=0)
    return torch.stack([left, up, torch.linalg.cross(left, up)], dim=1)


def _local_rotations(
    body: BodyModel,
    heads: Mapping[str, Tensor],
    turns: dict[str, Tensor],
    corrections: dict[str, Tensor],
    aims: Mapping[str, Float[Tensor, "t 3"]],
    trunk: Float[Tensor, "t 3"],
) -> Float[Tensor, "t j 3"]:
    """Axis-angles out of the world turns X = G C; a bone that follows nothing keeps still against its parent."""
    frames = len(next(iter(turns.values())))
    world: dict[str, Tensor] = {}
    for bone in ("root", *SPINE):
        world[bone] = turns[bone] @ corrections[bone]
    world |= _straighten(heads, world, trunk)
    local = []
    for bone, parent in zip(body.bone_names, body.bone_parents.tolist(), strict=True):
        above = (
            world[body.bone_names[parent]]
            if parent >= 0
            else torch.eye(3, dtype=torch.float64).repeat(frames, 1, 1)
        )
        if bone not in world:
            world[bone] = turns[bone] @ corrections[bone] if bone in turns else above
        stem, side = bone.partition(".")[::2]
        if stem in _FIRST_TWIST and bone in turns:
            second, end = f"{stem[:-1]}2.{side}", f"{_LIMB_ENDS[stem]}.{side}"
            if second in turns:
                world[second] = turns[second] @ corrections[second]
            else:
                world[second] = world[bone]
                world[bone] = _less_twist(above, world[bone], heads[end] - heads[bone], _FIRST_TWIST[stem])
            if bone in aims:
                both = world[bone] @ (heads[second] - heads[bone]) + world[second] @ (
                    heads[end] - heads[second]
                )
                aimed = smallest_turn(
                    both, torch.where(aims[bone].norm(dim=-1, keepdim=True) > 0, aims[bone], both)
                )
                world[bone], world[second] = aimed @ world[bone], aimed @ world[second]
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


def _posed_hips(body: BodyModel, rest: RestBody, pose: BodyPose) -> Float[Tensor, "t 3"]:
    bones = [body.bone_names.index(f"upperleg01.{side}") for side in "LR"]
    return body.pose(rest, pose, vertices=body.soles[:1]).T_world_bone[:, bones, :3, 3].mean(1)


def _leg_ratio(heads: Mapping[str, Tensor], anatomy: Anatomy, stance: Stance) -> float:
    """The body's legs by the skeleton's: hip to knee to ankle, both sides.

    Raises:
        InputError: the skeleton's legs have no length, or are no person's.
    """
    own, theirs = 0.0, []
    for side, suffix in zip(SIDES, (".L", ".R"), strict=True):
        for upper, lower in pairwise(("thigh", "shin", "foot")):
            own += float((heads[f"{_BONES[lower]}{suffix}"] - heads[f"{_BONES[upper]}{suffix}"]).norm())
            ends = [stance.places[anatomy.joint(f"{side}_{part}")] for part in (upper, lower)]
            theirs.append(float(np.linalg.norm(ends[1] - ends[0])))
    if sum(theirs) < SHORTEST_LEGS:
        raise InputError(
            "The motion's legs have no length",
            expected="offsets of knees and ankles",
            found=f"{sum(theirs):g}",
        )
    if max(theirs) > MOST_UNEVEN * min(theirs):
        raise InputError(
            "The motion's legs are no person's",
            expected=f"thighs and shins of one length, or at most {MOST_UNEVEN:g} times another's",
            found=", ".join(f"{length:.3g}" for length in theirs),
        )
    return own / sum(theirs)


def lowest_soles(body: BodyModel, rest: RestBody, pose: BodyPose, chunk: int = 256) -> Float[Tensor, "t"]:
    """Height of the lowest vertex of both feet in each frame, metres; `chunk` frames at a time."""
    lowest = []
    for start in range(0, len(pose.rotations), chunk):
        part = slice(start, start + chunk)
        some = BodyPose(pose.rotations[part], pose.translation[part], pose.expression[part])
        lowest.append(body.pose(rest, some, vertices=body.soles).verts[..., 1].amin(-1))
    return torch.cat(lowest)


__all__ = ["Skeleton", "find_skeleton", "lowest_soles", "partway", "retarget", "smallest_turn"]
