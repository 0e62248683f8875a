"""An OpenCap session: millimetres of a board's world, pickles that are not run, trials that are asked about."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simulacra.recon.importers.opencap import import_opencap, looks_like, read_parameters
from simulacra.recon.importers.recorder_options import OpencapOptions
from simulacra.recon.session import SessionCamera
from simulacra.render.runtime.errors import CalibrationError, InputError
from tests.recon.ellipsoid_person import SIZE, frame_number, picture, ring, write_video
from tests.recon.importers.foreign_captures import HALF_PIXEL, assert_cameras_are
from tests.recon.importers.planted import pixel_of

# The board's world: x along its columns, y down its rows, z into the wall.
BOARD = np.diag([1.0, -1.0, -1.0])
NONE = np.zeros((1, 5))
DISTORTION = np.array([[0.12, -0.3, 0.001, -0.002, 0.2]])


def parameters(camera: SessionCamera, distortion: np.ndarray) -> dict[str, Any]:
    return {
        "distortion": distortion, "intrinsicMat": camera.K - HALF_PIXEL,
        "imageSize": np.array([[camera.height], [camera.width]], float),
        "rotation": camera.viewmat[:3, :3] @ BOARD, "translation": 1000 * camera.viewmat[:3, 3:],
    }  # fmt: skip


def write_parameters(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(value))


def write_opencap(folder: Path, trials: dict[str, str], distortion: np.ndarray = NONE) -> Any:
    """Three phones, each trial with a video of a name; the cameras in our world."""
    made = ring(3)
    for number, camera in enumerate(made):
        owner = folder / f"Videos/Cam{number}"
        write_parameters(owner / "cameraIntrinsicsExtrinsics.pickle", parameters(camera, distortion))
        for trial, video in trials.items():
            write_video(owner / f"InputMedia/{trial}/{video}", [picture(camera, k)[0] for k in range(3)])
    return made


def test_cameras_and_the_synchronised_video_come_back(tmp_path: Path) -> None:
    truth = write_opencap(tmp_path / "src", {"squats": "squats_sync.mp4", "neutral": "neutral.mp4"})
    (tmp_path / "src/Videos/Cam1/InputMedia/squats/squats.mov").write_bytes(b"not looked at")
    session = import_opencap(tmp_path / "src", tmp_path / "s", OpencapOptions(world_up="-y"))
    assert session.camera_names == ("Cam0", "Cam1", "Cam2")
    assert_cameras_are(session.cameras, truth)
    assert [frame_number(image) for image in session.iter_images("Cam1", [0, 1, 2])] == [0, 1, 2]
    measured = import_opencap(tmp_path / "src", tmp_path / "m", OpencapOptions())
    assert_cameras_are(measured.cameras, truth)
    assert looks_like(tmp_path / "src") == "Videos/Cam0/cameraIntrinsicsExtrinsics.pickle"
    assert looks_like(tmp_path / "src/Videos/Cam0/InputMedia") is None


def test_a_point_lands_where_opencv_puts_it(tmp_path: Path) -> None:
    truth = write_opencap(tmp_path / "src", {"walk": "walk.mp4"}, DISTORTION)
    point = np.array([150.0, -900.0, 80.0])  # of the board's world, millimetres
    x, y, z = truth[1].viewmat[:3, :3] @ BOARD @ point + 1000 * truth[1].viewmat[:3, 3]
    x, y = x / z, y / z
    k1, k2, p1, p2, k3 = DISTORTION[0]
    r2 = x * x + y * y
    radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
    seen = [
        radial * x + 2 * p1 * x * y + p2 * (r2 + 2 * x * x), radial * y + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
    ]  # fmt: skip
    theirs = (truth[1].K - HALF_PIXEL) @ [*seen, 1]
    session = import_opencap(tmp_path / "src", tmp_path / "s", OpencapOptions(world_up="-y"))
    np.testing.assert_allclose(pixel_of(session, "Cam1", point), theirs[:2] + 0.5, atol=1e-6)
    assert any("phones run free" in note for note in session.notes)


def test_a_phone_without_its_pickle_costs_that_phone(tmp_path: Path) -> None:
    truth = write_opencap(tmp_path / "src", {"walk": "walk_sync.mp4"})
    (tmp_path / "src/Videos/Cam1/cameraIntrinsicsExtrinsics.pickle").unlink()
    session = import_opencap(tmp_path / "src", tmp_path / "s", OpencapOptions(world_up="-y"))
    assert session.camera_names == ("Cam0", "Cam2") and set(session.frames[0].sources) == {"Cam0", "Cam2"}
    assert_cameras_are(session.cameras, (truth[0], truth[2]))
    assert any("Cam1 is left out" in note for note in session.notes)


def test_several_trials_are_asked_about(tmp_path: Path) -> None:
    write_opencap(tmp_path / "src", {"walk1": "walk1.mp4", "walk2": "walk2.mp4"})
    with pytest.raises(InputError, match="walk1, walk2"):
        import_opencap(tmp_path / "src", tmp_path / "s", OpencapOptions())
    with pytest.raises(InputError, match="no such trial"):
        import_opencap(tmp_path / "src", tmp_path / "s", OpencapOptions(trial="walk3"))
    session = import_opencap(tmp_path / "src", tmp_path / "s", OpencapOptions(trial="walk2"))
    assert "trial walk2" in session.notes


class _Attack:
    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("raise SystemExit('it was run')",)


def test_damage_is_named(tmp_path: Path) -> None:
    path, camera = tmp_path / "c.pickle", ring(3)[0]
    good = parameters(camera, DISTORTION)
    write_parameters(path, good)
    assert read_parameters(path, (SIZE, SIZE), "Cam0").lens is not None
    bad = {
        "rotation": np.eye(2),
        "translation": None,
        "distortion": np.zeros(3),
        "intrinsicMat": np.full((3, 3), np.nan),
    }
    for key, value in bad.items():
        write_parameters(path, {**good, key: value})
        with pytest.raises(CalibrationError, match=r"c\.pickle"):
            read_parameters(path, (SIZE, SIZE), "Cam0")
    write_parameters(path, good)
    with pytest.raises(CalibrationError, match="another image"):
        read_parameters(path, (2 * SIZE, 4 * SIZE), "Cam0")
    write_parameters(path, {**good, "x": _Attack()})
    with pytest.raises(InputError, match="is not an array"):
        read_parameters(path, (SIZE, SIZE), "Cam0")
