"""An avatar of Gaussians looked at for faults where it was trained and at rest from all round."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import cv2
import numpy as np
import torch

from simulacra.recon.avatar.faults import Faults, Sight, find_faults
from simulacra.recon.avatar.pictures import bounding_sphere, turntable_cameras
from simulacra.recon.avatar.placement import Person
from simulacra.recon.avatar.views import ViewStore
from simulacra.recon.avatar.visibility import Corrected
from simulacra.render.avatar import Avatar, drive, rig_body
from simulacra.render.figure import GaussianFigure
from simulacra.render.gaussians import Gaussians
from simulacra.render.mesh import rasterize_mesh

# Training views that are looked at, spread evenly, at full size; views at rest, and how large they are, pixels.
MOST_VIEWS, AT_REST, SIZE = 8, 12, 256
# The body's outline at rest is this far from being sure, pixels: clothes are over it, and it is not quite the person.
UNSURE_PX = 3
# The mask's: mixed with what is behind.
MASK_PX = 1


def inspect_avatar(person: Person, avatar: Avatar, views: ViewStore, corrected: Corrected) -> Faults:
    """Counts what is wrong with an avatar.

    Args:
        views: of the training.
        corrected: a camera as the training has it.
    """
    with torch.no_grad():
        rig = rig_body(person.body, avatar.shape, avatar.binding)

        def posed(frame: int, camera: str) -> Gaussians:
            return drive(avatar, rig, person.pose_of(frame, camera))

        pose = person.body.zero_pose()
        standing = drive(avatar, rig, pose)
        verts = person.body.pose(rig.rest, pose).verts[0]
        cameras = turntable_cameras(bounding_sphere(GaussianFigure(standing)), AT_REST, SIZE)

        def at_rest() -> Iterator[Sight]:
            for camera in (cameras[index] for index in range(AT_REST)):
                drawn = rasterize_mesh(verts, person.body.faces, camera).covered[0].numpy()
                yield Sight(standing, camera, _inner(drawn, UNSURE_PX))

        return find_faults(standing, training_sights(views, posed, corrected), at_rest())


def training_sights(
    views: ViewStore, posed: Callable[[int, str], Gaussians], corrected: Corrected
) -> Iterator[Sight]:
    """Some of the training views.

    Args:
        posed: the Gaussians in the world in a view.
    """
    rows = np.linspace(0, len(views) - 1, min(len(views), MOST_VIEWS)).round().astype(int)
    for row in np.unique(rows).tolist():
        view = views.load(row)
        view = replace(view, cameras=corrected(view.camera, view.cameras))
        inside = _inner((view.mask > 0.5).numpy(), MASK_PX)
        yield Sight(posed(view.frame, view.camera), view.cameras, inside)


def _inner(mask: np.ndarray, margin: int) -> np.ndarray:
    window = np.ones((2 * margin + 1,) * 2, np.uint8)
    return cv2.erode(mask.astype(np.uint8), window, borderValue=0) > 0
