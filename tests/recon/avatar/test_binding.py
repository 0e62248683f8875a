"""What Gaussians hang on: the nearest point of the body that looks the same way, and samples by area."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from simulacra.recon.avatar.binding import (
    INNER_PARTS,
    closest_barycentrics,
    nearest_faces,
    neighbours,
    outer_faces,
    part_density,
    sample_body,
    spacing,
)
from simulacra.render.avatar import surface_points
from simulacra.render.body import BodyModel


@pytest.fixture(scope="module")
def verts(body: BodyModel) -> Tensor:
    return body.pose(body.rest(body.neutral_shape()), body.zero_pose()).verts[0]


def face_normals(body: BodyModel, verts: Tensor, faces: Tensor) -> Tensor:
    a, b, c = verts[body.faces[faces]].unbind(1)
    return torch.nn.functional.normalize(torch.linalg.cross(b - a, c - a), dim=-1)


def test_closest_points_of_triangles_against_brute_force() -> None:
    generator = torch.Generator().manual_seed(0)
    triangles = torch.randn(300, 3, 3, generator=generator)
    points = 2 * torch.randn(300, 3, generator=generator)
    found = closest_barycentrics(points, triangles)
    torch.testing.assert_close(found.sum(1), torch.ones(300), atol=1e-5, rtol=0)
    assert float(found.min()) >= 0
    distance = ((triangles * found[..., None]).sum(1) - points).norm(dim=-1)
    steps = 60
    grid = (
        torch.tensor([[i, j, steps - i - j] for i in range(steps + 1) for j in range(steps + 1 - i)]) / steps
    )
    tried = (torch.einsum("gk,nkx->ngx", grid, triangles) - points[:, None]).norm(dim=-1).amin(1)
    # Nothing on the grid is nearer, and the grid has something about as near.
    assert bool((distance <= tried + 1e-5).all())
    assert bool((tried - distance < 5 / steps).all())
    kinds = (found > 1e-6).sum(1)
    assert all(int((kinds == k).sum()) > 10 for k in (1, 2, 3))  # corners, edges and insides were all met


def test_a_face_without_area_is_still_a_line() -> None:
    flat = torch.tensor([[[0.0, 0, 0], [1, 0, 0], [2, 0, 0]]])
    found = closest_barycentrics(torch.tensor([[1.5, 1.0, 0.0]]), flat)
    torch.testing.assert_close((flat * found[..., None]).sum(1), torch.tensor([[1.5, 0.0, 0.0]]))


def test_points_over_the_skin_hang_beneath_where_they_are(body: BodyModel, verts: Tensor) -> None:
    binding = sample_body(body, verts, 400, 0)
    normals = face_normals(body, verts, binding.faces)
    skin = surface_points(body, verts, binding)
    nearest = nearest_faces(body, verts, skin + 0.002 * normals, normals)
    hung = surface_points(body, verts, nearest.binding)
    assert float((hung - skin).norm(dim=-1).quantile(0.98)) < 0.004
    assert float(nearest.distances.quantile(0.98)) < 0.0025
    torch.testing.assert_close(
        nearest.distances, (hung - skin - 0.002 * normals).norm(dim=-1), atol=1e-5, rtol=0
    )


def test_a_point_hangs_on_the_side_that_looks_its_way(body: BodyModel, verts: Tensor) -> None:
    """Inside the hand, nearer to the back of it than to the palm: the point's own normal decides."""
    hand = (body.part_labels[body.faces] == body.part_names.index("hand_l")).all(1).nonzero().squeeze(-1)
    corners = verts[body.faces[hand]]
    normals, middles = face_normals(body, verts, hand), corners.mean(1)
    # Pairs of faces that look away from each other, less than 15 mm apart: both sides of a finger.
    apart = (middles[:, None] - middles[None]).norm(dim=-1)
    opposite = (normals @ normals.T < -0.95) & (apart < 0.015)
    rows, columns = opposite.nonzero().unbind(1)
    assert len(rows) > 20
    points = middles[rows] + 0.35 * (middles[columns] - middles[rows])
    same = nearest_faces(body, verts, points, normals[rows])
    other = nearest_faces(body, verts, points, normals[columns])
    for nearest, wanted in ((same, normals[rows]), (other, normals[columns])):
        agreement = (face_normals(body, verts, nearest.binding.faces) * wanted).sum(-1)
        assert float((agreement > 0).float().mean()) > 0.9


def test_nothing_hangs_inside_the_mouth(body: BodyModel, verts: Tensor) -> None:
    inner = torch.tensor([name in INNER_PARTS for name in body.part_names])
    hidden = inner[body.part_labels[body.faces]].any(1)
    assert bool(hidden.any())
    assert not hidden[outer_faces(body)].any()
    at_tongue = verts[body.part_labels == body.part_names.index("tongue")]
    towards = torch.tensor([0.0, 0.0, 1.0]).expand_as(at_tongue)
    assert not hidden[nearest_faces(body, verts, at_tongue, towards).binding.faces].any()
    assert not hidden[sample_body(body, verts, 5000, 0).faces].any()


def test_samples_are_spread_by_area(body: BodyModel, verts: Tensor) -> None:
    count = 20_000
    binding = sample_body(body, verts, count, 0)
    assert abs(len(binding) - count) <= 1
    assert float(binding.barycentrics.min()) >= 0
    torch.testing.assert_close(binding.barycentrics.sum(1), torch.ones(len(binding)), atol=1e-5, rtol=0)
    outer = outer_faces(body)
    a, b, c = verts[body.faces[outer]].unbind(1)
    area = torch.zeros(len(body.faces))
    area[outer] = torch.linalg.cross(b - a, c - a).norm(dim=-1) / 2
    number = torch.bincount(binding.faces, minlength=len(body.faces)).float()
    density = part_density(body)
    expected = area * density / (area * density).sum() * len(binding)
    # Systematic sampling: every face has its share, rounded up or down.
    assert float((number - expected).abs().max()) < 1.01
    hand = (body.part_labels[body.faces] == body.part_names.index("hand_l")).all(1)
    torso = (body.part_labels[body.faces] == body.part_names.index("torso")).all(1)
    per_area = [float(number[part].sum() / area[part].sum()) for part in (hand, torso)]
    assert per_area[0] / per_area[1] == pytest.approx(3.0, rel=0.1)


def test_samples_repeat_with_their_seed(body: BodyModel, verts: Tensor) -> None:
    one, same, other = (sample_body(body, verts, 500, seed) for seed in (3, 3, 4))
    assert torch.equal(one.barycentrics, same.barycentrics)
    assert torch.equal(one.faces, same.faces)
    assert not torch.equal(one.barycentrics[:100], other.barycentrics[:100])


def test_neighbours_and_spacing_of_a_grid() -> None:
    line = torch.arange(6.0)
    points = torch.stack(torch.meshgrid(line, line, line, indexing="ij"), -1).reshape(-1, 3) * 0.02
    torch.testing.assert_close(spacing(points), torch.full((216,), 0.02), atol=1e-6, rtol=0)
    near = neighbours(points, 3)
    assert not (near == torch.arange(216)[:, None]).any()
    torch.testing.assert_close(
        (points[near] - points[:, None]).norm(dim=-1), torch.full((216, 3), 0.02), atol=1e-6, rtol=0
    )
