"""Checks of time: missing frames, times that cannot be, and pictures that contradict their order."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, UInt8

from simulacra.recon.preflight.record import Check, Status, check_values
from simulacra.recon.preflight.samples import SessionSamples
from simulacra.recon.session import Session
from simulacra.recon.session.times import ASSUMED_FPS, frame_seconds

# An interval this many times the usual one has lost frames.
GAP = 1.8
# Differences of two pictures, mean over the pixels that change at all, of 255: below, they are the same picture.
SAME = 0.02
# The picture before is less like a frame than another one by so much, where frames are out of order.
ELSEWHERE = 0.5
FEWEST = 8
# A neighbour's difference over that of the frame beyond it: a half where motion is steady, 1 where frames are in no
# order. Below the first a frame is in its place, and below the second the median of a recording in order.
GROWS, STEADY = 0.75, 0.9
# Of a usual step: a repeated frame lies beside steps of the first size, or the other cameras make one of the second.
ABRUPT, MOVES = 0.5, 0.2


def check_frames(session: Session) -> list[Check]:
    """How many frames, which are missing, and whether their times make sense."""
    count = len(session.frames)
    checks = [Check("frames", "session", float(count), "frames", ">= 1", "pass", "")]
    missed = {n: 1 - sum(n in f.sources for f in session.frames) / count for n in session.camera_names}
    checks += check_values(
        "missing-frames", missed, warn=lambda v: v > 0.02, fail=lambda v: v == 1, unit="of its frames",
        limit="<= 0.02, and never all",
        remedy="the recorder dropped frames: a faster disk, fewer cameras on a bus, or leave that camera out",
    )  # fmt: skip
    if count > 2:
        _, assumed = frame_seconds(session.frames)
        checks += check_values(
            "times-missing", {"session": ASSUMED_FPS if assumed else 0.0}, warn=lambda v: v > 0,
            unit="pictures a second are assumed", limit="0: times are there and rise", evidence=assumed or "",
            remedy="say the recording's rate when it is imported: --fps",
        )  # fmt: skip
    return checks + _check_repeats(session) + _times(session)


def _check_repeats(session: Session) -> list[Check]:
    """Frames that name a picture that another frame has named already, by the description alone."""
    doubled, before = {}, {}
    for name in session.camera_names:
        sources = [f.sources[name] for f in session.frames if name in f.sources]
        named = [(source.file, source.number) for source in sources]
        if len(named) < 2:
            continue
        doubled[name] = 1 - len(set(named)) / len(named)
        steps = [
            b[1] - a[1]
            for a, b in itertools.pairwise(named)
            if a[0] == b[0] and a[1] is not None and b[1] is not None
        ]
        if steps:
            before[name] = float(np.mean(np.array(steps) < 0))
    checks = check_values(
        "frozen-frames", {n: v for n, v in doubled.items() if v > 0}, warn=lambda v: v > 0.02,
        unit="of its frames name a picture again", limit="<= 0.02", remedy="frames are doubled: import again",
    )  # fmt: skip
    return checks + check_values(
        "frame-order", {n: v for n, v in before.items() if v > 0}, warn=lambda v: v > 0,
        fail=lambda v: v > 0.05, unit="of its steps go back in its video", limit="0",
        remedy="frames are out of order: sort files by number, not by name, and import again",
    )  # fmt: skip


def _times(session: Session) -> list[Check]:
    backwards, gaps, intervals = {}, {}, []
    for name in session.camera_names:
        times = [f.sources[name].time for f in session.frames if name in f.sources]
        steps = np.diff(np.array([time for time in times if time is not None]))
        if len(steps):
            backwards[name] = float(np.mean(steps <= 0))
            usual = float(np.median(steps))
            intervals.append(usual)
            gaps[name] = float(np.mean(steps > GAP * usual)) if usual > 0 else 0.0
    checks = check_values(
        "timestamps", backwards, warn=lambda v: False, fail=lambda v: v > 0, unit="of its frames", limit="0",
        remedy="frames are out of order or doubled: import again; with --fps, where only the stamps are wrong",
    )  # fmt: skip
    checks += check_values(
        "time-gaps", gaps, warn=lambda v: v > 0.02, unit="of its intervals", limit="<= 0.02",
        remedy="the recorder dropped frames: a faster disk, fewer cameras on a bus",
    )  # fmt: skip
    spreads = []
    for frame in session.frames:
        together = [source.time for source in frame.sources.values() if source.time is not None]
        if len(together) > 1:
            spreads.append(max(together) - min(together))
    interval = float(np.median(intervals)) if intervals else 0.0
    if spreads and interval > 0:
        late = float(np.median(spreads)) / interval
        status: Status = "pass" if late < 0.5 else "warn"
        checks.append(
            Check(
                "synchrony", "all cameras", late, "frame intervals", "< 0.5", status,
                "cameras did not record at the same time: fast motion will be blurred between them",
            )
        )  # fmt: skip
    return checks


# -- pictures in their order -----------------------------------------------------------------------


def check_motion(samples: SessionSamples) -> list[Check]:
    """Frames that stand still while others move, and frames that belong elsewhere."""
    differences = {
        camera.name: picture_differences(np.stack([camera.thumbs[f] for f in sorted(camera.thumbs)]))
        for camera in samples.cameras
        if len(camera.thumbs) >= FEWEST
    }
    if not differences:
        return []
    frozen = {name: _frozen_share(name, differences) for name in differences}
    astray = {name: _astray(table) for name, table in differences.items()}
    return [
        *check_values(
            "frozen-frames", frozen, warn=lambda v: v > 0.02, unit="of its frames look like the one before",
            limit="<= 0.02, while it moves otherwise",
            remedy="the recorder repeated frames where it dropped some: a faster disk, fewer cameras on a bus",
        ),
        *check_values(
            "frame-order", astray, warn=lambda v: v > 0.05, fail=lambda v: v > 0.25,
            unit="of its frames are more like a distant one than like their neighbours", limit="<= 0.05",
            remedy="frames are out of order: sort files by number, not by name, and import again",
        ),
    ]  # fmt: skip


def picture_differences(thumbs: UInt8[np.ndarray, "n h w"]) -> Float[np.ndarray, "n n"]:
    """Mean absolute difference of every two pictures over the pixels that change most, grey levels.

    Most of a picture stands still and holds only noise: the twentieth that varies most is where the person moves.
    """
    flat = thumbs.reshape(len(thumbs), -1).astype(np.float32)
    spread = flat.std(0)
    moving = np.argsort(-spread)[: max(20, flat.shape[1] // 20)]
    kept = flat[:, moving]
    return np.stack([np.abs(kept - row).mean(-1) for row in kept]).astype(np.float64)


def _frozen_share(name: str, differences: Mapping[str, Float[np.ndarray, "n n"]]) -> float:
    """Share of steps without any change while the camera's usual step, or the other cameras' at that time, has one.

    A person who pauses is still in all cameras, and comes to rest: such a step does not count.
    """
    own = np.diagonal(differences[name], 1)
    # Of steps that are steps: half of them may be repeated frames.
    usual = float(np.quantile(own, 0.9))
    still = own <= max(SAME, 0.05 * usual)
    others = [np.diagonal(table, 1) for other, table in differences.items() if other != name]
    if usual <= SAME:
        # Frozen for most of the time, or nothing moves at all: the others know.
        moving = others and np.median([np.median(steps) for steps in others]) > 20 * SAME
        return float(still.mean()) if moving else 0.0
    together = [
        steps / max(float(np.quantile(steps, 0.9)), SAME) for steps in others if len(steps) == len(own)
    ]
    if not together:
        return float(still.mean())
    beside = np.maximum(np.append(own[1:], 0.0), np.insert(own[:-1], 0, 0.0))
    abrupt = beside > ABRUPT * usual
    return float(np.mean(still & (abrupt | (np.median(together, axis=0) > MOVES))))


def _astray(table: Float[np.ndarray, "n n"]) -> float:
    """Share of frames to which one further off is less than half as different as the nearer of their neighbours.

    Arms that rise and sink come by the same place twice, in the right order: there a neighbour is nearer than the frame
    beyond it, on one side at least. That excuses a frame, unless neighbours are no nearer anywhere.
    """
    count = len(table)
    places = np.arange(count)
    distance = np.abs(places[:, None] - places[None])
    far = np.where(distance > 2, table, np.inf).min(1)
    before = np.where(places > 0, table[places, np.maximum(places - 1, 0)], np.inf)
    after = np.where(places < count - 1, table[places, np.minimum(places + 1, count - 1)], np.inf)
    near = np.minimum(before, after)
    growth = np.full((2, count), np.inf)
    one, two = np.maximum(np.diagonal(table, 1), 1e-9), np.maximum(np.diagonal(table, 2), 1e-9)
    growth[0, :-2] = one[:-1] / two
    growth[1, 2:] = one[1:] / two
    steady = float(np.median(growth[np.isfinite(growth)])) < STEADY
    excused = steady & (growth.min(0) < GROWS)
    return float(np.mean((far < ELSEWHERE * near) & (near > 20 * SAME) & ~excused))
