"""Where evidence pulls the vertices of a mesh: towards a fused surface, and towards outlines.

A pull says how far a vertex should go along one direction of the world, and how much it is believed; across that
direction it may slide. Each function is pure and reads one kind of evidence; whoever has another writes another.

Symbols: ``n`` vertices, ``k`` pulls, ``s`` points of a surface, ``h w`` rows and columns of a picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree

from simulacra.recon.refine import Surface
from simulacra.recon.refine.silhouettes import signed_distance
from simulacra.render.camera import Cameras
from simulacra.render.image import limited_size, resize_area
from simulacra.render.mesh import rasterize_mesh

# Points that look another way count as further away: turned by a right angle, by this much, metres.
TURNED_M = 0.04
# A point whose normal turns from the vertex's by more is of another side; so is one that lies far aside.
LEAST_COSINE = 0.35
# What silhouettes alone fill in, behind arms and between legs, is believed so much beside what depth has measured.
HULL_TRUST = 0.5
# A point of the surface further than this before or behind the nearest vertex is not covered yet.
UNCOVERED_M = 0.008
# A point of the surface within this is the vertex' own.
NEAR_M = 0.02
# A vertex is on the outline if its normal is this nearly across the line of sight, and it is drawn this near to it.
RIM_COSINE, RIM_PX = 0.35, 1.5
OUTLINE_TRUST = 0.5
# Between two outlines the distance to either falls and rises: no slope there. Masks are looked at at this size, pixels.
LEAST_SLOPE, OUTLINE_SIDE = 0.5, 512


@dataclass(frozen=True)
class Pulls:
    """What one kind of evidence says.

    Attributes:
        vertices: that are pulled; one may be pulled several times.
        directions: unit, world.
        distances: how far along it, metres; negative is backwards.
        weights: 1 for a frontal measurement of depth.
    """

    vertices: Int[np.ndarray, " k"]
    directions: Float[np.ndarray, "k 3"]
    distances: Float[np.ndarray, " k"]
    weights: Float[np.ndarray, " k"]


@dataclass(frozen=True)
class PosedSurface:
    """A mesh in the pose of a moment.

    Attributes:
        verts: world, metres.
        normals: unit.
        faces: triangles.
    """

    verts: Float[np.ndarray, "n 3"]
    normals: Float[np.ndarray, "n 3"]
    faces: Int[torch.Tensor, "f 3"]


class SurfaceEvidence:
    """A fused surface, searched by place and normal together.

    Points that depth supports and that yet no camera sees are left out: the walls of hollows behind what was measured.
    """

    def __init__(self, surface: Surface) -> None:
        kept = ~surface.measured | surface.seen
        self.points = surface.points[kept].astype(np.float64)
        self.normals = surface.normals[kept].astype(np.float64)
        self.measured = surface.measured[kept]
        self.trust = np.where(self.measured, 1.0, HULL_TRUST)
        self._oriented = _oriented(self.points, self.normals)
        self._tree = cKDTree(self._oriented)

    def measures(
        self, verts: Float[np.ndarray, "n 3"], normals: Float[np.ndarray, "n 3"]
    ) -> Bool[np.ndarray, " n"]:
        """Where the nearest point that looks the same way was measured, and is near."""
        _, near = self._tree.query(_oriented(verts, normals))
        close = np.linalg.norm(self.points[near] - verts, axis=1) < NEAR_M
        return self.measured[near] & close

    def __call__(self, posed: PosedSurface, furthest: float) -> Pulls:
        """Each vertex to the plane of the nearest point that looks the same way; and to each point the nearest vertex
        that looks the same way: cloth that stands off is nearest to no vertex, and still has to be covered.

        Args:
            furthest: metres beyond which a point says nothing.
        """
        verts, normals = posed.verts, posed.normals
        _, near = self._tree.query(_oriented(verts, normals))
        cosine = (self.normals[near] * normals).sum(1)
        along, aside = _apart(self.points[near] - verts, self.normals[near])
        kept = (cosine > LEAST_COSINE) & (np.abs(along) < furthest) & (aside < furthest)
        # What lies far aside is not what this vertex meets along its normal.
        weights = self.trust[near] * cosine / (1 + (aside / np.maximum(np.abs(along), 0.01)) ** 2)
        rows = np.flatnonzero(kept)
        pulls = Pulls(rows, self.normals[near[rows]], along[rows], weights[rows])
        return join_pulls([pulls, self._uncovered(posed, furthest)])

    def _uncovered(self, posed: PosedSurface, furthest: float) -> Pulls:
        """The vertices nearest to points that the mesh does not reach, each pulled as much as one measurement."""
        tree = cKDTree(_oriented(posed.verts, posed.normals))
        _, near = tree.query(self._oriented)
        towards = self.points - posed.verts[near]
        distance = np.linalg.norm(towards, axis=1)
        cosine = (self.normals * posed.normals[near]).sum(1)
        along, _ = _apart(towards, self.normals)
        kept = (np.abs(along) > UNCOVERED_M) & (distance < furthest) & (cosine > 0)
        rows = np.flatnonzero(kept)
        share = 1 / np.bincount(near[rows], minlength=len(posed.verts))[near[rows]]
        directions = towards[rows] / distance[rows, None]
        return Pulls(near[rows], directions, distance[rows], self.trust[rows] * share)


def _apart(
    towards: Float[np.ndarray, "n 3"], normals: Float[np.ndarray, "n 3"]
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """The parts of a way along a normal and across it."""
    along = (towards * normals).sum(1)
    return along, np.linalg.norm(towards - along[:, None] * normals, axis=1)


def join_pulls(parts: Sequence[Pulls]) -> Pulls:
    """All parts in their order."""
    return Pulls(*(np.concatenate([getattr(each, field.name) for each in parts]) for field in fields(Pulls)))


def _oriented(
    points: Float[np.ndarray, "n 3"], normals: Float[np.ndarray, "n 3"]
) -> Float[np.ndarray, "n 6"]:
    return np.concatenate([points, TURNED_M / 2**0.5 * normals], 1)


class OutlineEvidence:
    """The outline of the person's mask in one picture."""

    def __init__(
        self, mask: Float[np.ndarray, "h w"], camera: Cameras, surface: SurfaceEvidence | None = None
    ) -> None:
        """Looks at the mask once.

        Args:
            mask: 0..1.
            camera: of the mask, a batch of one.
            surface: the outline says nothing of what that has measured: where cameras disagree, it is the worse
                witness.
        """
        self.surface = surface
        width, height = limited_size(camera.width, camera.height, OUTLINE_SIDE)
        self.camera = camera.scaled(width, height)
        small = resize_area(np.ascontiguousarray(mask, np.float32), width, height)
        self.wanted = signed_distance(small).astype(np.float64)

    def __call__(self, posed: PosedSurface, furthest: float) -> Pulls:
        """The vertices on the drawn outline to the mask's, along the picture.

        Args:
            furthest: metres beyond which an outline says nothing.
        """
        points = torch.from_numpy(posed.verts).to(self.camera.viewmats.dtype)
        covered = rasterize_mesh(points, posed.faces, self.camera).covered[0].numpy()
        if not covered.any():
            return _nothing()
        drawn = signed_distance(covered.astype(np.float32))
        uv, z = (each[0].double().numpy() for each in self.camera.project(points))
        size = np.array([self.camera.width, self.camera.height])
        with np.errstate(invalid="ignore"):
            rows = np.flatnonzero((z > 0) & (uv >= 1).all(1) & (uv < size - 1).all(1))
        sight = posed.verts[rows] - self.camera.centers()[0].double().numpy()
        sight /= np.linalg.norm(sight, axis=1, keepdims=True)
        across = np.abs((sight * posed.normals[rows]).sum(1)) < RIM_COSINE
        column, row = np.floor(uv[rows]).astype(int).T
        rim = across & (np.abs(drawn[row, column]) < RIM_PX)
        if self.surface is not None:
            rim[rim] = ~self.surface.measures(posed.verts[rows[rim]], posed.normals[rows[rim]])
        rows, column, row = rows[rim], column[rim], row[rim]
        wanted = self.wanted
        slope = np.stack([wanted[row, column + 1] - wanted[row, column - 1],
                          wanted[row + 1, column] - wanted[row - 1, column]], 1) / 2  # fmt: skip
        R = self.camera.viewmats[0, :3, :3].double().numpy()
        outwards = slope @ R[:2]
        outwards /= np.maximum(np.linalg.norm(outwards, axis=1, keepdims=True), 1e-9)
        distance = -wanted[row, column] * z[rows] / float(self.camera.Ks[0, 0, 0])
        # Where the mask's outline is far and lies aside, its slope says nothing of this one.
        agrees = (outwards * posed.normals[rows]).sum(1)
        steep = np.linalg.norm(slope, axis=1) > LEAST_SLOPE
        kept = (np.abs(distance) < furthest) & (agrees > LEAST_COSINE) & steep
        return Pulls(rows[kept], outwards[kept], distance[kept], OUTLINE_TRUST * agrees[kept])


def _nothing() -> Pulls:
    return Pulls(np.zeros(0, np.int64), np.zeros((0, 3)), np.zeros(0), np.zeros(0))
