"""What costs say about single points and motions, gathered for the normal equations.

Symbols: ``t`` frames, ``n`` points of a kind, ``u`` inner frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor

from simulacra.recon.fit.blocks import REACH
from simulacra.recon.fit.residuals import Curvature, Selection, Track, apply_second_differences

_JITTER = 1e-6


@dataclass(frozen=True)
class PointForces:
    """First and second derivatives of all costs by each point of a kind."""

    gradient: Float[Tensor, "t n 3"]
    block: Float[Tensor, "t n 3 3"]

    @staticmethod
    def none(points: Float[Tensor, "t n 3"]) -> PointForces:
        """Nothing yet."""
        return PointForces(torch.zeros_like(points), points.new_zeros(*points.shape, 3))

    def add(self, selection: Selection, found: Curvature) -> None:
        """What one cost says of its points."""
        selection.add(self.gradient, found.gradient)
        selection.add(self.block, found.block)

    def active(self, frame: int) -> Int[np.ndarray, " a"]:
        """The points that anything is said about."""
        found: np.ndarray = (
            (self.block[frame].diagonal(dim1=-2, dim2=-1).sum(-1) > 0).nonzero().squeeze(-1).numpy()
        )
        return found

    def factor(self, frame: int, index: Int[np.ndarray, " a"]) -> Float32[np.ndarray, "a 3 3"]:
        """F of some points with F^T F their second derivatives."""
        blocks = self.block[frame, torch.from_numpy(index)].double()
        spread = blocks.diagonal(dim1=-2, dim2=-1).sum(-1)[:, None, None]
        blocks = blocks + _JITTER * spread * torch.eye(3, dtype=torch.float64)
        found: np.ndarray = torch.linalg.cholesky(blocks).mT.contiguous().float().numpy()
        return found


@dataclass(frozen=True)
class TrackForces:
    """First and second derivatives of the accelerations of a track's numbers, by these numbers.

    Attributes:
        track: the numbers.
        value: what they cost.
        gradient: by each number.
        coupling: second derivatives by a number in one frame and itself k frames later, over twice the scale squared.
    """

    track: Track
    value: float
    gradient: Float[np.ndarray, "t *n"]
    coupling: Float[np.ndarray, "t k"]


def track_forces(track: Track, values: Float[Tensor, "t *n"], weights: Float[Tensor, "u 3"]) -> TrackForces:
    """Of numbers where they are.

    Args:
        weights: of `recon.fit.residuals.second_difference_weights`.
    """
    residual = apply_second_differences(values, weights) * track.scale
    gradient = torch.zeros_like(values)
    coupling = np.zeros((len(values), REACH + 1))
    of_each = weights.double().numpy()
    inner = len(weights)
    for a in range(3):
        own = weights[:, a].view(-1, *([1] * (values.ndim - 1)))
        gradient[a : a + inner] += 2 * own * residual * track.scale
        for later in range(3 - a):
            coupling[a : a + inner, later] += of_each[:, a] * of_each[:, a + later]
    return TrackForces(track, float(residual.square().sum()), gradient.double().numpy(), coupling)
