"""The first mesh of a mesh avatar: the body's, wrapped around what the training views show, and painted by them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from simulacra.recon.avatar.placement import Person
from simulacra.recon.avatar.views import MaskOf
from simulacra.recon.refine import Surface
from simulacra.recon.refine.pulls import OutlineEvidence, SurfaceEvidence
from simulacra.recon.refine.wrapping import Moment, wrap_body
from simulacra.recon.session import Session
from simulacra.recon.texture.bake import bake_texture
from simulacra.recon.texture.sight import Photograph
from simulacra.render.camera import Cameras
from simulacra.render.skinned_mesh import SkinnedMesh, pose_mesh

# Outlines and photographs are taken of so many moments, spread over the capture: of a rig's one, of a few of few
# cameras.
ENOUGH_VIEWS, MOST_MOMENTS = 16, 8
# A photograph of another moment than the first is worth that much of one that shows a place as well.
OTHER_MOMENT = 0.5


def first_mesh(
    person: Person,
    surface: Surface | None,
    session: Session,
    mask_of: MaskOf,
    frames: Sequence[int],
    cameras: Sequence[str],
    longest: float,
) -> SkinnedMesh:
    """The body's mesh around the fused surface; without one around the outlines of a few moments.

    Args:
        frames: of the outlines.
        longest: of an edge, metres.
    """
    if surface is not None:
        fused = SurfaceEvidence(surface)
        outlines = tuple(
            OutlineEvidence(mask, session.cameras_as_tensors(camera), fused)
            for _, camera, mask in _seen(session, mask_of, [surface.frame], cameras)
        )
        moment = Moment(person.pose_of(surface.frame, None), (fused,), outlines)
        return wrap_body(person.body, person.shape, [moment], longest)
    moments = [
        Moment(person.pose_of(frame, camera), (OutlineEvidence(mask, session.cameras_as_tensors(camera)),))
        for frame, camera, mask in _seen(session, mask_of, frames, cameras)
    ]
    return wrap_body(person.body, person.shape, moments, longest)


def some_moments(frames: Sequence[int], cameras: int) -> list[int]:
    """A few of the frames: enough views together, spread evenly."""
    count = min(len(frames), MOST_MOMENTS, max(1, -(-ENOUGH_VIEWS // max(cameras, 1))))
    return [int(frames[row]) for row in np.linspace(0, len(frames) - 1, count).round().astype(int)]


def paint_mesh(
    person: Person,
    mesh: SkinnedMesh,
    session: Session,
    mask_of: MaskOf,
    frames: Sequence[int],
    cameras: Sequence[str],
    size: int,
    corrected: Callable[[str, Cameras], Cameras] = lambda _, camera: camera,
) -> Float[Tensor, "s s 3"]:
    """The mesh's texture, sRGB 0..1, painted in linear light from the photographs of some frames.

    Args:
        frames: the first one's photographs count most.
        size: rows and columns.
        corrected: a camera as the training has it.
    """
    with torch.no_grad():
        rig = mesh.rig(person.body, person.shape)
        photographs = []
        for frame, camera, mask in _seen(session, mask_of, frames, cameras):
            verts = pose_mesh(mesh.verts, rig, person.pose_of(frame, camera))
            view = corrected(camera, session.cameras_as_tensors(camera))
            worth = 1.0 if frame == frames[0] else OTHER_MOMENT
            photographs.append(Photograph.of_srgb(session.image(frame, camera), mask, view, verts, worth))
        baked = bake_texture(mesh, mesh.verts, photographs, size)
    return torch.from_numpy(baked.rgb).float() / 255


def _seen(
    session: Session, mask_of: MaskOf, frames: Sequence[int], cameras: Sequence[str]
) -> Iterator[tuple[int, str, np.ndarray]]:
    """Frame, camera and mask of the views that show the person."""
    for frame in frames:
        for camera in cameras:
            mask = mask_of(frame, camera) if session.has(frame, camera) else None
            if mask is not None and (mask > 0.5).any():
                yield frame, camera, np.asarray(mask)
