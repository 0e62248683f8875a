"""What must hold of a body whatever its data: frames, floor, locality, batches, gradients."""

from __future__ import annotations

import torch
from torch import Tensor

from simulacra.render.body import BodyModel, BodyPose, BodyShape


def drawn_shape(body: BodyModel, seed: int = 0) -> BodyShape:
    """A random adult, away from the corners of the phenotypes."""
    rng = torch.Generator().manual_seed(seed)
    phenotypes = 0.1 + 0.8 * torch.rand(len(body.phenotype_names), generator=rng)
    phenotypes[body.phenotype_names.index("age")] = 0.72
    local = 0.6 * torch.rand(len(body.local_change_names), generator=rng) - 0.3
    return BodyShape(phenotypes.to(body.dtype), local.to(body.dtype))


def drawn_pose(body: BodyModel, frames: int, seed: int = 0) -> BodyPose:
    rng = torch.Generator().manual_seed(seed)
    return BodyPose(
        (0.3 * torch.randn(frames, len(body.bone_names), 3, generator=rng)).to(body.dtype),
        torch.randn(frames, 3, generator=rng).to(body.dtype),
        torch.rand(frames, len(body.expression_names), generator=rng).to(body.dtype),
    )


def part(body: BodyModel, *names: str) -> Tensor:
    labels = torch.tensor([body.part_names.index(name) for name in names])
    return torch.isin(body.part_labels, labels)


def test_zero_pose_stands_on_the_floor_facing_z(body: BodyModel) -> None:
    posed = body.pose(body.rest(body.neutral_shape()), body.zero_pose())
    verts = posed.verts[0]
    assert verts[:, 1].min().abs() < 1e-6
    assert 1.65 < verts[:, 1].max() < 1.80
    nose = body.keypoints["pose33"](posed)[0, 0]
    back_of_head = verts[part(body, "scalp")][:, 2].min()
    assert nose[2] > back_of_head + 0.15 and nose[0].abs() < 1e-3
    toes, heels = body.keypoints["pose33"](posed)[0, 31:33], body.keypoints["pose33"](posed)[0, 29:31]
    assert ((toes - heels)[:, 2] > 0.12).all()
    left = verts[part(body, "hand_l")].mean(0)
    assert left[0] > 0.3  # the person's left is +X


def test_every_shape_stands_on_the_floor(body: BodyModel) -> None:
    for seed in range(3):
        rest = body.rest(drawn_shape(body, seed))
        assert body.pose(rest, body.zero_pose()).verts[0, :, 1].min().abs() < 1e-6
        turned = rest.T_world_bone[:, :3, :3]
        # 1e-4: float32 along chains of bones
        torch.testing.assert_close(turned @ turned.mT, torch.eye(3).expand_as(turned), atol=1e-4, rtol=0)
        assert bool((torch.linalg.det(turned) > 0).all())


def test_taller_phenotype_is_taller(body: BodyModel) -> None:
    shape = body.neutral_shape()
    heights = []
    for value in (0.2, 0.4, 0.6):
        phenotypes = shape.phenotypes.clone()
        phenotypes[body.phenotype_names.index("height")] = value
        verts = body.rest(BodyShape(phenotypes, shape.local_changes)).verts
        heights.append(float(verts[:, 1].max() - verts[:, 1].min()))
    assert heights[0] < heights[1] - 0.1 and heights[1] < heights[2] - 0.1


