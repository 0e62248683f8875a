"""A rig out of views of a board: lenses first, then poses between cameras, then everything at once.

Cameras that saw the board at one moment are linked by the relative pose under which the most of those moments agree
(the medoid: a candidate of one moment is judged by the reprojection of all the others). The strongest links (a maximum
spanning tree over the number of moments) place every camera; the bundle adjustment takes the loops into account.

The world is at first the first camera's. It is then turned and moved as a whole (see `in_world`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from jaxtyping import Bool, Float

from simulacra.recon.calibrate.boards import Board
from simulacra.recon.calibrate.clocks import Clocks, board_motion, in_time, moment_times
from simulacra.recon.calibrate.lens import (
    CameraLens,
    calibrate_lens,
    fewer_coefficients,
    folds_over,
    robust_sigma,
    sightings_of,
)
from simulacra.recon.calibrate.recordings import BoardView, BoardViews
from simulacra.recon.multiview.bundle import Bundle, adjust_bundle
from simulacra.recon.multiview.rig import CameraRig, Sightings, body_pose, project_points
from simulacra.render.runtime.errors import CaptureError

MOST_VIEWS_OF_A_CAMERA = 120
# Views are left out as blurred where edges are so many times as wide as in the camera's sharper ones, unless so few
# would remain.
_BLURRED = 2.0
_ENOUGH = 20
FEWEST_LINKS = 3
# Rounds of adjustment; poses and lags settle before lenses may follow them.
_ROUNDS, _SETTLED, _STEPS = 12, 6, 12
_LONE_ROUNDS = 3
_COARSE_PX = 2.0
# Reprojection beyond which a board was not one (a wrong number, a reflection): of the median of the camera's views.
_WRONG = 8.0


@dataclass(frozen=True)
class RigCalibration:
    """A calibrated rig.

    Attributes:
        board: what was seen.
        cameras: names.
        sizes: width and height.
        bundle: cameras, boards and their uncertainty, in the world.
        free: which intrinsics were estimated.
        lenses: what each camera alone said; None where its intrinsics were given.
        views: those used, in the order of the bundle's boards' sightings.
        sightings: the corners of these.
        moments: the name of each board of the bundle.
        notes: what was assumed or left out.
        linked: whether poses between the cameras were estimated.
        clocks: when cameras exposed, against the moment that their pictures share.
        late: how far each corner lies from where it would have been seen at that moment, by its camera's mean lag; the
            bundle's residuals are without it, pixels.
    """

    board: Board
    cameras: tuple[str, ...]
    sizes: tuple[tuple[int, int], ...]
    bundle: Bundle
    free: Bool[np.ndarray, "c 9"]
    lenses: tuple[CameraLens | None, ...]
    views: tuple[BoardView, ...]
    sightings: Sightings
    moments: tuple[str, ...]
    notes: tuple[str, ...]
    clocks: Clocks
    late: Float[np.ndarray, "n 2"]
    linked: bool = True


def calibrate_rig(
    found: BoardViews,
    *,
    lens: int | None = None,
    intrinsics: Mapping[str, Float[np.ndarray, " 9"]] | None = None,
    refine_intrinsics: bool = True,
) -> RigCalibration:
    """Lenses and poses of all cameras.

    Args:
        lens: number of lens coefficients of every camera; decided by left-out views if None.
        intrinsics: fx fy cx cy k1 k2 p1 p2 k3 of cameras whose lens is known: a start, and kept as they are if
            ``refine_intrinsics`` is off.
        refine_intrinsics: whether the bundle adjustment of the rig changes intrinsics.

    Raises:
        CaptureError: too few views, a board that cannot locate cameras, or cameras that share no moment.
        CalibrationError: the views do not fix something.
    """
    linked = len(found.cameras) > 1
    if linked and not found.board.locates:
        raise CaptureError(
            "this chessboard looks the same turned by half: it cannot say where cameras are",
            expected="one even and one odd count of inner corners, or a ChArUco board",
            found=f"{found.board.columns} x {found.board.rows}",
        )
    views, notes = select_views(found)
    own = [[view for view in views if view.camera == camera] for camera in range(len(found.cameras))]
    lenses = [
        None if name in (intrinsics or {}) else _lens(found, camera, own[camera], lens)
        for camera, name in enumerate(found.cameras)
    ]
    given = intrinsics or {}
    start = np.stack(
        [one.intrinsics if one else given[name] for one, name in zip(lenses, found.cameras, strict=True)]
    )
    free = np.stack(
        [one.free if one else given[name] != 0 for one, name in zip(lenses, found.cameras, strict=True)]
    )
    free &= refine_intrinsics
    views, left = _drop_misread(views, found.board, start)
    notes += left
    viewmats = _place_cameras(views, found, start) if linked else np.eye(4)[None]
    adjusted = _adjust_in_rounds(found, views, CameraRig(start, viewmats), free, tuple(lenses), notes)
    return unfold(found, views, adjusted)


def unfold(found: BoardViews, views: Sequence[BoardView], adjusted: RigCalibration) -> RigCalibration:
    """The calibration with fewer coefficients of lenses that fold over once the rig is adjusted, until none does."""
    folded = [
        camera
        for camera, size in enumerate(found.sizes)
        if adjusted.free[camera, 4:].any() and folds_over(adjusted.bundle.rig.intrinsics[camera], size)
    ]
    if not folded:
        return adjusted
    intrinsics, free = adjusted.bundle.rig.intrinsics.copy(), adjusted.free.copy()
    lenses, notes = list(adjusted.lenses), list(adjusted.notes)
    for camera in folded:
        count = fewer_coefficients(int(free[camera, 4:].sum()))
        own = [view for view in views if view.camera == camera]
        before, lens = lenses[camera], _lens(found, camera, own, count)
        lenses[camera] = replace(lens, held_out_px=before.held_out_px if before else {})
        intrinsics[camera], free[camera] = lens.intrinsics, lens.free
        notes.append(
            f"{found.cameras[camera]}: {int(lens.free[4:].sum())} lens coefficients: with more its image would fold "
            "over before the corners, where no board was seen"
        )
    rig = CameraRig(intrinsics, adjusted.bundle.rig.viewmats)
    return unfold(found, views, _adjust_in_rounds(found, views, rig, free, tuple(lenses), notes))


def calibrate_lenses(found: BoardViews, *, lens: int | None = None) -> tuple[RigCalibration, ...]:
    """Each camera alone: for recordings in which no moment is shared. Every world is its camera."""
    result = []
    for camera, name in enumerate(found.cameras):
        own = tuple(replace(view, camera=0) for view in found.views if view.camera == camera)
        alone = BoardViews(found.board, (name,), (found.sizes[camera],), (found.looked[camera],), own)
        result.append(replace(calibrate_rig(alone, lens=lens), linked=False))
    return tuple(result)


def _lens(found: BoardViews, camera: int, views: Sequence[BoardView], lens: int | None) -> CameraLens:
    try:
        return calibrate_lens(views, found.board, found.sizes[camera], lens)
    except CaptureError as error:
        raise CaptureError(
            error.what,
            where=f"camera {found.cameras[camera]}",
            expected=error.expected,
            found=error.found,
            remedy=error.remedy or "record more of it, or give the camera's intrinsics",
        ) from error


# -- views -----------------------------------------------------------------------------------------


def select_views(found: BoardViews) -> tuple[list[BoardView], list[str]]:
    """Sharp views, and of many those that differ most; moments that cameras share are kept whole."""
    notes, sharp = [], []
    for camera, name in enumerate(found.cameras):
        own = [view for view in found.views if view.camera == camera]
        if not own:
            raise CaptureError(
                "a camera never saw the board", where=name, found=f"{found.looked[camera]} pictures of it"
            )
        widths = np.sort([view.corners.edge_px for view in own])
        limit = max(_BLURRED * float(np.percentile(widths, 25)), float(widths[min(_ENOUGH, len(own)) - 1]))
        kept = [view for view in own if view.corners.edge_px <= limit]
        if len(kept) < len(own):
            notes.append(f"{name}: {len(own) - len(kept)} of {len(own)} views left out as blurred")
        sharp += kept
    chosen: set[str] = set()
    for camera in range(len(found.cameras)):
        own = [view for view in sharp if view.camera == camera]
        chosen |= {own[i].moment for i in _choose_farthest(own, found, MOST_VIEWS_OF_A_CAMERA)}
    return [view for view in sharp if view.moment in chosen], notes


def _choose_farthest(views: Sequence[BoardView], found: BoardViews, most: int) -> list[int]:
    """Farthest-point choice among place, size and foreshortening of the board in the image."""
    if len(views) <= most:
        return list(range(len(views)))
    described = np.array([_describe_view(view, found) for view in views])
    chosen = [int(np.linalg.norm(described - described.mean(0), axis=-1).argmax())]
    distance = np.linalg.norm(described - described[chosen[0]], axis=-1)
    while len(chosen) < most:
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, np.linalg.norm(described - described[chosen[-1]], axis=-1))
    return chosen


def _describe_view(view: BoardView, found: BoardViews) -> Float[np.ndarray, " 6"]:
    """Centre, and the affine map of the board to the image, as parts of the image's size."""
    places = found.board.corners[view.corners.numbers, :2]
    side = found.board.square_m * max(found.board.columns, found.board.rows)
    places = (places - found.board.corners[:, :2].mean(0)) / side
    pixels = view.corners.pixels / max(found.sizes[view.camera])
    design = np.concatenate([places, np.ones((len(places), 1))], 1)
    affine = np.linalg.lstsq(design, pixels, rcond=None)[0]
    return affine.ravel()


