"""A made-up model with the layout of SMPL-X's files, out of the default body: nothing of it is anybody's.

The default body in a T-pose, its vertices merged in cells so that neither surface's vertices are the other's; ten
directions of shape are differences of its people, ten of expression its facial actions, and the pose's corrections
are noise.
"""

from __future__ import annotations

import itertools
import pickle
from pathlib import Path

import numpy as np
import torch
from scipy.sparse import csc_matrix
from scipy.spatial import cKDTree

from simulacra.render.body import BodyModel, BodyPose, BodyShape
from simulacra.render.body.smplx import BONE_OF_JOINT, JOINTS, PARENTS
from simulacra.render.rotation import axis_angle_to_matrix, matrix_to_axis_angle

CELL_M, HAND_CELL_M = 0.02, 0.006
_CHANGED = (
    "gender",
    "weight",
    "height",
    "muscle",
    "proportions",
    "age",
    "african",
    "asian",
    "cupsize",
    "firmness",
)


def made_arrays(body: BodyModel, seed: int = 0) -> dict[str, np.ndarray]:
    """The arrays of a model's file."""
    rng = np.random.default_rng(seed)
    mean, heads = _t_posed(body, body.neutral_shape())
    groups = _cells(body, mean)
    share = np.zeros((groups.max() + 1, len(mean)))
    share[groups, np.arange(len(mean))] = 1
    share /= share.sum(1, keepdims=True)
    template = share @ mean
    shapes = []
    for name in _CHANGED:
        phenotypes = body.neutral_shape().phenotypes.clone()
        phenotypes[body.phenotype_names.index(name)] += 0.2
        other = _t_posed(body, BodyShape(phenotypes, body.neutral_shape().local_changes))[0]
        shapes.append(share @ (other - mean))
    padded = torch.zeros(len(body.expression_names), len(mean), 3)
    padded[:, body.expressions.vertices] = body.expressions.offsets.unflatten(-1, (-1, 3))
    actions = [share @ each.numpy() / 3 for each in padded[::5][:10]]
    faces = groups[body.faces.numpy()]
    a, b, c = faces.T
    faces = faces[(a != b) & (b != c) & (a != c)]
    hands = rng.normal(size=(2, 45, 45))
    return {
        "v_template": template,
        "shapedirs": np.stack([*shapes, *actions], -1),
        "posedirs": 2e-4 * rng.normal(size=(len(template), 3, 9 * (len(JOINTS) - 1))),
        "J_regressor": _regressor(template, heads),
        "weights": share @ _weights(body),
        "kintree_table": np.stack([np.array(PARENTS) % (1 << 32), np.arange(len(JOINTS))]).astype(np.uint32),
        "f": faces.astype(np.uint32),
        "vt": rng.random((len(template), 2)),
        "ft": faces.astype(np.uint32),
        "hands_componentsl": np.linalg.qr(hands[0])[0],
        "hands_componentsr": np.linalg.qr(hands[1])[0],
        "hands_meanl": 0.1 * rng.normal(size=45),
        "hands_meanr": 0.1 * rng.normal(size=45),
        "lmk_faces_idx": np.arange(51),
        "lmk_bary_coords": np.full((51, 3), 1 / 3),
    }


def write_npz(path: Path, arrays: dict[str, np.ndarray]) -> Path:
    np.savez(path, **arrays)
    return path


def write_pkl(path: Path, arrays: dict[str, np.ndarray], protocol: int) -> Path:
    """As the authors' pickles are: the regressor is sparse."""
    path.write_bytes(pickle.dumps(arrays | {"J_regressor": csc_matrix(arrays["J_regressor"])}, protocol))
    return path


def _t_posed(body: BodyModel, shape: BodyShape) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and joints with straight arms along x."""
    rest = body.rest(shape)
    heads = body.pose(rest, body.zero_pose()).T_world_bone[0, :, :3, 3]
    names, parents = list(body.bone_names), body.bone_parents.tolist()
    world = torch.eye(3).repeat(len(names), 1, 1)
    for side, sign in (("L", 1.0), ("R", -1.0)):
        chain = [f"{n}.{side}" for n in ("upperarm01", "lowerarm01", "wrist", "finger3-1")]
        for bone, after in itertools.pairwise(chain):
            one = heads[names.index(after)] - heads[names.index(bone)]
            aim = torch.tensor([sign, 0.0, 0.0])
            axis = torch.linalg.cross(one, aim)
            angle = torch.atan2(axis.norm(), one @ aim)
            world[names.index(bone)] = axis_angle_to_matrix(
                torch.nn.functional.normalize(axis, dim=0) * angle
            )
    turned = {f"{n}.{s}" for n in ("upperarm01", "lowerarm01", "wrist") for s in "LR"}
    for bone, parent in enumerate(parents):
        if names[bone] not in turned and parent >= 0:
            world[bone] = world[parent]
    local = torch.stack([world[p].T @ world[b] if p >= 0 else world[b] for b, p in enumerate(parents)])
    zero = body.zero_pose()
    posed = body.pose(rest, BodyPose(matrix_to_axis_angle(local)[None], zero.translation, zero.expression))
    head = posed.T_world_bone[0, names.index("head"), :3, 3]
    own = [
        head + torch.tensor([0.0, -0.02, 0.02])
        if bone == "jaw"
        else posed.T_world_bone[0, names.index(bone), :3, 3]
        for bone in BONE_OF_JOINT
    ]
    return posed.verts[0].double().numpy(), torch.stack(own).double().numpy()


def _cells(body: BodyModel, verts: np.ndarray) -> np.ndarray:
    """The merged vertex of each: those of one part in one cell of space."""
    parts = body.part_labels.numpy()
    fine = [
        i
        for i, n in enumerate(body.part_names)
        if n.startswith(("hand", "face", "lips", "eye", "ear", "mouth"))
    ]
    size = np.where(np.isin(parts, fine), HAND_CELL_M, CELL_M)[:, None]
    main = body.skin_indices[:, 0].numpy()
    keys = np.column_stack([np.floor(verts / size), parts, np.where(np.isin(parts, fine), main, 0)])
    return np.unique(keys, axis=0, return_inverse=True)[1].reshape(-1)


def _weights(body: BodyModel) -> np.ndarray:
    dense, parents = body.dense_weights.numpy().astype(float), body.bone_parents.tolist()
    found = np.zeros((len(dense), len(JOINTS)))
    for bone in range(len(body.bone_names)):
        at = bone
        while body.bone_names[at] not in BONE_OF_JOINT:
            at = parents[at]
        found[:, BONE_OF_JOINT.index(body.bone_names[at])] += dense[:, bone]
    return found / found.sum(1, keepdims=True)


def _regressor(verts: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """Means of near vertices that are the joints: the smallest weights that sum to one."""
    _, near = cKDTree(verts).query(joints, 40)
    found = np.zeros((len(joints), len(verts)))
    for row, chosen, joint in zip(found, near, joints, strict=True):
        system = np.vstack([verts[chosen].T - joint[:, None], np.ones(len(chosen))])
        row[chosen] = np.linalg.lstsq(system, np.array([0, 0, 0, 1.0]), rcond=None)[0]
    return found
