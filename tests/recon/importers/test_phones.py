"""Record3D and Stray Scanner: axes, pixels, depth and times as their makers say; a moving phone is asked about."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from simulacra.recon.importers import record3d, stray_scanner
from simulacra.recon.importers.depth_arrays import read_metres
from simulacra.recon.importers.record3d import import_record3d
from simulacra.recon.importers.recorder_options import Record3dOptions, StrayScannerOptions
from simulacra.recon.importers.stray_scanner import import_stray_scanner
from simulacra.recon.session import SessionCamera
from simulacra.render.image import write_image
from simulacra.render.runtime.errors import CalibrationError, InputError
from tests.recon.ellipsoid_person import SIZE, frame_number, picture, ring, write_depth, write_video
from tests.recon.importers.planted import pixel_of

ARKIT = np.diag([1.0, -1.0, -1.0])  # its camera axes out of OpenCV's
SMALL = SIZE // 4  # depth's grid
POINT = np.array([0.1, 1.2, -0.05])


def pose(camera: SessionCamera) -> tuple[np.ndarray, np.ndarray]:
    """World out of camera with OpenCV's axes: rotation and centre."""
    R = camera.viewmat[:3, :3].T
    return R, -R @ camera.viewmat[:3, 3]


def small(camera: SessionCamera) -> SessionCamera:
    """The same view on the grid of depth."""
    return replace(camera, width=SMALL, height=SMALL, K=np.diag([0.25, 0.25, 1.0]) @ camera.K)


def write_export(
    folder: Path, cameras: Sequence[SessionCamera], write_map: Callable[[Path, np.ndarray], None]
) -> None:
    """A Record3D export of a frame a camera; K is of half of the pictures' size."""
    poses, own = [], []
    for n, camera in enumerate(cameras):
        R, centre = pose(camera)
        poses.append([*Rotation.from_matrix(R @ ARKIT).as_quat(), *centre])
        K = camera.K / 2
        own.append([K[0, 0], K[1, 1], K[0, 2], K[1, 2]])
        write_image(folder / f"rgb/{n}.png", picture(camera, n)[0])
        (folder / "depth").mkdir(exist_ok=True)
        write_map(folder / f"depth/{n}", picture(small(camera), n)[2])
    K = np.diag([0.5, 0.5, 1.0]) @ cameras[0].K
    described = {
        "w": SIZE // 2, "h": SIZE // 2, "dw": SMALL, "dh": SMALL, "fps": 60, "K": K.T.ravel().tolist(), "poses": poses,
        "perFrameIntrinsicCoeffs": own,
    }  # fmt: skip
    (folder / "metadata.json").write_text(json.dumps(described), "utf-8")


def npz(path: Path, metres: np.ndarray) -> None:
    np.savez_compressed(
        path.with_suffix(".npz"), depth=np.where(metres > 0, metres, np.nan).astype(np.float16)
    )


def png(path: Path, metres: np.ndarray) -> None:
    write_depth(path.with_suffix(".png"), metres, 1000)


def exr(path: Path, metres: np.ndarray) -> None:
    library = pytest.importorskip("OpenEXR", reason="EXR depth needs OpenEXR: pip install 'simulacra[exr]'")
    header = {"compression": library.ZIP_COMPRESSION, "type": library.scanlineimage}
    library.File(header, {"R": np.ascontiguousarray(metres, np.float32)}).write(str(path.with_suffix(".exr")))


