"""Rotations: known answers, round trips through small angles and near half turns, gradients at rest."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from torch import Tensor

from simulacra.render.rotation import (
    axis_angle_to_matrix,
    axis_angle_to_quat,
    matrix_to_axis_angle,
    matrix_to_quat,
    quat_conjugate,
    quat_facing,
    quat_multiply,
    quat_normalize,
    quat_to_matrix,
    rigid,
    rigid_inverse,
    transform_points,
)

# Both sides of the switch to the series (0.01 rad), and both ends of the range.
ANGLES = [0.0, 1e-12, 1e-7, 1e-4, 0.0099, 0.0101, 0.3, 1.0, 2.0, math.pi - 1e-2, math.pi - 1e-5]


def directions(count: int = 16) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    found = torch.randn(count, 3, generator=generator, dtype=torch.float64)
    axes = torch.eye(3, dtype=torch.float64)
    return torch.nn.functional.normalize(torch.cat([found, axes, -axes]), dim=-1)


def scipy_of(quats: Tensor) -> np.ndarray:
    return Rotation.from_quat(quats[..., [1, 2, 3, 0]].numpy()).as_matrix()


def test_quaternions_are_wxyz_as_scipy_has_them_in_another_order() -> None:
    generator = torch.Generator().manual_seed(1)
    quats = torch.randn(50, 4, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(quat_to_matrix(quats), torch.from_numpy(scipy_of(quats)))


def test_quarter_turn_about_z_takes_x_to_y() -> None:
    half = math.sqrt(0.5)
    matrix = quat_to_matrix(torch.tensor([half, 0.0, 0.0, half], dtype=torch.float64))
    torch.testing.assert_close(
        matrix @ torch.tensor([1.0, 0, 0]).double(), torch.tensor([0, 1.0, 0]).double()
    )


def test_product_turns_by_the_right_factor_first() -> None:
    a, b = axis_angle_to_quat(torch.tensor([[0.0, 0.0, 1.2], [0.7, 0.0, 0.0]], dtype=torch.float64))
    torch.testing.assert_close(quat_to_matrix(quat_multiply(a, b)), quat_to_matrix(a) @ quat_to_matrix(b))
    assert not torch.allclose(quat_to_matrix(quat_multiply(a, b)), quat_to_matrix(quat_multiply(b, a)))


def test_conjugate_undoes() -> None:
    quats = quat_normalize(torch.tensor([[0.3, -0.2, 0.9, 0.4]], dtype=torch.float64))
    torch.testing.assert_close(
        quat_multiply(quats, quat_conjugate(quats)), torch.tensor([[1.0, 0, 0, 0]]).double()
    )


@pytest.mark.parametrize("angle", ANGLES)
def test_axis_angle_agrees_with_scipy_and_returns(angle: float) -> None:
    vectors = directions() * angle
    matrices = axis_angle_to_matrix(vectors)
    expected = torch.from_numpy(Rotation.from_rotvec(vectors.numpy()).as_matrix())
    torch.testing.assert_close(matrices, expected, atol=1e-14, rtol=0)
    # Near a half turn an error of 1e-16 in the matrix is one of 1e-16 / (pi - angle) in the axis.
    torch.testing.assert_close(matrix_to_axis_angle(matrices), vectors, atol=1e-10, rtol=0)


def test_a_half_turn_keeps_its_axis_up_to_sign() -> None:
    axes = directions()
    found = matrix_to_axis_angle(axis_angle_to_matrix(axes * math.pi))
    torch.testing.assert_close(found.norm(dim=-1), torch.full((len(axes),), math.pi, dtype=torch.float64))
    torch.testing.assert_close((found * axes).sum(-1).abs(), torch.full((len(axes),), math.pi).double())


@given(st.lists(st.floats(-3, 3), min_size=4, max_size=4).filter(lambda q: sum(x * x for x in q) > 1e-3))
def test_matrix_to_quat_inverts_wherever_the_largest_part_is(values: list[float]) -> None:
    quats = quat_normalize(torch.tensor(values, dtype=torch.float64))
    found = matrix_to_quat(quat_to_matrix(quats))
    assert found[0] >= 0
    assert min((found - quats).abs().max(), (found + quats).abs().max()) < 1e-12


def test_gradients_at_rest_are_those_of_the_generators() -> None:
    """Poses start at zero: d R / d v there is the cross product, not NaN."""
    jacobian = torch.autograd.functional.jacobian(axis_angle_to_matrix, torch.zeros(3, dtype=torch.float64))
    x = torch.tensor([[0, 0, 0], [0, 0, -1.0], [0, 1.0, 0]], dtype=torch.float64)
    torch.testing.assert_close(jacobian[..., 0], x)


@pytest.mark.parametrize("angle", [0.0, 0.0099, 0.0101, 1.0, 3.0])
def test_gradients_there_and_back_are_the_identity(angle: float) -> None:
    vector = directions()[0] * angle
    jacobian = torch.autograd.functional.jacobian(
        lambda v: matrix_to_axis_angle(axis_angle_to_matrix(v)), vector
    )
    torch.testing.assert_close(jacobian, torch.eye(3, dtype=torch.float64), atol=1e-6, rtol=0)


def test_rigid_transforms_compose_and_invert() -> None:
    vectors = directions()[:2]
    Ts = rigid(axis_angle_to_matrix(vectors), vectors * 2)
    points = directions()
    there = transform_points(Ts[0] @ Ts[1], points)
    torch.testing.assert_close(there, transform_points(Ts[0], transform_points(Ts[1], points)))
    torch.testing.assert_close(transform_points(rigid_inverse(Ts[0] @ Ts[1]), there), points)


def test_quat_facing_turns_z_onto_the_normal() -> None:
    generator = torch.Generator().manual_seed(0)
    normals = torch.nn.functional.normalize(torch.randn(200, 3, generator=generator), dim=-1)
    normals = torch.cat([normals, torch.eye(3), -torch.eye(3)])
    rotations = quat_to_matrix(quat_facing(normals))
    torch.testing.assert_close(rotations[:, :, 2], normals, atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.linalg.det(rotations), torch.ones(len(normals)), atol=1e-5, rtol=0)
