"""One camera from views of a board: focal lengths, principal point, and as much of a lens as the views support.

A start comes from the homographies of the views (Zhang 2000) with the principal point in the middle; the bundle
adjustment of one camera does the rest. How many lens coefficients there are is decided by views that were left out: a
lens is fitted to four fifths of the views, the board is placed anew in each of the others with that lens held, and the
reprojection of all corners there is compared. More coefficients must beat fewer by a standard error of the difference;
otherwise they describe the noise, and bend the image where no board was seen. A lens whose image turns back on itself
before its corners is none, however well it explains the boards: it has fewer coefficients.

Symbols: ``v`` views, ``k`` corners.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import Bool, Float

from simulacra.recon.calibrate.boards import Board
from simulacra.recon.calibrate.recordings import BoardView
from simulacra.recon.multiview.bundle import adjust_bundle
from simulacra.recon.multiview.rig import INTRINSICS, LENSES, CameraRig, Sightings, body_pose, project_points
from simulacra.recon.session import Lens
from simulacra.recon.session.lens import first_fold
from simulacra.render.runtime.errors import CaptureError

FEWEST_VIEWS = 3
_FEWEST_TO_CHOOSE = 5
_FOLDS = 5
# Focal lengths tried, beside the homographies' own, as parts of the longer side: 130 to 20 degrees.
_TRIED = (0.25, 0.4, 0.6, 0.8, 1.0, 1.3, 1.8, 2.6)
_SIGMA_PX = 0.5
_LEAST_SIGMA_PX = 0.02
# The image must grow outwards to the farthest corner and this much farther: half a corner's cell of an 8 x 8 grid.
_BEYOND_CORNER = 1.05
_ROUGHLY = 1e-5  # of the cost: lenses change by less than they are known


@dataclass(frozen=True)
class CameraLens:
    """Intrinsics of one camera.

    Attributes:
        intrinsics: fx fy cx cy k1 k2 p1 p2 k3.
        free: which of them were estimated.
        held_out_px: rms reprojection of views left out, by the number of lens coefficients.
        sigma_px: robust standard deviation of a corner, in x or y.
    """

    intrinsics: Float[np.ndarray, " 9"]
    free: Bool[np.ndarray, " 9"]
    held_out_px: Mapping[int, float]
    sigma_px: float


def calibrate_lens(
    views: Sequence[BoardView], board: Board, size: tuple[int, int], lens: int | None = None
) -> CameraLens:
    """Intrinsics out of one camera's views.

    Args:
        lens: number of coefficients (0, 1, 2, 4 or 5); decided by left-out views if None, where there are five or more.
            It is the most that there may be: with coefficients that fold the image over there are fewer.

    Raises:
        CaptureError: too few views.
        CalibrationError: the views do not fix the intrinsics: all boards parallel to the image, for instance.
    """
    if len(views) < FEWEST_VIEWS:
        raise CaptureError(
            "a camera has too few views of the board for its lens",
            expected=f"{FEWEST_VIEWS} and better 20, tilted, all over the image",
            found=len(views),
        )
    start = _start(views, board, size)
    held_out: dict[int, float] = {}
    if lens is None and len(views) < _FEWEST_TO_CHOOSE:
        lens = 1
    elif lens is None:
        lens, held_out = _choose(views, board, start, size)
    fit = _fit(views, board, start, lens)
    while lens > 0 and folds_over(fit.intrinsics, size):
        lens = fewer_coefficients(lens)
        fit = _fit(views, board, start, lens)
    return CameraLens(fit.intrinsics, free_intrinsics(lens), held_out, fit.sigma)


def free_intrinsics(lens: int) -> Bool[np.ndarray, " 9"]:
    """Which intrinsics are estimated with so many lens coefficients."""
    names = ("fx", "fy", "cx", "cy", *LENSES[lens])
    return np.array([name in names for name in INTRINSICS])


def fewer_coefficients(lens: int) -> int:
    """The next smaller number of lens coefficients."""
    return max(count for count in LENSES if count < lens)


def folds_over(intrinsics: Float[np.ndarray, " 9"], size: tuple[int, int]) -> bool:
    """Whether the image turns back on itself before the farthest corner, of rays or of the picture, and a margin."""
    if not intrinsics[4:].any():
        return False
    corners = np.array([[x, y] for x in (0, size[0]) for y in (0, size[1])])
    farthest = float(np.linalg.norm((corners - intrinsics[2:4]) / intrinsics[:2], axis=-1).max())
    return min(first_fold(Lens("opencv", tuple(intrinsics[4:].tolist())))) < _BEYOND_CORNER * farthest


def robust_sigma(residuals: Float[np.ndarray, "n 2"]) -> float:
    """Standard deviation of one coordinate, from the median of the residuals' lengths (Rayleigh's)."""
    return max(float(np.median(np.linalg.norm(residuals, axis=-1)) / 1.1774), _LEAST_SIGMA_PX)


def _start(views: Sequence[BoardView], board: Board, size: tuple[int, int]) -> Float[np.ndarray, " 9"]:
    """The focal length under which the views are most nearly of a flat board, without a lens."""
    width, height = size
    tried = [part * max(size) for part in _TRIED]
    focal = _focal_of_homographies(views, board, size)
    if focal is not None and 0.2 * max(size) < focal < 5 * max(size):
        tried.append(focal)
    some = [views[i] for i in np.unique(np.linspace(0, len(views) - 1, 20).round().astype(int)).tolist()]
    best, least = None, np.inf
    for f in tried:
        intrinsics = np.array([f, f, width / 2, height / 2, 0, 0, 0, 0, 0])
        errors = [_view_error(view, board, intrinsics) for view in some]
        if (error := float(np.median(errors))) < least:
            best, least = intrinsics, error
    if best is None or not np.isfinite(least):
        raise CaptureError("no view of the board can be a view of a flat board", found=f"{len(views)} views")
    return best


def _focal_of_homographies(views: Sequence[BoardView], board: Board, size: tuple[int, int]) -> float | None:
    """Columns of a homography are two orthogonal directions of one length: two equations for 1 / f² each."""
    rows = []
    for view in views:
        places = board.corners[view.corners.numbers, :2] / board.square_m
        H, _ = cv2.findHomography(places, (view.corners.pixels - np.array(size) / 2) / max(size))
        if H is None:
            continue
        a, b = H[:, 0], H[:, 1]
        scale = 1 / (np.linalg.norm(a) * np.linalg.norm(b))
        rows.append(scale * np.array([a[0] * b[0] + a[1] * b[1], a[2] * b[2]]))
        rows.append(scale * np.array([a[0] ** 2 + a[1] ** 2 - b[0] ** 2 - b[1] ** 2, a[2] ** 2 - b[2] ** 2]))
    if not rows:
        return None
    system = np.array(rows)
    inverse = -(system[:, 0] @ system[:, 1]) / max(system[:, 0] @ system[:, 0], 1e-30)
    return float(max(size) / np.sqrt(inverse)) if inverse > 0 else None


def _view_error(view: BoardView, board: Board, intrinsics: Float[np.ndarray, " 9"]) -> float:
    """Rms reprojection of one view, the board placed as well as it can be."""
    residuals = view_residuals(view, board, intrinsics)
    return float(np.sqrt((residuals**2).sum(-1).mean())) if residuals is not None else np.inf


def view_residuals(
    view: BoardView, board: Board, intrinsics: Float[np.ndarray, " 9"]
) -> Float[np.ndarray, "k 2"] | None:
    """Seen less projected pixels under the best placement of the board; None where there is none."""
    places = board.corners[view.corners.numbers]
    pose = body_pose(places, view.corners.pixels, intrinsics)
    if pose is None:
        return None
    local = places @ pose[:3, :3].T + pose[:3, 3]
    if (local[:, 2] <= 0).any():
        return None
    return view.corners.pixels - project_points(local, intrinsics)[0]


@dataclass(frozen=True)
class _Fit:
    """A fitted lens, and what it takes to fit it again to fewer views."""

    intrinsics: Float[np.ndarray, " 9"]
    sigma: float
    sightings: Sightings
    poses: Float[np.ndarray, "v 4 4"]
    kept: list[int]


def _fit(views: Sequence[BoardView], board: Board, start: Float[np.ndarray, " 9"], lens: int) -> _Fit:
    """The bundle adjustment of one camera; lens coefficients join when the rest has settled."""
    intrinsics, sigma = start, _SIGMA_PX
    for step in dict.fromkeys((0, min(lens, 2), lens)):
        sightings, poses, kept = _one_camera(views, board, intrinsics, sigma)
        rig = CameraRig(intrinsics[None], np.eye(4)[None])
        found = adjust_bundle(
            rig, poses, sightings, free_intrinsics(step)[None], poses="held", tolerance=_ROUGHLY
        )
        intrinsics, sigma = found.rig.intrinsics[0], robust_sigma(found.residuals)
    return _Fit(intrinsics, sigma, sightings, found.bodies, kept)


def _fit_again(fit: _Fit, lens: int, without: set[int]) -> Float[np.ndarray, " 9"]:
    """Intrinsics of the same fit without some views, from where it ended."""
    bodies = [i for i, view in enumerate(fit.kept) if view not in without]
    rest = fit.sightings.only(np.isin(fit.sightings.body, bodies))
    rest = replace(rest, sigma=np.full(len(rest.sigma), fit.sigma))
    rig = CameraRig(fit.intrinsics[None], np.eye(4)[None])
    free = free_intrinsics(lens)[None]
    return adjust_bundle(rig, fit.poses, rest, free, poses="held", tolerance=_ROUGHLY).rig.intrinsics[0]


def _one_camera(
    views: Sequence[BoardView], board: Board, intrinsics: Float[np.ndarray, " 9"], sigma: float
) -> tuple[Sightings, Float[np.ndarray, "v 4 4"], list[int]]:
    """Views as sightings of a lone camera, and which; views that no board explains are left out."""
    kept, poses = [], []
    for number, view in enumerate(views):
        pose = body_pose(board.corners[view.corners.numbers], view.corners.pixels, intrinsics)
        if pose is not None:
            kept.append(number)
            poses.append(pose)
    if len(kept) < FEWEST_VIEWS:
        raise CaptureError("too few views of the board can be views of a flat board", found=len(kept))
    own = [views[number] for number in kept]
    sightings = sightings_of(own, board, np.arange(len(kept)), np.full(1, sigma), lone=True)
    return sightings, np.stack(poses), kept


def sightings_of(
    views: Sequence[BoardView],
    board: Board,
    bodies: np.ndarray,
    sigmas: Float[np.ndarray, " c"],
    *,
    lone: bool = False,
) -> Sightings:
    """Views as observations; ``bodies`` says which board of the bundle each shows."""
    counts = [len(view.corners.numbers) for view in views]
    camera = np.repeat([0 if lone else view.camera for view in views], counts)
    pixels = np.concatenate([view.corners.pixels for view in views])
    return Sightings(
        camera,
        np.repeat(bodies, counts),
        np.concatenate([board.corners[view.corners.numbers] for view in views]),
        pixels,
        sigmas[camera],
        np.zeros_like(pixels),
    )


def _choose(
    views: Sequence[BoardView], board: Board, start: Float[np.ndarray, " 9"], size: tuple[int, int]
) -> tuple[int, dict[int, float]]:
    """The fewest coefficients that views left out do not clearly ask to exceed, and their rms for each; none that
    fold the image over.
    """
    folds = np.arange(len(views)) * _FOLDS // len(views)  # neighbours in time err alike: out together
    errors: dict[int, np.ndarray] = {}
    for lens in LENSES:
        squared = np.full(len(views), np.inf)
        fit = _fit(views, board, start, lens)
        if folds_over(fit.intrinsics, size):
            continue
        for fold in range(_FOLDS):
            out = np.flatnonzero(folds == fold)
            if (len(views) - len(out)) * 2 < 4 + lens:
                continue
            intrinsics = _fit_again(fit, lens, set(out.tolist()))
            for place in out.tolist():
                squared[place] = _view_error(views[place], board, intrinsics) ** 2
        errors[lens] = squared
    chosen = 0
    for lens in errors:
        both = np.isfinite(errors[chosen]) & np.isfinite(errors[lens])
        gain = np.log(errors[chosen][both] + 1e-6) - np.log(errors[lens][both] + 1e-6)
        if lens and len(gain) > 2 and gain.mean() > gain.std(ddof=1) / np.sqrt(len(gain)):
            chosen = lens
    rms = {lens: float(np.sqrt(np.median(each))) for lens, each in errors.items()}
    return chosen, rms
