"""A foreign world made ours: metres, +Y up, the floor where it is said to be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from simulacra.recon.importers.building import nearest_axis, turn_to_up, upright
from simulacra.recon.importers.footage import Footage
from simulacra.recon.importers.options import Axis, LengthUnit, Up
from simulacra.recon.multiview.up import (
    APART,
    CLEAR_LEAD,
    UpCandidate,
    UpVote,
    angles_between,
    level_up,
    rank_ups,
)
from simulacra.recon.session import SessionCamera
from simulacra.render.runtime.errors import CalibrationError, InputError

# An axis is taken from the cameras if what they say is within this angle of it, degrees.
MOST_TILT = 20.0
# Cameras that roll more than this about their common up (rms, degrees) were not mounted level.
MOST_ROLL = 10.0
# An axis of the calibration is up unless the horizons contradict it by more than so many standard errors.
CLEARLY = 3.0
# A source that is wrong more seldom than this must agree.
RELIABLE = 0.1
# Degrees to which a source must know up to stand for it instead of the horizons.
SHARP = 5.0
METRES: dict[LengthUnit, float] = {"m": 1.0, "cm": 0.01, "mm": 0.001}


def place(
    cameras: Sequence[SessionCamera],
    *,
    scale: float,
    world_up: Up,
    floor: float | None,
    votes: Sequence[UpVote] = (),
    footage: Footage | None = None,
) -> tuple[list[SessionCamera], Float[np.ndarray, "4 4"], list[str]]:
    """Cameras of a source's world in ours, the similarity that took them there, and in words how it was found.

    Args:
        cameras: with viewmats of the source's world, in its units.
        scale: metres in one of its units.
        world_up: its up axis, or ``cameras``.
        floor: height of the floor over its origin, metres along up; the origin if not given.
        votes: what sources other than the cameras say of up.
        footage: pictures in which a person is looked for where the cameras do not say which way is up.

    Raises:
        InputError: a scale that is not a positive number, or a floor that is not one.
        CalibrationError: cameras that do not agree on an up, or so far away that numbers do not hold them.
    """
    if not (np.isfinite(scale) and scale > 0):
        raise InputError("the scale must be a positive number of metres", found=scale)
    if floor is not None and not np.isfinite(floor):
        raise InputError("the height of the floor must be a number", found=floor)
    metric = []
    for camera in cameras:
        viewmat = camera.viewmat.copy()
        viewmat[:3, 3] *= scale
        if not np.abs(viewmat[:3, 3]).max() < 1e6:
            raise CalibrationError(
                "a camera is more than a thousand kilometres from the origin",
                where=f"camera {camera.name}",
                remedy="check the units, or give the calibration a local origin",
            )
        metric.append(replace(camera, viewmat=viewmat))
    T, said = upright_with_pictures(metric, footage, world_up, votes)
    notes = [said]
    T[1, 3] = -(floor or 0.0)
    if floor is None:
        notes.append("the floor is not known: y = 0 is at the calibration's origin")
    back = np.linalg.inv(T)
    placed = [replace(camera, viewmat=camera.viewmat @ back) for camera in metric]
    T_world_source = T.copy()
    T_world_source[:3, :3] *= scale
    return placed, T_world_source, notes


def upright_with_pictures(
    cameras: Sequence[SessionCamera], footage: Footage | None, world_up: Up, votes: Sequence[UpVote] = ()
) -> tuple[Float[np.ndarray, "4 4"], str]:
    """As `turn_upright`; where the cameras do not say which way is up, a person and a floor are looked for in pictures.

    Raises:
        CalibrationError: nothing says it, or sources contradict each other.
    """
    if footage is not None and world_up == "cameras":
        votes = [*votes, *filter(None, [_ask_phones(cameras, footage)])]
    try:
        return turn_upright(cameras, world_up, votes)
    except CalibrationError as tie:
        return _ask_pictures(cameras, footage, world_up, votes, tie)


def _ask_phones(cameras: Sequence[SessionCamera], footage: Footage) -> UpVote | None:
    """What the phones that took pictures of one moment wrote beside them."""
    from simulacra.recon.importers.gravity import gravity_of_pictures

    first = {
        name: footage.files[source.file]
        for frame in footage.frames[:1]
        for name, source in frame.sources.items()
        if source.number is None
    }
    return gravity_of_pictures(cameras, first)


def _ask_pictures(
    cameras: Sequence[SessionCamera],
    footage: Footage | None,
    world_up: Up,
    votes: Sequence[UpVote],
    tie: CalibrationError,
) -> tuple[Float[np.ndarray, "4 4"], str]:
    """As `turn_upright`, with what the pictures show where cameras leave up open: a person who stands, a floor.

    Raises:
        CalibrationError: the tie stays, or what they show contradicts the rest.
    """
    if footage is None:
        raise tie
    asked: list[UpVote] = []
    for ask in (_ask_person, _ask_floor):
        vote = ask(cameras, footage)
        if vote is None:
            continue
        asked.append(vote)
        try:
            T, said = turn_upright(cameras, world_up, [*votes, *asked])
        except CalibrationError as error:
            tie = error
            continue
        return T, f"{said}; {' and '.join(one.source for one in asked)} says so"
    raise tie


def _ask_person(cameras: Sequence[SessionCamera], footage: Footage) -> UpVote | None:
    from simulacra.recon.importers.standing import person_vote  # networks: only where they are needed

    return person_vote(cameras, footage)


def _ask_floor(cameras: Sequence[SessionCamera], footage: Footage) -> UpVote | None:
    from simulacra.recon.importers.floor import floor_vote

    return floor_vote(cameras, footage, rank_ups(np.stack([camera.viewmat for camera in cameras])))


def turn_upright(
    cameras: Sequence[SessionCamera], world_up: Up, votes: Sequence[UpVote] = ()
) -> tuple[Float[np.ndarray, "4 4"], str]:
    """The rotation that stands a source's world upright, and in words how it was found.

    Raises:
        CalibrationError: cameras that do not agree on an up.
    """
    viewmats = [camera.viewmat for camera in cameras]
    if world_up == "cameras":
        return upright_by_cameras(viewmats, votes)
    axis: Axis = world_up
    T, said = upright(axis), f"{world_up} of the calibration is up, as given"
    best = rank_ups(np.stack(viewmats), votes)[0]
    if best.lead > 2 * CLEAR_LEAD and _apart(T[1, :3], best.direction) > 2 * APART:
        said += f"; the cameras' horizons say {_name(best)}: --world-up says it"
    return T, said


def upright_by_cameras(
    viewmats: Sequence[Float[np.ndarray, "4 4"]], votes: Sequence[UpVote] = ()
) -> tuple[Float[np.ndarray, "4 4"], str]:
    """The turn that stands a calibration upright whose up axis nobody gave, and how it was found.

    Calibrations mostly have an axis for up: it is taken, unless the horizons of four cameras or more say clearly that
    it leans. A lean of some degrees is common where a board or one camera's mount defined the axis.

    Args:
        viewmats: world to camera.
        votes: of other sources.

    Raises:
        CalibrationError: several directions are as likely, or a source contradicts the others.
    """
    stacked = np.stack(viewmats)
    candidates = rank_ups(stacked, votes)
    best = candidates[0]
    _refuse_ties(candidates, votes)
    up, error = level_up(stacked, best.direction)
    sharp = min(votes, key=lambda vote: vote.error_deg, default=None)
    if sharp is not None and sharp.error_deg < min(error, SHARP) and sharp.doubt <= RELIABLE:
        return _turn_to_vote(sharp)
    axis, angle = nearest_axis(up if np.isfinite(error) else best.direction)
    turned = f", {best.turned} of {len(viewmats)} cameras on their side or head" if best.turned else ""
    if len(viewmats) >= 4 and best.roll_deg < MOST_ROLL and angle > CLEARLY * error:
        direction = ", ".join(f"{value:.3f}" for value in up)
        return turn_to_up(up), (
            f"up is ({direction}) of the calibration, {angle:.1f} degrees from {axis}: the horizons of {len(viewmats)} "
            f"cameras say so to {error:.1f} degrees{turned}"
        )
    off = _apart(upright(axis)[1, :3], up)
    if max(angle, off) > MOST_TILT:
        raise _unsure(candidates)
    return upright(
        axis
    ), f"{axis} is taken as up: the cameras' horizons are {off:.1f} degrees from it{turned}"


def _turn_to_vote(vote: UpVote) -> tuple[Float[np.ndarray, "4 4"], str]:
    """The turn by a source that knows better than the horizons, to an axis if it is one by its error."""
    axis, angle = nearest_axis(vote.direction)
    if angle <= CLEARLY * vote.error_deg:
        return upright(axis), f"{axis} is taken as up: {vote.source} is {angle:.1f} degrees from it"
    direction = ", ".join(f"{value:.3f}" for value in vote.direction)
    return turn_to_up(vote.direction), (
        f"up is ({direction}) of the calibration, {angle:.1f} degrees from {axis}: {vote.source} says so to "
        f"{vote.error_deg:.1f} degrees"
    )


def _refuse_ties(candidates: Sequence[UpCandidate], votes: Sequence[UpVote]) -> None:
    best = candidates[0]
    if best.lead < CLEAR_LEAD:
        raise _unsure(candidates)
    for vote in votes:
        apart = _apart(vote.direction, best.direction)
        if vote.doubt <= RELIABLE and apart > max(APART, CLEARLY * vote.error_deg):
            raise CalibrationError(
                "what is known of up contradicts itself",
                found=f"{vote.source} is {apart:.0f} degrees from {_name(best)}, which the rest says",
                remedy="say it: --world-up +y, or another axis",
            )


def _unsure(candidates: Sequence[UpCandidate]) -> CalibrationError:
    likely = [one for one in candidates if one.lead > -CLEAR_LEAD]
    odds = [f"{_name(one)} (1 : {np.exp(max(-one.lead, 0.0)):.0f})" for one in likely]
    axes = [name for name in map(_name, likely) if len(name) == 2]
    return CalibrationError(
        "the cameras do not say which axis of the calibration is up",
        expected=f"one that is {np.exp(CLEAR_LEAD):.0f} times as likely as the others",
        found=", ".join(odds),
        remedy=f"say it: --world-up {' or '.join(axes) or '+y'}, or another axis",
    )


def _name(candidate: UpCandidate) -> str:
    axis, angle = nearest_axis(candidate.direction)
    if angle < MOST_TILT:
        return axis
    return "(" + ", ".join(f"{value:.2f}" for value in candidate.direction) + ")"


def _apart(a: Float[np.ndarray, "3"], b: Float[np.ndarray, "3"]) -> float:
    return float(angles_between(a[None], b)[0])
