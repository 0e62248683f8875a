"""One camera: the person stands where depth or a stature says, and what is not known is said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from simulacra.recon.fit import BodyFit, FitConfig, fit_body
from simulacra.recon.fit.body_space import BodySpace
from simulacra.recon.fit.capture import chosen_views
from simulacra.recon.fit.collapse import collapse
from simulacra.recon.fit.costs.lifted import LiftedCost
from simulacra.recon.fit.costs.stature import StatureCost
from simulacra.recon.fit.joints import joint_space
from simulacra.recon.fit.one_view import SCALES, lift_pose, prior_stature
from simulacra.recon.fit.shape_space import shape_space
from simulacra.recon.fit.tracks import gather_poses, gather_tracks
from simulacra.recon.multiview.detections import Detections
from simulacra.recon.observe.landmarks import POSE33
from simulacra.render.body import BodyModel
from simulacra.render.runtime.errors import CaptureError
from tests.recon.planted_body import PlantedBody, PlantedObservations, plant

ONE = ("c2",)
FLAT = FitConfig(iterations=12, rounds=1, masks=False, depth=False)
DEEP = FitConfig(iterations=15, rounds=3)


@pytest.fixture(scope="module")
def scene(body: BodyModel) -> PlantedBody:
    """With a network that draws everybody a tenth too small and errs by three centimetres in depth."""
    planted = plant(body, frames=1, depth=True)
    world = planted.observations.pose_world
    assert world is not None
    rng = np.random.default_rng(1)
    world = 0.9 * world + np.array([0.0, 0.0, 0.03]) * rng.standard_normal(world.shape)
    return replace(planted, observations=replace(planted.observations, pose_world=world.astype(np.float32)))


def stature_of(body: BodyModel, scene: PlantedBody) -> float:
    heights = body.rest(scene.shape).verts[:, 1]
    return float(heights.max() - heights.min())


def landmarks_of(body: BodyModel, fit: BodyFit) -> np.ndarray:
    with torch.no_grad():
        return body.keypoints_at("pose33", body.rest(fit.shape), fit.pose).double().numpy()


def about_hips(points: np.ndarray) -> np.ndarray:
    return points - points[:, [23, 24]].mean(1, keepdims=True)


def test_depth_gives_the_place_and_the_scale(body: BodyModel, scene: PlantedBody) -> None:
    """From one side, within a hand's breadth of what nobody sees and a finger's of where the person is."""
    fit = fit_body(scene.session, scene.observations, DEEP, ONE, body=body)
    apart = landmarks_of(body, fit) - scene.landmarks
    assert np.linalg.norm(apart, axis=-1).mean() < 0.04
    assert np.linalg.norm(apart[:, [11, 12, 23, 24]].mean((0, 1))) < 0.03
    assert fit.summary["scale"] == {"source": "depth", "said": SCALES["depth"]}
    assert fit.held.all() and fit.cameras == ONE
    # One side of a body is about half of its skin; the face has more vertices than the back of the head.
    assert fit.seen is not None and 0.15 < fit.seen.mean() < 0.75


def test_a_stature_that_is_given_is_the_scale(body: BodyModel, scene: PlantedBody) -> None:
    """A tenth taller, the body is a tenth larger, and further away."""
    true = stature_of(body, scene)
    fits = {
        tall: fit_body(scene.session, scene.observations, replace(FLAT, stature_m=tall), ONE, body=body)
        for tall in (true, 1.1 * true)
    }
    error = np.linalg.norm(about_hips(landmarks_of(body, fits[true])) - about_hips(scene.landmarks), axis=-1)
    # Its hips err too, by which both are laid over each other: the head by a hand, which a moment's noise leaves.
    assert error.mean() < 0.08
    for tall, fit in fits.items():
        assert fit.summary["stature_m"] == pytest.approx(tall, abs=0.015)
        assert fit.summary["scale"]["source"] == "stature"
    centre = chosen_views(scene.session, ONE).cameras.centres[0]
    near, far = (np.linalg.norm(landmarks_of(body, fit).mean((0, 1)) - centre) for fit in fits.values())
    # So few iterations leave the place behind the stature: it follows by a third.
    assert far / near > 1.02


def test_without_depth_and_stature_the_scale_is_said_to_be_unknown(
    body: BodyModel, scene: PlantedBody
) -> None:
    fit = fit_body(scene.session, scene.observations, FLAT, ONE, body=body)
    assert fit.summary["scale"]["source"] == "prior" and "not known" in fit.summary["scale"]["said"]
    assert fit.summary["stature_m"] == pytest.approx(prior_stature(body), abs=0.015)
    several = fit_body(
        scene.session, scene.observations, replace(FLAT, iterations=1), ("c2", "c1"), body=body
    )
    assert several.summary["scale"] == {"source": "cameras", "said": ""}


def test_a_back_that_was_taken_for_a_front_is_turned_round(body: BodyModel, scene: PlantedBody) -> None:
    """The network names the sides of a person seen from behind as if it saw them from the front."""
    seen, world = scene.observations, scene.observations.pose_world
    assert world is not None
    order = list(POSE33.mirror)
    wrong: PlantedObservations = replace(
        seen,
        pose_px=seen.pose_px[:, :, order],
        pose_world=world[:, :, order],
        hand_px=seen.hand_px[:, :, ::-1],
    )
    tall = replace(FLAT, stature_m=stature_of(body, scene))
    right, turned = (fit_body(scene.session, each, tall, ONE, body=body) for each in (seen, wrong))
    assert "sides_exchanged" not in right.summary and turned.summary["sides_exchanged"]
    np.testing.assert_allclose(landmarks_of(body, turned), landmarks_of(body, right), atol=0.01)


def test_of_one_camera_a_landmark_counts_fully_within_the_picture_and_not_outside(scene: PlantedBody) -> None:
    """With several cameras what one alone sees counts a third; with one in all that would be everything."""
    seen = scene.observations
    px = seen.pose_px.copy()
    px[:, 2, 25:] += np.array([0.0, 900.0], np.float32)
    views = chosen_views(scene.session, ONE)
    poses, _ = gather_poses(scene.session, replace(seen, pose_px=px), views, [0], FLAT)
    np.testing.assert_allclose(poses.weights[:, 0, :25], seen.pose_visibility[:, 2, :25], rtol=1e-6)
    assert (poses.weights[:, 0, 25:] == 0).all() and np.isnan(poses.points[:, 25:]).all()
    assert poses.shown[:25].all() and not poses.shown[25:].any()
    hands = replace(seen, hand_score=np.ones_like(seen.hand_score))
    tracks = gather_tracks(gather_poses(scene.session, hands, views, [0], FLAT)[0], hands, views, FLAT)
    assert (tracks.weights[:, 0, 33:75] == 1).all()


def test_observations_of_an_earlier_version_are_refused(body: BodyModel, scene: PlantedBody) -> None:
    old = replace(scene.observations, pose_world=None)
    with pytest.raises(CaptureError, match="earlier version"):
        fit_body(scene.session, old, FLAT, ONE, body=body)
    assert fit_body(scene.session, old, replace(FLAT, iterations=1), ("c2", "c1"), body=body).held.all()


@pytest.mark.parametrize("stature", [None, 1.5])
def test_a_true_skeleton_is_lifted_to_where_it_is_but_for_its_size(
    body: BodyModel, scene: PlantedBody, stature: float | None
) -> None:
    """Off the axis too: what is lifted lies on its rays, at the scale that its limbs ask for."""
    exact = plant(body, frames=1, noise_px=0.0)
    view = chosen_views(exact.session, ONE).cameras
    world = exact.observations.pose_world
    assert world is not None
    pose = Detections(exact.observations.pose_px[:, 2:3].astype(np.float64), np.ones((1, 1, 33)))
    lifted = lift_pose(
        exact.session, exact.observations, pose, np.ones((1, 33), bool), ("c2", view), [0],
        world[:, 2].astype(np.float64), body, stature, depth=False,
    )  # fmt: skip
    assert lifted.source == ("prior" if stature is None else "stature")
    local, true = view.local(lifted.points)[:, 0], view.local(exact.landmarks)[:, 0]
    ratio = local / true
    assert np.ptp(ratio[..., 2]) < 0.01
    # A tall person's limbs, taken for those of somebody of that stature.
    assert ratio[..., 2].mean() == pytest.approx(
        (stature or prior_stature(body)) / stature_of(body, exact), abs=0.03
    )


def test_what_the_lifted_cost_asks_for() -> None:
    """Lifted: distances along the axis from the mean; a shift of all costs nothing, one of a metre no more than so."""
    axis, points = torch.tensor([0.0, 0.0, 1.0]), torch.zeros(1, 4, 3)
    points[0, :, 1] = torch.tensor([0.0, 0.5, 1.0, 1.8])
    depth, quarter, precision = torch.zeros(1, 4), torch.full((1, 4), 0.25), torch.full((1, 4), 100.0)
    lifted = LiftedCost(axis, depth, quarter, precision, torch.zeros(1))
    assert float(lifted.value(points + 3.0)) == 0
    held = LiftedCost(axis, depth, quarter, precision, torch.tensor([4.0]))
    assert float(held.value(points + 3.0)) == pytest.approx(36.0)
    # Each landmark moves its share of the mean.
    assert held.curvature(points + 3.0).gradient[0, :, 2].tolist() == pytest.approx([6.0] * 4)
    moved = points.clone()
    moved[0, 0, 2] = 1.0
    # 7.5 standard deviations of the one and 2.5 of each other.
    expected = 2 * (np.sqrt(1 + 7.5**2) - 1) + 3 * 2 * (np.sqrt(1 + 2.5**2) - 1)
    assert float(lifted.value(moved)) == pytest.approx(expected, rel=1e-5)


def test_a_stature_costs_what_the_body_is_off(body: BodyModel) -> None:
    space = BodySpace(
        body,
        joint_space(body),
        shape_space(body, face=False),
        torch.eye(3)[None],
        torch.zeros(1, 3),
        body.soles[:4],
        collapse(body, "pose33"),
        torch.arange(33),
        torch.full((33,), 0.015),
    )
    zero = torch.zeros(len(space.shapes))
    heights = body.rest(space.shapes.shape(zero)).verts[:, 1]
    stature = float(heights.max() - heights.min())
    residual, slope = StatureCost(stature - 0.03, 0.01).linearise(space, zero)
    assert float(residual[0]) == pytest.approx(3.0, rel=1e-3)
    step = 1e-2 * slope[0] / slope[0].norm()
    up = StatureCost(stature - 0.03, 0.01).residuals(space, zero + step)
    assert float(up[0] - residual[0]) == pytest.approx(float(slope[0] @ step), rel=0.02)
