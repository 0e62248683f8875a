"""Offsets of seconds by motion: planted ones are found, and what cannot be known is not told."""

import numpy as np
import pytest

from simulacra.recon.multiview.offsets import CLEAR, find_offsets
from tests.recon.multiview.free_running import seen_by


def clocks(frames: int, rates: list[float]) -> list[np.ndarray]:
    return [np.arange(round(frames * rate / rates[0])) / rate for rate in rates]


@pytest.mark.parametrize("late", [30, 300, -300])
def test_a_camera_that_was_started_later_is_found_to_a_part_of_a_frame(late: int) -> None:
    seen = seen_by(clocks(600, [30.0] * 3), [0.0, late / 30, 0.0])
    found = find_offsets(seen, 60.0)
    assert not found.unclear
    # 3 px of noise over ten seconds in common; what is asked for is a fifth of a frame. No calibration is used.
    assert 30 * (found.seconds[1] - found.seconds[0]) == pytest.approx(late, abs=0.2)
    assert 30 * (found.seconds[2] - found.seconds[0]) == pytest.approx(0, abs=0.2)


def test_cameras_of_different_rates() -> None:
    found = find_offsets(seen_by(clocks(450, [30.0, 60.0, 25.0]), [0.0, 2.0, -1.5]), 30.0)
    assert not found.unclear
    np.testing.assert_allclose(found.seconds - found.seconds[0], [0.0, 2.0, -1.5], atol=0.2 / 30)


def test_sides_that_are_taken_for_each_other_do_no_harm() -> None:
    seen = seen_by(clocks(300, [30.0] * 2), [0.0, 1.0])
    swapped = seen[1].pixels.copy()
    flips = np.random.default_rng(0).random(len(swapped)) < 0.5
    for left in (11, 13, 15, 23, 25, 27):
        swapped[flips, left], swapped[flips, left + 1] = (
            seen[1].pixels[flips, left + 1],
            seen[1].pixels[flips, left],
        )
    seen[1] = type(seen[1])(seen[1].times, swapped, seen[1].confidence)
    found = find_offsets(seen, 30.0)
    assert not found.unclear and found.seconds[1] - found.seconds[0] == pytest.approx(1.0, abs=0.2 / 30)


def test_a_camera_that_sees_somebody_else_is_unclear_and_leaves_the_others_alone() -> None:
    seen = seen_by(clocks(300, [30.0] * 3), [0.0, 1.0, 0.0], seeds=[0, 0, 1])
    found = find_offsets(seen, 60.0)
    assert found.unclear == (2,) and found.margins[2] < CLEAR
    assert found.seconds[1] - found.seconds[0] == pytest.approx(1.0, abs=0.2 / 30)


def test_an_offset_beyond_the_search_is_not_its_end() -> None:
    found = find_offsets(seen_by(clocks(300, [30.0] * 2), [0.0, 3.0]), 2.0)
    assert found.unclear == (0, 1)
