"""How a recorded skeleton stands where the body would stand in its zero pose, and which way is up in its file.

Most files rest as a person who stands upright: that pose is the stance, by its quarter turns. In others no joint turned
is no pose of a person (all bones along one axis, or each along its own): then the most upright frame is, and what it
leans, bends and turns is measured. Which way is up is what the frames say, for a root may turn the whole person from
the axes of the zero pose into others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from simulacra.recon.motion.anatomy import SIDES, Anatomy
from simulacra.recon.motion.motion import Motion

# Frames looked at for the way up and for the most upright.
_LOOKED_AT = 500
# Degrees. Trunk and legs of a stance are in line within this; people of most rigs stand within 11.
_IN_LINE = 20.0
_SPREAD = 45.0  # between a leg and the line of the trunk, legs apart
_EVEN_ARMS = 40.0  # between an arm and the mirror image of the other
_STRETCHED = 0.9  # hip to ankle, of thigh and shin
_QUARTER = 12.0  # between a stance's axes and the file's: nearer, they are meant to be these
# Degrees. Between the trunk's median direction and up: people who sit and bend are within the first; who stands
# along another axis than the zero pose's is within the second.
_UPRIGHT, _SURELY_UPRIGHT = 50.0, 30.0
_HIP_HEIGHT = (0.5, 1.4)  # of hips above the origin, in lengths of legs, of somebody who stands


@dataclass(frozen=True)
class Stance:
    """A pose of a recorded skeleton that stands for the body's zero pose.

    Attributes:
        frame: of the motion; None if no joint is turned.
        places: of the joints, `n 3`, in the person's axes: +X left, +Y up, +Z forward, in units of the file.
        turned: file's axes from joint, `n 3 3`, in this pose.
        person: the person's axes from the file's, in this pose.
        world: our world from the file's.
    """

    frame: int | None
    places: Float[np.ndarray, "n 3"]
    turned: Float[np.ndarray, "n 3 3"]
    person: Float[np.ndarray, "3 3"]
    world: Float[np.ndarray, "3 3"]


@dataclass(frozen=True)
class Figure:
    """What is measured of a person in `t` poses; directions have length 1.

    Attributes:
        hips: the middle of both hip joints.
        trunk: from its lower end to its upper.
        across: from the right hip to the left.
        shoulders: from the right shoulder to the left.
        legs: from the middle of the hips to that of the ankles.
        leg: of either side, from hip to ankle.
        arms: of either side, the upper arm and the forearm.
        stretched: from hip to ankle, of the lengths of thigh and shin, the less stretched leg.
        leg_length: of thigh and shin.
    """

    hips: Float[np.ndarray, "t 3"]
    trunk: Float[np.ndarray, "t 3"]
    across: Float[np.ndarray, "t 3"]
    shoulders: Float[np.ndarray, "t 3"]
    legs: Float[np.ndarray, "t 3"]
    leg: Float[np.ndarray, "2 t 3"]
    arms: Float[np.ndarray, "2 2 t 3"]
    stretched: Float[np.ndarray, "t"]
    leg_length: float


def measure_figure(anatomy: Anatomy, places: Float[np.ndarray, "t n 3"]) -> Figure:
    def of(part: str) -> Float[np.ndarray, "2 t 3"]:
        return np.stack([places[:, anatomy.joint(f"{side}_{part}")] for side in SIDES])

    hips, knees, ankles = of("thigh"), of("shin"), of("foot")
    shoulders, elbows, hands = of("upper_arm"), of("forearm"), of("hand")
    lengths = np.linalg.norm(knees - hips, axis=-1) + np.linalg.norm(ankles - knees, axis=-1)
    low, top = trunk_ends(anatomy, places)
    return Figure(
        hips=hips.mean(0),
        trunk=_unit(top - low),
        across=_unit(hips[0] - hips[1]),
        shoulders=_unit(shoulders[0] - shoulders[1]),
        legs=_unit(ankles.mean(0) - hips.mean(0)),
        leg=_unit(ankles - hips),
        arms=np.stack([_unit(elbows - shoulders), _unit(hands - elbows)]),
        stretched=(np.linalg.norm(ankles - hips, axis=-1) / np.maximum(lengths, 1e-12)).min(0),
        leg_length=float(np.median(lengths)),
    )


def trunk_ends(
    anatomy: Anatomy, places: Float[np.ndarray, "t n 3"]
) -> tuple[Float[np.ndarray, "t 3"], Float[np.ndarray, "t 3"]]:
    """The middle of both hip joints, and where the neck begins.

    Not the joint of the pelvis: skeletons have it behind, above or between the hip joints, and in CMU's the lines from
    either to the neck part by twelve degrees.
    """
    hips = places[:, [anatomy.joint(f"{side}_thigh") for side in SIDES]].mean(1)
    return hips, places[:, anatomy.top()].mean(1)


def find_stance(motion: Motion, anatomy: Anatomy) -> Stance:
    """The zero pose if it is a person's who stands, else the most upright frame."""
    rows = np.unique(np.linspace(0, len(motion) - 1, _LOOKED_AT).astype(int))
    places = motion.frames(rows).positions()
    moved = measure_figure(anatomy, places)
    rest = motion.rest_positions()
    still = measure_figure(anatomy, rest[None])
    stands = _stands(still)
    person = _axes_of(still) if stands else np.eye(3)
    up = _find_up(moved, person[1] if stands else None)
    best = int(_crookedness(moved, up).argmin())
    upright = _facing(moved.across[best], up)
    if stands:
        world = person if np.allclose(person[1], up) else _quarter_turn(upright, up)
        return Stance(None, rest @ person.T, np.tile(np.eye(3), (len(rest), 1, 1)), person, world)
    turned = motion.frames(rows[best : best + 1]).global_rotations()[0]
    return Stance(
        frame=int(rows[best]),
        places=places[best] @ upright.T,
        turned=turned,
        person=upright,
        world=_quarter_turn(upright, up),
    )


