"""Several virtual people in one picture: the nearer before the farther, and a truth of the person alone."""

from __future__ import annotations

import numpy as np
import pytest

from simulacra.render.body import load_body
from simulacra.render.runtime.errors import AssetError
from simulacra.tools.virtual.motion import MotionConfig, Waypoint, pose_at
from simulacra.tools.virtual.picture import TruePixels, compose, unhidden


def flat(depth: list[float], alpha: list[float], color: float, layer: int) -> TruePixels:
    """A row of pixels of one color."""
    cover, z = np.array([alpha], np.float32), np.array([depth], np.float32)
    rgb = np.repeat(color * cover[..., None], 3, -1).astype(np.float32)
    return TruePixels(
        rgb, cover, z, np.where(z[..., None] > 0, [0, 0, 1], 0).astype(np.float32),
        np.where(z > 0, layer, -1).astype(np.int32), (z > 0).astype(np.float32), np.zeros((1, z.size, 2), np.float32),
    )  # fmt: skip


# Nobody, only one, only the other, the one nearer, the other nearer, and the other's edge before the one.
PERSON = flat([0, 2, 0, 2, 3, 3], [0, 1, 0, 1, 1, 1], 0.5, 1)
COMPANION = flat([0, 0, 4, 3, 2, 2], [0, 0, 1, 1, 1, 0.25], 1.0, 7)


@pytest.mark.parametrize("order", [(PERSON, COMPANION), (COMPANION, PERSON)])
def test_the_nearer_covers_the_farther(order: tuple[TruePixels, TruePixels]) -> None:
    seen = compose(order)
    assert seen.depth[0].tolist() == [0, 2, 4, 2, 2, 2]
    assert seen.layer[0].tolist() == [-1, 1, 7, 1, 7, 7]
    assert seen.alpha[0].tolist() == [0, 1, 1, 1, 1, 1]
    # Of the edge a quarter of the light is the companion's.
    np.testing.assert_allclose(seen.rgb_linear[0, :, 0], [0, 0.5, 1, 0.5, 1, 0.25 + 0.75 * 0.5])


def test_the_truth_is_what_companions_leave_of_the_person() -> None:
    left = unhidden([PERSON, COMPANION])
    assert left.alpha[0].tolist() == [0, 1, 0, 1, 0, 0.75]
    assert left.depth[0].tolist() == [0, 2, 0, 2, 0, 3]
    assert left.layer[0].tolist() == [-1, 1, -1, 1, -1, 1]
    assert unhidden([PERSON]) is PERSON and compose([PERSON]) is PERSON


def test_a_path_leads_through_its_waypoints_and_arms_reach() -> None:
    try:
        body = load_body()
    except AssetError as error:
        pytest.skip(str(error))
    rest = body.rest(body.neutral_shape())
    path = (Waypoint(x=-1.0, heading=90.0), Waypoint(seconds=2.0, x=1.0, z=0.5, heading=90.0, reach=1.0))
    at = pose_at(body, rest, MotionConfig(name="still", path=path), seed=0)
    start, middle, end = (at(seconds).translation[0].tolist() for seconds in (0.0, 1.0, 9.0))
    assert (
        start[0] == pytest.approx(-1)
        and middle[::2] == pytest.approx([0, 0.25])
        and end[0] == pytest.approx(1)
    )
    wrist = body.bone_names.index("wrist.L")
    poses = [at(seconds) for seconds in (2.0, 0.0)]
    with_reach, without = (
        body.pose(rest, pose).T_world_bone[0, wrist, :3, 3] - pose.translation[0] for pose in poses
    )
    # Facing +X: an upper arm of 0.27 m that is lifted by 60 degrees takes the hand that way by 0.23 m.
    assert float(with_reach[0] - without[0]) > 0.2


def test_who_sits_has_the_soles_on_the_floor_and_the_hips_at_a_chairs_height() -> None:
    try:
        body = load_body()
    except AssetError as error:
        pytest.skip(str(error))
    rest = body.rest(body.neutral_shape())
    posed = body.pose(rest, pose_at(body, rest, MotionConfig(name="sit"), seed=0)(0.0))
    heads = posed.T_world_bone[0, :, :3, 3]
    hip, knee = (heads[body.bone_names.index(bone)] for bone in ("upperleg01.L", "lowerleg01.L"))
    assert float(posed.verts[0, body.soles, 1].min()) == pytest.approx(0, abs=1e-4)
    # Seats are 0.4 to 0.5 m high, hip joints some 0.1 m over them.
    assert 0.45 < float(hip[1]) < 0.65 and abs(float(hip[1] - knee[1])) < 0.06
