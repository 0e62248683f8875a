"""Turn-arounds for `fuzzing` to damage. COLMAP sees only pictures that were read and written again here, so that it is
not what is looked at: in its place stands one that places every picture somewhere.
"""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import numpy as np

from simulacra.recon.importers import images
from simulacra.recon.importers.options import ImagesOptions
from simulacra.recon.importers.structure_from_motion import SolvedView, Structure
from simulacra.render.image import write_image
from tests.recon.ellipsoid_person import picture, ring, write_video


def placed(
    folder: Path, names: list[str], work: Path, *, size: tuple[int, int], **options: object
) -> Structure:
    made = ring(len(names), size=min(max(size), 4096))
    views = {name: SolvedView(camera.K, None, camera.viewmat) for name, camera in zip(names, made)}
    return Structure(views, np.zeros((4, 3)), 0.1, 500, {}, 1)


def write_pictures(folder: Path) -> None:
    for number, camera in enumerate(ring(4, size=32)):
        write_image(folder / f"{number}.{'jpg' if number % 2 else 'png'}", picture(camera)[0])


def write_film(folder: Path) -> None:
    camera = ring(1, size=48)[0]
    write_video(folder / "film.mp4", [picture(camera, frame)[0] for frame in range(8)])


def write_rig(folder: Path) -> None:
    for number, camera in enumerate(ring(3, size=32)):
        for frame in range(2):
            write_image(folder / f"images/cam{number}/{frame:03d}.png", picture(camera, frame)[0])


def run(src: Path, session: Path) -> None:
    with mock.patch.object(images, "structure_from_motion", placed):
        images.import_images(
            src, session, ImagesOptions(still_person=True, metres_per_unit=1.0, count=4, world_up="+y")
        )
