"""Training: stopped and continued it is the same to the last bit, finds what was planted, and splits consistently."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from simulacra.recon.avatar import loop
from simulacra.recon.avatar.corrections import OF_CAMERAS
from simulacra.recon.avatar.densify import SPLIT_SHRINK, densify
from simulacra.recon.avatar.gaussian_trainee import GaussianTrainee, Recipe, gaussians_of
from simulacra.recon.avatar.loop import train, view_of_step
from simulacra.recon.avatar.settings import Densification
from simulacra.recon.avatar.training import Training
from simulacra.recon.avatar.views import ViewStore
from simulacra.recon.runs.logs import logging_to
from simulacra.render.gaussians import Gaussians, rasterize_gaussians
from simulacra.render.gaussians.record import FIELDS
from tests.recon.avatar.planted_gaussians import (
    COUNT,
    NAMES,
    RECIPE,
    perturbed,
    run,
    scene,
    scheduled,
    stored_views,
    three_cameras,
)


@pytest.fixture(scope="module")
def views(tmp_path_factory: pytest.TempPathFactory) -> ViewStore:
    return stored_views(tmp_path_factory.mktemp("planted") / "views", scene())


class Killed(Exception):
    """Stands for the machine going down."""


def die_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole: Callable[..., Training] = loop.step

    def until(training: Training, *rest: Any) -> Training:
        if training.step == step:
            raise Killed
        return whole(training, *rest)

    monkeypatch.setattr(loop, "step", until)


def assert_same(one: Training, other: Training) -> None:
    assert one.step == other.step
    for field in ("tensors", "moments1", "moments2", "state", "losses"):
        first, second = getattr(one, field), getattr(other, field)
        assert first.keys() == second.keys()
        assert [name for name in first if not torch.equal(first[name], second[name])] == []


@pytest.mark.parametrize(
    "recipe",
    [
        replace(RECIPE, densify=Densification()),
        RECIPE,
        replace(RECIPE, densify=replace(RECIPE.densify, how="relocate")),
        replace(RECIPE, densify=replace(RECIPE.densify, how="relocate"), appeal="opacity", noise=5e5),
    ],
    ids=["fixed", "split", "relocated by pull", "Markov chain"],
)
def test_killed_and_continued_is_the_same_to_the_last_bit(
    views: ViewStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recipe: Recipe
) -> None:
    whole = run(views, tmp_path / "whole", recipe)
    assert (len(whole.state["origins"]) > COUNT) == (recipe.densify.every > 0)
    with monkeypatch.context() as patch:
        die_at(10, patch)  # the last checkpoint is of step 8: two steps are lost
        with pytest.raises(Killed):
            run(views, tmp_path / "killed", recipe)
    with monkeypatch.context() as patch:
        die_at(0, patch)  # starting anew would die again
        continued = run(views, tmp_path / "killed", recipe)
    assert_same(continued, whole)
    assert whole.losses["step"].tolist() == list(range(recipe.schedule.steps))
    assert list(whole.losses) == ["step", "total", *(loss.name for loss in recipe.losses)]
    sums = sum(whole.losses[loss.name] for loss in recipe.losses)
    torch.testing.assert_close(whole.losses["total"], sums)


def test_other_seeds_are_other_runs(views: ViewStore, tmp_path: Path) -> None:
    one = run(views, tmp_path / "one", RECIPE)
    other = run(views, tmp_path / "other", scheduled(RECIPE, seed=6))
    assert not torch.equal(one.losses["total"], other.losses["total"])


def test_planted_colors_are_recovered(views: ViewStore, tmp_path: Path) -> None:
    recipe = replace(
        scheduled(RECIPE, steps=120, checkpoint_every=1000),
        rates=replace(RECIPE.rates, sh=0.1),
        densify=Densification(),
        match_colors=False,
        refine_cameras=False,
    )
    grey = scene().replace(sh=torch.zeros(COUNT, 1, 3))
    done = run(views, tmp_path, recipe, grey)
    l1 = done.losses["l1"]
    assert float(l1[-12:].mean()) < 0.25 * float(l1[:12].mean())
    with torch.no_grad():
        errors = []
        for index in range(len(NAMES)):
            drawn = rasterize_gaussians(gaussians_of(done.tensors), three_cameras()[index]).rgb_premul
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
    done = run(views, tmp_path, RECIPE)
    for name in OF_CAMERAS:
        values = done.tensors[name]
        assert values.shape == (len(NAMES), 3)
        assert float(values.abs().max()) > 1e-5, name
        torch.testing.assert_close(values.mean(0), torch.zeros(3), atol=1e-7, rtol=0)


def test_a_step_moves_the_colors_and_the_pose_of_its_own_camera(views: ViewStore, tmp_path: Path) -> None:
    """Taken about their mean, the two others are alike."""
    seen = set()
    for seed in range(6):
        done = run(views, tmp_path / str(seed), scheduled(RECIPE, steps=1, seed=seed))
        _, name = views.views[view_of_step(0, len(views), seed)]
        for values in (done.tensors[of] for of in OF_CAMERAS):
            its_own = values[NAMES.index(name)]
            others = [values[NAMES.index(other)] for other in NAMES if other != name]
            assert torch.equal(*others) and (its_own != others[0]).all()
        seen.add(name)
    assert seen == set(NAMES)


def test_cameras_that_stand_still_stand_still(views: ViewStore, tmp_path: Path) -> None:
    done = run(views, tmp_path, replace(RECIPE, refine_cameras=False, match_colors=False))
    for name in OF_CAMERAS:
        assert not done.tensors[name].any(), name


def test_cameras_of_an_earlier_training_are_taken_over(views: ViewStore, tmp_path: Path) -> None:
    first = run(views, tmp_path / "first", RECIPE)
    recipe = replace(scheduled(RECIPE, steps=1), refine_cameras=False)
    second = run(views, tmp_path / "second", recipe, aligned=first)
    assert torch.equal(second.state["middle"], first.state["middle"])
    # One step of Adam moves them by at most its rate.
    assert (
        float((second.tensors["turns"] - first.tensors["turns"]).abs().max()) < 2 * recipe.rates.camera_poses
    )


def state(**changes: Any) -> Training:
    """A training in its sixth step whose third Gaussian is the one that pictures pull at."""
    tensors = {name: getattr(scene(), name).clone() for name in FIELDS}
    tensors |= {name: torch.zeros(3, 3) for name in OF_CAMERAS}
    pull = torch.full((COUNT,), 0.1)
    pull[2] = 9.0
    kept = {
        "anchors": tensors["means"].clone(),
        "origins": torch.arange(COUNT) + 100,
        "grad2d": pull,
        "count": torch.full((COUNT,), 4.0),
        "middle": torch.zeros(3),
    }
    tensors |= changes.pop("tensors", {})
    ones = {name: torch.ones_like(value) for name, value in tensors.items()}
    return Training(6, tensors, ones, dict(ones), kept | changes, {"total": torch.zeros(6)})


ONE_SPLIT, STEPS = Densification(every=3, share=1.01 / COUNT, until=0.6), 100


def test_the_gaussian_that_is_pulled_most_is_split_along_its_longest_axis() -> None:
    before = state()
    after = densify(before, ONE_SPLIT, STEPS)
    origins = after.state["origins"]
    assert len(origins) == COUNT + 1
    assert origins[2] == origins[-1] == 102
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
        torch.testing.assert_close(after.state["anchors"][row], after.tensors["means"][row])
        assert all(not after.moments1[name][row].any() for name in FIELDS)
    # All others are as they were, and pulls are counted anew.
    others = [i for i in range(COUNT) if i != 2]
    for name in FIELDS:
        assert torch.equal(after.tensors[name][others], before.tensors[name][others])
        assert torch.equal(after.moments2[name][others], before.moments2[name][others])
    assert not after.state["grad2d"].any()
    assert not after.state["count"].any()


def test_pull_is_per_picture_that_shows_the_gaussian() -> None:
    """A Gaussian that many pictures show is not pulled more for that."""
    count = torch.full((COUNT,), 4.0)
    count[2], pull = 400.0, torch.full((COUNT,), 0.1)
    pull[2], pull[7] = 9.0, 1.0
    assert densify(state(grad2d=pull, count=count), ONE_SPLIT, STEPS).state["origins"][-1] == 107


def test_transparent_gaussians_are_dropped_with_all_that_is_theirs() -> None:
    opacities = torch.full((COUNT,), 2.0)
    opacities[[0, 4]] = -6.0
    before = state(tensors={"logit_opacities": opacities})
    after = densify(before, replace(ONE_SPLIT, share=0.0), STEPS)
    kept = [i for i in range(COUNT) if i not in (0, 4)]
    assert after.state["origins"].tolist() == [100 + i for i in kept]
    for name in FIELDS:
        assert torch.equal(after.tensors[name], before.tensors[name][kept])
        assert len(after.moments1[name]) == len(after.moments2[name]) == len(kept)
    assert torch.equal(after.state["anchors"], before.state["anchors"][kept])


@pytest.mark.parametrize(
    ("changes", "steps"), [({"most": COUNT}, 100), ({"until": 0.05}, 100)], ids=["full", "late"]
)
def test_no_more_are_made_than_allowed(changes: dict[str, Any], steps: int) -> None:
    assert len(densify(state(), replace(ONE_SPLIT, **changes), steps).state["origins"]) == COUNT


def test_sums_have_one_order_while_training_and_only_then(views: ViewStore, tmp_path: Path) -> None:
    """Gradients of gathers are otherwise summed by whichever thread comes first: rarely other bits, hard to see."""
    seen: list[bool] = []

    def place(gaussians: Gaussians, origins: Tensor, view: tuple[int, str], correct: None) -> Gaussians:
        seen.append(torch.are_deterministic_algorithms_enabled())
        return gaussians

    schedule = replace(RECIPE.schedule, steps=2)
    train(GaussianTrainee(perturbed(), place, NAMES, RECIPE), views, schedule, tmp_path)
    assert seen[-2:] == [True, True]
    assert not torch.are_deterministic_algorithms_enabled()


def test_loggers_are_told_every_step_and_change_no_bit(views: ViewStore, tmp_path: Path) -> None:
    class Kept:
        def __init__(self) -> None:
            self.told: list[tuple[str, int, dict[str, float]]] = []
            self.finished = 0

        def log(self, group: str, step: int, values: dict[str, float]) -> None:
            self.told.append((group, step, dict(values)))

        def finish(self) -> None:
            self.finished += 1

    alone, kept = run(views, tmp_path / "alone", scheduled(RECIPE, steps=6)), Kept()
    with logging_to(kept):
        logged = run(views, tmp_path / "logged", scheduled(RECIPE, steps=6))
        assert kept.finished == 0
    assert_same(alone, logged)
    assert kept.finished == 1 and [told[:2] for told in kept.told] == [("train", step) for step in range(6)]
    for name in ("total", "l1"):
        assert [values[name] for _, _, values in kept.told] == logged.losses[name].tolist()
    # Nobody listens any more.
    run(views, tmp_path / "again", scheduled(RECIPE, steps=2))
    assert len(kept.told) == 6


def test_training_does_not_wait_for_torchs_compiler() -> None:
    """Being deterministic is a switch; torch's own function imports what takes seconds."""
    asked = (
        "import sys, torch\n"
        "from simulacra.recon.avatar.loop import _same_bits\n"
        "with _same_bits(torch.device('cpu')):\n"
        "    assert torch.are_deterministic_algorithms_enabled()\n"
        "assert not torch.are_deterministic_algorithms_enabled()\n"
        "assert 'torch._inductor.config' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", asked], check=True)
