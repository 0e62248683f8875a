"""EasyMocap's files mean what OpenCV means by them; units are asked for; damaged ones are named errors."""

import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from simulacra.recon.importers.foreign_text import read_yaml
from simulacra.recon.importers.opencv_yaml import import_opencv_yaml
from simulacra.recon.importers.options import OpencvYamlOptions
from simulacra.recon.session import Lens
from simulacra.render.image import write_image
from simulacra.render.runtime.errors import CalibrationError, InputError
from tests.recon.ellipsoid_person import SIZE, frame_number
from tests.recon.importers.foreign_captures import assert_cameras_are, opencv_matrix, write_easymocap


def test_cameras_and_images_come_back(tmp_path: Path) -> None:
    truth = write_easymocap(tmp_path / "src")
    session = import_opencv_yaml(
        tmp_path / "src", tmp_path / "session", OpencvYamlOptions(units="m", world_up="+z")
    )
    assert session.camera_names == ("01", "02", "03") and session.frame_indices == (0, 1, 2)
    assert_cameras_are(session.cameras, truth)
    assert [frame_number(session.image(k, "02")) for k in (0, 1, 2)] == [0, 1, 2]
    source, copied = tmp_path / "src/images/02/000008.png", session.root / "images/02/000001.png"
    assert copied.read_bytes() == source.read_bytes()


def test_up_is_measured_unless_it_is_said(tmp_path: Path) -> None:
    truth = write_easymocap(tmp_path / "src")
    assert_cameras_are(
        import_opencv_yaml(tmp_path / "src", tmp_path / "a", OpencvYamlOptions(units="m")).cameras, truth
    )
    lying = import_opencv_yaml(tmp_path / "src", tmp_path / "b", OpencvYamlOptions(units="m", world_up="+y"))
    assert np.abs(lying.cameras[0].viewmat - truth[0].viewmat).max() > 0.5


@pytest.mark.parametrize(("units", "scale"), [("mm", 1000.0), ("cm", 100.0), ("m", 1.0)])
def test_units_are_what_is_said(tmp_path: Path, units: str, scale: float) -> None:
    truth = write_easymocap(tmp_path / "src", scale=scale, frames=1)
    session = import_opencv_yaml(
        tmp_path / "src", tmp_path / "s", OpencvYamlOptions(units=units, world_up="+z")
    )  # type: ignore[arg-type]
    assert_cameras_are(session.cameras, truth)
    turn = np.array(session.about["T_world_source"])[:3, :3]
    np.testing.assert_allclose(turn @ turn.T, np.eye(3) / scale**2, atol=1e-15)


def test_videos_a_lens_and_names_of_any_text(tmp_path: Path) -> None:
    lens = (-0.01, 0.001, 0.0002, -0.0001, 0.0)
    truth = write_easymocap(
        tmp_path / "src", video=True, frames=5, names=("front cam", "_2", "links"), distortion=lens
    )
    session = import_opencv_yaml(
        tmp_path / "src", tmp_path / "s", OpencvYamlOptions(units="m", world_up="+z", floor=0.25)
    )
    assert session.camera_names == ("front_cam", "cam_2", "links")
    assert session.cameras[1].lens == Lens("opencv", lens)
    centre = -session.cameras[2].viewmat[:3, :3].T @ session.cameras[2].viewmat[:3, 3]
    before = -truth[2].viewmat[:3, :3].T @ truth[2].viewmat[:3, 3]
    np.testing.assert_allclose(centre, before - [0, 0.25, 0], atol=1e-9)
    assert [frame_number(image) for image in session.iter_images("links", [0, 3, 4])] == [0, 3, 4]


def test_both_images_and_videos_ask(tmp_path: Path) -> None:
    write_easymocap(tmp_path / "src", frames=2)
    write_easymocap(tmp_path / "src", frames=3, video=True)
    with pytest.raises(InputError, match="--media images"):
        import_opencv_yaml(tmp_path / "src", tmp_path / "s", OpencvYamlOptions(units="m"))
    assert (
        len(
            import_opencv_yaml(
                tmp_path / "src", tmp_path / "i", OpencvYamlOptions(units="m", media="images")
            ).frames
        )
        == 2
    )
    assert (
        len(
            import_opencv_yaml(
                tmp_path / "src", tmp_path / "v", OpencvYamlOptions(units="m", media="videos")
            ).frames
        )
        == 3
    )


