"""The body's mesh made finer: closed, the same surface, the same texture."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh
from jaxtyping import Float
from torch import Tensor

from simulacra.recon.fit.skin import INNER_PARTS
from simulacra.recon.refine.subdivide import subdivide_body
from simulacra.render.body import BodyModel
from simulacra.render.mesh import face_normals
from simulacra.render.skinned_mesh import SkinnedMesh

LONGEST = 0.015


@pytest.fixture(scope="module")
def rest(body: BodyModel) -> Float[Tensor, "v 3"]:
    return body.rest(body.neutral_shape()).verts


@pytest.fixture(scope="module")
def finer(body: BodyModel, rest: Float[Tensor, "v 3"]) -> SkinnedMesh:
    return subdivide_body(body, rest, LONGEST)


def solid(verts: Tensor, faces: Tensor) -> trimesh.Trimesh:
    return trimesh.Trimesh(verts.numpy(), faces.numpy(), process=False)


def test_it_is_closed_and_the_same_surface(
    body: BodyModel, rest: Float[Tensor, "v 3"], finer: SkinnedMesh
) -> None:
    before, after = solid(rest, body.faces), solid(finer.verts, finer.faces)
    assert len(finer) > 2 * len(rest)
    assert after.is_watertight and after.is_winding_consistent
    assert after.volume == pytest.approx(before.volume, rel=1e-5)
    # Each vertex lies where it is bound.
    torch.testing.assert_close(finer.base(body, rest), finer.verts, atol=1e-6, rtol=0)
    # The body's own come first, in their order.
    torch.testing.assert_close(finer.verts[: len(rest)], rest, atol=1e-7, rtol=0)


def test_no_edge_outside_is_longer_than_asked(body: BodyModel, finer: SkinnedMesh) -> None:
    ends = torch.cat([finer.faces[:, [0, 1]], finer.faces[:, [1, 2]], finer.faces[:, [2, 0]]])
    length = (finer.verts[ends[:, 0]] - finer.verts[ends[:, 1]]).norm(dim=-1)
    inner = torch.tensor([name in INNER_PARTS for name in body.part_names])
    inside = inner[body.part_labels[body.faces[finer.binding.faces]]].any(1)[ends].all(1)
    assert float(length[~inside].max()) <= LONGEST
    assert float(length.max()) > LONGEST  # the inside of the mouth was left alone


def test_texture_coordinates_cover_what_they_did(body: BodyModel, finer: SkinnedMesh) -> None:
    def areas(uvs: Tensor, faces: Tensor) -> Tensor:
        return face_normals(torch.cat([uvs, torch.zeros(len(uvs), 1)], 1), faces)[:, 2]

    before, after = areas(body.uvs, body.face_uvs), areas(finer.uvs, finer.face_uvs)
    assert float(after.sum()) == pytest.approx(float(before.sum()), rel=1e-4)
    assert np.sign(after.numpy()).mean() == pytest.approx(np.sign(before.numpy()).mean(), abs=0.02)
