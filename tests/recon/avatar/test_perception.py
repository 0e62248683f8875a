"""Perceptual losses in a training: crops by seed and step, references kept, interrupted as if never, meshes too."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from simulacra.recon.avatar.losses import ColorMatch, Drawing, Shown, SurfacePrior, evaluate_losses
from simulacra.recon.avatar.mesh_trainee import DrawnMesh
from simulacra.recon.avatar.perception import (
    CROP_PX,
    KeptFeatures,
    Looks,
    PerceptualLoss,
    background_of_crop,
    crop_of_step,
    crops_over,
    perception_losses,
)
from simulacra.recon.avatar.settings import (
    AvatarConfig,
    DepthSplatsConfig,
    LossWeights,
    OwnLoss,
    PerceptionWeights,
    losses_used,
)
from simulacra.recon.avatar.views import TrainingView
from simulacra.recon.perception import by_name
from simulacra.recon.perception.measure import Measure
from simulacra.recon.perception.nlpd import LaplacianDistance
from simulacra.render.camera import Cameras
from simulacra.render.gaussians import GaussianRendering, Gaussians, ScreenStatistics
from simulacra.render.runtime.errors import ConfigError

H, W = 300, 200


class Counted(Measure):
    """Mean squared difference; counts how often it looked at a photograph, and remembers the last pictures."""

    def __init__(self) -> None:
        self.photographs = 0
        self.last: Tensor | None = None

    def features(self, image: Tensor) -> tuple[Tensor, ...]:
        self.last = image
        return (image,)

    def of_reference(self, image: Tensor, mask: Tensor | None) -> tuple[Tensor, ...]:
        self.photographs += 1
        return (image,)

    def between(self, ours: tuple[Tensor, ...], theirs: tuple[Tensor, ...]) -> Tensor:
        return (ours[0] - theirs[0]).square().mean()


def view(frame: int = 0) -> TrainingView:
    mask = torch.zeros(H, W)
    mask[30:270, 40:160] = 1
    rgb = torch.rand(H, W, 3, generator=torch.Generator().manual_seed(frame)) * mask[..., None]
    camera = Cameras(torch.eye(4)[None], torch.eye(3)[None], W, H)
    return TrainingView(frame, "a", camera, rgb, mask, None, None)


def drawing(seen: TrainingView, step: int, rgb: Tensor | None = None) -> Drawing:
    """The photograph itself, or another color in it."""
    colors = seen.rgb if rgb is None else rgb
    rendering = GaussianRendering(
        colors[None], seen.mask[None], seen.mask[None], ScreenStatistics(torch.zeros(1, 1))
    )
    one = Gaussians(
        torch.zeros(1, 3), torch.ones(1, 4), torch.zeros(1, 3), torch.zeros(1), torch.zeros(1, 1, 3)
    )
    prior = SurfacePrior(torch.zeros(1, 3), torch.zeros(1, 1, dtype=torch.long), 1.0)
    match = ColorMatch(torch.zeros(3), torch.zeros(3))
    return Drawing(rendering, one, prior, match, torch.rand(3), step=step)


def test_crops_cover_the_person_and_stay_in_the_window() -> None:
    mask = view().mask
    crops = crops_over(mask, 32)
    covered = torch.zeros_like(mask, dtype=torch.bool)
    for x0, y0, width, height in crops:
        assert (width, height) == (CROP_PX, CROP_PX)
        assert 0 <= x0 <= W - width
        assert 0 <= y0 <= H - height
        assert mask[y0 : y0 + height, x0 : x0 + width].mean() >= 0.1
        covered[y0 : y0 + height, x0 : x0 + width] = True
    assert bool(covered[mask > 0].all())
    assert crops_over(torch.zeros(H, W), 32) == []
    assert crops_over(mask[:20], 32) == []
    assert crops_over(mask[:, :100], 32)[0][2:] == (100, CROP_PX)


def test_a_step_looks_where_seed_and_step_say_whatever_came_before() -> None:
    chosen = [crop_of_step(step, 6, 4) for step in range(200)]
    assert [crop_of_step(step, 6, 4) for step in reversed(range(200))] == chosen[::-1]
    assert set(chosen) == set(range(6))
    assert [crop_of_step(step, 6, 5) for step in range(200)] != chosen
    assert torch.equal(background_of_crop(2, 4), background_of_crop(2, 4))
    assert not torch.equal(background_of_crop(2, 4), background_of_crop(3, 4))


def test_an_interrupted_training_sees_the_same_values() -> None:
    seen = view()
    red = seen.mask[..., None] * torch.tensor([1.0, 0.0, 0.0])
    whole, resumed = PerceptualLoss(Counted(), 7), PerceptualLoss(Counted(), 7)
    values = [whole(drawing(seen, step, red), seen).item() for step in range(12)]
    later = [resumed(drawing(seen, step, red), seen).item() for step in range(6, 12)]
    assert later == values[6:]
    assert len(set(values)) > 1


def test_the_same_over_the_same_background_is_zero_whatever_the_steps_background() -> None:
    seen, measure = view(), Counted()
    value = PerceptualLoss(measure, 0)
    for step in range(5):
        assert value(drawing(seen, step), seen).item() == 0
    assert measure.last is not None
    assert measure.last.shape == (CROP_PX, CROP_PX, 3)


def test_references_are_looked_at_once_while_there_is_room() -> None:
    seen, measure = view(), Counted()
    value = PerceptualLoss(measure, 0)
    for step in range(60):
        value(drawing(seen, step), seen)
    assert measure.photographs == len(value.crops(seen))
    value.kept = KeptFeatures(CROP_PX * CROP_PX * 3 * 4)  # room for one
    measure.photographs = 0
    for step in range(20):
        value(drawing(seen, step), seen)
    assert len(value.kept) == 1
    assert value.kept.bytes == CROP_PX * CROP_PX * 3 * 4
    assert measure.photographs > len(value.crops(seen))


def test_every_fourth_step_costs_four_times_as_much(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = view()
    red = seen.mask[..., None] * torch.tensor([1.0, 0.0, 0.0])
    always, seldom = (perception_losses(PerceptionWeights(nlpd=0.5, every=every), 0) for every in (1, 4))
    for step in range(5):
        here = evaluate_losses(always, drawing(seen, step, red), seen)["nlpd"]
        there = evaluate_losses(seldom, drawing(seen, step, red), seen)["nlpd"]
        assert there.item() == pytest.approx(0 if step % 4 else 4 * here.item())
    assert here.item() > 0


def test_half_the_size_looks_at_twice_the_side() -> None:
    seen, measure = view(), Counted()
    value = PerceptualLoss(measure, 0, Looks(shrink=2))
    assert value(drawing(seen, 0), seen).item() == 0
    assert measure.last is not None
    x0, y0, width, height = value.crops(seen)[0]
    assert (width, height) == (W, 2 * CROP_PX)
    assert measure.last.shape == (CROP_PX, W // 2, 3)
    behind = background_of_crop(0, 0)
    whole = seen.over(behind)[y0 : y0 + height, x0 : x0 + width]
    if len(value.crops(seen)) == 1:
        assert torch.allclose(measure.last[0, 0], whole[:2, :2].mean((0, 1)), atol=1e-6)


@pytest.mark.parametrize("name", ["nlpd", "outline"])
def test_gaussians_and_meshes_are_pulled_towards_the_photograph(name: str) -> None:
    seen = view()
    (loss,) = perception_losses(PerceptionWeights(**{name: 1.0}), 3)
    for made in pictures_of(seen):
        before = loss.value(made.shown, seen)
        before.backward()
        assert before.item() > 0
        gradient = made.leaf.grad
        assert gradient is not None
        with torch.no_grad():
            made.leaf -= 1e-3 * gradient / gradient.abs().max()
        assert loss.value(made.shown_again(), seen).item() < before.item()


class Made:
    """A picture that is learned, drawn as Gaussians or as a mesh are."""

    def __init__(self, leaf: Tensor, seen: TrainingView, mesh: bool) -> None:
        self.leaf, self.seen, self.mesh = leaf, seen, mesh
        self.shown = self.shown_again()

    def shown_again(self) -> Shown:
        plain = drawing(self.seen, 2)
        rendering = replace(
            plain.rendering, rgb_premul=self.leaf[None, ..., :3], alpha=self.leaf[None, ..., 3]
        )
        if not self.mesh:
            return replace(plain, rendering=rendering)
        texture = torch.zeros(2, 2, 3)
        return DrawnMesh(
            rendering, torch.zeros(1, 3), plain.prior, plain.match, plain.background, texture, texture, 2
        )


def pictures_of(seen: TrainingView) -> Iterator[Made]:
    for mesh in (False, True):
        cover = (seen.mask.roll(5, 1) * 0.9 + 0.05)[..., None]
        colors = 0.6 * cover.expand(-1, -1, 3)
        yield Made(torch.cat([colors, cover], -1).contiguous().requires_grad_(), seen, mesh)


def test_a_loss_of_ones_own_is_trained_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_name, "_ADDED", {"mine": Counted})
    weights = PerceptionWeights(own=(OwnLoss(name="mine", weight=0.5),), nlpd=0.1)
    assert [(loss.name, loss.weight) for loss in perception_losses(weights, 0)] == [
        ("nlpd", 0.1),
        ("mine", 0.5),
    ]
    assert weights.used() == ("nlpd", "mine")
    with pytest.raises(ConfigError, match="no loss of this name"):
        perception_losses(PerceptionWeights(own=(OwnLoss(name="nobodys", weight=1.0),)), 0)


def test_what_was_in_the_loss_is_known() -> None:
    assert losses_used(AvatarConfig()) == ("ssim",)
    weights = LossWeights(ssim=0.0, perception=PerceptionWeights(wasserstein=1.0))
    assert losses_used(AvatarConfig(weights=weights)) == ("wasserstein",)
    assert losses_used(DepthSplatsConfig(kind="depth_splats")) == ()
    assert set(by_name.JUDGED_BY["wasserstein"]) == {"lpips_vgg", "dists"}


def test_a_reference_is_what_it_was_without_the_cache() -> None:
    """Kept features and new ones give the same value, bit for bit."""
    seen = view()
    value = PerceptualLoss(LaplacianDistance(), 0)
    red = seen.mask[..., None] * torch.tensor([1.0, 0.0, 0.0])
    first = [value(drawing(seen, step, red), seen).item() for step in range(8)]
    assert np.array_equal(first, [value(drawing(seen, step, red), seen).item() for step in range(8)])
