"""librealsense's inverse lens: rays come out where its own deprojection has them, over the whole image."""

import numpy as np
import pytest

from simulacra.recon.importers.inverse_brown import invert_brown
from simulacra.recon.session import Lens
from simulacra.recon.session.lens import undistort
from simulacra.render.runtime.errors import CalibrationError

K = np.array([[640.0, 0, 642.5], [0, 639.0, 366.0], [0, 0, 1]])
SIZE = (1280, 720)
# The kind of numbers that color cameras of the D400 series have.
COEFFICIENTS = (-0.0552, 0.0661, -0.0007, 0.0004, -0.0210)


def deproject(pixels: np.ndarray, c: tuple[float, ...]) -> np.ndarray:
    """`rs2_deproject_pixel_to_point` of librealsense's rsutil.h for INVERSE_BROWN_CONRADY, line by line."""
    x, y = (pixels[:, 0] - K[0, 2]) / K[0, 0], (pixels[:, 1] - K[1, 2]) / K[1, 1]
    r2 = x * x + y * y
    f = 1 + c[0] * r2 + c[1] * r2 * r2 + c[4] * r2 * r2 * r2
    ux = x * f + 2 * c[2] * x * y + c[3] * (r2 + 2 * x * x)
    uy = y * f + 2 * c[3] * x * y + c[2] * (r2 + 2 * y * y)
    return np.stack([ux, uy], -1)


def test_rays_are_those_of_librealsense() -> None:
    lens = invert_brown(COEFFICIENTS, K, SIZE, "intrinsics.json")
    pixels = np.random.default_rng(0).uniform((0, 0), SIZE, (500, 2))
    normal = (pixels - K[:2, 2]) / K[[0, 1], [0, 1]]
    wanted = deproject(pixels, COEFFICIENTS)
    # The fit's own bound, a twentieth of a pixel; the lens moves corners by pixels.
    assert 640 * np.abs(undistort(lens, normal) - wanted).max() < 0.05
    assert 640 * np.abs(wanted - normal).max() > 5
    # The control: the coefficients read as they stand, as of brown_conrady, are pixels off.
    assert 640 * np.nanmax(np.abs(undistort(Lens("opencv", COEFFICIENTS), normal) - wanted)) > 5


def test_a_polynomial_that_folds_over_is_refused() -> None:
    with pytest.raises(CalibrationError, match="which folds over"):
        invert_brown((-0.9, 0.0, 0.0, 0.0, 0.0), K, SIZE, "intrinsics.json")
