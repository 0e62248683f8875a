"""Clothes: shells around parts of the body that hang by their own thickness, with hems, and folds where joints bend.

What a bare body model cannot explain is the point of them: a reconstruction that only knows the body is wrong by their
thickness and folds, as with real people.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from scipy import ndimage, sparse
from scipy.sparse import csgraph
from scipy.spatial import cKDTree

from simulacra.render.body import BodyModel, RestBody
from simulacra.render.mesh import vertex_normals

from ..noise import fractal_noise
from .hanging import collared, extended, hanging, hemmed, level_ring
from .layers import Layer, averaging, body_layer, border_loops, clip, cut, inflated, refine, smoothed
from .measures import SIDES, Measures, along, axis_point, faces_of, limb_length, share_of, vertex_parts
from .shoes import make_shoes

# Hands and feet are among them so that a border at the wrist is the garment's, not the part's.
LIMBS = {
    "arm": tuple(tuple(f"{part}_{side}" for part in ("upper_arm", "lower_arm", "hand")) for side in SIDES),
    "leg": tuple(tuple(f"{part}_{side}" for part in ("thigh", "shin", "foot")) for side in SIDES),
}
ARMS, LEGS = sum(LIMBS["arm"], ()), sum(LIMBS["leg"], ())
TRUNK = ("torso", "neck", "thigh_l", "thigh_r")
PARTS = {"top": (*TRUNK, *ARMS), "trousers": ("torso", *LEGS), "skirt": ("torso", "thigh_l", "thigh_r")}
FINEST = 0.0125  # metres: no edge of cloth is longer before it is shaped
HIDDEN = 0.03  # metres from a garment's border at which what is under it need not be drawn
HEM, HEM_DEPTH = 0.0032, 0.014  # metres: how thick a hem is, and how far it goes back in


@dataclass(frozen=True)
class Garment:
    """One piece of clothing.

    Attributes:
        kind: top, trousers, skirt or shoes.
        material: its key among the person's materials.
        limb: how far sleeves or legs reach: 0.05 none, 0.5 elbow or knee, 1 wrist or ankle.
        hem: where a top or skirt ends: 0 at the waist, 1 at the crotch, 2 at the knees, 3 at the ankles.
        collar: of a top: round, scoop, stand or shirt.
        flare: metres that hanging cloth widens on a metre down.
        thickness_mm: distance from the skin.
        looseness_mm: how much further it stands off where it hangs.
        straight: how far it falls straight from the widest place above instead of following the body, 0 to 1.
        folds_mm: depth of folds.
        seed: of the folds.
    """

    kind: str
    material: str
    limb: float = 1.0
    hem: float = 0.9
    collar: str = "round"
    flare: float = 0.05
    thickness_mm: float = 5.0
    looseness_mm: float = 10.0
    straight: float = 0.6
    folds_mm: float = 6.0
    seed: int = 0


def make_garment(body: BodyModel, rest: RestBody, marks: Measures, garment: Garment) -> Layer:
    """The garment on a person at rest."""
    if garment.kind == "shoes":
        return make_shoes(body, rest, marks, garment.material, 0.001 * garment.thickness_mm, garment.hem)
    parts = torch.from_numpy(faces_of(body, PARTS[garment.kind]))
    around = body_layer(body, rest.verts, garment.kind, parts)
    near = inside(body, around, garment, marks) > -0.06
    around = cut(around, torch.from_numpy(near[around.faces.numpy()].any(1)))
    around = refine(around, FINEST * max(marks.scale, 0.75), 2)
    covered = clip(around, torch.from_numpy(inside(body, around, garment, marks)).float())
    covered = _largest_piece(covered)
    shell = inflated(covered, _thickness(body, covered, garment, marks), drape=24)
    shell = _straighten(body, shell, garment, marks)
    # Patterns are woven into the cloth as it hangs, before it folds.
    shell = replace(shell, origin=shell.verts)
    shell = _ease(_fold(body, shell, garment, marks))
    return replace(
        _finish_borders(body, rest, shell, garment, marks), name=garment.kind, material=garment.material
    )


def hem_height(garment: Garment, marks: Measures) -> float:
    """Where a top or skirt ends, metres."""
    stops = [marks.waist, marks.crotch, marks.knee, 0.09]
    return float(np.interp(garment.hem, [0, 1, 2, 3], stops))


def inside(body: BodyModel, layer: Layer, garment: Garment, marks: Measures) -> Float[np.ndarray, " n"]:
    """How far inside of the garment's borders each vertex of a layer of the body lies, metres; negative outside."""
    points = layer.origin.numpy().astype(np.float64)
    if garment.kind == "top":
        bottom = max(hem_height(garment, marks), marks.split)
        depth = np.minimum(points[:, 1] - bottom, _neck_distance(points, garment, marks))
        return np.minimum(depth, _limb_depth(body, layer, garment, marks.arms, "arm"))
    depth = marks.waist + 0.01 * marks.scale - points[:, 1]
    if garment.kind == "skirt":
        return np.minimum(depth, points[:, 1] - max(marks.split, hem_height(garment, marks)))
    return np.minimum(depth, _limb_depth(body, layer, garment, marks.legs, "leg"))


