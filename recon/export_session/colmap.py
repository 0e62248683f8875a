"""COLMAP's text model of a session's cameras; its conventions are told in `recon.importers.colmap_model`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from scipy.spatial.transform import Rotation

from simulacra.recon.session import SessionCamera
from simulacra.render.runtime.errors import CaptureError


def check_colmap(cameras: Sequence[SessionCamera]) -> None:
    """Whether COLMAP has a model for each.

    Raises:
        CaptureError: it has not.
    """
    for camera in cameras:
        _model(camera)


def write_colmap(folder: Path, cameras: Sequence[SessionCamera], images: Sequence[tuple[str, str]]) -> None:
    """cameras.txt, images.txt and an empty points3D.txt in ``sparse/0``; images are (name, camera)."""
    model = folder / "sparse/0"
    model.mkdir(parents=True)
    key = {camera.name: number for number, camera in enumerate(cameras, start=1)}
    lines = ["# CAMERA_ID, MODEL, WIDTH, HEIGHT, PARAMS[]"]
    poses = {}
    for camera in cameras:
        name, parameters = _model(camera)
        lines.append(f"{key[camera.name]} {name} {camera.width} {camera.height} {_words(parameters)}")
        x, y, z, w = Rotation.from_matrix(camera.viewmat[:3, :3]).as_quat().tolist()
        poses[camera.name] = _words((w, x, y, z, *camera.viewmat[:3, 3].tolist()))
    (model / "cameras.txt").write_text("\n".join(lines) + "\n", "utf-8")
    lines = [
        "# IMAGE_ID, QW, QX, QY, QZ, TX, TY, TZ, CAMERA_ID, NAME; then POINTS2D[], of which there are none"
    ]
    for number, (image, name) in enumerate(images, start=1):
        lines += [f"{number} {poses[name]} {key[name]} {image}", ""]
    (model / "images.txt").write_text("\n".join(lines) + "\n", "utf-8")
    (model / "points3D.txt").write_text("# POINT3D_ID, X, Y, Z, R, G, B, ERROR, TRACK[]\n", "utf-8")


def _words(values: Sequence[float]) -> str:
    """Numbers that read back to the last bit."""
    return " ".join(f"{value:.17g}" for value in values)


def _model(camera: SessionCamera) -> tuple[str, tuple[float, ...]]:
    """COLMAP's name of the camera's model, and its parameters."""
    K = camera.K
    four = (float(K[0, 0]), float(K[1, 1]), float(K[0, 2]), float(K[1, 2]))
    if camera.lens is None:
        return "PINHOLE", four
    values = camera.lens.coefficients
    if camera.lens.model == "opencv" and not any(values[8:]):
        padded = (values + (0.0,) * 4)[:8]
        return ("OPENCV", (*four, *values)) if len(values) == 4 else ("FULL_OPENCV", (*four, *padded))
    name = {
        "opencv_fisheye": "OPENCV_FISHEYE",
        "thin_prism_fisheye": "THIN_PRISM_FISHEYE",
        "rad_tan_thin_prism_fisheye": "RAD_TAN_THIN_PRISM_FISHEYE",
        "fov": "FOV",
        "division": "DIVISION",
        "eucm": "EUCM",
    }.get(camera.lens.model)
    if name is None:
        raise CaptureError(
            "COLMAP has no model for a lens",
            where=f"camera {camera.name}",
            found=f"{camera.lens.model} {values[:12]}",
            remedy="export it undistorted",
        )
    return name, (*four, *values)
