"""Frames of a video by number, exactly, one at a time in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream
from jaxtyping import Float, UInt8

from simulacra.recon.runs.files import disk_errors
from simulacra.render.runtime.errors import InputError
from simulacra.render.runtime.whole_files import sync, whole_file

# Frames further apart are sought rather than reached by decoding all between.
_FAR = 60
# A session may name any frame; time stamps have 63 bits.
FARTHEST_STAMP = 1 << 62


@dataclass(frozen=True)
class VideoFacts:
    """What decoding a whole video showed; times in seconds, None for a frame without a time stamp."""

    frames: int
    width: int
    height: int
    times: tuple[float | None, ...]


def probe_video(path: Path) -> VideoFacts:
    """Counts a video's frames by decoding them, for headers lie about truncated files.

    Raises:
        InputError: missing, not a video, without a frame, or damaged (saying after which frame).
    """
    times: list[float | None] = []
    width = height = 0
    for frame in decode_video(path):
        width, height = frame.width, frame.height
        times.append(None if frame.time is None else float(frame.time))
    if not times:
        raise InputError("a video has no frame", where=path)
    return VideoFacts(len(times), width, height, tuple(times))


def iter_video(path: Path, numbers: Sequence[int]) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """RGB pixels of the wanted frames, which must be in rising order.

    Raises:
        InputError: a frame is not there.
    """
    wanted = list(numbers)
    if sorted(wanted) != wanted:
        raise ValueError("frames of a video are read in rising order")
    position = 0
    for number, frame in enumerate(decode_video(path)):
        if position == len(wanted):
            return
        while position < len(wanted) and wanted[position] == number:
            yield frame.to_ndarray(format="rgb24")
            position += 1
    if position < len(wanted):
        raise InputError(
            "a video ends before a frame that the session names",
            where=path,
            expected=f"frame {wanted[position]}",
        )


def read_video_frame(path: Path, number: int) -> UInt8[np.ndarray, "h w 3"]:
    """One frame: from the nearest key frame before it where the stream has honest time stamps, else from the start."""
    if not path.is_file():
        raise InputError("a video is missing", where=path)
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            stream = container.streams.video[0]
            found = _seek(container, stream, number)
    except (av.FFmpegError, OSError, IndexError):
        found = None
    return found if found is not None else next(iter_video(path, [number]))


def iter_video_near(path: Path, numbers: Sequence[int]) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """As `iter_video`, and each stretch of the video that holds no wanted frame is passed over by seeking.

    Raises:
        InputError: a frame is not there.
    """
    start = 0
    while start < len(numbers):
        end = start + 1
        while end < len(numbers) and numbers[end] - numbers[end - 1] <= _FAR:
            end += 1
        found = 0
        for pixels in _stretch(path, numbers[start:end]):
            yield pixels
            found += 1
        # Where stamps and numbers do not agree, counting from the start is slow and right.
        if found < end - start:
            yield from iter_video(path, numbers[start + found : end])
        start = end


def _stretch(path: Path, numbers: Sequence[int]) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """Rising frames that are near each other, decoded once from the key frame before them; ends at any doubt."""
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            stream = container.streams.video[0]
            pixels = _seek(container, stream, numbers[0])
            if pixels is None:
                return
            yield pixels
            rate, base, first = stream.average_rate, stream.time_base, stream.start_time or 0
            position, last = 1, numbers[0]
            while position < len(numbers) and numbers[position] == last:
                yield pixels
                position += 1
            for frame in container.decode(stream):
                if position == len(numbers) or frame.pts is None or not rate or not base:
                    return
                place = (frame.pts - first) * base * rate
                last += 1
                if abs(place - last) >= 0.25:
                    return
                while position < len(numbers) and numbers[position] == last:
                    yield frame.to_ndarray(format="rgb24")
                    position += 1
    except (av.FFmpegError, OSError, IndexError):
        return


def _seek(container: InputContainer, stream: VideoStream, number: int) -> UInt8[np.ndarray, "h w 3"] | None:
    """The frame by its time stamp, or None where stamps and numbers do not agree on a constant rate."""
    rate, base, first = stream.average_rate, stream.time_base, stream.start_time or 0
    stream.thread_type = "AUTO"
    if not rate or not base:
        return None
    target = first + round(number / rate / base)
    if target > FARTHEST_STAMP:
        return None
    container.seek(max(target - 1, 0), stream=stream, backward=True)
    for frame in container.decode(stream):
        if frame.pts is None:
            return None
        place = (frame.pts - first) * base * rate
        if abs(place - number) < 0.25:
            return frame.to_ndarray(format="rgb24")
        if place > number:
            return None
    return None


def decode_video(path: Path, *, may_turn: bool = False) -> Iterator[av.VideoFrame]:
    """All frames in the order of presentation, raising at the first sign of damage.

    Args:
        path: the video.
        may_turn: frames that ask to be shown turned are given too, as they are stored.

    Raises:
        InputError: missing, not a video, damaged or cut off; or to be shown turned.
    """
    if not path.is_file():
        raise InputError("a video is missing", where=path)
    count = packets = hidden = 0
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            if not container.streams.video:
                raise InputError("a file holds no video", where=path)
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            for packet in container.demux(stream):
                # An edit list asks for some frames to be decoded and not shown.
                packets += packet.size > 0 and not packet.is_discard
                hidden += packet.is_discard
                for frame in packet.decode():
                    _check_frame(frame, path, count, may_turn)
                    yield frame
                    count += 1
            announced = stream.frames
    except av.FFmpegError as error:
        raise InputError(
            "a video cannot be read",
            where=path,
            found=f"{error} after frame {count}" if count else error,
            remedy="copy it again from the source",
        ) from error
    # A file that was cut off decodes without complaint; only its header, where it comes first, knows of the rest.
    if count < max(packets, announced - hidden):
        raise InputError(
            "a video is truncated or damaged",
            where=path,
            expected=f"{max(packets, announced - hidden)} frames",
            found=f"{count} that can be decoded",
            remedy="copy it again from the source",
        )


def _check_frame(frame: av.VideoFrame, path: Path, number: int, may_turn: bool) -> None:
    if frame.is_corrupt:
        raise InputError(
            "a video is damaged", where=f"{path}, frame {number}", remedy="copy it again from the source"
        )
    if frame.rotation and not may_turn:
        raise InputError(
            "a video is to be shown turned, and whether its calibration is of the turned image is not known",
            where=path,
            found=f"{frame.rotation} degrees",
            remedy="encode it again without the turn, as it was calibrated",
        )


def write_video(path: Path, pictures: Iterable[Float[np.ndarray, "h w 3"]], fps: float) -> None:
    """Writes RGB pictures in 0..1 as H.264, whole or not at all. Odd sizes lose their last row or column.

    Raises:
        RunError: the disk is full or the place cannot be written.
    """
    with disk_errors(path):
        with whole_file(path) as file, av.open(file, "w", format="mp4") as container:
            stream = None
            for picture in pictures:
                pixels = (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)
                pixels = np.ascontiguousarray(pixels[: len(pixels) // 2 * 2, : pixels.shape[1] // 2 * 2])
                if stream is None:
                    stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000))
                    stream.height, stream.width = pixels.shape[:2]
                    stream.pix_fmt, stream.options = "yuv420p", {"crf": "18"}
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            if stream is not None:
                container.mux(stream.encode())
        sync(path.parent)
