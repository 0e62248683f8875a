"""Which pixels are of which part of the body, and what each part costs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from simulacra.recon.evaluate.protocol import View
from simulacra.recon.evaluate.regions import (
    CELLS,
    LEAST_PIXELS,
    PARTS,
    REGIONS,
    describe_regions,
    draw_cells,
    face_cells,
    region_iou,
    region_pixels,
    region_psnr,
    spread_cells,
)
from simulacra.recon.evaluate.scores import Missing
from simulacra.render.body import BodyModel, BodyShape, load_body
from simulacra.render.camera import Cameras

FACE, TORSO, SCALP = (CELLS.index(name) for name in ("face", "torso", "scalp"))


def standing(behind: bool = False, nearer: float = 1.0) -> np.ndarray:
    """The cells of a standing body, 300 x 300 pixels, from the front or from behind."""
    body = load_body()
    with torch.no_grad():
        verts = body.pose(body.rest(_plain(body)), body.zero_pose()).verts[0]
    # Three metres before the body, which looks to +Z: the camera looks to -Z with y down.
    viewmat = torch.tensor([[[1.0, 0, 0, 0], [0, -1, 0, 1.0], [0, 0, -1, 3.0], [0, 0, 0, 1]]])
    if behind:
        viewmat = viewmat @ torch.diag(torch.tensor([-1.0, 1, -1, 1]))
    K = torch.tensor(
        [[[300.0 * nearer, 0, 150], [0, 300 * nearer, 150 + 200 * (nearer - 1) * 0.3], [0, 0, 1]]]
    )
    return draw_cells(verts, body.faces, face_cells(body), Cameras(viewmat, K, 300, 300))


def test_a_standing_body_has_its_regions_where_people_have_them() -> None:
    shown = standing()
    pixels = region_pixels(shown, shown >= 0)
    centre = {name: np.argwhere(pixels[name]).mean(0) for name in (*PARTS, "cloth")}
    rows = {name: place[0] for name, place in centre.items()}
    assert rows["head"] < rows["torso"] < rows["legs"] < rows["feet"]
    assert rows["face"] < rows["torso"] < rows["cloth"] < rows["legs"]
    # The face is in the middle of the body.
    assert abs(centre["face"][1] - centre["torso"][1]) < 3
    behind = standing(behind=True)
    assert (behind == FACE).sum() < 0.1 * (shown == FACE).sum()
    # The parts share the person out, each pixel once.
    np.testing.assert_array_equal(sum(pixels[name].astype(int) for name in PARTS), shown >= 0)


def test_eyes_are_above_the_mouth_in_the_face_and_neither_is_seen_from_behind() -> None:
    shown = standing(nearer=4.0)
    pixels = region_pixels(shown, shown >= 0)
    eyes, mouth, face = (np.argwhere(pixels[name]) for name in ("eyes", "mouth", "face"))
    assert min(len(eyes), len(mouth)) >= LEAST_PIXELS
    assert eyes[:, 0].max() < mouth[:, 0].min() and face[:, 0].min() < eyes[:, 0].min()
    # Two of them: none in the middle, where the mouth is.
    middle = mouth[:, 1].mean()
    assert abs(eyes[:, 1].mean() - middle) < 2 and not (abs(eyes[:, 1] - middle) < 2).any()
    assert not (pixels["eyes"] & ~pixels["face"]).any() and not (pixels["mouth"] & ~pixels["face"]).any()
    behind = standing(behind=True, nearer=4.0)
    found = region_pixels(behind, behind >= 0)
    assert not found["eyes"].any() and not found["mouth"].any() and found["hair"].any()


def test_hair_is_scalp_and_what_stands_out_around_the_head_but_not_far_from_it() -> None:
    shown = standing()
    person = shown >= 0
    rows, columns = np.nonzero(
        np.isin(shown, [CELLS.index(n) for n in ("face", "eyes", "mouth", "scalp", "ears")])
    )
    height = rows.max() - rows.min() + 1
    above = (slice(rows.min() - 4, rows.min() - 1), slice(int(columns.mean()) - 3, int(columns.mean()) + 4))
    person[above] = True
    far = (rows.min() - height, int(columns.mean()))
    person[far] = True
    found = region_pixels(shown, person)
    assert found["hair"][above].all() and not found["hair"][far]
    assert found["hair"][shown == SCALP].all() and not found["hair"][shown == FACE].any()
    # A sleeve that stands out from an arm is cloth, and none of it is hair.
    torso = np.argwhere(shown == TORSO).mean(0).astype(int)
    assert found["cloth"][torso[0], torso[1]] and not (found["cloth"] & found["hair"]).any()


def test_the_outline_is_a_band_on_both_sides_of_the_masks_edge() -> None:
    person = np.zeros((512, 512), bool)
    person[100:200, 0:300] = True
    band = region_pixels(np.full((512, 512), -1), person)["outline"]
    column = np.flatnonzero(band[:, 100])
    # Centers within 4 pixels of one on the other side: four pixels a side. The picture's border is no edge.
    assert column.tolist() == [*range(96, 104), *range(196, 204)]
    small = region_pixels(np.full((64, 64), -1), person[::8, ::8])["outline"]
    assert np.flatnonzero(small[:, 20]).tolist() == [12, 13, 24, 25]
    assert not region_pixels(np.full((4, 4), -1), np.ones((4, 4), bool))["outline"].any()
    assert not band[150, 0] and band[150, 296:304].all() and not band[150, 304]


def _plain(body: BodyModel) -> BodyShape:
    return BodyShape(torch.full((len(body.phenotype_names),), 0.5), torch.zeros(len(body.local_change_names)))


def test_pixels_beside_the_body_are_of_the_nearest_region() -> None:
    shown = np.full((9, 12), -1)
    shown[2:6, 3:5], shown[2:6, 8:9] = FACE, TORSO
    person = np.zeros((9, 12), bool)
    person[1:8, 1:11] = True
    spread = spread_cells(shown, person)
    assert spread[4, 1] == FACE and spread[4, 10] == TORSO and spread[4, 4] == FACE
    assert spread[0, 4] == -1 and (spread[person] >= 0).all()
    # Control: no body, no region.
    assert (spread_cells(np.full((9, 12), -1), person) == -1).all()


def pixels_of(cells: np.ndarray) -> dict[str, np.ndarray]:
    return {"face": cells == FACE, "torso": cells == TORSO}


def test_an_error_in_one_region_costs_that_region_alone() -> None:
    regions = np.full((20, 20), TORSO)
    regions[:10] = FACE
    photo = np.full((20, 20, 3), 0.5, np.float32)
    render = photo.copy()
    render[:10] += 0.1
    render[10:] += 0.01
    found = region_psnr(render, photo, pixels_of(regions))
    # 20 log10(1 / error); float32's rounding of 0.6 is 1e-8.
    assert found == {"face": pytest.approx(20, abs=1e-4), "torso": pytest.approx(40, abs=1e-4)}
    regions[:] = TORSO
    regions[0, : LEAST_PIXELS - 1] = FACE
    few = region_psnr(render, photo, pixels_of(regions))["face"]
    assert few == Missing("of fewer than 25 pixels a number is chance")
    regions[:] = TORSO
    assert region_psnr(render, photo, pixels_of(regions))["face"] == Missing("not in sight")


def test_what_is_drawn_too_large_costs_the_region_that_it_is_drawn_at() -> None:
    shown = np.full((40, 20), -1)
    shown[:20, 5:15], shown[20:, 5:15] = FACE, TORSO
    person = shown >= 0
    covered = person.copy()
    covered[:20, 3:17] = True
    # Ten of fourteen columns beside the face, all beside the torso.
    found = region_iou(covered, person, shown)
    assert (found["face"], found["torso"], found["cloth"]) == (pytest.approx(10 / 14), 1.0, 1.0)
    assert found["hands"] == Missing("not in sight") and "eyes" not in found
    covered[:20] = False
    assert region_iou(covered, person, shown)["face"] == 0.0


def test_what_metrics_json_says_of_regions() -> None:
    few = Missing("of fewer than 25 pixels a number is chance")
    values = {
        View("a", 0): {"face": 20.0, "torso": 30.0, "eyes": few},
        View("b", 0): {"face": 24.0, "eyes": few},
    }
    described = describe_regions(values, {View("b", 0): {"face": 0.9}})
    assert list(described) == list(REGIONS)
    assert described["face"]["mask_iou"]["mean"] == 0.9 and described["torso"]["mask_iou"]["mean"] is None
    assert described["face"]["mean"] == 22.0 and described["face"]["per_camera"] == {"a": 20.0, "b": 24.0}
    assert described["torso"]["views"] == [{"camera": "a", "frame": 0, "value": 30.0}]
    # What is too small has no number, in words; where people look for it.
    assert described["eyes"]["mean"] is None and described["eyes"]["reason"] == few.reason
    assert len(described["eyes"]["missing"]) == 2 and described["eyes"]["mask_iou"] is None
    assert describe_regions({}, {}) == {}
