"""When each camera was started, by what it saw and heard."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import numpy as np
from jaxtyping import Float

from simulacra.recon.calibrate.session_rig import rig_of
from simulacra.recon.multiview.detections import PinholeCameras
from simulacra.recon.multiview.offsets import CLEAR, Offsets, SeenMotion, find_offsets
from simulacra.recon.multiview.sharpen import Stretch, lags_of_stretch, line_through
from simulacra.recon.preflight.samples import PersonDetector
from simulacra.recon.session import Session
from simulacra.recon.session.pairing import usual_interval
from simulacra.recon.synchronise.record import CameraClock, Synchronisation
from simulacra.recon.synchronise.sound import clocks_by_sound, read_sound
from simulacra.recon.synchronise.streams import CameraStream
from simulacra.recon.synchronise.watching import coarse_places, watch
from simulacra.render.runtime.errors import CaptureError

By = Literal["motion", "sound", "both"]
# Stretches of a recording in which lags are measured: how many, and their length in seconds.
STRETCHES, STRETCH_SECONDS = 5, 4.0
# Offsets that nothing sharpened are right to so many frames.
COARSE_ERROR = 1.0


def find_clocks(
    session: Session,
    streams: Mapping[str, CameraStream],
    detector: PersonDetector | None,
    by: By = "both",
    largest: float = 60.0,
) -> Synchronisation:
    """The clocks of all cameras.

    Args:
        streams: of all cameras of the session.
        detector: finds the person; not needed for sound alone.
        by: what to go by. Both: sound where all cameras heard the same, sharpened by motion; else motion.
        largest: difference of two cameras that is looked for, seconds.

    Raises:
        CaptureError: fewer than two cameras, or one whose clock is not told by what it saw and heard.
    """
    names = list(streams)
    if len(names) < 2:
        raise CaptureError("one camera has nothing to be synchronised with", found=", ".join(names))
    heard = None if by == "motion" else _listen(session, streams, largest)
    if by == "sound" or detector is None:
        if heard is None:
            raise CaptureError(
                "the cameras do not clearly hear the same",
                expected=f"the sound of one room in all videos, begun within {largest:g} s",
                remedy="clap once where all cameras hear it, or go by what they see: --by motion",
            )
        return from_first_picture(heard, streams)
    return from_first_picture(*_by_motion(session, streams, detector, heard, largest))


def _listen(
    session: Session, streams: Mapping[str, CameraStream], largest: float
) -> dict[str, CameraClock] | None:
    sounds = {}
    for name, stream in streams.items():
        if stream.stamp_ahead is None:
            return None
        sound = read_sound(session.path(stream.sources[0].file), stream.stamp_ahead)
        if sound is None:
            return None
        sounds[name] = sound
    return clocks_by_sound(sounds, largest)


def _by_motion(
    session: Session,
    streams: Mapping[str, CameraStream],
    detector: PersonDetector,
    heard: dict[str, CameraClock] | None,
    largest: float,
) -> tuple[dict[str, CameraClock], Mapping[str, CameraStream], tuple[str, ...]]:
    """Clocks by motion, from those by sound where there are any; what motion does not sharpen stays as it was."""
    names = list(streams)
    step = max(usual_interval(stream.times) for stream in streams.values())
    pictures = sum(len(stream.times) for stream in streams.values())
    places = {name: coarse_places(stream, pictures) for name, stream in streams.items()}
    complete = all(len(places[name]) == len(streams[name].times) for name in names)
    seen = watch(session, streams, places, detector) if complete or heard is None else None
    if heard is not None:
        coarse = heard
    else:
        found = find_offsets([seen[name] for name in names] if seen else [], largest)
        refuse_unclear(found, names, largest)
        coarse = {
            name: CameraClock(float(offset), COARSE_ERROR * step, 0.0, "motion")
            for name, offset in zip(names, found.seconds)
        }
    offsets = np.array([coarse[name].offset for name in names])
    stretches = _measure_stretches(session, streams, offsets, seen if complete else None, detector)
    clocks = {}
    for camera, name in enumerate(names):
        line = line_through(stretches, camera, step)
        clocks[name] = coarse[name]
        if np.isfinite(line.error):
            # A picture that lags shows what was before: own time + offset is too late by the lag.
            drift = -line.lean if heard is None else coarse[name].drift
            clocks[name] = CameraClock(coarse[name].offset - line.lag, line.error, drift, "motion")
    unsharp = [name for name in names if clocks[name].error >= COARSE_ERROR * step]
    said = f"{', '.join(unsharp)}: right to a frame only, the cameras do not agree on how points move"
    return clocks, streams, (said,) if unsharp else ()


def from_first_picture(
    clocks: Mapping[str, CameraClock], streams: Mapping[str, CameraStream], notes: tuple[str, ...] = ()
) -> Synchronisation:
    """The common clock set to 0 at the first picture of all: of those within a frame of it, of the best known."""
    first = {name: float(clock.common(streams[name].times[:1])[0]) for name, clock in clocks.items()}
    intervals = {name: usual_interval(stream.times) for name, stream in streams.items()}
    earliest = min(first.values())
    soon = [name for name in first if first[name] < earliest + intervals[name]]
    start = first[min(soon, key=lambda name: clocks[name].error)]
    moved = {name: replace(clock, offset=clock.offset - start) for name, clock in clocks.items()}
    return Synchronisation(moved, {name: time - start for name, time in first.items()}, intervals, notes)


def refuse_unclear(found: Offsets, names: list[str], largest: float) -> None:
    """Stops where a camera's offset is not to be believed.

    Raises:
        CaptureError: it is not.
    """
    if found.unclear:
        margins = ", ".join(f"{name} {margin:.1f}" for name, margin in zip(names, found.margins))
        raise CaptureError(
            "what a camera saw does not tell when it was started",
            where=", ".join(names[camera] for camera in found.unclear),
            expected=f"an offset within {largest:g} s that explains the motion better than others, by {CLEAR:g} nats",
            found=margins,
            remedy="let all cameras see the person move for some seconds together, clap once, or leave that camera out",
        )


def _measure_stretches(
    session: Session,
    streams: Mapping[str, CameraStream],
    offsets: Float[np.ndarray, " c"],
    seen: Mapping[str, SeenMotion] | None,
    detector: PersonDetector,
) -> list[Stretch]:
    """Lags in stretches of what all cameras recorded; where only some pictures were seen, these are watched whole."""
    names = list(streams)
    rig: PinholeCameras = rig_of([session.camera(name) for name in names]).pinhole
    ends = [streams[name].times[[0, -1]] + offsets[c] for c, name in enumerate(names)]
    start, end = max(float(one[0]) for one in ends), min(float(one[1]) for one in ends)
    if end <= start:
        return []
    stretches = []
    for span in stretch_spans(start, end, whole=seen is not None):
        parts = seen
        if parts is None:
            own = {n: (span[0] - offsets[c], span[1] - offsets[c]) for c, n in enumerate(names)}
            places = {
                n: np.flatnonzero((streams[n].times >= a) & (streams[n].times <= b)).tolist()
                for n, (a, b) in own.items()
            }
            if min(map(len, places.values())) < 2:
                continue
            parts = watch(session, streams, places, detector)
        stretches.append(lags_of_stretch([parts[name] for name in names], offsets, rig, span))
    return stretches


def stretch_spans(start: float, end: float, *, whole: bool) -> list[tuple[float, float]]:
    """Where lags are measured: all of a short recording, else stretches from its beginning to its end.

    Args:
        whole: stretches that join, for all pictures were seen anyway.
    """
    if end - start < 2 * STRETCH_SECONDS:
        return [(start, end)]
    count = int(min(STRETCHES, (end - start) // STRETCH_SECONDS))
    if whole:
        edges = np.linspace(start, end, count + 1).tolist()
        return list(itertools.pairwise(edges))
    firsts = np.linspace(start, end - STRETCH_SECONDS, count).tolist()
    return [(first, first + STRETCH_SECONDS) for first in firsts]
