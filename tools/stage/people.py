"""Virtual people: a body of any shape and age, skin, eyes, hair and clothes, all from one seed.

`make_person` gives the surfaces at rest; `Person.posed` moves them. Colours are in `materials.py`, light in `light.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.spatial import cKDTree
from torch import Tensor

from render.body import BodyModel, BodyPose, BodyShape, RestBody
from render.rotation import matrix_to_quat
from render.skinning import Influences, skin

from .garments import Garment, hidden_faces, make_garment
from .hair import HairStyle, make_hair
from .layers import Layer, body_layer, cut, refine
from .materials import Cloth, Eyes, HairColor, Leather, Material, Skin, face_marks

INNER = ("mouth_cavity", "tongue")


@dataclass(frozen=True)
class PersonRecipe:
    """Who somebody is and what they wear. Everything has a default that the seed decides.

    Attributes:
        phenotypes: of the body model, 0 to 1, those that are to be fixed.
    """

    seed: int = 0
    phenotypes: Mapping[str, float] = field(default_factory=dict)
    garments: tuple[Garment, ...] | None = None
    hair: HairStyle | None = None


@dataclass(frozen=True)
class Surfaces:
    """All of a person in one pose, as one mesh.

    Attributes:
        layer_of_face: which layer each triangle is of.
    """

    verts: Float[Tensor, "v 3"]
    faces: Int[Tensor, "f 3"]
    layer_of_face: Int[Tensor, "f"]


@dataclass(frozen=True)
class Person:
    """A person at rest, ready to be moved.

    Attributes:
        layers: skin, eyes, hair and clothes. materials: what they look like.
    """

    body: BodyModel
    shape: BodyShape
    rest: RestBody
    layers: tuple[Layer, ...]
    influences: tuple[Influences, ...]
    materials: Mapping[str, Material]
    acted: Float[Tensor, "e v 3"]

    def posed(self, pose: BodyPose) -> Surfaces:
        """One frame: every layer carried by the bones, the face also by its expression."""
        nobody = torch.zeros(0, dtype=torch.long)
        T = self.body.pose(self.rest, pose, vertices=nobody).T_skin[0, :, :3].contiguous()
        q = matrix_to_quat(T[:, :, :3])
        parts, faces, layer_of_face, start, first = [], [], [], 0, 0
        for number, (layer, influences) in enumerate(zip(self.layers, self.influences)):
            count = len(layer.verts)
            verts = layer.verts
            offsets = self.acted[:, first : first + count]
            if pose.expression.any():
                verts = verts + torch.einsum("e,evd->vd", pose.expression[0], offsets)
            moved, _ = skin(verts, verts.new_zeros(count, 4), influences, T, q)
            parts.append(moved)
            faces.append(layer.faces + start)
            layer_of_face.append(torch.full((len(layer.faces),), number))
            start, first = start + count, first + count
        return Surfaces(torch.cat(parts), torch.cat(faces), torch.cat(layer_of_face))

    @property
    def origin(self) -> Float[Tensor, "v 3"]:
        """Of every vertex of `posed`: where on the resting body it belongs."""
        return torch.cat([layer.origin for layer in self.layers])


def make_person(body: BodyModel, recipe: PersonRecipe) -> Person:
    """A person of a recipe; the same recipe gives the same person to the last bit."""
    rng = np.random.default_rng(recipe.seed)
    shape = _shape(body, recipe, rng)
    rest = body.rest(shape)
    whole = refine(body_layer(body, rest.verts, "skin", torch.ones(len(body.faces), dtype=torch.bool)))
    names = np.tile(np.array(body.part_names)[body.part_labels[body.faces].mode(1).values.numpy()], 4)
    wardrobe = recipe.garments if recipe.garments is not None else _wardrobe(rng, recipe.seed)
    clothes = [make_garment(body, rest, whole, garment) for garment in wardrobe]
    eyes = np.isin(names, ("eye_l", "eye_r"))
    drawn = ~np.isin(names, INNER) & ~eyes
    if clothes:
        drawn &= ~hidden_faces(whole, clothes)
    layers = [cut(whole, torch.from_numpy(drawn)), cut(whole, torch.from_numpy(eyes))]
    layers[1] = Layer("eyes", layers[1].verts, layers[1].faces, layers[1].weights, "eyes", layers[1].origin)
    style = recipe.hair if recipe.hair is not None else _hairstyle(rng, recipe.seed)
    hair = make_hair(body, whole, names == "scalp", style)
    layers += [*clothes, *([hair] if hair is not None else [])]
    materials = _materials(body, rest, wardrobe, style, rng, recipe.seed)
    acted = _acted(body, rest, whole, layers)
    influences = tuple(layer.influences() for layer in layers)
    return Person(body, shape, rest, tuple(layers), influences, materials, acted)


def _shape(body: BodyModel, recipe: PersonRecipe, rng: np.random.Generator) -> BodyShape:
    shape = body.neutral_shape()
    values = {
        "gender": float(rng.choice([rng.uniform(0, 0.12), rng.uniform(0.88, 1)])),
        "age": float(rng.uniform(0.52, 0.9)),
        "muscle": float(rng.uniform(0.35, 0.75)),
        "weight": float(rng.uniform(0.3, 0.75)),
        "height": float(rng.uniform(0.35, 0.7)),
        "proportions": float(rng.uniform(0.4, 0.8)),
    }
    origin = rng.dirichlet([0.6, 0.6, 0.6])
    values |= dict(zip(("african", "asian", "caucasian"), map(float, origin)))
    values |= dict(recipe.phenotypes)
    phenotypes = shape.phenotypes.clone()
    for name, value in values.items():
        phenotypes[..., body.phenotype_names.index(name)] = value
    return BodyShape(phenotypes, shape.local_changes)


def _wardrobe(rng: np.random.Generator, seed: int) -> tuple[Garment, ...]:
    top = Garment(
        "top",
        "top",
        limb=float(rng.choice([0.34, 0.4, 0.96, 0.98])),
        hem=float(rng.uniform(0.55, 1.0)),
        thickness_mm=float(rng.uniform(4, 7)),
        looseness_mm=float(rng.uniform(8, 24)),
        folds_mm=float(rng.uniform(5, 11)),
        seed=seed * 11 + 1,
    )
    if rng.random() < 0.25:
        below = Garment(
            "skirt",
            "below",
            hem=float(rng.uniform(0.6, 1.0)),
            thickness_mm=7,
            looseness_mm=14,
            folds_mm=10,
            seed=seed * 11 + 2,
        )
    else:
        below = Garment(
            "trousers",
            "below",
            limb=float(rng.choice([0.45, 0.97, 0.99])),
            thickness_mm=float(rng.uniform(3, 6)),
            looseness_mm=float(rng.uniform(4, 16)),
            folds_mm=float(rng.uniform(4, 9)),
            seed=seed * 11 + 2,
        )
    shoes = Garment("shoes", "shoes", thickness_mm=float(rng.uniform(5, 8)), seed=seed * 11 + 3)
    return below, top, shoes


def _hairstyle(rng: np.random.Generator, seed: int) -> HairStyle:
    length = float(rng.choice([0, 25, 45, 90, 180, 300], p=[0.08, 0.22, 0.22, 0.18, 0.15, 0.15]))
    return HairStyle(
        length_mm=length,
        count=6500 if length < 120 else 8000,
        lift_mm=float(rng.uniform(8, 20)),
        curl=float(rng.uniform(0.1, 0.9)),
        part=float(rng.uniform(-1, 1)),
        seed=seed * 11 + 5,
    )


def _materials(
    body: BodyModel,
    rest: RestBody,
    wardrobe: Sequence[Garment],
    style: HairStyle,
    rng: np.random.Generator,
    seed: int,
) -> dict[str, Material]:
    melanin = float(rng.beta(1.2, 1.4))
    grey = float(rng.random() < 0.15)
    hair_tone = float(rng.uniform(0.0, 0.35) if melanin > 0.45 else rng.uniform(0.0, 1.0))
    hair = HairColor.of_tone(hair_tone, grey)
    marks = face_marks(body, rest)
    materials: dict[str, Material] = {
        "skin": Skin(
            melanin,
            marks,
            hair,
            stubble=float(rng.uniform(0, 0.5)) if rng.random() < 0.35 else 0.0,
            scalp=float(style.length_mm > 0) * 0.9 + 0.25,
            seed=seed,
        ),
        "eyes": Eyes(marks, iris=int(rng.integers(0, 4)), seed=seed),
        "hair": hair,
    }
    for garment in wardrobe:
        if garment.kind == "shoes":
            materials[garment.material] = Leather.sample(rng, seed)
        else:
            materials[garment.material] = Cloth.sample(rng, garment.kind, garment.seed)
    return materials


def _acted(body: BodyModel, rest: RestBody, whole: Layer, layers: Sequence[Layer]) -> Float[Tensor, "e v 3"]:
    """What each facial action does to every vertex: that of the body under it, none on clothes and hair."""
    zero = torch.zeros(1, len(body.expression_names))
    parts = []
    offsets = []
    for action in range(len(body.expression_names)):
        one = zero.clone()
        one[0, action] = 1
        offsets.append(body.expressed(rest, one)[0] - body.expressed(rest, zero)[0])
    known = torch.stack(offsets)
    base = body_layer(body, rest.verts, "skin", torch.ones(len(body.faces), dtype=torch.bool))
    edges = torch.cat([base.faces[:, [0, 1]], base.faces[:, [1, 2]], base.faces[:, [2, 0]]])
    unique = torch.unique(edges.sort(1).values, dim=0)
    refined = torch.cat([known, (known[:, unique[:, 0]] + known[:, unique[:, 1]]) / 2], 1)
    tree = cKDTree(whole.verts.numpy())
    for layer in layers:
        if layer.name in ("skin", "eyes"):
            _, where = tree.query(layer.verts.numpy())
            parts.append(refined[:, torch.from_numpy(where)])
        else:
            parts.append(known.new_zeros(len(known), len(layer.verts), 3))
    return torch.cat(parts, 1)
