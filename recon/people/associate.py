"""Which sightings of several cameras are of one person, by where their rays meet.

Every two sightings of different cameras propose a body: its joints where the rays of both pass each other. All other
sightings vote for it by how near to them it is projected. The best proposal takes its voters, and what is left is
looked at again. Errors are shares of a person's height in the picture, so nothing here knows a metre; left and right
may be exchanged in any view, as detectors do in views of backs.

Symbols: ``n`` sightings of one frame in all cameras, ``h`` proposals, ``j`` joints that are compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Bool, Float, Int

from simulacra.recon.multiview.detections import PinholeCameras
from simulacra.recon.multiview.triangulate import closest_points
from simulacra.recon.observe.landmarks import POSE33
from simulacra.recon.people.sightings import JOINTS, Sighting

# Two views put a body at one place within this, and a third one within that: shares of the height, the median joint's.
# Detectors err by 0.02 to 0.03; people who stand side by side are 0.3 apart.
PAIR, VOTE = 0.045, 0.07
# Heights in space by two views of one person differ by less than this factor: one of them may be bent or half hidden.
_SIZES = 1.6
# A joint that the network is less sure of is a guess, and fewer joints than this are no body.
_SURE, _FEWEST = 0.3, 5
_MIN_PARALLAX = 0.05
_MIRRORED = [JOINTS.index(POSE33.mirror[k]) for k in JOINTS]


@dataclass(frozen=True)
class Meeting:
    """Sightings of one frame that are of one person.

    Attributes:
        members: place of the sighting among each camera's, by the camera's place.
        mirrored: whether its left and right are the other way round than in the proposal, by the camera's place.
        error: the median of the members' errors, share of the height.
        hip: mid hip, world units.
        height: of the circle about the body, world units.
    """

    members: dict[int, int]
    mirrored: dict[int, bool]
    error: float
    hip: Float[np.ndarray, "3"]
    height: float


@dataclass(frozen=True)
class _Stacked:
    camera: Int[np.ndarray, " n"]
    place: Int[np.ndarray, " n"]
    px: Float[np.ndarray, "n j 2"]
    seen: Bool[np.ndarray, "n j"]
    height: Float[np.ndarray, " n"]
    rays: Float[np.ndarray, "n j 3"]


def associate(views: Sequence[Sequence[Sighting]], cameras: PinholeCameras) -> list[Meeting]:
    """The people of one frame, those that most views see best first.

    Args:
        views: what each camera sees, in the order of the cameras.
    """
    stacked = _stack(views, cameras)
    if stacked is None:
        return []
    pairs, points, sizes = _propose(stacked, cameras)
    votes, mirrored = _vote(points, sizes, stacked, cameras)
    found: list[Meeting] = []
    free = np.ones(len(stacked.camera), bool)
    open_ = np.ones(len(pairs), bool)
    while open_.any():
        chosen = [
            _choose(votes[h], pairs[h], stacked.camera, free) if open_[h] else None for h in range(len(pairs))
        ]
        scores = [-1.0 if c is None else float((1 - votes[h, c] / VOTE).sum()) for h, c in enumerate(chosen)]
        best = int(np.argmax(scores))
        members = chosen[best]
        if members is None or scores[best] <= 0:
            break
        free[members] = False
        open_ &= free[pairs].all(1)
        hips = [JOINTS.index(23), JOINTS.index(24)]
        found.append(
            Meeting(
                {int(stacked.camera[n]): int(stacked.place[n]) for n in members},
                {int(stacked.camera[n]): bool(mirrored[best, n]) for n in members},
                float(np.median(votes[best, members])),
                np.nanmean(points[best, hips] if np.isfinite(points[best, hips]).any() else points[best], axis=0),
                float(sizes[best]),
            )
        )  # fmt: skip
    return found


def _stack(views: Sequence[Sequence[Sighting]], cameras: PinholeCameras) -> _Stacked | None:
    every = [(c, k, sighting) for c, of in enumerate(views) for k, sighting in enumerate(of)]
    if len({c for c, _, _ in every}) < 2:
        return None
    camera = np.array([c for c, _, _ in every])
    joints = list(JOINTS)
    px = np.stack([sighting.px[joints] for _, _, sighting in every]).astype(np.float64)
    seen = np.stack([sighting.visibility[joints] > _SURE for _, _, sighting in every])
    local = np.concatenate([px, np.ones_like(px[..., :1])], -1) @ np.linalg.inv(cameras.Ks)[camera].transpose(
        0, 2, 1
    )
    rays = local @ cameras.viewmats[camera, :3, :3]
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    return _Stacked(
        camera, np.array([k for _, k, _ in every]), px, seen,
        np.array([max(sighting.height_px, 1.0) for _, _, sighting in every]), rays,
    )  # fmt: skip


def _propose(
    seen: _Stacked, cameras: PinholeCameras
) -> tuple[Int[np.ndarray, "h 2"], Float[np.ndarray, "h j 3"], Float[np.ndarray, " h"]]:
    """Bodies by two sightings each, and their heights in world units."""
    pairs = np.array(
        [(a, b) for a, b in combinations(range(len(seen.camera)), 2) if seen.camera[a] != seen.camera[b]]
    )
    centres = cameras.centres[seen.camera]
    found = []
    for order in (np.arange(len(JOINTS)), np.array(_MIRRORED)):
        a, b = pairs.T
        valid = seen.seen[a] & seen.seen[b][:, order]
        found.append(
            closest_points(
                centres[a][:, None], seen.rays[a], centres[b][:, None], seen.rays[b][:, order], valid, _MIN_PARALLAX
            )
        )  # fmt: skip
    pairs, points = np.concatenate([pairs, pairs]), np.concatenate(found)
    both = _heights_in_space(points, seen, cameras)[np.arange(len(pairs))[:, None], pairs]
    with np.errstate(invalid="ignore"):
        ratio = both.max(1) / both.min(1)
    good = (np.isfinite(points).all(-1).sum(1) >= _FEWEST) & (ratio < _SIZES)
    return pairs[good], points[good], both[good].mean(1)


def _heights_in_space(
    points: Float[np.ndarray, "h j 3"], seen: _Stacked, cameras: PinholeCameras
) -> Float[np.ndarray, "h n"]:
    """How tall the body of each proposal would be by each sighting's height in the picture; NaN behind the camera."""
    forward, offset = cameras.viewmats[seen.camera, 2, :3], cameras.viewmats[seen.camera, 2, 3]
    known = np.isfinite(points).all(-1)
    middle = np.where(known[..., None], points, 0.0).sum(1) / np.maximum(known.sum(1), 1)[:, None]
    depth = middle @ forward.T + offset
    heights = depth * seen.height / cameras.Ks[seen.camera, 1, 1]
    return np.where(depth > 0, heights, np.nan)


