"""What training gives: a drivable avatar, or free Gaussians that only know one moment."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from simulacra.recon.runs.files import write_arrays
from simulacra.render.avatar import Avatar, Binding
from simulacra.render.body.records import BodyShape
from simulacra.render.gaussians.record import FIELDS, Gaussians

RECORD = "gaussians.npz"
ACCOUNT = "training.json"
LOSSES = "losses.npz"


@dataclass(frozen=True)
class TrainedResult:
    """An avatar, or free Gaussians in the world; exactly one of the two, on the CPU."""

    avatar: Avatar | None = None
    free: Gaussians | None = None

    def __post_init__(self) -> None:
        if (self.avatar is None) == (self.free is None):
            raise ValueError("a result is an avatar or free Gaussians")


def save_trained(folder: Path, result: TrainedResult) -> None:
    """Writes ``gaussians.npz``: the fields of the Gaussians, and of the binding and shape where there is a body."""
    gaussians = result.free if result.avatar is None else result.avatar.gaussians
    assert gaussians is not None
    arrays = {name: getattr(gaussians, name).detach().numpy() for name in FIELDS}
    if result.avatar is not None:
        avatar = result.avatar
        arrays["faces"] = avatar.binding.faces.numpy()
        arrays["barycentrics"] = avatar.binding.barycentrics.numpy()
        arrays["phenotypes"] = avatar.shape.phenotypes.detach().numpy()
        arrays["local_changes"] = avatar.shape.local_changes.detach().numpy()
    write_arrays(folder / RECORD, **arrays)


def trained_on(folder: Path) -> dict[str, str]:
    """The device and the rasterizer's backend that trained a record, as `describe_device` has them."""
    account = json.loads((folder / ACCOUNT).read_text("utf-8"))
    return {name: account[name] for name in ("device", "backend")}


def load_trained(folder: Path) -> TrainedResult:
    """Reads what `save_trained` wrote."""
    with np.load(folder / RECORD) as stored:
        arrays = {name: torch.from_numpy(stored[name]) for name in stored.files}
    gaussians = Gaussians(**{name: arrays[name] for name in FIELDS})
    if "faces" not in arrays:
        return TrainedResult(free=gaussians)
    shape = BodyShape(arrays["phenotypes"], arrays["local_changes"])
    return TrainedResult(avatar=Avatar(shape, Binding(arrays["faces"], arrays["barycentrics"]), gaussians))
