"""A device's raw calibration means what Microsoft's SDK makes of it, and depth lands on the person in color."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simulacra.recon.importers.azure_kinect import import_azure_kinect, looks_like, read_raw_calibration
from simulacra.recon.importers.recorder_options import AzureKinectOptions
from simulacra.recon.session import SessionCamera
from simulacra.recon.session.lens import distort
from simulacra.render.runtime.errors import CalibrationError
from tests.recon.ellipsoid_person import picture, ring
from tests.recon.importers.depth_folders import SCALE, beside, open3d, write_frames

# A device's own, as published in the tests of pyk4a.
DEPTH_PARAMETERS = [
    0.51296979188919067, 0.51692354679107666, 0.4927808940410614, 0.49290284514427185, 0.54793977737426758,
    -0.020971370860934258, -0.0026522316038608551, 0.88967907428741455, 0.086130209267139435, -0.013910384848713875,
    0, 0, -7.2104157879948616e-5, 2.0557534298859537e-5,
]  # fmt: skip
COLOR_PARAMETERS = [
    0.49984714388847351, 0.50661760568618774, 0.47796511650085449, 0.63742393255233765, 0.33012130856513977,
    -2.4893965721130371, 1.453670859336853, 0.20891207456588745, -2.302915096282959, 1.3751275539398193,
    0, 0, -0.00012944525224156678, -0.00016178244550246745,
]  # fmt: skip
SIZE, CROP = (1280, 960), (0, 120)


def entry(purpose: str, parameters: list[float], T: np.ndarray) -> dict[str, Any]:
    return {
        "Intrinsics": {
            "ModelParameterCount": 14, "ModelParameters": parameters,
            "ModelType": "CALIBRATION_LensDistortionModelBrownConrady",
        },
        "Purpose": f"CALIBRATION_CameraPurpose{purpose}", "MetricRadius": 1.74,
        "Rt": {"Rotation": T[:3, :3].ravel().tolist(), "Translation": T[:3, 3].tolist()},
    }  # fmt: skip


def raw(color: list[float], depth: list[float], T_color_depth: np.ndarray) -> dict[str, Any]:
    cameras = [entry("Depth", depth, np.eye(4)), entry("PhotoVideo", color, T_color_depth)]
    return {"CalibrationInformation": {"Cameras": cameras, "InertialSensors": []}}


def test_published_parameters_give_the_k_of_the_sdk() -> None:
    """The SDK: cx * width - crop - 0.5 is OpenCV's pixel, whose first centre is at (0, 0)."""
    found = read_raw_calibration(
        raw(COLOR_PARAMETERS, DEPTH_PARAMETERS, np.eye(4)), (1280, 720), (640, 576), "here"
    )
    theirs = [[611.795, 639.304], [611.927, 365.853]]  # fx cx, fy cy of 720p
    np.testing.assert_allclose(
        [[found.color.K[0, 0], found.color.K[0, 2] - 0.5], [found.color.K[1, 1], found.color.K[1, 2] - 0.5]],
        theirs, atol=1e-3,
    )  # fmt: skip
    assert found.depth is not None
    np.testing.assert_allclose(
        found.depth.K[[0, 1, 0, 1], [0, 1, 2, 2]] - [0, 0, 0.5, 0.5],
        [504.608, 504.733, 332.781, 348.830],
        atol=1e-3,
    )
    # The order of the parameters: k1 to k6, then p2 and p1.
    x, y = 0.2, -0.1
    k1, k2, k3, k4, k5, k6 = COLOR_PARAMETERS[4:10]
    p2, p1 = COLOR_PARAMETERS[12:]
    r2 = x * x + y * y
    radial = (1 + k1 * r2 + k2 * r2**2 + k3 * r2**3) / (1 + k4 * r2 + k5 * r2**2 + k6 * r2**3)
    seen = [
        x * radial + p2 * (r2 + 2 * x * x) + 2 * p1 * x * y,
        y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
    ]
    assert found.color.lens is not None
    np.testing.assert_allclose(distort(found.color.lens, np.array([[x, y]]))[0], seen, atol=1e-12)


