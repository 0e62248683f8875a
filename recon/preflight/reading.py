"""Pictures as they were recorded, one at a time, and the state of every file.

What cannot be read is no reason to stop here: it is what a preflight is for. Each trouble is kept as a problem and the
rest is read on. Lenses are left in: landmarks are undistorted as points, which costs nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from simulacra.recon.session import Session, Source
from simulacra.recon.session.video import iter_video, iter_video_near
from simulacra.render.image import read_image, read_mask, read_uint16
from simulacra.render.runtime.errors import InputError, UserError

# A video is decoded from its start up to here; what lies further on is sought.
NEAR = 400
# The end of a whole file of each kind; a JPEG may be followed by a few more bytes.
ENDINGS = {".jpg": b"\xff\xd9", ".jpeg": b"\xff\xd9", ".png": b"IEND\xaeB`\x82"}
TAIL = 32


@dataclass(frozen=True)
class Problem:
    """A file that cannot be used: which check it fails, whose camera it is, and the reader's own words."""

    code: str
    camera: str
    said: str


class Problems:
    """Collects problems; each file once."""

    def __init__(self) -> None:
        self.found: dict[str, Problem] = {}

    def add(self, camera: str, error: UserError) -> None:
        """Keeps an error."""
        where = str(error.where)
        facts = "; ".join(str(fact) for fact in (error.found, error.expected) if fact is not None)
        said = f"{error.what}: {where}" + (f" ({facts})" if facts else "")
        self.found.setdefault(f"{camera} {where}", Problem(error.code, camera, said))


def iter_raw(
    session: Session, camera: str, frames: Sequence[int], problems: Problems
) -> Iterator[tuple[int, UInt8[np.ndarray, "h w 3"]]]:
    """Frame numbers and RGB pixels of frames that a camera recorded; what cannot be read is left out."""
    todo = [(frame, session.frame(frame).sources[camera]) for frame in frames if session.has(frame, camera)]
    start = 0
    while start < len(todo):
        end = start + 1
        if todo[start][1].number is not None:
            while end < len(todo) and todo[end][1].file == todo[start][1].file:
                end += 1
        yield from _read_file(session, camera, todo[start:end], problems)
        start = end


def _read_file(
    session: Session, camera: str, todo: Sequence[tuple[int, Source]], problems: Problems
) -> Iterator[tuple[int, UInt8[np.ndarray, "h w 3"]]]:
    described = session.camera(camera)
    try:
        path = session.path(todo[0][1].file)
        for frame, pixels in _decode(path, todo):
            if pixels.shape[:2] != (described.height, described.width):
                raise InputError(
                    "an image is not of its camera's size",
                    where=path,
                    expected=f"{described.width}x{described.height}",
                    found=f"{pixels.shape[1]}x{pixels.shape[0]}",
                    code="image-size",
                )
            yield frame, pixels
    except UserError as error:
        problems.add(camera, error)


def _decode(
    path: Path, todo: Sequence[tuple[int, Source]]
) -> Iterator[tuple[int, UInt8[np.ndarray, "h w 3"]]]:
    if todo[0][1].number is None:
        yield todo[0][0], _read_bytes(path)
        return
    # In the order of the video: frames of a shuffled session come out of order, with their own numbers.
    order = sorted(todo, key=lambda item: item[1].number or 0)
    numbers = [source.number or 0 for _, source in order]
    read = iter_video if numbers[-1] <= NEAR else iter_video_near
    for (frame, _), pixels in zip(order, read(path, numbers), strict=False):
        yield frame, pixels


def _read_bytes(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    return np.round(read_image(path) * 255).astype(np.uint8)


def check_files(session: Session, problems: Problems) -> int:
    """Looks at the size and the last bytes of every file, and decodes those whose end is not what it should be.

    Returns:
        how many files were looked at.
    """
    owners: dict[str, str] = {}
    for frame in session.frames:
        for camera, source in frame.sources.items():
            owners.setdefault(source.file, camera)
            for kind in ("masks", "depth"):
                name = f"{kind}/{camera}/{frame.index:06d}.png"
                if (session.root / name).exists():
                    owners.setdefault(name, camera)
    for name, camera in owners.items():
        try:
            _check_file(session.path(name))
        except UserError as error:
            problems.add(camera, error)
    return len(owners)


def _check_file(path: Path) -> None:
    if not path.is_file() or path.stat().st_size == 0:
        raise InputError(
            "a file of the session is missing or empty", where=path, remedy="import the session again"
        )
    ending = ENDINGS.get(path.suffix.lower())
    if ending is None:
        return
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - TAIL), os.SEEK_SET)
        if ending in stream.read():
            return
    kind = path.parent.parent.name
    (read_uint16 if kind == "depth" else read_mask if kind == "masks" else read_image)(path)
