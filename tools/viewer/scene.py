"""Meshes, points and splats of one moment for the browser, as bytes. This imports torch.

4 bytes   length of what follows, little-endian
JSON      {"arrays": [{"name", "type" (f4, u4, u1), "shape", "offset"}, ...], "facts": {...}}, padded to 4 bytes
arrays    little-endian, each at a multiple of 4 bytes from the end of the JSON
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8

from simulacra.recon.multiview.detections import Detections, PinholeCameras
from simulacra.recon.multiview.triangulate import triangulate
from simulacra.recon.refine import load_surface
from simulacra.render.gaussians import OUTLINE_EPS2D, Gaussians
from simulacra.render.image import resize_area
from simulacra.render.mesh import rasterize_mesh
from simulacra.render.runtime.errors import InputError

from .drawing import DRAWING, PART_GROUPS, DrawnRun, Photographs, part_groups
from .pictures import FULL_SCALE, INSIDE_MAP

# Points of a depth image at most: what a browser turns without waiting.
MOST_POINTS = 60_000
# A vertex is seen where the body's surface at its pixel is this near, metres.
SAME_SURFACE = 0.02
# At which the error is measured that is painted on the body: pixels of the longer side.
ERROR_SIDE = 512
UNSEEN = (90, 90, 96)


def pack(arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any] | None = None) -> bytes:
    """Arrays of float32, uint32 or uint8 as described above."""
    described, parts, offset = [], [], 0
    for name, array in arrays.items():
        kind = {"float32": "f4", "uint32": "u4", "uint8": "u1"}[array.dtype.name]
        content = np.ascontiguousarray(array).tobytes()
        described.append({"name": name, "type": kind, "shape": list(array.shape), "offset": offset})
        parts.append(content + b"\0" * (-len(content) % 4))
        offset += len(parts[-1])
    head = json.dumps({"arrays": described, "facts": dict(facts or {})}).encode()
    head += b" " * (-len(head) % 4)
    return len(head).to_bytes(4, "little") + head + b"".join(parts)


def scene_part(run: DrawnRun, part: str, frame: int, camera: str | None, scored: Sequence[str]) -> bytes:
    """One layer of the scene.

    Args:
        part: one of `PARTS`, `splats` (as the camera recorded them, if one is given), `cloud` (of the camera), `error`.
        scored: cameras whose pictures tell the error that is painted on the body.

    Raises:
        InputError: this run has no such layer; says why.
    """
    if part not in (*PARTS, "splats", "cloud", "error"):
        raise InputError(
            "there is no such layer", found=part, expected=", ".join([*PARTS, "splats", "cloud", "error"])
        )
    with DRAWING:
        if part == "error":
            return pack(*_error(run, frame, scored))
        if part == "cloud":
            return cloud(run.capture, frame, camera or "")
        if part == "splats":
            return pack(*_splats(run, frame, camera))
        return pack(*PARTS[part](run, frame))


def _mesh(run: DrawnRun, frame: int) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """What stays the same in all frames: triangles, and the color of each vertex's part."""
    colors = (np.array([c for _, c in PART_GROUPS.values()]) * 255).astype(np.uint8)
    faces = run.body.faces.numpy().astype(np.uint32)
    return {"faces": faces, "colors": colors[part_groups(run.body).numpy()]}, {"parts": list(PART_GROUPS)}


def _body(run: DrawnRun, frame: int) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    return {"verts": run.verts(frame).numpy().astype(np.float32)}, {}


def _surface(run: DrawnRun, frame: int) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    surface = load_surface(run.root / "refine") if (run.root / "refine").is_dir() else None
    if surface is None:
        raise InputError("no surface was fused: the capture has no depth", where=run.root)
    colors = (np.clip(surface.colors, 0, 1) * 255).astype(np.uint8)
    return {"points": surface.points.astype(np.float32), "colors": colors}, {"frame": surface.frame}


def _splats(run: DrawnRun, frame: int, camera: str | None) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    return splat_arrays(run.gaussians(frame, camera)), {"eps2d": OUTLINE_EPS2D}


def splat_arrays(gaussians: Gaussians) -> dict[str, np.ndarray]:
    """Gaussians in the world as the browser's renderer takes them."""
    return {
        "means": gaussians.means.numpy(),
        "quats": gaussians.quats.numpy(),
        "scales": gaussians.log_scales.exp().numpy(),
        "opacities": gaussians.logit_opacities.sigmoid().numpy(),
        "sh": gaussians.sh.numpy(),
    }


