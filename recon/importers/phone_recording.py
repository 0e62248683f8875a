"""A phone that recorded color and depth and knew where it was: many moments of one camera, or a turn-around.

A phone on a tripod is one camera of many frames. A phone that was carried around a person who stood still is, as with
`images`, many cameras of one frame; that the person stood still has to be said, for nothing in the files says it.

Depth of a phone's scanner is of another grid than its pictures (256x192 for 1920x1440): of the same view, so that it is
resampled to the picture's grid. It holds no more than it did.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from simulacra.recon.importers.building import at_rate, copy_file, new_session_folder, write_session
from simulacra.recon.importers.chosen_frames import choose_frames, sharpness
from simulacra.recon.importers.depth_arrays import iter_metres
from simulacra.recon.importers.depth_grid import resample_depth
from simulacra.recon.importers.footage import inside
from simulacra.recon.importers.options import Up
from simulacra.recon.importers.placing import place
from simulacra.recon.importers.recorder_options import PhoneOptions
from simulacra.recon.runs.progress import track
from simulacra.recon.session import Frame, Session, SessionCamera, Source, check_camera, load_session
from simulacra.recon.session.video import decode_video
from simulacra.render.image import open_image, read_image
from simulacra.render.runtime.errors import InputError

UNITS = 1000.0  # a depth unit is a millimetre
# A phone whose poses stay within this is on a tripod: metres and degrees, what its own tracking drifts.
STILL = (0.02, 0.5)
# Sides of color and depth in proportion; whole pixels of a small map leave a little.
SAME_SHAPE = 0.02


@dataclass(frozen=True)
class PhoneRecording:
    """What a phone recorded, frame by frame. n: frames.

    Attributes:
        pictures: files of the frames by their numbers; empty where there is a video.
        video: of all frames; None where there are pictures.
        size: width and height of the pictures.
        Ks: of each frame, pixels of the pictures, the first pixel's centre at (0.5, 0.5).
        poses: world out of camera, OpenCV's axes, metres.
        times: seconds of each frame; None where they are not known.
        depth: files by the frames' numbers.
        confidence: files of 0, 1, 2 on the grid of depth.
        notes: what was found odd.
    """

    pictures: Mapping[int, Path]
    video: Path | None
    size: tuple[int, int]
    Ks: Float[np.ndarray, "n 3 3"]
    poses: Float[np.ndarray, "n 4 4"]
    times: Float[np.ndarray, "n"] | None
    depth: Mapping[int, Path]
    confidence: Mapping[int, Path]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _View:
    """One picture of the session: of a camera, at a frame of the session, out of a frame of the recording."""

    camera: str
    frame: int
    number: int


def make_phone_session(
    src: Path, session: Path, recording: PhoneRecording, options: PhoneOptions, world_up: Up, importer: str
) -> Session:
    """A session of one camera, or of one frame where the phone moved.

    Args:
        src: the recording's folder.
        session: the new session's folder.
        recording: what was found in it.
        options: see there.
        world_up: which axis of the poses points up.
        importer: the importer's name, for the session.

    Raises:
        InputError: it moved, and nobody said that the person did not; or a damaged file.
        CalibrationError: intrinsics that cannot be.
        RunError: ``session`` exists already, or the disk is full.
    """
    distance, turn = spread(recording.poses)
    moved = distance > STILL[0] or turn > STILL[1]
    said = f"the phone moved by {distance:.2f} m and {turn:.1f} degrees"
    if moved and not options.still_person:
        raise InputError(
            "a phone that moves shows one body only if the person stood still", where=src, found=said,
            remedy="--still-person, if that is so; a person in motion needs a phone that stands",
        )  # fmt: skip
    views = _turn_around(recording, options.count) if moved else _one_camera(recording)
    cameras = _cameras(recording, views)
    for camera in cameras:
        check_camera(camera.name, camera.K, camera.viewmat, camera.width, camera.height, src)
    placed, T, how = place(cameras, scale=1.0, world_up=world_up, floor=options.floor)
    taken = (
        [f"{len(views)} of {len(recording.poses)} frames are taken as cameras of one moment"] if moved else []
    )
    with new_session_folder(session) as work:
        files = _write_pictures(work, src, recording, views)
        depth = _write_depth(work, recording, views, options.confidence)
        frames = _frames(recording, views, files)
        write_session(
            work, placed, at_rate(frames, None if moved else options.fps, src), importer=importer,
            arguments={"src": src.name, **asdict(options)}, notes=[*recording.notes, said, *taken, *how, *depth],
            T_world_source=T, source=src,
        )  # fmt: skip
    return load_session(session)


def numbered_files(folder: Path, endings: tuple[str, ...]) -> dict[int, Path]:
    """Files of a folder by the numbers that their names are; none where there is no such folder.

    Raises:
        InputError: it has files of several kinds, or links out of it.
    """
    if not folder.is_dir():
        return {}
    found = (path for path in folder.iterdir() if path.suffix.lower() in endings)
    files = {int(path.stem): path for path in found if re.fullmatch(r"\d{1,9}", path.stem)}
    kinds = {path.suffix.lower() for path in files.values()}
    if len(kinds) > 1:
        raise InputError("a folder has files of several kinds", where=folder, found=", ".join(sorted(kinds)))
    return {number: inside(folder, path.name) for number, path in sorted(files.items())}


def spread(poses: Float[np.ndarray, "n 4 4"]) -> tuple[float, float]:
    """How far a phone went from where it began, metres, and how far it turned, degrees."""
    turns = np.einsum("nij,ij->n", poses[:, :3, :3], poses[0, :3, :3])  # the trace of R R0^T
    angle = np.degrees(np.arccos(np.clip((turns.min() - 1) / 2, -1, 1)))
    return float(np.linalg.norm(poses[:, :3, 3] - poses[0, :3, 3], axis=1).max()), float(angle)


def _one_camera(recording: PhoneRecording) -> list[_View]:
    numbers = range(len(recording.poses)) if recording.video else sorted(recording.pictures)
    return [_View("phone", number, number) for number in numbers]


def _turn_around(recording: PhoneRecording, count: int) -> list[_View]:
    """The sharpest frame of each stretch."""
    if recording.video:
        numbers = list(range(len(recording.poses)))
        sharp = [sharpness(pixels) for pixels in _stored_frames(recording.video, numbers)]
    else:
        numbers = sorted(recording.pictures)
        found = track(numbers, "choosing frames", len(numbers))
        sharp = [sharpness((read_image(recording.pictures[n]) * 255).astype(np.uint8)) for n in found]
    chosen = choose_frames(np.array(sharp), count)
    return [_View(f"v{i:03d}", 0, numbers[at]) for i, at in enumerate(chosen)]


def _cameras(recording: PhoneRecording, views: Sequence[_View]) -> list[SessionCamera]:
    """One a name; of a phone that stands the median K, for its focus breathes, and its first pose."""
    numbers: dict[str, list[int]] = {}
    for view in views:
        numbers.setdefault(view.camera, []).append(view.number)
    return [
        SessionCamera(
            name, *recording.size, np.median(recording.Ks[own], axis=0), np.linalg.inv(recording.poses[own[0]]), None,
            UNITS if recording.depth else None,
        )
        for name, own in numbers.items()
    ]  # fmt: skip


def _frames(recording: PhoneRecording, views: Sequence[_View], files: Mapping[int, str]) -> list[Frame]:
    sources: dict[int, dict[str, Source]] = {}
    for view in views:
        several = view.camera == "phone"
        time = float(recording.times[view.number]) if recording.times is not None and several else None
        number = view.number if recording.video and several else None
        sources.setdefault(view.frame, {})[view.camera] = Source(files[view.number], number, time)
    return [Frame(index, found) for index, found in sorted(sources.items())]


# -- files -----------------------------------------------------------------------------------------


def _write_pictures(
    work: Path, src: Path, recording: PhoneRecording, views: Sequence[_View]
) -> dict[int, str]:
    """The session's files by the numbers of the recording's frames."""
    if recording.video and views[0].camera == "phone":
        next(iter(decode_video(recording.video)))  # one that asks to be shown turned is refused
        target = f"videos/phone{recording.video.suffix.lower()}"
        copy_file(recording.video, work / target, src)
        return dict.fromkeys((view.number for view in views), target)
    files = {}
    wanted = [view.number for view in views]
    pixels: Iterable[UInt8[np.ndarray, "h w 3"] | None]
    pixels = _stored_frames(recording.video, wanted) if recording.video else [None] * len(views)
    for view, frame in zip(views, pixels):
        ending = ".png" if frame is not None else recording.pictures[view.number].suffix.lower()
        files[view.number] = target = f"images/{view.camera}/{view.frame:06d}{ending}"
        if frame is None:
            copy_file(recording.pictures[view.number], work / target, src)
        else:
            (work / target).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(frame).save(work / target, compress_level=1)
    return files


def _stored_frames(path: Path, numbers: Sequence[int]) -> Iterable[UInt8[np.ndarray, "h w 3"]]:
    """Frames of rising numbers as they are stored, for which the intrinsics are, however they ask to be shown."""
    wanted, last = set(numbers), max(numbers)
    for number, frame in enumerate(decode_video(path, may_turn=True)):
        if number in wanted:
            yield frame.to_ndarray(format="rgb24")
        if number == last:
            return


def _write_depth(work: Path, recording: PhoneRecording, views: Sequence[_View], least: int) -> list[str]:
    """16 bit millimetres on the pictures' grid; what there was, and how much was not believed."""
    having = [view for view in views if view.number in recording.depth]
    width, height = recording.size
    kept, grid = [], (0, 0)
    maps = iter_metres([recording.depth[view.number] for view in having])
    for view, metres in track(zip(having, maps), "resampling depth", len(having)):
        path, grid = recording.depth[view.number], (metres.shape[1], metres.shape[0])
        if abs(grid[0] * height / (grid[1] * width) - 1) > SAME_SHAPE:
            raise InputError(
                "depth is of another shape than the pictures", where=path, expected=f"{width}:{height}",
                found=f"{grid[0]}x{grid[1]}",
            )  # fmt: skip
        believed = _believed(recording.confidence.get(view.number), metres, least)
        kept.append(float((believed > 0).sum() / max((metres > 0).sum(), 1)))
        stored = np.rint(resample_depth(believed, width, height) * UNITS)
        target = work / f"depth/{view.camera}/{view.frame:06d}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.where(stored > 65535, 0, stored).astype(np.uint16)).save(target)
    if not having:
        return ["there is no depth"]
    share = 100 * np.mean(kept)
    notes = [
        f"depth of {grid[0]}x{grid[1]} is resampled to {width}x{height}: {share:.0f} % of it is believed"
    ]
    lost = len(views) - len(having)
    return [*notes, *([f"{lost} of {len(views)} frames have no depth"] if lost else [])]


def _believed(path: Path | None, metres: Float[np.ndarray, "h w"], least: int) -> Float[np.ndarray, "h w"]:
    """Depth of enough confidence."""
    if path is None:
        return metres
    confidence = np.asarray(open_image(path))
    if confidence.shape != metres.shape:
        raise InputError(
            "confidence is of another size than depth",
            where=path,
            expected=metres.shape,
            found=confidence.shape,
        )
    return np.where(confidence >= least, metres, np.float32(0))
