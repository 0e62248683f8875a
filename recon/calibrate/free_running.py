"""Recordings of a board by cameras that were started one by one: which pictures are of one moment.

A board that is waved before all cameras moves in all pictures alike: places of it, held to the board's plane by
whatever corners are seen, are what landmarks are in `recon.multiview.offsets`. Where that is not clear the sound of the
room may be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float

from simulacra.recon.calibrate.boards import Board
from simulacra.recon.calibrate.recordings import (
    MOST_FRAMES,
    BoardView,
    BoardViews,
    RecordedFrame,
    find_pictures,
    gather_views,
)
from simulacra.recon.importers.caliscope import TIMESTAMP_FILES
from simulacra.recon.multiview.offsets import MIDDLES, SeenMotion, find_offsets
from simulacra.recon.session.frame_table import frame_table
from simulacra.recon.session.pairing import pair_by_time, usual_interval
from simulacra.recon.synchronise.sound import clocks_by_sound, read_sound

# Pictures of a camera with a board without which its motion says nothing, and corners that hold a plane.
FEWEST_VIEWS, FEWEST_CORNERS = 20, 6
# Difference of two cameras that is looked for, seconds.
LARGEST = 60.0


def gather_recording(
    src: Path, board: Board
) -> tuple[dict[str, tuple[RecordedFrame, ...]], BoardViews, list[str]]:
    """The pictures of a recording, what they show of the board, and what was found of the cameras' clocks.

    Videos that turn out to have been started one by one are paired by when they were, and looked at again.

    Raises:
        InputError: as `find_pictures` and `gather_views`.
        CaptureError: no picture shows the board.
    """
    pictures = find_pictures(src)
    found = gather_views(pictures, board)
    if any((src / name).is_file() for name in TIMESTAMP_FILES):
        return pictures, found, []
    clocks = _own_clocks(pictures)
    offsets = None if clocks is None else _find_offsets(pictures, clocks, found)
    if clocks is None or offsets is None:
        return pictures, found, []
    began, how = offsets
    interval = max(usual_interval(own) for own in clocks.values())
    if np.ptp(np.round(np.array(list(began.values())) / interval)) < 1:
        return pictures, found, []
    pictures = _pair_again(pictures, clocks, began)
    first = min(began.values())
    said = ", ".join(
        f"{name} {time - first:.2f} s" for name, time in began.items() if time - first > interval / 2
    )
    return pictures, gather_views(pictures, board), [
        f"cameras were started one by one, by {how}: after the first {said}; pictures are paired by that"
    ]  # fmt: skip


def _own_clocks(
    pictures: Mapping[str, Sequence[RecordedFrame]],
) -> dict[str, Float[np.ndarray, " n"]] | None:
    """Times of all pictures of each camera by its own stamps, seconds; None where one is no video with stamps."""
    clocks = {}
    for name, own in pictures.items():
        table = frame_table(own[0].file) if own and own[0].number is not None else None
        if table is None or len(table.stamps) < 2:
            return None
        clocks[name] = table.stamps * float(table.time_base)
    return clocks if len(clocks) > 1 else None


def _find_offsets(
    pictures: Mapping[str, Sequence[RecordedFrame]],
    clocks: Mapping[str, Float[np.ndarray, " n"]],
    found: BoardViews,
) -> tuple[dict[str, float], str] | None:
    """When each camera's first picture was taken by a common clock, seconds, and by what that is known."""
    names = found.cameras
    seen = [
        board_motion_of([view for view in found.views if view.camera == camera], found.board, clocks[name])
        for camera, name in enumerate(names)
    ]
    if all(len(one.times) >= FEWEST_VIEWS for one in seen):
        offsets = find_offsets(seen, LARGEST)
        if not offsets.unclear:
            first = [float(clocks[name][0]) for name in names]
            return dict(zip(names, (offsets.seconds + first).tolist(), strict=True)), "the board's motion"
    sounds = {name: read_sound(pictures[name][0].file, float(clocks[name][0])) for name in names}
    heard = {name: sound for name, sound in sounds.items() if sound is not None}
    told = clocks_by_sound(heard, LARGEST) if len(heard) == len(names) else None
    return None if told is None else ({name: told[name].offset for name in names}, "what they heard")


def board_motion_of(views: Sequence[BoardView], board: Board, clock: Float[np.ndarray, " n"]) -> SeenMotion:
    """Places of a board in the pictures of one camera that show enough of it.

    Args:
        clock: times of all pictures of the camera, seconds.
    """
    low, high = board.corners[:, :2].min(0), board.corners[:, :2].max(0)
    shares = np.array([[0.5, 0.5], [0, 0], [1, 0], [1, 1], [0, 1], [0.5, 0], [0.5, 1]])
    places = (low + shares * (high - low))[None].astype(np.float64)
    times, pixels = [], []
    for view in sorted(views, key=lambda one: one.frame or 0):
        if view.frame is None or len(view.corners.numbers) < FEWEST_CORNERS:
            continue
        H, _ = cv2.findHomography(board.corners[view.corners.numbers, :2], view.corners.pixels)
        if H is None:
            continue
        landmarks = np.full((33, 2), np.nan)
        for place, pair in zip(cv2.perspectiveTransform(places, H)[0], MIDDLES, strict=True):
            landmarks[list(pair)] = place
        times.append(clock[view.frame])
        pixels.append(landmarks)
    stacked = np.array(pixels).reshape(-1, 33, 2)
    return SeenMotion(np.array(times), stacked, np.isfinite(stacked).all(-1).astype(np.float64))


def _pair_again(
    pictures: Mapping[str, Sequence[RecordedFrame]],
    clocks: Mapping[str, Float[np.ndarray, " n"]],
    began: Mapping[str, float],
) -> dict[str, tuple[RecordedFrame, ...]]:
    """Pictures of one moment by a common clock, evenly chosen where there are many moments."""
    common = {name: own - own[0] + began[name] for name, own in clocks.items()}
    moments = pair_by_time(common)
    shared = [moment for moment in moments if len(moment.numbers) > 1]
    kept = np.unique(np.linspace(0, len(shared) - 1, min(MOST_FRAMES, len(shared))).round().astype(int))
    again: dict[str, list[RecordedFrame]] = {name: [] for name in pictures}
    for moment in (shared[i] for i in kept.tolist()):
        for name, number in moment.numbers.items():
            time = float(common[name][number])
            again[name].append(RecordedFrame(str(moment.index), pictures[name][0].file, number, time))
    return {name: tuple(own) for name, own in again.items()}
