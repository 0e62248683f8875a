"""The fit stage: from observations to one person moving.

Landmarks are triangulated, which says where the trunk is; then shape, joints, place and facial actions of all frames
are found together in rounds: first by landmarks alone with wide tolerance, then with the usual one and with hands and
face, then also by masks and depth. Captures longer than the window are done piece by piece: the first fixes the
shape and what the detector's constant offsets are, each later piece starts from the last frames of the one before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from simulacra.recon.fit.config import FitConfig
from simulacra.recon.fit.piece import OVERLAP, Job, Solved, fit_piece, rows_of
from simulacra.recon.fit.record import BodyFit
from simulacra.recon.fit.tracks import Capture, Tracks, chosen_views, gather_tracks
from simulacra.render.body import BodyModel, BodyPose, RestBody, load_body
from simulacra.render.runtime.errors import CaptureError

Progress = Callable[[str, int, int], None]
"""Called as ``progress(what, done, total)`` after every piece of work."""


def fit_body(
    session: Capture,
    observations: Any,
    config: FitConfig,
    cameras: Sequence[str],
    frames: Sequence[int] | None = None,
    *,
    body: BodyModel | None = None,
    progress: Progress | None = None,
) -> BodyFit:
    """One shape and a pose for every frame.

    Args:
        session: calibration, depth and times.
        observations: landmarks and masks (`recon.observe.Observations`).
        cameras: the only cameras that are looked at: leave held-out ones away.
        frames: numbers of the frames; all observed ones if None.

    Raises:
        CaptureError: fewer than two cameras, no frames, or a person whose joints do not agree between cameras.
    """
    body = load_body() if body is None else body
    numbers = [int(frame) for frame in (observations.frames if frames is None else frames)]
    if not numbers:
        raise CaptureError("There is no frame to fit the body to")
    with _one_thread():
        return _fit(session, observations, config, cameras, numbers, body, progress)


@contextmanager
def _one_thread() -> Iterator[None]:
    """The tensors here are small: more threads only wait for each other (five times slower on a busy machine), and
    would make the last bits depend on their number.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _fit(
    session: Capture,
    observations: Any,
    config: FitConfig,
    cameras: Sequence[str],
    numbers: list[int],
    body: BodyModel,
    progress: Progress | None,
) -> BodyFit:
    tracks, views = gather_tracks(session, observations, chosen_views(session, cameras), numbers, config)
    job = Job(session, observations, config, views, body)
    pieces = _pieces(len(numbers), config.window)
    solved: list[Solved] = []
    for index, (first, last) in enumerate(pieces):
        part = rows_of(tracks, list(range(first, last)))
        solved.append(fit_piece(job, part, solved[-1] if solved else None))
        if progress is not None:
            progress("body", index + 1, len(pieces))
    return _record(job, tracks, solved)


def _pieces(frames: int, window: int) -> list[tuple[int, int]]:
    """First and last + 1 of each piece; a piece repeats the last frames of the one before."""
    pieces = [(0, min(window, frames))]
    while pieces[-1][1] < frames:
        first = pieces[-1][1] - OVERLAP
        pieces.append((first, min(first + window, frames)))
    return pieces


def _record(job: Job, tracks: Tracks, solved: list[Solved]) -> BodyFit:
    """Poses of all pieces one after the other, and what they leave unexplained."""
    parts = [piece.pose() for piece in solved]
    skip = [0, *([OVERLAP] * (len(parts) - 1))]
    pose = BodyPose(
        torch.cat([part.rotations[n:] for part, n in zip(parts, skip, strict=True)]).detach(),
        torch.cat([part.translation[n:] for part, n in zip(parts, skip, strict=True)]).detach(),
        torch.cat([part.expression[n:] for part, n in zip(parts, skip, strict=True)]).detach(),
    )
    person, unknowns = solved[0].person, solved[0].unknowns
    shape = person.shape(unknowns)
    rest = job.body.rest(shape)
    residual = _residual_px(job, tracks, rest, pose)
    return BodyFit(
        shape=type(shape)(shape.phenotypes.detach(), shape.local_changes.detach()),
        pose=pose,
        frames=tracks.frames,
        cameras=job.views.names,
        time_offsets=tracks.offsets.frames,
        bias=(person.bias_m * unknowns.bias).numpy().astype(np.float64),
        residual_px=residual,
        confidence=tracks.weights[:, :, :33],
        summary=_summary(job, tracks, residual, rest),
        viewmats=job.views.viewmats if tracks.adjusted.turns.any() else None,
    )


def _residual_px(job: Job, tracks: Tracks, rest: RestBody, pose: BodyPose) -> np.ndarray:
    with torch.no_grad():
        points = job.body.keypoints_at("pose33", rest, pose).double().numpy()
    views = job.views
    local = (
        np.einsum("cij,tkj->tcki", views.viewmats[:, :3, :3], points) + views.viewmats[None, :, None, :3, 3]
    )
    image = np.einsum("cij,tckj->tcki", views.Ks, local)
    return np.linalg.norm(image[..., :2] / image[..., 2:] - tracks.pixels, axis=-1)


def _summary(job: Job, tracks: Tracks, residual: np.ndarray, rest: RestBody) -> dict[str, Any]:
    sure = np.where(tracks.weights[:, :, :33] > 0.5, residual, np.nan)
    stature = float(rest.verts[:, 1].max() - rest.verts[:, 1].min())

    def median(values: np.ndarray) -> float | None:
        known = values[np.isfinite(values)]
        return round(float(np.median(known)), 3) if known.size else None

    return {
        "stature_m": round(stature, 4),
        "reprojection_px": median(sure),
        "per_camera_px": {name: median(sure[:, c]) for c, name in enumerate(job.views.names)},
        "per_landmark_px": {
            name: median(sure[:, :, k]) for k, name in enumerate(job.body.keypoints["pose33"].names)
        },
        "triangulation_px": median(tracks.points.residual_px),
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
