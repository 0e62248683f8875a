"""Where an avatar's first Gaussians come from, and which face of the body each hangs on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.spatial import cKDTree
from torch import Tensor

from simulacra.render.avatar import Binding
from simulacra.render.body.model import BodyModel

# Candidate faces by the distance of their centres; the nearest point is among them unless faces are huge.
CANDIDATES = 12
# A triangle whose sharpest angle's squared sine is less is a line: its plane is rounding error.
LEAST_AREA = 1e-6
# A face that looks the other way counts as this much further, metres: cloth on the chest must not hang on the back
# of a hand that rests there.
OPPOSITE_M = 0.06
# Parts that are not seen, and that nothing outside hangs on.
INNER_PARTS = ("tongue", "mouth_cavity", "eye_socket_l", "eye_socket_r")
# Gaussians a unit area, relative: where people look, and where the body is finest.
DENSITY = {"face": 4.0, "lips": 4.0, "eye": 4.0, "ear": 2.0, "scalp": 2.0, "hand": 3.0}


@dataclass(frozen=True)
class Nearest:
    """The body's nearest point to each query point, and how far it is in metres."""

    binding: Binding
    distances: Float[Tensor, "n"]


def nearest_faces(
    body: BodyModel,
    verts: Float[Tensor, "v 3"],
    points: Float[Tensor, "n 3"],
    normals: Float[Tensor, "n 3"],
) -> Nearest:
    """Binds points to a posed body: by distance to the face, and by whether the face looks the same way."""
    outer = outer_faces(body)
    corners = verts[body.faces[outer]]
    face_normals = torch.nn.functional.normalize(
        torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), dim=-1
    )
    candidates = _candidates(corners.mean(1), face_normals, points, normals)
    best_cost = points.new_full((len(points),), torch.inf)
    best_face = torch.zeros(len(points), dtype=torch.long)
    best_weights = torch.zeros_like(points)
    best_distance = torch.zeros_like(best_cost)
    for face in candidates.unbind(1):
        weights = closest_barycentrics(points, corners[face])
        distance = ((corners[face] * weights[..., None]).sum(1) - points).norm(dim=-1)
        turned = 0.5 - 0.5 * (face_normals[face] * normals).sum(-1)
        cost = distance + OPPOSITE_M * turned
        better = cost < best_cost
        best_cost = torch.where(better, cost, best_cost)
        best_face = torch.where(better, outer[face], best_face)
        best_weights = torch.where(better[:, None], weights, best_weights)
        best_distance = torch.where(better, distance, best_distance)
    return Nearest(Binding(best_face, best_weights), best_distance)


def _candidates(
    centres: Float[Tensor, "g 3"],
    face_normals: Float[Tensor, "g 3"],
    points: Float[Tensor, "n 3"],
    normals: Float[Tensor, "n 3"],
) -> Int[Tensor, "n k"]:
    """Faces whose centres are near, and faces that are near and look the same way.

    The second are needed where faces are small: all that is near a point of the chest may be the hand upon it.
    """
    _, near = cKDTree(centres.numpy()).query(points.numpy(), k=CANDIDATES)
    reach = OPPOSITE_M / 2
    oriented = torch.cat([centres, reach * face_normals], 1)
    _, alike = cKDTree(oriented.numpy()).query(torch.cat([points, reach * normals], 1).numpy(), k=CANDIDATES)
    return torch.from_numpy(np.concatenate([near, alike], 1))


