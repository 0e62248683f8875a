"""Gaussians on a surface as whole numbers, and back.

The fields, in their order and with their channels:

    height 1        over the plane of the face, in finest steps (`Places.height_shifts`: how many a step has)
    opacity 1       logit
    form 6          size, two of spin, flatness, two of the normal (`surfels`)
    color 3k        luma, orange, green of each harmonic: Y = (R + 2G + B) / 4, Co = (R - B) / 2, Cg = (2G - R - B) / 4
    barycentric 2   of the point that a Gaussian hangs on, minus those of the point of the face under it; may be missing

Symbols: ``n`` Gaussians, ``k`` spherical-harmonic coefficients.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64, Int32, Int64

from simulacra.render.avatar import Binding
from simulacra.render.export.codec import surfels
from simulacra.render.export.codec.profiles import Steps
from simulacra.render.export.codec.stream import Layout
from simulacra.render.export.codec.surface import (
    UNITS,
    VERTEX_UNITS,
    Places,
    Surface,
    find_places,
)
from simulacra.render.gaussians import Gaussians
from simulacra.render.rotation import matrix_to_quat, quat_normalize, quat_to_matrix

C0 = 0.28209479177387814  # the constant spherical harmonic: color = 0.5 + C0 sh
LUMA = np.array([[0.25, 0.5, 0.25], [0.5, 0.0, -0.5], [-0.25, 0.5, -0.25]])
UNLUMA = np.linalg.inv(LUMA)
MOST_LOGIT = 12.0
TANGENT_UNITS = 4096


@dataclass(frozen=True)
class Scales:
    """What whole numbers mean: the header of a file holds these.

    Attributes:
        tangent_step: in 4096ths of the spacing.
        height: metres a finest step.
        opacity: logit a step.
        form: a step of each channel.
        color: of each of three channels.
        harmonic: of higher coefficients' channels.
        barycentric: None where the field is missing.
    """

    tangent_step: int
    height: float
    opacity: float
    form: tuple[float, float, float, float, float, float]
    color: tuple[float, float, float]
    harmonic: tuple[float, float, float]
    barycentric: float | None


@dataclass(frozen=True)
class Quantized:
    """An avatar's Gaussians, in the order of the faces.

    Attributes:
        counts: of Gaussians on each face.
        places: what follows of them.
        steps: along the edges.
        values: of all fields.
        scales: what they mean.
        layout: which fields.
        order: which Gaussian of the avatar each was.
    """

    counts: Int64[np.ndarray, "f"]
    places: Places
    steps: Int64[np.ndarray, "2 n"]
    values: Int64[np.ndarray, "c n"]
    scales: Scales
    layout: Layout
    order: Int64[np.ndarray, "n"]


def fields_of(coefficients: int, barycentric: bool) -> tuple[tuple[str, int], ...]:
    """The fields of Gaussians with so many spherical harmonics."""
    found = (("height", 1), ("opacity", 1), ("form", 6), ("color", 3 * coefficients))
    return (*found, ("barycentric", 2)) if barycentric else found


def quantize(
    surface: Surface, binding: Binding, gaussians: Gaussians, steps: Steps, levels: int
) -> Quantized:
    """Args:
    surface: the body at rest.
    binding: of the Gaussians.
    gaussians: at rest.
    steps: how finely.
    levels: of detail.
    """
    _, first, second = corners = _corners(surface, binding.faces.numpy())
    away = gaussians.means.detach().double().numpy() - corners[0]
    order = _order(surface, binding, _coordinates(away, first, second)[0])
    faces = binding.faces.numpy()[order]
    counts = np.bincount(faces, minlength=len(surface.faces)).astype(np.int64)
    tangent_step = max(1, round(TANGENT_UNITS * steps.tangent))
    places = find_places(surface, counts, tangent_step)
    logits = gaussians.logit_opacities.detach().double().clamp(-MOST_LOGIT, MOST_LOGIT).numpy()[order]
    frames = surfels.face_frames(surface)[faces]
    turns = quat_to_matrix(quat_normalize(gaussians.quats.detach().double())).numpy()[order]
    log_scales = gaussians.log_scales.detach().double().numpy()[order]
    forms = surfels.forms_of(np.einsum("nji,njk->nik", frames, turns), log_scales)
    along = np.round(_coordinates(away, first, second)[:, order] * places.divisions).astype(np.int64)
    height = (away[order] * surfels.flat_normals(surface)[faces]).sum(1)
    scales = Scales(
        tangent_step,
        steps.height * places.least_spacing / UNITS,
        steps.opacity,
        (steps.size, steps.spin, steps.spin, steps.flatness, steps.normal, steps.normal),
        (steps.color, 2 * steps.color, 2 * steps.color),
        (steps.harmonic, 2 * steps.harmonic, 2 * steps.harmonic),
        steps.barycentric,
    )
    parts = [
        height[None] / scales.height,
        logits[None] / scales.opacity,
        (forms / scales.form).T,
        _colors(gaussians.sh.detach().double().numpy()[order], scales),
    ]
    if scales.barycentric is not None:
        own = binding.barycentrics.double().numpy()[order]
        under = _under(along, places.divisions)
        parts.append(((own - under)[:, :2] / scales.barycentric).T)
    layout = Layout(len(order), levels, fields_of(gaussians.sh.shape[1], scales.barycentric is not None))
    values = np.round(np.concatenate(parts)).astype(np.int64)
    return Quantized(counts, places, along, values, scales, layout, order)


def dequantize(
    surface: Surface,
    places: Places,
    steps: Int64[np.ndarray, "2 n"],
    values: Int32[np.ndarray, "c n"],
    scales: Scales,
) -> tuple[Binding, Gaussians]:
    """What `quantize` took apart, as near as the steps allow; in float32, as avatars are.

    Args:
        surface: as then.
        places: of these Gaussians.
        steps: of these.
        values: of these.
        scales: what they mean.
    """
    faces = places.faces
    corner, first, second = _corners(surface, faces)
    u, v = steps / places.divisions
    normals = surfels.flat_normals(surface)[faces]
    means = corner + u[:, None] * first + v[:, None] * second
    means += (values[0] * scales.height)[:, None] * normals
    turns, log_scales = surfels.of_forms(values[2:8].T * np.array(scales.form))
    rotations = surfels.face_frames(surface)[faces] @ turns
    barycentrics = _under(steps, places.divisions)
    colors = values[8:]
    if scales.barycentric is not None:
        colors, residuals = values[8:-2], values[-2:] * scales.barycentric
        barycentrics[:, :2] = np.clip(barycentrics[:, :2] + residuals.T, 0, 1)
        barycentrics[:, 2] = np.maximum(1 - barycentrics[:, 0] - barycentrics[:, 1], 0)
        barycentrics /= barycentrics.sum(1, keepdims=True)
    gaussians = Gaussians(
        torch.from_numpy(means).float(),
        quat_normalize(matrix_to_quat(torch.from_numpy(rotations))).float(),
        torch.from_numpy(log_scales).float(),
        torch.from_numpy(values[1] * scales.opacity).float(),
        torch.from_numpy(_harmonics(colors, scales)).float(),
    )
    return Binding(torch.from_numpy(faces), torch.from_numpy(barycentrics).float()), gaussians


def _order(surface: Surface, binding: Binding, along: Float64[np.ndarray, "n"]) -> Int64[np.ndarray, "n"]:
    """Along the faces' order, on a face along its first edge."""
    rank = np.empty(len(surface.faces), np.int64)
    rank[surface.order] = np.arange(len(surface.faces))
    found: np.ndarray = np.lexsort((along, rank[binding.faces.numpy()]))
    return found


