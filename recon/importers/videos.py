"""Videos and nothing else, of cameras that recorded a board too: phones on tripods.

    SRC/PHONE.MOV ...            one a camera; or SRC/PHONE/IMG_0012.MOV
    BOARD/PHONE.MOV ...          the same cameras, standing as in SRC, while a board was shown to them; or folders of
                                 pictures, or a calibration.json that `simulacra calibrate board` made of them
    BOARD/board.toml             what is on the board: kind, columns, rows, square_m

Cameras are calibrated by the board (`recon.calibrate`) and stand upright by their horizons; the floor is at the board's
lowest corner, or is the board as it lay at one moment. Frame k of all videos is one moment.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from simulacra.recon.calibrate import (
    RecordedFrame,
    calibrate_rig,
    person_in_pictures,
    read_board,
    read_calibration,
    stand_on_board,
    stand_upright,
    write_calibration,
)
from simulacra.recon.calibrate.free_running import gather_recording
from simulacra.recon.importers.finding import (
    CameraFiles,
    assign_files,
    folder_named,
    list_videos,
    say_contents,
    video_folder,
)
from simulacra.recon.importers.footage import (
    check_calibrated_size,
    inside,
    list_images,
    make_session,
    session_names,
    video_footage,
    visible,
)
from simulacra.recon.importers.foreign_text import read_toml
from simulacra.recon.importers.options import VideosOptions
from simulacra.recon.session import Session, SessionCamera
from simulacra.recon.session.frame_table import frame_table
from simulacra.render.runtime.errors import InputError, UserError

BOARD_FOLDERS = ("board", "boards", "charuco", "checkerboard", "chessboard", "calibration")
CALIBRATION_FILE = "calibration.json"
HOW = (
    "show a ChArUco board to all cameras as they stand, put those videos into a folder with board.toml (kind, columns, "
    "rows, square_m), and give it: --board DIR"
)


def import_videos(src: Path, session: Path, options: VideosOptions) -> Session:
    """Makes a session of videos, their cameras calibrated by a board. Files are linked or copied, never encoded again.

    Args:
        src: the folder of the videos.
        session: the new session's folder.
        options: see there.

    Raises:
        InputError: no videos, no board, or which belong together cannot be told.
        CaptureError: the board was not seen well enough to calibrate all cameras.
        CalibrationError: a camera that cannot be, or one of another image size.
        RunError: ``session`` exists already, or the disk is full.
    """
    board = options.board or find_board(src)
    if board is None:
        raise InputError("videos alone do not say where their cameras are", where=src, remedy=HOW)
    videos = find_camera_videos(src, board)
    cameras, notes = _calibrated(board, videos, options)
    kept = [label for label in videos if label in cameras]
    if not kept:
        raise InputError(
            "no video is of a calibrated camera",
            where=src,
            expected=", ".join(cameras),
            found=", ".join(videos),
        )
    notes += [
        f"{videos[label].name} has no calibration: left out" for label in videos if label not in cameras
    ]
    names = session_names(kept)
    footage = video_footage({names[label]: videos[label] for label in kept})
    for label in kept:
        size = (cameras[label].width, cameras[label].height)
        check_calibrated_size(label, size, footage.sizes[names[label]], board)
    placed = [replace(cameras[label], name=names[label]) for label in kept]
    arguments = {**asdict(options), "board": board.name}
    return make_session(
        session, placed, footage, importer="videos", arguments={"src": src.name, **arguments},
        notes=notes, T_world_source=np.eye(4), source=src, fps=options.fps,
    )  # fmt: skip


def find_board(src: Path) -> Path | None:
    """The folder of a board's recording in a folder of videos, by its name."""
    found = folder_named(src, BOARD_FOLDERS) if src.is_dir() else None
    return (
        found if found is not None and (_board_file(found) or (found / CALIBRATION_FILE).is_file()) else None
    )


def find_camera_videos(src: Path, board: Path | None) -> dict[str, Path]:
    """Videos by their cameras: a camera is called as its video, or as the folder that only its video lies in.

    Raises:
        InputError: none, or several of one name.
    """
    folder = video_folder(src)
    found = [
        path for path in list_videos(folder) if board is None or board.resolve() not in path.resolve().parents
    ]
    if not found:
        raise InputError("there is no video", where=folder, found=say_contents(folder))
    owners = [path.parent for path in found]
    apart = folder not in owners and len(set(owners)) == len(owners)
    labels = [path.relative_to(folder).parts[0] if apart else path.stem for path in found]
    if len({label.lower() for label in labels}) < len(labels):
        raise InputError(
            "two videos have one name",
            where=folder,
            found=", ".join(labels)[:200],
            remedy="a name for each camera",
        )
    return {label: inside(src, path.relative_to(src).as_posix()) for label, path in zip(labels, found)}


def _calibrated(
    board: Path, videos: Mapping[str, Path], options: VideosOptions
) -> tuple[dict[str, SessionCamera], list[str]]:
    """The cameras by the labels of their videos, and what was found."""
    if (board / CALIBRATION_FILE).is_file():
        given, posed = read_calibration(board / CALIBRATION_FILE)
        if not posed:
            raise InputError("a calibration knows lenses only", where=board / CALIBRATION_FILE, remedy=HOW)
        return {camera.name: camera for camera in given}, [f"cameras are of {board.name}/{CALIBRATION_FILE}"]
    described = _board_file(board)
    if described is None:
        raise InputError(
            "nothing says what is on the board", where=board, found=say_contents(board), remedy=HOW
        )
    found = _recordings(board, videos)
    with tempfile.TemporaryDirectory(prefix="simulacra-") as temporary:
        # Under the names of the cameras: phones call every video otherwise.
        links = Path(temporary) / "board"
        links.mkdir()
        for label, path in found.files.items():
            (links / f"{label}{path.suffix if path.is_file() else ''}").symlink_to(path.resolve())
        _, views, clocks = gather_recording(links, read_board(described))
        rig = calibrate_rig(views)
        if options.floor_moment is None:
            rig = stand_upright(rig, ask=lambda one: person_in_pictures(one, _middle_of(videos)))
        else:
            rig = stand_on_board(rig, options.floor_moment)
        cameras, _ = read_calibration(write_calibration(Path(temporary), (rig,)))
    return {camera.name: camera for camera in cameras}, [*found.notes, *clocks, *rig.notes]


def _middle_of(videos: Mapping[str, Path]) -> dict[str, RecordedFrame]:
    """A picture of the person of each camera."""
    tables = {label: frame_table(path) for label, path in videos.items()}
    return {
        label: RecordedFrame("", videos[label], 0 if table is None else len(table.stamps) // 2)
        for label, table in tables.items()
    }


def _recordings(board: Path, videos: Mapping[str, Path]) -> CameraFiles:
    files = list_videos(board)
    pictures = [path for path in visible(board) if path.is_dir() and list_images(path)]
    if not files and not pictures:
        raise InputError(
            "there is no recording of the board", where=board, found=say_contents(board), remedy=HOW
        )
    names = {label: (label,) for label in videos}
    what = "the board's videos are to be called as those of the person, or to lie in folders of these names"
    return assign_files(
        board, board, files or pictures, names, "videos" if files else "images", what, strict=True
    )


def _board_file(board: Path) -> Path | None:
    """The TOML file that describes a board: the one that speaks of columns."""
    for path in visible(board):
        if path.suffix.lower() == ".toml":
            try:
                described = read_toml(path)
            except UserError:
                continue
            inner = described.get("charuco", described)
            if isinstance(inner, dict) and "columns" in inner:
                return path
    return None
