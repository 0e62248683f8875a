"""Boards are found in pictures where they were drawn, and nowhere else."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from simulacra.recon.calibrate.boards import Board, detect_board, read_board
from simulacra.render.runtime.errors import CalibrationError, InputError

CHARUCO = Board("charuco", 5, 4, 0.04, dictionary="DICT_4X4_50")
CHESS = Board("chessboard", 7, 4, 0.05)
SQUARE = 40  # pixels of the print


def _print(board: Board) -> np.ndarray:
    """The board as it is printed, one square being 40 pixels, with a margin of one."""
    if board.kind == "charuco":
        dictionary = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, board.dictionary))
        size = (board.columns, board.rows)
        drawn = cv2.aruco.CharucoBoard(size, 1.0, board.marker_part, dictionary).generateImage(
            (board.columns * SQUARE, board.rows * SQUARE), marginSize=0
        )
    else:
        y, x = np.mgrid[: (board.rows + 1) * SQUARE, : (board.columns + 1) * SQUARE] // SQUARE
        drawn = ((x + y) % 2 * 255).astype(np.uint8)
    drawn = np.pad(drawn, SQUARE, constant_values=255)
    return 255 - drawn if board.inverted else drawn


def _seen(board: Board, width: int = 640, height: int = 480) -> tuple[np.ndarray, np.ndarray]:
    """A picture of the board under a perspective, and where its corners are in it (our pixels)."""
    drawn = _print(board)
    h, w = drawn.shape
    target = np.array([[90.0, 70], [560, 110], [530, 420], [120, 380]])
    H = cv2.getPerspectiveTransform(
        np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float32), target.astype(np.float32)
    )
    # OpenCV's pixels have their centres at whole numbers; the areas of ours begin there.
    shift = np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1]])
    grey = 127 if not board.inverted else 60
    H_cv = shift @ H @ np.linalg.inv(shift)
    # Four times as fine and averaged: edges as a sensor with square pixels sees them.
    fine = np.diag([4.0, 4, 1])
    big = cv2.warpPerspective(
        drawn,
        shift @ fine @ H @ np.linalg.inv(shift),
        (4 * width, 4 * height),
        flags=cv2.INTER_LINEAR,
        borderValue=grey,
    )
    image = cv2.resize(big, (width, height), interpolation=cv2.INTER_AREA)
    assert H_cv.shape == (3, 3)
    inner = 0 if board.kind == "charuco" else 1
    places = (board.corners[:, :2] / board.square_m + inner + 1) * SQUARE
    projected = np.concatenate([places, np.ones((len(places), 1))], 1) @ H.T
    return np.repeat(image[..., None], 3, -1), projected[:, :2] / projected[:, 2:]


@pytest.mark.parametrize(
    "board",
    [CHARUCO, Board("charuco", 5, 4, 0.04, dictionary="DICT_4X4_50", inverted=True), CHESS],
    ids=["charuco", "inverted", "chessboard"],
)
def test_corners_lie_where_they_were_drawn(board: Board) -> None:
    image, expected = _seen(board)
    found = detect_board(image, board)
    assert found is not None and len(found.numbers) == len(board.corners)
    apart = np.linalg.norm(found.pixels - expected[found.numbers], axis=-1)
    if (
        board.kind == "chessboard"
    ):  # which end is first cannot be seen of every board: of this one it can, once
        apart = np.minimum(apart, np.linalg.norm(found.pixels - expected[::-1][found.numbers], axis=-1))
    # Half a pixel wrong, the usual mistake of conventions, would be 0.7 of one.
    assert np.median(apart) < 0.12 and apart.max() < 0.5
    assert 1 < found.edge_px < 5


def test_a_blurred_picture_has_wide_edges() -> None:
    image, _ = _seen(CHARUCO)
    sharp = detect_board(image, CHARUCO)
    blurred = detect_board(cv2.GaussianBlur(image, (0, 0), 2.0), CHARUCO)
    assert sharp is not None and blurred is not None
    assert blurred.edge_px > 1.8 * sharp.edge_px


def test_another_board_or_noise_is_none() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (480, 640, 3), dtype=np.uint8)
    image, _ = _seen(CHARUCO)
    for board in (CHARUCO, CHESS):
        assert detect_board(noise, board) is None
    assert detect_board(image, Board("charuco", 5, 4, 0.04, dictionary="DICT_6X6_50")) is None
    assert detect_board(image, CHESS) is None


def test_a_board_is_read_from_either_file(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "board.toml", tmp_path / "charuco.toml"
    ours.write_text('kind = "chessboard"\ncolumns = 7\nrows = 4\nsquare_m = 0.05\n')
    theirs.write_text(
        'columns = 4\nrows = 5\nboard_height = 11.0\nboard_width = 8.5\ndictionary = "DICT_4X4_1000"\n'
        'units = "inch"\naruco_scale = 0.75\nsquare_size_override_cm = 5.4\ninverted = true\n'
    )
    assert read_board(ours) == CHESS
    read = read_board(theirs)
    assert (read.kind, read.columns, read.rows, read.inverted) == ("charuco", 4, 5, True)
    assert read.square_m == pytest.approx(0.054)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "columns = 4",
        'kind = "chessboard"\ncolumns = 7\nrows = 4',
        'kind = "chessboard"\ncolumns = "7"\nrows = 4\nsquare_m = 0.05',
        'kind = "chessboard"\ncolumns = 7\nrows = 4\nsquare_m = nan',
        'kind = "chessboard"\ncolumns = 7\nrows = 4\nsquare_m = 50',
        'kind = "chessboard"\ncolumns = 7\nrows = 100000\nsquare_m = 0.05',
        'kind = "charuco"\ncolumns = 7\nrows = 4\nsquare_m = 0.05\ndictionary = "os"',
        'kind = "charuco"\ncolumns = 30\nrows = 30\nsquare_m = 0.05\ndictionary = "DICT_4X4_50"',
        'kind = "april"\ncolumns = 7\nrows = 4\nsquare_m = 0.05',
        "columns = 4\nrows = 5\naruco_scale = 0.75",
        'aruco_scale = 0.75\ncolumns = 4\nrows = 5\nsquare_size_override_cm = "5"',
        'aruco_scale = "x"\ncolumns = 4\nrows = 5\nsquare_size_override_cm = 5',
        "charuco = 3\n",
        "columns = [",
    ],
)
def test_a_board_that_cannot_be_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "board.toml"
    path.write_text(text)
    with pytest.raises(InputError):  # CalibrationError is one
        read_board(path)


def test_only_boards_of_odd_sum_locate() -> None:
    assert CHESS.locates and CHARUCO.locates
    assert not Board("chessboard", 8, 6, 0.03).locates
    with pytest.raises(CalibrationError):
        Board("chessboard", 1, 6, 0.03)
