"""Hair: a cap that hides the scalp, and thousands of flat ribbons over it that are combed, fall, and lie on whatever
is under them: head, neck, shoulders and clothes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from scipy import sparse
from scipy.spatial import cKDTree

from simulacra.render.body import BodyModel, RestBody
from simulacra.render.mesh import vertex_normals

from ..noise import fractal_noise
from .layers import Layer, averaging, body_layer, clip, inflated, joined, refine, smoothed
from .measures import Measures, faces_of, share_of, vertex_parts

HEAD = ("scalp", "face", "neck")
STUBBLE_MM = 6.0
# Where hair ends: turn from the front in degrees, height over the eyes in units of eyes to crown.
HAIRLINE = (
    (0, 0.58),
    (24, 0.58),
    (42, 0.50),
    (56, 0.30),
    (66, 0.02),
    (76, -0.16),
    (84, -0.20),
    (92, 0.12),
    (106, 0.20),
    (122, -0.05),
    (140, -0.42),
    (180, -0.50),
)


@dataclass(frozen=True)
class HairStyle:
    """How somebody's hair is worn.

    Attributes:
        kind: crown (falls from the crown), parted, back (combed back) or curls (stands off the head).
        length_mm: of a strand; 0 is a shaven head, up to ``STUBBLE_MM`` it only colors the skin.
        count: ribbons.
        width_mm: of one, at its root.
        lift_mm: how thick the hair lies on the head.
        curl: how much strands wander, 0 to 1.
        part: where the hair parts, -1 (right) to 1 (left).
        receding: how far the hairline has gone back, 0 to 1.
        seed: of everything random.
    """

    kind: str = "crown"
    length_mm: float = 120.0
    count: int = 3200
    width_mm: float = 4.5
    lift_mm: float = 12.0
    curl: float = 0.25
    part: float = 0.3
    receding: float = 0.0
    seed: int = 0


def hair_depth(
    points: Float[np.ndarray, "n 3"], marks: Measures, receding: float = 0.0
) -> Float[np.ndarray, " n"]:
    """Metres inside of the hairline, negative outside of it; meant for points of the head."""
    unit = marks.crown - marks.eyes
    offset = points - marks.head
    turn = np.degrees(np.abs(np.arctan2(offset[:, 0], offset[:, 2])))
    turns, heights = np.array(HAIRLINE).T
    back = receding * np.clip(1.2 - np.abs(turns - 25) / 45, 0, 1) * 0.55
    line = marks.eyes + unit * np.interp(turn, turns, heights + back)
    # At the crown the direction has no meaning, and is inside anyway.
    wiggle = 0.003 * fractal_noise(points.astype(np.float32), 77, 2, 0.02)
    result: np.ndarray = points[:, 1] - line + wiggle
    return result


def make_hair(
    body: BodyModel, rest: RestBody, marks: Measures, clothes: Sequence[Layer], style: HairStyle
) -> Layer | None:
    """Cap and ribbons of a style; None for a shaven head or stubble.

    ``Layer.origin`` of hair: which strand (0 to 1; 2 and more on the cap: 2 plus the turn), how far along it
    (0 to 1), and across it (-1 to 1). Its traits: metres from the hairline or, on ribbons, from the root; and how
    deep inside of the hair it lies, 0 to 1.
    """
    if style.length_mm <= STUBBLE_MM:
        return None
    head = body_layer(body, rest.verts, "hair", torch.from_numpy(faces_of(body, HEAD)))
    head = refine(head, 0.012)
    depth = hair_depth(head.verts.numpy().astype(np.float64), marks, style.receding)
    ears = share_of(body, head, ("ear_l", "ear_r"))
    scalp = clip(head, torch.from_numpy(np.minimum(depth, 0.5 - ears)).float())
    cap = _cap(scalp, marks, style)
    rng = np.random.default_rng(style.seed)
    under = _gather_under(body, rest, cap, clothes)
    strands, lift = _grow(cap, under, marks, style, rng)
    ribbons = _ribbons(body, rest, strands, lift, under, style, rng)
    return replace(joined(_cap_origin(cap, scalp, marks, style), ribbons), name="hair", material="hair")


def _cap(scalp: Layer, marks: Measures, style: HairStyle) -> Layer:
    """The scalp raised by most of the hair's thickness, flat at the hairline."""
    depth = hair_depth(scalp.verts.numpy().astype(np.float64), marks, style.receding)
    full = 0.001 * min(0.75 * style.lift_mm, 0.5 * style.length_mm + 0.5)
    thickness = 0.0008 + full * (1 - np.exp(-np.clip(depth, 0, None) / (0.012 + 1.2 * full)))
    return inflated(scalp, thickness, drape=12)