def test_the_reader_agrees_with_opencvs(tmp_path: Path) -> None:
    path = tmp_path / "made.yml"
    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    K = np.array([[1000.5, 0, 1e-7], [0, 1e3, 540], [0, 0, 1]])
    storage.write("K_1", K)
    storage.write("some", 3)
    storage.release()
    found = read_yaml(path)
    assert found["some"] == "3" and found["K_1"]["rows"] == "3"
    np.testing.assert_array_equal(np.array(found["K_1"]["data"], float).reshape(3, 3), K)


def test_images_of_one_moment_are_found_by_their_numbers(tmp_path: Path) -> None:
    """A frame that one camera lacks is missing there and nowhere else."""
    write_easymocap(tmp_path / "src", frames=3)
    for camera in ("01", "02", "03"):
        for path in sorted((tmp_path / "src/images" / camera).iterdir()):
            path.rename(path.with_name(f"take2_{camera}_{int(path.stem)}.png"))
    (tmp_path / "src/images/02/take2_02_8.png").unlink()
    session = import_opencv_yaml(tmp_path / "src", tmp_path / "s", OpencvYamlOptions(units="m"))
    assert [session.has(k, "02") for k in (0, 1, 2)] == [True, False, True]
    assert frame_number(session.image(2, "02")) == frame_number(session.image(2, "01")) == 2
    assert "02 missed 1 of 3 frames" in session.notes


