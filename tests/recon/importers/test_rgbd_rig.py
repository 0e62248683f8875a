"""RGB-D rigs: the world comes back, the person stands on the floor, and bad captures harm nothing."""

import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from simulacra.recon.importers.options import RgbdRigOptions
from simulacra.recon.importers.pickled_arrays import read_pickled_arrays
from simulacra.recon.importers.rgbd_rig import import_rgbd_rig
from simulacra.recon.preflight import inspect, preflight
from simulacra.recon.session import Session
from simulacra.render.image import write_image
from simulacra.render.runtime.errors import CalibrationError, CaptureError, ConfigError, InputError
from tests.recon.ellipsoid_person import (
    DEPTH_SCALE,
    QUARTER_TURN,
    Z_UP,
    picture,
    ring,
    write_depth,
    write_param,
    write_rgbd_rig,
)
from tests.recon.preflight.blind import Blind

FRAME = "FRAME0001"


def z_up_and_lifted() -> np.ndarray:
    T = np.eye(4)
    T[:3, :3] = Z_UP
    T[2, 3] = -0.9
    return T


def person_points(session: Session, name: str) -> np.ndarray:
    """World points of the person's pixels, from the session's own depth."""
    camera, read = session.camera(name), session.depth(0, name)
    assert read is not None
    rows, columns = np.nonzero(read[1])
    z = read[0][rows, columns].astype(float)
    rays = np.stack([columns + 0.5, rows + 0.5, np.ones_like(z)]) * z
    return (np.linalg.inv(camera.K) @ rays - camera.viewmat[:3, 3:]).T @ camera.viewmat[:3, :3]


def test_a_known_capture_comes_back(tmp_path: Path) -> None:
    """Turned sensors, another up axis, a floor that is not at 0: all undone."""
    made = write_rgbd_rig(tmp_path / "src", T_source_world=z_up_and_lifted())
    session = import_rgbd_rig(tmp_path / "src", tmp_path / "session", RgbdRigOptions(depth_scale=DEPTH_SCALE))
    assert session.camera_names == tuple(camera.name for camera in made)
    floor = session.camera("0").viewmat[1, 3] - made[0].viewmat[1, 3]
    for camera in made:
        found = session.camera(camera.name)
        np.testing.assert_allclose(found.K, camera.K, atol=1e-9)
        np.testing.assert_allclose(found.viewmat[:3, :3], camera.viewmat[:3, :3], atol=1e-9)
        centre = -found.viewmat[:3, :3].T @ found.viewmat[:3, 3]
        moved = centre + camera.viewmat[:3, :3].T @ camera.viewmat[:3, 3]
        # Only along up, and there by what lies between the lowest pixel's centre and the sole: under a pixel.
        np.testing.assert_allclose(moved[[0, 2]], 0, atol=1e-9)
        assert abs(moved[1]) < 0.025
        image, mask, _ = picture(camera)
        assert np.abs(session.image(0, camera.name) - image).max() < 0.01
        assert np.array_equal(session.mask(0, camera.name), mask)
    assert abs(floor) < 0.025
    T = np.array(session.about["T_world_source"])
    np.testing.assert_allclose(T[:3, :3], Z_UP.T, atol=1e-9)
    assert {"subject", "consent", "retain_until", "derived_from"} <= set(session.about)


def test_the_floor_is_found_in_the_first_frame_that_shows_the_person(tmp_path: Path) -> None:
    frames = ("FRAME0001", "FRAME0002", "FRAME0003")
    made = write_rgbd_rig(tmp_path / "src", frames=frames, T_source_world=z_up_and_lifted())
    for camera in made:
        _, mask, depth = picture(camera, person=False)
        write_image(tmp_path / f"src/MASK/{frames[0]}/{camera.name}.png", mask)
        write_depth(tmp_path / f"src/DEPTH/{frames[0]}/{camera.name}.png", depth)
    session = import_rgbd_rig(tmp_path / "src", tmp_path / "session", RgbdRigOptions(depth_scale=DEPTH_SCALE))
    # Under a pixel, as where the first frame shows the person; without a floor it would be off by 0.9 m.
    assert abs(session.camera("0").viewmat[1, 3] - made[0].viewmat[1, 3]) < 0.025
    assert any("lowest measured point in FRAME0002" in note for note in session.notes)


