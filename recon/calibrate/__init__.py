"""Calibration: lenses and poses from boards and people, clocks from motion.

By boards: `boards` (corners), `recordings`, `lens` (one camera), `solve` (the rig), `clocks` (when each exposed),
`world` (where it stands), `files`, `report`. A session's own rig: `session_rig`, `body` and `boards_seen` make
sightings, `joint` adjusts (by `recon.multiview.bundle`), `held_out` says whether it is better, `joint_report`. By
motion alone: `timing`.
"""

from simulacra.recon.calibrate.boards import Board, Corners, detect_board, read_board
from simulacra.recon.calibrate.boards_seen import BoardSeen, board_seen
from simulacra.recon.calibrate.body import BodyViews, body_views
from simulacra.recon.calibrate.files import apply_calibration, read_calibration, write_calibration
from simulacra.recon.calibrate.joint import (
    AdjustedRig,
    Belief,
    RigProblem,
    adjust_rig,
    refuse_no_better,
    rig_problem,
)
from simulacra.recon.calibrate.joint_report import print_adjusted, write_adjusted
from simulacra.recon.calibrate.person_up import middle_pictures, person_in_pictures
from simulacra.recon.calibrate.recordings import (
    BoardView,
    BoardViews,
    RecordedFrame,
    find_pictures,
    gather_views,
)
from simulacra.recon.calibrate.session_rig import rig_of
from simulacra.recon.calibrate.solve import RigCalibration, calibrate_lenses, calibrate_rig
from simulacra.recon.calibrate.timing import LagsAndTurns, lags_and_turns, person_tracks
from simulacra.recon.calibrate.world import stand_on_board, stand_upright

__all__ = [
    "AdjustedRig",
    "Belief",
    "Board",
    "BoardSeen",
    "BoardView",
    "BoardViews",
    "BodyViews",
    "Corners",
    "LagsAndTurns",
    "RecordedFrame",
    "RigCalibration",
    "RigProblem",
    "adjust_rig",
    "apply_calibration",
    "board_seen",
    "body_views",
    "calibrate_lenses",
    "calibrate_rig",
    "detect_board",
    "find_pictures",
    "gather_views",
    "lags_and_turns",
    "middle_pictures",
    "person_in_pictures",
    "person_tracks",
    "print_adjusted",
    "read_board",
    "read_calibration",
    "refuse_no_better",
    "rig_of",
    "rig_problem",
    "stand_on_board",
    "stand_upright",
    "write_adjusted",
    "write_calibration",
]
