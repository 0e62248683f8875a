"""COLMAP's own files are read as COLMAP means them; what they cannot say is asked for."""

import base64
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from simulacra.recon.importers.colmap import import_colmap
from simulacra.recon.importers.colmap_model import MODELS, make_camera, read_model
from simulacra.recon.importers.options import ColmapOptions
from simulacra.recon.session import Lens
from simulacra.recon.session.lens import distort
from simulacra.render.runtime.errors import CalibrationError, ConfigError, InputError
from tests.recon.ellipsoid_person import frame_number
from tests.recon.importers.foreign_captures import assert_cameras_are, write_colmap

# cameras.bin and images.bin as COLMAP 4.2.1 wrote them, and what it says of them.
CAMERAS_BIN = base64.b64decode(
    "BAAAAAAAAAABAAAAAAAAAIACAAAAAAAA4AEAAAAAAAAAAAAAAMCCQAAAAAAAGHRAAAAAAADobUACAAAABAAAAIACAAAAAAAA4AEA"
    "AAAAAAAAAAAAAMCCQAAAAAAAEINAAAAAAAAYdEAAAAAAAOhtQOF6FK5H4cq/mpmZmZmZqT/6fmq8dJNoP/yp8dJNYmC/AwAAAAcA"
    "AACAAgAAAAAAAOABAAAAAAAAAAAAAADAgkAAAAAAABCDQAAAAAAAGHRAAAAAAADobUDD9Shcj8LtPwQAAAALAAAAgAIAAAAAAADg"
    "AQAAAAAAAAAAAAAAwIJAAAAAAAAQg0AAAAAAABh0QAAAAAAA6G1AuB6F61G4nj97FK5H4XqEv/yp8dJNYnA/x7q4jQbwRr8tQxzr"
    "4jYqPy1DHOviNhq//Knx0k1iYD/6fmq8dJNov/yp8dJNYlA//Knx0k1iYL/6fmq8dJNYP/yp8dJNYkA/"
)
IMAGES_BIN = base64.b64decode(
    "BAAAAAAAAAABAAAAYa2zKTrrwz/MVyL2yN/HPznF2YioFcm/mpG7Lslm7j/tQ+YYNCThv+bRzpVfJNc/PBC9Ji/d9D8BAAAAdmll"
    "dyAxLmpwZwAAAAAAAAAAAAIAAADVP0/s1LDVv92lRyTVeuA/Tglhwqp92L8CUrGT5gTmv+MMi8OtKKU/gyMavKmZAsB+JZ2AXQHM"
    "vwIAAAB2aWV3IDIuanBnAAEAAAAAAAAAAAAAAAAA8D8AAAAAAAAAQP//////////AwAAAMa36I8nr8m/grYEUuhK6b8bxylAFLvd"
    "v0uIX6DyGNa/+MHwmidY2j+TYrZ/Iq7wPwie3+bSc8C/AwAAAHZpZXcgMy5qcGcAAgAAAAAAAAAAAAAAAADwPwAAAAAAAABA////"
    "//////8AAAAAAADwPwAAAAAAAABA//////////8EAAAA2MEcW8MJ4D9BJpeMzkHoP12GUMnende/I2WfQKn1yD9tBU6gMBG4P65n"
    "EvC+yue/6IpdN8Z+7b8EAAAAdmlldyA0LmpwZwADAAAAAAAAAAAAAAAAAPA/AAAAAAAAAED//////////wAAAAAAAPA/AAAAAAAA"
    "AED//////////wAAAAAAAPA/AAAAAAAAAED//////////w=="
)
VIEW_3 = [
    [0.32997239319238725, 0.5957813076653932, 0.7322314204999693, 0.4116305363741328],
    [0.8729079309231987, -0.48787175541263683, 0.0035908776048059754, 1.0425133694426776],
    [0.35937440624266614, 0.6379857237486641, -0.6810464392613949, -0.12853466294403426],
]
# The same third image, as COLMAP wrote it as text; the lines of points of the others are empty or full.
IMAGES_TXT = """# Image list with two lines of data per image:
#   IMAGE_ID, QW, QX, QY, QZ, TX, TY, TZ, CAMERA_ID, NAME
#   POINTS2D[] as (X, Y, POINT3D_ID)
1 0.15561606441711276 0.18651687639493131 -0.19597346002732666 0.95004710319021801 -0.5 0.3 1.3 1 view 1.jpg

3 -0.2006577923470429 -0.79039398211689638 -0.4645434023469634 -0.34527269040529934 0.41163053637413283 1.0425133694426776 -0.12853466294403426 3 view 3.jpg
1 2 -1 1 2 -1
"""  # noqa: E501
CAMERAS_TXT = """# Camera list with one line of data per camera:
1 SIMPLE_PINHOLE 640 480 600 321.5 239.25
3 FOV 640 480 600 610 321.5 239.25 0.93000000000000005
"""
# Pixels that COLMAP 4.2.1 has for the rays (0.31, -0.22), (-0.7, 0.45), (0.02, 0.9).
RAYS = np.array([[0.31, -0.22], [-0.7, 0.45], [0.02, 0.9]])
FOUR = [600.0, 610.0, 321.5, 239.25]
THREE = [600.0, 321.5, 239.25]
PIXELS: dict[str, tuple[list[float], list[list[float]]]] = {
    "SIMPLE_PINHOLE": (THREE, [[507.5, 107.25], [-98.5, 509.25], [333.5, 779.25]]),
    "PINHOLE": (FOUR, [[507.5, 105.05], [-98.5, 513.75], [333.5, 788.25]]),
    "SIMPLE_RADIAL": (
        [*THREE, -0.11],
        [[504.54353, 109.34814], [-66.5065, 488.68275], [332.430272, 731.11224]],
    ),
    "RADIAL": (
        [*THREE, -0.11, 0.03],
        [[504.660041795, 109.26545421], [-72.54890875, 492.567155625], [332.666701338, 741.751560192]],
    ),
    "OPENCV": (
        [*FOUR, -0.21, 0.05, 0.003, -0.002],
        [[501.400456325, 109.590179522], [-50.63318125, 483.189772031], [330.943200896, 717.250432992]],
    ),
    "OPENCV_FISHEYE": (
        [*FOUR, 0.03, -0.01, 0.004, -0.0007],
        [[499.919935101, 110.519057578], [-33.184085216, 471.061384266], [331.40484097, 692.396474393]],
    ),
    "FULL_OPENCV": (
        [*FOUR, -0.21, 0.05, 0.003, -0.002, 0.01, 0.02, -0.015, 0.003],
        [[500.94038312, 109.922124814], [-49.214951282, 482.262857445], [330.924881056, 716.41230032]],
    ),
    "FOV": (
        [*FOUR, 0.93],
        [[513.215307871, 100.926374644], [-56.058916633, 486.011720514], [332.029552881, 720.977044304]],
    ),
    "SIMPLE_RADIAL_FISHEYE": (
        [*THREE, -0.05],
        [[498.072875896, 113.940217106], [-20.354548608, 459.013638391], [331.007668911, 667.095101009]],
    ),
    "RADIAL_FISHEYE": (
        [*THREE, -0.05, 0.01],
        [[498.103827177, 113.918251681], [-21.167359788, 459.536159864], [331.035863598, 668.36386191]],
    ),
    "THIN_PRISM_FISHEYE": (
        [*FOUR, 0.03, -0.01, 0.002, -0.003, 0.004, -0.0007, 0.001, -0.002],
        [[499.296174216, 110.854853238], [-35.515044874, 472.207039461], [330.787885369, 693.662919741]],
    ),
    "RAD_TAN_THIN_PRISM_FISHEYE": (
        [*FOUR, 0.03, -0.01, 0.004, -0.0007, 0.0002, -0.0001, 0.002, -0.003, 0.001, -0.002, 0.0015, 0.0005],
        [[500.576194778, 110.086667146], [-30.941786713, 469.608093467], [331.989425413, 689.997323773]],
    ),
    "SIMPLE_DIVISION": (
        [*THREE, -0.12],
        [[504.381986371, 109.462783866], [-68.418504363, 489.911895662], [332.516476277, 734.991432486]],
    ),
    "DIVISION": (
        [*FOUR, -0.12],
        [[504.381986371, 107.299663597], [-68.418504363, 494.089593923], [332.516476277, 743.253789694]],
    ),
    "SIMPLE_FISHEYE": (
        THREE,
        [[499.245634953, 113.107936485], [-28.791383815, 464.437318167], [331.270092566, 678.904165482]],
    ),
    "FISHEYE": (
        FOUR,
        [[499.245634953, 111.00556876], [-28.791383815, 468.190440136], [331.270092566, 686.231734907]],
    ),
    "EUCM": (
        [*FOUR, 0.57, 1.1],
        [[499.72393323, 110.660473981], [-32.462520226, 470.589790005], [331.385339054, 691.504261712]],
    ),
}


