"""What an interrupted observation keeps: landmarks in chunks of frames, and the soft masks.

Everything is written under a temporary name and renamed, so whatever is found is whole. It belongs to one
key (the configuration and the session); another key's leftovers are removed.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast, get_args

import numpy as np
from jaxtyping import Int

from simulacra.recon.observe.observations import MaskSource
from simulacra.recon.runs.files import read_json, write_arrays, write_json
from simulacra.recon.runs.mapped import new_array
from simulacra.recon.runs.records import check_arrays, check_count, read_arrays, record_errors

CHECKPOINT_FOLDER = ".checkpoint"


@dataclass(frozen=True)
class FrameResult:
    """What one frame of one camera showed; `arrays` are rows of the fields of `Observations`."""

    frame: int
    arrays: Mapping[str, np.ndarray]
    mask_source: MaskSource


def empty_arrays() -> dict[str, np.ndarray]:
    """A frame in which nothing was seen."""
    shapes: dict[str, tuple[int, ...]] = {"pose_px": (33, 2), "face_px": (478, 2), "hand_px": (2, 21, 2)}
    shapes |= {"pose_spread_px": (33,), "pose_world": (33, 3)}
    scores = {"pose_visibility": (33,), "pose_score": (), "face_score": (), "hand_score": (2,)}
    absent = {name: np.full(shape, np.nan, dtype=np.float32) for name, shape in shapes.items()}
    return absent | {name: np.zeros(shape, dtype=np.float32) for name, shape in scores.items()}


@dataclass(frozen=True)
class Chunk:
    """What some frames of one camera showed, one after the other.

    Attributes:
        frames: their numbers.
        mask_sources: of each.
        arrays: by field of `Observations`, without its axis of cameras.
    """

    frames: Int[np.ndarray, " n"]
    mask_sources: tuple[MaskSource, ...]
    arrays: Mapping[str, np.ndarray]


class Checkpoint:
    """The kept results of one observation, in a hidden folder inside its own."""

    def __init__(self, folder: Path, key: str) -> None:
        self.root = folder / CHECKPOINT_FOLDER
        mark = self.root / "key.json"
        if self.root.exists() and (not mark.is_file() or read_json(mark).get("key") != key):
            shutil.rmtree(self.root)
        self.fresh = not mark.is_file()
        """Whether nothing is kept yet."""
        if self.fresh:
            write_json(mark, {"key": key})

    def soft_mask_file(self, camera: str, frame: int) -> Path:
        """Where the network's own mask of a frame waits for its refinement."""
        return self.root / camera / f"soft_{frame:06d}.npz"

    def save(self, camera: str, results: Sequence[FrameResult]) -> None:
        """Keeps the results of some frames."""
        if not results:
            return
        stacked = {name: np.stack([result.arrays[name] for result in results]) for name in results[0].arrays}
        frames = np.array([result.frame for result in results], dtype=np.int64)
        sources = np.array([result.mask_source for result in results])
        path = self.root / camera / f"{frames[0]:06d}.npz"
        write_arrays(path, frames=frames, mask_sources=sources, **stacked)

    def iter_chunks(self, camera: str) -> Iterator[Chunk]:
        """What is kept of a camera, some frames at a time.

        Raises:
            RunError: a file is damaged.
        """
        for path in sorted((self.root / camera).glob("[0-9]*.npz")):
            with record_errors(path):
                content = read_arrays(path)
                frames, sources = content.pop("frames"), tuple(map(str, content.pop("mask_sources")))
                check_arrays(Chunk, {"frames": frames})
                check_count("sources of masks", sources, len(frames))
                found = {name: array.shape for name, array in content.items()}
                if found != {name: (len(frames), *array.shape) for name, array in empty_arrays().items()}:
                    raise ValueError(f"not the landmarks of {len(frames)} frames: {found}")
                if not set(sources) <= set(get_args(MaskSource)):
                    raise ValueError(f"no such source of masks: {set(sources)}")
            yield Chunk(frames, cast(tuple[MaskSource, ...], sources), content)

    def replace(self, camera: str, chunk: Chunk, better: Mapping[int, FrameResult]) -> None:
        """Keeps other results of some frames of a chunk."""
        self.save(
            camera,
            [
                better.get(
                    frame,
                    FrameResult(
                        frame, {n: of[row] for n, of in chunk.arrays.items()}, chunk.mask_sources[row]
                    ),
                )
                for row, frame in enumerate(chunk.frames.tolist())
            ],
        )

    def remember(self, name: str, compute: Callable[[], np.ndarray]) -> np.ndarray:
        """What was computed once, also by a run that was stopped since.

        Raises:
            RunError: the file is damaged.
        """
        path = self.root / f"{name}.npz"
        if not path.is_file():
            write_arrays(path, values=compute())
        with record_errors(path):
            return read_arrays(path)["values"]

    def new_array(self, name: str, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """Room on disk to gather what is kept."""
        return new_array(self.root / f"{name}.rows", shape, dtype)

    def remove(self) -> None:
        """Forgets everything: the observation is complete."""
        shutil.rmtree(self.root)
