"""Gaussians as glTF, by the extension KHR_gaussian_splatting (Khronos, ratified 2026).

Points with attributes of their own: ROTATION xyzw, SCALE (standard deviations, no logarithm), OPACITY after sigmoid,
and spherical harmonics in 3DGS order and signs. Colors are those of the display (``srgb_rec709_display``), as of what
is trained on photographs: whoever blends them adds no encoding. A program without the extension sees
colored points; the color of a point is linear, as everywhere in glTF.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from simulacra.render.export.gltf import VERTICES, Buffer, glb_bytes
from simulacra.render.export.ply import NO_NOTES
from simulacra.render.gaussians.record import Gaussians
from simulacra.render.gaussians.spherical_harmonics import SH_C0
from simulacra.render.image import srgb_to_linear
from simulacra.render.rotation import quat_normalize
from simulacra.render.runtime.whole_files import sync, whole_file

EXTENSION = "KHR_gaussian_splatting"
POINTS = 0


def splat_glb_bytes(gaussians: Gaussians, notes: Mapping[str, str] = NO_NOTES) -> bytes:
    """The whole file.

    Args:
        gaussians: +Y up, as the format has it.
        notes: what else is to be known of them, by name: `extras` of the mesh.

    Raises:
        ValueError: a number is not finite.
    """
    rest = {name: getattr(gaussians, name).detach() for name in ("means", "log_scales", "sh")}
    if not all(bool(values.isfinite().all()) for values in (*rest.values(), gaussians.logit_opacities)):
        raise ValueError("Gaussians with numbers that are not finite")
    buffer = Buffer()

    def add(values: np.ndarray, kind: str, bounds: bool = False) -> int:
        return buffer.add(values.astype("<f4"), kind, VERTICES, bounds=bounds)  # type: ignore[arg-type]

    opacities = gaussians.logit_opacities.detach().sigmoid().numpy()
    rgb = srgb_to_linear((0.5 + SH_C0 * rest["sh"][:, 0]).clamp(0, 1)).numpy()
    fallback = np.round(np.column_stack([rgb, opacities]) * 255).astype(np.uint8)
    attributes = {
        "POSITION": add(rest["means"].numpy(), "VEC3", bounds=True),
        "COLOR_0": buffer.add(fallback, "VEC4", VERTICES, normalized=True),
        f"{EXTENSION}:ROTATION": add(
            quat_normalize(gaussians.quats.detach())[:, [1, 2, 3, 0]].numpy(), "VEC4"
        ),
        f"{EXTENSION}:SCALE": add(rest["log_scales"].exp().numpy(), "VEC3"),
        f"{EXTENSION}:OPACITY": add(opacities, "SCALAR"),
    }
    for index in range(rest["sh"].shape[1]):
        degree = int(index**0.5)
        name = f"{EXTENSION}:SH_DEGREE_{degree}_COEF_{index - degree**2}"
        attributes[name] = add(rest["sh"][:, index].numpy(), "VEC3")
    about = {
        "kernel": "ellipse",
        "colorSpace": "srgb_rec709_display",
        "projection": "perspective",
        "sortingMethod": "cameraDistance",
    }
    primitive = {"attributes": attributes, "mode": POINTS, "extensions": {EXTENSION: about}}
    mesh = {"name": "splats", "primitives": [primitive], **({"extras": dict(notes)} if notes else {})}
    document = {
        "extensionsUsed": [EXTENSION],
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"name": "splats", "mesh": 0}],
        "meshes": [mesh],
    }
    return glb_bytes(document, buffer)


def write_splat_glb(path: Path, gaussians: Gaussians, notes: Mapping[str, str] = NO_NOTES) -> None:
    """Writes the file atomically.

    Raises:
        ValueError: as `splat_glb_bytes`.
    """
    content = splat_glb_bytes(gaussians, notes)
    with whole_file(path) as stream:
        stream.write(content)
    sync(path.parent)
