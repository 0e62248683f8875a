"""Pictures that are in a run already, and what is made of two of them: no torch, and quick.

Pictures are RGB, 8 bit. A difference is the mean over the channels of how far two are apart. It is colored apart inside
of the person and along the outline, where a shift of half a pixel is a large error of no consequence: inside black to
yellow, along the outline black to light blue; both are brightest at a quarter of the range.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image

from simulacra.render.runtime.errors import InputError

Picture = UInt8[np.ndarray, "h w 3"]
Part = Literal["both", "inside", "outline"]
# As the pictures of the evaluation have it (`recon.evaluate.views.DIFFERENCE_FULL_SCALE`).
FULL_SCALE = 0.25
# Half the width of the outline's band: pixels at the size at which views are compared.
BAND = 2
# Darker than this over all channels is the black that captures and renders are laid over.
BLACK = 5
INSIDE_MAP, OUTLINE_MAP = cv2.COLORMAP_INFERNO, cv2.COLORMAP_OCEAN
JPEG_QUALITY = 92


def read_picture(path: Path) -> Picture:
    """A file of ours.

    Raises:
        InputError: it is damaged or has gone.
    """
    try:
        with Image.open(path, formats=("PNG", "JPEG")) as image:
            return np.array(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        remedy = "simulacra evaluate RUN makes it again"
        raise InputError("a picture cannot be read", where=path, found=error, remedy=remedy) from error


def as_bytes(picture: Float[np.ndarray, "h w 3"]) -> Picture:
    """0..1 to 8 bit."""
    return (np.clip(np.nan_to_num(picture), 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)


def encode(picture: Picture, kind: Literal["png", "jpg"] = "png") -> bytes:
    """The picture as a file: PNG keeps every value."""
    how = (
        [cv2.IMWRITE_PNG_COMPRESSION, 1]
        if kind == "png"
        else [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, 0x111111]
    )
    bgr = np.ascontiguousarray(picture[..., ::-1])
    return cv2.imencode(f".{kind}", bgr, how)[1].tobytes()


def shrink(picture: Picture, side: int) -> Picture:
    """With at most so many pixels on the longer side, by area."""
    scale = side / max(picture.shape[:2])
    if scale >= 1:
        return picture
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def silhouette(picture: Picture) -> Bool[np.ndarray, "h w"]:
    """Where somebody is in a picture over black: within the outer contours of what is not black."""
    lit = (picture.max(-1) > BLACK).astype(np.uint8)
    lit = cv2.morphologyEx(lit, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    contours, _ = cv2.findContours(lit, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = np.zeros_like(lit)
    cv2.drawContours(filled, contours, -1, 1, cv2.FILLED)
    return filled.astype(bool)


@dataclass(frozen=True)
class Zones:
    """Which pixels of two pictures are compared as what.

    Attributes:
        inside: of the person in both, away from either's edge.
        outline: along the edges, and where only one of the two has the person.
    """

    inside: Bool[np.ndarray, "h w"]
    outline: Bool[np.ndarray, "h w"]


def zones(ours: Bool[np.ndarray, "h w"], theirs: Bool[np.ndarray, "h w"]) -> Zones:
    """Of the person's silhouettes in two pictures."""
    both, either = ours & theirs, ours | theirs
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * BAND + 1, 2 * BAND + 1))
    inside = cv2.erode(both.astype(np.uint8), kernel, borderType=cv2.BORDER_CONSTANT, borderValue=1).astype(
        bool
    )
    reach = cv2.dilate(either.astype(np.uint8), kernel).astype(bool)
    return Zones(inside, reach & ~inside)


def error_of(ours: Picture, theirs: Picture) -> Float[np.ndarray, "h w"]:
    """How far two pictures are apart, 0..1.

    Raises:
        InputError: they are of different sizes.
    """
    if ours.shape != theirs.shape:
        raise InputError(
            "two pictures are of different sizes", expected=f"{theirs.shape[:2]}", found=f"{ours.shape[:2]}"
        )
    return np.abs(ours.astype(np.float32) - theirs.astype(np.float32)).mean(-1) / 255.0


def difference_picture(ours: Picture, theirs: Picture, part: Part = "both") -> Picture:
    """Where two pictures over black differ, inside and outline in colors of their own."""
    error, found = error_of(ours, theirs), zones(silhouette(ours), silhouette(theirs))
    level = (np.clip(error / FULL_SCALE, 0, 1) * 255).astype(np.uint8)
    inside = cv2.applyColorMap(level, INSIDE_MAP)[..., ::-1]
    outline = cv2.applyColorMap(level, OUTLINE_MAP)[..., ::-1]
    outside = ~found.inside & ~found.outline
    picture = np.where(found.inside[..., None], inside, outline)
    if part == "inside":
        picture = np.where(found.inside[..., None], inside, 0)
    elif part == "outline":
        picture = np.where(found.outline[..., None], outline, 0)
    else:
        picture = np.where(outside[..., None], inside, picture)
    return np.ascontiguousarray(picture.astype(np.uint8))


def change_picture(before: Picture, after: Picture, photo: Picture | None) -> Picture:
    """What two results make different: against a photo red is worse and blue is better; without one, how far they are
    apart.
    """
    if photo is None or photo.shape != before.shape:
        return difference_picture(before, after)
    change = np.clip((error_of(after, photo) - error_of(before, photo)) / FULL_SCALE, -1, 1)
    strength = np.abs(change)[..., None]
    color = np.where(
        change[..., None] > 0, np.array([255, 80, 60], np.float32), np.array([80, 150, 255], np.float32)
    )
    gray = photo.mean(-1, keepdims=True) * 0.25
    return (gray * (1 - strength) + color * strength).astype(np.uint8)


def zone_numbers(ours: Picture, theirs: Picture) -> dict[str, float]:
    """PSNR of the inside and of the outline in dB, and the outline's part of the squared error."""
    squared = ((ours.astype(np.float32) - theirs.astype(np.float32)) / 255.0) ** 2
    found = zones(silhouette(ours), silhouette(theirs))
    numbers = {}
    for name, where in (("inside", found.inside), ("outline", found.outline)):
        if where.any():
            mean = float(squared[where].mean())
            numbers[f"{name}_db"] = -10 * math.log10(max(mean, 1e-10))
    total = float(squared.sum())
    if total > 0:
        numbers["outline_share"] = float(squared[found.outline].sum()) / total
    return numbers


def color_ramp(name: Literal["inside", "outline", "depth"], steps: int = 32) -> list[str]:
    """A colormap as CSS colors, for a color bar."""
    kind = {"inside": INSIDE_MAP, "outline": OUTLINE_MAP, "depth": cv2.COLORMAP_TURBO}[name]
    bgr = cv2.applyColorMap(np.linspace(0, 255, steps).astype(np.uint8)[None], kind)[0]
    return [f"#{r:02x}{g:02x}{b:02x}" for b, g, r in bgr.tolist()]
