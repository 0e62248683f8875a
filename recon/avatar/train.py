"""The splat stage: makes the first Gaussians, stores the views, trains, and writes the record."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from simulacra.recon.avatar.baseline import baseline_recipe, fused_gaussians
from simulacra.recon.avatar.initial import (
    Person,
    alignment_recipe,
    avatar_on_body,
    avatar_on_surface,
    avatar_recipe,
    placement,
    recolored,
    trained_avatar,
)
from simulacra.recon.avatar.optimise import optimise
from simulacra.recon.avatar.record import LOSSES, SplatResult, save_splat
from simulacra.recon.avatar.settings import AvatarConfig, DepthSplatsConfig
from simulacra.recon.avatar.training import CHECKPOINT, LOSS_NAMES, Training
from simulacra.recon.avatar.views import MaskOf, ViewStore, store_views
from simulacra.recon.refine import Surface
from simulacra.recon.runs.stages import write_arrays, write_json
from simulacra.recon.session import Session
from simulacra.render.runtime.errors import CaptureError

SplatConfig = AvatarConfig | DepthSplatsConfig
# Both removed when the stage is done.
VIEWS = "views"
ALIGNMENT = "alignment"


def train_splat(
    folder: Path,
    session: Session,
    person: Person | None,
    surface: Surface | None,
    mask_of: MaskOf,
    frames: Sequence[int],
    cameras: Sequence[str],
    settings: SplatConfig,
) -> SplatResult:
    """Trains what the configuration asks for and writes it, its losses and its view counts into the folder.

    Args:
        person: None only for the baseline, which knows no body.
        frames, cameras: the training views; held-out ones must not be among them.

    Raises:
        CaptureError: no view shows the person.
    """
    if isinstance(settings, DepthSplatsConfig):
        frames = frames[:1]
    views = store_views(folder / VIEWS, session, mask_of, frames, cameras, settings.longest_side)
    if not len(views):
        raise CaptureError(
            "the person is in none of the training views", where=session.root, remedy="look at the masks"
        )
    if isinstance(settings, DepthSplatsConfig):
        initial = fused_gaussians(session, frames[0], cameras, mask_of, settings)
        training = optimise(initial, lambda g, _, __: g, views, cameras, baseline_recipe(settings), folder)
        result = SplatResult(free=training.gaussians)
    else:
        assert person is not None
        result, training = _train_avatar(folder, session, person, surface, mask_of, views, cameras, settings)
    save_splat(folder, result)
    _write_account(folder, training, views)
    (folder / CHECKPOINT).unlink(missing_ok=True)
    for name in (VIEWS, ALIGNMENT):
        shutil.rmtree(folder / name, ignore_errors=True)
    return result


def _train_avatar(  # one argument more than is good: the stage's own, handed on
    folder: Path,
    session: Session,
    person: Person,
    surface: Surface | None,
    mask_of: MaskOf,
    views: ViewStore,
    cameras: Sequence[str],
    settings: AvatarConfig,
) -> tuple[SplatResult, Training]:
    frame = views.views[0][0] if surface is None else surface.frame
    if surface is not None:
        avatar, apart = avatar_on_surface(person, surface, settings), surface.spacing
    else:
        avatar, apart = avatar_on_body(person, session, mask_of, frame, cameras, settings)
    place = placement(person, avatar.binding)
    aligned = None
    if settings.align_steps:
        work = folder / ALIGNMENT
        aligned = optimise(avatar.gaussians, place, views, cameras, alignment_recipe(settings), work)
        avatar = recolored(person, avatar, apart, session, mask_of, frame, cameras, aligned)
    training = optimise(avatar.gaussians, place, views, cameras, avatar_recipe(settings), folder, aligned)
    return SplatResult(avatar=trained_avatar(avatar, training)), training


def _write_account(folder: Path, training: Training, views: ViewStore) -> None:
    columns = {name: training.losses[:, k].numpy() for k, name in enumerate(LOSS_NAMES)}
    write_arrays(folder / LOSSES, **columns)
    described = {
        "gaussians": len(training.anchors),
        "views": len(views),
        "empty_views": [f"{camera} {frame}" for frame, camera in views.empty],
        "camera_gains": np.exp(training.tensors["gains"].numpy()).round(4).tolist(),
        "camera_shifts": training.tensors["shifts"].numpy().round(4).tolist(),
        "camera_turns_deg": np.degrees(training.tensors["turns"].numpy()).round(4).tolist(),
        "camera_moves_mm": (1000 * training.tensors["moves"].numpy()).round(3).tolist(),
    }
    write_json(folder / "splat.json", described)
