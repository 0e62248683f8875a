"""Which way is up in a calibration's world: every source votes, and a tie is said to be one.

Cameras are mounted level as a rule, with the picture upright: up is then at right angles to all their x axes, however
much they look up or down. Mounted on their side it is at right angles to the y axes; some rigs are mixed. Each
direction is scored by how well it explains the rolls of all cameras under each way of mounting, and by where it puts
them about the person that they look at: around rather than over and under, above rather than below. A direction that is
an axis of the calibration is likelier beforehand. What else is known (gravity in a file, a person who stands, a floor)
joins as votes, each with an error and a doubt.

Scores are natural logarithms of odds. Their constants say what rigs are like, and were set so that hardly any of a
thousand random rigs came out wrong: `docs/calibration.md` has the figures.

Symbols: ``c`` cameras, ``m`` and ``s`` directions, ``k`` ways to mount a camera.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

# A direction must be so much likelier than any that is APART from it: twenty to one.
CLEAR_LEAD = 3.0
APART = 40.0
# Kinds of rigs: how common, and how their cameras are mounted: the picture's up, right, left or down is up.
_RIGS = (
    (0.970, (0.985, 0.005, 0.005, 0.005)),
    (0.012, (0.005, 0.985, 0.005, 0.005)),
    (0.012, (0.005, 0.005, 0.985, 0.005)),
    (0.001, (0.005, 0.005, 0.005, 0.985)),
    (0.005, (0.500, 0.200, 0.200, 0.100)),
)
# Rolls err by this (Student's t of two degrees of freedom), degrees; a camera may stand as it likes once in so many.
_ROLL, _ODD = 5.0, 0.005
# Mounts are not truer than this, whatever few of them agree on, degrees.
_LEAST_ROLL = 0.5
# What is farther off says nothing of the horizon, degrees.
_UNLEVEL = 20.0
# Elevations of cameras about what they look at: of their mean, over and under it, and among them, degrees.
_OVER, _UNDER, _AMONG = 22.0, 10.0, 30.0
# Below this a camera looks up from under a floor: so much less likely each, and at most.
_BURIED, _BURIED_COST, _BURIED_MOST = -50.0, 3.0, 12.0
# What it costs to have all cameras one over the other instead of around.
_STACKED = 6.0
# That an axis of the calibration is up, against any direction: z as surveyors and boards on a floor have it (boards
# with z downwards are common too), y as graphics and level cameras have it.
_AXES = {"+z": 5.0, "-z": 3.6, "+y": 4.5, "-y": 4.5, "+x": 1.5, "-x": 1.5}
# If the world is one camera's own frame its axes are where that camera's picture may have up, however it is mounted.
_AXES_OF_CAMERA = {"-y": 4.5, "+x": 4.5, "-x": 4.5}
_NEAR_AXIS = 1.0
_GRID, _STARTS = 600, 6


@dataclass(frozen=True)
class UpVote:
    """What one source says.

    Attributes:
        source: in words.
        direction: unit, in the calibration's world.
        error_deg: its standard error.
        doubt: how likely it is to be altogether wrong.
    """

    source: str
    direction: Float[np.ndarray, "3"]
    error_deg: float
    doubt: float


@dataclass(frozen=True)
class UpCandidate:
    """A direction that may be up.

    Attributes:
        direction: unit, in the calibration's world.
        lead: logarithm of its odds against the likeliest direction that is not near it; not positive but for the best.
        roll_deg: rms roll of the cameras about it, each from the way it is most likely mounted.
        turned: how many cameras are then not upright.
    """

    direction: Float[np.ndarray, "3"]
    lead: float
    roll_deg: float
    turned: int


def rank_ups(
    viewmats: Float[np.ndarray, "c 4 4"], votes: Sequence[UpVote] = (), most: int = 4
) -> tuple[UpCandidate, ...]:
    """Directions that may be up, APART from each other, the likeliest first.

    Args:
        viewmats: world to camera.
        votes: of sources other than the cameras.
        most: how many.
    """
    directions = np.concatenate([_sphere(_GRID), list(_axes().values())])
    directions = np.concatenate([directions, *(vote.direction[None] for vote in votes)])
    scores = up_scores(viewmats, directions, votes)
    starts = _apart_from_each_other(directions, scores, _STARTS)
    climbed, heights = _climb(viewmats, directions[starts], scores[starts], votes)
    kept = _apart_from_each_other(climbed, heights, max(most, 2))
    best = heights[kept]
    rivals = np.where(np.arange(len(best)) == 0, best[1] if len(best) > 1 else -np.inf, best[0])
    return tuple(
        _candidate(viewmats, climbed[number], float(heights[number] - rival))
        for number, rival in zip(kept[:most], rivals)
    )


def up_scores(
    viewmats: Float[np.ndarray, "c 4 4"], directions: Float[np.ndarray, "m 3"], votes: Sequence[UpVote] = ()
) -> Float[np.ndarray, " m"]:
    """Logarithms of the odds that unit directions are up, up to a constant."""
    local = np.einsum("cij,mj->mci", viewmats[:, :3, :3], directions)
    fits = _fits(local)
    kinds = [np.log(part) + np.log(fits @ np.array(mounts)).sum(axis=1) for part, mounts in _RIGS]
    total = np.logaddexp.reduce(kinds, axis=0) + _score_places(local[..., 2])
    total -= _STACKED * _share_upwards(viewmats, directions) ** 2
    own = (np.abs(viewmats[:, :3, :3] - np.eye(3)).max(axis=(1, 2)) < 1e-3).any()
    for name, axis in _axes().items():
        near = angles_between(directions, axis) < _NEAR_AXIS
        total += near * (_AXES_OF_CAMERA if own and len(viewmats) > 1 else _AXES).get(name, 0.0)
    for vote in votes:
        squared = (angles_between(directions, vote.direction) / vote.error_deg) ** 2
        total += np.log((1 - vote.doubt) * np.exp(-squared / 2) + vote.doubt)
    return total


def lean_of(
    viewmats: Float[np.ndarray, "c 4 4"], up: Float[np.ndarray, "3"], votes: Sequence[UpVote] = ()
) -> float:
    """Angle between a direction and the nearest of those that are about as likely to be up as any, degrees.

    0 where the direction is one of them, however many others there are: a tie is no evidence against it.
    """
    candidates = rank_ups(viewmats, votes)
    best, claimed = up_scores(viewmats, np.stack([candidates[0].direction, up]), votes)
    if claimed > best - CLEAR_LEAD:
        return 0.0
    likely = [one.direction for one in candidates if one is candidates[0] or one.lead > -CLEAR_LEAD]
    return float(angles_between(np.stack(likely), up).min())


def level_up(
    viewmats: Float[np.ndarray, "c 4 4"], near: Float[np.ndarray, "3"]
) -> tuple[Float[np.ndarray, "3"], float]:
    """Up by the horizons alone, near a direction, unit; and its standard error in degrees, infinite where they leave it
    open.

    A level camera's x axis (y axis, on its side) is horizontal however much it looks up or down, so up is the direction
    most nearly at right angles to all of them (the smallest singular vector). Cameras that look the same way leave
    their common pitch open: there it is the mean of where their pictures have up.
    """
    level, pictures, off, _ = _mounting(viewmats, near)
    sure = np.abs(off) < _UNLEVEL
    if sure.sum() >= 3:
        _, sizes, directions = np.linalg.svd(level[sure])
        # The second axis must be spanned well (20 degrees between cameras) for the level plane to be known.
        if sizes[1] >= 0.34 * sizes[0]:
            up = directions[2] * (1.0 if directions[2] @ near >= 0 else -1.0)
            roll = np.degrees(np.sqrt((np.arcsin(np.clip(level[sure] @ up, -1, 1)) ** 2).mean()))
            free = sure.sum() / max(sure.sum() - 2, 1)
            return up, float(max(roll, _LEAST_ROLL) * np.sqrt(free) / sizes[1])
    mean = pictures.mean(axis=0)
    return mean / max(float(np.linalg.norm(mean)), 1e-12), np.inf


def _mounting(
    viewmats: Float[np.ndarray, "c 4 4"], up: Float[np.ndarray, "3"]
) -> tuple[
    Float[np.ndarray, "c 3"], Float[np.ndarray, "c 3"], Float[np.ndarray, " c"], Int[np.ndarray, " c"]
]:
    """Of each camera under an up: the axis that is level, where the picture has up, how far the axis is from level in
    degrees, and the number of the way in which the camera is mounted.
    """
    way = _fits((viewmats[:, :3, :3] @ up)[None])[0].argmax(axis=1)
    x, y = viewmats[:, 0, :3], viewmats[:, 1, :3]
    number = np.arange(len(way))
    level = np.stack([x, y, y, x])[way, number]
    pictures = np.stack([-y, x, -x, y])[way, number]
    return level, pictures, np.degrees(np.arcsin(np.clip(level @ up, -1, 1))), way


def _fits(local: Float[np.ndarray, "m c 3"]) -> Float[np.ndarray, "m c k"]:
    """How well an up in the cameras' frames agrees with each way to mount them: 1 exactly, _ODD not at all."""
    right, up = local[..., 0], -local[..., 1]
    along = np.stack([up, right, -right, -up], axis=-1)
    across = np.stack([right, up, up, right], axis=-1)
    length = np.hypot(right, up)[..., None]
    off = np.degrees(np.where(along > 0, np.abs(across), length))
    return _ODD + (1 - _ODD) / (1 + (off / _ROLL) ** 2) ** 1.5