def _cap_origin(cap: Layer, scalp: Layer, marks: Measures, style: HairStyle) -> Layer:
    """Streaks run down the cap from the crown."""
    offset = scalp.verts.numpy().astype(np.float64) - marks.head
    turn = np.arctan2(offset[:, 0], offset[:, 2]) / (2 * np.pi)
    depth = hair_depth(scalp.verts.numpy().astype(np.float64), marks, style.receding)
    height = (scalp.verts.numpy()[:, 1] - marks.eyes) / (marks.crown - marks.eyes)
    origin = np.stack([2 + np.abs(turn), np.clip(0.3 - 0.25 * height, 0, 1), np.zeros(len(turn))], 1)
    traits = np.stack([depth, np.full(len(turn), 0.75)], 1)
    return replace(
        cap,
        origin=torch.from_numpy(origin.astype(np.float32)),
        traits=torch.from_numpy(traits.astype(np.float32)),
    )


@dataclass(frozen=True)
class Under:
    """What hair lies on: points, their normals, and the body vertices that carry them."""

    points: Float[np.ndarray, "m 3"]
    normals: Float[np.ndarray, "m 3"]
    carrier: sparse.csr_matrix
    tree: cKDTree


def _gather_under(body: BodyModel, rest: RestBody, cap: Layer, clothes: Sequence[Layer]) -> Under:
    shoulders = [f"{part}_{side}" for part in ("upper_arm",) for side in "lr"]
    skin = body_layer(
        body, rest.verts, "skin", torch.from_numpy(faces_of(body, (*HEAD, "lips", "torso", *shoulders)))
    )
    layers = [cap, skin, *(c for c in clothes if c.name == "top")]
    points, normals = [], []
    for layer in layers:
        points.append(layer.verts.numpy().astype(np.float64))
        mean = averaging(layer)
        calm = smoothed(mean, vertex_normals(layer.verts, layer.faces).numpy().astype(np.float64), 2)
        normals.append(calm / np.maximum(np.linalg.norm(calm, axis=1, keepdims=True), 1e-9))
    high = np.concatenate(points)[:, 1] > float(cap.verts[:, 1].min()) - 0.45
    all_points = np.concatenate(points)[high]
    carrier = sparse.vstack([layer.carrier for layer in layers]).tocsr()[np.nonzero(high)[0]]
    return Under(all_points, np.concatenate(normals)[high], carrier, cKDTree(all_points))


