"""The training views of a run as photographs for its texture. Held-out views are never opened."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from simulacra.recon.avatar.finished import FinishedAvatar
from simulacra.recon.observe import Observations, load_observations
from simulacra.recon.observe.presence import rank_moments
from simulacra.recon.runs.progress import track
from simulacra.recon.runs.run_folder import read_run_file
from simulacra.recon.session import Session, load_session
from simulacra.recon.texture.sight import Photograph
from simulacra.render.runtime.errors import RunError

# Of a rig's one moment, or of a few moments of few cameras: clothes move, and one moment's fit together.
ENOUGH_VIEWS = 16
# A view of another moment than the first is worth that much of one that shows a place as well.
OTHER_MOMENT = 0.5


def training_photographs(
    run: Path, avatar: FinishedAvatar, session_at: Path | None = None
) -> tuple[Photograph, ...]:
    """Photographs of the moments that most cameras see the person in.

    Args:
        run: of the avatar.
        session_at: where the run's session is now; where it was by default.

    Raises:
        RunError: the session has gone, or another is in its place.
        InputError: a file of it is missing or damaged.
    """
    described = read_run_file(run)
    session = avatar.fit.adjusted(_open_session(described, session_at))
    observed = load_observations(run / "observe")
    locked: Any = described["locked"]
    cameras = [name for name in locked["training_cameras"] if name in avatar.fit.cameras]
    moments = _choose_moments(avatar, locked["training_frames"], len(cameras))
    wanted = [(frame, name) for frame in moments for name in cameras if session.has(frame, name)]
    return tuple(
        each
        for frame, name in track(wanted, "reading photographs", len(wanted))
        for each in _read(
            session, observed, avatar, frame, name, 1.0 if frame == moments[0] else OTHER_MOMENT
        )
    )


def _open_session(described: dict[str, Any], at: Path | None) -> Session:
    where = Path(str(described.get("session"))) if at is None else at
    if not where.is_dir():
        raise RunError(
            "the session that the texture is painted from has gone",
            where=where,
            remedy="--session FOLDER says where it is now; --texture 0 writes the person without a picture",
        )
    session = load_session(where)
    fingerprint = session.fingerprint()
    if fingerprint != described.get("session_fingerprint"):
        raise RunError(
            "the session has changed since the run was made, or is another",
            where=where,
            expected=f"session {str(described.get('session_fingerprint'))[:12]}",
            found=f"session {fingerprint[:12]}",
        )
    return session


def _choose_moments(avatar: FinishedAvatar, training_frames: list[int], cameras: int) -> list[int]:
    """The best-seen frame first."""
    fit = avatar.fit
    rows = np.flatnonzero(np.isin(fit.frames, training_frames))
    if not len(rows):
        return []
    count = min(len(rows), max(1, math.ceil(ENOUGH_VIEWS / max(cameras, 1))))
    first = int(rows[rank_moments(fit.views[rows])[0]])
    spread = rows[np.linspace(0, len(rows) - 1, count).round().astype(int)]
    return [int(fit.frames[row]) for row in dict.fromkeys([first, *spread])][:count]


def _read(
    session: Session, observed: Observations, avatar: FinishedAvatar, frame: int, camera: str, worth: float
) -> Iterator[Photograph]:
    """One photograph, none where the person's mask is empty."""
    mask = observed.mask(frame, camera)
    if mask is None or not (mask > 0.5).any():
        return
    verts = avatar.body.pose(avatar.rig.rest, avatar.fit.pose_of(frame, camera)).verts[0]
    image, view = session.image(frame, camera), session.cameras_as_tensors(camera)
    yield Photograph.of_srgb(image, mask, view, verts, worth)
