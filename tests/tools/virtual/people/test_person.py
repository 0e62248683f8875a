"""Virtual people: the same from the same seed, clothed outside of the skin, lit where nothing is in the way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import sparse
from scipy.spatial import ConvexHull, cKDTree

from simulacra.render.body import BodyModel, BodyPose
from simulacra.render.camera import Cameras, look_at
from simulacra.render.mesh import interpolate, rasterize_mesh, vertex_normals
from simulacra.tools.virtual.light import Light, irradiance, studio_light
from simulacra.tools.virtual.noise import fractal_noise
from simulacra.tools.virtual.people.garments import Garment, hem_height
from simulacra.tools.virtual.people.layers import Layer, averaging, border_loops, clip, refine
from simulacra.tools.virtual.people.measures import measure
from simulacra.tools.virtual.people.person import PersonRecipe, VirtualPerson, make_person
from simulacra.tools.virtual.people.wardrobe import draw_character
from simulacra.tools.virtual.picture import TruePixels, light_up, picture, visible

CLOTHES = (
    Garment("trousers", "below", limb=0.985, seed=1),
    Garment("top", "top", limb=0.35, hem=0.9, collar="round", seed=2),
    Garment("shoes", "shoes", hem=0.0, seed=3),
)
RECIPE = PersonRecipe(seed=3, garments=CLOTHES)


@pytest.fixture(scope="module")
def person(body: BodyModel) -> VirtualPerson:
    return make_person(body, RECIPE)


@pytest.fixture(scope="module")
def walking(body: BodyModel) -> BodyPose:
    pose = body.zero_pose()
    turns = {"upperleg01.L": (-0.5, 0, 0), "lowerleg01.L": (0.4, 0, 0), "upperleg01.R": (0.35, 0, 0),
             "upperarm01.L": (0.3, 0, -0.45), "upperarm01.R": (-0.3, 0, 0.45), "spine03": (0.1, 0.15, 0)}  # fmt: skip
    for bone, turn in turns.items():
        pose.rotations[0, body.bone_names.index(bone)] = torch.tensor(turn)
    return pose


def _camera(person: VirtualPerson, size: int = 96) -> Cameras:
    tall = float(person.rest.verts[:, 1].max())
    at = torch.tensor([[0.0, tall / 2, 0.0]])
    return look_at(at + torch.tensor([[0.4, 0.0, 3.0]]), at, 1.15 * size, size, size)


def test_noise_is_a_function_of_place_and_seed() -> None:
    points = np.random.default_rng(0).uniform(-2, 2, (5000, 3)).astype(np.float32)
    values = fractal_noise(points, 5)
    assert np.array_equal(values, fractal_noise(points, 5))
    assert not np.array_equal(values, fractal_noise(points, 6))
    assert np.array_equal(values, fractal_noise(points, 5 + 2**32))
    assert abs(float(values.mean())) < 0.05 and 0.1 < float(values.std()) < 0.6
    near = fractal_noise(points + np.float32(1e-4), 5)
    assert np.abs(near - values).max() < 2e-3  # continuous


def _ball() -> Layer:
    k = torch.tensor([[1.0, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]])
    faces = torch.tensor(
        [[0, 2, 4], [2, 1, 4], [1, 3, 4], [3, 0, 4], [2, 0, 5], [1, 2, 5], [3, 1, 5], [0, 3, 5]]
    )
    return Layer("ball", k, faces, sparse.csr_matrix(np.ones((6, 1), np.float32)), "ball", k)


def test_refining_quarters_triangles_and_rounds_a_ball() -> None:
    ball = _ball()
    finer = refine(ball, times=2)
    assert len(finer.faces) == 16 * len(ball.faces)
    flat = finer.origin.norm(dim=-1)  # of plain midpoints
    assert float(finer.verts.norm(dim=-1).min()) > float(flat.min()) + 0.1
    np.testing.assert_allclose(averaging(finer).sum(1), 1, atol=1e-5)
    assert border_loops(finer.faces) == []


def test_refining_long_edges_only_opens_no_gaps() -> None:
    ball = _ball()
    stretched = replace(ball, verts=ball.verts * torch.tensor([1.0, 2.5, 1.0]))
    some = refine(stretched, longest=2.0, times=1)
    assert len(ball.faces) < len(some.faces) < 4 * len(ball.faces)
    assert border_loops(some.faces) == []
    assert all(bool((some.faces == k).any()) for k in range(len(some.verts)))


def test_clipping_cuts_along_the_line() -> None:
    ball = refine(_ball(), times=4)
    above = clip(ball, ball.verts[:, 1] - 0.3)
    (ring,) = border_loops(above.faces)
    assert float((above.verts[ring, 1] - 0.3).abs().max()) < 2e-3  # as far as vertices are drawn to the line
    assert float(above.verts[:, 1].min()) > 0.298
    rows = np.asarray(above.carrier.sum(1)).ravel()
    np.testing.assert_allclose(rows, 1, atol=1e-5)


def test_the_same_seed_is_the_same_person_and_picture(body: BodyModel, person: VirtualPerson) -> None:
    again = make_person(body, RECIPE)
    assert all(torch.equal(a.verts, b.verts) for a, b in zip(person.layers, again.layers))
    other = make_person(body, replace(RECIPE, seed=4))
    assert not torch.equal(person.layers[0].verts[:100], other.layers[0].verts[:100])
    pictures, threads = [], torch.get_num_threads()
    for count, who in ((1, person), (2, again)):
        torch.set_num_threads(count)
        try:
            seen = picture(light_up(who, who.posed(body.zero_pose()), studio_light(1, 6)), _camera(who))
        finally:
            torch.set_num_threads(threads)
        pictures.append(seen.rgb_linear.tobytes() + seen.infrared.tobytes() + seen.depth.tobytes())
    assert pictures[0] == pictures[1]


def test_people_are_as_tall_as_their_age(body: BodyModel) -> None:
    """A child of seven, seed by seed within four standard deviations of the growth charts."""
    for years, low, high in ((7.0, 1.03, 1.40), (30.0, 1.40, 2.02)):
        for seed in range(2):
            drawn = draw_character(body, PersonRecipe(seed=seed, years=years), np.random.default_rng(seed))
            tall = float(body.rest(drawn.shape).verts[:, 1].max())
            assert low < tall < high, (years, seed, tall)


def _above_skin(points: torch.Tensor, skin: torch.Tensor, faces: torch.Tensor) -> np.ndarray:
    """Signed distance along the normal of the nearest skin vertex, metres."""
    normals, verts = vertex_normals(skin, faces).numpy(), skin.numpy()
    _, near = cKDTree(verts).query(points.numpy())
    above: np.ndarray = ((points.numpy() - verts[near]) * normals[near]).sum(1)
    return above


@pytest.mark.parametrize("posed", [False, True])
def test_clothes_are_outside_of_the_skin(
    body: BodyModel, person: VirtualPerson, walking: BodyPose, posed: bool
) -> None:
    """Nearly everywhere; a fold may touch, and what is turned in at hems is inside of what hides it."""
    pose = walking if posed else body.zero_pose()
    surfaces = person.posed(pose)
    skin = body.pose(person.rest, pose).verts[0]
    checked = 0
    for layer, start in zip(person.layers, person.starts):
        if layer.name not in ("top", "trousers"):
            continue
        outer = (layer.traits[:, 1] < 0.5).nonzero().squeeze(1)
        above = _above_skin(surfaces.verts[start + outer], skin, body.faces)
        assert (above > 0).mean() > (0.93 if posed else 0.97), layer.name
        assert 0.002 < np.median(above) < 0.08, layer.name
        checked += 1
    assert checked == 2
    control = skin - 0.01 * vertex_normals(skin, body.faces)
    assert (_above_skin(control, skin, body.faces) > 0).mean() < 0.2


def test_a_hem_is_level_and_hangs_over_what_is_under_it(body: BodyModel, person: VirtualPerson) -> None:
    marks = measure(body, person.rest)
    for garment in CLOTHES:
        layer = next(layer for layer in person.layers if layer.name == garment.kind)
        if garment.kind != "top":
            continue
        outer = layer.verts[layer.traits[:, 1] < 0.2]
        lowest = float(outer[:, 1].min())
        assert lowest == pytest.approx(hem_height(garment, marks), abs=0.004)
        # All around the body there is cloth just above the hem.
        low = outer[outer[:, 1] < lowest + 0.012]
        center = low.mean(0)
        turn = torch.atan2(low[:, 0] - center[0], low[:, 2] - center[2])
        sectors = torch.unique(((turn + torch.pi) / (2 * torch.pi) * 24).long().clamp(max=23))
        assert len(sectors) == 24


def _fill_of_hull(points: np.ndarray) -> float:
    """How evenly a closed outline fills its convex hull: mean gap between the two over the hull's size."""
    hull = ConvexHull(points)
    gap = -(points @ hull.equations[:, :2].T + hull.equations[:, 2]).max(1)
    return float(gap.max()) / float(np.sqrt(hull.volume))


