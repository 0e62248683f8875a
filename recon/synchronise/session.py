"""A session of the same pictures, each moment with those that were taken at it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float

from simulacra.recon.importers.building import copy_file, new_session_folder
from simulacra.recon.session import (
    SESSION_FILE,
    Frame,
    Session,
    Source,
    describe_session,
    load_session,
)
from simulacra.recon.session.pairing import Moment, pair_by_time
from simulacra.recon.synchronise.record import Synchronisation
from simulacra.recon.synchronise.streams import CameraStream
from simulacra.render.runtime.errors import CaptureError

# Files that belong to frames by their numbers.
BY_FRAME = ("masks", "depth")
# Of the old frames: nothing says what they are of the new ones.
LEFT_OUT = ("truth", "reference")


def synchronise_session(
    session: Session, streams: Mapping[str, CameraStream], found: Synchronisation, out: Path
) -> Session:
    """Writes a new session of the stretch that all cameras recorded; the old one stays as it is.

    Raises:
        CaptureError: there is no such stretch.
        RunError: there is something at ``out`` already.
    """
    common = {name: found.clocks[name].common(streams[name].times) for name in streams}
    moments, dropped = _shared_moments(common)
    frames = tuple(
        Frame(
            moment.index,
            {
                name: Source(one.file, one.number, round(float(common[name][place]), 6))
                for name, place in moment.numbers.items()
                for one in [streams[name].sources[place]]
            },
        )
        for moment in moments
    )
    notes = [*session.notes, *found.notes, _say_clocks(found)]
    if dropped:
        notes.append(
            f"{dropped} moments before the last camera began or after the first one ended are left out"
        )
    if any((session.root / name).exists() for name in LEFT_OUT):
        notes.append(f"{' and '.join(LEFT_OUT)} were of the old frames: left out")
    about = {**session.about, "synchronised": found.describe()}
    with new_session_folder(out) as work:
        for path in sorted(session.root.rglob("*")):
            relative = path.relative_to(session.root)
            if path.is_file() and relative.parts[0] not in (SESSION_FILE, *LEFT_OUT, *BY_FRAME):
                copy_file(path, work / relative)
        _copy_by_frame(session, frames, work)
        text = describe_session(session.cameras, frames, notes=notes, about=about)
        (work / SESSION_FILE).write_text(text, "utf-8")
        load_session(work)
    return load_session(out)


def _shared_moments(common: Mapping[str, Float[np.ndarray, " _"]]) -> tuple[list[Moment], int]:
    """Moments from when the last camera began until the first one ended, counted anew, and how many others."""
    paired = pair_by_time(common)
    whole = [place for place, moment in enumerate(paired) if len(moment.numbers) == len(common)]
    if not whole:
        raise CaptureError(
            "the cameras did not record at one time",
            found="; ".join(f"{n} {t[0]:.2f} to {t[-1]:.2f} s" for n, t in common.items()),
            remedy="leave out the camera that has nothing in common with the others",
        )
    kept = paired[whole[0] : whole[-1] + 1]
    return [Moment(one.index - kept[0].index, one.numbers) for one in kept], len(paired) - len(kept)


def _copy_by_frame(session: Session, frames: tuple[Frame, ...], work: Path) -> None:
    """Masks and depth, called after the frames that their pictures belong to now."""
    before = {
        (name, source.file, source.number): frame.index
        for frame in session.frames
        for name, source in frame.sources.items()
    }
    for frame in frames:
        for name, source in frame.sources.items():
            old = before.get((name, source.file, source.number))
            for folder in BY_FRAME if old is not None else ():
                path = session.path(f"{folder}/{name}/{old:06d}.png")
                if path.is_file():
                    copy_file(path, work / folder / name / f"{frame.index:06d}.png")


def _say_clocks(found: Synchronisation) -> str:
    said = ", ".join(
        f"{name} began at {found.began[name]:.3f} s (± {clock.error:.3f})"
        for name, clock in found.clocks.items()
    )
    return f"synchronised: {said}"
