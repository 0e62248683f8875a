"""The losses' kernels against their twins in plain torch, known answers, and Adam against torch's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from simulacra.recon.avatar import adam, losses_cpu
from simulacra.recon.avatar.adam import BETA1, BETA2, EPSILON, adam_update, adam_update_reference
from simulacra.recon.avatar.losses import (
    PHOTOMETRIC,
    ColorMatch,
    Drawing,
    Loss,
    SurfacePrior,
    evaluate_losses,
    gaussian_losses,
    l1_loss,
    mask_loss,
    regularity,
    regularity_reference,
)
from simulacra.recon.avatar.settings import LossWeights
from simulacra.recon.avatar.views import TrainingView
from simulacra.recon.avatar.warm import warmup
from simulacra.render import skinning_cpu
from simulacra.render.camera import Cameras
from simulacra.render.gaussians import GaussianRendering, Gaussians, ScreenStatistics

H, W = 17, 23
WEIGHTS = LossWeights(l1=0.8, ssim=0.2, mask=0.3, depth=0.5)


def picture(g: torch.Generator) -> GaussianRendering:
    alpha = torch.rand(1, H, W, generator=g)
    depth = alpha * (2 + 0.1 * torch.rand(1, H, W, generator=g))
    return GaussianRendering(
        torch.rand(1, H, W, 3, generator=g), alpha, depth, ScreenStatistics(torch.zeros(1, 1))
    )


def drawing(
    rendering: GaussianRendering, match: ColorMatch, background: Tensor, kind: torch.dtype = torch.float32
) -> Drawing:
    """With one Gaussian, which the photometric losses do not look at."""
    one = Gaussians(
        torch.zeros(1, 3), torch.ones(1, 4), torch.zeros(1, 3), torch.zeros(1), torch.zeros(1, 1, 3)
    )
    prior = SurfacePrior(torch.zeros(1, 3), torch.zeros(1, 1, dtype=torch.long), 1.0)
    return Drawing(rendering, one.to(kind), prior, match, background)


def photometric(drawn: Drawing, view: TrainingView, weights: LossWeights) -> Tensor:
    """The four terms of the pictures, weighted."""
    losses = [loss for loss in gaussian_losses(weights) if loss.value in PHOTOMETRIC]
    return torch.stack(list(evaluate_losses(losses, drawn, view).values()))


def photograph(g: torch.Generator, depth: bool = True) -> TrainingView:
    cameras = Cameras(torch.eye(4)[None], torch.eye(3)[None], W, H)
    known = torch.rand(H, W, generator=g) > 0.3
    far = 2 + 0.1 * torch.rand(H, W, generator=g)
    mask = (torch.rand(H, W, generator=g) > 0.5).float()
    rgb = torch.rand(H, W, 3, generator=g) * mask[..., None]
    return TrainingView(0, "a", cameras, rgb, mask, far if depth else None, known if depth else None)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**31), depth=st.booleans(), ssim=st.booleans())
def test_photometric_kernel_agrees_with_its_twin(seed: int, depth: bool, ssim: bool) -> None:
    """1e-4 of the largest entry: SSIM's variances cancel in float32; the rest is good to 1e-6."""
    g = torch.Generator().manual_seed(seed)
    drawn, view = picture(g), photograph(g, depth)
    weights = replace(WEIGHTS, ssim=0.2 if ssim else 0.0)
    gain, shift, background = 0.1 * torch.randn(3, 3, generator=g)
    up = torch.rand(len(PHOTOMETRIC), generator=g)
    results = []
    for kind in (torch.float32, torch.float64):
        leaves = [
            t.to(kind).requires_grad_() for t in (drawn.rgb_premul, drawn.alpha, drawn.depth, gain, shift)
        ]
        rendering = GaussianRendering(leaves[0], leaves[1], leaves[2], drawn.screen)
        there = replace(view, rgb=view.rgb.to(kind), mask=view.mask.to(kind))
        there = replace(there, depth=None if view.depth is None else view.depth.to(kind))
        match = ColorMatch(leaves[3], leaves[4])
        terms = photometric(drawing(rendering, match, background.abs().to(kind), kind), there, weights)
        gradients = torch.autograd.grad(terms, leaves, up.to(kind), allow_unused=True)
        results.append([terms.detach(), *(torch.zeros(1) if x is None else x for x in gradients)])
    for ours, theirs in zip(*results):
        largest = float(theirs.abs().max())
        torch.testing.assert_close(
            ours.double(), theirs.double().expand_as(ours), rtol=0, atol=1e-4 * largest
        )