def under_hanging(
    points: Float[np.ndarray, "n 3"], garment: Garment, marks: Measures
) -> Float[np.ndarray, " n"]:
    """How far inside of a skirt or a long top places on the thighs are, metres: what its hem leaves unseen."""
    if garment.kind not in ("top", "skirt"):
        return np.full(len(points), -1.0)
    result: np.ndarray = np.minimum(
        points[:, 1] - hem_height(garment, marks) - 0.07 * marks.scale, marks.waist - points[:, 1]
    )
    return result


def _neck_distance(points: np.ndarray, garment: Garment, marks: Measures) -> np.ndarray:
    """Metres from the neckline, a ball around the base of the neck; lower and wider for a scoop."""
    down, wide = {"scoop": (0.035, 0.093), "shirt": (0.0, 0.074), "stand": (0.0, 0.074)}.get(
        garment.collar, (0.008, 0.079)
    )
    ball = marks.neck + np.array([0.0, -down + 0.004, 0.012 + 0.9 * down]) * marks.scale
    distance = np.linalg.norm((points - ball) * [1.0, 0.85, 0.95], axis=1) - wide * marks.scale
    result: np.ndarray = np.minimum(distance, marks.neck[1] + 0.035 * marks.scale - points[:, 1])
    return result


def _limb_depth(
    body: BodyModel, layer: Layer, garment: Garment, limbs: Sequence[np.ndarray], limb: str
) -> np.ndarray:
    depth = np.full(len(layer.verts), 1.0)
    points = layer.origin.numpy().astype(np.float64)
    for parts, joints in zip(LIMBS[limb], limbs):
        here = share_of(body, layer, parts) > 0.5
        reach = (garment.limb - along(points, joints)) * limb_length(joints)
        depth = np.where(here, np.minimum(reach, depth), depth)
    return depth


def _largest_piece(layer: Layer) -> Layer:
    """Without crumbs that a border cut off."""
    faces = layer.faces.numpy()
    pairs = np.concatenate([faces[:, :2], faces[:, 1:]])
    graph = sparse.coo_matrix((np.ones(len(pairs)), pairs.T), (len(layer.verts),) * 2)
    _, label = csgraph.connected_components(graph, directed=False)
    keep = label == np.bincount(label).argmax()
    return cut(layer, torch.from_numpy(keep[faces[:, 0]]))


