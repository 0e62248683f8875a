"""A rig adjusted on boards and on a person's landmarks together.

A rig that was calibrated once is given. Tripods were touched since, zooms were turned, or the calibration was never
good: what the cameras see of a moving person, and of a board if one was recorded, says how each camera stands now.
Everything is adjusted at once (`recon.multiview.bundle`) with the given calibration as what is believed beforehand:
landmarks fix directions well, but positions no better than the prior does; boards fix everything.

World and scale: with boards, the scale is theirs, and the adjusted rig is laid over the given one by a rigid motion.
Without, nothing that is seen has a scale: the given one is kept, as are floor and up.

Whether it is better is decided by what was left out of the fit: frames (in blocks, each half judged by the rig of the
other half), and parts of the body, since a rig that fits constant errors of a detector explains other frames as well as
these. A rig that does not explain what was left out better than the given one is refused.

Symbols: ``t`` frames, ``c`` cameras, ``k`` landmarks, ``n`` sightings, ``b`` bodies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from simulacra.recon.calibrate.boards_seen import BoardSeen, some_moments, with_sigmas
from simulacra.recon.calibrate.body import (
    BodyViews,
    Noise,
    as_independent,
    first_noise,
    measure_noise,
    measured_sightings,
    movement,
    place_landmarks,
)
from simulacra.recon.calibrate.held_out import Comparison, compare_boards, compare_landmarks
from simulacra.recon.calibrate.world import laid_over
from simulacra.recon.multiview.bundle import Bundle, adjust_bundle
from simulacra.recon.multiview.prior import Prior
from simulacra.recon.multiview.rig import INTRINSICS, CameraRig, Sightings
from simulacra.recon.multiview.uncertainty import Uncertainty, in_rig_gauge
from simulacra.render.runtime.errors import CalibrationError, CaptureError

FEWEST_FRAMES = 20
# A landmark that stays nearer to its mean than detectors err alike (2 % of a body's height) shows one pose only.
LEAST_MOVEMENT_M = 0.02
# Of what was believed: an error that is hardly smaller says that nothing was seen.
UNFIXED = 0.7
BLOCKS = 10
# Rounds of adjustment and measuring, and where the noise is known.
_ROUNDS, _ROUNDS_AGAIN = 5, 2
# Rounds in which errors are not yet asked what they have in common.
_COARSE_ROUNDS = 3
_STEPS = 12
# Of the cost (hundreds, in squared standard deviations), on the way and at the end.
_ROUGHLY, _FINELY = 1e-4, 1e-6


@dataclass(frozen=True)
class Belief:
    """How far the given calibration may be off, and what of it may change.

    Attributes:
        turn_deg: standard deviation of a camera's rotation about each axis, degrees.
        place_m: of its position along each axis, metres.
        focal: of its focal length, as a part of it.
        free_focal: whether focal lengths are estimated at all.
    """

    turn_deg: float = 3.0
    place_m: float = 0.02
    focal: float = 0.01
    free_focal: bool = False


@dataclass(frozen=True)
class AdjustedRig:
    """What came out.

    Attributes:
        rig: the adjusted one.
        given: the one before, in the same world.
        cameras: names.
        errors: one standard error of each camera, in the gauge of the rig (of its shape, without boards).
        believed: the same before anything was seen.
        noise: of the detector; None without a person.
        frames: residuals of frames that were left out; None without a person.
        parts: of parts of the body that were left out; None without a person, or beside boards.
        boards: of moments of boards that were left out; None without boards.
        fitted: what was fitted, before and after: landmarks, and boards.
        lags: of the cameras' clocks that were undone for the landmarks, frames.
        scale: of the adjusted rig against the given one: 1 without boards.
        looked: frames of the person that were used.
        belief: how far the given rig might be off.
    """

    rig: CameraRig
    given: CameraRig
    cameras: tuple[str, ...]
    errors: Uncertainty
    believed: Uncertainty
    noise: Noise | None
    frames: Comparison | None
    parts: Comparison | None
    boards: Comparison | None
    fitted: tuple[Comparison | None, Comparison | None]
    lags: Float[np.ndarray, " c"]
    scale: float
    looked: int
    belief: Belief


@dataclass(frozen=True)
class RigProblem:
    """What is fitted, and from what.

    Attributes:
        given: the rig to start from.
        cameras: names.
        belief: how far the given rig may be off.
        body: a person's landmarks; None without, or where they were too few beside boards.
        keep: landmarks that are fitted to.
        boards: recordings of boards.
    """

    given: CameraRig
    cameras: tuple[str, ...]
    belief: Belief
    body: BodyViews | None
    keep: Bool[np.ndarray, "t k"]
    boards: tuple[BoardSeen, ...]

    @property
    def prior(self) -> Prior:
        """What is believed of the rig before anything is seen."""
        belief = self.belief
        return Prior(
            self.given, np.radians(belief.turn_deg), belief.place_m, belief.focal, scaled=bool(self.boards)
        )

    @property
    def free(self) -> Bool[np.ndarray, "c 9"]:
        """Which intrinsics are estimated."""
        free = np.zeros((len(self.cameras), len(INTRINSICS)), dtype=bool)
        free[:, :2] = self.belief.free_focal
        return free


def adjust_rig(problem: RigProblem) -> AdjustedRig:
    """The rig that explains boards and landmarks best, beside the given one where neither was fitted.

    Raises:
        CalibrationError: what was seen does not fix a camera.
    """
    return _evaluate_rig(fit_rig(problem), problem)


def fit_rig(problem: RigProblem) -> AdjustedRig:
    """The adjusted rig before it is judged, which takes most of the time.

    Raises:
        CalibrationError: what was seen does not fix a camera.
    """
    bundle, noise = _fit(problem, None)
    scaled = bool(problem.boards)
    rig, scale = _lay_over_given(bundle.rig, problem.given, scaled)
    believed = _errors_beforehand(problem)
    _refuse_unfixed(bundle.uncertainty, believed, problem)
    lags = problem.body.lags.frames if problem.body is not None else np.zeros(len(problem.cameras))
    looked = len(problem.body.frames) if problem.body is not None else 0
    return AdjustedRig(
        rig, problem.given, problem.cameras, bundle.uncertainty, believed, noise, None, None, None, (None, None),
        lags, scale, looked, problem.belief,
    )  # fmt: skip


def refuse_no_better(found: AdjustedRig) -> None:
    """Raises CalibrationError for a rig that explains what was left out no better than the given one does."""
    kinds = {"frames": found.frames, "boards": found.boards}
    if not any(each is not None and each.better for each in kinds.values()):
        raise CalibrationError(
            "the adjusted rig is no better than the given one where it was not fitted",
            expected="residuals that fall by more than two standard errors of the fall",
            found="; ".join(f"{name}: {each.said}" for name, each in kinds.items() if each is not None),
            remedy="keep the given calibration, or record more of it: a person who walks about, a board",
        )
    only_body = found.boards is None or not found.boards.better
    if only_body and found.parts is not None and not found.parts.better:
        raise CalibrationError(
            "the adjusted rig fits the detector's constant errors: parts of the body left out do not agree better",
            found=found.parts.said,
            remedy="keep the given calibration, or record a board",
        )


def rig_problem(
    given: CameraRig,
    cameras: Sequence[str],
    body: BodyViews | None,
    boards: Sequence[BoardSeen] = (),
    belief: Belief = Belief(),
) -> RigProblem:
    """The problem, if there is enough to solve it.

    Raises:
        CaptureError: too few cameras or frames, or a body that hardly moves.
    """
    fewest = 2 if boards else 3
    if len(cameras) < fewest:
        raise CaptureError(
            "too few cameras to tell which of them is off", expected=f">= {fewest}", found=", ".join(cameras)
        )
    if body is None and not boards:
        raise CaptureError("nothing was seen: neither a person nor a board")
    keep = (
        np.ones((0, 0), dtype=bool)
        if body is None
        else np.ones(body.detections.pixels.shape[::2][:2], dtype=bool)
    )
    problem = RigProblem(given, tuple(cameras), belief, body, keep, tuple(boards))
    if body is None:
        return problem
    landmarks = place_landmarks(body, keep, given, given)
    frames = len(np.unique(landmarks.frame))
    if frames < FEWEST_FRAMES and boards:
        return replace(problem, body=None)
    if frames < FEWEST_FRAMES:
        raise CaptureError(
            "too few frames in which several cameras see the person",
            expected=f">= {FEWEST_FRAMES}",
            found=frames,
        )
    moved = movement(landmarks)
    if moved < LEAST_MOVEMENT_M and not boards:
        raise CaptureError(
            "the person hardly moves: a detector's constant errors cannot be told from the cameras'",
            expected=f"landmarks that move by {LEAST_MOVEMENT_M * 100:.0f} cm and more about their mean places",
            found=f"{moved * 100:.1f} cm",
            remedy="record a person who walks about, or a board",
        )
    return problem


# -- fitting ---------------------------------------------------------------------------------------


def _fit(
    problem: RigProblem, noise: Noise | None, start: CameraRig | None = None
) -> tuple[Bundle, Noise | None]:
    """The adjustment; the detector's noise is measured on the way if it is not given."""
    rig = problem.given if start is None else start
    measure = noise is None
    boards = problem.boards
    rounds = _ROUNDS if measure else _ROUNDS_AGAIN
    for number in range(rounds):
        landmarks = None
        parts = [(board.sightings, board.bodies) for board in boards]
        if problem.body is not None:
            landmarks = place_landmarks(problem.body, problem.keep, rig, problem.given)
            noise = first_noise(problem.body) if noise is None else noise
            parts.append((measured_sightings(landmarks, noise, rig, problem.body), landmarks.bodies))
        sightings, bodies = together(parts)
        last = number == rounds - 1
        bundle = adjust_bundle(
            rig,
            bodies,
            sightings,
            problem.free,
            prior=problem.prior,
            tolerance=_FINELY if last and measure else _ROUGHLY,
            most_steps=100 if last else _STEPS,
        )
        rig = bundle.rig
        if last:
            break
        boards = with_sigmas(boards, bundle)
        if landmarks is not None and measure and problem.body is not None:
            own = len(sightings.sigma) - len(landmarks.frame)
            first = len(bodies) - len(landmarks.bodies)
            placed = replace(landmarks, bodies=bundle.bodies[first:])
            noise = measure_noise(placed, bundle.residuals[own:], rig, problem.body)
            noise = as_independent(noise) if number < _COARSE_ROUNDS - 1 else noise
    return bundle, noise


