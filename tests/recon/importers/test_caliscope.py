"""Planted cameras come back out of Caliscope's files, with the frames that each camera missed; real ones agree."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from simulacra.recon.importers.caliscope import import_caliscope, read_camera_array, read_timestamps
from simulacra.recon.importers.options import CaliscopeOptions
from simulacra.recon.session import Lens, Session, SessionCamera
from simulacra.render.runtime.errors import CalibrationError, InputError
from tests.recon.ellipsoid_person import frame_number, write_caliscope

RECORDING = Path("calibration/extrinsic")


def edit(path: Path, before: str, after: str) -> None:
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))


def test_planted_cameras_are_found_with_up_from_their_horizons(tmp_path: Path) -> None:
    """The board of the calibration lay flat: its z is up, and nobody said so."""
    planted = write_caliscope(tmp_path / "source")
    session = import_caliscope(tmp_path / "source", tmp_path / "session", CaliscopeOptions())
    assert session.camera_names == ("cam_0", "cam_1", "cam_2", "cam_3") and len(session.frames) == 6
    for camera, truth in zip(session.cameras, planted):
        np.testing.assert_allclose(camera.K, truth.K, atol=1e-9)
        np.testing.assert_allclose(camera.viewmat, truth.viewmat, atol=1e-6)
    said = " ".join(session.notes)
    assert "up" in said and "floor is not known" in said


def test_a_board_that_leaned_is_stood_upright(tmp_path: Path) -> None:
    """No axis of the calibration is up; the world comes back but for a turn about the vertical."""
    lean = cv2.Rodrigues(np.radians([25.0, 0.0, 18.0]))[0]
    planted = write_caliscope(tmp_path / "source", R_source_world=lean)
    session = import_caliscope(tmp_path / "source", tmp_path / "session", CaliscopeOptions())
    R = session.cameras[0].viewmat[:3, :3].T @ planted[0].viewmat[:3, :3]
    np.testing.assert_allclose(R @ [0, 1, 0], [0, 1, 0], atol=1e-6)
    for camera, truth in zip(session.cameras, planted):
        np.testing.assert_allclose(camera.viewmat[:3, :3] @ R, truth.viewmat[:3, :3], atol=1e-6)
        np.testing.assert_allclose(camera.viewmat[:3, 3], truth.viewmat[:3, 3], atol=1e-9)


def test_up_and_floor_are_taken_as_given(tmp_path: Path) -> None:
    planted = write_caliscope(tmp_path / "source")
    session = import_caliscope(
        tmp_path / "source", tmp_path / "session", CaliscopeOptions(world_up="+z", floor=0.25)
    )
    for camera, truth in zip(session.cameras, planted):
        centre = -camera.viewmat[:3, :3].T @ camera.viewmat[:3, 3]
        expected = -truth.viewmat[:3, :3].T @ truth.viewmat[:3, 3] - [0, 0.25, 0]
        np.testing.assert_allclose(centre, expected, atol=1e-9)
    assert not any("not known" in note for note in session.notes)


def test_a_camera_lists_only_the_frames_that_it_recorded(tmp_path: Path) -> None:
    """Its video is shorter, and what comes after the gap is still the right picture."""
    write_caliscope(tmp_path / "source", missing=[(2, 0), (2, 3), (0, 3)])
    session = import_caliscope(tmp_path / "source", tmp_path / "session", CaliscopeOptions())
    assert session.frame_indices == tuple(range(6))
    assert [session.has(frame, "cam_2") for frame in range(6)] == [False, True, True, False, True, True]
    assert not session.has(3, "cam_0") and session.has(3, "cam_1")
    for name in session.camera_names:
        recorded = [frame for frame in session.frame_indices if session.has(frame, name)]
        assert [frame_number(image) for image in session.iter_images(name, recorded)] == recorded
    assert frame_number(session.image(4, "cam_2")) == 4
    assert "cam_2 missed 2 of 6 frames" in session.notes and "cam_0 missed 1 of 6 frames" in session.notes
    assert session.with_cameras(["cam_0"]).frame_indices == (0, 1, 2, 4, 5)


def test_times_are_those_of_the_recorder(tmp_path: Path) -> None:
    write_caliscope(tmp_path / "source", missing=[(1, 2)])
    session = import_caliscope(tmp_path / "source", tmp_path / "session", CaliscopeOptions())
    times = [session.frame(frame).sources["cam_1"].time for frame in (0, 1, 3)]
    np.testing.assert_allclose(times, [0.001, 1 / 30 + 0.001, 0.1 + 0.001], atol=1e-9)


def test_a_moment_that_all_cameras_missed_is_no_frame(tmp_path: Path) -> None:
    write_caliscope(tmp_path / "source", cameras=3, missing=[(0, 2), (1, 2), (2, 2)])
    session = import_caliscope(tmp_path / "source", tmp_path / "session", CaliscopeOptions())
    assert len(session.frames) == 5
    assert frame_number(session.image(2, "cam_0")) == 3


def test_ignored_and_idle_cameras_are_left_out_and_said(tmp_path: Path) -> None:
    source = tmp_path / "source"
    write_caliscope(source, cameras=5)
    text = (source / "camera_array.toml").read_text()
    (source / "camera_array.toml").write_text(
        text.replace(
            "cam_id = 1\nrotation_count = 0\nignore = false", "cam_id = 1\nrotation_count = 1\nignore = true"
        )
    )
    rows = (source / RECORDING / "timestamps.csv").read_text().splitlines()
    kept = [row for row in rows if row.split(",")[1] != "3"]
    (source / RECORDING / "timestamps.csv").write_text("\n".join(kept) + "\n")
    session = import_caliscope(source, tmp_path / "session", CaliscopeOptions())
    assert session.camera_names == ("cam_0", "cam_2", "cam_4")
    said = " ".join(session.notes)
    assert "cam_1 is marked to be ignored" in said and "cam_3 is calibrated and recorded nothing" in said


def test_rotation_vectors_of_newer_versions_are_read(tmp_path: Path) -> None:
    planted = write_caliscope(tmp_path, cameras=1)
    before = read_camera_array(tmp_path / "camera_array.toml")[0]["cam_0"]
    vector = cv2.Rodrigues(before.viewmat[:3, :3])[0].ravel().tolist()
    text = (tmp_path / "camera_array.toml").read_text()
    start = text.index("rotation = ")
    (tmp_path / "camera_array.toml").write_text(text[:start] + f"rotation = {vector}\n")
    after = read_camera_array(tmp_path / "camera_array.toml")[0]["cam_0"]
    np.testing.assert_allclose(after.viewmat, before.viewmat, atol=1e-9)
    np.testing.assert_allclose(after.K, planted[0].K, atol=1e-9)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("matrix = [[", "matrix = [[nan, 0.0, 1.0], [", "finite numbers of its shape"),
        ("distortions = [0.0, 0.0, 0.0, 0.0, 0.0]", "distortions = [0.0]", "OpenCV"),
        ("distortions = [0.0,", "distortions = [inf,", "finite"),
        ("size = [96, 96]", "size = [0, 96]", "size cannot be"),
        ("rotation = ", "rotation = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, -1.0]] # ", "mirrors"),
        ("ignore = false", "ignore = false\nfisheye = true", "fisheye"),
    ],
)
def test_a_calibration_that_cannot_be_names_file_and_camera(
    tmp_path: Path, before: str, after: str, said: str
) -> None:
    write_caliscope(tmp_path, cameras=2, frames=1)
    edit(tmp_path / "camera_array.toml", before, after)
    with pytest.raises(CalibrationError, match=said) as caught:
        read_camera_array(tmp_path / "camera_array.toml")
    assert "camera_array.toml, camera 0" in str(caught.value)


def test_a_fisheye_is_one(tmp_path: Path) -> None:
    write_caliscope(tmp_path, cameras=2, frames=1)
    edit(
        tmp_path / "camera_array.toml",
        "distortions = [0.0, 0.0, 0.0, 0.0, 0.0]",
        "distortions = [0.1, 0, 0, 0]",
    )
    edit(tmp_path / "camera_array.toml", "ignore = false", "ignore = false\nfisheye = true")
    cameras = read_camera_array(tmp_path / "camera_array.toml")[0]
    assert cameras["cam_0"].lens == Lens("opencv_fisheye", (0.1, 0.0, 0.0, 0.0))
    assert cameras["cam_1"].lens is None


def test_a_video_and_timestamps_of_different_length_are_refused(tmp_path: Path) -> None:
    """Which picture is which could only be guessed."""
    source = tmp_path / "source"
    write_caliscope(source)
    rows = (source / RECORDING / "timestamps.csv").read_text().splitlines()
    del rows[next(i for i, row in enumerate(rows) if row.split(",")[1] == "1")]
    (source / RECORDING / "timestamps.csv").write_text("\n".join(rows) + "\n")
    with pytest.raises(InputError, match=r"differ in length[\s\S]*cam_1\.mp4[\s\S]*5 frames[\s\S]*6 frames"):
        import_caliscope(source, tmp_path / "session", CaliscopeOptions())
    assert not (tmp_path / "session").exists()


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([["26", "0", "26", "later"]], "cannot be read"),
        ([["26", "0", "26", "nan"]], "cannot be read"),
        ([["26", "0", "26", "1.0"], ["26", "0", "27", "1.1"]], "out of order or double"),
        ([["27", "0", "26", "1.0"], ["26", "0", "27", "1.1"]], "out of order or double"),
        ([], "no row"),
    ],
)
def test_timestamps_that_cannot_be_are_refused(tmp_path: Path, rows: list[list[str]], said: str) -> None:
    path = tmp_path / "timestamps.csv"
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([["sync_index", "cam_id", "frame_index", "frame_time"], *rows])
    with pytest.raises(InputError, match=said) as caught:
        read_timestamps(path)
    assert "timestamps.csv" in str(caught.value)


def test_older_names_of_files_and_columns_are_read(tmp_path: Path) -> None:
    source = tmp_path / "source"
    write_caliscope(source, cameras=4)
    folder = source / RECORDING
    edit(folder / "timestamps.csv", "cam_id", "port")
    (folder / "timestamps.csv").rename(folder / "frame_time_history.csv")
    for number in range(4):
        (folder / f"cam_{number}.mp4").rename(folder / f"port_{number}.mp4")
    assert len(import_caliscope(source, tmp_path / "session", CaliscopeOptions()).camera_names) == 4


def test_one_of_several_recordings_is_named(tmp_path: Path) -> None:
    source = tmp_path / "source"
    write_caliscope(source)
    (source / "recordings").mkdir()
    (source / RECORDING).rename(source / "recordings/walk")
    write_caliscope(source, frames=3)
    with pytest.raises(InputError, match=r"more than one recording[\s\S]*recordings/walk"):
        import_caliscope(source, tmp_path / "session", CaliscopeOptions())
    session = import_caliscope(source, tmp_path / "session", CaliscopeOptions(recording="recordings/walk"))
    assert len(session.frames) == 6
    with pytest.raises(InputError, match="not in the capture"):
        import_caliscope(source, tmp_path / "other", CaliscopeOptions(recording="../../somewhere"))


# -- a real capture --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def desk(capture_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Session:
    folder = tmp_path_factory.mktemp("caliscope") / "session"
    return import_caliscope(capture_folder("caliscope_charuco_calibration"), folder, CaliscopeOptions())


def test_the_real_capture_is_as_described(desk: Session) -> None:
    assert desk.camera_names == ("cam_0", "cam_1", "cam_2", "cam_3") and len(desk.frames) == 111
    rows = [len([f for f in desk.frames if name in f.sources]) for name in desk.camera_names]
    assert rows == [111] * 4
    assert desk.cameras[0].K[0, 0] == pytest.approx(903.550124)
    assert desk.cameras[0].K[0, 2] == pytest.approx(618.308630 + 0.5)
    assert desk.cameras[0].lens is not None and len(desk.cameras[0].lens.coefficients) == 5
    # The webcams stand about level round a desk: their mean up is ours within a few degrees.
    up = -np.mean([camera.viewmat[1, :3] for camera in desk.cameras], axis=0)
    assert np.degrees(np.arccos(up[1] / np.linalg.norm(up))) < 10


def undistorted(camera: SessionCamera, pixel: np.ndarray) -> np.ndarray:
    K = camera.K.copy()
    K[:2, 2] -= 0.5
    assert camera.lens is not None
    lens = np.array(camera.lens.coefficients)
    return cv2.undistortPoints(pixel.reshape(1, 1, 2) - 0.5, K, lens, P=K)[0, 0] + 0.5


def test_real_detections_meet_in_space(desk: Session, capture_folder: Callable[[str], Path]) -> None:
    """Plain triangulation of body points is known to leave 8 to 11 px; cameras of a wrong convention
    leave hundreds."""
    landmarks = json.loads((capture_folder("mediapipe_reference") / "landmarks.json").read_text())
    errors = []
    for frame in (5, 40, 80):
        found = {
            camera.name: landmarks.get(
                f"caliscope_charuco_calibration/calibration/extrinsic/{camera.name}.mp4#{frame}"
            )
            for camera in desk.cameras
        }
        poses = {name: np.array(said["pose"]) for name, said in found.items() if said and said.get("pose")}
        for point in range(33):
            seen = [
                camera
                for camera in desk.cameras
                if camera.name in poses and poses[camera.name][point, 2] > 0.7
            ]
            if len(seen) < 2:
                continue
            pixels = [undistorted(camera, poses[camera.name][point, :2]) for camera in seen]
            projections = [camera.K @ camera.viewmat[:3] for camera in seen]
            rows = np.array([pixel[k] * P[2] - P[k] for pixel, P in zip(pixels, projections) for k in (0, 1)])
            rows /= np.linalg.norm(rows, axis=1, keepdims=True)
            world = np.linalg.svd(rows)[2][-1]
            for pixel, P in zip(pixels, projections):
                projected = P @ world
                errors.append(np.linalg.norm(projected[:2] / projected[2] - pixel))
    assert len(errors) > 200 and np.median(errors) < 13
