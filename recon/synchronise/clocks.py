"""When each camera was started, by what it saw and heard."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from jaxtyping import Float

from simulacra.recon.calibrate.session_rig import rig_of
from simulacra.recon.multiview.detections import PinholeCameras
from simulacra.recon.multiview.offsets import CLEAR, Offsets, SeenMotion, find_offsets
from simulacra.recon.preflight.samples import PersonDetector
from simulacra.recon.session import Session
from simulacra.recon.session.pairing import usual_interval
from simulacra.recon.synchronise.record import CameraClock, Synchronisation
from simulacra.recon.synchronise.sharpen import Stretch, lags_of_stretch, line_through
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
    detector: PersonDetector,
    largest: float = 60.0,
) -> Synchronisation:
    """The clocks of all cameras, by the motion of the person.

    Args:
        streams: of all cameras of the session.
        detector: finds the person.
        largest: difference of two cameras that is looked for, seconds.

    Raises:
        CaptureError: fewer than two cameras, or one whose clock the motion does not tell.
    """
    names = list(streams)
    if len(names) < 2:
        raise CaptureError("one camera has nothing to be synchronised with", found=", ".join(names))
    pictures = sum(len(stream.times) for stream in streams.values())
    places = {name: coarse_places(stream, pictures) for name, stream in streams.items()}
    seen = watch(session, streams, places, detector)
    coarse = find_offsets([seen[name] for name in names], largest)
    refuse_unclear(coarse, names, largest)
    complete = all(len(places[name]) == len(streams[name].times) for name in names)
    stretches = _measure_stretches(session, streams, coarse.seconds, seen if complete else None, detector)
    step = max(usual_interval(stream.times) for stream in streams.values())
    clocks = {}
    for camera, name in enumerate(names):
        line = line_through(stretches, camera, step)
        if not np.isfinite(line.error):
            clocks[name] = CameraClock(float(coarse.seconds[camera]), COARSE_ERROR * step, 0.0, "motion")
            continue
        # A picture that lags shows what was before: own time t + offset is too late by the lag.
        offset = float(coarse.seconds[camera]) - line.lag
        clocks[name] = CameraClock(offset, line.error, -line.lean, "motion")
    unsharp = [name for name in names if clocks[name].error >= COARSE_ERROR * step]
    notes = (f"{', '.join(unsharp)}: right to a frame only, the cameras do not agree on how points move",)
    return from_first_picture(clocks, streams, notes if unsharp else ())


def from_first_picture(
    clocks: Mapping[str, CameraClock], streams: Mapping[str, CameraStream], notes: tuple[str, ...] = ()
) -> Synchronisation:
    """The common clock set to 0 at the first picture of all."""
    first = {name: float(clock.common(streams[name].times[:1])[0]) for name, clock in clocks.items()}
    start = min(first.values())
    moved = {
        name: CameraClock(clock.offset - start, clock.error, clock.drift, clock.by) for name, clock in clocks.items()
    }
    began = {name: time - start for name, time in first.items()}
    return Synchronisation(moved, began, {n: usual_interval(s.times) for n, s in streams.items()}, notes)


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
            expected=f"an offset within {largest:g} s that explains the motion better than all others by {CLEAR:g} nats",
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
        return list(zip(edges[:-1], edges[1:]))
    firsts = np.linspace(start, end - STRETCH_SECONDS, count).tolist()
    return [(first, first + STRETCH_SECONDS) for first in firsts]