def together(parts: Sequence[tuple[Sightings, np.ndarray]]) -> tuple[Sightings, Float[np.ndarray, "b 4 4"]]:
    """Sightings of several kinds of bodies as those of all bodies; each kind keeps its shares and groups."""
    body, group, count, groups = [], [], 0, 0
    for sightings, bodies in parts:
        own = sightings.body if sightings.group is None else sightings.group
        body.append(sightings.body + count)
        group.append(own + groups)
        count, groups = count + len(bodies), groups + int(own.max(initial=-1)) + 1
    every = [each[0] for each in parts]
    share = [np.ones(len(each.sigma)) if each.share is None else each.share for each in every]
    whole = Sightings(
        np.concatenate([each.camera for each in every]),
        np.concatenate(body),
        np.concatenate([each.places for each in every]),
        np.concatenate([each.pixels for each in every]),
        np.concatenate([each.sigma for each in every]),
        np.concatenate([each.drift for each in every]),
        np.concatenate(share),
        np.concatenate(group),
    )
    return whole, np.concatenate([each[1] for each in parts])


def _lay_over_given(rig: CameraRig, given: CameraRig, scaled: bool) -> tuple[CameraRig, float]:
    """The rig laid over the given one, and its size against that: kept as given if nothing seen had a scale."""
    size = [float(np.sqrt(((each.centres - each.centres.mean(0)) ** 2).sum())) for each in (rig, given)]
    scale = size[0] / size[1]
    viewmats = rig.viewmats.copy()
    if not scaled:
        viewmats[:, :3, 3] /= scale
    T = laid_over(viewmats, given.viewmats)
    return CameraRig(rig.intrinsics, viewmats @ np.linalg.inv(T)), scale if scaled else 1.0