def test_points_of_all_cameras_lie_on_one_person(tmp_path: Path) -> None:
    write_rgbd_rig(tmp_path / "src", T_source_world=z_up_and_lifted())
    session = import_rgbd_rig(tmp_path / "src", tmp_path / "session", RgbdRigOptions(depth_scale=DEPTH_SCALE))
    for name in session.camera_names:
        points = person_points(session, name)
        assert points[:, 1].min() > -0.03 and 1.6 < points[:, 1].max() < 1.75
        assert np.abs(points[:, [0, 2]]).max() < 0.34
    # The network would take ellipsoids for some body or other; they have depth and masks to be judged by.
    measured = {check.code: check for check in inspect(session, detector=Blind()).record.checks}
    assert measured["depth-agreement"].status == "pass"
    assert measured["stature"].status == "pass"
    assert [code for code, check in measured.items() if check.status == "fail"] == []


def test_a_wrong_depth_scale_stops_with_the_stature(tmp_path: Path) -> None:
    write_rgbd_rig(tmp_path / "src")
    for scale, height in ((DEPTH_SCALE / 10, 15.0), (DEPTH_SCALE * 10, 0.15)):
        session = import_rgbd_rig(
            tmp_path / "src", tmp_path / f"session{scale}", RgbdRigOptions(depth_scale=scale)
        )
        found = inspect(session, detector=Blind()).record
        check = found.of("stature")[0]
        assert check.status == "fail"
        assert check.measured == pytest.approx(height, rel=0.15)
        with pytest.raises(CaptureError, match="stature") as caught:
            found.raise_on_fail()
        assert "--depth-scale" in str(caught.value)
        found.raise_on_fail(ignore=["stature"])


def test_a_given_axis_is_taken(tmp_path: Path) -> None:
    write_rgbd_rig(tmp_path / "src")
    session = import_rgbd_rig(
        tmp_path / "src", tmp_path / "session", RgbdRigOptions(depth_scale=DEPTH_SCALE, world_up="-y")
    )
    assert session.camera("0").viewmat[1, :3] @ [0, 1, 0] > 0.9  # upside down, as asked


def test_frames_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    write_rgbd_rig(tmp_path / "src", frames=("FRAME9", "FRAME10"))
    session = import_rgbd_rig(tmp_path / "src", tmp_path / "session", RgbdRigOptions(depth_scale=DEPTH_SCALE))
    assert session.frame_indices == (0, 1)
    assert np.abs(session.image(1, "2") - picture(session.camera("2"), 1)[0])[40:].max() < 0.9
    assert session.image(1, "2")[1, 3, 0] == 1.0  # the number that the second was written with: bit 0 set


def test_without_masks_and_depth_it_is_a_rig_of_cameras(tmp_path: Path) -> None:
    write_rgbd_rig(tmp_path / "src")
    shutil.rmtree(tmp_path / "src/MASK")
    shutil.rmtree(tmp_path / "src/DEPTH")
    session = import_rgbd_rig(tmp_path / "src", tmp_path / "session", RgbdRigOptions(depth_scale=DEPTH_SCALE))
    assert session.mask(0, "0") is None and session.depth(0, "0") is None


class Attack:
    """A pickle that would run a command."""

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return os.system, ("touch /tmp/simulacra-was-here",)


def _param(src: Path) -> Path:
    return src / "PARAM" / FRAME / "2.npy"


def _write(src: Path, K: np.ndarray | None = None, R: np.ndarray | None = None) -> None:
    camera = ring(6)[2]
    K = camera.K @ QUARTER_TURN if K is None else K
    RT = QUARTER_TURN.T @ camera.viewmat[:3] if R is None else np.c_[R, camera.viewmat[:3, 3]]
    write_param(_param(src), {"K": K, "RT": RT})


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _resize(path: Path) -> None:
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert cv2.imwrite(str(path), cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_NEAREST))