@pytest.mark.parametrize("model", PIXELS)
def test_every_camera_model_is_colmaps(model: str) -> None:
    parameters, pixels = PIXELS[model]
    camera = make_camera(model, 640, 480, list(parameters), model)
    plane = distort(camera.lens, RAYS) if camera.lens else RAYS
    np.testing.assert_allclose(plane * np.diag(camera.K)[:2] + camera.K[:2, 2], pixels, atol=2e-9)


def test_no_model_is_left_out() -> None:
    assert set(PIXELS) == set(MODELS)
    assert sorted(model.number for model in MODELS.values()) == list(range(17))


def test_colmaps_own_files(tmp_path: Path) -> None:
    (tmp_path / "cameras.bin").write_bytes(CAMERAS_BIN)
    (tmp_path / "images.bin").write_bytes(IMAGES_BIN)
    cameras, images = read_model(tmp_path)
    assert [image.name for image in images] == [f"view {k}.jpg" for k in (1, 2, 3, 4)]
    np.testing.assert_allclose(images[2].viewmat[:3], VIEW_3, atol=1e-12)
    assert cameras[3].lens == Lens("fov", (0.93,)) and cameras[1].lens is None
    assert cameras[2].lens == Lens("opencv", (-0.21, 0.05, 0.003, -0.002))
    np.testing.assert_array_equal(cameras[4].K, [[600, 0, 321.5], [0, 610, 239.25], [0, 0, 1]])
    text = tmp_path / "text"
    text.mkdir()
    (text / "cameras.txt").write_text(CAMERAS_TXT)
    (text / "images.txt").write_text(IMAGES_TXT)
    written, listed = read_model(text)
    assert [image.name for image in listed] == ["view 1.jpg", "view 3.jpg"]
    np.testing.assert_allclose(listed[1].viewmat, images[2].viewmat, atol=1e-15)
    assert written[3].lens == cameras[3].lens and written[3].width == 640


