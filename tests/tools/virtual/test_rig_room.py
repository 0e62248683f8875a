"""Rigs and rooms: cameras look at the person, faults have their size, the room's depth is where its walls are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from simulacra.render.runtime.errors import CalibrationError, ConfigError
from simulacra.tools.virtual.rig import RigConfig, make_rig, moved
from simulacra.tools.virtual.room import FLOOR, WALL, RoomConfig, look_at_room

EYES = np.array([0.0, 1.6, 0.1])


def center(viewmat: np.ndarray) -> np.ndarray:
    return -viewmat[:3, :3].T @ viewmat[:3, 3]


@pytest.mark.parametrize("layout", ["ring", "arc", "face", "turnaround"])
def test_every_camera_sees_the_person_upright(layout: str) -> None:
    settings = RigConfig(layout=layout, count=3, distance=0.4 if layout == "face" else 2.2)  # type: ignore[arg-type]
    cameras = make_rig(settings, 5, EYES)
    assert len(cameras) == 3
    target = EYES if layout == "face" else np.array([0.0, settings.look_at_height, 0.0])
    for camera in cameras:
        local = camera.viewmat[:3, :3] @ target + camera.viewmat[:3, 3]
        u, v = camera.K[:2, :2] @ (local[:2] / local[2]) + camera.K[:2, 2]
        assert 0.25 * camera.width < u < 0.75 * camera.width
        assert 0.2 * camera.height < v < 0.8 * camera.height
        assert camera.viewmat[1, 1] < -0.7  # image down is world down
    lags = [camera.lag for camera in cameras]
    assert lags == ([0.0, 0.25, 0.5] if layout == "turnaround" else [0.0] * 3)


def test_the_same_seed_is_the_same_rig() -> None:
    one, two, other = (make_rig(RigConfig(), seed, EYES) for seed in (1, 1, 2))
    assert all(np.array_equal(a.viewmat, b.viewmat) for a, b in zip(one, two))
    assert not np.array_equal(one[0].viewmat, other[0].viewmat)


def test_judges_stand_between_the_cameras() -> None:
    cameras = make_rig(RigConfig(count=4, judges=2, jitter_m=0.0, jitter_deg=0.0), 0, EYES)
    names = [camera.name for camera in cameras]
    assert names == ["0", "1", "2", "3", "judge0", "judge1"]
    judged = [camera for camera in cameras if camera.judge]
    angles = [np.degrees(np.arctan2(*center(camera.viewmat)[[0, 2]])) % 360 for camera in judged]
    np.testing.assert_allclose(angles, [45, 225], atol=1e-6)
    with pytest.raises(ConfigError, match="judges"):
        make_rig(RigConfig(layout="face", count=3, judges=1), 0, EYES)


def test_a_moved_camera_is_turned_and_shifted_by_as_much() -> None:
    viewmat = make_rig(RigConfig(), 0, EYES)[0].viewmat
    turn, shift = np.radians([0.5, 0.8, -0.2]), np.array([0.01, -0.02, 0.005])
    found = moved(viewmat, turn, shift)
    np.testing.assert_allclose(center(found) - center(viewmat), shift, atol=1e-9)
    apart = found[:3, :3] @ viewmat[:3, :3].T
    angle = np.arccos((np.trace(apart) - 1) / 2)
    assert angle == pytest.approx(np.linalg.norm(turn), rel=1e-6)


def test_what_cannot_be_built_is_an_error() -> None:
    with pytest.raises(ConfigError):
        make_rig(RigConfig(distance=0.0), 0, EYES)
    with pytest.raises(ConfigError):
        make_rig(RigConfig(width=8), 0, EYES)
    with pytest.raises(CalibrationError):
        make_rig(RigConfig(distortion=(0.1, 0.1, 0.1)), 0, EYES)
    camera = make_rig(RigConfig(), 0, EYES)[0]
    with pytest.raises(ConfigError, match="outside of the room"):
        look_at_room(RoomConfig(radius=1.5), camera, np.ones(3), 0)


def test_depth_of_the_room_is_on_its_floor_and_wall() -> None:
    camera = replace(make_rig(RigConfig(width=96, height_px=96), 0, EYES)[0])
    room = RoomConfig(radius=3.5, height=2.8)
    seen = look_at_room(room, camera, np.ones(3), 0)
    v, u = np.mgrid[:96, :96] + 0.5
    rays = np.stack(
        [(u - camera.K[0, 2]) / camera.K[0, 0], (v - camera.K[1, 2]) / camera.K[1, 1], 0 * u + 1], -1
    )
    local = rays * seen.depth[..., None]
    world = (local - camera.viewmat[:3, 3]) @ camera.viewmat[:3, :3]
    on_floor, on_wall = seen.surface == FLOOR, seen.surface == WALL
    assert on_floor.any() and on_wall.any()
    assert np.abs(world[on_floor][:, 1]).max() < 1e-4
    np.testing.assert_allclose(np.hypot(*world[on_wall][:, [0, 2]].T), 3.5, atol=1e-4)
    towards = center(camera.viewmat) - world
    assert ((seen.normals * towards).sum(-1) > 0).all()
    assert float(seen.rgb_linear.min()) > 0.004 and float(seen.rgb_linear.max()) < 1.2
    assert float(seen.infrared.min()) > 0 and float(seen.infrared.max()) <= 1


def test_a_person_shades_the_floor_and_nothing_else() -> None:
    camera = make_rig(RigConfig(width=96, height_px=96), 0, EYES)[0]
    seen = look_at_room(RoomConfig(), camera, np.ones(3), 0)
    nobody = np.zeros((96, 96, 3), np.float32), np.zeros((96, 96), np.float32)
    feet = np.array([[0.1, 0.05, 0.0], [-0.1, 0.05, 0.0]])
    shaded = seen.behind(*nobody, feet, np.array([0.0, 0.9, 0.0]))
    on_floor = seen.surface == FLOOR
    np.testing.assert_array_equal(shaded[~on_floor], seen.rgb_linear[~on_floor])
    ratio = shaded[on_floor].mean(-1) / seen.rgb_linear[on_floor].mean(-1)
    far = np.hypot(*seen.floor_xz[on_floor].T) > 2.2
    assert ratio.min() < 0.7 and (ratio <= 1).all()
    assert ratio[far].min() > 0.99
    half = seen.behind(nobody[0] + np.float32(0.25), nobody[1] + np.float32(0.5), feet, np.zeros(3))
    np.testing.assert_allclose(half[~on_floor], 0.25 + 0.5 * seen.rgb_linear[~on_floor], rtol=1e-5)
