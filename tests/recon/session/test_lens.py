"""Lens models agree with the programs that define them, invert, and say where they end."""

import cv2
import numpy as np
import pytest

from simulacra.recon.session.lens import (
    COUNTS,
    LENS_MODELS,
    Lens,
    LensModel,
    check_lens,
    distort,
    first_fold,
    radius_on_image,
    reach,
    sound_part,
    undistort,
    undistortion_maps,
)
from simulacra.render.runtime.errors import CalibrationError

# One plausible lens of each model; the strongest have 20 % at the corner.
LENSES: dict[LensModel, tuple[float, ...]] = {
    "opencv": (-0.21, 0.05, 0.003, -0.002, 0.01, 0.02, -0.015, 0.003, 0.002, -0.001, 0.001, 0.0005),
    "opencv_fisheye": (0.03, -0.01, 0.004, -0.0007),
    "thin_prism_fisheye": (0.03, -0.01, 0.002, -0.003, 0.004, -0.0007, 0.001, -0.002),
    "rad_tan_thin_prism_fisheye": (
        0.03, -0.01, 0.004, -0.0007, 0.0002, -0.0001, 0.002, -0.003, 0.001, -0.002, 0.0015, 0.0005,
    ),
    "brown": (-0.11, 0.03, 0.004, -0.002, 0.002, -0.001, 0.003),
    "brown_fisheye": (-0.02, 0.01, -0.002, 0.0005, 0.002, -0.001, 0.003),
    "fov": (0.93,),
    "division": (-0.12,),
    "eucm": (0.57, 1.1),
    "radial_table": (0.02, -0.01, 1.4, 1.0, 1.001, 1.003, 1.007, 1.012, 1.02, 1.03, 1.045),
}  # fmt: skip
F, C = np.array([600.0, 610.0]), np.array([321.5, 239.25])
RAYS = np.array([[0.31, -0.22], [-0.7, 0.45], [0.02, 0.9]])
# COLMAP 4.2.1's own answers for RAYS, pixels, for the lenses above with F and C.
COLMAP: dict[LensModel, list[list[float]]] = {
    "opencv_fisheye": [
        [499.919935101, 110.519057578], [-33.184085216, 471.061384266], [331.40484097, 692.396474393],
    ],
    "thin_prism_fisheye": [
        [499.296174216, 110.854853238], [-35.515044874, 472.207039461], [330.787885369, 693.662919741],
    ],
    "rad_tan_thin_prism_fisheye": [
        [500.576194778, 110.086667146], [-30.941786713, 469.608093467], [331.989425413, 689.997323773],
    ],
    "fov": [[513.215307871, 100.926374644], [-56.058916633, 486.011720514], [332.029552881, 720.977044304]],
    "division": [[504.381986371, 107.299663597], [-68.418504363, 494.089593923], [332.516476277, 743.253789694]],
    "eucm": [[499.72393323, 110.660473981], [-32.462520226, 470.589790005], [331.385339054, 691.504261712]],
}  # fmt: skip


def grid(edge: float = 1.0) -> np.ndarray:
    """Rays out to the corners of a wide picture, the axis among them."""
    return np.stack(np.meshgrid(np.linspace(-edge, edge, 21), np.linspace(-0.7 * edge, 0.7 * edge, 15)), -1)


@pytest.mark.parametrize("count", [4, 5, 8, 12])
def test_opencv_is_opencv(count: int) -> None:
    rays = grid().reshape(-1, 2)
    values = LENSES["opencv"][:count]
    K = np.array([[F[0], 0, C[0]], [0, F[1], C[1]], [0, 0, 1]])
    expected = cv2.projectPoints(
        np.c_[rays, np.ones(len(rays))], np.zeros(3), np.zeros(3), K, np.array(values)
    )[0]
    np.testing.assert_allclose(distort(Lens("opencv", values), rays) * F + C, expected[:, 0], atol=1e-9)


def test_fisheye_is_opencvs() -> None:
    rays = grid(3.0).reshape(-1, 1, 2)
    values = np.array(LENSES["opencv_fisheye"])
    expected = cv2.fisheye.distortPoints(rays, np.diag([1.0, 1.0, 1.0]), values)
    np.testing.assert_allclose(
        distort(Lens("opencv_fisheye", LENSES["opencv_fisheye"]), rays), expected, atol=1e-12
    )


@pytest.mark.parametrize("model", COLMAP)
def test_other_models_are_colmaps(model: LensModel) -> None:
    found = distort(Lens(model, LENSES[model]), RAYS) * F + C
    np.testing.assert_allclose(found, COLMAP[model], atol=2e-9)


