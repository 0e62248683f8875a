"""nerfstudio's transforms.json of a session's cameras; its conventions are told in `recon.importers.nerfstudio`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from simulacra.recon.export_session.picture import ExportedPicture
from simulacra.recon.importers.building import upright
from simulacra.recon.importers.nerfstudio import camera_to_world
from simulacra.recon.session import SessionCamera
from simulacra.render.runtime.errors import CaptureError


def check_nerfstudio(cameras: Sequence[SessionCamera]) -> None:
    """Whether nerfstudio has a model for each, and one for all of them; and one unit of depth.

    Raises:
        CaptureError: it has not.
    """
    models = {_lens(camera)["camera_model"] for camera in cameras}
    if len(models) > 1:
        raise CaptureError(
            "nerfstudio has one camera model for all cameras",
            found=", ".join(sorted(models)),
            remedy="export it undistorted",
        )
    scales = {camera.depth_scale for camera in cameras} - {None}
    if len(scales) > 1:
        raise CaptureError("nerfstudio has one unit of depth for all cameras", found=sorted(map(str, scales)))


def write_nerfstudio(
    folder: Path, cameras: Sequence[SessionCamera], pictures: Sequence[ExportedPicture]
) -> None:
    """transforms.json, with the intrinsics in each frame."""
    T_file_world = np.linalg.inv(upright("+z"))
    of_camera: dict[str, dict[str, Any]] = {}
    for camera in cameras:
        lens = _lens(camera)
        del lens["camera_model"]
        of_camera[camera.name] = {
            "transform_matrix": (T_file_world @ camera_to_world(camera)).tolist(),
            "fl_x": camera.K[0, 0],
            "fl_y": camera.K[1, 1],
            "cx": camera.K[0, 2],
            "cy": camera.K[1, 2],
            "w": camera.width,
            "h": camera.height,
            **lens,
        }
    described: dict[str, Any] = {"camera_model": _lens(cameras[0])["camera_model"]}
    scales = {camera.depth_scale for camera in cameras} - {None}
    if any(one.depth for one in pictures):
        described["depth_unit_scale_factor"] = 1.0 / next(scale for scale in scales if scale)
    described["frames"] = [_frame(one, of_camera[one.camera]) for one in pictures]
    (folder / "transforms.json").write_text(json.dumps(described, indent=1) + "\n", "utf-8")


def _frame(one: ExportedPicture, camera: dict[str, Any]) -> dict[str, Any]:
    """The time is the frame's number: nerfstudio's own have no unit, and cameras' clocks differ by milliseconds."""
    frame: dict[str, Any] = {"file_path": one.image, "time": float(one.frame), **camera}
    if one.mask is not None:
        frame["mask_path"] = one.mask
    if one.depth is not None:
        frame["depth_file_path"] = one.depth
    return frame


def _lens(camera: SessionCamera) -> dict[str, Any]:
    if camera.lens is None:
        return {"camera_model": "OPENCV"}
    values = camera.lens.coefficients
    model = camera.lens.model
    if model == "opencv" and not any(values[5:]):
        keys: tuple[str, ...] = ("k1", "k2", "p1", "p2", "k3")
        return {"camera_model": "OPENCV", **dict(zip(keys, values))}
    if model == "brown" and values[6] == 0:
        return {"camera_model": "OPENCV", **dict(zip(("k1", "k2", "k3", "k4", "p1", "p2"), values))}
    if model == "opencv_fisheye":
        return {"camera_model": "OPENCV_FISHEYE", **dict(zip(("k1", "k2", "k3", "k4"), values))}
    raise CaptureError(
        "nerfstudio has no model for a lens",
        where=f"camera {camera.name}",
        found=f"{model} {values[:12]}",
        remedy="export it undistorted",
    )
