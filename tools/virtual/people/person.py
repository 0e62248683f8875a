"""Virtual people: a body of any shape and age, skin, eyes, hair and clothes, all from one seed.

`make_person` gives the surfaces at rest; `Person.posed` moves them. Colors are in `materials.py`, light in `light.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy import sparse
from torch import Tensor

from simulacra.render.body import BodyModel, BodyPose, BodyShape, RestBody
from simulacra.render.mesh import face_neighbours
from simulacra.render.rotation import matrix_to_quat
from simulacra.render.skinning import Influences, skin

from .garments import HIDDEN, PARTS, Garment, inside, make_garment, under_hanging
from .hair import STUBBLE_MM, HairStyle, hair_depth, make_hair
from .layer_kernels import strongest
from .layers import Layer, body_layer, cut, refine
from .materials import FaceMarks, Material, body_materials, face_marks
from .measures import Measures, faces_of, measure, share_of
from .shoes import rim_height
from .wardrobe import PersonRecipe, clothes_materials, draw_character, draw_clothes, draw_hair

__all__ = ["Garment", "HairStyle", "PersonRecipe", "Surfaces", "VirtualPerson", "make_person"]

MOUTH = ("mouth_cavity", "tongue")
BALLS = ("eye_l", "eye_r")
BONES = 8  # that move a vertex, at most
SKIN_EDGE = 0.0125  # metres: no edge of skin that is seen is longer


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
class VirtualPerson:
    """A person at rest, ready to be moved.

    Attributes:
        layers: skin, mouth, eyes, clothes and hair.
        materials: what they look like.
        influences: of all layers' vertices, one after the other.
        acting: which vertices facial actions move.
        acted: how each action moves them, metres.
    """

    body: BodyModel
    shape: BodyShape
    rest: RestBody
    layers: tuple[Layer, ...]
    influences: Influences
    materials: Mapping[str, Material]
    face: FaceMarks
    acting: Int[Tensor, " m"]
    acted: Float[Tensor, "e m 3"]

    def posed(self, pose: BodyPose) -> Surfaces:
        """One frame: every layer carried by the bones, the face also by its expression."""
        nobody = torch.zeros(0, dtype=torch.long)
        T = self.body.pose(self.rest, pose, vertices=nobody).T_skin[0, :, :3].contiguous()
        verts = self._rest_verts
        if pose.expression.any():
            verts = verts.index_add(0, self.acting, torch.einsum("e,emd->md", pose.expression[0], self.acted))
        moved, _ = skin(verts, self._no_turn, self.influences, T, matrix_to_quat(T[:, :, :3]))
        return Surfaces(moved, self.faces, self.layer_of_face)

    @cached_property
    def _rest_verts(self) -> Float[Tensor, "v 3"]:
        return torch.cat([layer.verts for layer in self.layers])

    @cached_property
    def _no_turn(self) -> Float[Tensor, "v 4"]:
        return torch.zeros(len(self._rest_verts), 4)

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """Of each layer, its first vertex; then the number of all."""
        return (0, *np.cumsum([len(layer.verts) for layer in self.layers]).tolist())

    @cached_property
    def faces(self) -> Int[Tensor, "f 3"]:
        """Triangles of all layers."""
        return torch.cat([layer.faces + start for layer, start in zip(self.layers, self.starts)])

    @cached_property
    def layer_of_face(self) -> Int[Tensor, " f"]:
        """The number of the layer that each triangle is of."""
        return torch.cat([torch.full((len(layer.faces),), k) for k, layer in enumerate(self.layers)])

    @cached_property
    def neighbours(self) -> Int[Tensor, "f 3"]:
        """``face_neighbours`` of the triangles."""
        return face_neighbours(self.faces)

    @cached_property
    def narrow_faces(self) -> np.ndarray:
        """``faces`` as the kernels take them."""
        return self.faces.int().numpy()

    @cached_property
    def narrow_layers(self) -> np.ndarray:
        """``layer_of_face`` as the kernels take it."""
        return self.layer_of_face.int().numpy()

    @cached_property
    def looks(self) -> tuple[np.ndarray, np.ndarray]:
        """The materials of all layers as the kernels take them: kinds, and rows of numbers."""
        chosen = [self.materials[layer.material] for layer in self.layers]
        widest = max(len(material.numbers) for material in chosen)
        numbers = np.zeros((len(chosen), widest), np.float64)
        for row, material in zip(numbers, chosen):
            row[: len(material.numbers)] = material.numbers
        return np.array([material.kind for material in chosen], np.int32), numbers

    @cached_property
    def casters(self) -> Int[Tensor, "g 3"]:
        """Triangles that throw shadows: all but four of five ribbons of hair, whose cap does most of it."""
        kept = []
        for layer, start in zip(self.layers, self.starts):
            faces = layer.faces
            if layer.name == "hair":
                strand = layer.origin[faces[:, 0], 0]
                faces = faces[(strand > 1.5) | (strand < 0.2)]
            kept.append(faces + start)
        return torch.cat(kept)

    @cached_property
    def hair_ranges(self) -> tuple[tuple[int, int, tuple[int, int] | None], ...]:
        """Of hair: its first and last vertex; where its ribbons start and how many places each has."""
        ranges = []
        for layer, start in zip(self.layers, self.starts):
            if layer.name == "hair":
                cap = int((layer.origin[:, 0] > 1.5).sum())
                places = int(torch.unique(layer.origin[cap:, 1]).numel())
                ribbons = (start + cap, places) if cap < len(layer.verts) else None
                ranges.append((start, start + len(layer.verts), ribbons))
        return tuple(ranges)

    @cached_property
    def origin(self) -> Float[Tensor, "v 3"]:
        """Of every vertex of `posed`: what colors are functions of."""
        return torch.cat([layer.origin for layer in self.layers])

    @cached_property
    def traits(self) -> Float[Tensor, "v 2"]:
        """Of every vertex of `posed`: the other two numbers that colors are functions of."""
        return torch.cat([layer.traits for layer in self.layers])


def make_person(body: BodyModel, recipe: PersonRecipe) -> VirtualPerson:
    """A person of a recipe; the same recipe gives the same person to the last bit."""
    rng = np.random.default_rng(recipe.seed)
    character = draw_character(body, recipe, rng)
    style = draw_hair(character, rng, recipe.seed)
    style = recipe.hair if recipe.hair is not None else style
    wardrobe = draw_clothes(character, rng, recipe.seed)
    wardrobe = recipe.garments if recipe.garments is not None else wardrobe
    rest = body.rest(character.shape)
    marks = measure(body, rest)
    clothes = [make_garment(body, rest, marks, garment) for garment in wardrobe]
    clothes = _cut_hidden(body, clothes, wardrobe, marks)
    hair = make_hair(body, rest, marks, clothes, style)
    face = face_marks(body, rest)
    layers = (
        _skin(body, rest, marks, wardrobe, style),
        body_layer(body, rest.verts, "mouth", torch.from_numpy(faces_of(body, MOUTH))),
        body_layer(body, rest.verts, "eyes", torch.from_numpy(faces_of(body, BALLS))),
        *clothes,
        *([hair] if hair is not None else []),
    )
    materials = body_materials(character.coloring, face, recipe.seed)
    materials |= clothes_materials(wardrobe, marks, rng, recipe.seed)
    carrier = sparse.vstack([layer.carrier for layer in layers]).tocsr()
    acting, acted = _gather_actions(body, carrier, sum(len(layer.verts) for layer in layers[:3]))
    return VirtualPerson(
        body, character.shape, rest, layers, _influences(body, carrier), materials, face, acting, acted
    )


def _skin(
    body: BodyModel, rest: RestBody, marks: Measures, wardrobe: Sequence[Garment], style: HairStyle
) -> Layer:
    """The skin that clothes do not hide, with hair's shade on the scalp and the clothes' near their borders."""
    outer = body_layer(body, rest.verts, "skin", torch.from_numpy(~faces_of(body, (*MOUTH, *BALLS))))
    depth = _cloth_depth(body, outer, wardrobe, marks)
    skin_layer = cut(outer, torch.from_numpy(~(depth > HIDDEN)[outer.faces.numpy()].all(1)))
    skin_layer = refine(skin_layer, SKIN_EDGE * max(marks.scale, 0.7))
    points = skin_layer.verts.numpy().astype(np.float64)
    traits = np.zeros((len(points), 2), np.float32)
    if style.length_mm > 0:
        grown = share_of(body, skin_layer, ("scalp", "face", "neck")) > 0.9
        stubble = style.length_mm <= STUBBLE_MM
        depth = hair_depth(points, marks, style.receding)
        share = np.clip((0.1 if stubble else 0.35) + depth / (0.022 if stubble else 0.012), 0, 1)
        traits[:, 0] = share * grown * (0.82 if stubble else 0.95)
    depth = _cloth_depth(body, skin_layer, wardrobe, marks)
    traits[:, 1] = 0.45 * np.clip(0.3 + depth / 0.008, 0, 1)
    return replace(skin_layer, traits=torch.from_numpy(traits))


def _cloth_depth(
    body: BodyModel, layer: Layer, wardrobe: Sequence[Garment], marks: Measures
) -> Float[np.ndarray, " n"]:
    """How far inside of some garment's borders each vertex of a layer of the body lies, metres."""
    depth = np.full(len(layer.verts), -1.0)
    for garment in wardrobe:
        if garment.kind == "shoes":
            foot = share_of(body, layer, ("foot_l", "foot_r", "shin_l", "shin_r")) > 0.5
            here = rim_height(marks, garment.hem) - layer.origin[:, 1].numpy()
        else:
            foot = share_of(body, layer, PARTS[garment.kind]) > 0.5
            here = inside(body, layer, garment, marks)
            thigh = share_of(body, layer, ("thigh_l", "thigh_r", "shin_l", "shin_r")) > 0.5
            hung = under_hanging(layer.origin.numpy().astype(np.float64), garment, marks)
            depth = np.maximum(depth, np.where(thigh, hung, -1.0))
        depth = np.maximum(depth, np.where(foot, here, -1.0))
    return depth


