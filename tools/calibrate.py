"""`simulacra calibrate`: what was found, as tables."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from simulacra.recon.calibrate import (
    Belief,
    BoardSeen,
    adjust_rig,
    board_seen,
    body_views,
    calibrate_lenses,
    calibrate_rig,
    find_pictures,
    gather_views,
    lags_and_turns,
    person_tracks,
    print_adjusted,
    read_board,
    refuse_no_better,
    rig_of,
    rig_problem,
    stand_on_board,
    stand_upright,
    write_adjusted,
    write_calibration,
)
from simulacra.recon.calibrate.joint_report import report_file
from simulacra.recon.calibrate.report import print_calibrations
from simulacra.recon.importers.building import Axis
from simulacra.recon.observe import Observations, ObserveConfig, load_observations, observe
from simulacra.recon.runs.stages import write_json
from simulacra.recon.session import Session, load_session
from simulacra.render.runtime.errors import ConfigError, RunError


def run_board(
    src: Path,
    out: Path,
    board: Path,
    lens: int | None,
    *,
    lenses_only: bool,
    world_up: Axis | None,
    floor_moment: str | None,
) -> None:
    """Calibrates cameras by a recording of a board."""
    if floor_moment is not None and (world_up is not None or lenses_only):
        raise ConfigError("the floor's moment says where up is", found="--floor-moment with another option")
    found = gather_views(find_pictures(src), read_board(board))
    if lenses_only or len(found.cameras) == 1:
        calibrations = calibrate_lenses(found, lens=lens)
    else:
        rig = calibrate_rig(found, lens=lens)
        rig = stand_upright(rig, world_up) if floor_moment is None else stand_on_board(rig, floor_moment)
        calibrations = (rig,)
    path = write_calibration(out, calibrations)
    for calibration in calibrations:
        for note in calibration.notes:
            print(f"note: {note}")
    print_calibrations(calibrations)
    print(f"calibration: {path}")


def run_rig(
    session: Path,
    out: Path,
    observed: Path | None,
    recordings: Sequence[Path],
    board: Path | None,
    *,
    focal: bool,
) -> None:
    """Adjusts a session's cameras on a person and on boards, and writes a new session if it is better."""
    if bool(recordings) != (board is not None):
        raise ConfigError(
            "recordings of a board and what is on it belong together",
            expected="--boards REC --board BOARD.toml",
        )
    for place in (out, report_file(out)):
        if place.is_file() or (place.is_dir() and any(place.iterdir())):
            raise RunError("there is something already", where=place, remedy="name a new folder")
    loaded = load_session(session)
    given = rig_of(loaded.cameras)
    boards = _boards_of(recordings, board, loaded) if board is not None else []
    observations = _looked_at(loaded) if observed is None else load_observations(observed)
    body = body_views(observations, loaded.camera_names, given)
    problem = rig_problem(given, loaded.camera_names, body, boards, Belief(free_focal=focal))
    adjusted = adjust_rig(problem)
    print_adjusted(adjusted)
    refuse_no_better(adjusted)
    _, report = write_adjusted(adjusted, loaded, out)
    print(f"session: {out}\nreport: {report}")


def _boards_of(recordings: Sequence[Path], board: Path, session: Session) -> list[BoardSeen]:
    """The boards of the recordings; what was left out of them is printed."""
    seen = []
    for recording in recordings:
        views = gather_views(find_pictures(recording), read_board(board))
        found, notes = board_seen(recording.name, views, session.cameras, rig_of(session.cameras))
        seen.append(found)
        for note in notes:
            print(f"note: {note}")
    return seen


def _looked_at(session: Session) -> Observations:
    """Body landmarks of all frames; nothing of it is kept on disk."""
    settings = ObserveConfig(
        face=False, hands=False, refine_masks=False, background=False, allow_empty_cameras=True
    )
    with tempfile.TemporaryDirectory() as folder:
        return observe(session, settings, Path(folder))


def run_clocks(session: Path, observed: Path, json: Path | None) -> None:
    """Lags and turns of the cameras by the motion of the person."""
    loaded, observations = load_session(session), load_observations(observed)
    cameras = [loaded.camera(name) for name in observations.cameras if name in loaded.camera_names]
    names = [camera.name for camera in cameras]
    rig = rig_of(cameras).pinhole
    seen, step = person_tracks(observations, names, rig)
    found = lags_and_turns(seen, rig)
    print("camera          lag, frames       turn, degrees")
    for i, name in enumerate(names):
        lag = f"{step * found.lags.frames[i]:+.2f} ± {step * found.lags.standard_errors[i]:.2f}"
        turn, unsure = np.linalg.norm(found.turns_deg[i]), np.linalg.norm(found.turn_errors_deg[i])
        print(f"{name:14s} {lag:>16s} {f'{turn:.2f} ± {unsure:.2f}':>20s}")
    given, lags, turns, both = found.residual_px
    print(
        f"landmarks disagree by {given:.1f} px; {lags:.1f} with lags, {turns:.1f} with turns, {both:.1f} with both"
    )
    if json is not None:
        content = {
            "cameras": names,
            "lag_frames": (step * found.lags.frames).tolist(),
            "lag_errors": (step * found.lags.standard_errors).tolist(),
            "turns_deg": found.turns_deg.tolist(),
            "turn_errors_deg": found.turn_errors_deg.tolist(),
            "residual_px": {"given": given, "lags": lags, "turns": turns, "both": both},
        }
        write_json(json, content)
        print(f"written: {json}")
