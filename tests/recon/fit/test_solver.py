"""The solver: block systems, Levenberg and Marquardt's method, and derivatives of the body against automatic ones."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import Tensor

from simulacra.recon.fit import FitConfig
from simulacra.recon.fit.blocks import BlockSystem
from simulacra.recon.fit.body_space import MAPS, BodyState, Unknowns
from simulacra.recon.fit.capture import chosen_views
from simulacra.recon.fit.certainty import JOINTS, certainty_sentence, joint_covariances
from simulacra.recon.fit.chain import BodyChain
from simulacra.recon.fit.costs import make_costs
from simulacra.recon.fit.costs.motion import MotionCost
from simulacra.recon.fit.costs.priors import PriorCost
from simulacra.recon.fit.disagreement import body_sizes, difference_sentence, differences, unshown
from simulacra.recon.fit.energy import Cost, energy
from simulacra.recon.fit.evidence import Evidence, Round
from simulacra.recon.fit.levenberg import minimise_squares
from simulacra.recon.fit.piece import Job, Solution, _first_guess, _gather
from simulacra.recon.fit.residuals import PointCost, Selection
from simulacra.recon.fit.solve import BodyProblem, Free, minimise, one_thread
from simulacra.recon.fit.tracks import gather_poses, gather_tracks
from simulacra.render.body import BodyModel, BodyShape
from simulacra.render.body.linear import linear_shapes
from tests.recon.planted_body import plant

CAMERAS = ("c0", "c1", "c2", "c3", "c4")
ALL = frozenset({"turn", "place", "joints", "shape", "bias", "expression"})


def _system(frames: int, own: int, shared: int) -> tuple[BlockSystem, np.ndarray, np.ndarray]:
    """A random system, and its dense matrix and gradient: frames that are three apart are not tied."""
    draw = np.random.default_rng(5)
    size = frames * own + shared
    rows = []
    for t in range(frames):
        row = np.zeros((4 * own, size))
        row[:, t * own : min(t + 3, frames) * own] = draw.standard_normal((4 * own, min(3, frames - t) * own))
        row[:, frames * own :] = draw.standard_normal((4 * own, shared))
        rows.append(row)
    dense, gradient = sum(row.T @ row for row in rows), draw.standard_normal(size)
    blocks = dense[: frames * own, : frames * own].reshape(frames, own, frames, own)
    ties = tuple(np.stack([blocks[t, :, t + k] for t in range(frames - k)]) for k in (1, 2) if frames > k)
    mixed = dense[: frames * own, frames * own :].reshape(frames, own, shared)
    return (
        BlockSystem(
            np.stack([blocks[t, :, t] for t in range(frames)]), ties, mixed, dense[frames * own :, frames * own :],
            gradient[: frames * own].reshape(frames, own), gradient[frames * own :],
        ),
        dense,
        gradient,
    )  # fmt: skip


@pytest.mark.parametrize(("frames", "own", "shared"), [(1, 4, 3), (2, 3, 2), (6, 4, 3), (6, 4, 0)])
def test_block_systems_are_solved_as_dense_ones(frames: int, own: int, shared: int) -> None:
    system, dense, gradient = _system(frames, own, shared)
    steps, common = system.solve(0.1)
    step = np.concatenate([steps.ravel(), common])
    damped = dense + 0.1 * np.diag(np.diag(dense))
    np.testing.assert_allclose(step, -np.linalg.solve(damped, gradient), rtol=1e-5, atol=1e-8)
    assert system.predicted(steps, common) == pytest.approx(
        -gradient @ step - 0.5 * step @ dense @ step, rel=1e-9
    )


@pytest.mark.parametrize(("frames", "own", "shared"), [(1, 4, 3), (2, 3, 2), (6, 4, 3), (6, 4, 0)])
def test_blocks_of_the_inverse(frames: int, own: int, shared: int) -> None:
    system, dense, _ = _system(frames, own, shared)
    found, whole = system.inverse(), np.linalg.inv(dense)
    for t in range(frames):
        at = slice(t * own, (t + 1) * own)
        np.testing.assert_allclose(found.frames[t], whole[at, at], rtol=1e-4, atol=1e-7)
        np.testing.assert_allclose(found.mixed[t], whole[at, frames * own :], rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(found.shared, whole[frames * own :, frames * own :], rtol=1e-4, atol=1e-7)


@dataclass(frozen=True)
class _Rosenbrock:
    """(1 - x)^2 + 100 (y - x^2)^2 as two squares."""

    def value(self, x: np.ndarray) -> float:
        return float((1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2)

    def linearise(self, x: np.ndarray) -> tuple[float, BlockSystem]:
        residual = np.array([1 - x[0], 10 * (x[1] - x[0] ** 2)])
        jacobian = np.array([[-1.0, 0.0], [-20 * x[0], 10.0]])
        second, first = 2 * jacobian.T @ jacobian, 2 * jacobian.T @ residual
        none = np.zeros((1, 2, 0)), np.zeros((0, 0))
        return self.value(x), BlockSystem(second[None], (), *none, first[None], np.zeros(0))

    def step(self, x: np.ndarray, frames: np.ndarray, _: np.ndarray) -> np.ndarray:
        return np.asarray(x + frames[0])


def test_the_solver_knows_nothing_of_people() -> None:
    """Rosenbrock's valley, which steepest descent crosses for thousands of steps."""
    count = 0

    def done() -> None:
        nonlocal count
        count += 1

    found = minimise_squares(_Rosenbrock(), np.array([-1.2, 1.0]), 60, 1e-9, done)
    np.testing.assert_allclose(found, [1, 1], atol=1e-4)
    assert count < 40