def test_a_flat_folder_is_a_rig_of_one_moment(tmp_path: Path) -> None:
    truth = write_colmap(tmp_path / "src", scale=2.5, masks=True)
    session = import_colmap(tmp_path / "src", tmp_path / "s", ColmapOptions(scale=0.4, world_up="+z"))
    assert session.camera_names == ("0", "1", "2") and session.frame_indices == (0,)
    assert_cameras_are(session.cameras, truth)
    T = np.array(session.about["T_world_source"])
    np.testing.assert_allclose(T[:3, :3] @ T[:3, :3].T, np.eye(3) * 0.16, atol=1e-12)
    image = tmp_path / "src/images/1.png"
    assert (session.root / "images/1/000000.png").read_bytes() == image.read_bytes()
    mask = session.mask(0, "1")
    assert mask is not None and 0.01 < mask.mean() < 0.5


def test_folders_are_cameras_or_frames_as_said(tmp_path: Path) -> None:
    truth = write_colmap(
        tmp_path / "cameras", frames=3, name_of=lambda camera, frame: f"cam{camera}/{frame:04d}.png"
    )
    write_colmap(tmp_path / "frames", frames=3, name_of=lambda camera, frame: f"{frame:04d}/cam{camera}.png")
    for name in ("cameras", "frames"):
        with pytest.raises(InputError, match="--layout cameras"):
            import_colmap(tmp_path / name, tmp_path / "s", ColmapOptions(scale=1.0, world_up="+z"))
        session = import_colmap(
            tmp_path / name, tmp_path / f"s{name}", ColmapOptions(scale=1.0, world_up="+z", layout=name)
        )  # type: ignore[arg-type]
        assert session.camera_names == ("cam0", "cam1", "cam2") and len(session.frames) == 3
        assert_cameras_are(session.cameras, truth)
        assert [frame_number(session.image(k, "cam2")) for k in (2, 1)] == [2, 1]
    with pytest.raises(CalibrationError, match="different intrinsics"):
        import_colmap(
            tmp_path / "frames", tmp_path / "s", ColmapOptions(scale=1.0, world_up="+z", layout="cameras")
        )
    flat = import_colmap(
        tmp_path / "frames", tmp_path / "s", ColmapOptions(scale=1.0, world_up="+z", layout="flat")
    )
    assert len(flat.cameras) == 9 and len(flat.frames) == 1


