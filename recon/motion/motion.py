"""A recorded motion: a skeleton of offsets, and how its joints turn and move in each frame."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float, Int

from simulacra.render.runtime.errors import InputError

# Frames by joints: a rotation is 72 bytes, and a few copies of all of them are in memory at once. A quarter of an hour
# of 80 joints at 120 frames a second is 8.6 million.
MOST_TURNS = 10_000_000
# Frames by which the last one may be missed: 0.0333333 s, as it is written, is not quite a thirtieth.
_FULL = 1e-3


@dataclass(frozen=True)
class Motion:
    """A skeleton in `t` frames of motion, in the units and axes of its file.

    Attributes:
        names: of the joints, parents before children; an end site is a joint called after its parent with `_end`.
        parents: -1 for the root, which is the first.
        offsets: of each joint from its parent in the zero pose; of the root from the origin.
        rotations: local, parent from joint; identity in the zero pose.
        root_positions: of the root joint, its offset included.
        fps: frames a second.
        shifts: `t 3`, by joint: where joints that move against their parents are from these, instead of their offsets.
    """

    names: tuple[str, ...]
    parents: Int[np.ndarray, "n"]
    offsets: Float[np.ndarray, "n 3"]
    rotations: Float[np.ndarray, "t n 3 3"]
    root_positions: Float[np.ndarray, "t 3"]
    fps: float
    shifts: Mapping[int, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rotations)

    def end_sites(self) -> set[int]:
        """What only says where a chain ends."""
        inner = set(self.parents.tolist())
        return {
            joint
            for joint, (name, parent) in enumerate(zip(self.names, self.parents, strict=True))
            if joint and joint not in inner and name.startswith(f"{self.names[parent]}_end")
        }

    def global_rotations(self) -> Float[np.ndarray, "t n 3 3"]:
        """World from joint; identity in the zero pose."""
        turned = self.rotations.copy()
        for joint, parent in enumerate(self.parents):
            if parent >= 0:
                turned[:, joint] = turned[:, parent] @ self.rotations[:, joint]
        return turned

    def positions(self) -> Float[np.ndarray, "t n 3"]:
        """Of all joints in the world."""
        turned = self.global_rotations()
        places = np.repeat(self.root_positions[:, None], len(self.names), axis=1)
        for joint, parent in enumerate(self.parents):
            if parent >= 0:
                shift = self.shifts.get(joint, self.offsets[joint])
                places[:, joint] = places[:, parent] + (turned[:, parent] @ shift[..., None]).squeeze(-1)
        return places

    def rest_positions(self) -> Float[np.ndarray, "n 3"]:
        """Of all joints, no joint turned, the root at the origin."""
        places = np.zeros_like(self.offsets)
        for joint, parent in enumerate(self.parents):
            if parent >= 0:
                places[joint] = places[parent] + self.offsets[joint]
        return places

    def frames(self, rows: Int[np.ndarray, "m"]) -> Motion:
        """The motion of these frames."""
        return replace(
            self,
            rotations=self.rotations[rows],
            root_positions=self.root_positions[rows],
            shifts={joint: shift[rows] for joint, shift in self.shifts.items()},
        )

    def resampled(self, fps: float) -> Motion:
        """The same motion at another rate: positions linearly, rotations along the shortest arc between frames.

        Raises:
            InputError: the rate is not a positive number, or gives more frames than a motion may have.
        """
        if not (math.isfinite(fps) and fps > 0):
            raise InputError(
                "A motion cannot be resampled to this rate", expected="frames a second above zero", found=fps
            )
        count = math.floor(min((len(self) - 1) / self.fps * fps, 2.0 * MOST_TURNS) + _FULL) + 1
        if count * len(self.names) > MOST_TURNS:
            raise InputError(
                "A motion cannot be resampled to this rate",
                expected=f"at most {MOST_TURNS // len(self.names)} frames of {len(self.names)} joints",
                found=f"{(len(self) - 1) / self.fps:g} s at {fps:g} frames a second",
            )
        at = np.arange(count) * (self.fps / fps)
        before = np.minimum(at.astype(np.int64), len(self) - 1)
        after = np.minimum(before + 1, len(self) - 1)
        share = (at - before)[:, None]
        between = np.swapaxes(self.rotations[before], -1, -2) @ self.rotations[after]
        return replace(
            self,
            rotations=self.rotations[before] @ _partial(between, share),
            root_positions=_between(self.root_positions, before, after, share),
            shifts={joint: _between(shift, before, after, share) for joint, shift in self.shifts.items()},
            fps=fps,
        )


def _between(
    values: Float[np.ndarray, "t 3"],
    before: Int[np.ndarray, "m"],
    after: Int[np.ndarray, "m"],
    share: Float[np.ndarray, "m 1"],
) -> Float[np.ndarray, "m 3"]:
    return values[before] * (1 - share) + values[after] * share


def _partial(
    rotations: Float[np.ndarray, "t n 3 3"], share: Float[np.ndarray, "t 1"]
) -> Float[np.ndarray, "t n 3 3"]:
    """Rotations by a share of their angle, about their axis."""
    from scipy.spatial.transform import Rotation

    vectors = Rotation.from_matrix(rotations.reshape(-1, 3, 3)).as_rotvec().reshape(*rotations.shape[:2], 3)
    return (
        Rotation.from_rotvec((vectors * share[..., None]).reshape(-1, 3)).as_matrix().reshape(rotations.shape)
    )
