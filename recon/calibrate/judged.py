"""Calibrated cameras against those that a session has: by boards that they were not fitted to, and by the person.

A calibration keeps what it takes to be judged beside it: the corners, and the rigs that were fitted to one half of the
moments each and are judged by the other. The person is looked for in a few frames of the session. Whether either is
explained worse is told as in `held_out`, over blocks of moments and over frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from simulacra.recon.calibrate.boards_seen import BoardSeen, some_moments
from simulacra.recon.calibrate.held_out import Comparison, compare_boards, compare_residuals
from simulacra.recon.calibrate.session_rig import is_plain, rig_of
from simulacra.recon.calibrate.solve import RigCalibration
from simulacra.recon.calibrate.world import laid_over
from simulacra.recon.multiview.bundle import adjust_bundle
from simulacra.recon.multiview.rig import CameraRig, Sightings
from simulacra.recon.preflight.bodies import LOST, measure_agreement, stack_views
from simulacra.recon.preflight.reading import Problems
from simulacra.recon.preflight.samples import PersonDetector, sample_session
from simulacra.recon.session import Session, SessionCamera
from simulacra.render.runtime.errors import CalibrationError, InputError

HELD_OUT_FILE = "held_out.npz"
_BLOCKS = 10
_STEPS = 30
# Frames in which the person is looked for.
_STILLS = 8
# Part of a residual by which it must grow to count: what a detector errs by alike in all frames changes by as much.
_LEAST = 0.03


@dataclass(frozen=True)
class HeldOutBoards:
    """What a calibration was made from, and rigs that saw one half of it each.

    Attributes:
        cameras: names, of all camera numbers here.
        board: all corners, in the calibration's world.
        halves: the rig that was fitted to even blocks of moments, and the one of odd ones.
    """

    cameras: tuple[str, ...]
    board: BoardSeen
    halves: tuple[CameraRig, CameraRig]

    @property
    def blocks(self) -> np.ndarray:
        """Of each moment: stretches of the recording."""
        return np.arange(len(self.board.bodies)) * _BLOCKS // max(len(self.board.bodies), 1)


@dataclass(frozen=True)
class Judgement:
    """New cameras against a session's; None where there was nothing to judge by.

    Attributes:
        boards: corners of moments left out, pixels.
        person: distances of each camera's landmarks from where the others put them, % of the body's height.
    """

    boards: Comparison | None
    person: Comparison | None


def hold_out(calibration: RigCalibration) -> HeldOutBoards | None:
    """Fits one rig to each half of a calibration's moments; None where half of them fix no rig, or there is none."""
    if not calibration.linked:
        return None
    bundle = calibration.bundle
    whole = HeldOutBoards(
        calibration.cameras,
        BoardSeen("board", calibration.sightings, bundle.bodies),
        (bundle.rig, bundle.rig),
    )
    rigs = []
    for half in (0, 1):
        some = some_moments(whole.board, whole.blocks % 2 == half)
        if len(np.unique(some.sightings.camera)) < len(whole.cameras):
            return None
        try:
            found = adjust_bundle(
                bundle.rig, some.bodies, some.sightings, calibration.free, most_steps=_STEPS
            )
        except CalibrationError:
            return None
        rigs.append(found.rig)
    return replace(whole, halves=(rigs[0], rigs[1]))


def held_out_arrays(held: HeldOutBoards) -> dict[str, np.ndarray]:
    """As they are kept on disk."""
    seen = held.board.sightings
    return {
        "cameras": np.array(held.cameras), "bodies": held.board.bodies,
        **{name: getattr(seen, name) for name in ("camera", "body", "places", "pixels", "sigma", "drift")},
        "intrinsics": np.stack([rig.intrinsics for rig in held.halves]),
        "viewmats": np.stack([rig.viewmats for rig in held.halves]),
    }  # fmt: skip