def test_shoes_show_no_toes(body: BodyModel, person: VirtualPerson) -> None:
    """Seen from above, the outline of a shoe's front is convex; that of bare toes is not."""
    shoes = next(layer for layer in person.layers if layer.name == "shoes")
    verts = shoes.verts.numpy()
    left = verts[(verts[:, 0] > 0) & (np.abs(verts[:, 1] - 0.02) < 0.004)][:, [0, 2]]
    assert len(left) > 40
    assert _fill_of_hull(left) < 0.06
    toes = person.rest.verts.numpy()
    bare = toes[(toes[:, 0] > 0) & (np.abs(toes[:, 1] - 0.012) < 0.008)][:, [0, 2]]
    front = bare[bare[:, 1] > np.quantile(bare[:, 1], 0.6)]
    assert _fill_of_hull(front) > 0.1


def test_a_person_moves_with_the_bones(body: BodyModel, person: VirtualPerson) -> None:
    pose = body.zero_pose()
    pose.translation[0, 0] = 0.5
    moved, still = person.posed(pose), person.posed(body.zero_pose())
    torch.testing.assert_close(
        moved.verts - still.verts, torch.tensor([0.5, 0, 0]).expand_as(still.verts), atol=1e-4, rtol=0
    )
    assert len(moved.layer_of_face) == len(moved.faces)


