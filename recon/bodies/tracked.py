"""A tracker's file as poses of the user's SMPL-X, exactly."""

from __future__ import annotations

from pathlib import Path

import torch

from simulacra.recon.bodies.opening import OpenedSmplx
from simulacra.recon.motion.tracks import load_track
from simulacra.render.body import BodyPose, BodyShape
from simulacra.render.body.smplx import SmplxPose, body_pose, body_shape, smplx_joints


def tracked_person(path: Path, opened: OpenedSmplx, person: int = 0) -> tuple[BodyShape, BodyPose]:
    """Shape and poses of `opened.body`; fingers in components are added up by the model's own.

    Betas and expressions beyond those that the body has are left out; a file without betas is of the mean person.

    Args:
        person: as `load_track` has it.

    Raises:
        InputError: missing, damaged, or of another layout.
    """
    model = opened.model
    first = load_track(path, person)
    betas = _padded(torch.from_numpy(first.betas).float()[None], len(model.shape_dirs))[0]
    joints = smplx_joints(model, betas)
    x, y, z = joints[0].tolist()
    track = load_track(path, person, (x, y, z))
    rotations = torch.from_numpy(track.rotations).float()
    if track.hand_components is not None:
        components = torch.from_numpy(track.hand_components).float()
        count = components.shape[-1]
        turns = torch.einsum("thc,hcr->thr", components, model.hand_components[:, :count]) + model.hand_means
        rotations[:, 25:] = turns.reshape(len(turns), 30, 3)
    expression = _padded(torch.from_numpy(track.expression).float(), len(model.expression_dirs))
    pose = SmplxPose(rotations, torch.from_numpy(track.translation).float(), expression)
    shape = body_shape(betas)
    return shape, body_pose(opened.body, opened.body.rest(shape), pose, joints)


def _padded(values: torch.Tensor, count: int) -> torch.Tensor:
    """So many columns, zeros where there were fewer."""
    return torch.nn.functional.pad(values[:, :count], (0, max(0, count - values.shape[1])))