def test_an_elbow_moves_only_its_arm(body: BodyModel) -> None:
    """And bends it by the angle asked for, about the axis asked for."""
    rest = body.rest(body.neutral_shape())
    pose = body.zero_pose()
    elbow = body.bone_names.index("lowerarm01.L")
    rotations = pose.rotations.clone()
    rotations[0, elbow] = torch.tensor([-0.9, 0.0, 0.0])
    still = body.pose(rest, pose)
    bent = body.pose(rest, BodyPose(rotations, pose.translation, pose.expression))
    moved = (bent.verts - still.verts)[0].norm(dim=-1)
    arm = part(body, "lower_arm_l", "hand_l", "upper_arm_l")
    assert moved[~arm].max() < 1e-6
    assert moved[part(body, "hand_l")].min() > 0.05
    turned = bent.T_world_bone[0, elbow, :3, :3] @ still.T_world_bone[0, elbow, :3, :3].T
    assert torch.allclose(turned[0], torch.tensor([1.0, 0.0, 0.0]), atol=1e-6)
    assert torch.acos((turned.trace() - 1) / 2).isclose(torch.tensor(0.9), atol=1e-4)
    wrist = body.bone_names.index("wrist.L")
    assert (
        bent.T_world_bone[0, wrist, 1, 3] > still.T_world_bone[0, wrist, 1, 3] + 0.1
    )  # the forearm is raised


def test_root_rotation_and_translation_are_rigid(body: BodyModel) -> None:
    rest = body.rest(body.neutral_shape())
    zero = body.zero_pose()
    rotations = zero.rotations.clone()
    rotations[0, 0] = torch.tensor([0.0, torch.pi / 2, 0.0])
    shift = torch.tensor([[0.3, -0.1, 2.0]])
    still, turned = body.pose(rest, zero), body.pose(rest, BodyPose(rotations, shift, zero.expression))
    root = rest.T_world_bone[0, :3, 3]
    relative = still.verts[0] - root
    expected = torch.stack([relative[:, 2], relative[:, 1], -relative[:, 0]], -1) + root + shift
    assert torch.allclose(turned.verts[0], expected, atol=1e-5)


def test_expression_moves_the_face_and_no_bone(body: BodyModel) -> None:
    rest = body.rest(body.neutral_shape())
    zero = body.zero_pose()
    expression = zero.expression.clone()
    expression[0, body.expression_names.index("jawOpen")] = 1.0
    still, opened = (
        body.pose(rest, zero),
        body.pose(rest, BodyPose(zero.rotations, zero.translation, expression)),
    )
    moved = (opened.verts - still.verts)[0].norm(dim=-1)
    assert moved.max() > 0.02
    # The targets have a tenth of a millimetre of noise here and there.
    assert moved[part(body, "torso", "hand_l", "hand_r", "foot_l", "foot_r")].max() < 1.1e-4
    assert torch.equal(opened.T_world_bone, still.T_world_bone)


def test_batch_equals_loop_and_subset_equals_whole(body: BodyModel) -> None:
    rest = body.rest(drawn_shape(body))
    pose = drawn_pose(body, 3)
    together = body.pose(rest, pose)
    chosen = torch.arange(5, body.n_verts, 97)
    subset = body.pose(rest, pose, vertices=chosen)
    # The matrix products of other sizes round otherwise: a micrometre.
    assert torch.allclose(subset.verts, together.verts[:, chosen], atol=1e-6)
    for i in range(3):
        alone = body.pose(
            rest, BodyPose(pose.rotations[i : i + 1], pose.translation[i : i + 1], pose.expression[i : i + 1])
        )
        assert torch.allclose(alone.verts[0], together.verts[i], atol=1e-6)
        assert torch.allclose(alone.T_skin[0], together.T_skin[i], atol=1e-6)


def test_skinning_transforms_carry_what_hangs_on_one_bone(body: BodyModel) -> None:
    rest = body.rest(body.neutral_shape())
    pose = drawn_pose(body, 1)
    pose = BodyPose(pose.rotations, pose.translation, torch.zeros_like(pose.expression))
    posed = body.pose(rest, pose)
    rigid = (body.skin_weights[:, 0] > 1 - 1e-6).nonzero().squeeze(-1)
    assert len(rigid) > 500
    T = posed.T_skin[0, body.skin_indices[rigid, 0]]
    carried = (T[:, :3, :3] @ rest.verts[rigid][..., None]).squeeze(-1) + T[:, :3, 3]
    assert torch.allclose(carried, posed.verts[0, rigid], atol=1e-5)


