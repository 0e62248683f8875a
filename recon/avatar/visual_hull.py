"""The visual hull (Laurentini 1994): all that lies inside the person's outline in every camera, and its surface.

Cells are looked at from coarse to fine, as in an octree (Szeliski 1993): a cell stays while its center is no further
outside of any outline than its own size allows, and the smallest while their center is inside of all. A camera that
shows the person whole says that nothing of them lies beside its picture; one whose picture cuts the person does not
speak of that, but two have to see a cell inside.

Symbols: ``n`` cells, ``s`` of them at the surface.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from simulacra.recon.refine.silhouettes import signed_distance
from simulacra.render.camera import Cameras

# The first cells: so many along the side of a cube that holds the person. It is so many times as large as the largest
# outline at the point that all cameras look at.
FIRST_CELLS, ROOM = 16, 1.5
# Of fewer cameras a hull has no end.
FEWEST_CAMERAS = 2
LEAST_DEPTH_M = 0.05
# Half the diagonal of a cell, and half as much again: pixels are whole, and nearer parts of a cell look larger.
SLACK = 1.5 * 3**0.5 / 2
# To the 26 neighbours of a cell.
AROUND = np.array([each for each in itertools.product((-1, 0, 1), repeat=3) if any(each)])


@dataclass(frozen=True)
class Outline:
    """One camera's outline of the person.

    Attributes:
        distance: pixels to where the mask is one half, negative inside.
        camera: that sees it, a batch of one.
    """

    distance: Float[np.ndarray, "h w"]
    camera: Cameras

    @staticmethod
    def of_mask(mask: Float[np.ndarray, "h w"], camera: Cameras) -> Outline:
        """Of a mask 0..1."""
        return Outline(signed_distance(mask), camera)

    @cached_property
    def whole(self) -> bool:
        """Whether the person is not cut by the picture's edge."""
        rim = self.distance[[0, -1]], self.distance[:, [0, -1]]
        return all(bool((edge > 0).all()) for edge in rim)

    def outside(
        self, points: Float[np.ndarray, "n 3"]
    ) -> tuple[Float[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
        """How far points lie outside of the outline at least, metres at their depth; and which the picture shows.

        Points that the camera says nothing of are far inside.
        """
        pixels, depths = self.camera.project(torch.from_numpy(points).to(self.camera.Ks))
        z, ahead = depths[0].numpy(), depths[0].numpy() > LEAST_DEPTH_M
        at, size = np.where(ahead[:, None], pixels[0].numpy(), 0.0), np.array(self.distance.shape[::-1])
        beside = np.maximum(np.maximum(-at, at - size), 0.0).max(1)
        shown = ahead & (beside == 0)
        u, v = np.clip(np.floor(at).astype(int), 0, size - 1).T
        known = np.where(shown, self.distance[v, u], beside if self.whole else -np.inf)
        return np.where(ahead, known * z / float(self.camera.Ks[0, 0, 0]), -np.inf), shown


@dataclass(frozen=True)
class HullSurface:
    """The cells of a hull that have a neighbour beside them outside of it.

    Attributes:
        points: their centers, world, metres.
        normals: unit, towards the neighbours that are outside.
        cell: their side, metres.
    """

    points: Float[np.ndarray, "s 3"]
    normals: Float[np.ndarray, "s 3"]
    cell: float


def carve(outlines: Sequence[Outline], cell: float) -> HullSurface:
    """The surface of the hull of some outlines; without any cells where they have nothing in common.

    Args:
        cell: side of the smallest cells, metres.

    Raises:
        ValueError: fewer outlines than a hull has an end of.
    """
    if len(outlines) < FEWEST_CAMERAS:
        raise ValueError(f"a hull of {len(outlines)} outlines has no end")
    middle, reach = _box(outlines)
    halvings = max(0, int(np.ceil(np.log2(2 * reach / (FIRST_CELLS * cell)))))
    count = int(np.ceil(2 * reach / (cell * 2**halvings)))
    corner = middle - 0.5 * count * cell * 2**halvings
    cells = np.stack(np.meshgrid(*[np.arange(count)] * 3, indexing="ij"), -1).reshape(-1, 3)
    for level in range(halvings, -1, -1):
        side = cell * 2**level
        centers = corner + (cells + 0.5) * side
        cells = cells[_inside(outlines, centers, 0.0 if level == 0 else SLACK * side)]
        if level:
            eighths = np.stack(np.meshgrid(*[[0, 1]] * 3, indexing="ij"), -1).reshape(-1, 3)
            cells = (2 * cells[:, None] + eighths).reshape(-1, 3)
    open_to = _directions_out(cells)
    shell = (open_to[:, np.abs(AROUND).sum(1) == 1] != 0).any(1)
    outwards = open_to[shell] @ (AROUND / np.linalg.norm(AROUND, axis=1, keepdims=True))
    lengths = np.linalg.norm(outwards, axis=1, keepdims=True)
    # A cell that is open to two opposite sides faces neither.
    normals = np.where(lengths > 1e-9, outwards / np.maximum(lengths, 1e-9), [0.0, 1.0, 0.0])
    return HullSurface(corner + (cells[shell] + 0.5) * cell, normals, cell)


def _inside(
    outlines: Sequence[Outline], points: Float[np.ndarray, "n 3"], slack: float
) -> Bool[np.ndarray, " n"]:
    """Which points no outline leaves out by more than a slack in metres, and two see inside of it."""
    kept, seen = np.ones(len(points), bool), np.zeros(len(points), int)
    for outline in outlines:
        away, shown = outline.outside(points)
        kept &= away <= slack
        seen += shown & (away <= slack)
    # A coarse cell may be seen in part, or reach before a camera.
    return kept & (seen >= FEWEST_CAMERAS) if slack == 0 else kept


def _box(outlines: Sequence[Outline]) -> tuple[Float[np.ndarray, "3"], float]:
    """The middle of what all cameras see of the person, and metres from it that hold the person."""
    normal, total, extents = np.zeros((3, 3)), np.zeros(3), []
    for outline in outlines:
        rows, columns = np.nonzero(outline.distance < 0)
        low, high = np.array([columns.min(), rows.min()]), np.array([columns.max(), rows.max()]) + 1.0
        extents.append(float(np.linalg.norm(high - low)) / float(outline.camera.Ks[0, 0, 0]))
        across, center = _across_ray(outline.camera, (low + high) / 2)
        normal += across
        total += across @ center
    middle = np.linalg.lstsq(normal, total, rcond=None)[0]
    depths = [float(o.camera.project(torch.from_numpy(middle[None]).to(o.camera.Ks))[1]) for o in outlines]
    largest = max(extent * abs(depth) for extent, depth in zip(extents, depths, strict=True))
    return middle, 0.5 * ROOM * largest


def _across_ray(
    camera: Cameras, pixel: Float[np.ndarray, "2"]
) -> tuple[Float[np.ndarray, "3 3"], Float[np.ndarray, "3"]]:
    """What takes away all that is along a pixel's ray, and where the ray begins."""
    K, viewmat = camera.Ks[0].double().numpy(), camera.viewmats[0].double().numpy()
    ray = viewmat[:3, :3].T @ np.linalg.solve(K, [*pixel, 1.0])
    ray /= np.linalg.norm(ray)
    return np.eye(3) - np.outer(ray, ray), -viewmat[:3, :3].T @ viewmat[:3, 3]


def _directions_out(cells: Int[np.ndarray, "n 3"]) -> Bool[np.ndarray, "n 26"]:
    """Which of the 26 neighbours of each cell are not among the cells."""
    if not len(cells):
        return np.zeros((0, len(AROUND)), bool)
    low = cells.min(0) - 1
    filled = np.zeros(cells.max(0) - low + 2, bool)
    filled[tuple((cells - low).T)] = True
    return np.stack([~filled[tuple((cells + offset - low).T)] for offset in AROUND], 1)
