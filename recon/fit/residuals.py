"""What costs are made of: robust squared residuals, ``sum_i w_i rho(|r_i|^2)``.

A cost says which points of the body, unknowns or motions it looks at and gives residuals as a pure function of them.
The derivatives that the solver needs come from here, by automatic differentiation: no cost writes any down.

Gauss and Newton's second derivatives are those of iteratively reweighted least squares, ``2 w rho' J^T J`` (B. Triggs
et al., "Bundle adjustment - a modern synthesis", 2000, 4.3, without the second-order part, which is negative where
residuals are large).

Symbols: ``t`` frames, ``p`` points, ``g`` residuals of a point, ``k`` their components.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

if TYPE_CHECKING:
    from simulacra.recon.fit.body_space import BodySpace, BodyState, Unknowns

PointKind = Literal["verts", "landmarks", "bones"]
Kernel = Literal["square", "geman_mcclure", "pseudo_huber"]


def robust(kernel: Kernel, squared: Tensor) -> tuple[Tensor, Tensor]:
    """A robust function of squared residuals, and its derivative.

    Geman and McClure's levels off at 1: s / (1 + s). Charbonnier's pseudo-Huber is linear in the residual far off:
    2 (sqrt(1 + s) - 1).
    """
    if kernel == "square":
        return squared, torch.ones_like(squared)
    if kernel == "geman_mcclure":
        return squared / (1 + squared), (1 + squared) ** -2
    root = torch.sqrt(1 + squared)
    return 2 * (root - 1), 1 / root


@dataclass(frozen=True)
class Selection:
    """Points of the body that a cost looks at.

    Attributes:
        kind: vertices among those posed, landmarks, or heads of bones.
        columns: of the points.
        frames: the frame of each; None where all of the points count in every frame.
        maps: the keypoint maps whose landmarks these are.
    """

    kind: PointKind
    columns: Int[Tensor, " p"]
    frames: Int[Tensor, " p"] | None = None
    maps: tuple[str, ...] = ()

    def of(self, state: BodyState) -> Float[Tensor, "*p 3"]:
        """Where they are, world, metres."""
        if self.kind == "verts":
            return self.take(state.posed.verts)
        if self.kind == "bones":
            return self.take(state.posed.T_world_bone[..., :3, 3])
        return self.take(state.landmarks(self.maps))

    def take(self, points: Float[Tensor, "t n 3"]) -> Float[Tensor, "*p 3"]:
        """These among all points of their kind."""
        return points[:, self.columns] if self.frames is None else points[self.frames, self.columns]

    def add(self, total: Float[Tensor, "t n *k"], values: Float[Tensor, "*p *k"]) -> None:
        """Values of these points added to those of all points of their kind, in place."""
        if self.frames is None:
            total.index_add_(1, self.columns, values)
        else:
            total.flatten(0, 1).index_add_(0, self.frames * total.shape[1] + self.columns, values)


@dataclass(frozen=True)
class Curvature:
    """A cost of points to second order about where these are.

    Attributes:
        value: of the cost.
        gradient: by each point.
        block: Gauss and Newton's second derivative by each point, positive semidefinite.
    """

    value: Tensor
    gradient: Float[Tensor, "*p 3"]
    block: Float[Tensor, "*p 3 3"]


class PointCost(ABC):
    """Robust squared residuals, each of one point of the body."""

    kernels: ClassVar[tuple[Kernel, ...]] = ("geman_mcclure",)
    """One for all residuals of a point, or one for each."""

    @property
    @abstractmethod
    def selection(self) -> Selection:
        """The points."""

    @property
    @abstractmethod
    def weights(self) -> Float[Tensor, "*#p #g"]:
        """How much each residual counts."""

    @abstractmethod
    def residuals(self, points: Float[Tensor, "*p 3"]) -> Float[Tensor, "*p g k"]:
        """In units of where the kernel begins to bend; those of a point depend on no other point."""

    def __call__(self, state: BodyState) -> Float[Tensor, ""]:
        return self.value(self.selection.of(state))

    def value(self, points: Float[Tensor, "*p 3"]) -> Float[Tensor, ""]:
        """The cost where the points are."""
        value, _ = self._robust(self.residuals(points).square().sum(-1))
        return (self.weights.to(value) * value).sum()

    def curvature(self, points: Float[Tensor, "*p 3"]) -> Curvature:
        """The cost and its derivatives where the points are."""
        with torch.enable_grad():
            leaf = points.detach().requires_grad_()
            residual = self.residuals(leaf)
            # What is linear in the upstream gradient is differentiated by it: forward mode out of twice reverse mode
            # (J. Townsend, "A new trick for calculating Jacobian vector products", 2017), once for each axis, as no
            # residual knows two points.
            upstream = torch.zeros_like(residual, requires_grad=True)
            (back,) = torch.autograd.grad((residual * upstream).sum(), leaf, create_graph=True)
            columns = [
                torch.autograd.grad(part.sum(), upstream, retain_graph=True)[0] for part in back.unbind(-1)
            ]
        residual = residual.detach()
        jacobian = torch.stack(columns, -1)
        value, slope = self._robust(residual.square().sum(-1))
        weights = self.weights.to(value)
        weighted = jacobian * (2 * weights * slope)[..., None, None]
        gradient = (weighted * residual[..., None]).sum((-3, -2))
        block = weighted.flatten(-3, -2).mT @ jacobian.flatten(-3, -2)
        return Curvature((weights * value).sum(), gradient, block)

    def _robust(self, squared: Float[Tensor, "*p g"]) -> tuple[Tensor, Tensor]:
        if len(self.kernels) == 1:
            return robust(self.kernels[0], squared)
        each = [robust(kernel, squared[..., g]) for g, kernel in enumerate(self.kernels)]
        return torch.stack([value for value, _ in each], -1), torch.stack([slope for _, slope in each], -1)


def to_cameras(viewmats: Float[Tensor, "c 4 4"], points: Float[Tensor, "*p 3"]) -> Float[Tensor, "*p c 3"]:
    """Points of the world in every camera's frame."""
    turned = points @ viewmats[:, :3, :3].permute(2, 0, 1).flatten(1)
    return turned.unflatten(-1, (-1, 3)) + viewmats[:, :3, 3]