@pytest.mark.parametrize("write_map", [npz, png, exr])
def test_a_phone_that_went_round_becomes_cameras_of_one_moment(tmp_path: Path, write_map: Any) -> None:
    cameras = ring(5)
    write_export(tmp_path / "src/EXR_RGBD", cameras, write_map)
    with pytest.raises(InputError, match="--still-person"):
        import_record3d(tmp_path / "src", tmp_path / "s", Record3dOptions())
    session = import_record3d(
        tmp_path / "src", tmp_path / "s", Record3dOptions(still_person=True, world_up="+y")
    )
    assert session.camera_names == ("v000", "v001", "v002", "v003", "v004") and session.frame_indices == (0,)
    for found, truth in zip(session.cameras, cameras):
        np.testing.assert_allclose(found.viewmat, truth.viewmat, atol=1e-9)
        np.testing.assert_allclose(found.K, truth.K, atol=1e-9)
    assert frame_number(session.image(0, "v003")) == 3
    measured = session.depth(0, "v002")
    truth_map = picture(cameras[2], 2)[2]
    assert measured is not None
    both = measured[1] & (truth_map > 0)
    # Four pixels of the picture are one of depth: most of the person is covered, and what is agrees.
    assert both.sum() > 0.7 * (truth_map > 0).sum()
    assert np.median(np.abs(measured[0] - truth_map)[both]) < 0.01
    assert record3d.looks_like(tmp_path / "src") and record3d.looks_like(tmp_path) is None


def test_a_point_lands_where_arkit_puts_it(tmp_path: Path) -> None:
    """x right, y up, the view along -z, of a camera-to-world pose; K written column by column where it is alone."""
    cameras = ring(5)
    write_export(tmp_path, cameras, png)
    described = json.loads((tmp_path / "metadata.json").read_text())
    del described["perFrameIntrinsicCoeffs"]
    (tmp_path / "metadata.json").write_text(json.dumps(described))
    session = import_record3d(tmp_path, tmp_path / "s", Record3dOptions(still_person=True))
    qx, qy, qz, qw, *centre = described["poses"][1]
    x, y, z = Rotation.from_quat([qx, qy, qz, qw]).as_matrix().T @ (POINT - centre)
    fx, _, _, _, fy, _, cx, cy, _ = described["K"]
    theirs = np.array([fx * x / -z + cx, fy * -y / -z + cy])
    np.testing.assert_allclose(pixel_of(session, "v001", POINT), 2 * theirs, atol=1e-9)


def test_a_phone_on_a_tripod_is_one_camera_of_many_frames(tmp_path: Path) -> None:
    camera = ring(4)[0]
    write_export(tmp_path / "src", [camera] * 3, png)
    (tmp_path / "src/rgb/7.png").write_bytes((tmp_path / "src/rgb/0.png").read_bytes())
    session = import_record3d(tmp_path / "src", tmp_path / "s", Record3dOptions())
    assert session.camera_names == ("phone",) and len(session.frames) == 3
    assert [frame_number(session.image(n, "phone")) for n in range(3)] == [0, 1, 2]
    assert session.frames[2].sources["phone"].time == pytest.approx(2 / 60)
    assert any("4 pictures and 3 poses" in note for note in session.notes)


