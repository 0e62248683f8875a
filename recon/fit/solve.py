"""Minimising the energy of a body: normal equations of all costs, solved by Levenberg and Marquardt's method."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.linalg.blas import ssyrk
from threadpoolctl import threadpool_limits
from torch import Tensor

from simulacra.recon.fit.blocks import REACH, BlockSystem
from simulacra.recon.fit.body_space import Unknowns
from simulacra.recon.fit.chain import BodyChain, Placed
from simulacra.recon.fit.derivatives import Columns, Derivatives
from simulacra.recon.fit.energy import Cost
from simulacra.recon.fit.forces import PointForces, TrackForces, track_forces
from simulacra.recon.fit.levenberg import minimise_squares
from simulacra.recon.fit.residuals import (
    MotionCosts,
    PointCost,
    PointKind,
    ShapeCost,
    UnknownCost,
    second_difference_weights,
)
from simulacra.render.body import RestBody

# A step that gains less than this part of the energy is the last of its round.
_LEAST_GAIN = 3e-3


@dataclass(frozen=True)
class Free:
    """What may change.

    Attributes:
        names: fields of the unknowns; turn and place always may.
        held_joints: degrees of freedom that stay as they are, a mask; None for none.
        kept_frames: so many first frames stay as they are.
    """

    names: frozenset[str]
    held_joints: Bool[Tensor, " d"] | None = None
    kept_frames: int = 0


@contextmanager
def one_thread() -> Iterator[None]:
    """The tensors here are small: more threads only wait for each other (five times slower on a busy machine), and
    would make the last bits depend on their number: torch's, and BLAS's, which adds up products in as many parts as it
    has threads.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(before)


def minimise(
    chain: BodyChain,
    start: Unknowns,
    costs: Sequence[Cost],
    free: Free,
    iterations: int,
    rest: RestBody,
) -> tuple[Unknowns, RestBody, float]:
    """The unknowns after some iterations, the body that they shape, and the energy.

    Args:
        iterations: most times that derivatives are worked out.
        rest: the body that the start shapes.

    Raises:
        TypeError: a cost that is none of the kinds of `recon.fit.residuals`.
    """
    with torch.no_grad():
        problem = BodyProblem(chain, costs, free, rest, start)
        found = minimise_squares(problem, start, iterations, _LEAST_GAIN)
        energy = problem.value(found)
        if "shape" not in free.names:
            return found, rest, energy
        shaped = chain.space.body.rest(chain.space.shape(found))
        # The solver moved a body of one height over the floor; bodies stand on it.
        rise = (
            problem.up
            + chain.shapes.evaluate(chain.space.shape(found)).heads[0]
            - shaped.T_world_bone[0, :3, 3]
        )
        return replace(found, place=found.place + 10 * rise), shaped, energy


