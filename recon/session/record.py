"""A captured session on disk: cameras, frames, and files that are read one at a time.

    session.json                 who, when, under which consent; cameras; which file holds which frame
    images/CAM/FRAME.ext         or videos/CAM.mp4
    depth/CAM/FRAME.png          uint16, in the camera's depth units
    masks/CAM/FRAME.png          the person

Cameras are pinhole to everything that reads a session. Where the source has a lens, its model is kept (`lens`) and
images are undistorted as they are read: a video is not encoded a second time. What is wrong with the description
is said when it is loaded; what is wrong with a file, when it is read.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float

from simulacra.recon.session.fingerprint import hash_files, recorded_names
from simulacra.recon.session.lens import Lens, undistortion_maps
from simulacra.recon.session.reference import read_reference
from simulacra.recon.session.video import iter_video, read_video_frame
from simulacra.render.camera import Cameras
from simulacra.render.image import read_image, read_mask, read_uint16
from simulacra.render.runtime.errors import InputError

# No file system has longer names; asking for one is an error of the system's, not of ours.
LONGEST_NAME = 255
# Of any system that this runs on; with the session's own folder before it.
LONGEST_PATH = 4096
# Pixels of a picture of which little is kept in memory.
LARGE_PICTURE = 4_000_000


@dataclass(frozen=True)
class SessionCamera:
    """One camera.

    Attributes:
        K: pixels, zero skew, first pixel centre at (0.5, 0.5).
        viewmat: world to camera, metres.
        lens: of the files; None where they are pinhole images already.
        depth_scale: units of the depth files in a metre; None without depth.
    """

    name: str
    width: int
    height: int
    K: Float[np.ndarray, "3 3"]
    viewmat: Float[np.ndarray, "4 4"]
    lens: Lens | None = None
    depth_scale: float | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """Where one camera's picture of a frame is: a file, and its number in it if that is a video."""

    file: str
    number: int | None = None
    time: float | None = None


@dataclass(frozen=True, slots=True)
class Frame:
    """One moment, with the cameras that recorded it."""

    index: int
    sources: Mapping[str, Source]


