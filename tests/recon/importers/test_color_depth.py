"""Folders of color and depth: cameras, depth and moments come back, what is not said is asked for."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from simulacra.recon.importers.color_depth import import_color_depth
from simulacra.recon.importers.options import ColorDepthOptions, Folders, Intrinsics
from simulacra.recon.session import Session
from simulacra.render.runtime.errors import CalibrationError, InputError
from tests.recon.ellipsoid_person import frame_number, picture
from tests.recon.importers.depth_folders import (
    SCALE,
    open3d,
    write_aligned,
    write_rig,
    write_separate,
    write_tum,
)


def depth_of(session: Session, frame: int, name: str) -> np.ndarray:
    measured = session.depth(frame, name)
    assert measured is not None
    return np.where(measured[1], measured[0], 0)


def test_an_aligned_recording_comes_back(tmp_path: Path) -> None:
    camera = write_aligned(tmp_path / "src", frames=3, mask=True)
    session = import_color_depth(
        tmp_path / "src",
        tmp_path / "s",
        ColorDepthOptions(depth_scale=SCALE, depth_is="aligned", folders=Folders(mask="mask")),
    )
    assert session.camera_names == ("camera",) and session.frame_indices == (0, 1, 2)
    np.testing.assert_allclose(session.camera("camera").K, camera.K, atol=1e-9)
    for frame in range(3):
        image, mask, depth = picture(camera, frame)
        assert frame_number(session.image(frame, "camera")) == frame
        assert np.abs(session.image(frame, "camera") - image).max() < 0.01
        assert np.array_equal(session.mask(frame, "camera"), mask)
        assert np.abs(depth_of(session, frame, "camera") - depth).max() <= 0.51 / SCALE
    # A level camera that nothing places: it looks along -Z with +Y up.
    np.testing.assert_allclose(session.camera("camera").viewmat, np.diag([1.0, -1, -1, 1]), atol=1e-12)
    assert any("floor is not known" in note for note in session.notes)


def test_intrinsics_as_numbers_say_where_pixel_centres_are(tmp_path: Path) -> None:
    camera = write_aligned(tmp_path / "src")
    (tmp_path / "src/camera_intrinsic.json").unlink()
    K = camera.K
    for centre, offset in (("0", -0.5), ("0.5", 0.0)):
        given = Intrinsics(fx=K[0, 0], fy=K[1, 1], cx=K[0, 2] + offset, cy=K[1, 2] + offset)
        session = import_color_depth(
            tmp_path / "src", tmp_path / centre,
            ColorDepthOptions(depth_scale=SCALE, depth_is="aligned", intrinsics=given, pixel_centre=centre),  # type: ignore[arg-type]
        )  # fmt: skip
        np.testing.assert_allclose(session.camera("camera").K, K, atol=1e-9)
    with pytest.raises(CalibrationError, match="pixel's centre"):
        import_color_depth(
            tmp_path / "src",
            tmp_path / "s",
            ColorDepthOptions(depth_scale=SCALE, depth_is="aligned", intrinsics=given),
        )


def test_a_rig_stands_where_its_extrinsics_say(tmp_path: Path) -> None:
    made = write_rig(tmp_path / "src")
    session = import_color_depth(
        tmp_path / "src",
        tmp_path / "s",
        ColorDepthOptions(depth_scale=SCALE, depth_is="aligned", units="m", world_up="+y"),
    )
    assert session.camera_names == ("cam_0", "cam_1", "cam_2")
    for camera in made:
        np.testing.assert_allclose(session.camera(f"cam_{camera.name}").viewmat, camera.viewmat, atol=1e-9)
    small = import_color_depth(
        tmp_path / "src",
        tmp_path / "mm",
        ColorDepthOptions(depth_scale=SCALE, depth_is="aligned", units="mm", world_up="+y"),
    )
    np.testing.assert_allclose(
        small.camera("cam_1").viewmat[:3, 3], made[1].viewmat[:3, 3] / 1000, atol=1e-12
    )
    with pytest.raises(CalibrationError, match="unit of its translations"):
        import_color_depth(
            tmp_path / "src", tmp_path / "other", ColorDepthOptions(depth_scale=SCALE, depth_is="aligned")
        )


def test_depth_of_its_own_camera_is_drawn_into_the_color_camera(tmp_path: Path) -> None:
    color, _ = write_separate(tmp_path / "src")
    session = import_color_depth(
        tmp_path / "src", tmp_path / "s", ColorDepthOptions(depth_scale=SCALE, depth_is="separate")
    )
    truth = picture(color)[2]
    found = depth_of(session, 0, "camera")
    both = (truth > 0) & (found > 0)
    assert both.sum() > 0.85 * (truth > 0).sum()
    error = np.abs(found - truth)[both]
    assert np.median(error) < 0.002 and np.quantile(error, 0.9) < 0.02
    assert any("drawn into the color camera 40 mm away" in note for note in session.notes)


def test_a_transform_the_wrong_way_round_shows(tmp_path: Path) -> None:
    """The control of the test above: the inverse transform moves the person by 15 pixels."""
    color, _ = write_separate(tmp_path / "src")
    path = tmp_path / "src/calibration.json"
    described = json.loads(path.read_text())
    T = np.eye(4)
    T[:3, :3] = np.reshape(described["depth_to_color"]["rotation"], (3, 3)).T
    T[:3, 3] = described["depth_to_color"]["translation"]
    T = np.linalg.inv(T)
    described["depth_to_color"] = {"rotation": T[:3, :3].T.ravel().tolist(), "translation": T[:3, 3].tolist()}
    path.write_text(json.dumps(described))
    session = import_color_depth(
        tmp_path / "src", tmp_path / "s", ColorDepthOptions(depth_scale=SCALE, depth_is="separate")
    )
    truth, found = picture(color)[2] > 0, depth_of(session, 0, "camera") > 0
    assert (truth & found).sum() < 0.8 * truth.sum()


def test_times_in_names_are_asked_about_and_matched(tmp_path: Path) -> None:
    camera = write_tum(tmp_path / "src")
    arguments = {"depth_scale": 5000.0, "depth_is": "aligned"}
    with pytest.raises(InputError, match="named by times"):
        import_color_depth(tmp_path / "src", tmp_path / "s", ColorDepthOptions(**arguments))  # type: ignore[arg-type]
    for name, matches in (("file", "associations.txt"), ("seconds", "0.01")):
        session = import_color_depth(
            tmp_path / "src", tmp_path / name, ColorDepthOptions(matches=matches, **arguments)
        )  # type: ignore[arg-type]
        assert [frame_number(session.image(i, "camera")) for i in session.frame_indices] == [0, 1, 2]
        times = [frame.sources["camera"].time for frame in session.frames]
        np.testing.assert_allclose(np.array(times, float), np.arange(3) / 30, atol=2e-6)
        assert np.abs(depth_of(session, 2, "camera") - picture(camera, 2)[2]).max() < 2e-4
        assert any("1 of 4 color images" in note for note in session.notes)
    with pytest.raises(InputError, match="no color image has a depth image of its time"):
        import_color_depth(
            tmp_path / "src", tmp_path / "none", ColorDepthOptions(matches="0.001", **arguments)
        )  # type: ignore[arg-type]


def test_frames_without_depth_are_counted(tmp_path: Path) -> None:
    write_aligned(tmp_path / "src", frames=4)
    (tmp_path / "src/depth/depth_00004.png").unlink()
    (tmp_path / "src/color/color_00006.png").unlink()
    session = import_color_depth(
        tmp_path / "src", tmp_path / "s", ColorDepthOptions(depth_scale=SCALE, depth_is="aligned")
    )
    assert session.frame_indices == (0, 1, 2)
    assert [session.depth(i, "camera") is not None for i in range(3)] == [True, False, True]
    said = " ".join(session.notes)
    assert "1 of 3 depth images have no color image" in said and "1 of 3 color images have no depth" in said


def test_lens_coefficients_of_a_plain_file(tmp_path: Path) -> None:
    camera = write_aligned(tmp_path / "src")
    K = camera.K
    plain = {"width": 96, "height": 96, "fx": K[0, 0], "fy": K[1, 1], "cx": K[0, 2], "cy": K[1, 2]}
    path = tmp_path / "src/camera_intrinsic.json"
    path.write_text(json.dumps({"color": plain | {"distortion": [0.1, -0.2, 0.001, 0.002]}}))
    session = import_color_depth(
        tmp_path / "src",
        tmp_path / "s",
        ColorDepthOptions(depth_scale=SCALE, depth_is="aligned", pixel_centre="0.5"),
    )
    lens = session.camera("camera").lens
    assert lens is not None and lens.model == "opencv" and lens.coefficients == (0.1, -0.2, 0.001, 0.002)
    np.testing.assert_allclose(session.camera("camera").K, K)


Harm = Callable[[Path], object]


def _json(change: Callable[[dict[str, object]], object]) -> Harm:
    def spoil(src: Path) -> None:
        path = src / "camera_intrinsic.json"
        described = json.loads(path.read_text())
        change(described)
        path.write_text(json.dumps(described))

    return spoil


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _eight_bits(src: Path) -> None:
    path = src / "depth/depth_00003.png"
    assert cv2.imwrite(str(path), np.zeros((96, 96), np.uint8))


def _small_depth(src: Path) -> None:
    assert cv2.imwrite(str(src / "depth/depth_00003.png"), np.ones((48, 36), np.uint16))


def _outside(src: Path) -> None:
    (src.parent / "elsewhere").mkdir()
    target = src.parent / "elsewhere/color_00009.png"
    target.write_bytes((src / "color/color_00003.png").read_bytes())
    (src / "color/color_00009.png").symlink_to(target)


BAD: dict[str, tuple[type[Exception], Harm]] = {
    "no calibration": (CalibrationError, lambda src: (src / "camera_intrinsic.json").unlink()),
    "not JSON": (InputError, lambda src: (src / "camera_intrinsic.json").write_text("{")),
    "JSON of something else": (CalibrationError, lambda src: (src / "camera_intrinsic.json").write_text("[1]")),
    "a key twice": (InputError, lambda src: (src / "camera_intrinsic.json").write_text('{"width": 1, "width": 2}')),
    "row by row": (CalibrationError, _json(lambda d: d.update(intrinsic_matrix=[96, 0, 48, 0, 96, 48, 0, 0, 1]))),
    "too few numbers": (CalibrationError, _json(lambda d: d.update(intrinsic_matrix=[96, 0, 48]))),
    "focal length 0": (CalibrationError, _json(lambda d: d.update(intrinsic_matrix=[0, 0, 0, 0, 0, 0, 48, 48, 1]))),
    "not finite": (CalibrationError, _json(lambda d: d.update(intrinsic_matrix=[float("nan")] * 9))),
    "of another image size": (CalibrationError, _json(lambda d: d.update(width=640, height=480))),
    "an image size that cannot be": (CalibrationError, _json(lambda d: d.update(width=-96))),
    "two calibrations": (InputError, lambda src: (src / "intrinsic.json").write_text("{}")),
    "no depth folder": (InputError, lambda src: (src / "depth").rename(src / "z")),
    "no color folder": (InputError, lambda src: (src / "color").rename(src / "c")),
    "two color folders": (InputError, lambda src: shutil.copytree(src / "color", src / "rgb")),
    "no depth image": (InputError, lambda src: [path.unlink() for path in (src / "depth").iterdir()]),
    "image truncated": (InputError, lambda src: _cut(src / "color/color_00003.png")),
    "depth truncated": (InputError, lambda src: _cut(src / "depth/depth_00003.png")),
    "depth of 8 bits": (InputError, _eight_bits),
    "depth of another shape": (InputError, _small_depth),
    "a link out of the folder": (InputError, _outside),
    "names that do not match": (
        InputError,
        lambda src: [path.rename(path.with_name(f"x{path.stem[-1]}y.png")) for path in (src / "color").iterdir()]
        + [path.rename(path.with_name(f"{i}{i}.png")) for i, path in enumerate((src / "depth").iterdir(), 7)],
    ),
}  # fmt: skip


# Pillow leaves the file of a truncated image to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("harm", BAD)
def test_bad_recordings_harm_nothing(tmp_path: Path, harm: str) -> None:
    src, out = tmp_path / "src", tmp_path / "out"
    write_aligned(src)
    (out / "earlier").mkdir(parents=True)
    expected, spoil = BAD[harm]
    spoil(src)
    with pytest.raises(expected) as caught:
        import_color_depth(src, out / "session", ColorDepthOptions(depth_scale=SCALE, depth_is="aligned"))
    assert "where" in str(caught.value)
    assert [path.name for path in out.iterdir()] == ["earlier"]


SEPARATE: dict[str, tuple[str, Callable[[dict[str, dict[str, object]]], object]]] = {
    "no depth camera": ("not described", lambda d: d.pop("depth")),
    "no transform": ("not described", lambda d: d.pop("depth_to_color")),
    "transform in millimetres": ("unit is another", lambda d: d["depth_to_color"].update(translation=[40, 5, 0])),
    "rotation scaled": ("not rigid", lambda d: d["depth_to_color"].update(rotation=[2, 0, 0, 0, 2, 0, 0, 0, 2])),
    "rotation mirrored": ("not rigid", lambda d: d["depth_to_color"].update(rotation=[1, 0, 0, 0, 1, 0, 0, 0, -1])),
    "a lens of its own": ("not supported", lambda d: d["depth"].update(model="ftheta", coeffs=5 * [0.1])),
    "depth of another size": ("not of its camera's size", lambda d: d["depth"].update(width=640)),
}  # fmt: skip


@pytest.mark.parametrize("harm", SEPARATE)
def test_bad_depth_cameras_harm_nothing(tmp_path: Path, harm: str) -> None:
    src = tmp_path / "src"
    write_separate(src)
    said, change = SEPARATE[harm]
    described = json.loads((src / "calibration.json").read_text())
    change(described)
    (src / "calibration.json").write_text(json.dumps(described))
    with pytest.raises(InputError, match=said):
        import_color_depth(src, tmp_path / "s", ColorDepthOptions(depth_scale=SCALE, depth_is="separate"))
    assert not (tmp_path / "s").exists()


def test_associations_that_name_other_files_are_refused(tmp_path: Path) -> None:
    write_tum(tmp_path / "src")
    path = tmp_path / "src/associations.txt"
    good = path.read_text()
    for bad in ("1 rgb/none.png 2 depth/none.png\n", "1 ../../etc/passwd 2 x\n", "a b c\n", good + good):
        path.write_text(bad)
        with pytest.raises(InputError) as caught:
            import_color_depth(
                tmp_path / "src",
                tmp_path / "s",
                ColorDepthOptions(depth_scale=5000.0, depth_is="aligned", matches="associations.txt"),
            )
        assert "associations" in str(caught.value)
    with pytest.raises(InputError, match="outside"):
        import_color_depth(
            tmp_path / "src",
            tmp_path / "s",
            ColorDepthOptions(depth_scale=5000.0, depth_is="aligned", matches="../x.txt"),
        )


def test_fuzzed_calibrations_are_named_errors(tmp_path: Path) -> None:
    from simulacra.recon.importers.depth_camera_files import read_depth_camera

    write_separate(tmp_path / "src")
    seeds = [
        (tmp_path / "src/calibration.json").read_bytes(),
        json.dumps(open3d(write_aligned(tmp_path / "one"), placed=True)).encode(),
    ]
    rng, refused, path = np.random.default_rng(0), 0, tmp_path / "fuzzed.json"
    for number in range(1500):
        content = bytearray(seeds[number % 2])
        if rng.random() < 0.2:
            content = content[: rng.integers(1, len(content) + 1)]
        for at in rng.integers(0, len(content), rng.integers(1, 4)):
            content[at] = rng.integers(32, 128) if rng.random() < 0.9 else rng.integers(256)
        path.write_bytes(content)
        try:
            read_depth_camera(path, "0", "m")
        except InputError:
            refused += 1
    assert 300 < refused < 1500


def test_a_real_recording_has_a_person_in_metres(
    capture_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    """Raw depth lies on the fused reference's: no bias, the sensor's own millimetres of noise."""
    source = capture_folder("ddrnet_rgbd") / "20170907/group1"
    given = Intrinsics(fx=536.628, fy=536.606, cx=310.591, cy=234.759)
    raw, fused = (
        import_color_depth(
            source, tmp_path / depth,
            ColorDepthOptions(depth_scale=1000.0, depth_is="aligned", intrinsics=given, pixel_centre="0",
                              folders=Folders(depth=depth, mask="mask")),
        )
        for depth in ("depth_map", "high_quality_depth")
    )  # fmt: skip
    assert len(raw.frames) == 20
    mask = raw.mask(0, "camera")
    assert mask is not None
    a, b = depth_of(raw, 0, "camera"), depth_of(fused, 0, "camera")
    both = (a > 0) & (b > 0) & (mask > 0.5)
    assert both.mean() > 0.1
    assert abs(np.median(a[both] - b[both])) < 0.004
    assert 1.0 < np.median(a[both]) < 1.7


def test_aligned_depth_of_fewer_pixels_is_resampled(tmp_path: Path) -> None:
    """As phones with LiDAR have it, 256x192 under 1920x1440: half of the picture near, half of it far."""
    write_aligned(tmp_path / "src", frames=2)
    near, far = 1200, 2400
    for path in (tmp_path / "src/depth").iterdir():
        stored = np.full((24, 24), near, np.uint16)
        stored[:, 12:], stored[:4] = far, 0
        assert cv2.imwrite(str(path), stored)
    session = import_color_depth(
        tmp_path / "src", tmp_path / "s", ColorDepthOptions(depth_scale=SCALE, depth_is="aligned")
    )
    depth = session.depth(1, "camera")
    assert depth is not None
    # Neither a mean of the two surfaces nor depth where none was measured, up to the pixels of one step.
    np.testing.assert_allclose(depth[0][16:, :48], 1.2, atol=1e-6)
    np.testing.assert_allclose(depth[0][16:, 48:], 2.4, atol=1e-6)
    assert not depth[0][:16].any()
    assert any("depth of 24x24 is resampled" in note for note in session.notes)
    assert "camera: found 2 color and 2 depth images" in session.notes


def test_keys_of_the_calibration_that_are_not_used_are_named(tmp_path: Path) -> None:
    write_separate(tmp_path / "src")
    path = tmp_path / "src/calibration.json"
    described = json.loads(path.read_text())
    described["serial"] = "0042"
    described["depth"]["scale"] = 0.001
    path.write_text(json.dumps(described))
    session = import_color_depth(
        tmp_path / "src", tmp_path / "s", ColorDepthOptions(depth_scale=SCALE, depth_is="separate")
    )
    assert "not used of calibration.json: depth.scale, serial" in session.notes