def gradient_error(function, inputs: Tensor, directions: Tensor) -> float:
    """Largest difference between backward and central differences, relative to the largest derivative."""
    variable = inputs.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(function(variable), variable)
    step = 1e-5
    derivatives, differences = [], []
    for direction in directions:
        derivatives.append((gradient * direction).sum())
        differences.append(
            (function(inputs + step * direction) - function(inputs - step * direction)) / (2 * step)
        )
    derivative, difference = torch.stack(derivatives), torch.stack(differences)
    return float((derivative - difference).abs().max() / difference.abs().max())


def test_gradients_by_finite_differences(body64: BodyModel) -> None:
    body, shape, pose = body64, drawn_shape(body64, 4), drawn_pose(body64, 2, 5)
    rng = torch.Generator().manual_seed(6)
    rest = body.rest(shape)
    weights = torch.randn(2, body.n_verts, 3, generator=rng, dtype=torch.float64)
    bone_weights = torch.randn(2, len(body.bone_names), 4, 4, generator=rng, dtype=torch.float64)

    def score(shape: BodyShape, pose: BodyPose) -> Tensor:
        posed = body.pose(body.rest(shape), pose)
        return (posed.verts * weights).sum() + (posed.T_world_bone * bone_weights).sum()

    def check(function, inputs: Tensor) -> None:
        directions = torch.randn(4, *inputs.shape, generator=rng, dtype=torch.float64)
        # Central differences with this step are exact to about 1e-8; float32 data, float64 arithmetic.
        assert gradient_error(function, inputs, directions) < 1e-6

    check(lambda x: score(BodyShape(x, shape.local_changes), pose), shape.phenotypes)
    check(lambda x: score(BodyShape(shape.phenotypes, x), pose), shape.local_changes)
    check(lambda x: score(shape, BodyPose(x, pose.translation, pose.expression)), pose.rotations)
    check(lambda x: score(shape, BodyPose(pose.rotations, x, pose.expression)), pose.translation)
    check(lambda x: score(shape, BodyPose(pose.rotations, pose.translation, x)), pose.expression)
    assert rest.verts.dtype == torch.float64


def test_a_fit_can_leave_the_corners_of_the_phenotypes(body: BodyModel) -> None:
    """At a kink between two targets the gradient is one of the two sides' and not zero."""
    phenotypes = body.neutral_shape().phenotypes.clone().requires_grad_()
    local = torch.zeros(len(body.local_change_names), requires_grad=True)
    waist = part(body, "torso")
    body.rest(BodyShape(phenotypes, local)).verts[waist].square().sum().backward()
    assert phenotypes.grad is not None and local.grad is not None
    varied = [body.phenotype_names.index(name) for name in ("gender", "age", "muscle", "weight", "height")]
    assert (phenotypes.grad[varied] != 0).all()
    assert local.grad[body.local_change_names.index("measure-waist-circ-incr")] != 0


def test_a_planted_shape_is_recovered(body64: BodyModel) -> None:
    """From vertices, by gradient descent on the phenotypes that matter, starting at the neutral shape."""
    truth = body64.neutral_shape().phenotypes.clone()
    names = ("gender", "muscle", "weight", "height")
    varied = [body64.phenotype_names.index(name) for name in names]
    truth[varied] = torch.tensor([0.8, 0.3, 0.65, 0.55], dtype=torch.float64)
    none = body64.neutral_shape().local_changes
    target = body64.rest(BodyShape(truth, none)).verts[::17]
    found = torch.full((4,), 0.45, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([found], max_iter=40, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        phenotypes = truth.clone()
        phenotypes = phenotypes.index_copy(0, torch.tensor(varied), found)
        error = (body64.rest(BodyShape(phenotypes, none)).verts[::17] - target).square().sum()
        error.backward()
        return error

    optimiser.step(loss)
    assert (found.detach() - truth[varied]).abs().max() < 1e-3