def _cut_hidden(
    body: BodyModel, clothes: list[Layer], wardrobe: Sequence[Garment], marks: Measures
) -> list[Layer]:
    """Trousers and skirts end a little way under the top that hangs over them."""
    tops = [garment for garment in wardrobe if garment.kind == "top"]
    result = []
    for layer, garment in zip(clothes, wardrobe):
        if garment.kind in ("trousers", "skirt") and tops:
            depth = np.max([inside(body, layer, top, marks) for top in tops], 0)
            layer = cut(layer, torch.from_numpy(~(depth > HIDDEN)[layer.faces.numpy()].all(1)))
        result.append(layer)
    return result


def _influences(body: BodyModel, carrier: sparse.csr_matrix) -> Influences:
    """The bones that carry each vertex, the strongest ``BONES`` of them."""
    weights = (carrier @ sparse.csr_matrix(body.dense_weights.numpy())).tocsr()
    bones = np.zeros((carrier.shape[0], BONES), np.int32)
    shares = np.zeros((carrier.shape[0], BONES), np.float32)
    strongest(weights.indptr, weights.indices, weights.data.astype(np.float32), bones, shares)
    return Influences(torch.from_numpy(bones), torch.from_numpy(shares))


def _gather_actions(
    body: BodyModel, carrier: sparse.csr_matrix, count: int
) -> tuple[Int[Tensor, " m"], Float[Tensor, "e m 3"]]:
    """What each facial action does to the first ``count`` vertices, those of skin, mouth and eyes."""
    block = body.expressions
    moved = carrier[:count].tocsc()[:, block.vertices.numpy()].tocsr()
    acting = np.nonzero(np.diff(moved.indptr))[0]
    offsets = block.offsets.unflatten(-1, (-1, 3)).permute(1, 0, 2).flatten(1).numpy()  # m, e 3
    result = torch.from_numpy(moved[acting] @ offsets).float().unflatten(-1, (-1, 3)).permute(1, 0, 2)
    return torch.from_numpy(acting), result.contiguous()
