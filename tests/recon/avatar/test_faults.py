"""Planted spikes, floaters, cracks and see-through backs are counted; a clean surface has none."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from simulacra.recon.avatar.faults import Sight, count_pixels, find_faults, find_floaters, find_spikes
from simulacra.recon.refine.coloring import surfels
from simulacra.render.camera import Cameras, look_at
from simulacra.render.gaussians import Gaussians
from simulacra.render.rotation import quat_facing

RADIUS, COUNT, SIZE = 0.3, 6000, 128
SPACING = math.sqrt(4 * math.pi * RADIUS**2 / COUNT)


def directions(count: int) -> torch.Tensor:
    """Even over the sphere (Fibonacci's)."""
    row = torch.arange(count, dtype=torch.float64) + 0.5
    height, turn = 1 - 2 * row / count, math.pi * (1 + 5**0.5) * row
    across = torch.sqrt(1 - height**2)
    return torch.stack([across * turn.cos(), height, across * turn.sin()], 1).float()


def ball() -> Gaussians:
    look = directions(COUNT)
    return surfels(RADIUS * look, look, torch.full((COUNT, 3), 0.5), torch.full((COUNT,), SPACING))


def cameras() -> list[Cameras]:
    eyes = 2.0 * directions(4)
    return [look_at(eye[None], torch.zeros(1, 3), 300.0, SIZE, SIZE) for eye in eyes]


def inside(camera: Cameras, radius: float = 0.9 * RADIUS) -> np.ndarray:
    """Pixels of a smaller ball."""
    pixels = torch.stack(torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="xy"), -1) + 0.5
    away = ((pixels - camera.Ks[0, :2, 2]) / camera.Ks[0, 0, 0]).norm(dim=-1)
    return (away < radius / 2.0).numpy()


def sights(gaussians: Gaussians) -> list[Sight]:
    return [Sight(gaussians, camera, inside(camera)) for camera in cameras()]


def with_rows(gaussians: Gaussians, rows: torch.Tensor, **changes: torch.Tensor) -> Gaussians:
    fields = {name: getattr(gaussians, name).clone() for name in changes}
    for name, value in changes.items():
        fields[name][rows] = value
    return gaussians.replace(**fields)


def test_a_clean_ball_has_no_fault() -> None:
    found = find_faults(ball(), sights(ball()), sights(ball()))
    assert found.as_json() == {
        "spikes": 0, "floaters": 0, "floater_clusters": 0, "cracks": 0.0, "see_through": 0.0,
        "cracks_at_rest": 0.0, "see_through_at_rest": 0.0,
    }  # fmt: skip


@pytest.mark.parametrize("scale", [0.1, 1.0, 7.0])
def test_counts_do_not_depend_on_size_or_place(scale: float) -> None:
    planted = _faulty()
    moved = planted.replace(
        means=scale * planted.means + torch.tensor([0.5, 1.0, -2.0]),
        log_scales=planted.log_scales + math.log(scale),
    )
    assert find_spikes(moved).sum() == 5 and (find_floaters(moved) >= 0).sum() == 31


def _faulty() -> Gaussians:
    """Three that are long, two that stick out; a cloud of thirty a third of a radius away and one near the surface."""
    made = ball()
    log = made.log_scales[0]
    long = log + torch.tensor([math.log(6.0), 0.0, 0.0])
    made = with_rows(made, torch.tensor([100, 2000, 4000]), log_scales=long)
    out = log + torch.tensor([0.0, 0.0, math.log(2.5 * 0.6 / 0.15)])
    made = with_rows(made, torch.tensor([700, 3300]), log_scales=out)
    generator = torch.Generator().manual_seed(3)
    cloud = torch.tensor([0.0, 0.4, 0.0]) + 0.01 * torch.randn(30, 3, generator=generator)
    places = torch.cat([cloud, directions(COUNT)[3000:3001] * (RADIUS + 3.9 * SPACING)])
    look = torch.nn.functional.normalize(places, dim=-1)
    strays = surfels(places, look, torch.full((31, 3), 0.5), torch.full((31,), SPACING))
    return Gaussians.concatenate([made, strays])


def test_each_planted_fault_is_found_where_it_is() -> None:
    planted = _faulty()
    assert find_spikes(planted).nonzero()[0].tolist() == [100, 700, 2000, 3300, 4000]
    floaters = find_floaters(planted)
    assert (floaters >= 0).nonzero()[0].tolist() == list(range(COUNT, COUNT + 31))
    assert len(set(floaters[COUNT : COUNT + 30])) == 1 and floaters.max() == 1


def test_what_nobody_sees_is_not_counted() -> None:
    planted = _faulty()
    hidden = torch.cat([torch.tensor([100, 700, 2000, 3300, 4000]), torch.arange(COUNT, COUNT + 31)])
    clear = with_rows(planted, hidden, logit_opacities=torch.tensor(-4.0))
    assert not find_spikes(clear).any() and (find_floaters(clear) == -1).all()


def test_a_slit_is_a_crack_and_an_opening_is_none() -> None:
    """A band three spacings wide is taken out where the first camera looks, on both sides of the ball."""
    made, camera = ball(), cameras()[0]
    look = directions(COUNT)
    towards = directions(4)[0]
    side = torch.nn.functional.normalize(torch.linalg.cross(towards, torch.tensor([0.0, 0.0, 1.0])), dim=0)
    along = torch.linalg.cross(towards, side)
    band = ((look @ side).abs() * RADIUS < 1.5 * SPACING) & ((look @ along).abs() < 0.5)
    cut = made[~band]
    cracks, _ = count_pixels([Sight(cut, camera, inside(camera))])
    # Half as long as the ball is wide, and a spacing or two wide once the rims' tails are taken off.
    width = 2 * RADIUS * 0.5 * SPACING / (math.pi * RADIUS**2)
    assert 0.5 * width < cracks < 3.5 * width
    assert count_pixels([Sight(cut, camera, inside(camera) & False)])[0] == 0
    opened = made[~((look @ side).abs() * RADIUS < 1.5 * SPACING)]
    assert count_pixels([Sight(opened, camera, inside(camera))])[0] < 0.1 * cracks


def test_a_front_of_one_layer_that_lets_light_through_is_seen() -> None:
    made, (camera, *_) = ball(), cameras()
    front = (directions(COUNT) @ directions(4)[0]) > 0.5
    whole = count_pixels([Sight(made, camera, inside(camera))])[1]
    faint = with_rows(made, front, logit_opacities=torch.tensor(-1.4))
    backs = count_pixels([Sight(faint, camera, inside(camera))])[1]
    gone = count_pixels([Sight(made[~front], camera, inside(camera))])[1]
    turned = with_rows(made, front, quats=quat_facing(-directions(COUNT)[front]))
    wrong = count_pixels([Sight(turned, camera, inside(camera))])[1]
    assert whole == 0
    # The cap of 60 degrees is three quarters of the disc.
    assert backs > 0.5 and gone > 0.5 and wrong > 0.5
    # With nothing behind it, and more than half opaque: it counts as the person, and as not dense.
    half = with_rows(made, front, logit_opacities=torch.tensor(-0.1))[front]
    nothing_behind = count_pixels([Sight(half, camera, inside(camera))])[1]
    assert nothing_behind > 0.5