def write_device(folder: Path) -> tuple[SessionCamera, dict[str, Any]]:
    """Color of 720p, and depth of its own camera in the narrow binned mode."""
    made = ring(4)[0]
    color = replace(made, width=1280, height=720, K=np.array([[700.0, 0, 650], [0, 705, 350], [0, 0, 1]]))
    depth = replace(
        beside(made), width=320, height=288, K=np.array([[250.0, 0, 165], [0, 251, 140], [0, 0, 1]])
    )
    write_frames(folder, color, depth, 1)
    described = raw(
        _shares(color, SIZE, CROP),
        _shares(depth, (512, 512), (96, 90)),
        color.viewmat @ np.linalg.inv(depth.viewmat),
    )
    (folder / "calibration.json").write_text(json.dumps(described), "utf-8")
    return color, described


def _shares(camera: SessionCamera, size: tuple[int, int], crop: tuple[int, int]) -> list[float]:
    K = camera.K
    scales = [
        (K[0, 2] + crop[0]) / size[0],
        (K[1, 2] + crop[1]) / size[1],
        K[0, 0] / size[0],
        K[1, 1] / size[1],
    ]
    return [*map(float, scales), *[0.0] * 10]


def test_depth_is_drawn_into_the_color_camera(tmp_path: Path) -> None:
    color, described = write_device(tmp_path / "src")
    (tmp_path / "src/notes.json").write_text("[1]", "utf-8")
    session = import_azure_kinect(tmp_path / "src", tmp_path / "s", AzureKinectOptions())
    np.testing.assert_allclose(session.cameras[0].K, color.K, atol=1e-9)
    truth = picture(color)[2]
    measured = session.depth(0, "camera")
    assert measured is not None
    found = np.where(measured[1], measured[0], 0)
    both = (truth > 0) & (found > 0)
    assert both.sum() > 0.85 * (truth > 0).sum()
    error = np.abs(found - truth)[both]
    # A depth pixel is 11 mm wide there, of a round surface; millimetres are rounded.
    assert np.median(error) < 0.003 and np.quantile(error, 0.9) < 0.02
    assert (
        looks_like(tmp_path / "src")
        and looks_like(tmp_path) is None
        and looks_like(tmp_path / "src/color") is None
    )
    # The wrong way round would show: 40 mm are 12 pixels there.
    camera = described["CalibrationInformation"]["Cameras"][1]
    assert np.linalg.norm(camera["Rt"]["Translation"]) * color.K[0, 0] / np.median(truth[truth > 0]) > 10


def test_open3ds_recorder_has_depth_over_the_color_images(tmp_path: Path) -> None:
    camera = ring(4)[0]
    write_frames(tmp_path / "src", camera, camera, 2)
    described = {
        **open3d(camera),
        "color_mode": "MJPG_720P",
        "depth_mode": "NFOV_UNBINNED",
        "serial_number": "1",
    }
    (tmp_path / "src/intrinsic.json").write_text(json.dumps(described), "utf-8")
    session = import_azure_kinect(tmp_path / "src", tmp_path / "s", AzureKinectOptions())
    np.testing.assert_allclose(session.cameras[0].K, camera.K, atol=1e-9)
    measured = session.depth(1, "camera")
    assert measured is not None
    np.testing.assert_allclose(
        np.where(measured[1], measured[0], 0), picture(camera, 1)[2], atol=0.51 / SCALE
    )


SPOIL: dict[str, Callable[[list[dict[str, Any]]], Any]] = {
    "is missing": lambda cameras: cameras.pop(1),
    "another model": lambda cameras: cameras[1]["Intrinsics"].update(
        ModelType="CALIBRATION_LensDistortionModelTheta"
    ),
    "not those of the device": lambda cameras: cameras[0]["Intrinsics"].update(ModelParameters=[0.5] * 14),
    "cannot be": lambda cameras: cameras[1]["Rt"].update(Translation=[32.0, 2.0, 4.0]),
}


@pytest.mark.parametrize("said", SPOIL)
def test_damage_is_named(said: str) -> None:
    described = raw(COLOR_PARAMETERS, DEPTH_PARAMETERS, np.eye(4))
    read_raw_calibration(described, (1280, 720), (640, 576), "here")
    SPOIL[said](described["CalibrationInformation"]["Cameras"])
    with pytest.raises(CalibrationError, match=said):
        read_raw_calibration(described, (1280, 720), (640, 576), "here")


def test_images_that_were_scaled_are_named() -> None:
    described = raw(COLOR_PARAMETERS, DEPTH_PARAMETERS, np.eye(4))
    with pytest.raises(CalibrationError, match="640x360"):
        read_raw_calibration(described, (640, 360), (640, 576), "here")
