"""Who somebody is, drawn by lot: age, stature, build, coloring, hair and clothes that go together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float

from simulacra.render.body import BodyModel, BodyShape
from simulacra.render.body.anny import AnnyShapes

from . import material_kernels as looks
from .garments import Garment
from .hair import HairStyle
from .materials import Coloring, Material, cloth, color_of, denim, shoe
from .measures import Measures

# Medians of stature, metres, at ages in years, boys and girls (growth charts of the WHO, rounded), then adults.
AGES = (2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 14.0, 16.0, 18.0, 60.0, 85.0)
STATURES = {
    "male": (0.87, 1.03, 1.16, 1.27, 1.38, 1.49, 1.63, 1.73, 1.765, 1.76, 1.71),
    "female": (0.86, 1.03, 1.15, 1.27, 1.39, 1.51, 1.59, 1.625, 1.635, 1.63, 1.57),
}
SPREAD = 0.037  # standard deviation of stature over its median
YEARS = ((1.0, 12.0, 25.0, 90.0), (0.0, 1 / 3, 2 / 3, 1.0))  # what the body model's ages mean
IDENTITY = {  # local changes that make faces differ, with their spread
    0.2: ("nose-", "chin-", "mouth-", "ear-", "cheek-", "forehead-", "eyebrows-", "head-"),
    0.16: ("eye-",),
    0.15: ("measure-", "torso-", "hip-", "stomach-", "buttocks-"),
}


@dataclass(frozen=True)
class PersonRecipe:
    """Who somebody is and what they wear. Everything has a default that the seed decides.

    Attributes:
        phenotypes: of the body model, 0 to 1, those that are to be fixed.
        years: the age, 6 to 80 by lot.
    """

    seed: int = 0
    phenotypes: Mapping[str, float] = field(default_factory=dict)
    garments: tuple[Garment, ...] | None = None
    hair: HairStyle | None = None
    years: float | None = None


@dataclass(frozen=True)
class Character:
    """Somebody drawn by lot.

    Attributes:
        shape: of the body.
        woman: which clothes and hair are likely.
        years: of age.
    """

    shape: BodyShape
    woman: bool
    years: float
    coloring: Coloring


def draw_character(body: BodyModel, recipe: PersonRecipe, rng: np.random.Generator) -> Character:
    """Body and coloring."""
    woman = bool(rng.random() < 0.5)
    group = int(rng.choice(4, p=[0.2, 0.4, 0.25, 0.15]))
    years = float(rng.uniform(*((6, 15), (16, 40), (40, 62), (62, 80))[group]))
    years = recipe.years if recipe.years is not None else years
    origin = rng.dirichlet([0.4, 0.4, 0.4])
    build = float(np.clip(rng.normal(0.5, 0.17), 0.1, 1.0))
    values = {
        "gender": float(rng.uniform(0.88, 1) if woman else rng.uniform(0, 0.12)),
        "age": float(np.interp(years, *YEARS)),
        "muscle": float(np.clip(rng.normal(0.5 if years < 60 else 0.4, 0.12), 0.2, 0.85)),
        "weight": build,
        "proportions": float(rng.uniform(0.4, 0.8)),
        "cupsize": float(rng.uniform(0.2, 0.65)) if years > 15 else 0.0,
        "firmness": float(rng.uniform(0.4, 0.7)),
        **dict(zip(("african", "asian", "caucasian"), map(float, origin))),
    } | dict(recipe.phenotypes)
    local = _identity(body, rng)
    tall = np.interp(years, AGES, STATURES["female" if values["gender"] > 0.5 else "male"])
    tall *= 1 + SPREAD * float(np.clip(rng.normal(), -2, 2))
    if "height" not in recipe.phenotypes:
        values["height"] = _height_for(body, values, local, float(tall))
    coloring = _coloring(rng, np.array([values[k] for k in ("african", "asian", "caucasian")]), years, values)
    return Character(_shape(body, values, local), woman, years, coloring)


def _shape(body: BodyModel, values: Mapping[str, float], local: torch.Tensor) -> BodyShape:
    shape = body.neutral_shape()
    phenotypes = shape.phenotypes.clone()
    for name, value in values.items():
        phenotypes[..., body.phenotype_names.index(name)] = value
    return BodyShape(phenotypes, local)


def _identity(body: BodyModel, rng: np.random.Generator) -> Float[torch.Tensor, " l"]:
    local = torch.zeros(len(body.local_change_names))
    for k, name in enumerate(body.local_change_names):
        for spread, starts in IDENTITY.items():
            if name.startswith(starts):
                local[k] = float(np.clip(rng.normal(0, spread), -0.7, 0.7))
        if name == "eye-height2-incr":
            local[k] = float(rng.uniform(-0.34, -0.05))  # lids rest on the iris
        elif name == "eye-scale-incr":
            local[k] = float(rng.uniform(-0.25, 0.1))
        elif name in ("mouth-angles-up", "mouth-trans-up", "nose-base-up", "nose-hump-incr"):
            local[k] = float(rng.uniform(-0.1, 0.15))
        elif name in ("head-age-incr", "stomach-pregnant-incr", "neck-double-incr", "eye-push1-out"):
            local[k] = 0.0
    return local


def _height_for(body: BodyModel, values: Mapping[str, float], local: torch.Tensor, tall: float) -> float:
    """The body model's height at which a person has a stature, metres: it is linear between 0, 1/2 and 1."""
    stops = (0.0, 0.5, 1.0)
    shapes = _ends_of(body)
    got = []
    for stop in stops:
        verts = shapes.evaluate(_shape(body, {**values, "height": stop}, local)).verts
        got.append(float(verts[:, 1].max() - verts[:, 1].min()))
    return float(np.interp(tall, got, stops))


