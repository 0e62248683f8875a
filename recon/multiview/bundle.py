"""Bundle adjustment: cameras, lenses and everything that they saw, all at once.

Minimises the sum of rho(|residual| / sigma) over all observations, where rho is Geman and McClure's, by
Levenberg-Marquardt with reweighting. Bodies meet only cameras in the normal equations, so each is eliminated by the
Schur complement (Triggs et al. 2000) and the system that is solved has the cameras' unknowns alone: time and memory
grow linearly with the number of bodies.

Perturbations are from the left: X_camera = exp(w) (R X_world + t) + d turns a camera about its centre, so that cameras
that can only have turned are those of which d is held; X_world = exp(v) B place + o + e. The first camera's pose is
held while solving, unless a prior holds them all.

An observation that is only a share of one of its own counts as that share wherever observations are summed; what is an
outlier is decided by its residual alone.

A camera's clock: where a view's points drift (see `Sightings`), the view's own time is one more unknown with a standard
normal prior, eliminated on the spot: r loses its part along the drift d, as J^T J loses J^T d d^T J / (1 + d^T d).

What the result is worth: see `recon.multiview.uncertainty`.

Symbols: ``c`` cameras, ``n`` observations, ``b`` bodies, ``u`` unknowns of all cameras, ``a`` those estimated.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.linalg import cho_factor, cho_solve
from scipy.spatial.transform import Rotation

from simulacra.recon.multiview.prior import UNKNOWNS, Prior, lens_information
from simulacra.recon.multiview.rig import INTRINSICS, CameraRig, Projected, Sightings, cross, project_bodies
from simulacra.recon.multiview.uncertainty import Information, Uncertainty, standard_errors

# Residuals of so many sigma count half of what they would as squares.
_ROBUST = 4.0
_MOST_STEPS = 100

Poses = Literal["free", "turns", "held"]
"""What is estimated of the cameras' poses: all, rotations about fixed centres, or nothing."""


@dataclass(frozen=True)
class Bundle:
    """An adjusted rig.

    Attributes:
        bodies: body to world; the rotation of a single point means nothing.
        residuals: seen less projected, pixels.
        clocks: of each observation's view, in standard deviations of the clock: how late it was exposed.
        weights: how much each observation counts, its share to 0.
        spread: standard deviation of the residuals over their sigmas, robustly weighed: 1 where the sigmas are right.
        steps: taken until nothing changed.
    """

    rig: CameraRig
    bodies: Float[np.ndarray, "b 4 4"]
    residuals: Float[np.ndarray, "n 2"]
    clocks: Float[np.ndarray, " n"]
    weights: Float[np.ndarray, " n"]
    spread: float
    steps: int
    uncertainty: Uncertainty


def adjust_bundle(
    rig: CameraRig,
    bodies: Float[np.ndarray, "b 4 4"],
    sightings: Sightings,
    free: Bool[np.ndarray, "c 9"],
    *,
    prior: Prior | None = None,
    poses: Poses = "free",
    robust: bool = True,
    tolerance: float = 1e-9,
    most_steps: int = _MOST_STEPS,
) -> Bundle:
    """The rig and the bodies that explain the sightings best.

    Args:
        rig: a start: poses right to some degrees, focal lengths to a fifth.
        bodies: a start, body to world, metres.
        free: which intrinsics of each camera are estimated.
        prior: what is believed of the rig beforehand; with it the first camera's pose is estimated too. What lenses are
            like is believed in any case (`lens_information`).
        poses: what is estimated of the cameras' poses; the first camera's stays if there is no prior.
        robust: whether outliers count less.
        tolerance: stop when a step lowers the cost by less than this part of it.
        most_steps: stop after so many in any case.

    Raises:
        CalibrationError: the sightings do not fix the unknowns.
    """
    estimated = _mask_estimated(free, poses, prior is None)
    kinds = _kinds(estimated)
    state = (rig, bodies)
    damping, steps = 1e-3, 0
    pairs = _Pairs.of(sightings, len(rig.viewmats))
    projected = project_bodies(*state, sightings)
    weights = np.ones(len(sightings.sigma)) if sightings.share is None else sightings.share
    for _ in range(3):
        weights, cost, clocks = _weigh(projected, sightings, pairs, weights, robust)
    cost += _prior_cost(prior, rig)
    while steps < most_steps:
        steps += 1
        system = _reduce(state[0], state[1], projected, sightings, pairs, weights, kinds, damping)
        system = _add_prior(system, prior, state[0])
        trial = _take_step(*state, *_solve_step(system, estimated, damping))
        moved = project_bodies(*trial, sightings)
        trial_weights, trial_cost, trial_clocks = _weigh(moved, sightings, pairs, weights, robust)
        trial_cost += _prior_cost(prior, trial[0])
        if trial_cost <= cost:
            gain, state, projected, cost = cost - trial_cost, trial, moved, trial_cost
            weights, clocks = trial_weights, trial_clocks
            damping = max(damping / 10, 1e-12)
            if gain <= tolerance * cost + 1e-12:
                break
        else:
            damping *= 10
            if damping > 1e8:
                break
    residuals = sightings.pixels - projected.pixels
    information = _information(*state, projected, sightings, pairs, weights, estimated)
    uncertainty = standard_errors(state[0], information, prior)
    spread = float(np.sqrt(information.variance))
    return Bundle(*state, residuals, clocks, weights, spread, steps, uncertainty)


