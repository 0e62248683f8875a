"""The mesh rasterizer: compiled against the reference, and known answers."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from simulacra.render.camera import look_at
from simulacra.render.mesh import (
    cpu,
    face_normals,
    interpolate,
    rasterize_mesh,
    reference,
    shade,
    vertex_normals,
)
from tests.render.mesh.scenes import front_camera, soup, sphere

backends = pytest.mark.parametrize("backend", ["reference", "cpu"])


@given(
    seed=st.integers(0, 2**31 - 1),
    triangles=st.integers(1, 12),
    width=st.integers(1, 40),
    height=st.integers(1, 40),
    cull=st.sampled_from(["none", "back", "front"]),
)
def test_cpu_equals_reference(seed: int, triangles: int, width: int, height: int, cull: str) -> None:
    """Same triangles, numbers and gradients. The kernels count in float64, so only their float32 output
    rounds: 1e-6.

    The gradient of a nearly edge-on triangle divides by a small determinant, hence its tolerance by norm.
    """
    verts, faces = soup(seed, triangles)
    camera = front_camera(width, height, 0.8 * max(width, height))
    exact = camera.to(torch.float64)
    local = verts[None].clone().requires_grad_()
    local64 = verts[None].double().requires_grad_()
    index, barycentrics, depth = cpu.rasterize(local, faces, camera.Ks, width, height, cull)
    index64, barycentrics64, depth64 = reference.rasterize(local64, faces, exact.local_rays(), cull)
    assert torch.equal(index.long(), index64)
    torch.testing.assert_close(barycentrics.double(), barycentrics64, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(depth.double(), depth64, rtol=1e-6, atol=1e-6)
    g = torch.Generator().manual_seed(seed)
    weights = torch.randn(1, height, width, 4, generator=g)
    loss = (barycentrics * weights[..., :3]).sum() + (depth * weights[..., 3]).sum()
    loss64 = (barycentrics64 * weights[..., :3]).sum() + (depth64 * weights[..., 3]).sum()
    (found,) = torch.autograd.grad(loss, local)
    (expected,) = torch.autograd.grad(loss64, local64)
    assert (found.double() - expected).norm() <= 1e-5 * expected.norm() + 1e-7


def test_reference_gradients_by_finite_differences() -> None:
    verts, faces = soup(4, 4)
    rays = front_camera(7, 6, 6.0).to(torch.float64).local_rays()

    def outputs(local: Tensor) -> Tensor:
        _, barycentrics, depth = reference.rasterize(local, faces, rays, "none")
        return torch.cat([barycentrics, depth[..., None]], -1)

    assert (outputs(verts[None].double())[..., 3] > 0).any()
    assert torch.autograd.gradcheck(
        outputs, verts[None].double().requires_grad_(), eps=1e-7, atol=1e-5, rtol=1e-5
    )


@backends
def test_hit_points_are_where_depth_says(backend: str) -> None:
    """Interpolated vertex positions equal the unprojected depth: barycentrics, depth and camera agree."""
    verts, faces = sphere()
    cameras = look_at(torch.tensor([[0.3, 0.2, 2.0], [-1.5, 1.0, 0.4]]), torch.zeros(2, 3), 50.0, 33, 37)
    rendering = rasterize_mesh(verts, faces, cameras, backend=backend)
    points = interpolate(verts, faces, rendering)
    covered = rendering.covered
    assert covered.float().mean() > 0.1
    # 2 m and float32: 1e-6 m.
    torch.testing.assert_close(
        points[covered], cameras.unproject(rendering.depth)[covered], rtol=0, atol=3e-6
    )
    assert not points[~covered].any()
    torch.testing.assert_close(rendering.barycentrics.sum(-1), covered.float(), rtol=0, atol=1e-6)


@backends
def test_nothing_shows_through_a_closed_surface(backend: str) -> None:
    """From outside only triangles that face the camera are seen, and without holes inside the outline."""
    verts, faces = sphere(24, 32)
    cameras = look_at(torch.tensor([[0.1, 0.3, 2.0]]), torch.zeros(1, 3), 150.0, 96, 96)
    one_sided = rasterize_mesh(verts, faces, cameras, cull="back", backend=backend)
    both = rasterize_mesh(verts, faces, cameras, backend=backend)
    assert torch.equal(one_sided.face_index, both.face_index)
    for row in both.covered[0]:
        places = row.nonzero()
        if len(places):
            assert row[places.min() : places.max() + 1].all()
    inside_out = rasterize_mesh(verts, faces.flip(1), cameras, cull="back", backend=backend)
    assert (inside_out.depth > both.depth)[both.covered].float().mean() > 0.95  # its far wall


@backends
def test_shared_edges_through_pixel_centres_belong_to_one_triangle(backend: str) -> None:
    """A square in two triangles whose diagonal and sides lie exactly on pixel centres, drawn together and
    alone: no hole and no pixel twice; its left and upper sides are its own, the others are not.
    """
    verts = torch.tensor([[-3.5, -3.5, 8.0], [3.5, -3.5, 8], [3.5, 3.5, 8], [-3.5, 3.5, 8]])
    faces = torch.tensor([[0, 1, 2], [0, 2, 3]])
    rendering = rasterize_mesh(verts, faces, front_camera(), backend=backend)
    assert rendering.covered[0, :7, :7].all()
    assert int(rendering.covered.sum()) == 49
    torch.testing.assert_close(rendering.depth[0, :7, :7], torch.full((7, 7), 8.0))
    alone = [rasterize_mesh(verts, face[None], front_camera(), backend=backend).covered for face in faces]
    assert torch.equal(sum(each.int() for each in alone), rendering.covered.int())


@backends
def test_floor_under_the_camera_reaches_from_the_near_plane_to_the_horizon(backend: str) -> None:
    """One triangle far behind and ahead of the camera: y = 1 below, so depth is f / (row - cy) below the
    horizon.
    """
    verts = torch.tensor([[0.0, 1.0, 1e4], [1e4, 1.0, -1e4], [-1e4, 1.0, -1e4]])
    cameras = front_camera(9, 8, 8.0)
    rendering = rasterize_mesh(verts, torch.tensor([[0, 1, 2]]), cameras, backend=backend)
    expected = 8.0 / (torch.arange(8) + 0.5 - 4.0)
    assert torch.equal(rendering.covered[0], (expected > 0)[:, None].expand(8, 9))
    torch.testing.assert_close(rendering.depth[0, 4:, 3], expected[4:], rtol=1e-5, atol=0)


@backends
def test_behind_too_near_and_edge_on_are_not_seen(backend: str) -> None:
    triangle = torch.tensor([[-1.0, -1.0, 0.0], [1.0, -1.0, 0.0], [0.0, 1.0, 0.0]])
    faces = torch.tensor([[0, 1, 2]])
    for z in (-1.0, 0.0, 0.5 * reference.NEAR):
        rendering = rasterize_mesh(triangle + torch.tensor([0, 0, z]), faces, front_camera(), backend=backend)
        assert not rendering.covered.any()
    edge_on = torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, 2.0], [0.0, 0.0, 3.0]])
    assert not rasterize_mesh(edge_on, faces, front_camera(), backend=backend).covered.any()
    empty = rasterize_mesh(
        torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.int64), front_camera(), backend=backend
    )
    assert not empty.covered.any()
    assert not empty.depth.any()


def test_same_bits_on_any_number_of_threads() -> None:
    verts, faces = sphere(40, 60)
    cameras = look_at(torch.tensor([[0.1, 0.3, 2.0]]), torch.zeros(1, 3), 150.0, 100, 90)
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            leaf = verts.clone().requires_grad_()
            rendering = rasterize_mesh(leaf, faces, cameras)
            image = interpolate(leaf, faces, rendering)
            (image.square().sum() + rendering.depth.sum()).backward()
            parts = rendering.face_index, rendering.depth.detach(), image.detach(), leaf.grad
            results.append(b"".join(part.numpy().tobytes() for part in parts))
    finally:
        torch.set_num_threads(before)
    assert results[0] == results[1] == results[2]


def test_interpolation_gradients_equal_torchs() -> None:
    verts, faces = sphere()
    cameras = look_at(torch.tensor([[0.3, 0.2, 2.0]]), torch.zeros(1, 3), 30.0, 20, 20)
    rendering = rasterize_mesh(verts, faces, cameras)
    attributes = torch.randn(len(verts), 5, generator=torch.Generator().manual_seed(0))
    weights = torch.randn(1, 20, 20, 5, generator=torch.Generator().manual_seed(1))
    results = []
    for dtype in (torch.float32, torch.float64):
        leaf = attributes.to(dtype).requires_grad_()
        barycentrics = rendering.barycentrics.detach().to(dtype).requires_grad_()
        drawn = type(rendering)(rendering.face_index, barycentrics, rendering.depth.to(dtype))
        image = interpolate(leaf, faces, drawn)
        gradients = torch.autograd.grad((image * weights.to(dtype)).sum(), [leaf, barycentrics])
        covered = rendering.covered[
            ..., None
        ]  # outside, the reference lets gradients into unused barycentrics
        results.append([image, gradients[0], gradients[1] * covered])
    for found, expected in zip(*results):
        torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)


def test_normals_point_outwards_and_shading_is_brightest_towards_the_camera() -> None:
    verts, faces = sphere(24, 32)
    assert ((vertex_normals(verts, faces) * verts).sum(-1) > 0.49).all()
    area = face_normals(verts, faces).norm(dim=-1).sum() / 2
    assert float(area) == pytest.approx(4 * math.pi * 0.25, rel=0.02)
    cameras = look_at(torch.tensor([[0.0, 0.0, 2.0]]), torch.zeros(1, 3), 60.0, 41, 41)
    rgb, alpha = shade(verts, faces, cameras)
    assert rgb[0, 20, 20, 0] == pytest.approx(0.75, abs=0.01)
    assert rgb[alpha > 0].max() <= 0.751
    assert not rgb[alpha == 0].any()
    edge = rgb[0, 20][alpha[0, 20] > 0][0, 0]
    assert 0.3 * 0.75 < edge < 0.6 * 0.75


def test_wrong_input_is_refused() -> None:
    verts, faces = sphere()
    with pytest.raises(ValueError, match="not finite"):
        rasterize_mesh(verts * float("nan"), faces, front_camera())
    with pytest.raises(ValueError, match="faces name vertices"):
        rasterize_mesh(verts[:-1], faces, front_camera())
    with pytest.raises(ValueError, match="float32"):
        rasterize_mesh(verts.double(), faces, front_camera(), backend="cpu")