def _points(run: DrawnRun, frame: int) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Landmarks where the cameras' rays meet, and where the body has them; NaN where there is none."""
    if run.fit is None:
        raise InputError("this result has no body", where=run.root)
    with torch.no_grad():
        body = run.body.keypoints_at("pose33", run.rest, run.fit.pose_of(frame))[0].numpy()
    arrays = {"body": body.astype(np.float32)}
    observed = run.observed
    if observed is not None and len(observed.cameras) >= 2 and frame in observed.frames:
        row = int(np.flatnonzero(observed.frames == frame)[0])
        cameras = [run.capture.session.camera(name) for name in observed.cameras]
        seen = PinholeCameras(
            np.stack([c.viewmat for c in cameras]).astype(np.float64),
            np.stack([c.K for c in cameras]).astype(np.float64),
        )
        sure = observed.pose_visibility[row] * observed.pose_score[row][:, None]
        pixels = np.array(observed.pose_px[row], np.float64)[None]
        met = triangulate(Detections(pixels, np.array(sure, np.float64)[None]), seen)
        arrays["triangulated"] = met.points[0].astype(np.float32)
    return arrays, {}


def cloud(capture: Photographs, frame: int, camera: str) -> bytes:
    """A depth image as colored points in the world.

    Raises:
        InputError: there is none.
    """
    depth, valid = capture.measured(camera, frame)
    step = max(1, int(np.ceil(np.sqrt(valid.sum() / MOST_POINTS))))
    view = capture.session.camera(camera)
    rows, columns = np.nonzero(valid[::step, ::step])
    rows, columns = rows * step, columns * step
    z = depth[rows, columns]
    local = np.stack([columns + 0.5, rows + 0.5, np.ones_like(z)], -1) @ np.linalg.inv(view.K).T * z[:, None]
    points = (local - view.viewmat[:3, 3]) @ view.viewmat[:3, :3]
    colors = (capture.session.image(frame, camera)[rows, columns] * 255).astype(np.uint8)
    return pack({"points": points.astype(np.float32), "colors": colors})


def _error(run: DrawnRun, frame: int, cameras: Sequence[str]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The body's vertices in the colors of the mean difference between render and photograph where they are seen."""
    verts = run.verts(frame)
    total, count = np.zeros(len(verts)), np.zeros(len(verts))
    used = [name for name in cameras if run.capture.session.has(frame, name)]
    for name in used:
        error, places, seen = _error_at(run, frame, name, verts)
        total[seen] += error[places[seen, 1], places[seen, 0]]
        count[seen] += 1
    mean = np.divide(total, count, out=np.zeros_like(total), where=count > 0)
    return {"colors": paint_error(mean, count > 0)}, {"cameras": used, "full_scale": FULL_SCALE}


def _error_at(
    run: DrawnRun, frame: int, name: str, verts: torch.Tensor
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The difference picture of a view, each vertex's pixel in it, and whether it is seen there."""
    rgb, alpha, _ = run.draw(frame, name, ERROR_SIDE)
    view = run.camera(name, ERROR_SIDE)
    photo = run.capture.photo(name, frame, ERROR_SIDE)
    photo = resize_area(photo, view.width, view.height)
    error = np.abs(rgb + (1 - alpha[..., None]) * photo - photo).mean(-1)
    px, depth = view.project(verts)
    places = px[0].floor().long().numpy()
    inside = (depth[0].numpy() > 0) & (places >= 0).all(-1) & (places < [view.width, view.height]).all(-1)
    surface = rasterize_mesh(verts, run.body.faces, view).depth[0].numpy()
    seen = inside.copy()
    columns, rows = places[inside].T
    seen[inside] = np.abs(surface[rows, columns] - depth[0].numpy()[inside]) < SAME_SURFACE
    return error, places, seen


def paint_error(error: Float[np.ndarray, " v"], known: np.ndarray) -> UInt8[np.ndarray, "v 3"]:
    """Errors in the colors of the difference pictures; what no picture shows is gray."""
    level = (np.clip(error / FULL_SCALE, 0, 1) * 255).astype(np.uint8)
    colors = cv2.applyColorMap(level[:, None], INSIDE_MAP)[:, 0, ::-1]
    return np.where(known[:, None], colors, np.array(UNSEEN)).astype(np.uint8)


PARTS: dict[str, Callable[..., tuple[dict[str, np.ndarray], dict[str, Any]]]] = {
    "mesh": _mesh,
    "body": _body,
    "surface": _surface,
    "points": _points,
}
