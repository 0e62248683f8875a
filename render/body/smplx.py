"""SMPL-X (Pavlakos et al. 2019): the plain model, and what it is as a `BodyModel`.

`smplx_vertices` is the model as its authors have it: shape and expression move the T-pose linearly, joints are means
of its vertices, `posedirs` correct it for the turns of the joints, and linear blend skinning poses it.

`smplx_as_body` gives it our bones, so that whatever works with the default body works with it. Each of its joints is
the bone of ours in `BONE_OF_JOINT`; between these, our bones are of length zero: they sit in the head of the next
joint of the chain, carry no skin, and so only add a turn about it. A pose of our bones is therefore always one of
SMPL-X, and `smplx_pose` says which, exactly. With W_j the turn of joint j away from the T-pose in the world and A_j
that of our bone away from zero pose, W_j = A_j X_j, where X_j turns the T-pose into our zero pose.

`betas` are our local changes, one unit of which are `BETAS_A_CHANGE` of them; phenotypes do nothing. Expressions have
a sign and our facial actions none: each is two actions, 0 to 1 of `EXPRESSION_AN_ACTION`. These do not move joints
here, as they do by a little in the plain model.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from simulacra.render.body.anny import PHENOTYPE_NAMES, AnnyShapes
from simulacra.render.body.correctives import PoseCorrectives
from simulacra.render.body.model import BodyModel
from simulacra.render.body.offsets import OffsetBlock
from simulacra.render.body.records import BodyPose, BodyShape, RestBody
from simulacra.render.body.skeleton import chain, skin
from simulacra.render.rotation import axis_angle_to_matrix, matrix_to_axis_angle, rigid

_FINGERS = ("index", "middle", "pinky", "ring", "thumb")
JOINTS = (
    "pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle", "right_ankle",
    "spine3", "left_foot", "right_foot", "neck", "left_collar", "right_collar", "head", "left_shoulder",
    "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist", "jaw", "left_eye", "right_eye",
    *(f"{side}_{finger}{n}" for side in ("left", "right") for finger in _FINGERS for n in (1, 2, 3)),
)  # fmt: skip
"""In the order of the model's files."""
PARENTS = (
    -1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 15, 15, 15,
    *(parent for wrist in (20, 21) for finger in range(5) for parent in (
        wrist, 25 + 15 * (wrist - 20) + 3 * finger, 26 + 15 * (wrist - 20) + 3 * finger)),
)  # fmt: skip
_MIDDLE = {"pelvis": "root", "spine1": "spine05", "spine2": "spine03", "spine3": "spine01", "neck": "neck01",
           "head": "head", "jaw": "jaw"}  # fmt: skip
_SIDED = {"hip": "upperleg01", "knee": "lowerleg01", "ankle": "foot", "foot": "toe1-1", "collar": "clavicle",
          "shoulder": "upperarm01", "elbow": "lowerarm01", "wrist": "wrist", "eye": "eye"}  # fmt: skip
_SIDED |= {f"{finger}{n}": f"finger{number}-{n}" for finger, number in
           (("thumb", 1), ("index", 2), ("middle", 3), ("ring", 4), ("pinky", 5)) for n in (1, 2, 3)}  # fmt: skip
BONE_OF_JOINT = tuple(
    _MIDDLE.get(joint) or f"{_SIDED[joint.partition('_')[2]]}.{joint[0].upper()}" for joint in JOINTS
)
"""Our bone for each joint."""
BETAS_A_CHANGE = 4.0
"""A fit's local changes spread by a quarter, and betas by one."""
EXPRESSION_AN_ACTION = 3.0
# Weights below this carry no vertex by a micrometre.
_LEAST_WEIGHT = 1e-7


@dataclass(frozen=True)
class SmplxModel:
    """A model's file.

    Attributes:
        template: the mean person in a T-pose, metres; +X to the person's left, +Y up, +Z forward.
        faces: triangles.
        shape_dirs: by beta.
        expression_dirs: by coefficient.
        pose_dirs: by element of the turns of all joints but the root, less the identity, row by row.
        regressor: means of vertices that are the joints.
        weights: of each joint on each vertex.
        uvs: texture coordinates, origin bottom-left; none if the file has none.
        face_uvs: the rows of ``uvs`` for each triangle.
        hand_components: principal components of the fingers' turns, left and right, by row.
        hand_means: the fingers' mean turns, left and right, rotation vectors.
    """

    template: Float[Tensor, "v 3"]
    faces: Int[Tensor, "f 3"]
    shape_dirs: Float[Tensor, "s v 3"]
    expression_dirs: Float[Tensor, "e v 3"]
    pose_dirs: Float[Tensor, "486 v3"]
    regressor: Float[Tensor, "55 v"]
    weights: Float[Tensor, "v 55"]
    uvs: Float[Tensor, "t 2"]
    face_uvs: Int[Tensor, "f 3"]
    hand_components: Float[Tensor, "2 c 45"]
    hand_means: Float[Tensor, "2 45"]


