"""Sums of vertex offsets ("blend shapes"): the large block stays in sixteen bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int, Int16
from torch import Tensor

# Rows that are widened to floats at a time: 2.6 MB in float32, so that they stay in the cache.
_CHUNK = 16


@dataclass(frozen=True)
class OffsetBlock:
    """Offsets of `r` targets on the `m` vertices that any of them moves, metres, flattened."""

    vertices: Int[Tensor, "m"]
    offsets: Float[Tensor, "r m3"]

    def among(self, vertices: Int[Tensor, "n"]) -> OffsetBlock:
        """The block for meshes that have only these vertices, in this order."""
        slot = torch.searchsorted(self.vertices, vertices).clamp(max=len(self.vertices) - 1)
        moved = self.vertices[slot] == vertices
        offsets = self.offsets.unflatten(-1, (-1, 3))[:, slot[moved]].flatten(1)
        return OffsetBlock(moved.nonzero().squeeze(-1), offsets)

    def add_to(
        self, verts: Float[Tensor, "*b v 3"], coefficients: Float[Tensor, "*b r"]
    ) -> Float[Tensor, "*b v 3"]:
        """The vertices with the weighted sum of the offsets added."""
        moved = (coefficients @ self.offsets).unflatten(-1, (-1, 3))
        return verts.index_add(-2, self.vertices, moved)


class _WeightedRows(torch.autograd.Function):
    """sum_i coefficients[i] * table[rows[i]], without a floating copy of the table."""

    @staticmethod
    def forward(ctx: Any, coefficients: Tensor, table: Tensor, rows: Tensor) -> Tensor:
        ctx.save_for_backward(table, rows)
        total = coefficients.new_zeros(table.shape[1])
        for weights, chunk in zip(coefficients.split(_CHUNK), rows.split(_CHUNK), strict=True):
            total += weights @ table.index_select(0, chunk).to(coefficients.dtype)
        return total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        table, rows = ctx.saved_tensors
        parts = [table.index_select(0, chunk).to(gradient.dtype) @ gradient for chunk in rows.split(_CHUNK)]
        return torch.cat(parts), None, None


def weighted_rows(
    coefficients: Float[Tensor, "a"], table: Int16[Tensor, "d n"], rows: Int[Tensor, "a"]
) -> Float[Tensor, "n"]:
    """The weighted sum of some rows of a sixteen-bit table; differentiable in the coefficients."""
    return _WeightedRows.apply(coefficients, table, rows)