def _errors_beforehand(problem: RigProblem) -> Uncertainty:
    """Standard errors before anything is seen, in the gauge in which those after are told."""
    prior = problem.prior
    estimated = np.zeros((len(problem.free), len(INTRINSICS) + 6), dtype=bool)
    estimated[:, : len(INTRINSICS)], estimated[:, len(INTRINSICS) :] = problem.free, True
    chosen = estimated.ravel()
    # Positions as if directions were known: otherwise what is not known of directions turns the rig, and moves them.
    turned, placed = (
        in_rig_gauge(
            prior.rig,
            np.linalg.inv(each.information(prior.rig)[0][np.ix_(chosen, chosen)]),
            chosen,
            prior.scaled,
        )
        for each in (prior, replace(prior, turn=1e-6))
    )
    return replace(turned, centres_m=placed.centres_m)


def _refuse_unfixed(errors: Uncertainty, believed: Uncertainty, problem: RigProblem) -> None:
    """Raises CalibrationError for a camera of which no more is known than before."""
    for camera, name in enumerate(problem.cameras):
        asked = {"its rotation": (errors.rotations_deg[camera], believed.rotations_deg[camera], "degrees")}
        if problem.belief.free_focal:
            focal = problem.given.intrinsics[camera, :2]
            after, before = errors.intrinsics[camera, :2] / focal, believed.intrinsics[camera, :2] / focal
            asked["its focal length"] = (100 * after, 100 * before, "%")
        for what, (after, before, unit) in asked.items():
            if np.linalg.norm(after) > UNFIXED * np.linalg.norm(before):
                raise CalibrationError(
                    f"what was seen does not fix {what}",
                    where=f"camera {name}",
                    expected=f"clearly less than the {np.linalg.norm(before):.2g} {unit} believed beforehand",
                    found=f"± {np.linalg.norm(after):.2g} {unit}",
                    remedy="record a person who walks about where this camera and others see them, or a board"
                    + (", or leave focal lengths as they are" if problem.belief.free_focal else ""),
                )