def _roots(cap: Layer, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    verts, faces = cap.verts.numpy().astype(np.float64), cap.faces.numpy()
    normals = vertex_normals(cap.verts, cap.faces).numpy().astype(np.float64)
    corners = verts[faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    chosen = rng.choice(len(faces), count, p=area / area.sum())
    root = np.sqrt(rng.random((count, 1)))
    other = rng.random((count, 1))
    share = np.concatenate([1 - root, root * (1 - other), root * other], 1)
    at = (corners[chosen] * share[..., None]).sum(1)
    return at, _unit((normals[faces[chosen]] * share[..., None]).sum(1))


def _unit(vectors: np.ndarray) -> np.ndarray:
    result: np.ndarray = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)
    return result


def _comb_directions(points: np.ndarray, marks: Measures, style: HairStyle) -> np.ndarray:
    """The way that hair is combed at each place of the head."""
    offset = points - marks.head
    if style.kind == "parted":
        side = offset[:, 0] - 0.03 * style.part * marks.scale
        # Behind the crown it just falls.
        across = np.tanh(side / 0.012) * np.clip(1 + (offset[:, 2] + 0.01) / 0.05, 0.15, 1)
        way = np.stack([across, -0.3 + 0 * side, -0.15 - 7 * np.maximum(offset[:, 2], 0)], 1)
    elif style.kind == "back":
        way = np.stack([0.3 * offset[:, 0] / 0.08, -0.25 + 0 * offset[:, 0], -1 + 0 * offset[:, 0]], 1)
    elif style.kind == "curls":
        way = offset / 0.1 + [0, 0.2, 0]
    else:
        crown = marks.head + np.array([0.012 * style.part, 0.09, -0.055]) * marks.scale
        way = points - crown
    return _unit(way)


def _lengths(roots: np.ndarray, marks: Measures, style: HairStyle, rng: np.random.Generator) -> np.ndarray:
    """Metres: hair over the face is cut above the brows, that at the hairline is short on short heads."""
    length = 0.001 * style.length_mm * (0.8 + 0.4 * rng.random(len(roots)))
    offset = roots - marks.head
    turn = np.degrees(np.abs(np.arctan2(offset[:, 0], offset[:, 2])))
    if style.kind == "crown":
        brow = marks.eyes + 0.25 * (marks.crown - marks.eyes)
        fringe = np.maximum(roots[:, 1] - brow, 0.012) * 1.15
        over_face = np.clip(1.6 - turn / 38, 0, 1) * (offset[:, 1] > 0)
        length = np.where(over_face > 0, np.minimum(length, fringe + (1 - over_face) * 0.2), length)
    depth = np.clip(hair_depth(roots, marks, style.receding), 0, 1)
    if style.length_mm < 110:
        nape = np.clip((roots[:, 1] - (marks.eyes - 0.4 * (marks.crown - marks.eyes))) / 0.06, 0.2, 1)
        length = length * nape
    return length * np.clip(0.35 + depth / 0.025, 0, 1)


def _grow(
    cap: Layer, under: Under, marks: Measures, style: HairStyle, rng: np.random.Generator
) -> tuple[Float[np.ndarray, "s p 3"], Float[np.ndarray, " s"]]:
    """Points along every strand, and how high above the head it lies, 0 to 1."""
    segments = 6 if style.length_mm < 110 else 9
    roots, out = _roots(cap, style.count, rng)
    length = _lengths(roots, marks, style, rng)
    layer = rng.random(len(roots)) ** 1.3
    spare = 0.001 * style.lift_mm * (0.1 + 0.75 * layer)[:, None]
    # Short steps first: chords would cut through the head.
    sizes = np.linspace(0.6, 1.4, segments) / segments
    direction = _unit(_comb_directions(roots, marks, style))
    if style.kind != "curls":
        direction = _unit(direction - 0.95 * (direction * out).sum(1, keepdims=True) * out)
    direction = _unit((0.15 if style.length_mm > 110 else 0.4) * out + direction)
    points = [roots - 0.0015 * out]
    stiff = np.exp(-0.001 * style.length_mm / 0.09)
    normal = out
    coil = 0.009 if style.kind == "curls" else 0.03
    for k in range(segments):
        share = (k + 0.5) / segments
        here = points[-1]
        wander = np.stack(
            [fractal_noise((here + 10 * j).astype(np.float32), style.seed + j, 2, coil) for j in range(3)], 1
        )
        loose = rng.normal(0, 0.08, here.shape) * (0.3 + style.curl)
        fall = (1 - stiff) * (0.3 + 1.4 * share) * (0.25 if style.kind == "curls" else 1.0)
        way = _comb_directions(here, marks, style)
        if style.kind != "curls":
            way = _unit(way - 0.9 * (way * normal).sum(1, keepdims=True) * normal)
        # A comb has nothing to press on below the head.
        held = 1.0 if style.kind == "curls" else np.clip((here[:, 1:2] - marks.eyes) / 0.05 + 1, 0.05, 1)
        pull = way * held * (1 - 0.8 * share * (1 - stiff)) + np.array([0, -1.0, 0]) * fall
        turning = 5.0 if style.kind == "curls" else 0.7 * style.curl
        direction = _unit(0.55 * direction + 0.45 * _unit(pull) + turning * wander + loose)
        step = sizes[k] * length[:, None]
        after = _draw_to_neck(here + step * direction, marks, 0.5 * float(step.mean()))
        low = 0.0012 + 2.2 * step**2 + spare * min(1.0, 0.3 + 1.6 * share)
        high = low + (0.3 * 0.001 * style.length_mm if style.kind == "curls" else 0.0)
        after, normal = _rest_on(after, under, low, high, 0.75 * (1 - 0.6 * share))
        direction = _unit(after - here)
        points.append(after)
    strands = _trim_before_face(_smooth_kinks(np.stack(points, 1)), marks)
    return _push_off(strands, under, 0.0025 + 0.009 * (1 - stiff)), layer


def _rest_on(
    points: Float[np.ndarray, "n 3"],
    under: Under,
    low: Float[np.ndarray, "n 1"],
    high: Float[np.ndarray, "n 1"],
    sink: float,
) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "n 3"]]:
    """Points moved to between ``low`` and ``high`` metres above what is under them, and its normals there."""
    _, near = under.tree.query(points)
    normal = under.normals[near]
    gap, over = _measure_gap(points, under, near)
    push = over * np.clip(low - gap, 0, 0.012) - sink * np.clip(gap - high, 0, 0.03)
    return points + push * normal, normal


