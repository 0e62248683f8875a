"""Pictures without a calibration: what is asked for, which frames are chosen, how a scale is found, what is lost."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import simulacra.recon.importers.images as images_module
from simulacra.recon.importers.chosen_frames import choose_frames, measure_sharpness, read_frames, sharpness
from simulacra.recon.importers.images import import_images
from simulacra.recon.importers.options import ImagesOptions
from simulacra.recon.importers.structure_from_motion import SolvedView, Structure, picture_pairs
from simulacra.recon.observe.stature import extremes, stature_of
from simulacra.recon.session import SessionCamera
from simulacra.render.image import write_image
from simulacra.render.runtime.errors import CaptureError, ConfigError, InputError, MissingExtraError
from tests.recon.ellipsoid_person import STATURE, frame_number, picture, ring, write_video


def write_turn_around(folder: Path, count: int = 8) -> tuple[SessionCamera, ...]:
    """Images of the ellipsoid person from all round, numbered."""
    made = ring(count)
    for number, camera in enumerate(made):
        write_image(folder / f"photo{number:02d}.png", picture(camera, number)[0])
    return made


def solved_by(
    cameras: Sequence[SessionCamera], monkeypatch: pytest.MonkeyPatch, lost: Mapping[int, str] | None = None
) -> None:
    """Structure from motion that knows the answer, in a world of its own: a third as large, turned and shifted."""
    T = np.eye(4)
    T[:3, :3] = [[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]
    T[:3, 3] = [0.3, -1, 2]

    def solve(folder: Path, names: list[str], work: Path, **options: object) -> Structure:
        views = {}
        for number, name in enumerate(names):
            viewmat = cameras[number].viewmat @ np.linalg.inv(T)
            viewmat[:3, 3] /= 3
            views[name] = SolvedView(cameras[number].K, None, viewmat)
        gone = {names[number]: why for number, why in (lost or {}).items()}
        return Structure(
            {n: v for n, v in views.items() if n not in gone}, np.zeros((5, 3)), 0.4, 90, gone, 1
        )

    monkeypatch.setattr(images_module, "structure_from_motion", solve)


def test_what_pictures_cannot_say_is_asked_for(tmp_path: Path) -> None:
    write_turn_around(tmp_path / "src")
    for arguments, said in (
        ({"still_person": True}, "no scale"),
        ({"still_person": True, "stature": 1.7, "metres_per_unit": 1.0}, "no scale"),
        ({"still_person": True, "stature": 170.0}, r"0\.4\.\.2\.6 \(metres\)"),
        ({"still_person": True, "metres_per_unit": -1.0}, r"1e-6\.\.1e6"),
        ({"metres_per_unit": 1.0}, "stood still"),
        ({"still_person": True, "metres_per_unit": 1.0, "count": 1}, r"3\.\.400"),
    ):
        with pytest.raises((InputError, ConfigError), match=said):
            import_images(tmp_path / "src", tmp_path / "s", ImagesOptions(**arguments))  # type: ignore[arg-type]
    assert [path.name for path in tmp_path.iterdir()] == ["src"]


def test_a_turn_around_becomes_cameras_of_one_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scale as said; up from the horizons; every picture with its own camera."""
    made = write_turn_around(tmp_path / "src")
    solved_by(made, monkeypatch)
    session = import_images(
        tmp_path / "src", tmp_path / "s", ImagesOptions(still_person=True, metres_per_unit=3.0)
    )
    assert session.camera_names == tuple(f"v{i:03d}" for i in range(8)) and session.frame_indices == (0,)
    centres = []
    for number, camera in enumerate(session.cameras):
        assert frame_number(session.image(0, camera.name)) == number
        centres.append(-camera.viewmat[:3, :3].T @ camera.viewmat[:3, 3])
        assert camera.viewmat[1, 1] < -0.9  # the world is upright again
    true = np.array([-camera.viewmat[:3, :3].T @ camera.viewmat[:3, 3] for camera in made])
    distances = np.linalg.norm(np.diff(np.array(centres), axis=0), axis=1)
    np.testing.assert_allclose(distances, np.linalg.norm(np.diff(true, axis=0), axis=1), rtol=1e-9)
    assert any("8 of 8 pictures" in note for note in session.notes)
    assert any("few points, 90 in a median one" in note for note in session.notes)


def test_a_rig_is_placed_from_one_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = ring(3)
    for camera in made:
        for frame in range(2):
            write_image(tmp_path / f"src/images/cam {camera.name}/{frame + 4}.png", picture(camera, frame)[0])
    solved_by(made, monkeypatch)
    session = import_images(tmp_path / "src", tmp_path / "s", ImagesOptions(metres_per_unit=3.0, moment=1))
    assert session.camera_names == ("cam_0", "cam_1", "cam_2")
    assert {frame_number(session.image(0, name)) for name in session.camera_names} == {1}
    with pytest.raises(InputError, match="moment 7"):
        import_images(tmp_path / "src", tmp_path / "other", ImagesOptions(metres_per_unit=3.0, moment=7))
    solved_by(made, monkeypatch, {1: "9 features"})
    with pytest.raises(CaptureError, match="only 2 of 3 pictures") as caught:
        import_images(tmp_path / "src", tmp_path / "other", ImagesOptions(metres_per_unit=3.0))
    assert "cam 1: 9 features" in str(caught.value) and "board" in str(caught.value)


