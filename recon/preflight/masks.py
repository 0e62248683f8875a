"""Checks of the session's own masks: against the landmarks, and against each other by the visual hull.

What one camera takes for the person must lie where all other cameras leave room for it: the hull of their masks
(Laurentini 1994). A hull is larger than the person, never smaller, so a mask that reaches beyond it takes in
background, or another mask misses the person: the camera without which all others agree is the one.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float

from simulacra.recon.observe.separate import limb_distance
from simulacra.recon.preflight.reading import Problems
from simulacra.recon.preflight.record import Check, Status, check_values
from simulacra.recon.preflight.samples import SessionSamples, Still
from simulacra.recon.session import Session, SessionCamera
from simulacra.render.runtime.errors import UserError

# Cells along the side of the cube about the person, and pixels of the small masks that they are drawn into.
CELLS, SIDE = 56, 128
# A mask must be covered by the hull of the others to this; edges of masks and cells take the rest.
COVERED, LOST = 0.9, 0.6
# Reaches of a limb (see `recon.observe.separate`) beyond which nothing is the person's: a fifth of the body's extent.
# In 177 pictures of four captures at most 4 % of a mask was so far off.
FAR = 5.0


@dataclass(frozen=True)
class SmallMask:
    """A mask of a pinhole camera, small."""

    camera: SessionCamera
    inside: Bool[np.ndarray, "h w"]
    scale: float


def check_masks(session: Session, samples: SessionSamples, problems: Problems) -> list[Check]:
    """Checks of masks on the stills; of the networks' own only how far they reach."""
    stills = {c.name: [s for s in c.stills if s.covered is not None] for c in samples.cameras}
    stills = {name: of for name, of in stills.items() if of}
    if not stills:
        return _check_extent(session, samples)
    return [
        *_check_extent(session, samples),
        *_check_visible(stills),
        *_check_landmarks(stills),
        *_check_hull(session, samples, problems),
    ]


def _check_visible(stills: dict[str, list[Still]]) -> list[Check]:
    covered = {name: max(s.covered or 0.0 for s in of) for name, of in stills.items()}
    touched = {name: max(s.touched or 0.0 for s in of) for name, of in stills.items()}
    return [
        *check_values(
            "person-visible", covered, warn=lambda v: v < 0.005 or v > 0.8, fail=lambda v: v == 0,
            worse=lambda v: max(-v, v - 1.1), unit="of the image", limit="0.005 to 0.8, and never 0",
            remedy="no person in that camera's masks: point it at the person, or leave it out",
        ),
        *check_values(
            "person-in-frame", touched, warn=lambda v: v > 0.02, unit="of the border", limit="<= 0.02",
            remedy="part of the person is outside of the image",
        ),
    ]  # fmt: skip


def _check_landmarks(stills: dict[str, list[Still]]) -> list[Check]:
    inside = {
        name: float(np.median([s.landmarks_inside for s in of if s.landmarks_inside is not None]))
        for name, of in stills.items()
        if any(s.landmarks_inside is not None for s in of)
    }
    # A detector puts one joint in five beside the body at worst; half of them is another person's mask.
    return check_values(
        "mask-keypoints", inside, warn=lambda v: v < 0.8, fail=lambda v: v < 0.5, worse=lambda v: -v,
        unit="of the landmarks", limit=">= 0.8",
        remedy="the mask is of another frame or camera, inverted, or misses parts of the person",
    )  # fmt: skip


def _check_extent(session: Session, samples: SessionSamples) -> list[Check]:
    """Masks that take in the room: where no limb is near."""
    far: dict[str, list[float]] = {}
    for camera in samples.cameras:
        for still in camera.stills:
            if still.silhouette is None or still.body is None or not (still.silhouette > 127).any():
                continue
            scale = still.silhouette.shape[1] / session.camera(camera.name).width
            distance = limb_distance(still.body.px * scale, still.silhouette.shape)
            far.setdefault(camera.name, []).append(float((distance[still.silhouette > 127] > FAR).mean()))
    return check_values(
        "mask-extent", {name: float(np.median(of)) for name, of in far.items()}, warn=lambda v: v > 0.25,
        unit="of the mask is far from the person's limbs", limit="<= 0.25",
        remedy="the mask takes in background: masks of your own, a plainer background or better light",
    )  # fmt: skip


