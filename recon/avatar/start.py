"""What an avatar's training starts from: the first Gaussians, colored, and what the alignment of cameras found.

Of the settings it does not depend on how long the training then is, or how it densifies and moves: trainings that
differ in these alone start from the same (see recon.runs.parts).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from simulacra.recon.avatar.record import TrainedResult, load_trained, save_trained
from simulacra.recon.avatar.settings import AvatarConfig, Densification, LearningRates
from simulacra.recon.avatar.training import CHECKPOINT, Training, restore_checkpoint, save_checkpoint
from simulacra.recon.runs.configuration import dump_config
from simulacra.render.avatar import Avatar


def start_settings(settings: AvatarConfig) -> object:
    """Those settings that the start depends on, as JSON can say them: all but the few that are known not to."""
    neutral = replace(
        settings,
        steps=1,
        checkpoint_every=1,
        refine_poses=False,
        densify=Densification(),
        rates=LearningRates(camera_poses=settings.rates.camera_poses),
    )
    if not settings.align_steps:  # then nothing is drawn, and no loss is paid
        neutral = replace(neutral, rates=LearningRates(), weights=AvatarConfig().weights)
    return dump_config(neutral)


def save_start(folder: Path, avatar: Avatar, aligned: Training | None) -> None:
    """Writes the Gaussians on the body and, where cameras were aligned, that training's last state."""
    save_trained(folder, TrainedResult(avatar=avatar))
    if aligned is None:
        (folder / CHECKPOINT).unlink(missing_ok=True)
    else:
        save_checkpoint(folder, aligned)


def load_start(folder: Path, device: torch.device) -> tuple[Avatar, Training | None]:
    """Reads what `save_start` wrote; the training's tensors on the device.

    Raises:
        RunError: a file is missing or damaged.
    """
    avatar = load_trained(folder).avatar
    assert avatar is not None
    return avatar, restore_checkpoint(folder, device)
