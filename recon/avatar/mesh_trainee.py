"""A mesh avatar as it is trained: its vertices, its paint, and the colors and poses of the cameras that see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from simulacra.recon.avatar.corrections import OF_CAMERAS, correct_camera, hold_means
from simulacra.recon.avatar.loop import Schedule, background_of_step
from simulacra.recon.avatar.losses import (
    ColorMatch,
    Loss,
    Shown,
    SurfacePrior,
    evaluate_losses,
    offset_regularity,
)
from simulacra.recon.avatar.placement import Person
from simulacra.recon.avatar.settings import LossWeights
from simulacra.recon.avatar.training import Training
from simulacra.recon.avatar.views import TrainingView
from simulacra.render.figure import Rendered
from simulacra.render.mesh_avatar import MeshAvatar, MeshDrawing

NEIGHBOURS = 6
# Less of the person in a pixel is mixed with what is behind.
LEAST_MASK = 0.95


@dataclass(frozen=True)
class DrawnMesh(Shown):
    """What a step has drawn of a mesh.

    Attributes:
        rendering: of one camera, over no background.
        verts: at rest, as they are trained.
        prior: what they are held to.
        match: the colors of the view's camera.
        background: the color behind drawing and photograph in this step.
        texture: as it is trained.
        painted: as it was before.
        step: which one it is, from 0.
    """

    rendering: Rendered
    verts: Float[Tensor, "n 3"]
    prior: SurfacePrior
    match: ColorMatch
    background: Float[Tensor, "3"]
    texture: Float[Tensor, "th tw 3"]
    painted: Float[Tensor, "th tw 3"]
    step: int = 0


@dataclass(frozen=True)
class MeshRecipe:
    """What a training of a mesh is made of, beside its views.

    Attributes:
        schedule: its length and its seed.
        losses: what a step pays for; whoever trains may append his own.
        rates: Adam's step sizes by tensor: `verts`, `gains shifts turns moves` of cameras, and those of the paint.
    """

    schedule: Schedule
    losses: tuple[Loss, ...]
    rates: Mapping[str, float]


class MeshTrainee:
    """A `Trainee` whose tensors are the vertices at rest, those of the paint, and of each camera as Gaussians have
    them (`GaussianTrainee`).

    Args:
        initial: the first mesh.
        person: who is posed.
        cameras: the training cameras, in the order of the parameters of cameras.
    """

    device = torch.device("cpu")

    def __init__(
        self, initial: MeshAvatar, person: Person, cameras: Sequence[str], recipe: MeshRecipe
    ) -> None:
        self.initial, self.person, self.cameras, self.recipe = initial, person, tuple(cameras), recipe
        with torch.no_grad():
            self.rig = initial.rig(person.body)
        self.near = ring(initial.mesh.faces, len(initial.mesh))

    @property
    def rates(self) -> Mapping[str, float]:
        """Adam's step sizes by tensor."""
        return self.recipe.rates

    def start(self, view: tuple[int, str]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The first mesh, and cameras that stand where the calibration has them."""
        tensors = {"verts": self.initial.mesh.verts.clone()}
        tensors |= {name: value.clone() for name, value in self.initial.paint.tensors().items()}
        tensors |= {name: torch.zeros(len(self.cameras), 3) for name in OF_CAMERAS}
        with torch.no_grad():
            middle = self.initial.pose(self.rig, self.person.pose_of(*view)).verts.mean(0)
        return tensors, {"middle": middle}

    def avatar(self, tensors: Mapping[str, Tensor]) -> MeshAvatar:
        """The mesh that some tensors are."""
        paint = self.initial.paint
        named = {name: tensors[name] for name in paint.tensors()}
        mesh = self.initial.mesh.replace(verts=tensors["verts"])
        made = self.initial.replace(mesh=mesh, paint=type(paint)(**named))
        # Topology stays, and with it who neighbours whom.
        vars(made)["neighbours"] = self.initial.neighbours
        return made

    def render(self, leaves: dict[str, Tensor], training: Training, view: TrainingView) -> DrawnMesh:
        """The mesh as the view's corrected camera sees it over a background."""
        camera = self.cameras.index(view.camera)
        figure = self.avatar(leaves).pose(self.rig, self.person.pose_of(view.frame, view.camera))
        window = correct_camera(
            view.cameras, leaves["turns"][camera], leaves["moves"][camera], training.state["middle"]
        )
        match = ColorMatch(leaves["gains"][camera], leaves["shifts"][camera])
        prior = SurfacePrior(self.initial.mesh.verts, self.near, 1.0)
        drawn = learn_inside(figure.draw(window), view.mask)
        behind, painted = (
            background_of_step(training.step, self.recipe.schedule.seed),
            self.initial.paint.tensors()["texture"],
        )
        texture = leaves["texture"]
        return DrawnMesh(drawn, leaves["verts"], prior, match, behind, texture, painted, training.step)

    def losses(self, drawn: DrawnMesh, view: TrainingView) -> dict[str, Tensor]:
        """The recipe's losses, weighted."""
        return evaluate_losses(self.recipe.losses, drawn, view)

    def after_step(self, training: Training, drawn: DrawnMesh) -> Training:
        """Holds the cameras' mean, and colors within what can be shown."""
        tensors = hold_means(training.tensors)
        tensors["texture"] = tensors["texture"].clamp(0, 1)
        return replace(training, tensors=tensors)


def paint_stays(weight: float) -> Loss:
    """What holds the texture to how it was painted, mean square. Adam moves a texel that one glancing view barely
    touches as far as one that is seen well; here the stronger pull decides.
    """
    return Loss("paint", weight, lambda drawn, _: (drawn.texture - drawn.painted).square().mean())


def learn_inside(drawn: MeshDrawing, mask: Float[Tensor, "h w"]) -> MeshDrawing:
    """The drawing, whose colors have no gradient where the photograph shows something else than the person: the paint
    would learn the background. Coverage keeps its own.
    """
    inside = (mask > LEAST_MASK)[None, ..., None]
    return replace(drawn, rgb_premul=torch.where(inside, drawn.rgb_premul, drawn.rgb_premul.detach()))


def mesh_regularity(weights: LossWeights) -> Loss:
    """What keeps a mesh smooth and near to where it began; `smooth` and `stay` of the weights."""
    return Loss("regularity", 1.0, lambda drawn, _: offset_regularity(drawn.verts, drawn.prior, weights))


def ring(faces: Int[Tensor, "f 3"], count: int) -> Int[Tensor, "n 6"]:
    """Six vertices around each one: of fewer some are named again, of more some are left out."""
    ends = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    ends = torch.cat([ends, ends.flip(1)]).unique(dim=0)
    first = torch.searchsorted(ends[:, 0].contiguous(), torch.arange(count))
    number = torch.bincount(ends[:, 0], minlength=count)
    place = torch.arange(NEIGHBOURS) % number.clamp(min=1)[:, None]
    return ends[(first[:, None] + place).clamp(max=len(ends) - 1), 1].contiguous()
