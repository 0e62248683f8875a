"""What small change of one camera would bring its view of the body to where the others put it.

Each remedy is a linear model of where landmarks move when the camera changes a little. It is fitted robustly, and
believed by cross-validation: found from some parts of the body, it must make the other parts agree better (a detector
errs alike within a part and not across). Parts are those of the layout of landmarks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from simulacra.recon.observe.landmarks import POSE33
from simulacra.recon.preflight.bodies import LOST, BodyAgreement, PersonViews, project

ITERATIONS = 5
# Scale of the robust weights, share of the body's height: a detector's own error.
NOISE = 0.015
# Expected sizes before anything is measured: keep what the landmarks do not fix from being anything.
PRIORS = {"turn": 0.05, "move": 0.2, "focal": 0.1, "lens": 0.5, "shift": 0.05}


@dataclass(frozen=True)
class Remedy:
    """A change that would help.

    Attributes:
        kind: of ``PRIORS``.
        size: degrees of a turn, metres of a move (of a person of nominal height), share of the focal length, the radial
            coefficient, or widths of the image of a shift of the principal point.
        values: the parameters: of a turn axis-angle in the camera's frame, of a move metres there.
        before: typical error of parts that it was not fitted to, share of the body's height.
        after: the same with it.
    """

    kind: str
    size: float
    before: float
    after: float
    values: tuple[float, ...] = ()

    @property
    def gain(self) -> float:
        """Part of the disagreement that it removes from parts that it was not fitted to."""
        return 1.0 - self.after / max(self.before, 1e-9)


def best_remedies(agreement: BodyAgreement, camera: int) -> dict[str, Remedy]:
    """All kinds of changes of a camera, each for itself; none where too little of the body is shared."""
    views, points = agreement.views, agreement.others[camera]
    use = np.isfinite(agreement.errors[:, camera]) & (agreement.errors[:, camera] < LOST)
    if use.sum() < 12:
        return {}
    found = {}
    for kind, design in _designs(views, camera, points).items():
        remedy = _fit(kind, design, _residual(views, camera, points), views, camera, use)
        if remedy is not None:
            found[kind] = remedy
    return found


def _residual(
    views: PersonViews, camera: int, points: Float[np.ndarray, "t k 3"]
) -> Float[np.ndarray, "t k 2"]:
    """Landmarks less projected points, share of the body's height; sides are as the agreement put them."""
    projected, _ = project(points, views.viewmats[camera], views.Ks[camera])
    return (views.px[:, camera] - projected) / views.height_px[:, camera, None, None]


def _designs(
    views: PersonViews, camera: int, points: Float[np.ndarray, "t k 3"]
) -> Mapping[str, Float[np.ndarray, "t k 2 p"]]:
    """How projected points move with each parameter, share of the body's height a unit."""
    K, viewmat = views.Ks[camera], views.viewmats[camera]
    local = points @ viewmat[:3, :3].T + viewmat[:3, 3]
    x, y, z = np.moveaxis(local, -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        u, v, w = x / z, y / z, 1 / z
    one, none = np.ones_like(u), np.zeros_like(u)
    height = views.height_px[:, camera, None, None, None]

    def stack(rows: list[list[np.ndarray]]) -> np.ndarray:
        design = np.stack([np.stack(row, -1) for row in rows], -2)
        return design * K[[0, 1], [0, 1]][:, None] / height

    r2 = u * u + v * v
    return {
        # A turn w adds w x local.
        "turn": stack([[-u * v, 1 + u * u, -v], [-(1 + v * v), u * v, u]]),
        "move": stack([[w, none, -u * w], [none, w, -v * w]]),
        "focal": stack([[u], [v]]),
        "lens": stack([[u * r2], [v * r2]]),
        "shift": stack([[one, none], [none, one]]),
    }


def _fit(
    kind: str,
    design: Float[np.ndarray, "t k 2 p"],
    residual: Float[np.ndarray, "t k 2"],
    views: PersonViews,
    camera: int,
    use: np.ndarray,
) -> Remedy | None:
    weight = np.where(use, views.weight[:, camera], 0.0)
    before: list[float] = []
    after: list[float] = []
    for block in map(list, POSE33.parts):
        rest, own = weight.copy(), np.zeros_like(weight)
        rest[:, block], own[:, block] = 0.0, weight[:, block]
        if (own > 0).sum() < 2 or (rest > 0).sum() < 8:
            continue
        left = residual - design @ _solve(kind, design, residual, rest)
        before.append(_typical(residual, own))
        after.append(_typical(left, own))
    if len(before) < 3:
        return None
    values = _solve(kind, design, residual, weight)
    size = float(np.linalg.norm(values)) if len(values) > 1 else float(values[0])
    size = float(np.degrees(size)) if kind == "turn" else size
    if kind == "shift":
        size *= views.Ks[camera][0, 0] / views.cameras[camera].width
    return Remedy(kind, size, float(np.mean(before)), float(np.mean(after)), tuple(values.tolist()))


def _typical(residual: Float[np.ndarray, "t k 2"], weight: Float[np.ndarray, "t k"]) -> float:
    return float(np.median(np.linalg.norm(residual, axis=-1)[weight > 0]))


def _solve(
    kind: str,
    design: Float[np.ndarray, "t k 2 p"],
    residual: Float[np.ndarray, "t k 2"],
    weight: Float[np.ndarray, "t k"],
) -> Float[np.ndarray, "p"]:
    """Robust least squares with the prior; neighbouring frames err alike and count as a few together."""
    used = weight > 0
    A, b, w = design[used], residual[used], weight[used]
    share = min(1.0, 5.0 / max(len(weight), 1))
    values = np.zeros(A.shape[-1])
    spread = NOISE
    for _ in range(ITERATIONS):
        left = b - A @ values
        squared = (left**2).sum(-1)
        spread = max(NOISE, 1.5 * float(np.sqrt(np.median(squared))))
        robust = share * w / NOISE**2 / (1 + squared / (2 * spread) ** 2) ** 2
        information = np.einsum("n,nij,nil->jl", robust, A, A) + np.eye(len(values)) / PRIORS[kind] ** 2
        moment = np.einsum("n,nij,ni->j", robust, A, b)
        values = np.linalg.solve(information, moment)
    return values
