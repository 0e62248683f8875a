"""Where on a resting person things are: joints, heights, and which part of the body a point of a layer lies on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from simulacra.render.body import BodyModel, RestBody

from .layers import Layer

SIDES = ("l", "r")


@dataclass(frozen=True)
class Measures:
    """Joints and heights of a person at rest, metres; pairs are the left side first.

    Attributes:
        scale: stature over 1.7 m: what margins are multiplied by.
        arms: shoulder, elbow, wrist.
        legs: hip, knee, ankle.
        eyes: height of their middle.
        crown: height of the top of the head.
        head: the middle of the skull.
        ears: their middles.
    """

    scale: float
    waist: float
    crotch: float
    knee: float
    chest: float
    eyes: float
    crown: float
    neck: Float[np.ndarray, "3"]
    head: Float[np.ndarray, "3"]
    ears: Float[np.ndarray, "2 3"]
    arms: tuple[Float[np.ndarray, "3 3"], ...]
    legs: tuple[Float[np.ndarray, "3 3"], ...]

    @property
    def split(self) -> float:
        """The height above which one closed ring goes round both thighs and the trunk."""
        return self.crotch + 0.055 * self.scale


def measure(body: BodyModel, rest: RestBody) -> Measures:
    """The measures of a person at rest."""
    place = {name: rest.T_world_bone[k, :3, 3].numpy() for k, name in enumerate(body.bone_names)}

    def limbs(*bones: str) -> tuple[np.ndarray, ...]:
        return tuple(np.stack([place[f"{bone}.{side}"] for bone in bones]) for side in "LR")

    arms, legs = limbs("upperarm01", "lowerarm01", "wrist"), limbs("upperleg01", "lowerleg01", "foot")
    verts = rest.verts.numpy()
    label = vertex_parts(body)
    trunk = verts[label == "torso"]
    scalp = verts[label == "scalp"]
    hips = float(np.mean([leg[0, 1] for leg in legs]))
    chest = float(np.mean([arm[0, 1] for arm in arms]))
    crown = float(verts[:, 1].max())
    eyes = float(np.mean([place["eye.L"][1], place["eye.R"][1]]))
    # The body model has no bone in the middle of the skull.
    head = np.array([0.0, eyes + 0.25 * (crown - eyes), float((scalp[:, 2].min() + place["eye.L"][2]) / 2)])
    return Measures(
        scale=crown / 1.7,
        waist=hips + 0.2 * (chest - hips),
        crotch=float(trunk[np.abs(trunk[:, 0]) < 0.03, 1].min()),
        knee=float(np.mean([leg[1, 1] for leg in legs])),
        chest=chest,
        eyes=eyes,
        crown=crown,
        neck=place["neck01"],
        head=head,
        ears=np.stack([verts[label == f"ear_{side}"].mean(0) for side in SIDES]),
        arms=arms,
        legs=legs,
    )


def vertex_parts(body: BodyModel) -> np.ndarray:
    """The name of the part of each body vertex."""
    return np.array(body.part_names)[body.part_labels.numpy()]


def share_of(body: BodyModel, layer: Layer, parts: Sequence[str]) -> Float[np.ndarray, " n"]:
    """How much of each vertex of a layer comes from some parts of the body, 0 to 1."""
    return layer.carrier @ np.isin(vertex_parts(body), parts).astype(np.float32)


def faces_of(body: BodyModel, parts: Sequence[str]) -> Bool[np.ndarray, " f"]:
    """The body's faces that lie on some parts, by the vote of their corners."""
    inside = np.isin(vertex_parts(body), parts)
    result: np.ndarray = inside[body.faces.numpy()].sum(1) >= 2
    return result


def along(points: Float[np.ndarray, "n 3"], joints: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, " n"]:
    """How far along a limb of two bones each point lies: 0 at the first joint, 0.5 at the middle one, 1 at the end."""
    upper, lower = joints[1] - joints[0], joints[2] - joints[1]
    first = ((points - joints[0]) @ upper) / (upper @ upper)
    second = ((points - joints[1]) @ lower) / (lower @ lower)
    result: np.ndarray = np.where(second > 0, 0.5 + 0.5 * second, 0.5 * np.minimum(first, 1))
    return result


def axis_point(share: Float[np.ndarray, " n"], joints: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "n 3"]:
    """The place on a limb's bones that ``along`` says; beyond its ends the bones go on straight."""
    first, second = 2 * share[:, None], 2 * share[:, None] - 1
    result: np.ndarray = np.where(
        second < 0, joints[0] + first * (joints[1] - joints[0]), joints[1] + second * (joints[2] - joints[1])
    )
    return result


def limb_length(joints: Float[np.ndarray, "3 3"]) -> float:
    """Metres along both bones."""
    return float(np.linalg.norm(np.diff(joints, axis=0), axis=1).sum())