@dataclass(frozen=True)
class SmplxPose:
    """Poses of the model in `b` frames, as its files have them.

    Attributes:
        rotations: of each joint on top of its parent's, rotation vectors, away from the T-pose, whole (means added).
        translation: added to everything, metres.
        expression: coefficients.
    """

    rotations: Float[Tensor, "b 55 3"]
    translation: Float[Tensor, "b 3"]
    expression: Float[Tensor, "b e"]


def smplx_joints(model: SmplxModel, betas: Float[Tensor, " s"]) -> Float[Tensor, "55 3"]:
    """The joints of the T-pose in a shape, metres."""
    return model.regressor @ (model.template + torch.tensordot(betas, model.shape_dirs, 1))


def smplx_vertices(model: SmplxModel, betas: Float[Tensor, " s"], pose: SmplxPose) -> Float[Tensor, "b v 3"]:
    """The model as its authors have it: posed vertices, metres. Differentiable in shape and pose."""
    shaped = model.template + torch.tensordot(betas, model.shape_dirs, 1)
    shaped = shaped + torch.tensordot(pose.expression, model.expression_dirs, 1)
    joints = torch.einsum("jv,bvc->bjc", model.regressor, shaped)
    turns = axis_angle_to_matrix(pose.rotations)
    feature = (turns[:, 1:] - torch.eye(3, dtype=turns.dtype)).flatten(1)
    shaped = shaped + (feature @ model.pose_dirs).unflatten(-1, (-1, 3))
    parents = torch.tensor(PARENTS)
    offsets = torch.cat([joints[:, :1], joints[:, 1:] - joints[:, parents[1:]]], 1)
    world = chain(rigid(turns, offsets), parents, len(PARENTS))
    moved = world[..., :3, 3] - (world[..., :3, :3] @ joints[..., None]).squeeze(-1)
    return skin(shaped, model.weights, rigid(world[..., :3, :3], moved)) + pose.translation[:, None]


def smplx_shape(shape: BodyShape) -> Float[Tensor, " s"]:
    """The betas of a shape of the body."""
    return shape.local_changes * BETAS_A_CHANGE


def body_shape(betas: Float[Tensor, " s"]) -> BodyShape:
    """The shape of the body of betas. Phenotypes do nothing."""
    return BodyShape(betas.new_full((len(PHENOTYPE_NAMES),), 0.5), betas / BETAS_A_CHANGE)


def smplx_pose(model: SmplxModel, body: BodyModel, shape: BodyShape, pose: BodyPose) -> SmplxPose:
    """What a pose of the body is in the model's own terms, exactly."""
    rest = body.rest(shape)
    posed = body.pose(rest, pose, vertices=body.soles[:0])
    own = _bones(body)
    parents = torch.tensor(PARENTS)
    world = posed.T_skin[:, own, :3, :3]
    local = torch.cat([world[:, :1], world[:, parents[1:]].mT @ world[:, 1:]], 1)
    pelvis = smplx_joints(model, smplx_shape(shape))[0]
    expression = pose.expression.unflatten(-1, (-1, 2))
    return SmplxPose(
        matrix_to_axis_angle(local),
        posed.T_world_bone[:, 0, :3, 3] - pelvis,
        EXPRESSION_AN_ACTION * (expression[..., 0] - expression[..., 1]),
    )