BAD: dict[str, tuple[type[Exception], Callable[[Path], object]]] = {
    "no COLOR": (InputError, lambda src: (src / "COLOR").rename(src / "COLOUR")),
    "no image": (InputError, lambda src: [p.unlink() for p in (src / "COLOR" / FRAME).iterdir()]),
    "image truncated": (InputError, lambda src: _truncate(src / "COLOR" / FRAME / "2.png")),
    "depth truncated": (InputError, lambda src: _truncate(src / "DEPTH" / FRAME / "2.png")),
    "mask truncated": (InputError, lambda src: _truncate(src / "MASK" / FRAME / "2.png")),
    "depth of another size": (InputError, lambda src: _resize(src / "DEPTH" / FRAME / "2.png")),
    "calibration of another size": (InputError, lambda src: _resize(src / "COLOR" / FRAME / "2.png")),
    "param missing": (InputError, lambda src: [p.unlink() for p in (src / "PARAM" / FRAME).iterdir()]),
    "param truncated": (InputError, lambda src: _truncate(_param(src))),
    "param empty": (InputError, lambda src: _param(src).write_bytes(b"")),
    "param an attack": (InputError, lambda src: np.save(_param(src), np.array(Attack(), dtype=object))),
    "param a bare array": (InputError, lambda src: np.save(_param(src), np.eye(3))),
    "RT square": (CalibrationError, lambda src: write_param(_param(src), {"K": np.eye(3), "RT": np.eye(4)})),
    "K not a number": (CalibrationError, lambda src: _write(src, K=np.full((3, 3), np.nan))),
    "K singular": (CalibrationError, lambda src: _write(src, K=np.ones((3, 3)))),
    "K zero": (CalibrationError, lambda src: _write(src, K=np.zeros((3, 3)))),
    "K mirrored": (CalibrationError, lambda src: _write(src, K=ring(6)[2].K @ np.diag([-1.0, 1, 1]))),
    "rotation mirrored": (CalibrationError, lambda src: _write(src, R=np.diag([1.0, 1, -1]))),
    "rotation scaled": (CalibrationError, lambda src: _write(src, R=np.eye(3) * 1000)),
}  # fmt: skip


# Pillow leaves the file of a truncated image to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("harm", BAD)
def test_bad_captures_harm_nothing(tmp_path: Path, harm: str) -> None:
    src, out = tmp_path / "src", tmp_path / "out"
    write_rgbd_rig(src)
    (out / "earlier").mkdir(parents=True)
    expected, spoil = BAD[harm]
    spoil(src)
    with pytest.raises(expected) as caught:
        import_rgbd_rig(src, out / "session", RgbdRigOptions(depth_scale=DEPTH_SCALE))
    assert "where" in str(caught.value)
    assert [path.name for path in out.iterdir()] == ["earlier"]
    assert not Path("/tmp/simulacra-was-here").exists()


def test_cameras_that_move_between_frames_are_refused(tmp_path: Path) -> None:
    src = tmp_path / "src"
    write_rgbd_rig(src, frames=(FRAME, "FRAME0002"))
    param = read_pickled_arrays(src / "PARAM/FRAME0002/3.npy")
    write_param(src / "PARAM/FRAME0002/3.npy", {"K": param["K"] * [[1.01], [1.01], [1]], "RT": param["RT"]})
    with pytest.raises(CalibrationError, match="changes"):
        import_rgbd_rig(src, tmp_path / "session", RgbdRigOptions(depth_scale=DEPTH_SCALE))
    assert not (tmp_path / "session").exists()


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan")])
def test_a_depth_scale_that_cannot_be(tmp_path: Path, scale: float) -> None:
    with pytest.raises(ConfigError, match="depth_scale"):
        import_rgbd_rig(tmp_path, tmp_path / "session", RgbdRigOptions(depth_scale=scale))


def test_fuzzed_parameters_are_named_errors(tmp_path: Path) -> None:
    """Any bytes in a calibration file end in an error of ours or in arrays, never in something else."""
    good = tmp_path / "good.npy"
    write_param(good, {"K": np.eye(3), "RT": np.eye(4)[:3]})
    original = good.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(1500):
        content = bytearray(original[: rng.integers(1, len(original) + 1)])
        for at in rng.integers(0, len(content), rng.integers(0, 4)):
            content[at] = rng.integers(256)
        path = tmp_path / "fuzzed.npy"
        path.write_bytes(content)
        try:
            found = read_pickled_arrays(path)
        except InputError:
            continue
        assert isinstance(found, dict)


