"""Where all cameras together put the person: the same whatever is worked out at once, and in flat memory."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from simulacra.recon.observe.checkpoint import empty_arrays
from simulacra.recon.observe.observations import Observations
from simulacra.recon.people import observing
from simulacra.recon.people.observing import expect_seen
from simulacra.recon.session import Session, SessionCamera
from tests.recon.planted_person import STICK_PERSON, project, ring_of_cameras

CAMERAS = 4


def seen(frames: int) -> tuple[Session, Observations]:
    """A stick person who walks, of whom the last camera sees nothing."""
    viewmats, Ks = ring_of_cameras(CAMERAS)
    names = tuple("abcd"[:CAMERAS])
    cameras = tuple(SessionCamera(n, 1000, 1000, K, V) for n, K, V in zip(names, Ks, viewmats, strict=True))
    steps = np.zeros((frames, 1, 3))
    steps[:, 0, 0] = 0.3 * np.sin(0.1 * np.arange(frames))
    arrays = {
        name: np.broadcast_to(nothing, (frames, CAMERAS, *nothing.shape))
        for name, nothing in empty_arrays().items()
    }
    arrays["pose_px"] = project(STICK_PERSON + steps, viewmats, Ks).astype(np.float32)
    arrays["pose_visibility"] = np.ones((frames, CAMERAS, 33), np.float32)
    arrays["pose_score"] = np.ones((frames, CAMERAS), np.float32)
    arrays["pose_px"][:, -1], arrays["pose_score"][:, -1] = np.nan, 0
    found = Observations(np.arange(frames), names, **arrays)
    return Session(Path(), cameras, (), (), {}), found


def test_a_camera_that_saw_nothing_is_told_where_to_look() -> None:
    session, found = seen(12)
    viewmats, Ks = ring_of_cameras(CAMERAS)
    steps = np.zeros((12, 1, 3))
    steps[:, 0, 0] = 0.3 * np.sin(0.1 * np.arange(12))
    truth = project(STICK_PERSON + steps, viewmats, Ks)
    expected = expect_seen(session, found)
    assert expected.px.shape == (1, 12, CAMERAS, 33, 2)
    np.testing.assert_allclose(expected.px[0], truth, atol=0.5)


def test_pieces_are_as_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    session, found = seen(30)
    whole = expect_seen(session, found).px
    monkeypatch.setattr(observing, "_FRAMES_AT_ONCE", 7)
    np.testing.assert_array_equal(expect_seen(session, found).px, whole)


def test_memory_beyond_the_result_does_not_grow_with_the_frames() -> None:
    def excess(frames: int) -> int:
        session, found = seen(frames)
        tracemalloc.start()
        result = expect_seen(session, found)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak - result.px.nbytes

    # In one piece it is 73 kB a frame, of four cameras.
    more = 2 * observing._FRAMES_AT_ONCE
    assert excess(observing._FRAMES_AT_ONCE + more) - excess(observing._FRAMES_AT_ONCE) < 2000 * more
