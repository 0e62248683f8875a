"""Checks of who is seen: turned pictures, cameras that show nobody, several people, and half of one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from simulacra.recon.people.record import People
from simulacra.recon.preflight import _doubt_of_many
from simulacra.recon.preflight.depths import _check_stature
from simulacra.recon.preflight.light import measure_light
from simulacra.recon.preflight.masks import check_masks
from simulacra.recon.preflight.presence import check_people, check_presence
from simulacra.recon.preflight.reading import Problems
from simulacra.recon.preflight.record import Check
from simulacra.recon.preflight.samples import Body, CameraSamples, SessionSamples, Still
from simulacra.recon.session import Session, SessionCamera
from tests.recon.planted_person import STICK_PERSON

SIZE = 500
UPRIGHT = np.stack([250 - 200 * STICK_PERSON[:, 0], 450 - 200 * STICK_PERSON[:, 1]], -1).astype(np.float32)
LEVEL = np.eye(3)
ON_ITS_SIDE = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])


def camera(name: str, turn: np.ndarray = LEVEL) -> SessionCamera:
    """Level, or turned about its axis."""
    viewmat = np.eye(4)
    viewmat[:3, :3] = turn @ np.diag([1.0, -1.0, -1.0])
    K = np.array([[SIZE, 0, SIZE / 2], [0, SIZE, SIZE / 2], [0, 0, 1.0]])
    return SessionCamera(name, SIZE, SIZE, K, viewmat, None, None)


def session(*cameras: SessionCamera) -> Session:
    return Session(Path(), cameras, (), (), {})


def sees(name: str, px: np.ndarray | None, turned: int = 0, crowd: int = 1) -> CameraSamples:
    """Three frames of one camera that all show the same."""
    body = None if px is None else Body(px, np.ones(33, np.float32), 0.9, 350.0)
    bodies = {} if body is None else dict.fromkeys(range(3), body)
    thumbs = dict.fromkeys(range(3), np.zeros((2, 2), np.uint8))
    return CameraSamples(name, (), turned, bodies, thumbs, crowd)


def samples(*cameras: CameraSamples, people: People | None = None) -> SessionSamples:
    return SessionSamples(cameras, (0, 1, 2), (), True, people)


def of(checks: list[Check], code: str) -> Check:
    (found,) = (check for check in checks if check.code == code)
    return found


@pytest.mark.parametrize("turned", [0, 1, 2, 3])
def test_an_upright_person_is_not_turned_however_the_network_likes_it(turned: int) -> None:
    """The network may see a back or a head and shoulders better in a turned picture."""
    checks = check_presence(session(camera("a")), samples(sees("a", UPRIGHT, turned)))
    assert (of(checks, "image-turned").status, of(checks, "image-turned").measured) == ("pass", 0)


def test_a_camera_that_was_calibrated_on_its_side_is_not_turned() -> None:
    sideways = np.stack([SIZE - UPRIGHT[:, 1], UPRIGHT[:, 0]], -1)
    checks = check_presence(session(camera("a", ON_ITS_SIDE)), samples(sees("a", sideways, 1)))
    assert of(checks, "image-turned").status == "pass"


@pytest.mark.parametrize(("turned", "degrees"), [(2, 180), (0, 180), (1, 90), (3, 270)])
def test_control_a_turned_picture_is(turned: int, degrees: float) -> None:
    wrong = SIZE - UPRIGHT if degrees == 180 else np.stack([UPRIGHT[:, 1], SIZE - UPRIGHT[:, 0]], -1)
    checks = check_presence(session(camera("a")), samples(sees("a", wrong, turned)))
    assert (of(checks, "image-turned").status, of(checks, "image-turned").measured) == ("warn", degrees)


def test_a_camera_that_shows_nobody_is_doubtful_if_two_others_see_the_person() -> None:
    names = ("a", "b", "c")
    shown = [sees("a", UPRIGHT), sees("b", UPRIGHT), sees("c", None)]
    checks = check_presence(session(*map(camera, names)), samples(*shown))
    assert (of(checks, "person-visible").status, of(checks, "person-visible").where) == ("warn", "c")
    two = check_presence(session(*map(camera, names[1:])), samples(*shown[1:]))
    assert of(two, "person-visible").status == "fail"


def test_several_people_are_named_with_where_they_are() -> None:
    points = np.stack([np.tile(STICK_PERSON + np.array([x, 0, 0]), (3, 1, 1)) for x in (-1.0, 1.5)])
    people = People(
        ("person1", "person2"), np.arange(3), points, np.full((2, 3), 3), np.array([1.8, 1.8]), largest=1
    )
    shown = [sees(name, UPRIGHT, crowd=2) for name in "abc"]
    found = of(check_people(samples(*shown, people=people), "largest"), "people")
    assert (found.status, found.where, found.measured) == ("warn", "person2", 2)
    assert "person2, the largest: frames 0 to 2, in 3 cameras, about x 1.5" in found.evidence
    assert of(check_people(samples(*shown, people=people), "person1"), "people").status == "pass"
    assert check_people(samples(*shown), "largest") == []
    nobody = People((), np.arange(3), points[:0], np.zeros((0, 3), np.int64), np.zeros(0))
    # Cameras that agree on nobody may be wrong: what their calibration fails by is no doubt of one of several.
    assert samples(*shown, people=people).several and not samples(*shown, people=nobody).several
    assert of(check_people(samples(*shown, people=nobody), "largest"), "people").where == "a, b, c"


@pytest.mark.parametrize(("reach", "status"), [(30, "pass"), (240, "warn")])
def test_a_mask_that_swallows_the_room_is_noticed(reach: int, status: str) -> None:
    middle = UPRIGHT.mean(0)
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[80:460, int(middle[0]) - reach : int(middle[0]) + reach] = 255
    shown = sees("a", UPRIGHT)
    light = measure_light(np.full((SIZE, SIZE, 3), 128, np.uint8), None, None, None)
    still = Still(0, np.zeros((SIZE, SIZE, 3), np.uint8), mask, False, shown.bodies[0], light)
    checks = check_masks(session(camera("a")), samples(replace(shown, stills=(still,))), Problems())
    assert of(checks, "mask-extent").status == status


@pytest.mark.parametrize(
    ("height", "cut", "status"),
    [
        (0.39, True, "pass"),
        (0.39, False, "fail"),
        (0.039, True, "fail"),
        (3.9, True, "fail"),
        (1.7, False, "pass"),
    ],
)
def test_a_head_and_shoulders_are_no_short_person(height: float, cut: bool, status: str) -> None:
    (check,) = _check_stature({"phone": [(height, cut)]}, {})
    assert check.status == status and ("part" in check.evidence) == cut


def test_a_calibration_that_one_of_several_people_speaks_against_is_a_doubt() -> None:
    said = Check("principal-point", "c", 5.8, "%", "<= 3.5", "fail", "correct it", "the views then agree")
    doubt = _doubt_of_many(said)
    assert (doubt.status, doubt.evidence) == ("warn", "the views then agree; by one of several people alone")
    assert _doubt_of_many(replace(said, code="storage")).status == "fail"
    assert _doubt_of_many(replace(said, status="pass")).evidence == said.evidence
