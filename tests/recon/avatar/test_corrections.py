"""Corrections of cameras are told by what they do to the view of the person."""

from __future__ import annotations

import math

import pytest
import torch

from simulacra.recon.avatar.corrections import LEAST_CORRECTION, correction_angle, without_corrections
from simulacra.recon.avatar.training import Training
from simulacra.render.camera import look_at

MIDDLE = torch.tensor([0.1, 1.0, -0.2])
CAMERAS = [
    look_at(torch.tensor([eye]), MIDDLE[None], 700.0, 640, 480) for eye in ([0.1, 1.0, 1.8], [2.1, 1.0, -0.2])
]


def aligned(turns: torch.Tensor, moves: torch.Tensor) -> Training:
    colors = {name: torch.full((2, 3), 0.1) for name in ("gains", "shifts")}
    return Training(3, {"turns": turns, "moves": moves, **colors}, {}, {}, {"middle": MIDDLE}, {})


def points() -> torch.Tensor:
    spread = torch.randn(400, 3, generator=torch.Generator().manual_seed(0))
    return MIDDLE + 0.01 * spread


def test_a_move_across_the_view_is_its_length_over_the_distance() -> None:
    up = torch.tensor([[0.0, 0.004, 0.0]] * 2)
    found = correction_angle(aligned(torch.zeros(2, 3), up), points(), CAMERAS)
    assert found == pytest.approx(0.004 / 2, rel=0.02)


def test_a_camera_that_stays_halves_the_square_and_moves_along_the_view_hardly_count() -> None:
    one = torch.tensor([[0.0, 0.004, 0.0], [0.0, 0.0, 0.0]])
    found = correction_angle(aligned(torch.zeros(2, 3), one), points(), CAMERAS)
    assert found == pytest.approx(0.002 / math.sqrt(2), rel=0.02)
    along = torch.tensor([[0.0, 0.0, 0.004], [0.004, 0.0, 0.0]])
    assert correction_angle(aligned(torch.zeros(2, 3), along), points(), CAMERAS) < LEAST_CORRECTION / 10


def test_turns_about_the_middle_count_by_how_large_the_person_is() -> None:
    wide = MIDDLE + torch.tensor([[0.5, 0.0, 0.0], [-0.5, 0.0, 0.0]])
    roll = torch.tensor([[0.0, 0.0, 0.01], [0.0, 0.0, 0.0]])
    found = correction_angle(aligned(roll, torch.zeros(2, 3)), wide, CAMERAS)
    assert found == pytest.approx(0.01 * 0.5 / 2 / math.sqrt(2), rel=0.02)


def test_what_is_not_taken_leaves_colors_matched() -> None:
    before = aligned(torch.full((2, 3), 0.01), torch.full((2, 3), 0.01))
    after = without_corrections(before)
    assert correction_angle(after, points(), CAMERAS) == 0
    assert torch.equal(after.tensors["gains"], before.tensors["gains"])
    assert torch.equal(before.tensors["turns"], torch.full((2, 3), 0.01))
