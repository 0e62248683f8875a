"""Gaussians of other trainers beside a run, on the same views: what a static scene of one moment gives there.

gsplat's and Inria's trainers fit one set of free Gaussians to the pictures of one moment. They know no body, so that
they are right at that moment only and cannot be posed. They are therefore judged at that moment, on cameras that
neither they nor the run were trained on, through the calibration as it was recorded, which is what they were given; the
run is scored on the same views once more, through its own.

Their pictures may hold the room as well. `psnr_fg` looks at the person's pixels alone; `psnr_full`, `ssim_crop` and
`mask_iou` also count what else they draw, which is the price of a scene that was trained without masks.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from simulacra.recon.evaluate.again import ScoredRun, open_scored
from simulacra.recon.evaluate.protocol import Protocol
from simulacra.recon.evaluate.reconstruction import render_posed, score_render
from simulacra.recon.evaluate.scoring import Evaluation
from simulacra.recon.evaluate.views import RenderView
from simulacra.recon.importers.building import upright
from simulacra.recon.runs.files import check_file, disk_errors
from simulacra.recon.session import Session
from simulacra.render.camera import Cameras
from simulacra.render.export.ply import read_ply
from simulacra.render.gaussians import Gaussians, rasterize_gaussians
from simulacra.render.runtime.errors import ConfigError, InputError

# What these trainers widen every Gaussian by, px^2 (`eps2d` of gsplat, the 0.3 of Inria's rasterizer).
TRAINERS_EPS2D = 0.3
RUN_PART = "run"


@dataclass(frozen=True)
class Similarity:
    """Where a file's world is in the session's: ``scale * rotation @ x + translation``, metres."""

    rotation: Float[np.ndarray, "3 3"]
    translation: Float[np.ndarray, "3"]
    scale: float

    def seen_by(self, cameras: Cameras) -> Cameras:
        """The same cameras in the file's world and unit: they see the same picture there, at depths over the scale."""
        rotation = torch.from_numpy(self.rotation).to(cameras.viewmats)
        translation = torch.from_numpy(self.translation).to(cameras.viewmats)
        viewmats = cameras.viewmats.clone()
        turn, shift = cameras.viewmats[:, :3, :3], cameras.viewmats[:, :3, 3]
        viewmats[:, :3, :3] = turn @ rotation
        viewmats[:, :3, 3] = (turn @ translation + shift) / self.scale
        return replace(cameras, viewmats=viewmats)


IDENTITY = Similarity(np.eye(3), np.zeros(3), 1.0)


@dataclass(frozen=True)
class ScoredGaussians:
    """Scores of a file of Gaussians and of a run, on the same views.

    Attributes:
        frame: the moment at which both were scored.
        gaussians: the file's, in the folder of its name.
        run: the run's own, in the folder ``run``.
    """

    frame: int
    gaussians: Evaluation
    run: Evaluation


def evaluate_gaussians(
    root: Path,
    file: Path,
    out: Path,
    *,
    frame: int | None = None,
    held_out_cameras: Sequence[str] | None = None,
    world: Similarity = IDENTITY,
    antialiased: bool = False,
) -> ScoredGaussians:
    """Scores a PLY of Gaussians and a run on the run's held-out cameras at one moment.

    Args:
        root: the folder of the run.
        file: a PLY in 3DGS's layout.
        out: a folder to write both evaluations into: ``run/evaluate`` and ``NAME/evaluate``.
        frame: the moment that the Gaussians are of; needed where several were scored.
        held_out_cameras: other cameras than those that the run held out.
        world: where the file's world is in the session's.
        antialiased: whether the trainer compensated for thin Gaussians (gsplat's `--antialiased`).

    Raises:
        InputError: the file is not of Gaussians.
        ConfigError: no camera was held out, or the frame is none of the scored ones.
        RunError: not a finished run, or its session has changed.
    """
    gaussians = read_ply(file)
    run = open_scored(root, held_out_cameras)
    protocol = _at_one_moment(run.protocol, frame)
    session, shown = run.session, protocol.evaluated[0].frame
    static = render_static(session, gaussians, world, antialiased)
    own = render_posed(session, run.trained, run.body, run.fit)
    with disk_errors(out):
        made = [
            _score(out / part / "evaluate", run, protocol, render)
            for part, render in ((name_of(file), static), (RUN_PART, own))
        ]
    if touched := run.watch.touched():
        raise run.watch.error(touched)
    return ScoredGaussians(shown, *made)


