"""Pictures and nothing else: one video or a folder of images around a person who stands still, or one moment of a rig.

    SRC.mp4                        a turn-around: sharp frames are chosen, each becomes a camera of one frame
    SRC/000.jpg ...                a turn-around, of images
    SRC/images/CAM/FRAME.jpg       a rig of cameras that nobody calibrated, from one moment of all of them

Cameras come from structure from motion (`structure_from_motion`), with one shared lens in a turn-around and one each in
a rig. What pictures cannot say has to be said: that the person stood still, and the scale, as metres in the
reconstruction's unit or as the person's stature (`measured_stature`). Up is measured from the cameras' horizons.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from simulacra.recon.importers.building import copy_file, new_session_folder, write_session
from simulacra.recon.importers.chosen_frames import choose_frames, measure_sharpness, read_frames
from simulacra.recon.importers.finding import MEDIA_FOLDERS, folder_named, list_videos, say_contents
from simulacra.recon.importers.footage import (
    VIDEO_ENDINGS,
    Footage,
    inside,
    list_images,
    match_moments,
    session_names,
    visible,
)
from simulacra.recon.importers.gravity import down_in_picture, gravity_vote
from simulacra.recon.importers.options import ImagesOptions
from simulacra.recon.importers.placing import place
from simulacra.recon.importers.portrait_file import EXIF_TURNS, read_exif
from simulacra.recon.importers.structure_from_motion import Structure, structure_from_motion
from simulacra.recon.multiview.up import UpVote
from simulacra.recon.observe.stature import measure_stature
from simulacra.recon.runs.progress import track
from simulacra.recon.session import Frame, Session, SessionCamera, Source, load_session
from simulacra.render.image import open_image, to_rgb
from simulacra.render.runtime.errors import CaptureError, InputError

FEWEST = 3
# Where fewer pictures than this share are registered, something is wrong with most of them.
FEWEST_SHARE = 0.6
MOST_PICTURES = 400
# With fewer points in a picture than this, its place and the focal length are uncertain.
WEAK = 150
FOCAL_35MM = 0xA405


@dataclass(frozen=True)
class Picture:
    """One picture: its camera's name in the session, its file if it can be taken as it is, and down by its phone."""

    name: str
    label: str
    original: Path | None
    down: Float[np.ndarray, "3"] | None = None


@dataclass(frozen=True)
class Pictures:
    """All pictures, written into a folder as NAME.png.

    Attributes:
        folder: that they are in.
        pictures: in the order in which they were taken.
        sizes: width and height by name.
        focal: a guess in pixels, out of EXIF.
        rig: different cameras took them at one moment.
        notes: how they were chosen.
    """

    folder: Path
    pictures: tuple[Picture, ...]
    sizes: Mapping[str, tuple[int, int]]
    focal: float | None
    rig: bool
    notes: tuple[str, ...]


def import_images(src: Path, session: Path, options: ImagesOptions) -> Session:
    """Makes a session of one frame out of pictures without a calibration.

    Args:
        src: the video, or the folder of images.
        session: the new session's folder.
        options: see there.

    Raises:
        InputError: no pictures, damaged ones, or an argument missing.
        CaptureError: too few pictures could be placed; says which and why.
        MissingExtraError: pycolmap is not installed.
        RunError: ``session`` exists already, or the disk is full.
    """
    _check_options(src, options)
    with tempfile.TemporaryDirectory(prefix="simulacra-") as temporary:
        pictures = _collect(src, Path(temporary) / "pictures", options)
        names = [picture.name for picture in pictures.pictures]
        work = Path(temporary) / "colmap"
        work.mkdir()
        solved = structure_from_motion(
            pictures.folder, [f"{name}.png" for name in names], work, where=src, shared=not pictures.rig,
            model=options.model, focal=pictures.focal, size=pictures.sizes[names[0]],
        )  # fmt: skip
        notes = [*pictures.notes, *_check_registered(src, pictures, solved)]
        cameras = [
            SessionCamera(name, *pictures.sizes[name], view.K, view.viewmat, view.lens)
            for name in names
            if (view := solved.views.get(f"{name}.png")) is not None
        ]
        scale, floor = options.metres_per_unit, options.floor
        if scale is None:
            scale, floor, measured = _scale_by_stature(cameras, pictures, options)
            notes.append(measured)
        placed, T, said = place(
            cameras, scale=scale, world_up=options.world_up, floor=floor, votes=_votes(pictures, cameras),
            footage=_footage(pictures, cameras),
        )  # fmt: skip
        with new_session_folder(session) as folder:
            write_session(
                folder, placed, [_frame(folder, pictures, placed)], importer="images",
                arguments=asdict(replace(options, floor=floor)),
                notes=[*said, *notes], T_world_source=T, source=src,
            )  # fmt: skip
    return load_session(session)


