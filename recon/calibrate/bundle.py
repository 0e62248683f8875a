"""Bundle adjustment: cameras, lenses and everything that they saw, all at once.

Minimises the sum of rho(|residual| / sigma) over all observations, where rho is Geman and McClure's, by
Levenberg-Marquardt with reweighting. Bodies meet only cameras in the normal equations, so each is eliminated by the
Schur complement (Triggs et al. 2000) and the system that is solved has the cameras' unknowns alone: time and memory
grow linearly with the number of bodies.

A rotation is perturbed from the left: X_camera = exp(w) R X_world + t + d, X_world = exp(v) B place + o + e. The first
camera's pose is held while solving. Afterwards uncertainty is told in the gauge of the whole rig: as if an erring
calibration were laid over the true one by the rigid motion that fits all cameras best (an S-transformation: Baarda
1973), so that no camera is exact by decree.

A camera's clock: where a view's points drift (see `Sightings`), the view's own time is one more unknown with a standard
normal prior, eliminated on the spot: r loses its part along the drift d, as J^T J loses J^T d d^T J / (1 + d^T d).

Two covariances are made. The plain one, from the inverse of the reduced normal matrix and the variance of the
residuals, holds if corners err independently of each other. They do not: a moving board, a rolling shutter or a bent
print move all corners of a view together. So the sandwich of the bodies' gradients (White 1982, by clusters as in
Liang and Zeger 1986) is made too, and the larger of the two standard errors is told.

Symbols: ``c`` cameras, ``n`` observations, ``b`` bodies, ``u`` unknowns of all cameras, ``a`` those estimated.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.linalg import cho_factor, cho_solve
from scipy.spatial.transform import Rotation

from recon.calibrate.rig import INTRINSICS, Projected, Rig, Sightings, project_bodies
from render.errors import CalibrationError

# Intrinsics, then rotation and offset.
_UNKNOWNS = len(INTRINSICS) + 6
# Residuals of so many sigma count half of what they would as squares.
_ROBUST = 4.0
_MOST_STEPS = 100
# A standard error is said of directions that the observations fix at all.
_FIXED = 1e-12


@dataclass(frozen=True)
class Uncertainty:
    """Standard errors, in the gauge of the whole rig.

    Attributes:
        intrinsics: of fx fy cx cy (pixels) k1 k2 p1 p2 k3; 0 for what was not estimated.
        centres_m: of the cameras' positions along the world's axes, metres.
        rotations_deg: about the cameras' axes, degrees.
        freedom: observations (two each) less unknowns.
    """

    intrinsics: Float[np.ndarray, "c 9"]
    centres_m: Float[np.ndarray, "c 3"]
    rotations_deg: Float[np.ndarray, "c 3"]
    freedom: int


@dataclass(frozen=True)
class Bundle:
    """An adjusted rig.

    Attributes:
        bodies: body to world; the rotation of a single point means nothing.
        residuals: seen less projected, pixels.
        clocks: of each observation's view, in standard deviations of the clock: how late it was exposed.
        weights: how much each observation counts, 1 to 0.
        spread: standard deviation of the residuals over their sigmas, robustly weighed: 1 where the sigmas are right.
        steps: taken until nothing changed.
    """

    rig: Rig
    bodies: Float[np.ndarray, "b 4 4"]
    residuals: Float[np.ndarray, "n 2"]
    clocks: Float[np.ndarray, " n"]
    weights: Float[np.ndarray, " n"]
    spread: float
    steps: int
    uncertainty: Uncertainty


def adjust_bundle(
    rig: Rig,
    bodies: Float[np.ndarray, "b 4 4"],
    sightings: Sightings,
    free: Bool[np.ndarray, "c 9"],
    *,
    poses: bool = True,
    robust: bool = True,
    tolerance: float = 1e-9,
    most_steps: int = _MOST_STEPS,
) -> Bundle:
    """The rig and the bodies that explain the sightings best.

    Args:
        rig: a start: poses right to some degrees, focal lengths to a fifth.
        bodies: a start, body to world, metres.
        free: which intrinsics of each camera are estimated.
        poses: whether cameras' poses are estimated; the first camera's stays.
        robust: whether outliers count less.
        tolerance: stop when a step lowers the cost by less than this part of it.
        most_steps: stop after so many in any case.

    Raises:
        CalibrationError: the sightings do not fix the unknowns.
    """
    estimated = _estimated(free, poses)
    state = (rig, bodies)
    damping, steps = 1e-3, 0
    pairs = _Pairs.of(sightings, len(rig.viewmats))
    projected = project_bodies(*state, sightings)
    weights = np.ones(len(sightings.sigma))
    for _ in range(3):
        weights, cost, clocks = _weighed(projected, sightings, pairs, weights, robust)
    while steps < most_steps:
        steps += 1
        system = _reduced(state[0], state[1], projected, sightings, pairs, weights, damping)
        trial = _moved(*state, *_solved(system, estimated, damping))
        moved = project_bodies(*trial, sightings)
        trial_weights, trial_cost, trial_clocks = _weighed(moved, sightings, pairs, weights, robust)
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
    uncertainty, spread = _uncertainty(*state, projected, sightings, pairs, weights, estimated)
    return Bundle(*state, residuals, clocks, weights, spread, steps, uncertainty)


def _estimated(free: Bool[np.ndarray, "c 9"], poses: bool) -> Bool[np.ndarray, " u"]:
    chosen = np.zeros((len(free), _UNKNOWNS), dtype=bool)
    chosen[:, : len(INTRINSICS)] = free
    chosen[1:, len(INTRINSICS) :] = poses
    return chosen.ravel()


def _weighed(
    projected: Projected,
    sightings: Sightings,
    pairs: _Pairs,
    weights: Float[np.ndarray, " n"],
    robust: bool,
) -> tuple[Float[np.ndarray, " n"], float, Float[np.ndarray, " n"]]:
    """New weights, the cost, and the views' clocks under the weights before."""
    residual = (sightings.pixels - projected.pixels) / sightings.sigma[:, None]
    drift = sightings.drift / sightings.sigma[:, None]
    along = pairs.summed(weights * (drift * residual).sum(-1))
    clocks = along / (1 + pairs.summed(weights * (drift**2).sum(-1)))
    late = pairs.spread(clocks)
    squared = ((residual - late[:, None] * drift) ** 2).sum(-1)
    if not robust:
        return np.ones_like(squared), float(squared.sum() + (clocks**2).sum()), late
    cost = float((squared / (1 + squared / _ROBUST**2)).sum() + (clocks**2).sum())
    return 1 / (1 + squared / _ROBUST**2) ** 2, cost, late


