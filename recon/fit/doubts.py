"""What is wrong with the evidence that a body was fitted to, in words.

A fit degrades quietly: robust costs leave away what does not agree. So what was missing, exchanged or askew is looked
for in the landmarks themselves, with the session's own calibration, and said. How few cameras and frames may be is a
matter of geometry; whether a camera is off is judged by its own residuals' mean against their spread and against the
other cameras' (`_turned_camera`).

Symbols: ``t`` frames, ``c`` cameras, ``k`` landmarks, ``n`` rays of one camera.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial.transform import Rotation

from simulacra.recon.fit.capture import Views
from simulacra.recon.fit.config import FitConfig
from simulacra.recon.fit.tracks import PoseTracks
from simulacra.recon.multiview.detections import Detections, PinholeCameras
from simulacra.recon.multiview.triangulate import transverse_error, triangulate
from simulacra.recon.observe.presence import FEWEST_LANDMARKS, FEWEST_VIEWS, SURE, views_needed

# Of landmarks that a picture should show: a body hides up to an eighth of its own from cameras all around.
_MOST_MISSING = 0.2
# The sides of more frames than this are the camera's, not the network's slips.
_MOST_EXCHANGED = 0.5
# Accelerations and the detector's constant offsets need three moments.
_FEWEST_FRAMES = 3
# A detector errs alike in neighbouring frames: more say no more about a camera.
_INDEPENDENT_FRAMES, _MOST_FRAMES = 5, 6
# A turn is believed beyond so many standard errors, where it moves the person's picture by so many expected errors of a
# landmark, and so many times more than the other cameras' own mean errors do.
_STANDARD_ERRORS, _LANDMARK_ERRORS, _TIMES_OTHERS = 4.0, 1.5, 3.0
# One camera is named where the next likeliest leaves so much more disagreement.
_NEXT_LIKELIEST = 1.25
_MOST_SUSPECTS = 4
_ROBUST_STEPS = 10


@dataclass(frozen=True)
class Doubt:
    """Something wrong with the evidence.

    Attributes:
        kind: ``missing-landmarks``, ``camera-turned``, ``sides-exchanged``, ``few-cameras`` or ``few-frames``.
        text: one or two sentences: what was found, and what to do.
        camera: whose it is; None for all, or where it cannot be told.
        numbers: what was measured, by names that end in their units.
    """

    kind: str
    text: str
    camera: str | None = None
    numbers: Mapping[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """As ``fit.json`` has it."""
        return {
            "kind": self.kind,
            "camera": self.camera,
            "text": self.text,
            "numbers": {name: round(float(value), 4) for name, value in self.numbers.items()},
        }


def doubts_from_json(found: Sequence[Mapping[str, Any]]) -> tuple[Doubt, ...]:
    """What `Doubt.as_json` gave.

    Raises:
        KeyError: something is not there.
    """
    return tuple(Doubt(each["kind"], each["text"], each["camera"], dict(each["numbers"])) for each in found)


def find_doubts(tracks: PoseTracks, given: Views, config: FitConfig) -> tuple[Doubt, ...]:
    """Everything that is wrong with the landmarks of a capture; nothing where they are sound.

    Args:
        tracks: of the whole capture, sides put right and clocks aligned.
        given: the cameras as the session has them, before landmarks turned any.
    """
    present = (tracks.seen > SURE).sum(-1) >= FEWEST_LANDMARKS
    found = (
        _few_cameras(present, given),
        _few_frames(present, given),
        _missing_landmarks(tracks, present, given, config),
        *_exchanged_sides(tracks, present, given),
        _turned_camera(tracks, present, given, config),
    )
    return tuple(doubt for doubt in found if doubt is not None)


def _few_cameras(present: Bool[np.ndarray, "t c"], given: Views) -> Doubt | None:
    """Two cameras measure, but neither can be told wrong; a single one is spoken of elsewhere."""
    held = present.sum(1) >= FEWEST_VIEWS
    if len(given.names) < FEWEST_VIEWS or not held.any():
        return None
    two = float((present[held].sum(1) == FEWEST_VIEWS).mean())
    if two <= 0.5:
        return None
    cameras = present[held].any(0)
    names = " and ".join(name for name, seen in zip(given.names, cameras, strict=True) if seen)
    where = (
        f"Only two cameras see the person ({names})"
        if cameras.sum() == FEWEST_VIEWS
        else f"Only two cameras at once see the person in {two:.0%} of the frames"
    )
    return Doubt(
        "few-cameras",
        f"{where}: a landmark that one of them has wrong, sides that it exchanged, or a turn of a camera "
        "cannot be told from the other. A third camera tells.",
        numbers={"cameras": float(cameras.sum()), "frames_of_two_share": two},
    )


def _few_frames(present: Bool[np.ndarray, "t c"], given: Views) -> Doubt | None:
    frames = int((present.sum(1) >= views_needed(len(given.names))).sum())
    if frames >= _FEWEST_FRAMES:
        return None
    said = "Only one frame shows" if frames == 1 else f"Only {frames} frames show"
    return Doubt(
        "few-frames",
        f"{said} the person: a landmark's error is not averaged over poses, the detector's constant offsets are not "
        f"told from the person's proportions, and nothing is known of motion. Give {_FEWEST_FRAMES} frames or more.",
        numbers={"frames": float(frames)},
    )


def _missing_landmarks(
    tracks: PoseTracks, present: Bool[np.ndarray, "t c"], given: Views, config: FitConfig
) -> Doubt | None:
    """Of landmarks that a camera which sees the person should have: not those outside of its picture, nor those that no
    camera ever shows.
    """
    known = np.isfinite(tracks.pixels).all(-1)
    with np.errstate(invalid="ignore"):
        inside = ((tracks.pixels >= 0) & (tracks.pixels <= given.sizes[None, :, None])).all(-1)
    expected = present[..., None] & tracks.shown & (inside | ~known)
    missing = expected & (~known | (tracks.seen < config.triangulation.min_confidence))
    if not expected.any():
        return None
    share = missing.sum() / expected.sum()
    if share <= _MOST_MISSING:
        return None
    each = missing.sum((0, 2)) / np.maximum(expected.sum((0, 2)), 1)
    worst = int(each.argmax())
    return Doubt(
        "missing-landmarks",
        f"{share:.0%} of the landmarks that the pictures should show are missing (most in camera "
        f"{given.names[worst]}: {each[worst]:.0%}): joints rest on fewer views than there are cameras. "
        "Light the person, bring it larger into the pictures, and move what hides it.",
        numbers={"missing_share": float(share), "worst_camera_share": float(each[worst])},
    )


def _exchanged_sides(tracks: PoseTracks, present: Bool[np.ndarray, "t c"], given: Views) -> list[Doubt]:
    """Cameras whose left and right were exchanged against all others through most of the capture."""
    if tracks.swapped.shape[1] < 3:
        return []
    found, believed = [], _exchange_agrees(tracks)
    for column, name in enumerate(given.names):
        own = tracks.swapped[present[:, column], column].all(-1)
        if not own.size or own.mean() <= _MOST_EXCHANGED or not believed[column]:
            continue
        found.append(
            Doubt(
                "sides-exchanged",
                f"Camera {name} has left and right exchanged against the other cameras in {own.mean():.0%} of its "
                "frames; they were exchanged back. Are its pictures mirrored, or does it see the person's back?",
                name,
                {"frames_share": float(own.mean())},
            )
        )
    return found


def _exchange_agrees(tracks: PoseTracks) -> Bool[np.ndarray, " c"]:
    """Whether most detections of a camera agree with the others where its sides were exchanged. Those of a camera that
    looks elsewhere agree neither way.
    """
    sure = (tracks.seen > SURE) & tracks.swapped.all(-1)[..., None]
    agree = sure & (tracks.weights >= tracks.seen)
    found: Bool[np.ndarray, " c"] = agree.sum((0, 2)) > 0.5 * sure.sum((0, 2))
    return found


def _turned_camera(
    tracks: PoseTracks, present: Bool[np.ndarray, "t c"], given: Views, config: FitConfig
) -> Doubt | None:
    """The camera that stands otherwise than its calibration says.

    Of each camera the turn is found that brings its rays to the triangulated points. Detections err by some spread,
    and alike within a part of the body and in neighbouring frames, which gives the turn's standard error. A camera is
    suspected whose turn moves the person by many of these, by more than a landmark's expected error at the person's
    distance, and by much more than the turns of the others. Then each suspect is turned by what the others alone ask
    of it: which one it is shows by what disagreement is left.
    """
    rows = np.flatnonzero(present.sum(1) >= 3)
    if not len(rows):
        return None
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _MOST_FRAMES)).astype(int))]
    undone = tracks.swapped & ~_exchange_agrees(tracks)[:, None]
    seen = Detections(tracks.pixels, tracks.seen).exchanged(undone).of_frames(rows)
    points = tracks.points[rows]
    if tracks.adjusted.turns.any() or undone.any():
        points = triangulate(seen, given.cameras, config.triangulation).points
    turns = [_camera_turn(seen, given.cameras, points, column) for column in range(len(given.names))]
    moved = np.array([0.0 if turn is None else turn.moved for turn in turns])
    suspects = [c for c in np.argsort(-moved)[:_MOST_SUSPECTS] if _is_large(turns[c], config)]
    if not suspects:
        return None
    tried = [c for c in np.argsort(-moved)[: max(_MOST_SUSPECTS, len(suspects))] if turns[c] is not None]
    before = _disagreement(seen, given.cameras, config)
    found: list[tuple[float, int, _Turn]] = []
    for column in tried:
        turn = _turn_by_others(seen, given.cameras, column, config)
        if turn is not None:
            left = _disagreement(seen, given.cameras.turned(_one(turn, column, len(turns))), config)
            found.append((left, int(column), turn))
    found.sort(key=lambda each: each[0])
    if not found:
        return None
    left, column, turn = found[0]
    others = np.array([of.moved for of in _others_turns(seen, given.cameras, column, turn, config)])
    usual = float(np.median(others)) if len(others) else 0.0
    if not _is_large(turn, config) or turn.moved < _TIMES_OTHERS * usual or left >= before:
        return None
    sure = len(found) == 1 or found[1][0] > _NEXT_LIKELIEST * left
    return _turn_doubt(tracks, given, column, turn, usual, sure)


def _turn_doubt(
    tracks: PoseTracks, given: Views, column: int, turn: _Turn, usual: float, sure: bool
) -> Doubt:
    back = float(np.degrees(np.linalg.norm(tracks.adjusted.turns[column])))
    moved = float(np.degrees(turn.moved))
    what = f"by {moved:.1f} degrees, {1000 * turn.moved * turn.distance:.0f} mm at the person"
    done = "The fit turned it back" if back > 0.5 * moved else "The fit leaves its landmarks away where they disagree"
    text = (
        f"Camera {given.names[column]} looks elsewhere than its calibration says, {what}; the others differ by "
        f"{np.degrees(usual):.1f}. {done}. Calibrate again."
        if sure
        else f"One of the cameras {', '.join(given.names)} looks elsewhere than its calibration says, {what}: these "
        "cameras do not tell which. Calibrate again; a further camera tells."
    )
    numbers = {
        "turn_deg": moved,
        "at_person_m": turn.moved * turn.distance,
        "standard_errors": turn.moved / turn.error,
        "others_deg": float(np.degrees(usual)),
        "turned_back_deg": back,
    }
    return Doubt("camera-turned", text, given.names[column] if sure else None, numbers)


@dataclass(frozen=True)
class _Turn:
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


def _is_large(turn: _Turn | None, config: FitConfig) -> bool:
    if turn is None:
        return False
    moved_m = turn.moved * turn.distance
    return (
        turn.moved > _STANDARD_ERRORS * turn.error and moved_m > _LANDMARK_ERRORS * config.triangulation.noise_m
    )


def _one(turn: _Turn, column: int, count: int) -> Float[np.ndarray, "c 3"]:
    """Turns of all cameras, of which one turns."""
    turns = np.zeros((count, 3))
    turns[column] = turn.vector
    return turns


def _turn_by_others(
    seen: Detections, cameras: PinholeCameras, column: int, config: FitConfig
) -> _Turn | None:
    """What a camera is turned by against points of the others alone."""
    others = np.delete(np.arange(len(cameras)), column)
    points = triangulate(seen.of_cameras(others), cameras.subset(others), config.triangulation).points
    return _camera_turn(seen, cameras, points, column)


def _others_turns(
    seen: Detections, cameras: PinholeCameras, column: int, turn: _Turn, config: FitConfig
) -> list[_Turn]:
    """Turns that the other cameras ask for once this one is put right."""
    right = cameras.turned(_one(turn, column, len(cameras)))
    points = triangulate(seen, right, config.triangulation).points
    found = (_camera_turn(seen, right, points, other) for other in range(len(cameras)) if other != column)
    return [each for each in found if each is not None]


def _disagreement(seen: Detections, cameras: PinholeCameras, config: FitConfig) -> float:
    """Mean squared error of detections about the points that they give, truncated where they are rejected."""
    triangulation = config.triangulation
    points = triangulate(seen, cameras, triangulation).points
    error, _ = transverse_error(points, cameras.rays(np.nan_to_num(seen.pixels)), cameras)
    weights = seen.weights(triangulation.min_confidence)
    truncated = np.minimum((error / triangulation.outlier_m) ** 2, 1.0)
    return float((weights * truncated).sum() / max(weights.sum(), 1e-9))


def _camera_turn(
    seen: Detections, cameras: PinholeCameras, points: Float[np.ndarray, "t k 3"], column: int
) -> _Turn | None:
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
    vector, spread = _robust_turn(there, detected)
    moved = np.cross(vector, there)
    independent = parts * min(len(np.unique(frames)), _INDEPENDENT_FRAMES)
    return _Turn(
        # Points are turned to their detections, as `PinholeCameras.turned` turns the camera's axes.
        vector,
        float(np.sqrt((moved**2).sum(-1).mean())),
        spread / float(np.sqrt(independent)),
        float(np.median(np.linalg.norm(local[usable], axis=-1))),
    )


def _robust_turn(
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