def test_one_moment_calibrates_all_images_of_its_cameras(tmp_path: Path) -> None:
    truth = write_colmap(
        tmp_path / "src", frames=4, registered=[1], name_of=lambda camera, frame: f"{camera}/{frame:04d}.png"
    )
    session = import_colmap(
        tmp_path / "src", tmp_path / "s", ColmapOptions(scale=1.0, world_up="cameras", layout="cameras")
    )
    assert len(session.frames) == 4
    assert_cameras_are(session.cameras, truth)


def test_poses_of_one_camera_may_differ_a_little(tmp_path: Path) -> None:
    """A few millimetres are estimation; centimetres are another camera, and at a tenth of the scale they are not."""
    for shift, moves in ((0.003, False), (0.05, True)):
        src = tmp_path / f"src{shift}"
        write_colmap(src, frames=2, name_of=lambda camera, frame: f"{camera}/{frame:04d}.png")
        path = src / "sparse/0/images.txt"
        lines = path.read_text().splitlines()
        words = lines[3].split()
        words[7] = repr(float(words[7]) + shift)
        path.write_text("\n".join([*lines[:3], " ".join(words), *lines[4:]]) + "\n")

        def run(name: str, scale: float, src: Path = src) -> tuple[str, ...]:
            return import_colmap(
                src, tmp_path / name, ColmapOptions(scale=scale, world_up="+z", layout="cameras")
            ).notes

        if moves:
            with pytest.raises(CalibrationError, match="moves"):
                run("a", 1.0)
            assert any("5.0 mm" in note for note in run("b", 0.1))
        else:
            assert any("3.0 mm" in note for note in run("c", 1.0))


def test_a_lens_is_kept(tmp_path: Path) -> None:
    write_colmap(tmp_path / "src", model="OPENCV_FISHEYE", extra=(0.03, -0.01, 0.0, 0.0))
    session = import_colmap(tmp_path / "src", tmp_path / "s", ColmapOptions(scale=1.0, world_up="+z"))
    assert session.cameras[0].lens == Lens("opencv_fisheye", (0.03, -0.01, 0.0, 0.0))


def test_several_models_ask(tmp_path: Path) -> None:
    write_colmap(tmp_path / "src")
    shutil.copytree(tmp_path / "src/sparse/0", tmp_path / "src/sparse/1")
    with pytest.raises(InputError, match="--model"):
        import_colmap(tmp_path / "src", tmp_path / "s", ColmapOptions(scale=1.0, world_up="+z"))
    import_colmap(tmp_path / "src", tmp_path / "s", ColmapOptions(scale=1.0, world_up="+z", model="sparse/1"))


def _edit(name: str, old: str, new: str) -> Callable[[Path], object]:
    def edit(src: Path) -> None:
        path = src / "sparse/0" / name
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new, 1))

    return edit


def _binary(cameras: bytes, images: bytes) -> Callable[[Path], object]:
    def edit(src: Path) -> None:
        (src / "sparse/0/cameras.bin").write_bytes(cameras)
        (src / "sparse/0/images.bin").write_bytes(images)

    return edit


