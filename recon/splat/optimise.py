"""The training loop: one view a step, Adam, checkpoints from which it continues bit for bit.

All that a step depends on is in `Training`, which is saved whole; the order of views and the backgrounds are
functions of the seed and the step, so that no generator's state has to survive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from recon.perception.ssim import ssim
from recon.progress import Progress
from recon.splat.binding import neighbours
from recon.splat.settings import Densification, LearningRates, LossWeights
from recon.splat.views import TrainingView, ViewStore
from recon.stage import write_arrays
from render.camera import Cameras
from render.gaussians import GaussianRendering, Gaussians, rasterize_gaussians
from render.gaussians.record import FIELDS
from render.rotation import axis_angle_to_matrix, quat_to_matrix, rigid

CHECKPOINT = "checkpoint.npz"
LOSS_NAMES = ("step", "total", "l1", "ssim", "mask", "depth")
# Adam (Kingma and Ba, 2015); an epsilon this small because Gaussians that one view barely touches have tiny gradients.
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-15
# The learning rates fall to this part of themselves over the run.
FINAL_RATE = 0.1
NEIGHBOURS = 6
# Parameters of cameras, not of Gaussians; over the cameras each has a mean of zero, or all could drift together.
OF_CAMERAS = ("gains", "shifts", "turns", "moves")
# A depth error beyond this is another surface, metres.
FAR_DEPTH_M = 0.03
# Split Gaussians are smaller than their parent by this factor (Kerbl et al. 2023).
SPLIT_SHRINK = 1.6

# Rest (or free) Gaussians and a frame to Gaussians in the world; with the indices of each Gaussian's binding.
Place = Callable[[Gaussians, Int[Tensor, "n"], int], Gaussians]


@dataclass(frozen=True)
class Recipe:
    """What a training run is made of, beside its views."""

    steps: int
    seed: int
    checkpoint_every: int
    weights: LossWeights
    rates: LearningRates
    densify: Densification
    largest: float
    random_background: bool
    match_colors: bool
    refine_cameras: bool


@dataclass(frozen=True)
class Training:
    """The state between two steps.

    Attributes:
        tensors: the parameters: fields of the Gaussians, and for each camera `gains` (log) and `shifts` of colour and
            `turns` and `moves` of its pose (axis-angle about the person's middle, metres, world).
        moments1, moments2: Adam's.
        anchors: where each Gaussian was made. origins: which of the first Gaussians it descends from.
        heat, drawn: summed norms of screen gradients in pixels, and in how many steps it was drawn, since the last
            densification.
        losses: a row a step, columns `LOSS_NAMES`.
        middle: of the person in the first view, world: what cameras are turned about.
    """

    step: int
    tensors: dict[str, Tensor]
    moments1: dict[str, Tensor]
    moments2: dict[str, Tensor]
    anchors: Float[Tensor, "n 3"]
    origins: Int[Tensor, "n"]
    heat: Float[Tensor, "n"]
    drawn: Float[Tensor, "n"]
    losses: Float[Tensor, "s l"]
    middle: Float[Tensor, "3"]

    @property
    def gaussians(self) -> Gaussians:
        return Gaussians(**{name: self.tensors[name] for name in FIELDS})


def optimise(
    initial: Gaussians,
    place: Place,
    views: ViewStore,
    cameras: Sequence[str],
    recipe: Recipe,
    folder: Path,
    aligned: Training | None = None,
) -> Training:
    """Trains until `recipe.steps`, from the folder's checkpoint where there is one.

    Args:
        cameras: the training cameras, in the order of the parameters of cameras.
        aligned: an earlier training whose cameras' colours and poses are taken over.
    """
    training = _restore(folder) or _begin(initial, place, views.views[0][0], len(cameras), aligned)
    near = neighbours(training.anchors, NEIGHBOURS)
    with _same_bits(), Progress("training", recipe.steps, training.step) as progress:
        while training.step < recipe.steps:
            view = views.load(view_of_step(training.step, len(views), recipe.seed))
            training = _step(training, place, view, cameras.index(view.camera), near, recipe)
            every = recipe.densify.every
            if every and training.step % every == 0 and training.step < recipe.steps:
                training = densify(training, recipe)
                near = neighbours(training.anchors, NEIGHBOURS)
            if training.step % recipe.checkpoint_every == 0:
                _save(folder, training)
            progress.advance()
    return training


@contextmanager
def _same_bits() -> Iterator[None]:
    """Torch adds up in a fixed order: the gradient of a gather is otherwise summed by whichever thread comes first."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


def view_of_step(step: int, count: int, seed: int) -> int:
    """Every view once in an epoch, in an order that the seed and the epoch decide."""
    order = np.random.default_rng((seed, step // count)).permutation(count)
    return int(order[step % count])


def _begin(initial: Gaussians, place: Place, frame: int, cameras: int, aligned: Training | None) -> Training:
    tensors = {name: getattr(initial, name).detach().clone() for name in FIELDS}
    tensors |= {name: aligned.tensors[name] if aligned else torch.zeros(cameras, 3) for name in OF_CAMERAS}
    count = len(initial)
    with torch.no_grad():
        middle = place(initial, torch.arange(count), frame).means.mean(0)
    return Training(
        step=0,
        tensors=tensors,
        moments1={name: torch.zeros_like(value) for name, value in tensors.items()},
        moments2={name: torch.zeros_like(value) for name, value in tensors.items()},
        anchors=tensors["means"].clone(),
        origins=torch.arange(count),
        heat=torch.zeros(count),
        drawn=torch.zeros(count),
        losses=torch.zeros(0, len(LOSS_NAMES)),
        middle=middle if aligned is None else aligned.middle,
    )


def _step(
    training: Training, place: Place, view: TrainingView, camera: int, near: Tensor, recipe: Recipe
) -> Training:
    leaves = {name: value.clone().requires_grad_() for name, value in training.tensors.items()}
    gaussians = Gaussians(**{name: leaves[name] for name in FIELDS})
    offsets = torch.zeros(1, len(gaussians), 2, requires_grad=True) if recipe.densify.every else None
    placed = place(gaussians, training.origins, view.frame)
    window = view.cameras
    if recipe.refine_cameras or bool(training.tensors["turns"].any()):
        window = moved_camera(window, leaves["turns"][camera], leaves["moves"][camera], training.middle)
    rendering = rasterize_gaussians(placed, window, screen_offsets=offsets)
    generator = torch.Generator().manual_seed(recipe.seed * 1_000_003 + training.step)
    background = torch.rand(3, generator=generator) if recipe.random_background else torch.zeros(3)
    terms = photometric(
        rendering, view, leaves["gains"][camera], leaves["shifts"][camera], background, recipe
    )
    total = sum(terms.values(), torch.zeros(())) + regularity(gaussians, training.anchors, near, recipe)
    total.backward()
    row = torch.tensor(
        [float(training.step), float(total.detach()), *(float(terms[n].detach()) for n in LOSS_NAMES[2:])]
    )
    heat, drawn = training.heat, training.drawn
    if offsets is not None and offsets.grad is not None:
        heat, drawn = heat + offsets.grad[0].norm(dim=-1), drawn + (rendering.screen.radii[0] > 0).float()
    stepped = _adam(training, {name: leaf.grad for name, leaf in leaves.items()}, recipe)
    return replace(stepped, heat=heat, drawn=drawn, losses=torch.cat([training.losses, row[None]]))


def moved_camera(
    cameras: Cameras, turn: Float[Tensor, "3"], move: Float[Tensor, "3"], middle: Float[Tensor, "3"]
) -> Cameras:
    """A camera whose calibration is corrected by a small rigid motion of the world about a point of it."""
    rotation = axis_angle_to_matrix(turn)
    correction = rigid(rotation, middle - rotation @ middle + move)
    return replace(cameras, viewmats=cameras.viewmats @ correction)


def photometric(
    rendering: GaussianRendering,
    view: TrainingView,
    gain: Float[Tensor, "3"],
    shift: Float[Tensor, "3"],
    background: Float[Tensor, "3"],
    recipe: Recipe,
) -> dict[str, Tensor]:
    """The weighted terms that compare a drawing with its photograph."""
    alpha, weights = rendering.alpha[0], recipe.weights
    rgb = rendering.rgb_premul[0]
    if recipe.match_colors:
        rgb = rgb * torch.exp(gain) + alpha[..., None] * shift
    ours = rgb + (1 - alpha)[..., None] * background
    theirs = view.rgb + (1 - view.mask)[..., None] * background
    terms = {
        "l1": weights.l1 * (ours - theirs).abs().mean(),
        "mask": weights.mask * (alpha - view.mask).abs().mean(),
    }
    zero = ours.new_zeros(())
    terms["ssim"] = weights.ssim * (1 - ssim(ours, theirs)) if weights.ssim else zero
    terms["depth"] = zero
    if weights.depth and view.depth is not None and view.measured is not None:
        known = view.measured & (alpha.detach() > 0.5)
        expected = rendering.depth[0][known] / alpha[known]
        if len(expected):
            terms["depth"] = (
                weights.depth * (expected - view.depth[known]).abs().clamp(max=FAR_DEPTH_M).mean()
            )
    return terms


def regularity(gaussians: Gaussians, anchors: Tensor, near: Tensor, recipe: Recipe) -> Tensor:
    """What keeps Gaussians a surface: neighbours move alike, none strays or grows large."""
    weights = recipe.weights
    cost = gaussians.means.new_zeros(())
    if weights.smooth or weights.stay:
        moved_cm = 100 * (gaussians.means - anchors)
        cost = cost + weights.smooth * (moved_cm - moved_cm[near].mean(1)).square().sum(-1).mean()
        cost = cost + weights.stay * moved_cm.square().sum(-1).mean()
    if weights.size:
        too_long = torch.relu(gaussians.log_scales - float(np.log(recipe.largest)))
        cost = cost + weights.size * too_long.sum(-1).mean()
    return cost


def _adam(training: Training, gradients: dict[str, Tensor | None], recipe: Recipe) -> Training:
    """One step of Adam with a rate that falls exponentially; colours of cameras keep a mean of zero."""
    step = training.step + 1
    fall = FINAL_RATE ** (training.step / recipe.steps)
    of_cameras = dict.fromkeys(("gains", "shifts"), recipe.rates.camera_colors)
    of_cameras |= dict.fromkeys(("turns", "moves"), recipe.rates.camera_poses)
    rates = {name: of_cameras.get(name) or getattr(recipe.rates, name) for name in training.tensors}
    tensors, moments1, moments2 = {}, {}, {}
    for name, value in training.tensors.items():
        gradient = gradients[name]
        if gradient is None:
            tensors[name], moments1[name], moments2[name] = (
                value,
                training.moments1[name],
                training.moments2[name],
            )
            continue
        first = BETA1 * training.moments1[name] + (1 - BETA1) * gradient
        second = BETA2 * training.moments2[name] + (1 - BETA2) * gradient * gradient
        scale = rates[name] * fall / (1 - BETA1**step)
        tensors[name] = value - scale * first / ((second / (1 - BETA2**step)).sqrt() + EPSILON)
        moments1[name], moments2[name] = first, second
    for name in OF_CAMERAS:
        tensors[name] = tensors[name] - tensors[name].mean(0)
    return replace(training, step=step, tensors=tensors, moments1=moments1, moments2=moments2)


def densify(training: Training, recipe: Recipe) -> Training:
    """Drops what is nearly transparent; splits what the pictures pull at most, along its longest axis.

    After Kerbl et al. 2023, but by rank instead of by a threshold, so that image size does not matter.
    """
    rules = recipe.densify
    keep = torch.sigmoid(training.tensors["logit_opacities"]) > rules.least_opacity
    training = select(training, keep.nonzero().squeeze(-1))
    room = rules.most - len(training.anchors)
    if training.step < rules.until * recipe.steps and room > 0:
        pull = training.heat / training.drawn.clamp(min=1)
        count = min(room, int(rules.share * len(pull)))
        chosen = torch.sort(pull, descending=True, stable=True).indices[:count]
        training = _split(training, chosen)
    return replace(training, heat=torch.zeros_like(training.heat), drawn=torch.zeros_like(training.drawn))


def select(training: Training, rows: Int[Tensor, "m"]) -> Training:
    """The chosen Gaussians (repeats allowed), with all that belongs to them."""

    def pick(values: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: value[rows] if name in FIELDS else value for name, value in values.items()}

    return replace(
        training,
        tensors=pick(training.tensors),
        moments1=pick(training.moments1),
        moments2=pick(training.moments2),
        anchors=training.anchors[rows],
        origins=training.origins[rows],
        heat=training.heat[rows],
        drawn=training.drawn[rows],
    )


def _split(training: Training, chosen: Int[Tensor, "m"]) -> Training:
    """Two halves in place of each chosen Gaussian, half a standard deviation to either side of its centre."""
    count = len(training.anchors)
    grown = select(training, torch.cat([torch.arange(count), chosen]))
    tensors = {name: value.clone() for name, value in grown.tensors.items()}
    longest = tensors["log_scales"][chosen].argmax(-1)
    axes = quat_to_matrix(tensors["quats"][chosen])[torch.arange(len(chosen)), :, longest]
    reach = 0.5 * tensors["log_scales"][chosen, longest].exp()[:, None] * axes
    shrink = torch.zeros_like(tensors["log_scales"][chosen])
    shrink[torch.arange(len(chosen)), longest] = float(np.log(SPLIT_SHRINK))
    twins = torch.arange(count, count + len(chosen))
    anchors = grown.anchors.clone()
    for rows, sign in ((chosen, 1.0), (twins, -1.0)):
        tensors["means"][rows] += sign * reach
        tensors["log_scales"][rows] -= shrink
        anchors[rows] += sign * reach
    moments1, moments2 = (
        {name: value.clone() for name, value in moments.items()}
        for moments in (grown.moments1, grown.moments2)
    )
    for name in FIELDS:
        for moments in (moments1, moments2):
            moments[name][chosen] = 0
            moments[name][twins] = 0
    return replace(grown, tensors=tensors, anchors=anchors, moments1=moments1, moments2=moments2)


PLAIN = ("anchors", "origins", "heat", "drawn", "losses", "middle")


def _save(folder: Path, training: Training) -> None:
    arrays = {f"tensors/{n}": v for n, v in training.tensors.items()}
    arrays |= {f"moments1/{n}": v for n, v in training.moments1.items()}
    arrays |= {f"moments2/{n}": v for n, v in training.moments2.items()}
    arrays |= {n: getattr(training, n) for n in PLAIN}
    numpy = {name: value.detach().numpy() for name, value in arrays.items()}
    write_arrays(folder / CHECKPOINT, step=np.asarray(training.step), **numpy)


def _restore(folder: Path) -> Training | None:
    path = folder / CHECKPOINT
    if not path.is_file():
        return None
    with np.load(path) as stored:
        arrays = {name: stored[name] for name in stored.files}
    step = int(arrays.pop("step"))
    fields = {n: torch.from_numpy(v) for n, v in arrays.items()}

    def group(prefix: str) -> dict[str, Tensor]:
        return {n.removeprefix(prefix): v for n, v in fields.items() if n.startswith(prefix)}

    plain = {n: fields[n] for n in PLAIN}
    return Training(step, group("tensors/"), group("moments1/"), group("moments2/"), **plain)
