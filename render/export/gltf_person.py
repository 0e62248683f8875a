"""A person as a skinned mesh in glTF: texture, facial actions as morph targets, bones, and a motion.

Morph targets have ARKit's names, as viewers look for them (`extras.targetNames`). The bind pose is the body at rest.
Of a vertex's bones the four strongest are kept, as most readers know no more. Vertices have the attribute ``_SEEN``: 1
where a photograph shows them, 0 where colors were continued from others.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from simulacra.render.body import BodyPose
from simulacra.render.export.gltf import INDICES, VERTICES, Buffer, glb_bytes
from simulacra.render.export.person_mesh import (
    Person,
    bones_to_parents,
    four_bones,
    local_motion,
    rest_normals,
    seamed_mesh,
    seen_vertices,
)
from simulacra.render.rotation import matrix_to_quat, quat_normalize
from simulacra.render.runtime.whole_files import sync, whole_file

TRIANGLES = 4
# Offsets below a hundredth of a millimetre are not written.
LEAST_OFFSET = 1e-5


def person_glb_bytes(person: Person, pose: BodyPose | None = None, fps: float = 30.0) -> bytes:
    """The whole file.

    Args:
        pose: a motion, `t` frames; none without.
        fps: frames a second.
    """
    buffer = Buffer()
    mesh, targets = _mesh(person, buffer)
    bones = _bones(person)
    names = list(person.body.expression_names)
    document: dict[str, Any] = {
        "scene": 0,
        "scenes": [{"nodes": [0, len(bones)]}],
        "nodes": [*bones, {"name": "body", "mesh": 0, "skin": 0}],
        "meshes": [
            {
                "name": "body",
                "primitives": [mesh | {"targets": targets}],
                "weights": [0.0] * len(names),
                "extras": {"targetNames": names, **dict(person.notes)},
            }
        ],
        "skins": [_skin(person, buffer)],
        **_material(person, buffer),
    }
    if pose is not None and len(pose.translation):
        document["animations"] = [_animation(person, buffer, pose, fps)]
    return glb_bytes(document, buffer)


def write_person_glb(path: Path, person: Person, pose: BodyPose | None = None, fps: float = 30.0) -> None:
    """Writes the file atomically; arguments as of `person_glb_bytes`."""
    content = person_glb_bytes(person, pose, fps)
    with whole_file(path) as stream:
        stream.write(content)
    sync(path.parent)


def _mesh(person: Person, buffer: Buffer) -> tuple[dict[str, Any], list[dict[str, int]]]:
    """The primitive, and its morph targets."""
    body, cut = person.body, seamed_mesh(person.body)
    rows = cut.vertices
    bones, weights = four_bones(body)
    attributes = {
        "POSITION": buffer.add(person.rest.verts.numpy()[rows], "VEC3", VERTICES, bounds=True),
        "NORMAL": buffer.add(rest_normals(person)[rows].astype(np.float32), "VEC3", VERTICES),
        # Rows of a texture are counted from above.
        "TEXCOORD_0": buffer.add((cut.uvs * [1, -1] + [0, 1]).astype(np.float32), "VEC2", VERTICES),
        "JOINTS_0": buffer.add(bones[rows].astype(np.uint16), "VEC4", VERTICES),
        "WEIGHTS_0": buffer.add(weights[rows].astype(np.float32), "VEC4", VERTICES),
    }
    seen = seen_vertices(person)
    if seen is not None:
        attributes["_SEEN"] = buffer.add(seen[rows].astype(np.float32), "SCALAR", VERTICES)
    indices = buffer.add(cut.faces.astype(np.uint32).ravel(), "SCALAR", INDICES)
    primitive = {"attributes": attributes, "indices": indices, "mode": TRIANGLES, "material": 0}
    offsets = body.expressions.offsets.reshape(len(body.expression_names), -1, 3).numpy()
    moved = np.full(body.n_verts, -1)
    moved[body.expressions.vertices.numpy()] = np.arange(offsets.shape[1])
    slots = moved[rows]
    targets = []
    for offset in offsets:
        values = np.where((slots >= 0)[:, None], offset[slots], 0)
        some = np.flatnonzero(np.abs(values).max(1) > LEAST_OFFSET)
        targets.append({"POSITION": buffer.add_sparse(len(rows), some, values[some])})
    return primitive, targets


def _bones(person: Person) -> list[dict[str, Any]]:
    """A node for each bone, at rest."""
    body = person.body
    local = bones_to_parents(body, person.rest.T_world_bone.double())
    quats = quat_normalize(matrix_to_quat(local[:, :3, :3]))[:, [1, 2, 3, 0]].tolist()
    nodes: list[dict[str, Any]] = [
        {"name": name, "translation": place, "rotation": quat}
        for name, place, quat in zip(body.bone_names, local[:, :3, 3].tolist(), quats, strict=True)
    ]
    for bone, parent in enumerate(body.bone_parents.tolist()):
        if parent >= 0:
            nodes[parent].setdefault("children", []).append(bone)
    return nodes


def _skin(person: Person, buffer: Buffer) -> dict[str, Any]:
    inverse = np.linalg.inv(person.rest.T_world_bone.double().numpy())
    inverse[:, 3] = (0, 0, 0, 1)
    columns = inverse.transpose(0, 2, 1).reshape(-1, 16).astype(np.float32)
    matrices = buffer.add(columns, "MAT4")
    return {"joints": list(range(len(inverse))), "inverseBindMatrices": matrices, "skeleton": 0}


def _material(person: Person, buffer: Buffer) -> dict[str, Any]:
    """Cloth and skin as a mat surface; the photographs' own light is in the picture."""
    plain: dict[str, Any] = {"metallicFactor": 0.0, "roughnessFactor": 1.0}
    if person.texture is None:
        return {"materials": [{"pbrMetallicRoughness": plain | {"baseColorFactor": [0.6, 0.55, 0.5, 1.0]}}]}
    image = {"bufferView": buffer.view(person.texture), "mimeType": "image/jpeg", "name": "texture"}
    return {
        "materials": [{"name": "person", "pbrMetallicRoughness": plain | {"baseColorTexture": {"index": 0}}}],
        "textures": [{"source": 0, "sampler": 0}],
        "samplers": [{"magFilter": 9729, "minFilter": 9987, "wrapS": 33071, "wrapT": 33071}],
        "images": [image],
    }


def _animation(person: Person, buffer: Buffer, pose: BodyPose, fps: float) -> dict[str, Any]:
    """Turns of all bones, places of the root, and facial actions where there are any."""
    turns, places = local_motion(person, pose)
    times = buffer.add((np.arange(len(turns)) / fps).astype(np.float32), "SCALAR", bounds=True)
    samplers: list[dict[str, Any]] = []
    channels: list[dict[str, Any]] = []

    def move(node: int, path: str, output: int) -> None:
        samplers.append({"input": times, "output": output, "interpolation": "LINEAR"})
        channels.append({"sampler": len(samplers) - 1, "target": {"node": node, "path": path}})

    for bone in range(turns.shape[1]):
        move(bone, "rotation", buffer.add(turns[:, bone], "VEC4"))
    move(0, "translation", buffer.add(places, "VEC3"))
    if bool(pose.expression.any()):
        acted = pose.expression.detach().float().numpy().clip(0, 1).ravel()
        move(turns.shape[1], "weights", buffer.add(acted, "SCALAR"))
    return {"name": "motion", "samplers": samplers, "channels": channels}
