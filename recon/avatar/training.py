"""The state of a training between two steps, and its checkpoints."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from simulacra.recon.runs.files import write_arrays
from simulacra.recon.runs.records import read_arrays, record_errors

CHECKPOINT = "checkpoint.npz"
GROUPS = ("tensors", "moments1", "moments2", "state", "losses")


@dataclass(frozen=True)
class Training:
    """The state between two steps; whose it is, only the trainee knows.

    Attributes:
        step: how many are done.
        tensors: the parameters that Adam moves.
        moments1: Adam's mean gradient of each.
        moments2: Adam's mean squared gradient of each.
        state: what else the trainee keeps from step to step.
        losses: what each step cost, a number a step on the CPU: `step`, `total`, and each loss by its name, weighted.
    """

    step: int
    tensors: dict[str, Tensor]
    moments1: dict[str, Tensor]
    moments2: dict[str, Tensor]
    state: dict[str, Tensor]
    losses: dict[str, Float[Tensor, "s"]]


def save_checkpoint(folder: Path, training: Training) -> None:
    """Writes all of it, at once or not at all."""
    arrays = {
        f"{group}/{name}": value.detach().cpu().numpy()
        for group in GROUPS
        for name, value in getattr(training, group).items()
    }
    write_arrays(folder / CHECKPOINT, step=np.asarray(training.step), **arrays)


def restore_checkpoint(folder: Path, device: torch.device) -> Training | None:
    """What was saved last, on the device (the losses stay on the CPU); None if nothing was.

    Raises:
        RunError: the file is damaged.
    """
    path = folder / CHECKPOINT
    if not path.is_file():
        return None
    groups: dict[str, dict[str, Tensor]] = {group: {} for group in GROUPS}
    with record_errors(path):
        arrays = read_arrays(path)
        step = int(arrays.pop("step"))
        for key, array in arrays.items():
            group, _, name = key.partition("/")
            value = torch.from_numpy(array)
            if group == "losses" and not (value.ndim == 1 and value.is_floating_point()):
                raise ValueError(f"{key} is not a number for each step")
            groups[group][name] = value if group == "losses" else value.to(device)
    return Training(step, **groups)