class BodyProblem:
    """The energy of a body and its normal equations (`recon.fit.levenberg.Problem`)."""

    def __init__(
        self, chain: BodyChain, costs: Sequence[Cost], free: Free, rest: RestBody, start: Unknowns
    ) -> None:
        """Costs of the kinds of `recon.fit.residuals`; ``rest`` is the body that ``start`` shapes."""
        self.chain, self.free = chain, free
        self.point_costs = [cost for cost in costs if isinstance(cost, PointCost)]
        self.unknown_costs = [cost for cost in costs if isinstance(cost, UnknownCost)]
        self.motions = [cost for cost in costs if isinstance(cost, MotionCosts)]
        self.shape_costs = [cost for cost in costs if isinstance(cost, ShapeCost)]
        known = len(self.point_costs) + len(self.unknown_costs) + len(self.motions) + len(self.shape_costs)
        if known != len(costs):
            other = next(
                c for c in costs if not isinstance(c, PointCost | UnknownCost | MotionCosts | ShapeCost)
            )
            raise TypeError(
                f"{other!r} is no PointCost, UnknownCost, MotionCosts or ShapeCost of recon.fit.residuals"
            )
        self._rest = chain.rest_of(rest)
        self.shaped = "shape" in free.names
        self.up = rest.T_world_bone[0, :3, 3]
        if self.shaped:
            self.up = self.up - chain.shapes.evaluate(chain.space.shape(start)).heads[0]
        # Where a step went down, its energy was worked out just before its derivatives are.
        self._last: tuple[Unknowns, Placed] | None = None
        self.columns = self._columns(start)
        self.frames = len(start.place) - free.kept_frames

    def _columns(self, start: Unknowns) -> Columns:
        freedoms = torch.arange(start.joints.shape[1] if "joints" in self.free.names else 0)
        if self.free.held_joints is not None:
            freedoms = freedoms[~self.free.held_joints[freedoms]]
        expressions = start.expression.shape[1] if "expression" in self.free.names else 0
        bias = start.bias.numel() if "bias" in self.free.names else 0
        return Columns(freedoms, expressions, len(start.shape) if self.shaped else 0, bias)

    def step(
        self, x: Unknowns, frames: Float[np.ndarray, "t p"], shared: Float[np.ndarray, " s"]
    ) -> Unknowns:
        """``x`` moved; facial actions stay within 0 and 1."""
        kept, columns = self.free.kept_frames, self.columns
        moves = torch.zeros(len(x.place), columns.per_frame, dtype=x.place.dtype)
        moves[kept:] = torch.from_numpy(frames)
        joints = len(columns.joints)
        turn, angles, place, acts = moves.split([3, joints, 3, columns.expressions], 1)
        found = replace(
            x,
            turn=x.turn + turn,
            joints=x.joints.index_add(1, columns.joints, angles),
            place=x.place + place,
        )
        if columns.expressions:
            expression = x.expression.clone()
            expression[kept:] = (x.expression + acts)[kept:].clamp(0, 1)
            found = replace(found, expression=expression)
        both = torch.from_numpy(shared).to(x.shape)
        if columns.shape:
            found = replace(found, shape=x.shape + both[: columns.shape])
        if columns.bias:
            found = replace(found, bias=x.bias + both[columns.shape :].view_as(x.bias))
        return found

    def value(self, x: Unknowns) -> float:
        """The energy."""
        placed = self._place(x)
        total = sum(
            float(cost.value(cost.selection.take(self._points(placed, cost.selection.kind))))
            for cost in self.point_costs
        )
        for prior in self.unknown_costs:
            total += sum(float(r.square().sum()) for r in prior.residuals(self.chain.space, x).values())
        for told in self.shape_costs:
            total += float(told.residuals(self.chain.space, x.shape).square().sum())
        return total + sum(track.value for track in self._tracks(placed, x))

    def linearise(self, x: Unknowns) -> tuple[float, BlockSystem]:
        """The energy and its normal equations."""
        placed = self._place(x)
        forces: dict[PointKind, PointForces] = {}
        tracks = list(self._tracks(placed, x))
        value = sum(track.value for track in tracks)
        for cost in self.point_costs:
            kind = cost.selection.kind
            found = cost.curvature(cost.selection.take(self._points(placed, kind)))
            forces.setdefault(kind, PointForces.none(self._points(placed, kind))).add(cost.selection, found)
            value += float(found.value)
        system = self._assemble(self._derivatives(x), forces, tracks)
        for prior in self.unknown_costs:
            energy, first, second = prior.curvature(self.chain.space, x)
            value += float(energy)
            for name in first:
                self._add_numbers(system, name, first[name], second[name])
        for told in self.shape_costs:
            residual, rows = (each.double().numpy() for each in told.linearise(self.chain.space, x.shape))
            value += float(residual @ residual)
            own = self.columns.shape
            system.shared_gradient[:own] += 2 * (residual @ rows)[:own]
            system.shared[:own, :own] += 2 * (rows.T @ rows)[:own, :own]
        return value, system

    def heads(self, x: Unknowns, bones: Int[np.ndarray, " j"]) -> Float[np.ndarray, "t j 3 w"]:
        """Derivatives of heads of bones by the unknowns of each frame, then by the shape."""
        derivatives = self._derivatives(x)
        factor = np.tile(np.eye(3, dtype=np.float32), (len(bones), 1, 1))
        none = np.zeros((len(bones), 3), np.float32)
        found = [
            derivatives.rows(t + self.free.kept_frames, self.chain.heads.start + bones, factor, none)[0]
            for t in range(self.frames)
        ]
        return np.stack(found).reshape(self.frames, len(bones), 3, -1).astype(np.float64)

    def _place(self, x: Unknowns) -> Placed:
        if self._last is None or self._last[0] is not x:
            chain = self.chain
            rest = chain.rest_at(chain.space.shape(x), self.up) if self.shaped else self._rest
            self._last = x, chain.place(rest, x)
        return self._last[1]

    def _derivatives(self, x: Unknowns) -> Derivatives:
        placed = self._place(x)
        shaped = placed.rest.shaped
        change = None if shaped is None else self.chain.change_of_shape(x, shaped)
        return Derivatives(self.chain, self.columns, placed, x, change)

    def _points(self, placed: Placed, kind: PointKind) -> Float[Tensor, "t n 3"]:
        """All points of a kind."""
        if kind == "landmarks":
            return placed.landmarks
        return placed.points[:, self.chain.verts if kind == "verts" else self.chain.heads]

    def _tracks(self, placed: Placed, x: Unknowns) -> Iterator[TrackForces]:
        for cost in self.motions:
            weights = second_difference_weights(cost.seconds)
            if not len(weights):
                continue
            for track in cost.tracks(self.chain.space):
                if track.name == "bones":
                    yield track_forces(track, self._points(placed, "bones")[:, track.columns], weights)
                else:
                    yield track_forces(track, getattr(x, track.name), weights)

    def _assemble(
        self, derivatives: Derivatives, forces: dict[PointKind, PointForces], tracks: list[TrackForces]
    ) -> BlockSystem:
        """Normal equations of costs of points and of motions."""
        p, s, kept = self.columns.per_frame, self.columns.shared, self.free.kept_frames
        ties = [max(self.frames - k, 0) for k in range(1, REACH + 1)] if tracks else []
        system = BlockSystem(
            np.zeros((self.frames, p, p)), tuple(np.zeros((count, p, p)) for count in ties),
            np.zeros((self.frames, p, s)), np.zeros((s, s)), np.zeros((self.frames, p)), np.zeros(s),
        )  # fmt: skip
        moving = [track for track in tracks if track.track.name == "bones"]
        moves: list[list[np.ndarray]] = [[] for _ in moving]
        for t in range(self.frames):
            whole, gradient = np.zeros((p + s, p + s)), np.zeros(p + s)
            for rows, slope in self._rows(derivatives, forces, t + kept):
                whole[: rows.shape[1], : rows.shape[1]] += _products(rows)
                gradient[: len(slope)] += slope
            for track, found in zip(moving, moves, strict=True):
                rows, slope = self._moving_rows(derivatives, track, t + kept)
                found.append(rows[:, :p].astype(np.float64))
                gradient[: len(slope)] += slope
            system.frames[t], system.mixed[t] = whole[:p, :p], whole[:p, p:]
            system.frame_gradient[t] = gradient[:p]
            system.shared[...] += whole[p:, p:]
            system.shared_gradient[...] += gradient[p:]
        for track, found in zip(moving, moves, strict=True):
            self._tie_bones(system, track, found)
        for track in tracks:
            if track.track.name != "bones":
                self._tie_numbers(system, track)
        return system

    def _rows(
        self, derivatives: Derivatives, forces: dict[PointKind, PointForces], frame: int
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Rows whose products are second derivatives, and first derivatives, of one frame's points."""
        chain = self.chain
        for kind, begin in (("verts", chain.verts.start), ("bones", chain.heads.start)):
            if kind in forces and len(index := forces[kind].active(frame)):
                own = forces[kind]
                gradient = _float32(own.gradient[frame, torch.from_numpy(index)])
                yield derivatives.rows(frame, begin + index, own.factor(frame, index), gradient)
        if "landmarks" in forces and len(index := forces["landmarks"].active(frame)):
            own = forces["landmarks"]
            moves = derivatives.of_landmarks(frame, index)
            slope = np.einsum("kiw,ki->w", moves, _float32(own.gradient[frame, torch.from_numpy(index)]))
            yield np.matmul(own.factor(frame, index), moves).reshape(-1, moves.shape[-1]), slope

    def _moving_rows(
        self, derivatives: Derivatives, forces: TrackForces, frame: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Derivatives of heads of bones that are to move smoothly, in standard deviations, and of their cost."""
        assert forces.track.columns is not None
        index = self.chain.heads.start + forces.track.columns.numpy()
        factor = np.tile(np.eye(3, dtype=np.float32) * float(forces.track.scale), (len(index), 1, 1))
        return derivatives.rows(frame, index, factor, forces.gradient[frame].astype(np.float32))

    def _tie_bones(self, system: BlockSystem, forces: TrackForces, moves: list[np.ndarray]) -> None:
        """Motions of heads of bones. Shape moves a whole motion by nearly the same: it has a first derivative only."""
        for t in range(self.frames):
            for later in range(min(REACH + 1, self.frames - t)):
                block = system.frames[t] if later == 0 else system.ties[later - 1][t]
                coupling = forces.coupling[t + self.free.kept_frames, later]
                block += 2 * coupling * (moves[t].T @ moves[t + later])

    def _tie_numbers(self, system: BlockSystem, forces: TrackForces) -> None:
        """Motions of unknowns themselves."""
        columns, picked = self._columns_of(forces.track.name)
        kept = self.free.kept_frames
        scale = forces.track.scale.double().numpy() ** 2
        squared = np.broadcast_to(scale, forces.gradient.shape[1:])[picked]
        for t in range(self.frames):
            system.frame_gradient[t, columns] += forces.gradient[t + kept][picked]
            for later in range(min(REACH + 1, self.frames - t)):
                block = system.frames[t] if later == 0 else system.ties[later - 1][t]
                block[columns, columns] += 2 * forces.coupling[t + kept, later] * squared

    def _columns_of(self, name: str) -> tuple[Int[np.ndarray, " c"], Int[np.ndarray, " c"]]:
        """Where the numbers of a field that are sought stand among a frame's or the shared columns, and which these
        are.
        """
        columns = self.columns
        joints = len(columns.joints)
        begin, picked = {
            "turn": (0, np.arange(3)),
            "joints": (3, columns.joints.numpy()),
            "place": (3 + joints, np.arange(3)),
            "expression": (6 + joints, np.arange(columns.expressions)),
            "shape": (0, np.arange(columns.shape)),
            "bias": (columns.shape, np.arange(columns.bias)),
        }[name]
        return begin + np.arange(len(picked)), picked

    def _add_numbers(self, system: BlockSystem, name: str, first: Tensor, second: Tensor) -> None:
        """Derivatives by single unknowns."""
        columns, picked = self._columns_of(name)
        if name in ("shape", "bias"):
            system.shared_gradient[columns] += first.flatten().double().numpy()[picked]
            system.shared[columns, columns] += second.flatten().double().numpy()[picked]
            return
        kept = self.free.kept_frames
        system.frame_gradient[:, columns] += first[kept:].double().numpy()[:, picked]
        system.frames[:, columns, columns] += second[kept:].double().numpy()[:, picked]


def _products(rows: np.ndarray) -> Float[np.ndarray, "w w"]:
    """``rows^T rows``."""
    if not len(rows):
        return np.zeros((rows.shape[1], rows.shape[1]))
    lower = np.tril(ssyrk(1.0, rows.T, lower=1)).astype(np.float64)
    return lower + np.tril(lower, -1).T


def _float32(values: Tensor) -> np.ndarray:
    found: np.ndarray = values.float().contiguous().numpy()
    return found
