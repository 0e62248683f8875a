"""Limbs that no camera shows rest as limbs do: not before a lens, nor where cameras see that nothing is.

Of the stances that a limb may have the best is chosen anew in each round, by where the trunk is by then; the limb is
drawn to it. Choosing among few stances finds a way around a lens or a table, which no gradient does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from simulacra.recon.fit.body_space import BodySpace, BodyState, Unknowns
from simulacra.recon.fit.capture import Views
from simulacra.recon.fit.evidence import Evidence, FreeSpace, Round, Silhouettes, few_rows
from simulacra.recon.fit.hidden import (
    STANCES,
    HiddenLimb,
    Kind,
    held_freedoms,
    hidden_limbs,
    stance_joints,
)
from simulacra.recon.fit.residuals import Kernel, PointCost, Selection, UnknownCost
from simulacra.render.rotation import axis_angle_to_matrix

# People hold a stance within this, radians.
_HELD_RAD = 0.15
# Nobody's knee is nearer to a lens, metres; the cost begins a little before.
LENS_M = 0.3
_LENS_BEGINS_M, _LENS_SIGMA_M = 0.4, 0.03
# What a stance costs: nothing that is before a lens is taken if anything else can be; soles a decimetre off the floor
# count as much as a tenth of the limb in empty space, and as two places in the order of likelihood. Where a mask has
# nothing of the limb it may be empty or hide the limb.
_PER_LENS_M, _PER_FLOOR_M, _PER_EMPTY, _PER_UNMASKED, _PER_PLACE = 200.0, 10.0, 10.0, 2.0, 0.5
# Farther outside of a mask than this the limb is not at its edge, focal lengths.
_BESIDE_MASK = 0.02
# Hips this far above the floor, over the legs' length, may stand on it or sit above it: then a floor at y = 0, where
# sessions have it, is believed.
_HIP_HEIGHTS = (0.25, 1.1)
# Whose trunk leans further lies or bends over: legs keep to the trunk then.
_MOST_LEAN_RAD = 1.0
_PARTS: dict[Kind, tuple[str, ...]] = {
    "leg": ("thigh", "shin", "foot"),
    "shin": ("shin", "foot"),
    "arm": ("upper_arm", "lower_arm", "hand"),
    "forearm": ("lower_arm", "hand"),
}


@dataclass(frozen=True)
class HiddenCost(UnknownCost):
    """Joints of hidden limbs off their stances.

    Attributes:
        held: degrees of freedom of the limbs.
        target: of these, standard deviations.
        precision: of these, one over how far off they may be in standard deviations.
    """

    held: Int[Tensor, " h"]
    target: Float[Tensor, "t h"]
    precision: Float[Tensor, " h"]

    def residuals(self, space: BodySpace, unknowns: Unknowns) -> dict[str, Float[Tensor, "*n k"]]:
        off = (unknowns.joints[:, self.held] - self.target) * self.precision
        return {"joints": torch.zeros_like(unknowns.joints).index_add(1, self.held, off)[..., None]}


@dataclass(frozen=True)
class LensCost(PointCost):
    """Bones of hidden limbs before lenses.

    Attributes:
        bones: of the limbs.
        lenses: where the cameras are, metres.
    """

    bones: Int[Tensor, " b"]
    lenses: Float[Tensor, "c 3"]

    kernels: ClassVar[tuple[Kernel, ...]] = ("square",)

    @property
    def selection(self) -> Selection:
        return Selection("bones", self.bones)

    @property
    def weights(self) -> Float[Tensor, "1"]:
        return self.lenses.new_ones(1)

    def residuals(self, points: Float[Tensor, "t b 3"]) -> Float[Tensor, "t b c 1"]:
        apart = (points[:, :, None] - self.lenses).norm(dim=-1)
        return torch.relu(_LENS_BEGINS_M - apart)[..., None] / _LENS_SIGMA_M


def make_hidden_cost(evidence: Evidence, _: Round, state: BodyState) -> HiddenCost | None:
    """With the stances that fit the trunk as it is now; None where every limb is seen."""
    limbs = hidden_limbs(evidence.tracks.shown)
    if not limbs:
        return None
    target = torch.zeros_like(state.unknowns.joints)
    for limb in limbs:
        own = held_freedoms(limb, state.space.joints, evidence.body.bone_names)
        target[:, own] = choose_stance(evidence, state, limb)[:, own]
    chosen = _held(evidence, state, limbs)
    return HiddenCost(chosen, target[:, chosen], state.space.joints.sigma[chosen] / _HELD_RAD)


def make_lens_cost(evidence: Evidence, _: Round, state: BodyState) -> LensCost | None:
    """Of the bones that no camera shows; None where every limb is seen."""
    limbs = hidden_limbs(evidence.tracks.shown)
    if not limbs:
        return None
    bones = torch.unique(state.space.joints.bones[_held(evidence, state, limbs)])
    return LensCost(bones, torch.from_numpy(evidence.views.cameras.centres).float())


def _held(evidence: Evidence, state: BodyState, limbs: Sequence[HiddenLimb]) -> Int[Tensor, " h"]:
    """Degrees of freedom of the limbs, ascending."""
    own = [held_freedoms(limb, state.space.joints, evidence.body.bone_names) for limb in limbs]
    return torch.cat(own).sort().values


def choose_stance(evidence: Evidence, state: BodyState, limb: HiddenLimb) -> Float[Tensor, "t d"]:
    """The joints of the stance that a limb fits best into; one stance for all frames."""
    joints, names = state.space.joints, evidence.body.bone_names
    lean, thigh = _trunk_lean(state), _thigh_angles(evidence, state, limb)
    own = held_freedoms(limb, joints, names)
    rows = few_rows(len(lean))
    tried: list[Tensor] = []
    costs: list[float] = []
    for place, stance in enumerate(STANCES[limb.kind]):
        found = stance_joints(stance, limb, joints, names, lean, thigh)
        moved = state.unknowns.joints.clone()
        moved[:, own] = found[:, own]
        tried.append(found)
        costs.append(_misfit(evidence, _some(state, moved, rows), limb, rows) + _PER_PLACE * place)
    return tried[int(np.argmin(costs))]


def _some(state: BodyState, joints: Float[Tensor, "t d"], rows: Sequence[int]) -> BodyState:
    """The body in some frames, with other joints."""
    space, unknowns = state.space, state.unknowns
    space = replace(space, orientation=space.orientation[rows], translation=space.translation[rows])
    per_frame = {name: getattr(unknowns, name)[rows] for name in ("turn", "place", "expression")}
    with torch.no_grad():
        return space.state(replace(unknowns, joints=joints[rows], **per_frame), state.rest)


def _misfit(evidence: Evidence, state: BodyState, limb: HiddenLimb, rows: Sequence[int]) -> float:
    body = evidence.body
    parts = [f"{part}_{side.lower()}" for part in _PARTS[limb.kind] for side in limb.sides]
    labels = torch.tensor([body.part_names.index(part) for part in parts])
    own = evidence.vertices[torch.isin(body.part_labels[evidence.vertices], labels)]
    verts = state.posed.verts[:, state.columns(own)]
    lenses = torch.from_numpy(evidence.views.cameras.centres).to(verts)
    nearest = float((verts[:, :, None] - lenses).norm(dim=-1).min())
    cost = _PER_LENS_M * max(0.0, _LENS_BEGINS_M - nearest)
    if evidence.free is not None:
        cost += _PER_EMPTY * empty_share(evidence.free, evidence.views.viewmats, verts, rows)
    if evidence.silhouettes is not None:
        cost += _PER_UNMASKED * unmasked_share(evidence.silhouettes, evidence.views, verts, rows)
    floor = _floor_under(evidence, state)
    if floor is not None and limb.kind in ("leg", "shin"):
        soles = float(verts[..., 1].amin(1).mean())
        cost += _PER_FLOOR_M * abs(soles - floor)
    return cost


def empty_share(
    free: FreeSpace, viewmats: Float[np.ndarray, "c 4 4"], verts: Float[Tensor, "r n 3"], rows: Sequence[int]
) -> float:
    """Share of vertices where some camera measures something behind them and nothing before."""
    world, empty = verts.double().numpy(), np.zeros(verts.shape[:2], bool)
    for place, row in enumerate(rows):
        for column, viewmat in enumerate(viewmats):
            behind = free.behind(row, column, world[place] @ viewmat[:3, :3].T + viewmat[:3, 3])
            empty[place] |= behind
    return float(empty.mean())


def unmasked_share(
    silhouettes: Silhouettes, views: Views, verts: Float[Tensor, "r n 3"], rows: Sequence[int]
) -> float:
    """Share of vertices that lie in some picture where its mask has nothing."""
    world, side = verts.double().numpy(), silhouettes.outside.shape[-1]
    beside = np.zeros(verts.shape[:2], bool)
    for place, row in enumerate(rows):
        for column, viewmat in enumerate(views.viewmats):
            if not silhouettes.known[row, column]:
                continue
            local = world[place] @ viewmat[:3, :3].T + viewmat[:3, 3]
            image = local @ views.Ks[column].T
            share = image[:, :2] / np.maximum(image[:, 2:], 1e-6) / views.sizes[column]
            inside = ((share >= 0) & (share < 1)).all(1) & (local[:, 2] > 0)
            x, y = (share[inside] * side).astype(int).T
            beside[place, inside] |= silhouettes.outside[row, column].numpy()[y, x] > _BESIDE_MASK
    return float(beside.mean())


def _trunk_lean(state: BodyState) -> Float[Tensor, " t"]:
    """How far the trunk leans forward, radians; 0 of who lies."""
    root = axis_angle_to_matrix(state.space.pose(state.unknowns).rotations[:, 0])
    up = root[:, :, 1]
    lean = torch.atan2((up * _heading(state)).sum(-1), up[:, 1])
    return torch.where(lean.abs() < _MOST_LEAN_RAD, lean, torch.zeros_like(lean))


def _heading(state: BodyState) -> Float[Tensor, "t 3"]:
    """The level direction that the trunk faces."""
    root = axis_angle_to_matrix(state.space.pose(state.unknowns).rotations[:, 0])
    forward = root[:, :, 2] * root.new_tensor([1.0, 0.0, 1.0])
    return torch.nn.functional.normalize(forward, dim=-1)


def _thigh_angles(evidence: Evidence, state: BodyState, limb: HiddenLimb) -> Float[Tensor, "t s"]:
    """How far the thighs point forward of hanging down, radians."""
    names, heads = evidence.body.bone_names, state.posed.T_world_bone[..., :3, 3]
    found = []
    for side in limb.sides:
        along = heads[:, names.index(f"lowerleg01.{side}")] - heads[:, names.index(f"upperleg01.{side}")]
        found.append(torch.atan2((along * _heading(state)).sum(-1), -along[:, 1]))
    return torch.stack(found, -1)


def _floor_under(evidence: Evidence, state: BodyState) -> float | None:
    """Height of the floor: as depth shows it, else the world's where hips are at a height that has one under them."""
    if evidence.floor_m is not None:
        return evidence.floor_m
    hip = evidence.body.bone_names.index("upperleg01.L")
    length = float(state.rest.T_world_bone[hip, 1, 3] - state.rest.verts[:, 1].min())
    share = float(state.posed.T_world_bone[:, hip, 1, 3].mean()) / length
    return 0.0 if _HIP_HEIGHTS[0] < share < _HIP_HEIGHTS[1] else None