def _smooth_kinks(strands: np.ndarray) -> np.ndarray:
    """Without kinks: every place but the ends moved towards the mean of its neighbours."""
    calm = strands.copy()
    for _ in range(2):
        calm[:, 1:-1] = 0.5 * calm[:, 1:-1] + 0.25 * (calm[:, :-2] + calm[:, 2:])
    return calm


def _measure_gap(
    points: Float[np.ndarray, "n 3"], under: Under, near: np.ndarray
) -> tuple[Float[np.ndarray, "n 1"], Float[np.ndarray, "n 1"]]:
    """How high points are above the nearest surface, and whether they are above or below it and not beside it."""
    offset, normal = points - under.points[near], under.normals[near]
    gap = (offset * normal).sum(1, keepdims=True)
    beside = np.linalg.norm(offset - gap * normal, axis=1, keepdims=True)
    return gap, np.clip(2 - beside / 0.012, 0, 1)


def _push_off(strands: Float[np.ndarray, "s p 3"], under: Under, least: float) -> Float[np.ndarray, "s p 3"]:
    """Nothing but the roots closer to what is under it than ``least`` metres."""
    flat = strands[:, 1:].reshape(-1, 3)
    _, near = under.tree.query(flat)
    normal = under.normals[near]
    gap, over = _measure_gap(flat, under, near)
    off = flat + over * np.clip(least - gap, 0, 0.015) * normal
    return np.concatenate([strands[:, :1], off.reshape(len(strands), -1, 3)], 1)


def _trim_before_face(strands: Float[np.ndarray, "s p 3"], marks: Measures) -> Float[np.ndarray, "s p 3"]:
    """Cut where they would hang before the face."""
    offset = strands - marks.head
    half = 0.060 * marks.scale**0.3
    before = (offset[..., 2] > 0.04 * marks.scale) & (np.abs(offset[..., 0]) < half)
    before &= strands[..., 1] < marks.eyes + 0.026
    places = strands.shape[1]
    first = np.where(before.any(1), before.argmax(1), places)
    last = np.clip(first - 0.5, 1, places - 1)
    at = np.linspace(0, 1, places)[None] * last[:, None]
    low = np.minimum(at.astype(int), places - 2)
    share = (at - low)[..., None]
    rows = np.arange(len(strands))[:, None]
    return strands[rows, low] * (1 - share) + strands[rows, low + 1] * share