@dataclass(frozen=True)
class Planted:
    evidence: Evidence
    guess: Solution


@pytest.fixture(scope="module")
def planted(body: BodyModel) -> Planted:
    """Three frames with masks and depth, hands seen."""
    scene = plant(body, frames=3, depth=True)
    seen = replace(scene.observations, hand_score=np.ones_like(scene.observations.hand_score))
    config = FitConfig()
    tracks, views = gather_poses(scene.session, seen, chosen_views(scene.session, CAMERAS), [0, 1, 2], config)
    job = Job(scene.session, seen, config, views, body, 0.0, lambda _: None)
    evidence = _gather(job, gather_tracks(tracks, seen, views, config, slice(0, 3)), 300)
    return Planted(evidence, _first_guess(evidence, MAPS[:3], None))


def _moved(start: Unknowns, amount: float) -> Unknowns:
    draw = torch.Generator().manual_seed(3)
    changed = {
        name: getattr(start, name) + amount * torch.randn(getattr(start, name).shape, generator=draw)
        for name in ("turn", "place", "joints", "shape", "bias")
    }
    acts = amount * torch.rand(start.expression.shape, generator=draw)
    return replace(start, **changed, expression=acts)


@pytest.mark.parametrize("surface", [False, True])
@pytest.mark.parametrize("kept", [0, 1])
def test_derivatives_are_those_of_the_energy(planted: Planted, surface: bool, kept: int) -> None:
    """Of every unknown, in float32, against automatic differentiation through the whole body; who is known in a frame
    that stays has a shape that stays too.
    """
    names = ALL if kept == 0 else ALL - {"shape", "bias"}
    space, this = planted.guess.space, Round(MAPS[:3], surface=surface)
    x = _moved(planted.guess.unknowns, 0.1)
    with torch.no_grad():
        rest = space.body.rest(space.shape(x))
        costs = make_costs(planted.evidence, this, space.state(x, rest))
        problem = BodyProblem(BodyChain(space, MAPS[:3], verts=True), costs, Free(names, None, kept), rest, x)
        value, system = problem.linearise(x)
    leaves = {name: getattr(x, name).clone().requires_grad_() for name in names}
    found = replace(x, **leaves)
    # The problem moves a body of one height over the floor, `rest` stands it up anew.
    if kept == 0:
        raised = space.body.rest(space.shape(found)).T_world_bone[0, :3, 3]
        bare = space.body.shapes.evaluate(space.shape(found)).heads[0]
        found = replace(found, place=found.place + 10 * (problem.up + bare - raised))
    total = energy(space, found, costs, None if kept == 0 else rest)
    total.backward()
    assert value == pytest.approx(problem.value(x), rel=1e-6)
    assert value == pytest.approx(total.item(), rel=1e-4)
    gradients = {name: leaf.grad.double().numpy() for name, leaf in leaves.items() if leaf.grad is not None}
    if kept == 0:
        shared = np.concatenate([gradients["shape"].ravel(), gradients["bias"].ravel()])
        assert np.abs(system.shared_gradient - shared).max() < 2e-4 * np.abs(shared).max()
    own = np.concatenate([gradients[name][kept:] for name in ("turn", "joints", "place", "expression")], 1)
    assert np.abs(system.frame_gradient - own).max() < 2e-4 * np.abs(own).max()