def _vote(
    points: Float[np.ndarray, "h j 3"],
    sizes: Float[np.ndarray, " h"],
    seen: _Stacked,
    cameras: PinholeCameras,
) -> tuple[Float[np.ndarray, "h n"], Bool[np.ndarray, "h n"]]:
    """Error of each sighting against each proposal, and whether it is smaller with left and right exchanged."""
    viewmats, Ks = cameras.viewmats[seen.camera], cameras.Ks[seen.camera]
    local = np.einsum("nab,hjb->hnja", viewmats[:, :3, :3], points) + viewmats[None, :, None, :3, 3]
    image = np.einsum("nab,hnjb->hnja", Ks, local)
    with np.errstate(invalid="ignore", divide="ignore"):
        image = np.where(local[..., 2:] > 0, image[..., :2] / image[..., 2:], np.nan)
    straight = _median_error(image, seen, np.arange(len(JOINTS)))
    crossed = _median_error(image, seen, np.array(_MIRRORED))
    errors = np.fmin(straight, crossed)
    # A person of another size stands elsewhere on the same rays.
    with np.errstate(invalid="ignore"):
        ratio = _heights_in_space(points, seen, cameras) / sizes[:, None]
        fits = (ratio < _SIZES) & (ratio > 1 / _SIZES)
    return np.where(fits, np.nan_to_num(errors, nan=1.0), 1.0), np.nan_to_num(crossed, nan=1.0) < straight


def _median_error(
    image: Float[np.ndarray, "h n j 2"], seen: _Stacked, order: Int[np.ndarray, " j"]
) -> Float[np.ndarray, "h n"]:
    with np.errstate(invalid="ignore"):
        error = np.linalg.norm(image - seen.px[:, order], axis=-1) / seen.height[:, None]
    known = np.isfinite(error) & seen.seen[:, order]
    ordered = np.sort(np.where(known, error, np.inf), axis=-1)
    count = known.sum(-1)
    middle = np.take_along_axis(ordered, (np.maximum(count, 1) // 2)[..., None].clip(max=len(order) - 1), -1)[
        ..., 0
    ]
    return np.where(count >= _FEWEST, middle, np.inf)


def _choose(
    votes: Float[np.ndarray, " n"],
    pair: Int[np.ndarray, "2"],
    camera: Int[np.ndarray, " n"],
    free: Bool[np.ndarray, " n"],
) -> list[int] | None:
    """The nearest free sighting of each camera; None where one of the two that proposed does not agree."""
    if not free[pair].all() or votes[pair].max() > PAIR:
        return None
    members = [int(n) for n in pair]
    for c in set(camera.tolist()) - set(camera[pair].tolist()):
        of = np.flatnonzero((camera == c) & free)
        if len(of) and votes[of].min() < VOTE:
            members.append(int(of[votes[of].argmin()]))
    return members
