"""The surface's motion in a picture: planted moves come out to the pixel, and what was hidden is not known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from simulacra.recon.evaluate.flickering import FlickerOfViews
from simulacra.recon.evaluate.motion import surface_motion
from simulacra.recon.evaluate.protocol import View
from simulacra.recon.evaluate.views import ComparedView
from simulacra.render.camera import Cameras

K = torch.tensor([[[200.0, 0, 64], [0, 200, 48], [0, 0, 1]]])
CAMERA = Cameras(torch.eye(4)[None], K, 128, 96)
SQUARE = torch.tensor([[-0.4, -0.3, 2.0], [0.4, -0.3, 2.0], [0.4, 0.3, 2.0], [-0.4, 0.3, 2.0]])
FACES = torch.tensor([[0, 1, 2], [0, 2, 3]])


def test_a_square_that_moves_sideways_moves_by_focal_length_over_distance() -> None:
    motion = surface_motion(SQUARE, SQUARE + torch.tensor([0.05, -0.02, 0.0]), FACES, (CAMERA, CAMERA))
    rows, columns = np.nonzero(motion.known)
    places = np.stack([columns, rows], -1) + 0.5
    # 200 pixels at 2 m: 5 px to the right and 2 up, so that it was 5 px to the left and 2 below. In float32.
    np.testing.assert_allclose(places - motion.earlier[motion.known], [[5.0, -2.0]] * len(rows), atol=1e-3)
    assert len(rows) == pytest.approx(80 * 60, rel=0.02)


def test_a_square_that_comes_nearer_grows_about_the_principal_point() -> None:
    later = SQUARE - torch.tensor([0.0, 0.0, 0.4])
    motion = surface_motion(SQUARE, later, FACES, (CAMERA, CAMERA))
    rows, columns = np.nonzero(motion.known)
    expected = (np.stack([columns, rows], -1) + 0.5 - [64, 48]) * 1.6 / 2.0 + [64, 48]
    np.testing.assert_allclose(motion.earlier[motion.known], expected, atol=1e-3)


def test_a_camera_that_moves_before_a_still_surface_is_a_motion_too() -> None:
    view = torch.eye(4)
    view[0, 3] = 0.1
    moved = Cameras(view[None], K, 128, 96)
    motion = surface_motion(SQUARE, SQUARE, FACES, (moved, CAMERA))
    shift = motion.earlier[48, 64] - [64.5, 48.5]
    np.testing.assert_allclose(shift, [10.0, 0.0], atol=1e-3)


def test_what_was_hidden_before_is_not_known() -> None:
    """A small square before a large one moves away: what it uncovers was not seen."""
    small = SQUARE * torch.tensor([0.25, 0.25, 0.5])
    faces = torch.cat([FACES, FACES + 4])
    later = torch.cat([SQUARE, small + torch.tensor([0.3, 0.0, 0.0])])
    motion = surface_motion(torch.cat([SQUARE, small]), later, faces, (CAMERA, CAMERA))
    # The small one covered columns 44 to 84 and rows 33 to 63.
    assert not motion.known[34:62, 46:80].any()
    assert motion.known[34:62, 26:42].all()
    still = surface_motion(SQUARE, SQUARE, FACES, (CAMERA, CAMERA))
    assert still.known[34:62, 46:80].all()


def compared(camera: str, frame: int, render: float, photo: float, mask: bool = True) -> ComparedView:
    pictures = [np.full((96, 128, 3), value, np.float32) for value in (photo, render)]
    person = np.ones((96, 128), bool) if mask else None
    return ComparedView(View(camera, frame), {}, "session", pictures[0], pictures[1], person, person)


def test_only_neighbouring_frames_of_one_camera_are_held_against_each_other() -> None:
    def motion(camera: str, earlier: int, later: int, width: int, height: int):
        assert (camera, earlier, later, width, height) == ("a", 0, 3, 128, 96)
        return surface_motion(SQUARE, SQUARE, FACES, (CAMERA, CAMERA))

    found = FlickerOfViews((0, 3, 6, 9), motion)
    for each in (("a", 0, 0.5, 0.5), ("a", 3, 0.7, 0.6), ("a", 9, 0.1, 0.9), ("b", 0, 0.0, 0.0)):
        found.add(compared(*each))
    score = found.score()
    assert dict(score.values) == {View("a", 3): pytest.approx(255 * 0.1, rel=1e-5)}
    assert score.extra == {"render": pytest.approx(51, rel=1e-5), "photograph": pytest.approx(25.5, rel=1e-5)}


def test_without_neighbours_masks_or_a_body_the_reason_is_given() -> None:
    def motion(*_: object):
        return surface_motion(SQUARE, SQUARE + 10, FACES, (CAMERA, CAMERA))

    alone = FlickerOfViews((0, 1), motion)
    alone.add(compared("a", 0, 0.5, 0.5))
    assert alone.score().reason == "no two neighbouring frames of one camera are scored"
    alone.add(compared("a", 1, 0.5, 0.5, mask=False))
    assert alone.score().reason == "the view, or the one before it, has no mask of the person"
    gone = FlickerOfViews((0, 1), motion)
    gone.add(compared("a", 0, 0.5, 0.5))
    gone.add(compared("a", 1, 0.5, 0.5))
    assert "fewer than 100 pixels" in str(gone.score().reason)
    assert FlickerOfViews((0,), None).score().reason == "a result without a body has no motion to follow"