# -- judging ---------------------------------------------------------------------------------------


def _evaluate_rig(found: AdjustedRig, problem: RigProblem) -> AdjustedRig:
    """The rig before and after, where it was fitted and where it was not."""
    blocks = [_blocks(len(board.bodies)) for board in problem.boards]
    halves = []
    for half in (0, 1):
        keep = problem.keep
        if problem.body is not None:
            keep = keep & (_blocks(len(problem.body.frames)) % 2 == half)[:, None]
        some = tuple(
            some_moments(board, own % 2 == half) for board, own in zip(problem.boards, blocks, strict=True)
        )
        halves.append(_fit(replace(problem, keep=keep, boards=some), found.noise)[0].rig)
    boards = frames = parts = None
    fitted: list[Comparison | None] = [None, None]
    if problem.body is not None:
        block = _blocks(len(problem.body.frames))
        rows = np.repeat(block[:, None], problem.keep.shape[1], 1)
        frames = compare_landmarks(
            problem.body, found.given, [(halves[1 - n], rows % 2 == n) for n in (0, 1)], rows
        )
        fitted[0] = compare_landmarks(problem.body, found.given, [(found.rig, problem.keep)], rows)
        parts = _compare_parts(found, problem)
    if problem.boards:
        judges = [(halves[1 - n], [own % 2 == n for own in blocks]) for n in (0, 1)]
        boards = compare_boards(problem.boards, found.given, judges, blocks)
        every = [np.ones(len(own), dtype=bool) for own in blocks]
        fitted[1] = compare_boards(problem.boards, found.given, [(found.rig, every)], blocks)
    return replace(found, frames=frames, parts=parts, boards=boards, fitted=(fitted[0], fitted[1]))


def _compare_parts(found: AdjustedRig, problem: RigProblem) -> Comparison | None:
    """Each part of the body judged by the rig of the others (and of no board: boards do not know parts)."""
    if problem.body is None or problem.boards:
        return None
    part = problem.body.detections.layout.part_of
    columns = np.repeat(part[None], len(problem.body.frames), 0)
    judges = []
    for number in range(len(problem.body.parts)):
        keep = problem.keep & (part != number)
        rig = _fit(replace(problem, keep=keep), found.noise)[0].rig
        judges.append((rig, columns == number))
    return compare_landmarks(problem.body, found.given, judges, columns)


def _blocks(count: int) -> Int[np.ndarray, " m"]:
    return np.arange(count) * BLOCKS // max(count, 1)
