"""Gaussians handed to a page, and its picture back."""

from __future__ import annotations

import base64
import json
import math

import numpy as np
import torch
from torch import Tensor

from simulacra.render.avatar import BodyRig
from simulacra.render.camera import Cameras
from simulacra.render.gaussians import Gaussians
from tests.browser import Page

KINDS = {"float32": "Float32Array", "uint16": "Uint16Array", "uint32": "Uint32Array"}


def as_script(array: np.ndarray | Tensor) -> str:
    """An expression of JavaScript for a flat typed array with these values."""
    values = np.ascontiguousarray(array)
    kind, text = KINDS[values.dtype.name], base64.b64encode(values.tobytes()).decode()
    return f'new {kind}(Uint8Array.from(atob("{text}"), c => c.charCodeAt(0)).buffer)'


def gaussians_script(gaussians: Gaussians, eps2d: float, antialiased: bool = False) -> str:
    """What `SplatRenderer.load` takes."""
    fields = {
        "means": gaussians.means,
        "quats": gaussians.quats,
        "scales": gaussians.log_scales.exp(),
        "opacities": torch.sigmoid(gaussians.logit_opacities),
        "sh": gaussians.sh,
    }
    listed = ", ".join(f"{name}: {as_script(values.float())}" for name, values in fields.items())
    return f"{{{listed}, eps2d: {eps2d}, antialiased: {json.dumps(antialiased)}}}"


def rig_script(rig: BodyRig) -> str:
    """The rig of an avatar, of its eight strongest influences."""
    weights = rig.influences.weights[:, :8]
    weights = weights / weights.sum(1, keepdim=True)
    bones = rig.influences.bones[:, :8].numpy().astype(np.uint16)
    actions = []
    for offsets in rig.acted_offsets:
        some = offsets.abs().amax(1) > 0
        indices = rig.acted[some].numpy().astype(np.uint32)
        actions.append(f"{{indices: {as_script(indices)}, offsets: {as_script(offsets[some].float())}}}")
    return (
        f"{{bones: {as_script(bones)}, weights: {as_script(weights.float())}, influences: {weights.shape[1]}, "
        f"boneCount: {len(rig.body.bone_names)}, actions: [{', '.join(actions)}]}}"
    )


def camera_script(cameras: Cameras) -> str:
    """The arguments of `SplatRenderer.setCamera`."""
    return f"{cameras.viewmats[0].flatten().tolist()}, {cameras.Ks[0].flatten().tolist()}"


def picture(page: Page, background: str = "[0, 0, 0, 1]") -> np.ndarray:
    """What `window.renderer` draws: h w 4, 0 to 1."""
    page.evaluate(f"renderer.render({background})")
    text, width, height = page.evaluate(
        "(() => { let text = ''; const bytes = renderer.readPixels();"
        " for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));"
        " return [btoa(text), renderer.canvas.width, renderer.canvas.height]; })()"
    )
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(height, width, 4) / 255.0


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    """Of two pictures whose white is 1, dB."""
    return -10 * math.log10(max(float(np.mean((np.asarray(one) - np.asarray(other)) ** 2)), 1e-12))
