"""Moments that show the person are counted, ranked and named."""

import numpy as np

from simulacra.recon.observe.presence import FEWEST_LANDMARKS, count_views, name_ranges, rank_moments


def test_a_view_counts_with_enough_landmarks_that_are_sure() -> None:
    confidence = np.zeros((4, 2, 33))
    confidence[0, 0, :FEWEST_LANDMARKS] = 0.9
    confidence[1, :, : FEWEST_LANDMARKS - 1] = 0.9
    confidence[2] = 0.2  # guesses
    confidence[3] = np.nan
    confidence[3, :, -FEWEST_LANDMARKS:] = 0.5
    assert count_views(confidence).tolist() == [1, 0, 0, 2]


def test_the_first_with_as_many_views_as_usual_comes_first_and_the_emptiest_last() -> None:
    assert rank_moments(np.array([3, 3, 3])).tolist() == [0, 1, 2]
    assert rank_moments(np.array([0, 1, 3, 3, 2, 3])).tolist() == [2, 3, 5, 4, 1, 0]
    # One more view than usual is no reason to wait for it.
    assert rank_moments(np.array([0, 3, 4, 3, 3])).tolist() == [1, 2, 3, 4, 0]
    assert rank_moments(np.array([0, 0])).tolist() == [0, 1]
    assert rank_moments(np.array([], dtype=np.int64)).tolist() == []


def test_frames_are_named_by_their_own_numbers_neighbours_together() -> None:
    frames = [10, 12, 14, 16, 18]
    assert name_ranges(frames, np.array([True, True, False, False, True])) == "10 to 12, 18"
    assert name_ranges(frames, np.zeros(5, bool)) == ""
