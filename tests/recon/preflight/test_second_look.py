"""A picture whose lower half the network did not see is looked at where the other cameras put the person."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simulacra.recon.observe.expected import is_better, is_whole
from simulacra.recon.observe.pose import PoseDetection
from simulacra.recon.observe.roi import Roi
from simulacra.recon.observe.soft_mask import SoftMask
from simulacra.recon.preflight import second_look
from simulacra.recon.preflight.reading import Problems
from simulacra.recon.preflight.samples import Body, CameraSamples, SessionSamples
from simulacra.recon.preflight.second_look import look_again
from simulacra.recon.session import Session, SessionCamera
from tests.recon.planted_person import STICK_PERSON, project, ring_of_cameras

COUNT, HALF = 5, 3


def pictures() -> np.ndarray:
    """What each camera shows, with a detector's error."""
    seen = project(STICK_PERSON[None], *ring_of_cameras(COUNT))[0]
    return (seen + np.random.default_rng(0).normal(0, 4, seen.shape)).astype(np.float32)


def upper_half(px: np.ndarray) -> np.ndarray:
    """As the network has it that takes the hips for the soles."""
    half = px.copy()
    half[23:] = px[[23, 24]].mean(0) + 0.15 * (px[23:] - px[[23, 24]].mean(0))
    return half


def detection(px: np.ndarray, roi: Roi) -> PoseDetection:
    ones, world = np.ones(33, np.float32), np.zeros((33, 3), np.float32)
    mask = SoftMask(np.ones((2, 2), np.float32), roi)
    return PoseDetection(px, ones, ones, world, 0.99, roi, roi, 0 * ones, mask, (1000, 1000))


class Looker:
    """Sees the whole of a person where it is told to look, and is asked for nothing else."""

    def __init__(self, px: np.ndarray) -> None:
        self.px, self.asked = px, 0

    def detect(self, image: np.ndarray, looks: int) -> Any:
        raise AssertionError("a second look is told where to look")

    def track(self, image: np.ndarray, roi: Roi) -> Any:
        self.asked += 1
        camera = round(255 * float(image[0, 0, 0]))
        inside = np.abs(self.px[camera] - np.array(roi.center)).max() < 0.6 * roi.size[0]
        assert inside, "the region holds the whole person"
        return detection(self.px[camera], roi)


@pytest.fixture(autouse=True)
def pictures_that_say_whose_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(
        session: Session, camera: str, frames: Sequence[int], problems: Problems
    ) -> Iterator[tuple[int, np.ndarray]]:
        for frame in frames:
            yield frame, np.full((2, 2, 3), session.camera_names.index(camera), np.uint8)

    monkeypatch.setattr(second_look, "iter_raw", read)


def capture(px: np.ndarray, turned_degrees: float = 0.0) -> tuple[Session, SessionSamples]:
    """A ring; the calibration of its fourth camera may be wrong."""
    viewmats, Ks = ring_of_cameras(COUNT)
    a = np.radians(turned_degrees)
    turn = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    viewmats[HALF, :3] = turn @ viewmats[HALF, :3]
    cameras = tuple(
        SessionCamera(name, 1000, 1000, K, V) for name, K, V in zip("abcde", Ks, viewmats, strict=True)
    )
    seen = tuple(
        CameraSamples(c.name, (), 2 * (k == HALF), {0: Body(px[k], np.ones(33, np.float32), 0.9, 600.0)}, {})
        for k, c in enumerate(cameras)
    )
    return Session(Path(), cameras, (), (), {}), SessionSamples(seen, (0,), (), True)


def test_half_a_person_is_seen_whole_where_the_others_put_it() -> None:
    whole = pictures()
    px = whole.copy()
    px[HALF] = upper_half(whole[HALF])
    session, samples = capture(px)
    detector = Looker(whole)
    better = look_again(session, samples, detector, Problems())
    assert detector.asked == 1, "pictures that show it where it should be are not looked at again"
    np.testing.assert_array_equal(better.cameras[HALF].bodies[0].px, whole[HALF])
    assert better.cameras[HALF].turned == 0
    assert all(a is b for k, (a, b) in enumerate(zip(samples.cameras, better.cameras)) if k != HALF)


def test_control_a_camera_that_stands_elsewhere_gains_nothing() -> None:
    whole = pictures()
    session, samples = capture(whole, turned_degrees=8.0)

    class Steady(Looker):
        def track(self, image: np.ndarray, roi: Roi) -> Any:
            self.asked += 1
            return detection(whole[HALF], roi)

    detector = Steady(whole)
    assert look_again(session, samples, detector, Problems()) is samples
    assert detector.asked == 1


def test_control_what_is_seen_less_surely_is_not_taken() -> None:
    """Of a turned picture whose person is in its middle the network makes a body where one is expected."""
    whole = pictures()
    px = whole.copy()
    px[HALF] = 1000 - whole[HALF]
    session, samples = capture(px)
    surer = replace(samples.cameras[HALF], bodies={0: replace(samples.cameras[HALF].bodies[0], score=1.0)})
    cameras = (*samples.cameras[:HALF], surer, *samples.cameras[HALF + 1 :])
    samples = replace(samples, cameras=cameras)
    detector = Looker(whole)
    assert look_again(session, samples, detector, Problems()) is samples
    assert detector.asked == 1


def test_a_body_is_whole_if_its_legs_are_where_they_should_be() -> None:
    whole = pictures()[0]
    half = upper_half(whole)
    assert is_whole(whole, whole) and not is_whole(half, whole)
    assert not is_whole(np.full((33, 2), np.nan), whole)
    # A hand and an elbow that err are a detector's error.
    errs = whole.copy()
    errs[[13, 15]] += 150
    assert is_whole(errs, whole)
    assert is_better(whole, half, whole) and not is_better(half, whole, whole)
    assert is_better(half, np.full((33, 2), np.nan), whole)
