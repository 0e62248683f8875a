"""Frames of a video by number, exactly, one at a time in memory; turned by quarters as players and OpenCV show them."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import imageio.v3
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream
from jaxtyping import Float, UInt8

from simulacra.recon.runs.files import disk_errors
from simulacra.recon.session.frame_table import FrameTable, frame_table, video_stream
from simulacra.render.runtime.errors import InputError
from simulacra.render.runtime.whole_files import sync, whole_file

# Transfer functions of ITU-T H.273 that are no display's of standard range.
HDR = {16: "PQ", 18: "HLG"}
# Frames further apart are sought rather than reached by decoding all between.
_FAR = 60


@dataclass(frozen=True)
class VideoFacts:
    """What decoding a whole video showed.

    Attributes:
        frames: how many.
        width: of a picture as it is shown.
        height: of a picture as it is shown.
        times: seconds; None for a frame without a time stamp, and for all where the header knows better.
        turned: degrees, anticlockwise, by which the stored pictures are turned to be shown: 0, 90, 180 or 270.
        stated_rate: pictures a second by the file's header, where its format has one rate and the stamps do not say
            it; else None.
        hdr: the transfer function of high dynamic range (PQ or HLG) that its colors are stored with, else nothing.
    """

    frames: int
    width: int
    height: int
    times: tuple[float | None, ...]
    turned: int = 0
    stated_rate: float | None = None
    hdr: str = ""


def probe_video(path: Path) -> VideoFacts:
    """Counts a video's frames by decoding them, for headers lie about truncated files.

    Raises:
        InputError: missing, not a video, without a frame, or damaged (saying after which frame).
    """
    times: list[float | None] = []
    width = height = turned = 0
    for frame in decode_video(path, may_turn=True):
        turned = int(frame.rotation) % 360
        width, height = (frame.height, frame.width) if turned in (90, 270) else (frame.width, frame.height)
        times.append(None if frame.time is None else float(frame.time))
    if not times:
        raise InputError("a video has no frame", where=path)
    known = [time for time in times if time is not None]
    rise = len(known) == len(times) and all(a < b for a, b in itertools.pairwise(known))
    rate, hdr = _stated(path)
    if rise or rate is None:
        return VideoFacts(len(times), width, height, tuple(times), turned, None, hdr)
    return VideoFacts(len(times), width, height, (None,) * len(times), turned, rate, hdr)


def _stated(path: Path) -> tuple[float | None, str]:
    """What a header says: the rate of an AVI, whose pictures are evenly spaced by definition (others only estimate),
    and a transfer function of high dynamic range.
    """
    with av.open(str(path), metadata_errors="replace") as container:
        stream = video_stream(container)
        if stream is None:
            return None, ""
        rate = float(1 / stream.time_base) if container.format.name == "avi" and stream.time_base else None
        return rate, HDR.get(stream.codec_context.color_trc, "")


def shown_pixels(frame: av.VideoFrame) -> UInt8[np.ndarray, "h w 3"]:
    """RGB pixels as they are shown: FFmpeg's rotation is anticlockwise, in degrees."""
    pixels = frame.to_ndarray(format="rgb24")
    turns = (int(frame.rotation) // 90) % 4
    return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels


def iter_video(path: Path, numbers: Sequence[int]) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """RGB pixels of the wanted frames, which must be in rising order.

    Raises:
        InputError: a frame is not there.
    """
    wanted = list(numbers)
    if sorted(wanted) != wanted:
        raise ValueError("frames of a video are read in rising order")
    position = 0
    for number, frame in enumerate(decode_video(path, may_turn=True)):
        if position == len(wanted):
            return
        while position < len(wanted) and wanted[position] == number:
            yield shown_pixels(frame)
            position += 1
    if position < len(wanted):
        raise InputError(
            "a video ends before a frame that the session names",
            where=path,
            expected=f"frame {wanted[position]}",
        )


def read_video_frame(path: Path, number: int) -> UInt8[np.ndarray, "h w 3"]:
    """One frame: the very one that going through the video has at that number.

    It is decoded from the key frame before it where `frame_table` knows its stamp, else from the start.

    Raises:
        InputError: the frame is not there.
    """
    found = next(_stretch(path, [number]), None)
    return found if found is not None else next(iter_video(path, [number]))


def read_video_frame_at(path: Path, seconds: float) -> UInt8[np.ndarray, "h w 3"]:
    """The frame that is shown at a time, in seconds as `VideoFacts.times` has them; the last one stays.

    Raises:
        InputError: the time is before the first frame, or the video has no time stamps that rise.
    """
    table = frame_table(path)
    number = None if table is None or not np.isfinite(seconds) else table.number_at(seconds)
    if number is None:
        raise InputError(
            "a video shows no frame at a time",
            where=path,
            expected="time stamps that rise"
            if table is None
            else f">= {table.stamps[0] * table.time_base} s",
            found=f"{seconds} s",
            remedy="ask for frames by their numbers" if table is None else None,
        )
    return read_video_frame(path, number)


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
        # Where stamps do not lead to a frame, counting from the start is slow and right.
        if found < end - start:
            yield from iter_video(path, numbers[start + found : end])
        start = end


def _stretch(path: Path, numbers: Sequence[int]) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """Rising frames that are near each other, decoded once from the key frame before them; ends at any doubt."""
    table = frame_table(path)
    if table is None or not 0 <= numbers[0] < len(table.stamps):
        return
    position, turned = 0, None
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            for number, frame in _frames_from_key(container, table, numbers[0]):
                while position < len(numbers) and numbers[position] == number:
                    turned = _check_frame(frame, path, number, may_turn=True, turned=turned)
                    yield shown_pixels(frame)
                    position += 1
                if position == len(numbers):
                    return
    except (av.FFmpegError, OSError):
        return


def _frames_from_key(
    container: InputContainer, table: FrameTable, number: int
) -> Iterator[tuple[int, av.VideoFrame]]:
    """Numbers and frames from a key frame at or before a frame on; ends where one is not the next of the table.

    A key frame that is decoded earlier and shown later than the frame would not do: what is shown before it may
    hang on pictures that were not decoded (open groups of pictures).
    """
    stream = video_stream(container)
    key = int(np.searchsorted(table.keys, table.stamps[number], "right")) - 1
    if stream is None or key < 0:
        return
    stream.thread_type = "AUTO"
    container.seek(int(table.keys[key]), stream=stream, backward=True)
    landed: int | None = None
    place = 0
    for packet in container.demux(stream):
        if landed is None:
            if packet.pts is None or not packet.is_keyframe or packet.pts > table.stamps[number]:
                return
            landed = packet.pts
            place = int(np.searchsorted(table.stamps, landed))
        for frame in packet.decode():
            if frame.pts is None or place == len(table.stamps):
                return
            if frame.pts >= landed:
                if frame.pts != table.stamps[place]:
                    return
                yield place, frame
                place += 1


def decode_video(path: Path, *, may_turn: bool = False) -> Iterator[av.VideoFrame]:
    """All frames in the order of presentation as they are stored, raising at the first sign of damage.

    Args:
        path: the video.
        may_turn: frames that ask to be shown turned by quarters are given too.

    Raises:
        InputError: missing, not a video, damaged or cut off; or to be shown turned or mirrored.
    """
    if not path.is_file():
        raise InputError("a video is missing", where=path)
    count, turned = 0, None
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            stream = video_stream(container)
            if stream is None:
                raise InputError("a file holds no video", where=path)
            stream.thread_type = "AUTO"
            tally = _Tally()
            for packet in container.demux(stream):
                tally.add_packet(packet)
                for frame in packet.decode():
                    turned = _check_frame(frame, path, count, may_turn=may_turn, turned=turned)
                    yield frame
                    count += 1
                    tally.add_frame(frame)
            expected = _expected_frames(container, stream, tally)
    except av.FFmpegError as error:
        raise InputError(
            "a video cannot be read",
            where=path,
            found=f"{error} after frame {count}" if count else error,
            remedy="copy it again from the source",
        ) from error
    # A file that was cut off decodes without complaint; only its header, where it comes first, knows of the rest.
    if count < expected:
        raise InputError(
            "a video is truncated or damaged",
            where=path,
            expected=f"{expected} frames",
            found=f"{count} that can be decoded",
            remedy="copy it again from the source",
        )


class _Tally:
    """Counts what the packets of a video promise.

    Attributes:
        promised: frames, one of each packet but those that an edit list hides.
        lost: how many of them hang on pictures before the first key frame, and did not come out of the decoder.
        end: of the last packet, in decoding time.
    """

    def __init__(self) -> None:
        self.promised = self.lost = self.end = 0
        self._begun = False
        self._first: int | None = None

    def add_packet(self, packet: av.Packet) -> None:
        if packet.size == 0:
            return
        if packet.is_keyframe and not self._begun:
            self._begun, self._first = True, packet.pts
        self.end = max(self.end, (packet.dts or 0) + max(packet.duration or 1, 1))
        self.promised += not packet.is_discard
        self.lost += not packet.is_discard and self._is_loose(packet.pts)

    def add_frame(self, frame: av.VideoFrame) -> None:
        self.lost -= self._is_loose(frame.pts)

    def _is_loose(self, stamp: int | None) -> bool:
        earlier = stamp is not None and self._first is not None and stamp < self._first
        return not self._begun or earlier


def _expected_frames(container: InputContainer, stream: VideoStream, tally: _Tally) -> int:
    """The more of what the header and what the packets promise."""
    announced = stream.frames
    if "mov" in container.format.name:
        # `stream.frames` is before the edit list.
        announced = sum(not entry.is_discard for entry in stream.index_entries)
    elif "avi" in container.format.name and tally.end >= announced:
        announced = 0  # pictures that the recorder dropped are counted, and are not there
    return max(announced, tally.promised) - max(tally.lost, 0)


def _check_frame(
    frame: av.VideoFrame, path: Path, number: int, *, may_turn: bool, turned: float | None
) -> float:
    """How the frame is to be shown turned, in degrees; `turned`: the frame before it, None of the first.

    Raises:
        InputError: it is damaged, or to be shown as may not be.
    """
    if frame.is_corrupt:
        raise InputError(
            "a video is damaged", where=f"{path}, frame {number}", remedy="copy it again from the source"
        )
    # A frame whose side data were looked at is kept by them until the garbage collector comes: 2 GB of a few videos.
    if frame.rotation != turned and _is_mirrored(frame):
        raise InputError(
            "a video is to be shown mirrored: whose left and right is whose cannot be known",
            where=path,
            remedy="encode it again without the mirror, as it was recorded",
        )
    if frame.rotation % (90 if may_turn else 360):
        raise InputError(
            "a video is to be shown turned" + (" by no quarter" if may_turn else ""),
            where=path,
            found=f"{frame.rotation} degrees",
            remedy="take the turn out of the file: ffmpeg -display_rotation 0 -i IN -c copy OUT",
        )
    return float(frame.rotation)


def _is_mirrored(frame: av.VideoFrame) -> bool:
    """Whether the display matrix (fixed point, rows of 3) turns left to right; its angle alone does not say."""
    stored = frame.side_data.get("DISPLAYMATRIX")
    if stored is None:
        return False
    a, b, _, c, d = np.frombuffer(bytes(stored), np.int32)[:5].astype(float)  # type: ignore[call-overload]
    return bool(a * d - b * c < 0)


def write_video(path: Path, pictures: Iterable[Float[np.ndarray, "h w 3"]], fps: float) -> None:
    """Writes RGB pictures in 0..1 as H.264, whole or not at all. Odd sizes lose their last row or column.

    Raises:
        RunError: the disk is full or the place cannot be written.
    """
    # FFmpeg writes into memory, and Python to the disk: a signal's handler that ran while FFmpeg called a file of
    # Python's would raise into nothing, and the stopped clip would be finished without what was just being written.
    clip = io.BytesIO()
    with disk_errors(path):
        with av.open(clip, "w", format="mp4") as container:
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
        with whole_file(path) as file:
            file.write(clip.getbuffer())
        sync(path.parent)


def write_gif(path: Path, pictures: Iterable[Float[np.ndarray, "h w 3"]], fps: float) -> None:
    """Writes RGB pictures in 0..1 as a GIF that repeats for ever, whole or not at all; all pictures are held at once.

    Raises:
        RunError: the disk is full or the place cannot be written.
    """
    frames = np.stack([(np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8) for picture in pictures])
    clip = imageio.v3.imwrite(
        "<bytes>", frames, extension=".gif", plugin="pillow", duration=1000 / fps, loop=0, mode="RGB"
    )
    with disk_errors(path), whole_file(path) as file:
        file.write(clip)
    sync(path.parent)
