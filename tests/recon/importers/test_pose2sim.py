"""Pose2Sim's tables are its own conversion of the Qualisys calibration that we read ourselves."""

import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from simulacra.recon.importers.options import Pose2simOptions, QualisysOptions
from simulacra.recon.importers.pose2sim import import_pose2sim, read_pose2sim
from simulacra.recon.importers.qualisys import import_qualisys, read_qca
from simulacra.recon.session import Lens
from simulacra.render.runtime.errors import CalibrationError, InputError
from tests.recon.ellipsoid_person import SIZE, frame_number
from tests.recon.importers.foreign_captures import assert_cameras_are, write_pose2sim, z_up


def _table(src: Path) -> Path:
    return src / "calibration/Calib.toml"


def test_cameras_and_videos_come_back(tmp_path: Path) -> None:
    truth = write_pose2sim(tmp_path / "src")
    session = import_pose2sim(tmp_path / "src", tmp_path / "session", Pose2simOptions())
    assert session.camera_names == ("cam_01", "cam_02", "cam_03")
    assert_cameras_are(session.cameras, truth)
    assert [frame_number(session.image(k, "cam_02")) for k in (3, 0)] == [3, 0]
    video = tmp_path / "src/videos/cam02.mp4"
    assert (session.root / "videos/cam_02.mp4").read_bytes() == video.read_bytes()


def test_it_is_what_pose2sim_makes_of_qualisys(capture_folder: Callable[[str], Path]) -> None:
    """Its published conversion of its demo. The lens is the one thing that it converts otherwise: a 64th of it."""
    theirs = read_pose2sim(capture_folder("pose2sim_refs") / "Pose2Sim_cameras.toml")
    ours = read_qca(capture_folder("pose2sim_single") / "calibration/Calib.qca.txt")
    assert len(theirs) == len(ours) == 4
    for camera, truth in zip(theirs.values(), ours):
        np.testing.assert_allclose(camera.K, truth.K, atol=1e-9)
        np.testing.assert_allclose(camera.viewmat, truth.viewmat, atol=1e-9)
        assert camera.lens is not None
        np.testing.assert_allclose(64 * np.array(camera.lens.coefficients), truth.distortion[:4], atol=1e-9)


