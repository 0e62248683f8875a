"""The records of what cameras saw: landmarks with their sides, cameras with their frames."""

import numpy as np
import pytest

from simulacra.recon.multiview.detections import Detections
from simulacra.recon.observe.landmarks import FACE478, HAND21, HANDS42, POSE33, LandmarkLayout
from tests.recon.planted_person import planted, project


@pytest.mark.parametrize("layout", [POSE33, HANDS42], ids=["pose", "hands"])
def test_sides_exchanged_twice_are_as_they_were(layout: LandmarkLayout) -> None:
    draw = np.random.default_rng(0)
    shape = (3, 2, len(layout))
    seen = Detections(draw.random((*shape, 2)), draw.random(shape), layout)
    swapped = draw.random((3, 2, len(layout.groups))) < 0.5
    swapped[0, 0], swapped[0, 1] = True, False
    once = seen.exchanged(swapped)
    np.testing.assert_array_equal(once.pixels[0, 0], seen.pixels[0, 0][list(layout.mirror)])
    np.testing.assert_array_equal(once.confidence[0, 1], seen.confidence[0, 1])
    np.testing.assert_array_equal(once.exchanged(swapped).pixels, seen.pixels)


def test_the_mirror_of_a_name_is_the_name_of_the_other_side() -> None:
    for layout in (POSE33, HANDS42):
        for name, twin in zip(layout.names, layout.mirror, strict=True):
            other = name.replace("left", "LEFT").replace("right", "left")
            assert layout.names[twin] == other.replace("LEFT", "right")
    assert [len(each) for each in (POSE33, HAND21, HANDS42, FACE478)] == [33, 21, 42, 478]


def test_parts_hold_every_landmark_once() -> None:
    assert sorted(k for part in POSE33.parts for k in part) == list(range(33))
    assert all(k in POSE33.parts[number] for k, number in enumerate(POSE33.part_of))


def test_what_is_missing_or_unsure_has_no_weight() -> None:
    pixels = np.zeros((1, 1, 4, 2))
    pixels[0, 0, 1, 0] = np.nan
    confidence = np.array([[[0.9, 0.9, 0.2, np.nan]]])
    np.testing.assert_array_equal(Detections(pixels, confidence).weights(0.5), [[[0.9, 0, 0, 0]]])


def test_rays_and_frames_are_those_of_the_projection() -> None:
    scene = planted(cameras=3, frames=2)
    local = scene.cameras.local(scene.points)
    np.testing.assert_allclose(scene.cameras.rays(scene.pixels), local[..., :2] / local[..., 2:], atol=1e-12)
    two = np.array([2, 0])
    rig = scene.cameras.subset(two)
    np.testing.assert_allclose(project(scene.points, rig.viewmats, rig.Ks), scene.pixels[:, two], atol=1e-9)
    np.testing.assert_allclose(rig.centres, np.linalg.inv(rig.viewmats)[:, :3, 3], atol=1e-12)