def name_of(file: Path) -> str:
    """What a file's scores are called; never as the run's own are."""
    return file.stem if file.stem != RUN_PART else f"{RUN_PART}_ply"


def _score(folder: Path, run: ScoredRun, protocol: Protocol, render: RenderView) -> Evaluation:
    folder.mkdir(parents=True, exist_ok=True)
    return score_render(folder, run.session, protocol, run.observed, render, run.settings)


def render_static(
    session: Session, gaussians: Gaussians, world: Similarity = IDENTITY, antialiased: bool = False
) -> RenderView:
    """What draws Gaussians of a file, the same in every frame, through the session's recorded cameras."""

    def render(frame: int, camera: str, width: int, height: int) -> tuple[Tensor, Tensor, Tensor]:
        view = world.seen_by(session.cameras_as_tensors(camera).scaled(width, height))
        mode: Any = "antialiased" if antialiased else "classic"
        drawn = rasterize_gaussians(gaussians, view, mode=mode, eps2d=TRAINERS_EPS2D)
        return drawn.rgb_premul[0], drawn.alpha[0], drawn.depth[0] * world.scale

    return render


def _at_one_moment(protocol: Protocol, frame: int | None) -> Protocol:
    """The scored views of cameras that no colors were trained on, at one frame."""
    views = [
        view for view in protocol.evaluated if not protocol.locked or view.camera in protocol.held_out_cameras
    ]
    frames = sorted({view.frame for view in views})
    if not frames:
        raise ConfigError(
            "the run held out no camera, and a static scene is judged by cameras that it did not see",
            expected=f"some of {', '.join(protocol.cameras)}",
            remedy="name those that the Gaussians were not trained on: --held-out-cameras CAM",
        )
    if frame is None and len(frames) > 1:
        raise ConfigError(
            "static Gaussians are of one moment, and several were scored",
            expected=f"one of {', '.join(map(str, frames[:12]))}{' ...' if len(frames) > 12 else ''}",
            remedy="say which: --frame N",
        )
    chosen = frames[0] if frame is None else frame
    if chosen not in frames:
        raise ConfigError(
            "this frame was not scored", found=chosen, expected=f"one of {', '.join(map(str, frames[:12]))}"
        )
    return replace(protocol, evaluated=tuple(view for view in views if view.frame == chosen))


def read_world(path: Path) -> Similarity:
    """Where a file's world is in the session's, out of JSON.

    Either nerfstudio's `dataparser_transforms.json` (``transform`` 3x4 and ``scale``: from the `transforms.json` that
    `export-session` wrote to what was trained), or a 4x4 matrix from the file's world to the session's: a rotation
    times a scale, and a translation in metres.

    Raises:
        InputError: it is neither.
    """
    try:
        check_file(path)
        said = json.loads(path.read_text("utf-8"))
        if isinstance(said, dict):
            trained = np.eye(4)
            trained[:3] = np.array(said["transform"], np.float64)
            trained[:3] *= float(said["scale"])
            matrix = upright("+z") @ np.linalg.inv(trained)
        else:
            matrix = np.array(said, np.float64)
        return _similarity(matrix)
    except (OSError, ValueError, TypeError, KeyError, RecursionError, np.linalg.LinAlgError) as error:
        raise InputError(
            "this does not say where a file's world is",
            where=path,
            expected="nerfstudio's dataparser_transforms.json, or a 4x4 matrix: rotation times scale, and translation",
            found=str(error)[:120],
        ) from error


def _similarity(matrix: Float[np.ndarray, "4 4"]) -> Similarity:
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all() or not np.allclose(matrix[3], [0, 0, 0, 1]):
        raise ValueError("not a 4x4 matrix with a last row of 0 0 0 1")
    scale = float(np.cbrt(np.linalg.det(matrix[:3, :3])))
    if not scale > 1e-9 or not np.allclose(
        matrix[:3, :3] @ matrix[:3, :3].T, scale**2 * np.eye(3), atol=1e-4 * scale**2
    ):
        raise ValueError("not a rotation times a scale")
    return Similarity(matrix[:3, :3] / scale, matrix[:3, 3], scale)
