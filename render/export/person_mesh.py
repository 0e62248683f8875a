"""A body as other programs hold meshes: one index for place and texture coordinates, four bones a vertex, bones in the
frames of their parents.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from simulacra.render.body import BodyModel, BodyPose, RestBody
from simulacra.render.mesh import vertex_normals
from simulacra.render.rotation import matrix_to_quat, rigid_inverse

MOST_BONES = 4  # that all readers of skinned meshes take
# Frames that are posed at once.
FRAMES_AT_ONCE = 512


@dataclass(frozen=True)
class Person:
    """What is written of a person.

    Attributes:
        body: topology, bones and skin.
        rest: the body in the person's shape.
        texture: a picture file's content (JPEG), for the body's texture coordinates; None without one.
        seen: triangles whose colors were seen, not continued from others; None if it is not known.
        notes: what else is to be known, by name.
    """

    body: BodyModel
    rest: RestBody
    texture: bytes | None = None
    seen: Bool[np.ndarray, " f"] | None = None
    notes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SeamedMesh:
    """Vertices with a texture coordinate each: those on a seam are there twice.

    Attributes:
        vertices: of the body, for each of these.
        uvs: origin bottom-left.
        faces: rows of these.
    """

    vertices: Int[np.ndarray, " m"]
    uvs: Float[np.ndarray, "m 2"]
    faces: Int[np.ndarray, "f 3"]


def seamed_mesh(body: BodyModel) -> SeamedMesh:
    """The body's mesh with seams cut open."""
    pairs = np.stack([body.faces.numpy(), body.face_uvs.numpy()], -1).reshape(-1, 2)
    unique, rows = np.unique(pairs, axis=0, return_inverse=True)
    return SeamedMesh(unique[:, 0], body.uvs.numpy()[unique[:, 1]], rows.reshape(-1, 3))


def rest_normals(person: Person) -> Float[np.ndarray, "v 3"]:
    """Unit normals of the rest body's vertices; up where triangles cancel."""
    normals = vertex_normals(person.rest.verts, person.body.faces).numpy().copy()
    normals[np.linalg.norm(normals, axis=1) < 0.5] = (0, 1, 0)
    return normals


def four_bones(body: BodyModel) -> tuple[Int[np.ndarray, "v 4"], Float[np.ndarray, "v 4"]]:
    """The four strongest bones of each vertex and their weights, which sum to 1; bone 0 beside a weight of 0."""
    weights, order = torch.sort(body.skin_weights, dim=1, descending=True, stable=True)
    bones = body.skin_indices.gather(1, order)[:, :MOST_BONES].numpy()
    kept = weights[:, :MOST_BONES].numpy()
    kept = kept / kept.sum(1, keepdims=True)
    return np.where(kept > 0, bones, 0), kept


def seen_vertices(person: Person) -> Bool[np.ndarray, " v"] | None:
    """Vertices of a triangle whose colors were seen; None if it is not known."""
    if person.seen is None:
        return None
    seen = np.zeros(person.body.n_verts, bool)
    seen[person.body.faces.numpy()[person.seen]] = True
    return seen


def bones_to_parents(
    body: BodyModel, T_world_bone: Float[torch.Tensor, "*b j 4 4"]
) -> Float[torch.Tensor, "*b j 4 4"]:
    """Each bone's frame in that of its parent; the root's in the world."""
    parents = body.bone_parents
    local = rigid_inverse(T_world_bone[..., parents.clamp(min=0), :, :]) @ T_world_bone
    return torch.where((parents < 0)[:, None, None], T_world_bone, local)


def local_motion(
    person: Person, pose: BodyPose
) -> tuple[Float[np.ndarray, "t j 4"], Float[np.ndarray, "t 3"]]:
    """Quaternions xyzw of each bone in its parent's frame, neighbours in time of one sign, and the root's places.

    Other bones only turn: their places in their parents' frames are those at rest.
    """
    body, quats, places = person.body, [], []
    for rows in torch.arange(len(pose.translation)).split(FRAMES_AT_ONCE):
        some = BodyPose(pose.rotations[rows], pose.translation[rows], pose.expression[rows])
        T = body.pose(person.rest, some, vertices=body.soles[:1]).T_world_bone
        quats.append(matrix_to_quat(bones_to_parents(body, T)[..., :3, :3]))
        places.append(T[:, 0, :3, 3])
    turned = torch.cat(quats).double().numpy()
    turned /= np.linalg.norm(turned, axis=-1, keepdims=True)
    flips = np.cumprod(np.where((turned[1:] * turned[:-1]).sum(-1) < 0, -1, 1), axis=0)
    turned[1:] *= flips[..., None]
    return turned[..., [1, 2, 3, 0]].astype(np.float32), torch.cat(places).numpy()
