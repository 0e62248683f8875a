"""The fitted person of a session: one shape, a pose for every frame, and how well it explains the detections."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from simulacra.recon.fit.doubts import Doubt, doubts_from_json
from simulacra.recon.observe.presence import count_views, views_needed
from simulacra.recon.runs.files import read_json, write_arrays, write_json
from simulacra.recon.runs.records import check_arrays, check_count, read_arrays, record_errors
from simulacra.recon.session import Session
from simulacra.render.body import BodyPose, BodyShape
from simulacra.render.body.between import pose_between

ARRAYS_FILE = "fit.npz"
FACTS_FILE = "fit.json"
SCHEMA = 1
SHAPE_FIELDS = ("phenotypes", "local_changes")
POSE_FIELDS = ("rotations", "translation", "expression")


@dataclass(frozen=True)
class BodyFit:
    """A person fitted to a session.

    Attributes:
        shape: of the person.
        pose: in every frame, in order of ``frames``.
        frames: numbers in the session.
        cameras: the only cameras that were looked at.
        time_offsets: how many frames each camera lags; the pose of frame i is what camera c shows at i + offset.
        bias: learned offsets of the detector's landmarks in their bones' frames, metres.
        residual_px: pixels between each pose landmark's detection (sides put right, clocks aligned) and the
            projection of the body's keypoint, without the learned offset; NaN where not detected.
        confidence: of those detections.
        summary: medians and counts for people and reports.
        viewmats: of these cameras as the fit used them, where the landmarks asked for small turns
            (`recon.multiview.turns`); None where they are the session's.
        floor_m: height of the floor over the world's origin; None where no depth shows it.
        joint_covariance: of the heads of `recon.fit.certainty.JOINTS`, world axes, square metres; None where the
            equations do not say and of fits of earlier versions.
        seen: which vertices of the body each camera saw at some moment (`recon.fit.seen`); None of fits of earlier
            versions.
        doubts: what is wrong with the evidence (`recon.fit.doubts`); none of fits of earlier versions.
    """

    shape: BodyShape
    pose: BodyPose
    frames: Int[np.ndarray, " t"]
    cameras: tuple[str, ...]
    time_offsets: Float[np.ndarray, " c"]
    bias: Float[np.ndarray, "33 3"]
    residual_px: Float[np.ndarray, "t c 33"]
    confidence: Float[np.ndarray, "t c 33"]
    summary: Mapping[str, Any]
    viewmats: Float[np.ndarray, "c 4 4"] | None = None
    floor_m: float | None = None
    seen: Bool[np.ndarray, "c v"] | None = None
    joint_covariance: Float[np.ndarray, "t j 3 3"] | None = None
    doubts: tuple[Doubt, ...] = ()

    @property
    def views(self) -> Int[np.ndarray, " t"]:
        """How many cameras saw the person in each frame."""
        return count_views(self.confidence)

    @property
    def held(self) -> Bool[np.ndarray, " t"]:
        """Frames in which enough cameras saw the person: two, or the only one. In the others the pose is what lies
        between those around.
        """
        return self.views >= views_needed(len(self.cameras))

    def adjusted(self, session: Session) -> Session:
        """The session with its cameras as the fit used them; those that it did not see stay as they are."""
        if self.viewmats is None:
            return session
        found = dict(zip(self.cameras, self.viewmats, strict=True))
        return replace(
            session,
            cameras=tuple(
                replace(camera, viewmat=found.get(camera.name, camera.viewmat)) for camera in session.cameras
            ),
        )

    def row(self, frame: int) -> int:
        """Position of a session's frame in this record.

        Raises:
            KeyError: the frame was not fitted.
        """
        row = self._places.get(frame)
        if row is None:
            raise KeyError(f"frame {frame} was not fitted")
        return row

    def pose_of(self, frame: int, camera: str | None = None) -> BodyPose:
        """The pose of one frame, a batch of one: at the session's own time, or at the time when a camera that lags or
        leads recorded the frame, between the two fitted poses next to it. A camera that the fit did not see is taken
        to keep the session's time.

        Raises:
            KeyError: the frame was not fitted.
        """
        row = self.row(frame)
        lag = float(self.time_offsets[self.cameras.index(camera)]) if camera in self.cameras else 0.0
        if lag == 0:
            return self._rows(row)
        place = float(np.interp(frame - lag, self.frames, np.arange(len(self.frames))))
        before = min(int(place), len(self.frames) - 1)
        after = min(before + 1, len(self.frames) - 1)
        return pose_between(self._rows(before), self._rows(after), place - before)

    def joint_covariance_of(self, frame: int) -> Float[np.ndarray, "j 3 3"] | None:
        """`joint_covariance` of one frame.

        Raises:
            KeyError: the frame was not fitted.
        """
        return None if self.joint_covariance is None else self.joint_covariance[self.row(frame)]

    @cached_property
    def _places(self) -> dict[int, int]:
        return {int(frame): row for row, frame in enumerate(self.frames)}

    def _rows(self, row: int) -> BodyPose:
        one, pose = slice(row, row + 1), self.pose
        return BodyPose(pose.rotations[one], pose.translation[one], pose.expression[one])


def save_fit(fit: BodyFit, folder: Path) -> None:
    """Writes ``fit.npz`` and ``fit.json``."""
    write_arrays(
        folder / ARRAYS_FILE,
        phenotypes=fit.shape.phenotypes.detach().numpy(),
        local_changes=fit.shape.local_changes.detach().numpy(),
        rotations=fit.pose.rotations.detach().numpy(),
        translation=fit.pose.translation.detach().numpy(),
        expression=fit.pose.expression.detach().numpy(),
        frames=fit.frames,
        **({} if fit.viewmats is None else {"viewmats": fit.viewmats}),
        **({} if fit.seen is None else {"seen": fit.seen}),
        **({} if fit.joint_covariance is None else {"joint_covariance": fit.joint_covariance}),
        time_offsets=fit.time_offsets,
        bias=fit.bias,
        residual_px=fit.residual_px,
        confidence=fit.confidence,
    )
    facts = {"schema": SCHEMA, "cameras": list(fit.cameras), "floor_m": fit.floor_m}
    facts |= {"doubts": [doubt.as_json() for doubt in fit.doubts]}
    write_json(folder / FACTS_FILE, facts | {"summary": dict(fit.summary)})


def load_fit(folder: Path) -> BodyFit:
    """Reads back what `save_fit` wrote.

    Raises:
        RunError: the files are missing or damaged.
    """
    facts = read_json(folder / FACTS_FILE)
    floor = facts.get("floor_m")  # runs of earlier versions have none
    with record_errors(folder / ARRAYS_FILE):
        arrays = read_arrays(folder / ARRAYS_FILE)
        parts = {
            kind: {name: torch.from_numpy(arrays.pop(name)) for name in names}
            for kind, names in ((BodyShape, SHAPE_FIELDS), (BodyPose, POSE_FIELDS))
        }
        for kind, tensors in parts.items():
            check_arrays(kind, tensors)
        check_arrays(BodyFit, arrays)
        check_count("cameras", facts["cameras"], len(arrays["time_offsets"]))
        if len(parts[BodyPose]["rotations"]) != len(arrays["frames"]):
            raise ValueError("there is not one pose for each frame")
        return BodyFit(
            shape=BodyShape(**parts[BodyShape]),
            pose=BodyPose(**parts[BodyPose]),
            cameras=tuple(map(str, facts["cameras"])),
            summary=dict(facts["summary"]),
            floor_m=floor if floor is None else float(floor),
            doubts=doubts_from_json(facts.get("doubts", ())),
            **arrays,
        )
