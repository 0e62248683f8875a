"""Calibration boards: what they are, and where their corners are in a picture.

A board's own frame has its origin at the outer corner of its first square, x along its columns, y along its rows and
z = x cross y: away from a person who looks at the print, for OpenCV counts from the top left with y down. Corners are
in pixels with the first pixel's centre at (0.5, 0.5); OpenCV's (0, 0) ends here.

ChArUco boards (Garrido-Jurado et al. 2014) name every corner, so a part of one is enough. A chessboard is seen whole
or not at all, and unless exactly one of its sides is even (counted in inner corners) it looks the same turned by half:
such a board tells lenses, never where cameras are.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8

from simulacra.recon.importers.foreign_text import mapping, number, read_toml
from simulacra.render.runtime.errors import CalibrationError

# Corners that a view needs to say more than where the board is.
FEWEST_CORNERS = 6
# Corners of a chessboard are refined in a window of this part of a square's side in the picture.
_REFINED_PART = 0.25
# Chessboards are looked for in pictures of at most this height or width, and refined in the whole one.
_SEARCHED_SIDE = 1400
_PIXEL_CENTRE = 0.5
_CLASSIC = cv2.CALIB_CB_ADAPTIVE_THRESH | cv2.CALIB_CB_NORMALIZE_IMAGE


@dataclass(frozen=True)
class Board:
    """A printed pattern.

    Attributes:
        kind: charuco: squares are counted; chessboard: inner corners are counted, as is the custom of each.
        columns: how many.
        rows: how many.
        square_m: side of a square, metres.
        marker_part: side of a marker as a part of the square's.
        dictionary: OpenCV's name of the set of markers.
        inverted: printed white on black.
        legacy: markers begin as OpenCV before 4.6 laid them out (differs for an even number of rows).
    """

    kind: Literal["charuco", "chessboard"]
    columns: int
    rows: int
    square_m: float
    marker_part: float = 0.75
    dictionary: str = "DICT_4X4_50"
    inverted: bool = False
    legacy: bool = False

    def __post_init__(self) -> None:
        """Raises CalibrationError for a board that cannot be."""
        least = 3 if self.kind == "charuco" else 2
        if not (least <= self.columns <= 100 and least <= self.rows <= 100):
            raise CalibrationError(
                "a board has too few or too many squares",
                expected=f"{least} to 100 columns and rows",
                found=f"{self.columns} x {self.rows}",
            )
        if not 1e-3 <= self.square_m <= 2:
            raise CalibrationError(
                "a board's squares cannot be of that size",
                expected="0.001 to 2 metres",
                found=self.square_m,
                remedy="measure the printed squares: their side in metres is the scale of everything",
            )
        if self.kind == "charuco":
            self._check_markers()

    def _check_markers(self) -> None:
        if not 0.1 <= self.marker_part <= 0.95:
            raise CalibrationError(
                "a marker does not fit its square", expected="0.1 to 0.95", found=self.marker_part
            )
        number = getattr(cv2.aruco, self.dictionary, None) if self.dictionary.startswith("DICT_") else None
        if not isinstance(number, int):
            raise CalibrationError(
                "there is no such set of markers", expected="DICT_4X4_50 ...", found=self.dictionary
            )
        held = len(cv2.aruco.getPredefinedDictionary(number).bytesList)
        if held < self.columns * self.rows // 2:
            raise CalibrationError(
                "a board has more markers than its set",
                expected=f"at most {held}",
                found=self.columns * self.rows // 2,
            )

    @property
    def corners(self) -> Float[np.ndarray, "k 3"]:
        """Positions in the board's frame, metres, in the order of their numbers."""
        if self.kind == "charuco":
            x, y = np.meshgrid(np.arange(1, self.columns), np.arange(1, self.rows))
        else:
            x, y = np.meshgrid(np.arange(self.columns), np.arange(self.rows))
        return self.square_m * np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], -1).astype(np.float64)

    @property
    def locates(self) -> bool:
        """Whether one view says which corner is which: needed wherever two cameras see the board at once."""
        return self.kind == "charuco" or (self.columns + self.rows) % 2 == 1


@dataclass(frozen=True)
class Corners:
    """Corners of one board in one picture.

    Attributes:
        numbers: which of the board's.
        pixels: where, with the first pixel's centre at (0.5, 0.5).
        edge_px: width of the squares' edges in the picture: 2 to 4 pixels is sharp.
    """

    numbers: Int[np.ndarray, " k"]
    pixels: Float[np.ndarray, "k 2"]
    edge_px: float