def _prior_cost(prior: Prior | None, rig: CameraRig) -> float:
    return lens_information(rig)[2] + (prior.information(rig)[2] if prior is not None else 0.0)


def _add_prior(system: _System, prior: Prior | None, rig: CameraRig) -> _System:
    """The system with what is believed beforehand, of lenses in any case."""
    diagonal, gradient, _ = lens_information(rig)
    hessian = np.diag(diagonal)
    if prior is not None:
        given, downhill, _ = prior.information(rig)
        hessian, gradient = hessian + given, gradient + downhill
    return replace(
        system,
        hessian=system.hessian + hessian,
        gradient=system.gradient + gradient,
        diagonal=system.diagonal + hessian.diagonal(),
    )


def _mask_estimated(free: Bool[np.ndarray, "c 9"], poses: Poses, first_stays: bool) -> Bool[np.ndarray, " u"]:
    chosen = np.zeros((len(free), UNKNOWNS), dtype=bool)
    turns = len(INTRINSICS)
    chosen[:, :turns] = free
    chosen[int(first_stays) :, turns : turns + 3] = poses != "held"
    chosen[int(first_stays) :, turns + 3 :] = poses == "free"
    return chosen.ravel()


def _kinds(estimated: Bool[np.ndarray, " u"]) -> Int[np.ndarray, " k"]:
    """Numbers of the unknowns that any camera has: the others' derivatives need not be multiplied out."""
    return np.flatnonzero(estimated.reshape(-1, UNKNOWNS).any(0))


def _weigh(
    projected: Projected,
    sightings: Sightings,
    pairs: _Pairs,
    weights: Float[np.ndarray, " n"],
    robust: bool,
) -> tuple[Float[np.ndarray, " n"], float, Float[np.ndarray, " n"]]:
    """New weights (shares included), the cost, and the views' clocks under the weights before."""
    share = np.ones(len(sightings.sigma)) if sightings.share is None else sightings.share
    residual = (sightings.pixels - projected.pixels) / sightings.sigma[:, None]
    drift = sightings.drift / sightings.sigma[:, None]
    along = pairs.summed(weights * (drift * residual).sum(-1))
    clocks = along / (1 + pairs.summed(weights * (drift**2).sum(-1)))
    late = pairs.spread(clocks)
    squared = ((residual - late[:, None] * drift) ** 2).sum(-1)
    if not robust:
        return share, float((share * squared).sum() + (clocks**2).sum()), late
    cost = float((share * squared / (1 + squared / _ROBUST**2)).sum() + (clocks**2).sum())
    return share / (1 + squared / _ROBUST**2) ** 2, cost, late


@dataclass(frozen=True)
class _System:
    """Reduced normal equations, and what it takes to find the bodies' steps from the cameras'.

    Attributes:
        hessian: of all cameras' unknowns, bodies eliminated.
        gradient: likewise.
        diagonal: of the cameras' own part, for the damping.
        inverses: of the bodies' blocks.
        moments: the bodies' gradients.
        mixed: cameras' unknowns by bodies'.
        pieces: each body's part of the reduced gradient.
    """

    hessian: Float[np.ndarray, "u u"]
    gradient: Float[np.ndarray, " u"]
    diagonal: Float[np.ndarray, " u"]
    inverses: Float[np.ndarray, "b 6 6"]
    moments: Float[np.ndarray, "b 6"]
    mixed: Float[np.ndarray, "b u 6"]
    pieces: Float[np.ndarray, "b u"]


