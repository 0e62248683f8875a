"""In which share of the training views each Gaussian or vertex was seen.

A point is seen where the avatar's own drawing has no surface nearer than a margin, it faces the camera, and the mask
there is of the person. Held-out cameras and frames are not among the views that are looked at.

Symbols: ``n`` points, ``h w`` rows and columns of a view.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from simulacra.recon.avatar.views import TrainingView, ViewStore
from simulacra.recon.refine.coloring import LEAST_COSINE, OCCLUSION_M, bilinear
from simulacra.render.camera import Cameras
from simulacra.render.figure import Figure

# Of a long capture so many views are looked at, spread evenly; and so many pixels of the longer side are enough.
MOST_VIEWS, LOOKED_AT_PX = 48, 320
# Where something nearer begins within so many pixels, calibration may have moved it before the point.
EDGE_PX = 1
LEAST_ALPHA = 0.3


@dataclass(frozen=True)
class Posed:
    """An avatar as one view has it.

    Attributes:
        figure: what is drawn.
        points: whose visibility is asked for, world, metres.
        normals: outwards, world, unit.
    """

    figure: Figure
    points: Float[Tensor, "n 3"]
    normals: Float[Tensor, "n 3"]


# The avatar in a frame as one camera recorded it.
PosedIn = Callable[[int, str], Posed]
# A camera as the training corrected it, by its name.
Corrected = Callable[[str, Cameras], Cameras]


def seen_share(views: ViewStore, posed_in: PosedIn, corrected: Corrected) -> Float[Tensor, "n"]:
    """The share of the training views that see each point, 0..1.

    Args:
        views: of the training; of many a part is looked at.
    """
    rows = np.unique(np.linspace(0, len(views) - 1, min(len(views), MOST_VIEWS)).round().astype(int))
    total: Tensor | None = None
    for row in rows.tolist():
        view = views.load(row)
        while max(view.cameras.width, view.cameras.height) > LOOKED_AT_PX:
            view = view.halved()
        view = replace(view, cameras=corrected(view.camera, view.cameras))
        with torch.no_grad():
            seen = sees(view, posed_in(view.frame, view.camera))
        total = seen.float() if total is None else total + seen
    assert total is not None, "a training has views"
    return total / len(rows)


def sees(view: TrainingView, posed: Posed) -> Bool[Tensor, "n"]:
    """Which points one view sees."""
    camera, points = view.cameras, posed.points
    drawn = posed.figure.draw(camera)
    alpha = drawn.alpha[0]
    depth = torch.where(alpha > LEAST_ALPHA, drawn.depth[0] / alpha.clamp(min=1e-6), torch.inf)
    window = 2 * EDGE_PX + 1
    before = -torch.nn.functional.max_pool2d(-depth[None], window, 1, EDGE_PX)[0]
    uv, z = (each[0] for each in camera.project(points))
    sight = torch.nn.functional.normalize(camera.centers() - points, dim=-1)
    cosine = (sight * posed.normals).sum(-1)
    # How much nearer the same surface may be at the window's end, where it is slanted.
    slant = EDGE_PX * z / camera.Ks[0, 0, 0] * torch.sqrt(cosine.clamp(min=LEAST_COSINE) ** -2 - 1)
    inside = (uv >= 0).all(-1) & (uv[:, 0] < camera.width) & (uv[:, 1] < camera.height) & (z > 0)
    column = uv[:, 0].nan_to_num().long().clamp(0, camera.width - 1)
    row = uv[:, 1].nan_to_num().long().clamp(0, camera.height - 1)
    nearest = before[row, column]
    front = z < nearest + OCCLUSION_M + 1.5 * slant
    mask = bilinear(view.mask[..., None], uv.nan_to_num())[:, 0]
    return inside & torch.isfinite(nearest) & front & (cosine > LEAST_COSINE) & (mask > 0.5)