def test_pickles_of_other_things_are_not_run(tmp_path: Path) -> None:
    path = tmp_path / "param.npy"
    header = b"\x93NUMPY\x01\x00v\x00{'descr': '|O', 'fortran_order': False, 'shape': (), }"
    for value in (Attack(), {"K": Attack()}, [print]):
        path.write_bytes(header.ljust(127) + b"\n" + pickle.dumps(value, protocol=3))
        with pytest.raises(InputError):
            read_pickled_arrays(path)
    assert not Path("/tmp/simulacra-was-here").exists()


@pytest.mark.parametrize("name", ["static_data0", "static_data3"])
def test_real_captures_agree_between_cameras(
    capture_folder: Callable[[str], Path], tmp_path: Path, name: str
) -> None:
    """The sensor's own floor is 5 to 9 mm: a wrong turn, half a pixel too many or a wrong scale would show."""
    session = import_rgbd_rig(
        capture_folder("rgbd_stage8") / name, tmp_path / "session", RgbdRigOptions(depth_scale=DEPTH_SCALE)
    )
    assert len(session.cameras) == 8
    found = preflight(session)
    assert not found.failed()
    assert found.of("depth-agreement")[0].measured < 9.0
    assert 1.2 < found.of("stature")[0].measured < 2.0  # by limbs: a woman of about 1.6 m
    assert found.of("up-axis")[0].measured < 2.0
    lowest = min(np.quantile(person_points(session, name)[:, 1], 0.001) for name in session.camera_names)
    assert lowest > -0.2


@pytest.mark.parametrize("label", [None, 1])
def test_masks_of_zero_and_one_are_taken_where_that_is_said(label: int | None, tmp_path: Path) -> None:
    write_rgbd_rig(tmp_path / "src", cameras=3, size=64)
    masks = {}
    for path in sorted((tmp_path / "src/MASK").rglob("*.png")):
        masks[path.stem] = (np.asarray(Image.open(path)) > 127).astype(np.uint8)
        Image.fromarray(masks[path.stem]).save(path)
    stored = path.read_bytes()
    options = RgbdRigOptions(depth_scale=DEPTH_SCALE, mask_label=label)
    if label is None:
        with pytest.raises(InputError, match=r"of labels[\s\S]*0 and 1[\s\S]*--mask-label 1"):
            import_rgbd_rig(tmp_path / "src", tmp_path / "session", options)
        assert not (tmp_path / "session").exists()
        return
    session = import_rgbd_rig(tmp_path / "src", tmp_path / "session", options)
    for name, expected in masks.items():
        assert expected.any()
        np.testing.assert_array_equal(session.mask(session.frame_indices[0], name), expected)
    assert path.read_bytes() == stored


def test_what_is_missing_of_a_camera_costs_that_view(tmp_path: Path) -> None:
    src = tmp_path / "src"
    write_rgbd_rig(src, frames=(FRAME, "FRAME0002"))
    (src / "DEPTH/FRAME0002/1.png").unlink()
    (src / "COLOR/FRAME0002/2.png").unlink()
    write_param(_param(src).with_name("3.npy"), {"K": np.eye(3), "dist": np.zeros(5)})
    (src / "COLOR" / FRAME / "0.png").rename(src / "COLOR" / FRAME / "0.PNG")
    (src / "COLOR/.AppleDouble").mkdir()
    (src / "COLOR").rename(src / "Color")
    session = import_rgbd_rig(
        src, tmp_path / "session", RgbdRigOptions(depth_scale=DEPTH_SCALE, world_up="+y")
    )
    assert session.camera_names == ("0", "1", "2", "4", "5")
    assert session.has(1, "1") and session.depth(1, "1") is None and session.mask(1, "1") is not None
    assert session.has(0, "2") and not session.has(1, "2")
    for note in (
        "3 has no RT: left out",
        "not used of 0.npy: dist",
        "1 has no depth in 1 of 2 frames",
        "2 has no image in 1 of 2 frames",
    ):
        assert note in session.notes
