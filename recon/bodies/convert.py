"""A person in one body as a person in another: shape and poses by least squares over the corresponding vertices."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from simulacra.recon.bodies.correspond import on_surface
from simulacra.render.avatar import Binding
from simulacra.render.body import BodyModel, BodyPose, BodyShape

# Square millimetres for a standard deviation of the shape, and for a radian: enough to hold what skin does not show.
_SHAPE_MM2, _TURN_MM2 = 0.05, 2.0
_STEPS = 60


@dataclass(frozen=True)
class Converted:
    """A person in another body.

    Attributes:
        shape: of the other body.
        pose: likewise.
        error_mm: from each vertex of the other body to its counterpart, by frame.
    """

    shape: BodyShape
    pose: BodyPose
    error_mm: Float[Tensor, "b v"]

    def words(self) -> str:
        """The error in a line."""
        error = self.error_mm
        return (
            f"mean {float(error.mean()):.2f} mm, 95 % within {float(error.flatten().quantile(0.95)):.2f} mm, "
            f"largest {float(error.max()):.1f} mm"
        )


def convert(
    source: BodyModel,
    shape: BodyShape,
    pose: BodyPose,
    target: BodyModel,
    places: Binding,
    steps: int = _STEPS,
) -> Converted:
    """The target body on the source's surface. Both have the same bones, so that the first guess is the same pose.

    Args:
        places: for each vertex of the target its place on the source.
        steps: of the optimiser.
    """
    with torch.no_grad():
        goal = on_surface(source, source.pose(source.rest(shape), pose).verts, places)
    first = target.neutral_shape().phenotypes
    bones = [target.bone_names.index(bone) for bone in source.bone_names if bone in target.bone_names]
    known = [source.bone_names.index(bone) for bone in source.bone_names if bone in target.bone_names]
    start = torch.zeros(len(pose.rotations), len(target.bone_names), 3)
    start[:, bones] = pose.rotations[:, known].detach()
    sought = [torch.logit(first), torch.zeros(len(target.local_change_names)), start, pose.translation]
    sought = [each.detach().clone().requires_grad_(True) for each in sought]
    optimiser = torch.optim.LBFGS(sought, max_iter=steps, history_size=30, line_search_fn="strong_wolfe")
    still = torch.zeros(len(start), len(target.expression_names))

    def person() -> tuple[BodyShape, BodyPose]:
        # Squashed, so that every vector is a person; the body's own neutral one is where that starts.
        local = 3 * torch.tanh(sought[1] / 3)
        return BodyShape(torch.sigmoid(sought[0]), local), BodyPose(sought[2], sought[3], still)

    def gaps() -> Float[Tensor, "b v"]:
        body, posed = person()
        return 1000 * (target.pose(target.rest(body), posed).verts - goal).norm(dim=-1)

    def energy() -> Tensor:
        optimiser.zero_grad()
        held = _SHAPE_MM2 * ((sought[0] - torch.logit(first)).square().sum() + sought[1].square().sum())
        held = held + _TURN_MM2 * (sought[2] - start).square().sum()
        total = gaps().square().mean() + held
        total.backward()
        return total

    optimiser.step(energy)
    with torch.no_grad():
        body, posed = person()
        still_pose = BodyPose(
            *(part.detach() for part in (posed.rotations, posed.translation, posed.expression))
        )
        return Converted(body, still_pose, gaps())