def _thickness(body: BodyModel, layer: Layer, garment: Garment, marks: Measures) -> Float[np.ndarray, " n"]:
    """Metres from the skin: more where cloth hangs free: below the chest, towards hems, along the ends of limbs."""
    points = layer.verts.numpy().astype(np.float64)
    free = np.clip((marks.chest - 0.1 * marks.scale - points[:, 1]) / (marks.chest - marks.crotch), 0, 1)
    over = np.zeros(len(points))
    if garment.kind == "top":
        # Room for the trousers that it hangs over.
        over = 0.007 * np.clip((marks.waist + 0.05 - points[:, 1]) / 0.06, 0, 1)
        for parts, joints in zip(LIMBS["arm"], marks.arms):
            arm = share_of(body, layer, parts)
            share = np.clip(0.2 + 0.6 * along(points, joints) / max(garment.limb, 0.3), 0, 1)
            free = np.where(arm > 0.5, share, free)
    else:
        free = 0.15 + 0.85 * np.clip((marks.crotch - points[:, 1]) / marks.crotch, 0, 1)
    return 0.001 * (garment.thickness_mm + garment.looseness_mm * free) + over


def _straighten(body: BodyModel, layer: Layer, garment: Garment, marks: Measures) -> Layer:
    """Cloth that falls from the widest place above it instead of going in again under it."""
    if garment.kind == "top":
        layer = _straight_trunk(body, layer, garment, marks)
        limbs, kind, start = marks.arms, "arm", 0.12
    else:
        limbs, kind, start = marks.legs, "leg", 0.18
    if garment.kind == "skirt":
        return layer
    verts = layer.verts.numpy().astype(np.float64)
    for parts, joints in zip(LIMBS[kind], limbs):
        here = share_of(body, layer, parts) > 0.5
        t = along(verts, joints)
        axis = axis_point(t, joints)
        radius = np.linalg.norm(verts - axis, axis=1)
        edges = np.linspace(start, max(garment.limb, start + 0.1), 15)
        bins = np.digitize(t, edges)
        widest = np.array(
            [
                np.percentile(radius[here & (bins == k)], 85) if (here & (bins == k)).sum() > 4 else 0
                for k in range(1, 16)
            ]
        )
        # A cloth tube narrows towards the hand or foot less than the limb in it.
        narrowing = (0.30 - 0.25 * garment.straight) * np.diff(edges, append=edges[-1]) * limb_length(joints)
        for k in range(1, 15):
            widest[k] = max(widest[k], widest[k - 1] - narrowing[k] * 0.5)
        wanted = np.interp(t, edges, widest)
        fade = np.clip((t - start) / 0.15, 0, 1) * garment.straight * here
        grown = np.maximum(wanted - radius, 0) * fade
        verts += (verts - axis) / np.maximum(radius, 1e-6)[:, None] * grown[:, None]
    return replace(layer, verts=torch.from_numpy(verts.astype(np.float32)))


def _straight_trunk(body: BodyModel, layer: Layer, garment: Garment, marks: Measures) -> Layer:
    verts = layer.verts.numpy().astype(np.float64)
    trunk = share_of(body, layer, TRUNK) > 0.5
    armpit = marks.chest - 0.17 * marks.scale
    rows, turns = 30, 48
    low = verts[trunk, 1].min()
    center = verts[trunk & (verts[:, 1] < armpit)][:, [0, 2]].mean(0)
    offset = verts[:, [0, 2]] - center
    radius = np.linalg.norm(offset, axis=1)
    row = (armpit - verts[:, 1]) / (armpit - low) * (rows - 1)
    turn = np.arctan2(offset[:, 0], offset[:, 1]) / (2 * np.pi) * turns
    table = np.zeros((rows, turns))
    use = trunk & (row > -0.5)
    np.maximum.at(
        table,
        (np.clip(row[use].round().astype(int), 0, rows - 1), turn[use].round().astype(int) % turns),
        radius[use],
    )
    for k in range(1, rows):
        table[k] = np.maximum(table[k], table[k - 1] - 0.02 * (armpit - low) / rows)
    table = ndimage.gaussian_filter(table, (1.0, 1.5), mode=("nearest", "wrap"))
    wrapped = np.concatenate([table, table[:, :1]], 1)
    wanted = ndimage.map_coordinates(wrapped, [np.clip(row, 0, rows - 1), np.mod(turn, turns)], order=1)
    # Not all of it: cloth is drawn in a little where it does not stand off.
    grown = np.clip(wanted - radius, 0, None) * garment.straight * np.clip(row / 6, 0, 1) * trunk
    verts[:, [0, 2]] += offset / np.maximum(radius, 1e-6)[:, None] * grown[:, None]
    return replace(layer, verts=torch.from_numpy(verts.astype(np.float32)))