def _draw_to_neck(points: np.ndarray, marks: Measures, most: float) -> np.ndarray:
    """Below the ears hair hangs around the neck, before and behind the shoulders rather than out over the arms."""
    offset = points - np.array([0.0, 0.0, marks.neck[2] + 0.01])
    away = np.linalg.norm(offset[:, [0, 2]], axis=1)
    low = np.clip((marks.eyes - points[:, 1]) / 0.06, 0, 1)
    too_far = np.clip(away - 0.088 * marks.scale**0.3, 0, most) * low
    moved = points.copy()
    moved[:, [0, 2]] -= (too_far / np.maximum(away, 1e-6))[:, None] * offset[:, [0, 2]]
    # Nothing rests on the ridge of a shoulder: it slides off to the front or the back.
    ridge = np.clip((np.abs(offset[:, 0]) - 0.07 * marks.scale**0.3) / 0.03, 0, 1) * low
    ridge *= points[:, 1] < marks.neck[1] + 0.04
    moved[:, 2] += np.where(offset[:, 2] > -0.005, 1.0, -1.0) * 0.6 * most * ridge
    return moved


def _ribbons(
    body: BodyModel,
    rest: RestBody,
    strands: Float[np.ndarray, "s p 3"],
    lift: Float[np.ndarray, " s"],
    under: Under,
    style: HairStyle,
    rng: np.random.Generator,
) -> Layer:
    """Two triangles a segment, flat on what is under them and thinner towards the tip."""
    count, places, _ = strands.shape
    flat = strands.reshape(-1, 3)
    _, near = under.tree.query(flat)
    way = np.gradient(strands, axis=1)
    normal = under.normals[near].reshape(count, places, 3)
    normal = normal + 0.35 * rng.normal(size=(count, 1, 3))
    side = _unit(np.cross(way, normal))
    s = np.linspace(0, 1, places)
    # Curls end as they are, other strands in a point.
    end = 0.6 if style.kind == "curls" else 0.2
    taper = np.minimum(1.0, 0.55 + 2 * s) * np.clip(1.15 * (1 - s**4), end, 1)
    width = (0.65 + 0.7 * rng.random((count, 1, 1))) * taper[None, :, None]
    half = 0.0005 * style.width_mm * width * side
    points = np.stack([strands - half, strands + half], 2).reshape(-1, 3).astype(np.float32)
    index = np.arange(count * places * 2).reshape(count, places, 2)
    a, b, c, d = index[:, :-1, 0], index[:, :-1, 1], index[:, 1:, 0], index[:, 1:, 1]
    faces = np.concatenate([np.stack([a, b, c], -1), np.stack([b, d, c], -1)], 0).reshape(-1, 3)
    strand = np.repeat(rng.random(count), places * 2)
    share = np.broadcast_to(s[None, :, None], (count, places, 2)).reshape(-1)
    edge = np.broadcast_to(np.array([-1.0, 1.0]), (count, places, 2)).reshape(-1)
    origin = np.stack([strand, share, edge], 1).astype(np.float32)
    inner = np.repeat(1 - lift, places * 2) * (1 - 0.3 * share)
    traits = np.stack([0.001 * style.length_mm * share, inner], 1).astype(np.float32)
    return Layer(
        "hair",
        torch.from_numpy(points),
        torch.from_numpy(faces),
        _carry_strands(body, rest, flat, under, near, style),
        "hair",
        torch.from_numpy(origin),
        torch.from_numpy(traits),
    )


def _carry_strands(
    body: BodyModel, rest: RestBody, flat: np.ndarray, under: Under, near: np.ndarray, style: HairStyle
) -> sparse.csr_matrix:
    """The head carries hair; what lies on neck and shoulders goes more and more with them."""
    label = vertex_parts(body)
    top = int(np.argmax(np.where(label == "scalp", rest.verts[:, 1].numpy(), -1)))
    n = len(flat)
    head = sparse.csr_matrix((np.ones(n), (np.arange(n), np.full(n, top))), (n, body.n_verts))
    if style.length_mm < 110:
        one = head
    else:
        chin = float(rest.verts[torch.from_numpy(label == "lips"), 1].min()) - 0.03
        down = np.clip((chin - flat[:, 1]) / 0.14, 0, 0.85)
        one = sparse.diags(1 - down) @ head + sparse.diags(down) @ under.carrier[near]
    both = one.tocsr()[np.repeat(np.arange(n), 2)]
    return both.astype(np.float32).tocsr()
