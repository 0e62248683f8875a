"""A camera that stands otherwise than its calibration says, found by the landmarks of a person.

Of each camera the turn is found that brings its rays to the triangulated points. Detections err by some spread, and
alike within a part of the body and in neighbouring frames, which gives the turn's standard error. A camera is suspected
whose turn moves the person by many of these, by more than a landmark's expected error at the person's distance, and by
much more than the turns of the others. Then each suspect is turned by what the others alone ask of it: which one it is
shows by what disagreement is left. All is in angles, so that lenses of different lengths compare.

Symbols: ``t`` frames, ``c`` cameras, ``k`` landmarks, ``n`` rays of one camera.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from simulacra.recon.multiview.detections import Detections, PinholeCameras
from simulacra.recon.multiview.triangulate import TriangulationConfig, transverse_error, triangulate
from simulacra.recon.observe.presence import FEWEST_LANDMARKS, SURE

# A detector errs alike in neighbouring frames: more say no more about a camera.
_INDEPENDENT_FRAMES = 5
# A turn is believed beyond so many standard errors, where it moves the person's picture by so many expected errors of a
# landmark, and so many times more than the other cameras' own mean errors do.
_STANDARD_ERRORS, _LANDMARK_ERRORS, _TIMES_OTHERS = 4.0, 1.5, 3.0
# One camera is named where the next likeliest leaves so much more disagreement.
_NEXT_LIKELIEST = 1.25
_MOST_SUSPECTS = 4
_ROBUST_STEPS = 10


@dataclass(frozen=True)
class CameraTurn:
    """A turn of a camera that its rays ask for.

    Attributes:
        vector: axis-angle in the camera's frame, radians.
        moved: by how much it moves what was seen, the root of the mean square over the rays, radians.
        error: standard error of that along one axis, radians.
        distance: to what was seen, metres.
    """

    vector: Float[np.ndarray, "3"]
    moved: float
    error: float
    distance: float


@dataclass(frozen=True)
class TurnedCamera:
    """The camera that is off.

    Attributes:
        column: its number.
        turn: what the others ask of it.
        others: the median of what the others are then moved by, radians.
        sure: whether it is this one; else it is only the likeliest.
    """

    column: int
    turn: CameraTurn
    others: float
    sure: bool


def find_turned_camera(
    seen: Detections,
    cameras: PinholeCameras,
    points: Float[np.ndarray, "t k 3"],
    triangulation: TriangulationConfig,
) -> TurnedCamera | None:
    """The camera that is off most; None where none is, or there are fewer than three.

    Args:
        seen: landmarks with sides put right and clocks aligned.
        cameras: as calibrated.
        points: what these give together, NaN where nothing.
    """
    if len(cameras) < 3:
        return None
    turns = [_camera_turn(seen, cameras, points, column) for column in range(len(cameras))]
    moved = np.array([0.0 if turn is None else turn.moved for turn in turns])
    suspects = np.argsort(-moved)[:_MOST_SUSPECTS]
    if not any(_is_large(turns[column], triangulation) for column in suspects):
        return None
    found: list[tuple[float, int, CameraTurn]] = []
    for column in suspects.tolist():
        turn = None if turns[column] is None else _turn_by_others(seen, cameras, column, triangulation)
        if turn is not None:
            right = cameras.turned(_one(turn, column, len(cameras)))
            found.append((_disagreement(seen, right, triangulation), column, turn))
    found.sort(key=lambda each: each[0])
    if not found:
        return None
    left, column, turn = found[0]
    others = [each.moved for each in _others_turns(seen, cameras, column, turn, triangulation)]
    usual = float(np.median(others)) if others else 0.0
    if not _is_large(turn, triangulation) or turn.moved < _TIMES_OTHERS * usual:
        return None
    if left >= _disagreement(seen, cameras, triangulation):
        return None
    sure = len(found) == 1 or found[1][0] > _NEXT_LIKELIEST * left
    return TurnedCamera(column, turn, usual, sure)


def _is_large(turn: CameraTurn | None, triangulation: TriangulationConfig) -> bool:
    if turn is None:
        return False
    moved_m = turn.moved * turn.distance
    return turn.moved > _STANDARD_ERRORS * turn.error and moved_m > _LANDMARK_ERRORS * triangulation.noise_m


def _one(turn: CameraTurn, column: int, count: int) -> Float[np.ndarray, "c 3"]:
    """Turns of all cameras, of which one turns."""
    turns = np.zeros((count, 3))
    turns[column] = turn.vector
    return turns


def _turn_by_others(
    seen: Detections, cameras: PinholeCameras, column: int, triangulation: TriangulationConfig
) -> CameraTurn | None:
    """What a camera is turned by against points of the others alone."""
    others = np.delete(np.arange(len(cameras)), column)
    points = triangulate(seen.of_cameras(others), cameras.subset(others), triangulation).points
    return _camera_turn(seen, cameras, points, column)


def _others_turns(
    seen: Detections,
    cameras: PinholeCameras,
    column: int,
    turn: CameraTurn,
    triangulation: TriangulationConfig,
) -> list[CameraTurn]:
    """Turns that the other cameras ask for once this one is put right."""
    right = cameras.turned(_one(turn, column, len(cameras)))
    points = triangulate(seen, right, triangulation).points
    found = (_camera_turn(seen, right, points, other) for other in range(len(cameras)) if other != column)
    return [each for each in found if each is not None]


def _disagreement(seen: Detections, cameras: PinholeCameras, triangulation: TriangulationConfig) -> float:
    """Mean squared error of detections about the points that they give, truncated where they are rejected."""
    points = triangulate(seen, cameras, triangulation).points
    error, _ = transverse_error(points, cameras.rays(np.nan_to_num(seen.pixels)), cameras)
    weights = seen.weights(triangulation.min_confidence)
    truncated = np.minimum((error / triangulation.outlier_m) ** 2, 1.0)
    return float((weights * truncated).sum() / max(weights.sum(), 1e-9))


def _camera_turn(
    seen: Detections, cameras: PinholeCameras, points: Float[np.ndarray, "t k 3"], column: int
) -> CameraTurn | None:
    """The turn of a camera about its centre under which its rays meet given points.

    A small turn w moves a unit direction d by w x d: so d x d' of the directions to a point and of its detection is
    (1 - d d^T) w. Solved by reweighted least squares with Geman and McClure's weights, the scale of which follows the
    residuals' median; None where fewer than three parts of the body are seen.
    """
    local = cameras.local(points)[:, column]
    rays = cameras.rays(np.nan_to_num(seen.pixels))[:, column]
    usable = np.isfinite(local).all(-1) & (seen.confidence[:, column] > SURE)
    usable &= np.isfinite(seen.pixels[:, column]).all(-1) & (np.nan_to_num(local[..., 2]) > 0)
    frames, landmarks = np.nonzero(usable)
    parts = len(np.unique(seen.layout.part_of[landmarks]))
    if parts < 3 or len(landmarks) < FEWEST_LANDMARKS:
        return None
    there = _unit(local[usable])
    detected = _unit(np.concatenate([rays[usable], np.ones((len(landmarks), 1))], -1))
    vector, spread = robust_turn(there, detected)
    moved = np.cross(vector, there)
    independent = parts * min(len(np.unique(frames)), _INDEPENDENT_FRAMES)
    return CameraTurn(
        # Points are turned to their detections, as `PinholeCameras.turned` turns the camera's axes.
        vector,
        float(np.sqrt((moved**2).sum(-1).mean())),
        spread / float(np.sqrt(independent)),
        float(np.median(np.linalg.norm(local[usable], axis=-1))),
    )


def robust_turn(
    there: Float[np.ndarray, "n 3"], detected: Float[np.ndarray, "n 3"]
) -> tuple[Float[np.ndarray, "3"], float]:
    """Axis-angle that brings directions to their detections, and the residuals' spread along one axis, radians."""
    turn = Rotation.identity()
    spread = np.inf
    for _ in range(_ROBUST_STEPS):
        now = turn.apply(there)
        off = np.cross(now, detected)
        # The median length of errors of one deviation along each of two axes.
        spread = max(float(np.median(np.linalg.norm(off, axis=-1))) / 1.1774, 1e-9)
        weights = 1 / (1 + (off**2).sum(-1) / (3 * spread) ** 2) ** 2
        blocks = np.eye(3) - now[:, :, None] * now[:, None, :]
        step = np.linalg.solve(np.einsum("n,nij->ij", weights, blocks), (weights[:, None] * off).sum(0))
        turn = Rotation.from_rotvec(step) * turn
    return turn.as_rotvec(), spread


def _unit(vectors: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    found: np.ndarray = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return found
