"""What one photograph shows of a surface.

Symbols: ``v`` vertices, ``f`` triangles, ``h w`` rows and columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from simulacra.recon.refine.coloring import bilinear
from simulacra.render.camera import Cameras
from simulacra.render.image import srgb_to_linear
from simulacra.render.mesh import rasterize_mesh, vertex_normals

# A point that much further than the surface in its pixels is hidden, metres.
OCCLUSION_M = 0.02
# So is one beside which, this far aside, something is that much nearer: the body is not quite where the person is: a
# hand's color must not fall on the chest behind it. An arm's own roundness is less.
AROUND_M, NEARER_M = 0.025, 0.06
# Pixels this close to the silhouette are mixed with what is behind.
MASK_BORDER_PX = 2
LEAST_COSINE = 0.15


@dataclass(frozen=True)
class Photograph:
    """One view of the person in one pose.

    Attributes:
        rgb: linear light.
        mask: of the person, 0..1.
        camera: a batch of one.
        verts: of the body in that pose, world, metres.
        worth: by which its score is multiplied.
    """

    rgb: Float[Tensor, "h w 3"]
    mask: Float[np.ndarray, "h w"]
    camera: Cameras
    verts: Float[Tensor, "v 3"]
    worth: float = 1.0

    @staticmethod
    def of_srgb(
        image: Float[np.ndarray, "h w 3"],
        mask: Float[np.ndarray, "h w"],
        camera: Cameras,
        verts: Float[Tensor, "v 3"],
        worth: float = 1.0,
    ) -> Photograph:
        """Of a picture as files have it."""
        linear = srgb_to_linear(torch.from_numpy(np.ascontiguousarray(image, np.float32)))
        return Photograph(linear, mask, camera, verts, worth)


def sample(photograph: Photograph, points: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
    """The photograph's colors at points of the world, linear."""
    return bilinear(photograph.rgb, photograph.camera.project(points)[0][0])


def score_vertices(photograph: Photograph, faces: Int[Tensor, "f 3"]) -> Float[Tensor, " v"]:
    """How well the photograph shows each vertex: its pixels for a metre square of the surface, 0 where it is hidden,
    seen from too far aside, or not on the person's mask.
    """
    verts, camera = photograph.verts, photograph.camera
    depth = rasterize_mesh(verts, faces, camera).depth[0].numpy()
    away = float(np.median(depth[depth > 0])) if (depth > 0).any() else 1.0
    surface = np.where(depth > 0, depth, np.inf).astype(np.float32)
    around = max(1, round(AROUND_M * float(camera.Ks[0, 0, 0]) / away))
    hides = np.minimum(
        cv2.erode(surface, _window(1)) + OCCLUSION_M, cv2.erode(surface, _window(around)) + NEARER_M
    )
    inner = cv2.erode((photograph.mask > 0.5).astype(np.uint8), _window(MASK_BORDER_PX))
    uv, z = (each[0].numpy() for each in camera.project(verts))
    columns, rows = (np.floor(np.nan_to_num(uv, posinf=-1, neginf=-1)).clip(-1, 1 << 20).astype(np.int64)).T
    inside = (z > 0) & (columns >= 0) & (columns < camera.width) & (rows >= 0) & (rows < camera.height)
    at = rows.clip(0, camera.height - 1), columns.clip(0, camera.width - 1)
    sight = torch.nn.functional.normalize(camera.centers() - verts, dim=-1)
    cosine = (sight * vertex_normals(verts, faces)).sum(-1).numpy()
    shown = inside & (z < hides[at]) & (inner[at] > 0) & (cosine > LEAST_COSINE)
    density = cosine * (float(camera.Ks[0, 0, 0]) / np.maximum(z, 1e-3)) ** 2
    return torch.from_numpy(np.where(shown, photograph.worth * density, 0).astype(np.float32))


def _window(pixels: int) -> np.ndarray:
    return np.ones((2 * pixels + 1,) * 2, np.uint8)
