"""Normals: known answers, compiled against torch, and the same bits whatever the threads."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from simulacra.render.mesh import face_normals, vertex_normals
from simulacra.render.mesh.normals import reference
from tests.render.mesh.scenes import folded_grid, sphere


def test_normals_of_a_ball_point_outwards() -> None:
    verts, faces = sphere(24, 32)
    outwards = torch.nn.functional.normalize(verts, dim=-1)
    assert ((vertex_normals(verts, faces) * outwards).sum(-1) > 0.99).all()
    middles = torch.nn.functional.normalize(verts[faces].mean(1), dim=-1)
    assert (
        (torch.nn.functional.normalize(face_normals(verts, faces), dim=-1) * middles).sum(-1) > 0.98
    ).all()


def test_vertices_of_no_triangle_or_of_cancelling_ones_have_none() -> None:
    verts = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [5, 5, 5]], requires_grad=True)
    normals = vertex_normals(verts, torch.tensor([[0, 1, 2], [0, 2, 1]]))
    assert not normals.any()
    alone = vertex_normals(verts, torch.tensor([[0, 1, 2]]))
    assert torch.equal(alone, torch.tensor([[0.0, 0, 1], [0, 0, 1], [0, 0, 1], [0, 0, 0]]))
    alone.sum().backward()
    assert not verts.grad[3].any()
    assert torch.isfinite(verts.grad).all()


@settings(max_examples=20)
@given(seed=st.integers(0, 2**31 - 1), cells=st.integers(1, 6), batch=st.integers(1, 3))
def test_compiled_equals_torch(seed: int, cells: int, batch: int) -> None:
    """Values and gradients, in a batch. The kernel counts in float64 from the same float32 vertices: 1e-6."""
    verts, faces = folded_grid(seed, cells)
    verts = torch.stack([verts * (1 + i) for i in range(batch)])
    upstream = torch.randn(verts.shape, generator=torch.Generator().manual_seed(seed))
    leaf, exact = verts.clone().requires_grad_(), verts.double().requires_grad_()
    found, expected = vertex_normals(leaf, faces), reference(exact, faces)
    found.backward(upstream)
    expected.backward(upstream.double())
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-6)
    scale = float(exact.grad.abs().max())
    torch.testing.assert_close(leaf.grad.double(), exact.grad, rtol=0, atol=1e-6 * scale)


def test_reference_gradients_by_finite_differences() -> None:
    verts, faces = folded_grid(1, 2)
    leaf = verts.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda v: reference(v, faces), leaf, eps=1e-6, atol=1e-6)


def test_same_bits_on_any_number_of_threads() -> None:
    verts, faces = folded_grid(2, 120)  # 28,800 triangles: torch would add with both threads at once
    upstream = torch.randn(verts.shape, generator=torch.Generator().manual_seed(0))
    before, results = torch.get_num_threads(), set()
    try:
        for threads in (1, 2, 2, 2):
            torch.set_num_threads(threads)
            leaf = verts.clone().requires_grad_()
            normals = vertex_normals(leaf, faces)
            normals.backward(upstream)
            results.add(normals.detach().numpy().tobytes() + leaf.grad.numpy().tobytes())
    finally:
        torch.set_num_threads(before)
    assert len(results) == 1
