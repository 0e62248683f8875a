"""Colors that depend on the direction are learned where they are asked for, and are nothing where they are not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from simulacra.recon.avatar.gaussian_trainee import DIRECTIONAL, GaussianTrainee, gaussians_of
from simulacra.recon.avatar.initial import with_harmonics
from simulacra.recon.avatar.loop import begin, train
from simulacra.recon.avatar.placement import place_free
from simulacra.recon.avatar.settings import AvatarConfig, Densification, LearningRates
from simulacra.recon.avatar.views import ViewStore
from simulacra.recon.runs.files import write_arrays
from simulacra.render.avatar import Avatar, Binding
from simulacra.render.body.records import BodyShape
from simulacra.render.camera import Cameras, look_at
from simulacra.render.gaussians import OUTLINE_EPS2D, Gaussians, rasterize_gaussians
from simulacra.render.runtime.errors import ConfigError
from tests.recon.avatar.planted_gaussians import COUNT, NAMES, RECIPE, SIZE, perturbed, scene

AROUND = 13
STILL = LearningRates(
    means=0, quats=0, log_scales=0, logit_opacities=0, sh=0.3, camera_colors=0, camera_poses=0
)


def shining() -> Gaussians:
    """The cloud with a light that wanders over it as one walks around: degree 2, as strong as the colors."""
    planted = scene()
    generator = torch.Generator().manual_seed(4)
    lobes = 0.5 * torch.randn(1, 8, 1, generator=generator).expand(COUNT, 8, 3)
    return planted.replace(sh=torch.cat([0.3 * planted.sh, lobes], 1))


def ring() -> Cameras:
    angles = 2 * torch.pi * torch.arange(AROUND) / AROUND
    eye = 2.5 * torch.stack([angles.sin(), torch.full((AROUND,), 0.2), angles.cos()], -1)
    return look_at(eye, torch.zeros(AROUND, 3), 50.0, SIZE, SIZE)


def draw(gaussians: Gaussians, camera: Cameras) -> tuple[torch.Tensor, torch.Tensor]:
    with torch.no_grad():
        drawn = rasterize_gaussians(gaussians, camera, eps2d=OUTLINE_EPS2D)
    return drawn.rgb_premul[0].clamp(0, 1), drawn.alpha[0]


@pytest.fixture(scope="module")
def views(tmp_path_factory: pytest.TempPathFactory) -> ViewStore:
    """All cameras around but every fourth."""
    folder, cameras = tmp_path_factory.mktemp("views"), ring()
    rows = [row for row in range(AROUND) if row % 4 != 3]
    for row in rows:
        rgb, alpha = draw(shining(), cameras[row])
        write_arrays(
            folder / f"a_{row:06d}.npz",
            rgb=(rgb * 255).round().byte().numpy(),
            mask=(alpha * 255).round().byte().numpy(),
            K=cameras.Ks[row].numpy(),
            viewmat=cameras.viewmats[row].numpy(),
        )
    return ViewStore(folder, tuple((row, "a") for row in rows), ())


def held_out_error(views: ViewStore, degree: int, folder: Path) -> float:
    """Mean square error in the views that were left out, of a training of colors alone."""
    first = shining()
    first = first.replace(sh=torch.zeros(COUNT, (degree + 1) ** 2, 3))
    recipe = replace(
        RECIPE,
        schedule=replace(RECIPE.schedule, steps=100, checkpoint_every=1000),
        rates=STILL,
        densify=Densification(),
        match_colors=False,
        refine_cameras=False,
    )
    folder.mkdir()
    training = train(GaussianTrainee(first, place_free, ("a",), recipe), views, recipe.schedule, folder)
    made, cameras = gaussians_of(training.tensors), ring()
    errors = [
        (draw(made, cameras[row])[0] - draw(shining(), cameras[row])[0]).square().mean()
        for row in range(3, AROUND, 4)
    ]
    return float(torch.stack(errors).mean())


def test_a_wandering_light_is_learned_and_seen_where_nobody_stood(views: ViewStore, tmp_path: Path) -> None:
    plain, shiny = (held_out_error(views, degree, tmp_path / str(degree)) for degree in (0, 2))
    assert shiny < 0.5 * plain


def test_harmonics_begin_and_come_back_as_they_are(views: ViewStore) -> None:
    """The tensor is another than the coefficients, and nobody notices."""
    first = shining()
    trainee = GaussianTrainee(first, place_free, ("a",), RECIPE)
    tensors = begin(trainee, views.views[0]).tensors
    torch.testing.assert_close(tensors["sh"][:, 1:], DIRECTIONAL * first.sh[:, 1:])
    torch.testing.assert_close(gaussians_of(tensors).sh, first.sh)
    flat = begin(GaussianTrainee(perturbed(), place_free, NAMES, RECIPE), (0, "a")).tensors
    assert torch.equal(flat["sh"], perturbed().sh)


def test_an_avatar_gets_the_degree_that_is_asked_for() -> None:
    flat = scene()
    binding = Binding(torch.zeros(COUNT, dtype=torch.long), torch.full((COUNT, 3), 1 / 3))
    avatar = Avatar(BodyShape(torch.zeros(2), torch.zeros(1)), binding, flat)
    for degree in range(4):
        sh = with_harmonics(avatar, degree).gaussians.sh
        assert sh.shape == (COUNT, (degree + 1) ** 2, 3)
        assert torch.equal(sh[:, :1], flat.sh) and not sh[:, 1:].any()
    assert AvatarConfig().sh_degree == 0
    with pytest.raises(ConfigError):
        AvatarConfig(sh_degree=4)
