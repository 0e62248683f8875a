"""The floor by depth: the level ground beside the feet, or the lowest of them; nothing where neither is seen."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from simulacra.recon.fit.capture import Views
from simulacra.recon.fit.floor import find_floor
from simulacra.render.camera import Cameras, look_at

WIDTH, HEIGHT, FLOOR, SOLE = 160, 120, 0.13, 0.16
# Two posts of 8 x 8 cm stand for shins.
POSTS = ((-0.1, 0.0), (0.1, 0.0))
HALF = 0.04


@dataclass(frozen=True)
class Corner:
    """A camera that looks down on two posts on a level floor, or over a slope."""

    view: Cameras
    slope: float = 0.0
    ground: bool = True

    @property
    def frames(self) -> tuple[int, ...]:
        return (0, 1, 2)

    def camera(self, name: str) -> Cameras:
        return self.view

    def has(self, frame_index: int, camera: str) -> bool:
        return True

    def depth(self, frame_index: int, camera: str) -> tuple[np.ndarray, np.ndarray]:
        depth, person = self._measure()
        return depth, (depth > 0) & (person | self.ground)

    def mask(self, frame: int, camera: str) -> np.ndarray:
        return self._measure()[1].astype(np.float32)

    def _measure(self) -> tuple[np.ndarray, np.ndarray]:
        """Depth along the axis, and where it is a post's front, which faces the camera and ends above the floor."""
        eye = self.view.centers()[0].double().numpy()
        rays = self.view.local_rays()[0].double().numpy() @ self.view.viewmats[0, :3, :3].double().numpy()
        down = rays[..., 1] - self.slope * rays[..., 0]
        with np.errstate(divide="ignore"):
            depth = np.where(down < 0, (FLOOR + self.slope * eye[0] - eye[1]) / down, 0)
        front = (HALF - eye[2]) / rays[..., 2]
        at = eye + front[..., None] * rays
        post = np.zeros(depth.shape, bool)
        for x, _ in POSTS:
            post |= (np.abs(at[..., 0] - x) < HALF) & (at[..., 1] > SOLE) & (at[..., 1] < 0.5)
        return np.where(post, front, np.clip(depth, 0, 4)).astype(np.float32), post


def views(camera: Cameras) -> Views:
    size = np.array([[camera.width, camera.height]])
    return Views(("a",), camera.viewmats.double().numpy(), camera.Ks.double().numpy(), size)


FRAMES = np.arange(3)


def feet() -> np.ndarray:
    points = np.full((3, 33, 3), np.nan)
    points[:, 27:33] = [(x, FLOOR + 0.08, z) for x, z in POSTS * 3]
    return points


@pytest.fixture
def corner() -> Corner:
    eye, middle = torch.tensor([[0.2, 1.4, 2.0]]), torch.tensor([[0.0, 0.2, 0.0]])
    return Corner(look_at(eye, middle, 200.0, WIDTH, HEIGHT))


def test_the_ground_about_the_feet(corner: Corner) -> None:
    found = find_floor(corner, corner, views(corner.view), FRAMES, feet())
    assert found == pytest.approx(FLOOR, abs=0.003)


def test_a_slope_is_no_level_floor(corner: Corner) -> None:
    steep = replace(corner, slope=0.4)
    found = find_floor(steep, steep, views(corner.view), FRAMES, feet())
    assert found is None or found != pytest.approx(FLOOR, abs=0.003)


def test_where_the_ground_is_cut_away_the_lowest_of_the_feet_says(corner: Corner) -> None:
    large = look_at(
        torch.tensor([[0.2, 1.4, 2.0]]), torch.tensor([[0.0, 0.2, 0.0]]), 800.0, 4 * WIDTH, 4 * HEIGHT
    )
    cut = Corner(large, ground=False)
    found = find_floor(cut, cut, views(large), FRAMES, feet())
    # The edge of the mask hides three pixels of the post, 8 mm; a shoe's sole is taken to be 15 mm under what is seen.
    assert found == pytest.approx(SOLE - 0.005, abs=0.012)


def test_nothing_is_said_where_no_landmark_is(corner: Corner) -> None:
    assert find_floor(corner, corner, views(corner.view), FRAMES, np.full((3, 33, 3), np.nan)) is None
