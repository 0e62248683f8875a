"""What masks and depth say: which picture is asked, which points are believed, and with which tolerance."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from simulacra.recon.fit import piece
from simulacra.recon.fit.body_space import MAPS, BodyState
from simulacra.recon.fit.capture import Views, chosen_views
from simulacra.recon.fit.config import FitConfig
from simulacra.recon.fit.costs import make_costs
from simulacra.recon.fit.costs.depth import DepthCost, make_depth_cost
from simulacra.recon.fit.costs.landmarks import make_landmark_cost
from simulacra.recon.fit.costs.mask import MaskCost, make_mask_cost
from simulacra.recon.fit.costs.outline import OutlineCost, make_outline_cost
from simulacra.recon.fit.evidence import (
    DepthPoints,
    Evidence,
    Round,
    gather_depth,
    gather_silhouettes,
    independent_share,
)
from simulacra.recon.fit.fitting import split_frames
from simulacra.recon.fit.piece import OVERLAP, Job, Solution, _first_guess, _gather, fit_piece
from simulacra.recon.fit.solve import one_thread
from simulacra.recon.fit.tracks import FACE, HANDS, Tracks, gather_poses, gather_tracks
from simulacra.recon.multiview.clocks import Lags
from simulacra.recon.session import SessionCamera
from simulacra.render.body import BodyModel
from tests.recon.planted_body import PlantedBody, PlantedSession, plant

CAMERAS = ("c0", "c1", "c2")
CONFIG = FitConfig(masks=False, depth=False)
ON_SKIN = Round(MAPS[:1], surface=True)


@pytest.fixture(scope="module")
def scene(body: BodyModel) -> PlantedBody:
    return plant(body, frames=8, cameras=3)


@pytest.fixture(scope="module")
def gathered(scene: PlantedBody) -> tuple[Tracks, Views]:
    views = chosen_views(scene.session, CAMERAS)
    poses, views = gather_poses(scene.session, scene.observations, views, range(8), CONFIG)
    return gather_tracks(poses, scene.observations, views, CONFIG), views


@pytest.fixture(scope="module")
def job(body: BodyModel, scene: PlantedBody, gathered: tuple[Tracks, Views]) -> Job:
    config = replace(CONFIG, iterations=2, rounds=1, window=6)
    return Job(scene.session, scene.observations, config, gathered[1], body, None, lambda _: None)


@pytest.fixture(scope="module")
def evidence(job: Job, gathered: tuple[Tracks, Views]) -> Evidence:
    return _gather(job, gathered[0].of_rows([0]), 300)


@pytest.fixture(scope="module")
def state(evidence: Evidence) -> BodyState:
    guess = _first_guess(evidence, MAPS[:1], None)
    with torch.no_grad():
        return guess.space.state(guess.unknowns)


@dataclass(frozen=True)
class Masks:
    """Masks by frame and camera; no more of the observations is asked for."""

    masks: dict[tuple[int, str], np.ndarray] = field(default_factory=dict)

    def mask(self, frame: int, camera: str) -> np.ndarray | None:
        return self.masks.get((frame, camera))


def _column(edge: int, width: int = 1000, height: int = 1000) -> np.ndarray:
    """The person is everything left of an edge."""
    mask = np.zeros((height, width), dtype=np.float32)
    mask[:, :edge] = 1
    return mask


def test_a_lagging_camera_is_asked_for_the_picture_of_its_own_moment(
    scene: PlantedBody, gathered: tuple[Tracks, Views]
) -> None:
    """A camera that lags more than half a frame shows pose i nearest in frame i + 1; the last it has not shown yet."""
    tracks, views = gathered
    masks = Masks({(frame, name): _column(200 + 50 * frame) for frame in range(8) for name in CAMERAS})

    def outside(*lags: float) -> tuple[np.ndarray, np.ndarray]:
        lagging = replace(tracks, offsets=replace(tracks.offsets, frames=np.array(lags)))
        found = gather_silhouettes(scene.session, masks, views, lagging, replace(CONFIG, mask_side=100))
        return found.outside.numpy(), found.known.numpy()

    in_time, known = outside(0.0, 0.0, 0.0)
    assert known.all()
    assert (in_time[1:] < in_time[:-1]).any((1, 2, 3)).all()  # each frame's mask is another one
    late, known = outside(0.4, 0.6, -1.6)
    assert known.sum(0).tolist() == [8, 7, 6]
    np.testing.assert_array_equal(late[:, 0], in_time[:, 0])
    np.testing.assert_array_equal(late[:-1, 1], in_time[1:, 1])
    np.testing.assert_array_equal(late[2:, 2], in_time[:-2, 2])
    assert not known[-1, 1] and not known[:2, 2].any()


def test_distance_images_are_in_focal_lengths(
    scene: PlantedBody, gathered: tuple[Tracks, Views], evidence: Evidence, state: BodyState
) -> None:
    """A vertex 400 px right of the mask's edge at 500 px focal length, in a picture twice as wide as high: 0.8 focal
    lengths, so at 3 m it is 2.4 m outside.
    """
    K = np.array([[500.0, 0, 400], [0, 500.0, 200], [0, 0, 1]])
    wide = replace(
        gathered[1],
        viewmats=np.eye(4)[None].repeat(3, 0),
        Ks=K[None].repeat(3, 0),
        sizes=np.array([[800, 400]] * 3),
    )
    tracks = evidence.tracks
    masks = Masks({(0, "c0"): _column(200, 800, 400)})
    silhouettes = gather_silhouettes(scene.session, masks, wide, tracks, replace(CONFIG, mask_side=200))
    cost = make_mask_cost(
        replace(evidence, views=wide, tracks=tracks, silhouettes=silhouettes), ON_SKIN, state
    )
    assert isinstance(cost, MaskCost)
    one = replace(
        cost,
        weight=torch.tensor([[[1.0], [0], [0]]]),
        columns=torch.zeros(1, dtype=torch.long),
        outside_m=2.4,
    )
    verts = torch.tensor([[[3 * (600 - 400) / 500, 0.0, 3.0]]])
    found = float(one(replace(state, posed=replace(state.posed, verts=verts))))
    # 1 where it is one standard deviation outside; half a pixel of the distance image is 2 of the picture's 400.
    assert found == pytest.approx(25 / 26, rel=0.02)


def test_a_mask_says_nothing_about_what_is_hidden(evidence: Evidence, state: BodyState) -> None:
    """Legs count only where hips, knees and ankles are seen; the vertices of a view count as 250."""
    tracks = evidence.tracks
    silhouettes = gather_silhouettes(
        PlantedSession((), ()), Masks({(0, "c1"): _column(500)}), evidence.views, tracks, CONFIG
    )

    def weights(hidden: int | None) -> torch.Tensor:
        seen = np.ones_like(tracks.seen)
        if hidden is not None:
            seen[:, 1, hidden] = 0.1
        with_masks = replace(evidence, silhouettes=silhouettes, tracks=replace(tracks, seen=seen))
        cost = make_mask_cost(with_masks, ON_SKIN, state)
        assert isinstance(cost, MaskCost)
        return cost.weight[0]

    labels = evidence.body.part_labels[evidence.vertices]
    shin = labels == evidence.body.part_names.index("shin_l")
    thigh = labels == evidence.body.part_names.index("thigh_l")
    assert (weights(None)[1] > 0).all() and not weights(None)[[0, 2]].any()  # one camera has a mask
    assert float(weights(None)[1].sum()) == pytest.approx(250, rel=1e-5)
    assert not weights(27)[1, shin].any() and (weights(27)[1, thigh] > 0).all()


# The person is a plate at z = 3 m before the first camera; the others look at it from the side.
FRONT = np.eye(4)
ASIDE = np.array([[0, 0, 1.0, -3], [0, 1, 0, 0], [-1, 0, 0, 3], [0, 0, 0, 1]])
PINHOLE = np.array([[1000.0, 0, 500], [0, 1000, 500], [0, 0, 1]])


def _plate(cameras: int, blind: int = 0) -> tuple[PlantedSession, Masks, Views]:
    """A depth picture of the plate with a ghost a metre behind it, within the camera's own mask.

    Args:
        blind: so many of the cameras at the side have a mask of everything, which contradicts nothing.
    """
    names = tuple(f"c{i}" for i in range(cameras))
    viewmats = np.stack([FRONT] + [ASIDE] * (cameras - 1))
    depth = np.full((1000, 1000), 3.0, dtype=np.float32)
    depth[480:520, 480:520] = 4.0
    own, side = np.zeros((1000, 1000), np.float32), np.zeros((1000, 1000), np.float32)
    own[440:560, 440:560] = 1
    side[400:600, 400:600] = 1
    masks = {(0, "c0"): own, **{(0, name): side for name in names[1:]}}
    masks.update({(0, name): np.ones_like(own) for name in names[1 : 1 + blind]})
    session = PlantedSession(
        tuple(SessionCamera(n, 1000, 1000, PINHOLE, V) for n, V in zip(names, viewmats, strict=True)),
        (),
        depths={(0, "c0"): (depth, own > 0)},
    )
    return session, Masks(masks), chosen_views(session, names)


@pytest.mark.parametrize(
    ("cameras", "blind", "ghosts"), [(2, 0, False), (2, 1, True), (5, 3, True), (5, 2, False)]
)
def test_depth_that_other_masks_contradict_is_left_out(cameras: int, blind: int, ghosts: bool) -> None:
    """Of two cameras both must agree, of five all but one: a mask errs at times."""
    session, masks, views = _plate(cameras, blind)
    found = gather_depth(session, masks, views, 0, replace(CONFIG, depth_points=10**6))
    assert found is not None
    z = found.points[:, 2]
    assert (np.abs(z - 3) < 1e-6).sum() > 1000
    assert (z > 3.5).any() == ghosts
    np.testing.assert_allclose(np.linalg.norm(found.towards, axis=-1), 1, atol=1e-9)
    np.testing.assert_allclose(
        np.cross(found.towards, found.points), 0, atol=1e-6
    )  # to the camera at the origin
    assert (found.towards[:, 2] < 0).all()


def _depth_value(evidence: Evidence, state: BodyState, part: str, gap_m: float) -> float:
    """The cost of one point so far in front of a vertex of a part, seen from where the vertex looks."""
    body = evidence.body
    with torch.no_grad():
        posed = body.pose(state.rest, state.space.pose(state.unknowns))
    which = int((body.part_labels[evidence.vertices] == body.part_names.index(part)).nonzero()[0])
    vertex = evidence.vertices[which]
    a, b, c = (posed.verts[0, body.faces[:, i]] for i in range(3))
    touching = (body.faces == vertex).any(1)
    normal = torch.linalg.cross(b - a, c - a)[touching].sum(0)
    normal = (normal / normal.norm()).double().numpy()[None]
    point = posed.verts[0, [vertex]].double().numpy() + gap_m * normal
    cost = make_depth_cost(replace(evidence, depth={0: DepthPoints(point, normal)}), ON_SKIN, state)
    assert isinstance(cost, DepthCost)
    return float(cost(state))


def test_depth_has_its_own_tolerance_before_and_behind_clothes_and_skin(
    evidence: Evidence, state: BodyState
) -> None:
    """5 mm where the body is in front of the measured surface; behind it 3 cm under a sleeve, 5 under a shirt, 10
    under trousers and skirts, 6 mm under skin. Vertices are known to 1e-7 m, a hundred thousandth of these.
    """
    for part in ("torso", "hand_l"):
        assert _depth_value(evidence, state, part, -0.005) == pytest.approx(9 / 10, rel=1e-3)
    parts = {"hand_l": 0.006, "upper_arm_l": 0.03, "torso": 0.05, "thigh_l": 0.1, "shin_r": 0.1}
    for part, outside_m in parts.items():
        expected = 2 * ((1 + (0.01 / outside_m) ** 2) ** 0.5 - 1)
        assert _depth_value(evidence, state, part, 0.01) == pytest.approx(expected, rel=1e-2)


def test_points_far_from_the_body_or_on_its_back_say_nothing(evidence: Evidence, state: BodyState) -> None:
    towards = np.array([[0.0, 0.0, 1.0]])
    far = DepthPoints(np.array([[5.0, 0.0, 0.0]]), towards)
    assert make_depth_cost(replace(evidence, depth={0: far}), ON_SKIN, state) is None
    assert make_depth_cost(evidence, ON_SKIN, state) is None
    assert make_depth_cost(replace(evidence, depth={0: far}), Round(MAPS[:1]), state) is None


def test_outlines_count_only_where_no_depth_says_more(evidence: Evidence, state: BodyState) -> None:
    masks = Masks({(0, name): _column(500) for name in CAMERAS})
    silhouettes = gather_silhouettes(PlantedSession((), ()), masks, evidence.views, evidence.tracks, CONFIG)
    masked = replace(evidence, silhouettes=silhouettes)
    cost = make_outline_cost(masked, ON_SKIN, state)
    assert isinstance(cost, OutlineCost)
    inside = cost.ray[:, 0] * 1000 + 500
    torch.testing.assert_close(inside, torch.full_like(inside, 499.5), atol=1e-2, rtol=0)
    far = DepthPoints(np.array([[5.0, 0.0, 0.0]]), np.array([[0.0, 0.0, 1.0]]))
    assert make_outline_cost(replace(masked, depth={0: far}), ON_SKIN, state) is None
    by_landmarks = [type(each).__name__ for each in make_costs(masked, Round(MAPS[:1]), state)]
    assert by_landmarks == ["LandmarkCost", "PriorCost", "MotionCost"]


def test_landmarks_of_hands_and_faces_count_less(evidence: Evidence, state: BodyState) -> None:
    """Their standard deviations, times the share of 1/2 and 1/10; a face levels off at half the scale."""
    sure = replace(evidence, tracks=replace(evidence.tracks, weights=np.ones_like(evidence.tracks.weights)))
    cost = make_landmark_cost(sure, Round(MAPS), state)
    precision, valid = cost.precision[0, 0], [evidence.body.keypoints[name].valid for name in MAPS]
    assert precision.shape == (553,)
    valid_at = torch.cat(valid)
    expected = {
        15: 1 / 0.015,
        23: 1 / 0.0375,
        33: 0.5**0.5 / 0.008,
        74: 0.5**0.5 / 0.008,
        76: 0.1**0.5 / 0.005,
    }
    for landmark, value in expected.items():
        assert float(precision[landmark]) == pytest.approx(value * bool(valid_at[landmark]), rel=1e-5), (
            landmark
        )
    assert cost.scale[[0, 33, 75]].tolist() == pytest.approx([0.06, 0.06, 0.03])
    wide = make_landmark_cost(sure, Round(MAPS, landmark_scale_m=0.12), state)
    assert wide.scale[[0, 552]].tolist() == pytest.approx([0.12, 0.12])


def test_later_pieces_keep_the_shape_and_the_frames_they_share(
    job: Job, gathered: tuple[Tracks, Views], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frames 0..5, then 2..7. Splines pass through their knots, and rotations through matrices, to float32 rounding."""
    monkeypatch.setattr(
        piece, "_MANY_VERTICES", 50
    )  # there is no mask to compare them with, and they take time
    monkeypatch.setattr(piece, "_FEW_VERTICES", 50)
    pieces = split_frames(8, job.config.window)
    assert pieces == [(0, 6), (2, 8)]
    with one_thread():
        parts = [gathered[0].of_rows(list(range(*bounds))) for bounds in pieces]
        first = fit_piece(job, parts[0], None)
        second = fit_piece(job, parts[1], first)
    assert first.unknowns.shape.any() and first.unknowns.bias.any()
    assert torch.equal(second.unknowns.shape, first.unknowns.shape)
    assert torch.equal(second.unknowns.bias, first.unknowns.bias)

    def arrays(solution: Solution) -> tuple[torch.Tensor, torch.Tensor]:
        pose = solution.pose()
        return pose.rotations, pose.translation

    for mine, theirs in zip(arrays(second), arrays(first), strict=True):
        torch.testing.assert_close(mine[:OVERLAP], theirs[-OVERLAP:], atol=1e-5, rtol=0)
        assert (mine[OVERLAP:] - theirs[-1]).abs().max() > 1e-3  # the others are their own


