"""Pictures of a virtual capture on disk, as its cameras would keep them: the same bytes from the same pixels."""

from __future__ import annotations

from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Literal

import av
import cv2
import numpy as np
from av.container import OutputContainer
from av.video.stream import VideoStream
from jaxtyping import Float, UInt8

from simulacra.recon.runs.files import disk_errors
from simulacra.recon.session import Source
from simulacra.render.runtime.errors import RunError

# Of the depth files in a metre: 0.2 mm, up to 13 m.
DEPTH_UNITS = 5000.0
JPEG_QUALITY = 95
BEST_MASK = 255


class PictureFiles:
    """Where each camera's pictures go: one file each, or one video a camera that is open until the end."""

    def __init__(
        self, root: Path, kind: Literal["png", "jpeg", "h264"], fps: float, crf: int, quality: int | None
    ) -> None:
        self._root, self._kind, self._fps, self._crf = root, kind, fps, crf
        self._quality = quality or JPEG_QUALITY
        self._open: dict[str, tuple[OutputContainer, VideoStream, int]] = {}
        self._stack = ExitStack()

    def __enter__(self) -> PictureFiles:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:
            if kind is None:
                for container, stream, _ in self._open.values():
                    container.mux(stream.encode())

    def write(self, camera: str, frame: int, picture: UInt8[np.ndarray, "h w 3"], time: float) -> Source:
        """Keeps a picture and says where it is.

        Raises:
            RunError: the disk is full, or a video's size is odd.
        """
        with disk_errors(self._root):
            if self._kind == "h264":
                return self._append(camera, picture, time)
            name = f"images/{camera}/{frame:06d}.{'png' if self._kind == 'png' else 'jpg'}"
            path = self._root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            how = (
                [cv2.IMWRITE_PNG_COMPRESSION, 1]
                if self._kind == "png"
                else [cv2.IMWRITE_JPEG_QUALITY, self._quality]
            )
            path.write_bytes(cv2.imencode(path.suffix, picture[..., ::-1], how)[1].tobytes())
            return Source(name, None, time)

    def _append(self, camera: str, picture: UInt8[np.ndarray, "h w 3"], time: float) -> Source:
        name = f"videos/{camera}.mp4"
        if camera not in self._open:
            self._open[camera] = self._begin(self._root / name, picture.shape[0], picture.shape[1])
        container, stream, number = self._open[camera]
        # Converted here: once in some hundred times libav makes another last bit of the same RGB.
        yuv = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2YUV_I420), np.uint8)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(yuv, format="yuv420p")))
        self._open[camera] = container, stream, number + 1
        return Source(name, number, time)

    def _begin(self, path: Path, height: int, width: int) -> tuple[OutputContainer, VideoStream, int]:
        if height % 2 or width % 2:
            raise RunError(
                "H.264 needs even sizes",
                where=path,
                found=f"{width}x{height}",
                remedy="--files jpeg, or another size",
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        # Opened here: of a file that it opens itself libav does not always say that the disk is full.
        file = self._stack.enter_context(path.open("wb"))
        container = self._stack.enter_context(av.open(file, "w", format="mp4"))
        stream = container.add_stream("libx264", rate=Fraction(self._fps).limit_denominator(1000))
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        # One thread: what another number of them makes is a little different.
        stream.options = {"crf": str(self._crf), "threads": "1", "preset": "veryfast"}
        return container, stream, 0


def write_depth(root: Path, camera: str, frame: int, depth: Float[np.ndarray, "h w"]) -> None:
    """Keeps measured depth (metres, 0 for none); what is too far for the file is none."""
    units = np.rint(depth * DEPTH_UNITS)
    _write(root / f"depth/{camera}/{frame:06d}.png", np.where(units > 65535, 0, units).astype(np.uint16))


def write_mask(root: Path, camera: str, frame: int, mask: Float[np.ndarray, "h w"]) -> None:
    """Keeps a mask, 0 to 1."""
    _write(
        root / f"masks/{camera}/{frame:06d}.png", np.rint(np.clip(mask, 0, 1) * BEST_MASK).astype(np.uint8)
    )


def _write(path: Path, pixels: np.ndarray) -> None:
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes())
