"""Relocation: the opacity and size that copies are given, who is moved where, and that the picture stays."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from simulacra.recon.avatar.gaussian_trainee import gaussians_of
from simulacra.recon.avatar.relocate import MOST_COPIES, relocate, share_out, wander
from simulacra.recon.avatar.settings import Relocation
from simulacra.recon.avatar.training import Training
from simulacra.render.camera import look_at
from simulacra.render.gaussians import OUTLINE_EPS2D, Gaussians, rasterize_gaussians
from simulacra.render.gaussians.record import FIELDS
from simulacra.render.rotation import quat_to_matrix
from tests.recon.avatar.planted_gaussians import RECIPE, run, scene, stored_views

RULES = Relocation(every=3, until=1.0, share=0.0, most=1000)
DEAD = -8.0  # an opacity of 0.0003


def state(gaussians: Gaussians, step: int = 6) -> Training:
    count = len(gaussians)
    tensors = {name: getattr(gaussians, name).clone() for name in FIELDS}
    ones = {name: torch.ones_like(value) for name, value in tensors.items()}
    kept = {
        "anchors": tensors["means"] + 1,
        "origins": torch.arange(count) + 100,
        "grad2d": torch.ones(count),
        "count": torch.ones(count),
        "middle": torch.zeros(3),
    }
    return Training(step, tensors, ones, dict(ones), kept, {})


def opacities(training: Training) -> torch.Tensor:
    return torch.sigmoid(training.tensors["logit_opacities"])


def moved(training: Training, rules: Relocation = RULES, seed: int = 0) -> Training:
    return relocate(training, rules, 100, seed, opacities(training))


def with_dead(dead: int) -> Gaussians:
    """The planted Gaussians, the first of them dead."""
    planted = scene()
    logits = planted.logit_opacities.clone()
    logits[:dead] = DEAD
    return planted.replace(logit_opacities=logits)


def test_one_stays_as_it_is() -> None:
    old = torch.tensor([0.01, 0.5, 0.99], dtype=torch.float64)
    new, factors = share_out(old, torch.ones(3, dtype=torch.long))
    torch.testing.assert_close(new, old)
    torch.testing.assert_close(factors, torch.ones_like(old))


def test_factors_of_two_and_three_by_hand() -> None:
    """Of o = 0.75: two of 1/2, three of 1 - 4^(-1/3)."""
    new, factors = share_out(torch.full((2,), 0.75, dtype=torch.float64), torch.tensor([2, 3]))
    o2, o3 = 0.5, 1 - 0.25 ** (1 / 3)
    two = 2 * o2 - o2**2 / math.sqrt(2)
    three = 3 * o3 - 3 * o3**2 / math.sqrt(2) + o3**3 / math.sqrt(3)
    np.testing.assert_allclose(new, [o2, o3], rtol=1e-12)
    np.testing.assert_allclose(factors, [0.75 / two, 0.75 / three], rtol=1e-12)


@pytest.mark.parametrize("old", [0.02, 0.6, 0.999])
@pytest.mark.parametrize("copies", [2, 7, MOST_COPIES])
def test_copies_are_as_opaque_together_and_sum_up_to_the_same(copies: int, old: float) -> None:
    """The sum of the paper against quadrature: the trapezoid rule is exact to rounding on what dies off this fast."""
    new, factor = (
        float(each[0]) for each in share_out(torch.tensor([old], dtype=torch.float64), torch.tensor([copies]))
    )
    assert 1 - (1 - new) ** copies == pytest.approx(old, rel=1e-9)
    x = np.linspace(-12, 12, 4001)
    together = 1 - (1 - new * np.exp(-0.5 * (x / factor) ** 2)) ** copies
    assert np.trapezoid(together, x) == pytest.approx(old * math.sqrt(2 * math.pi), rel=1e-6)


def picture(gaussians: Gaussians) -> torch.Tensor:
    camera = look_at(torch.tensor([[0.0, 0.2, 2.5]]), torch.zeros(1, 3), 150.0, 96, 96)
    return rasterize_gaussians(gaussians, camera, eps2d=OUTLINE_EPS2D).rgb_premul[0]


def test_the_picture_stays() -> None:
    """Half of all are dead, and become copies. Copied without sharing out, what they copy would swell.

    The sum is that of a line through the middle, not of the picture: 0.02 of the pixels' range where copies are.
    """
    before = state(with_dead(30))
    after = moved(before)
    assert not (opacities(after) <= RULES.least_opacity).any()
    old, new = picture(gaussians_of(before.tensors)), picture(gaussians_of(after.tensors))
    origins = after.state["origins"] - 100
    swollen = gaussians_of({name: value[origins] for name, value in before.tensors.items()})
    shown = old.sum(-1) > 0.01
    change, swelling = ((other - old)[shown].abs().mean() for other in (new, picture(swollen)))
    assert float(change) < 0.02
    assert float(swelling) > 3 * float(change)


def test_the_dead_are_copies_and_all_others_are_as_they_were() -> None:
    before = state(with_dead(5))
    after = moved(before)
    assert len(after.state["origins"]) == len(before.state["origins"])
    sources = after.state["origins"][:5] - 100
    assert bool((sources >= 5).all())
    assert torch.equal(after.state["origins"][5:], before.state["origins"][5:])
    for name in ("means", "quats", "sh"):
        assert torch.equal(after.tensors[name][:5], before.tensors[name][sources])
        assert torch.equal(after.tensors[name][5:], before.tensors[name][5:])
    assert torch.equal(after.state["anchors"][:5], before.state["anchors"][sources])
    untouched = [row for row in range(5, len(before.state["origins"])) if row not in sources]
    shared = [*range(5), *sources.tolist()]
    for name in FIELDS:
        assert torch.equal(after.tensors[name][untouched], before.tensors[name][untouched])
        assert bool((after.moments1[name][untouched] == 1).all())
        assert not after.moments1[name][shared].any() and not after.moments2[name][shared].any()
    # A copy and what it is a copy of are alike, and fainter than that was.
    torch.testing.assert_close(opacities(after)[:5], opacities(after)[sources])
    torch.testing.assert_close(after.tensors["log_scales"][:5], after.tensors["log_scales"][sources])
    assert bool((opacities(after)[sources] < opacities(before)[sources] - 0.1).all())
    assert not after.state["grad2d"].any() and not after.state["count"].any()


def test_the_budget_is_held_and_used() -> None:
    rules = replace(RULES, share=0.3, most=100)
    training, sizes = state(with_dead(5)), []
    for step in range(6, 12):
        training = moved(replace(training, step=step), rules)
        sizes.append(len(training.state["origins"]))
        assert all(len(training.tensors[name]) == sizes[-1] for name in FIELDS)
    assert sizes == [78, 100, 100, 100, 100, 100]
    late = moved(replace(state(with_dead(5)), step=60), replace(rules, until=0.5))
    assert len(late.state["origins"]) == len(scene())
    assert int((opacities(late) < 0.005).sum()) == 5


def test_a_single_one_is_copied_as_often_as_can_be_shared_out() -> None:
    lone = with_dead(59)
    many = Gaussians.concatenate([lone, lone[:40]])
    after = moved(state(many))
    alive = after.state["origins"] == 159
    assert int(alive.sum()) == MOST_COPIES
    assert int((opacities(after) <= RULES.least_opacity).sum()) == 100 - MOST_COPIES
    together = 1 - (1 - opacities(after)[alive]).prod()
    torch.testing.assert_close(together, torch.sigmoid(torch.tensor(2.0)))


def test_where_the_appeal_is_there_they_go() -> None:
    planted = scene()
    faint = planted.replace(logit_opacities=torch.full((60,), DEAD))
    before = state(Gaussians.concatenate([planted, *[faint] * 20]))
    appeal = torch.zeros(21 * 60)
    appeal[:20], appeal[20:60], appeal[60:] = 3.0, 1.0, 9.0  # the last are dead
    origins = relocate(before, RULES, 100, 0, appeal).state["origins"][60:] - 100
    assert bool((origins < 60).all())
    # 1200 draws; three standard deviations are 0.042.
    assert float((origins < 20).float().mean()) == pytest.approx(0.6, abs=0.042)
    nobody = relocate(before, RULES, 100, 0, torch.zeros_like(appeal))
    assert torch.equal(nobody.tensors["means"], before.tensors["means"])


def test_seed_and_step_decide_all_draws() -> None:
    training = state(with_dead(20))
    one, same = moved(training, seed=4), moved(training, seed=4)
    assert all(torch.equal(one.tensors[name], same.tensors[name]) for name in FIELDS)
    others = moved(training, seed=5), moved(replace(training, step=7), seed=4)
    assert all(not torch.equal(one.state["origins"], other.state["origins"]) for other in others)
    walked = wander(training.tensors, 100.0, 4, 6)
    assert torch.equal(walked, wander(training.tensors, 100.0, 4, 6))
    assert not torch.equal(walked, wander(training.tensors, 100.0, 4, 7))


def test_the_transparent_wander_as_their_covariance_says_and_the_opaque_stay() -> None:
    """Covariance of the step: (amount x gate)^2 C^2, C the Gaussian's own covariance; 40,000 draws, so 1 % of it."""
    count, amount = 40_000, 50.0
    one = scene()[:1]
    scales = torch.tensor([[0.1, 0.05, 0.02]])
    logit = torch.tensor([DEAD])
    many = one.replace(log_scales=scales.log(), logit_opacities=logit)[torch.zeros(count, dtype=torch.long)]
    tensors = {name: getattr(many, name) for name in FIELDS}
    steps = (wander(tensors, amount, 1, 2) - many.means).double()
    axes = quat_to_matrix(one.quats)[0].double()
    own = axes @ torch.diag(scales[0].double() ** 2) @ axes.T
    gate = float(torch.sigmoid(-100 * (torch.sigmoid(logit) - 0.005)))
    expected = (amount * gate) ** 2 * own @ own
    found = steps.T @ steps / count
    assert float((found - expected).norm() / expected.norm()) < 0.03
    opaque = tensors | {"logit_opacities": torch.full((count,), 2.0)}
    assert float((wander(opaque, amount, 1, 2) - many.means).abs().max()) < 1e-6


def test_training_leaves_none_dead_and_holds_its_budget(tmp_path: Path) -> None:
    """A third of the cloud shows nothing at the start; without relocation it still does at the end."""
    views = stored_views(tmp_path / "views", scene())
    rules = replace(RULES, every=4, share=0.1, most=70)
    schedule = replace(RECIPE.schedule, steps=20, checkpoint_every=1000)
    chain = replace(RECIPE, schedule=schedule, refine_cameras=False, appeal="opacity", noise=5e3)
    found = []
    for every in (0, 4):
        recipe = replace(chain, densify=replace(rules, every=every))
        done = run(views, tmp_path / f"{every}", recipe, with_dead(20))
        found.append((int((opacities(done) <= 0.005).sum()), len(done.state["origins"])))
    assert found == [(20, 60), (0, 70)]
