"""Landmarks that one camera alone believes in, and that others place outside of their pictures."""

from __future__ import annotations

import numpy as np

from simulacra.recon.fit.tracks import out_of_all_pictures
from simulacra.recon.multiview.detections import Detections

SIZES = np.array([[640, 480], [640, 480], [480, 640], [640, 480]])
SURE = 0.5


def desk() -> Detections:
    """One frame of four cameras: a head that all see; a knee that the first has within, and two below their pictures;
    an ankle that two have within; a hand that one has outside.
    """
    pixels = np.full((1, 4, 33, 2), np.nan)
    pixels[0, :, 0] = (300, 100)
    pixels[0, :, 25] = [(320, 400), (320, 700), (240, 900), (np.nan, np.nan)]
    pixels[0, :, 27] = [(320, 400), (320, 700), (240, 900), (200, 300)]
    pixels[0, :, 15] = [(320, 400), (-5, 200), (np.nan, np.nan), (np.nan, np.nan)]
    confidence = np.where(np.isfinite(pixels).all(-1), 0.8, 0.0)
    confidence[0, 1:3, 25] = 0.1
    return Detections(pixels, confidence)


def test_only_the_knee_is_guessed() -> None:
    assert np.flatnonzero(out_of_all_pictures(desk(), SIZES, SURE)[0]).tolist() == [25]


def test_a_landmark_that_two_are_sure_of_within_is_seen() -> None:
    pose = desk()
    unsure = Detections(pose.pixels, np.where(np.arange(4)[:, None] == 3, 0.1, pose.confidence))
    assert not out_of_all_pictures(pose, SIZES, SURE)[0, 27]
    assert out_of_all_pictures(unsure, SIZES, SURE)[0, 27]
