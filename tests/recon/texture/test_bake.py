"""A painted body is photographed and baked: its colors come back, seams do not show, and what was not seen is said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from simulacra.recon.texture import Photograph, bake_texture
from simulacra.recon.texture.bake import _texels
from simulacra.recon.texture.labels import UNSEEN, choose_labels
from simulacra.recon.texture.levelling import fill_unseen, seam_corrections
from simulacra.recon.texture.sight import score_vertices
from simulacra.render.body import BodyModel
from simulacra.render.camera import look_at
from simulacra.render.image import srgb_to_linear
from simulacra.render.mesh import interpolate, rasterize_mesh

SIZE = 256
AROUND = (0.0, 1.6, 3.1, 4.7)


@pytest.fixture(scope="module")
def verts(body: BodyModel) -> Float[Tensor, "v 3"]:
    return body.pose(body.rest(body.neutral_shape()), body.zero_pose()).verts[0]


def paint(verts: Float[Tensor, "v 3"]) -> Float[Tensor, "v 3"]:
    """Linear colors that change slowly over the person."""
    return 0.3 + 0.2 * torch.sin(verts * torch.tensor([5.0, 4.0, 6.0]) + torch.tensor([0.0, 1.0, 2.0]))


def photograph(body: BodyModel, verts: Float[Tensor, "v 3"], angle: float, gain: float = 1.0) -> Photograph:
    eye = torch.tensor([[2.6 * np.sin(angle), 1.0, 2.6 * np.cos(angle)]], dtype=torch.float32)
    camera = look_at(eye, torch.tensor([[0.0, 0.9, 0.0]]), 420.0, 320, 400)
    drawn = rasterize_mesh(verts, body.faces, camera)
    rgb = gain * interpolate(paint(verts), body.faces, drawn)[0]
    return Photograph(rgb, drawn.covered[0].float().numpy(), camera, verts)


def painted(body: BodyModel, verts: Float[Tensor, "v 3"]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The true linear color of every texel, the texels' triangles, and which texels have one."""
    face, barycentrics = _texels(body, SIZE)
    of = face[face >= 0]
    corners = paint(verts)[body.faces].numpy()[of]
    return np.einsum("nk,nkc->nc", barycentrics, corners), of, face >= 0


def baked_linear(rgb: np.ndarray, covered: np.ndarray) -> np.ndarray:
    return srgb_to_linear(rgb[covered] / 255.0)


def test_painted_colors_come_back(body: BodyModel, verts: Float[Tensor, "v 3"]) -> None:
    views = [photograph(body, verts, angle) for angle in AROUND]
    baked = bake_texture(body, verts, views, SIZE)
    truth, of, covered = painted(body, verts)
    off = np.abs(baked_linear(baked.rgb, covered) - truth).max(1)
    seen = baked.seen[of]
    # Half a level of eight bits is 0.004 there, a pixel's width of paint 0.006.
    assert np.median(off[seen]) < 0.006 and np.quantile(off[seen], 0.99) < 0.05
    assert 0.6 < baked.seen_share < 0.95
    # What four cameras at the height of the chest do not see: the soles, the inside of the mouth.
    soles = np.isin(body.faces.numpy(), body.soles.numpy()[verts[body.soles, 1].numpy() < 0.005]).all(1)
    assert not baked.seen[soles].any()
    # ... is continued from what is around.
    assert np.quantile(off[~seen], 0.5) < 0.15


def test_one_side_is_not_painted_through_the_person(body: BodyModel, verts: Float[Tensor, "v 3"]) -> None:
    scores = score_vertices(photograph(body, verts, 0.0), body.faces)
    chest = (verts[:, 1] > 1.1) & (verts[:, 1] < 1.3) & (verts[:, 0].abs() < 0.1)
    front, back = chest & (verts[:, 2] > 0.05), chest & (verts[:, 2] < -0.05)
    assert (scores[front] > 0).float().mean() > 0.8
    assert not (scores[back] > 0).any()


def test_brighter_cameras_leave_no_seam(body: BodyModel, verts: Float[Tensor, "v 3"]) -> None:
    """Each camera a fifth brighter or darker: the jump from one triangle to the next is as without."""
    faces = body.faces.numpy()
    jumps = {}
    for name, gains in (("even", (1, 1, 1, 1)), ("uneven", (1.2, 0.8, 1.2, 0.8))):
        views = [photograph(body, verts, angle, gain) for angle, gain in zip(AROUND, gains, strict=True)]
        labels = choose_labels(np.stack([score_vertices(each, body.faces).numpy() for each in views]), faces)
        colors = np.stack([each_colors(each) for each in views])
        for levelled in (True, False):
            added = seam_corrections(colors, labels, faces) if levelled else np.zeros((len(faces), 3, 3))
            jumps[name, levelled] = largest_jumps(colors, labels, added, faces)
    assert jumps["uneven", False] > 0.1
    assert jumps["uneven", True] < 0.1 * jumps["uneven", False]
    assert jumps["even", True] < 0.01


def each_colors(view: Photograph) -> np.ndarray:
    from simulacra.recon.texture.sight import sample

    return sample(view, view.verts).double().numpy()


def largest_jumps(colors: np.ndarray, labels: np.ndarray, added: np.ndarray, faces: np.ndarray) -> float:
    """By how much the colors differ that triangles of different photographs give their common vertices: the mean."""
    seen = labels != UNSEEN
    shown = colors[labels[seen, None], faces[seen]] + added[seen]
    low, high = np.full((colors.shape[1], 3), np.inf), np.full((colors.shape[1], 3), -np.inf)
    np.minimum.at(low, faces[seen], shown)
    np.maximum.at(high, faces[seen], shown)
    several = (high - low).max(1)
    return float(several[np.isfinite(several) & (several > 0)].mean()) if (several > 0).any() else 0.0


def test_something_else_in_a_photograph_is_not_taken_for_light() -> None:
    """A strip of two photographs, one of which has the shirt's red at the seam where the other has trousers."""
    faces = np.array([[k, k + 1, k + 2] for k in range(10)])
    labels = np.repeat([0, 1], 5)
    colors = np.full((2, 12, 3), 0.04)
    assert np.abs(seam_corrections(colors * np.array([1.2, 0.9])[:, None, None], labels, faces)).max() > 0.003
    colors[1, :7, 0] = 0.5
    assert np.abs(seam_corrections(colors, labels, faces)).max() < 1e-9


def test_no_photograph_is_grey(body: BodyModel, verts: Float[Tensor, "v 3"]) -> None:
    away = photograph(body, verts, 0.0)
    baked = bake_texture(body, verts, [replace(away, mask=np.zeros_like(away.mask))], 64)
    assert not baked.seen.any() and baked.seen_share == 0
    assert np.ptp(baked.rgb) == 0


def test_a_hole_is_filled_from_its_rim() -> None:
    """On a strip of triangles, red at one end and blue at the other, what is between goes from one to the other."""
    count = 12
    points = np.array([[k // 2, k % 2, 0.0] for k in range(count)])
    faces = np.array([[k, k + 1, k + 2] for k in range(count - 2)])
    colors = np.zeros((count, 3))
    colors[:2, 0] = colors[-2:, 2] = 1.0
    seen = np.zeros(count, bool)
    seen[:2] = seen[-2:] = True
    filled = fill_unseen(points, colors, seen, faces)
    assert np.array_equal(filled[seen], colors[seen])
    assert (np.diff(filled[::2, 0]) < 0).all() and (np.diff(filled[::2, 2]) > 0).all()
