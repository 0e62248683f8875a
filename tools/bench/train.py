"""`simulacra bench train`: one step of avatar training, part by part, against the same in plain torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from rich.console import Console
from torch import Tensor

from simulacra.recon.avatar.adam import BETA1, BETA2, EPSILON, adam_update
from simulacra.recon.avatar.binding import neighbours
from simulacra.recon.avatar.gaussian_trainee import NEIGHBOURS, GaussianTrainee
from simulacra.recon.avatar.loop import begin, step
from simulacra.recon.avatar.losses import (
    PHOTOMETRIC,
    ColorMatch,
    Drawing,
    SurfacePrior,
    evaluate_losses,
    gaussian_losses,
    regularity,
    regularity_reference,
)
from simulacra.recon.avatar.placement import Person, place_on_body
from simulacra.recon.avatar.settings import AvatarConfig
from simulacra.recon.avatar.train import avatar_recipe
from simulacra.recon.avatar.views import TrainingView
from simulacra.render.avatar import bone_motion
from simulacra.render.gaussians import GaussianRendering, Gaussians, rasterize_gaussians, warmup
from simulacra.render.gaussians.record import FIELDS
from simulacra.render.skinning import skin, skin_reference

from .avatar_scene import AvatarScene, avatar_scene, photograph
from .printing import Column, print_rows
from .timing import paired
from .torch_tiles import draw as draw_in_torch

LARGEST_M = 0.012
SLOW_TURNS = 2  # of drawing in plain torch
Work = Callable[[], object]


@dataclass(frozen=True)
class TrainRow:
    """One part of a step and one way of doing it: the least wall time, and speed against one thread of ours."""

    part: str
    way: str
    least_ms: float
    ratio: float


def run(
    *, gaussians: int = 50_000, size: int = 512, repeats: int = 9, as_json: bool = False
) -> list[TrainRow]:
    """Time the parts of a training step, forward and backward together, and print a table or JSON lines."""
    threads = torch.get_num_threads()
    warmup()
    with Console(stderr=as_json).status("preparing an avatar"):
        scene = avatar_scene(gaussians, size)
    rows: list[TrainRow] = []
    try:
        for part, (ours, plain) in _parts(scene).items():
            ways = {"cpu, 1 thread": _on(1, ours)}
            if threads > 1:
                ways[f"cpu, {threads} threads"] = _on(threads, ours)
            timings = paired(ways, repeats, wall=True)
            if plain is not None:
                against = {"cpu, 1 thread": ways["cpu, 1 thread"], "plain torch": _on(threads, plain)}
                timings += paired(against, SLOW_TURNS, wall=True)[1:]
            rows += [TrainRow(part, t.name, t.least_ms, t.ratio) for t in timings]
    finally:
        torch.set_num_threads(threads)
    title = f"A training step: {gaussians:,} Gaussians on a body, {size}²"
    print_rows(rows, COLUMNS, title, as_json)
    return rows


COLUMNS = (
    Column("part", lambda row: row.part, "left"),
    Column("way", lambda row: row.way, "left"),
    Column("ms", lambda row: f"{row.least_ms:.1f}"),
    Column("ratio", lambda row: f"{row.ratio:.3g}"),
)


def _parts(scene: AvatarScene) -> dict[str, tuple[Work, Work | None]]:
    """Each part of a step with its gradient: our way, and plain torch's where there is one."""
    view = photograph(scene)
    return {
        "skinning": _skinning(scene),
        "drawing": _drawing(scene),
        "comparison": _comparison(scene),
        "regularity": _regularity(scene),
        "Adam": _adam(scene),
        "whole step": (_whole(scene, view), None),
    }


def _skinning(scene: AvatarScene) -> tuple[Work, Work]:
    rest = scene.avatar.gaussians
    motion = bone_motion(scene.rig, scene.pose(5))
    leaves = [t.clone().requires_grad_() for t in (rest.means, rest.quats)]
    up = [torch.ones_like(t) for t in leaves]
    ours, plain = (
        lambda how=how: torch.autograd.grad(how(*leaves, scene.rig.influences, *motion), leaves, up)
        for how in (skin, skin_reference)
    )
    return ours, plain


