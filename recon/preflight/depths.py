"""Checks of depth: its scale, its place against the picture, and whether cameras measure one surface."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float

from simulacra.recon.preflight.bodies import MIRROR, USED, stature
from simulacra.recon.preflight.consistency import SHORTEST, TALLEST, Consistency
from simulacra.recon.preflight.depth_pose import are_neighbours, check_depth_pose
from simulacra.recon.preflight.reading import Problems
from simulacra.recon.preflight.record import Check, Status, check_values
from simulacra.recon.preflight.registration import check_registration, outline_shift
from simulacra.recon.preflight.samples import SessionSamples
from simulacra.recon.session import Session, SessionCamera
from simulacra.render.runtime.errors import UserError

# Points of a camera that are compared with the others.
MOST_POINTS = 4000
# Two depths that differ by more are of two surfaces, metres.
SAME_SURFACE = 0.05
# A depth that changes by more from one pixel to the next is an edge, where sensors invent points, metres.
EDGE = 0.03
# A joint lies behind the skin by so much, metres: half a limb, half a trunk.
WITHIN = 0.06
# Share of the person's height, from below, at which the floor cannot be told from the feet.
SOLES = 0.05
# Width between the shoulders' joints, and between the pupils, of the stature (Drillis and Contini 1966; pupils of
# adults are 63 mm apart).
SHOULDERS, PUPILS = 0.2, 0.037
# Of a head alone that is in view a face is the least, metres; somebody is cut off who takes this share of the border.
SHORTEST_PART, CUT_OFF = 0.12, 0.005


@dataclass(frozen=True)
class PersonDepth:
    """Depth of the person in one camera.

    Attributes:
        inside: the mask.
        depth: metres, 0 where unknown.
        points: some of the surface, in the world, metres.
    """

    camera: SessionCamera
    inside: Bool[np.ndarray, "h w"]
    depth: Float[np.ndarray, "h w"]
    points: Float[np.ndarray, "n 3"]


def check_depths(
    session: Session, samples: SessionSamples, found: Consistency | None, problems: Problems
) -> list[Check]:
    """All checks of depth on the stills; none where the session has no depth. One frame is in memory at a time."""
    if all(camera.depth_scale is None for camera in session.cameras):
        return []
    heights: dict[str, list[tuple[float, bool]]] = {}
    holes: dict[str, list[float]] = {}
    limbs: dict[str, list[float]] = {}
    scales: dict[str, list[float]] = {}
    outlines: dict[str, list[tuple[float, float, float]]] = {}
    pairs: list[PairAgreement] = []
    surfaces = []
    for frame in samples.stills:
        people = _people(session, samples, frame, problems)
        for person in people:
            name = person.camera.name
            covered = float((person.depth > 0)[person.inside].mean())
            holes.setdefault(name, []).append(1 - covered)
            if len(person.points):
                low, high = np.quantile(person.points[:, 1], [0.002, 0.998])
                heights.setdefault(name, []).append((float(high - low), _is_cut_off(person.inside)))
            joints, ratio = _measure_at_joints(person, samples, frame, found)
            if np.isfinite(joints):
                limbs.setdefault(name, []).append(joints)
            if np.isfinite(ratio):
                scales.setdefault(name, []).append(ratio)
            floor = _ground(person)
            above = np.where(floor, 0, person.depth).astype(np.float32)
            outlines.setdefault(name, []).append(outline_shift(person.inside & ~floor, above))
        pairs += list(_pairs([person for person in people if len(person.points)]))
        surfaces.append([(p.camera, p.points) for p in people if len(p.points) >= 200])
    checks = (
        _check_stature(heights, limbs)
        + _check_holes(holes)
        + check_registration(outlines)
        + _check_scale(scales)
    )
    if any(check.code == "stature" and check.status == "fail" for check in checks):
        return checks  # nothing agrees at a wrong scale: one message is enough
    return checks + _check_agreement(pairs) + check_depth_pose(surfaces)


def _people(session: Session, samples: SessionSamples, frame: int, problems: Problems) -> list[PersonDepth]:
    found = []
    for camera in session.cameras:
        if not session.has(frame, camera.name):
            continue
        try:
            measured, mask = session.depth(frame, camera.name), session.mask(frame, camera.name)
        except UserError as error:
            problems.add(camera.name, error)
            continue
        still = next((s for s in samples.camera(camera.name).stills if s.frame == frame), None)
        if mask is None and still is not None and still.silhouette is not None and camera.lens is None:
            size = (camera.width, camera.height)
            mask = cv2.resize(still.silhouette, size, interpolation=cv2.INTER_LINEAR).astype(np.float32) / 255
        if measured is None or mask is None:
            continue
        depth, valid = measured
        inside = mask > 0.5
        if not inside.any():
            continue  # nobody is there at that moment: no hole in the depth, and no other frame's depth
        points = surface_points(camera, depth, valid & inside)
        found.append(PersonDepth(camera, inside, np.where(valid, depth, 0).astype(np.float32), points))
    return found


def _ground(person: PersonDepth) -> Bool[np.ndarray, "h w"]:
    """Pixels as low as the person's soles: the floor there is as far away as the feet, and no outline is between."""
    if not len(person.points):
        return np.zeros(person.depth.shape, bool)
    low, high = np.quantile(person.points[:, 1], [0.002, 0.998])
    camera = person.camera
    rows, columns = np.ogrid[: person.depth.shape[0], : person.depth.shape[1]]
    rays = (
        (columns + 0.5 - camera.K[0, 2]) / camera.K[0, 0],
        (rows + 0.5 - camera.K[1, 2]) / camera.K[1, 1],
        1.0,
    )
    up = camera.viewmat[:3, 1]
    position = -camera.viewmat[:3, :3].T @ camera.viewmat[:3, 3]
    height = position[1] + person.depth * sum(up[k] * rays[k] for k in range(3))
    return (person.depth > 0) & (height < low + SOLES * (high - low))


