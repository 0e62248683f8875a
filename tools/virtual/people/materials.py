"""What surfaces look like: the numbers that the kernels of ``material_kernels.py`` read, and how they are drawn by lot.

All colors are linear light.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from simulacra.render.body import BodyModel, PosedBody, RestBody
from simulacra.render.image import srgb_to_linear

from ..shading_kernels import CLOTH, EYES, HAIR, SHOE, SKIN
from . import material_kernels as looks

Points = Float[np.ndarray, "n 3"]


@dataclass(frozen=True)
class Material:
    """What a layer looks like.

    Attributes:
        kind: which function of the kernels it is.
        numbers: what that takes, in its order.
    """

    kind: int
    numbers: Float[np.ndarray, " p"]


def _material(kind: int, *numbers: object) -> Material:
    flat = [np.atleast_1d(np.asarray(number, np.float32)) for number in numbers]
    return Material(kind, np.concatenate(flat))


def linear(*rgb: float) -> Float[np.ndarray, "3"]:
    """A color given as people give them: sRGB, 0 to 1."""
    return srgb_to_linear(torch.tensor(rgb, dtype=torch.float32)).numpy()


# MediaPipe's canonical landmarks that draw a face, the person's right side first.
LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
MOUTH = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191)
BROWS = ((70, 63, 105, 66, 107), (300, 293, 334, 296, 336))
EYE_RINGS = ((33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246),
             (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466))  # fmt: skip
CHEEKS, NOSE, CHIN = (50, 280), 4, 152


@dataclass(frozen=True)
class FaceMarks:
    """Places of a resting face, metres.

    Attributes:
        numbers: rings of lips and mouth, brows, rings of the eyes, cheeks, tip of the nose, chin, in the rows that
            ``material_kernels.py`` names.
        eyeballs: centre and radius, the right one first.
    """

    numbers: Float[np.ndarray, "k 3"]
    eyeballs: Float[np.ndarray, "2 4"]


def face_marks(body: BodyModel, rest: RestBody) -> FaceMarks:
    """From the body's map of face landmarks."""
    # At rest, not at zero pose: colors are functions of places at rest, and the head is turned a little there.
    still = PosedBody(rest.verts[None], rest.T_world_bone[None], rest.T_world_bone[None])
    points = body.keypoints["face478"](still)[0].numpy()
    labels = np.array(body.part_names)[body.part_labels.numpy()]
    verts = rest.verts.numpy()
    balls = []
    for side in ("r", "l"):
        ball = verts[labels == f"eye_{side}"]
        center = (ball.min(0) + ball.max(0)) / 2
        balls.append(np.append(center, np.linalg.norm(ball - center, axis=1).max()))
    order = [*LIPS, *MOUTH, *BROWS[0], *BROWS[1], *EYE_RINGS[0], *EYE_RINGS[1], *CHEEKS, NOSE, CHIN]
    if len(order) != looks.LAST:
        raise ValueError(f"{len(order)} face landmarks, the kernels read {looks.LAST}")
    return FaceMarks(points[order].astype(np.float32), np.stack(balls).astype(np.float32))


SKIN_TONES = (
    (0.92, 0.76, 0.68),
    (0.85, 0.65, 0.52),
    (0.66, 0.46, 0.33),
    (0.47, 0.31, 0.22),
    (0.30, 0.19, 0.14),
)


def skin_tone(melanin: float) -> Float[np.ndarray, "3"]:
    """From fair (0) to dark (1)."""
    return _blend_stops(SKIN_TONES, melanin)


def hair_color(tone: float) -> Float[np.ndarray, "3"]:
    """From black (0) over brown to blond (1)."""
    stops = (
        (0.07, 0.055, 0.05),
        (0.17, 0.11, 0.075),
        (0.33, 0.21, 0.13),
        (0.50, 0.34, 0.20),
        (0.72, 0.57, 0.37),
    )
    return _blend_stops(stops, tone)


def _blend_stops(stops: tuple[tuple[float, float, float], ...], share: float) -> Float[np.ndarray, "3"]:
    colors = np.stack([linear(*stop) for stop in stops])
    place = float(np.clip(share, 0, 1)) * (len(stops) - 1)
    low = min(int(place), len(stops) - 2)
    result: np.ndarray = colors[low] + (colors[low + 1] - colors[low]) * (place - low)
    return result


@dataclass(frozen=True)
class Coloring:
    """How somebody is colored.

    Attributes:
        melanin: of the skin, 0 fair to 1 dark.
        hair_tone: 0 black to 1 blond.
        grey: share of grey strands.
        red: share of red in the hair.
        stubble: of a beard.
        freckles: 0 to 1.
        lip_red: 0 to 1.
        brow_mm: half their width.
        age: the body model's, which lines are drawn by.
        iris: which of ``IRISES``.
    """

    melanin: float
    hair_tone: float
    grey: float
    red: float
    stubble: float
    freckles: float
    lip_red: float
    brow_mm: float
    age: float
    iris: int

    def hair_root(self) -> Float[np.ndarray, "3"]:
        """The color of hair that is not grey, at its root."""
        plain = hair_color(self.hair_tone)
        result: np.ndarray = plain + self.red * (linear(0.50, 0.22, 0.10) - plain)
        return result


IRISES = ((0.42, 0.26, 0.14), (0.28, 0.17, 0.10), (0.38, 0.50, 0.60), (0.42, 0.46, 0.30), (0.46, 0.49, 0.50))