def body_pose(body: BodyModel, rest: RestBody, pose: SmplxPose, joints: Float[Tensor, "55 3"]) -> BodyPose:
    """The pose of the body that a pose of the model is, exactly but for expressions beyond `EXPRESSION_AN_ACTION`.

    Args:
        rest: of the same shape.
        joints: `smplx_joints` of it.
    """
    own, parents = _bones(body), torch.tensor(PARENTS)
    turns = axis_angle_to_matrix(pose.rotations)
    world = chain(rigid(turns, turns[..., 0] * 0), parents, len(PARENTS))[..., :3, :3]
    # X, which carries the T-pose into zero pose, is what zero pose does to the skin.
    away = body.pose(rest, body.zero_pose(), vertices=body.soles[:0]).T_skin[0, own, :3, :3]
    bones = world @ away.mT
    local = torch.cat([bones[:, :1], bones[:, parents[1:]].mT @ bones[:, 1:]], 1)
    rotations = pose.rotations.new_zeros(len(turns), len(body.bone_names), 3)
    rotations[:, own] = matrix_to_axis_angle(local)
    place = joints[0] + pose.translation - rest.T_world_bone[0, :3, 3]
    amount = pose.expression / EXPRESSION_AN_ACTION
    expression = torch.stack([amount, -amount], -1).clamp(0, 1).flatten(-2)
    return BodyPose(rotations, place, expression)


def _bones(body: BodyModel) -> Int[Tensor, "55"]:
    return torch.tensor([body.bone_names.index(bone) for bone in BONE_OF_JOINT])


def smplx_as_body(model: SmplxModel, default: BodyModel) -> BodyModel:
    """The model under our bones. Its parts are only trunk and limbs, and it has no mirror images nor keypoints yet.

    Args:
        default: whose bones and zero pose it takes.
    """
    names = (*default.bone_names, "jaw")
    parents = torch.cat([default.bone_parents, torch.tensor([names.index("head")])])
    reference = torch.cat([default.bone_reference, default.bone_reference[names.index("head")][None]])
    carriers = torch.tensor(_carriers(names, parents.tolist()))
    joints = smplx_joints(model, model.shape_dirs.new_zeros(len(model.shape_dirs)))
    away = _zero_pose_turns(joints, default)[carriers]
    return BodyModel(
        shapes=_shapes(model, carriers, away.mT @ reference),
        faces=model.faces,
        uvs=model.uvs,
        face_uvs=model.face_uvs,
        bone_names=names,
        bone_parents=parents,
        bone_reference=reference,
        **_skin(model, names),
        part_names=default.part_names,
        part_labels=_limbs(model, default.part_names),
        mirror_vertices=torch.arange(len(model.template)),
        mirror_bones=torch.cat([default.mirror_bones, torch.tensor([len(names) - 1])]),
        expression_names=tuple(
            f"expression{n:02d}{sign}" for n in range(len(model.expression_dirs)) for sign in ("more", "less")
        ),
        expressions=OffsetBlock(
            torch.arange(len(model.template)),
            torch.stack([model.expression_dirs, -model.expression_dirs], 1).flatten(0, 1).flatten(1)
            * EXPRESSION_AN_ACTION,
        ),
        local_change_names=tuple(f"beta{n:02d}" for n in range(len(model.shape_dirs))),
        keypoints={},
        correctives=PoseCorrectives(
            torch.tensor([names.index(bone) for bone in BONE_OF_JOINT]),
            torch.tensor(PARENTS),
            model.pose_dirs,
        ),
    )


def _limbs(model: SmplxModel, parts: tuple[str, ...]) -> Int[Tensor, " v"]:
    """The part of each vertex by the joint that moves it most."""
    known = {"hip": "thigh", "knee": "shin", "ankle": "foot", "foot": "foot", "shoulder": "upper_arm",
             "elbow": "lower_arm", "wrist": "hand"}  # fmt: skip
    known |= {f"{finger}{n}": "hand" for finger in _FINGERS for n in (1, 2, 3)}
    of_joint = []
    for joint in JOINTS:
        side, _, stem = joint.partition("_")
        of_joint.append(parts.index(f"{known[stem]}_{side[0]}" if stem in known else "torso"))
    return torch.tensor(of_joint)[model.weights.argmax(1)]


def _carriers(names: tuple[str, ...], parents: list[int]) -> list[int]:
    """For each bone the joint in which it sits: its own, the next down the chain, or at the ends the last before."""
    joints = {bone: joint for joint, bone in enumerate(BONE_OF_JOINT)}
    found = [joints.get(name, -1) for name in names]
    for bone in reversed(range(len(names))):
        if found[bone] >= 0 and parents[bone] >= 0 and found[parents[bone]] < 0:
            found[parents[bone]] = found[bone]
    for bone, parent in enumerate(parents):
        if found[bone] < 0:
            found[bone] = found[parent]
    return found