def _score_places(ahead: Float[np.ndarray, "m c"]) -> Float[np.ndarray, " m"]:
    """What elevations are worth; ``ahead`` is how much of the viewing direction is up."""
    elevation = -np.degrees(np.arcsin(np.clip(ahead, -1, 1)))
    mean, among = elevation.mean(axis=1), elevation.std(axis=1)
    buried = np.minimum(_BURIED_COST * (elevation < _BURIED).sum(axis=1), _BURIED_MOST)
    return -((mean / np.where(mean > 0, _OVER, _UNDER)) ** 2 + (among / _AMONG) ** 2) / 2 - buried


def _share_upwards(
    viewmats: Float[np.ndarray, "c 4 4"], directions: Float[np.ndarray, "m 3"]
) -> Float[np.ndarray, " m"]:
    """How much of the cameras' spread in space is along a direction; 0 where there is none."""
    centres = -np.einsum("cji,cj->ci", viewmats[:, :3, :3], viewmats[:, :3, 3])
    spread = np.cov(centres, rowvar=False, bias=True)
    return np.einsum("mi,ij,mj->m", directions, spread, directions) / max(float(np.trace(spread)), 1e-12)


def _apart_from_each_other(
    directions: Float[np.ndarray, "m 3"], scores: Float[np.ndarray, " m"], most: int
) -> list[int]:
    """Numbers of the best directions of which each is APART from those before it."""
    chosen: list[int] = []
    left = np.ones(len(directions), dtype=bool)
    while left.any() and len(chosen) < most:
        chosen.append(int(np.where(left, scores, -np.inf).argmax()))
        left &= angles_between(directions, directions[chosen[-1]]) > APART
    return chosen


