"""Which of the configurations that simulacra brings fits a session, why, and what it holds out."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .configurations import brought_configs

if TYPE_CHECKING:
    from simulacra.recon.evaluate.protocol import Protocol
    from simulacra.recon.pipeline import ViewsConfig
    from simulacra.recon.session import Session

# Two cameras are held out where four are left, which is what a body is triangulated with in `multiview_video`.
FEWEST_CAMERAS = 6
# Every so many frames one is held out where no camera is; of fewer frames the last, and of fewer than these none.
EVERY, FEWEST_FRAMES = 10, 3
# Metres that pictures cover from top to bottom where their cameras look; no adult stands in less. Of the captures that
# the configurations are made for, a desk's cover 0.8 to 1.3 and those of whole bodies 1.8 to 4.3.
WHOLE_BODY_M = 1.4


@dataclass(frozen=True)
class Proposal:
    """A configuration for a session.

    Attributes:
        config: its name.
        reason: why it fits, as it follows "because".
        options: over it, by dotted name: what is held out of this session where the file's own does not fit.
    """

    config: str
    reason: str
    options: dict[str, str]

    def words(self) -> list[str]:
        """As options of the command line."""
        options = [
            word for name, value in self.options.items() for word in (f"--{name.replace('_', '-')}", value)
        ]
        return ["--config", self.config, *options]


def propose_config(session: Session, *, body: bool = True) -> Proposal:
    """The configuration that fits a session's cameras and frames.

    Args:
        body: whether an avatar with a body is wanted.
    """
    cameras, frames = session.cameras, len(session.frames)
    depth = sum(camera.depth_scale is not None for camera in cameras)
    said = f"{_count(len(cameras), 'camera')}, {_count(frames, 'frame')}"
    if not body:
        baseline = "baselines/depth_splats" if depth else "baselines/free_splats"
        return _hold_out(session, baseline, f"no body is wanted ({said})", moves=False)
    if len(cameras) == 1:
        return _propose_alone(session, said, depth=bool(depth))
    covered = covered_height(session)
    if covered is not None and covered < WHOLE_BODY_M:
        seen = f"its pictures cover {covered:.1f} m from top to bottom, face and upper body"
        return _hold_out(session, "desk_face", f"{seen} ({said})")
    if 2 * depth > len(cameras):
        return _hold_out(session, "studio_rgbd", f"it has depth ({said})")
    return _hold_out(session, "multiview_video", f"it is of color alone ({said})")


def _propose_alone(session: Session, said: str, *, depth: bool) -> Proposal:
    """For a single camera, by whether it has depth and more than a picture."""
    if not depth:
        why = "it is one camera of color alone, whose scale `--fit.stature-m METRES` gives"
        return _hold_out(session, "one_camera", f"{why} ({said})")
    if len(session.frames) < FEWEST_FRAMES:
        return _hold_out(
            session, "portrait", f"it is one camera with depth, and hardly more than a picture ({said})"
        )
    return _hold_out(session, "depth_camera", f"it is one camera with depth ({said})")


def say_proposal(proposal: Proposal, protocol: Protocol, session: Path) -> str:
    """What is proposed, why, and what it holds out, in three lines.

    Args:
        session: as it was named on the command line.
    """
    command = shlex.join(["simulacra", "reconstruct", str(session), *proposal.words(), "--out", "RUN"])
    return (
        f"no --config is given: {proposal.config} fits this session, because {proposal.reason}\n"
        f"held out: {held_out(protocol)}\n"
        f"the same in full: {command}\n"
    )


def held_out(protocol: Protocol) -> str:
    """What no training sees, in words."""
    parts = []
    if protocol.held_out_cameras:
        parts.append(
            f"{_count(len(protocol.held_out_cameras), 'camera')} ({', '.join(protocol.held_out_cameras)})"
        )
    if protocol.held_out_frames:
        parts.append(
            f"the colors of {len(protocol.held_out_frames)} of {_count(len(protocol.frames), 'frame')}"
        )
    return " and ".join(parts) or "nothing; the scores will be of pictures that the avatar was trained on"


def covered_height(session: Session) -> float | None:
    """Metres that the pictures cover from top to bottom at the point that all cameras look at, the median.

    None where they look at no one point: a single camera, or parallel ones.
    """
    import numpy as np

    viewmats = np.stack([camera.viewmat for camera in session.cameras])
    axes, centers = viewmats[:, 2, :3], -np.einsum("nji,nj->ni", viewmats[:, :3, :3], viewmats[:, :3, 3])
    # The point with the least sum of squared distances to the optical axes.
    across = np.eye(3) - axes[:, :, None] * axes[:, None, :]
    if np.linalg.eigvalsh(across.sum(0))[0] < 1e-3:
        return None
    point = np.linalg.solve(across.sum(0), np.einsum("nij,nj->i", across, centers))
    depths = viewmats[:, 2, :3] @ point + viewmats[:, 2, 3]
    if depths.min() <= 0:
        return None
    # A camera that is mounted on its side has its width from top to bottom.
    upright = [abs(matrix[1, 1]) >= abs(matrix[0, 1]) for matrix in viewmats]
    angles = [c.height / c.K[1, 1] if up else c.width / c.K[0, 0] for c, up in zip(session.cameras, upright)]
    return float(np.median(np.array(angles) * depths))


def _hold_out(session: Session, config: str, reason: str, *, moves: bool = True) -> Proposal:
    """With what is held out fitted to the session's cameras and frames.

    Args:
        moves: whether what is made can be drawn in another frame than it was made of.
    """
    views, names = _views_of(config), session.camera_names
    frames = len(session.frame_indices[:: views.frame_step]) if moves else 1
    cameras: Sequence[str] = ()
    if len(names) >= FEWEST_CAMERAS and (views.held_out_cameras or frames < FEWEST_FRAMES):
        theirs = views.held_out_cameras and set(views.held_out_cameras) <= set(names)
        cameras = views.held_out_cameras if theirs else [names[len(names) * k // 8] for k in (3, 6)]
    every = min(views.held_out_every or EVERY, frames)
    if cameras or frames < FEWEST_FRAMES:
        every = 0
    options = {}
    if tuple(cameras) != views.held_out_cameras:
        plain = cameras and all(re.fullmatch(r"[\w-]+", name) for name in cameras)
        options["views.held_out_cameras"] = ",".join(cameras) if plain else json.dumps(list(cameras))
    if every != views.held_out_every:
        options["views.held_out_every"] = str(every)
    return Proposal(config, reason, options)


def _views_of(config: str) -> ViewsConfig:
    from simulacra.recon.pipeline import ReconstructionConfig
    from simulacra.recon.runs.configuration import load_config

    return load_config(ReconstructionConfig, brought_configs()[config]).views


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")