class UnknownCost(ABC):
    """Squared residuals, each of one unknown number: priors and limits."""

    @abstractmethod
    def residuals(self, space: BodySpace, unknowns: Unknowns) -> dict[str, Float[Tensor, "*n k"]]:
        """By fields of the unknowns, in standard deviations; those of a number depend on no other number."""

    def __call__(self, state: BodyState) -> Float[Tensor, ""]:
        found = self.residuals(state.space, state.unknowns).values()
        return torch.stack([residual.square().sum() for residual in found]).sum()

    def curvature(
        self, space: BodySpace, unknowns: Unknowns
    ) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
        """The cost, its first derivatives and Gauss and Newton's second ones, which couple no two numbers."""
        first, second, value = {}, {}, torch.zeros(())
        with torch.enable_grad():
            leaves = {
                field.name: getattr(unknowns, field.name).detach().requires_grad_()
                for field in fields(unknowns)
            }
            for name, residual in self.residuals(space, type(unknowns)(**leaves)).items():
                parts = residual.unbind(-1)
                slopes = [
                    torch.autograd.grad(part.sum(), leaves[name], retain_graph=True)[0] for part in parts
                ]
                jacobian, own = torch.stack(slopes, -1), residual.detach()
                first[name], second[name] = 2 * (own * jacobian).sum(-1), 2 * jacobian.square().sum(-1)
                value = value + own.square().sum()
        return value, first, second


class ShapeCost(ABC):
    """A few squared residuals of the whole shape."""

    @abstractmethod
    def residuals(self, space: BodySpace, shape: Float[Tensor, " s"]) -> Float[Tensor, " n"]:
        """In standard deviations."""

    def __call__(self, state: BodyState) -> Float[Tensor, ""]:
        return self.residuals(state.space, state.unknowns.shape).square().sum()

    def linearise(
        self, space: BodySpace, shape: Float[Tensor, " s"]
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, "n s"]]:
        """The residuals and their derivatives."""
        with torch.enable_grad():
            leaf = shape.detach().requires_grad_()
            found = self.residuals(space, leaf)
            rows = [torch.autograd.grad(each, leaf, retain_graph=True)[0] for each in found]
        return found.detach(), torch.stack(rows)


@dataclass(frozen=True)
class Track:
    """Numbers over time whose accelerations cost.

    Attributes:
        name: ``bones`` for their heads in the world, else a field of the unknowns.
        scale: factor to standard deviations, one for all or one for each column.
        columns: of bones; None for all of an unknown's.
    """

    name: Literal["bones", "joints", "expression"]
    scale: Float[Tensor, "*n"]
    columns: Int[Tensor, " n"] | None = None

    def of(self, state: BodyState) -> Float[Tensor, "t *n"]:
        """The numbers in standard deviations times square seconds."""
        if self.name == "bones":
            return state.posed.T_world_bone[:, self.columns, :3, 3] * self.scale
        values: Tensor = getattr(state.unknowns, self.name)
        return values * self.scale


class MotionCosts(ABC):
    """Squared second differences over frames: linear in heads of bones and in unknowns."""

    seconds: Float[Tensor, " t"]

    @abstractmethod
    def tracks(self, space: BodySpace) -> tuple[Track, ...]:
        """What is to move smoothly."""

    def __call__(self, state: BodyState) -> Float[Tensor, ""]:
        weights = second_difference_weights(self.seconds)
        found = [apply_second_differences(track.of(state), weights) for track in self.tracks(state.space)]
        return torch.stack([each.square().sum() for each in found]).sum()


# Across a longer gap nothing is said of how somebody moved.
_GAP_S = 0.5


def second_difference_weights(seconds: Float[Tensor, " t"]) -> Float[Tensor, "u 3"]:
    """What three neighbouring frames count for in the acceleration at the middle one, for uneven spacing; 0 across
    gaps of half a second. None for fewer than three frames.
    """
    step = seconds[1:] - seconds[:-1]
    before, after = step[:-1], step[1:]
    near = ((before < _GAP_S) & (after < _GAP_S)).to(seconds.dtype) / (0.5 * (before + after))
    return torch.stack([near / before, -near * (1 / before + 1 / after), near / after], -1)


def apply_second_differences(
    values: Float[Tensor, "t *k"], weights: Float[Tensor, "u 3"]
) -> Float[Tensor, "u *k"]:
    """Accelerations at inner frames by `second_difference_weights`."""
    first, _, last = (each.view(-1, *([1] * (values.ndim - 1))) for each in weights.unbind(-1))
    # The three sum to zero. Differences first: places metres from the origin would cost digits.
    return first * (values[:-2] - values[1:-1]) + last * (values[2:] - values[1:-1])


def second_differences(values: Float[Tensor, "t *k"], seconds: Float[Tensor, " t"]) -> Float[Tensor, "u *k"]:
    """Accelerations at inner frames, for uneven spacing; 0 across gaps of half a second."""
    return apply_second_differences(values, second_difference_weights(seconds))
