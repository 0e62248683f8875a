"""What each camera of a session recorded, in the order and by the clock of the camera itself.

Of a video that is all of its pictures, also those that the session pairs with nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from simulacra.recon.session import Session, Source
from simulacra.recon.session.frame_table import frame_table
from simulacra.recon.session.video import iter_video_near
from simulacra.render.image import read_image
from simulacra.render.runtime.errors import CaptureError


@dataclass(frozen=True)
class CameraStream:
    """The pictures of one camera.

    Attributes:
        name: the camera's.
        sources: where they are, without times.
        times: when, by the camera's own clock, rising, seconds.
        stamp_ahead: how much later the stamps of the video's file are than this clock, seconds; None without a video.
    """

    name: str
    sources: tuple[Source, ...]
    times: Float[np.ndarray, " n"]
    stamp_ahead: float | None


def camera_stream(session: Session, name: str) -> CameraStream:
    """All pictures of a camera.

    Raises:
        CaptureError: fewer than two pictures, or pictures without times that rise: a rate is not guessed here.
    """
    named = [frame.sources[name] for frame in session.frames if name in frame.sources]
    known = [(source.number or 0, source.time) for source in named if source.time is not None]
    times = np.array([time for _, time in known])
    if len(known) < max(len(named), 2) or (np.diff(times) <= 0).any():
        raise CaptureError(
            "a camera's clock cannot be compared: its pictures carry no times that rise",
            where=f"camera {name}",
            found=f"{len(known)} times of {len(named)} pictures",
            remedy="import again and say the rate: --fps RATE",
        )
    files = {source.file for source in named}
    numbers = np.array([number for number, _ in known])
    if len(files) > 1 or named[0].number is None or (np.diff(numbers) <= 0).any():
        return CameraStream(name, tuple(Source(one.file, one.number) for one in named), times, None)
    file = named[0].file
    table = frame_table(session.path(file))
    if table is None or numbers[-1] >= len(table.stamps):
        return CameraStream(name, tuple(Source(file, int(n)) for n in numbers), times, None)
    stamps = table.stamps * float(table.time_base)
    # The session's clock may be a recorder's list instead of the file's stamps: between its pictures, by the stamps.
    own = stamps + np.interp(np.arange(len(stamps)), numbers, times - stamps[numbers])
    if (np.diff(own) <= 0).any():
        return CameraStream(name, tuple(Source(file, int(n)) for n in numbers), times, None)
    return CameraStream(
        name, tuple(Source(file, n) for n in range(len(stamps))), own, float(np.median(stamps - own))
    )


def iter_pictures(
    session: Session, stream: CameraStream, places: Sequence[int]
) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """Pictures as recorded, of rising places in the stream."""
    wanted = [stream.sources[place] for place in places]
    numbers = [source.number for source in wanted if source.number is not None]
    if len(numbers) == len(wanted) and len({source.file for source in wanted}) == 1:
        yield from iter_video_near(session.path(wanted[0].file), numbers)
        return
    for source in wanted:
        if source.number is None:
            yield np.round(read_image(session.path(source.file)) * 255).astype(np.uint8)
        else:
            yield from iter_video_near(session.path(source.file), [source.number])
