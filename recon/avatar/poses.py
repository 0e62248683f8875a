"""The fit's poses, refined by photographs: small turns of the main bones that training finds through the rasterizer.

A fit is as good as its landmarks, which err alike from frame to frame (hips and knees at the hems of clothes) and for
themselves in each. So a correction has two parts, one that all frames share and one of each frame. Both are turns
added to the pose's own axis-angles and a move of the root, and both are held to the fit by what it knew: joints that
it was sure of hardly move. A frame whose colors were held out takes what lies between the corrections of the training
frames before and after it; nothing of it is looked at.

Symbols: ``t`` training frames, ``j`` all bones, ``m`` the turned ones, ``c`` joints whose covariance is known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from simulacra.recon.avatar.placement import Person
from simulacra.recon.fit import BodyFit
from simulacra.recon.fit.certainty import JOINTS
from simulacra.recon.runs.files import write_arrays
from simulacra.recon.runs.records import check_arrays, read_arrays, record_errors
from simulacra.render.body import BodyPose, BodyShape

POSES = "poses.npz"
OF_BODY_POSES = ("pose_turn", "pose_move", "pose_turns", "pose_moves")
# Bones that carry more than themselves; fingers, toes and eyes are too small to be seen from across a room.
TURNED = (
    "root", "spine05", "spine03", "spine01", "neck01", "head",
    *(f"{name}.{side}" for side in "LR" for name in (
        "clavicle", "upperarm01", "lowerarm01", "wrist", "upperleg01", "lowerleg01", "foot",
    )),
)  # fmt: skip
# Where a fit says nothing of its certainty: the standard deviation of a joint in each axis, metres.
USUAL_SPREAD_M = 0.015
# And of each turn beyond what joints say, for twists and ends of chains: radians.
USUAL_TURN = 0.1


@dataclass(frozen=True)
class PoseCorrections:
    """What training found about the poses of its frames.

    Attributes:
        frames: of the session, in rising order.
        bones: numbers of the turned ones in the body.
        turns: added to their axis-angles, radians.
        moves: added to the translation, metres.
    """

    frames: Int[np.ndarray, " t"]
    bones: Int[np.ndarray, " m"]
    turns: Float[np.ndarray, "t m 3"]
    moves: Float[np.ndarray, "t 3"]

    def at(
        self, frames: Int[np.ndarray, " n"]
    ) -> tuple[Float[np.ndarray, "n m 3"], Float[np.ndarray, "n 3"]]:
        """Turns and moves in any frames: linear in time between the two around, the nearest one's beyond the ends."""
        place = np.interp(frames, self.frames, np.arange(len(self.frames)))
        before = np.minimum(place.astype(int), len(self.frames) - 1)
        after = np.minimum(before + 1, len(self.frames) - 1)
        part = place - before
        turns, moves = (
            each[before] + part.reshape(-1, *[1] * (each.ndim - 1)) * (each[after] - each[before])
            for each in (self.turns, self.moves)
        )
        return turns, moves

    def apply(self, fit: BodyFit) -> BodyFit:
        """The fit with its poses corrected in every frame; all else is as it was."""
        return replace(fit, pose=self._corrected(fit.pose, fit.frames))

    def of_person(self, person: Person) -> Person:
        """The person in corrected poses."""

        def pose_of(frame: int, camera: str | None) -> BodyPose:
            return self._corrected(person.pose_of(frame, camera), np.array([frame]))

        return replace(person, pose_of=pose_of)

    def _corrected(self, pose: BodyPose, frames: Int[np.ndarray, " n"]) -> BodyPose:
        turns, moves = (torch.from_numpy(each).to(pose.rotations) for each in self.at(frames))
        rotations = pose.rotations.index_add(1, torch.from_numpy(self.bones), turns)
        return replace(pose, rotations=rotations, translation=pose.translation + moves)


