"""Whether two pictures of a face, seen alike, are of one person: the distance of two vectors of 128 numbers.

The network is dlib's ResNet of 29 layers (King 2017) with the weights that face-api carries, trained so that faces of
one person lie within 0.6 of each other. A picture is a square around the face, brought to 150 pixels. It knows nothing
of light or side: compare like views only.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from simulacra.recon.perception.measure import Features, Measure
from simulacra.render.image import resize_area
from simulacra.render.runtime.assets import asset_path
from simulacra.render.runtime.errors import AssetError

ASSET = "face_recognition"
SIDE = 150
# Of the network's training, in 0..255.
MEAN = (122.782, 117.001, 104.298)
SCALE = 256.0
# Layers after the first: a number is a residual block, `down` halves the size and may widen.
BLOCKS = (
    "conv32_1 conv32_2 conv32_3 conv64_down conv64_1 conv64_2 conv64_3 conv128_down conv128_1 conv128_2 "
    "conv256_down conv256_1 conv256_2 conv256_down_out"
).split()
# The root has no derivative at zero.
SOFT = 1e-6

Weights = dict[str, Tensor]


class Identity(Measure):
    """Euclidean distance of two faces' vectors."""

    least_side = 16

    def features(self, image: Float[Tensor, "h w 3"]) -> Features:
        """The vector, 128 numbers.

        Raises:
            AssetError: the weights are not here.
        """
        planes = image.permute(2, 0, 1)[None]
        if min(image.shape[:2]) > 2 * SIDE and not image.requires_grad:
            small = resize_area(image.cpu().float().numpy(), SIDE, SIDE)
            planes = torch.from_numpy(small).to(image).permute(2, 0, 1)[None]
        elif image.shape[:2] != (SIDE, SIDE):
            planes = functional.interpolate(planes, (SIDE, SIDE), mode="bilinear", align_corners=False)
        return (_embed(planes, _weights(image.dtype, image.device)),)

    def between(self, ours: Features, theirs: Features) -> Float[Tensor, ""]:
        """The distance; 0.6 is where dlib tells two people apart."""
        return ((ours[0] - theirs[0]).square().sum() + SOFT**2).sqrt() - SOFT


def _embed(planes: Float[Tensor, "1 3 150 150"], weights: Weights) -> Float[Tensor, "128"]:
    layer = (planes * 255 - planes.new_tensor(MEAN).view(1, 3, 1, 1)) / SCALE
    layer = functional.relu(_scaled(layer, weights, "conv32_down", stride=2, padding=0))
    layer = functional.max_pool2d(layer, 3, 2)
    for name in BLOCKS:
        layer = _residual(layer, weights, name)
    return layer.mean((2, 3))[0] @ weights["fc"]


def _scaled(layer: Tensor, weights: Weights, name: str, stride: int, padding: int) -> Tensor:
    made = functional.conv2d(
        layer, weights[f"{name}/conv/filters"], weights[f"{name}/conv/bias"], stride, padding
    )
    by, add = (weights[f"{name}/scale/{part}"].view(1, -1, 1, 1) for part in ("weights", "biases"))
    return made * by + add


def _residual(layer: Tensor, weights: Weights, name: str) -> Tensor:
    """Two convolutions and what they were given; where they halve, its mean over 2x2 and zeros for further channels."""
    down = "down" in name
    made = functional.relu(
        _scaled(layer, weights, f"{name}/conv1", stride=2 if down else 1, padding=0 if down else 1)
    )
    made = _scaled(made, weights, f"{name}/conv2", stride=1, padding=1)
    if down:
        layer = functional.avg_pool2d(layer, 2, 2)
        rows, columns = layer.shape[2] - made.shape[2], layer.shape[3] - made.shape[3]
        made = functional.pad(made, (0, columns, 0, rows))
        layer = functional.pad(layer, (0, 0, 0, 0, 0, made.shape[1] - layer.shape[1]))
    return functional.relu(made + layer)


@lru_cache(maxsize=2)
def _weights(dtype: torch.dtype, device: torch.device) -> Weights:
    return {name: tensor.to(device, dtype) for name, tensor in _read().items()}


@lru_cache(maxsize=1)
def _read() -> Weights:
    """By the manifest's names; filters as torch has them. Bytes are numbers times a scale, plus a least one."""
    folder = asset_path(ASSET)
    try:
        listed = json.loads((folder / "face_recognition_model-weights_manifest.json").read_text("utf-8"))
        content = (folder / "face_recognition_model.bin").read_bytes()
        found, at = {}, 0
        for entry in listed[0]["weights"]:
            array, at = _array(entry, content, at)
            if array.ndim == 4:
                array = array.transpose(3, 2, 0, 1)
            found[entry["name"]] = torch.from_numpy(np.ascontiguousarray(array))
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise AssetError(
            f"The outside file {ASSET!r} holds no such network",
            where=folder,
            found=f"{type(error).__name__}: {error}",
            remedy=f"remove it and run `simulacra assets {ASSET}`",
        ) from error
    return found


def _array(entry: dict[str, Any], content: bytes, at: int) -> tuple[np.ndarray, int]:
    shape = tuple(int(size) for size in entry["shape"])
    count = int(np.prod(shape))
    packed = entry.get("quantization")
    numbers = np.frombuffer(content, "u1" if packed else "<f4", count, at)
    made = numbers.astype(np.float32)
    if packed:
        made = made * np.float32(packed["scale"]) + np.float32(packed["min"])
    return made.reshape(shape), at + numbers.nbytes
