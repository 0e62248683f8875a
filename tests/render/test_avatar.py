"""Gaussians hung on a body: they follow its skin, only where they hang, and come back to rest exactly."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from simulacra.render.avatar import (
    Avatar,
    Binding,
    BodyRig,
    blend,
    bring_to_rest,
    drive,
    rig_body,
    surface_points,
)
from simulacra.render.body import BodyModel, BodyPose
from simulacra.render.gaussians import Gaussians
from simulacra.render.rotation import quat_normalize, quat_to_matrix

COUNT = 3000


def planted(body: BodyModel, *, standoff: float = 0.0) -> tuple[Avatar, BodyRig]:
    """Gaussians of all orientations at random points of the skin, or up to so many metres off it."""
    generator = torch.Generator().manual_seed(1)
    faces = torch.randint(0, len(body.faces), (COUNT,), generator=generator)
    barycentrics = torch.rand(COUNT, 3, generator=generator).to(body.dtype)
    binding = Binding(faces, barycentrics / barycentrics.sum(1, keepdim=True))
    rig = rig_body(body, body.neutral_shape(), binding)
    means = surface_points(body, rig.rest.verts, binding)
    offsets = torch.rand(COUNT, 3, generator=generator).to(means) * 2 - 1
    quats = quat_normalize(torch.randn(COUNT, 4, generator=generator)).to(means)
    gaussians = Gaussians(
        means + standoff * offsets,
        quats,
        means.new_full((COUNT, 3), -4.0),
        means.new_zeros(COUNT),
        means.new_zeros(COUNT, 1, 3),
    )
    return Avatar(body.neutral_shape(), binding, gaussians), rig


def gesture(body: BodyModel, size: float = 0.25) -> BodyPose:
    """Every bone turned at random, the person elsewhere and looking elsewhere, and a face pulled."""
    generator = torch.Generator().manual_seed(2)
    pose = body.zero_pose()
    rotations = size * torch.randn(pose.rotations.shape, generator=generator)
    rotations[0, 0] = torch.tensor([0.3, 2.5, -0.4])
    expression = torch.rand(pose.expression.shape, generator=generator)
    translation = torch.tensor([[0.7, 0.2, -1.1]])
    return BodyPose(rotations.to(body.dtype), translation.to(body.dtype), expression.to(body.dtype))


def parts_of(body: BodyModel, binding: Binding) -> list[set[str]]:
    labels = body.part_labels[body.faces[binding.faces]]
    return [{body.part_names[label] for label in row} for row in labels.tolist()]


def test_what_is_brought_to_rest_is_driven_back_to_where_it_was(body: BodyModel) -> None:
    avatar, rig = planted(body, standoff=0.05)
    pose = gesture(body)
    placed = drive(avatar, rig, pose)
    assert (
        float((placed.means - avatar.gaussians.means).norm(dim=-1).median()) > 0.5
    )  # the pose is far from rest
    means, quats = bring_to_rest(rig, pose, placed.means, placed.quats)
    torch.testing.assert_close(means, avatar.gaussians.means, atol=1e-5, rtol=0)
    agreement = (quats * avatar.gaussians.quats).sum(-1).abs()
    torch.testing.assert_close(agreement, torch.ones(COUNT), atol=1e-5, rtol=0)
    again = drive(avatar.replace(gaussians=avatar.gaussians.replace(means=means, quats=quats)), rig, pose)
    torch.testing.assert_close(again.means, placed.means, atol=1e-5, rtol=0)


def test_a_blend_that_collapses_is_brought_to_rest_by_the_strongest_bone(body: BodyModel) -> None:
    """Where a joint is folded shut the blended transform is nearly singular, and undoing it would fling points away."""
    pose = body.zero_pose()
    pose.rotations[0, body.bone_names.index("lowerleg01.L"), 0] = 3.1
    avatar, rig = planted(body)
    transforms, _ = blend(rig, pose)
    assert float(torch.linalg.det(transforms[:, :, :3]).min()) < 0.2
    placed = drive(avatar, rig, pose)
    off = torch.tensor([0.0, 0.0, 0.02])  # as a depth camera would see cloth over the joint
    means, _ = bring_to_rest(rig, pose, placed.means + off, placed.quats)
    assert float((means - avatar.gaussians.means).norm(dim=-1).max()) < 0.25


def test_gaussians_on_the_skin_stay_on_the_skin(body: BodyModel) -> None:
    """At a corner of a face they are the posed vertex; within a face skin weights and place mix in another order."""
    avatar, rig = planted(body)
    pose = gesture(body)
    verts = body.pose(rig.rest, pose).verts[0]
    corner = torch.eye(3)[torch.arange(COUNT) % 3]
    binding = Binding(avatar.binding.faces, corner)
    on_vertices = Avatar(
        avatar.shape, binding, avatar.gaussians.replace(means=surface_points(body, rig.rest.verts, binding))
    )
    placed = drive(on_vertices, rig_body(body, avatar.shape, binding), pose).means
    torch.testing.assert_close(placed, surface_points(body, verts, binding), atol=2e-6, rtol=0)
    within = drive(avatar, rig, pose).means
    apart = (within - surface_points(body, verts, avatar.binding)).norm(dim=-1)
    assert float(apart.median()) < 1e-4
    assert float(apart.max()) < 2e-3


def test_gaussians_turn_with_the_body(body: BodyModel) -> None:
    """A person turned as a whole turns every Gaussian by the same rotation."""
    avatar, rig = planted(body)
    pose = body.zero_pose()
    before = quat_to_matrix(drive(avatar, rig, pose).quats)
    pose.rotations[0, 0, 1] = torch.pi / 2
    after = quat_to_matrix(drive(avatar, rig, pose).quats)
    quarter = torch.tensor([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])
    torch.testing.assert_close(after, quarter @ before, atol=1e-5, rtol=0)


def test_a_bent_elbow_moves_the_forearm_and_nothing_else(body: BodyModel) -> None:
    avatar, rig = planted(body)
    pose = body.zero_pose()
    before = drive(avatar, rig, pose)
    pose.rotations[0, body.bone_names.index("lowerarm01.L"), 1] = -1.2
    moved = (drive(avatar, rig, pose).means - before.means).norm(dim=-1) > 1e-5
    arm = {"upper_arm_l", "lower_arm_l", "hand_l"}
    parts = parts_of(body, avatar.binding)
    stray = [found for found, moves in zip(parts, moved.tolist(), strict=True) if moves and not found & arm]
    assert not stray
    below = torch.tensor([found <= {"lower_arm_l", "hand_l"} for found in parts])
    assert int(below.sum()) > 50
    assert bool(moved[below].all())


def test_an_opened_jaw_moves_the_face_and_nothing_else(body: BodyModel) -> None:
    avatar, rig = planted(body)
    pose = body.zero_pose()
    before = drive(avatar, rig, pose).means
    pose.expression[0, body.expression_names.index("jawOpen")] = 1.0
    moved = (drive(avatar, rig, pose).means - before).norm(dim=-1)
    expected = surface_points(body, body.pose(rig.rest, pose).verts[0], avatar.binding) - surface_points(
        body, body.pose(rig.rest, body.zero_pose()).verts[0], avatar.binding
    )
    torch.testing.assert_close(moved, expected.norm(dim=-1), atol=1e-4, rtol=0)
    assert float(moved.max()) > 0.005
    limbs = torch.tensor(
        [
            not found & {"face", "lips", "neck", "scalp", "mouth_cavity", "tongue", "torso"}
            and not any(name.startswith(("ear", "eye")) for name in found)
            for found in parts_of(body, avatar.binding)
        ]
    )
    assert float(moved[limbs].max()) == 0


def test_a_rig_weighs_every_gaussian_once(body: BodyModel) -> None:
    _, rig = planted(body)
    torch.testing.assert_close(rig.influences.weights.sum(1), torch.ones(COUNT), atol=1e-5, rtol=0)
    assert float(rig.influences.weights.min()) >= 0


@pytest.mark.parametrize("bone", ["root", "spine03", "upperarm01.R"])
def test_driving_is_differentiable_in_the_pose(body: BodyModel, bone: str) -> None:
    body64 = body.to(torch.float64)
    avatar, rig = planted(body64)
    pose = gesture(body64)
    generator = torch.Generator().manual_seed(3)
    along_means = torch.randn(COUNT, 3, generator=generator, dtype=torch.float64)
    along_quats = torch.randn(COUNT, 4, generator=generator, dtype=torch.float64)
    index = body.bone_names.index(bone)

    def scalar(angle: Tensor) -> Tensor:
        rotations = pose.rotations.clone()
        rotations[0, index, 2] = angle
        placed = drive(avatar, rig, BodyPose(rotations, pose.translation, pose.expression))
        return (placed.means * along_means).sum() + (placed.quats * along_quats).sum()

    angle = pose.rotations[0, index, 2].clone().requires_grad_()
    (analytic,) = torch.autograd.grad(scalar(angle), angle)
    step = 1e-5
    with torch.no_grad():
        numeric = (scalar(angle + step) - scalar(angle - step)) / (2 * step)
    assert float(analytic) == pytest.approx(float(numeric), rel=1e-6)


def test_one_frame_at_a_time(body: BodyModel) -> None:
    avatar, rig = planted(body)
    with pytest.raises(ValueError, match="one frame at a time, not 2"):
        drive(avatar, rig, body.zero_pose(2))
