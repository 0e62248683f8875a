"""The body's mesh wrapped around what was captured: clothes, hair and shoes as offsets of a closed, posable mesh.

Rounds of robust least squares: where evidence pulls each vertex (`recon.refine.pulls`) is found anew, then all
vertices move at once,

    min_d  sum_k w_k (g_k . (M_i(k) d_i(k)) - r_k)^2  +  a |L d|^2  +  b sum_edges |d_i - d_j|^2  +  sum_i c_i |d_i|^2

with d the offsets at rest, g_k and r_k direction and distance of pull k, M_i what the pose makes of an offset at vertex
i, L the mesh's umbrella operator and w_k a Geman-McClure weight. It is non-rigid point-to-plane registration (Amberg,
Romdhani and Vetter, "Optimal step nonrigid ICP algorithms for surface registration", 2007) whose stiffness falls from
round to round; solved by conjugate gradients, preconditioned with each vertex' own 3 x 3 block.

Hands, eyes and the inside of the mouth are held to the body more, for neither depth nor outlines tell fingers apart.

Symbols: ``n`` vertices, ``v`` those of the body, ``f`` triangles, ``e`` edges, ``k`` pulls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy import sparse
from scipy.sparse.linalg import LinearOperator, cg
from scipy.spatial import cKDTree

from simulacra.recon.fit.skin import INNER_PARTS
from simulacra.recon.refine.pulls import PosedSurface, Pulls
from simulacra.recon.refine.subdivide import subdivide_body
from simulacra.render.body.model import BodyModel
from simulacra.render.body.records import BodyPose, BodyShape
from simulacra.render.mesh import vertex_normals
from simulacra.render.skinned_mesh import SkinnedMesh, pose_mesh, vertex_motion

# Of the posed mesh and of how far evidence may reach (metres): where vertices are pulled.
Evidence = Callable[[PosedSurface, float], Pulls]

# How much a part is held to the body (c), beside 1 of a pull; parts not named are free but for this.
HELD, HELD_LESS = (
    {"hand": 0.3, "eye": 1.0, "tongue": 1.0, "mouth": 1.0, "lips": 0.2, "face": 0.02, "ear": 0.1},
    1e-3,
)
# Evidence says nothing of these, and less of those.
SILENT, DOUBTED = INNER_PARTS, {"hand": 0.3}
# Rounds look for evidence anew, and need no exact solution of what they had.
CG_STEPS, CG_ENOUGH = 40, 3e-3


@dataclass(frozen=True)
class Round:
    """One round of the registration.

    Attributes:
        stiff: weight of |L d|^2.
        alike: weight of neighbours' differences.
        furthest: evidence further away says nothing, metres.
        scale: a pull so far counts a quarter, metres.
        details: whether evidence for details is asked.
    """

    stiff: float
    alike: float
    furthest: float
    scale: float
    details: bool = False


COARSE = tuple(Round(s, 0.02 * s, 0.15, c) for s, c in (
    (30.0, 0.10), (20.0, 0.10), (10.0, 0.10), (10.0, 0.10), (5.0, 0.08), (5.0, 0.08), (2.0, 0.06), (2.0, 0.06),
    (1.0, 0.05), (1.0, 0.05),
))  # fmt: skip
FINE = tuple(Round(s, 0.002 * s, f, c, d) for s, f, c, d in (
    (5.0, 0.08, 0.04, False), (3.0, 0.06, 0.03, False), (2.0, 0.05, 0.03, True), (1.0, 0.04, 0.02, True),
    (1.0, 0.03, 0.02, True),
))  # fmt: skip


@dataclass(frozen=True)
class Moment:
    """The person in one pose, and what was seen of them then.

    Attributes:
        evidence: for all rounds.
        details: for the last rounds, when the mesh is nearly there.
    """

    pose: BodyPose
    evidence: tuple[Evidence, ...]
    details: tuple[Evidence, ...] = ()


def wrap_body(body: BodyModel, shape: BodyShape, moments: Sequence[Moment], longest: float) -> SkinnedMesh:
    """The body's mesh around what the moments show, first its own vertices, then those between.

    Args:
        longest: of an edge at rest, metres.
    """
    with torch.no_grad():
        rest = body.rest(shape).verts
        coarse = subdivide_body(body, rest, np.inf)
        coarse = _wrap(body, shape, coarse, moments, COARSE)
        fine = subdivide_body(body, rest, longest)
        moved = fine.base(body, coarse.verts)
        return _wrap(body, shape, fine.replace(verts=moved), moments, FINE)


def _wrap(
    body: BodyModel, shape: BodyShape, mesh: SkinnedMesh, moments: Sequence[Moment], rounds: Sequence[Round]
) -> SkinnedMesh:
    """All rounds on one mesh, beginning with where its vertices are."""
    rig = mesh.rig(body, shape)
    held, heard = _by_part(body, mesh)
    base = mesh.base(body, rig.rest.verts)
    edges = _edges(body, mesh)
    turns = [vertex_motion(rig, moment.pose).double().numpy() for moment in moments]
    offsets = (mesh.verts - base).double().numpy()
    stiffness = _stiffness(edges, len(mesh))
    for each in rounds:
        blocks, wanted = np.zeros((len(mesh), 3, 3)), np.zeros((len(mesh), 3))
        for moment, turn in zip(moments, turns, strict=True):
            posed = pose_mesh(base + torch.from_numpy(offsets).float(), rig, moment.pose)
            normals = vertex_normals(posed, mesh.faces).double().numpy()
            surface = PosedSurface(posed.double().numpy(), normals, mesh.faces)
            for evidence in (*moment.evidence, *(moment.details if each.details else ())):
                _gather(evidence(surface, each.furthest), turn, offsets, heard, each.scale, blocks, wanted)
        matrix = each.stiff * stiffness[0] + each.alike * stiffness[1] + sparse.diags(held)
        offsets = _solve(matrix.tocsr(), blocks, wanted, offsets)
    return mesh.replace(verts=base + torch.from_numpy(offsets).float())


def _gather(
    pulls: Pulls,
    turn: Float[np.ndarray, "n 3 3"],
    offsets: Float[np.ndarray, "n 3"],
    heard: Float[np.ndarray, " n"],
    scale: float,
    blocks: Float[np.ndarray, "n 3 3"],
    wanted: Float[np.ndarray, "n 3"],
) -> None:
    """Adds the normal equations of pulls, in place."""
    rows = pulls.vertices
    weights = pulls.weights * heard[rows] / (1 + (pulls.distances / scale) ** 2) ** 2
    along = np.einsum("kji,kj->ki", turn[rows], pulls.directions)
    goal = pulls.distances + (along * offsets[rows]).sum(1)
    np.add.at(blocks, rows, weights[:, None, None] * along[:, :, None] * along[:, None])
    np.add.at(wanted, rows, (weights * goal)[:, None] * along)


def _solve(
    matrix: sparse.csr_matrix,
    blocks: Float[np.ndarray, "n 3 3"],
    wanted: Float[np.ndarray, "n 3"],
    start: Float[np.ndarray, "n 3"],
) -> Float[np.ndarray, "n 3"]:
    """Conjugate gradients of (matrix (x) I + blocks) d = wanted, for what is still missing from the start."""
    inverse = np.linalg.inv(blocks + matrix.diagonal()[:, None, None] * np.eye(3))

    def apply(flat: np.ndarray) -> np.ndarray:
        d = flat.reshape(start.shape)
        return (matrix @ d + np.einsum("nij,nj->ni", blocks, d)).ravel()

    def condition(flat: np.ndarray) -> np.ndarray:
        return np.einsum("nij,nj->ni", inverse, flat.reshape(start.shape)).ravel()

    system, preconditioner = (
        LinearOperator((start.size, start.size), matvec=each, dtype=start.dtype)
        for each in (apply, condition)
    )
    missing = wanted.ravel() - apply(start)
    moved, _ = cg(system, missing, rtol=CG_ENOUGH, maxiter=CG_STEPS, M=preconditioner)
    return start + moved.reshape(start.shape)


def _by_part(body: BodyModel, mesh: SkinnedMesh) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """How much each vertex is held to the body, and how much it hears of evidence."""
    held = torch.tensor([_of(HELD, name, HELD_LESS) for name in body.part_names])
    heard = torch.tensor([0.0 if name in SILENT else _of(DOUBTED, name, 1.0) for name in body.part_names])
    corners = body.part_labels[body.faces[mesh.binding.faces]]
    at = mesh.binding.barycentrics
    return tuple((each[corners] * at).sum(1).double().numpy() for each in (held, heard))  # type: ignore[return-value]


def _of(values: dict[str, float], name: str, otherwise: float) -> float:
    return next((value for part, value in values.items() if name.startswith(part)), otherwise)


def _edges(body: BodyModel, mesh: SkinnedMesh) -> Int[np.ndarray, "e 2"]:
    """Edges of the mesh, and ties from parts that hang on nothing (eyes, tongue) to what lies around them."""
    faces = mesh.faces.numpy()
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), 1)
    edges = np.unique(edges, axis=0)
    count = len(mesh)
    graph = sparse.coo_matrix((np.ones(len(edges)), edges.T), (count, count))
    number, component = sparse.csgraph.connected_components(graph, directed=False)
    largest = np.bincount(component, minlength=number).argmax()
    main = np.flatnonzero(component == largest)
    alone = np.flatnonzero(component != largest)
    if not len(alone):
        return edges
    verts = mesh.base(body, mesh.verts) if len(mesh) == body.n_verts else mesh.verts
    nearest = main[cKDTree(verts[main].numpy()).query(verts[alone].numpy())[1]]
    return np.concatenate([edges, np.stack([alone, nearest], 1)])


def _stiffness(edges: Int[np.ndarray, "e 2"], count: int) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """Of the umbrella operator and of neighbours' differences: L^T L and the graph's Laplacian."""
    ones = np.ones(len(edges))
    graph = sparse.coo_matrix((ones, edges.T), (count, count)).tocsr()
    graph = graph + graph.T
    degree = np.asarray(graph.sum(1)).ravel()
    umbrella = sparse.identity(count) - sparse.diags(1 / np.maximum(degree, 1)) @ graph
    return (umbrella.T @ umbrella).tocsr(), (sparse.diags(degree) - graph).tocsr()