def read_held_out(path: Path) -> HeldOutBoards | None:
    """What `held_out_arrays` gave; None where there is no such file.

    Raises:
        InputError: it is damaged.
    """
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            read = {name: file[name] for name in file.files}
        names = ("camera", "body", "places", "pixels", "sigma", "drift")
        board = BoardSeen("board", Sightings(*(read[name] for name in names)), read["bodies"])
        rigs = [CameraRig(*each) for each in zip(read["intrinsics"], read["viewmats"], strict=True)]
        return HeldOutBoards(tuple(map(str, read["cameras"])), board, (rigs[0], rigs[1]))
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise InputError(
            "what a calibration is judged by is damaged", where=path, found=error,
            remedy="calibrate again, or remove the file: the calibration is then judged by the person alone",
        ) from error  # fmt: skip


def judge_cameras(
    session: Session,
    cameras: Sequence[SessionCamera],
    held: HeldOutBoards | None,
    detector: PersonDetector | None = None,
) -> Judgement:
    """New cameras against the session's own.

    Args:
        cameras: in the session's order.
        held: of the new calibration.
        detector: who finds the person; the landmark network if None, and nobody without its files.
    """
    boards = None if held is None else _judge_by_boards(session, held)
    return Judgement(boards, _judge_by_person(session, cameras, detector))


def refuse_worse(judgement: Judgement) -> None:
    """Raises CalibrationError where boards left out, or the person, are explained worse than they were."""
    asked = (
        ("boards left out", judgement.boards, "px"),
        ("the person", judgement.person, "% of the body's height"),
    )
    worse = [
        (name, each, unit)
        for name, each, unit in asked
        if each is not None and each.worse and each.gain < -_LEAST
    ]
    if not worse:
        return
    told = "; ".join(
        f"{name}: {each.total[0]:.2f} {unit} with the session's cameras, {each.total[1]:.2f} with the new ones"
        for name, each, unit in asked
        if each is not None
    )
    raise CalibrationError(
        f"the new cameras explain {' and '.join(name for name, _, _ in worse)} worse than those that are there",
        found=told,
        remedy="keep the session's cameras, record the board in the corners of the images too, or --force",
    )


def _judge_by_boards(session: Session, held: HeldOutBoards) -> Comparison | None:
    names = [camera.name for camera in session.cameras]
    if not all(is_plain(camera.lens) for camera in session.cameras):
        return None
    numbers = np.array([held.cameras.index(name) for name in names if name in held.cameras])
    if len(numbers) < len(names):
        return None
    place = np.full(len(held.cameras), -1)
    place[numbers] = np.arange(len(numbers))
    seen = held.board.sightings.only(np.isin(held.board.sightings.camera, numbers))
    board = replace(held.board, sightings=replace(seen, camera=place[seen.camera]))
    halves = [CameraRig(rig.intrinsics[numbers], rig.viewmats[numbers]) for rig in held.halves]
    own = rig_of(session.cameras)
    # The boards are placed in the new rig's world: the old one is brought there, and they then move as they like.
    given = CameraRig(
        own.intrinsics, own.viewmats @ np.linalg.inv(laid_over(own.viewmats, halves[0].viewmats))
    )
    blocks = held.blocks
    judges = [(halves[1 - half], [blocks % 2 == half]) for half in (0, 1)]
    return compare_boards([board], given, judges, [blocks])


def _judge_by_person(
    session: Session, cameras: Sequence[SessionCamera], detector: PersonDetector | None
) -> Comparison | None:
    if len(cameras) < 2:
        return None
    samples = sample_session(session, Problems(), stills=_STILLS, motion=0, detector=detector)
    before, after = (
        measure_agreement(stack_views(each, samples)).errors
        for each in (session, replace(session, cameras=tuple(cameras)))
    )
    both = np.isfinite(before)
    if not both.any():
        return None
    # A landmark that the new cameras cannot place is lost.
    after = np.where(np.isfinite(after), after, LOST)
    frame, camera, _ = np.nonzero(both)
    return compare_residuals(100 * before[both], 100 * after[both], camera, frame, len(cameras))
