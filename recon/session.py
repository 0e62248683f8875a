"""A captured session on disk: cameras, frames, and files that are read one at a time.

    session.json                 who, when, under which consent; cameras; which file holds which frame
    images/CAM/FRAME.ext         or videos/CAM.mp4
    depth/CAM/FRAME.png          uint16, in the camera's depth units
    masks/CAM/FRAME.png          the person

Cameras are pinhole to everything that reads a session. Where the source has a lens, its OpenCV coefficients are kept
and images are undistorted as they are read: a video is not encoded a second time. What is wrong with the description
is said when it is loaded; what is wrong with a file, when it is read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pydantic
import torch
from jaxtyping import Bool, Float

from recon.video import iter_video, read_video_frame
from render.camera import Cameras
from render.errors import CalibrationError, InputError
from render.image import read_image, read_mask, read_uint16

SCHEMA = 1
SESSION_FILE = "session.json"
# A rotation out of a text file with six digits is orthonormal to this.
ROTATION_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Lens:
    """OpenCV distortion coefficients (k1 k2 p1 p2 [k3 [k4 k5 k6]]) of the recorded images."""

    distortion: tuple[float, ...]


@dataclass(frozen=True)
class SessionCamera:
    """One camera.

    Attributes:
        K: pixels, zero skew, first pixel centre at (0.5, 0.5). viewmat: world to camera, metres.
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


@dataclass(frozen=True)
class Source:
    """Where one camera's picture of a frame is: a file, and its number in it if that is a video."""

    file: str
    number: int | None = None
    time: float | None = None


@dataclass(frozen=True)
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
    """

    root: Path
    cameras: tuple[SessionCamera, ...]
    frames: tuple[Frame, ...]
    notes: tuple[str, ...]
    about: Mapping[str, Any]
    reference: str | None = None

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
            return self._prepared(read_image(path), camera, path)
        pixels = read_video_frame(path, source.number)
        return self._prepared(pixels.astype(np.float32) / 255, camera, path)

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
                yield self._prepared(pixels.astype(np.float32) / 255, camera, path)
            start = end

    def mask(self, frame_index: int, camera: str) -> Float[np.ndarray, "h w"] | None:
        """The session's own mask of the person, 0..1, or None."""
        path = self.path(f"masks/{camera}/{frame_index:06d}.png")
        if not path.exists():
            return None
        return self._prepared(read_mask(path), camera, path)

    def depth(
        self, frame_index: int, camera: str
    ) -> tuple[Float[np.ndarray, "h w"], Bool[np.ndarray, "h w"]] | None:
        """Depth along the axis in metres and where it is known, at the size of the images, or None."""
        path = self.path(f"depth/{camera}/{frame_index:06d}.png")
        scale = self.camera(camera).depth_scale
        if scale is None or not path.exists():
            return None
        raw = read_uint16(path).astype(np.float32)
        depth = self._prepared(raw, camera, path, nearest=True) / np.float32(scale)
        return depth, depth > 0

    def reference_joints(self) -> tuple[tuple[str, ...], tuple[int, ...], Float[np.ndarray, "t k 3"]] | None:
        """Names, frame indices and world positions in metres of joints measured another way, or None."""
        if self.reference is None:
            return None
        with np.load(self.path(self.reference)) as stored:
            names = tuple(str(name) for name in stored["names"])
            return names, tuple(int(f) for f in stored["frames"]), stored["joints"].astype(np.float64)

    def fingerprint(self) -> str:
        """sha256 over the description and the size of every file: what a run hashes as its input."""
        digest = hashlib.sha256((self.root / SESSION_FILE).read_bytes())
        for path in sorted(p for p in self.root.rglob("*") if p.is_file() and p.name != SESSION_FILE):
            digest.update(f"{path.relative_to(self.root).as_posix()} {path.stat().st_size}\n".encode())
            digest.update(_edges(path))
        return digest.hexdigest()

    def path(self, relative: str) -> Path:
        """A file of the session.

        Raises:
            InputError: the name leads out of the session's folder.
        """
        path = (self.root / relative).resolve()
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

    def _prepared(self, image: np.ndarray, camera_name: str, path: Path, nearest: bool = False) -> np.ndarray:
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
        maps = _undistortion(camera.lens.distortion, tuple(camera.K.ravel()), camera.width, camera.height)
        return cv2.remap(image, *maps, cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR)


