"""Qualisys captures: axes, units and subpixels come back, sizes are checked, joints fall on their frames."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from simulacra.recon.importers.options import QualisysOptions
from simulacra.recon.importers.qualisys import import_qualisys, read_calibrated, read_qca, read_trc
from simulacra.render.runtime.errors import CalibrationError, InputError
from tests.recon.ellipsoid_person import (
    SIZE,
    Z_UP,
    frame_number,
    picture,
    ring,
    write_qualisys,
    write_trc,
    write_video,
)


def calibration(src: Path) -> Path:
    return src / "calibration" / "Calib.qca.txt"


def edit(src: Path, old: str, new: str) -> None:
    """Changes the first occurrence in the calibration, which must be there."""
    text = calibration(src).read_text()
    assert old in text
    calibration(src).write_text(text.replace(old, new, 1))


def test_a_known_capture_comes_back(tmp_path: Path) -> None:
    made = write_qualisys(tmp_path / "src")
    session = import_qualisys(tmp_path / "src", tmp_path / "session", QualisysOptions())
    for camera in made:
        found = session.camera(f"cam{camera.name}")
        np.testing.assert_allclose(found.K, camera.K, atol=1e-6)
        np.testing.assert_allclose(found.viewmat, camera.viewmat, atol=1e-6)
        assert (found.width, found.height) == (SIZE, SIZE)
    np.testing.assert_allclose(np.array(session.about["T_world_source"])[:3, :3], Z_UP.T, atol=1e-12)
    assert session.frame_indices == tuple(range(6))
    assert [frame_number(image) for image in session.iter_images("cam2", [0, 2, 5])] == [0, 2, 5]


def test_a_slightly_different_width_is_said(tmp_path: Path) -> None:
    """Encoders pad to whole macroblocks: the principal point stays, and a note says so."""
    src = tmp_path / "src"
    made = write_qualisys(src, cameras=1)
    write_video(src / "videos/cam0.mp4", [np.zeros((SIZE, 270, 3), np.float32)] * 3)
    edit(src, f'right="{SIZE - 1}"', 'right="271"')
    session = import_qualisys(src, tmp_path / "session", QualisysOptions())
    assert [note for note in session.notes if "272x96" in note and "270x96" in note]
    assert session.camera("cam0").width == 270
    np.testing.assert_allclose(session.camera("cam0").K, made[0].K, atol=1e-6)
    edit(src, 'right="271"', 'right="273"')  # 1.5 %: no padding is that wide
    with pytest.raises(CalibrationError, match="another image size"):
        import_qualisys(src, tmp_path / "other", QualisysOptions())
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("width", [SIZE // 2, 2 * SIZE, 100])
def test_a_calibration_of_another_size_is_refused(tmp_path: Path, width: int) -> None:
    write_qualisys(tmp_path / "src", calibrated_width=width)
    with pytest.raises(CalibrationError, match="size"):
        import_qualisys(tmp_path / "src", tmp_path / "session", QualisysOptions())
    assert [path.name for path in tmp_path.iterdir()] == ["src"]


def test_reference_joints_fall_on_their_frames(tmp_path: Path) -> None:
    """By their times: a first row at 1/30 s is the second frame; what is beyond the video is not kept."""
    write_qualisys(tmp_path / "src")
    rng = np.random.default_rng(0)
    joints = rng.normal(size=(6, 2, 3))
    joints[2, 1] = np.nan
    write_trc(tmp_path / "joints.trc", ["Hip", "Knee"], np.arange(1, 7) / 30, np.nan_to_num(joints, nan=0.5))
    session = import_qualisys(
        tmp_path / "src", tmp_path / "session", QualisysOptions(reference=tmp_path / "joints.trc")
    )
    found = session.reference_joints()
    assert found is not None
    names, frames, stored = found
    assert names == ("Hip", "Knee")
    assert frames == (1, 2, 3, 4, 5)
    np.testing.assert_allclose(stored, np.nan_to_num(joints, nan=0.5)[:5], atol=1e-6)
    assert any("reference" in note for note in session.notes)


def test_a_reference_of_another_rate_is_matched_by_time(tmp_path: Path) -> None:
    write_qualisys(tmp_path / "src")
    times = np.arange(40) / 120 + 0.001
    joints = np.zeros((40, 1, 3))
    joints[:, 0, 1] = times
    write_trc(tmp_path / "joints.trc", ["Hip"], times, joints)
    found = import_qualisys(
        tmp_path / "src", tmp_path / "s", QualisysOptions(reference=tmp_path / "joints.trc")
    ).reference_joints()
    assert found is not None
    assert found[1] == (0, 1, 2, 3, 4, 5)
    np.testing.assert_allclose(found[2][:, 0, 1], np.arange(6) / 30 + 0.001, atol=1e-5)


def test_a_reference_of_another_time_is_refused(tmp_path: Path) -> None:
    write_qualisys(tmp_path / "src")
    write_trc(tmp_path / "joints.trc", ["Hip"], [100.0, 100.1], np.zeros((2, 1, 3)))
    with pytest.raises(InputError, match="no time of the reference"):
        import_qualisys(
            tmp_path / "src", tmp_path / "session", QualisysOptions(reference=tmp_path / "joints.trc")
        )
    assert not (tmp_path / "session").exists()


@pytest.mark.parametrize(
    "content",
    ["", "x", "PathFileType\t4\n" * 7, "PathFileType\nUnits\nfurlong\nFrame#\tTime\tA\n\n1\t0\t1\t2\t3\n"],
)
def test_what_is_no_reference(tmp_path: Path, content: str) -> None:
    path = tmp_path / "joints.trc"
    path.write_text(content)
    with pytest.raises(InputError, match=r"joints\.trc"):
        read_trc(path)


def _cut(path: Path, share: float = 0.5) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])


BAD: dict[str, tuple[type[Exception], Callable[[Path], object]]] = {
    "no calibration": (InputError, lambda src: calibration(src).unlink()),
    "two calibrations": (InputError, lambda src: (src / "other.qca.txt").write_text("<a/>")),
    "calibration truncated": (InputError, lambda src: _cut(calibration(src))),
    "calibration empty": (InputError, lambda src: calibration(src).write_text("")),
    "not text": (InputError, lambda src: calibration(src).write_bytes(b"\xff\xfe\x00")),
    "no camera": (InputError, lambda src: calibration(src).write_text("<calibration/>")),
    "entities": (InputError, lambda src: calibration(src).write_text(
        '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><calibration>&x;</calibration>')),
    "no serial": (CalibrationError, lambda src: edit(src, 'serial="cam0"', 'serial=""')),
    "one serial twice": (CalibrationError, lambda src: edit(src, 'serial="cam1"', 'serial="cam0"')),
    "focal length not a number": (CalibrationError, lambda src: edit(src, 'focalLengthU="', 'focalLengthU="nan" x="')),
    "focal length a word": (CalibrationError, lambda src: edit(src, 'focalLengthU="', 'focalLengthU="long" x="')),
    "focal length zero": (CalibrationError, lambda src: edit(src, 'focalLengthV="', 'focalLengthV="0" x="')),
    "no focal length": (CalibrationError, lambda src: edit(src, 'focalLengthV="', 'focal="')),
    "rotation mirrored": (CalibrationError, lambda src: _mirror(src)),
    "no videos": (InputError, lambda src: shutil.rmtree(src / "videos")),
    "no calibrated video": (InputError, lambda src: [p.rename(p.with_name(f"gopro{p.stem[-1]}.mp4")) for p in list((src / "videos").iterdir())]),  # noqa: E501
    "video truncated": (InputError, lambda src: _cut(src / "videos/cam1.mp4")),
    "video empty": (InputError, lambda src: (src / "videos/cam1.mp4").write_bytes(b"")),
}  # fmt: skip


def _mirror(src: Path) -> None:
    """The first camera's x axis flipped."""
    text = calibration(src).read_text()
    end = text.index("</camera>")
    first = re.sub(r'r1([123])="(-?)', lambda m: f'r1{m[1]}="' + ("" if m[2] else "-"), text[:end])
    calibration(src).write_text(first + text[end:])