def _reduce(
    rig: CameraRig,
    bodies: Float[np.ndarray, "b 4 4"],
    projected: Projected,
    sightings: Sightings,
    pairs: _Pairs,
    weights: Float[np.ndarray, " n"],
    kinds: Int[np.ndarray, " k"],
    damping: float,
) -> _System:
    """``kinds``: which of a camera's unknowns are looked at; the others' rows are zero."""
    # Whitened derivatives by camera and body side by side: one product has all blocks of a pair's normal matrix.
    by_camera, by_body = _jacobians(rig, projected, sightings)
    scale = np.sqrt(weights) / sightings.sigma
    residual = scale[:, None] * (sightings.pixels - projected.pixels)
    joint = (scale[:, None, None] * np.concatenate([by_camera[:, :, kinds], by_body], -1))[pairs.order]
    residual = residual[pairs.order]
    cameras, count, width = len(rig.viewmats), len(bodies), len(kinds)
    products = pairs.runs(np.swapaxes(joint, 1, 2) @ joint)
    slopes = pairs.runs((joint * residual[:, :, None]).sum(1))
    # A view's own time is eliminated on the spot: what lies along the drift says less of everything else.
    if sightings.drift.any():
        drift = (scale[:, None] * sightings.drift)[pairs.order]
        along = pairs.runs((joint * drift[:, :, None]).sum(1))
        share = 1 / (1 + pairs.runs((drift**2).sum(-1)))
        late = share < 1
        products[late] -= along[late, :, None] * along[late, None] * share[late, None, None]
        slopes -= along * (share * pairs.runs((drift * residual).sum(-1)))[:, None]
    # Pairs are summed up to each camera's own block and to each body's; mixed blocks are of one pair each.
    own = np.zeros((cameras, UNKNOWNS, UNKNOWNS))
    for camera in range(cameras):
        own[camera][np.ix_(kinds, kinds)] = products[pairs.camera == camera, :width, :width].sum(0)
    blocks, moments = np.zeros((count, 6, 6)), np.zeros((count, 6))
    np.add.at(blocks, pairs.body, products[:, width:, width:])
    np.add.at(moments, pairs.body, slopes[:, width:])
    by_pair = np.zeros((count, cameras, UNKNOWNS, 7))
    by_pair[pairs.body[:, None], pairs.camera[:, None], kinds, :6] = products[:, :width, width:]
    by_pair[pairs.body[:, None], pairs.camera[:, None], kinds, 6] = slopes[:, :width]
    both = by_pair.reshape(count, -1, 7)
    mixed, pieces = both[:, :, :6], both[:, :, 6]
    spread = np.zeros((cameras, UNKNOWNS, cameras, UNKNOWNS))
    spread[np.arange(cameras), :, np.arange(cameras)] = own
    hessian = spread.reshape(mixed.shape[1], -1)
    diagonal = hessian.diagonal().copy()
    # The Schur complement: what the bodies can explain by moving is taken off the cameras' equations. One large product
    # over the unknowns that there are, for most of a camera's are not estimated at once.
    inverses = np.linalg.inv(_damp(blocks, damping))
    through = mixed @ inverses
    used = (UNKNOWNS * np.arange(cameras)[:, None] + kinds).ravel()
    ends = [each[:, used].swapaxes(0, 1).reshape(len(used), 6 * count) for each in (through, mixed)]
    hessian[np.ix_(used, used)] -= ends[0] @ ends[1].T
    pieces = pieces - (through @ moments[:, :, None])[..., 0]
    return _System(hessian, pieces.sum(0), diagonal, inverses, moments, mixed, pieces)


