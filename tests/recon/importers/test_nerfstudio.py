"""transforms.json means what nerfstudio means by it; what it cannot say is asked for."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from simulacra.recon.importers.nerfstudio import import_nerfstudio
from simulacra.recon.importers.options import NerfstudioOptions
from simulacra.recon.session import Lens
from simulacra.render.runtime.errors import CalibrationError, InputError
from tests.recon.ellipsoid_person import frame_number, picture
from tests.recon.importers.foreign_captures import assert_cameras_are, write_nerfstudio, write_vhap


def test_a_camera_looks_along_its_minus_z(tmp_path: Path) -> None:
    """nerfstudio's documentation: the columns are the camera's right, up and back, and where it is."""
    write_nerfstudio(tmp_path / "src", cameras=1)
    path = tmp_path / "src/transforms.json"
    described = json.loads(path.read_text())
    # At (1, -3, 2) of a z-up world, looking along +y.
    described["frames"][0]["transform_matrix"] = [[1, 0, 0, 1], [0, 0, -1, -3], [0, 1, 0, 2], [0, 0, 0, 1]]
    path.write_text(json.dumps(described))
    camera = import_nerfstudio(
        tmp_path / "src", tmp_path / "s", NerfstudioOptions(scale=1.0, world_up="+z")
    ).cameras[0]
    ahead, above = np.array([1.0, 2, 1, 1]), np.array([1.0, 2.5, 1, 1])  # our world: (x, z, -y)
    np.testing.assert_allclose(-camera.viewmat[:3, :3].T @ camera.viewmat[:3, 3], [1, 2, 3], atol=1e-12)
    point = camera.viewmat @ ahead
    np.testing.assert_allclose(point[:3], [0, 0, 2], atol=1e-12)
    assert (camera.viewmat @ above)[1] < 0, "up is up in the picture"


@pytest.mark.parametrize("shared", [False, True])
def test_one_moment_with_masks_and_depth(tmp_path: Path, shared: bool) -> None:
    truth = write_nerfstudio(tmp_path / "src", scale=4.0, shared=shared, masks=True, depth=1000.0)
    with pytest.raises(InputError, match="--depth-scale 1000"):
        import_nerfstudio(tmp_path / "src", tmp_path / "s", NerfstudioOptions(scale=0.25, world_up="+z"))
    session = import_nerfstudio(
        tmp_path / "src", tmp_path / "s", NerfstudioOptions(scale=0.25, world_up="+z", depth_scale=1000.0)
    )
    assert session.camera_names == ("0", "1", "2") and session.frame_indices == (0,)
    assert_cameras_are(session.cameras, truth)
    assert session.cameras[0].lens is None
    _, mask, distance = picture(truth[1])
    depth = session.depth(0, "1")
    assert depth is not None and np.array_equal(session.mask(0, "1"), mask)
    assert np.abs(depth[0] - distance).max() <= 0.5 / 1000 + 1e-6


def test_a_unit_in_the_file_is_held_against_the_one_given(tmp_path: Path) -> None:
    write_nerfstudio(tmp_path / "src", depth=1000.0, depth_unit_scale_factor=0.001)
    with pytest.raises(InputError, match="not the file's"):
        import_nerfstudio(
            tmp_path / "src", tmp_path / "s", NerfstudioOptions(scale=1.0, world_up="+z", depth_scale=5000.0)
        )
    session = import_nerfstudio(tmp_path / "src", tmp_path / "s", NerfstudioOptions(scale=1.0, world_up="+z"))
    assert session.cameras[0].depth_scale == 1000.0


def test_moments_by_time(tmp_path: Path) -> None:
    truth = write_nerfstudio(tmp_path / "src", frames=3, timed=True)
    session = import_nerfstudio(
        tmp_path / "src", tmp_path / "s", NerfstudioOptions(scale=1.0, world_up="cameras")
    )
    assert session.camera_names == ("0", "1", "2") and len(session.frames) == 3
    assert_cameras_are(session.cameras, truth)
    assert [frame_number(session.image(k, "2")) for k in (2, 1)] == [2, 1]
    assert session.frames[2].sources["0"].time == pytest.approx(0.2)


def test_moments_by_name_only_when_asked(tmp_path: Path) -> None:
    write_nerfstudio(tmp_path / "src", frames=3)
    with pytest.raises(InputError, match="--moments names"):
        import_nerfstudio(tmp_path / "src", tmp_path / "s", NerfstudioOptions(scale=1.0, world_up="+z"))
    session = import_nerfstudio(
        tmp_path / "src", tmp_path / "s", NerfstudioOptions(scale=1.0, world_up="+z", moments="names")
    )
    assert [frame_number(session.image(k, "2")) for k in (0, 1, 2)] == [0, 1, 2]


def test_one_camera_carried_round(tmp_path: Path) -> None:
    """Ten poses at ten times are no rig; said to be of one moment, they are ten cameras."""

    def name_of(camera: str, frame: int) -> str:
        return f"images/frame_{camera}.png"

    truth = write_nerfstudio(tmp_path / "src", cameras=4, name_of=name_of)
    path = tmp_path / "src/transforms.json"
    described = json.loads(path.read_text())
    for number, frame in enumerate(described["frames"]):
        frame["time"] = number
    path.write_text(json.dumps(described))
    with pytest.raises(InputError, match="--moments one"):
        import_nerfstudio(tmp_path / "src", tmp_path / "s", NerfstudioOptions(scale=1.0, world_up="+z"))
    session = import_nerfstudio(
        path, tmp_path / "s", NerfstudioOptions(scale=1.0, world_up="+z", moments="one")
    )
    assert session.camera_names == ("frame_0", "frame_1", "frame_2", "frame_3")
    assert_cameras_are(session.cameras, truth)


@pytest.mark.parametrize(
    ("extra", "lens"),
    [
        ({"k1": 0.1, "k2": 0.02, "p1": 0.003, "p2": 0.004}, Lens("opencv", (0.1, 0.02, 0.003, 0.004))),
        ({"k1": 0.1, "k3": 0.02}, Lens("opencv", (0.1, 0.0, 0.0, 0.0, 0.02))),
        ({"k1": 0.1, "k4": 0.02, "p1": 0.003}, Lens("brown", (0.1, 0.0, 0.0, 0.02, 0.003, 0.0, 0.0))),
        ({"camera_model": "OPENCV_FISHEYE", "k2": 0.1}, Lens("opencv_fisheye", (0.0, 0.1, 0.0, 0.0))),
        ({"camera_model": "OPENCV_FISHEYE"}, Lens("opencv_fisheye", (0.0, 0.0, 0.0, 0.0))),
        (
            {"camera_model": "OPENCV_FISHEYE", "k1": 0.1, "k3": 0.3, "p2": 0.01},
            Lens("thin_prism_fisheye", (0.1, 0.0, 0.0, 0.01, 0.3, 0.0, 0.0, 0.0)),
        ),
        ({"camera_model": "PERSPECTIVE", "k1": 0.0}, None),
    ],
)
def test_lenses(tmp_path: Path, extra: dict[str, Any], lens: Lens | None) -> None:
    write_nerfstudio(tmp_path / "src", cameras=1, **extra)
    session = import_nerfstudio(tmp_path / "src", tmp_path / "s", NerfstudioOptions(scale=1.0, world_up="+z"))
    assert session.cameras[0].lens == lens


def _edit(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    def edit(src: Path) -> None:
        described = json.loads((src / "transforms.json").read_text())
        change(described)
        (src / "transforms.json").write_text(json.dumps(described))

    return edit


def _text(content: str) -> Callable[[Path], object]:
    return lambda src: (src / "transforms.json").write_text(content)


def _frame(key: str, value: object) -> Callable[[Path], object]:
    return _edit(lambda d: d["frames"][1].update({key: value}))


MIRRORED = np.diag([1.0, 1, -1, 1]).tolist()
BAD: dict[str, tuple[type[Exception], str, Callable[[Path], object]]] = {
    "no file": (InputError, "missing", lambda src: (src / "transforms.json").unlink()),
    "not JSON": (InputError, "not JSON", _text("{")),
    "deep": (InputError, "not JSON", _text("[" * 100000)),
    "huge integer": (InputError, "not JSON", _text('{"w": ' + "9" * 5000 + "}")),
    "a key twice": (InputError, "twice", _text('{"w": 1, "w": 2}')),
    "a list": (CalibrationError, "not a table", _text("[1]")),
    "no frames": (InputError, "no frames", _edit(lambda d: d.pop("frames"))),
    "no focal length": (InputError, "no fl_x", _edit(lambda d: [one.pop("fl_x") for one in d["frames"]])),
    "a fisheye and none": (
        CalibrationError,
        "two things",
        _edit(lambda d: d.update(camera_model="OPENCV", is_fisheye=True)),
    ),
    "a fisheye of words": (CalibrationError, "neither", _edit(lambda d: d.update(is_fisheye="yes"))),
    "a lens of instant-ngp": (CalibrationError, "not supported", _edit(lambda d: d.update(ftheta_p0=1.0))),
    "a large integer": (CalibrationError, "fl_x", _frame("fl_x", 10**400)),
    "nan": (CalibrationError, "cx", _frame("cx", float("nan"))),
    "true": (CalibrationError, "k1", _frame("k1", True)),
    "a model of another kind": (
        CalibrationError,
        "not supported",
        _edit(lambda d: d.update(camera_model="OMNI")),
    ),
    "two intrinsics": (CalibrationError, "differ", _edit(lambda d: d.update(fl_x=5.0))),
    "mirrored": (CalibrationError, "mirrors", _frame("transform_matrix", MIRRORED)),
    "a last row": (
        CalibrationError,
        "last row",
        _frame("transform_matrix", [*np.eye(4).tolist()[:3], [0, 0, 0, 2]]),
    ),
    "ragged": (CalibrationError, "transform_matrix", _frame("transform_matrix", [[1, 0], [0]])),
    "out of it": (InputError, "outside", _frame("file_path", "../../x.png")),
    "absolute": (InputError, "outside", _frame("file_path", "/etc/passwd")),
    "a mask out of it": (InputError, "outside", _frame("mask_path", "../x.png")),
    "no image": (InputError, "missing", lambda src: shutil.rmtree(src / "images")),
    "a number for a name": (InputError, "name its files", _frame("file_path", 3)),
    "an image twice": (InputError, "twice", _frame("file_path", "images/0/0000.png")),
    "half a surrogate": (InputError, "cannot be", _frame("file_path", "images/\ud800.png")),
    "a zero byte": (InputError, "cannot be", _frame("file_path", "a\0b")),
    "a time of words": (CalibrationError, "time", _frame("time", "now")),
    "some times": (InputError, "not clear", _frame("time", 1.0)),
    "another size": (CalibrationError, "another image size", _frame("w", 97)),
}


@pytest.mark.parametrize("harm", BAD)
def test_bad_files_harm_nothing(tmp_path: Path, harm: str) -> None:
    src, out = tmp_path / "src", tmp_path / "out"
    write_nerfstudio(src)
    (out / "earlier").mkdir(parents=True)
    expected, says, spoil = BAD[harm]
    spoil(src)
    with pytest.raises(expected, match=says):
        import_nerfstudio(src, out / "session", NerfstudioOptions(scale=1.0, world_up="+z"))
    assert [path.name for path in out.iterdir()] == ["earlier"]


def test_is_fisheye_is_the_fisheye(tmp_path: Path) -> None:
    """instant-ngp's flag, without a camera_model: OpenCV's fisheye of k1 to k4, not its polynomial in r."""
    write_nerfstudio(tmp_path / "src", is_fisheye=True, k1=0.05, k2=-0.01, k3=0.002, k4=-0.001, p1=0, p2=0)
    _edit(lambda d: d.pop("camera_model"))(tmp_path / "src")
    session = import_nerfstudio(tmp_path / "src", tmp_path / "s", NerfstudioOptions(scale=1.0, world_up="+z"))
    assert {camera.lens for camera in session.cameras} == {
        Lens("opencv_fisheye", (0.05, -0.01, 0.002, -0.001))
    }
    _edit(lambda d: d.update(is_fisheye=False))(tmp_path / "src")
    session = import_nerfstudio(tmp_path / "src", tmp_path / "t", NerfstudioOptions(scale=1.0, world_up="+z"))
    assert session.cameras[0].lens == Lens("brown", (0.05, -0.01, 0.002, -0.001, 0.0, 0.0, 0.0))


@pytest.mark.parametrize("top", [True, False])
@pytest.mark.parametrize("moments", [None, "names"])
def test_sequences_of_vhap(tmp_path: Path, top: bool, moments: str | None) -> None:
    truth = write_vhap(tmp_path / "src", top=top)
    options = NerfstudioOptions(scale=1.0, world_up="+z", moments=moments)  # type: ignore[arg-type]
    session = import_nerfstudio(tmp_path / "src", tmp_path / "s", options)
    assert session.camera_names == ("2200", "2201") and session.frame_indices == (0, 1, 2)
    assert_cameras_are(session.cameras, truth)
    assert [frame_number(session.image(k, "2201")) for k in (2, 0)] == [2, 0]
    assert np.array_equal(session.mask(1, "2201"), picture(truth[1], 1)[1])
    assert any("not used of transforms.json: frames.flame_param_path" in note for note in session.notes)


def test_a_timestep_that_is_not_there_is_said(tmp_path: Path) -> None:
    write_vhap(tmp_path / "src", top=True)
    _edit(lambda d: d.update(timestep_indices=list(range(9))))(tmp_path / "src")
    session = import_nerfstudio(tmp_path / "src", tmp_path / "s", NerfstudioOptions(scale=1.0, world_up="+z"))
    assert "the file's timestep_indices are 9, and it has frames of 3" in session.notes
    _edit(lambda d: d["frames"][1].update(transform_matrix=np.eye(4).tolist()))(tmp_path / "src")
    with pytest.raises(InputError, match="several poses"):
        import_nerfstudio(tmp_path / "src", tmp_path / "t", NerfstudioOptions(scale=1.0, world_up="+z"))


@pytest.mark.parametrize("key", ["fl_x", "transform_matrix", "file"])
def test_what_a_frame_lacks_costs_that_frame(tmp_path: Path, key: str) -> None:
    truth = write_nerfstudio(tmp_path / "src")
    if key == "file":
        (tmp_path / "src/images/1/0000.png").unlink()
    else:
        _edit(lambda d: d["frames"][1].pop(key))(tmp_path / "src")
    session = import_nerfstudio(tmp_path / "src", tmp_path / "s", NerfstudioOptions(scale=1.0, world_up="+z"))
    assert_cameras_are(session.cameras, (truth[0], truth[2]))
    assert "2 of 3 frames of the file" in session.notes
    assert any(note.startswith("1 frames are left out") and "0000.png" in note for note in session.notes)


def test_an_angle_of_view_and_names_without_ending(tmp_path: Path) -> None:
    """Blender's synthetic scenes: one angle for all, the size in the pictures, ./train/r_0 for r_0.png."""
    write_nerfstudio(tmp_path / "src", cameras=2)

    def change(described: dict[str, Any]) -> None:
        described["camera_angle_x"] = 2 * np.arctan(0.5)
        for frame in described["frames"]:
            for name in ("fl_x", "fl_y", "cx", "cy", "w", "h"):
                frame.pop(name)
            frame["file_path"] = f"./{frame['file_path'].removesuffix('.png')}"

    _edit(change)(tmp_path / "src")
    session = import_nerfstudio(tmp_path / "src", tmp_path / "s", NerfstudioOptions(scale=1.0, world_up="+z"))
    np.testing.assert_allclose(session.cameras[1].K, [[96, 0, 48], [0, 96, 48], [0, 0, 1]], atol=1e-12)


def test_depth_of_fewer_pixels_is_resampled(tmp_path: Path) -> None:
    """A phone's LiDAR: 24 x 24 under 96 x 96; a plane stays one."""
    write_nerfstudio(tmp_path / "src", cameras=2, depth=1000.0)
    for path in (tmp_path / "src").glob("depths/*/*.png"):
        Image.fromarray(np.full((24, 24), 1500, np.uint16)).save(path)
    session = import_nerfstudio(
        tmp_path / "src", tmp_path / "s", NerfstudioOptions(scale=1.0, world_up="+z", depth_scale=1000.0)
    )
    depth = session.depth(0, "1")
    assert depth is not None and depth[0].shape == (96, 96)
    np.testing.assert_allclose(depth[0], 1.5, atol=1e-6)
    assert (
        "1: depth of 24x24 is resampled to the images' 96x96: it holds no more than it did" in session.notes
    )
