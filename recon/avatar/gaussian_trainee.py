"""Gaussians as they are trained: bound to a body or free, with the colors and poses of the cameras that see them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from simulacra.recon.avatar.binding import neighbours
from simulacra.recon.avatar.corrections import OF_CAMERAS, camera_rates, correct_camera, hold_means
from simulacra.recon.avatar.densify import densify, mean_pull
from simulacra.recon.avatar.loop import Schedule, background_of_step, rate_fall
from simulacra.recon.avatar.losses import ColorMatch, Drawing, Loss, SurfacePrior, evaluate_losses
from simulacra.recon.avatar.placement import Place
from simulacra.recon.avatar.poses import PosesInTraining, pose_rates
from simulacra.recon.avatar.relocate import relocate, wander
from simulacra.recon.avatar.settings import Densification, LearningRates
from simulacra.recon.avatar.training import Training
from simulacra.recon.avatar.views import TrainingView
from simulacra.render.gaussians import OUTLINE_EPS2D, Gaussians, rasterize_gaussians
from simulacra.render.gaussians.rasterize import Backend
from simulacra.render.gaussians.record import FIELDS

NEIGHBOURS = 6
# Harmonics beyond the mean color learn so many times slower than it, as of Kerbl et al. 2023. Their tensor is so many
# times as large: Adam's steps do not know how large what they move is.
DIRECTIONAL = 20.0


@dataclass(frozen=True)
class Recipe:
    """What a training of Gaussians is made of, beside its views.

    Attributes:
        schedule: its length and its seed.
        losses: what a step pays for; whoever trains may append his own.
        rates: Adam's step sizes.
        densify: when there are more Gaussians, and what becomes of those that show nothing.
        largest: the length of a Gaussian beyond which it costs, metres.
        random_background: another color behind each step's drawing and photograph; black if not.
        match_colors: whether each camera has a gain and a shift of color.
        refine_cameras: whether each camera's pose is corrected.
        appeal: to which the nearly transparent are relocated: those that pictures pull at, or the opaque.
        noise: of the means at each step, a factor of their learning rate, 1/m^2.
    """

    schedule: Schedule
    losses: tuple[Loss, ...]
    rates: LearningRates
    densify: Densification
    largest: float
    random_background: bool
    match_colors: bool
    refine_cameras: bool
    appeal: Literal["pull", "opacity"] = "pull"
    noise: float = 0.0


class GaussianTrainee:
    """A `Trainee` whose tensors are the fields of the Gaussians, and for each camera `gains` (log) and `shifts` of
    color and `turns` and `moves` of its pose (axis-angle about the person's middle, metres, world).

    It keeps from step to step: `anchors`, where each Gaussian was made; `origins`, which of the first Gaussians it
    descends from; `grad2d` and `count`, summed norms of screen gradients in pixels, and in how many steps each was
    drawn since the last densification; `middle`, of the person in the first view, world, about which cameras turn.

    Args:
        initial: the first Gaussians, on the device on which they are trained.
        place: where they are in a view.
        cameras: the training cameras, in the order of the parameters of cameras.
        aligned: an earlier training whose cameras' colors and poses are taken over.
        poses: corrections of the body's poses, if they are sought.
        backend: of the rasterizer.
    """

    def __init__(
        self,
        initial: Gaussians,
        place: Place,
        cameras: Sequence[str],
        recipe: Recipe,
        aligned: Training | None = None,
        poses: PosesInTraining | None = None,
        backend: Backend = "auto",
    ) -> None:
        self.initial, self.place, self.cameras, self.recipe = initial, place, tuple(cameras), recipe
        self.aligned, self.poses, self.backend = aligned, poses, backend
        self._near: tuple[Tensor, Int[Tensor, "n k"]] | None = None

    @property
    def device(self) -> torch.device:
        """Where the Gaussians are."""
        return self.initial.means.device

    @property
    def rates(self) -> Mapping[str, float]:
        """Adam's step sizes by tensor."""
        rates = self.recipe.rates
        of_cameras = camera_rates(rates.camera_colors, rates.camera_poses)
        of_poses = {} if self.poses is None else pose_rates(rates.poses)
        return {name: getattr(rates, name) for name in FIELDS} | of_cameras | of_poses

    def start(self, view: tuple[int, str]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The first Gaussians and cameras that stand where the calibration has them, or as they were aligned."""
        means, count = self.initial.means, len(self.initial)
        tensors = {name: getattr(self.initial, name).detach().clone() for name in FIELDS}
        tensors["sh"][:, 1:] *= DIRECTIONAL
        tensors |= {
            name: self.aligned.tensors[name] if self.aligned else means.new_zeros(len(self.cameras), 3)
            for name in OF_CAMERAS
        }
        if self.poses is not None:
            tensors |= self.poses.start()
        origins = torch.arange(count, device=self.device)
        with torch.no_grad():
            middle = self.place(self.initial, origins, view, None).means.mean(0)
        return tensors, {
            "anchors": tensors["means"].clone(),
            "origins": origins,
            "grad2d": means.new_zeros(count),
            "count": means.new_zeros(count),
            "middle": self.aligned.state["middle"] if self.aligned else middle,
        }

    def render(self, leaves: dict[str, Tensor], training: Training, view: TrainingView) -> Drawing:
        """The Gaussians where they are in the view, as its corrected camera sees them over a background."""
        recipe, state, camera = self.recipe, training.state, self.cameras.index(view.camera)
        gaussians = gaussians_of(leaves)
        offsets = None
        if recipe.densify.every and recipe.appeal == "pull":
            offsets = gaussians.means.new_zeros(1, len(gaussians), 2).requires_grad_()
        correction = None if self.poses is None else self.poses.correction(leaves, view.frame)
        placed = self.place(gaussians, state["origins"], (view.frame, view.camera), correction)
        window = view.cameras
        if recipe.refine_cameras or bool(training.tensors["turns"].any()):
            window = correct_camera(window, leaves["turns"][camera], leaves["moves"][camera], state["middle"])
        rendering = rasterize_gaussians(
            placed, window, screen_offsets=offsets, eps2d=OUTLINE_EPS2D, backend=self.backend
        )
        zeros = gaussians.means.new_zeros(3)
        match = ColorMatch(zeros, zeros)
        if recipe.match_colors:
            match = ColorMatch(leaves["gains"][camera], leaves["shifts"][camera])
        prior = SurfacePrior(state["anchors"], self._neighbours(state["anchors"]), recipe.largest)
        strain = None if correction is None else correction.cost
        behind = self._background(training.step)
        return Drawing(rendering, gaussians, prior, match, behind, offsets, strain, training.step)

    def losses(self, drawn: Drawing, view: TrainingView) -> dict[str, Tensor]:
        """The recipe's losses, weighted."""
        return evaluate_losses(self.recipe.losses, drawn, view)

    def after_step(self, training: Training, drawn: Drawing) -> Training:
        """Counts what densification asks for, holds the cameras' mean, and densifies when it is time."""
        state, offsets = dict(training.state), drawn.screen_offsets
        if offsets is not None and offsets.grad is not None:
            state["grad2d"] = state["grad2d"] + offsets.grad[0].norm(dim=-1)
            state["count"] = state["count"] + (drawn.rendering.screen.radii[0] > 0).float()
        training = replace(training, tensors=hold_means(training.tensors), state=state)
        every, steps = self.recipe.densify.every, self.recipe.schedule.steps
        if every and training.step % every == 0 and training.step < steps:
            training = self._densify(training)
        if self.recipe.noise:
            training = replace(training, tensors=training.tensors | {"means": self._wander(training)})
        return training

    def _densify(self, training: Training) -> Training:
        rules, schedule = self.recipe.densify, self.recipe.schedule
        if rules.how == "split":
            return densify(training, rules, schedule.steps)
        appeal = torch.sigmoid(training.tensors["logit_opacities"])
        if self.recipe.appeal == "pull":
            appeal = mean_pull(training)
        return relocate(training, rules, schedule.steps, schedule.seed, appeal)

    def _wander(self, training: Training) -> Float[Tensor, "n 3"]:
        schedule, done = self.recipe.schedule, training.step - 1
        rate = self.recipe.rates.means * rate_fall(done, schedule.steps)
        return wander(training.tensors, self.recipe.noise * rate, schedule.seed, done)

    def _background(self, step: int) -> Float[Tensor, "3"]:
        if not self.recipe.random_background:
            return self.initial.means.new_zeros(3)
        return background_of_step(step, self.recipe.schedule.seed).to(self.initial.means)

    def _neighbours(self, anchors: Float[Tensor, "n 3"]) -> Int[Tensor, "n k"]:
        """Searched again only when there are other anchors."""
        if self._near is None or self._near[0] is not anchors:
            self._near = anchors, neighbours(anchors, NEIGHBOURS)
        return self._near[1]


def gaussians_of(tensors: Mapping[str, Tensor]) -> Gaussians:
    """The Gaussians among the tensors of a training."""
    sh = tensors["sh"]
    if sh.shape[1] > 1:
        sh = torch.cat([sh[:, :1], sh[:, 1:] / DIRECTIONAL], 1)
    return Gaussians(**{name: tensors[name] for name in FIELDS if name != "sh"}, sh=sh)
