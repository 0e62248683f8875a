"""What is wrong with the evidence that a body was fitted to, in words.

A fit degrades quietly: robust costs leave away what does not agree. So what was missing, exchanged or askew is looked
for in the landmarks themselves, with the session's own calibration, and said. How few cameras and frames may be is a
matter of geometry; whether a camera is off is judged against its residuals' spread and the other cameras'
(`recon.fit.turned`).

Symbols: ``t`` frames, ``c`` cameras.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool

from simulacra.recon.fit.capture import Views
from simulacra.recon.fit.config import FitConfig
from simulacra.recon.fit.tracks import PoseTracks
from simulacra.recon.fit.turned import TurnedCamera, find_turned_camera
from simulacra.recon.multiview.detections import Detections
from simulacra.recon.multiview.triangulate import triangulate
from simulacra.recon.observe.presence import FEWEST_LANDMARKS, FEWEST_VIEWS, SURE, views_needed

# Of landmarks that a picture should show: a body hides up to an eighth of its own from cameras all around.
_MOST_MISSING = 0.2
# The sides of more frames than this are the camera's, not the network's slips.
_MOST_EXCHANGED = 0.5
# Accelerations and the detector's constant offsets need three moments.
_FEWEST_FRAMES = 3
# Of those that a turned camera is looked for in, evenly over the capture.
_MOST_FRAMES = 6


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
    sure = (tracks.seen > SURE) & np.asarray(tracks.swapped.all(-1))[..., None]
    agree = sure & (tracks.weights >= tracks.seen)
    return np.asarray(agree.sum((0, 2)) > 0.5 * sure.sum((0, 2)))


def _turned_camera(
    tracks: PoseTracks, present: Bool[np.ndarray, "t c"], given: Views, config: FitConfig
) -> Doubt | None:
    """The camera that stands otherwise than its calibration says (`recon.fit.turned`)."""
    rows = np.flatnonzero(present.sum(1) >= 3)
    if not len(rows):
        return None
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _MOST_FRAMES)).astype(int))]
    undone = tracks.swapped & ~_exchange_agrees(tracks)[:, None]
    seen = Detections(tracks.pixels, tracks.seen).exchanged(undone).of_frames(rows)
    points = tracks.points[rows]
    if tracks.adjusted.turns.any() or undone.any():
        points = triangulate(seen, given.cameras, config.triangulation).points
    found = find_turned_camera(seen, given.cameras, points, config.triangulation)
    return None if found is None else _turn_doubt(tracks, given, found)


def _turn_doubt(tracks: PoseTracks, given: Views, found: TurnedCamera) -> Doubt:
    column, turn, usual, sure = found.column, found.turn, found.others, found.sure
    back = float(np.degrees(np.linalg.norm(tracks.adjusted.turns[column])))
    moved = float(np.degrees(turn.moved))
    what = f"by {moved:.1f} degrees, {1000 * turn.moved * turn.distance:.0f} mm at the person"
    done = (
        "The fit turned it back"
        if back > 0.5 * moved
        else "The fit leaves its landmarks away where they disagree"
    )
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
