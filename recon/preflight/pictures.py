"""Checks of what the cameras recorded: images, masks of the person, and depth, in a few frames."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float

from recon.preflight.record import Check, Status
from recon.session import Session, SessionCamera
from render.errors import InputError

# A person who stands or sits; children and half bodies included, metres.
SHORTEST, TALLEST = 0.4, 2.6
# Points of a camera that are compared with the others.
MOST_POINTS = 4000
# Cameras whose axes differ by more see other sides of a person, degrees.
WIDEST_PAIR = 75.0
# Two depths that differ by more are of two surfaces, metres.
SAME_SURFACE = 0.05
# A depth that changes by more from one pixel to the next is an edge, where sensors invent points, metres.
EDGE = 0.03


@dataclass(frozen=True)
class PersonDepth:
    """Depth of the person in one camera.

    Attributes:
        inside: the mask. depth: metres, 0 where unknown. points: some of the surface, in the world.
    """

    camera: SessionCamera
    inside: Bool[np.ndarray, "h w"]
    depth: Float[np.ndarray, "h w"]
    points: Float[np.ndarray, "n 3"]


def check_pictures(session: Session, frames: int) -> list[Check]:
    """Reads so many frames of each camera, spread over the session.

    Raises:
        InputError: a file is missing or unreadable, or an image is not of its camera's size.
    """
    _check_files(session)
    chosen = [session.frame_indices[k] for k in _spread(len(session.frames), frames)]
    checks = _images(session, chosen)
    checks += _masks(session, chosen)
    depths = [found for frame in chosen if (found := _person_depths(session, frame))]
    return checks + _depth_checks(depths)


def _spread(count: int, wanted: int) -> list[int]:
    return sorted({round(k) for k in np.linspace(0, count - 1, min(count, wanted))})


def _check_files(session: Session) -> None:
    for name in sorted({source.file for frame in session.frames for source in frame.sources.values()}):
        path = session.path(name)
        if not path.is_file() or path.stat().st_size == 0:
            raise InputError(
                "a file of the session is missing or empty", where=path, remedy="import the session again"
            )


def _images(session: Session, chosen: Sequence[int]) -> list[Check]:
    """Each camera's first and last chosen frame; the readers raise on what is damaged or of another size.

    Of a video only the first: the importer has decoded all of it, and a late frame takes as long as all before it.
    """
    count = 0
    brightness = {}
    for name in session.camera_names:
        frames = [frame for frame in chosen if session.has(frame, name)]
        values = []
        files = [frame for frame in frames if session.frame(frame).sources[name].number is None]
        for frame in sorted({*frames[:1], *files[-1:]}):
            image, mask = session.image(frame, name), session.mask(frame, name)
            inside = mask > 0.5 if mask is not None and (mask > 0.5).any() else np.ones(image.shape[:2], bool)
            values.append(float(image[inside].mean()))
            count += 1
        if values:
            brightness[name] = float(np.mean(values))
    checks = [
        Check(
            "image-size",
            "session",
            float(count),
            "images",
            "all",
            "pass",
            "import images and calibration of one recording",
        )
    ]
    if brightness:
        worst = max(brightness, key=lambda n: abs(brightness[n] - 0.5))
        status: Status = "pass" if 0.06 < brightness[worst] < 0.94 else "warn"
        checks.append(
            Check(
                "exposure", worst, brightness[worst], "of white", "0.06 to 0.94", status, "more or less light"
            )
        )
    return checks


def _masks(session: Session, chosen: Sequence[int]) -> list[Check]:
    covered: dict[str, float] = {}
    touched: dict[str, float] = {}
    for name in session.camera_names:
        for frame in chosen:
            mask = session.mask(frame, name) if session.has(frame, name) else None
            if mask is None:
                continue
            inside = mask > 0.5
            border = np.concatenate([inside[0], inside[-1], inside[:, 0], inside[:, -1]])
            covered[name] = max(covered.get(name, 0.0), float(inside.mean()))
            touched[name] = max(touched.get(name, 0.0), float(border.mean()))
    if not covered:
        return []
    empty, cut = min(covered, key=lambda n: covered[n]), max(touched, key=lambda n: touched[n])
    seen: Status = "fail" if covered[empty] == 0 else "warn" if covered[empty] < 0.005 else "pass"
    return [
        Check(
            "person-visible",
            empty,
            covered[empty],
            "of the image",
            ">= 0.005, and never 0",
            seen,
            "no person in that camera: point it at the person, or leave it out",
        ),
        Check(
            "person-in-frame",
            cut,
            touched[cut],
            "of the border",
            "<= 0.02",
            "pass" if touched[cut] <= 0.02 else "warn",
            "part of the person is outside of the image",
        ),
    ]


# -- depth -----------------------------------------------------------------------------------------


def _person_depths(session: Session, frame: int) -> list[PersonDepth]:
    found = []
    for camera in session.cameras:
        if not session.has(frame, camera.name):
            continue
        measured, mask = session.depth(frame, camera.name), session.mask(frame, camera.name)
        if measured is None or mask is None:
            continue
        depth, valid = measured
        inside = mask > 0.5
        points = surface_points(camera, depth, valid & inside)
        if len(points):
            found.append(PersonDepth(camera, inside, np.where(valid, depth, 0), points))
    return found


def surface_points(
    camera: SessionCamera, depth: Float[np.ndarray, "h w"], wanted: Bool[np.ndarray, "h w"]
) -> Float[np.ndarray, "n 3"]:
    """Some wanted pixels' points in the world, without those at edges of depth or of the wanted region."""
    across = np.abs(np.diff(depth, axis=1, prepend=depth[:, :1]))
    along = np.abs(np.diff(depth, axis=0, prepend=depth[:1]))
    # The edge is relative to the distance: the check must also see a person at ten times the scale.
    edge = EDGE * max(1.0, float(np.median(depth[wanted])) / 2) if wanted.any() else EDGE
    kept = (
        cv2.erode((wanted & (across < edge) & (along < edge)).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    )
    rows, columns = np.nonzero(kept)
    step = max(1, len(rows) // MOST_POINTS)
    rows, columns = rows[::step], columns[::step]
    z = depth[rows, columns].astype(np.float64)
    K = camera.K
    local = np.stack(
        [(columns + 0.5 - K[0, 2]) / K[0, 0] * z, (rows + 0.5 - K[1, 2]) / K[1, 1] * z, z], axis=-1
    )
    return (local - camera.viewmat[:3, 3]) @ camera.viewmat[:3, :3]


def _depth_checks(frames: Sequence[Sequence[PersonDepth]]) -> list[Check]:
    heights: dict[str, list[float]] = {}
    for people in frames:
        for person in people:
            low, high = np.quantile(person.points[:, 1], [0.002, 0.998])
            heights.setdefault(person.camera.name, []).append(float(high - low))
    if not heights:
        return []
    # A camera may see half of a person: the tallest view is the one to judge.
    name = max(heights, key=lambda n: float(np.median(heights[n])))
    tallest = float(np.median(heights[name]))
    checks = [
        Check(
            "stature",
            name,
            tallest,
            "m",
            f"{SHORTEST} to {TALLEST}",
            "pass" if SHORTEST <= tallest <= TALLEST else "fail",
            "the depth scale is wrong: import again with the sensor's units in a metre as --depth-scale",
        )
    ]
    if checks[0].status == "fail":
        return checks  # nothing agrees at a wrong scale: one message is enough
    return checks + _agreement([pair for people in frames for pair in _pairs(people)])


@dataclass(frozen=True)
class PairAgreement:
    """Points of one camera seen from another.

    Attributes:
        confirmed: share of those in the other's image that it measures at the same depth.
        difference: median over those, metres.
        in_mask: share of those in the other's image that its mask takes for the person.
    """

    source: str
    target: str
    confirmed: float
    difference: float
    in_mask: float
    neighbours: bool


def _pairs(people: Sequence[PersonDepth]) -> Iterable[PairAgreement]:
    for a in people:
        for b in people:
            if a is b:
                continue
            local = a.points @ b.camera.viewmat[:3, :3].T + b.camera.viewmat[:3, 3]
            ahead = local[:, 2] > 1e-6
            pixels = local[ahead] @ b.camera.K.T
            columns, rows = np.floor(pixels[:, :2] / pixels[:, 2:]).T
            seen = (columns >= 0) & (columns < b.camera.width) & (rows >= 0) & (rows < b.camera.height)
            if seen.sum() < 50:
                continue
            at = rows[seen].astype(int), columns[seen].astype(int)
            other = b.depth[at]
            difference = np.abs(other - local[ahead][seen, 2])
            same = (other > 0) & b.inside[at] & (difference < SAME_SURFACE)
            angle = np.degrees(np.arccos(np.clip(a.camera.viewmat[2, :3] @ b.camera.viewmat[2, :3], -1, 1)))
            yield PairAgreement(
                a.camera.name,
                b.camera.name,
                float(same.mean()),
                float(np.median(difference[same])) if same.any() else np.inf,
                float(b.inside[at].mean()),
                bool(angle < WIDEST_PAIR),
            )


def _agreement(pairs: Sequence[PairAgreement]) -> list[Check]:
    near = [pair for pair in pairs if pair.neighbours]
    if not near:
        return []

    def per_camera(of: Sequence[PairAgreement], value: str) -> dict[str, float]:
        names = {name for pair in of for name in (pair.source, pair.target)}
        mine = {
            n: [getattr(pair, value) for pair in of if n in (pair.source, pair.target)] for n in sorted(names)
        }
        return {name: float(np.median(values)) for name, values in mine.items()}

    differences, shares = per_camera(near, "difference"), per_camera(near, "confirmed")
    worst, least = max(differences, key=lambda n: differences[n]), min(shares, key=lambda n: shares[n])
    masks = {
        name: min(
            float(np.mean([p.in_mask for p in pairs if p.source == name] or [1.0])),
            float(np.mean([p.in_mask for p in pairs if p.target == name] or [1.0])),
        )
        for name in {pair.source for pair in pairs}
    }
    odd = min(masks, key=lambda n: masks[n])
    millimetres = 1000 * min(differences[worst], 10.0)
    remedy = "this camera's pose, depth scale or depth-to-colour registration is off: calibrate again"
    return [
        Check(
            "depth-agreement",
            worst,
            millimetres,
            "mm",
            "< 20",
            "pass" if millimetres < 20 else "warn" if millimetres < 35 else "fail",
            remedy,
        ),
        Check(
            "depth-overlap",
            least,
            shares[least],
            "of its points",
            ">= 0.25",
            "pass" if shares[least] >= 0.25 else "warn" if shares[least] >= 0.08 else "fail",
            remedy,
        ),
        Check(
            "mask-agreement",
            odd,
            masks[odd],
            "of the points",
            ">= 0.85",
            "pass" if masks[odd] >= 0.85 else "warn" if masks[odd] >= 0.5 else "fail",
            "this camera's mask takes in background or misses the person, or its pose is off",
        ),
    ]
