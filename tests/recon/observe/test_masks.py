"""Masks against an independent capture's, and against planted persons."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from simulacra.recon.observe import PoseNetwork, SelfieNetwork
from simulacra.recon.observe.masks import learn_background, refine_mask
from simulacra.render.image import read_mask

from .conftest import Example

Examples = Callable[[str], list[Example]]


def iou(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a > 0.5, b > 0.5
    return float((a & b).sum() / (a | b).sum())


def test_bodies_are_masked_as_the_capture_has_them(
    pose_network: PoseNetwork, examples: Examples, capture_folder: Callable[[str], Path]
) -> None:
    root = capture_folder("rgbd_stage8").parent
    coarse, fine = [], []
    for example in examples("rgbd_stage8"):
        truth = read_mask(
            next((root / example.key.replace("COLOR", "MASK")).parent.glob(Path(example.key).stem + ".*"))
        )
        person = pose_network(example.image)
        assert person is not None
        coarse.append(iou(person.mask, truth))
        fine.append(iou(refine_mask(example.image, person.mask), truth))
    assert min(coarse) > 0.95
    assert min(fine) > 0.96
    assert np.mean(fine) > 0.98
    assert np.mean(fine) > np.mean(coarse) + 0.005


def disc(x: float, y: float, radius: float = 45.0) -> np.ndarray:
    v, u = np.mgrid[:240, :320] + 0.5
    return (np.hypot(u - x, v - y) < radius).astype(np.float32)


def scene(x: float, y: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A disc of much the background's colors moving over a chequered wall: image, truth, coarse mask."""
    v, u = np.mgrid[:240, :320]
    wall = 0.4 + 0.25 * (((u // 16) + (v // 16)) % 2)
    colors = np.stack([wall, 0.8 * wall, 0.6 * wall], axis=-1)
    truth = disc(x, y)
    person = np.array([0.45, 0.5, 0.35])
    image = colors * (1 - truth[..., None]) + person * truth[..., None]
    image = np.clip(image + rng.normal(0, 0.01, image.shape), 0, 1).astype(np.float32)
    coarse = cv2.GaussianBlur(disc(x + 5, y - 4, 48.0), (0, 0), 6.0)
    return image, truth, coarse


def test_a_static_background_sharpens_masks() -> None:
    rng = np.random.default_rng(0)
    frames = [scene(60.0 + 20 * i, 110.0 + 3 * i, rng) for i in range(10)]
    background = learn_background((image, coarse) for image, _, coarse in frames)
    assert background is not None
    image, truth, coarse = frames[4]
    alone, together = refine_mask(image, coarse), refine_mask(image, coarse, background)
    assert iou(coarse, truth) < 0.85
    assert iou(together, truth) > 0.96
    assert iou(together, truth) > iou(alone, truth) + 0.05


def test_the_background_is_what_is_behind_the_person() -> None:
    rng = np.random.default_rng(1)
    frames = [scene(60.0 + 20 * i, 120.0, rng) for i in range(10)]
    background = learn_background((image, coarse) for image, _, coarse in frames)
    assert background is not None
    empty = cv2.resize(scene(-500.0, -500.0, rng)[0], (160, 120), interpolation=cv2.INTER_AREA)
    assert background.known.mean() > 0.95
    assert np.abs(background.median - empty)[background.known].max() < 0.06


def test_a_person_who_never_moves_hides_the_background_and_stays() -> None:
    rng = np.random.default_rng(2)
    frames = [scene(150.0, 120.0, rng) for _ in range(8)]
    background = learn_background((image, coarse) for image, _, coarse in frames)
    assert background is not None
    assert not background.known[60, 75]
    image, _, coarse = frames[0]
    assert refine_mask(image, coarse, background)[110:130, 140:160].min() > 0.95


def test_a_few_frames_teach_no_background() -> None:
    rng = np.random.default_rng(3)
    assert learn_background(scene(100.0, 100.0, rng)[::2] for _ in range(4)) is None


@pytest.mark.parametrize("shape", [(240, 320), (241, 319)])
def test_far_from_the_person_nothing_appears(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(4)
    image = rng.random((*shape, 3)).astype(np.float32)
    mask = np.zeros(shape, np.float32)
    assert not refine_mask(image, mask).any()
    mask[100:140, 100:140] = 1.0
    refined = refine_mask(image, mask)
    assert not refined[:60].any() and not refined[:, 220:].any()
    assert refined[115:125, 115:125].min() > 0.9


def test_the_selfie_network_sees_head_and_shoulders(networks: None, examples: Examples) -> None:
    example = next(e for e in examples("caliscope_charuco_calibration") if e.key.endswith("cam_2.mp4#40"))
    mask = SelfieNetwork()(example.image).in_image(1280, 720)
    x, y = np.round(example.pose[0, :2]).astype(int)
    assert mask.shape == (720, 1280)
    assert mask[y, x] > 0.9
    assert mask[:, :200].mean() < 0.05