def _stands(figure: Figure) -> bool:
    """Whether a pose is a person's with straight legs below the trunk, hips across it and even arms."""
    across, trunk = figure.across[0], figure.trunk[0]
    mirrored = figure.arms[:, 1, 0] - 2 * np.outer(figure.arms[:, 1, 0] @ across, across)
    return bool(
        _degrees(trunk, -figure.legs[0]) < _IN_LINE
        and (_degrees(trunk, -figure.leg[:, 0]) < _SPREAD).all()
        and figure.stretched[0] > _STRETCHED
        and abs(_degrees(across, trunk) - 90) < _IN_LINE
        and _degrees(across, figure.shoulders[0]) < _IN_LINE
        and (_degrees(figure.arms[:, 0, 0], mirrored) < _EVEN_ARMS).all()
    )


def _axes_of(figure: Figure) -> Float[np.ndarray, "3 3"]:
    """The person's axes from the file's: by quarter turns if the person stands along the file's axes."""
    exact = _facing(figure.across[0], _unit(figure.trunk[0] - figure.legs[0]))
    near = np.stack([_nearest_axis(row) for row in exact])
    quarter = bool((_degrees(exact, near) < _QUARTER).all()) and np.isclose(np.linalg.det(near), 1)
    return near if quarter else exact


def _find_up(moved: Figure, rest: Float[np.ndarray, "3"] | None) -> Float[np.ndarray, "3"]:
    """Which way is up in the file: the zero pose's, unless the person stands along another axis all the time."""
    axes = np.concatenate([np.eye(3), -np.eye(3)])
    lean = {i: float(np.median(_degrees(moved.trunk, axis))) for i, axis in enumerate(axes)}
    best = min(lean, key=lambda i: lean[i])
    if rest is None:
        # The format's own, if people are anything like upright by it.
        return axes[1] if lean[1] < _UPRIGHT else axes[best]
    if float(np.median(_degrees(moved.trunk, rest))) < _UPRIGHT:
        return rest
    height = float(np.median(moved.hips @ axes[best])) / max(moved.leg_length, 1e-12)
    stands = lean[best] < _SURELY_UPRIGHT and _HIP_HEIGHT[0] < height < _HIP_HEIGHT[1]
    return axes[best] if stands else rest


def _crookedness(moved: Figure, up: Float[np.ndarray, "3"]) -> Float[np.ndarray, "t"]:
    """How far each pose is from a person's who stands upright and looks ahead, arms stretched and not above the head.

    Each term is 1 where people who stand at ease are found.
    """
    elbows = _degrees(moved.arms[0], moved.arms[1]).max(0)
    raised = np.maximum(180 - _degrees(moved.arms[0], up) - 90, 0).max(0)
    terms = (
        _degrees(moved.trunk, up) / 10,
        _degrees(moved.leg, -up).max(0) / 12,
        (1 - moved.stretched) / 0.03,
        np.abs(_degrees(moved.across, up) - 90) / 5,
        _degrees(moved.across, moved.shoulders) / 10,
        elbows / 30,
        raised / 30,
    )
    return np.sum([term**2 for term in terms], axis=0)


def _facing(across: Float[np.ndarray, "3"], up: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3 3"]:
    """Axes from directions to the left and up, the second exactly: rows left, up, forward."""
    level = across - (across @ up) * up
    if np.linalg.norm(level) < 1e-6:
        level = np.eye(3)[np.abs(up).argmin()] - up[np.abs(up).argmin()] * up
    left = _unit(level)
    return np.stack([left, up, np.cross(left, up)])


def _quarter_turn(person: Float[np.ndarray, "3 3"], up: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3 3"]:
    """Axes with this one up in which a person faces forward the most, by quarter turns of the file's."""
    return _facing(_nearest_axis(person[0] * (1 - np.abs(_nearest_axis(up)))), up)


def _nearest_axis(vector: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3"]:
    largest = np.abs(vector).argmax()
    return np.eye(3)[largest] * np.sign(vector[largest])


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def _degrees(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Between directions."""
    return np.asarray(np.degrees(np.arccos(np.clip((_unit(a) * _unit(b)).sum(-1), -1, 1))))
