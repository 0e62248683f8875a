"""The lens of a phone as Apple writes it beside depth: eight coefficients, or a table of magnifications.

AVCameraCalibrationData documents a table: relative magnifications at radii that are equally spaced from the centre of
distortion to the farthest corner. To rectify, a point of the rectified picture at radius r is looked up at
r (1 + magnification(r)) in the recorded one.

Files hold eight coefficients instead, whose meaning Apple does not document. They are read here as a polynomial in the
squared radius in millimetres (radius in pixels times `PixelSize`), in percent. What speaks for it: a magnification is
an even function of the radius; a pixel size in millimetres stands beside them; and with the real coefficients of two
phones the forward and the inverse polynomial undo each other to 0.4 and 1.3 parts in a thousand of the radius, where
plain factors end far outside of the picture. The same is asked of every file before its coefficients are believed. It
is no proof (odd powers would agree as well), so that the importer says what it did with them.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from simulacra.recon.importers.apple_metadata import CameraMeaning
from simulacra.recon.session import Lens
from simulacra.render.runtime.errors import CalibrationError

COEFFICIENTS = 8
TABLE_SIZE = 128
# The polynomials are fitted inside of the picture's circle and run off at its rim: they are compared to here,
COMPARED = 0.85
# and believed where there and back ends beside by less than this share of how far points were moved.
AGREE = 0.1
# Phones' lenses move no point by more than this share of its radius.
STRONGEST = 0.3


def apple_lens(camera: CameraMeaning, where: str) -> Lens | None:
    """The lens for a pinhole camera K; None where the file says that the picture is rectified already.

    Raises:
        CalibrationError: coefficients that are not understood.
    """
    if not camera.distortion and not camera.inverse_distortion:
        return None
    centre = np.array(camera.centre)
    size = np.array([camera.width, camera.height])
    if not ((centre > 0) & (centre < size)).all():
        raise _not_understood(where, f"a centre at {camera.centre}")
    if abs(camera.K[0, 0] / camera.K[1, 1] - 1) > 1e-4:
        raise _not_understood(where, "pixels that are not square")
    largest = float(np.linalg.norm(np.maximum(centre, size - centre)))
    radii = np.linspace(0.0, largest, TABLE_SIZE)
    if len(camera.distortion) == COEFFICIENTS:
        factors = _polynomial(camera.distortion, radii * camera.pixel_mm)
        _check_inverse(camera, radii, where)
    elif len(camera.distortion) > COEFFICIENTS:
        table = np.array(camera.distortion)
        factors = 1 + np.interp(radii, np.linspace(0.0, largest, len(table)), table)
    else:
        raise _not_understood(where, f"{len(camera.distortion)} coefficients")
    if not np.isfinite(factors).all() or np.abs(factors - 1).max() > STRONGEST:
        raise _not_understood(where, f"radii changed by {100 * np.abs(factors - 1).max():.0f} %")
    focal = camera.K[0, 0]
    offset = (centre - camera.K[:2, 2]) / focal
    return Lens("radial_table", (*offset.tolist(), largest / focal, *factors.tolist()))


def _polynomial(coefficients: tuple[float, ...], radii_mm: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """Radius factors: 1 + sum of c_i r^(2 i) percent."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(1 + np.polynomial.polynomial.polyval(radii_mm**2, np.array(coefficients)) / 100)


def _check_inverse(camera: CameraMeaning, radii: Float[np.ndarray, "n"], where: str) -> None:
    """Forward and inverse undo each other: a wrong reading of the numbers would not."""
    if len(camera.inverse_distortion) != COEFFICIENTS or not 0 < camera.pixel_mm < 0.1:
        raise _not_understood(where, f"no inverse of them, or a pixel of {camera.pixel_mm} mm")
    inner = radii[radii <= COMPARED * radii[-1]]
    there = inner * _polynomial(camera.distortion, inner * camera.pixel_mm)
    back = there * _polynomial(camera.inverse_distortion, there * camera.pixel_mm)
    error, moved = float(np.abs(back - inner).max()), float(np.abs(there - inner).max())
    if not error < AGREE * moved:
        raise _not_understood(where, f"there and back ends {error:.2g} px beside, of {moved:.2g} px moved")


def _not_understood(where: str, found: str) -> CalibrationError:
    return CalibrationError(
        "the lens coefficients of a portrait are not understood",
        where=where,
        found=found,
        remedy="--lens none takes the picture as a pinhole camera's, if that will do",
    )
