"""Videos whose frames say their own number, of every kind that a container can be odd in; made with PyAV."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

BITS = 8
TICK = Fraction(1, 1000)


def numbered_picture(number: int, width: int = 96, height: int = 64) -> np.ndarray:
    """RGB pixels: eight columns, white where a bit of the number is set, over a gradient that moves."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[height // 2 :] = ((np.arange(width) * 2 + 7 * number) % 256)[None, :, None]
    for bit in range(BITS):
        columns = slice(bit * width // BITS, (bit + 1) * width // BITS)
        pixels[: height // 2, columns] = 255 * (number >> bit & 1)
    return pixels


def number_of(pixels: np.ndarray) -> int:
    """What `numbered_picture` wrote."""
    height, width = pixels.shape[:2]
    means = [
        pixels[2 : height // 2 - 2, b * width // BITS + 2 : (b + 1) * width // BITS - 2].mean()
        for b in range(BITS)
    ]
    return sum(1 << bit for bit, mean in enumerate(means) if mean > 127)


def write_numbered(
    path: Path,
    stamps: Sequence[int],
    *,
    first: int = 0,
    codec: str = "libx264",
    size: tuple[int, int] = (96, 64),
    pix_fmt: str = "yuv420p",
    tick: Fraction = TICK,
    options: Mapping[str, str] | None = None,
    matrix: Sequence[int] | None = None,
    flags: str | None = None,
) -> None:
    """Frames ``first``, ``first + 1``, ... at so many ticks each; ``matrix`` says how they are shown."""
    with av.open(str(path), "w", options={"movflags": flags} if flags else {}) as container:
        stream = container.add_stream(codec, rate=30, options=dict(options or {}))
        stream.width, stream.height = size
        stream.pix_fmt = pix_fmt
        stream.codec_context.time_base = tick
        if matrix is not None:
            stream.set_display_matrix(matrix)
        for number, stamp in enumerate(stamps, start=first):
            frame = av.VideoFrame.from_ndarray(numbered_picture(number, *size), format="rgb24")
            frame.pts, frame.time_base = stamp, tick
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def remux(source: Path, target: Path, keep: Callable[[av.Packet, int], bool]) -> None:
    """Copies packets; ``keep`` may alter one, and leaves it out by returning False."""
    with av.open(str(source)) as container, av.open(str(target), "w") as out:
        stream = out.add_stream_from_template(container.streams.video[0])
        for place, packet in enumerate(container.demux(video=0)):
            if packet.size and keep(packet, place):
                packet.stream = stream
                out.mux(packet)


def edit_list(path: Path, edits: Sequence[tuple[int, int]]) -> None:
    """Rewrites the edit list of an MP4 file whose header comes last.

    Args:
        edits: duration in the movie's units and start in the media's, -1 for nothing to show.
    """
    data = path.read_bytes()
    rows = b"".join(struct.pack(">IiI", length, start, 0x10000) for length, start in edits)
    table = struct.pack(">I4sII", 16 + len(rows), b"elst", 0, len(edits)) + rows
    box = struct.pack(">I4s", 8 + len(table), b"edts") + table
    trak = data.index(b"trak", data.index(b"moov")) - 4
    old = data.find(b"edts", trak)
    start = trak + 8 + struct.unpack_from(">I", data, trak + 8)[0] if old < 0 else old - 4
    removed = 0 if old < 0 else struct.unpack_from(">I", data, start)[0]
    made = bytearray(data[:start] + box + data[start + removed :])
    for outer in (data.index(b"moov") - 4, trak):
        size = struct.unpack_from(">I", made, outer)[0]
        struct.pack_into(">I", made, outer, size + len(box) - removed)
    path.write_bytes(made)
