"""Which frame of a video has which time stamp, and where decoding has to begin to get at it.

Frame i of a video is the i-th that a player shows: in the order in which the decoder gives them, without those that an
edit list hides, and without those that hang on pictures before the file's first key frame. Where each has a stamp, and
the stamps rise, a frame is known by its stamp, whatever the rate does. Elsewhere (bare streams, AVI with B frames)
there is no table, and frames are counted from the start.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream
from jaxtyping import Int64

from simulacra.render.runtime.errors import InputError

# Each packet of these is one picture, and it is shown. Others hide some (VP8) or leave some out (MPEG-4): those are
# decoded once to see.
ONE_PICTURE_A_PACKET = ("h264", "hevc", "libdav1d", "av1", "vp9", "mjpeg", "prores", "ffv1")


@dataclass(frozen=True)
class FrameTable:
    """Stamps of a video's frames in the order in which they are shown, in units of ``time_base``.

    Attributes:
        stamps: of all frames, rising.
        keys: of the frames at which decoding can begin, rising.
        time_base: seconds.
    """

    stamps: Int64[np.ndarray, "n"]
    keys: Int64[np.ndarray, "k"]
    time_base: Fraction

    def number_at(self, seconds: float) -> int | None:
        """The frame that is shown at a time: the last one that does not come later; None before the first."""
        found = int(np.searchsorted(self.stamps, round(Fraction(seconds) / self.time_base), "right")) - 1
        return None if found < 0 else found


@dataclass(frozen=True)
class _Packets:
    """What packets say without being decoded.

    Attributes:
        stamps: of presentation, of all pictures but those that an edit list hides.
        keys: of presentation, of key frames in the order of the file.
        loose: some pictures may hang on what lies before the first key frame.
        plain: each packet is one shown picture, and its stamp is of presentation.
        time_base: of the stamps, seconds.
    """

    stamps: list[int]
    keys: list[int]
    loose: bool
    plain: bool
    time_base: Fraction


def video_stream(container: InputContainer) -> VideoStream | None:
    """What a player shows: the first video stream that the file switches on, and no cover picture."""
    films = [one for one in container.streams.video if not one.disposition & Disposition.attached_pic]
    return next((one for one in films if one.disposition & Disposition.default), films[0] if films else None)


def frame_table(path: Path) -> FrameTable | None:
    """The table of a video, made once for a file as it is; None where stamps do not tell its frames apart.

    Raises:
        InputError: the file is missing.
    """
    try:
        state = os.stat(path)
    except OSError as error:
        raise InputError("a video is missing", where=path) from error
    if not stat.S_ISREG(state.st_mode):  # a pipe would be waited for
        raise InputError("a video is missing", where=path, found="something that is no file")
    return _table_of(path, (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns))


@lru_cache(maxsize=64)
def _table_of(path: Path, state: tuple[int, ...]) -> FrameTable | None:
    try:
        packets = _read_packets(path)
        if packets is None:
            return None
        stamps = sorted(packets.stamps) if packets.plain else _decoded_stamps(path, None)
        if packets.plain and packets.loose:
            first = packets.keys[0]
            stamps = [
                *(_decoded_stamps(path, first) or []),
                *(stamp for stamp in stamps or [] if stamp >= first),
            ]
    except (av.FFmpegError, OSError):
        return None  # whoever decodes it says what is wrong
    if not stamps or (np.diff(stamps) <= 0).any():
        return None
    return FrameTable(np.array(stamps, np.int64), np.unique(packets.keys).astype(np.int64), packets.time_base)


def _read_packets(path: Path) -> _Packets | None:
    """None where a picture has no stamp, or none of them is a key frame."""
    stamps, keys, loose, inner = [], [], False, 0
    with av.open(str(path), metadata_errors="replace") as container:
        stream = video_stream(container)
        if stream is None or stream.time_base is None:
            return None
        for packet in container.demux(stream):
            if packet.size == 0:
                continue
            if packet.pts is None:
                return None
            if packet.is_keyframe:
                keys.append(packet.pts)
            else:
                inner += 1
            if not packet.is_discard:
                loose = loose or not keys or packet.pts < keys[0]
                stamps.append(packet.pts)
        # AVI has stamps of decoding only: those of presentation are guesses unless all pictures are key frames.
        if not keys or (inner and "avi" in container.format.name):
            return None
        plain = stream.codec_context.name in ONE_PICTURE_A_PACKET
        return _Packets(stamps, keys, loose, plain, stream.time_base)


def _decoded_stamps(path: Path, before: int | None) -> list[int] | None:
    """Stamps of frames that come out of the decoder, all or those before the first that is not ``before``."""
    stamps = []
    with av.open(str(path), metadata_errors="replace") as container:
        stream = video_stream(container)
        if stream is None:
            return None
        stream.thread_type = "AUTO"
        for frame in container.decode(stream):
            if frame.pts is None:
                return None
            if before is not None and frame.pts >= before:
                break
            stamps.append(frame.pts)
    return stamps