BAD: dict[str, tuple[type[Exception], str, Callable[[Path], object]]] = {
    "no model": (InputError, "no COLMAP model", lambda src: shutil.rmtree(src / "sparse")),
    "no images file": (InputError, "missing", lambda src: (src / "sparse/0/images.txt").unlink()),
    "no images": (InputError, "missing", lambda src: shutil.rmtree(src / "images")),
    "a count in a comment": (
        InputError,
        "as many entries",
        _edit("images.txt", "# images", "# images\n# Number of images: 4, mean observations per image: 2"),
    ),
    "an unknown model": (
        CalibrationError,
        "not supported",
        _edit("cameras.txt", "PINHOLE", "EQUIRECTANGULAR"),
    ),
    "a parameter less": (CalibrationError, "parameters", _edit("cameras.txt", "1 PINHOLE", "1 OPENCV")),
    "nan": (
        CalibrationError,
        "parameters",
        _edit("cameras.txt", "PINHOLE 96 96 ", "SIMPLE_RADIAL 96 96 nan "),
    ),
    "a huge size": (
        CalibrationError,
        "width",
        _edit("cameras.txt", "PINHOLE 96", "PINHOLE 99999999999999999999"),
    ),
    "another size": (
        CalibrationError,
        "another image size",
        _edit("cameras.txt", "PINHOLE 96", "PINHOLE 97"),
    ),
    "a camera twice": (InputError, "twice", _edit("cameras.txt", "\n2 PIN", "\n1 PIN")),
    "no camera": (CalibrationError, "not there", _edit("cameras.txt", "\n2 PIN", "\n7 PIN")),
    "no quaternion": (CalibrationError, "length 1", _edit("images.txt", "\n1 ", "\n1 7")),
    "a number less": (InputError, "not complete", _edit("images.txt", " 0.png", "")),
    "out of it": (InputError, "outside", _edit("images.txt", " 1.png", " ../../1.png")),
    "absolute": (InputError, "outside", _edit("images.txt", " 1.png", " /etc/1.png")),
    "binary cut off": (InputError, "cut off", _binary(CAMERAS_BIN[:-3], IMAGES_BIN)),
    "binary images cut off": (InputError, "cut off", _binary(CAMERAS_BIN, IMAGES_BIN[:-3])),
    "binary of billions": (InputError, "more entries", _binary(b"\xff" * 8 + CAMERAS_BIN[8:], IMAGES_BIN)),
    "billions of points": (
        InputError,
        "cut off",
        _binary(CAMERAS_BIN, IMAGES_BIN.replace(b".jpg\0" + b"\1" + b"\0" * 7, b".jpg\0" + b"\xff" * 8)),
    ),
    "a name without end": (InputError, "without an end", _binary(CAMERAS_BIN, IMAGES_BIN[:80])),
}


@pytest.mark.parametrize("harm", BAD)
def test_bad_models_harm_nothing(tmp_path: Path, harm: str) -> None:
    src, out = tmp_path / "src", tmp_path / "out"
    write_colmap(src)
    (out / "earlier").mkdir(parents=True)
    expected, says, spoil = BAD[harm]
    spoil(src)
    with pytest.raises(expected, match=says):
        import_colmap(src, out / "session", ColmapOptions(scale=1.0, world_up="+z"))
    assert [path.name for path in out.iterdir()] == ["earlier"]


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_a_scale_that_cannot_be(tmp_path: Path, scale: float) -> None:
    write_colmap(tmp_path / "src")
    with pytest.raises(ConfigError, match="scale"):
        import_colmap(tmp_path / "src", tmp_path / "s", ColmapOptions(scale=scale, world_up="+z"))


def test_quaternions_are_scipys(tmp_path: Path) -> None:
    """The tests' own writer goes the way back by another library."""
    truth = write_colmap(tmp_path / "src")
    _, images = read_model(tmp_path / "src/sparse/0")
    for image, camera in zip(images, truth):
        turn = Rotation.from_matrix(image.viewmat[:3, :3].T @ camera.viewmat[:3, :3])
        np.testing.assert_allclose(turn.apply([0, 1, 0]), [0, 0, 1], atol=1e-9)


def test_an_image_that_is_missing_costs_its_camera(tmp_path: Path) -> None:
    truth = write_colmap(tmp_path / "src")
    (tmp_path / "src/images/1.png").unlink()
    session = import_colmap(tmp_path / "src", tmp_path / "s", ColmapOptions(scale=1.0, world_up="+z"))
    assert_cameras_are(session.cameras, (truth[0], truth[2]))
    assert "1 images of the model are missing: left out (1.png and on)" in session.notes
