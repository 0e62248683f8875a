"""Where a training runs: on the processor, or on a graphics card where there is one that can draw Gaussians."""

from __future__ import annotations

import importlib.util

import torch

from simulacra.recon.avatar.settings import DeviceSetting
from simulacra.render.gaussians.rasterize import choose_backend
from simulacra.render.runtime.errors import ConfigError, MissingExtraError


def choose_device(setting: DeviceSetting) -> torch.device:
    """The device that a setting means here; `auto` is a card where torch sees one and gsplat is installed.

    Raises:
        ConfigError: `cuda` is asked for where torch sees no card.
        MissingExtraError: there is a card, but not gsplat, which draws on it.
    """
    card = torch.cuda.is_available()
    gsplat = importlib.util.find_spec("gsplat") is not None
    if setting == "cpu" or (setting == "auto" and not (card and gsplat)):
        return torch.device("cpu")
    if not card:
        raise ConfigError(
            "there is no NVIDIA card to train on",
            where="avatar.device",
            expected="a card that torch can use",
            found=f"torch {torch.__version__}, which sees none",
            remedy="--avatar.device cpu; or install a torch built for CUDA and the card's driver",
        )
    if not gsplat:
        raise MissingExtraError(
            "training on a card needs gsplat, which is not installed",
            where="avatar.device",
            expected="gsplat 1.5 or later",
            remedy="pip install 'simulacra[cuda]', or --avatar.device cpu",
        )
    return torch.device("cuda")


def describe_device(device: torch.device) -> dict[str, str]:
    """What ran, for people: the name of the device, and the rasterizer's backend on it."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return {"device": name, "backend": choose_backend(device)}