@dataclass(frozen=True)
class _Plane(PointCost):
    """Squared distances of vertices from a plane where they are: no residual, so that Gauss and Newton are exact."""

    height: Tensor
    kernels = ("square",)

    @property
    def selection(self) -> Selection:
        return Selection("verts", torch.arange(self.height.shape[1]))

    @property
    def weights(self) -> Tensor:
        return torch.full((1,), 1e4)

    def residuals(self, points: Tensor) -> Tensor:
        return (points[..., 1] - self.height)[..., None, None]


def test_second_derivatives_are_exact_where_nothing_is_left(planted: Planted) -> None:
    space, x = planted.guess.space, _moved(planted.guess.unknowns, 0.1)
    with torch.no_grad():
        rest = space.body.rest(space.shape(x))
        heights = space.state(x, rest).posed.verts[..., 1]
        chain = BodyChain(space, MAPS[:1], verts=True)
        problem = BodyProblem(chain, [_Plane(heights)], Free(ALL), rest, x)
        value, system = problem.linearise(x)
        draw = np.random.default_rng(2)
        frames = 1e-2 * draw.standard_normal(system.frame_gradient.shape)
        shared = 1e-2 * draw.standard_normal(system.shared_gradient.shape)
        after = problem.value(problem.step(x, frames, shared))
    assert value < 1e-4
    assert after > 1
    assert -system.predicted(frames, shared) == pytest.approx(after, rel=0.03)


def test_second_derivatives_tie_neighbouring_frames(planted: Planted) -> None:
    """Of a body that stands still, whose accelerations are nothing: bones' heads and joints move each frame anew."""
    space, x = planted.guess.space, planted.guess.unknowns
    still = replace(
        space,
        orientation=space.orientation[:1].repeat(3, 1, 1),
        translation=space.translation[:1].repeat(3, 1),
    )
    with torch.no_grad():
        rest = still.body.rest(still.shape(x))
        cost = MotionCost(torch.tensor([0.0, 0.03, 0.07]), 8.0, 40.0)
        free = Free(frozenset({"turn", "place", "joints"}))
        problem = BodyProblem(BodyChain(still, MAPS[:1], verts=False), [cost], free, rest, x)
        value, system = problem.linearise(x)
        frames = 1e-3 * np.random.default_rng(2).standard_normal(system.frame_gradient.shape)
        after = problem.value(problem.step(x, frames, np.zeros(0)))
    assert value < 1e-3 * after
    assert -system.predicted(frames, np.zeros(0)) == pytest.approx(after, rel=0.03)


@dataclass(frozen=True)
class _Pin(PointCost):
    """The head of one bone was measured, with one standard deviation for each axis."""

    bone: int
    at: Tensor
    sigma: Tensor
    kernels = ("square",)

    @property
    def selection(self) -> Selection:
        return Selection("bones", torch.tensor([self.bone]))

    @property
    def weights(self) -> Tensor:
        return torch.ones(1)

    def residuals(self, points: Tensor) -> Tensor:
        return ((points - self.at) / self.sigma)[..., None, :]


def test_a_joint_that_is_measured_is_as_sure_as_the_measurement(planted: Planted) -> None:
    """Priors of decimetres do not count beside millimetres; the other wrist is less sure."""
    space, x = planted.guess.space, planted.guess.unknowns
    names = space.body.bone_names
    wrist, sigma = names.index("wrist.L"), torch.tensor([0.002, 0.003, 0.005])
    with torch.no_grad():
        rest = space.body.rest(space.shape(x))
        state = space.state(x, rest)
        chain = BodyChain(space, MAPS[:1], verts=False)
        at = state.posed.T_world_bone[:, [wrist], :3, 3]
        trunk = state.posed.T_world_bone[:, [0], :3, 3]
        weak = _Pin(0, trunk, torch.full((3,), 0.1))
        neck = names.index("neck01")
        other = _Pin(neck, state.posed.T_world_bone[:, [neck], :3, 3], torch.full((3,), 0.1))
        costs: list[Cost] = [_Pin(wrist, at, sigma), weak, other, PriorCost(1.0, 1.0, 1.0)]
        found = joint_covariances(chain, costs, Free(ALL), rest, x)
    assert found is not None
    spread = np.sqrt(np.diagonal(found, axis1=-2, axis2=-1))
    np.testing.assert_allclose(spread[:, JOINTS.index("wrist.L")], np.tile(sigma, (3, 1)), rtol=0.05)
    assert spread[:, JOINTS.index("wrist.R")].min() > 0.02


def test_a_cost_of_another_kind_is_refused(planted: Planted) -> None:
    def cost(state: BodyState) -> Tensor:
        return state.posed.verts.sum()

    with torch.no_grad():
        rest = planted.guess.space.body.rest(planted.guess.space.shape(planted.guess.unknowns))
    chain = BodyChain(planted.guess.space, MAPS[:1], verts=False)
    with pytest.raises(TypeError, match="PointCost, UnknownCost, MotionCosts or ShapeCost"):
        BodyProblem(chain, [cost], Free(ALL), rest, planted.guess.unknowns)