@dataclass(frozen=True)
class _System:
    """Reduced normal equations, and what it takes to find the bodies' steps from the cameras'.

    Attributes:
        hessian, gradient: of all cameras' unknowns, bodies eliminated.
        diagonal: of the cameras' own part, for the damping.
        inverses: of the bodies' blocks. moments: the bodies' gradients.
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


def _reduced(
    rig: Rig,
    bodies: Float[np.ndarray, "b 4 4"],
    projected: Projected,
    sightings: Sightings,
    pairs: _Pairs,
    weights: Float[np.ndarray, " n"],
    damping: float,
) -> _System:
    by_camera, by_body = _jacobians(rig, projected, sightings)
    scale = np.sqrt(weights) / sightings.sigma
    residual = scale[:, None] * (sightings.pixels - projected.pixels)
    joint = (scale[:, None, None] * np.concatenate([by_camera, by_body], -1))[pairs.order]
    residual = residual[pairs.order]
    cameras, count = len(rig.viewmats), len(bodies)
    drift = (scale[:, None] * sightings.drift)[pairs.order]
    products = pairs.runs(np.swapaxes(joint, 1, 2) @ joint)
    slopes = pairs.runs((joint * residual[:, :, None]).sum(1))
    along = pairs.runs((joint * drift[:, :, None]).sum(1))
    share = 1 / (1 + pairs.runs((drift**2).sum(-1)))
    products -= along[:, :, None] * along[:, None] * share[:, None, None]
    slopes -= along * (share * pairs.runs((drift * residual).sum(-1)))[:, None]
    own = np.zeros((cameras, _UNKNOWNS, _UNKNOWNS))
    np.add.at(own, pairs.camera, products[:, :_UNKNOWNS, :_UNKNOWNS])
    blocks, moments = np.zeros((count, 6, 6)), np.zeros((count, 6))
    np.add.at(blocks, pairs.body, products[:, _UNKNOWNS:, _UNKNOWNS:])
    np.add.at(moments, pairs.body, slopes[:, _UNKNOWNS:])
    by_pair = np.zeros((count, cameras, _UNKNOWNS, 7))
    by_pair[pairs.body, pairs.camera, :, :6] = products[:, :_UNKNOWNS, _UNKNOWNS:]
    by_pair[pairs.body, pairs.camera, :, 6] = slopes[:, :_UNKNOWNS]
    both = by_pair.reshape(count, -1, 7)
    mixed, pieces = both[:, :, :6], both[:, :, 6]
    spread = np.zeros((cameras, _UNKNOWNS, cameras, _UNKNOWNS))
    spread[np.arange(cameras), :, np.arange(cameras)] = own
    hessian = spread.reshape(mixed.shape[1], -1)
    diagonal = hessian.diagonal().copy()
    inverses = np.linalg.inv(_damped(blocks, damping))
    through = mixed @ inverses
    width = len(hessian)
    hessian -= through.swapaxes(0, 1).reshape(width, -1) @ mixed.swapaxes(0, 1).reshape(width, -1).T
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
        return np.add.reduceat(ordered, self.starts, axis=0)


def _damped(blocks: Float[np.ndarray, "b 6 6"], damping: float) -> Float[np.ndarray, "b 6 6"]:
    """Levenberg-Marquardt's diagonal, and ones where nothing depends on an unknown (the rotation of a point)."""
    diagonal = np.einsum("bii->bi", blocks)
    added = damping * diagonal + np.where(diagonal <= 0, 1.0, 1e-12 * diagonal)
    return blocks + added[:, :, None] * np.eye(6)


