"""`simulacra synchronise`: cameras that were started one by one, brought onto one clock."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Interval
from tyro.conf import arg

from .arguments import Session, say_session
from .outputs import OptionalFile, Output


def synchronise(
    session: Session,
    /,
    out: Annotated[Path, arg(metavar="NEW_SESSION"), Output("new folder")],
    by: Literal["motion", "sound", "both"] = "both",
    largest: Annotated[float, "SECONDS", Interval(ge=0.1, le=3600)] = 60.0,
    json: OptionalFile = None,
) -> None:
    """Find when each camera was started, and make a session whose frames are of one moment each.

    By the sound of the room, where all videos have it, and by the motion of the person: to a part of a frame, with the
    drift of clocks. What cannot be told is an error that names the camera.

    Args:
        session: the session; it stays as it is.
        out: the session to make, a new or empty folder, of the same files.
        by: what to go by; both is sound, sharpened by motion, and motion where a video has no sound.
        largest: difference of two cameras that is looked for, seconds.
        json: write the numbers here too; they are in the new session's `about` anyway.
    """
    from simulacra.recon.preflight.samples import NetworkPersonDetector
    from simulacra.recon.runs.files import disk_errors, write_json
    from simulacra.recon.session import load_session
    from simulacra.recon.synchronise import find_clocks, synchronise_session
    from simulacra.recon.synchronise.streams import camera_stream

    loaded = load_session(session)
    streams = {name: camera_stream(loaded, name) for name in loaded.camera_names}
    found = find_clocks(loaded, streams, None if by == "sound" else NetworkPersonDetector(), by, largest)
    print("camera          began, s           frames     drift, ppm   by")
    for name, clock in found.clocks.items():
        frames = found.began[name] / found.intervals[name]
        print(
            f"{name:14s} {f'{found.began[name]:.4f} ± {clock.error:.4f}':>18s} {frames:9.2f} "
            f"{1e6 * clock.drift:12.0f}   {clock.by}"
        )
    if json is not None:
        with disk_errors(json):
            write_json(json, found.describe())
    synchronise_session(loaded, streams, found, out)
    say_session(out)