def next_named(cameras: Sequence[SessionCamera], name: str) -> SessionCamera:
    """The camera of that name."""
    for camera in cameras:
        if camera.name == name:
            return camera
    raise KeyError(f"no camera {name}; there are {', '.join(camera.name for camera in cameras)}")


@lru_cache(maxsize=16)
def _undistortion(
    distortion: tuple[float, ...], K: tuple[float, ...], width: int, height: int
) -> tuple[np.ndarray, np.ndarray]:
    """OpenCV's tables; its first pixel centre is (0, 0), so half a pixel comes off the principal point."""
    matrix = np.asarray(K).reshape(3, 3).copy()
    matrix[:2, 2] -= 0.5
    return cv2.initUndistortRectifyMap(
        matrix, np.asarray(distortion), None, matrix, (width, height), cv2.CV_32FC1
    )


def _edges(path: Path, size: int = 1 << 16) -> bytes:
    """The first and last 64 KiB of a file: enough to tell another recording, at once for long videos."""
    with path.open("rb") as stream:
        start = stream.read(size)
        stream.seek(max(0, path.stat().st_size - size))
        return start + stream.read(size)


# -- session.json ----------------------------------------------------------------------------------


class _Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")


class _CameraFile(_Strict):
    name: str = pydantic.Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    width: int = pydantic.Field(gt=0, le=65536)
    height: int = pydantic.Field(gt=0, le=65536)
    K: list[list[float]]
    viewmat: list[list[float]]
    distortion: list[float] | None = None
    depth_scale: float | None = pydantic.Field(default=None, gt=0)


class _SourceFile(_Strict):
    file: str
    number: int | None = pydantic.Field(default=None, ge=0)
    time: float | None = None


class _FrameFile(_Strict):
    index: int = pydantic.Field(ge=0)
    sources: dict[str, _SourceFile]


class _SessionFile(_Strict):
    schema_version: int
    units: str
    cameras: list[_CameraFile]
    frames: list[_FrameFile]
    notes: list[str] = []
    reference: str | None = None
    about: dict[str, Any] = {}


def load_session(root: str | Path) -> Session:
    """Reads and checks a session's description.

    Raises:
        InputError: no session there, or a description that says nothing or too much.
        CalibrationError: a camera that cannot be.
    """
    root = Path(root)
    path = root / SESSION_FILE
    if not path.is_file():
        raise InputError(
            "there is no session",
            where=root,
            expected=f"a folder with {SESSION_FILE}",
            remedy="simulacra import --help",
        )
    try:
        described = _SessionFile.model_validate_json(path.read_bytes())
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise InputError(
            "a session's description is wrong", where=f"{path}, {key}", found=first["msg"]
        ) from error
    if described.schema_version != SCHEMA or described.units != "metres":
        raise InputError(
            "a session is of another version",
            where=path,
            expected=f"schema_version {SCHEMA} in metres",
            found=f"{described.schema_version} in {described.units}",
        )
    cameras = tuple(_camera(camera, path) for camera in described.cameras)
    session = Session(
        root, cameras, _frames(described, path), tuple(described.notes), described.about, described.reference
    )
    for name in {source.file for frame in session.frames for source in frame.sources.values()} | {
        described.reference or SESSION_FILE
    }:
        session.path(name)
    return session


def _frames(described: _SessionFile, path: Path) -> tuple[Frame, ...]:
    names = [camera.name for camera in described.cameras]
    if len(set(names)) != len(names) or not names:
        raise InputError(
            "a session's cameras need names of their own", where=path, found=", ".join(names) or "none"
        )
    indices = [frame.index for frame in described.frames]
    if sorted(set(indices)) != indices or not indices:
        raise InputError(
            "a session's frames are not in rising order", where=path, found=f"{len(indices)} frames"
        )
    for frame in described.frames:
        unknown = set(frame.sources) - set(names)
        if unknown:
            raise InputError(
                "a frame names a camera that is not there", where=path, found=", ".join(sorted(unknown))
            )
    return tuple(
        Frame(frame.index, {name: Source(s.file, s.number, s.time) for name, s in frame.sources.items()})
        for frame in described.frames
    )


