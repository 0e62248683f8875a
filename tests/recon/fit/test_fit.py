"""A planted person is recovered; what must not be looked at is not; records come back as they were."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from simulacra.recon.fit import BodyFit, FitConfig, fit_body, load_fit, save_fit
from simulacra.recon.fit.collapse import collapse
from simulacra.recon.fit.joints import joint_space
from simulacra.recon.fit.piece import keyframes
from simulacra.recon.fit.residuals import PointCost, Selection, second_differences
from simulacra.recon.fit.shape_space import shape_space
from simulacra.recon.fit.start import first_orientation
from simulacra.recon.multiview.detections import Detections
from simulacra.render.body import BodyModel, BodyPose
from simulacra.render.rotation import axis_angle_to_matrix
from simulacra.render.runtime.errors import CaptureError
from tests.recon.planted_body import PlantedBody, PlantedObservations, plant
from tests.recon.planted_capture import planted_avatar, planted_fit

QUICK = FitConfig(iterations=12, rounds=2, masks=False, depth=False)
TINY = FitConfig(iterations=4, rounds=1, masks=False, depth=False)
CAMERAS = ("c0", "c1", "c2", "c3", "c4")


@pytest.fixture(scope="module")
def scene(body: BodyModel) -> PlantedBody:
    return plant(body, frames=2)


@pytest.fixture(scope="module")
def fitted(body: BodyModel, scene: PlantedBody) -> BodyFit:
    return fit_body(scene.session, scene.observations, QUICK, CAMERAS, body=body)


def _verts(body: BodyModel, fit: BodyFit) -> torch.Tensor:
    with torch.no_grad():
        return body.pose(body.rest(fit.shape), fit.pose).verts


def _landmark_error(body: BodyModel, fit: BodyFit, scene: PlantedBody) -> float:
    with torch.no_grad():
        points = body.keypoints_at("pose33", body.rest(fit.shape), fit.pose).double().numpy()
    return float(np.linalg.norm(points - scene.landmarks, axis=-1).mean())


def test_planted_person_is_recovered(body: BodyModel, scene: PlantedBody, fitted: BodyFit) -> None:
    """Noise of 1 px is 3 mm at 3 m; the priors and few iterations leave some millimetres more."""
    assert _landmark_error(body, fitted, scene) < 0.015
    assert (_verts(body, fitted) - scene.verts).norm(dim=-1).mean() < 0.03
    truth = body.rest(scene.shape).verts[:, 1]
    assert fitted.summary["stature_m"] == pytest.approx(float(truth.max() - truth.min()), abs=0.03)
    assert np.nanmedian(fitted.residual_px) < 4.0


class _Tape(PointCost):
    """A wrist was measured, to 5 mm."""

    kernels = ("square",)

    def __init__(self, bone: int, at: torch.Tensor) -> None:
        self.bone, self.at = bone, at

    @property
    def selection(self) -> Selection:
        return Selection("bones", torch.tensor([self.bone]))

    @property
    def weights(self) -> torch.Tensor:
        return torch.ones(1)

    def residuals(self, points: torch.Tensor) -> torch.Tensor:
        return ((points - self.at) / 0.005)[..., None, :]


def test_a_cost_of_ones_own_counts(body: BodyModel, scene: PlantedBody, fitted: BodyFit) -> None:
    """A tape says 60 mm beside where the landmarks have a wrist, and is believed more than they are."""
    wrist = body.bone_names.index("wrist.L")

    def heads(fit: BodyFit) -> torch.Tensor:
        with torch.no_grad():
            return body.pose(body.rest(fit.shape), fit.pose).T_world_bone[:, [wrist], :3, 3]

    told = heads(fitted) + torch.tensor([0.0, 0.06, 0.0])
    taped = fit_body(
        scene.session,
        scene.observations,
        QUICK,
        CAMERAS,
        body=body,
        costs=[lambda *_: _Tape(wrist, told)],
    )
    assert (heads(taped) - told).norm(dim=-1).max() < 0.03


@pytest.mark.parametrize("phenotypes", [{"age": 0.2, "height": 0.5}, {"age": 0.67, "height": 0.05}])
def test_children_and_short_adults(body: BodyModel, phenotypes: dict[str, float]) -> None:
    """Of 1.1 to 1.4 m; fitted as adults alone, children's hips and knees are centimetres off."""
    scene = plant(body, phenotypes=phenotypes)
    fit = fit_body(scene.session, scene.observations, QUICK, CAMERAS, body=body)
    with torch.no_grad():
        true, found = (body.pose(body.rest(each.shape), each.pose).T_world_bone for each in (scene, fit))
        stature = body.rest(scene.shape).verts[:, 1]
    assert fit.summary["stature_m"] == pytest.approx(float(stature.max() - stature.min()), abs=0.03)
    limbs = [
        body.bone_names.index(f"{name}.{side}") for name in ("upperleg01", "lowerleg01") for side in "LR"
    ]
    assert float((found - true)[:, limbs, :3, 3].norm(dim=-1).max()) < 0.035


