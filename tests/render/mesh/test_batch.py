"""A mesh for each camera: the same as one by one, to the bit, in value and gradient."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from simulacra.render.camera import Cameras, look_at
from simulacra.render.mesh import (
    antialias,
    build_mips,
    interpolate,
    mip_levels,
    rasterize_mesh,
    sample_texture,
)
from tests.render.mesh.scenes import sphere


def scene(seed: int, count: int = 3) -> tuple[Tensor, Tensor, Tensor, Cameras]:
    """Vertices of ``count`` dented balls, their triangles, texture coordinates, and as many cameras."""
    g = torch.Generator().manual_seed(seed)
    verts, faces = sphere(6, 8)
    verts = verts + 0.05 * torch.randn(count, len(verts), 3, generator=g)
    uvs = torch.rand(verts.shape[1], 2, generator=g)
    eyes = torch.randn(count, 3, generator=g) * 0.3 + torch.tensor([0.0, 0.0, 1.8])
    return verts, faces, uvs, look_at(eyes, torch.zeros(count, 3), 24.0, 21, 18)


def draw(
    verts: Tensor, faces: Tensor, uvs: Tensor, texture: Tensor, cameras: Cameras, backend: str
) -> Tensor:
    """Everything at once: positions, depth and a textured, antialiased picture, as one image."""
    rendering = rasterize_mesh(verts, faces, cameras, backend=backend)
    levels = mip_levels(uvs, faces, verts, faces, cameras, rendering, (16, 16), backend=backend)
    places = interpolate(uvs, faces, rendering)
    colors = sample_texture(
        build_mips(texture), places, levels=levels, mask=rendering.covered, backend=backend
    )
    image = torch.cat([interpolate(verts, faces, rendering), colors, rendering.depth[..., None]], -1)
    return antialias(image, verts, faces, cameras, rendering, backend=backend)


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_a_mesh_for_each_camera_is_as_one_by_one(backend: str) -> None:
    verts, faces, uvs, cameras = scene(0)
    texture = torch.rand(16, 16, 3, generator=torch.Generator().manual_seed(1))
    leaf = verts.clone().requires_grad_()
    together = draw(leaf, faces, uvs, texture, cameras, backend)
    upstream = torch.randn(together.shape, generator=torch.Generator().manual_seed(2))
    together.backward(upstream)
    for i in range(3):
        own = verts[i].clone().requires_grad_()
        alone = draw(own, faces, uvs, texture, cameras[i], backend)
        alone.backward(upstream[i : i + 1])
        assert torch.equal(alone[0], together[i])
        assert torch.equal(own.grad, leaf.grad[i])


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_one_mesh_before_all_cameras_is_its_copies(backend: str) -> None:
    """Values to the bit; the one mesh's gradient is the sum of its copies', in float32 (1e-6 of its size)."""
    verts, faces, uvs, cameras = scene(3)
    texture = torch.rand(16, 16, 3, generator=torch.Generator().manual_seed(1))
    one, copies = verts[0].clone().requires_grad_(), verts[:1].repeat(3, 1, 1).requires_grad_()
    first, second = (draw(leaf, faces, uvs, texture, cameras, backend) for leaf in (one, copies))
    assert torch.equal(first, second)
    upstream = torch.randn(first.shape, generator=torch.Generator().manual_seed(2))
    first.backward(upstream)
    second.backward(upstream)
    total = copies.grad.sum(0)
    assert (one.grad - total).norm() < 1e-6 * total.norm()


@settings(max_examples=8)
@given(seed=st.integers(0, 2**31 - 1))
def test_cpu_equals_reference_from_every_input_to_every_output(seed: int) -> None:
    """The whole way from vertices, poses, texture and its coordinates to an antialiased picture.

    Sums of float32 products over 378 pixels,
    divided by the determinants of triangles of 10 pixels: 1e-4 of the gradient's norm.
    """
    verts, faces, uvs, cameras = scene(seed, 2)
    texture = torch.rand(16, 16, 3, generator=torch.Generator().manual_seed(seed))
    upstream, results = None, []
    for dtype, backend in ((torch.float32, "cpu"), (torch.float64, "reference")):
        leaves = [x.to(dtype).requires_grad_() for x in (verts, uvs, texture, cameras.viewmats)]
        seen_from = replace(cameras, viewmats=leaves[3], Ks=cameras.Ks.to(dtype))
        image = draw(leaves[0], faces, leaves[1], leaves[2], seen_from, backend)
        ids = rasterize_mesh(leaves[0], faces, seen_from, backend=backend).face_index.long()
        if upstream is None:
            upstream = torch.randn(image.shape, generator=torch.Generator().manual_seed(seed))
        gradients = torch.autograd.grad(image, leaves, upstream.to(dtype))
        results.append((ids, image.detach(), *gradients))
    assert torch.equal(results[0][0], results[1][0])
    for found, expected in zip(results[0][1:], results[1][1:]):
        assert expected.norm() > 0.1
        assert (found.double() - expected).norm() < 1e-4 * expected.norm()


def test_attributes_of_each_mesh_have_gradients_of_their_own() -> None:
    verts, faces, _, cameras = scene(5)
    rendering = rasterize_mesh(verts, faces, cameras)
    values = torch.randn(3, verts.shape[1], 4, generator=torch.Generator().manual_seed(0))
    upstream = torch.randn(3, 18, 21, 4, generator=torch.Generator().manual_seed(1))
    leaf, exact = values.clone().requires_grad_(), values.double().requires_grad_()
    image = interpolate(leaf, faces, rendering)
    expected = interpolate(exact, faces, replace(rendering, barycentrics=rendering.barycentrics.double()))
    image.backward(upstream)
    expected.backward(upstream.double())
    torch.testing.assert_close(image.double(), expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(leaf.grad.double(), exact.grad, rtol=0, atol=1e-4)


def test_same_bits_on_any_number_of_threads() -> None:
    verts, faces, uvs, cameras = scene(7)
    texture = torch.rand(16, 16, 3, generator=torch.Generator().manual_seed(1))
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            leaves = [x.clone().requires_grad_() for x in (verts, uvs, texture)]
            image = draw(leaves[0], faces, leaves[1], leaves[2], cameras, "cpu")
            image.square().sum().backward()
            results.append(b"".join(x.detach().numpy().tobytes() for x in [image, *(x.grad for x in leaves)]))
    finally:
        torch.set_num_threads(before)
    assert results[0] == results[1]


def test_another_number_of_meshes_than_of_cameras_is_refused() -> None:
    verts, faces, _, cameras = scene(0)
    with pytest.raises(ValueError, match="2 meshes for 3 cameras"):
        rasterize_mesh(verts[:2], faces, cameras)
    rendering = rasterize_mesh(verts, faces, cameras)
    with pytest.raises(ValueError, match="1 meshes for 3 cameras"):
        antialias(rendering.depth[..., None], verts[:1], faces, cameras, rendering)
