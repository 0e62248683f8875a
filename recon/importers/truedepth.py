"""Portraits of a phone's depth camera: one HEIC or JPEG file with the picture, its depth, and mattes of the person.

What is in such a file (Apple's; read by portrait_file):

- The picture, mostly in Display P3: written into the session as sRGB, upright as it is shown.
- Depth as 8 bit disparity between two values in 1/m, smaller than the picture and of the same view: resampled to the
  picture's grid (depth_grid). It holds no more than it did; the step between two stored disparities is in the notes.
- Intrinsics for a picture of a reference size, before the turn that the file asks for. Scaled and turned here.
- A lens, all zero where the phone has rectified the picture already.
- Mattes. The portrait effects matte becomes the session's mask; those of hair, skin, teeth and glasses are kept as
  mattes/NAME/CAM/FRAME.png, in their own size, which covers the same view.
- The accelerometer's gravity, which says how the phone was tilted; the quarter turn about the axis is taken from the
  picture, which phones turn upright. The world's floor is not known, nor is the heading: the camera looks along -Z.
"""

from __future__ import annotations

import io
from dataclasses import asdict, replace
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageCms

from simulacra.recon.importers.apple_lens import apple_lens
from simulacra.recon.importers.building import new_session_folder, write_session
from simulacra.recon.importers.depth_grid import resample_depth
from simulacra.recon.importers.gravity import down_in_picture
from simulacra.recon.importers.options import PortraitLens, PortraitUp, RelativeDepth, TruedepthOptions
from simulacra.recon.importers.portrait_file import (
    PERSON,
    SAME_SHAPE,
    Portrait,
    read_exif,
    read_portrait,
)
from simulacra.recon.session import Frame, Lens, Session, SessionCamera, Source, load_session
from simulacra.render.image import write_image
from simulacra.render.runtime.errors import CalibrationError, InputError

CAMERA = "phone"
DEPTH_SCALE = 10000.0
FARTHEST = 65535 / DEPTH_SCALE


def import_truedepth(src: Path, session: Path, options: TruedepthOptions) -> Session:
    """Makes a session of one camera and one frame out of a portrait.

    Args:
        src: the picture.
        session: the new session's folder.
        options: see there.

    Raises:
        InputError: missing, damaged, without depth, or of contents that contradict each other.
        CalibrationError: no intrinsics, or such as cannot be.
        MissingExtraError: a HEIC file, and pillow-heif is not installed.
        RunError: ``session`` exists already, or the disk is full.
    """
    portrait = read_portrait(src)
    color, color_note = to_srgb(portrait.color, portrait.icc, str(src))
    width, height = _shrink_size(color.shape[1], color.shape[0], options.shrink, src)
    K, found_lens = shown_camera(portrait, width, height, options.lens, str(src))
    notes = [color_note, *_lens_notes(portrait, found_lens, options.lens)]
    depth, said = _metric_depth(portrait, width, height, options.relative_depth, str(src))
    T_world_camera, up_note = _world(portrait, options.up, options.camera_height, str(src))
    notes += [*said, *up_note]
    with new_session_folder(session) as folder:
        name = f"{CAMERA}/000000.png"
        write_image(folder / "images" / name, _resize(color, width, height))
        scale = None
        if depth is not None:
            (folder / "depth" / CAMERA).mkdir(parents=True)
            units = np.rint(depth * DEPTH_SCALE).astype(np.uint16)
            Image.fromarray(units).save(folder / "depth" / name)
            scale = DEPTH_SCALE
        notes += _write_mattes(portrait, folder, width, height)
        camera = SessionCamera(CAMERA, width, height, K, np.linalg.inv(T_world_camera), found_lens, scale)
        write_session(
            folder, [camera], [Frame(0, {CAMERA: Source(f"images/{name}")})], importer="truedepth",
            arguments=asdict(options), notes=notes, T_world_source=T_world_camera, source=src,
        )  # fmt: skip
    return load_session(session)


# -- picture and camera ----------------------------------------------------------------------------


