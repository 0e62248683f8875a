"""Calibration of cameras: lenses and poses from boards, clocks from motion, colours from what cameras share."""

from recon.calibrate.boards import Board, Corners, detect_board, read_board
from recon.calibrate.files import apply_calibration, read_calibration, write_calibration
from recon.calibrate.recordings import BoardViews, View, find_pictures, gather_views
from recon.calibrate.solve import RigCalibration, calibrate_lenses, calibrate_rig
from recon.calibrate.world import stand_on_board, stand_upright

__all__ = [
    "Board",
    "BoardViews",
    "Corners",
    "RigCalibration",
    "View",
    "apply_calibration",
    "calibrate_lenses",
    "calibrate_rig",
    "detect_board",
    "find_pictures",
    "gather_views",
    "read_board",
    "read_calibration",
    "stand_on_board",
    "stand_upright",
    "write_calibration",
]
