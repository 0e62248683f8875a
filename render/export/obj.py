"""Wavefront OBJ with its material (MTL) and picture: the mesh in one pose, metres, +Y up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from simulacra.render.export.person_mesh import Person
from simulacra.render.mesh import vertex_normals
from simulacra.render.runtime.whole_files import sync, whole_file


def write_obj(path: Path, person: Person, verts: Float[torch.Tensor, "v 3"]) -> list[Path]:
    """Writes the mesh, and beside it `NAME.mtl` and, where there is a texture, `NAME.jpg`; the mesh last.

    Args:
        verts: of the person in the pose, world.

    Returns:
        All files, the mesh first.
    """
    body, stem = person.body, path.stem.replace(" ", "_")  # names end at a blank
    material, picture = path.with_name(f"{stem}.mtl"), path.with_name(f"{stem}.jpg")
    shade = ["newmtl person", "Ka 0 0 0", "Kd 1 1 1", "Ks 0 0 0", "illum 1"]
    if person.texture is not None:
        _write(picture, person.texture)
        shade.append(f"map_Kd {picture.name}")
    _write(material, ("\n".join(shade) + "\n").encode("utf-8"))
    lines = [f"# {name}: {' '.join(said.split())}" for name, said in person.notes.items()]
    lines += [f"mtllib {material.name}", "o person"]
    normals = vertex_normals(verts, body.faces)
    lines += _rows("v", verts.numpy(), 6) + _rows("vt", body.uvs.numpy(), 6) + _rows("vn", normals.numpy(), 4)
    lines.append("usemtl person")
    places, textures = body.faces.numpy() + 1, body.face_uvs.numpy() + 1
    for place, texture in zip(places.tolist(), textures.tolist(), strict=True):
        lines.append("f " + " ".join(f"{v}/{t}/{v}" for v, t in zip(place, texture, strict=True)))
    _write(path, ("\n".join(lines) + "\n").encode("utf-8"))
    return [path, material, *([picture] if person.texture is not None else [])]


def _rows(kind: str, values: Float[np.ndarray, "n d"], digits: int) -> list[str]:
    return [f"{kind} " + " ".join(f"{value:.{digits}f}" for value in row) for row in values.tolist()]


def _write(path: Path, content: bytes) -> None:
    with whole_file(path) as stream:
        stream.write(content)
    sync(path.parent)
