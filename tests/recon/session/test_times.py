"""Times of frames: as they are, between their neighbours where some are missing, and assumed out loud where all are."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from simulacra.recon.fit.residuals import second_differences
from simulacra.recon.session import Frame, Source
from simulacra.recon.session.times import ASSUMED_FPS, frame_seconds


def frames_at(*times: float | Sequence[float | None] | None, first: int = 0) -> list[Frame]:
    """Frames of rising numbers; of each the time of its only camera, or of several."""
    each = [time if isinstance(time, Sequence) else (time,) for time in times]
    return [
        Frame(first + k, {f"c{c}": Source("file", None, time) for c, time in enumerate(row)})
        for k, row in enumerate(each)
    ]


def test_times_are_the_mean_over_cameras_from_the_first_on() -> None:
    seconds, assumed = frame_seconds(frames_at((4.0, 4.2), (5.0, None), (6.0, 6.4)))
    assert seconds.tolist() == pytest.approx([0.0, 0.9, 2.1]) and assumed is None


def test_missing_times_are_thirty_pictures_a_second_and_said() -> None:
    for frames in (frames_at(None, None, None, first=7), frames_at(None, 3.0, None)):
        seconds, assumed = frame_seconds(frames)
        np.testing.assert_allclose(seconds, [0, 1 / 30, 2 / 30])
        assert assumed == f"times are missing: {ASSUMED_FPS:g} pictures a second are assumed"


def test_one_moment_needs_no_time() -> None:
    assert frame_seconds(frames_at(None, first=5))[1] is None


@pytest.mark.parametrize("times", [(0.0, 2.0, 1.0), (0.0, 0.0, 1.0), (1e308, -1e308, 1e308)])
def test_times_that_do_not_rise_are_not_taken_and_said(times: tuple[float, ...]) -> None:
    seconds, assumed = frame_seconds(frames_at(*times))
    np.testing.assert_allclose(seconds, [0, 1 / 30, 2 / 30])
    assert assumed is not None and assumed.startswith("times do not rise")


def test_single_missing_times_lie_between_their_neighbours_and_go_on_at_their_pace() -> None:
    """50 a second: the 30 that would be assumed are in none of them."""
    seconds, assumed = frame_seconds(frames_at(None, 0.02, None, 0.06, None, None))
    np.testing.assert_allclose(seconds, np.arange(6) / 50)
    assert assumed is None


def test_accelerations_see_the_rate() -> None:
    """A point at x = k^2 of picture k accelerates with 2 fps^2: four times as much at 60 as at the assumed 30."""

    def accelerations(frames: Sequence[Frame]) -> torch.Tensor:
        x = torch.arange(5.0)[:, None] ** 2
        return second_differences(x, torch.from_numpy(frame_seconds(frames)[0]).float())

    known, assumed = accelerations(frames_at(*np.arange(5) / 60)), accelerations(frames_at(*[None] * 5))
    torch.testing.assert_close(known, 4 * assumed, rtol=1e-4, atol=0)  # of times in single precision