def test_pieces_repeat_the_last_frames_of_the_one_before() -> None:
    assert split_frames(5, 6) == [(0, 5)]
    assert split_frames(14, 6) == [(0, 6), (2, 8), (4, 10), (6, 12), (8, 14)]


def test_a_fit_runs_on_one_thread_and_gives_the_others_back() -> None:
    """BLAS shares long dot products among its threads, whose number would decide the last bits."""

    def threads() -> list[int]:
        return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]

    with threadpool_limits(2, user_api="blas"):
        before, torch_before = threads(), torch.get_num_threads()
        with one_thread():
            assert set(threads()) == {1} and torch.get_num_threads() == 1
        assert threads() == before and torch.get_num_threads() == torch_before


def test_landmarks_of_pieces_are_those_of_the_whole(scene: PlantedBody) -> None:
    """To the bit, also where cameras lag and a piece's last frames are seen in the next one."""
    views, seen = chosen_views(scene.session, CAMERAS), scene.observations
    wrists, ones = seen.pose_px[:, :, [15, 16]], np.ones((8, 3), np.float32)
    seen = replace(
        seen,
        hand_px=wrists[:, :, :, None] + np.arange(21, dtype=np.float32)[:, None],
        hand_score=np.ones((8, 3, 2), np.float32),
        face_px=seen.pose_px[:, :, :1] + np.arange(478, dtype=np.float32)[:, None] / 10,
        face_score=ones,
    )
    poses, views = gather_poses(scene.session, seen, views, range(8), CONFIG)
    for lags in ([0.0, 0.0, 0.0], [0.0, 1.3, -0.6]):
        late = replace(poses, offsets=Lags(np.array(lags), np.zeros(3)))
        whole = gather_tracks(late, seen, views, CONFIG)
        assert (whole.weights[:, :, FACE] > 0).any() and (whole.weights[:, :, HANDS] > 0).any()
        for first, last in ((0, 3), (2, 6), (5, 8)):
            part = gather_tracks(late, seen, views, CONFIG, slice(first, last))
            rows = whole.of_rows(list(range(first, last)))
            for name in ("frames", "seconds", "rays", "weights", "seen", "points"):
                np.testing.assert_array_equal(getattr(part, name), getattr(rows, name), strict=True)


def test_neighbouring_frames_are_no_moments_of_their_own() -> None:
    """A second of thirty frames is three moments; frames that are seconds apart are one each."""
    assert independent_share(np.array([4.0])) == 1
    assert independent_share(np.arange(31) / 30) == pytest.approx(3 / 31)
    assert independent_share(np.array([0.0, 2.0, 9.0])) == 1