def closest_barycentrics(
    points: Float[Tensor, "n 3"], triangles: Float[Tensor, "n 3 3"]
) -> Float[Tensor, "n 3"]:
    """Barycentrics of the point of each triangle that is nearest to each point.

    The foot on the plane where it lies inside, else the nearest foot on the three edges.
    """
    a, b, c = triangles.unbind(1)
    ab, ac, ap = b - a, c - a, points - a
    d00, d01, d11 = (ab * ab).sum(-1), (ab * ac).sum(-1), (ac * ac).sum(-1)
    d20, d21 = (ap * ab).sum(-1), (ap * ac).sum(-1)
    area = d00 * d11 - d01 * d01
    flat = area <= LEAST_AREA * d00 * d11
    area = area.clamp(min=1e-20)
    v, w = (d11 * d20 - d01 * d21) / area, (d00 * d21 - d01 * d20) / area
    inside = (v >= 0) & (w >= 0) & (v + w <= 1) & ~flat
    best = torch.stack([1 - v - w, v, w], -1)
    shortest = torch.where(inside, torch.zeros_like(v), torch.full_like(v, torch.inf))
    for i, j in ((0, 1), (1, 2), (2, 0)):
        start, edge = triangles[:, i], triangles[:, j] - triangles[:, i]
        t = (((points - start) * edge).sum(-1) / (edge * edge).sum(-1).clamp(min=1e-20)).clamp(0, 1)
        distance = (start + t[:, None] * edge - points).norm(dim=-1)
        weights = torch.zeros_like(best)
        weights[:, i], weights[:, j] = 1 - t, t
        better = distance < shortest
        best = torch.where(better[:, None], weights, best)
        shortest = torch.where(better, distance, shortest)
    return best


def sample_body(body: BodyModel, verts: Float[Tensor, "v 3"], count: int, seed: int) -> Binding:
    """Points spread over the body by area, denser on face and hands."""
    outer = outer_faces(body)
    corners = verts[body.faces[outer]]
    area = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]).norm(dim=-1) / 2
    expected = area * part_density(body)[outer]
    expected = (expected / expected.sum() * count).double()
    # Systematic sampling along the list of faces: neighbours in the list are neighbours on the body, so that the
    # points are far more even than independent draws.
    generator = torch.Generator().manual_seed(seed)
    start = torch.rand(1, generator=generator, dtype=torch.float64)
    steps = torch.floor(torch.cumsum(expected, 0) + start).long()
    number = torch.diff(steps, prepend=steps.new_zeros(1))
    face = torch.repeat_interleave(outer, number)
    r = torch.rand(len(face), 2, generator=generator)
    root = r[:, :1].sqrt()
    weights = torch.cat([1 - root, root * (1 - r[:, 1:]), root * r[:, 1:]], 1)
    return Binding(face, weights)


def part_density(body: BodyModel) -> Float[Tensor, "f"]:
    """Relative number of Gaussians a unit area on each face."""
    names = body.part_names
    densities = torch.tensor([_density(name) for name in names])
    return densities[body.part_labels[body.faces]].amax(1)


def outer_faces(body: BodyModel) -> Int[Tensor, "g"]:
    """Faces that can be seen from outside: not those inside the mouth."""
    inner = torch.tensor([name in INNER_PARTS for name in body.part_names])
    return (~inner[body.part_labels[body.faces]].any(1)).nonzero().squeeze(-1)


def spacing(points: Float[Tensor, "n 3"], neighbours: int = 3) -> Float[Tensor, "n"]:
    """Mean distance to the nearest few other points, metres."""
    distances, _ = cKDTree(points.numpy()).query(points.numpy(), k=neighbours + 1)
    return torch.from_numpy(distances[:, 1:].mean(1)).to(points.dtype)


def neighbours(points: Float[Tensor, "n 3"], count: int) -> Int[Tensor, "n k"]:
    """Indices of the nearest other points, on the points' device."""
    places = points.detach().cpu().numpy()
    _, found = cKDTree(places).query(places, k=count + 1)
    return torch.from_numpy(np.ascontiguousarray(found[:, 1:])).to(points.device)


def _density(name: str) -> float:
    matching: Sequence[float] = [
        value for part, value in DENSITY.items() if name == part or name.startswith(f"{part}_")
    ]
    return max(matching, default=1.0)