def to_srgb(
    color: UInt8[np.ndarray, "h w 3"], icc: bytes, where: str
) -> tuple[UInt8[np.ndarray, "h w 3"], str]:
    """The picture in sRGB, and what was done.

    Raises:
        InputError: a color profile that cannot be used.
    """
    if not icc:
        return color, "the picture has no color profile: taken as sRGB"
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        name = ImageCms.getProfileDescription(profile).strip()
        converted = ImageCms.profileToProfile(
            Image.fromarray(color), profile, ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    except (ImageCms.PyCMSError, OSError, ValueError, UnicodeError) as error:
        raise InputError("a portrait's color profile cannot be used", where=where, found=error) from error
    return np.asarray(converted), f"colors are converted from {name[:60]!r} to sRGB"


def _shrink_size(width: int, height: int, shrink: int, src: Path) -> tuple[int, int]:
    possible = [n for n in range(1, 17) if width % n == 0 and height % n == 0]
    if shrink not in possible:
        raise InputError(
            "a picture cannot be shrunk so: its size would not be whole",
            where=src,
            expected=f"one of {', '.join(map(str, possible))} for {width}x{height}",
            found=shrink,
        )
    return width // shrink, height // shrink


def shown_camera(
    portrait: Portrait, width: int, height: int, lens: PortraitLens, where: str
) -> tuple[Float[np.ndarray, "3 3"], Lens | None]:
    """K and lens of the shown picture at a size.

    Raises:
        CalibrationError: intrinsics of another shape of picture, or a lens that is not understood.
    """
    camera = portrait.camera
    across, down = portrait.stored[0] / camera.width, portrait.stored[1] / camera.height
    if abs(across / down - 1) > SAME_SHAPE:
        raise CalibrationError(
            "the intrinsics are of a picture of another shape: cropped or turned since",
            where=where,
            expected=f"of {portrait.stored[0]}x{portrait.stored[1]}",
            found=f"of {camera.width:g}x{camera.height:g}",
            remedy="use the original as the phone took it",
        )
    found = apple_lens(camera, where) if lens == "file" else None
    fx, fy = camera.K[0, 0] * across, camera.K[1, 1] * down
    cx, cy = camera.K[0, 2] * across, camera.K[1, 2] * down
    w, h = portrait.stored
    for _ in range(portrait.turns):
        # A quarter turn anticlockwise takes (x, y) to (y, w - x).
        fx, fy, cx, cy, w, h = fy, fx, cy, w - cx, h, w
        if found is not None:
            x, y, *rest = found.coefficients
            found = replace(found, coefficients=(y, -x, *rest))
    K = np.array([[fx * width / w, 0, cx * width / w], [0, fy * height / h, cy * height / h], [0, 0, 1.0]])
    return K, found


def _lens_notes(portrait: Portrait, found: Lens | None, asked: str) -> list[str]:
    camera = portrait.camera
    if not (camera.distortion or camera.inverse_distortion):
        return ["the file's lens coefficients are zero: the phone has rectified the picture"]
    if found is None or asked == "none":
        return ["the file's lens coefficients are left out, as asked"]
    largest, *factors = found.coefficients[2:]
    radii = np.linspace(0, largest, len(factors))
    moved = float(np.abs(radii * (np.array(factors) - 1)).max() * camera.K[0, 0])
    return [
        f"the lens moves points by up to {moved:.1f} px of {camera.width:g}x{camera.height:g}: its eight coefficients "
        "are read as percent in powers of the squared radius in mm, which Apple does not document"
    ]


def _resize(image: UInt8[np.ndarray, "h w *c"], width: int, height: int) -> Float[np.ndarray, "h2 w2 *c"]:
    smaller = width < image.shape[1]
    if (image.shape[1], image.shape[0]) != (width, height):
        image = cv2.resize(
            image, (width, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
        )
    return image.astype(np.float32) / 255


# -- depth and mattes ------------------------------------------------------------------------------


def stored_depth(portrait: Portrait) -> Float[np.ndarray, "h w"]:
    """Depth in metres on the depth map's own grid; 0 where there is none, or none that is finite."""
    meaning = portrait.meaning
    values = meaning.low + (meaning.high - meaning.low) * portrait.depth.astype(np.float64) / 255
    if not meaning.filtered:
        # Holes are not numbers in the phone, and 0 in eight bits. A filtered map has none: there 0 is the far end.
        values = np.where(portrait.depth > 0, values, 0.0)
    if meaning.kind == "disparity":
        values = np.where(values > 1e-6, 1 / np.maximum(values, 1e-6), 0.0)
    return values


def _metric_depth(
    portrait: Portrait, width: int, height: int, relative: RelativeDepth, where: str
) -> tuple[Float[np.ndarray, "h w"] | None, list[str]]:
    """Depth on the picture's grid in metres, or None where it is dropped."""
    meaning, notes = portrait.meaning, []
    if not meaning.absolute:
        if relative == "refuse":
            raise CalibrationError(
                "the phone says that this depth is relative: it is not in metres",
                where=where,
                expected="Accuracy absolute, as depth of the front camera or of LiDAR has it",
                remedy="--relative-depth drop leaves depth out, trust takes its numbers for metres",
            )
        if relative == "drop":
            return None, ["depth is relative, and left out as asked"]
        notes.append("depth is relative: taken for metres as asked, its scale is not to be trusted")
    stored = stored_depth(portrait)
    far = stored > FARTHEST
    if far.any():
        notes.append(f"depth beyond {FARTHEST:.1f} m is left out: {100 * far.mean():.1f} % of the depth map")
    stored = np.where(far, 0.0, stored)
    near = float(np.median(stored[_person(portrait) & (stored > 0)])) if (stored > 0).any() else 0.0
    if near > 0:
        span = (meaning.high - meaning.low) / 255
        step = near**2 * span if meaning.kind == "disparity" else span
        notes.append(
            f"depth is {stored.shape[1]}x{stored.shape[0]} in 256 steps, of {1000 * step:.1f} mm at {near:.2f} m"
            f"{', smoothed and its holes closed by the phone' if meaning.filtered else ''}; resampled to "
            f"{width}x{height}"
        )
    return resample_depth(stored, width, height), notes


def _person(portrait: Portrait) -> np.ndarray:
    """Pixels of the depth map on the person; all where the file has no matte, or an empty one."""
    height, width = portrait.depth.shape
    matte = portrait.mattes.get(PERSON)
    if matte is None or not (matte > 127).any():
        return np.ones((height, width), bool)
    inside = cv2.resize(matte, (width, height), interpolation=cv2.INTER_AREA) > 127
    return inside if inside.any() else np.ones((height, width), bool)


def _write_mattes(portrait: Portrait, folder: Path, width: int, height: int) -> list[str]:
    notes = []
    for name, matte in portrait.mattes.items():
        if name == PERSON:
            mask = np.clip(_resize(matte, width, height), 0, 1)
            write_image(folder / "masks" / CAMERA / "000000.png", mask)
        else:
            short = name.removeprefix("semantic")
            write_image(folder / "mattes" / short / CAMERA / "000000.png", matte.astype(np.float32) / 255)
            covered = 100 * float((matte > 127).mean())
            notes.append(f"matte of {short}: {covered:.2f} % of the picture, in mattes/{short}")
    if PERSON not in portrait.mattes:
        notes.append("the file has no portrait effects matte: the session has no mask")
    return notes


# -- world -----------------------------------------------------------------------------------------


def _world(
    portrait: Portrait, up: PortraitUp | None, camera_height: float | None, where: str
) -> tuple[Float[np.ndarray, "4 4"], list[str]]:
    """World out of camera, and in words how it was found."""
    measured, why = down_in_picture(read_exif(portrait.exif, where), where)
    if up == "gravity" and measured is None:
        raise InputError("a portrait does not tell gravity", where=where, found=why, remedy="--up picture")
    down = measured if up != "picture" else None
    if down is None:
        notes = [f"up is the picture's own{'' if up == 'picture' else ': ' + why}"]
        down = np.array([0.0, 1.0, 0.0])
    else:
        pitch, roll = np.degrees(np.arcsin(-down[2])), np.degrees(np.arctan2(down[0], down[1]))
        notes = [f"up is gravity's: the camera looks {pitch:.1f} degrees up, and rolls by {roll:.1f}"]
    notes.append(
        "the floor is not known: the camera is put at y = 0"
        if camera_height is None
        else f"the camera is {camera_height:g} m over the floor, as given"
    )
    T = np.eye(4)
    T[1, :3] = -down
    back = np.array([0.0, 0.0, -1.0]) + down * down[2]
    T[2, :3] = back / np.linalg.norm(back)
    T[0, :3] = np.cross(T[1, :3], T[2, :3])
    T[1, 3] = camera_height or 0.0
    return T, notes
