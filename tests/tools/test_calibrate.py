"""The calibrate commands say what is wrong, and write what was found."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from simulacra.recon.calibrate import read_calibration
from simulacra.recon.importers.building import new_session_folder, write_session
from simulacra.recon.multiview.rig import CameraRig
from simulacra.recon.observe import Observations, save_observations
from simulacra.recon.session import Frame, Lens, SessionCamera, Source, load_session
from simulacra.tools.cli import main
from tests.recon.calibrate.planted_people import CAMERAS, Scene, planted_scene

BOARD = 'kind = "chessboard"\ncolumns = 7\nrows = 4\nsquare_m = 0.06\n'


def _photographs(folder: Path, count: int = 8) -> None:
    """A chessboard turned and tilted before a camera of focal length 500 that looks at 640 x 480."""
    y, x = np.mgrid[:200, :320] // 40
    printed = np.pad(((x + y) % 2 * 255).astype(np.uint8), 40, constant_values=255)
    K = np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]])
    generator = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for number in range(count):
        turn, _ = cv2.Rodrigues(generator.uniform(-0.6, 0.6, 3))
        to_metres = np.array([[0.0015, 0, -0.3], [0, 0.0015, -0.21], [0, 0, 1]])
        pose = np.column_stack([turn[:, 0], turn[:, 1], [*generator.uniform(-0.05, 0.05, 2), 0.75]])
        image = cv2.warpPerspective(
            printed, K @ pose @ to_metres, (640, 480), borderValue=128, flags=cv2.INTER_AREA
        )
        cv2.imwrite(str(folder / f"{number}.png"), cv2.GaussianBlur(image, (0, 0), 0.7))


def test_photographs_of_a_board_make_a_lens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _photographs(tmp_path / "src/phone")
    (tmp_path / "board.toml").write_text(BOARD)
    words = [
        str(tmp_path / "src"),
        str(tmp_path / "out"),
        "--board",
        str(tmp_path / "board.toml"),
        "--lens",
        "0",
    ]
    assert main(["calibrate", "board", *words]) == 0
    said = capsys.readouterr().out
    assert "phone" in said and "only 8 views" in said
    cameras, posed = read_calibration(tmp_path / "out/calibration.json")
    assert not posed and cameras[0].K[0, 0] == pytest.approx(500, rel=0.01)
    np.testing.assert_allclose(cameras[0].K[:2, 2], [320.5, 240.5], atol=3)


def test_what_is_wrong_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "board.toml").write_text(BOARD)
    words = ["calibrate", "board", str(tmp_path / "src"), str(tmp_path / "out")]
    assert main([*words, "--board", str(tmp_path / "absent.toml")]) == 2
    assert main([*words, "--board", str(tmp_path / "board.toml")]) == 2
    assert (
        main([*words, "--board", str(tmp_path / "board.toml"), "--lenses-only", "--floor-moment", "3"]) == 2
    )
    assert (
        main(["calibrate", "apply", str(tmp_path / "no.json"), str(tmp_path / "src"), str(tmp_path / "out")])
        == 2
    )
    assert "neither" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def _session(folder: Path, rig: CameraRig, frames: int) -> None:
    """Cameras and frames whose pictures nobody looks at; one camera has a (practically straight) lens."""
    lenses = [Lens("opencv", (1e-6, 0.0, 0.0, 0.0)), None, None, None]
    cameras = [
        SessionCamera(name, 1000, 1000, rig.Ks[number], rig.viewmats[number], lenses[number])
        for number, name in enumerate(CAMERAS)
    ]
    sources = {name: f"images/{name}/000000.png" for name in CAMERAS}
    with new_session_folder(folder) as work:
        for file in sources.values():
            (work / file).parent.mkdir(parents=True)
            (work / file).write_bytes(b"a picture")
        write_session(
            work, cameras, [Frame(i, {n: Source(f, None, i / 30) for n, f in sources.items()}) for i in range(frames)],
            importer="test", arguments={}, notes=["before"], T_world_source=np.eye(4), source=folder,
        )  # fmt: skip


def _seen(folder: Path, scene: Scene) -> None:
    count, cameras = scene.body.detections.confidence.shape[:2]
    folder.mkdir()
    save_observations(
        Observations(
            frames=np.arange(count),
            cameras=CAMERAS,
            pose_px=scene.body.detections.pixels.astype(np.float32),
            pose_visibility=scene.body.detections.confidence.astype(np.float32),
            pose_spread_px=np.zeros((count, cameras, 33), np.float32),
            pose_score=np.ones((count, cameras), np.float32),
            face_px=np.full((count, cameras, 478, 2), np.nan, np.float32),
            face_score=np.zeros((count, cameras), np.float32),
            hand_px=np.full((count, cameras, 2, 21, 2), np.nan, np.float32),
            hand_score=np.zeros((count, cameras, 2), np.float32),
            mask_sources=dict.fromkeys(CAMERAS, ("none",) * count),
        ),
        folder,
    )


def test_a_rig_that_went_off_is_adjusted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scene = planted_scene(0, frames=24, turn_deg=0.8, place_m=0.005, boards=0)
    _session(tmp_path / "session", scene.given, 24)
    _seen(tmp_path / "observe", scene)
    words = ["calibrate", "rig", str(tmp_path / "session"), "--observed", str(tmp_path / "observe")]
    assert main([*words, "--out", str(tmp_path / "new"), "--boards", str(tmp_path)]) == 2
    assert "belong together" in capsys.readouterr().err
    assert main([*words, "--out", str(tmp_path / "new")]) == 0
    assert "frames left out" in capsys.readouterr().out
    made, before = load_session(tmp_path / "new"), load_session(tmp_path / "session")
    assert before.notes == ("before",) and len(made.notes) == 2
    assert made.cameras[0].lens == before.cameras[0].lens
    rig = CameraRig(scene.given.intrinsics, np.stack([camera.viewmat for camera in made.cameras]))
    off = [np.sqrt((scene.errors(each, False)[0] ** 2).mean()) for each in (rig, scene.given)]
    assert off[0] < 0.5 * off[1]
    report = tmp_path / "new.calibration.json"
    assert json.loads(report.read_text())["left_out"]["frames"]["gain"] > 0.1
    cameras, posed = read_calibration(report)
    assert posed and [camera.name for camera in cameras] == list(CAMERAS)
    np.testing.assert_array_equal(cameras[1].viewmat, made.cameras[1].viewmat)
    # Nothing is overwritten, neither the session nor what lies beside it.
    assert main([*words, "--out", str(tmp_path / "new")]) == 2
    assert main([*words, "--out", str(report)]) == 2