def test_brown_is_opencvs_and_a_skew() -> None:
    k1, k2, k3, _, p1, p2, skew = LENSES["brown"]
    plain = distort(Lens("opencv", (k1, k2, p1, p2, k3)), RAYS)
    found = distort(Lens("brown", (k1, k2, k3, 0.0, p1, p2, skew)), RAYS)
    np.testing.assert_allclose(found, plain + np.outer(plain[:, 1], [skew, 0.0]), atol=1e-15)
    r2 = (RAYS**2).sum(-1, keepdims=True)
    eighth = distort(Lens("brown", (0.0, 0.0, 0.0, 0.01, 0.0, 0.0, 0.0)), RAYS)
    np.testing.assert_allclose(eighth, RAYS * (1 + 0.01 * r2**4), atol=1e-15)
    prism = Lens("thin_prism_fisheye", (k1, k2, p1, p2, k3, 0.001, 0.0, 0.0))
    fisheye = Lens("brown_fisheye", (k1, k2, k3, 0.001, p1, p2, 0.0))
    np.testing.assert_allclose(distort(fisheye, RAYS), distort(prism, RAYS), atol=1e-15)


def test_a_table_scales_about_its_centre() -> None:
    """Half way between two entries the factor is their mean; beyond the last it stays."""
    lens = Lens("radial_table", (0.1, 0.2, 1.0, 1.0, 1.1, 1.4))
    rays = np.array([[0.1, 0.2], [0.6, 0.2], [0.1, 0.95], [0.1, -1.8]])
    expected = np.array([[0.1, 0.2], [0.1 + 0.55, 0.2], [0.1, 0.2 + 0.75 * 1.25], [0.1, 0.2 - 2.0 * 1.4]])
    np.testing.assert_allclose(distort(lens, rays), expected, atol=1e-15)


@pytest.mark.parametrize("model", LENS_MODELS)
def test_rays_come_back(model: LensModel) -> None:
    lens = Lens(model, LENSES[model])
    check_lens(lens, model)
    rays = grid(0.9)
    there = distort(lens, rays)
    assert there.shape == rays.shape and np.abs(there - rays).max() > 0.01, "the lens must matter here"
    np.testing.assert_allclose(undistort(lens, there), rays, atol=1e-9)
    np.testing.assert_allclose(distort(lens, undistort(lens, rays / 2)), rays / 2, atol=1e-10)


@pytest.mark.parametrize("model", LENS_MODELS)
def test_the_radial_part_is_the_lens_without_its_rest(model: LensModel) -> None:
    drop = {"opencv": (2, 3, 8, 9, 10, 11), "thin_prism_fisheye": (2, 3, 6, 7)}.get(model, ())
    drop = {"brown": (4, 5, 6), "brown_fisheye": (4, 5, 6), "rad_tan_thin_prism_fisheye": range(6, 12)}.get(
        model, drop
    )
    values = tuple(0.0 if i in drop else value for i, value in enumerate(LENSES[model]))
    lens = Lens(model, values)
    centre = np.array(values[:2]) if model == "radial_table" else np.zeros(2)
    radii = np.linspace(0.0, 1.2, 30)
    along = np.linalg.norm(distort(lens, centre + np.outer(radii, [0.6, 0.8])) - centre, axis=-1)
    np.testing.assert_allclose(radius_on_image(lens, radii), along, atol=1e-12)


def test_a_fisheye_reaches_wide() -> None:
    lens = Lens("opencv_fisheye", (0.0, 0.0, 0.0, 0.0))
    angles = np.radians([10.0, 45.0, 80.0, 88.0])
    points = np.outer(angles, [0.8, -0.6])
    rays = undistort(lens, points)
    np.testing.assert_allclose(
        np.degrees(np.arctan(np.linalg.norm(rays, axis=-1))), np.degrees(angles), atol=1e-6
    )
    assert np.isnan(undistort(lens, np.array([[1.7, 0.0]]))).all(), (
        "97 degrees from the axis is behind the camera"
    )


def test_a_lens_ends_where_it_folds() -> None:
    """x (1 - x^2 / 3) turns at 1: two rays have each image, and no ray an image beyond 2/3."""
    lens = Lens("opencv", (-1 / 3, 0.0, 0.0, 0.0))
    assert reach(lens, 2.0) == pytest.approx(1.0, abs=1e-3)
    assert reach(lens, 0.8) == 0.8
    image = distort(lens, np.array([[0.5, 0.0], [1.3, 0.0]]))
    np.testing.assert_allclose(undistort(lens, image[:1]), [[0.5, 0.0]], atol=1e-10)
    inner = undistort(lens, image[1:])
    assert 0 < inner[0, 0] < 1, "the ray nearer to the axis"
    assert np.isnan(undistort(lens, np.array([[0.7, 0.0], [9.0, 9.0]]))).all()
    assert np.isnan(distort(Lens("division", (0.5,)), np.array([[2.0, 0.0]]))).all()


