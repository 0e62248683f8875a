"""Differences view by view are known better than either number."""

from __future__ import annotations

import numpy as np
import pytest

from simulacra.recon.evaluate.paired import paired_difference, paired_subjects
from simulacra.recon.evaluate.protocol import View
from simulacra.recon.evaluate.scores import Score


def numbers(seed: int, gain: float, noise: float = 0.05) -> tuple[dict[View, float], dict[View, float]]:
    """Two runs over 40 views whose difficulty varies by several dB; the first is better by `gain` dB."""
    draw = np.random.default_rng(seed)
    hard = {View(camera, frame): draw.normal(22, 3) for frame in range(20) for camera in "ab"}
    ours = {view: value + gain + draw.normal(0, noise) for view, value in hard.items()}
    return ours, hard


def test_a_small_gain_is_found_though_views_differ_by_more() -> None:
    ours, theirs = numbers(0, 0.2)
    found = paired_difference("psnr_fg", ours, theirs)
    assert found is not None and found.told == "better"
    # 40 differences of standard deviation 0.05 about 0.2.
    assert found.mean == pytest.approx(0.2, abs=4 * 0.05 / np.sqrt(40))
    low, high = found.interval
    assert low < 0.2 < high and high - low < 0.1
    # Control: the intervals of the two means overlap by far.
    one, two = (Score("psnr_fg", each).interval.bounds for each in (ours, theirs))
    assert one[0] < two[1] and high - low < 0.1 * (one[1] - one[0])


def test_no_gain_is_not_told_in_nineteen_of_twenty() -> None:
    told = [paired_difference("psnr_fg", *numbers(seed, 0.0)).told for seed in range(60)]
    # Of 60 at 5 %: more than 9 has a chance of 1 in 1000 (binomial), and bootstrap intervals of 20 are a little narrow.
    assert sum(each != "not told apart" for each in told) <= 9


def test_which_direction_is_better_is_the_metrics() -> None:
    ours, theirs = numbers(1, 1.0)
    assert paired_difference("psnr_fg", ours, theirs).told == "better"
    assert paired_difference("reprojection_px", ours, theirs).told == "worse"
    assert paired_difference("reprojection_px", theirs, ours).told == "better"


def test_of_what_is_best_at_a_number_the_nearer_one_is_better() -> None:
    ours = {View("a", frame): 0.1 * (-1) ** frame for frame in range(8)}
    theirs = {View("a", frame): -1.0 for frame in range(8)}
    found = paired_difference("outline_offset_px", ours, theirs)
    assert found.mean == pytest.approx(-0.9) and found.told == "better"
    assert paired_difference("outline_offset_px", theirs, ours).told == "worse"
    area = paired_difference(
        "area_ratio", {v: 1 + each for v, each in ours.items()}, dict.fromkeys(ours, 1.2)
    )
    assert area.mean == pytest.approx(-0.1) and area.told == "better"


def test_only_views_of_both_count_and_few_are_not_told() -> None:
    ours = {View("a", frame): 20.0 + frame for frame in range(4)}
    theirs = {View("a", frame): 10.0 + frame for frame in range(1, 9)}
    found = paired_difference("psnr_fg", ours, theirs)
    assert found.mean == 10.0 and len(found.values) == 3 and found.interval is None
    assert found.told == "not told apart"
    assert paired_difference("psnr_fg", ours, {View("b", 0): 1.0}) is None


def test_of_several_people_whole_people_are_drawn() -> None:
    draw = np.random.default_rng(3)
    # One gain a person: the eight views of each know no more of it than one.
    gains = draw.normal(0.3, 0.5, 6)
    theirs = {str(p): {View("a", f): draw.normal(22, 3) for f in range(8)} for p in range(6)}
    ours = {p: {v: x + gains[int(p)] for v, x in views.items()} for p, views in theirs.items()}
    found = paired_subjects("psnr_fg", ours, theirs)
    assert found is not None and found.mean == pytest.approx(gains.mean())
    assert dict(found.clusters.drawn) == {"subject": 6} and found.clusters.bounds is not None
    low, high = found.clusters.bounds
    # Student's interval of six numbers, which an expanded percentile interval approaches.
    half = 2.571 * gains.std(ddof=1) / np.sqrt(6)
    assert (high - low) / 2 == pytest.approx(half, rel=0.2)
    # Control: views as if they were of one person each are told apart far too easily.
    naive = paired_difference(
        "psnr_fg",
        {View("a", 8 * int(p) + v.frame): x for p, views in ours.items() for v, x in views.items()},
        {View("a", 8 * int(p) + v.frame): x for p, views in theirs.items() for v, x in views.items()},
    )
    assert naive is not None and naive.interval is not None
    assert naive.interval[1] - naive.interval[0] < 0.5 * (high - low)
    few = paired_subjects("psnr_fg", {p: ours[p] for p in "0123"}, theirs)
    assert few is not None and few.told == "not told apart"
    assert few.clusters.reason == "4 subjects: fewer than 5 say nothing of their own spread"
