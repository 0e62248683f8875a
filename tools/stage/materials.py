"""What surfaces look like: colours as functions of the place on the resting body, evaluated where a pixel sees them.

All colours are linear light. A material gives albedo, and how strong and how sharp its highlight is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float

from render.body import BodyModel, RestBody
from render.image import srgb_to_linear

from .noise import fractal_noise

Points = Float[np.ndarray, "n 3"]


@dataclass(frozen=True)
class Finish:
    """Of every point: albedo, the highlight's strength, its sharpness (Blinn-Phong exponent), and the albedo at
    850 nm, where depth cameras light.
    """

    albedo: Float[np.ndarray, "n 3"]
    specular: Float[np.ndarray, " n"]
    sharpness: Float[np.ndarray, " n"]
    infrared: Float[np.ndarray, " n"]


@runtime_checkable
class Material(Protocol):
    """Anything that says what a point of a surface looks like."""

    def finish(self, origin: Points) -> Finish: ...


def linear(*rgb: float) -> Float[np.ndarray, "3"]:
    """A colour given as people give them: sRGB, 0 to 1."""
    return srgb_to_linear(torch.tensor(rgb, dtype=torch.float32)).numpy()


# MediaPipe's canonical landmarks that draw a face.
LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
MOUTH = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191)
BROWS = ((70, 63, 105, 66, 107), (300, 293, 334, 296, 336))
EYES = ((33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246),
        (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466))  # fmt: skip
CHEEKS, NOSE, CHIN = (50, 280), 4, 152


@dataclass(frozen=True)
class FaceMarks:
    """Places of a resting face, metres."""

    lips: Points
    mouth: Points
    brows: tuple[Points, ...]
    eyes: tuple[Points, ...]
    eyeballs: tuple[Float[np.ndarray, "4"], ...]
    cheeks: Points
    nose: Float[np.ndarray, "3"]
    chin: Float[np.ndarray, "3"]


def face_marks(body: BodyModel, rest: RestBody) -> FaceMarks:
    """From the body's map of face landmarks; eyeballs are centre and radius."""
    points = body.keypoints_at("face478", rest, body.zero_pose())[0].numpy()
    labels = np.array(body.part_names)[body.part_labels.numpy()]
    verts = rest.verts.numpy()
    balls = []
    for side in ("r", "l"):
        ball = verts[labels == f"eye_{side}"]
        center = (ball.min(0) + ball.max(0)) / 2
        balls.append(np.append(center, np.linalg.norm(ball - center, axis=1).max()))
    take = [np.asarray(points[list(which)]) for which in (LIPS, MOUTH, *BROWS, *EYES, CHEEKS)]
    return FaceMarks(
        take[0],
        take[1],
        tuple(take[2:4]),
        tuple(take[4:6]),
        tuple(balls),
        take[6],
        points[NOSE],
        points[CHIN],
    )


def _inside(points: Points, outline: Points, soft: float) -> Float[np.ndarray, " n"]:
    """How far inside an outline, seen from the front: 0 outside, 1 inside, over ``soft`` metres in between."""
    xy, ring = points[:, None, :2], outline[:, :2]
    after = np.roll(ring, -1, 0)
    crosses = (ring[:, 1] > xy[..., 1]) != (after[:, 1] > xy[..., 1])
    at = ring[:, 0] + (xy[..., 1] - ring[:, 1]) / np.where(
        after[:, 1] == ring[:, 1], 1, after[:, 1] - ring[:, 1]
    ) * (after[:, 0] - ring[:, 0])
    within = (crosses & (xy[..., 0] < at)).sum(1) % 2 == 1
    distance = _to_line(points[:, :2], np.concatenate([ring, ring[:1]]))[0]
    return np.clip(0.5 + np.where(within, distance, -distance) / soft, 0, 1)


