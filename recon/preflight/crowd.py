"""Several people in the frames that are looked at, and where they are in pictures as they were recorded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from simulacra.recon.observe.expected import ExpectedBodies
from simulacra.recon.people.record import People
from simulacra.recon.people.sightings import Sighting
from simulacra.recon.people.survey import expect, find_people
from simulacra.recon.session import Session, SessionCamera
from simulacra.recon.session.lens import distort
from simulacra.render.runtime.errors import UserError


@runtime_checkable
class CrowdDetector(Protocol):
    """Finds everybody in RGB images of 0..1; a detector that is none is believed to see all who are there."""

    def count(self, image: Float[np.ndarray, "h w 3"]) -> int:
        """How many people a glance shows."""

    def everyone(self, image: Float[np.ndarray, "h w 3"]) -> list[Sighting]:
        """All of them, the surest first."""


def look_for_people(
    session: Session, frames: Sequence[int], detector: CrowdDetector, workers: int
) -> People | None:
    """Everybody in some frames; None where files cannot be read, which is said elsewhere, or there is one camera."""
    if len(session.cameras) < 2:
        return None
    try:
        return find_people(session, frames, detector.everyone, workers=workers)
    except UserError:
        return None


def expect_recorded(people: People, session: Session, chosen: int) -> ExpectedBodies:
    """Where people are in the pictures as they were recorded, with the lens in."""
    expected = expect(people, session, chosen)
    px = np.stack(
        [distort_pixels(camera, expected.px[:, :, c]) for c, camera in enumerate(session.cameras)], axis=2
    )
    return replace(expected, px=px)


def distort_pixels(camera: SessionCamera, px: Float[np.ndarray, "*n 2"]) -> Float[np.ndarray, "*n 2"]:
    """Positions in a camera's pinhole picture, in the picture as it was recorded; NaN stays."""
    if camera.lens is None:
        return px
    focal, centre = camera.K[[0, 1], [0, 1]], camera.K[:2, 2]
    known, recorded = np.isfinite(px).all(-1), px.copy()
    recorded[known] = distort(camera.lens, (px[known] - centre) / focal) * focal + centre
    return recorded
