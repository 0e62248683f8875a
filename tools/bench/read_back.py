"""Splat files read by other code than that which wrote them: PLY and SPZ by the library gsply, SOG and glTF here,
.avatar by the reader that is given to others.

For measuring and for tests, of files of our own; nothing here guards against damaged ones.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from simulacra.render.export.rigged_reader import read_avatar
from simulacra.render.gaussians import Gaussians

GLTF_TYPES = {5126: "<f4", 5125: "<u4", 5123: "<u2", 5121: "u1"}
GLTF_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
KHR = "KHR_gaussian_splatting:"


def read_gsply(path: Path) -> Gaussians:
    """A PLY or SPZ, in the file's axes."""
    import gsply

    data = gsply.read_spz(path) if path.suffix == ".spz" else gsply.plyread(path)
    sh = [data.sh0.reshape(len(data.means), 1, 3)]
    if data.shN is not None and data.shN.size:
        sh.append(data.shN.reshape(len(data.means), -1, 3))
    return _gaussians(data.means, data.quats, data.scales, data.opacities, np.concatenate(sh, 1))


def read_sog(path: Path) -> Gaussians:
    """A SOG of version 2, degree 0, in the file's axes."""
    with zipfile.ZipFile(path) as parts:
        meta = json.loads(parts.read("meta.json"))

        def pixels(kind: str, index: int = 0) -> np.ndarray:
            picture = Image.open(
                io.BytesIO(parts.read(meta[kind]["files"][index])), formats=("WEBP",)
            ).convert("RGBA")
            return np.asarray(picture).reshape(-1, 4)[: meta["count"]]

        grid = pixels("means").astype(np.float64) + 256.0 * pixels("means", 1)
        low, high = (np.array(meta["means"][end]) for end in ("mins", "maxs"))
        logs = low + (high - low) * grid[:, :3] / 65535
        quats = pixels("quats")
        scales = np.array(meta["scales"]["codebook"])[pixels("scales")[:, :3]]
        sh0 = pixels("sh0")
        opacities = np.clip(sh0[:, 3] / 255.0, 1e-6, 1 - 1e-6)
        colors = np.array(meta["sh0"]["codebook"])[sh0[:, :3]]
    small = (quats[:, :3] / 255.0 - 0.5) * np.sqrt(2)
    largest = np.sqrt(np.clip(1 - (small**2).sum(1), 0, 1))
    # wxyz, the largest left out and named by the last channel.
    whole = np.zeros((len(quats), 4))
    for left_out in range(4):
        rows = quats[:, 3] == 252 + left_out
        whole[rows] = np.insert(small[rows], left_out, largest[rows], axis=1)
    means = np.sign(logs) * np.expm1(np.abs(logs))
    return _gaussians(means, whole, scales, np.log(opacities / (1 - opacities)), colors[:, None])


def glb_parts(path: Path) -> tuple[dict[str, Any], bytes]:
    """The document and the block of numbers of a GLB."""
    content = path.read_bytes()
    length = struct.unpack_from("<I", content, 12)[0]
    return json.loads(content[20 : 20 + length]), content[28 + length :]


def glb_array(document: Mapping[str, Any], block: bytes, index: int) -> np.ndarray:
    """One accessor, sparse or not, a row an element."""
    accessor = document["accessors"][index]
    kind, width = GLTF_TYPES[accessor["componentType"]], GLTF_WIDTHS[accessor["type"]]

    def flat(view: int, dtype: str, count: int) -> np.ndarray:
        return np.frombuffer(block, dtype, count, document["bufferViews"][view]["byteOffset"])

    if "bufferView" in accessor:
        values = flat(accessor["bufferView"], kind, accessor["count"] * width).reshape(-1, width)
    else:
        values = np.zeros((accessor["count"], width), kind)
    if "sparse" in accessor:
        sparse, values = accessor["sparse"], values.copy()
        rows = flat(
            sparse["indices"]["bufferView"], GLTF_TYPES[sparse["indices"]["componentType"]], sparse["count"]
        )
        values[rows] = flat(sparse["values"]["bufferView"], kind, sparse["count"] * width).reshape(-1, width)
    return values[:, 0] if width == 1 else values


def read_splat_glb(path: Path) -> Gaussians:
    """Gaussians of the extension KHR_gaussian_splatting; +Y up."""
    document, block = glb_parts(path)
    named = document["meshes"][0]["primitives"][0]["attributes"]

    def values(name: str) -> np.ndarray:
        return glb_array(document, block, named[name]).astype(np.float64)

    opacities = np.clip(values(f"{KHR}OPACITY"), 1e-7, 1 - 1e-7)
    names = [
        f"{KHR}SH_DEGREE_{degree}_COEF_{k}"
        for degree in range(4)
        for k in range(2 * degree + 1)
        if f"{KHR}SH_DEGREE_{degree}_COEF_{k}" in named
    ]
    return _gaussians(
        values("POSITION"),
        values(f"{KHR}ROTATION")[:, [3, 0, 1, 2]],
        np.log(values(f"{KHR}SCALE")),
        np.log(opacities / (1 - opacities)),
        np.stack([values(name) for name in names], 1),
    )


def read_rigged(path: Path) -> Gaussians:
    """An .avatar in its neutral pose."""
    posed = read_avatar(path).pose()
    solid = np.clip(posed["opacities"].astype(np.float64), 1e-7, 1 - 1e-7)
    logits = np.log(solid / (1 - solid))
    return _gaussians(posed["means"], posed["quats"], np.log(posed["scales"]), logits, posed["sh"])


READERS: Mapping[str, Callable[[Path], Gaussians]] = {
    "ply": read_gsply,
    "spz": read_gsply,
    "sog": read_sog,
    "glb-splats": read_splat_glb,
    "avatar": read_rigged,
}


def _gaussians(*fields: np.ndarray) -> Gaussians:
    means, quats, scales, opacities, sh = (torch.from_numpy(np.array(each, np.float32)) for each in fields)
    return Gaussians(means, quats, scales, opacities.flatten(), sh)
