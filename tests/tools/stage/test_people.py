"""Virtual people: the same from the same seed, clothed outside of the skin, lit where nothing is in the way."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from render.body import BodyModel, load_body
from render.camera import look_at
from render.errors import AssetError
from render.mesh import vertex_normals
from simulacra.tools.stage.layers import Layer, averaging, body_layer, refine
from simulacra.tools.stage.light import Light, irradiance
from simulacra.tools.stage.noise import fractal_noise
from simulacra.tools.stage.people import Person, PersonRecipe, make_person
from simulacra.tools.stage.picture import light_up, picture, visible


@pytest.fixture(scope="module")
def body() -> BodyModel:
    try:
        return load_body()
    except AssetError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def person(body: BodyModel) -> Person:
    return make_person(body, PersonRecipe(seed=3))


def test_noise_is_a_function_of_place_and_seed() -> None:
    points = np.random.default_rng(0).uniform(-2, 2, (5000, 3)).astype(np.float32)
    values = fractal_noise(points, 5)
    assert np.array_equal(values, fractal_noise(points, 5))
    assert not np.array_equal(values, fractal_noise(points, 6))
    assert abs(float(values.mean())) < 0.05 and 0.1 < float(values.std()) < 0.6
    near = fractal_noise(points + np.float32(1e-4), 5)
    assert np.abs(near - values).max() < 2e-3  # continuous


def test_refining_quarters_triangles_and_rounds_a_ball() -> None:
    k = torch.tensor([[1.0, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]])
    faces = torch.tensor(
        [[0, 2, 4], [2, 1, 4], [1, 3, 4], [3, 0, 4], [2, 0, 5], [1, 2, 5], [3, 1, 5], [0, 3, 5]]
    )
    from scipy import sparse

    ball = Layer("ball", k, faces, sparse.csr_matrix(np.ones((6, 1), np.float32)), "ball", k)
    finer = refine(ball, 2)
    assert len(finer.faces) == 16 * len(faces)
    flat = refine(ball, 2).origin.norm(dim=-1)  # of plain midpoints
    assert float(finer.verts.norm(dim=-1).min()) > float(flat.min()) + 0.1
    rows = averaging(finer).sum(1)
    np.testing.assert_allclose(rows, 1, atol=1e-5)


def test_the_same_seed_is_the_same_person(body: BodyModel, person: Person) -> None:
    again = make_person(body, PersonRecipe(seed=3))
    assert all(torch.equal(a.verts, b.verts) for a, b in zip(person.layers, again.layers))
    other = make_person(body, PersonRecipe(seed=4))
    assert not torch.equal(person.layers[0].verts[:100], other.layers[0].verts[:100])


def test_clothes_are_outside_of_the_skin(body: BodyModel, person: Person) -> None:
    """Nearly everywhere; a fold may touch."""
    whole = refine(body_layer(body, person.rest.verts, "skin", torch.ones(len(body.faces), dtype=torch.bool)))
    normals = vertex_normals(whole.verts, whole.faces).numpy()
    tree, verts = cKDTree(whole.verts.numpy()), whole.verts.numpy()
    garments = [layer for layer in person.layers if layer.name in ("top", "trousers", "skirt")]
    assert len(garments) == 2
    for layer in garments:
        points = layer.verts.numpy()
        _, near = tree.query(points)
        above = ((points - verts[near]) * normals[near]).sum(1)
        assert (above > 0).mean() > 0.97, layer.name
        assert 0.002 < np.median(above) < 0.08, layer.name


def test_a_person_moves_with_the_bones(body: BodyModel, person: Person) -> None:
    pose = body.zero_pose()
    pose.translation[0, 0] = 0.5
    moved, still = person.posed(pose), person.posed(body.zero_pose())
    torch.testing.assert_close(
        moved.verts - still.verts, torch.tensor([0.5, 0, 0]).expand_as(still.verts), atol=1e-4, rtol=0
    )
    assert len(moved.layer_of_face) == len(moved.faces)


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


def test_a_picture_shows_the_person_and_knows_the_depth(person: Person, body: BodyModel) -> None:
    scene = light_up(
        person,
        person.posed(body.zero_pose()),
        Light(torch.tensor([[0.0, 0.6, 0.8]]), torch.full((1, 3), 3.0)),
    )
    tall = float(person.rest.verts[:, 1].max())
    camera = look_at(
        torch.tensor([[0.0, tall / 2, 3.0]]), torch.tensor([[0.0, tall / 2, 0.0]]), 110.0, 96, 96
    )
    seen = picture(scene, camera)
    shown = visible(seen)
    assert 0.05 < shown.mean() < 0.5
    assert ((seen.depth > 0) == shown).all()
    assert 2.5 < np.median(seen.depth[shown]) < 3.5
    assert float(seen.rgb_linear[shown].mean()) > 0.02
    assert len(set(seen.layer[shown])) >= 3
    np.testing.assert_allclose(np.linalg.norm(seen.normals[shown], axis=1), 1, atol=1e-3)
