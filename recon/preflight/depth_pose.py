"""How far each camera's surface must be moved to lie on that of the others: the pose by depth, to millimetres.

Point-to-plane alignment (Chen and Medioni 1992) of one camera's points to all others' together, with the camera's focal
length as a seventh number: a wrong one stretches what it sees across its axis. Depth cameras agree to some millimetres
whatever the person wears, so this sees a tenth of what landmarks see.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.spatial import cKDTree

from simulacra.recon.preflight.record import Check, check_values
from simulacra.recon.session import SessionCamera

# Points further apart are of two surfaces, metres: first, and in the end.
REACH = (0.12, 0.08, 0.05, 0.05, 0.04, 0.03)
NOISE = 0.006
# Neighbours that span the plane about a point.
PLANE = 12
# What is expected before anything is measured: radians, metres, and a share of the focal length.
PRIORS = np.array([0.05] * 3 + [0.1] * 3 + [0.02])
MOST = 1000

# Cameras whose axes differ by more see other sides of a person, degrees; and the share of points with a counterpart
# that makes two surfaces one: with less, a front would be laid on a back.
WIDEST_PAIR, OVERLAP = 75.0, 0.3
# Every camera has its own number of points.
Surfaces = Sequence[tuple[SessionCamera, Float[np.ndarray, "_ 3"]]]


def align(
    camera: SessionCamera, points: Float[np.ndarray, "n 3"], others: Float[np.ndarray, "m 3"]
) -> tuple[Float[np.ndarray, "7"], float, float] | None:
    """Turn about the points' middle (3), move (3) and stretch (1) of one camera's points; and the misfit before, after.

    Returns:
        None where too few points have a counterpart; misfits in metres.
    """
    tree = cKDTree(others)
    middle = points.mean(0)
    centre = -camera.viewmat[:3, :3].T @ camera.viewmat[:3, 3]
    axis = camera.viewmat[2, :3]
    total = np.zeros(7)
    moved = points
    before = 0.0
    for step, reach in enumerate(REACH):
        distance, index = tree.query(moved, k=PLANE, distance_upper_bound=2 * reach, workers=1)
        near = np.isfinite(distance).all(-1) & (distance[:, 0] < reach)
        if near.sum() < max(100, OVERLAP * len(points)):
            return None
        group = others[index[near]]
        mean = group.mean(1)
        centred = group - mean[:, None]
        sizes, directions = np.linalg.eigh(np.einsum("nki,nkj->nij", centred, centred))
        normal = directions[..., 0]
        # The thickness of a plane's points over their width.
        flat = sizes[:, 0] < 0.12 * sizes[:, 1]
        source = moved[near]
        away = ((source - mean) * normal).sum(-1)
        across = source - centre
        across = across - (across @ axis)[:, None] * axis
        design = np.concatenate(
            [np.cross(source - middle, normal), normal, (across * normal).sum(-1, keepdims=True)], axis=-1
        )
        scale = max(NOISE, 1.5 * float(np.median(np.abs(away[flat])))) if flat.any() else NOISE
        weight = flat / (1 + (away / (2 * scale)) ** 2) ** 2
        information = (design * weight[:, None]).T @ design / NOISE**2
        # Points of one surface err together: they count as a few hundred.
        share = min(1.0, 300 / max(len(source), 1))
        information = share * information + np.diag(1 / PRIORS**2)
        moment = -share * design.T @ (weight * away) / NOISE**2 - total / PRIORS**2
        change = np.linalg.solve(information, moment)
        if step == 0:
            before = float(np.median(np.abs(away[flat])))
        total = total + change
        moved = _move_points(points, total, middle, centre, axis)
    return total, before, float(np.median(np.abs(away[flat])))


def are_neighbours(a: SessionCamera, b: SessionCamera) -> bool:
    """Whether two cameras look at the same side of a person, by their axes."""
    return float(a.viewmat[2, :3] @ b.viewmat[2, :3]) > float(np.cos(np.radians(WIDEST_PAIR)))


def _move_points(
    points: Float[np.ndarray, "n 3"],
    values: Float[np.ndarray, "7"],
    middle: Float[np.ndarray, "3"],
    centre: Float[np.ndarray, "3"],
    axis: Float[np.ndarray, "3"],
) -> Float[np.ndarray, "n 3"]:
    """Points turned, moved and stretched, to first order in the turn."""
    across = points - centre
    across = across - (across @ axis)[:, None] * axis
    return points + np.cross(values[:3], points - middle) + values[3:6] + values[6] * across


def check_depth_pose(frames: Sequence[Surfaces]) -> list[Check]:
    """Median over the frames of how far each camera's surface is from the others'."""
    moves: dict[str, list[np.ndarray]] = {}
    for surfaces in frames:
        if len(surfaces) < 3:
            continue
        for k, (camera, points) in enumerate(surfaces):
            others = [p for j, (other, p) in enumerate(surfaces) if j != k and are_neighbours(camera, other)]
            if not others:
                continue
            found = align(camera, points[:: max(1, len(points) // MOST)], np.concatenate(others))
            if found is not None:
                moves.setdefault(camera.name, []).append(found[0])
    if not moves:
        return []
    middle = {name: np.median(of, axis=0) for name, of in moves.items()}
    shifts = {name: 1000 * float(np.linalg.norm(v[3:6])) for name, v in middle.items()}
    focal = {name: 100 * float(v[6]) for name, v in middle.items()}
    turns = {name: float(np.degrees(np.linalg.norm(v[:3]))) for name, v in middle.items()}
    worst = max(shifts, key=lambda n: shifts[n])
    return [
        # Makers give depth cameras a systematic error of about 11 mm, and an arm is 60 mm wide.
        *check_values(
            "depth-pose", shifts, warn=lambda v: v > 15, fail=lambda v: v > 60, unit="mm",
            limit="<= 15, fails over 60", remedy="this camera was touched after its calibration: calibrate again",
            evidence=f"{worst}: turned by {turns[worst]:.1f} degrees about the person" if shifts[worst] > 15 else "",
        ),
        *check_values(
            "depth-focal", focal, warn=lambda v: abs(v) > 1.2, worse=abs, unit="% wider than it should be",
            limit="within 1.2", remedy="this camera's focal length is off: calibrate again",
        ),
    ]  # fmt: skip
