"""librealsense's records are found wherever they are nested, and mean what its headers say."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simulacra.recon.importers.realsense import import_realsense, looks_like, read_device
from simulacra.recon.importers.recorder_options import RealsenseOptions
from simulacra.render.runtime.errors import CalibrationError, InputError
from tests.recon.ellipsoid_person import picture, ring
from tests.recon.importers.depth_folders import beside, realsense, write_frames
from tests.recon.importers.foreign_captures import assert_cameras_are

COLOR = {
    "width": 640, "height": 480, "fx": 615.1, "fy": 615.3, "ppx": 321.5, "ppy": 238.25, "model": "None",
    "coeffs": [0, 0, 0, 0, 0],
}  # fmt: skip
DEPTH = {**COLOR, "fx": 385.0, "fy": 385.0, "ppx": 318.0, "ppy": 239.0}
TURN = [0.99, -0.1, 0.1, 0.11, 0.989, -0.1, -0.09, 0.109, 0.99]


def rotation() -> np.ndarray:
    u, _, v = np.linalg.svd(np.reshape(TURN, (3, 3)))
    return u @ v


NESTINGS: dict[str, Any] = {
    "flat": lambda color, depth, rigid: {"color": color, "depth": depth, "depth_to_color": rigid, "depth_scale": 0.001},
    "dump": lambda color, depth, rigid: {
        "timestamp": "2024", "depth_scale": 0.001, "intrinsics": {"rgb": color, "depth": depth},
        "extrinsics": {"depth2color": rigid},
    },
    "streams": lambda color, depth, rigid: {
        "streams": {"color_stream": {"intrinsics": color}, "depth_stream": {"intrinsics": depth, "depth_units": 0.001}},
        "depth_to_imu": {"rotation": np.eye(3).ravel().tolist(), "translation": [9.0, 0, 0]},
        "extrinsics_depth_to_color": rigid,
    },
}  # fmt: skip


@pytest.mark.parametrize("nesting", NESTINGS)
def test_records_are_found_by_their_names(nesting: str) -> None:
    """A point of the depth camera lands where rs2_transform_point_to_point and rs2_project_point_to_pixel put it."""
    R = rotation()
    rigid = {"rotation": R.T.ravel().tolist(), "translation": [0.015, -0.001, 0.0005]}
    found = read_device(NESTINGS[nesting](COLOR, DEPTH, rigid), (640, 480), (640, 480), "here")
    assert found.view.depth is not None and found.view.T_color_depth is not None
    assert found.depth_scale == 1000 and found.depth_is is None
    point = np.array([0.2, -0.3, 1.7])
    columns = rigid["rotation"]  # librealsense: columns first
    moved = [sum(columns[3 * k + i] * point[k] for k in range(3)) + rigid["translation"][i] for i in range(3)]
    theirs = np.array([moved[0] / moved[2] * 615.1 + 321.5, moved[1] / moved[2] * 615.3 + 238.25])
    x, y, z = (found.view.T_color_depth @ [*point, 1])[:3]
    K = found.view.color.K
    np.testing.assert_allclose(
        [K[0, 0] * x / z + K[0, 2], K[1, 1] * y / z + K[1, 2]], theirs + 0.5, atol=1e-9
    )


def test_rows_and_the_way_back_are_understood() -> None:
    R = rotation()
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = R, [0.015, 0, 0]
    back = np.linalg.inv(T)
    for name, one in {
        "depth_to_color": {"rotation_row_major": R.ravel().tolist(), "translation_m": [0.015, 0, 0]},
        "extrinsics": {"rotation": R.tolist(), "translation": [0.015, 0, 0]},
        "color_to_depth": {"rotation": back[:3, :3].T.ravel().tolist(), "translation": back[:3, 3].tolist()},
    }.items():
        found = read_device({"color": COLOR, "depth": DEPTH, name: one}, (640, 480), (640, 480), "here")
        np.testing.assert_allclose(found.view.T_color_depth, T, atol=1e-12)


def test_what_files_do_not_say_is_asked(tmp_path: Path) -> None:
    camera = ring(4)[0]
    write_frames(tmp_path / "src", camera, camera, 1)
    described: dict[str, Any] = {"color": realsense(camera), "depth": {**realsense(camera), "fx": 90.0}}
    path = tmp_path / "src/params.json"
    path.write_text(json.dumps(described), "utf-8")
    with pytest.raises(InputError, match="--depth-is aligned"):
        import_realsense(tmp_path / "src", tmp_path / "s", RealsenseOptions(depth_scale=1000.0))
    with pytest.raises(InputError, match="--depth-scale 1000"):
        import_realsense(tmp_path / "src", tmp_path / "s", RealsenseOptions(depth_is="aligned"))
    path.write_text(json.dumps({**realsense(camera), "depth_scale": 0.00025}), "utf-8")
    session = import_realsense(tmp_path / "src", tmp_path / "s", RealsenseOptions())
    assert session.cameras[0].depth_scale == 4000
    np.testing.assert_allclose(session.cameras[0].K, camera.K, atol=1e-9)
    assert looks_like(tmp_path / "src") and looks_like(tmp_path / "src/color") is None
    with pytest.raises(CalibrationError, match="images' size"):
        read_device(COLOR, (1280, 720), (640, 480), "here")


def test_a_rig_in_one_file_whose_second_device_lacks_its_color(tmp_path: Path) -> None:
    truth = ring(3)
    described = {}
    for camera in truth:
        owner, depth = tmp_path / "src" / f"f{camera.name}", beside(camera)
        write_frames(owner, camera, depth, 1)
        T = camera.viewmat @ np.linalg.inv(depth.viewmat)
        described[owner.name] = {
            "color": realsense(camera), "depth": realsense(depth), "world_to_color": camera.viewmat.tolist(),
            "depth_to_color": {"rotation": T[:3, :3].T.ravel().tolist(), "translation": T[:3, 3].tolist()},
            "depth_scale": 0.001,
        }  # fmt: skip
    del described["f1"]["color"]
    (tmp_path / "src/rig.json").write_text(json.dumps(described), "utf-8")
    session = import_realsense(tmp_path / "src", tmp_path / "s", RealsenseOptions(world_up="+y"))
    assert session.camera_names == ("f0", "f2")
    assert_cameras_are(session.cameras, (truth[0], truth[2]))
    assert any("f1 is left out" in note for note in session.notes)
    measured = session.depth(0, "f2")
    seen = picture(truth[2])[2]
    assert measured is not None and (measured[1] & (seen > 0)).sum() > 0.85 * (seen > 0).sum()


def test_streams_in_files_of_their_own(tmp_path: Path) -> None:
    camera = ring(4)[0]
    depth = beside(camera)
    write_frames(tmp_path / "src", camera, depth, 1)
    T = camera.viewmat @ np.linalg.inv(depth.viewmat)
    rigid = {"rotation": T[:3, :3].T.ravel().tolist(), "translation": T[:3, 3].tolist()}
    for name, value in {
        "color_intrinsics": realsense(camera), "depth_intrinsics": {**realsense(depth), "depth_scale": 0.001},
        "extrinsics": {"depth_to_color": rigid},
    }.items():  # fmt: skip
        (tmp_path / f"src/{name}.json").write_text(json.dumps(value), "utf-8")
    session = import_realsense(tmp_path / "src", tmp_path / "s", RealsenseOptions())
    np.testing.assert_allclose(session.cameras[0].K, camera.K, atol=1e-9)
    assert any("40 mm away" in note for note in session.notes)
    (tmp_path / "src/color_old.json").write_text(json.dumps({**realsense(camera), "fx": 77.0}), "utf-8")
    with pytest.raises(CalibrationError, match="differ"):
        import_realsense(tmp_path / "src", tmp_path / "t", RealsenseOptions())
