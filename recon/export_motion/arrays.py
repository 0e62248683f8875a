"""All that there is of a person's shape and motion, as one npz of named arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from simulacra.recon.runs.files import write_arrays
from simulacra.render.body import BodyModel, BodyPose, BodyShape, RestBody


def write_arrays_of(
    path: Path, body: BodyModel, shape: BodyShape, rest: RestBody, pose: BodyPose, fps: float
) -> None:
    """Writes the file, atomically. Metres, radians, +Y up; `docs/exports.md` says what each array is."""
    posed = body.pose(rest, pose, vertices=body.soles[:1])
    write_arrays(
        path,
        fps=np.array(fps),
        bone_names=np.array(body.bone_names),
        bone_parents=body.bone_parents.numpy(),
        rotations=pose.rotations.detach().numpy(),
        translation=pose.translation.detach().numpy(),
        expression_names=np.array(body.expression_names),
        expression=pose.expression.detach().numpy(),
        phenotype_names=np.array(body.phenotype_names),
        phenotypes=shape.phenotypes.detach().numpy(),
        local_change_names=np.array(body.local_change_names),
        local_changes=shape.local_changes.detach().numpy(),
        T_world_bone=posed.T_world_bone.detach().numpy(),
        rest_T_world_bone=rest.T_world_bone.detach().numpy(),
        rest_vertices=rest.verts.detach().numpy(),
        faces=body.faces.numpy(),
        skin_bones=body.skin_indices.numpy(),
        skin_weights=body.skin_weights.numpy(),
    )