class PosesInTraining:
    """The parameters of the corrections, what they make of a pose, and what they cost.

    Args:
        person: whose poses are corrected.
        frames: of training, in rising order.
        device: on which is trained.
    """

    def __init__(self, person: Person, frames: Sequence[int], device: torch.device) -> None:
        body = person.body if device == person.body.device else person.body.to(device=device)
        self.body, self.frames, self.device = body, tuple(sorted(frames)), device
        shape = BodyShape(person.shape.phenotypes.to(device), person.shape.local_changes.to(device))
        self._rest = body.rest(shape)
        self.bones, self._heads = (
            torch.tensor(
                [body.bone_names.index(name) for name in names if name in body.bone_names], device=device
            )
            for names in (TURNED, JOINTS)
        )
        self._rows = {frame: row for row, frame in enumerate(self.frames)}
        self._precisions = self._precisions_of(person)

    def start(self) -> dict[str, Tensor]:
        """No correction."""
        turn, frames = torch.zeros(len(self.bones), 3, device=self.device), len(self.frames)
        return {
            "pose_turn": turn,
            "pose_move": turn.new_zeros(3),
            "pose_turns": turn.repeat(frames, 1, 1),
            "pose_moves": turn.new_zeros(frames, 3),
        }

    def correction(self, leaves: Mapping[str, Tensor], frame: int) -> Correction:
        """Of the poses of one training frame; differentiable in the leaves."""
        row = self._rows[frame]
        turn = leaves["pose_turn"] + leaves["pose_turns"][row]
        return Correction(self, turn, leaves["pose_move"] + leaves["pose_moves"][row], self._precisions[row])

    def corrections(self, tensors: Mapping[str, Tensor]) -> PoseCorrections:
        """What was found, as it is kept."""
        turns = tensors["pose_turn"] + tensors["pose_turns"]
        moves = tensors["pose_move"] + tensors["pose_moves"]
        return PoseCorrections(
            np.asarray(self.frames), self.bones.cpu().numpy(), turns.cpu().numpy(), moves.cpu().numpy()
        )

    def joints(self, pose: BodyPose) -> Float[Tensor, "c 3"]:
        """Heads of the joints whose covariance is known, world, of a pose of one frame."""
        nobody = torch.zeros(0, dtype=torch.long)
        return self.body.pose(self._rest, pose, vertices=nobody).T_world_bone[0, self._heads, :3, 3]

    def _precisions_of(self, person: Person) -> Float[Tensor, "t c 3 3"]:
        usual = np.broadcast_to(np.eye(3) * USUAL_SPREAD_M**2, (len(self._heads), 3, 3))
        of_frame = person.joint_covariance_of or (lambda _: None)
        known = [of_frame(frame) for frame in self.frames]
        inverse = np.linalg.inv(
            np.stack([usual if each is None else each for each in known]).astype(np.float64)
        )
        return torch.from_numpy(inverse).float().to(self.device)


class Correction:
    """One frame's, to be asked for its cost once it has corrected the pose that is drawn.

    Attributes:
        cost: half the mean square of how far joints moved, in the fit's own uncertainty, and of turns likewise.
    """

    def __init__(
        self,
        poses: PosesInTraining,
        turn: Float[Tensor, "m 3"],
        move: Float[Tensor, "3"],
        precisions: Float[Tensor, "c 3 3"],
    ) -> None:
        self._poses, self._turn, self._move, self._precisions = poses, turn, move, precisions
        self.cost: Float[Tensor, ""] = move.new_zeros(())

    def __call__(self, pose: BodyPose) -> BodyPose:
        """The pose, corrected."""
        rotations = pose.rotations.index_add(1, self._poses.bones, self._turn[None])
        corrected = replace(pose, rotations=rotations, translation=pose.translation + self._move)
        with torch.no_grad():
            before = self._poses.joints(pose)
        moved = self._poses.joints(corrected) - before
        strain = torch.einsum("ci,cij,cj->c", moved, self._precisions, moved).mean()
        self.cost = 0.5 * (strain + self._turn.square().sum(-1).mean() / USUAL_TURN**2)
        return corrected


def pose_rates(rate: float) -> dict[str, float]:
    """Adam's step sizes, by tensor: radians, and a third as many metres."""
    return {name: rate / 3 if "move" in name else rate for name in OF_BODY_POSES}


def save_corrections(path: Path, found: PoseCorrections) -> None:
    """Writes them as arrays by the names of their fields."""
    write_arrays(path, **vars(found))


def load_corrections(path: Path) -> PoseCorrections | None:
    """Reads them; None where no poses were corrected.

    Raises:
        RunError: the file is damaged.
    """
    if not path.is_file():
        return None
    with record_errors(path):
        arrays = read_arrays(path)
        check_arrays(PoseCorrections, arrays)
        found = PoseCorrections(**arrays)
        if not len(found.frames) or (np.diff(found.frames) <= 0).any() or (found.bones < 0).any():
            raise ValueError("the corrections are not of frames in rising order, or of no bones")
    return found