def _climb(
    viewmats: Float[np.ndarray, "c 4 4"],
    starts: Float[np.ndarray, "s 3"],
    scores: Float[np.ndarray, " s"],
    votes: Sequence[UpVote],
) -> tuple[Float[np.ndarray, "s 3"], Float[np.ndarray, " s"]]:
    """The best directions near some, by rings that close in on them, and their scores."""
    best, heights = starts.copy(), scores.copy()
    turns = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    for radius in np.radians([4, 4, 2, 1, 0.5, 0.25, 0.1]):
        across = np.linalg.svd(best[:, None])[2][:, 1:]
        around = np.cos(turns)[:, None] * across[:, None, 0] + np.sin(turns)[:, None] * across[:, None, 1]
        tried = np.cos(radius) * best[:, None] + np.sin(radius) * around
        found = up_scores(viewmats, tried.reshape(-1, 3), votes).reshape(len(best), -1)
        row, column = np.arange(len(best)), found.argmax(axis=1)
        better = found[row, column] > heights
        best = np.where(better[:, None], tried[row, column], best)
        heights = np.where(better, found[row, column], heights)
    return best, heights


def _candidate(
    viewmats: Float[np.ndarray, "c 4 4"], direction: Float[np.ndarray, "3"], lead: float
) -> UpCandidate:
    _, _, off, way = _mounting(viewmats, direction)
    return UpCandidate(direction, lead, float(np.sqrt((off**2).mean())), int((way > 0).sum()))


def angles_between(
    directions: Float[np.ndarray, "m 3"], one: Float[np.ndarray, "3"]
) -> Float[np.ndarray, " m"]:
    """Degrees between unit directions and another."""
    return np.degrees(np.arccos(np.clip(directions @ one, -1, 1)))


def _axes() -> dict[str, Float[np.ndarray, "3"]]:
    return {name: (1.0 if name[0] == "+" else -1.0) * np.eye(3)["xyz".index(name[1])] for name in _AXES}


def _sphere(count: int) -> Float[np.ndarray, "m 3"]:
    """Directions spread evenly: Fibonacci's spiral."""
    number = np.arange(count) + 0.5
    z = 1 - 2 * number / count
    turn = np.pi * (1 + 5**0.5) * number
    flat = np.sqrt(1 - z * z)
    return np.stack([flat * np.cos(turn), flat * np.sin(turn), z], axis=1)