def _ends_of(body: BodyModel) -> AnnyShapes:
    """The shape space of the crown and the soles alone."""
    scalp = body.part_labels == body.part_names.index("scalp")
    high = torch.where(scalp, body.shapes.template[:, 1], -torch.inf).topk(24).indices
    low = body.soles[body.shapes.template[body.soles, 1].topk(60, largest=False).indices]
    chosen = torch.cat([high, low]).sort().values
    columns = (3 * chosen[:, None] + torch.arange(3)).flatten()
    return replace(
        body.shapes,
        template=body.shapes.template[chosen],
        phenotype_offsets=body.shapes.phenotype_offsets[:, columns],
        breast=body.shapes.breast.among(chosen),
        local=tuple(block.among(chosen) for block in body.shapes.local),
    )


def _coloring(
    rng: np.random.Generator, origin: Float[np.ndarray, "3"], years: float, values: Mapping[str, float]
) -> Coloring:
    origin = origin / origin.sum()
    melanin = float(np.clip(origin @ [0.82, 0.30, 0.16] + rng.normal(0, 0.09), 0.02, 0.98))
    light_hair = origin[2] > 0.5 and melanin < 0.4
    tone = float(rng.uniform(0.15, 1.0) if light_hair else np.clip(rng.normal(0.12, 0.1), 0, 0.4))
    man = values["gender"] < 0.5
    grey = float(np.clip((years - 38 + rng.normal(0, 8)) / 35, 0, 0.95)) if years > 30 else 0.0
    return Coloring(
        melanin=melanin,
        hair_tone=tone,
        grey=grey if rng.random() < (0.9 if man else 0.45) else 0.0,
        red=float(rng.uniform(0.4, 0.9)) if light_hair and rng.random() < 0.15 else 0.0,
        stubble=float(rng.uniform(0.1, 0.75)) if man and years > 19 and rng.random() < 0.5 else 0.0,
        freckles=float(rng.uniform(0, 1)) if melanin < 0.3 and rng.random() < 0.3 else 0.0,
        lip_red=float(rng.uniform(0.3, 1.0)) if not man and years > 15 else float(rng.uniform(0, 0.4)),
        brow_mm=float(rng.uniform(4.4, 5.8) if man else rng.uniform(3.4, 4.4)) * (0.8 if years < 13 else 1.0),
        age=float(values["age"]),
        iris=int(rng.integers(0, 2) if melanin > 0.4 or tone < 0.2 else rng.integers(0, 5)),
    )


