"""Training: stopped and continued it is the same to the last bit, finds what was planted, and splits consistently."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from simulacra.recon.avatar import optimise as training_loop
from simulacra.recon.avatar.densify import SPLIT_SHRINK, densify
from simulacra.recon.avatar.optimise import optimise, view_of_step
from simulacra.recon.avatar.settings import Densification, LearningRates, LossWeights
from simulacra.recon.avatar.training import Recipe, Training
from simulacra.recon.avatar.views import ViewStore
from simulacra.recon.runs.stages import write_arrays
from simulacra.render.camera import Cameras, look_at
from simulacra.render.gaussians import Gaussians, rasterize_gaussians
from simulacra.render.gaussians.record import FIELDS

SIZE, COUNT = 40, 60
NAMES = ("a", "b", "c")
RECIPE = Recipe(
    steps=12,
    seed=5,
    checkpoint_every=4,
    weights=LossWeights(),
    rates=LearningRates(),
    densify=Densification(every=3, share=0.2, until=1.0),
    largest=0.2,
    random_background=True,
    match_colors=True,
    refine_cameras=True,
)


def stay(gaussians: Gaussians, origins: Tensor, view: tuple[int, str]) -> Gaussians:
    """Free Gaussians: they are where they are in every frame."""
    return gaussians


def scene() -> Gaussians:
    generator = torch.Generator().manual_seed(0)
    return Gaussians(
        means=0.3 * torch.randn(COUNT, 3, generator=generator),
        quats=torch.randn(COUNT, 4, generator=generator),
        log_scales=torch.full((COUNT, 3), -2.5) + 0.3 * torch.randn(COUNT, 3, generator=generator),
        logit_opacities=torch.full((COUNT,), 2.0),
        sh=torch.randn(COUNT, 1, 3, generator=generator),
    )


def three_cameras() -> Cameras:
    angles = torch.tensor([0.0, 2.1, 4.2])
    eye = 2.5 * torch.stack([angles.sin(), torch.full((3,), 0.2), angles.cos()], -1)
    return look_at(eye, torch.zeros(3, 3), 50.0, SIZE, SIZE)


def stored_views(folder: Path, gaussians: Gaussians, frames: int = 2) -> ViewStore:
    """What `store_views` would have written, had the capture been drawn from these Gaussians."""
    cameras, views = three_cameras(), []
    folder.mkdir()
    for frame in range(frames):
        for index, name in enumerate(NAMES):
            with torch.no_grad():
                drawn = rasterize_gaussians(gaussians, cameras[index])
            alpha = drawn.alpha[0]
            depth = torch.where(alpha > 0.5, drawn.depth[0] / alpha.clamp(min=1e-6), torch.zeros(()))
            write_arrays(
                folder / f"{name}_{frame:06d}.npz",
                rgb=(drawn.rgb_premul[0].clamp(0, 1) * 255).round().byte().numpy(),
                mask=(alpha * 255).round().byte().numpy(),
                depth=depth.numpy(),
                K=cameras.Ks[index].numpy(),
                viewmat=cameras.viewmats[index].numpy(),
            )
            views.append((frame, name))
    return ViewStore(folder, tuple(views), ())


@pytest.fixture(scope="module")
def views(tmp_path_factory: pytest.TempPathFactory) -> ViewStore:
    return stored_views(tmp_path_factory.mktemp("planted") / "views", scene())


def perturbed() -> Gaussians:
    planted = scene()
    generator = torch.Generator().manual_seed(9)
    return planted.replace(
        sh=torch.zeros_like(planted.sh),
        means=planted.means + 0.01 * torch.randn(COUNT, 3, generator=generator),
    )


def train(views: ViewStore, folder: Path, recipe: Recipe, initial: Gaussians | None = None) -> Training:
    folder.mkdir(parents=True, exist_ok=True)
    return optimise(initial or perturbed(), stay, views, NAMES, recipe, folder)


class Killed(Exception):
    """Stands for the machine going down."""


def die_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole: Callable[..., Training] = training_loop.step

    def until(training: Training, *rest: Any) -> Training:
        if training.step == step:
            raise Killed
        return whole(training, *rest)

    monkeypatch.setattr(training_loop, "step", until)


def assert_same(one: Training, other: Training) -> None:
    assert one.step == other.step
    for field in ("tensors", "moments1", "moments2"):
        first, second = getattr(one, field), getattr(other, field)
        assert first.keys() == second.keys()
        assert [name for name in first if not torch.equal(first[name], second[name])] == []
    for field in ("anchors", "origins", "heat", "drawn", "losses", "middle"):
        assert torch.equal(getattr(one, field), getattr(other, field)), field


@pytest.mark.parametrize("every", [0, 3])
def test_killed_and_continued_is_the_same_to_the_last_bit(
    views: ViewStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: int
) -> None:
    recipe = replace(RECIPE, densify=replace(RECIPE.densify, every=every))
    whole = train(views, tmp_path / "whole", recipe)
    assert (len(whole.origins) > COUNT) == (every > 0)
    with monkeypatch.context() as patch:
        die_at(10, patch)  # the last checkpoint is of step 8: two steps are lost
        with pytest.raises(Killed):
            train(views, tmp_path / "killed", recipe)
    with monkeypatch.context() as patch:
        die_at(0, patch)  # starting anew would die again
        continued = train(views, tmp_path / "killed", recipe)
    assert_same(continued, whole)
    assert whole.losses[:, 0].tolist() == list(range(recipe.steps))


def test_other_seeds_are_other_runs(views: ViewStore, tmp_path: Path) -> None:
    one = train(views, tmp_path / "one", RECIPE)
    other = train(views, tmp_path / "other", replace(RECIPE, seed=6))
    assert not torch.equal(one.losses, other.losses)


def test_planted_colors_are_recovered(views: ViewStore, tmp_path: Path) -> None:
    recipe = replace(
        RECIPE,
        steps=120,
        checkpoint_every=1000,
        rates=replace(RECIPE.rates, sh=0.1),
        densify=Densification(),
        match_colors=False,
        refine_cameras=False,
    )
    grey = scene().replace(sh=torch.zeros(COUNT, 1, 3))
    done = train(views, tmp_path, recipe, grey)
    l1 = done.losses[:, training_loop.LOSS_NAMES.index("l1")]
    assert float(l1[-12:].mean()) < 0.25 * float(l1[:12].mean())
    with torch.no_grad():
        errors = []
        for index in range(len(NAMES)):
            drawn = rasterize_gaussians(done.gaussians, three_cameras()[index]).rgb_premul
            truth = rasterize_gaussians(scene(), three_cameras()[index]).rgb_premul
            before = rasterize_gaussians(grey, three_cameras()[index]).rgb_premul
            errors.append(float((drawn - truth).abs().mean() / (before - truth).abs().mean()))
    assert max(errors) < 0.25


@pytest.mark.parametrize("count", [1, 6, 7])
def test_every_view_is_seen_once_an_epoch(count: int) -> None:
    order = [view_of_step(step, count, 3) for step in range(4 * count)]
    epochs = [order[i : i + count] for i in range(0, len(order), count)]
    assert all(sorted(epoch) == list(range(count)) for epoch in epochs)
    assert count == 1 or len({tuple(epoch) for epoch in epochs}) > 1


def test_corrections_of_cameras_have_no_mean(views: ViewStore, tmp_path: Path) -> None:
    """Or all cameras could drift together, and the person with them away from the cameras that are held out."""
    done = train(views, tmp_path, RECIPE)
    for name in training_loop.OF_CAMERAS:
        values = done.tensors[name]
        assert values.shape == (len(NAMES), 3)
        assert float(values.abs().max()) > 1e-5, name
        torch.testing.assert_close(values.mean(0), torch.zeros(3), atol=1e-7, rtol=0)


def test_a_step_moves_the_colors_and_the_pose_of_its_own_camera(views: ViewStore, tmp_path: Path) -> None:
    """Taken about their mean, the two others are alike."""
    seen = set()
    for seed in range(6):
        recipe = replace(RECIPE, steps=1, seed=seed)
        done = train(views, tmp_path / str(seed), recipe)
        _, name = views.views[view_of_step(0, len(views), seed)]
        for values in (done.tensors[of] for of in training_loop.OF_CAMERAS):
            its_own = values[NAMES.index(name)]
            others = [values[NAMES.index(other)] for other in NAMES if other != name]
            assert torch.equal(*others) and (its_own != others[0]).all()
        seen.add(name)
    assert seen == set(NAMES)


def test_cameras_that_stand_still_stand_still(views: ViewStore, tmp_path: Path) -> None:
    done = train(views, tmp_path, replace(RECIPE, refine_cameras=False, match_colors=False))
    for name in training_loop.OF_CAMERAS:
        assert not done.tensors[name].any(), name


def test_cameras_of_an_earlier_training_are_taken_over(views: ViewStore, tmp_path: Path) -> None:
    first = train(views, tmp_path / "first", RECIPE)
    recipe = replace(RECIPE, steps=1, refine_cameras=False)
    (tmp_path / "second").mkdir()
    second = optimise(perturbed(), stay, views, NAMES, recipe, tmp_path / "second", first)
    assert torch.equal(second.middle, first.middle)
    # One step of Adam moves them by at most its rate.
    assert (
        float((second.tensors["turns"] - first.tensors["turns"]).abs().max()) < 2 * recipe.rates.camera_poses
    )


def state(**changes: Any) -> Training:
    """A training in its sixth step whose third Gaussian is the one that pictures pull at."""
    tensors = {name: getattr(scene(), name).clone() for name in FIELDS}
    tensors |= {name: torch.zeros(3, 3) for name in training_loop.OF_CAMERAS}
    heat = torch.full((COUNT,), 0.1)
    heat[2] = 9.0
    tensors |= changes.pop("tensors", {})
    made = Training(
        step=6,
        tensors=tensors,
        moments1={name: torch.ones_like(value) for name, value in tensors.items()},
        moments2={name: torch.ones_like(value) for name, value in tensors.items()},
        anchors=tensors["means"].clone(),
        origins=torch.arange(COUNT) + 100,
        heat=heat,
        drawn=torch.full((COUNT,), 4.0),
        losses=torch.zeros(6, len(training_loop.LOSS_NAMES)),
        middle=torch.zeros(3),
    )
    return replace(made, **changes)


ONE_SPLIT = replace(RECIPE, steps=100, densify=Densification(every=3, share=1.01 / COUNT, until=0.6))


def test_the_hottest_gaussian_is_split_along_its_longest_axis() -> None:
    before = state()
    after = densify(before, ONE_SPLIT)
    assert len(after.origins) == COUNT + 1
    assert after.origins[2] == after.origins[-1] == 102
    old, first, second = before.tensors["means"][2], after.tensors["means"][2], after.tensors["means"][-1]
    torch.testing.assert_close((first + second) / 2, old)
    longest = int(before.tensors["log_scales"][2].argmax())
    reach = float(before.tensors["log_scales"][2, longest].exp())
    assert float((first - second).norm()) == pytest.approx(reach, rel=1e-4)
    expected = before.tensors["log_scales"][2].clone()
    expected[longest] -= np.log(SPLIT_SHRINK)
    for row in (2, -1):
        torch.testing.assert_close(after.tensors["log_scales"][row], expected)
        # Made where it now is, with nothing of its parent's momentum.
        torch.testing.assert_close(after.anchors[row], after.tensors["means"][row])
        assert all(not after.moments1[name][row].any() for name in FIELDS)
    # All others are as they were, and pulls are counted anew.
    others = [i for i in range(COUNT) if i != 2]
    for name in FIELDS:
        assert torch.equal(after.tensors[name][others], before.tensors[name][others])
        assert torch.equal(after.moments2[name][others], before.moments2[name][others])
    assert not after.heat.any()
    assert not after.drawn.any()


def test_heat_is_per_picture_that_shows_the_gaussian() -> None:
    """A Gaussian that many pictures show is not hotter for that."""
    drawn = torch.full((COUNT,), 4.0)
    drawn[2], heat = 400.0, torch.full((COUNT,), 0.1)
    heat[2], heat[7] = 9.0, 1.0
    assert densify(state(heat=heat, drawn=drawn), ONE_SPLIT).origins[-1] == 107


def test_transparent_gaussians_are_dropped_with_all_that_is_theirs() -> None:
    opacities = torch.full((COUNT,), 2.0)
    opacities[[0, 4]] = -6.0
    before = state(tensors={"logit_opacities": opacities})
    recipe = replace(ONE_SPLIT, densify=replace(ONE_SPLIT.densify, share=0.0))
    after = densify(before, recipe)
    kept = [i for i in range(COUNT) if i not in (0, 4)]
    assert after.origins.tolist() == [100 + i for i in kept]
    for name in FIELDS:
        assert torch.equal(after.tensors[name], before.tensors[name][kept])
        assert len(after.moments1[name]) == len(after.moments2[name]) == len(kept)
    assert torch.equal(after.anchors, before.anchors[kept])


@pytest.mark.parametrize(
    ("changes", "steps"), [({"most": COUNT}, 100), ({"until": 0.05}, 100)], ids=["full", "late"]
)
def test_no_more_are_made_than_allowed(changes: dict[str, Any], steps: int) -> None:
    recipe = replace(ONE_SPLIT, steps=steps, densify=replace(ONE_SPLIT.densify, **changes))
    assert len(densify(state(), recipe).origins) == COUNT


def test_sums_have_one_order_while_training_and_only_then(views: ViewStore, tmp_path: Path) -> None:
    """Gradients of gathers are otherwise summed by whichever thread comes first: rarely other bits, hard to see."""
    seen: list[bool] = []

    def place(gaussians: Gaussians, origins: Tensor, view: tuple[int, str]) -> Gaussians:
        seen.append(torch.are_deterministic_algorithms_enabled())
        return gaussians

    recipe = replace(RECIPE, steps=2)
    optimise(perturbed(), place, views, NAMES, recipe, tmp_path)
    assert seen[-2:] == [True, True]
    assert not torch.are_deterministic_algorithms_enabled()