def _to_line(points: np.ndarray, line: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance to a polyline, and how far along it the nearest place is, 0 to 1."""
    start, edge = line[:-1], np.diff(line, axis=0)
    t = ((points[:, None] - start) * edge).sum(-1) / np.maximum((edge * edge).sum(-1), 1e-12)
    t = np.clip(t, 0, 1)
    distance = np.linalg.norm(points[:, None] - (start + t[..., None] * edge), axis=-1)
    best = distance.argmin(1)
    rows = np.arange(len(points))
    return distance[rows, best], (best + t[rows, best]) / len(start)


def _mix(first: np.ndarray, second: np.ndarray, share: np.ndarray) -> np.ndarray:
    return first + (second - first) * share[:, None]


@dataclass(frozen=True)
class HairColor:
    """Hair: every strand a little different, lighter to the tip, with the two highlights drawn by its noise."""

    root: Float[np.ndarray, "3"]
    tip: Float[np.ndarray, "3"]
    grey: float

    @staticmethod
    def of_tone(tone: float, grey: float) -> HairColor:
        """From black (0) over brown to blond (1)."""
        stops = np.stack(
            [
                linear(0.05, 0.04, 0.04),
                linear(0.20, 0.12, 0.07),
                linear(0.42, 0.27, 0.15),
                linear(0.72, 0.56, 0.34),
            ]
        )
        place = np.clip(tone, 0, 1) * 3
        low = min(int(place), 2)
        color = stops[low] + (stops[low + 1] - stops[low]) * (place - low)
        return HairColor(color, color * 1.35, grey)

    def finish(self, origin: Points) -> Finish:
        strand, along, across = origin.T
        color = _mix(self.root, self.tip, along)
        silver = linear(0.66, 0.65, 0.63)
        color = _mix(color, silver, np.where(np.modf(strand * 97.0)[0] < 0.8 * self.grey, 0.8, 0.0))
        shade = 0.55 + 0.75 * np.modf(strand * 31.0)[0] - 0.25 * np.abs(across)
        infrared = np.clip(0.06 + 0.7 * (color * shade[:, None]).mean(1), 0.05, 0.6)
        return Finish(color * shade[:, None], 0.10 + 0.1 * along, np.full(len(origin), 24.0), infrared)


@dataclass(frozen=True)
class Skin:
    """Skin with blood under it, brows, lips, and pores.

    Attributes:
        melanin: 0 fair to 1 dark. stubble: of a beard, 0 to 1. scalp: how much hair colours the skin under it.
    """

    melanin: float
    marks: FaceMarks
    hair: HairColor
    stubble: float
    scalp: float
    seed: int

    def finish(self, origin: Points) -> Finish:
        stops = np.stack(
            [
                linear(0.93, 0.76, 0.67),
                linear(0.85, 0.64, 0.50),
                linear(0.62, 0.42, 0.30),
                linear(0.32, 0.20, 0.15),
            ]
        )
        place = np.clip(self.melanin, 0, 0.999) * 3
        tone = stops[int(place)] + (stops[int(place) + 1] - stops[int(place)]) * (place - int(place))
        mottle = fractal_noise(origin, self.seed + 1, 4, 0.05)
        color = tone * (1 + 0.10 * mottle[:, None] * np.array([0.6, 1.0, 1.1]))
        pores = fractal_noise(origin, self.seed + 2, 2, 0.0022)
        color = color * (1 + 0.05 * pores[:, None])
        blush = self._near(origin, self.marks.cheeks, 0.022) + 0.8 * self._near(
            origin, self.marks.nose[None], 0.016
        )
        color = color * (
            1 - (0.22 * (1 - 0.6 * self.melanin) * np.clip(blush, 0, 1))[:, None] * np.array([0.1, 1.0, 0.8])
        )
        front = origin[:, 2] > self.marks.nose[2] - 0.075
        face = front & (origin[:, 1] > self.marks.chin[1] - 0.03)
        sharp = np.full(len(origin), 14.0)
        gloss = np.full(len(origin), 0.05)
        if face.any():
            color[face] = self._face(origin[face], color[face], tone)
            sharp[face], gloss[face] = 18.0, 0.07
        # Melanin hardly absorbs there; blood and water take the rest.
        infrared = 0.58 - 0.06 * self.melanin + 0.02 * mottle
        return Finish(np.clip(color, 0.002, 1), gloss, sharp, infrared)

    def _face(self, points: Points, color: np.ndarray, tone: np.ndarray) -> np.ndarray:
        lips = _inside(points, self.marks.lips, 0.0025) * (1 - 0.0 * points[:, 0])
        red = tone * np.array([0.80, 0.48, 0.48])
        color = _mix(
            color,
            red * (1 + 0.12 * fractal_noise(points * [1, 0.25, 1], self.seed + 3, 2, 0.002))[:, None],
            0.85 * lips,
        )
        color = _mix(color, tone * 0.12, 0.85 * _inside(points, self.marks.mouth, 0.0018))
        for brow in self.marks.brows:
            distance, along = _to_line(points[:, :2], brow[:, :2])
            width = 0.0052 * np.clip(1.15 - 0.8 * np.abs(along - 0.62), 0.25, 1)
            strokes = 0.75 + 0.6 * fractal_noise(points * [1.0, 0.35, 0.3], self.seed + 4, 2, 0.0016)
            color = _mix(
                color,
                self.hair.root,
                np.clip((width - distance) / 0.003, 0, 1) * np.clip(strokes, 0, 1) * 0.9,
            )
        for eye in self.marks.eyes:
            ring = np.concatenate([eye, eye[:1]])[:, :2]
            distance, _ = _to_line(points[:, :2], ring)
            color = _mix(color, tone * 0.45, 0.5 * np.clip(1 - distance / 0.006, 0, 1))
            lash = np.clip(1 - distance / 0.0016, 0, 1)
            color = _mix(color, np.full(3, 0.012), 0.9 * lash)
        if self.stubble:
            below = np.clip((self.marks.lips[:, 1].max() + 0.014 - points[:, 1]) / 0.02, 0, 1)
            grain = 0.6 + 0.8 * fractal_noise(points, self.seed + 5, 2, 0.0012)
            color = _mix(color, self.hair.root, self.stubble * below * np.clip(grain, 0, 1) * (1 - lips))
        return color

    @staticmethod
    def _near(points: Points, places: Points, reach: float) -> np.ndarray:
        squared = ((points[:, None] - places) ** 2).sum(-1) / reach**2
        return np.exp(-squared).sum(1)


IRISES = ((0.30, 0.18, 0.09), (0.20, 0.11, 0.06), (0.32, 0.45, 0.56), (0.38, 0.44, 0.26))


@dataclass(frozen=True)
class Eyes:
    """White with a coloured iris of true size (11.8 mm across) that looks straight ahead at rest."""

    marks: FaceMarks
    iris: int
    seed: int

    def finish(self, origin: Points) -> Finish:
        white, color = linear(0.90, 0.87, 0.85), linear(*IRISES[self.iris])
        side = (origin[:, 0] > 0).astype(int)
        balls = np.stack(self.marks.eyeballs)[side]
        offset = origin - balls[:, :3]
        across = np.linalg.norm(offset[:, :2], axis=1)
        across = np.where(offset[:, 2] > 0, across, 1.0)
        angle = np.arctan2(offset[:, 1], offset[:, 0])
        rays = fractal_noise(
            np.stack([6 * np.cos(angle), 6 * np.sin(angle), 80 * across], 1), self.seed, 2, 1.0
        )
        albedo = np.tile(white, (len(origin), 1)) * (
            1 - 0.25 * np.clip(across / 0.012, 0, 1)[:, None] * [0.2, 0.6, 0.6]
        )
        albedo = _mix(albedo, color * 0.25, np.clip((0.0062 - across) / 0.0005, 0, 1))
        albedo = _mix(
            albedo, color[None] * (1 + 0.5 * rays[:, None]), np.clip((0.0056 - across) / 0.0006, 0, 1)
        )
        albedo = _mix(albedo, np.full(3, 0.004), np.clip((0.0023 - across) / 0.0004, 0, 1))
        return Finish(
            np.clip(albedo, 0.002, 1),
            np.full(len(origin), 0.6),
            np.full(len(origin), 220.0),
            np.clip(0.15 + 0.4 * albedo.mean(1), 0, 1),
        )


PALETTE = ((0.13, 0.16, 0.26), (0.09, 0.09, 0.10), (0.86, 0.85, 0.82), (0.55, 0.10, 0.12), (0.20, 0.38, 0.30),
           (0.80, 0.62, 0.30), (0.36, 0.44, 0.58), (0.60, 0.52, 0.44), (0.74, 0.46, 0.40), (0.30, 0.22, 0.38),
           (0.42, 0.46, 0.30), (0.16, 0.34, 0.52))  # fmt: skip


@dataclass(frozen=True)
class Cloth:
    """Woven cloth: plain, striped, checked, printed or denim."""

    pattern: str
    colors: Float[np.ndarray, "k 3"]
    size: float
    seed: int

    @staticmethod
    def sample(rng: np.random.Generator, kind: str, seed: int) -> Cloth:
        patterns = (
            ("plain", "stripes", "checks", "print")
            if kind == "top"
            else ("plain", "denim", "checks", "plain")
        )
        weights = (0.35, 0.25, 0.2, 0.2) if kind != "trousers" else (0.4, 0.4, 0.1, 0.1)
        chosen = str(rng.choice(patterns, p=weights))
        tones = np.stack([linear(*PALETTE[k]) for k in rng.choice(len(PALETTE), 3, replace=False)])
        return Cloth(chosen, tones, float(rng.uniform(0.018, 0.05)), seed)

    def finish(self, origin: Points) -> Finish:
        bent = origin + 0.004 * fractal_noise(origin, self.seed + 9, 2, 0.15)[:, None]
        first, second, third = self.colors
        color = np.tile(first, (len(origin), 1))
        if self.pattern == "stripes":
            color = _mix(color, second, _band(bent[:, 1], self.size, 0.42))
        elif self.pattern == "checks":
            around = np.arctan2(bent[:, 0], bent[:, 2] + 0.02) * 0.16
            color = _mix(color, second, 0.55 * _band(bent[:, 1], self.size, 0.4))
            color = _mix(color, second, 0.55 * _band(around, self.size, 0.4))
            color = _mix(color, third, 0.8 * _band(bent[:, 1] + 0.3 * self.size, self.size, 0.06))
        elif self.pattern == "print":
            spots = fractal_noise(bent, self.seed + 3, 2, 1.6 * self.size)
            color = _mix(color, second, np.clip((spots - 0.18) / 0.03, 0, 1))
            color = _mix(color, third, np.clip((-spots - 0.3) / 0.03, 0, 1))
        elif self.pattern == "denim":
            color = np.tile(linear(0.20, 0.27, 0.42), (len(origin), 1))
            worn = np.clip(0.5 + 1.2 * fractal_noise(bent, self.seed + 5, 3, 0.25), 0, 1)
            color = _mix(color, linear(0.42, 0.50, 0.62), 0.45 * worn)
        weave = fractal_noise(origin, self.seed + 6, 2, 0.003)
        fade = fractal_noise(origin, self.seed + 7, 2, 0.2)
        color = color * (1 + 0.10 * weave + 0.07 * fade)[:, None]
        color = np.clip(color, 0.002, 1)
        infrared = np.clip(0.62 + 0.2 * (color.mean(1) - 0.3), 0.5, 0.8)  # dyes are clear there
        return Finish(color, np.full(len(origin), 0.015), np.full(len(origin), 8.0), infrared)


def _band(value: np.ndarray, period: float, share: float) -> np.ndarray:
    """1 within bands that take a share of each period, with edges half a millimetre soft."""
    place = np.abs(np.mod(value, period) - period / 2)
    return np.clip((share * period / 2 - place) / 0.0008 + 0.5, 0, 1)


@dataclass(frozen=True)
class Leather:
    """Shoes: an upper of one colour over a lighter sole."""

    color: Float[np.ndarray, "3"]
    sole: Float[np.ndarray, "3"]
    seed: int

    @staticmethod
    def sample(rng: np.random.Generator, seed: int) -> Leather:
        tones: Sequence[tuple[float, float, float]] = (
            (0.07, 0.06, 0.06),
            (0.30, 0.18, 0.10),
            (0.88, 0.87, 0.85),
            (0.25, 0.27, 0.32),
        )
        dark, light = linear(0.12, 0.11, 0.11), linear(0.85, 0.84, 0.80)
        return Leather(
            linear(*tones[int(rng.integers(len(tones)))]), light if rng.random() < 0.6 else dark, seed
        )

    def finish(self, origin: Points) -> Finish:
        sole = np.clip((0.016 - origin[:, 1]) / 0.002, 0, 1)
        color = _mix(np.tile(self.color, (len(origin), 1)), self.sole, sole)
        color = color * (1 + 0.12 * fractal_noise(origin, self.seed, 3, 0.03))[:, None]
        color = np.clip(color, 0.002, 1)
        infrared = np.clip(0.22 + 0.3 * color.mean(1), 0.2, 0.5)
        return Finish(color, np.full(len(origin), 0.12), np.full(len(origin), 40.0), infrared)