def _measure_at_joints(
    person: PersonDepth, samples: SessionSamples, frame: int, found: Consistency | None
) -> tuple[float, float]:
    """Stature by depth at landmarks, metres, and that depth over what the other cameras say; NaN if unknown."""
    camera = person.camera
    body = samples.camera(camera.name).bodies.get(frame)
    if body is None or camera.lens is not None:
        return float("nan"), float("nan")
    at = np.floor(body.px).astype(int)
    height, width = person.depth.shape
    seen = (at >= 0).all(-1) & (at[:, 0] < width) & (at[:, 1] < height) & (body.visibility > 0.9)
    z = np.full(len(MIRROR), np.nan)
    for k in np.flatnonzero(seen):
        x, y = at[k]
        window = slice(max(0, y - 2), y + 3), slice(max(0, x - 2), x + 3)
        known = person.depth[window][person.inside[window] & (person.depth[window] > 0)]
        if known.size >= 5:
            z[k] = float(np.median(known))
    rays = (body.px - camera.K[:2, 2]) / camera.K[[0, 1], [0, 1]]
    points = np.concatenate([rays * z[:, None], z[:, None]], axis=-1)
    size = stature(points[None])
    if not np.isfinite(size):
        for a, b, share in ((11, 12, SHOULDERS), (2, 5, PUPILS)):
            wide = float(np.linalg.norm(points[a] - points[b])) / share
            size = wide if not np.isfinite(size) else size
    if found is None or frame not in found.stills.views.frames:
        return size, float("nan")
    views = found.stills.views
    t, c = views.frames.index(frame), views.names.index(camera.name)
    world = found.stills.others[c][t] * views.scale
    expected = world @ camera.viewmat[2, :3] + camera.viewmat[2, 3]
    # Sides may have been exchanged there; depth does not care which of the two it is, so the nearer counts.
    both = np.stack([expected, expected[MIRROR]])
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = (z + WITHIN) / both
    ratios = np.take_along_axis(
        ratios, np.nan_to_num(np.abs(np.log(np.abs(ratios))), nan=9.0).argmin(0)[None], 0
    )[0]
    ratios = ratios[list(USED)]
    known = ratios[np.isfinite(ratios) & (ratios > 0)]
    return size, float(np.median(known)) if known.size >= 4 else float("nan")


def _is_cut_off(inside: Bool[np.ndarray, "h w"]) -> bool:
    """Whether a person reaches the picture's edge: what is beyond it is not seen."""
    border = np.concatenate([inside[0], inside[-1], inside[:, 0], inside[:, -1]])
    return bool(border.mean() > CUT_OFF)