def _replace(name: str, old: str, new: str) -> Callable[[Path], object]:
    def edit(src: Path) -> None:
        text = (src / name).read_text()
        assert old in text
        (src / name).write_text(text.replace(old, new, 1))

    return edit


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(12)
)
VECTOR = "R_01: !!opencv-matrix\n   rows: 3\n   cols: 1\n   dt: d\n   data: [ "
BAD: dict[str, tuple[type[Exception], str, Callable[[Path], object]]] = {
    "no intrinsics": (InputError, "missing", lambda src: (src / "intri.yml").unlink()),
    "not YAML": (InputError, "not YAML", lambda src: (src / "intri.yml").write_text("a: [1, 2")),
    "empty": (InputError, "not YAML", lambda src: (src / "extri.yml").write_text("")),
    "bytes": (InputError, "cannot be read", lambda src: (src / "extri.yml").write_bytes(b"\xff\xfe\xfa")),
    "a list": (CalibrationError, "not a table", lambda src: (src / "extri.yml").write_text("- 1\n")),
    "a bomb": (InputError, "alias", lambda src: (src / "intri.yml").write_text(BOMB)),
    "deep": (InputError, "levels deep", lambda src: (src / "intri.yml").write_text("a: " + "[" * 5000)),
    "a key twice": (
        InputError,
        "twice",
        lambda src: (src / "intri.yml").write_text((src / "intri.yml").read_text() + "names: []\n"),
    ),
    "K not finite": (CalibrationError, "K_01", _replace("intri.yml", "data: [ ", "data: [ .nan, ")),
    "K of another size": (CalibrationError, "shape", _replace("intri.yml", "rows: 3", "rows: 4")),
    "no place": (InputError, "no camera has", lambda src: (src / "extri.yml").write_text("names:\n  - '01'\n")),
    "rotations differ": (CalibrationError, "differ", _replace("extri.yml", VECTOR, f"{VECTOR}0.5, 0., 0. ]\nrest: [ ")),
    "no images": (InputError, "neither images nor videos", lambda src: shutil.rmtree(src / "images")),
    "another name": (InputError, "belong", lambda src: (src / "images/02").rename(src / "images/x")),
    "an image of another size": (
        InputError,
        "size",
        lambda src: write_image(src / "images/02/000008.png", np.zeros((8, 8, 3), np.float32)),
    ),
    "images at half the size": (
        CalibrationError,
        "far from the middle",
        lambda src: [
            write_image(path, np.zeros((SIZE // 3, SIZE // 3, 3), np.float32)) for path in src.glob("images/*/*.png")
        ],
    ),
    "a link out of it": (
        InputError,
        "outside",
        lambda src: (
            (src / "images/02/000008.png").rename(src.parent / "x.png"),
            (src / "images/02/000008.png").symlink_to(src.parent / "x.png"),
        ),
    ),
}  # fmt: skip


@pytest.mark.parametrize("harm", BAD)
def test_bad_captures_harm_nothing(tmp_path: Path, harm: str) -> None:
    src, out = tmp_path / "src", tmp_path / "out"
    write_easymocap(src, frames=2)
    (out / "earlier").mkdir(parents=True)
    expected, says, spoil = BAD[harm]
    spoil(src)
    with pytest.raises(expected, match=says):
        import_opencv_yaml(src, out / "session", OpencvYamlOptions(units="m"))
    assert [path.name for path in out.iterdir()] == ["earlier"]


def test_a_size_in_the_file_is_held_against_the_images(tmp_path: Path) -> None:
    write_easymocap(tmp_path / "src", frames=1)
    path = tmp_path / "src/intri.yml"
    path.write_text(path.read_text() + f"W_01: {SIZE}\nH_01: {SIZE + 1}\n")
    with pytest.raises(CalibrationError, match="another image size"):
        import_opencv_yaml(tmp_path / "src", tmp_path / "s", OpencvYamlOptions(units="m"))


def test_a_vector_alone_and_a_matrix_alone_are_one(tmp_path: Path) -> None:
    truth = write_easymocap(tmp_path / "src", frames=1)
    text = (tmp_path / "src/extri.yml").read_text()
    for number, drop in enumerate(("R_01", "Rot_01")):
        (tmp_path / "src/extri.yml").write_text(text.replace(f"{drop}:", f"unused_{drop}:"))
        session = import_opencv_yaml(
            tmp_path / "src", tmp_path / f"s{number}", OpencvYamlOptions(units="m", world_up="+z")
        )
        assert_cameras_are(session.cameras, truth)
    (tmp_path / "src/extri.yml").write_text(text.replace("R_01:", "a:").replace("Rot_01:", "b:"))
    with pytest.raises(CalibrationError, match="neither"):
        import_opencv_yaml(tmp_path / "src", tmp_path / "s", OpencvYamlOptions(units="m", world_up="+z"))


def test_a_matrix_is_written_as_opencv_writes_it(tmp_path: Path) -> None:
    """The tests' own writer, against OpenCV's reader."""
    (tmp_path / "m.yml").write_text("%YAML:1.0\n---\n" + opencv_matrix("K", np.arange(6.0).reshape(2, 3) / 3))
    storage = cv2.FileStorage(str(tmp_path / "m.yml"), cv2.FILE_STORAGE_READ)
    np.testing.assert_allclose(storage.getNode("K").mat(), np.arange(6.0).reshape(2, 3) / 3, atol=1e-11)


def test_what_is_missing_of_a_camera_costs_that_camera(tmp_path: Path) -> None:
    truth = write_easymocap(tmp_path / "src", frames=1)
    _replace("intri.yml", "K_02", "F_02")(tmp_path / "src")
    session = import_opencv_yaml(
        tmp_path / "src", tmp_path / "s", OpencvYamlOptions(units="m", world_up="+z")
    )
    assert_cameras_are(session.cameras, (truth[0], truth[2]))
    said = "\n".join(session.notes)
    assert "02 has no K_02: left out" in said and "not used of intri.yml: F_02" in said
    assert "02 has no calibration: left out" in said
    shutil.rmtree(tmp_path / "src/images/02")
    shutil.rmtree(tmp_path / "src/images/03")
    session = import_opencv_yaml(
        tmp_path / "src", tmp_path / "t", OpencvYamlOptions(units="m", world_up="+z")
    )
    assert session.camera_names == ("01",) and "03 is calibrated and has no images: left out" in session.notes


def test_endings_in_capitals(tmp_path: Path) -> None:
    """As GoPro, Sony and iPhones name their videos; a session's are in small letters."""
    write_easymocap(tmp_path / "src", video=True, frames=2)
    videos = tmp_path / "src/videos"
    for path, name in zip(sorted(videos.iterdir()), ("1.MP4", "2.MOV", "3.Mp4")):
        path.rename(videos / name)
    session = import_opencv_yaml(tmp_path / "src", tmp_path / "s", OpencvYamlOptions(units="m"))
    assert {path.name for path in (session.root / "videos").iterdir()} == {"01.mp4", "02.mov", "03.mp4"}
    assert "found videos of 3 of 3 cameras in videos: 1.MP4, 2.MOV, 3.Mp4" in session.notes
