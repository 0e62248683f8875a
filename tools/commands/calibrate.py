"""`simulacra calibrate`: cameras by boards and by people, and what was found, as tables."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from simulacra.render.runtime.errors import ConfigError, RunError

from .arguments import Session, Source, WorldUp, check_file, next_command, say_session
from .inputs import Input
from .outputs import NewFolder, OptionalFile, Output

if TYPE_CHECKING:
    from simulacra.recon.calibrate import BoardSeen
    from simulacra.recon.observe import Observations
    from simulacra.recon.session import Session as CapturedSession


def calibrate_board(
    src: Source,
    out: Annotated[Positional[Path], arg(metavar="OUT"), Output("folder")],
    /,
    board: Annotated[Path, arg(metavar="BOARD.toml"), Input("file")],
    lens: Annotated[Literal[0, 1, 2, 4, 5] | None, arg(metavar="COUNT")] = None,
    lenses_only: bool = False,
    world_up: WorldUp = None,
    floor_moment: Annotated[str | None, arg(metavar="MOMENT")] = None,
) -> None:
    """Lenses and poses of cameras from a recording of a ChArUco board or a chessboard.

    Args:
        src: the recording: a video, or a folder of pictures, for each camera.
        out: the folder for calibration.json (with standard errors) and calibration.toml (as Pose2Sim has it).
        board: TOML with kind, columns, rows and square_m of the board, or Caliscope's charuco.toml.
        lens: number of lens coefficients; decided by views left out when it is not given.
        lenses_only: each camera alone: the pictures of different cameras are not of the same moments.
        world_up: which axis of the first camera points up (-y for a level one); from all horizons if not given, and a
            person in the pictures where these leave it open.
        floor_moment: a moment (frame number, sync_index or picture's name) at which the board lay on the floor.
    """
    from simulacra.recon.calibrate import (
        calibrate_lenses,
        middle_pictures,
        person_in_pictures,
        read_board,
        stand_on_board,
        stand_upright,
        write_calibration,
    )
    from simulacra.recon.calibrate import calibrate_rig as solve
    from simulacra.recon.calibrate.free_running import gather_recording
    from simulacra.recon.calibrate.report import print_calibrations

    if floor_moment is not None and (world_up is not None or lenses_only):
        raise ConfigError("the floor's moment says where up is", found="--floor-moment with another option")
    pictures, found, notes = gather_recording(src, read_board(board))
    if lenses_only or len(found.cameras) == 1:
        calibrations = calibrate_lenses(found, lens=lens)
    else:
        rig = solve(found, lens=lens)
        if floor_moment is None:
            shown = middle_pictures(pictures)
            rig = stand_upright(rig, world_up, lambda one: person_in_pictures(one, shown))
        else:
            rig = stand_on_board(rig, floor_moment)
        calibrations = (rig,)
    path = write_calibration(out, calibrations)
    for note in notes:
        print(f"note: {note}")
    for calibration in calibrations:
        for note in calibration.notes:
            print(f"note: {note}")
    print_calibrations(calibrations)
    print(f"calibration: {path}")


def calibrate_apply(
    calibration: Annotated[Positional[Path], arg(metavar="CALIBRATION.json")],
    session: Session,
    out: Annotated[Positional[Path], arg(metavar="NEW_SESSION"), Output("new folder")],
    /,
    own_world: bool = False,
    force: bool = False,
) -> None:
    """Make a new session of the same files with calibrated cameras.

    Nothing is written if they explain boards that were left out, or the person, worse than the session's own do.

    Args:
        calibration: what `simulacra calibrate board` wrote.
        session: the session whose cameras are to be replaced; it stays as it is.
        out: the session to make: a new or empty folder.
        own_world: take the calibration's world; otherwise its rig is laid over the session's, and the floor stays.
        force: write it even if the session's own cameras explain boards left out, or the person, better.
    """
    from simulacra.recon.calibrate import apply_calibration
    from simulacra.recon.session import load_session

    apply_calibration(load_session(session), calibration, out, keep_world=not own_world, force=force)
    say_session(out)


def calibrate_rig(
    session: Session,
    /,
    out: NewFolder,
    boards: Annotated[tuple[Path, ...], arg(metavar="RECORDING [RECORDING ...]")] = (),
    board: Annotated[Path | None, arg(metavar="BOARD.toml"), Input("file")] = None,
    observed: Annotated[Path | None, arg(metavar="RUN/observe"), Input("file")] = None,
    focal: bool = False,
) -> None:
    """Adjust all cameras of a session together, on the person that they see and on recordings of a board.

    The given calibration is the start, and believed to 3 degrees, 2 cm and 1 % of a focal length. Nothing is written
    if frames that were left out are not explained better than by the given calibration.

    Args:
        session: the session; it stays as it is.
        out: the session to make, a new or empty folder; OUT.calibration.json beside it has all numbers.
        boards: recordings of a board by the same cameras (some or all), as they stand now. The scale is then theirs.
        board: what is on it: TOML with kind, columns, rows and square_m, or Caliscope's charuco.toml.
        observed: landmarks of the session: the folder `observe` of a run; looked for if not given.
        focal: adjust focal lengths too.
    """
    from simulacra.recon.calibrate import (
        Belief,
        adjust_rig,
        body_views,
        print_adjusted,
        refuse_no_better,
        rig_of,
        rig_problem,
        write_adjusted,
    )
    from simulacra.recon.calibrate.joint_report import report_file
    from simulacra.recon.observe import load_observations
    from simulacra.recon.session import load_session

    if bool(boards) != (board is not None):
        raise ConfigError(
            "recordings of a board and what is on it belong together",
            expected="--boards REC --board BOARD.toml",
        )
    if report_file(out).exists():
        raise RunError("there is something already", where=report_file(out), remedy="name a new folder")
    loaded = load_session(session)
    given = rig_of(loaded.cameras)
    seen = _see_boards(boards, board, loaded) if board is not None else []
    observations = _observe_body(loaded) if observed is None else load_observations(observed)
    body = body_views(observations, loaded.camera_names, given)
    problem = rig_problem(given, loaded.camera_names, body, seen, Belief(free_focal=focal))
    adjusted = adjust_rig(problem)
    print_adjusted(adjusted)
    refuse_no_better(adjusted)
    _, report = write_adjusted(adjusted, loaded, out)
    print(f"session: {out}\nreport: {report}\nNext: {next_command(out, load_session(out))}")


def _see_boards(recordings: Sequence[Path], board: Path, session: CapturedSession) -> list[BoardSeen]:
    """The boards of the recordings; what was left out of them is printed."""
    from simulacra.recon.calibrate import board_seen, read_board, rig_of
    from simulacra.recon.calibrate.free_running import gather_recording

    seen = []
    for recording in recordings:
        _, views, clocks = gather_recording(recording, read_board(board))
        found, notes = board_seen(recording.name, views, session.cameras, rig_of(session.cameras))
        seen.append(found)
        for note in [*clocks, *notes]:
            print(f"note: {note}")
    return seen


def _observe_body(session: CapturedSession) -> Observations:
    """Body landmarks of all frames; nothing of it is kept on disk."""
    from simulacra.recon.observe import ObserveConfig, observe

    settings = ObserveConfig(face=False, hands=False, refine_masks=False, background=False)
    with tempfile.TemporaryDirectory() as folder:
        return observe(session, settings, Path(folder))


def calibrate_clocks(
    session: Session,
    observed: Annotated[Positional[Path], arg(metavar="RUN/observe")],
    /,
    json: OptionalFile = None,
) -> None:
    """How many frames each camera lags, and how it is turned, from the motion of the person.

    Args:
        session: the session.
        observed: landmarks of it: the folder `observe` of a run.
        json: write the numbers here too.
    """
    import numpy as np

    from simulacra.recon.calibrate import lags_and_turns, person_tracks, rig_of
    from simulacra.recon.observe import load_observations
    from simulacra.recon.runs.files import disk_errors, write_json
    from simulacra.recon.session import load_session

    if json is not None:
        check_file(json, (".json",), "a record", "--json")
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
        with disk_errors(json):
            write_json(json, content)
        print(f"written: {json}")