def test_a_swapped_view_and_outliers_do_no_harm(body: BodyModel, scene: PlantedBody) -> None:
    pixels, visibility = scene.observations.pose_px.copy(), scene.observations.pose_visibility
    flips = np.zeros((2, 5, 3), dtype=bool)
    flips[1, 2] = True
    pixels = Detections(pixels.astype(np.float64), visibility.astype(np.float64)).exchanged(flips).pixels
    pixels[1, 0, 15] += 140
    pixels[0, 3, 27] -= 90
    seen = replace(scene.observations, pose_px=pixels.astype(np.float32))
    fit = fit_body(scene.session, seen, QUICK, CAMERAS, body=body)
    assert fit.summary["swapped_views"] == 1
    assert _landmark_error(body, fit, scene) < 0.015


@pytest.mark.parametrize("fault", ["undetected", "unsure", "a camera turned"])
def test_faults_cost_little_and_are_told(body: BodyModel, fault: str) -> None:
    """Three in ten landmarks missing; a camera three degrees off: its own residual says which."""
    scene = plant(body, frames=2)
    seen, session = scene.observations, scene.session
    lost = np.random.default_rng(0).random(seen.pose_px.shape[:3]) < 0.3
    if fault == "undetected":
        seen = replace(seen, pose_px=np.where(lost[..., None], np.nan, seen.pose_px).astype(np.float32))
    elif fault == "unsure":
        seen = replace(seen, pose_visibility=np.where(lost, 0, seen.pose_visibility).astype(np.float32))
    else:
        cameras = list(session.cameras)
        viewmat = cameras[2].viewmat.copy()
        turn = axis_angle_to_matrix(torch.tensor([0.0, np.radians(3), 0.0], dtype=torch.float64)).numpy()
        viewmat[:3] = turn @ viewmat[:3]
        cameras[2] = replace(cameras[2], viewmat=viewmat)
        session = replace(session, cameras=tuple(cameras))
    fit = fit_body(session, seen, QUICK, CAMERAS, body=body)
    assert _landmark_error(body, fit, scene) < 0.008
    told = fit.summary["per_camera_px"]
    others = [told[name] for name in CAMERAS if name != "c2"]
    assert max(others) < 4
    assert (told["c2"] > 10) == (fault == "a camera turned")


def test_held_out_cameras_are_never_touched(body: BodyModel, scene: PlantedBody) -> None:
    """A poisoned camera: asking the session about it fails, and whatever its landmarks are, the result is the same
    bit for bit.
    """
    session = replace(scene.session, forbidden=("c4",))
    poisoned = scene.observations.pose_px.copy()
    poisoned[:, 4] = 1e6
    seen = replace(scene.observations, pose_px=poisoned)
    first = fit_body(session, seen, TINY, CAMERAS[:4], body=body)
    assert first.cameras == CAMERAS[:4]
    poisoned[:, 4] = np.nan
    second = fit_body(session, replace(seen, pose_px=poisoned), TINY, CAMERAS[:4], body=body)
    assert torch.equal(first.pose.rotations, second.pose.rotations)
    assert torch.equal(first.shape.local_changes, second.shape.local_changes)
    with pytest.raises(AssertionError, match="held out"):
        fit_body(session, seen, TINY, CAMERAS, body=body)


def test_a_person_who_comes_late_leaves_for_long_and_comes_back_is_fitted_where_seen(body: BodyModel) -> None:
    """Pieces of six frames, some of them with nobody at all: the first too, which would say who it is."""
    scene = plant(body, frames=20)
    there = np.zeros(20, bool)
    there[[7, 8, 9, 17, 18, 19]] = True
    pixels, score = scene.observations.pose_px.copy(), scene.observations.pose_score.copy()
    pixels[~there], score[~there] = np.nan, 0.0
    seen = replace(scene.observations, pose_px=pixels, pose_score=score)
    fit = fit_body(scene.session, seen, replace(TINY, window=6, iterations=16), CAMERAS, body=body)
    assert fit.held.tolist() == there.tolist() and fit.views.tolist() == (5 * there).tolist()
    with torch.no_grad():
        points = body.keypoints_at("pose33", body.rest(fit.shape), fit.pose).double().numpy()
    assert np.isfinite(points).all()
    # As somebody who is always there with as few iterations.
    assert np.linalg.norm(points - scene.landmarks, axis=-1)[there].mean() < 0.03


