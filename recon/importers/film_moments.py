"""Which pictures of videos are of one moment, where nothing but the videos says it.

Videos are taken to have begun together: what they show first is one moment, and from there on each is followed by its
own time stamps, whatever their rates and gaps. Cameras that were started one by one are not known to have been until
`recon.synchronise` looks at what they show.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float

from simulacra.recon.session.pairing import Moment, pair_by_time, usual_interval
from simulacra.recon.session.video import VideoFacts
from simulacra.render.runtime.errors import InputError

# Shares by which rates differ that are two rates: 29.97 and 30 are one, and the stamps know better.
OTHER_RATE = 0.01
# Stamps of first pictures further apart are worth a note, seconds: a part of a frame is the container's.
BEGINS_LATER = 0.1


def film_moments(
    facts: Mapping[str, VideoFacts], videos: Mapping[str, Path]
) -> tuple[tuple[Moment, ...], list[str]]:
    """Pictures that belong together, and in words what was paired with what.

    Where no video has time stamps that rise, picture k of one belongs to picture k of the others; where some have none,
    they are taken to be of the others' rate.

    Raises:
        InputError: a video has no stamps beside others of different rates.
    """
    stamps = {name: found for name, one in facts.items() if (found := _own_clock(one)) is not None}
    if not stamps:
        return pair_by_time({n: np.arange(one.frames, dtype=float) for n, one in facts.items()}), []
    intervals = {name: usual_interval(own) for name, own in stamps.items() if len(own) > 1}
    slowest = max(intervals.values(), default=0.0)
    mixed = any(step < (1 - OTHER_RATE) * slowest for step in intervals.values())
    without = [name for name in facts if name not in stamps]
    if without and mixed:
        raise InputError(
            "a video has no time stamps that rise, beside videos of different rates",
            where=videos[without[0]],
            expected="stamps, or one rate in all videos",
            found=_say_rates(intervals),
            remedy="write it with stamps: ffmpeg -r RATE -i VIDEO -c copy NEW.mp4, at the rate of its recording",
        )
    step = slowest or 1.0
    own = {name: stamps.get(name, step * np.arange(facts[name].frames)) for name in facts}
    moments = pair_by_time(own)
    return moments, [*_say_begins(facts, stamps), *(_say_unused(moments, own, intervals) if mixed else [])]


def _own_clock(facts: VideoFacts) -> Float[np.ndarray, " n"] | None:
    """Seconds after the first picture; None where stamps are missing or do not rise and the header has no rate."""
    known = [time for time in facts.times if time is not None]
    if len(known) < facts.frames or (np.diff(known) <= 0).any():
        return None if facts.stated_rate is None else np.arange(facts.frames) / facts.stated_rate
    return np.array(known) - known[0]


def stated_rate(facts: Mapping[str, VideoFacts]) -> float | None:
    """Pictures a second of the moments where only headers say it; None where stamps do, or nothing does."""
    rates = [one.stated_rate for one in facts.values()]
    stated = [rate for rate in rates if rate is not None]
    return min(stated) if stated and len(stated) == len(rates) else None


def count_notes(facts: Mapping[str, VideoFacts]) -> tuple[str, ...]:
    """Notes where videos differ in length, and where they are turned to be shown."""
    notes = [
        f"{name} is shown turned by {video.turned} degrees, as players do: its calibration has to be of such pictures"
        for name, video in facts.items()
        if video.turned
    ]
    notes += [
        f"{name}: its stamps do not rise; {video.stated_rate:.2f} pictures a second by its header"
        for name, video in facts.items()
        if video.stated_rate is not None
    ]
    notes += [
        f"{name} is recorded in HDR ({video.hdr}), and read as if it were not: colors are paler than they were; record "
        "in SDR (iPhone: Settings, Camera, Record Video, HDR Video off)"
        for name, video in facts.items()
        if video.hdr
    ]
    if len({video.frames for video in facts.values()}) > 1:
        counts = ", ".join(f"{name} {video.frames} frames" for name, video in facts.items())
        notes.append(f"videos differ in length: {counts}")
    return tuple(notes)


def _say_rates(intervals: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {1 / step:.2f} pictures a second" for name, step in intervals.items())


def _say_begins(facts: Mapping[str, VideoFacts], stamps: Mapping[str, Float[np.ndarray, " _"]]) -> list[str]:
    """Stamps that begin at different times: what a recorder or a cut left there, or a clock."""
    first = {name: facts[name].times[0] or 0.0 for name in stamps if facts[name].stated_rate is None}
    if not first or max(first.values()) - min(first.values()) < BEGINS_LATER:
        return []
    said = ", ".join(f"{name} {time:.3f} s" for name, time in first.items())
    return [
        f"stamps of the first pictures differ ({said}): videos are taken to have begun together; simulacra synchronise "
        "finds when they did"
    ]


def _say_unused(
    moments: tuple[Moment, ...], own: Mapping[str, Float[np.ndarray, " _"]], intervals: Mapping[str, float]
) -> list[str]:
    used = {name: sum(name in moment.numbers for moment in moments) for name in own}
    left = ", ".join(
        f"{name} {len(own[name]) - n} of {len(own[name])}" for name, n in used.items() if n < len(own[name])
    )
    return [
        f"videos of different rates are paired by their time stamps: {_say_rates(intervals)}"
        + (f"; pictures between the slowest camera's are not used: {left}" if left else "")
    ]
