"""Left/right swaps of a detector undone by agreement between cameras and over time.

A pose network sees a back view now and then as a front view: it names the person's right side left. No single view can
tell, several can. Every assignment of "swapped" or "as detected" to the cameras is scored by how well the points then
triangulate; the sequence over the frames is found by dynamic programming, so that a camera does not change its mind
from frame to frame without evidence. Swapping all cameras at once gives the same score, mirrored; the handedness of the
body (left x up = forward, for shoulders, hips, nose and feet) decides between the two. Groups of keypoints (head, arms,
legs) may then deviate from the whole where a view confuses only these.

Symbols: ``t`` frames, ``c`` cameras, ``k`` keypoints, ``p`` pairs of cameras, ``s`` assignments (2^c, bit i is camera
i), ``g`` groups.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from simulacra.recon.multiview.detections import Detections, PinholeCameras
from simulacra.recon.multiview.triangulate import (
    TriangulationConfig,
    camera_pairs,
    pair_proposals,
    transverse_error,
    triangulate,
)
from simulacra.recon.runs.configuration import config
from simulacra.recon.runs.ranges import Weight

# Beyond this many cameras the others are aligned to the points of the surest ones: 2^c assignments grow too many.
_ENUMERATED_CAMERAS = 8
_CHUNK_FRAMES = 16


@config
class SwapConfig:
    """Costs are in truncated keypoint errors: 1 is one keypoint of full confidence quite off in one view.

    Attributes:
        enabled: whether swaps are looked for at all.
        flip_cost: of calling a camera swapped in one frame.
        change_cost: of a camera changing between neighbouring frames.
        group_cost: of a group deviating from the whole in one camera and frame.
    """

    enabled: bool = True
    flip_cost: Weight = 0.5
    change_cost: Weight = 2.0
    group_cost: Weight = 1.5


@dataclass(frozen=True)
class SwapCorrection:
    """Detections with their sides put right, and where that changed something."""

    detections: Detections
    swapped: Bool[np.ndarray, "t c g"]


def undo_swaps(
    detections: Detections,
    cameras: PinholeCameras,
    config: SwapConfig = SwapConfig(),  # noqa: B008
    triangulation: TriangulationConfig = TriangulationConfig(),  # noqa: B008
) -> SwapCorrection:
    """Detections with left and right exchanged where the other cameras say so."""
    confidence, groups = detections.confidence, detections.layout.groups
    frames, count = confidence.shape[:2]
    swapped = np.zeros((frames, count, len(groups)), dtype=bool)
    if not config.enabled or count < 3:  # two views cannot outvote each other
        return SwapCorrection(detections, swapped)
    surest = np.sort(np.argsort(-np.nansum(confidence, (0, 2)), kind="stable")[:_ENUMERATED_CAMERAS])
    sure, sure_cameras = detections.of_cameras(surest), cameras.subset(surest)
    costs = assignment_costs(sure, sure_cameras, triangulation)
    bits = _assignment_bits(len(surest))
    whole = best_sequence(costs.sum(1) + config.flip_cost * bits.sum(1), config.change_cost)
    flips = np.repeat(bits[whole][:, :, None], len(groups), 2)
    if _is_mirrored(sure.exchanged(flips), sure_cameras, triangulation):
        flips = ~flips
    for group in range(len(groups)):
        deviation = (bits[None] != flips[:, None, :, 0]).sum(-1)
        chosen = best_sequence(costs[:, group] + config.group_cost * deviation, config.change_cost)
        swapped[:, surest, group] = bits[chosen]
    rest = np.setdiff1d(np.arange(count), surest)
    if len(rest):
        points = triangulate(sure.exchanged(swapped[:, surest]), sure_cameras, triangulation).points
        others = detections.of_cameras(rest)
        swapped[:, rest] = _align_sides(others, cameras.subset(rest), points, config, triangulation)
    return SwapCorrection(detections.exchanged(swapped), swapped)


def assignment_costs(
    detections: Detections, cameras: PinholeCameras, config: TriangulationConfig
) -> Float[np.ndarray, "t g s"]:
    """Truncated triangulation cost of each group of keypoints under each assignment."""
    starts = range(0, len(detections.pixels), _CHUNK_FRAMES)
    return np.concatenate(
        [_chunk_costs(detections.of_frames(slice(i, i + _CHUNK_FRAMES)), cameras, config) for i in starts]
    )


def _chunk_costs(
    detections: Detections, cameras: PinholeCameras, config: TriangulationConfig
) -> Float[np.ndarray, "t g s"]:
    """As ``assignment_costs``.

    A pair of cameras proposes two points for a keypoint: both as detected (relation 0), or the second one swapped
    (relation 1); the other two combinations are these of the mirrored keypoint. ``terms[..., 0]`` is the error of every
    camera's detection of the keypoint, ``terms[..., 1]`` of its detection of the mirrored one.
    """
    layout = detections.layout
    same, mirror = np.arange(len(layout)), np.array(layout.mirror)
    weights = detections.weights(config.min_confidence)
    rays = cameras.rays(np.nan_to_num(detections.pixels))
    terms = []
    for twin in (same, mirror):
        points = pair_proposals(rays, weights, cameras, config.min_parallax, twin)
        sides = []
        for order in (same, mirror):
            error, _ = transverse_error(points, rays[:, :, order], cameras)
            sides.append(weights[:, None][:, :, :, order] * np.minimum((error / config.outlier_m) ** 2, 1.0))
        terms.append(np.stack(sides))
    table = np.stack(terms)  # [relation, side, t, p, c, k]
    bits = _assignment_bits(len(cameras)).astype(int)
    costs = np.empty((len(detections.pixels), len(layout.groups), len(bits)))
    half = len(bits) // 2  # the last camera unswapped; the other half are mirror images of equal cost
    for index in range(half):
        best = _cost_of(table, bits[index], camera_pairs(len(cameras)), mirror)
        for group, members in enumerate(layout.groups):
            costs[:, group, index] = best[:, list(members)].sum(-1)
            costs[:, group, len(bits) - 1 - index] = costs[:, group, index]
    return costs


def _cost_of(
    table: Float[np.ndarray, "2 2 t p c k"],
    bits: Int[np.ndarray, " c"],
    pairs: Int[np.ndarray, "p 2"],
    mirror: Int[np.ndarray, " k"],
) -> Float[np.ndarray, "t k"]:
    """Cost of every keypoint under one assignment: the best pair's proposal, summed over the cameras."""
    relation = bits[pairs[:, 0]] ^ bits[pairs[:, 1]]
    per_pair = []
    for number, (first, _) in enumerate(pairs):
        side = bits ^ bits[first]
        cost = table[relation[number], 0, :, number][:, side == 0].sum(1)
        cost += table[relation[number], 1, :, number][:, side == 1].sum(1)
        per_pair.append(cost[:, mirror] if bits[first] else cost)
    return np.min(per_pair, axis=0)


