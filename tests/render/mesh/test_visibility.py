"""Which triangle is seen where: against ray casting, at the near plane, on edges, at all sizes, culled or not."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from simulacra.render.camera import Cameras
from simulacra.render.mesh import face_normals, interpolate, rasterize_mesh, reference
from tests.render.mesh.scenes import folded_grid, front_camera, soup, sphere

backends = pytest.mark.parametrize("backend", ["reference", "cpu"])


def cast_rays(verts: Tensor, faces: Tensor, cameras: Cameras) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Nearest hit of each pixel's ray after Moeller and Trumbore, in float64: face, barycentrics, depth, and
    whether rounding cannot change the answer (no edge, near plane or second triangle within 1e-7).
    """
    rays = cameras.to(torch.float64).local_rays()[0]
    v0, v1, v2 = verts.double()[faces].unbind(1)
    first, second = v1 - v0, v2 - v0
    p = torch.linalg.cross(rays[:, :, None], second.expand(*rays.shape[:2], -1, -1))
    determinant = (first * p).sum(-1)
    s = -v0
    u = (s * p).sum(-1) / determinant
    q = torch.linalg.cross(s, first)
    v = (rays[:, :, None] * q).sum(-1) / determinant
    t = (second * q).sum(-1) / determinant
    margin = torch.stack([u, v, 1 - u - v, t - reference.NEAR], -1).amin(-1)
    distance = torch.where(margin > 0, t, torch.inf)
    two = torch.cat([distance, torch.full_like(distance[..., :1], torch.inf)], -1).sort(-1).values
    sure = (margin.abs() > 1e-7).all(-1) & ~(two[..., 1] - two[..., 0] < 1e-7 * two[..., 0])
    depth, face = distance.min(-1)
    hit = torch.isfinite(depth)
    weights = torch.stack([1 - u - v, u, v], -1).gather(2, face[..., None, None].expand(*face.shape, 1, 3))[
        :, :, 0
    ]
    zero = torch.zeros_like(depth)
    return (
        torch.where(hit, face, -1),
        torch.where(hit[..., None], weights, zero[..., None]),
        torch.where(hit, depth, zero),
        sure,
    )


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**31 - 1),
    triangles=st.integers(1, 10),
    width=st.integers(1, 30),
    height=st.integers(1, 30),
    scale=st.sampled_from([1.0, 1.0, 1e-2, 1e3]),
)
def test_every_backend_sees_what_rays_hit(
    seed: int, triangles: int, width: int, height: int, scale: float
) -> None:
    """Random triangles before, behind and through the camera, tiny and huge ones: what is seen, its depth, and the
    barycentrics of the whole triangle. The oracle shares no formula with the backends. Slivers lose digits of
    barycentrics in the oracle: 1e-5; depths 1e-6.
    """
    verts, faces = soup(seed, triangles)
    places = verts.reshape(-1, 3, 3)
    verts = (places.mean(1, keepdim=True) + scale * (places - places.mean(1, keepdim=True))).reshape(-1, 3)
    cameras = front_camera(width, height, 0.7 * max(width, height))
    face, weights, depth, sure = cast_rays(verts, faces, cameras)
    found = rasterize_mesh(verts, faces, cameras, backend="cpu")
    exact = rasterize_mesh(verts.double(), faces, cameras.to(torch.float64), backend="reference")
    for rendering in (found, exact):
        assert torch.equal(rendering.face_index[0].long()[sure], face[sure])
        torch.testing.assert_close(rendering.depth[0].double()[sure], depth[sure], rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(rendering.barycentrics[0].double()[sure], weights[sure], rtol=0, atol=1e-5)


@pytest.mark.parametrize("behind", [1, 2])
@backends
def test_a_triangle_through_the_near_plane_is_cut_exactly_there(behind: int, backend: str) -> None:
    """One or two corners behind the camera: the pixels are those whose ray meets the triangle beyond the near
    plane, with the whole triangle's barycentrics, and gradients that finite differences confirm.
    """
    corners = torch.tensor([[-0.3, 0.9, 2.0], [0.8, -0.7, 1.5], [0.2, 0.4, -0.5]])
    if behind == 2:
        corners = torch.tensor([[0.1, 0.3, 3.0], [1.8, -0.7, -0.4], [-0.9, 0.2, -1.5]])
    faces, cameras = torch.tensor([[0, 1, 2]]), front_camera(21, 17, 8.0)
    face, weights, depth, sure = cast_rays(corners, faces, cameras)
    rendering = rasterize_mesh(corners, faces, cameras, backend=backend)
    assert sure.all()
    assert 0.1 < (face >= 0).float().mean() < 0.9
    assert torch.equal(rendering.face_index[0].long(), face)
    torch.testing.assert_close(rendering.barycentrics[0].double(), weights, rtol=0, atol=1e-5)
    torch.testing.assert_close(rendering.depth[0].double(), depth, rtol=1e-5, atol=1e-6)

    def hits(places: Tensor) -> tuple[Tensor, Tensor]:
        drawn = reference.rasterize(places[None], faces, cameras.to(torch.float64).local_rays(), "none")
        return drawn[1], drawn[2]

    assert torch.autograd.gradcheck(hits, corners.double().requires_grad_(), eps=1e-7, atol=1e-5, rtol=1e-5)
    leaf, exact = corners.clone().requires_grad_(), corners.double().requires_grad_()
    points = interpolate(leaf, faces, rasterize_mesh(leaf, faces, cameras, backend=backend))
    drawn = rasterize_mesh(exact, faces, cameras.to(torch.float64))
    upstream = torch.randn(points.shape, generator=torch.Generator().manual_seed(0))
    points.backward(upstream)
    interpolate(exact, faces, drawn).backward(upstream.double())
    assert exact.grad.norm() > 1
    assert (leaf.grad - exact.grad).norm() < 1e-4 * exact.grad.norm()


def covered_alone(verts: Tensor, faces: Tensor, cameras: Cameras, backend: str) -> Tensor:
    """How many of the triangles hit each pixel, each drawn alone."""
    alone = [rasterize_mesh(verts, face[None], cameras, backend=backend).covered[0] for face in faces]
    return torch.stack(alone).sum(0)


@settings(max_examples=12)
@given(seed=st.integers(0, 2**31 - 1), cells=st.integers(1, 8), lattice=st.sampled_from([0.0, 0.125, 0.5]))
def test_sheets_are_watertight(seed: int, cells: int, lattice: float) -> None:
    """Every pixel is hit by exactly one triangle of a sheet without overlaps, whether vertices and edges lie
    anywhere or, on a lattice of half pixels or two, through pixel centres; also the pixels of its own border.
    """
    verts, faces = folded_grid(seed, cells, lattice)
    cameras = front_camera(32, 32, 32.0)
    assert (face_normals(verts, faces)[:, 2] <= 0).all()  # towards the camera, or no area at all
    assert (covered_alone(verts, faces, cameras, "cpu") == 1).all()
    if cells <= 4:
        assert (covered_alone(verts.double(), faces, cameras.to(torch.float64), "reference") == 1).all()


@backends
def test_triangles_smaller_than_pixels_leave_no_hole(backend: str) -> None:
    """A sheet of 12,800 triangles on 32 x 32 pixels (3,200 for the dense reference): one hit for each pixel, and
    its depth lies between the sheet's.
    """
    verts, faces = folded_grid(3, 80 if backend == "cpu" else 40)
    rendering = rasterize_mesh(verts, faces, front_camera(32, 32, 32.0), backend=backend)
    assert rendering.covered.all()
    assert rendering.depth.min() >= verts[:, 2].min()
    assert rendering.depth.max() <= verts[:, 2].max()
    assert rendering.face_index.unique().numel() > 1000


@backends
def test_culling(backend: str) -> None:
    """A ball: from outside only its near half, from within only its far half; both together is all."""
    verts, faces = sphere()
    verts = verts + torch.tensor([0.05, -0.02, 2.0])
    cameras = front_camera(19, 23, 30.0)
    drawn = {
        cull: rasterize_mesh(verts, faces, cameras, cull=cull, backend=backend)
        for cull in ("none", "back", "front")
    }
    near, far = drawn["back"], drawn["front"]
    assert torch.equal(near.face_index, drawn["none"].face_index)
    assert torch.equal(near.covered, far.covered)
    assert near.covered.any()
    assert (far.depth > near.depth)[near.covered].all()
    swapped = rasterize_mesh(verts, faces.flip(1), cameras, cull="back", backend=backend)
    assert torch.equal(swapped.face_index, far.face_index)
    # Float32 in the reference: a triangle of 1/30 of its distance loses a digit or two.
    torch.testing.assert_close(swapped.barycentrics.flip(-1), far.barycentrics, rtol=0, atol=1e-5)
    inside = front_camera(9, 9, 4.0)
    centred = sphere()[0] * 2
    assert not rasterize_mesh(centred, faces, inside, cull="back", backend=backend).covered.any()
    assert rasterize_mesh(centred, faces, inside, cull="front", backend=backend).covered.all()


@backends
def test_of_equal_depths_the_first_triangle_is_seen(backend: str) -> None:
    verts = torch.tensor([[-9.0, -9, 2], [9, -9, 2], [0, 9, 2]])
    faces = torch.tensor([[0, 1, 2], [0, 1, 2], [0, 2, 1]])
    cameras = front_camera(5, 4)
    assert (rasterize_mesh(verts, faces, cameras, backend=backend).face_index == 0).all()
    front = rasterize_mesh(verts, faces, cameras, cull="front", backend=backend).face_index
    back = rasterize_mesh(verts, faces, cameras, cull="back", backend=backend).face_index
    assert {int(front.unique()), int(back.unique())} == {0, 2}


@backends
def test_triangles_without_area_are_not_seen(backend: str) -> None:
    """Three collinear corners, two or three equal ones, and a triangle in a plane through the camera, with
    places that round: none may flicker at an arbitrary depth.
    """
    g = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 200, 3, generator=g) * 0.4 + torch.tensor([0, 0, 2.0])
    share = torch.rand(200, 1, generator=g)
    collinear = torch.stack([a, b, a + share * (b - a)], 1)
    through_camera = torch.stack([a, b, 0.3 * a + share * b], 1)
    for corners in (torch.stack([a, b, a], 1), torch.stack([a, a, a], 1), through_camera, collinear):
        faces = torch.arange(600).reshape(-1, 3)
        rendering = rasterize_mesh(corners.reshape(-1, 3), faces, front_camera(40, 40, 30.0), backend=backend)
        hit = rendering.covered
        if corners is through_camera or corners is collinear:
            # Rounded to float32 their corners really span slivers: what is hit lies at its true depth.
            low, high = corners[..., 2].amin(), corners[..., 2].amax()
            assert (rendering.depth[hit] >= low - 1e-3).all()
            assert (rendering.depth[hit] <= high + 1e-3).all()
            assert hit.float().mean() < 0.05
        else:
            assert not hit.any()


@backends
@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 7), (33, 1), (17, 31)])
def test_images_of_any_size(width: int, height: int, backend: str) -> None:
    """A wall at 2 m fills any image; its depth's gradient is spread over its corners and sums to the pixels."""
    verts = torch.tensor([[-90.0, -90, 2], [90, -90, 2], [0, 90, 2]], requires_grad=True)
    rendering = rasterize_mesh(verts, torch.tensor([[0, 1, 2]]), front_camera(width, height), backend=backend)
    assert rendering.covered.shape == (1, height, width)
    assert rendering.covered.all()
    rendering.depth.sum().backward()
    assert float(verts.grad[:, 2].sum()) == pytest.approx(width * height, rel=1e-5)


@backends
def test_no_triangles_and_no_vertices(backend: str) -> None:
    none = torch.zeros(0, 3, dtype=torch.int64)
    for count in (0, 3):
        verts = torch.ones(count, 3, requires_grad=True)
        rendering = rasterize_mesh(verts, none, front_camera(3, 2), backend=backend)
        image = interpolate(verts, none, rendering)
        (image.sum() + rendering.depth.sum()).backward()
        assert not rendering.covered.any()
        assert not image.any()
        assert not verts.grad.any()