def _drop_misread(
    views: Sequence[BoardView], board: Board, intrinsics: Float[np.ndarray, "c 9"]
) -> tuple[list[BoardView], list[str]]:
    """Views that are of a flat board under the lenses found; the others are misread."""
    errors = np.array([_reprojection(view, board, intrinsics[view.camera]) for view in views])
    cameras = np.array([view.camera for view in views])
    limits = {c: max(_WRONG * float(np.median(errors[cameras == c])), 2.0) for c in np.unique(cameras)}
    kept = [view for view, error in zip(views, errors, strict=True) if error <= limits[view.camera]]
    note = (
        [f"{len(views) - len(kept)} views left out: no flat board explains them"]
        if len(kept) < len(views)
        else []
    )
    return kept, note


def _reprojection(view: BoardView, board: Board, intrinsics: Float[np.ndarray, " 9"]) -> float:
    pose = body_pose(board.corners[view.corners.numbers], view.corners.pixels, intrinsics)
    return _error(view, board, intrinsics, pose) if pose is not None else np.inf


def _error(
    view: BoardView, board: Board, intrinsics: Float[np.ndarray, " 9"], pose: Float[np.ndarray, "4 4"]
) -> float:
    """Median reprojection of a view of a board at a pose (board to camera), pixels."""
    local = board.corners[view.corners.numbers] @ pose[:3, :3].T + pose[:3, 3]
    if (local[:, 2] <= 0.01).any():
        return np.inf
    apart = view.corners.pixels - project_points(local, intrinsics)[0]
    return float(np.median(np.linalg.norm(apart, axis=-1)))


