"""Checks of cameras' clocks against each other, by how the person moves.

Consecutive frames show small offsets. Of cameras that were started one by one they may have nothing in common: where
cameras disagree, a longer stretch of the recording is looked at, at a few frames a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from jaxtyping import Float

from simulacra.recon.multiview.clocks import SynchroniseConfig, estimate_lags
from simulacra.recon.multiview.detections import PinholeCameras
from simulacra.recon.multiview.offsets import SeenMotion, common_step, find_offsets
from simulacra.recon.multiview.sharpen import lags_of_stretch
from simulacra.recon.multiview.sides import undo_swaps
from simulacra.recon.preflight.bodies import at_nominal_size, stack_views, undistort_pixels
from simulacra.recon.preflight.reading import Problems, iter_raw
from simulacra.recon.preflight.record import Check
from simulacra.recon.preflight.samples import MIN_SCORE, WORKERS, PersonDetector, SessionSamples
from simulacra.recon.session import Session
from simulacra.recon.session.times import frame_seconds

# Frames: offsets beyond are outside of what velocities in space are sure to find, or near its end.
FAR = 6.0
SYNCHRONISE = "simulacra synchronise SESSION --out NEW"
# Pictures of all cameras together that a longer look takes, and frames a second that are enough for it: half a minute
# on one core, and of four cameras 25 seconds of a recording.
MOST_PICTURES, RATE = 800, 8.0
_BEYOND = "frames and more, either way"


def check_time_offset(session: Session, samples: SessionSamples) -> list[Check]:
    """Offsets that the consecutive frames show; none where those are too few, or nobody is in them."""
    views = stack_views(session, samples).of_frames(samples.motion)
    frames = sorted(samples.motion)
    complete = list(views.frames) == frames and len(frames) >= SynchroniseConfig().fewest_frames
    if len(views.cameras) < 2 or not complete:
        return []
    seconds = _seconds_of(session, views.frames)
    seen = [SeenMotion(seconds, views.px[:, c], views.weight[:, c]) for c in range(len(views.cameras))]
    far = _far_offsets(seen, seconds)
    if far is not None:
        return [say_offsets(dict(zip(views.names, (-far).tolist())), "right to a frame", ())]
    if not np.isfinite(views.scale):
        return []
    nominal = at_nominal_size(views)
    # Sides first: a camera whose left and right change in some frames has no steady track.
    mended = undo_swaps(nominal.detections, nominal.pinhole)
    lags = estimate_lags(mended.detections, nominal.pinhole)
    known = [c for c in range(len(views.names)) if c not in lags.beyond]
    values = {views.names[c]: float(lags.frames[c]) for c in known}
    errors = ", ".join(f"{n} {e:.1f}" for n, e in zip(views.names, lags.standard_errors) if np.isfinite(e))
    if not errors and not lags.beyond:
        return []
    evidence = f"standard errors: {errors} frames" if errors else ""
    return [say_offsets(values, evidence, tuple(views.names[c] for c in lags.beyond))]


def ends_searched(checks: Sequence[Check]) -> bool:
    """Whether a camera's offset is beyond what `check_time_offset` looks for."""
    return any(check.unit == _BEYOND for check in checks)


def look_longer(session: Session, detector: PersonDetector, problems: Problems) -> Check | None:
    """Which cameras were started frames before or after the others; None where motion does not clearly say so.

    Args:
        detector: finds the person.
        problems: files that cannot be read are added.
    """
    frames = _spread_frames(session)
    if len(session.cameras) < 2 or len(frames) < SynchroniseConfig().fewest_frames:
        return None

    def watch(name: str) -> SeenMotion:
        return _watch(session, name, frames, detector, problems)

    with ThreadPoolExecutor(WORKERS) as pool:
        seen = list(pool.map(watch, session.camera_names))
    every = _seconds_of(session, session.frame_indices)
    far = _far_offsets(seen, every)
    if far is None:
        return None
    frame = float(np.median(np.diff(every)))
    sharp = _sharpened(session, seen, far * frame) if common_step(seen) < 1.5 * frame else None
    right = "right to a frame" if sharp is None else "to a part of a frame"
    far = far if sharp is None else sharp / frame
    evidence = f"{right}, from {len(frames)} frames over {seen[0].times[-1] - seen[0].times[0]:.0f} s"
    return say_offsets(dict(zip(session.camera_names, (-far).tolist())), evidence, ())