def _scale_by_stature(
    cameras: Sequence[SessionCamera], pictures: Pictures, options: ImagesOptions
) -> tuple[float, float, str]:
    """Metres in the reconstruction's unit, the height of the floor in metres, and in words how they were found."""
    upright, _, _ = place(
        cameras, scale=1.0, world_up=options.world_up, floor=0.0, votes=_votes(pictures, cameras),
        footage=_footage(pictures, cameras),
    )  # fmt: skip
    measured = measure_stature(upright, {c.name: pictures.folder / f"{c.name}.png" for c in upright})
    scale = float(options.stature or 1.0) / measured.height
    said = (
        f"scale by the person's stature of {options.stature:g} m, measured in {measured.views} pictures to "
        f"{100 * measured.spread:.1f} %; the floor is at the person's soles"
    )
    return scale, measured.bottom * scale if options.floor is None else options.floor, said


def _check_options(src: Path, options: ImagesOptions) -> None:
    if (options.metres_per_unit is None) == (options.stature is None):
        raise InputError(
            "pictures alone have no scale: it has to be said, once",
            where=src,
            remedy="--stature METRES, or --metres-per-unit, a known distance over the reconstructed one",
        )


def _check_registered(src: Path, pictures: Pictures, solved: Structure) -> list[str]:
    """What was lost, and whether enough is left.

    Raises:
        CaptureError: it is not.
    """
    labels = {f"{picture.name}.png": picture.label for picture in pictures.pictures}
    lost = [f"{labels[name]}: {why}" for name, why in solved.lost.items()]
    kept, needed = len(solved.views), len(labels) if pictures.rig else max(FEWEST, FEWEST_SHARE * len(labels))
    if kept < needed:
        raise CaptureError(
            f"only {kept} of {len(labels)} pictures could be placed",
            where=src,
            expected="all cameras of a rig" if pictures.rig else f"{needed:.0f} at least",
            found="; ".join(lost[:8]) + (f"; and {len(lost) - 8} more" if len(lost) > 8 else ""),
            remedy="calibrate the rig with a board"
            if pictures.rig
            else "take pictures in smaller steps, sharp, and of a scene with texture that stands still",
        )
    notes = [
        f"{kept} of {len(labels)} pictures are placed by {len(solved.points)} points, to {solved.error:.2f} px "
        "on average"
    ]
    if solved.support < WEAK:
        notes.append(
            f"the pictures hang together by few points, {solved.support} in a median one: their focal length may be "
            "off by a tenth"
        )
    notes += [f"left out: {one}" for one in lost]
    if solved.models > 1:
        notes.append(f"the pictures fell into {solved.models} reconstructions: the largest is taken")
    return notes


# -- pictures --------------------------------------------------------------------------------------


def _collect(src: Path, folder: Path, options: ImagesOptions) -> Pictures:
    """Finds out what SRC is, and writes its pictures."""
    folder.mkdir()
    if src.is_file():
        _check_still(src, options)
        return _from_video(src, folder, options.count)
    if not src.is_dir():
        raise InputError("there are no pictures", where=src, expected="a video, or a folder of images")
    images = list_images(src)
    named = folder_named(src, MEDIA_FOLDERS["images"])
    rig = named or src
    cameras = {path.name: list_images(path) for path in visible(rig) if path.is_dir()}
    cameras = {name: paths for name, paths in cameras.items() if paths}
    if images and not cameras:
        _check_still(src, options)
        chosen = [(f"v{i:03d}", path.name, inside(src, path.name)) for i, path in enumerate(images)]
        return _from_files(src, folder, chosen, rig=False)
    if named and not cameras and not images and (found := list_images(rig)):
        _check_still(src, options)
        chosen = [(f"v{i:03d}", path.name, inside(rig, path.name)) for i, path in enumerate(found)]
        return _from_files(src, folder, chosen, rig=False)
    if images or len(cameras) < 2:
        videos = list_videos(src)
        raise InputError(
            "it cannot be told which pictures belong to which camera",
            where=src,
            expected="a folder of images, or images/CAM/ for two cameras and more",
            found=f"{len(images)} images, {len(cameras)} folders with images; in all {say_contents(src)}",
            remedy=f"a turn-around is one video: give its file, {videos[0]}" if videos else None,
        )
    moments = match_moments(cameras)
    moment = options.moment
    missing = [name for name, paths in moments.items() if moment not in paths]
    if missing:
        raise InputError(
            f"not all cameras have a picture of moment {moment}",
            where=rig,
            found=f"none of {', '.join(missing)}",
        )
    names = session_names(moments)
    return _from_files(
        src,
        folder,
        [(names[cam], cam, inside(rig, paths[moment].relative_to(rig).as_posix())) for cam, paths in moments.items()],
        rig=True,
    )  # fmt: skip


def _check_still(src: Path, options: ImagesOptions) -> None:
    if not options.still_person:
        raise InputError(
            "pictures taken one after another show one body only if the person stood still",
            where=src,
            remedy="--still-person, if that is so; a person in motion needs cameras that record together",
        )