def test_a_face_acts_and_clothes_do_not(body: BodyModel, person: VirtualPerson) -> None:
    pose = body.zero_pose()
    pose.expression[0, body.expression_names.index("jawOpen")] = 1.0
    moved = (person.posed(pose).verts - person.posed(body.zero_pose()).verts).norm(dim=1)
    skin = slice(person.starts[0], person.starts[1])
    assert 0.01 < float(moved[skin].max()) < 0.08
    assert float(moved[person.starts[3] :].max()) < 1e-6


def test_light_falls_where_nothing_is_in_the_way() -> None:
    """A small plate over a large one, lit from above: shadow in the middle, light around it."""
    x, z = torch.meshgrid(torch.linspace(-1, 1, 21), torch.linspace(-1, 1, 21), indexing="ij")
    floor = torch.stack([x, 0 * x, z], -1).reshape(-1, 3)
    index = torch.arange(441).view(21, 21)
    a, b, c, d = index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]
    faces = torch.cat([torch.stack([a, d, b], -1).reshape(-1, 3), torch.stack([b, d, c], -1).reshape(-1, 3)])
    verts = torch.cat([floor, 0.3 * floor + torch.tensor([0.0, 0.5, 0.0])])
    faces = torch.cat([faces, faces + 441])
    direction = torch.nn.functional.normalize(torch.tensor([[0.02, 1.0, 0.03]]), dim=1)
    above = Light(direction, torch.full((1, 3), torch.pi))
    received = irradiance(above, verts, vertex_normals(verts, faces), faces)[:441, 0].view(21, 21)
    assert float(received[10, 10]) == 0.0
    assert float(received[1, 1]) == pytest.approx(1.0, abs=0.02)


@pytest.fixture(scope="module")
def seen(person: VirtualPerson, body: BodyModel) -> TruePixels:
    light = Light(torch.tensor([[0.0, 0.6, 0.8]]), torch.full((1, 3), 3.0))
    return picture(light_up(person, person.posed(body.zero_pose()), light), _camera(person))


def test_a_picture_shows_the_person_and_knows_the_depth(seen: TruePixels) -> None:
    shown = visible(seen)
    assert 0.05 < shown.mean() < 0.5
    assert ((seen.depth > 0) == shown).all()
    assert 2.5 < np.median(seen.depth[shown]) < 3.5
    assert float(seen.rgb_linear[shown].mean()) > 0.02
    assert len(set(seen.layer[shown])) >= 3
    np.testing.assert_allclose(np.linalg.norm(seen.normals[shown], axis=1), 1, atol=1e-3)
    assert not seen.motion_px.any()


def test_infrared_albedo_is_that_of_the_materials(seen: TruePixels, person: VirtualPerson) -> None:
    assert (seen.infrared[~visible(seen)] == 0).all()
    assert (seen.infrared >= 0).all() and (seen.infrared <= 1).all()
    names = [layer.name for layer in person.layers]
    skin = (seen.layer == names.index("skin")) & (seen.infrared > 0.3)  # not the brows
    assert skin.sum() > 20
    assert (seen.infrared[skin] > 0.46).all() and (seen.infrared[skin] < 0.64).all()


def test_motion_is_that_of_the_projected_surface(
    person: VirtualPerson, body: BodyModel, walking: BodyPose
) -> None:
    now, then = person.posed(body.zero_pose()), person.posed(walking)
    camera = _camera(person, 64)
    moved = picture(light_up(person, now, studio_light(0, 2)), camera, then).motion_px
    drawn = rasterize_mesh(now.verts, now.faces, camera)
    places = [interpolate(frame.verts, now.faces, drawn)[0][drawn.covered[0]] for frame in (now, then)]
    before, after = (camera.project(place)[0][0].numpy() for place in places)
    np.testing.assert_allclose(moved[drawn.covered[0].numpy()], after - before, atol=2e-3)
    assert np.abs(moved).max() > 2