def draw_hair(character: Character, rng: np.random.Generator, seed: int) -> HairStyle:
    """A style that people of that age and sex wear."""
    curly = float(np.clip(rng.beta(1.2, 3.0) + 0.35 * (character.coloring.melanin > 0.62), 0, 1))
    long = rng.random() < (0.72 if character.woman else 0.08)
    receding = 0.0
    if not character.woman and character.years > 30:
        receding = float(np.clip(rng.uniform(-0.4, (character.years - 25) / 45), 0, 1))
    part = float(rng.uniform(-1, 1))
    # Curls stand off the head; other hair lies on it, short hair the flatter the shorter it is.
    if long:
        if curly > 0.6:
            kind, length, lift = "curls", float(rng.uniform(40, 75)), float(rng.uniform(30, 52))
        else:
            kind = str(rng.choice(["parted", "back"], p=[0.75, 0.25]))
            length, lift = float(rng.choice([170, 230, 320, 400])) * float(rng.uniform(0.9, 1.1)), 14.0
    elif curly > 0.6:
        kind, length, lift = "curls", float(rng.uniform(8, 34)), float(rng.uniform(8, 26))
    else:
        kind = str(rng.choice(["crown", "parted", "back"], p=[0.6, 0.25, 0.15]))
        shares = [0.0, 0.1, 0.25, 0.35, 0.3] if character.woman else [0.14, 0.26, 0.26, 0.2, 0.14]
        length = float(rng.choice([3, 22, 38, 55, 80], p=shares))
        lift = float(np.clip(0.28 * length, 4, 18))
    return HairStyle(
        kind=kind,
        length_mm=length,
        count=6000 if kind == "curls" else 4600,
        width_mm=2.4 if kind == "curls" else float(np.interp(length, [20, 100, 300], [2.6, 3.6, 4.2])),
        lift_mm=lift,
        curl=curly,
        part=part,
        receding=receding,
        seed=seed * 11 + 5,
    )


def draw_clothes(character: Character, rng: np.random.Generator, seed: int) -> tuple[Garment, ...]:
    """What goes on together, from below to above."""
    outfit = _draw_outfit(character, rng)
    seeds = iter(range(seed * 11 + 1, seed * 11 + 9))
    # The order of the draws is part of what a seed means: long trousers are drawn for every outfit.
    long_legs = _draw_trousers(0.985, rng, next(seeds))
    shoes = Garment(
        "shoes",
        "shoes",
        hem=float(rng.choice([0.0, 0.0, 0.25, 0.7])) if outfit != "shorts" else 0.0,
        thickness_mm=rng.uniform(4.5, 6.5),
        seed=next(seeds),
    )
    top = _draw_top(outfit, character.woman, rng, next(seeds))
    if outfit == "dress":
        return top, shoes
    if outfit == "skirt":
        skirt = Garment(
            "skirt",
            "below",
            hem=rng.uniform(1.55, 2.6),
            flare=rng.uniform(0.08, 0.35),
            thickness_mm=4.0,
            folds_mm=rng.uniform(5, 9),
            seed=next(seeds),
        )
        return skirt, top, shoes
    if outfit == "shorts":
        return _draw_trousers(rng.uniform(0.36, 0.52), rng, next(seeds)), top, shoes
    return long_legs, top, shoes


def _draw_outfit(character: Character, rng: np.random.Generator) -> str:
    woman, child = character.woman, character.years < 13
    outfits = {
        "tee": 0.26,
        "shirt": 0.16,
        "sweater": 0.18,
        "jacket": 0.16,
        "dress": 0.17 if woman else 0.0,
        "skirt": 0.16 if woman else 0.0,
        "shorts": 0.22 if child else 0.10,
    }
    names, weights = list(outfits), np.array(list(outfits.values()))
    return str(rng.choice(names, p=weights / weights.sum()))


def _draw_trousers(limb: float, rng: np.random.Generator, seed: int) -> Garment:
    return Garment(
        "trousers",
        "below",
        limb=limb,
        thickness_mm=rng.uniform(2.5, 4.5),
        looseness_mm=rng.uniform(3, 10),
        straight=rng.uniform(0.2, 0.95),
        folds_mm=rng.uniform(4, 8),
        seed=seed,
    )


def _draw_top(outfit: str, woman: bool, rng: np.random.Generator, seed: int) -> Garment:
    cut = _draw_cut(outfit, rng)
    values: dict[str, float | str] = {
        "limb": float(rng.choice([0.3, 0.36])),
        "hem": rng.uniform(0.72, 1.08),
        "collar": str(rng.choice(["round", "round", "scoop" if woman else "round"])),
        "thickness_mm": rng.uniform(3.5, 6),
        "looseness_mm": rng.uniform(6, 14),
        "straight": rng.uniform(0.45, 0.9) * (0.8 if woman else 1.0),
        "folds_mm": rng.uniform(5, 10),
    }
    return Garment("top", "top", seed=seed, **(values | cut))  # type: ignore[arg-type]