def _sharpened(
    session: Session, seen: Sequence[SeenMotion], seconds: Float[np.ndarray, " c"]
) -> Float[np.ndarray, " c"] | None:
    """Offsets by velocities in space about coarse ones; None where the cameras do not agree on how points move."""
    cameras = session.cameras
    rig = PinholeCameras(np.stack([c.viewmat for c in cameras]), np.stack([c.K for c in cameras]))
    start = max(float(one.times[0]) + offset for one, offset in zip(seen, seconds))
    end = min(float(one.times[-1]) + offset for one, offset in zip(seen, seconds))
    lags = lags_of_stretch(seen, seconds, rig, (start, end)).lags
    # A coarse offset is right to a frame: what is further off is another error than of clocks.
    if not (np.abs(lags) <= common_step(seen)).all():
        return None
    # Only differences can be seen: they are said of the median camera, whose own error would else be all others'.
    sharp = seconds - lags
    return sharp - np.sort(sharp)[(len(sharp) - 1) // 2]


def _spread_frames(session: Session) -> tuple[int, ...]:
    """Frames from the middle of a recording, as far apart as a longer look has to have them."""
    indices, seconds = session.frame_indices, _seconds_of(session, session.frame_indices)
    most = max(1, MOST_PICTURES // max(1, len(session.cameras)))
    rate = 1 / float(np.median(np.diff(seconds))) if len(seconds) > 1 else RATE
    step = max(1, min(-(-len(indices) // most), int(rate / RATE)))
    taken = indices[::step]
    start = max(0, (len(taken) - most) // 2)
    return tuple(taken[start : start + most])


def _watch(
    session: Session, name: str, frames: Sequence[int], detector: PersonDetector, problems: Problems
) -> SeenMotion:
    """The person's landmarks in some frames of a camera, in pixels of its pinhole picture."""
    camera = session.camera(name)
    pixels, confidence = np.full((len(frames), 33, 2), np.nan), np.zeros((len(frames), 33))
    last = None
    for frame, picture in iter_raw(session, name, frames, problems):
        image = picture.astype(np.float32) / np.float32(255)
        person = detector.track(image, last.next_roi) if last is not None else None
        person = person if person is not None else detector.detect(image, 1)
        last = person if person is not None and person.score > MIN_SCORE else None
        if person is not None:
            row = frames.index(frame)
            pixels[row], confidence[row] = person.px, person.visibility * person.score
    pinhole = undistort_pixels(pixels, camera.K, camera.lens)
    confidence[~np.isfinite(pinhole).all(-1)] = 0.0
    return SeenMotion(_seconds_of(session, frames), pinhole, confidence)


def _seconds_of(session: Session, frames: Sequence[int]) -> Float[np.ndarray, " t"]:
    place = {index: k for k, index in enumerate(session.frame_indices)}
    return frame_seconds(session.frames)[0][[place[frame] for frame in frames]]


def _far_offsets(
    seen: Sequence[SeenMotion], seconds: Float[np.ndarray, " t"]
) -> Float[np.ndarray, " c"] | None:
    """By how many frames cameras began later, where motion is clear that it is more than velocities in space find.

    Args:
        seconds: of consecutive frames.
    """
    found = find_offsets(seen, float(seen[0].times[-1] - seen[0].times[0]))
    frames = found.seconds / float(np.median(np.diff(seconds)))
    return frames if not found.unclear and np.abs(frames).max() > FAR else None


def say_offsets(values: dict[str, float], evidence: str, beyond: tuple[str, ...]) -> Check:
    """One check; what no lag within the search explains is said to be that, without a number of its own."""
    late = sorted((n for n in values if abs(values[n]) >= 0.5), key=lambda n: -abs(values[n]))
    began = [f"{n} began {abs(values[n]):.1f} frames {'later' if values[n] < 0 else 'earlier'}" for n in late]
    began += [f"{n}: no lag within {SynchroniseConfig().largest:g} frames explains it" for n in beyond]
    largest = max((abs(value) for value in values.values()), default=0.0)
    worst = max(values.values(), key=abs, default=0.0)
    if beyond and largest < SynchroniseConfig().largest:
        worst = SynchroniseConfig().largest
    return Check(
        "time-offset", ", ".join([*beyond, *late]) or (max(values, key=lambda n: abs(values[n])) if values else ""),
        worst, _BEYOND if beyond else "frames that its motion is late", "within 0.5",
        "warn" if late or beyond else "pass",
        f"bring cameras that were started one by one onto one clock: {SYNCHRONISE}; the fit shifts small offsets",
        "; ".join([*began, evidence] if evidence else began),
    )  # fmt: skip
