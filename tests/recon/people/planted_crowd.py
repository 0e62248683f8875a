"""Stick people who walk among cameras, and what a detector would see of them: known answers for who is who."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulacra.recon.multiview.detections import PinholeCameras
from simulacra.recon.observe.landmarks import POSE33
from simulacra.recon.people.sightings import Sighting
from tests.recon.planted_person import STICK_PERSON, project, ring_of_cameras

FPS = 6.0
COLORS = 96
# Heads nearer than this in a picture, in shares of a person, hide the farther person.
_HIDDEN = 0.12


@dataclass(frozen=True)
class Crowd:
    """People in the world and what each camera sees of each moment.

    Attributes:
        points: p t 33 3, NaN where somebody is not there.
        views: of the moments, of the cameras: sightings, in any order.
        whose: as `views`: whom each is of; -1 for a ghost.
    """

    points: np.ndarray
    views: list[list[list[Sighting]]]
    whose: list[list[list[int]]]
    cameras: PinholeCameras
    seconds: np.ndarray


def wear(seed: int) -> np.ndarray:
    """What somebody's clothes look like as a histogram: a few of its bins."""
    found = np.zeros(COLORS)
    found[np.random.default_rng(seed).choice(COLORS, 8, replace=False)] = 1 / 8
    return found


def person_at(x: np.ndarray, z: np.ndarray, facing: np.ndarray, size: float = 1.0) -> np.ndarray:
    """The stick person on a path, facing along an angle, swinging its limbs: t 33 3."""
    time = np.arange(len(x))[:, None] / FPS
    points = np.repeat(STICK_PERSON[None] * size, len(x), 0)
    points[:, 13:, 2] += 0.12 * np.sin(5.0 * time + np.linspace(0, 5, 20))
    cos, sin = np.cos(facing)[:, None], np.sin(facing)[:, None]
    turned = np.stack([cos * points[..., 0] + sin * points[..., 2], points[..., 1],
                       cos * points[..., 2] - sin * points[..., 0]], -1)  # fmt: skip
    return turned + np.stack([x, np.zeros_like(x), z], -1)[:, None]


def hug_cross_and_leave(clothes: tuple[int, int] = (1, 2), cameras: int = 4, seed: int = 0) -> Crowd:
    """Two people come from either side, hug for a second, pass each other, and one leaves.

    While they hug the detector takes the two for one in every second view; a farther person behind a nearer one is not
    seen; views of backs have left and right exchanged; every fifth sighting is missing, and there is a ghost at times.
    """
    t = np.arange(48) / FPS
    path = np.interp(t, [0, 2, 3, 3.5, 6, 8], [-1.3, -0.14, -0.14, 0.0, 1.3, 1.4])
    aside = np.interp(t, [0, 3, 3.7, 4.5, 8], [0, 0, 0.3, 0.0, 0.0])
    one = person_at(path, aside, np.full(len(t), np.pi / 2))
    other = person_at(-path, -aside, np.full(len(t), -np.pi / 2), 0.92)
    other[t > 6.5] = np.nan
    return see(np.stack([one, other]), clothes, cameras, seed)


def see(points: np.ndarray, clothes: tuple[int, ...], cameras: int, seed: int) -> Crowd:
    """What a detector would see of people in a ring of cameras."""
    rng = np.random.default_rng(seed)
    viewmats, Ks = ring_of_cameras(cameras, radius=4.0)
    px = np.stack([project(p, viewmats, Ks) for p in points])
    depth = np.stack(
        [np.einsum("cj,tkj->tck", viewmats[:, 2, :3], p).mean(-1) + viewmats[:, 2, 3] for p in points]
    )
    views: list[list[list[Sighting]]] = []
    whose: list[list[list[int]]] = []
    for t in range(points.shape[1]):
        of_cameras = [_see_one(px[:, t, c], depth[:, t, c], clothes, c, rng) for c in range(cameras)]
        views.append([[s for s, _ in of] for of in of_cameras])
        whose.append([[w for _, w in of] for of in of_cameras])
    seconds = np.arange(points.shape[1]) / FPS
    return Crowd(points, views, whose, PinholeCameras(viewmats, Ks), seconds)


def _see_one(
    px: np.ndarray, depth: np.ndarray, clothes: tuple[int, ...], camera: int, rng: np.random.Generator
) -> list[tuple[Sighting, int]]:
    found = []
    for who, at in enumerate(px):
        if not np.isfinite(at).all() or rng.random() < 0.2:
            continue
        height = 1.1 * np.ptp(at[:, 1])
        nearer = [
            o for o in range(len(px)) if o != who and depth[o] < depth[who] and np.isfinite(px[o]).all()
        ]
        if any(np.hypot(*(px[o, 0] - at[0])) < _HIDDEN * height for o in nearer):
            continue
        seen = at + 0.012 * height * rng.standard_normal(at.shape)
        if at[11, 0] < at[12, 0]:  # from behind
            seen = seen[list(POSE33.mirror)] if rng.random() < 0.5 else seen
        # A camera has its own idea of a color, alike for all that it sees.
        colors = np.roll(wear(clothes[who]), camera) + 0.3 * rng.random(COLORS) / COLORS
        found.append((Sighting(seen, np.full(33, 0.9), 0.9, height, colors / colors.sum()), who))
    if rng.random() < 0.15:
        ghost = rng.uniform(200, 800, 2) + 40 * rng.standard_normal((33, 2))
        found.append((Sighting(ghost, np.full(33, 0.6), 0.6, 200.0, wear(99)), -1))
    order = rng.permutation(len(found))
    return [found[k] for k in order]
