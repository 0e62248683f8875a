"""Half a body in view: what no camera sees rests as people rest, keeps off lenses and empty space, and is said."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from simulacra.recon.fit import FitConfig, costs, fit_body, load_fit, save_fit
from simulacra.recon.fit.capture import Views, chosen_views
from simulacra.recon.fit.costs.hidden import HiddenCost, LensCost, choose_stance, empty_share
from simulacra.recon.fit.evidence import Evidence, FreeSpace
from simulacra.recon.fit.hidden import (
    HiddenLimb,
    Stance,
    hidden_landmarks,
    hidden_limbs,
    shown_landmarks,
    stance_joints,
)
from simulacra.recon.fit.joints import joint_space
from simulacra.recon.fit.piece import Job, _first_guess, _gather
from simulacra.recon.fit.record import BodyFit
from simulacra.recon.fit.seen import gaussian_views, joint_views, part_views, unseen_sentence, unseen_words
from simulacra.recon.fit.tracks import Tracks, gather_poses, gather_tracks
from simulacra.recon.multiview.detections import Detections
from simulacra.recon.session import Frame, SessionCamera, Source
from simulacra.render.avatar import Binding
from simulacra.render.body import BodyModel, BodyPose
from simulacra.render.camera import look_at
from tests.recon.planted_body import PlantedBody, PlantedObservations, PlantedSession
from tests.recon.planted_person import project

CONFIG = FitConfig(iterations=15, rounds=1, masks=False, depth=False)
NAMES = ("c0", "c1", "c2", "c3")
SIDE = 1000
LEGS = HiddenLimb("leg", ("L", "R"))


def plant_half(body: BodyModel, sits: bool, look_at_height: float) -> PlantedBody:
    """Somebody on a chair or on their feet before four cameras that see no lower than the hips.

    Of the legs the network guesses, unsure, that they hang down below the pictures, whatever they do.
    """
    pose = body.zero_pose()
    if sits:
        for side in ("L", "R"):
            for bone, angle in (("upperleg01", -85.0), ("lowerleg01", 85.0)):
                pose.rotations[0, body.bone_names.index(f"{bone}.{side}"), 0] = float(np.radians(angle))
    shape = body.neutral_shape()
    rest = body.rest(shape)
    with torch.no_grad():
        pose.translation[0, 1] -= body.pose(rest, pose, vertices=body.soles).verts[..., 1].min()
        posed = body.pose(rest, pose)
        points = body.keypoints["pose33"](posed).double().numpy()
    angles = torch.tensor([-0.9, -0.3, 0.3, 0.9], dtype=torch.float64)
    eyes = torch.stack([1.3 * angles.sin(), torch.full((4,), look_at_height + 0.1), 1.3 * angles.cos()], -1)
    target = torch.tensor([[0.0, look_at_height, 0.0]], dtype=torch.float64).expand(4, 3)
    cameras = look_at(eyes, target, 1100.0, SIDE, SIDE)
    viewmats, Ks = cameras.viewmats.numpy(), cameras.Ks.numpy()
    guessed = points.copy()
    hips = points[:, [23, 24]].mean(1)
    for k, down in ((25, 0.4), (27, 0.8), (29, 0.85), (31, 0.85)):
        for side, aside in ((0, 0.1), (1, -0.1)):
            guessed[:, k + side] = hips + np.array([aside, -down, 0.0])
    generator = np.random.default_rng(0)
    px = project(guessed, viewmats, Ks)
    px = px + generator.standard_normal(px.shape)
    visibility = np.full((1, 4, 33), 0.95)
    visibility[..., 25:] = 0.15
    session = PlantedSession(
        tuple(SessionCamera(n, SIDE, SIDE, K, V) for n, K, V in zip(NAMES, Ks, viewmats, strict=True)),
        (Frame(0, {n: Source(f"{n}/0.png", time=0.0) for n in NAMES}),),
    )
    observations = PlantedObservations(
        frames=np.arange(1),
        cameras=NAMES,
        pose_px=px.astype(np.float32),
        pose_visibility=visibility.astype(np.float32),
        pose_spread_px=np.zeros((1, 4, 33), np.float32),
        pose_score=np.ones((1, 4), np.float32),
        face_px=np.full((1, 4, 478, 2), np.nan, np.float32),
        face_score=np.zeros((1, 4), np.float32),
        hand_px=np.full((1, 4, 2, 21, 2), np.nan, np.float32),
        hand_score=np.zeros((1, 4, 2), np.float32),
        mask_sources={},
        folder=Path(),
    )
    return PlantedBody(shape, pose, posed.verts, points, session, observations)


@pytest.fixture(scope="module")
def desk(body: BodyModel) -> PlantedBody:
    return plant_half(body, sits=True, look_at_height=1.3)


@pytest.fixture(scope="module")
def fitted(body: BodyModel, desk: PlantedBody) -> BodyFit:
    return fit_body(desk.session, desk.observations, CONFIG, NAMES, body=body)


@pytest.fixture(scope="module")
def evidence(body: BodyModel, desk: PlantedBody) -> Evidence:
    return gather(body, desk)


def gather(body: BodyModel, scene: PlantedBody) -> Evidence:
    tracks, views = tracks_of(scene)
    job = Job(scene.session, scene.observations, CONFIG, views, body, None, lambda _: None)
    return _gather(job, tracks, 300)


def tracks_of(scene: PlantedBody) -> tuple[Tracks, Views]:
    poses, views = gather_poses(
        scene.session, scene.observations, chosen_views(scene.session, NAMES), [0], CONFIG
    )
    return gather_tracks(poses, scene.observations, views, CONFIG), views


def joint_heads(body: BodyModel, fit: BodyFit) -> dict[str, np.ndarray]:
    with torch.no_grad():
        heads = body.pose(body.rest(fit.shape), fit.pose).T_world_bone[0, :, :3, 3].double().numpy()
    return dict(zip(body.bone_names, heads, strict=True))


def true_heads(body: BodyModel, scene: PlantedBody) -> dict[str, np.ndarray]:
    with torch.no_grad():
        heads = body.pose(body.rest(scene.shape), scene.pose).T_world_bone[0, :, :3, 3].double().numpy()
    return dict(zip(body.bone_names, heads, strict=True))


def seated_error(body: BodyModel, fit: BodyFit, scene: PlantedBody) -> float:
    """The farthest of knees and ankles from the truth, metres."""
    found, true = joint_heads(body, fit), true_heads(body, scene)
    legs = [f"{bone}.{side}" for bone in ("lowerleg01", "foot") for side in ("L", "R")]
    return max(float(np.linalg.norm(found[bone] - true[bone])) for bone in legs)


def test_whose_hips_are_low_over_the_floor_sits(body: BodyModel, desk: PlantedBody, fitted: BodyFit) -> None:
    """Knees and feet of whoever sits are within a third of a shin of the truth: nobody knows how far chairs let them
    go forward. The network's hanging legs, 0.5 m off, are not believed.
    """
    assert seated_error(body, fitted, desk) < 0.15


def test_control_without_stances_nobody_sits(
    body: BodyModel, desk: PlantedBody, monkeypatch: pytest.MonkeyPatch
) -> None:
    makers = tuple(make for make in costs.MAKERS if make.__name__ != "make_hidden_cost")
    monkeypatch.setattr(costs, "MAKERS", makers)
    fit = fit_body(desk.session, desk.observations, CONFIG, NAMES, body=body)
    # A standing leg's knee is a thigh's length away from a sitting one's, across a corner.
    assert seated_error(body, fit, desk) > 0.4


def test_what_was_never_seen_is_known(body: BodyModel, fitted: BodyFit, tmp_path: Path) -> None:
    # The pictures end above the seat, and hands that hang down are below that.
    assert fitted.summary["never_seen"] == ["legs", "hands"]
    assert unseen_sentence(fitted.summary["never_seen"]).startswith("No camera saw the legs and hands:")
    save_fit(fitted, tmp_path)
    back = load_fit(tmp_path)
    assert back.seen is not None and (back.seen == fitted.seen).all()
    parts, joints = part_views(body, back.seen), joint_views(body, back.seen)
    assert parts["face"] == 4 and parts["torso"] == 4 and joints["head"] == 4
    for part in ("thigh", "shin", "foot"):
        assert parts[f"{part}_l"] == parts[f"{part}_r"] == 0
    assert joints["lowerleg01.L"] == joints["foot.R"] == 0
    # All four stand before the person: a Gaussian on the back is seen by none, one on the nose by all.
    verts = body.rest(fitted.shape).verts
    middle = verts[body.faces].mean(1)
    torso = (body.part_labels[body.faces] == body.part_names.index("torso")).all(1)
    back_of_trunk = torch.where(torso, middle[:, 2], torch.full_like(middle[:, 2], 9.0)).argmin()
    face = (body.part_labels[body.faces] == body.part_names.index("face")).all(1)
    nose = torch.where(face, middle[:, 2], torch.full_like(middle[:, 2], -9.0)).argmax()
    binding = Binding(torch.stack([nose, back_of_trunk]), torch.full((2, 3), 1 / 3))
    assert gaussian_views(body, binding, back.seen).tolist() == [4, 0]


def test_a_whole_body_has_nothing_hidden() -> None:
    assert hidden_limbs(np.ones(33, bool)) == []
    assert unseen_words({"shin_l": 1, "foot_l": 2}) == () and unseen_sentence(()) == ""


def test_words_for_what_was_not_seen() -> None:
    sides = ("l", "r")
    every = {f"{part}_{side}": 0 for part in ("thigh", "shin", "foot") for side in sides}
    assert unseen_words(every) == ("legs",)
    assert unseen_words(every | {"thigh_l": 1, "thigh_r": 2}) == ("lower legs",)
    assert unseen_words(every | {"thigh_l": 1, "shin_l": 1, "foot_l": 1}) == ("right leg",)
    assert unseen_words({"hand_l": 0, "hand_r": 3, "foot_l": 0, "foot_r": 1}) == ("left foot", "left hand")


def seen_as(confident: dict[int, float], inside: bool = True) -> Detections:
    """Ten frames of two cameras of 640 x 480: a head and what else is named, as sure as is said."""
    pixels = np.full((10, 2, 33, 2), 5000.0)
    confidence = np.full((10, 2, 33), 0.9)
    pixels[:, :, :13] = (320, 100)
    for k, sure in confident.items():
        pixels[:, :, k] = (320, 400 if inside else 700)
        confidence[:, :, k] = sure
    return Detections(pixels, confidence)


SIZES = np.array([[640, 480], [640, 480]])
NOTHING_GUESSED = np.zeros((10, 33), bool)


def test_shown_is_what_a_picture_has_and_what_it_hangs_on() -> None:
    shown = shown_landmarks(seen_as({27: 0.9}), NOTHING_GUESSED, SIZES)
    # Who is shown to the left ankle is shown to the left knee; the foot and all of the right are not.
    assert np.flatnonzero(shown).tolist() == [*range(13), 25, 27]
    assert hidden_limbs(shown) == [
        HiddenLimb("leg", ("R",)),
        HiddenLimb("arm", ("L", "R")),
    ]
    assert not hidden_landmarks(shown)[[23, 24, 25, 27]].any() and hidden_landmarks(shown)[[26, 28, 29]].all()


@pytest.mark.parametrize(("sure", "inside"), [(0.2, True), (0.9, False)])
def test_a_guess_and_what_lies_outside_are_not_shown(sure: float, inside: bool) -> None:
    shown = shown_landmarks(seen_as({27: sure}, inside), NOTHING_GUESSED, SIZES)
    assert np.flatnonzero(shown).tolist() == list(range(13))


def test_what_other_cameras_call_a_guess_is_not_shown() -> None:
    guessed = NOTHING_GUESSED.copy()
    guessed[:, 27] = True
    assert not shown_landmarks(seen_as({27: 0.9}), guessed, SIZES)[[25, 27]].any()
    guessed[:2, 27] = False  # two of ten frames: somebody's ankle comes into the picture
    assert shown_landmarks(seen_as({27: 0.9}), guessed, SIZES)[[25, 27]].all()


@pytest.mark.parametrize("lean", [-0.2, 0.0, 0.4])
def test_who_sits_has_level_thighs_and_upright_shins_however_they_lean(body: BodyModel, lean: float) -> None:
    joints = joint_space(body)
    thigh = torch.zeros(1, 2)
    z = stance_joints(Stance(85.0, 0.0), LEGS, joints, body.bone_names, torch.tensor([lean]), thigh)
    rotations = joints.rotations(z)
    rotations[:, 0, 0] = lean
    pose = BodyPose(rotations, torch.zeros(1, 3), torch.zeros(1, len(body.expression_names)))
    with torch.no_grad():
        heads = body.pose(body.rest(body.neutral_shape()), pose).T_world_bone[0, :, :3, 3]
    at = dict(zip(body.bone_names, heads, strict=True))
    for side in ("L", "R"):
        upper = at[f"lowerleg01.{side}"] - at[f"upperleg01.{side}"]
        lower = at[f"foot.{side}"] - at[f"lowerleg01.{side}"]
        # At zero pose thighs and shins are within 6 degrees of hanging straight.
        assert float(torch.rad2deg(torch.atan2(upper[2], -upper[1]))) == pytest.approx(85, abs=7)
        assert float(-lower[1] / lower.norm()) > np.cos(np.radians(7))


@dataclass(frozen=True)
class Seat:
    """Legs that were chosen: how far their knees are before the hips, and how near to a lens."""

    forward: float
    lens: float


def choose(body: BodyModel, evidence: Evidence, lift: float = 0.0, **changes: object) -> Seat:
    """Legs of the person at the desk, lifted."""
    evidence = replace(evidence, **changes)  # type: ignore[arg-type]
    guess = _first_guess(evidence, ("pose33",), None)
    guess = replace(
        guess,
        space=replace(guess.space, translation=guess.space.translation + torch.tensor([0.0, lift, 0.0])),
    )
    with torch.no_grad():
        state = guess.space.state(guess.unknowns)
        z = choose_stance(evidence, state, LEGS)
        posed = guess.space.state(replace(guess.unknowns, joints=z), state.rest).posed
    at = dict(zip(body.bone_names, posed.T_world_bone[0, :, :3, 3].double().numpy(), strict=True))
    legs = np.stack([at[f"{bone}.{side}"] for bone in ("lowerleg01", "foot") for side in ("L", "R")])
    apart = np.linalg.norm(legs[:, None] - evidence.views.cameras.centres, axis=-1)
    return Seat(float(at["lowerleg01.L"][2] - at["upperleg01.L"][2]), float(apart.min()))


def test_hips_say_whether_somebody_sits(body: BodyModel, evidence: Evidence) -> None:
    thigh = 0.4
    assert choose(body, evidence).forward > 0.8 * thigh
    # The same hips a thigh higher have standing legs under them; so have hips with no floor to be seen.
    assert choose(body, evidence, lift=thigh).forward < 0.2 * thigh
    assert choose(body, evidence, lift=-1.5).forward < 0.2 * thigh
    # Depth may show the floor elsewhere.
    assert choose(body, evidence, lift=thigh, floor_m=thigh).forward > 0.8 * thigh


def test_no_leg_is_before_a_lens(body: BodyModel, evidence: Evidence) -> None:
    """A camera is screwed under the table where the knees of whoever sits would be."""
    views = evidence.views
    eye = torch.tensor([[0.1, 0.55, 0.45]], dtype=torch.float64)
    camera = look_at(eye, eye + torch.tensor([[0.0, 1.0, -0.1]], dtype=torch.float64), 500.0, SIDE, SIDE)
    near = replace(views, viewmats=np.concatenate([views.viewmats[:3], camera.viewmats.numpy()]))
    assert choose(body, evidence).lens > 0.3
    blocked = choose(body, evidence, views=near)
    assert blocked.lens > 0.3
    # The control: as they were chosen without this camera, they would have been.
    assert blocked.forward != pytest.approx(choose(body, evidence).forward, abs=0.02)


def test_empty_space_is_no_place_for_a_leg(body: BodyModel, evidence: Evidence) -> None:
    """A depth camera sees a board under the seat through where sitting thighs would be: then legs hang behind it."""
    views = evidence.views
    wide = views.Ks * np.array([0.05, 0.05, 1.0])[:, None]
    through = FreeSpace(wide, {(0, c): np.full((50, 50), 4.0) for c in range(4)})
    some = torch.tensor([[[0.0, 1.25, 0.0], [0.0, 1.25, 40.0]]])
    # Of a place in the middle of all pictures and one that lies behind all cameras the first is empty.
    assert empty_share(through, views.viewmats, some, [0]) == 0.5
    blind = FreeSpace(wide, {(0, c): np.zeros((50, 50)) for c in range(4)})
    assert empty_share(blind, views.viewmats, some, [0]) == 0
    assert choose(body, evidence, free=blind).forward > 0.3
    # A picture that goes on downwards: hanging legs are 1.24 m from the camera, and all that is before is empty.
    board = FreeSpace(wide, {(0, 1): np.full((200, 50), 1.18)})
    assert choose(body, evidence, free=board).forward < 0.1


def test_cost_of_hidden_joints_and_lenses(body: BodyModel, evidence: Evidence) -> None:
    guess = _first_guess(evidence, ("pose33",), None)
    with torch.no_grad():
        state = guess.space.state(guess.unknowns)
    head = state.posed.T_world_bone[0, 0, :3, 3]
    far, near = head + torch.tensor([9.0, 0.0, 0.0]), head + torch.tensor([0.37, 0.0, 0.0])

    def held(target: float) -> float:
        return float(HiddenCost(torch.tensor([3]), torch.tensor([[target]]), torch.tensor([2.0]))(state))

    def before(lens: torch.Tensor) -> float:
        return float(LensCost(torch.tensor([0]), lens[None])(state))

    assert held(0.0) == before(far) == 0
    assert held(0.5) == pytest.approx(1.0)  # half a standard deviation, twice as precise
    assert before(near) == pytest.approx(1.0, abs=1e-3)  # 3 cm nearer than 0.4 m, in threes of centimetres
