"""Skinning: known answers, and the kernel against its torch twin in value and gradient."""

from __future__ import annotations

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from simulacra.render.rotation import axis_angle_to_quat, quat_to_matrix
from simulacra.render.skinning import Influences, skin, skin_reference

COUNT, BONES = 2500, 7  # more than two of the kernel's blocks


def some_bones(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    q = axis_angle_to_quat(torch.randn(BONES, 3, generator=generator))
    q = q * torch.where(
        torch.rand(BONES, 1, generator=generator) < 0.5, -1.0, 1.0
    )  # either sign is the same turn
    T = torch.cat([quat_to_matrix(q), torch.randn(BONES, 3, 1, generator=generator)], 2)
    return T, q


def some_points(generator: torch.Generator) -> tuple[Tensor, Tensor, Influences]:
    weights = torch.rand(COUNT, BONES, generator=generator) ** 4
    weights = torch.where(weights < 0.2, 0, weights) + torch.eye(BONES)[torch.arange(COUNT) % BONES]
    weights = weights / weights.sum(1, keepdim=True)
    points = torch.randn(COUNT, 3, generator=generator)
    return points, torch.randn(COUNT, 4, generator=generator), Influences.of_dense(weights)


def test_one_bone_moves_its_points_rigidly() -> None:
    turn = axis_angle_to_quat(torch.tensor([[0.0, math.pi / 2, 0.0]]))
    T = torch.cat([quat_to_matrix(turn), torch.tensor([[[1.0], [2.0], [3.0]]])], 2)
    only = Influences.of_dense(torch.ones(1, 1))
    moved, turned = skin(torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([[1.0, 0, 0, 0]]), only, T, turn)
    torch.testing.assert_close(moved, torch.tensor([[1.0, 2.0, 2.0]]))  # +X turns to -Z
    torch.testing.assert_close(turned, turn)


def test_influences_keep_what_weighs_and_put_the_strongest_first() -> None:
    influences = Influences.of_dense(torch.tensor([[0.0, 0.3, 0.0, 0.7], [1.0, 0.0, 0.0, 0.0]]))
    assert influences.bones.tolist() == [[3, 1], [0, 0]]
    torch.testing.assert_close(influences.weights, torch.tensor([[0.7, 0.3], [1.0, 0.0]]))


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_kernel_agrees_with_its_twin_in_value_and_gradient(seed: int) -> None:
    """Relative to the largest entry 2e-5: some ten float32 sums of products each, and 2500 in a bone's gradient."""
    g = torch.Generator().manual_seed(seed)
    points, quats, influences = some_points(g)
    T, q = some_bones(g)
    up = (torch.randn(COUNT, 3, generator=g), torch.randn(COUNT, 4, generator=g))
    ours = [t.clone().requires_grad_() for t in (points, quats, T, q)]
    theirs = [t.double().requires_grad_() for t in (points, quats, T, q)]
    drawn = skin(ours[0], ours[1], influences, ours[2], ours[3])
    precise = Influences(influences.bones, influences.weights.double())
    exact = skin_reference(theirs[0], theirs[1], precise, theirs[2], theirs[3])
    gradients = torch.autograd.grad(drawn, ours, up)
    known = torch.autograd.grad(exact, theirs, [u.double() for u in up])
    for mine, right in zip((*drawn, *gradients), (*exact, *known)):
        torch.testing.assert_close(
            mine.double(), right, rtol=0, atol=2e-5 * float(right.detach().abs().max())
        )


def test_threads_do_not_change_a_bit() -> None:
    g = torch.Generator().manual_seed(3)
    points, quats, influences = some_points(g)
    T, q = some_bones(g)
    results, before = [], torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            leaves = [t.clone().requires_grad_() for t in (points, quats, T, q)]
            drawn = skin(leaves[0], leaves[1], influences, leaves[2], leaves[3])
            sum((d * d).sum() for d in drawn).backward()  # type: ignore[union-attr]
            results.append([*drawn, *(leaf.grad for leaf in leaves)])
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other))


def test_a_turned_sign_of_a_bone_changes_nothing_and_a_turned_bone_does() -> None:
    g = torch.Generator().manual_seed(4)
    points, quats, influences = some_points(g)
    T, q = some_bones(g)
    flipped = q * torch.tensor([-1.0, 1, 1, -1, 1, -1, 1])[:, None]
    first, second = (skin(points, quats, influences, T, bones)[1] for bones in (q, flipped))
    alike = (first * second).sum(-1).abs() / (first.norm(dim=-1) * second.norm(dim=-1))
    torch.testing.assert_close(alike, torch.ones(COUNT))
    third = skin(points, quats, influences, T, q.roll(1, 0))[1]
    assert float((first * third).sum(-1).abs().min()) < 0.9