def _check_hull(session: Session, samples: SessionSamples, problems: Problems) -> list[Check]:
    values: dict[str, list[float]] = {}
    blames: dict[str, list[float]] = {}
    for frame in samples.stills:
        masks = [m for c in session.cameras if (m := _small(session, c, frame, problems)) is not None]
        if len(masks) < 3:
            continue
        covered, blame = hull_coverage(masks)
        for k, mask in enumerate(masks):
            values.setdefault(mask.camera.name, []).append(covered[k])
            blames.setdefault(mask.camera.name, []).append(blame[k])
    if not values:
        return []
    covered_of = {name: float(np.median(v)) for name, v in values.items()}
    blame_of = {name: float(np.median(v)) for name, v in blames.items()}
    value = min(covered_of.values())
    status: Status = "pass" if value >= COVERED else "warn" if value >= LOST else "fail"
    odd = (
        max(blame_of, key=lambda n: blame_of[n])
        if status != "pass"
        else min(covered_of, key=lambda n: covered_of[n])
    )
    return [
        Check(
            "mask-hull", odd, value, "of a mask", f">= {COVERED}, fails under {LOST}", status,
            "its mask takes in background, misses parts of the person or is of another frame; or its pose is off",
            f"without it, hulls cover {100 * blame_of[odd]:.0f} % more of the masks" if status != "pass" else "",
        )
    ]  # fmt: skip


def _small(session: Session, camera: SessionCamera, frame: int, problems: Problems) -> SmallMask | None:
    if not session.has(frame, camera.name):
        return None
    try:
        mask = session.mask(frame, camera.name)
    except UserError as error:
        problems.add(camera.name, error)
        return None
    if mask is None or not (mask > 0.5).any():
        return None
    scale = SIDE / max(mask.shape)
    size = (max(1, round(mask.shape[1] * scale)), max(1, round(mask.shape[0] * scale)))
    return SmallMask(camera, cv2.resize(mask, size, interpolation=cv2.INTER_AREA) > 0.3, scale)


def hull_coverage(masks: list[SmallMask]) -> tuple[Float[np.ndarray, "c"], Float[np.ndarray, "c"]]:
    """Share of each mask that the hull of all others covers; and how much more of the others is covered without it."""
    grid = _cells(masks)
    count = len(masks)
    inside = np.zeros((count, len(grid)), bool)
    places = []
    for k, mask in enumerate(masks):
        at, seen = _place(mask, grid)
        places.append((at, seen))
        # A cell that a camera does not see is not cut away by it.
        inside[k] = ~seen
        inside[k, seen] = mask.inside[at[seen, 1], at[seen, 0]]

    def coverage(target: int, left_out: int) -> float:
        used = [k for k in range(count) if k not in (target, left_out)]
        hull = inside[used].all(0)
        at, seen = places[target]
        drawn: np.ndarray = np.zeros(masks[target].inside.shape, np.uint8)
        chosen = hull & seen
        drawn[at[chosen, 1], at[chosen, 0]] = 1
        # Cells are points: they are as wide as a cell is in the picture.
        drawn = cv2.dilate(drawn, np.ones((5, 5), np.uint8))
        shape = masks[target].inside
        return float(drawn[shape].mean())

    covered = np.array([coverage(k, k) for k in range(count)])
    blame = np.zeros(count)
    for out in range(count):
        rest = [k for k in range(count) if k != out]
        blame[out] = np.mean([coverage(k, out) - covered[k] for k in rest]) + (1 - covered[out]) / count
    return covered, blame


def _cells(masks: list[SmallMask]) -> Float[np.ndarray, "n 3"]:
    """A cube of cells about where the rays through the masks' middles pass each other, as large as the masks say."""
    A, b = np.zeros((3, 3)), np.zeros(3)
    rays = []
    for mask in masks:
        rows, columns = np.nonzero(mask.inside)
        middle = np.array([np.median(columns) + 0.5, np.median(rows) + 0.5]) / mask.scale
        K, V = mask.camera.K, mask.camera.viewmat
        ray = np.append((middle - K[:2, 2]) / K[[0, 1], [0, 1]], 1.0) @ V[:3, :3]
        ray /= np.linalg.norm(ray)
        centre = -V[:3, :3].T @ V[:3, 3]
        across = np.eye(3) - np.outer(ray, ray)
        A += across
        b += across @ centre
        rays.append((centre, max(np.ptp(rows), np.ptp(columns)) / mask.scale / K[1, 1]))
    middle3 = np.linalg.lstsq(A, b, rcond=None)[0]
    side = 1.4 * float(np.median([extent * np.linalg.norm(middle3 - centre) for centre, extent in rays]))
    steps = (np.arange(CELLS) + 0.5) / CELLS - 0.5
    return middle3 + side * np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3)


def _place(mask: SmallMask, grid: Float[np.ndarray, "n 3"]) -> tuple[np.ndarray, Bool[np.ndarray, "n"]]:
    local = grid @ mask.camera.viewmat[:3, :3].T + mask.camera.viewmat[:3, 3]
    depth = np.where(local[:, 2] > 1e-9, local[:, 2], np.inf)
    K = mask.camera.K
    px = (local[:, :2] / depth[:, None] * K[[0, 1], [0, 1]] + K[:2, 2]) * mask.scale
    height, width = mask.inside.shape
    seen = np.isfinite(depth) & (px >= 0).all(-1) & (px[:, 0] < width) & (px[:, 1] < height)
    return np.where(seen[:, None], px, 0).astype(int), seen