# -- poses -----------------------------------------------------------------------------------------


def _place_cameras(
    views: Sequence[BoardView], found: BoardViews, intrinsics: Float[np.ndarray, "c 9"]
) -> Float[np.ndarray, "c 4 4"]:
    """Viewmats with the first camera as the world."""
    by_moment: dict[str, dict[int, BoardView]] = defaultdict(dict)
    for view in views:
        by_moment[view.moment][view.camera] = view
    links = {}
    for pair in combinations(range(len(found.cameras)), 2):
        both = [(seen[pair[0]], seen[pair[1]]) for seen in by_moment.values() if set(pair) <= set(seen)]
        if both:
            links[pair] = (len(both), _relative(both, found.board, intrinsics))
    placed = {0: np.eye(4)}
    while len(placed) < len(found.cameras):
        reach = [pair for pair in links if (pair[0] in placed) != (pair[1] in placed)]
        reach = [pair for pair in reach if links[pair][0] >= FEWEST_LINKS]
        if not reach:
            apart = [name for camera, name in enumerate(found.cameras) if camera not in placed]
            raise CaptureError(
                "cameras do not see the board at the same time as the others",
                where=", ".join(apart),
                expected=f"at least {FEWEST_LINKS} shared moments with another camera",
                found={"+".join(found.cameras[c] for c in pair): count for pair, (count, _) in links.items()}
                or "none",
                remedy="hold the board where two cameras see it, and go round; check that the recordings are in step",
            )
        first, second = max(reach, key=lambda pair: links[pair][0])
        relative = links[first, second][1]
        if first in placed:
            placed[second] = relative @ placed[first]
        else:
            placed[first] = np.linalg.inv(relative) @ placed[second]
    return np.stack([placed[camera] for camera in range(len(found.cameras))])