def _ease(layer: Layer) -> Layer:
    """Cloth slides: it follows the skin of a neighbourhood, not of the one point under it."""
    mean = averaging(layer)
    carrier = layer.carrier
    for _ in range(4):
        carrier = (0.5 * carrier + 0.5 * (mean @ carrier)).tocsr()
    return replace(layer, carrier=carrier.astype(np.float32))


def _fold(body: BodyModel, layer: Layer, garment: Garment, marks: Measures) -> Layer:
    """Folds: rings around limbs where they bend or where cloth piles up, and ridges along its fall elsewhere."""
    if garment.folds_mm <= 0:
        return layer
    points = layer.origin.numpy().astype(np.float64)
    bend, turned = np.zeros(len(points)), points * [0.35, 1.0, 0.35]
    ends = np.zeros(len(points))
    for joints, parts in zip((*marks.arms, *marks.legs), (*LIMBS["arm"], *LIMBS["leg"])):
        for joint, reach in ((joints[0], 0.13), (joints[1], 0.11)):
            bend = np.maximum(bend, np.exp(-(((points - joint) ** 2).sum(1)) / (reach * marks.scale) ** 2))
        here = share_of(body, layer, parts) > 0.5
        t = along(points, joints)
        ends = np.where(here & (garment.limb > 0.8), np.clip(1 - (garment.limb - t) / 0.2, 0, 1), ends)
        axis = axis_point(t, joints)
        line = t[:, None] * limb_length(joints) * np.array([0.25, 1.0, 0.15])
        turned = np.where(here[:, None], line + 0.35 * (points - axis), turned)
    waist = np.exp(-(((points[:, 1] - marks.waist) / (0.07 * marks.scale)) ** 2)) * (garment.kind == "top")
    bend = np.clip(np.maximum.reduce([bend, 0.8 * ends, 0.5 * waist]), 0, 1)
    across = _ridges(turned, garment.seed, 0.05)
    hang = _ridges(points * [1.0, 0.2, 1.0], garment.seed + 7, 0.085)
    soft = fractal_noise(points.astype(np.float32), garment.seed + 13, 2, 0.12)
    low = np.clip((marks.chest - points[:, 1]) / (0.3 * marks.scale), 0.15, 1)
    depth = 0.001 * garment.folds_mm * (1.7 * bend * across + 0.9 * (1 - bend) * low * hang + 0.4 * soft)
    mean = averaging(layer)
    normals = vertex_normals(layer.verts, layer.faces)
    lifted = torch.from_numpy(smoothed(mean, np.maximum(depth, 0)[:, None].astype(np.float32), 1))
    return replace(layer, verts=layer.verts + lifted.float() * normals)


def _ridges(points: np.ndarray, seed: int, size: float) -> np.ndarray:
    """Sharp crests and wide valleys, 0 to 1."""
    bent = points + 0.3 * size * np.stack(
        [fractal_noise(points.astype(np.float32), seed + k, 2, 2 * size) for k in (1, 2, 3)], 1
    )
    return (1 - np.minimum(np.abs(2.2 * fractal_noise(bent.astype(np.float32), seed, 2, size)), 1)) ** 2


