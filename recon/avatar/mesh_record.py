"""A mesh avatar in a file: ``mesh.npz`` has the mesh, its binding, the body's shape, what was seen, and the paint by
its kind and the names of its tensors.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from simulacra.recon.runs.files import write_arrays
from simulacra.recon.runs.records import check_arrays, read_arrays, record_errors
from simulacra.render.avatar import Binding
from simulacra.render.body.records import BodyShape
from simulacra.render.mesh_avatar import MeshAvatar
from simulacra.render.paint import PAINTS, Paint, paint_kind
from simulacra.render.skinned_mesh import SkinnedMesh

MESH_RECORD = "mesh.npz"
_MESH = ("verts", "faces", "uvs", "face_uvs")
_BINDING = {"bound_faces": "faces", "barycentrics": "barycentrics"}
_SHAPE = ("phenotypes", "local_changes")
_SEEN = ("seen", "seen_share")
_PAINT = "paint/"


def save_mesh(folder: Path, avatar: MeshAvatar) -> None:
    """Writes the record."""
    mesh, shape, paint = avatar.mesh, avatar.shape, avatar.paint
    tensors = {name: getattr(mesh, name) for name in _MESH}
    tensors |= {name: getattr(mesh.binding, field) for name, field in _BINDING.items()}
    tensors |= {name: getattr(shape, name) for name in _SHAPE}
    tensors |= {_PAINT + name: value for name, value in paint.tensors().items()}
    seen = {name: getattr(avatar, name) for name in _SEEN}
    tensors |= {name: value for name, value in seen.items() if value is not None}
    arrays = {name: value.detach().numpy() for name, value in tensors.items()}
    write_arrays(folder / MESH_RECORD, kind=np.asarray(paint_kind(paint)), **arrays)


def load_mesh(folder: Path) -> MeshAvatar:
    """Reads what `save_mesh` wrote.

    Raises:
        RunError: the file is missing or damaged.
    """
    with record_errors(folder / MESH_RECORD):
        arrays = read_arrays(folder / MESH_RECORD)
        kind = PAINTS[str(arrays.pop("kind"))]
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        fields = {name: tensors.pop(name) for name in _MESH}
        bound = {field: tensors.pop(name) for name, field in _BINDING.items()}
        shape = {name: tensors.pop(name) for name in _SHAPE}
        seen = {name: tensors.pop(name) for name in _SEEN if name in tensors}
        painted = {name.removeprefix(_PAINT): value for name, value in tensors.items()}
        for record, values in ((SkinnedMesh, fields), (Binding, bound), (BodyShape, shape), (kind, painted)):
            check_arrays(record, values)
        check_arrays(MeshAvatar, seen)
        binding = Binding(**bound)
        _check(fields, binding, seen)
        paint: Paint = kind(**painted)
        return MeshAvatar(BodyShape(**shape), SkinnedMesh(binding, **fields), paint, **seen)


def _check(fields: dict[str, torch.Tensor], binding: Binding, seen: dict[str, torch.Tensor]) -> None:
    verts, count = fields["verts"], len(fields["verts"])
    if len(binding) != count or any(len(value) != count for value in seen.values()):
        raise ValueError("the binding, or what was seen, is not of this mesh")
    rows = {"faces": count, "face_uvs": len(fields["uvs"])}
    if any((fields[name] < 0).any() or (fields[name] >= most).any() for name, most in rows.items()):
        raise ValueError("triangles name what is not there")
    if (binding.faces < 0).any() or not torch.isfinite(verts).all():
        raise ValueError("vertices are nowhere, or hang on nothing")
