"""Which pixels are of which part of the body, and what each part costs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from simulacra.recon.evaluate.protocol import View
from simulacra.recon.evaluate.regions import (
    LEAST_PIXELS,
    REGIONS,
    describe_regions,
    draw_regions,
    face_regions,
    region_iou,
    region_psnr,
    spread_regions,
)
from simulacra.render.body import BodyModel, BodyShape, load_body
from simulacra.render.camera import Cameras

FACE, TORSO = REGIONS.index("face"), REGIONS.index("torso")


def test_a_standing_body_has_its_regions_where_people_have_them() -> None:
    body = load_body()
    with torch.no_grad():
        verts = body.pose(body.rest(_plain(body)), body.zero_pose()).verts[0]
    # Three metres before the body, which looks to +Z: the camera looks to -Z with y down.
    viewmat = torch.tensor([[[1.0, 0, 0, 0], [0, -1, 0, 1.0], [0, 0, -1, 3.0], [0, 0, 0, 1]]])
    K = torch.tensor([[[300.0, 0, 150], [0, 300, 150], [0, 0, 1]]])
    shown = draw_regions(verts, body.faces, face_regions(body), Cameras(viewmat, K, 300, 300))
    centre = {name: np.argwhere(shown == row).mean(0) for row, name in enumerate(REGIONS)}
    rows = {name: place[0] for name, place in centre.items()}
    assert rows["head"] < rows["torso"] < rows["legs"] < rows["feet"]
    assert rows["face"] < rows["torso"]
    # The face is in the middle of the body.
    assert abs(centre["face"][1] - centre["torso"][1]) < 3
    turned = viewmat @ torch.diag(torch.tensor([-1.0, 1, -1, 1]))
    behind = draw_regions(verts, body.faces, face_regions(body), Cameras(turned, K, 300, 300))
    assert (behind == FACE).sum() < 0.1 * (shown == FACE).sum()


def _plain(body: BodyModel) -> BodyShape:
    return BodyShape(torch.full((len(body.phenotype_names),), 0.5), torch.zeros(len(body.local_change_names)))


def test_pixels_beside_the_body_are_of_the_nearest_region() -> None:
    shown = np.full((9, 12), -1)
    shown[2:6, 3:5], shown[2:6, 8:9] = FACE, TORSO
    person = np.zeros((9, 12), bool)
    person[1:8, 1:11] = True
    spread = spread_regions(shown, person)
    assert spread[4, 1] == FACE and spread[4, 10] == TORSO and spread[4, 4] == FACE
    assert spread[0, 4] == -1 and (spread[person] >= 0).all()
    # Control: no body, no region.
    assert (spread_regions(np.full((9, 12), -1), person) == -1).all()


def test_an_error_in_one_region_costs_that_region_alone() -> None:
    regions = np.full((20, 20), TORSO)
    regions[:10] = FACE
    photo = np.full((20, 20, 3), 0.5, np.float32)
    render = photo.copy()
    render[:10] += 0.1
    render[10:] += 0.01
    found = region_psnr(render, photo, regions)
    # 20 log10(1 / error); float32's rounding of 0.6 is 1e-8.
    assert found == {"face": pytest.approx(20, abs=1e-4), "torso": pytest.approx(40, abs=1e-4)}
    regions[:] = TORSO
    regions[0, : LEAST_PIXELS - 1] = FACE
    assert "face" not in region_psnr(render, photo, regions)


def test_what_is_drawn_too_large_costs_the_region_that_it_is_drawn_at() -> None:
    shown = np.full((40, 20), -1)
    shown[:20, 5:15], shown[20:, 5:15] = FACE, TORSO
    person = shown >= 0
    covered = person.copy()
    covered[:20, 3:17] = True
    # Ten of fourteen columns beside the face, all beside the torso.
    assert region_iou(covered, person, shown) == {"face": pytest.approx(10 / 14), "torso": 1.0}
    covered[:20] = False
    assert region_iou(covered, person, shown) == {"face": 0.0, "torso": 1.0}


def test_what_metrics_json_says_of_regions() -> None:
    values = {View("a", 0): {"face": 20.0, "torso": 30.0}, View("b", 0): {"face": 24.0}}
    described = describe_regions(values, {View("b", 0): {"face": 0.9}})
    assert described["face"]["mask_iou"]["mean"] == 0.9 and described["torso"]["mask_iou"] is None
    assert list(described) == ["face", "torso"]
    assert described["face"]["mean"] == 22.0 and described["face"]["per_camera"] == {"a": 20.0, "b": 24.0}
    assert described["torso"]["views"] == [{"camera": "a", "frame": 0, "value": 30.0}]
