"""The calibrate commands say what is wrong, and write what was found."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from recon.calibrate import read_calibration
from simulacra.tools.cli import main

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
    assert main(["calibrate", "colours", str(tmp_path / "src")]) == 2
    assert "neither" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