def write_scan(folder: Path, cameras: Sequence[SessionCamera], header: str = "timestamp, frame, ") -> None:
    """A Stray Scanner recording of a frame a camera; the left half of depth is of no confidence."""
    rows = [header + "x, y, z, qx, qy, qz, qw"]
    for n, camera in enumerate(cameras):
        R, centre = pose(camera)
        # What the app does: ARKit's camera times half a turn about x.
        quaternion = (Rotation.from_matrix(R @ ARKIT) * Rotation.from_quat([1, 0, 0, 0])).as_quat()
        stamp = f"{100 + n / 60}, {n:06d}, " if header else ""
        rows.append(stamp + ", ".join(f"{value:.12g}" for value in (*centre, *quaternion)))
        write_depth(folder / f"depth/{n:06d}.png", picture(small(camera), n)[2], 1000)
        sure = np.full((SMALL, SMALL), 2 / 255, np.float32)
        sure[:, : SMALL // 2] = 0
        write_image(folder / f"confidence/{n:06d}.png", sure)
    write_video(folder / "rgb.mp4", [picture(camera, n)[0] for n, camera in enumerate(cameras)])
    (folder / "odometry.csv").write_text("\n".join(rows) + "\n", "utf-8")
    K = "\n".join(", ".join(str(value) for value in row) for row in cameras[0].K.tolist())
    (folder / "camera_matrix.csv").write_text(K, "utf-8")


@pytest.mark.parametrize("header", ["timestamp, frame, ", ""])
def test_a_scan_comes_back(tmp_path: Path, header: str) -> None:
    cameras = ring(5)
    write_scan(tmp_path / "src", cameras, header)
    session = import_stray_scanner(tmp_path / "src", tmp_path / "s", StrayScannerOptions(still_person=True))
    assert len(session.cameras) == 5
    for found, truth in zip(session.cameras, cameras):
        np.testing.assert_allclose(found.viewmat, truth.viewmat, atol=1e-9)
        np.testing.assert_allclose(found.K, cameras[0].K, atol=1e-9)
    assert [frame_number(session.image(0, f"v00{n}")) for n in range(5)] == [0, 1, 2, 3, 4]
    measured = session.depth(0, "v001")
    assert (
        measured is not None
        and not measured[1][:, : SIZE // 2 - 4].any()
        and measured[1][:, SIZE // 2 :].any()
    )
    x, y, z = cameras[3].viewmat[:3, :3] @ POINT + cameras[3].viewmat[:3, 3]
    theirs = cameras[0].K @ [x / z, y / z, 1]
    np.testing.assert_allclose(pixel_of(session, "v003", POINT), theirs[:2], atol=1e-9)
    assert stray_scanner.looks_like(tmp_path / "src") and stray_scanner.looks_like(tmp_path) is None


def test_a_standing_scan_keeps_its_video_and_its_times(tmp_path: Path) -> None:
    write_scan(tmp_path / "src", [ring(4)[0]] * 4)
    lines = (tmp_path / "src/odometry.csv").read_text().splitlines()
    (tmp_path / "src/odometry.csv").write_text("\n".join(lines[:-1]))
    session = import_stray_scanner(tmp_path / "src", tmp_path / "s", StrayScannerOptions(confidence=0))
    assert (session.root / "videos/phone.mp4").is_file() and len(session.frames) == 3
    assert session.frames[2].sources["phone"].time == pytest.approx(2 / 60)
    measured = session.depth(1, "phone")
    assert measured is not None and measured[1][:, : SIZE // 2].any()
    assert any("4 frames in the video and 3 poses" in note for note in session.notes)


SPOIL: dict[str, tuple[str, str]] = {
    "table of poses": ("odometry.csv", "timestamp, frame, x\n1, 2, 3\n"),
    "no rotation": ("odometry.csv", "x, y, z, qx, qy, qz, qw\n0, 0, 0, 0, 0, 0, 0\n"),
    "no number": ("odometry.csv", "x, y, z, qx, qy, qz, qw\n0, 0, 0, 0, 0, 0, one\n"),
    "camera matrix": ("camera_matrix.csv", "1, 0\n0, 1\n"),
    "is missing": ("rgb.mp4", ""),
}


@pytest.mark.parametrize("said", SPOIL)
def test_damage_is_named(tmp_path: Path, said: str) -> None:
    write_scan(tmp_path / "src", [ring(4)[0]] * 2)
    name, text = SPOIL[said]
    (tmp_path / "src" / name).unlink()
    if text:
        (tmp_path / "src" / name).write_text(text)
    with pytest.raises((CalibrationError, InputError), match=said):
        import_stray_scanner(tmp_path / "src", tmp_path / "s", StrayScannerOptions())
    assert not (tmp_path / "s").exists()


def test_arrays_of_depth_take_no_more_room_than_they_have(tmp_path: Path) -> None:
    good = tmp_path / "a.npy"
    np.save(good, np.full((3, 4), 1500, np.uint16))
    np.testing.assert_allclose(read_metres(good), 1.5)
    content = good.read_bytes()
    for number, spoilt in enumerate(
        (content.replace(b"(3, 4)", b"(3000000000, 4)"), content[:40], b"", content[:-1])
    ):
        path = tmp_path / f"{number}.npy"
        path.write_bytes(spoilt)
        with pytest.raises(InputError):
            read_metres(path)
    np.save(tmp_path / "o.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="object"):
        read_metres(tmp_path / "o.npy")