def test_the_real_capture_is_the_same_session_either_way(
    capture_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    """A T-pose of 11 frames; one calibration as Qualisys and as Pose2Sim have it."""
    source = capture_folder("pose2sim_static_tpose")
    for name in ("qca/videos", "toml/videos", "qca/calibration", "toml/calibration"):
        (tmp_path / name).mkdir(parents=True)
    for video in source.glob("*.mp4"):
        for folder in ("qca", "toml"):
            (tmp_path / folder / "videos" / video.name).write_bytes(video.read_bytes())
    (tmp_path / "qca/calibration/Calib.qca.txt").write_bytes((source / "Calib.qca.txt").read_bytes())
    reference = capture_folder("pose2sim_refs") / "Pose2Sim_cameras.toml"
    _table(tmp_path / "toml").write_bytes(reference.read_bytes())
    a = import_qualisys(tmp_path / "qca", tmp_path / "a", QualisysOptions())
    b = import_pose2sim(tmp_path / "toml", tmp_path / "b", Pose2simOptions())
    assert [name.replace("_", "") for name in b.camera_names] == list(a.camera_names)
    assert_cameras_are(b.cameras, a.cameras)
    assert len(a.frames) == len(b.frames) == 11
    assert any("calibrated at 1088x1920" in note for note in b.notes)


def test_names_decide_and_order_only_when_asked(tmp_path: Path) -> None:
    truth = write_pose2sim(tmp_path / "src")
    videos = tmp_path / "src/videos"
    (videos / "cam01.mp4").rename(videos / "z.mp4")
    with pytest.raises(InputError, match="--match order"):
        import_pose2sim(tmp_path / "src", tmp_path / "s", Pose2simOptions())
    (videos / "z.mp4").rename(videos / "GoPro-a.mp4")
    (videos / "cam02.mp4").rename(videos / "GoPro-b.mp4")
    (videos / "cam03.mp4").rename(videos / "GoPro-c.mp4")
    session = import_pose2sim(tmp_path / "src", tmp_path / "s", Pose2simOptions(match="order"))
    assert_cameras_are(session.cameras, truth)
    (videos / "GoPro-b.mp4").unlink()
    with pytest.raises(InputError, match="as many videos"):
        import_pose2sim(tmp_path / "src", tmp_path / "t", Pose2simOptions(match="order"))


def test_tables_of_calibration_folders_belong_to_their_videos(tmp_path: Path) -> None:
    write_pose2sim(tmp_path / "src")
    path = _table(tmp_path / "src")
    path.write_text(path.read_text().replace("[cam_02]", "[int_cam2_img]"))
    assert (
        import_pose2sim(tmp_path / "src", tmp_path / "s", Pose2simOptions()).camera_names[1] == "int_cam2_img"
    )


def test_a_fisheye_is_one(tmp_path: Path) -> None:
    write_pose2sim(tmp_path / "src")
    path = _table(tmp_path / "src")
    path.write_text(path.read_text().replace("fisheye = false", "fisheye = true", 1))
    session = import_pose2sim(tmp_path / "src", tmp_path / "s", Pose2simOptions())
    assert [camera.lens for camera in session.cameras] == [Lens("opencv_fisheye", (0.0,) * 4), None, None]


def _edit(old: str, new: str) -> Callable[[Path], object]:
    def edit(src: Path) -> None:
        text = _table(src).read_text()
        assert old in text
        _table(src).write_text(text.replace(old, new, 1))

    return edit


BAD: dict[str, tuple[type[Exception], str, Callable[[Path], object]]] = {
    "no calibration": (InputError, "one calibration", lambda src: _table(src).unlink()),
    "two": (InputError, "one calibration", lambda src: shutil.copy(_table(src), src / "b.toml")),
    "not TOML": (InputError, "not TOML", lambda src: _table(src).write_text("[cam")),
    "deep": (InputError, "not TOML", lambda src: _table(src).write_text("a = " + "[" * 100000)),
    "huge": (InputError, "not TOML", lambda src: _table(src).write_text("a = " + "9" * 100000)),
    "no camera": (CalibrationError, "no camera", lambda src: _table(src).write_text("[metadata]\n")),
    "nan": (CalibrationError, "rotation", _edit("rotation = [", "rotation = [nan, ")),
    "a word": (CalibrationError, "size", _edit(f"size = [ {SIZE}.0", 'size = [ "wide"')),
    "no size": (CalibrationError, "image size", _edit(f"size = [ {SIZE}.0", "size = [ 0.0")),
    "another size": (CalibrationError, "another image size", _edit(f"size = [ {SIZE}.0", "size = [ 128.0")),
    "fisheye a number": (CalibrationError, "lens", _edit("fisheye = false", "fisheye = 3")),
    "one coefficient": (CalibrationError, "lens", _edit("[ 0.0, 0.0, 0.0, 0.0]", "[ 0.0]")),
    "no video": (InputError, "no video", lambda src: shutil.rmtree(src / "videos")),
    "another name": (
        InputError,
        "belong",
        lambda src: (src / "videos/cam02.mp4").rename(src / "videos/b.mp4"),
    ),
    "not a video": (InputError, "cannot be read", lambda src: (src / "videos/cam02.mp4").write_text("no")),
    "far away": (
        CalibrationError,
        "kilometres",
        _edit("translation = [", "translation = [1e9, 0, 0]\nx = ["),
    ),
}


@pytest.mark.parametrize("harm", BAD)
def test_bad_captures_harm_nothing(tmp_path: Path, harm: str) -> None:
    src, out = tmp_path / "src", tmp_path / "out"
    write_pose2sim(src, frames=2)
    (out / "earlier").mkdir(parents=True)
    expected, says, spoil = BAD[harm]
    spoil(src)
    with pytest.raises(expected, match=says):
        import_pose2sim(src, out / "session", Pose2simOptions())
    assert [path.name for path in out.iterdir()] == ["earlier"]


def test_videos_are_called_by_the_name_in_the_table(tmp_path: Path) -> None:
    """Anipose and FreeMoCap: tables cam_0 and on, whose name is what the video is called."""
    truth = write_pose2sim(tmp_path / "src", frames=2)
    path, videos = _table(tmp_path / "src"), tmp_path / "src/videos"
    for number, name in enumerate("CAB", start=1):
        path.write_text(path.read_text().replace(f'name = "cam_{number:02d}"', f'name = "{name}"'))
        (videos / f"cam{number:02d}.mp4").rename(videos / f"{name}.mp4")
    session = import_pose2sim(tmp_path / "src", tmp_path / "s", Pose2simOptions())
    assert session.camera_names == ("cam_01", "cam_02", "cam_03")
    assert_cameras_are(session.cameras, truth)
    assert (session.root / "videos/cam_02.mp4").read_bytes() == (videos / "A.mp4").read_bytes()


def test_a_size_that_is_not_whole_is_rounded_and_said(tmp_path: Path) -> None:
    write_pose2sim(tmp_path / "src", frames=2)
    _edit(f"size = [ {SIZE}.0, {SIZE}.0]", f"size = [ {SIZE - 0.2}, {SIZE + 0.4}]")(tmp_path / "src")
    session = import_pose2sim(tmp_path / "src", tmp_path / "s", Pose2simOptions())
    assert (session.cameras[0].width, session.cameras[0].height) == (SIZE, SIZE)
    assert f"cam_01: its size of [{SIZE - 0.2}, {SIZE + 0.4}] is rounded" in session.notes


@pytest.mark.parametrize("key", ["rotation", "matrix", "size"])
def test_what_a_table_lacks_costs_its_camera(tmp_path: Path, key: str) -> None:
    truth = write_pose2sim(tmp_path / "src", frames=2)
    _edit(f"{key} =", f"my_{key} =")(tmp_path / "src")
    session = import_pose2sim(tmp_path / "src", tmp_path / "s", Pose2simOptions())
    assert_cameras_are(session.cameras, truth[1:])
    assert f"cam_01 has no {key} in Calib.toml: left out" in session.notes
    assert any("cam01.mp4 has no calibration" in note for note in session.notes)


def test_keys_that_are_not_used_are_named(tmp_path: Path) -> None:
    write_pose2sim(tmp_path / "src", frames=2)
    _edit("fisheye = false", 'fisheye = false\nmodel = "omni"\nshutter = 3')(tmp_path / "src")
    session = import_pose2sim(tmp_path / "src", tmp_path / "s", Pose2simOptions())
    assert "not used of Calib.toml: model, shutter" in session.notes


def test_tables_of_another_unit_or_world_are_asked_about(tmp_path: Path) -> None:
    """Anipose's millimetres and its first camera's axes are neither metres nor z-up; said so, they are taken."""
    truth = write_pose2sim(tmp_path / "src", frames=2)
    path, text = _table(tmp_path / "src"), _table(tmp_path / "src").read_text()
    for camera in truth:
        metres = str(z_up(camera)[:3, 3].tolist())
        millimetres = str((1000 * z_up(camera)[:3, 3]).tolist())
        text = text.replace(f"translation = {metres}", f"translation = {millimetres}")
    path.write_text(text)
    with pytest.raises(CalibrationError, match="--units mm"):
        import_pose2sim(tmp_path / "src", tmp_path / "s", Pose2simOptions())
    session = import_pose2sim(tmp_path / "src", tmp_path / "s", Pose2simOptions(units="mm"))
    assert_cameras_are(session.cameras, truth)
    for camera in truth:
        theirs, ours = (
            str(cv2.Rodrigues(turn[:3, :3])[0].ravel().tolist()) for turn in (z_up(camera), camera.viewmat)
        )
        text = text.replace(f"rotation = {theirs}", f"rotation = {ours}")
    path.write_text(text)
    with pytest.raises(CalibrationError, match=r"z-up[\s\S]*--world-up cameras, or \+y"):
        import_pose2sim(tmp_path / "src", tmp_path / "t", Pose2simOptions(units="mm"))
    session = import_pose2sim(
        tmp_path / "src", tmp_path / "t", Pose2simOptions(units="mm", world_up="cameras")
    )
    np.testing.assert_allclose(session.cameras[1].viewmat[:3, :3], truth[1].viewmat[:3, :3], atol=1e-9)
