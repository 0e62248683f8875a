"""The fit stage: from observations to one person moving.

Landmarks are triangulated, which says where the trunk is; then shape, joints, place and facial actions of all frames
are found together in rounds: first by landmarks alone with wide tolerance, then with the usual one and with hands and
face, then also by masks and depth. Captures longer than the window are done piece by piece: the first fixes the
shape and what the detector's constant offsets are, each later piece starts from the last frames of the one before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from simulacra.recon.fit.capture import FitCapture, Views, chosen_views
from simulacra.recon.fit.certainty import JOINTS
from simulacra.recon.fit.config import FitConfig
from simulacra.recon.fit.costs import Maker
from simulacra.recon.fit.disagreement import unshown
from simulacra.recon.fit.doubts import find_doubts
from simulacra.recon.fit.floor import find_floor
from simulacra.recon.fit.one_view import SCALES, prior_stature
from simulacra.recon.fit.piece import FIRST_ROUNDS, OVERLAP, Job, Solution, fit_piece, landmark_energy
from simulacra.recon.fit.record import BodyFit
from simulacra.recon.fit.seen import joint_views, part_views, see_body, seen_share, unseen_words
from simulacra.recon.fit.solve import one_thread
from simulacra.recon.fit.tracks import FACE, PoseTracks, gather_poses, gather_tracks
from simulacra.recon.observe.presence import FEWEST_LANDMARKS, count_views, views_needed
from simulacra.recon.runs.progress import Progress
from simulacra.render.body import BodyModel, BodyPose, RestBody, load_body
from simulacra.render.runtime.errors import CaptureError

# Moments by which it is decided whether a person is seen from the front.
_TRIED = 4


def fit_body(
    session: FitCapture,
    observations: Any,
    config: FitConfig,
    cameras: Sequence[str],
    frames: Sequence[int] | None = None,
    *,
    body: BodyModel | None = None,
    costs: Sequence[Maker] = (),
) -> BodyFit:
    """One shape and a pose for every frame.

    Args:
        session: calibration, depth and times.
        observations: landmarks and masks (`recon.observe.Observations`).
        cameras: the only cameras that are looked at: leave held-out ones away.
        frames: numbers of the frames; all observed ones if None.
        body: the default body if None.
        costs: makers of costs of one's own (`recon.fit.costs`), beside the project's.

    Raises:
        CaptureError: no camera, no frames, or a person whose joints do not agree between cameras.
    """
    body = load_body() if body is None else body
    numbers = [int(frame) for frame in (observations.frames if frames is None else frames)]
    if not numbers:
        raise CaptureError("There is no frame to fit the body to")
    rounds = FIRST_ROUNDS + config.rounds + config.refine_rounds
    with one_thread():
        tracks, views = gather_poses(
            session, observations, chosen_views(session, cameras), numbers, config, body=body
        )
        if len(views.names) == 1:
            tracks = _likelier_sides(session, observations, views, config, body, tracks)
        floor = (
            find_floor(session, observations, views, tracks.frames, tracks.points) if config.depth else None
        )
        # The first piece says who it is: it begins with the first frame in which somebody is there.
        begin = int((np.isfinite(tracks.points).all(-1).sum(1) >= FEWEST_LANDMARKS).argmax())
        pieces = [(begin + a, begin + b) for a, b in split_frames(len(numbers) - begin, config.window)]
    with one_thread(), Progress("fitting the body", len(pieces) * rounds) as progress:
        stature = _held_stature(config, tracks, body)
        job = Job(session, observations, config, views, body, floor, progress.advance, tuple(costs), stature)
        first = before = None
        parts: list[_Part] = []
        for rows in (slice(*piece) for piece in pieces):
            # Of a piece only its poses are kept: what it was fitted to is a megabyte a frame.
            before = fit_piece(job, gather_tracks(tracks, observations, views, config, rows), before)
            first = first or before
            parts.append(_Part(before.pose(), before.joint_covariance))
        assert first is not None
        return _record(job, tracks, first, parts, begin)


def _held_stature(config: FitConfig, tracks: PoseTracks, body: BodyModel) -> float | None:
    """What was given; the prior's where nothing says how large a picture's person is; None where it is measured."""
    if config.stature_m is not None:
        return config.stature_m
    return prior_stature(body) if tracks.scale == "prior" else None


def _likelier_sides(
    session: FitCapture,
    observations: Any,
    views: Views,
    config: FitConfig,
    body: BodyModel,
    tracks: PoseTracks,
) -> PoseTracks:
    """Of one camera that never shows a face the network may have taken a back for a front: both are tried."""
    rows = np.flatnonzero(np.isfinite(tracks.points).all(-1).sum(1) >= FEWEST_LANDMARKS)
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _TRIED)).astype(int))]
    given = gather_tracks(tracks, observations, views, config).of_rows(rows.tolist())
    if (given.weights[..., FACE] > 0).any():
        return tracks
    frames = tracks.frames.tolist()
    other, _ = gather_poses(session, observations, views, frames, config, body=body, exchanged=True)
    exchanged = gather_tracks(other, observations, views, config).of_rows(rows.tolist())
    stature = _held_stature(config, tracks, body)
    job = Job(session, observations, config, views, body, None, lambda _: None, stature_m=stature)
    return other if landmark_energy(job, exchanged) < landmark_energy(job, given) else tracks


def split_frames(frames: int, window: int) -> list[tuple[int, int]]:
    """First and last + 1 of each piece; a piece repeats the last frames of the one before."""
    pieces = [(0, min(window, frames))]
    while pieces[-1][1] < frames:
        first = pieces[-1][1] - OVERLAP
        pieces.append((first, min(first + window, frames)))
    return pieces


@dataclass(frozen=True)
class _Part:
    """Of a piece what is kept."""

    pose: BodyPose
    joint_covariance: Float[np.ndarray, "t j 3 3"] | None


def _record(job: Job, tracks: PoseTracks, first: Solution, parts: Sequence[_Part], begin: int) -> BodyFit:
    """Poses of all pieces one after the other with the first one's shape, and what they leave unexplained; before
    ``begin`` the first pose.
    """
    pose = BodyPose(
        _one_after_the_other([part.pose.rotations for part in parts], begin),
        _one_after_the_other([part.pose.translation for part in parts], begin),
        _one_after_the_other([part.pose.expression for part in parts], begin),
    )
    known = [torch.from_numpy(part.joint_covariance) for part in parts if part.joint_covariance is not None]
    sure = _one_after_the_other(known, begin).numpy() if len(known) == len(parts) else None
    space, unknowns = first.space, first.unknowns
    shape = space.shape(unknowns)
    rest = job.body.rest(shape)
    residual = _residual_px(job, tracks, rest, pose)
    seen = _see(job, tracks, rest, pose)
    return BodyFit(
        shape=type(shape)(shape.phenotypes.detach(), shape.local_changes.detach()),
        pose=pose,
        frames=tracks.frames,
        cameras=job.views.names,
        time_offsets=tracks.offsets.frames,
        bias=(space.bias_m[:, None] * unknowns.bias).numpy().astype(np.float64),
        residual_px=residual,
        confidence=tracks.weights,
        summary=_summary(job, tracks, residual, rest)
        | _seen_summary(job.body, rest, seen)
        | _certainty_summary(job.body, first, sure, seen),
        viewmats=job.views.viewmats if tracks.adjusted.turns.any() else None,
        floor_m=job.floor_m,
        seen=seen,
        joint_covariance=sure,
        doubts=find_doubts(tracks, chosen_views(job.session, job.views.names), job.config),
    )


def _one_after_the_other(parts: Sequence[Tensor], begin: int) -> Tensor:
    """Frames of all pieces, without those that pieces share; before ``begin`` the first one."""
    waiting = parts[0][:1].repeat_interleave(begin, 0)
    return torch.cat([waiting, parts[0], *(part[OVERLAP:] for part in parts[1:])]).detach()


def _see(job: Job, tracks: PoseTracks, rest: RestBody, pose: BodyPose) -> np.ndarray:
    """Which vertices each camera sees, in the frames in which enough cameras see the person."""
    rows = np.flatnonzero(count_views(tracks.weights) >= views_needed(len(job.views.names)))
    rows = np.arange(len(tracks.frames)) if not len(rows) else rows
    chosen = BodyPose(pose.rotations[rows], pose.translation[rows], pose.expression[rows])
    frames = tracks.frames[rows].tolist()
    return see_body(job.session, job.observations, job.views, (job.body, rest, chosen), frames, tracks.shown)


def _seen_summary(body: BodyModel, rest: RestBody, seen: np.ndarray) -> dict[str, Any]:
    parts = part_views(body, seen)
    return {
        "never_seen": list(unseen_words(parts)),
        "seen_share": round(seen_share(body, rest, seen), 3),
        "parts_seen_by": parts,
        "joints_seen_by": joint_views(body, seen),
    }


def _certainty_summary(
    body: BodyModel, first: Solution, sure: np.ndarray | None, seen: np.ndarray
) -> dict[str, Any]:
    """How sure joints are, and which sizes landmarks alone have otherwise, of what any camera saw."""
    hidden = unshown(body, joint_views(body, seen))
    said: dict[str, Any] = {
        "landmarks_alone_m": {name: by for name, by in first.disagreement.items() if name not in hidden}
    }
    if sure is not None:
        spread = np.sqrt(np.median(np.trace(sure, axis1=-2, axis2=-1), axis=0))
        said["joint_sd_mm"] = {
            name: round(1000 * float(sd), 1) for name, sd in zip(JOINTS, spread, strict=True)
        }
    return said


def _residual_px(job: Job, tracks: PoseTracks, rest: RestBody, pose: BodyPose) -> np.ndarray:
    with torch.no_grad():
        points = job.body.keypoints_at("pose33", rest, pose).double().numpy()
    views = job.views
    local = (
        np.einsum("cij,tkj->tcki", views.viewmats[:, :3, :3], points) + views.viewmats[None, :, None, :3, 3]
    )
    image = np.einsum("cij,tckj->tcki", views.Ks, local)
    return np.linalg.norm(image[..., :2] / image[..., 2:] - tracks.pixels, axis=-1)


def _summary(job: Job, tracks: PoseTracks, residual: np.ndarray, rest: RestBody) -> dict[str, Any]:
    sure = np.where(tracks.weights > 0.5, residual, np.nan)
    stature = float(rest.verts[:, 1].max() - rest.verts[:, 1].min())

    def median(values: np.ndarray) -> float | None:
        known = values[np.isfinite(values)]
        return round(float(np.median(known)), 3) if known.size else None

    return {
        **({"times": tracks.assumed} if tracks.assumed else {}),
        "stature_m": round(stature, 4),
        "scale": {"source": tracks.scale, "said": SCALES[tracks.scale]},
        **({"sides_exchanged": True} if tracks.exchanged else {}),
        "reprojection_px": median(sure),
        "per_camera_px": {name: median(sure[:, c]) for c, name in enumerate(job.views.names)},
        "per_landmark_px": {
            name: median(sure[:, :, k]) for k, name in enumerate(job.body.keypoints["pose33"].names)
        },
        "triangulation_px": median(tracks.residual_px),
        "swapped_views": int(tracks.swapped.any(-1).sum()),
        "camera_turns_deg": {
            name: round(float(np.degrees(np.linalg.norm(turn))), 3)
            for name, turn in zip(job.views.names, tracks.adjusted.turns, strict=True)
        },
        "time_offsets": {
            name: round(float(offset), 3)
            for name, offset in zip(job.views.names, tracks.offsets.frames, strict=True)
        },
    }