def _relative(
    both: Sequence[tuple[BoardView, BoardView]], board: Board, intrinsics: Float[np.ndarray, "c 9"]
) -> Float[np.ndarray, "4 4"]:
    """Second camera from first: the candidate under which most moments agree."""
    sound = []
    for pair in both:
        first, second = (
            body_pose(board.corners[view.corners.numbers], view.corners.pixels, intrinsics[view.camera])
            for view in pair
        )
        if first is not None and second is not None:
            sound.append((first, second, pair[1]))
    best, least = np.eye(4), np.inf
    for start, seen, _ in sound[:: max(1, len(sound) // 60)]:
        candidate = seen @ np.linalg.inv(start)
        errors = [_error(view, board, intrinsics[view.camera], candidate @ pose) for pose, _, view in sound]
        if (error := float(np.median(errors))) < least:
            best, least = candidate, error
    return best


def _adjust_in_rounds(
    found: BoardViews,
    views: Sequence[BoardView],
    rig: CameraRig,
    free: Bool[np.ndarray, "c 9"],
    lenses: tuple[CameraLens | None, ...],
    notes: list[str],
) -> RigCalibration:
    """Bundle adjustment with each camera's corners as sure as they prove to be."""
    views, bodies, moments, poses = _boards(views, found.board, rig)
    count = len(rig.viewmats)
    seen = sightings_of(views, found.board, bodies, np.full(count, _COARSE_PX))
    sightings, clocks = seen, Clocks.none(count)
    times = moment_times(views, bodies) if count > 1 else None
    for number in range(_ROUNDS):
        last = number == _ROUNDS - 1
        use = free if number >= _SETTLED or count == 1 else np.zeros_like(free)
        bundle = adjust_bundle(
            rig,
            poses,
            sightings,
            use,
            poses="free" if count > 1 else "held",
            most_steps=100 if last else _STEPS,
        )
        rig, poses = bundle.rig, bundle.bodies
        if last or (count == 1 and number == _LONE_ROUNDS):
            break
        in_step = bundle.residuals - bundle.clocks[:, None] * sightings.drift
        least = _COARSE_PX * 0.5**number if count > 1 else 0.0
        sigmas = np.array([max(robust_sigma(in_step[sightings.camera == c]), least) for c in range(count)])
        motion = board_motion(rig, poses, seen, times)
        clocks = clocks.updated(bundle, sightings, times, number >= _SETTLED)
        sightings = in_time(replace(seen, sigma=sigmas[seen.camera]), motion, clocks)
    return RigCalibration(
        found.board, found.cameras, found.sizes, bundle, free, lenses, tuple(views), sightings, moments,
        tuple(notes), clocks=clocks, late=seen.pixels - sightings.pixels,
    )  # fmt: skip


def _boards(
    views: Sequence[BoardView], board: Board, rig: CameraRig
) -> tuple[list[BoardView], np.ndarray, tuple[str, ...], Float[np.ndarray, "b 4 4"]]:
    """Boards placed by the view of each moment that explains the moment's other views best."""
    by_moment: dict[str, list[BoardView]] = defaultdict(list)
    for view in views:
        by_moment[view.moment].append(view)
    kept: list[BoardView] = []
    bodies: list[int] = []
    moments: list[str] = []
    poses: list[np.ndarray] = []
    for moment, seen in by_moment.items():
        best, least = None, np.inf
        for view in seen:
            local = body_pose(
                board.corners[view.corners.numbers], view.corners.pixels, rig.intrinsics[view.camera]
            )
            if local is None:
                continue
            pose = np.linalg.inv(rig.viewmats[view.camera]) @ local
            errors = [_error(o, board, rig.intrinsics[o.camera], rig.viewmats[o.camera] @ pose) for o in seen]
            if (error := float(np.mean(np.minimum(errors, 1e3)))) < least:
                best, least = pose, error
        if best is None:
            continue
        kept += seen
        bodies += [len(moments)] * len(seen)
        moments.append(moment)
        poses.append(best)
    return kept, np.array(bodies), tuple(moments), np.stack(poses)
