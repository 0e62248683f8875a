"""Procrustes with a gradient, and products down a chain."""

from __future__ import annotations

import torch

from simulacra.render.body.skeleton import chain, nearest_rotation
from simulacra.render.rotation import axis_angle_to_matrix, rigid


def test_nearest_rotation_undoes_a_stretch() -> None:
    rotation = axis_angle_to_matrix(torch.randn(20, 3, dtype=torch.float64))
    square = torch.randn(20, 3, 3, dtype=torch.float64)
    stretch = square @ square.transpose(-1, -2) + 0.1 * torch.eye(3, dtype=torch.float64)
    assert torch.allclose(nearest_rotation(rotation @ stretch), rotation, atol=1e-9)


def test_nearest_rotation_of_a_reflection_is_a_rotation() -> None:
    mirrored = torch.diag(torch.tensor([1.0, 2.0, -0.5]))[None]
    found = nearest_rotation(mirrored)
    torch.testing.assert_close(found @ found.mT, torch.eye(3)[None])
    assert float(torch.linalg.det(found)) > 0


def test_nearest_rotation_has_its_gradient_also_where_singular_values_are_equal() -> None:
    """There the decomposition's own gradient is infinite."""
    rotation = axis_angle_to_matrix(torch.tensor([[0.3, -0.2, 0.5]], dtype=torch.float64))
    matrices = torch.cat([rotation, 2.0 * rotation + 0.1 * torch.randn(1, 3, 3, dtype=torch.float64)])
    weights = torch.randn(2, 3, 3, dtype=torch.float64)
    variable = matrices.clone().requires_grad_()
    (gradient,) = torch.autograd.grad((nearest_rotation(variable) * weights).sum(), variable)
    step = 1e-6
    for _ in range(5):
        direction = torch.randn_like(matrices)
        up, down = (
            nearest_rotation(matrices + step * direction),
            nearest_rotation(matrices - step * direction),
        )
        difference = ((up - down) * weights).sum() / (2 * step)
        assert torch.isclose((gradient * direction).sum(), difference, atol=1e-7, rtol=1e-6)


def test_chain_is_the_product_of_ancestors() -> None:
    parents = torch.tensor([-1, 0, 1, 2, 3, 1, 5, 0])
    local = rigid(axis_angle_to_matrix(torch.randn(2, 8, 3)), torch.randn(2, 8, 3))
    expected = [local[:, 0]]
    for bone in range(1, 8):
        expected.append(expected[int(parents[bone])] @ local[:, bone])
    assert torch.allclose(chain(local, parents, depth=5), torch.stack(expected, 1), atol=1e-5)
    # A control: one pass fewer does not reach the root.
    assert not torch.allclose(chain(local, parents, depth=3), torch.stack(expected, 1), atol=1e-5)