def test_a_perfect_drawing_costs_nothing_and_a_shifted_color_its_shift() -> None:
    g = torch.Generator().manual_seed(1)
    view = photograph(g)
    assert view.depth is not None
    exact = GaussianRendering(
        view.rgb[None], view.mask[None], (view.mask * view.depth)[None], ScreenStatistics(torch.zeros(1, 1))
    )
    none = ColorMatch(torch.zeros(3), torch.zeros(3))
    assert float(photometric(drawing(exact, none, torch.rand(3)), view, WEIGHTS).abs().max()) < 1e-6
    shifted = ColorMatch(torch.zeros(3), torch.full((3,), 0.25))
    l1 = photometric(drawing(exact, shifted, torch.zeros(3)), view, WEIGHTS)[0]
    assert float(l1) == pytest.approx(WEIGHTS.l1 * 0.25 * float(view.mask.mean()), rel=1e-5)


def test_losses_keep_their_names_order_and_weights() -> None:
    """Some from the kernel, some not, one twice under two names: each as if it were alone."""
    g = torch.Generator().manual_seed(3)
    drawn = drawing(picture(g), ColorMatch(torch.zeros(3), torch.zeros(3)), torch.rand(3, generator=g))
    view = photograph(g)
    losses = [
        Loss("more", 2.0, mask_loss),
        Loss("own", 3.0, lambda drawn, view: drawn.alpha.mean()),
        Loss("l1", 1.0, l1_loss),
        Loss("mask", 0.5, mask_loss),
        Loss("none", 0.0, lambda drawn, view: torch.full((), torch.nan)),
    ]
    found = evaluate_losses(losses, drawn, view)
    assert list(found) == ["more", "own", "l1", "mask", "none"]
    assert float(found["none"]) == 0
    for loss in losses[:-1]:  # 1e-5: the kernel adds up in another order than torch
        assert float(found[loss.name]) == pytest.approx(
            loss.weight * float(loss.value(drawn, view)), rel=1e-5
        )


@pytest.mark.parametrize("name", ["l1", "total", "step"])
def test_two_losses_of_one_name_are_refused(name: str) -> None:
    g = torch.Generator().manual_seed(3)
    drawn = drawing(picture(g), ColorMatch(torch.zeros(3), torch.zeros(3)), torch.zeros(3))
    losses = [*gaussian_losses(WEIGHTS), Loss(name, 1.0, l1_loss)]
    with pytest.raises(ValueError, match="names of their own"):
        evaluate_losses(losses, drawn, photograph(g))


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**31), count=st.integers(1, 300))
def test_regularity_kernel_agrees_with_its_twin(seed: int, count: int) -> None:
    """1e-5 of the largest entry: sums of float32."""
    g = torch.Generator().manual_seed(seed)
    fields = [torch.randn(count, k, generator=g) for k in (3, 4, 3)]
    gaussians = Gaussians(*fields, torch.randn(count, generator=g), torch.randn(count, 1, 3, generator=g))
    prior = SurfacePrior(
        fields[0] + 0.01 * torch.randn(count, 3, generator=g),
        torch.randint(0, count, (count, 4), generator=g),
        0.8,
    )
    costs, gradients = [], []
    for function, kind in ((regularity, torch.float32), (regularity_reference, torch.float64)):
        there = gaussians.to(kind)
        leaves = [t.requires_grad_() for t in (there.means.clone(), there.log_scales.clone())]
        cost = function(
            there.replace(means=leaves[0], log_scales=leaves[1]),
            replace(prior, anchors=prior.anchors.to(kind)),
            LossWeights(smooth=1.0, stay=0.3, size=0.2),
        )
        costs.append(float(cost.detach()))
        gradients.append(torch.autograd.grad(3 * cost, leaves))
    assert costs[0] == pytest.approx(costs[1], rel=1e-4)
    for ours, theirs in zip(*gradients):
        torch.testing.assert_close(ours.double(), theirs, rtol=0, atol=1e-4 * float(theirs.abs().max()))