def _jacobians(
    rig: Rig, projected: Projected, sightings: Sightings
) -> tuple[Float[np.ndarray, "n 2 15"], Float[np.ndarray, "n 2 6"]]:
    """Of the pixels by the camera's unknowns (intrinsics, w, d) and by the body's (v, e)."""
    views = rig.viewmats[sightings.camera]
    before = projected.local - views[:, :3, 3]  # R X_world, which w turns
    by_camera = np.concatenate(
        [projected.by_intrinsics, -projected.by_point @ _cross(before), projected.by_point], -1
    )
    by_world = projected.by_point @ views[:, :3, :3]
    return by_camera, np.concatenate([-by_world @ _cross(projected.rotated), by_world], -1)


def _cross(vectors: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3 3"]:
    matrix = np.zeros((len(vectors), 3, 3))
    matrix[:, [2, 0, 1], [1, 2, 0]] = vectors
    matrix[:, [1, 2, 0], [2, 0, 1]] = -vectors
    return matrix


def _solved(
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


def _moved(
    rig: Rig,
    bodies: Float[np.ndarray, "b 4 4"],
    step: Float[np.ndarray, " u"],
    by_body: Float[np.ndarray, "b 6"],
) -> tuple[Rig, Float[np.ndarray, "b 4 4"]]:
    own = step.reshape(-1, _UNKNOWNS)
    count = len(INTRINSICS)
    viewmats, moved = _placed(rig.viewmats, own[:, count:]), _placed(bodies, by_body)
    return Rig(rig.intrinsics + own[:, :count], viewmats), moved


def _placed(poses: Float[np.ndarray, "b 4 4"], steps: Float[np.ndarray, "b 6"]) -> Float[np.ndarray, "b 4 4"]:
    result = poses.copy()
    result[:, :3, :3] = Rotation.from_rotvec(steps[:, :3]).as_matrix() @ poses[:, :3, :3]
    result[:, :3, 3] += steps[:, 3:]
    return result


# -- uncertainty -----------------------------------------------------------------------------------


def _uncertainty(
    rig: Rig,
    bodies: Float[np.ndarray, "b 4 4"],
    projected: Projected,
    sightings: Sightings,
    pairs: _Pairs,
    weights: Float[np.ndarray, " n"],
    estimated: Bool[np.ndarray, " u"],
) -> tuple[Uncertainty, float]:
    system = _reduced(rig, bodies, projected, sightings, pairs, weights, 0.0)
    inverse = _inverse(system, estimated)
    _, _, late = _weighed(projected, sightings, pairs, weights, robust=False)
    apart = sightings.pixels - projected.pixels - late[:, None] * sightings.drift
    squared = weights * (apart**2).sum(-1) / sightings.sigma**2
    seen = np.unique(sightings.body)
    single = np.bincount(sightings.body, np.abs(sightings.places).sum(1) > 0, len(bodies))[seen] == 0
    unknowns = int(estimated.sum() + np.where(single, 3, 6).sum())
    freedom = max(int(2 * weights.sum() - unknowns), 1)
    variance = float(squared.sum()) / freedom
    plain = variance * inverse
    clusters = len(seen)
    pieces = system.pieces[:, estimated]
    few = clusters / max(clusters - estimated.sum() / 6, 1)  # each body speaks of six unknowns at most
    sandwich = few * inverse @ (pieces.T @ pieces) @ inverse
    errors = [_in_rig_gauge(rig, covariance, estimated) for covariance in (plain, sandwich)]
    return replace(_largest(errors[0], errors[1]), freedom=freedom), float(np.sqrt(variance))


def _largest(a: Uncertainty, b: Uncertainty) -> Uncertainty:
    return Uncertainty(
        np.maximum(a.intrinsics, b.intrinsics),
        np.maximum(a.centres_m, b.centres_m),
        np.maximum(a.rotations_deg, b.rotations_deg),
        0,
    )


def _inverse(system: _System, estimated: Bool[np.ndarray, " u"]) -> Float[np.ndarray, "a a"]:
    """Inverse of the reduced matrix.

    Raises:
        CalibrationError: it has none: something that was to be estimated changes no pixel.
    """
    hessian = system.hessian[np.ix_(estimated, estimated)]
    if not len(hessian):
        return hessian
    scale = 1 / np.sqrt(np.maximum(system.diagonal[estimated], 1e-30))
    values, vectors = np.linalg.eigh(hessian * scale[:, None] * scale)
    if values[0] < _FIXED:
        camera, unknown = divmod(int(np.flatnonzero(estimated)[np.abs(vectors[:, 0]).argmax()]), _UNKNOWNS)
        names = (*INTRINSICS, *("its rotation",) * 3, *("its position",) * 3)
        raise CalibrationError(
            "the views do not fix the calibration",
            where=f"camera number {camera}, mostly {names[unknown]}",
            expected="boards that are tilted, at several distances, and seen by several cameras at once",
            remedy="record more views of that camera, tilted by 30 degrees and more, to the edges of its image",
        )
    return (vectors / values) @ vectors.T * scale[:, None] * scale


def _in_rig_gauge(
    rig: Rig, covariance: Float[np.ndarray, "a a"], estimated: Bool[np.ndarray, " u"]
) -> Uncertainty:
    """Standard errors after the best rigid motion of all cameras is taken off."""
    cameras = len(rig.viewmats)
    whole = np.zeros((len(estimated), len(estimated)))
    whole[np.ix_(estimated, estimated)] = covariance
    intrinsics = np.sqrt(np.maximum(whole.diagonal().reshape(cameras, -1)[:, : len(INTRINSICS)], 0))
    change = np.zeros(
        (6 * cameras, len(estimated))
    )  # of (rotation in the camera's frame, centre) by the unknowns
    for camera in range(cameras):
        R, t = rig.viewmats[camera, :3, :3], rig.viewmats[camera, :3, 3]
        rows = slice(6 * camera, 6 * camera + 6)
        columns = _UNKNOWNS * camera + len(INTRINSICS)
        block = np.eye(6)
        block[3:, :3], block[3:, 3:] = -R.T @ _cross(t[None])[0], -R.T  # centre = -R^T exp(-w) (t + d)
        change[rows, columns : columns + 6] = block
    change = _without_rigid(rig, change)
    errors = np.sqrt(np.maximum(np.einsum("ru,uv,rv->r", change, whole, change, optimize=True), 0))
    errors = errors.reshape(cameras, 6)
    return Uncertainty(intrinsics, errors[:, 3:], np.degrees(errors[:, :3]), 0)


def _without_rigid(rig: Rig, change: Float[np.ndarray, "r u"]) -> Float[np.ndarray, "r u"]:
    """Changes of all poses less the rigid motion that explains them best; rotations count by the rig's extent."""
    cameras = len(rig.viewmats)
    if cameras < 2:
        return 0 * change
    centres = rig.centres - rig.centres.mean(0)
    extent = max(float(np.sqrt((centres**2).sum(1).mean())), 1e-6)
    # Of the world by (turn, shift): a camera turns by -R turn, its centre moves by turn x centre + shift.
    by_camera = np.zeros((cameras, 6, 6))
    by_camera[:, :3, :3] = -rig.viewmats[:, :3, :3]
    by_camera[:, 3:, :3] = -_cross(centres)
    by_camera[:, 3:, 3:] = np.eye(3)
    motion = by_camera.reshape(-1, 6)
    weight = np.tile(np.repeat([extent, 1.0], 3), cameras)
    found = np.linalg.lstsq(weight[:, None] * motion, weight[:, None] * change, rcond=None)[0]
    return change - motion @ found