def test_lost_pictures_are_named_and_too_many_are_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = write_turn_around(tmp_path / "src")
    solved_by(made, monkeypatch, {2: "40 features, 0 other pictures match"})
    session = import_images(
        tmp_path / "src", tmp_path / "s", ImagesOptions(still_person=True, metres_per_unit=1.0)
    )
    assert "v002" not in session.camera_names and len(session.cameras) == 7
    assert "left out: photo02.png: 40 features, 0 other pictures match" in session.notes
    solved_by(made, monkeypatch, dict.fromkeys(range(4), "blurred"))
    with pytest.raises(CaptureError, match="only 4 of 8") as caught:
        import_images(
            tmp_path / "src", tmp_path / "none", ImagesOptions(still_person=True, metres_per_unit=1.0)
        )
    assert "photo03.png: blurred" in str(caught.value) and not (tmp_path / "none").exists()


def test_pictures_are_taken_as_they_are_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """EXIF's turn is carried out; pictures without are taken as the file is, bit for bit."""
    made = write_turn_around(tmp_path / "src", 4)
    solved_by(made, monkeypatch)
    for orientation, turns in ((1, 0), (6, 1), (8, 3), (3, 2)):
        for number in range(4):
            pixels = (picture(made[number], number)[0] * 255).astype(np.uint8)
            exif = Image.Exif()
            exif[0x0112] = orientation
            path = tmp_path / f"src/photo{number:02d}.png"
            Image.fromarray(np.rot90(pixels, turns)).save(path, exif=exif)
        session = import_images(
            tmp_path / "src",
            tmp_path / f"s{orientation}",
            ImagesOptions(still_person=True, metres_per_unit=1.0),
        )
        assert [frame_number(session.image(0, name)) for name in session.camera_names] == [0, 1, 2, 3]
        stored = (session.root / "images/v000/000000.png").read_bytes()
        assert (stored == (tmp_path / "src/photo00.png").read_bytes()) == (orientation == 1)


def test_the_sharpest_frames_are_taken_evenly() -> None:
    rng = np.random.default_rng(0)
    sharpnesses = rng.random(100)
    chosen = choose_frames(sharpnesses, 10)
    assert len(chosen) == 10
    for number, stretch in zip(chosen, np.arange(100).reshape(10, 10)):
        middle = stretch[3:8]
        assert number == middle[sharpnesses[middle].argmax()]
    assert choose_frames(sharpnesses[:7], 10) == list(range(7))
    assert choose_frames(sharpnesses[:11], 10) == sorted(set(choose_frames(sharpnesses[:11], 10)))


def test_frames_of_a_video_are_judged_and_read(tmp_path: Path) -> None:
    import cv2

    shots = [picture(ring(1)[0], frame)[0] for frame in range(12)]
    blurred = [shot if i % 3 == 1 else cv2.GaussianBlur(shot, (0, 0), 3) for i, shot in enumerate(shots)]
    write_video(tmp_path / "v.mp4", blurred)
    sharpnesses = measure_sharpness(tmp_path / "v.mp4")
    assert len(sharpnesses) == 12 and min(sharpnesses[1::3]) > 2 * max(sharpnesses[0::3])
    assert [i for i in choose_frames(sharpnesses, 4) if i % 3 != 1] == []
    found = [frame_number(p / 255) for p in read_frames(tmp_path / "v.mp4", [1, 4, 10])]
    assert found == [1, 4, 10]
    assert sharpness(np.zeros((50, 40, 3), np.uint8)) == 0