def _from_video(src: Path, folder: Path, count: int) -> Pictures:
    if src.suffix.lower() not in VIDEO_ENDINGS:
        raise InputError("a file is not a video", where=src, expected=" ".join(VIDEO_ENDINGS))
    sharpnesses = measure_sharpness(src)
    numbers = choose_frames(sharpnesses, count)
    pictures: list[Picture] = []
    sizes = {}
    for number, pixels in zip(numbers, track(read_frames(src, numbers), "choosing frames", len(numbers))):
        name = f"v{len(pictures):03d}"
        Image.fromarray(pixels).save(folder / f"{name}.png", compress_level=1)
        sizes[name] = (pixels.shape[1], pixels.shape[0])
        pictures.append(Picture(name, f"frame {number}", None))
    return _check_pictures(
        src,
        Pictures(
            folder,
            tuple(pictures),
            sizes,
            None,
            False,
            (f"{len(numbers)} of {len(sharpnesses)} frames are taken, the sharpest of each stretch",),
        ),
    )


def _from_files(src: Path, folder: Path, chosen: Sequence[tuple[str, str, Path]], *, rig: bool) -> Pictures:
    if len(chosen) > MOST_PICTURES:
        raise InputError(
            "there are too many pictures",
            where=src,
            expected=f"<= {MOST_PICTURES}",
            found=len(chosen),
            remedy="leave some out evenly",
        )
    pictures, sizes, focals = [], {}, []
    for name, label, path in track(chosen, "reading pictures", len(chosen)):
        pixels, turned, focal, down = _read_shown(path)
        sizes[name] = (pixels.shape[1], pixels.shape[0])
        Image.fromarray(pixels).save(folder / f"{name}.png", compress_level=1)
        pictures.append(Picture(name, label, None if turned else path, down))
        focals.append(focal)
    known = [focal for focal in focals if focal is not None]
    guess = float(np.median(known)) if known and not rig else None
    return _check_pictures(src, Pictures(folder, tuple(pictures), sizes, guess, rig, ()))


def _check_pictures(src: Path, pictures: Pictures) -> Pictures:
    if len(pictures.pictures) < (2 if pictures.rig else FEWEST):
        raise InputError("there are too few pictures", where=src, found=len(pictures.pictures))
    if not pictures.rig and len(set(pictures.sizes.values())) > 1:
        sizes = sorted({f"{width}x{height}" for width, height in pictures.sizes.values()})
        raise InputError(
            "pictures of one camera are of different sizes",
            where=src,
            found=", ".join(sizes[:6]),
            remedy="leave out those that were cropped, zoomed or held another way",
        )
    return pictures


def _read_shown(
    path: Path,
) -> tuple[UInt8[np.ndarray, "h w 3"], bool, float | None, Float[np.ndarray, "3"] | None]:
    """A picture as EXIF says it is shown, whether that turned it, a guess of the focal length in pixels, and down."""
    image = open_image(path)
    pixels = (to_rgb(image, path) * 255 + 0.5).astype(np.uint8)
    exif = read_exif(image.info.get("exif", b"").removeprefix(b"Exif\0\0"), str(path))
    orientation = exif.get(0x0112, 1)
    if orientation not in EXIF_TURNS:
        raise InputError("a picture is shown mirrored", where=path, found=f"EXIF orientation {orientation}")
    turns = EXIF_TURNS[orientation]
    focal = _focal_35mm(exif.get_ifd(0x8769).get(FOCAL_35MM))
    shown = np.ascontiguousarray(np.rot90(pixels, turns))
    down, _ = down_in_picture(exif, str(path))
    return shown, turns != 0, None if focal is None else focal * float(np.hypot(*pixels.shape[:2])), down


def _focal_35mm(value: object) -> float | None:
    """The focal length over the picture's diagonal, out of the one of a 36 x 24 mm picture."""
    try:
        millimetres = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return millimetres / 43.267 if 5 <= millimetres <= 1000 else None


def _votes(pictures: Pictures, cameras: Sequence[SessionCamera]) -> list[UpVote]:
    """What the phone that took the pictures knows of up."""
    downs = {picture.name: picture.down for picture in pictures.pictures if picture.down is not None}
    vote = gravity_vote(cameras, downs)
    return [] if vote is None else [vote]


def _footage(pictures: Pictures, cameras: Sequence[SessionCamera]) -> Footage:
    """The placed pictures as they lie in their temporary folder."""
    names = [f"{camera.name}.png" for camera in cameras]
    frame = Frame(0, {camera.name: Source(name) for camera, name in zip(cameras, names, strict=True)})
    return Footage(pictures.sizes, (frame,), {name: pictures.folder / name for name in names})


def _frame(folder: Path, pictures: Pictures, cameras: Sequence[SessionCamera]) -> Frame:
    """Copies the pictures of the placed cameras into the session."""
    originals = {picture.name: picture.original for picture in pictures.pictures}
    sources = {}
    for camera in cameras:
        path = originals[camera.name] or pictures.folder / f"{camera.name}.png"
        target = f"images/{camera.name}/000000{path.suffix.lower()}"
        copy_file(path, folder / target)
        sources[camera.name] = Source(target)
    return Frame(0, sources)
