"""Where in the world a person's Gaussians are in each view."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from simulacra.render.avatar import Avatar, Binding, BodyRig, drive, rig_body
from simulacra.render.body.model import BodyModel
from simulacra.render.body.records import BodyPose, BodyShape
from simulacra.render.gaussians import Gaussians

# The pose in a frame, or in the frame as one camera recorded it, whose clock may differ.
PoseOf = Callable[[int, str | None], BodyPose]
CovarianceOf = Callable[[int], Float[np.ndarray, "c 3 3"] | None]
# What training makes of a frame's pose.
Correct = Callable[[BodyPose], BodyPose]
# Rest (or free) Gaussians, the indices of their bindings, a view (frame and camera; no camera for the frame's own
# moment) and what is made of its pose to Gaussians in the world.
Place = Callable[[Gaussians, Int[Tensor, "n"], tuple[int, str | None], Correct | None], Gaussians]
Record = TypeVar("Record", Binding, BodyShape, BodyPose)


@dataclass(frozen=True)
class Person:
    """What is known of the person before it has an appearance: body, shape, and the pose in each frame.

    Attributes:
        seen: which vertices of the body each camera saw; None where nobody knows.
        joint_covariance_of: how sure the poses are: of the joints that `recon.fit.certainty` names, in a frame, world,
            square metres; None where nobody knows.
    """

    body: BodyModel
    shape: BodyShape
    pose_of: PoseOf
    seen: Bool[np.ndarray, "c v"] | None = None
    joint_covariance_of: CovarianceOf | None = None


def place_free(
    gaussians: Gaussians,
    origins: Int[Tensor, "n"],
    view: tuple[int, str | None],
    correct: Correct | None,
) -> Gaussians:
    """Gaussians of no body are where they are in every view."""
    return gaussians


def place_on_body(person: Person, binding: Binding, device: torch.device) -> Place:
    """How the rest Gaussians that descend from a binding's are drawn in a view, on a device."""
    body = person.body if device == person.body.device else person.body.to(device=device)
    shape, binding = _move(person.shape, device), _move(binding, device)
    rest = body.rest(shape)
    kept: dict[int, tuple[Tensor, BodyRig, Avatar]] = {}

    def place(
        gaussians: Gaussians,
        origins: Int[Tensor, "n"],
        view: tuple[int, str | None],
        correct: Correct | None,
    ) -> Gaussians:
        # The rig changes where Gaussians are split or dropped.
        if 0 not in kept or not (kept[0][0] is origins or torch.equal(kept[0][0], origins)):
            chosen = binding[origins]
            rig = replace(rig_body(body, shape, chosen), rest=rest)
            kept[0] = (origins, rig, Avatar(shape, chosen, gaussians))
        _, rig, avatar = kept[0]
        pose = _move(person.pose_of(*view), device)
        return drive(avatar.replace(gaussians=gaussians), rig, pose if correct is None else correct(pose))

    return place


def _move(record: Record, device: torch.device) -> Record:
    """The record's tensors on a device."""
    return replace(record, **{name: value.to(device) for name, value in vars(record).items()})
