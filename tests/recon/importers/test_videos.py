"""Four phones and a board: three commands to a report, of which this is the first; poses are the planted ones."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from simulacra.recon.importers.options import VideosOptions
from simulacra.recon.importers.videos import find_camera_videos, import_videos
from simulacra.recon.session import Session
from simulacra.render.runtime.errors import CalibrationError, InputError
from simulacra.tools.cli import main
from tests.recon.ellipsoid_person import write_video
from tests.recon.importers.foreign_captures import assert_cameras_are, write_calibrated_videos

WIDTH, HEIGHT, FOCAL = 640, 480, 560.0
COLUMNS, ROWS, SQUARE = 7, 5, 0.06
BOARD = f'kind = "charuco"\ncolumns = {COLUMNS}\nrows = {ROWS}\nsquare_m = {SQUARE}\n'
PRINTED_PX = 40
NAMES = ("left", "middle", "right")
K = np.array([[FOCAL, 0, WIDTH / 2], [0, FOCAL, HEIGHT / 2], [0, 0, 1.0]])


def planted_viewmats() -> list[np.ndarray]:
    """Level cameras of a y-up world that stand 1.1 m from its axis, 25 degrees apart, and look at (0, 1, 0)."""
    viewmats = []
    for degrees in (-25.0, 0.0, 25.0):
        turn = Rotation.from_euler("y", degrees, degrees=True).as_matrix()
        T = np.eye(4)
        T[:3, :3] = turn @ np.diag([1.0, -1.0, -1.0])
        T[:3, 3] = turn @ [0, 0, 1.1] + [0, 1.0, 0]
        viewmats.append(np.linalg.inv(T))
    return viewmats


def printed() -> np.ndarray:
    dictionary = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_50)
    board = cv2.aruco.CharucoBoard((COLUMNS, ROWS), SQUARE, 0.75 * SQUARE, dictionary)
    return board.generateImage((COLUMNS * PRINTED_PX, ROWS * PRINTED_PX))


def draw_board(viewmat: np.ndarray, T_world_board: np.ndarray, paper: np.ndarray) -> np.ndarray:
    """The board as a pinhole camera sees it, in 0..1; pixels of the print are of SQUARE / PRINTED_PX metres."""
    T = viewmat @ T_world_board
    unit = np.diag([SQUARE / PRINTED_PX, SQUARE / PRINTED_PX, 1.0])
    # OpenCV's pixels have their centres at whole numbers, in the print and in the picture.
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1.0]])
    H = np.linalg.inv(half) @ K @ np.column_stack([T[:3, 0], T[:3, 1], T[:3, 3]]) @ unit @ half
    flat = cv2.warpPerspective(paper, H, (WIDTH, HEIGHT), flags=cv2.INTER_AREA, borderValue=200)
    return np.repeat(flat[..., None].astype(np.float32) / 255, 3, axis=2)


def write_phones(folder: Path) -> None:
    """left.MOV and on of a grey room, and board/left/IMG_0007.MOV and on of a board that is turned and moved."""
    paper, rng = printed(), np.random.default_rng(3)
    moments = []
    for _ in range(14):
        T = np.eye(4)
        turn = Rotation.from_euler(
            "xyz", rng.uniform([-35, -35, -40], [35, 35, 40]), degrees=True
        ).as_matrix()
        T[:3, :3] = turn @ np.diag([1.0, -1.0, -1.0])
        middle = np.array([COLUMNS * SQUARE / 2, ROWS * SQUARE / 2, 0])
        T[:3, 3] = rng.uniform([-0.12, 0.9, -0.1], [0.12, 1.1, 0.1]) - T[:3, :3] @ middle
        moments.append(T)
    for number, (name, viewmat) in enumerate(zip(NAMES, planted_viewmats())):
        shots = [draw_board(viewmat, T, paper) for T in moments]
        write_video(folder / f"board/{name}/IMG_000{number}.mp4", shots)
        write_video(folder / f"{name}.mp4", [np.full((HEIGHT, WIDTH, 3), 0.5, np.float32)] * 3)
        (folder / f"{name}.mp4").rename(folder / f"{name}.MOV")
    (folder / "board/board.toml").write_text(BOARD)


@pytest.fixture(scope="module")
def phones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phones")
    write_phones(folder)
    return folder


@pytest.fixture(scope="module")
def session(phones: Path, tmp_path_factory: pytest.TempPathFactory) -> Session:
    return import_videos(phones, tmp_path_factory.mktemp("made") / "s", VideosOptions())


def test_cameras_stand_as_they_were_planted(session: Session) -> None:
    """A focal length that is off by 1 % moves its camera by as much of the 1.1 m to the board, and no turn by much."""
    assert session.camera_names == NAMES and len(session.frames) == 3
    found, truth = [camera.viewmat for camera in session.cameras], planted_viewmats()
    for a, b in ((0, 1), (1, 2)):
        relative = (found[a] @ np.linalg.inv(found[b])) @ np.linalg.inv(truth[a] @ np.linalg.inv(truth[b]))
        assert np.linalg.norm(relative[:3, 3]) < 0.011
        assert np.degrees(Rotation.from_matrix(relative[:3, :3]).magnitude()) < 0.2
    for camera in session.cameras:
        np.testing.assert_allclose(np.diag(camera.K)[:2], FOCAL, rtol=0.01)
        assert camera.viewmat[1, :3] @ [0, 1, 0] < -0.99
    assert any(
        note.startswith("found videos of 3 of 3 cameras in board: left/IMG_0000.mp4")
        for note in session.notes
    )


def test_without_a_board_it_is_said_how_to_record_one(
    phones: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in NAMES:
        shutil.copy(phones / f"{name}.MOV", tmp_path / f"{name}.MOV")
    assert main(["import", str(tmp_path), str(tmp_path / "s")]) == 2
    said = capsys.readouterr().err
    assert "is of the layout videos: 3 videos" in said and "--board DIR" in said and "square_m" in said
    (tmp_path / "board").mkdir()
    with pytest.raises(InputError, match="what is on the board"):
        import_videos(tmp_path, tmp_path / "s", VideosOptions(board=tmp_path / "board"))
    (tmp_path / "board/board.toml").write_text(BOARD)
    with pytest.raises(InputError, match="no recording of the board"):
        import_videos(tmp_path, tmp_path / "s", VideosOptions())
    shutil.copy(phones / "board/left/IMG_0000.mp4", tmp_path / "board/IMG_0000.mp4")
    with pytest.raises(InputError, match="called as those of the person"):
        import_videos(tmp_path, tmp_path / "s", VideosOptions())


def test_a_calibration_that_is_there_is_taken(tmp_path: Path) -> None:
    truth = write_calibrated_videos(tmp_path / "src", cameras=3)
    path = tmp_path / "src/board/calibration.json"
    described = json.loads(path.read_text())
    described["cameras"].pop()
    path.write_text(json.dumps(described))
    made = import_videos(tmp_path / "src", tmp_path / "s", VideosOptions())
    assert_cameras_are(made.cameras, truth[:2])
    assert "2.mp4 has no calibration: left out" in made.notes
    path.write_text(json.dumps({**described, "posed": False}))
    with pytest.raises(InputError, match="lenses only"):
        import_videos(tmp_path / "src", tmp_path / "t", VideosOptions())
    described["cameras"][0]["width"] = 97
    path.write_text(json.dumps(described))
    with pytest.raises(CalibrationError, match="another image size"):
        import_videos(tmp_path / "src", tmp_path / "t", VideosOptions())


def test_a_camera_is_called_as_its_video_or_its_folder(tmp_path: Path) -> None:
    for name in ("a/IMG_1.MOV", "b/IMG_1.MOV", "board/a/IMG_2.MOV"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert list(find_camera_videos(tmp_path, tmp_path / "board")) == ["a", "b"]
    (tmp_path / "b/IMG_2.MOV").write_bytes(b"")
    with pytest.raises(InputError, match="one name"):
        find_camera_videos(tmp_path, tmp_path / "board")