def detect_board(image: UInt8[np.ndarray, "h w 3"], board: Board) -> Corners | None:
    """The board's corners in an RGB picture, to a fraction of a pixel; None where there are too few to use."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    if board.inverted:
        grey = 255 - grey
    found = _charuco(grey, board) if board.kind == "charuco" else _chessboard(grey, board)
    if found is None or len(found[0]) < FEWEST_CORNERS or _in_a_line(board.corners[found[0], :2]):
        return None
    numbers, pixels = found
    return Corners(numbers, pixels + _PIXEL_CENTRE, _edge_width(grey, pixels, _side(board, numbers, pixels)))


def read_board(path: Path) -> Board:
    """A board out of a TOML file: ours (the fields of `Board`), or Caliscope's charuco.toml.

    Raises:
        InputError: missing, not TOML.
        CalibrationError: a field is missing, unknown or of the wrong kind, or the board cannot be.
    """
    described = dict(read_toml(path))
    if "columns" not in described and "charuco" in described:
        described = dict(mapping(described["charuco"], "charuco", path))
    if "aruco_scale" in described:
        described = _from_caliscope(described, path)
    kinds: dict[str, tuple[type, ...]] = {
        "kind": (str,), "columns": (int,), "rows": (int,), "square_m": (float, int), "marker_part": (float, int),
        "dictionary": (str,), "inverted": (bool,), "legacy": (bool,),
    }  # fmt: skip
    for key, value in described.items():
        if key not in kinds:
            raise CalibrationError(
                "a board has no such field", where=path, expected=", ".join(kinds), found=key
            )
        if not isinstance(value, kinds[key]) or (isinstance(value, bool) and bool not in kinds[key]):
            raise CalibrationError(
                "a board's field is of the wrong kind", where=f"{path}, {key}", found=value
            )
    missing = [key for key in ("kind", "columns", "rows", "square_m") if key not in described]
    if missing or described["kind"] not in ("charuco", "chessboard"):
        raise CalibrationError(
            "a board is not described",
            where=path,
            expected="kind (charuco or chessboard), columns, rows, square_m",
            found=f"without {', '.join(missing)}" if missing else described["kind"],
        )
    values: dict[str, Any] = {k: float(v) if float in kinds[k] else v for k, v in described.items()}
    return Board(**values)


def _from_caliscope(described: dict[str, Any], path: Path) -> dict[str, Any]:
    """Caliscope's fields as ours. The size of a square is a measured one in centimetres, never the page's."""
    size = described.get("square_size_override_cm", described.get("square_size_overide_cm"))
    if not isinstance(size, int | float) or isinstance(size, bool):
        raise CalibrationError(
            "nobody measured this board's squares",
            where=path,
            expected="square_size_override_cm",
            remedy="measure a printed square and write its side there, in centimetres",
        )
    part = number(described["aruco_scale"], "aruco_scale", path)
    own = {"kind": "charuco", "square_m": size / 100, "marker_part": part}
    named = ("columns", "rows", "dictionary", "inverted")
    return own | {key: described[key] for key in named if key in described}


@lru_cache(maxsize=8)
def _charuco_detector(board: Board) -> cv2.aruco.CharucoDetector:
    dictionary = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, board.dictionary))
    size = (board.columns, board.rows)
    printed = cv2.aruco.CharucoBoard(size, board.square_m, board.marker_part * board.square_m, dictionary)
    printed.setLegacyPattern(board.legacy)
    return cv2.aruco.CharucoDetector(printed)


def _charuco(grey: np.ndarray, board: Board) -> tuple[np.ndarray, np.ndarray] | None:
    pixels, numbers, _, _ = _charuco_detector(board).detectBoard(grey)
    if numbers is None or len(numbers) == 0:
        return None
    return numbers.reshape(-1).astype(np.int64), pixels.reshape(-1, 2).astype(np.float64)


def _chessboard(grey: np.ndarray, board: Board) -> tuple[np.ndarray, np.ndarray] | None:
    """Found in a small picture, refined in the whole one: the search alone would cost seconds."""
    scale = min(1.0, _SEARCHED_SIDE / max(grey.shape))
    small = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else grey
    size = (board.columns, board.rows)
    flags = cv2.CALIB_CB_NORMALIZE_IMAGE | cv2.CALIB_CB_ACCURACY
    found, pixels = cv2.findChessboardCornersSB(small, size, flags=flags)
    if not found and cv2.checkChessboard(small, size):
        found, pixels = cv2.findChessboardCorners(small, size, flags=_CLASSIC)
    if not found:
        return None
    pixels = (pixels.reshape(-1, 1, 2) + _PIXEL_CENTRE) / scale - _PIXEL_CENTRE
    numbers = np.arange(len(pixels))
    window = int(np.clip(_REFINED_PART * _side(board, numbers, pixels.reshape(-1, 2)), 3, 15))
    ends = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 40, 1e-3)
    refined = cv2.cornerSubPix(grey, pixels.astype(np.float32), (window, window), (-1, -1), ends)
    return numbers, refined.reshape(-1, 2).astype(np.float64)


def _side(board: Board, numbers: np.ndarray, pixels: np.ndarray) -> float:
    """Shortest side of a square in the picture, pixels."""
    places = board.corners[numbers, :2]
    apart = np.linalg.norm(places[:, None] - places[None], axis=-1)
    next_to = np.abs(apart - board.square_m) < 1e-6 * board.square_m + 1e-9
    if not next_to.any():
        return 8.0
    return float(np.linalg.norm(pixels[:, None] - pixels[None], axis=-1)[next_to].min())


def _in_a_line(places: Float[np.ndarray, "k 2"]) -> bool:
    """Corners of one row or column fix no plane."""
    spread = np.linalg.svd(places - places.mean(0), compute_uv=False)
    return bool(spread[1] < 0.1 * spread[0])


def _edge_width(grey: np.ndarray, pixels: np.ndarray, side: float) -> float:
    """Contrast over the steepest gradient: independent of the light, and wide where the board moves or is unsharp."""
    reach = int(np.clip(0.5 * side, 4, 40))
    low = np.maximum(np.floor(pixels.min(0)).astype(int) - reach, 0)
    high = np.ceil(pixels.max(0)).astype(int) + reach
    part = grey[low[1] : high[1], low[0] : high[0]].astype(np.float32)
    gradient = np.hypot(cv2.Sobel(part, cv2.CV_32F, 1, 0), cv2.Sobel(part, cv2.CV_32F, 0, 1)) / 8
    dark, bright = np.percentile(part, [5, 95])
    return float((bright - dark) / max(float(np.percentile(gradient, 98)), 1e-3))