@pytest.mark.parametrize("harm", BAD)
def test_bad_captures_harm_nothing(tmp_path: Path, harm: str) -> None:
    src, out = tmp_path / "src", tmp_path / "out"
    write_qualisys(src)
    (out / "earlier").mkdir(parents=True)
    expected, spoil = BAD[harm]
    spoil(src)
    with pytest.raises(expected) as caught:
        import_qualisys(src, out / "session", QualisysOptions())
    assert "where" in str(caught.value)
    assert [path.name for path in out.iterdir()] == ["earlier"]


def test_a_shorter_video_is_said_and_its_frames_are_missing(tmp_path: Path) -> None:
    write_qualisys(tmp_path / "src")
    camera = ring(3)[1]
    write_video(tmp_path / "src/videos/cam1.mp4", [picture(camera, frame)[0] for frame in range(4)])
    session = import_qualisys(tmp_path / "src", tmp_path / "session", QualisysOptions())
    assert session.has(3, "cam1") and not session.has(4, "cam1") and session.has(5, "cam0")
    assert any("length" in note for note in session.notes)


def test_two_frames_are_a_session(tmp_path: Path) -> None:
    write_qualisys(tmp_path / "src", frames=2)
    session = import_qualisys(tmp_path / "src", tmp_path / "session", QualisysOptions())
    assert session.frame_indices == (0, 1) and frame_number(session.image(1, "cam0")) == 1