def test_bad_pictures_harm_nothing(tmp_path: Path) -> None:
    arguments = {"still_person": True, "metres_per_unit": 1.0}
    src = tmp_path / "src"
    write_turn_around(src)
    (tmp_path / "film.mp4").write_bytes(b"no film")
    (tmp_path / "film.txt").write_bytes(b"no film")
    (tmp_path / "empty").mkdir()
    for path, said in (
        (tmp_path / "film.mp4", "cannot be read"),
        (tmp_path / "film.txt", "not a video"),
        (tmp_path / "none", "no pictures"),
        (tmp_path / "empty", "which pictures belong"),
    ):
        with pytest.raises(InputError, match=said):
            import_images(path, tmp_path / "s", ImagesOptions(**arguments))  # type: ignore[arg-type]
    write_video(tmp_path / "cut.mp4", [picture(ring(1)[0], i)[0] for i in range(20)], movflags="faststart")
    content = (tmp_path / "cut.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(content[: int(0.6 * len(content))])
    with pytest.raises(InputError):
        import_images(tmp_path / "cut.mp4", tmp_path / "s", ImagesOptions(**arguments))  # type: ignore[arg-type]
    Image.new("RGB", (40, 40)).save(src / "photo03.png")
    with pytest.raises(InputError, match="different sizes"):
        import_images(src, tmp_path / "s", ImagesOptions(**arguments))  # type: ignore[arg-type]
    (src / "photo03.png").write_bytes(b"\x89PNG\r\n")
    with pytest.raises(InputError, match="cannot be read"):
        import_images(src, tmp_path / "s", ImagesOptions(**arguments))  # type: ignore[arg-type]
    assert not (tmp_path / "s").exists() and not list(tmp_path.glob(".s*"))


def test_without_pycolmap_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_turn_around(tmp_path / "src")
    monkeypatch.setitem(__import__("sys").modules, "pycolmap", None)
    with pytest.raises(MissingExtraError, match=r"simulacra\[sfm\]"):
        import_images(tmp_path / "src", tmp_path / "s", ImagesOptions(still_person=True, metres_per_unit=1.0))


def test_pairs_of_a_long_row_close_the_ring() -> None:
    pairs = picture_pairs(90)
    assert len(pairs) == len(set(pairs)) < 90 * 89 / 2 / 4
    assert (0, 89) in pairs and (0, 1) in pairs and (0, 42) in pairs and (3, 40) not in pairs
    assert all(0 <= i < j < 90 for i, j in pairs)


# -- stature ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1.0, 0.2])
def test_a_stature_is_measured_from_silhouettes(scale: float) -> None:
    cameras, seen = [], {}
    for camera in ring(8, size=256, radius=3.4):
        mask = picture(camera)[1] > 0.5
        hip = camera.K @ (camera.viewmat[:3] @ np.array([0, 0.9, 0, 1.0]))
        silhouette = extremes(mask, hip[:2] / hip[2])
        assert silhouette is not None
        seen[camera.name] = silhouette
        viewmat = camera.viewmat.copy()
        viewmat[:3, 3] *= scale
        cameras.append(replace(camera, viewmat=viewmat))
    found = stature_of(cameras, seen)
    # Feet stick out towards the cameras and look lower than they are: 1.5 % here.
    assert found.height == pytest.approx(scale * STATURE, rel=0.02)
    assert found.bottom == pytest.approx(0, abs=0.03 * scale) and found.views == 8
    wrong = {name: replace(one, top=one.bottom - 3 * i) for i, (name, one) in enumerate(seen.items())}
    with pytest.raises(CaptureError, match="do not agree"):
        stature_of(cameras, wrong)
    with pytest.raises(CaptureError, match="too few"):
        stature_of(cameras[:2], seen)


def test_a_silhouette_that_is_cut_off_says_nothing() -> None:
    mask = np.zeros((40, 30), bool)
    mask[5:35, 10:20] = True
    whole = extremes(mask, np.array([15.0, 20.0]))
    assert whole is not None
    np.testing.assert_allclose([whole.top, whole.bottom], [[15, 5], [15, 35]])
    mask[35:] = True
    assert extremes(mask, np.array([15.0, 20.0])) is None
    assert extremes(np.zeros((40, 30), bool), np.array([15.0, 20.0])) is None


def test_scale_and_floor_by_stature(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that sees the ellipsoid person as it is: cameras come back in metres, over the floor."""
    made = ring(6, size=128)
    for number, camera in enumerate(made):
        write_image(tmp_path / f"src/{number}.png", picture(camera)[0])
    solved_by(made, monkeypatch)

    class Seen:
        def __init__(self, camera: SessionCamera) -> None:
            self.mask = picture(camera)[1]
            hip = camera.K @ (camera.viewmat[:3] @ np.array([0, 0.9, 0, 1.0]))
            self.px = np.tile(hip[:2] / hip[2], (33, 1))

    looked: list[int] = []

    def network() -> Callable[[np.ndarray], Seen]:
        def look(image: np.ndarray) -> Seen:
            looked.append(len(looked))
            return Seen(made[looked[-1]])

        return look

    monkeypatch.setattr("simulacra.recon.observe.stature.PoseNetwork", network)
    session = import_images(
        tmp_path / "src", tmp_path / "s", ImagesOptions(still_person=True, stature=STATURE)
    )
    for camera, truth in zip(session.cameras, made):
        centre = -camera.viewmat[:3, :3].T @ camera.viewmat[:3, 3]
        true = -truth.viewmat[:3, :3].T @ truth.viewmat[:3, 3]
        assert centre[1] == pytest.approx(true[1], abs=0.03)
    assert any("stature of 1.7 m" in note for note in session.notes)