def _drawing(scene: AvatarScene) -> tuple[Work, Work]:
    placed = scene.avatar.gaussians.replace(
        **dict(zip(("means", "quats"), _place(scene)))  # fields of the driven avatar
    )
    leaves = placed.replace(**{n: getattr(placed, n).detach().requires_grad_() for n in FIELDS})
    fields = [getattr(leaves, n) for n in FIELDS]
    up = torch.ones(scene.cameras.height, scene.cameras.width, 3)
    return (
        lambda: torch.autograd.grad(rasterize_gaussians(leaves, scene.cameras).rgb_premul[0], fields, up),
        lambda: torch.autograd.grad(draw_in_torch(leaves, scene.cameras), fields, up),
    )


def _place(scene: AvatarScene) -> tuple[Tensor, Tensor]:
    rest = scene.avatar.gaussians
    return skin(rest.means, rest.quats, scene.rig.influences, *bone_motion(scene.rig, scene.pose(0)))


def _comparison(scene: AvatarScene) -> tuple[Work, Work]:
    view, background = photograph(scene), torch.full((3,), 0.5)
    losses = [loss for loss in gaussian_losses(AvatarConfig().weights) if loss.value in PHOTOMETRIC]
    means, quats = _place(scene)
    gaussians = scene.avatar.gaussians.replace(means=means, quats=quats)
    with torch.no_grad():
        drawn = rasterize_gaussians(gaussians, scene.cameras)
    images = [t.clone().requires_grad_() for t in (drawn.rgb_premul, drawn.alpha, drawn.depth)]
    rendering = GaussianRendering(images[0], images[1], images[2], drawn.screen)
    match = ColorMatch(torch.zeros(3), torch.zeros(3))
    drawing = Drawing(rendering, gaussians, _prior(gaussians), match, background)

    def compare(evaluate: Callable[[Drawing], list[Tensor]]) -> Work:
        # A new record each time: it keeps the picture that it made, with its gradient's graph.
        return lambda: torch.autograd.grad(torch.stack(evaluate(replace(drawing))).sum(), images)

    return (
        compare(lambda drawn: list(evaluate_losses(losses, drawn, view).values())),
        compare(lambda drawn: [loss.weight * loss.value(drawn, view) for loss in losses]),
    )


def _prior(gaussians: Gaussians) -> SurfacePrior:
    return SurfacePrior(gaussians.means, neighbours(gaussians.means, NEIGHBOURS), LARGEST_M)


def _regularity(scene: AvatarScene) -> tuple[Work, Work]:
    gaussians, weights = scene.avatar.gaussians, AvatarConfig().weights
    prior = _prior(gaussians)
    leaves = [gaussians.means.clone().requires_grad_(), gaussians.log_scales.clone().requires_grad_()]
    moving = gaussians.replace(means=leaves[0], log_scales=leaves[1])
    ours, plain = (
        lambda how=how: torch.autograd.grad(how(moving, prior, weights), leaves)
        for how in (regularity, regularity_reference)
    )
    return ours, plain


def _adam(scene: AvatarScene) -> tuple[Work, Work]:
    values = [getattr(scene.avatar.gaussians, n).clone() for n in FIELDS]
    leaves = [v.clone().requires_grad_() for v in values]
    for leaf in leaves:
        leaf.grad = torch.ones_like(leaf)
    optimiser = torch.optim.Adam(leaves, lr=1e-3, betas=(BETA1, BETA2), eps=EPSILON)
    zeros = [torch.zeros_like(v) for v in values]
    return (
        lambda: [adam_update(v, leaf.grad, z, z, 1e-3, 1) for v, leaf, z in zip(values, leaves, zeros)],
        optimiser.step,
    )


def _whole(scene: AvatarScene, view: TrainingView) -> Work:
    body, avatar = scene.rig.body, scene.avatar
    person = Person(body, avatar.shape, lambda frame, _: scene.pose(frame))
    place = place_on_body(person, avatar.binding, avatar.gaussians.means.device)
    recipe = replace(avatar_recipe(AvatarConfig()), largest=LARGEST_M)
    trainee = GaussianTrainee(avatar.gaussians, place, (view.camera,), recipe)
    training = begin(trainee, (view.frame, view.camera))
    return lambda: step(training, trainee, view, recipe.schedule)


def _on(threads: int, work: Work) -> Callable[[], None]:
    def call() -> None:
        torch.set_num_threads(threads)
        work()

    return call
