"""Scores over views: means, missing numbers, and an interval whose width is known."""

import json

import numpy as np
import pytest

from simulacra.recon.evaluate.protocol import View
from simulacra.recon.evaluate.scores import WORLD, Missing, absent, bootstrap_interval, collect


def test_mean_weighs_views_and_cameras_have_their_own() -> None:
    outcomes: dict[View, float | Missing] = {View("a", 0): 1.0, View("a", 1): 3.0, View("b", 0): 8.0}
    score = collect("psnr_fg", outcomes)
    assert score.mean == pytest.approx(4.0)
    assert score.per_camera == {"a": pytest.approx(2.0), "b": pytest.approx(8.0)}
    assert score.std == pytest.approx(np.std([1, 3, 8], ddof=1))
    assert score.interval() is None
    assert score.as_json()["count"] == 3


def test_missing_and_infinite_numbers_are_named_and_left_out() -> None:
    outcomes = {View("a", 0): 2.0, View("a", 1): Missing("no depth"), View("b", 0): float("inf")}
    described = collect("psnr_fg", outcomes).as_json()
    assert described["mean"] == 2.0
    assert described["reason"] is None
    assert {(m["camera"], m["frame"], m["reason"]) for m in described["missing"]} == {
        ("a", 1, "no depth"),
        ("b", 0, "the number is inf"),
    }
    json.dumps(described, allow_nan=False)


def test_no_number_at_all_is_null_with_a_reason() -> None:
    described = collect("mpjpe_mm", {View("a", 0): Missing("no depth")}).as_json()
    assert described["mean"] is None
    assert described["std"] is None
    assert described["per_camera"] == {}
    assert described["reason"] == "no depth"
    assert absent("mpjpe_mm", "no reference").as_json()["reason"] == "no reference"


def test_numbers_of_the_world_belong_to_no_camera() -> None:
    described = collect("mpjpe_mm", {View(WORLD, 4): 50.0}).as_json()
    assert described["per_camera"] == {}
    assert described["views"] == [{"camera": None, "frame": 4, "value": 50.0}]


def test_interval_of_normal_numbers_has_the_known_width() -> None:
    values = np.random.default_rng(1).normal(20.0, 2.0, 400)
    interval = bootstrap_interval([[v] for v in values])
    assert interval is not None
    half = 1.96 * values.std(ddof=1) / np.sqrt(400)
    # 2000 resamples leave an error of a few percent in a quantile's distance from the mean.
    assert interval[0] == pytest.approx(values.mean() - half, abs=0.15 * half)
    assert interval[1] == pytest.approx(values.mean() + half, abs=0.15 * half)


def test_views_of_one_frame_are_not_independent() -> None:
    rng = np.random.default_rng(2)
    outcomes: dict[View, float | Missing] = {}
    for frame, value in enumerate(rng.normal(20.0, 2.0, 40)):
        outcomes |= {View(camera, frame): float(value) for camera in "abcd"}
    grouped = collect("psnr_fg", outcomes).interval()
    naive = bootstrap_interval([[v] for v in outcomes.values() if isinstance(v, float)])
    assert grouped is not None and naive is not None
    # Four copies of each number carry the information of one: twice the width of the naive interval.
    assert (grouped[1] - grouped[0]) / (naive[1] - naive[0]) == pytest.approx(2.0, rel=0.15)


def test_interval_repeats() -> None:
    groups = [[float(v)] for v in range(9)]
    assert bootstrap_interval(groups) == bootstrap_interval(groups)
    assert bootstrap_interval(groups[:4]) is None
