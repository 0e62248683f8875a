"""Intervals over clusters: as wide as is known of normal numbers, and right as often as they say."""

from __future__ import annotations

import numpy as np
import pytest

from simulacra.recon.evaluate.clusters import (
    WORLD,
    ClusterInterval,
    expanded_tail,
    interval_of_subjects,
    interval_of_views,
)
from simulacra.recon.evaluate.protocol import View

TRIALS = 240
# Of 240 intervals of 90 % some 216 hold the truth, with a deviation of 4.6: 85 to 95 % is 2.6 deviations each way.
LOW, HIGH = 0.85 * TRIALS, 0.95 * TRIALS


def width(found: ClusterInterval) -> float:
    assert found.bounds is not None
    return found.bounds[1] - found.bounds[0]


def holds(found: ClusterInterval, truth: float) -> bool:
    assert found.bounds is not None
    return found.bounds[0] <= truth <= found.bounds[1]


def crossed(
    draw: np.random.Generator, frames: int, cameras: int, deviations: tuple[float, float, float]
) -> dict[View, float]:
    """Views that share what is hard about their frame and about their camera; the mean is 20."""
    of_frame, of_camera = draw.normal(0, deviations[0], frames), draw.normal(0, deviations[1], cameras)
    noise = draw.normal(0, deviations[2], (frames, cameras))
    return {
        View(str(c), f): float(20 + of_frame[f] + of_camera[c] + noise[f, c])
        for f in range(frames)
        for c in range(cameras)
    }


def test_an_interval_of_normal_numbers_has_the_known_width() -> None:
    values = np.random.default_rng(1).normal(20.0, 2.0, 400)
    found = interval_of_views({View(WORLD, f): float(v) for f, v in enumerate(values)})
    half = 1.96 * values.std(ddof=1) / np.sqrt(400)
    # 2000 resamples leave an error of a few percent in a quantile's distance from the mean.
    assert found.bounds == pytest.approx((values.mean() - half, values.mean() + half), abs=0.15 * half)
    assert dict(found.drawn) == {"frame": 400} and not found.held and found.reason is None


def test_of_five_clusters_the_tail_is_students() -> None:
    # t of 4 degrees of freedom at 2.5 % is 2.776; times the root of 5 / 4 it is 3.104 deviations of a normal number.
    assert expanded_tail(5, 0.95) == pytest.approx(0.000955, abs=5e-6)
    assert expanded_tail(100_000, 0.95) == pytest.approx(0.025, abs=1e-5)


def test_views_of_one_frame_are_not_independent() -> None:
    values = crossed(np.random.default_rng(2), 40, 4, (2.0, 0.0, 0.0))
    alone = interval_of_views({View(WORLD, i): v for i, v in enumerate(values.values())})
    grouped = interval_of_views(values)
    # Four copies of each number carry the information of one: twice the width of the naive interval.
    assert width(grouped) / width(alone) == pytest.approx(2.0, rel=0.15)
    assert dict(grouped.drawn) == {"frame": 40} and dict(grouped.held) == {"camera": 4}


def test_views_of_one_camera_are_not_independent_either() -> None:
    values = crossed(np.random.default_rng(3), 30, 8, (0.0, 2.0, 0.1))
    found = interval_of_views(values)
    assert dict(found.drawn) == {"frame": 30, "camera": 8}
    # Control: with too few cameras to draw from, an interval over frames alone knows nothing of their spread.
    few = interval_of_views({view: v for view, v in values.items() if view.camera in "0123"})
    assert width(found) > 10 * width(few) and dict(few.held) == {"camera": 4}


def test_cameras_are_the_clusters_of_one_moment() -> None:
    draw = np.random.default_rng(4)
    ring = {View(str(c), 7): float(draw.normal(20, 1)) for c in range(8)}
    found = interval_of_views(ring)
    assert dict(found.drawn) == {"camera": 8} and dict(found.held) == {"frame": 1}
    few = interval_of_views({view: v for view, v in ring.items() if view.camera in "01"})
    assert (
        few.bounds is None
        and few.reason == "1 frame and 2 cameras: fewer than 5 say nothing of their own spread"
    )


def test_one_persons_interval_is_that_of_their_views_and_repeats() -> None:
    values = crossed(np.random.default_rng(5), 9, 2, (1.0, 1.0, 1.0))
    assert interval_of_subjects({"p": values, "nobody": {}}) == interval_of_views(values)
    assert interval_of_views(values) == interval_of_views(values)


@pytest.mark.parametrize(("frames", "cameras"), [(12, 2), (6, 1)])
def test_of_frames_ninety_percent_hold_the_mean(frames: int, cameras: int) -> None:
    draw = np.random.default_rng(6)
    held = sum(
        holds(interval_of_views(crossed(draw, frames, cameras, (2.0, 0.0, 1.0)), 0.9), 20.0)
        for _ in range(TRIALS)
    )
    assert held >= LOW and held <= HIGH


def test_of_people_ninety_percent_hold_the_mean_and_of_their_views_far_fewer() -> None:
    draw = np.random.default_rng(7)
    held = naive = 0
    for trial in range(TRIALS):
        people = {
            str(p): {view: v + bias for view, v in crossed(draw, 4, 2, (0.5, 0.5, 0.5)).items()}
            for p, bias in enumerate(draw.normal(0, 2, 10))
        }
        held += holds(interval_of_subjects(people, 0.9), 20.0)
        if trial >= TRIALS // 4:
            continue
        flat = {View(WORLD, 8 * int(p) + i): v for p, of in people.items() for i, v in enumerate(of.values())}
        naive += holds(interval_of_views(flat, 0.9), 20.0)
    assert LOW <= held <= HIGH
    assert naive < 0.65 * TRIALS / 4