def _finish_borders(
    body: BodyModel, rest: RestBody, shell: Layer, garment: Garment, marks: Measures
) -> Layer:
    """Hanging parts, collar and hems, and how far from a hem every place is."""
    loops = border_loops(shell.faces)
    heights = [float(shell.verts[loop, 1].mean()) for loop in loops]
    hem = hem_height(garment, marks)
    if garment.kind in ("top", "skirt"):
        low = int(np.argmin(heights))
        level = max(hem, marks.split)
        shell = level_ring(shell, loops[low], level)
        if hem < marks.split - 0.012:
            body_verts, carry = _trunk_and_legs(body, rest, marks)
            clearance = 0.001 * (garment.thickness_mm + 4.0)
            shell = hanging(shell, loops[low], hem, garment.flare, body_verts, clearance, carry)
            shell = _add_waves(shell, garment, marks.split, hem)
    elif garment.limb > 0.9:
        # Long trousers go on over the shoe.
        for loop, height in zip(loops, heights):
            if height < marks.knee:
                ring = shell.verts.numpy()[loop].astype(np.float64)
                out = ring - ring.mean(0)
                rows = [ring + out * 0.012 * k + np.array([0, -0.008 * k, -0.001 * k]) for k in (1, 2, 3)]
                shell = extended(shell, loop, rows, [0.0] * 3)
    if garment.kind == "top" and garment.collar in ("stand", "shirt"):
        neck = int(np.argmax(heights))
        tall = 0.03 * marks.scale
        fold = 0.042 * marks.scale * (garment.collar == "shirt")
        shell = collared(shell, loops[neck], tall, fold, marks.neck)
    loops = border_loops(shell.faces)
    ends = np.concatenate([shell.verts.numpy()[loop] for loop in loops])
    outer = len(shell.verts)
    for loop in loops:
        if garment.collar not in ("stand",) or float(shell.verts[loop, 1].mean()) < marks.chest:
            shell = hemmed(shell, loop, HEM, HEM_DEPTH)
    traits = shell.traits.clone()
    traits[:outer, 0] = torch.from_numpy(cKDTree(ends).query(shell.verts.numpy()[:outer])[0]).float()
    return replace(shell, traits=traits)


def _trunk_and_legs(
    body: BodyModel, rest: RestBody, marks: Measures
) -> tuple[Float[np.ndarray, "v 3"], sparse.csr_matrix]:
    """Vertices of trunk and legs, and what carries them."""
    verts = rest.verts.numpy().astype(np.float64)
    chosen = np.isin(vertex_parts(body), ("torso", "thigh_l", "thigh_r", "shin_l", "shin_r"))
    chosen &= verts[:, 1] < marks.waist + 0.05
    carry = sparse.identity(len(verts), np.float32, "csr")[chosen]
    return verts[chosen], carry


def _add_waves(layer: Layer, garment: Garment, top: float, hem: float) -> Layer:
    """Waves that a hanging sheet falls into, deeper towards its hem."""
    verts = layer.verts.numpy().copy()
    fall = np.clip((top - verts[:, 1]) / max(top - hem, 0.05), 0, 1)
    middle = verts[verts[:, 1] < top + 0.01][:, [0, 2]].mean(0)
    offset = verts[:, [0, 2]] - middle
    angle = np.arctan2(offset[:, 0], offset[:, 1])
    circle = np.stack([np.sin(angle), np.cos(angle), 0.15 * verts[:, 1]], 1).astype(np.float32)
    wave = fractal_noise(circle, garment.seed + 21, 2, 0.45)
    depth = 0.001 * garment.folds_mm * (1 + 8 * garment.flare) * fall * (0.6 + 1.6 * wave)
    length = np.maximum(np.linalg.norm(offset, axis=1, keepdims=True), 1e-6)
    verts[:, [0, 2]] += np.maximum(depth, 0)[:, None] * offset / length
    return replace(layer, verts=torch.from_numpy(verts))
