"""Clothes: shells around parts of the body that hang by their own thickness, with hems, and folds where joints bend.

What a bare body model cannot explain is the point of them: a reconstruction that only knows the body is wrong by their
thickness and folds, as with real people.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy import sparse
from scipy.spatial import cKDTree

from render.body import BodyModel, RestBody
from render.mesh import vertex_normals

from .layers import Layer, compact, cut, inflated, refine, smoothed
from .noise import fractal_noise

SIDES = ("l", "r")
PARTS = {
    "top": ("torso", "upper_arm_l", "upper_arm_r", "lower_arm_l", "lower_arm_r", "neck"),
    "trousers": ("torso", "thigh_l", "thigh_r", "shin_l", "shin_r"),
    "shoes": ("foot_l", "foot_r", "shin_l", "shin_r"),
}


@dataclass(frozen=True)
class Garment:
    """One piece of clothing.

    Attributes:
        kind: which part of the body it covers. material: its key among the person's materials.
        limb: how far sleeves or legs reach: 0 none, 0.5 elbow or knee, 1 wrist or ankle.
        hem: height at which a top or skirt ends: 0 at the waist, 1 at the knees.
        thickness_mm: distance from the skin. looseness_mm: how much further it stands off where it hangs.
        folds_mm: depth of folds. seed: of the folds.
    """

    kind: str
    material: str
    limb: float = 1.0
    hem: float = 0.25
    thickness_mm: float = 5.0
    looseness_mm: float = 10.0
    folds_mm: float = 6.0
    seed: int = 0


@dataclass(frozen=True)
class Landmarks:
    """Joints and heights of a person at rest, metres."""

    waist: float
    crotch: float
    knee: float
    neck: Float[np.ndarray, "3"]
    arms: tuple[Float[np.ndarray, "3 3"], ...]
    legs: tuple[Float[np.ndarray, "3 3"], ...]


def landmarks(body: BodyModel, rest: RestBody) -> Landmarks:
    """Shoulders, elbows, wrists; hips, knees, ankles; of the left side first."""
    place = {name: rest.T_world_bone[k, :3, 3].numpy() for k, name in enumerate(body.bone_names)}
    arms = tuple(
        np.stack([place[f"{bone}.{side}"] for bone in ("upperarm01", "lowerarm01", "wrist")]) for side in "LR"
    )
    legs = tuple(
        np.stack([place[f"{bone}.{side}"] for bone in ("upperleg01", "lowerleg01", "foot")]) for side in "LR"
    )
    hips = float(np.mean([leg[0, 1] for leg in legs]))
    chest = float(np.mean([arm[0, 1] for arm in arms]))
    return Landmarks(
        waist=hips + 0.22 * (chest - hips),
        crotch=hips - 0.16 * (chest - hips),
        knee=float(np.mean([leg[1, 1] for leg in legs])),
        neck=place["neck01"],
        arms=arms,
        legs=legs,
    )


def make_garment(body: BodyModel, rest: RestBody, skin: Layer, garment: Garment) -> Layer:
    """The garment on a person at rest.

    Args:
        skin: all of the body, once refined, in the order of ``origin`` of the rest body.
    """
    marks = landmarks(body, rest)
    if garment.kind == "skirt":
        shell = _skirt(body, rest, garment, marks)
    else:
        parts = _face_parts(body, skin)
        wanted = np.isin(parts, PARTS[garment.kind])
        # Refined before it is cut: the steps of a border are as long as the triangles that it runs along.
        around = refine(cut(skin, torch.from_numpy(wanted)))
        covered = cut(around, torch.from_numpy(_covered(around, np.tile(parts[wanted], 4), garment, marks)))
        shell = inflated(covered, _thickness(covered, garment, marks), drape=_drape(garment))
    return _folded(replace(shell, name=garment.kind, material=garment.material), garment, marks)


def _face_parts(body: BodyModel, layer: Layer) -> np.ndarray:
    """The part of the body that each face of the layer lies on: that of the body's nearest bone-wise vertex."""
    # Refining keeps the body's own vertices first and puts children at faces k, k + f, k + 2 f, k + 3 f.
    labels = body.part_labels[body.faces].mode(1).values
    names = np.array(body.part_names)[labels.numpy()]
    return np.tile(names, len(layer.faces) // len(names))


def _along(points: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """How far along a limb of two bones each point lies: 0 at the first joint, 0.5 at the middle one, 1 at the end."""
    upper, lower = joints[1] - joints[0], joints[2] - joints[1]
    first = ((points - joints[0]) @ upper) / (upper @ upper)
    second = ((points - joints[1]) @ lower) / (lower @ lower)
    return np.where(second > 0, 0.5 + 0.5 * second, 0.5 * np.minimum(first, 1))


def _covered(skin: Layer, parts: np.ndarray, garment: Garment, marks: Landmarks) -> Bool[np.ndarray, " f"]:
    middle = skin.verts[skin.faces].mean(1).numpy()
    kept = np.zeros(len(parts), bool)
    if garment.kind == "top":
        hem = marks.waist + garment.hem * (marks.crotch - 0.03 - marks.waist)
        round_neck = np.linalg.norm((middle - marks.neck) * [1.0, 0.8, 0.9], axis=1) > 0.075
        kept |= (
            np.isin(parts, ["torso", "neck"])
            & (middle[:, 1] > hem)
            & round_neck
            & (middle[:, 1] < marks.neck[1] + 0.03)
        )
        for side, joints in zip(SIDES, marks.arms):
            arm = np.isin(parts, [f"upper_arm_{side}", f"lower_arm_{side}"])
            kept |= arm & (_along(middle, joints) < garment.limb * 0.97)
    elif garment.kind == "trousers":
        kept |= (parts == "torso") & (middle[:, 1] < marks.waist + 0.01)
        for side, joints in zip(SIDES, marks.legs):
            leg = np.isin(parts, [f"thigh_{side}", f"shin_{side}"])
            kept |= leg & (_along(middle, joints) < garment.limb * 0.98)
    elif garment.kind == "shoes":
        for side, joints in zip(SIDES, marks.legs):
            kept |= np.isin(parts, [f"foot_{side}", f"shin_{side}"]) & (middle[:, 1] < joints[2][1] + 0.02)
    else:
        raise ValueError(f"no such garment: {garment.kind}")
    return kept


def _drape(garment: Garment) -> int:
    """Rounds of smoothing: a shoe knows no toes, a shirt no ribs."""
    return {"shoes": 150, "top": 25, "trousers": 16}[garment.kind]


def _thickness(layer: Layer, garment: Garment, marks: Landmarks) -> Float[np.ndarray, " n"]:
    """Metres from the skin: more where cloth hangs free: towards hems, below the chest, along the backs of limbs."""
    points = layer.verts.numpy()
    free = np.zeros(len(points))
    if garment.kind == "top":
        chest = float(np.mean([arm[0, 1] for arm in marks.arms])) - 0.12
        free = np.clip((chest - points[:, 1]) / max(chest - marks.crotch, 0.1), 0, 1)
        for joints in marks.arms:
            near = np.linalg.norm(points - joints[1], axis=1) < 0.35
            along = _along(points, joints)
            on_arm = near & (along > 0.15) & (np.abs(points[:, 0]) > np.abs(joints[0][0]) * 0.9)
            free = np.where(on_arm, np.clip(0.3 + 0.7 * along / max(garment.limb, 0.2), 0, 1), free)
    elif garment.kind == "trousers":
        free = np.clip((marks.waist - points[:, 1]) / max(marks.waist - 0.1, 0.1), 0, 1) ** 1.5
    elif garment.kind == "shoes":
        return np.full(len(points), 0.001 * garment.thickness_mm) + 0.006 * (points[:, 1] < 0.02)
    return 0.001 * (garment.thickness_mm + garment.looseness_mm * free)


def _folded(layer: Layer, garment: Garment, marks: Landmarks) -> Layer:
    """Folds: ridges of noise, drawn out across limbs where they bend and along the fall of hanging cloth."""
    if garment.folds_mm <= 0 or garment.kind == "shoes":
        return layer
    points = layer.origin.numpy()
    joints = np.concatenate([marks.arms, marks.legs])
    bend = np.zeros(len(points))
    for limb in joints:
        for joint, reach in ((limb[0], 0.14), (limb[1], 0.12), (limb[2], 0.09)):
            bend = np.maximum(bend, np.exp(-(((points - joint) ** 2).sum(1)) / reach**2))
    across = _ridges(points * [0.35, 1.0, 0.35], garment.seed, 0.05)
    hanging = _ridges(points * [1.0, 0.22, 1.0], garment.seed + 7, 0.07)
    soft = fractal_noise(points.astype(np.float32), garment.seed + 13, 2, 0.12)
    depth = 0.001 * garment.folds_mm * (bend * across + 0.55 * (1 - bend) * hanging + 0.25 * soft)
    normals = vertex_normals(layer.verts, layer.faces)
    lifted = torch.from_numpy(smoothed(layer, depth[:, None].astype(np.float32), 2))
    return replace(layer, verts=layer.verts + lifted.float() * normals)


def _ridges(points: np.ndarray, seed: int, size: float) -> np.ndarray:
    """Sharp crests and wide valleys, 0 to 1."""
    bent = points + 0.3 * size * np.stack(
        [fractal_noise(points.astype(np.float32), seed + k, 2, 2 * size) for k in (1, 2, 3)], 1
    )
    return (1 - np.minimum(np.abs(2.2 * fractal_noise(bent.astype(np.float32), seed, 2, size)), 1)) ** 2


def _skirt(body: BodyModel, rest: RestBody, garment: Garment, marks: Landmarks) -> Layer:
    """A surface around both legs: at each height as wide as the widest above, and wider on the way down.

    It is carried as the hips' and thighs' skin under it, left and right blended across the middle.
    """
    around, rows = 144, 90
    hem = marks.waist + garment.hem * (marks.knee - marks.waist) * 1.1
    heights = np.linspace(marks.waist + 0.015, hem, rows)
    angle = np.linspace(0, 2 * np.pi, around, endpoint=False)
    directions = np.stack([np.sin(angle), np.cos(angle)], 1)
    verts = rest.verts.numpy()
    trunk = np.isin(
        np.array(body.part_names)[body.part_labels.numpy()],
        ["torso", "thigh_l", "thigh_r", "shin_l", "shin_r"],
    )
    inner = verts[trunk]
    center = inner[np.abs(inner[:, 1] - marks.waist) < 0.05][:, [0, 2]].mean(0)
    radius = np.zeros((rows, around))
    for k, height in enumerate(heights):
        near = inner[np.abs(inner[:, 1] - height) < 0.03]
        support = ((near[:, [0, 2]] - center) @ directions.T).max(0) if len(near) else radius[k - 1]
        radius[k] = np.maximum(support, radius[k - 1] if k else 0)
    spread = np.linspace(0, 1, rows)[:, None]
    radius = radius + 0.001 * garment.thickness_mm + 0.006 * garment.looseness_mm * spread**1.2
    wave = np.sin(9 * angle + garment.seed)[None] * 0.0012 * garment.folds_mm * spread
    radius = radius + wave
    ring = center + radius[..., None] * directions
    points = np.stack([ring[..., 0], np.broadcast_to(heights[:, None], radius.shape), ring[..., 1]], -1)
    index = np.arange(rows * around).reshape(rows, around)
    right = np.roll(index, -1, 1)
    quads = [index[:-1], right[:-1], right[1:], index[1:]]
    a, b, c, d = (q.ravel() for q in quads)
    faces = np.concatenate([np.stack([a, d, b], 1), np.stack([b, d, c], 1)])
    flat = points.reshape(-1, 3).astype(np.float32)
    weights = _blended_weights(body, flat, verts, trunk)
    shell = Layer(
        "skirt",
        torch.from_numpy(flat),
        torch.from_numpy(faces),
        weights,
        garment.material,
        torch.from_numpy(flat),
    )
    return compact(shell)


def _blended_weights(
    body: BodyModel, points: np.ndarray, verts: np.ndarray, chosen: np.ndarray
) -> sparse.csr_matrix:
    """Weights of the nearest skin, averaged over a wide neighbourhood, so that no seam runs between the legs."""
    dense = body.dense_weights.numpy()[chosen]
    distance, near = cKDTree(verts[chosen]).query(points, k=120)
    share = np.exp(-((distance / (distance[:, :1] + 0.06)) ** 2))
    share /= share.sum(1, keepdims=True)
    mixed = np.einsum("nk,nkj->nj", share, dense[near])
    mixed[mixed < 0.01] = 0
    return sparse.csr_matrix((mixed / mixed.sum(1, keepdims=True)).astype(np.float32))


def hidden_faces(skin: Layer, shells: Sequence[Layer]) -> Bool[np.ndarray, " f"]:
    """Skin that a shell covers well inside of its borders: not drawn, so that it cannot poke through when posed."""
    covered = np.zeros(len(skin.faces), bool)
    middle = skin.verts[skin.faces].mean(1).numpy()
    for shell in shells:
        edges = (
            torch.cat([shell.faces[:, [0, 1]], shell.faces[:, [1, 2]], shell.faces[:, [2, 0]]]).sort(1).values
        )
        unique, count = torch.unique(edges, dim=0, return_counts=True)
        border = shell.origin[torch.unique(unique[count == 1])].numpy()
        near = cKDTree(shell.origin.numpy()).query(middle)[0] < (0.05 if shell.name == "skirt" else 0.012)
        if len(border):
            near &= cKDTree(border).query(middle)[0] > 0.035
        covered |= near
    return covered