def _corners(surface: Surface, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each Gaussian's face the first corner and the two edges from it, metres."""
    first, second = surface.edges
    return surface.verts[surface.faces[faces, 0]] / VERTEX_UNITS, first[faces] / UNITS, second[faces] / UNITS


def _coordinates(
    away: Float64[np.ndarray, "n 3"], first: Float64[np.ndarray, "n 3"], second: Float64[np.ndarray, "n 3"]
) -> Float64[np.ndarray, "2 n"]:
    """The coordinates of the points under ``away`` along the edges; a third of each where a face has no area."""
    a, b, c = (first**2).sum(1), (first * second).sum(1), (second**2).sum(1)
    x, y = (away * first).sum(1), (away * second).sum(1)
    area = a * c - b * b
    whole = area > 1e-16
    safe = np.where(whole, area, 1)
    return np.where(whole, np.stack([(c * x - b * y) / safe, (a * y - b * x) / safe]), 1 / 3)


def _under(
    steps: Int64[np.ndarray, "2 n"], divisions: Int64[np.ndarray, "2 n"]
) -> Float64[np.ndarray, "n 3"]:
    """Barycentric coordinates of the point of the face that a Gaussian is over, brought into the face."""
    u, v = steps / divisions
    inside = np.maximum(np.stack([1 - u - v, u, v], 1), 0)
    return inside / inside.sum(1, keepdims=True)


def _colors(sh: Float64[np.ndarray, "n k 3"], scales: Scales) -> Float64[np.ndarray, "c n"]:
    mixed = C0 * sh @ LUMA.T
    mixed[:, :1] /= scales.color
    mixed[:, 1:] /= scales.harmonic
    return mixed.reshape(len(sh), -1).T


def _harmonics(colors: Int32[np.ndarray, "c n"], scales: Scales) -> Float64[np.ndarray, "n k 3"]:
    mixed = colors.T.reshape(colors.shape[1], -1, 3).astype(np.float64)
    mixed[:, :1] *= scales.color
    mixed[:, 1:] *= scales.harmonic
    return mixed @ UNLUMA.T / C0