def _check_stature(
    heights: Mapping[str, list[tuple[float, bool]]], limbs: Mapping[str, list[float]]
) -> list[Check]:
    """By limbs where landmarks are known, for half bodies are no shorter persons; else by the mask's extent, which is
    that of a part where the picture's edge cuts the person off.
    """
    by_limbs = len(limbs) > 0
    if not (limbs or heights):
        return []
    # A camera may see half of a person: the tallest extent counts, of cameras that cut nobody off if there is one.
    whole = {n: [height for height, cut in v if not cut] for n, v in heights.items()}
    part = not by_limbs and not any(whole.values())
    extents = {n: [height for height, _ in v] for n, v in heights.items()} if part else whole
    middle = {n: float(np.median(v)) for n, v in (limbs if by_limbs else extents).items() if v}
    value = float(np.median(list(middle.values()))) if by_limbs else max(middle.values())
    name = min(middle, key=lambda n: abs(middle[n] - value))
    least = SHORTEST_PART if part else SHORTEST
    status: Status = "pass" if least <= value <= TALLEST else "fail"
    extent = (
        "by the extent of the depth of the part that is in view"
        if part
        else "by the extent of the person's depth"
    )
    return [
        Check(
            "stature", name if not by_limbs else "depth of all cameras", value, "m", f"{least} to {TALLEST}", status,
            "the depth scale is wrong: import again with the sensor's units in a metre as --depth-scale",
            "by limbs in depth" if by_limbs else extent,
        )
    ]  # fmt: skip


def _check_holes(holes: Mapping[str, list[float]]) -> list[Check]:
    # Hair, dark cloth and edges lose up to a tenth; half a person cannot be fused.
    return check_values(
        "depth-holes", {name: float(np.median(v)) for name, v in holes.items()}, warn=lambda v: v > 0.15,
        fail=lambda v: v > 0.5, unit="of the person", limit="<= 0.15, fails over 0.5",
        remedy="the sensor does not see the person: nearer, other light, or the depth is of another frame",
    )  # fmt: skip


def _check_scale(scales: Mapping[str, list[float]]) -> list[Check]:
    # Landmarks are within 2 % of a body's height, depth cameras stand at one to two heights.
    return check_values(
        "depth-scale", {name: float(np.median(v)) for name, v in scales.items()},
        warn=lambda v: not 0.9 < v < 1.12, fail=lambda v: not 0.75 < v < 1.33, worse=lambda v: abs(np.log(v)),
        unit="of the geometry's depth", limit="0.9 to 1.12, fails outside of 0.75 to 1.33",
        remedy="depth and calibration are in different units, or this depth is of another camera or frame",
    )  # fmt: skip


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
            yield PairAgreement(
                a.camera.name,
                b.camera.name,
                float(same.mean()),
                float(np.median(difference[same])) if same.any() else np.inf,
                float(b.inside[at].mean()),
                are_neighbours(a.camera, b.camera),
            )


def _check_agreement(pairs: Sequence[PairAgreement]) -> list[Check]:
    near = [pair for pair in pairs if pair.neighbours]
    if not near:
        return []

    def per_camera(of: Sequence[PairAgreement], value: str) -> dict[str, float]:
        names = {name for pair in of for name in (pair.source, pair.target)}
        mine = {
            n: [getattr(pair, value) for pair in of if n in (pair.source, pair.target)] for n in sorted(names)
        }
        return {name: float(np.median(values)) for name, values in mine.items()}

    # A mask that takes in background and one that misses the person differ in the direction: the worse counts.
    masks = {
        name: min(
            float(np.mean([p.in_mask for p in pairs if p.source == name] or [1.0])),
            float(np.mean([p.in_mask for p in pairs if p.target == name] or [1.0])),
        )
        for name in {pair.source for pair in pairs}
    }
    millimetres = {n: 1000 * min(v, 10.0) for n, v in per_camera(near, "difference").items()}
    remedy = "this camera's pose, depth scale or depth-to-color registration is off: calibrate again"
    return [
        *check_values(
            "depth-agreement", _odd_ones(millimetres, 1.4), warn=lambda v: v >= 20, fail=lambda v: v >= 35, unit="mm",
            limit="< 20, fails from 35", remedy=remedy,
        ),
        *check_values(
            "depth-overlap", per_camera(near, "confirmed"), warn=lambda v: v < 0.25, fail=lambda v: v < 0.08,
            worse=lambda v: -v, unit="of its points", limit=">= 0.25, fails under 0.08", remedy=remedy,
        ),
        *check_values(
            "mask-agreement", masks, warn=lambda v: v < 0.85, fail=lambda v: v < 0.5, worse=lambda v: -v,
            unit="of the points", limit=">= 0.85, fails under 0.5",
            remedy="this camera's mask takes in background or misses the person, or its pose is off",
        ),
    ]  # fmt: skip


def _odd_ones(values: Mapping[str, float], factor: float) -> dict[str, float]:
    """Neighbours of a bad camera look bad too: those that are far from the worst are measured without it."""
    worst = max(values.values())
    return {name: value for name, value in values.items() if value * factor >= worst}