def test_a_rate_that_is_assumed_is_said(body: BodyModel, scene: PlantedBody, fitted: BodyFit) -> None:
    frames = tuple(
        replace(frame, sources={name: replace(one, time=None) for name, one in frame.sources.items()})
        for frame in scene.session.frames
    )
    untimed = fit_body(replace(scene.session, frames=frames), scene.observations, TINY, CAMERAS, body=body)
    assert untimed.summary["times"] == "times are missing: 30 pictures a second are assumed"
    assert "times" not in fitted.summary


def test_depth_and_masks_tell_the_figure(body: BodyModel) -> None:
    """Landmarks 6 px off say little about girth; the measured surface does."""
    scene = plant(body, noise_px=6.0, depth=True)
    by_landmarks = fit_body(scene.session, scene.observations, QUICK, CAMERAS, body=body)
    full = replace(QUICK, masks=True, depth=True, iterations=15, rounds=3)
    by_surface = fit_body(scene.session, scene.observations, full, CAMERAS, body=body)
    outer = body.part_labels == body.part_names.index("torso")
    before = (_verts(body, by_landmarks) - scene.verts)[:, outer].norm(dim=-1).mean()
    after = (_verts(body, by_surface) - scene.verts)[:, outer].norm(dim=-1).mean()
    assert after < 0.02
    assert after < 0.8 * before


def test_long_captures_go_piece_by_piece(body: BodyModel) -> None:
    """Pieces of 6 frames with an overlap of 4: no frame is lost or doubled, and nothing jumps at the seams."""
    scene = plant(body, frames=10)
    config = replace(TINY, window=6, iterations=8)
    fit = fit_body(scene.session, scene.observations, config, CAMERAS, body=body)
    assert fit.frames.tolist() == list(range(10))
    assert len(fit.pose.rotations) == 10
    assert _landmark_error(body, fit, scene) < 0.02
    with torch.no_grad():
        points = body.keypoints_at("pose33", body.rest(fit.shape), fit.pose)
    steps = (points[1:] - points[:-1]).norm(dim=-1).mean(1)
    truth = np.linalg.norm(np.diff(scene.landmarks, axis=0), axis=-1).mean(1)
    assert np.abs(steps.numpy() - truth).max() < 0.012


def test_record_comes_back_as_it_was(fitted: BodyFit, tmp_path: Path) -> None:
    save_fit(fitted, tmp_path)
    again = load_fit(tmp_path)
    assert torch.equal(again.pose.rotations, fitted.pose.rotations)
    assert torch.equal(again.shape.phenotypes, fitted.shape.phenotypes)
    np.testing.assert_array_equal(again.residual_px, fitted.residual_px)
    assert again.cameras == fitted.cameras and dict(again.summary) == dict(fitted.summary)
    assert torch.equal(again.pose_of(1).translation[0], fitted.pose.translation[1])
    with pytest.raises(KeyError, match="frame 77"):
        again.pose_of(77)


def test_a_camera_that_lags_shows_an_earlier_pose(body: BodyModel) -> None:
    """Frame 1 of a camera half a frame late is half way from pose 0 (standing) to pose 1 (moved, turned)."""
    fit = replace(planted_fit(body, planted_avatar(body)), time_offsets=np.array([0.5, 0.0]))
    late = fit.pose_of(1, "a")
    torch.testing.assert_close(late.rotations[0], fit.pose.rotations[1] / 2)
    torch.testing.assert_close(late.translation[0], fit.pose.translation[1] / 2)
    for in_time in (fit.pose_of(1), fit.pose_of(1, "b"), fit.pose_of(1, "never seen")):
        assert torch.equal(in_time.rotations[0], fit.pose.rotations[1])
    assert torch.equal(
        fit.pose_of(0, "a").rotations[0], fit.pose.rotations[0]
    )  # nothing is known before the first


def test_no_cameras_or_no_frames_are_refused(body: BodyModel, scene: PlantedBody) -> None:
    with pytest.raises(CaptureError, match="needs a camera"):
        fit_body(scene.session, scene.observations, QUICK, (), body=body)
    with pytest.raises(CaptureError, match="no frame"):
        fit_body(scene.session, scene.observations, QUICK, CAMERAS, [], body=body)