@dataclass(frozen=True)
class Session:
    """A session; see the module's docstring for its files.

    Attributes:
        notes: what the importer changed, assumed or found odd, for people.
        about: subject, consent, retention, importer and its arguments, as session.json has them.
        reference: file of joints measured another way, never fitted to; None where there is none.
        description_digest: sha256 of what session.json says, consent and reference aside.
    """

    root: Path
    cameras: tuple[SessionCamera, ...]
    frames: tuple[Frame, ...]
    notes: tuple[str, ...]
    about: Mapping[str, Any]
    reference: str | None = None
    description_digest: str = ""

    @property
    def camera_names(self) -> tuple[str, ...]:
        return tuple(camera.name for camera in self.cameras)

    @property
    def frame_indices(self) -> tuple[int, ...]:
        return tuple(frame.index for frame in self.frames)

    def camera(self, name: str) -> SessionCamera:
        """The camera of that name.

        Raises:
            KeyError: there is none.
        """
        return next_named(self.cameras, name)

    def cameras_as_tensors(self, name: str) -> Cameras:
        """The camera as a batch of one, float32."""
        camera = self.camera(name)
        viewmats = torch.from_numpy(camera.viewmat.astype(np.float32))[None]
        return Cameras(
            viewmats, torch.from_numpy(camera.K.astype(np.float32))[None], camera.width, camera.height
        )

    def frame(self, index: int) -> Frame:
        """The frame of that index.

        Raises:
            KeyError: there is none.
        """
        place = self._places.get(index)
        if place is None:
            raise KeyError(f"the session has no frame {index}")
        return self.frames[place]

    def with_cameras(self, names: Sequence[str]) -> Session:
        """The session as if only these cameras had been there: what training is handed.

        Frames that none of them recorded are not in it.
        """
        frames = [
            Frame(frame.index, {name: source for name, source in frame.sources.items() if name in names})
            for frame in self.frames
        ]
        cameras = tuple(camera for camera in self.cameras if camera.name in names)
        return replace(self, cameras=cameras, frames=tuple(frame for frame in frames if frame.sources))

    def has(self, frame_index: int, camera: str) -> bool:
        """Whether the camera recorded that frame."""
        return camera in self.frame(frame_index).sources

    def image(self, frame_index: int, camera: str) -> Float[np.ndarray, "h w 3"]:
        """The undistorted picture.

        Raises:
            InputError: missing, unreadable, or not of the camera's size.
        """
        source = self._source(frame_index, camera)
        path = self.path(source.file)
        if source.number is None:
            return self._undistort_image(read_image(path), camera, path)
        pixels = read_video_frame(path, source.number)
        return self._undistort_image(pixels.astype(np.float32) / 255, camera, path)

    def iter_images(self, camera: str, frame_indices: Sequence[int]) -> Iterator[Float[np.ndarray, "h w 3"]]:
        """Pictures of rising frames, each video decoded once from its start; one picture in memory."""
        sources = [self._source(index, camera) for index in frame_indices]
        start = 0
        while start < len(sources):
            file = sources[start].file
            if sources[start].number is None:
                yield self.image(frame_indices[start], camera)
                start += 1
                continue
            end = start
            while end < len(sources) and sources[end].file == file and sources[end].number is not None:
                end += 1
            path = self.path(file)
            for pixels in iter_video(path, [source.number or 0 for source in sources[start:end]]):
                yield self._undistort_image(pixels.astype(np.float32) / 255, camera, path)
            start = end

    def mask(self, frame_index: int, camera: str) -> Float[np.ndarray, "h w"] | None:
        """The session's own mask of the person, 0..1, or None."""
        path = self.path(f"masks/{camera}/{frame_index:06d}.png")
        if not path.exists():
            return None
        return self._undistort_image(read_mask(path), camera, path)

    def depth(
        self, frame_index: int, camera: str
    ) -> tuple[Float[np.ndarray, "h w"], Bool[np.ndarray, "h w"]] | None:
        """Depth along the axis in metres and where it is known, at the size of the images, or None."""
        path = self.path(f"depth/{camera}/{frame_index:06d}.png")
        scale = self.camera(camera).depth_scale
        if scale is None or not path.exists():
            return None
        raw = read_uint16(path).astype(np.float32)
        depth = self._undistort_image(raw, camera, path, nearest=True) / np.float32(scale)
        return depth, depth > 0

    def reference_joints(self) -> tuple[tuple[str, ...], tuple[int, ...], Float[np.ndarray, "t k 3"]] | None:
        """Names, frame indices and world positions in metres of joints measured another way, or None."""
        return None if self.reference is None else read_reference(self.path(self.reference))

    def fingerprint(self) -> str:
        """sha256 over the description and every byte of the files that a run reads: what it hashes as its input.

        Who agreed to what is not in it, nor what only judges a result (the reference, `truth`): neither changes a
        pixel. See `fingerprint`, and `truth.evidence_fingerprint`.

        Raises:
            InputError: a file leads out of the session, or may not be read.
        """
        contents = hash_files(self, recorded_names(self))
        return hashlib.sha256(f"{self.description_digest}\n{contents}".encode()).hexdigest()

    def path(self, relative: str) -> Path:
        """A file of the session.

        Raises:
            InputError: the name leads out of the session's folder.
        """
        parts = [os.fsencode(part) if _is_text(part) else b"\0" for part in relative.split("/")]
        longest = len(os.fsencode(self.root.absolute())) + 1 + sum(len(part) + 1 for part in parts)
        if any(b"\0" in part or len(part) > LONGEST_NAME for part in parts) or longest > LONGEST_PATH:
            raise InputError(
                "a session names a file that cannot be", where=self.root, found=repr(relative)[:80]
            )
        try:
            path = (self.root / relative).resolve()
        except (OSError, RuntimeError) as error:  # a loop of links
            raise InputError(
                "a session names a file that cannot be", where=self.root, found=repr(relative)[:80]
            ) from error
        if not path.is_relative_to(self.root.resolve()):
            raise InputError("a session names a file outside of its folder", where=self.root, found=relative)
        return path

    @cached_property
    def _places(self) -> dict[int, int]:
        return {frame.index: place for place, frame in enumerate(self.frames)}

    def _source(self, frame_index: int, camera: str) -> Source:
        source = self.frame(frame_index).sources.get(camera)
        if source is None:
            raise KeyError(f"camera {camera} did not record frame {frame_index}")
        return source

    def _undistort_image(
        self, image: np.ndarray, camera_name: str, path: Path, nearest: bool = False
    ) -> np.ndarray:
        """Checks the size and takes the lens out."""
        camera = self.camera(camera_name)
        if image.shape[:2] != (camera.height, camera.width):
            raise InputError(
                "an image is not of its camera's size",
                where=path,
                expected=f"{camera.width}x{camera.height}",
                found=f"{image.shape[1]}x{image.shape[0]}",
                remedy="import the session again with images and calibration of one recording",
            )
        if camera.lens is None:
            return image
        maps = _undistortion(camera.lens, tuple(camera.K.ravel()), camera.width, camera.height)
        return cv2.remap(image, *maps, cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR)


def _is_text(name: str) -> bool:
    """Whether a file can be called so: half a surrogate pair is no character."""
    return not any("\ud800" <= character <= "\udfff" for character in name)


def next_named(cameras: Sequence[SessionCamera], name: str) -> SessionCamera:
    """The camera of that name."""
    for camera in cameras:
        if camera.name == name:
            return camera
    raise KeyError(f"no camera {name}; there are {', '.join(camera.name for camera in cameras)}")


def _undistortion(lens: Lens, K: tuple[float, ...], width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    return (_few_maps if width * height > LARGE_PICTURE else _many_maps)(lens, K, width, height)


def _make_maps(lens: Lens, K: tuple[float, ...], width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    return undistortion_maps(lens, np.asarray(K).reshape(3, 3), width, height)


# Those of large pictures are 66 MB each (4K): only of the cameras that are being read.
_few_maps, _many_maps = lru_cache(maxsize=3)(_make_maps), lru_cache(maxsize=16)(_make_maps)