def best_sequence(unary: Float[np.ndarray, "t s"], change_cost: float) -> Int[np.ndarray, " t"]:
    """The cheapest assignment of each frame when every changed camera costs ``change_cost`` (Viterbi's algorithm)."""
    states = np.arange(unary.shape[1])
    changed = np.bitwise_count(states[:, None] ^ states[None, :]) * change_cost
    total = unary[0]
    back = np.zeros(unary.shape, dtype=int)
    for frame in range(1, len(unary)):
        candidates = total[:, None] + changed
        back[frame] = candidates.argmin(0)
        total = candidates.min(0) + unary[frame]
    path = np.empty(len(unary), dtype=int)
    path[-1] = total.argmin()
    for frame in range(len(unary) - 1, 0, -1):
        path[frame - 1] = back[frame, path[frame]]
    return path


def _assignment_bits(cameras: int) -> Bool[np.ndarray, "s c"]:
    return (np.arange(2**cameras)[:, None] >> np.arange(cameras)) % 2 == 1


def _is_mirrored(detections: Detections, cameras: PinholeCameras, config: TriangulationConfig) -> bool:
    """Whether the triangulated person is inside out: most left x up point backwards."""
    points = triangulate(detections, cameras, config).points
    left, right, low, high, back, front = (
        np.array(column) for column in zip(*detections.layout.handedness, strict=True)
    )

    def direction(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        difference = points[:, a] - points[:, b]
        return difference / np.linalg.norm(difference, axis=-1, keepdims=True)

    triple = (np.cross(direction(left, right), direction(high, low)) * direction(front, back)).sum(-1)
    return bool(np.nansum(triple) < 0)


def _align_sides(
    detections: Detections,
    cameras: PinholeCameras,
    points: Float[np.ndarray, "t k 3"],
    config: SwapConfig,
    triangulation: TriangulationConfig,
) -> Bool[np.ndarray, "t c g"]:
    """Sides of each camera for itself, against points that other cameras agree on."""
    layout, weights = detections.layout, detections.weights()
    rays = cameras.rays(np.nan_to_num(detections.pixels))
    known = np.isfinite(points).all(-1)[:, None]
    costs = []
    for order in (np.arange(len(layout)), np.array(layout.mirror)):
        error, _ = transverse_error(points, rays[:, :, order], cameras)
        truncated = np.minimum((error / triangulation.outlier_m) ** 2, 1)
        costs.append(np.where(known, weights[:, :, order] * truncated, 0.0))
    unary = np.stack(costs, -1)  # [t, c, k, 2]
    result = np.zeros((*weights.shape[:2], len(layout.groups)), dtype=bool)
    for group, members in enumerate(layout.groups):
        for camera in range(len(cameras)):
            cost = unary[:, camera, list(members)].sum(1) + config.flip_cost * np.array([0.0, 1.0])
            result[:, camera, group] = best_sequence(cost, config.change_cost) == 1
    return result