def _draw_cut(outfit: str, rng: np.random.Generator) -> dict[str, float | str]:
    """What is an outfit's own about its top."""
    if outfit == "shirt":
        limb = float(rng.choice([0.42, 0.96, 0.96]))
        return {"limb": limb, "collar": "shirt", "hem": rng.uniform(0.8, 1.1)}
    if outfit == "sweater":
        thickness = rng.uniform(6, 9)
        return {"limb": 0.97, "thickness_mm": thickness, "collar": str(rng.choice(["round", "stand"]))}
    if outfit == "jacket":
        thickness, hem = rng.uniform(9, 13), rng.uniform(0.9, 1.5)
        return {"limb": 0.98, "thickness_mm": thickness, "collar": "stand", "hem": hem, "straight": 0.9}
    if outfit == "dress":
        return {
            "limb": float(rng.choice([0.05, 0.3, 0.6])),
            "hem": rng.uniform(1.7, 2.5),
            "flare": rng.uniform(0.06, 0.3),
            "straight": rng.uniform(0.1, 0.5),
            "collar": str(rng.choice(["round", "scoop"])),
        }
    return {"hem": rng.uniform(0.35, 0.7)} if outfit == "skirt" else {}


def clothes_materials(
    wardrobe: tuple[Garment, ...], marks: Measures, rng: np.random.Generator, seed: int
) -> dict[str, Material]:
    """Patterns and colors of the clothes."""
    chest = marks.chest - 0.11 * marks.scale
    middle = (0.0, float(marks.legs[0][0, 2]), chest, 0.075 * marks.scale)
    materials = {}
    for garment in wardrobe:
        if garment.kind == "shoes":
            style = int(
                rng.choice([looks.SHOE_LEATHER, looks.SHOE_SNEAKER, looks.SHOE_CANVAS], p=[0.35, 0.45, 0.2])
            )
            materials[garment.material] = shoe(rng, style, seed)
        elif garment.kind in ("trousers", "skirt"):
            materials[garment.material] = _lower_material(garment, middle, rng)
        else:
            materials[garment.material] = _upper_material(garment, middle, rng)
    return materials


def _lower_material(
    garment: Garment, middle: tuple[float, float, float, float], rng: np.random.Generator
) -> Material:
    if garment.kind == "trousers" and rng.random() < 0.5:
        return denim(rng, middle, garment.seed)
    pattern = int(rng.choice([looks.PLAIN, looks.CHECKS, looks.HEATHER, looks.PRINT], p=[0.6, 0.1, 0.2, 0.1]))
    if garment.kind == "trousers" and pattern == looks.PRINT:
        pattern = looks.PLAIN
    palette = ("trousers",) if garment.kind == "trousers" else ("color", "dark", "trousers")
    base = color_of(rng, *palette)
    return cloth(rng, pattern, (base, base * 0.6, color_of(rng, "light")), middle, False, 0, garment.seed)


def _upper_material(
    garment: Garment, middle: tuple[float, float, float, float], rng: np.random.Generator
) -> Material:
    front = {"shirt": 1, "stand": 2 if garment.thickness_mm > 8.9 else 0}.get(garment.collar, 0)
    if front == 2:
        weights = [0.8, 0.0, 0.1, 0.0, 0.0, 0.1]
    elif front == 1:
        weights = [0.4, 0.2, 0.3, 0.1, 0.0, 0.0]
    else:
        weights = [0.2, 0.22, 0.08, 0.16, 0.22, 0.12]
    patterns = [looks.PLAIN, looks.STRIPES, looks.CHECKS, looks.PRINT, looks.CHEST, looks.HEATHER]
    pattern = int(rng.choice(patterns, p=weights))
    base = color_of(rng, "color", "dark", "light")
    other = color_of(rng, "light", "color", "dark")
    if pattern == looks.HEATHER:
        other = base * 0.6 + 0.1
    third = color_of(rng, "light", "color")
    knit = front == 0 and garment.limb > 0.1
    return cloth(rng, pattern, (base, other, third), middle, knit, front, garment.seed)
