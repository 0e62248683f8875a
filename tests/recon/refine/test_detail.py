"""The head and the hands are where the body has them, and a fitted hand speaks only where it fits what was measured."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from simulacra.recon.refine.detail import MOST_SLACK_M, closer_parts
from simulacra.render.body import load_body
from simulacra.render.body.model import BodyModel


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return load_body()


@pytest.fixture(scope="module")
def verts(body: BodyModel) -> torch.Tensor:
    with torch.no_grad():
        return body.pose(body.rest(body.neutral_shape()), body.zero_pose()).verts[0]


def part(body: BodyModel, verts: torch.Tensor, name: str) -> np.ndarray:
    return verts[body.part_labels == body.part_names.index(name)].double().numpy()


def test_boxes_hold_the_parts_and_some_room(body: BodyModel, verts: torch.Tensor) -> None:
    head, left, right = closer_parts(body, verts, np.zeros((0, 3)))
    for name, found in (("face", head), ("scalp", head), ("hand_l", left), ("hand_r", right)):
        assert found.box.holds(part(body, verts, name)).all()
    assert not head.box.holds(part(body, verts, "hand_l")).any()
    assert not left.box.holds(part(body, verts, "hand_r")).any()
    assert (head.box.high[1] - part(body, verts, "scalp")[:, 1].max()) == pytest.approx(0.06, abs=1e-3)


def test_a_hand_that_fits_speaks_between_its_fingers(body: BodyModel, verts: torch.Tensor) -> None:
    hand = part(body, verts, "hand_l")
    _, left, right = closer_parts(body, verts, hand)
    assert left.outside is not None
    assert right.outside is None  # nothing was measured there
    inside = part(body, verts, "hand_l").mean(0)
    assert left.outside(inside[None])[0] < 0
    # 10 mm off the skin along its normals is outside; half a metre off, nothing is said.
    beside = hand + 0.01 * _normals(body, verts)
    assert np.median(left.outside(beside)) == pytest.approx(0.007, abs=0.002)  # less the least slack
    assert np.isneginf(left.outside(hand + np.array([0.5, 0.0, 0.0]))).all()
    # Nor of what is nearest to another part: the upper arm's skin is no business of the hand's.
    assert np.isneginf(left.outside(part(body, verts, "upper_arm_l"))).all()


def test_a_body_without_such_parts_is_looked_at_as_a_whole(body: BodyModel, verts: torch.Tensor) -> None:
    torso = torch.full_like(body.part_labels, body.part_names.index("torso"))
    assert closer_parts(replace(body, part_labels=torso), verts, np.zeros((0, 3))) == ()


def test_a_hand_that_does_not_fit_is_silent(body: BodyModel, verts: torch.Tensor) -> None:
    off = part(body, verts, "hand_l") + (MOST_SLACK_M + 0.006) * _normals(body, verts)
    _, left, _ = closer_parts(body, verts, off)
    assert left.outside is None


def _normals(body: BodyModel, verts: torch.Tensor) -> np.ndarray:
    from simulacra.render.mesh import vertex_normals

    normals = vertex_normals(verts, body.faces)
    return normals[body.part_labels == body.part_names.index("hand_l")].double().numpy()