def test_the_first_fold_is_where_the_radius_is_largest() -> None:
    """r (1 - 0.3 r²) is largest at r = 1 / sqrt 0.9, where it is two thirds of that."""
    ray, image = first_fold(Lens("opencv", (-0.3, 0.0, 0.0, 0.0)))
    assert ray == pytest.approx(1 / np.sqrt(0.9), rel=0.01) and image == pytest.approx(ray * 2 / 3, rel=0.01)
    assert first_fold(Lens("opencv", (-0.3, 0.1, 0.0, 0.0))) == (np.inf, np.inf)
    # A tangential part folds one side over: u = x + 3 p2 x² turns back at x = -1 / (6 p2).
    ray, image = first_fold(Lens("opencv", (0.0, 0.0, 0.0, 0.2)))
    assert ray == pytest.approx(1 / 1.2, rel=0.01) and image == pytest.approx(ray / 2, rel=0.01)


def test_the_sound_part_is_of_the_way_to_the_farthest_corner() -> None:
    K = np.array(
        [[600.0, 0, 320], [0, 600, 240], [0, 0, 1]]
    )  # corners at 400 px, two thirds of a focal length
    folding = Lens("opencv", (-1.2, 0.0, 0.0, 0.0))  # at r = 0.527
    assert sound_part(folding, K, 640, 480) == pytest.approx(0.79, abs=0.01)
    longer = K + np.diag([600.0, 600, 0])
    assert sound_part(folding, longer, 640, 480) == 1.0


def test_the_maps_are_opencvs() -> None:
    """Whose first pixel has its centre at 0, not at a half."""
    values = np.array(LENSES["opencv"][:8])
    K = np.array([[90.0, 0, 47.0], [0, 95.0, 33.5], [0, 0, 1]])
    theirs = K - np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])
    expected = cv2.initUndistortRectifyMap(theirs, values, None, theirs, (96, 70), cv2.CV_32FC1)
    found = undistortion_maps(Lens("opencv", tuple(values)), K, 96, 70)
    for mine, opencvs in zip(found, expected):
        np.testing.assert_allclose(mine, opencvs, atol=1e-5)
    assert np.abs(found[0] - np.arange(96)).max() > 3, "the lens must matter here"


def test_pixels_without_a_ray_are_outside() -> None:
    """Of a lens that folds inside of the picture, and of one that is known everywhere."""
    K = np.array([[20.0, 0, 32], [0, 20.0, 32], [0, 0, 1]])
    columns, _ = undistortion_maps(Lens("opencv", (-1 / 3, 0.0, 0.0, 0.0)), K, 64, 64)
    r = np.hypot(*(np.mgrid[:64, :64] + 0.5 - 32)) / 20
    assert (columns[r > 1.01] == -1e4).all() and (columns[r < 0.99] > -1).all()
    columns, rows = undistortion_maps(Lens("opencv_fisheye", (0.0,) * 4), K, 64, 64)
    assert columns.min() > 0 and rows.max() < 64


@pytest.mark.parametrize(
    "lens",
    [
        Lens("opencv", (0.1,)),
        Lens("opencv", (0.1, 0.0, float("nan"), 0.0)),
        Lens("opencv_fisheye", (0.1, 0.0, 0.0, 0.0, 0.0)),
        Lens("opencv", (1e300, 0.0, 0.0, 0.0)),
        Lens("fov", (4.0,)),
        Lens("eucm", (1.5, 1.0)),
        Lens("eucm", (0.5, 0.0)),
        Lens("radial_table", (0.0, 0.0, 1.0, 1.0)),
        Lens("radial_table", (0.0, 0.0, 0.0, 1.0, 1.0)),
        Lens("radial_table", (0.0, 0.0, 1.0, 1.0, -1.0)),
        Lens("radial_table", (0.0, 0.0, 1.0, *(1.0,) * 5000)),
    ],
)
def test_lenses_that_cannot_be(lens: Lens) -> None:
    with pytest.raises(CalibrationError, match="lens coefficients"):
        check_lens(lens, "here")


def test_a_table_needs_square_pixels() -> None:
    lens = Lens("radial_table", LENSES["radial_table"])
    check_lens(lens, "here", np.diag([500.0, 500.0, 1.0]))
    with pytest.raises(CalibrationError, match="lens coefficients"):
        check_lens(lens, "here", np.diag([500.0, 510.0, 1.0]))


def test_every_model_is_tested() -> None:
    assert set(LENSES) == set(LENS_MODELS) == {*COUNTS, "radial_table"}