def test_cameras_that_disagree_altogether_are_refused(body: BodyModel, scene: PlantedBody) -> None:
    noise = np.random.default_rng(0).uniform(0, 1000, scene.observations.pose_px.shape).astype(np.float32)
    seen: PlantedObservations = replace(scene.observations, pose_px=noise)
    with pytest.raises(CaptureError, match="do not agree"):
        fit_body(scene.session, seen, QUICK, ("c0", "c1"), body=body)


def test_collapsed_landmarks_equal_the_map(body: BodyModel, scene: PlantedBody) -> None:
    rest = body.rest(scene.shape)
    posed = body.pose(rest, scene.pose)
    expected = body.keypoints["pose33"](posed)
    torch.testing.assert_close(collapse(body, "pose33")(rest, posed), expected, atol=2e-5, rtol=0)


def test_joints_turn_the_way_their_names_say(body: BodyModel) -> None:
    """Positive bends: the heel goes back, the hand comes to the shoulder, finger tips come to the palm."""
    space = joint_space(body)
    rest = body.rest(body.neutral_shape())
    zero = body.zero_pose()

    def heads(bone: str, angle: float) -> dict[str, torch.Tensor]:
        index = body.bone_names.index(bone)
        bend = next(i for i in range(len(space.bones)) if space.bones[i] == index)
        z = torch.zeros(1, len(space.bones))
        z[0, bend] = angle / space.sigma[bend]
        pose = BodyPose(space.rotations(z), zero.translation, zero.expression)
        frames = body.pose(rest, pose, vertices=body.soles[:1]).T_world_bone[0]
        return {name: frames[i, :3, 3] for i, name in enumerate(body.bone_names)}

    for side in ("L", "R"):
        still, bent = heads(f"lowerleg01.{side}", 0.0), heads(f"lowerleg01.{side}", 0.8)
        assert bent[f"foot.{side}"][2] < still[f"foot.{side}"][2] - 0.2
        bent = heads(f"lowerarm01.{side}", 0.8)
        reach = (bent[f"wrist.{side}"] - bent[f"upperarm01.{side}"]).norm()
        assert reach < (still[f"wrist.{side}"] - still[f"upperarm01.{side}"]).norm() - 0.05
        bent = heads(f"finger3-1.{side}", 0.8)
        reach = (bent[f"finger3-3.{side}"] - bent[f"wrist.{side}"]).norm()
        assert reach < (still[f"finger3-3.{side}"] - still[f"wrist.{side}"]).norm() - 0.005


def test_every_shape_vector_is_a_person(body: BodyModel) -> None:
    space = shape_space(body, face=True)
    shape = space.shape(10 * torch.randn(len(space), generator=torch.Generator().manual_seed(2)))
    assert (shape.phenotypes >= 0).all() and (shape.phenotypes <= 1).all()
    assert (shape.local_changes.abs() <= 1).all()
    middle = space.shape(torch.zeros(len(space)))
    heights = [body.rest(each).verts[:, 1].max() for each in (middle, body.neutral_shape())]
    assert heights[0] == pytest.approx(float(heights[1]), abs=0.05)


def test_accelerations_of_uneven_frames() -> None:
    """x = t^2 has acceleration 2 wherever it is sampled; across a long gap nothing is said."""
    seconds = torch.tensor([0.0, 0.1, 0.25, 0.3, 2.0, 2.1, 2.2])
    found = second_differences(seconds[:, None] ** 2, seconds).squeeze(-1)
    torch.testing.assert_close(found, torch.tensor([2.0, 2.0, 0.0, 0.0, 2.0]), atol=1e-4, rtol=0)


def test_keyframes_are_spread_and_hold_both_ends() -> None:
    seconds = np.arange(20) / 60
    assert keyframes(seconds, 0.1, 0) == [0, 6, 12, 18, 19]
    assert keyframes(seconds, 0.1, 4) == [0, 1, 2, 3, 9, 15, 19]
    assert keyframes(np.arange(5) / 6, 0.1, 0) == [0, 1, 2, 3, 4]
    assert keyframes(np.zeros(1), 0.1, 0) == [0]


def test_trunk_orientation_where_parts_are_unknown(scene: PlantedBody) -> None:
    points = scene.landmarks.copy()
    whole = first_orientation(points)
    assert np.abs(np.linalg.det(whole) - 1).max() < 1e-9
    points[0, 23:] = np.nan  # a desk hides the legs
    points[1] = np.nan
    part = first_orientation(points)
    assert np.isfinite(part).all()
    angle = np.degrees(np.arccos((np.trace(part[0].T @ whole[0]) - 1) / 2))
    assert angle < 40
