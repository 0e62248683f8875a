"""Sharp frames of a video, evenly spaced: what a turn-around is reconstructed from.

Videos of phones ask to be shown turned. Nothing has been calibrated yet, so that frames are taken as shown.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import cv2
import numpy as np
from jaxtyping import Float, UInt8

from simulacra.render.runtime.errors import InputError

# Sharpness is judged at this size: of what pixels of any camera can show, not of its noise.
JUDGED = 480


def sharpness(pixels: UInt8[np.ndarray, "h w 3"]) -> float:
    """Variance of the Laplacian of a small grey picture (Pech-Pacheco et al. 2000)."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    scale = min(1.0, JUDGED / max(grey.shape))
    small = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return float(cv2.Laplacian(small, cv2.CV_64F).var())


def judge_frames(path: Path) -> Float[np.ndarray, "n"]:
    """The sharpness of every frame.

    Raises:
        InputError: no video, or a damaged one.
    """
    judged = np.array([sharpness(pixels) for pixels in shown_frames(path)])
    if not len(judged):
        raise InputError("a video has no frame", where=path)
    return judged


def choose_frames(judged: Float[np.ndarray, "n"], count: int) -> list[int]:
    """The sharpest frame of each of so many equal stretches; all frames where there are fewer.

    Only the middle half of a stretch is looked at where it has four frames or more, so that steps stay even.
    """
    if len(judged) <= count:
        return list(range(len(judged)))
    edges = np.linspace(0, len(judged), count + 1)
    chosen = []
    for start, end in itertools.pairwise(edges.tolist()):
        margin = (end - start) / 4 if end - start >= 4 else 0.0
        low, high = int(np.ceil(start + margin)), int(np.ceil(end - margin))
        chosen.append(low + int(judged[low : max(high, low + 1)].argmax()))
    return chosen


def read_frames(path: Path, numbers: Sequence[int]) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """Frames of rising numbers, as shown."""
    wanted = set(numbers)
    for number, pixels in enumerate(shown_frames(path)):
        if number in wanted:
            yield pixels
        if number == max(wanted):
            return


def shown_frames(path: Path) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """All frames, turned as the file asks for.

    Raises:
        InputError: missing, not a video, damaged or cut off.
    """
    if not path.is_file():
        raise InputError("a video is missing", where=path)
    count = packets = hidden = 0
    try:
        # Titles and the like are of no interest, and not always text.
        with av.open(str(path), metadata_errors="replace") as container:
            if not container.streams.video:
                raise InputError("a file holds no video", where=path)
            stream = container.streams.video[0]
            for packet in container.demux(stream):
                packets += packet.size > 0 and not packet.is_discard
                hidden += packet.is_discard
                for frame in packet.decode():
                    if frame.is_corrupt:
                        raise InputError("a video is damaged", where=f"{path}, frame {count}")
                    yield _turned(frame, path)
                    count += 1
            announced = stream.frames
    except (av.FFmpegError, OSError) as error:
        raise InputError(
            "a video cannot be read", where=path, found=error, remedy="copy it again from the source"
        ) from error
    if count < max(packets, announced - hidden):
        raise InputError(
            "a video is truncated or damaged",
            where=path,
            expected=f"{max(packets, announced - hidden)} frames",
            found=f"{count} that can be decoded",
            remedy="copy it again from the source",
        )


def _turned(frame: av.VideoFrame, path: Path) -> UInt8[np.ndarray, "h w 3"]:
    """FFmpeg's rotation is anticlockwise, in degrees."""
    if frame.rotation % 90:
        raise InputError("a video is to be shown turned by no quarter", where=path, found=frame.rotation)
    return np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), (frame.rotation // 90) % 4))
