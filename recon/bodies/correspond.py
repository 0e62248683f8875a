"""Which point of a foreign body's surface is which of the default body's, and the other way round.

The default body is laid onto the other at zero pose: its joints first, then its skin onto the nearest surface that
looks the same way, in shape and pose, and at last by small smooth offsets (as non-rigid iterative closest points,
Amberg et al. 2007, with a graph Laplacian). What lies nearest then corresponds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from scipy.sparse import coo_array, csc_array, diags_array
from scipy.sparse.linalg import splu
from torch import Tensor

from simulacra.recon.avatar.binding import nearest_faces
from simulacra.render.avatar import Binding
from simulacra.render.body import BodyModel, BodyPose, BodyShape, PosedBody
from simulacra.render.body.smplx import BONE_OF_JOINT

# Of the optimiser: on joints alone, and on the skin with joints.
_STEPS = (80, 160)
_RENEWED = 20
# A point whose counterpart is further is not drawn there.
_FAR_M = 0.03
# How much a smooth offset counts against a near one, from stiff to soft.
_STIFFNESS = (50.0, 20.0, 10.0, 5.0, 2.0)


@dataclass(frozen=True)
class Correspondence:
    """Two surfaces, each of whose vertices has its place on the other.

    Attributes:
        on_default: for each vertex of the foreign body a face and its barycentrics.
        on_foreign: for each vertex of the default body, likewise.
        laid: the default body on the foreign one at zero pose: vertices and bones, metres.
        gap_m: from the laid vertices to the foreign surface, the mean.
    """

    on_default: Binding
    on_foreign: Binding
    laid: PosedBody
    gap_m: float


def correspond(default: BodyModel, foreign: BodyModel) -> Correspondence:
    """Lays the default body onto another that has its bones. Takes a minute."""
    shape = BodyShape(
        torch.full((len(foreign.phenotype_names),), 0.5), torch.zeros(len(foreign.local_change_names))
    )
    aim = foreign.pose(foreign.rest(shape), foreign.zero_pose())
    verts, laid = _laid(default, foreign, aim)
    verts = _drawn(default, verts, foreign, aim.verts[0])
    normals = vertex_normals(default, verts)
    on_foreign = nearest_faces(foreign, aim.verts[0], verts, normals)
    on_default = nearest_faces(default, verts, aim.verts[0], vertex_normals(foreign, aim.verts[0]))
    gap = float(on_foreign.distances[default.faces].mean())
    return Correspondence(on_default.binding, on_foreign.binding, replace(laid, verts=verts[None]), gap)


def vertex_normals(body: BodyModel, verts: Float[Tensor, "v 3"]) -> Float[Tensor, "v 3"]:
    """Unit normals, each triangle counting by its area."""
    a, b, c = verts[body.faces].unbind(1)
    normal = torch.linalg.cross(b - a, c - a)
    summed = torch.zeros_like(verts)
    for corner in range(3):
        summed = summed.index_add(0, body.faces[:, corner], normal)
    return torch.nn.functional.normalize(summed, dim=1)


def on_surface(body: BodyModel, verts: Float[Tensor, "*b v 3"], binding: Binding) -> Float[Tensor, "*b n 3"]:
    """The points at bound places."""
    return (verts[..., body.faces[binding.faces], :] * binding.barycentrics[..., None]).sum(-2)


def _laid(default: BodyModel, foreign: BodyModel, aim: PosedBody) -> tuple[Float[Tensor, "v 3"], PosedBody]:
    """Shape and pose of the default body that bring it closest."""
    shared = [bone for bone in BONE_OF_JOINT if bone in default.bone_names and bone in foreign.bone_names]
    own = torch.tensor([default.bone_names.index(bone) for bone in shared])
    goal = aim.T_world_bone[0, [foreign.bone_names.index(bone) for bone in shared], :3, 3]
    start = torch.logit(default.neutral_shape().phenotypes)
    sought = [
        start.clone(), torch.zeros(len(default.local_change_names)), torch.zeros(1, len(default.bone_names), 3),
        torch.zeros(1, 3),
    ]  # fmt: skip
    for each in sought:
        each.requires_grad_(True)
    optimiser = torch.optim.Adam(sought, lr=0.02)
    still = torch.zeros(1, len(default.expression_names))
    reached: Binding | None = None
    chosen = torch.arange(0, default.n_verts, 3)

    def posed() -> PosedBody:
        shape = BodyShape(torch.sigmoid(sought[0]), torch.tanh(sought[1]))
        return default.pose(default.rest(shape), BodyPose(sought[2], sought[3], still))

    for step in range(sum(_STEPS)):
        found = posed()
        off = (found.T_world_bone[0, own, :3, 3] - goal).square().sum(1).mean()
        prior = 1e-5 * ((sought[0] - start).square().sum() + sought[1].square().sum())
        prior = prior + 1e-4 * sought[2].square().sum()
        energy = off + prior
        if step >= _STEPS[0]:
            verts = found.verts[0, chosen]
            if (step - _STEPS[0]) % _RENEWED == 0:
                looks = vertex_normals(default, found.verts[0].detach())[chosen]
                reached = nearest_faces(foreign, aim.verts[0], verts.detach(), looks).binding
            assert reached is not None
            gaps = (verts - on_surface(foreign, aim.verts[0], reached)).square().sum(1)
            energy = 0.1 * off + prior + (gaps / (1 + gaps / _FAR_M**2)).mean()
        optimiser.zero_grad()
        energy.backward()
        optimiser.step()
    with torch.no_grad():
        last = posed()
    return last.verts[0], last


def _drawn(
    default: BodyModel, verts: Float[Tensor, "v 3"], foreign: BodyModel, surface: Float[Tensor, "w 3"]
) -> Float[Tensor, "v 3"]:
    """The vertices moved onto the surface by offsets that are smooth over the mesh."""
    laplacian = _laplacian(default)
    for stiffness in _STIFFNESS:
        found = nearest_faces(foreign, surface, verts, vertex_normals(default, verts))
        goal = on_surface(foreign, surface, found.binding) - verts
        counts = (found.distances < _FAR_M).double().numpy()
        system = csc_array(diags_array(counts + 1e-6) + stiffness * laplacian)
        moved = splu(system).solve(counts[:, None] * goal.double().numpy())
        verts = verts + torch.from_numpy(moved).to(verts)
    return verts


def _laplacian(body: BodyModel) -> csc_array:
    """Of the mesh as a graph."""
    a, b, c = body.faces.numpy().T
    first, second = np.concatenate([a, b, c, b, c, a]), np.concatenate([b, c, a, a, b, c])
    joined = coo_array((np.ones(len(first)), (first, second)), (body.n_verts, body.n_verts)).tocsc()
    joined.data[:] = 1.0
    return csc_array(diags_array(joined.sum(0)) - joined)
