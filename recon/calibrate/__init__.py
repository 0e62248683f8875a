"""Calibration of cameras: lenses and poses from boards, clocks from motion, colours from what cameras share."""

from recon.calibrate.boards import Board, Corners, detect_board, read_board
from recon.calibrate.colour import ColourMatch, match_colours, shared_colours_by_depth
from recon.calibrate.files import apply_calibration, read_calibration, write_calibration
from recon.calibrate.recordings import BoardViews, View, find_pictures, gather_views
from recon.calibrate.solve import RigCalibration, calibrate_lenses, calibrate_rig
from recon.calibrate.timing import Lags, LagsAndTurns, lags_and_turns, lags_by_motion, person_tracks
from recon.calibrate.world import stand_on_board, stand_upright

__all__ = [
    "Board",
    "BoardViews",
    "ColourMatch",
    "Corners",
    "Lags",
    "LagsAndTurns",
    "RigCalibration",
    "View",
    "apply_calibration",
    "calibrate_lenses",
    "calibrate_rig",
    "detect_board",
    "find_pictures",
    "gather_views",
    "lags_and_turns",
    "lags_by_motion",
    "match_colours",
    "person_tracks",
    "read_board",
    "read_calibration",
    "shared_colours_by_depth",
    "stand_on_board",
    "stand_upright",
    "write_calibration",
]