def test_fuzzed_calibrations_are_named_errors(tmp_path: Path) -> None:
    write_qualisys(tmp_path / "src", cameras=1, frames=1)
    original = calibration(tmp_path / "src").read_bytes()
    rng, path = np.random.default_rng(0), tmp_path / "fuzzed.qca.txt"
    refused = 0
    for _ in range(1500):
        content = bytearray(original)
        for at in rng.integers(0, len(content), rng.integers(1, 5)):
            content[at] = rng.integers(32, 128) if rng.random() < 0.8 else rng.integers(256)
        path.write_bytes(content)
        try:
            read_qca(path)
        except InputError:
            refused += 1
    assert refused > 500


def test_the_real_capture_sees_its_reference(capture_folder: Callable[[str], Path], tmp_path: Path) -> None:
    """The peer's joints, projected, fall on what MediaPipe found: two roads to the same pixels."""
    references = capture_folder("pose2sim_refs")
    session = import_qualisys(
        capture_folder("pose2sim_single"),
        tmp_path / "session",
        QualisysOptions(reference=references / "single_balancing_0-100_filt.trc"),
    )
    assert len(session.frames) == 100
    assert sum("1088x1920" in note and "1080x1920" in note for note in session.notes) == 2
    found = session.reference_joints()
    assert found is not None
    names, frames, joints = found
    marks = json.loads((capture_folder("mediapipe_reference") / "landmarks.json").read_text())
    pairs = {"RKnee": 26, "LKnee": 25, "RAnkle": 28, "LAnkle": 27, "RElbow": 14, "LElbow": 13}
    for name in session.camera_names:
        camera, errors = session.camera(name), []
        for frame in (33, 66, 99):
            (key,) = [k for k in marks if k.endswith(f"pose2sim_single/videos/{name}.mp4#{frame}")]
            pose = np.array(marks[key]["pose"])
            for joint, mark in pairs.items():
                point = joints[frames.index(frame), names.index(joint)]
                local = camera.K @ (camera.viewmat[:3, :3] @ point + camera.viewmat[:3, 3])
                if pose[mark, 2] > 0.5:
                    errors.append(np.linalg.norm(local[:2] / local[2] - pose[mark, :2]))
        # 1920 pixels high; the two differ by what a joint is, and the third camera lags.
        assert np.median(errors) < 25, name


def test_what_a_camera_lacks_costs_that_camera(tmp_path: Path) -> None:
    """A marker camera without video has no field of view; videos may lie beside the calibration, in capitals."""
    src = tmp_path / "src"
    truth = write_qualisys(src)
    edit(src, "<fov_video", "<fov_max")
    for path in sorted((src / "videos").iterdir()):
        path.rename(src / f"Take_1_{path.stem}.AVI")
    calibration(src).rename(src / "calib.QCA.txt")
    session = import_qualisys(src, tmp_path / "s", QualisysOptions())
    assert session.camera_names == ("cam1", "cam2")
    np.testing.assert_allclose(session.cameras[0].viewmat, truth[1].viewmat, atol=1e-6)
    assert "cam0 has no <fov_video>: left out" in session.notes


@pytest.mark.parametrize("key", ["NumFrames", "NumMarkers"])
def test_a_reference_of_other_counts_than_it_says_is_refused(tmp_path: Path, key: str) -> None:
    path = tmp_path / "joints.trc"
    write_trc(path, ["Hip", "Knee"], [0.0, 1 / 30], np.zeros((2, 2, 3)))
    lines = path.read_text().splitlines()
    lines[2] = lines[2].replace("2\t2", "3\t2" if key == "NumFrames" else "2\t5")
    path.write_text("\n".join(lines))
    with pytest.raises(InputError, match=key):
        read_trc(path)


def test_what_nothing_is_made_of_is_named(tmp_path: Path) -> None:
    write_qualisys(tmp_path / "src")
    path = tmp_path / "src/calibration/Calib.qca.txt"
    assert read_calibrated(path)[1] == []
    text = path.read_text().replace("skew=", 'focallength="9" sensorMaxU="1" skew=')
    path.write_text(text.replace("<fov_video", '<fov_marker left="0"/><fov_video').replace(
        '<camera serial="cam1"', '<camera viewrotation="90" serial="cam1"'
    ))  # fmt: skip
    assert read_calibrated(path)[1] == [
        "cam1: turned in QTM (viewrotation); videos are taken as they are",
        "not used of Calib.qca.txt: fov_marker, intrinsic.focallength, intrinsic.sensorMaxU",
    ]
