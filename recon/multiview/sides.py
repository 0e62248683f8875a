"""Left/right swaps of a detector undone by agreement between cameras and over time.

A pose network sees a back view now and then as a front view: it names the person's right side left. No single
    view can tell, several can. Every assignment of "swapped" or "as detected" to the cameras is scored by how
    well the points then triangulate; the sequence over the frames is found by dynamic programming, so that a
    camera does not change its mind from frame to frame without evidence. Swapping all cameras at once gives
    the same score, mirrored; the handedness of the body (left x up = forward, for shoulders, hips, nose and
    feet) decides between the two. Groups of keypoints (head, arms, legs) may then deviate from the whole
    where a view confuses only these.

Symbols: ``t`` frames, ``c`` cameras, ``k`` keypoints, ``p`` pairs of cameras, ``s`` assignments (2^c, bit i
    is camera i), ``g`` groups.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from jaxtyping import Bool, Float, Int
from pydantic import Field

from simulacra.recon.multiview.triangulate import (
    Confidence,
    Points2D,
    TriangulationConfig,
    closest_points,
    normalised_rays,
    transverse_error,
    triangulate,
)
from simulacra.recon.runs.configuration import config

# Beyond this many cameras the others are aligned to the points of the surest ones: 2^c assignments grow too
# many.
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
    flip_cost: float = Field(default=0.5, ge=0)
    change_cost: float = Field(default=2.0, ge=0)
    group_cost: float = Field(default=1.5, ge=0)


@dataclass(frozen=True)
class KeypointLayout:
    """Which keypoints mirror each other, belong together and tell front from back.

    Attributes:
        mirror: for each keypoint its twin on the other side, or itself.
        groups: keypoints that may be swapped together, each closed under ``mirror``.
        handedness: (left, right, low, high, back, front) sextuples: left - right, high - low and front - back
            of an upright person form a right-handed frame.
    """

    mirror: tuple[int, ...]
    groups: tuple[tuple[int, ...], ...]
    handedness: tuple[tuple[int, int, int, int, int, int], ...]


# MediaPipe's 33 pose landmarks: 0-10 head, 11-22 arms and hands, 23-32 legs and feet; odd ones from 7 on are
# left.
POSE33 = KeypointLayout(
    mirror=(0, 4, 5, 6, 1, 2, 3, 8, 7, 10, 9, *(i + 1 if i % 2 else i - 1 for i in range(11, 33))),
    groups=(tuple(range(11)), tuple(range(11, 23)), tuple(range(23, 33))),
    handedness=(
        (7, 8, 9, 3, 7, 0),
        (7, 8, 10, 6, 8, 0),
        (11, 12, 23, 11, 7, 0),
        (11, 12, 24, 12, 8, 0),
        (23, 24, 23, 11, 29, 31),
        (23, 24, 24, 12, 30, 32),
    ),
)


@dataclass(frozen=True)
class SwapCorrection:
    """Keypoints with their sides put right, and where that changed something."""

    pixels: Points2D
    confidence: Confidence
    swapped: Bool[np.ndarray, "t c g"]


def undo_swaps(
    pixels: Points2D,
    confidence: Confidence,
    viewmats: Float[np.ndarray, "c 4 4"],
    Ks: Float[np.ndarray, "c 3 3"],
    config: SwapConfig = SwapConfig(),  # noqa: B008
    triangulation: TriangulationConfig = TriangulationConfig(),  # noqa: B008
    layout: KeypointLayout = POSE33,
) -> SwapCorrection:
    """Detections with left and right exchanged where the other cameras say so.

    Args:
        pixels: detections, NaN where there is none.
        confidence: 0..1.
    """
    frames, cameras = confidence.shape[:2]
    swapped = np.zeros((frames, cameras, len(layout.groups)), dtype=bool)
    if not config.enabled or cameras < 3:  # two views cannot outvote each other
        return SwapCorrection(pixels, confidence, swapped)
    surest = np.sort(np.argsort(-np.nansum(confidence, (0, 2)), kind="stable")[:_ENUMERATED_CAMERAS])
    costs = assignment_costs(
        pixels[:, surest], confidence[:, surest], viewmats[surest], Ks[surest], triangulation, layout
    )
    bits = _assignment_bits(len(surest))
    whole = best_sequence(costs.sum(1) + config.flip_cost * bits.sum(1), config.change_cost)
    flips = np.repeat(bits[whole][:, :, None], len(layout.groups), 2)
    if _is_mirrored(
        pixels[:, surest], confidence[:, surest], flips, viewmats[surest], Ks[surest], triangulation, layout
    ):
        flips = ~flips
    for group in range(len(layout.groups)):
        deviation = (bits[None] != flips[:, None, :, 0]).sum(-1)
        chosen = best_sequence(costs[:, group] + config.group_cost * deviation, config.change_cost)
        swapped[:, surest, group] = bits[chosen]
    rest = np.setdiff1d(np.arange(cameras), surest)
    if len(rest):
        swapped[:, rest] = _aligned_rest(
            pixels, confidence, viewmats, Ks, swapped, surest, rest, config, triangulation, layout
        )
    corrected = exchange(pixels, confidence, swapped, layout)
    return SwapCorrection(*corrected, swapped=swapped)


def exchange(
    pixels: Points2D,
    confidence: Confidence,
    swapped: Bool[np.ndarray, "t c g"],
    layout: KeypointLayout = POSE33,
) -> tuple[Points2D, Confidence]:
    """Left and right of the marked groups exchanged."""
    mirror = np.array(layout.mirror)
    order = np.broadcast_to(np.arange(len(mirror)), confidence.shape).copy()
    for number, group in enumerate(layout.groups):
        members = np.array(group)
        order[:, :, members] = np.where(swapped[:, :, number, None], mirror[members], members)
    return np.take_along_axis(pixels, order[..., None], 2), np.take_along_axis(confidence, order, 2)


def assignment_costs(
    pixels: Points2D,
    confidence: Confidence,
    viewmats: Float[np.ndarray, "c 4 4"],
    Ks: Float[np.ndarray, "c 3 3"],
    config: TriangulationConfig,
    layout: KeypointLayout,
) -> Float[np.ndarray, "t g s"]:
    """Truncated triangulation cost of each group of keypoints under each assignment."""
    parts = [
        _chunk_costs(
            pixels[i : i + _CHUNK_FRAMES], confidence[i : i + _CHUNK_FRAMES], viewmats, Ks, config, layout
        )
        for i in range(0, len(pixels), _CHUNK_FRAMES)
    ]
    return np.concatenate(parts)


def _chunk_costs(
    pixels: Points2D,
    confidence: Confidence,
    viewmats: Float[np.ndarray, "c 4 4"],
    Ks: Float[np.ndarray, "c 3 3"],
    config: TriangulationConfig,
    layout: KeypointLayout,
) -> Float[np.ndarray, "t g s"]:
    """As ``assignment_costs``.

    A pair of cameras proposes two points for a keypoint: both as detected (relation 0), or the second one
        swapped (relation 1); the other two combinations are these of the mirrored keypoint. ``terms[..., 0]``
        is the error of every camera's detection of the keypoint, ``terms[..., 1]`` of its detection of the
        mirrored one.
    """
    mirror = np.array(layout.mirror)
    pairs = np.array(list(combinations(range(len(viewmats)), 2)))
    weights = np.where(
        np.isfinite(pixels).all(-1) & (confidence >= config.min_confidence), np.nan_to_num(confidence), 0
    )
    rays = normalised_rays(np.nan_to_num(pixels), Ks)
    terms = []
    for relation in (0, 1):
        twin = mirror if relation else np.arange(len(mirror))
        points = _pair_points(rays, weights, viewmats, pairs, twin, config.min_parallax)
        sides = []
        for order in (np.arange(len(mirror)), mirror):
            error, _ = transverse_error(points, rays[:, :, order], viewmats)
            sides.append(weights[:, None][:, :, :, order] * np.minimum((error / config.outlier_m) ** 2, 1.0))
        terms.append(np.stack(sides))
    table = np.stack(terms)  # [relation, side, t, p, c, k]
    bits = _assignment_bits(len(viewmats)).astype(int)
    costs = np.empty((len(pixels), len(layout.groups), len(bits)))
    half = len(bits) // 2  # the last camera unswapped; the other half are mirror images of equal cost
    for index in range(half):
        best = _cost_of(table, bits[index], pairs, mirror)
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


def _pair_points(
    rays: Points2D,
    weights: Confidence,
    viewmats: Float[np.ndarray, "c 4 4"],
    pairs: Int[np.ndarray, "p 2"],
    twin: Int[np.ndarray, " k"],
    min_parallax: float,
) -> Float[np.ndarray, "t p k 3"]:
    """Proposals of all pairs, the second camera of each giving its keypoint ``twin[k]``."""
    origins = -np.einsum("cji,cj->ci", viewmats[:, :3, :3], viewmats[:, :3, 3])
    directions = np.concatenate([rays, np.ones_like(rays[..., :1])], -1)
    directions = np.einsum("cji,tckj->tcki", viewmats[:, :3, :3], directions)
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    first, second = pairs[:, 0], pairs[:, 1]
    valid = (weights[:, first] > 0) & (weights[:, second][:, :, twin] > 0)
    return closest_points(
        origins[first][None, :, None],
        directions[:, first],
        origins[second][None, :, None],
        directions[:, second][:, :, twin],
        valid,
        min_parallax,
    )


def best_sequence(unary: Float[np.ndarray, "t s"], change_cost: float) -> Int[np.ndarray, " t"]:
    """The cheapest assignment of each frame when every changed camera costs ``change_cost`` (Viterbi's
    algorithm).
    """
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


def _is_mirrored(
    pixels: Points2D,
    confidence: Confidence,
    flips: Bool[np.ndarray, "t c g"],
    viewmats: Float[np.ndarray, "c 4 4"],
    Ks: Float[np.ndarray, "c 3 3"],
    config: TriangulationConfig,
    layout: KeypointLayout,
) -> bool:
    """Whether the triangulated person is inside out: most left x up point backwards."""
    points = triangulate(*exchange(pixels, confidence, flips, layout), viewmats, Ks, config).points
    left, right, low, high, back, front = (
        np.array(column) for column in zip(*layout.handedness, strict=True)
    )

    def direction(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        difference = points[:, a] - points[:, b]
        return difference / np.linalg.norm(difference, axis=-1, keepdims=True)

    triple = (np.cross(direction(left, right), direction(high, low)) * direction(front, back)).sum(-1)
    return bool(np.nansum(triple) < 0)


def _aligned_rest(
    pixels: Points2D,
    confidence: Confidence,
    viewmats: Float[np.ndarray, "c 4 4"],
    Ks: Float[np.ndarray, "c 3 3"],
    swapped: Bool[np.ndarray, "t c g"],
    surest: Int[np.ndarray, " a"],
    rest: Int[np.ndarray, " b"],
    config: SwapConfig,
    triangulation: TriangulationConfig,
    layout: KeypointLayout,
) -> Bool[np.ndarray, "t b g"]:
    """Sides of the remaining cameras, each against the points that the surest cameras agree on."""
    corrected = exchange(pixels[:, surest], confidence[:, surest], swapped[:, surest], layout)
    points = triangulate(*corrected, viewmats[surest], Ks[surest], replace(triangulation)).points
    rays = normalised_rays(np.nan_to_num(pixels[:, rest]), Ks[rest])
    weights = np.where(np.isfinite(pixels[:, rest]).all(-1), np.nan_to_num(confidence[:, rest]), 0.0)
    known = np.isfinite(points).all(-1)[:, None]
    costs = []
    for order in (np.arange(len(layout.mirror)), np.array(layout.mirror)):
        error, _ = transverse_error(points, rays[:, :, order], viewmats[rest])
        costs.append(
            np.where(known, weights[:, :, order] * np.minimum((error / triangulation.outlier_m) ** 2, 1), 0.0)
        )
    unary = np.stack(costs, -1)  # [t, b, k, 2]
    result = np.zeros((len(pixels), len(rest), len(layout.groups)), dtype=bool)
    for group, members in enumerate(layout.groups):
        for camera in range(len(rest)):
            cost = unary[:, camera, list(members)].sum(1) + config.flip_cost * np.array([0.0, 1.0])
            result[:, camera, group] = best_sequence(cost, config.change_cost) == 1
    return result