def test_neighbours_that_move_together_cost_nothing() -> None:
    count = 20
    means = torch.rand(count, 3)
    sizes = torch.full((count, 3), -5.0)
    still = Gaussians(means, torch.rand(count, 4), sizes, torch.zeros(count), torch.zeros(count, 1, 3))
    prior = SurfacePrior(means - 0.01, torch.arange(count)[:, None].roll(1, 0), 1.0)
    smooth = LossWeights(smooth=1.0, stay=0.0, size=0.0)
    assert float(regularity(still, prior, smooth)) < 1e-9
    alone = replace(prior, anchors=means - 0.01 * (torch.arange(count) == 3)[:, None])
    # One Gaussian is 1 cm from its neighbour along each axis, and is the neighbour of another.
    assert float(regularity(still, alone, smooth)) == pytest.approx(2 * 3 / count, rel=1e-4)


@pytest.mark.parametrize(
    ("update", "kind", "tolerance"),
    # The kernel rounds in float32; the twin does the same operations as torch in another order.
    [(adam_update, torch.float32, 1e-6), (adam_update_reference, torch.float64, 1e-14)],
    ids=["kernel", "twin"],
)
def test_adam_is_torch_s_adam(
    update: Callable[..., tuple[Tensor, Tensor, Tensor]], kind: torch.dtype, tolerance: float
) -> None:
    g = torch.Generator().manual_seed(0)
    value = torch.randn(1000, 3, generator=g, dtype=kind)
    theirs = value.clone().requires_grad_()
    optimiser = torch.optim.Adam([theirs], lr=0.01, betas=(BETA1, BETA2), eps=EPSILON)
    moments = torch.zeros_like(value), torch.zeros_like(value)
    start = value
    for step in range(1, 6):
        gradient = torch.randn(1000, 3, generator=g, dtype=kind)
        theirs.grad = gradient.clone()
        optimiser.step()
        value, *moments = update(value, gradient, *moments, 0.01, step)
    torch.testing.assert_close(value, theirs.detach(), rtol=10 * tolerance, atol=tolerance)
    assert not torch.equal(value, start)


def test_threads_do_not_change_a_bit() -> None:
    g = torch.Generator().manual_seed(2)
    drawn, view = picture(g), photograph(g)
    match = ColorMatch(torch.tensor([0.1, 0.0, -0.1]), torch.tensor([0.0, 0.02, 0.0]))
    results: list[list[Tensor]] = []
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            leaves = [t.clone().requires_grad_() for t in (drawn.rgb_premul, drawn.alpha, drawn.depth)]
            rendering = GaussianRendering(leaves[0], leaves[1], leaves[2], drawn.screen)
            terms = photometric(drawing(rendering, match, torch.full((3,), 0.5)), view, WEIGHTS)
            results.append([terms.detach(), *torch.autograd.grad(terms.sum(), leaves)])
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other))


def test_warmup_leaves_nothing_to_compile() -> None:
    kernels = (skinning_cpu._skin, skinning_cpu._skin_backward, losses_cpu._compare_rows, adam._update)
    warmup()
    known = [len(kernel.signatures) for kernel in kernels]
    assert all(known)
    g = torch.Generator().manual_seed(0)
    drawn, view = picture(g), photograph(g)
    photometric(drawing(drawn, ColorMatch(torch.zeros(3), torch.zeros(3)), torch.zeros(3)), view, WEIGHTS)
    value = torch.rand(5, 3, generator=g)
    adam.adam_update(value, value, value, value, 0.1, 2)
    assert [len(kernel.signatures) for kernel in kernels] == known