def _camera(described: _CameraFile, path: Path) -> SessionCamera:
    K, viewmat = np.asarray(described.K, float), np.asarray(described.viewmat, float)
    check_camera(described.name, K, viewmat, described.width, described.height, path)
    lens = Lens(tuple(described.distortion)) if described.distortion else None
    if lens and not (len(lens.distortion) in (4, 5, 8) and np.isfinite(lens.distortion).all()):
        raise CalibrationError(
            "lens coefficients are not OpenCV's",
            where=f"{path}, camera {described.name}",
            expected="k1 k2 p1 p2 [k3 [k4 k5 k6]]",
            found=described.distortion,
        )
    return SessionCamera(
        described.name, described.width, described.height, K, viewmat, lens, described.depth_scale
    )


def check_camera(
    name: str, K: np.ndarray, viewmat: np.ndarray, width: int, height: int, where: object
) -> None:
    """What holds for every camera that can exist.

    Raises:
        CalibrationError: not finite, not a pinhole matrix, a mirrored or sheared rotation, a principal point far
            outside of the image.
    """
    where = f"{where}, camera {name}"
    if (
        K.shape != (3, 3)
        or viewmat.shape != (4, 4)
        or not (np.isfinite(K).all() and np.isfinite(viewmat).all())
    ):
        raise CalibrationError(
            "a camera's matrices are not finite numbers", where=where, found=f"K {K.tolist()}"
        )
    if K[0, 0] <= 0 or K[1, 1] <= 0 or np.abs(K[[0, 1, 2, 2], [1, 0, 0, 1]]).max() > 1e-6 or K[2, 2] != 1:
        raise CalibrationError(
            "K is not a pinhole matrix",
            where=where,
            expected="positive focal lengths, no skew, last row 0 0 1",
            found=K.tolist(),
        )
    if not (-0.5 * width < K[0, 2] < 1.5 * width and -0.5 * height < K[1, 2] < 1.5 * height):
        raise CalibrationError(
            "the principal point is far outside of the image: K is of another image size",
            where=where,
            expected=f"about ({width / 2:.0f}, {height / 2:.0f})",
            found=f"({K[0, 2]:.0f}, {K[1, 2]:.0f})",
        )
    rotation = viewmat[:3, :3]
    if np.linalg.det(rotation) < 0:
        raise CalibrationError(
            "a camera's rotation mirrors the world", where=where, expected="determinant +1",
            found=f"{np.linalg.det(rotation):.3f}", remedy="an axis is flipped, or a matrix of another convention",
        )  # fmt: skip
    if np.abs(rotation @ rotation.T - np.eye(3)).max() > ROTATION_TOLERANCE or not np.allclose(
        viewmat[3], [0, 0, 0, 1]
    ):
        raise CalibrationError(
            "a camera's rotation is not rigid", where=where, found=rotation.round(4).tolist()
        )


def describe_session(
    cameras: Sequence[SessionCamera],
    frames: Sequence[Frame],
    *,
    notes: Sequence[str],
    about: Mapping[str, Any],
    reference: str | None = None,
) -> str:
    """The text of session.json."""
    described = {
        "schema_version": SCHEMA,
        "units": "metres",
        "cameras": [
            {
                "name": c.name,
                "width": c.width,
                "height": c.height,
                "K": c.K.tolist(),
                "viewmat": c.viewmat.tolist(),
                "distortion": list(c.lens.distortion) if c.lens else None,
                "depth_scale": c.depth_scale,
            }
            for c in cameras
        ],
        "frames": [
            {
                "index": f.index,
                "sources": {
                    n: {"file": s.file, "number": s.number, "time": s.time} for n, s in f.sources.items()
                },
            }
            for f in frames
        ],
        "notes": list(notes),
        "reference": reference,
        "about": dict(about),
    }
    return json.dumps(described, indent=1) + "\n"
