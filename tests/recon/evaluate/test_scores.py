"""Scores over views: means, missing numbers, and an interval whose width is known."""

import json

import numpy as np
import pytest

from simulacra.recon.evaluate.clusters import WORLD
from simulacra.recon.evaluate.protocol import View
from simulacra.recon.evaluate.scores import Missing, absent, collect


def test_mean_weighs_views_and_cameras_have_their_own() -> None:
    outcomes: dict[View, float | Missing] = {View("a", 0): 1.0, View("a", 1): 3.0, View("b", 0): 8.0}
    score = collect("psnr_fg", outcomes)
    assert score.mean == pytest.approx(4.0)
    assert score.per_camera == {"a": pytest.approx(2.0), "b": pytest.approx(8.0)}
    assert score.std == pytest.approx(np.std([1, 3, 8], ddof=1))
    assert score.interval.bounds is None
    assert (
        score.as_json()["interval_reason"]
        == "2 frames and 2 cameras: fewer than 5 say nothing of their own spread"
    )
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
