"""What was seen in a session: landmarks of every frame and camera, and where the masks lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

import cv2
import numpy as np
from jaxtyping import Float, Int

from simulacra.recon.observe.presence import count_views, name_ranges
from simulacra.recon.runs.files import read_json, write_json
from simulacra.recon.runs.mapped import map_arrays, pack_arrays
from simulacra.recon.runs.records import check_arrays, check_count, record_errors
from simulacra.render.image import read_mask
from simulacra.render.runtime.whole_files import whole_file

MaskSource = Literal["session", "pose", "selfie", "none"]

ARRAYS_FILE = "observations.npz"
FACTS_FILE = "observations.json"
MASKS_FOLDER = "masks"
SCHEMA = 1
# Masks are many and simple: runs of equal pixels are all that a compressor needs to find.
_PNG = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]

_FIELDS = (
    "pose_px",
    "pose_visibility",
    "pose_spread_px",
    "pose_score",
    "face_px",
    "face_score",
    "hand_px",
    "hand_score",
    "pose_world",
)


@dataclass(frozen=True)
class Observations:
    """Landmarks in image pixels (pixel (0, 0)'s centre at (0.5, 0.5)), float32; NaN positions and 0 scores
    where absent.

    Symbols: ``t`` frames, ``c`` cameras.

    Attributes:
        frames: the frames' numbers in the session.
        cameras: the cameras' names.
        pose_px: 33 body landmarks, the person's own left and right.
        pose_visibility: 0..1, in the image and not hidden.
        pose_spread_px: how far several looks of the network differ; large where it does not know. 0 of a
            single look.
        pose_score: 0..1, that a person is there.
        face_px: 468 points of the face mesh and 10 of the irises.
        face_score: 0..1.
        hand_px: 21 points of the left (0) and right (1) hand.
        hand_score: 0..1.
        pose_world: the network's guess of the 33 landmarks in metres about the mid hip, in the axes of a camera that
            looks straight at the person (x right, y down, z away); not a measurement. None of observations of
            earlier versions.
        mask_sources: where each camera's masks come from, one entry a frame.
        folder: where the masks lie.
    """

    frames: Int[np.ndarray, "t"]
    cameras: tuple[str, ...]
    pose_px: Float[np.ndarray, "t c 33 2"]
    pose_visibility: Float[np.ndarray, "t c 33"]
    pose_spread_px: Float[np.ndarray, "t c 33"]
    pose_score: Float[np.ndarray, "t c"]
    face_px: Float[np.ndarray, "t c 478 2"]
    face_score: Float[np.ndarray, "t c"]
    hand_px: Float[np.ndarray, "t c 2 21 2"]
    hand_score: Float[np.ndarray, "t c 2"]
    mask_sources: Mapping[str, tuple[MaskSource, ...]] = field(default_factory=dict)
    folder: Path = Path()
    pose_world: Float[np.ndarray, "t c 33 3"] | None = None

    def mask(self, frame: int, camera: str) -> Float[np.ndarray, "h w"] | None:
        """The person in one frame (its number in the session) of one camera, 0..1; None where there is no
        mask.

        Raises:
            KeyError: no such frame or camera here.
            InputError: the file is gone or damaged.
        """
        if self.mask_source(frame, camera) == "none":
            return None
        return read_mask(mask_file(self.folder, camera, frame))

    def views_with_person(self, cameras: Sequence[str]) -> Int[np.ndarray, "t"]:
        """How many of these cameras see a body in each frame."""
        columns = [self.cameras.index(name) for name in cameras]
        return count_views((self.pose_visibility * self.pose_score[..., None])[:, columns])

    def has(self, frame: int, camera: str) -> bool:
        """Whether it was looked at a frame of a camera."""
        return frame in self._places and camera in self.mask_sources

    def mask_source(self, frame: int, camera: str) -> MaskSource:
        """Where the mask of one frame of one camera comes from.

        Raises:
            KeyError: no such frame or camera here.
        """
        if not self.has(frame, camera):
            raise KeyError(f"frame {frame} of camera {camera} was not observed")
        return self.mask_sources[camera][self._places[frame]]

    @cached_property
    def _places(self) -> dict[int, int]:
        return {int(frame): place for place, frame in enumerate(self.frames)}


def mask_file(folder: Path, camera: str, frame: int) -> Path:
    """Where the mask of a frame lies."""
    return folder / MASKS_FOLDER / camera / f"{frame:06d}.png"


def write_mask(path: Path, mask: Float[np.ndarray, "h w"]) -> None:
    """Writes a mask as 8 bit grey PNG, whole or not at all."""
    pixels = np.round(mask * 255.0).astype(np.uint8)
    with whole_file(path) as stream:
        stream.write(cv2.imencode(".png", pixels, _PNG)[1].tobytes())


def save_observations(observations: Observations, folder: Path) -> None:
    """Writes ``observations.npz`` and ``observations.json``; the masks are there already."""
    fields = {name: getattr(observations, name) for name in _FIELDS}
    arrays = {name: array for name, array in fields.items() if array is not None}
    pack_arrays(folder / ARRAYS_FILE, {"frames": observations.frames, **arrays})
    facts = {
        "schema": SCHEMA,
        "cameras": list(observations.cameras),
        "mask_sources": {camera: list(sources) for camera, sources in observations.mask_sources.items()},
        "seen": {
            camera: _count_detections(observations, index)
            for index, camera in enumerate(observations.cameras)
        },
        "frames_without_person": name_ranges(
            observations.frames.tolist(), observations.views_with_person(observations.cameras) == 0
        ),
    }
    write_json(folder / FACTS_FILE, facts)


def _count_detections(observations: Observations, camera: int) -> dict[str, int]:
    return {
        "frames": len(observations.frames),
        "persons": int((observations.pose_score[:, camera] > 0).sum()),
        "faces": int((observations.face_score[:, camera] > 0).sum()),
        "left_hands": int((observations.hand_score[:, camera, 0] > 0).sum()),
        "right_hands": int((observations.hand_score[:, camera, 1] > 0).sum()),
    }


def load_observations(folder: Path) -> Observations:
    """Reads back what `save_observations` wrote; landmarks stay on disk until they are looked at.

    Raises:
        RunError: the files are missing or damaged.
    """
    facts = read_json(folder / FACTS_FILE)
    with record_errors(folder / ARRAYS_FILE):
        arrays = map_arrays(folder / ARRAYS_FILE)
        frames = np.array(arrays.pop("frames"))
        check_arrays(Observations, arrays | {"frames": frames})
        check_count("cameras", facts["cameras"], arrays["pose_score"].shape[1])
        for sources in facts["mask_sources"].values():
            check_count("sources of masks", sources, len(frames))
            if not set(sources) <= set(get_args(MaskSource)):
                raise ValueError(f"no such source of masks: {set(sources) - set(get_args(MaskSource))}")
        return Observations(
            frames=frames,
            cameras=tuple(map(str, facts["cameras"])),
            mask_sources={camera: tuple(sources) for camera, sources in facts["mask_sources"].items()},
            folder=folder,
            **arrays,
        )