@dataclass(frozen=True)
class _Pairs:
    """Observations ordered by body and camera, so that sums over each pair are sums over runs."""

    order: Int[np.ndarray, " n"]
    starts: Int[np.ndarray, " p"]
    camera: Int[np.ndarray, " p"]
    body: Int[np.ndarray, " p"]

    @staticmethod
    def of(sightings: Sightings, cameras: int) -> _Pairs:
        key = sightings.body * cameras + sightings.camera
        order = np.argsort(key, kind="stable")
        pairs, starts = np.unique(key[order], return_index=True)
        return _Pairs(order, starts, pairs % cameras, pairs // cameras)

    def spread(self, values: Float[np.ndarray, " p"]) -> Float[np.ndarray, " n"]:
        """The value of each observation's pair."""
        result = np.empty(len(self.order))
        result[self.order] = np.repeat(values, np.diff(np.append(self.starts, len(self.order))))
        return result

    def summed(self, values: Float[np.ndarray, "n *rest"]) -> Float[np.ndarray, "p *rest"]:
        return self.runs(values[self.order])

    def runs(self, ordered: Float[np.ndarray, "n *rest"]) -> Float[np.ndarray, "p *rest"]:
        """Sums of values that are in order already."""
        if len(self.starts) == len(ordered):  # single points: each pair has one observation
            return ordered
        return np.add.reduceat(ordered, self.starts, axis=0)


def _damp(blocks: Float[np.ndarray, "b 6 6"], damping: float) -> Float[np.ndarray, "b 6 6"]:
    """Levenberg-Marquardt's diagonal, and ones where nothing depends on an unknown (the rotation of a point)."""
    diagonal = np.einsum("bii->bi", blocks)
    added = damping * diagonal + np.where(diagonal <= 0, 1.0, 1e-12 * diagonal)
    return blocks + added[:, :, None] * np.eye(6)


def _jacobians(
    rig: CameraRig, projected: Projected, sightings: Sightings
) -> tuple[Float[np.ndarray, "n 2 15"], Float[np.ndarray, "n 2 6"]]:
    """Of the pixels by the camera's unknowns (intrinsics, w, d) and by the body's (v, e)."""
    views = rig.viewmats[sightings.camera]
    turns = -projected.by_point @ cross(projected.local)
    by_camera = np.concatenate([projected.by_intrinsics, turns, projected.by_point], -1)
    by_world = projected.by_point @ views[:, :3, :3]
    return by_camera, np.concatenate([-by_world @ cross(projected.rotated), by_world], -1)


def _solve_step(
    system: _System, estimated: Bool[np.ndarray, " u"], damping: float
) -> tuple[Float[np.ndarray, " u"], Float[np.ndarray, "b 6"]]:
    step = np.zeros(len(estimated))
    if estimated.any():
        hessian = system.hessian[np.ix_(estimated, estimated)]
        scale = 1 / np.sqrt(np.maximum(system.diagonal[estimated], 1e-30))
        scaled = hessian * scale[:, None] * scale + (damping + 1e-13) * np.eye(len(scale))
        try:
            step[estimated] = scale * cho_solve(cho_factor(scaled), scale * system.gradient[estimated])
        except np.linalg.LinAlgError:
            step[estimated] = (
                scale * np.linalg.lstsq(scaled, scale * system.gradient[estimated], rcond=1e-12)[0]
            )
    rest = system.moments - np.einsum("bui,u->bi", system.mixed, step)
    return step, np.einsum("bij,bj->bi", system.inverses, rest)


def _take_step(
    rig: CameraRig,
    bodies: Float[np.ndarray, "b 4 4"],
    step: Float[np.ndarray, " u"],
    by_body: Float[np.ndarray, "b 6"],
) -> tuple[CameraRig, Float[np.ndarray, "b 4 4"]]:
    own = step.reshape(-1, UNKNOWNS)
    count = len(INTRINSICS)
    viewmats, moved = rig.viewmats.copy(), bodies.copy()
    viewmats[:, :3] = Rotation.from_rotvec(own[:, count : count + 3]).as_matrix() @ rig.viewmats[:, :3]
    viewmats[:, :3, 3] += own[:, count + 3 :]
    moved[:, :3, :3] = Rotation.from_rotvec(by_body[:, :3]).as_matrix() @ bodies[:, :3, :3]
    moved[:, :3, 3] += by_body[:, 3:]
    return CameraRig(rig.intrinsics + own[:, :count], viewmats), moved


def _information(
    rig: CameraRig,
    bodies: Float[np.ndarray, "b 4 4"],
    projected: Projected,
    sightings: Sightings,
    pairs: _Pairs,
    weights: Float[np.ndarray, " n"],
    estimated: Bool[np.ndarray, " u"],
) -> Information:
    """What the observations say at the solution."""
    system = _reduce(rig, bodies, projected, sightings, pairs, weights, _kinds(estimated), 0.0)
    _, _, late = _weigh(projected, sightings, pairs, weights, robust=False)
    apart = sightings.pixels - projected.pixels - late[:, None] * sightings.drift
    squared = weights * (apart**2).sum(-1) / sightings.sigma**2
    seen, first = np.unique(sightings.body, return_index=True)
    single = np.bincount(sightings.body, np.abs(sightings.places).sum(1) > 0, len(bodies))[seen] == 0
    # A body whose sightings are shares of one takes such a share of its unknowns.
    part = np.ones(len(seen)) if sightings.share is None else sightings.share[first]
    unknowns = float(estimated.sum() + (part * np.where(single, 3, 6)).sum())
    freedom = max(int(2 * weights.sum() - unknowns), 1)
    group = np.arange(len(bodies))
    if sightings.group is not None:
        group[sightings.body] = sightings.group
    groups, of = np.unique(group[seen], return_inverse=True)
    pieces = np.zeros((len(groups), int(estimated.sum())))
    np.add.at(pieces, of, system.pieces[np.ix_(seen, estimated)])
    return Information(
        system.hessian, system.diagonal, pieces, estimated, float(squared.sum()) / freedom, freedom
    )
