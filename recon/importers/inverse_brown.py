"""librealsense's `inverse_brown_conrady`: a polynomial that takes a point of the image to its ray.

The polynomial is OpenCV's, read the other way round (librealsense, rsutil.h, `rs2_deproject_pixel_to_point`). It has no
inverse in closed form. What takes rays to the image is fitted to it: OpenCV's eight coefficients, which a polynomial of
this kind is within hundredths of a pixel of over the whole image, or it is refused.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.optimize import least_squares

from simulacra.recon.session import Lens
from simulacra.recon.session.lens import distort, first_fold
from simulacra.render.runtime.errors import CalibrationError

# Points of the image that are compared along each side, and what they may be off by, pixels: far below what corners
# of a board are found to.
POINTS, WORST = 33, 0.05


def invert_brown(
    coefficients: tuple[float, ...], K: Float[np.ndarray, "3 3"], size: tuple[int, int], where: object
) -> Lens:
    """The lens whose rays `inverse_brown_conrady` gives.

    Args:
        coefficients: k1, k2, p1, p2, k3 as librealsense has them.
        size: width and height of the image.

    Raises:
        CalibrationError: the polynomial folds over within the image, or no lens fits it.
    """
    focal, centre = K[[0, 1], [0, 1]], K[:2, 2]
    columns, rows = (np.linspace(0.0, side, POINTS) for side in size)
    image = ((np.stack(np.meshgrid(columns, rows), -1) - centre) / focal).reshape(-1, 2)
    backwards = Lens("opencv", coefficients)
    rays = distort(backwards, image)
    folds = first_fold(backwards)[0] <= np.linalg.norm(image, axis=-1).max()

    def apart(found: Float[np.ndarray, "8"]) -> Float[np.ndarray, " m"]:
        return ((distort(Lens("opencv", tuple(found.tolist())), rays) - image) * focal).ravel()

    worst = np.inf
    if not folds and np.isfinite(rays).all():
        # To first order the inverse has the negated coefficients.
        start = -np.array([*coefficients, 0.0, 0.0, 0.0])
        found = least_squares(apart, start, method="lm", xtol=1e-14, ftol=1e-14, gtol=1e-14).x
        worst = float(np.abs(apart(found)).max())
    if not worst <= WORST:
        raise CalibrationError(
            "an inverse_brown_conrady lens cannot be turned round",
            where=where,
            expected=f"a polynomial that grows over the whole image, and a lens within {WORST:g} px of it",
            found=f"{list(coefficients)}, " + ("which folds over" if folds else f"{worst:.2g} px off"),
            remedy="record rectified streams, or calibrate the camera with OpenCV",
        )
    return Lens("opencv", tuple(found.tolist()))