def _zero_pose_turns(joints: Float[Tensor, "55 3"], default: BodyModel) -> Float[Tensor, "55 3 3"]:
    """X of each joint: limbs turn from the T-pose so that they lie as those of the default body at zero pose.

    Trunk, head, collars and feet stay: their joints sit elsewhere in either body, and both stand upright.
    """
    rest = default.rest(default.neutral_shape())
    heads = default.pose(rest, default.zero_pose(), vertices=default.soles[:1]).T_world_bone[0, :, :3, 3]

    def place(joint: str) -> Float[Tensor, "3"]:
        return heads[default.bone_names.index(BONE_OF_JOINT[JOINTS.index(joint)])]

    turns = torch.eye(3, dtype=joints.dtype).repeat(55, 1, 1)
    for index, joint in enumerate(JOINTS):
        side, _, stem = joint.partition("_")
        if index and stem not in ("hip", "collar", "eye", "foot", "ankle"):
            turns[index] = turns[PARENTS[index]]
        if stem == "wrist":
            ends = [f"{side}_{finger}1" for finger in ("index", "middle", "pinky")]
            own = torch.stack([joints[JOINTS.index(end)] - joints[index] for end in ends])
            aim = torch.stack([place(end) - place(joint) for end in ends])
            turns[index] = _turn_onto(own, aim)
        after = _NEXT.get(stem[:-1] if stem[-1:].isdigit() else stem)
        after = (
            f"{stem[:-1]}{int(stem[-1]) + 1}"
            if stem[-1:] in ("1", "2") and side in ("left", "right")
            else after
        )
        if after:
            own = joints[JOINTS.index(f"{side}_{after}")] - joints[index]
            turns[index] = (
                _least_turn(turns[index] @ own, place(f"{side}_{after}") - place(joint)) @ turns[index]
            )
    return turns


_NEXT = {"hip": "knee", "knee": "ankle", "shoulder": "elbow", "elbow": "wrist"}


def _least_turn(start: Float[Tensor, "3"], end: Float[Tensor, "3"]) -> Float[Tensor, "3 3"]:
    """The smallest turn of one direction into another."""
    axis = torch.linalg.cross(start, end)
    angle = torch.atan2(axis.norm(), start @ end)
    return axis_angle_to_matrix(torch.nn.functional.normalize(axis, dim=0) * angle)


def _turn_onto(own: Float[Tensor, "n 3"], aim: Float[Tensor, "n 3"]) -> Float[Tensor, "3 3"]:
    """The rotation that brings directions closest to others (Kabsch 1976)."""
    u, _, vh = torch.linalg.svd(torch.nn.functional.normalize(aim).T @ torch.nn.functional.normalize(own))
    sign = torch.ones(3, dtype=own.dtype)
    sign[2] = torch.linalg.det(u @ vh)
    return (u * sign) @ vh


def _shapes(model: SmplxModel, carriers: Int[Tensor, " j"], frames: Float[Tensor, "j 3 3"]) -> AnnyShapes:
    """Betas as local changes, whose two ends are the same offsets with either sign."""
    dirs = torch.stack([model.shape_dirs, -model.shape_dirs], 1).flatten(0, 1) * BETAS_A_CHANGE
    count, verts = len(dirs), len(model.template)
    nobody = torch.zeros(0, dtype=torch.long)
    return AnnyShapes(
        template=model.template,
        phenotype_offsets=torch.zeros(0, 3 * verts, dtype=torch.int16),
        breast=OffsetBlock(torch.arange(1), model.template.new_zeros(0, 3)),
        local=(OffsetBlock(torch.arange(verts), dirs.flatten(1)),),
        phenotype_rows=nobody,
        phenotype_factors=torch.zeros(0, 6, dtype=torch.long),
        is_newborn=torch.zeros(0, dtype=torch.bool),
        heads=(model.regressor @ model.template)[carriers],
        frames=frames,
        head_rows=torch.einsum("jv,rvc->rjc", model.regressor, dirs)[:, carriers],
        frame_rows=model.template.new_zeros(count, len(carriers), 3, 3),
    )


def _skin(model: SmplxModel, names: tuple[str, ...]) -> dict[str, Tensor]:
    """The bones of each vertex, the largest weight first."""
    width = int((model.weights > _LEAST_WEIGHT).sum(1).max())
    weights, joints = model.weights.topk(width, 1)
    own = torch.tensor([names.index(bone) for bone in BONE_OF_JOINT])
    return {"skin_indices": own[joints], "skin_weights": weights / weights.sum(1, keepdim=True)}