def body_materials(coloring: Coloring, marks: FaceMarks, seed: int) -> dict[str, Material]:
    """Skin, inside of the mouth, eyes and hair."""
    tone, hair = skin_tone(coloring.melanin), coloring.hair_root()
    grey = linear(0.62, 0.61, 0.59)
    short = hair + 0.8 * coloring.grey * (grey - hair)  # brows and beard: single hairs are not seen
    rest = (coloring.freckles,)
    like_skin = (
        coloring.melanin,
        coloring.stubble,
        seed,
        coloring.age,
        0.001 * coloring.brow_mm,
        coloring.lip_red,
    )
    inner = (coloring.melanin, 0.0, seed, 0.0, 0.0, 0.0)
    return {
        "skin": _material(SKIN, tone, short, like_skin, rest),
        "mouth": _material(SKIN, linear(0.36, 0.13, 0.12), short, inner, (0.0,)),
        "eyes": _material(EYES, linear(*IRISES[coloring.iris]), marks.eyeballs.ravel(), seed),
        "hair": _material(HAIR, hair, hair * 1.3 + 0.004, coloring.grey, seed),
    }


PALETTES = {
    "dark": ((0.11, 0.13, 0.20), (0.10, 0.10, 0.11), (0.20, 0.20, 0.22), (0.22, 0.17, 0.14), (0.16, 0.20, 0.17)),
    "light": ((0.90, 0.89, 0.86), (0.80, 0.78, 0.73), (0.72, 0.76, 0.80), (0.86, 0.80, 0.70), (0.62, 0.63, 0.64)),
    "color": ((0.55, 0.12, 0.13), (0.16, 0.35, 0.28), (0.76, 0.58, 0.24), (0.30, 0.40, 0.58), (0.70, 0.42, 0.38),
               (0.36, 0.24, 0.40), (0.40, 0.45, 0.28), (0.14, 0.33, 0.50), (0.78, 0.50, 0.56), (0.20, 0.50, 0.52)),
    "trousers": ((0.12, 0.13, 0.17), (0.20, 0.21, 0.23), (0.55, 0.48, 0.38), (0.36, 0.34, 0.27), (0.16, 0.19, 0.28),
                 (0.42, 0.30, 0.22), (0.66, 0.63, 0.58)),
}  # fmt: skip


def color_of(rng: np.random.Generator, *palettes: str) -> Float[np.ndarray, "3"]:
    """One color of a palette drawn by lot."""
    stops = PALETTES[palettes[int(rng.integers(len(palettes)))]]
    return linear(*stops[int(rng.integers(len(stops)))])


def cloth(
    rng: np.random.Generator,
    pattern: int,
    colors: tuple[np.ndarray, np.ndarray, np.ndarray],
    middle: tuple[float, float, float, float],
    knit: bool,
    front: int,
    seed: int,
) -> Material:
    """Cloth of a pattern.

    Args:
        middle: x and z of the body's axis, height of the chest, radius of an emblem there, metres.
        front: 0 closed, 1 buttons, 2 zip.
    """
    size = float(rng.uniform(0.02, 0.05))
    # Most dyes are clear at 850 nm; a few blacks are not.
    dark = float(np.mean(colors[0])) < 0.03 and rng.random() < 0.3
    infrared = float(rng.uniform(0.12, 0.25)) if dark else float(rng.uniform(0.52, 0.72))
    return _material(CLOTH, *colors, pattern, size, seed, infrared, knit, front, middle)


def denim(rng: np.random.Generator, middle: tuple[float, float, float, float], seed: int) -> Material:
    """Blue or black jeans."""
    base = ((0.16, 0.21, 0.33), (0.24, 0.32, 0.46), (0.13, 0.13, 0.15), (0.36, 0.44, 0.55))
    chosen = np.array(base[int(rng.integers(4))])
    colors = (linear(*chosen), linear(*np.minimum(chosen + 0.16, 1)), linear(*chosen))
    return cloth(rng, looks.DENIM, colors, middle, False, 0, seed)


def shoe(rng: np.random.Generator, style: int, seed: int) -> Material:
    """Leather shoes, sneakers or canvas shoes."""
    uppers = {
        looks.SHOE_LEATHER: ((0.09, 0.08, 0.08), (0.28, 0.17, 0.10), (0.40, 0.26, 0.15), (0.14, 0.10, 0.09)),
        looks.SHOE_SNEAKER: ((0.88, 0.87, 0.85), (0.15, 0.15, 0.17), (0.45, 0.47, 0.50), (0.16, 0.22, 0.38)),
        looks.SHOE_CANVAS: ((0.12, 0.12, 0.13), (0.55, 0.12, 0.12), (0.14, 0.20, 0.36), (0.75, 0.72, 0.66)),
    }[style]
    upper = linear(*uppers[int(rng.integers(4))])
    dark_sole = style == looks.SHOE_LEATHER
    sole = linear(0.11, 0.10, 0.10) if dark_sole else linear(0.86, 0.85, 0.81)
    accent = (
        linear(0.86, 0.85, 0.81) if style == looks.SHOE_CANVAS else color_of(rng, "color", "dark", "light")
    )
    return _material(SHOE, upper, sole, accent, style, seed, float(rng.uniform(0.22, 0.42)))
