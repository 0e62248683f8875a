"""Offsets of a recorded person's motion, seen with the faults that a detector has."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from simulacra.recon.motion import Motion, find_skeleton, load_bvh
from simulacra.recon.multiview.offsets import SeenMotion
from simulacra.recon.observe.landmarks import POSE33
from simulacra.recon.session import Session, SessionCamera, Source
from simulacra.recon.synchronise import clocks, find_clocks
from simulacra.recon.synchronise.streams import CameraStream
from tests.recon.planted_person import project, ring_of_cameras
from tests.recon.preflight.blind import Blind

FPS = 30.0
PARTS = {"upper_arm": 11, "forearm": 13, "hand": 15, "thigh": 23, "shin": 25, "foot": 27}


def landmarks_of(motion: Motion) -> np.ndarray:
    """The 33 landmarks of a recorded skeleton in metres, of those that it has; on the spot."""
    anatomy, places = find_skeleton(motion).anatomy, motion.positions()
    points = np.full((len(places), 33, 3), np.nan)
    points[:, 0] = places[:, anatomy.joint("head")]
    for part, number in PARTS.items():
        for other, side in enumerate(("left", "right")):
            points[:, number + other] = places[:, anatomy.joint(f"{side}_{part}")]
    hips = points[:, [23, 24]].mean(1)
    leg = np.linalg.norm(points[:, 23] - points[:, 27], axis=-1).max()
    points *= 0.85 / leg
    middle = hips.mean(0) * 0.85 / leg
    return points - [middle[0], points[..., 1][np.isfinite(points[..., 1])].min(), middle[2]]


def seen(points: np.ndarray, viewmat: np.ndarray, K: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """As a detector sees it: noise of 2 px, lasting errors of 5 px, sides mistaken, nobody for a while."""
    random = np.random.default_rng(seed)
    pixels = project(points, viewmat[None], K[None])[:, 0]
    slow = random.standard_normal(pixels.shape)
    for k in range(1, len(slow)):
        slow[k] = np.exp(-2 / FPS) * slow[k - 1] + np.sqrt(1 - np.exp(-4 / FPS)) * slow[k]
    pixels = pixels + 2 * random.standard_normal(pixels.shape) + 5 * slow
    confidence = np.where(np.isfinite(pixels).all(-1), 0.9, 0.0)
    for start in random.integers(0, len(pixels), len(pixels) // 60):
        pixels[start : start + 8] = pixels[start : start + 8, list(POSE33.mirror)]
    for start in random.integers(0, len(pixels), len(pixels) // 120):
        confidence[start : start + 5] = 0.0
    return pixels, confidence


@pytest.mark.parametrize("late", [30, 300])
def test_planted_offsets_of_a_recorded_motion(
    late: int, capture_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    motion = load_bvh(capture_folder("motion_bvh") / "cmu_01_01.bvh").resampled(FPS)
    points, (viewmats, Ks) = landmarks_of(motion), ring_of_cameras(4)
    began = (0, late, 0, 0)
    cameras, streams, watched = [], {}, {}
    for number, name in enumerate("abcd"):
        own = points[began[number] :]
        times = np.arange(len(own)) / FPS
        streams[name] = CameraStream(name, tuple(Source(name, k) for k in range(len(own))), times, None)
        watched[name] = SeenMotion(times, *seen(own, viewmats[number], Ks[number], number))
        cameras.append(SessionCamera(name, 1000, 1000, Ks[number], viewmats[number]))
    monkeypatch.setattr(clocks, "watch", lambda *_: watched)
    monkeypatch.setattr(clocks, "coarse_places", lambda stream, _: list(range(len(stream.times))))
    found = find_clocks(Session(Path(), tuple(cameras), (), (), {}), streams, Blind(), "motion", 60.0)
    frames = {name: FPS * (found.began[name] - found.began["a"]) for name in "abcd"}
    for number, name in enumerate("abcd"):
        assert frames[name] == pytest.approx(began[number], abs=0.2), frames
