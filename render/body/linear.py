"""Rest places of some points of a body and its bones as one linear sum, with derivatives by what is blended.

Everything that a shape gives before bones' frames are made orthonormal is linear in the products of phenotypes and in
the ends of local changes. A few thousand sums over vertices, worked out once, stand for the 13,718 vertices wherever
many shapes are tried.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from scipy.sparse import csr_array
from torch import Tensor

from simulacra.render.body.anny import (
    NEWBORN_SCALE,
    AnnyShapes,
    local_change_weights,
    phenotype_weight_slopes,
    phenotype_weights,
)
from simulacra.render.body.offsets import OffsetBlock
from simulacra.render.body.records import BodyShape
from simulacra.render.body.skeleton import nearest_rotation
from simulacra.render.body.targets import TARGET_UNIT_M

_CHUNK = 32


@dataclass(frozen=True)
class ShapedPoints:
    """Points and bones of a shape, metres, not yet standing on the floor.

    Attributes:
        points: the sums over rest vertices.
        heads: of the bones.
        frames: of the bones, orthonormal.
        raw: the sums that these are nearest to.
    """

    points: Float[Tensor, "n 3"]
    heads: Float[Tensor, "j 3"]
    frames: Float[Tensor, "j 3 3"]
    raw: Float[Tensor, "j 3 3"]


@dataclass(frozen=True)
class ShapeChange:
    """Derivatives of `ShapedPoints` along some directions."""

    points: Float[Tensor, "s n 3"]
    heads: Float[Tensor, "s j 3"]
    frames: Float[Tensor, "s j 3 3"]


@dataclass(frozen=True)
class LinearShapes:
    """Sums over vertices, heads and raw frames of bones as rows of one table.

    Attributes:
        shapes: which blends make the coefficients.
        base: everything without offsets, flattened: points, heads, frames.
        rows: what each product of phenotypes adds to it, then each end of each local change.
        points: how many there are.
        bones: likewise.
    """

    shapes: AnnyShapes
    base: Float[Tensor, " m"]
    rows: Float[Tensor, "r m"]
    points: int
    bones: int

    def evaluate(self, shape: BodyShape) -> ShapedPoints:
        """The points and bones of a shape, as `AnnyShapes.evaluate` has them."""
        products, active = self._products(shape.phenotypes)
        ends = local_change_weights(shape.local_changes)
        used = torch.cat([active, ends != 0])
        points, heads, raw = self._split(self.base + torch.cat([products, ends])[used] @ self.rows[used])
        return ShapedPoints(points, heads, nearest_rotation(raw), raw)

    def differential(
        self,
        shape: BodyShape,
        found: ShapedPoints,
        phenotypes: Float[Tensor, "a p"],
        local_changes: Float[Tensor, " l"],
    ) -> ShapeChange:
        """Derivatives of `evaluate` along some changes of the phenotypes, then along each local change by itself.

        Args:
            found: what `evaluate` gives for the shape.
            phenotypes: directions.
            local_changes: how much each local change changes along its own direction.
        """
        products, active = self._products(shape.phenotypes)
        factors = self.shapes.phenotype_factors
        weights, _ = phenotype_weights(shape.phenotypes)
        slopes = phenotypes @ phenotype_weight_slopes(shape.phenotypes).T
        directions = torch.stack([
            slopes[:, factors[:, place]] * _others(weights[factors], place) for place in range(factors.shape[1])
        ]).sum(0)  # fmt: skip
        by_products = directions[:, active] @ self.rows[: len(products)][active]
        ends = self.rows[len(products) :].unflatten(0, (-1, 2))
        # At zero both ends count half, as the sum itself has it.
        upper = 0.5 * (1 + torch.sign(shape.local_changes))
        by_ends = ends[:, 0] * (local_changes * upper)[:, None]
        by_ends.addcmul_(ends[:, 1], (local_changes * (upper - 1))[:, None])
        points, heads, raw = self._split(torch.cat([by_products, by_ends]))
        return ShapeChange(points, heads, _turned(found, raw))

    def _products(self, phenotypes: Float[Tensor, " p"]) -> tuple[Float[Tensor, " k"], Bool[Tensor, " k"]]:
        """Of all targets, and which can be other than zero."""
        weights, touched = phenotype_weights(phenotypes)
        factors = self.shapes.phenotype_factors
        return weights[factors].prod(-1), touched[factors].all(-1)

    def _split(
        self, flat: Float[Tensor, "*s m"]
    ) -> tuple[Float[Tensor, "*s n 3"], Float[Tensor, "*s j 3"], Float[Tensor, "*s j 3 3"]]:
        points, heads, frames = flat.split([3 * self.points, 3 * self.bones, 9 * self.bones], -1)
        return points.unflatten(-1, (-1, 3)), heads.unflatten(-1, (-1, 3)), frames.unflatten(-1, (-1, 3, 3))


def linear_shapes(shapes: AnnyShapes, sums: csr_array) -> LinearShapes:
    """The table of some sums over vertices.

    Args:
        sums: n x v, sparse; a vertex by itself is a row with one 1.
    """
    newborn = shapes.template.new_tensor(NEWBORN_SCALE)
    template = torch.from_numpy(sums @ shapes.template.numpy())
    tables = [
        _sums(sums, chunk.to(shapes.template) * TARGET_UNIT_M)
        for chunk in shapes.phenotype_offsets.split(_CHUNK)
    ]
    table = torch.cat([*tables, _block_sums(sums, shapes.breast)])
    products = table[shapes.phenotype_rows].unflatten(-1, (-1, 3))
    small = shapes.is_newborn[:, None, None]
    products = torch.where(small, newborn * products + (newborn - 1) / 3 * template, products)
    ends = [_block_sums(sums, block) for block in shapes.local]
    points = torch.cat([products.flatten(1), *ends])
    rows = torch.cat([points, shapes.head_rows.flatten(1), shapes.frame_rows.flatten(1)], 1)
    base = torch.cat([template.flatten(), shapes.heads.flatten(), shapes.frames.flatten()])
    return LinearShapes(shapes, base, rows, len(template), len(shapes.heads))


def _others(values: Float[Tensor, "k m"], place: int) -> Float[Tensor, " k"]:
    """Products of all but one of each row."""
    return torch.cat([values[:, :place], values[:, place + 1 :]], 1).prod(1)


def _block_sums(sums: csr_array, block: OffsetBlock) -> Float[Tensor, "r n3"]:
    """Sums over vertices of offsets of some vertices."""
    return _sums(csr_array(sums[:, block.vertices.numpy()]), block.offsets)


def _sums(sums: csr_array, offsets: Float[Tensor, "r v3"]) -> Float[Tensor, "r n3"]:
    """Sums over vertices of each target's offsets."""
    count = len(offsets)
    if not count:
        return offsets.new_zeros(0, 3 * sums.shape[0])
    by_vertex = offsets.unflatten(-1, (-1, 3)).transpose(0, 1).reshape(-1, count * 3)
    return torch.from_numpy(sums @ by_vertex.numpy()).unflatten(-1, (count, 3)).transpose(0, 1).flatten(1)


def _turned(found: ShapedPoints, change: Float[Tensor, "s j 3 3"]) -> Float[Tensor, "s j 3 3"]:
    """Changes of the nearest rotations, by the equation that `nearest_rotation` explains."""
    rotation, raw = found.frames, found.raw
    stretch = rotation.mT @ raw
    trace = stretch.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None]
    solve = torch.linalg.inv(trace * torch.eye(3, dtype=raw.dtype) - 0.5 * (stretch + stretch.mT))
    aligned = rotation.mT @ change
    skew = aligned - aligned.mT
    axial = torch.stack([skew[..., 2, 1], skew[..., 0, 2], skew[..., 1, 0]], -1)
    return rotation @ hat((solve @ axial[..., None]).squeeze(-1))


def hat(vectors: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b 3 3"]:
    """Matrices of the cross product with vectors."""
    x, y, z = vectors.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))
