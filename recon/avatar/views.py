"""The photographs that train Gaussians: cropped to the person, at the training size, kept on disk.

A capture may have thousands of views; one is in memory at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from simulacra.recon.runs.files import write_arrays
from simulacra.recon.runs.mapped import map_arrays
from simulacra.recon.runs.progress import track
from simulacra.recon.runs.records import check_arrays, read_arrays, record_errors
from simulacra.recon.session import Session
from simulacra.render.camera import Cameras
from simulacra.render.image import resize_area

# Room around the person's box, pixels: what is drawn there is seen to be wrong. SSIM's window is 11.
MARGIN_PX = 24

MaskOf = Callable[[int, str], Float[np.ndarray, "h w"] | None]


@dataclass(frozen=True)
class TrainingView:
    """One photograph's window around the person.

    Attributes:
        frame: of the session.
        camera: its name.
        cameras: of the window, a batch of one.
        rgb: over black.
        mask: 0..1.
        depth: metres; None without a depth camera.
        measured: where depth is known; None likewise.
    """

    frame: int
    camera: str
    cameras: Cameras
    rgb: Float[Tensor, "h w 3"]
    mask: Float[Tensor, "h w"]
    depth: Float[Tensor, "h w"] | None
    measured: Bool[Tensor, "h w"] | None

    def over(self, background: Float[Tensor, "3"]) -> Float[Tensor, "h w 3"]:
        """The photograph over a background."""
        return self.rgb + (1 - self.mask)[..., None] * background

    def halved(self) -> TrainingView:
        """The same view at half the size."""
        width, height = max(1, self.cameras.width // 2), max(1, self.cameras.height // 2)
        rgb, mask = (
            torch.from_numpy(resize_area(image.numpy(), width, height)) for image in (self.rgb, self.mask)
        )
        depth = measured = None
        if self.depth is not None:
            nearest = cv2.resize(self.depth.numpy(), (width, height), interpolation=cv2.INTER_NEAREST)
            depth, measured = torch.from_numpy(nearest), torch.from_numpy(nearest > 0)
        return TrainingView(
            self.frame, self.camera, self.cameras.scaled(width, height), rgb, mask, depth, measured
        )

    def to(self, device: torch.device) -> TrainingView:
        """The same view on a device."""
        moved: dict[str, Any] = {n: v.to(device) for n, v in vars(self).items() if isinstance(v, Tensor)}
        return replace(self, cameras=self.cameras.to(device), **moved)


@dataclass(frozen=True)
class ViewStore:
    """Windows of the training views in a folder.

    Attributes:
        folder: that holds a file for each.
        views: (frame, camera) of every window, in a fixed order.
        empty: views in which the mask holds nobody; they train nothing, and are reported.
        halved: whether windows are handed out at half their size.
    """

    folder: Path
    views: tuple[tuple[int, str], ...]
    empty: tuple[tuple[int, str], ...]
    halved: bool = False

    def __len__(self) -> int:
        return len(self.views)

    def load(self, index: int) -> TrainingView:
        """Reads one window.

        Raises:
            RunError: its file is missing or damaged.
        """
        frame, camera = self.views[index]
        path = _path(self.folder, frame, camera)
        with record_errors(path):
            arrays = read_arrays(path)
            rgb = torch.from_numpy(arrays["rgb"]).float() / 255
            mask = torch.from_numpy(arrays["mask"]).float() / 255
            depth = torch.from_numpy(arrays["depth"]) if "depth" in arrays else None
            K, viewmat = torch.from_numpy(arrays["K"]), torch.from_numpy(arrays["viewmat"])
            check_arrays(TrainingView, {"rgb": rgb, "mask": mask, "depth": depth})
            check_arrays(Cameras, {"viewmats": viewmat[None], "Ks": K[None]})
        window = Cameras(viewmat[None], K[None], rgb.shape[1], rgb.shape[0])
        view = TrainingView(frame, camera, window, rgb, mask, depth, None if depth is None else depth > 0)
        return view.halved() if self.halved else view


def store_views(
    folder: Path,
    session: Session,
    mask_of: MaskOf,
    frames: Sequence[int],
    cameras: Sequence[str],
    longest_side: int,
) -> ViewStore:
    """Writes the windows of all named views that are not there yet, camera after camera."""
    folder.mkdir(parents=True, exist_ok=True)
    views: list[tuple[int, str]] = []
    empty: list[tuple[int, str]] = []
    for camera in cameras:
        there = [f for f in frames if session.has(f, camera)]
        images = session.iter_images(camera, there)
        for frame, image in zip(there, track(images, f"reading {camera}", len(there)), strict=True):
            path = _path(folder, frame, camera)
            if not path.is_file():
                _store(path, session, image, mask_of(frame, camera), frame, camera, longest_side)
            with record_errors(path):
                (views if "rgb" in map_arrays(path) else empty).append((frame, camera))
    return ViewStore(folder, tuple(views), tuple(empty))


def _store(
    path: Path,
    session: Session,
    image: Float[np.ndarray, "h w 3"],
    mask: Float[np.ndarray, "h w"] | None,
    frame: int,
    camera: str,
    longest_side: int,
) -> None:
    scale = min(1.0, longest_side / max(image.shape[:2]))
    width, height = round(image.shape[1] * scale), round(image.shape[0] * scale)
    if mask is None or not (mask > 0.5).any():
        write_arrays(path)
        return
    small = resize_area(image * mask[..., None], width, height)
    small_mask = resize_area(mask, width, height)
    rows, columns = np.nonzero(small_mask > 0.05)
    x0, x1 = max(0, columns.min() - MARGIN_PX), min(width, columns.max() + 1 + MARGIN_PX)
    y0, y1 = max(0, rows.min() - MARGIN_PX), min(height, rows.max() + 1 + MARGIN_PX)
    window = np.s_[y0:y1, x0:x1]
    view = session.cameras_as_tensors(camera).scaled(width, height)
    view = view.cropped(int(x0), int(y0), int(x1 - x0), int(y1 - y0))
    arrays = {"rgb": _bytes(small[window]), "mask": _bytes(small_mask[window])}
    measured = session.depth(frame, camera)
    if measured is not None:
        depth = np.where(measured[1] & (mask > 0.5), measured[0], 0).astype(np.float32)
        arrays["depth"] = cv2.resize(depth, (width, height), interpolation=cv2.INTER_NEAREST)[window]
    write_arrays(path, **arrays, K=view.Ks[0].numpy(), viewmat=view.viewmats[0].numpy())


def _bytes(image: np.ndarray) -> np.ndarray:
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)


def _path(folder: Path, frame: int, camera: str) -> Path:
    return folder / f"{camera}_{frame:06d}.npz"