def test_frames_that_are_kept_stay_to_the_bit(planted: Planted) -> None:
    space, x = planted.guess.space, _moved(planted.guess.unknowns, 0.1)
    with torch.no_grad(), one_thread():
        rest = space.body.rest(space.shape(x))
        costs: tuple[Cost, ...] = make_costs(planted.evidence, Round(MAPS[:1]), space.state(x, rest))
        free = Free(frozenset({"turn", "place", "joints"}), None, 1)
        found, _, after = minimise(BodyChain(space, MAPS[:1], verts=False), x, costs, free, 3, rest)
        before = BodyProblem(BodyChain(space, MAPS[:1], verts=False), costs, free, rest, x).value(x)
    for name in ("turn", "place", "joints", "expression"):
        assert torch.equal(getattr(found, name)[:1], getattr(x, name)[:1])
    assert torch.equal(found.shape, x.shape)
    assert after < 0.5 * before


def test_linear_shapes_are_the_bodys(body: BodyModel) -> None:
    """A newborn with changes, where all branches are taken; derivatives against differences in float64."""
    from scipy.sparse import csr_array

    exact = body.to(torch.float64)
    draw = torch.Generator().manual_seed(1)
    shape = BodyShape(
        torch.rand(11, generator=draw, dtype=torch.float64),
        0.4 * torch.randn(len(body.local_change_names), generator=draw, dtype=torch.float64),
    )
    shape.phenotypes[body.phenotype_names.index("age")] = -0.2
    vertices = torch.randperm(body.n_verts, generator=draw)[:50].sort().values
    sums = csr_array((np.ones(50), (np.arange(50), vertices.numpy())), shape=(50, body.n_verts))
    linear = linear_shapes(exact.shapes, sums)
    found, expected = linear.evaluate(shape), exact.shapes.evaluate(shape)
    torch.testing.assert_close(found.points, expected.verts[vertices], atol=1e-12, rtol=0)
    torch.testing.assert_close(found.heads, expected.heads, atol=1e-12, rtol=0)
    torch.testing.assert_close(found.frames, expected.frames, atol=1e-12, rtol=0)
    ways = 0.3 * torch.randn(2, 11, generator=draw, dtype=torch.float64)
    change = linear.differential(shape, found, ways, torch.ones_like(shape.local_changes))
    moves = [(row, way, torch.zeros_like(shape.local_changes)) for row, way in enumerate(ways)]
    for local in (0, 60):
        alone = torch.zeros_like(shape.local_changes)
        alone[local] = 1
        moves.append((2 + local, torch.zeros_like(ways[0]), alone))
    for row, way, alone in moves:
        up, down = (
            linear.evaluate(BodyShape(shape.phenotypes + h * way, shape.local_changes + h * alone))
            for h in (1e-6, -1e-6)
        )
        for name in ("points", "heads", "frames"):
            slope = (getattr(up, name) - getattr(down, name)) / 2e-6
            torch.testing.assert_close(getattr(change, name)[row], slope, atol=1e-7, rtol=0)


def test_what_landmarks_alone_have_otherwise(planted: Planted) -> None:
    """A body 60 mm taller, of what cameras saw; what none saw is a guess either way."""
    space, x = planted.guess.space, planted.guess.unknowns
    shape = space.shape(x)
    taller = shape.phenotypes.clone()
    taller[space.body.phenotype_names.index("height")] += 0.08
    with torch.no_grad():
        sizes = [
            body_sizes(space, x, space.body.rest(BodyShape(each, shape.local_changes)))
            for each in (shape.phenotypes, taller)
        ]
    assert 1.6 < sizes[0]["stature"] < 1.8
    found = differences(*sizes)
    assert 0.03 < found["stature"] < 0.1
    assert differences(sizes[0], sizes[0]) == {}
    assert difference_sentence({}) == certainty_sentence({}) == ""
    assert "left thigh -25 mm, stature +60 mm" in difference_sentence({"stature": 0.06, "left thigh": -0.025})
    assert "wrist 4 mm to knee 19 mm" in certainty_sentence(
        {"wrist.L": 4.2, "lowerleg01.R": 19.0, "head": 6.0}
    )
    seen = dict.fromkeys(space.body.bone_names, 3)
    assert unshown(space.body, seen) == set()
    assert unshown(space.body, seen | {"foot.L": 0}) == {"left shin", "stature", "soles"}
