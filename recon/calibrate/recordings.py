"""Recordings of a board: one video or one folder of pictures a camera, read one picture at a time.

    SRC/NAME.mp4 ...             videos that began together, paired by their stamps, or timestamps.csv says which are
    SRC/NAME/*.jpg, *.png ...    pictures; those of one name in several cameras are of one moment

What is kept of a picture are its corners: memory does not grow with the pictures, only by a kilobyte a view.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from simulacra.recon.calibrate.boards import Board, Corners, detect_board
from simulacra.recon.importers.caliscope import TIMESTAMP_FILES, read_timestamps
from simulacra.recon.importers.film_moments import film_moments
from simulacra.recon.importers.footage import IMAGE_ENDINGS, VIDEO_ENDINGS, visible
from simulacra.recon.runs.progress import Progress
from simulacra.recon.session.video import VideoFacts, iter_video, probe_video
from simulacra.render.image import read_image
from simulacra.render.runtime.errors import CaptureError, InputError

# Boards are only looked at: more than a session can hold.
READABLE_ENDINGS = (*IMAGE_ENDINGS, ".bmp", ".tif", ".tiff")
MOST_FRAMES = 400


@dataclass(frozen=True)
class RecordedFrame:
    """Where one picture of a camera is.

    Attributes:
        moment: what it shares with pictures of other cameras.
        number: of the frame, in a video.
        time: seconds, where the recording says.
    """

    moment: str
    file: Path
    number: int | None = None
    time: float | None = None


@dataclass(frozen=True)
class BoardView:
    """A board in one picture: of a video, ``frame`` is its number; ``time`` in seconds where it is known."""

    camera: int
    moment: str
    corners: Corners
    frame: int | None = None
    time: float | None = None


@dataclass(frozen=True)
class BoardViews:
    """All that was seen of a board.

    Attributes:
        board: what is on it.
        cameras: names.
        sizes: width and height of their pictures.
        looked: pictures looked at of each camera.
        views: those with a board in them.
    """

    board: Board
    cameras: tuple[str, ...]
    sizes: tuple[tuple[int, int], ...]
    looked: tuple[int, ...]
    views: tuple[BoardView, ...]


def find_pictures(src: Path, most: int = MOST_FRAMES) -> dict[str, tuple[RecordedFrame, ...]]:
    """The pictures of each camera, evenly chosen where there are more than ``most`` moments.

    Raises:
        InputError: no recording there, or one that is both videos and folders, or damaged.
    """
    if not src.is_dir():
        raise InputError(
            "there is no recording", where=src, expected="a folder with a video or a folder a camera"
        )
    videos = [path for path in visible(src) if path.suffix.lower() in VIDEO_ENDINGS]
    folders = {path.name: _images(path) for path in visible(src) if path.is_dir()}
    folders = {name: files for name, files in folders.items() if files}
    if bool(videos) == bool(folders):
        raise InputError(
            "a recording is of videos or of folders of pictures, one a camera",
            where=src,
            found="both" if videos else "neither",
        )
    if videos and len({path.stem for path in videos}) < len(videos):
        raise InputError("two videos have one name", where=src, found=", ".join(path.name for path in videos))
    every = _of_videos(src, videos) if videos else _of_folders(folders)
    moments = list(dict.fromkeys(picture.moment for pictures in every.values() for picture in pictures))
    if videos:
        moments.sort(key=int)
    places = np.linspace(0, len(moments) - 1, min(most, len(moments))).round().astype(int)
    kept = {moments[i] for i in np.unique(places).tolist()}
    return {name: tuple(p for p in pictures if p.moment in kept) for name, pictures in every.items()}


def gather_views(pictures: Mapping[str, Sequence[RecordedFrame]], board: Board) -> BoardViews:
    """Looks for the board in every picture.

    Raises:
        InputError: a picture cannot be read, or is not of the size of its camera's others.
        CaptureError: no picture shows the board.
    """
    views, sizes = [], []
    with Progress("boards", sum(map(len, pictures.values()))) as bar:
        for camera, (name, chosen) in enumerate(pictures.items()):
            size: tuple[int, int] | None = None
            for picture, image in zip(chosen, _read(chosen), strict=True):
                found = (image.shape[1], image.shape[0])
                if size is not None and found != size:
                    raise InputError(
                        "pictures of one camera differ in size",
                        where=f"{picture.file}, camera {name}",
                        expected=f"{size[0]}x{size[1]}",
                        found=f"{found[0]}x{found[1]}",
                    )
                size = found
                corners = detect_board(image, board)
                if corners is not None:
                    views.append(BoardView(camera, picture.moment, corners, picture.number, picture.time))
                bar.advance()
            if size is None:
                raise InputError("a camera has no picture", where=name)
            sizes.append(size)
    if not views:
        raise CaptureError(
            "no picture shows the board",
            expected=f"{board.kind} of {board.columns} x {board.rows}",
            found=f"none in {sum(map(len, pictures.values()))} pictures",
            remedy="check the board's columns, rows, set of markers and whether it is inverted; a chessboard is "
            "counted in inner corners and must be seen whole",
        )
    looked = tuple(len(chosen) for chosen in pictures.values())
    return BoardViews(board, tuple(pictures), tuple(sizes), looked, tuple(views))


def _images(folder: Path) -> list[Path]:
    return [path for path in visible(folder) if path.suffix.lower() in READABLE_ENDINGS]


def _of_videos(src: Path, videos: Sequence[Path]) -> dict[str, tuple[RecordedFrame, ...]]:
    stamped = next((src / name for name in TIMESTAMP_FILES if (src / name).is_file()), None)
    facts = {path.stem: probe_video(path) for path in videos}
    if stamped is None:
        return _by_their_times(facts, {path.stem: path for path in videos})
    stamps = read_timestamps(stamped)
    result = {}
    for path in videos:
        rows, count = stamps.get(path.stem.replace("port_", "cam_")), facts[path.stem].frames
        if rows is None or len(rows) != count:
            raise InputError(
                "a video and its timestamps differ in length: which frame is which cannot be known",
                where=path,
                expected=f"{len(rows or ())} frames",
                found=f"{count} frames",
            )
        result[path.stem] = tuple(
            RecordedFrame(str(row.sync_index), path, row.number, row.time) for row in rows
        )
    return result


def _by_their_times(
    facts: Mapping[str, VideoFacts], videos: Mapping[str, Path]
) -> dict[str, tuple[RecordedFrame, ...]]:
    """Videos that were begun together; with their times only where numbers of frames are no clock for all."""
    moments, _ = film_moments(facts, videos)
    counted = all(number == moment.index for moment in moments for number in moment.numbers.values())
    result: dict[str, list[RecordedFrame]] = {name: [] for name in videos}
    for moment in moments:
        for name, number in moment.numbers.items():
            rate = facts[name].stated_rate
            time = None if counted else facts[name].times[number] if rate is None else number / rate
            result[name].append(RecordedFrame(str(moment.index), videos[name], number, time))
    return {name: tuple(pictures) for name, pictures in result.items()}


def _of_folders(folders: Mapping[str, Sequence[Path]]) -> dict[str, tuple[RecordedFrame, ...]]:
    for name, files in folders.items():
        if len({path.stem for path in files}) < len(files):
            raise InputError("two pictures of a camera have one name", where=name)
    return {name: tuple(RecordedFrame(path.stem, path) for path in files) for name, files in folders.items()}


def _read(pictures: Sequence[RecordedFrame]) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    numbers = [picture.number for picture in pictures if picture.number is not None]
    if numbers:
        yield from iter_video(pictures[0].file, numbers)
        return
    for picture in pictures:
        yield np.round(read_image(picture.file) * 255).astype(np.uint8)
