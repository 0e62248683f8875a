"""A session appears whole or not at all; a world stands upright."""

import errno
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from simulacra.recon.importers.building import nearest_axis, new_session_folder, turn_to_up, upright
from simulacra.recon.importers.options import QualisysOptions, RgbdRigOptions
from simulacra.recon.importers.placing import upright_by_cameras
from simulacra.recon.importers.qualisys import import_qualisys
from simulacra.recon.importers.rgbd_rig import import_rgbd_rig
from simulacra.recon.multiview.up import level_up
from simulacra.render.runtime.errors import CalibrationError, InputError, RunError
from tests.recon.ellipsoid_person import ring, write_qualisys, write_rgbd_rig


def snapshot(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()
    }


def test_a_failed_build_leaves_nothing(tmp_path: Path) -> None:
    def build() -> None:
        with new_session_folder(tmp_path / "deep" / "session") as folder:
            (folder / "half").write_text("written")
            raise InputError("a file is missing")

    with pytest.raises(InputError, match="a file is missing"):
        build()
    assert list((tmp_path / "deep").iterdir()) == []


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="cannot be written"), new_session_folder(tmp_path / "session"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["rgbd", "qualisys"])
def test_the_disk_fills_up_during_an_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Neither the source nor what lies beside the session is harmed."""
    src, beside = tmp_path / "src", tmp_path / "out" / "earlier"
    (write_rgbd_rig if kind == "rgbd" else write_qualisys)(src)  # type: ignore[operator]
    beside.mkdir(parents=True)
    (beside / "result").write_text("kept")
    before = snapshot(src)
    copied = []

    def fill_up(source: object, target: object, *rest: object, **options: object) -> None:
        copied.append(target)
        if len(copied) > 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(source, target)  # type: ignore[arg-type]

    real = shutil.copyfile
    monkeypatch.setattr("os.link", _no_links)
    monkeypatch.setattr(shutil, "copyfile", fill_up)
    importing: Callable[[], object] = (
        (lambda: import_rgbd_rig(src, tmp_path / "out" / "session", RgbdRigOptions(depth_scale=10000.0)))
        if kind == "rgbd"
        else (lambda: import_qualisys(src, tmp_path / "out" / "session", QualisysOptions()))
    )
    with pytest.raises(RunError, match="cannot be written"):
        importing()
    assert len(copied) == 3, "the disk was full in the middle of it"
    assert snapshot(tmp_path / "out") == {"earlier/result": b"kept"}
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["earlier"]
    assert snapshot(src) == before


def _no_links(source: object, target: object) -> None:
    raise OSError(errno.EXDEV, "Invalid cross-device link")


def test_what_is_there_is_not_written_over(tmp_path: Path) -> None:
    src, session = tmp_path / "src", tmp_path / "session"
    write_rgbd_rig(src)
    session.mkdir()
    (session / "diary").write_text("mine")
    with pytest.raises(RunError, match="something already"):
        import_rgbd_rig(src, session, RgbdRigOptions(depth_scale=10000.0))
    assert snapshot(session) == {"diary": b"mine"}
    (session / "diary").unlink()
    import_rgbd_rig(src, session, RgbdRigOptions(depth_scale=10000.0))  # an empty folder is a place
    made = snapshot(session)
    with pytest.raises(RunError, match="something already"):
        import_rgbd_rig(src, session, RgbdRigOptions(depth_scale=10000.0))
    assert snapshot(session) == made


def test_a_link_in_a_capture_brings_in_nothing_from_elsewhere(tmp_path: Path) -> None:
    """Found by fuzzing: a picture is a video of one frame to a decoder."""
    src = tmp_path / "src"
    write_qualisys(src)
    video, outside = src / "videos/cam1.mp4", tmp_path / "elsewhere.mp4"
    video.rename(outside)
    video.symlink_to(outside)
    with pytest.raises(InputError, match="outside of the capture"):
        import_qualisys(src, tmp_path / "session", QualisysOptions())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere.mp4", "src"]
    video.unlink()
    outside.rename(src / "videos" / "kept.mov")
    video.symlink_to("kept.mov")
    import_qualisys(
        src, tmp_path / "session", QualisysOptions()
    )  # a link within it is the capture's own business


def test_a_file_where_the_session_should_be(tmp_path: Path) -> None:
    (tmp_path / "session").write_text("a file")
    with pytest.raises(RunError), new_session_folder(tmp_path / "session"):
        pass
    assert (tmp_path / "session").read_text() == "a file"


@pytest.mark.parametrize("axis", ["+x", "-x", "+y", "-y", "+z", "-z"])
def test_every_axis_can_be_up(axis: str) -> None:
    up = np.zeros(3)
    up["xyz".index(axis[1])] = 1 if axis[0] == "+" else -1
    T = upright(axis)  # type: ignore[arg-type]
    np.testing.assert_allclose(T[:3, :3] @ up, [0, 1, 0], atol=1e-12)
    assert np.linalg.det(T[:3, :3]) == pytest.approx(1)
    assert nearest_axis(up) == (axis, 0.0)


def test_any_direction_can_be_up() -> None:
    for up in np.random.default_rng(0).standard_normal((50, 3)):
        up /= np.linalg.norm(up)
        R = turn_to_up(up)[:3, :3]
        np.testing.assert_allclose(R @ up, [0, 1, 0], atol=1e-9)
        np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-9)


def leaning(degrees: float, roll: float = 0.0, count: int = 6, pitch: float = 0.0) -> list[np.ndarray]:
    """Level cameras of a ring whose calibration leans, each rolled by about as much, all pitched alike."""
    R_source_world = Rotation.from_euler("x", degrees, degrees=True).as_matrix()
    rolls = np.random.default_rng(1).normal(0, roll, count)
    made = []
    for camera, angle in zip(ring(count), rolls):
        turn = Rotation.from_euler("xz", [pitch, angle], degrees=True).as_matrix()
        viewmat = np.eye(4)
        viewmat[:3, :3] = turn @ camera.viewmat[:3, :3] @ R_source_world.T
        made.append(viewmat)
    return made


def angle_between(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.degrees(np.arccos(np.clip(a @ b, -1, 1))))


def test_up_is_where_level_cameras_say_however_they_are_pitched() -> None:
    truth = Rotation.from_euler("x", 12, degrees=True).as_matrix() @ [0, 1, 0]
    for pitch in (0.0, 25.0, -25.0):
        up, error = level_up(np.stack(leaning(12, pitch=pitch)), np.array([0.0, 1, 0]))
        assert error < 1 and angle_between(up, truth) < 1e-4
    # A control: cameras that look one way cannot know their common pitch.
    up, error = level_up(np.stack(leaning(0, pitch=25.0, count=1) * 4), np.array([0.0, 1, 0]))
    assert error == np.inf and angle_between(up, np.array([0.0, 1, 0])) > 20


def test_a_lean_is_taken_out_only_where_it_is_clear() -> None:
    T, said = upright_by_cameras(leaning(5))
    truth = Rotation.from_euler("x", 5, degrees=True).as_matrix() @ [0, 1, 0]
    assert angle_between(T[:3, :3] @ truth, np.array([0.0, 1, 0])) < 0.1 and "horizons" in said
    for viewmats in (leaning(5, roll=6), leaning(0.5)):  # cameras that roll, or a lean within the error
        T, said = upright_by_cameras(viewmats)
        np.testing.assert_array_equal(T, np.eye(4))
        assert "+y is taken as up" in said


def test_cameras_that_do_not_know_ask() -> None:
    with pytest.raises(CalibrationError, match="--world-up"):
        upright_by_cameras(leaning(40, count=2))
