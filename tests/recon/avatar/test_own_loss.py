"""A loss that somebody writes in a program of his own: it counts, it is logged, and nothing of the package changes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from simulacra.recon.avatar.gaussian_trainee import gaussians_of
from simulacra.recon.avatar.losses import Drawing, Loss
from simulacra.recon.avatar.settings import DepthSplatsConfig
from simulacra.recon.avatar.train import train_avatar
from simulacra.recon.avatar.views import TrainingView, ViewStore
from simulacra.recon.session import Session
from tests.recon.avatar.planted_gaussians import RECIPE, perturbed, run, scene, scheduled, stored_views
from tests.recon.ellipsoid_person import synthetic_session


def redness(drawn: Drawing, view: TrainingView) -> Tensor:
    """How red the picture is where the person is: silly, and easy to measure."""
    return ((drawn.rgb[..., 0] - drawn.rgb[..., 2]) * view.mask).mean()


@pytest.fixture(scope="module")
def views(tmp_path_factory: pytest.TempPathFactory) -> ViewStore:
    return stored_views(tmp_path_factory.mktemp("planted") / "views", scene())


def test_a_loss_of_ones_own_changes_what_is_trained(views: ViewStore, tmp_path: Path) -> None:
    """Gaussians that are rewarded for being blue are bluer than those that are not, and than those of weight 0."""
    recipe = scheduled(RECIPE, steps=30, checkpoint_every=100)
    blues, logs = [], []
    for weight in (None, 0.0, 2.0):
        own = () if weight is None else (Loss("redness", weight, redness),)
        done = run(views, tmp_path / str(weight), replace(recipe, losses=(*recipe.losses, *own)), perturbed())
        sh = gaussians_of(done.tensors).sh[:, 0]
        blues.append(float((sh[:, 2] - sh[:, 0]).mean()))
        logs.append(done.losses)
    assert "redness" not in logs[0]
    assert blues[1] == blues[0]  # weight 0: to the last bit
    # Thirty steps of Adam of at most 0.01 each, falling to a tenth: blue and red part by up to 0.25.
    assert blues[2] > blues[0] + 0.1
    assert float(logs[2]["redness"][-3:].mean()) < float(logs[2]["redness"][:3].mean())
    # What the others cost is on the same record, beside it.
    assert list(logs[2])[:-1] == list(logs[0])
    terms = sum(logs[2][loss.name] for loss in recipe.losses) + logs[2]["redness"]
    torch.testing.assert_close(logs[2]["total"], terms)


def test_the_stage_takes_it_too(tmp_path: Path) -> None:
    """`train_avatar(..., losses=...)` adds it to what the configuration says, and writes its column."""
    session: Session = synthetic_session(tmp_path / "session", frames=1)
    settings = DepthSplatsConfig(kind="depth_splats", steps=3, longest_side=48, grid_mm=60.0, least_points=2)
    own = Loss("redness", 0.5, redness)
    train_avatar(
        tmp_path / "run", session, None, None, session.mask, (0,), ("0", "1"), settings, losses=[own]
    )
    with np.load(tmp_path / "run" / "losses.npz") as stored:
        columns = {name: stored[name] for name in stored.files}
    assert list(columns) == ["step", "total", "l1", "ssim", "mask", "depth", "regularity", "redness"]
    assert np.abs(columns["redness"]).min() > 0
