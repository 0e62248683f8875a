"""Gravity as phones write it beside a picture, and what the pictures of a capture so say of up.

The maker note of Apple's phones has the accelerometer at rest, in the phone's axes. A picture is shown upright to the
next quarter turn, so that the turn between phone and picture need not be known.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image

from simulacra.recon.importers.apple_metadata import gravity_of_maker_note
from simulacra.recon.importers.jpeg_parts import EXIF_HEAD
from simulacra.recon.importers.portrait_file import EXIF_ERRORS, EXIF_TURNS, read_exif
from simulacra.recon.multiview.up import UpVote
from simulacra.recon.session import SessionCamera
from simulacra.render.image import open_image
from simulacra.render.runtime.errors import InputError

# Where less of gravity than this lies in the picture's plane, the phone lay flat and upright means nothing.
STEEPEST = 0.4
# Pictures that are asked; phones that differ by more (rms, degrees) were shaken, or pictures are not where they are
# said to be. An accelerometer, and the axis of a lens within its phone, are true to about two degrees.
MOST_PICTURES, MOST_SPREAD, ERROR_DEG, DOUBT = 24, 10.0, 2.0, 0.01
PICTURES = (".jpg", ".jpeg")


def down_in_picture(exif: Image.Exif, where: str) -> tuple[Float[np.ndarray, "3"] | None, str]:
    """Down, unit, in the axes of the camera of the picture as it is shown (x right, y down), or None and why.

    Raises:
        InputError: EXIF that is not sound.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            inner = exif.get_ifd(0x8769)
        note, model = inner.get(37500, b""), str(inner.get(42036, ""))
    except EXIF_ERRORS as error:
        raise InputError("a picture's EXIF cannot be read", where=where, found=error) from error
    gravity = gravity_of_maker_note(note) if isinstance(note, bytes) else None
    front = "front" in model
    if gravity is None or not (front or "back" in model):
        return None, "the file does not tell gravity"
    # The front camera looks out of the screen, and so has the phone's right on its left.
    x, y, z = gravity * ([-1, -1, 1] if front else [1, -1, -1])
    if np.hypot(x, y) < STEEPEST:
        return None, "the phone lay flat"
    # The picture is shown upright to the next quarter, whichever way the phone was held.
    x, y = max([(x, y), (y, -x), (-x, -y), (-y, x)], key=lambda turned: turned[1])
    return np.array([x, y, z]), ""


def stored_down(path: Path) -> Float[np.ndarray, "3"] | None:
    """Down in the axes of a picture's camera as its pixels are stored; None where the file does not tell."""
    try:
        exif = read_exif(open_image(path).info.get("exif", b"").removeprefix(EXIF_HEAD), str(path))
        down, _ = down_in_picture(exif, str(path))
    except InputError:
        return None
    turns = EXIF_TURNS.get(exif.get(0x0112, 1))
    if down is None or turns is None:
        return None
    x, y, z = down
    # Shown is stored turned anticlockwise by quarters: of one, x of what is shown was y, and y was -x.
    x, y = [(x, y), (-y, x), (-x, -y), (y, -x)][turns]
    return np.array([x, y, z])


def gravity_vote(
    cameras: Sequence[SessionCamera], downs: Mapping[str, Float[np.ndarray, "3"]]
) -> UpVote | None:
    """Up by what phones measured; None where none did, or they contradict each other.

    Args:
        cameras: in their calibration's world.
        downs: in the axes of those cameras that tell.
    """
    ups = [-(camera.viewmat[:3, :3].T @ downs[camera.name]) for camera in cameras if camera.name in downs]
    if not ups:
        return None
    mean = np.mean(ups, axis=0)
    size = float(np.linalg.norm(mean))
    if size < 0.1:
        return None
    up = mean / size
    apart = np.degrees(np.arccos(np.clip(np.array(ups) @ up, -1, 1)))
    spread = float(np.sqrt((apart**2).mean()))
    if spread > MOST_SPREAD:
        return None
    return UpVote(
        f"gravity in {len(ups)} pictures", up, float(np.hypot(ERROR_DEG, spread / np.sqrt(len(ups)))), DOUBT
    )


def gravity_of_pictures(cameras: Sequence[SessionCamera], pictures: Mapping[str, Path]) -> UpVote | None:
    """What the pictures of cameras, as they are stored, say of up.

    Args:
        cameras: in their calibration's world, whose K is of the stored pixels.
        pictures: by camera.
    """
    some = np.unique(np.linspace(0, len(cameras) - 1, MOST_PICTURES).round().astype(int))
    asked = [cameras[i] for i in some] if cameras else []
    downs = {
        camera.name: down
        for camera in asked
        if camera.name in pictures
        and pictures[camera.name].suffix.lower() in PICTURES
        and (down := stored_down(pictures[camera.name])) is not None
    }
    return gravity_vote(asked, downs)
