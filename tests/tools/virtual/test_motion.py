"""Motions of virtual people: defined at any moment, on the floor, smooth, and the built-in ones move what they say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from simulacra.recon.motion.retarget import lowest_soles
from simulacra.render.body import BodyModel, BodyPose, RestBody
from simulacra.render.body.between import pose_between
from simulacra.render.runtime.errors import ConfigError, InputError
from simulacra.tools.virtual.motion import MotionConfig, pose_at


@pytest.fixture(scope="module")
def rest(body: BodyModel) -> RestBody:
    return body.rest(body.neutral_shape())


@pytest.mark.parametrize("name", ["still", "stand", "walk", "range", "talk", "turn"])
def test_the_person_stands_on_the_floor_and_moves_smoothly(
    body: BodyModel, rest: RestBody, name: str
) -> None:
    at = pose_at(body, rest, MotionConfig(name=name), seed=3)  # type: ignore[arg-type]
    before = None
    for seconds in np.arange(0, 8, 0.83):
        pose = at(float(seconds))
        assert abs(float(lowest_soles(body, rest, pose)[0])) < 1e-4
        near = at(float(seconds) + 1 / 120)
        # Nobody's bones turn faster than three turns a second.
        assert float((near.rotations - pose.rotations).abs().max()) < 6 * np.pi / 120
        before = pose if before is None else before
        assert bool(((pose.expression >= 0) & (pose.expression <= 1)).all())
    moved = float((at(2.0).rotations - at(0.0).rotations).abs().max())
    assert (moved == 0.0) == (name == "still")


def test_the_range_of_motion_lifts_arms_and_closes_fists(body: BodyModel, rest: RestBody) -> None:
    at = pose_at(body, rest, MotionConfig(name="range"), seed=0)
    wrist, tip = body.bone_names.index("wrist.L"), body.bone_names.index("finger3-3.L")
    places = [body.pose(rest, at(t)).T_world_bone[0, :, :3, 3] for t in (0.0, 1.5)]
    assert float(places[1][wrist, 1] - places[0][wrist, 1]) > 0.5
    reach = [float((place[tip] - place[wrist]).norm()) for place in places]
    assert reach[1] < reach[0]


def test_heading_turns_the_whole_person(body: BodyModel, rest: RestBody) -> None:
    ahead = pose_at(body, rest, MotionConfig(name="still"), 0)(0.0)
    aside = pose_at(body, rest, MotionConfig(name="still", heading=90.0), 0)(0.0)
    first, second = (body.pose(rest, pose).T_world_bone[0, :, :3, 3] for pose in (ahead, aside))
    turn = torch.tensor([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])
    head = body.bone_names.index("head")
    apart = (first - first[0]) @ turn.T
    torch.testing.assert_close(second - second[0], apart, atol=1e-4, rtol=0)
    assert float(second[head, 1]) == pytest.approx(float(first[head, 1]), abs=1e-4)


def test_a_recorded_motion_is_met_between_its_frames(
    body: BodyModel, rest: RestBody, capture_folder: Callable[[str], Path]
) -> None:
    files = sorted(capture_folder("motion_bvh").rglob("*.bvh"))
    if not files:
        pytest.skip("no recorded motion")
    at = pose_at(body, rest, MotionConfig(bvh=str(files[0])), 0)
    early, middle, late = at(0.5), at(0.5 + 1 / 240), at(0.5 + 1 / 120)
    between = pose_between(early, late, 0.5)
    apart = (middle.rotations - between.rotations).abs().max()
    assert float(apart) < 0.02
    assert float((late.rotations - early.rotations).abs().max()) > 0


def test_what_cannot_be_is_an_error(body: BodyModel, rest: RestBody, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="speed"):
        pose_at(body, rest, MotionConfig(speed=0.0), 0)
    (tmp_path / "broken.bvh").write_text("HIERARCHY\nnothing")
    with pytest.raises(InputError):
        pose_at(body, rest, MotionConfig(bvh=str(tmp_path / "broken.bvh")), 0)


def test_half_way_between_poses_is_half_the_turn(body: BodyModel) -> None:
    first, second = body.zero_pose(), body.zero_pose()
    second.rotations[0, 0, 1] = 1.0
    second.translation[0, 0] = 2.0
    middle = pose_between(first, second, 0.5)
    assert isinstance(middle, BodyPose)
    assert float(middle.rotations[0, 0, 1]) == pytest.approx(0.5, abs=1e-5)
    assert float(middle.translation[0, 0]) == pytest.approx(1.0)
