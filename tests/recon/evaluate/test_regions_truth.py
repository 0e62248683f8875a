"""Hair and cloth of virtual people, of which every pixel's layer is known: how often the regions call them so."""

from __future__ import annotations

import numpy as np
import torch

from simulacra.recon.evaluate.regions import draw_cells, face_cells, region_pixels
from simulacra.render.body import BodyModel
from simulacra.render.camera import look_at
from simulacra.render.mesh import rasterize_mesh
from simulacra.tools.virtual.people.person import make_person
from simulacra.tools.virtual.people.wardrobe import PersonRecipe

Found = dict[str, tuple[int, int, int]]


def regions_against_layers(body: BodyModel, seed: int, angles: tuple[float, ...]) -> Found:
    """Pixels that a region and its layers share, of the region, and of the layers, by region."""
    person = make_person(body, PersonRecipe(seed=seed))
    pose = body.zero_pose()
    with torch.no_grad():
        clothed = person.posed(pose)
        naked = body.pose(person.rest, pose).verts[0]
    names = [layer.name for layer in person.layers]
    dressed = [i for i, name in enumerate(names) if name not in ("skin", "mouth", "eyes", "hair", "shoes")]
    layers = {"hair": [i for i, name in enumerate(names) if name == "hair"], "cloth": dressed}
    height = float(naked[:, 1].max() + naked[:, 1].min()) / 2
    found = {name: np.zeros(3, int) for name in layers}
    for angle in angles:
        eye = torch.tensor([[3 * np.sin(angle), height + 0.2, 3 * np.cos(angle)]], dtype=torch.float32)
        camera = look_at(eye, torch.tensor([[0.0, height, 0.0]]), 700.0, 512, 512)
        hit = rasterize_mesh(clothed.verts.float(), clothed.faces, camera).face_index[0].numpy()
        layer = np.where(hit >= 0, clothed.layer_of_face.numpy()[np.maximum(hit, 0)], -1)
        pixels = region_pixels(draw_cells(naked, body.faces, face_cells(body), camera), hit >= 0)
        for name, rows in layers.items():
            true = np.isin(layer, rows)
            found[name] += [(pixels[name] & true).sum(), pixels[name].sum(), true.sum()]
    return {name: (int(a), int(b), int(c)) for name, (a, b, c) in found.items()}


def test_hair_and_cloth_of_a_virtual_person_are_found(body: BodyModel) -> None:
    found = regions_against_layers(body, 4, (0.0, np.pi))
    for name, (both, of_region, true) in found.items():
        # A person with short hair and long sleeves: nine of ten pixels, either way.
        assert both > 0.85 * of_region and both > 0.85 * true, name
