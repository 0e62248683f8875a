"""Pinhole cameras: OpenCV axes (+X right, +Y down, +Z forward), pixels whose first centre is at (0.5, 0.5).

Symbols: ``c`` cameras, ``n`` points, ``h w`` rows and columns of the image.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from numbers import Integral

import torch
from jaxtyping import Float
from torch import Tensor

from simulacra.render.rotation import rigid_inverse, transform_points


@dataclass(frozen=True)
class Cameras:
    """A batch of undistorted pinhole cameras of one image size.

    Attributes:
        viewmats: world to camera, rigid, metres.
        Ks: intrinsics in pixels, zero skew.
        width: columns of the image.
        height: rows of the image.

    Raises:
        ValueError: matrices of other shapes, another number of one than of the other, a size in parts of pixels.
    """

    viewmats: Float[Tensor, "c 4 4"]
    Ks: Float[Tensor, "c 3 3"]
    width: int
    height: int

    def __post_init__(self) -> None:
        views, intrinsics = tuple(self.viewmats.shape), tuple(self.Ks.shape)
        if len(views) != 3 or len(intrinsics) != 3 or (views[1:], intrinsics[1:]) != ((4, 4), (3, 3)):
            raise ValueError(
                f"cameras have viewmats of shape (c, 4, 4) and Ks of shape (c, 3, 3), not {views} and {intrinsics}; "
                "one camera is a batch of one: viewmat[None], K[None]"
            )
        if views[0] != intrinsics[0]:
            raise ValueError(
                f"{views[0]} viewmats and {intrinsics[0]} Ks: every camera has one of each; "
                f"the same K for all is K.expand({views[0]}, 3, 3)"
            )
        if not isinstance(self.width, Integral) or not isinstance(self.height, Integral):
            raise ValueError(f"an image has whole pixels, not {self.width!r} x {self.height!r}")

    def __len__(self) -> int:
        return self.viewmats.shape[0]

    def __getitem__(self, index: int | slice) -> Cameras:
        """The chosen cameras, still a batch."""
        chosen = slice(index, index + 1) if isinstance(index, int) and index >= 0 else index
        if isinstance(chosen, int):
            chosen = slice(len(self) + chosen, len(self) + chosen + 1)
        return replace(self, viewmats=self.viewmats[chosen], Ks=self.Ks[chosen])

    def to(self, *args: object, **kwargs: object) -> Cameras:
        """The same cameras in another type or on another device, as ``Tensor.to``."""
        return replace(self, viewmats=self.viewmats.to(*args, **kwargs), Ks=self.Ks.to(*args, **kwargs))  # type: ignore[call-overload]

    def centers(self) -> Float[Tensor, "c 3"]:
        """Optical centres in the world, metres."""
        return rigid_inverse(self.viewmats)[:, :3, 3]

    def project(self, points: Float[Tensor, "n 3"]) -> tuple[Float[Tensor, "c n 2"], Float[Tensor, "c n"]]:
        """World points to pixels, and their depth along the camera axis in metres.

        Points at or behind the camera get whatever the division gives: look at the depth before using them.
        """
        local = transform_points(self.viewmats, points.expand(len(self), *points.shape))
        homogeneous = local @ self.Ks.transpose(-1, -2)
        return homogeneous[..., :2] / homogeneous[..., 2:], local[..., 2]

    def unproject(self, depth: Float[Tensor, "c h w"]) -> Float[Tensor, "c h w 3"]:
        """World points of the pixel centres at the given depth along the axis, metres."""
        local = self.local_rays() * depth[..., None]
        flat = transform_points(rigid_inverse(self.viewmats), local.flatten(1, 2))
        return flat.unflatten(1, (self.height, self.width))

    def local_rays(self) -> Float[Tensor, "c h w 3"]:
        """Directions through the pixel centres in the camera's frame, with z = 1."""
        x = torch.arange(self.width, dtype=self.Ks.dtype, device=self.Ks.device) + 0.5
        y = torch.arange(self.height, dtype=self.Ks.dtype, device=self.Ks.device) + 0.5
        u = (x[None, :] - self.Ks[:, 0, 2, None]) / self.Ks[:, 0, 0, None]
        v = (y[None, :] - self.Ks[:, 1, 2, None]) / self.Ks[:, 1, 1, None]
        shape = (len(self), self.height, self.width)
        return torch.stack(
            [
                u[:, None, :].expand(shape),
                v[:, :, None].expand(shape),
                torch.ones_like(u[:, None, :]).expand(shape),
            ],
            -1,
        )

    def scaled(self, width: int, height: int) -> Cameras:
        """The same views resampled to another size; with (0, 0) as the image's corner K simply scales."""
        factors = self.Ks.new_tensor([width / self.width, height / self.height, 1.0])
        return replace(self, Ks=self.Ks * factors[:, None], width=width, height=height)

    def cropped(self, x0: int, y0: int, width: int, height: int) -> Cameras:
        """The window whose first pixel is (x0, y0); it may reach beyond the image."""
        Ks = self.Ks.clone()
        Ks[:, 0, 2] -= x0
        Ks[:, 1, 2] -= y0
        return replace(self, Ks=Ks, width=width, height=height)


def look_at(
    eye: Float[Tensor, "c 3"], target: Float[Tensor, "c 3"], focal_px: float, width: int, height: int
) -> Cameras:
    """Upright cameras (world +Y up) at ``eye`` that look at ``target``, both in metres."""
    forward = torch.nn.functional.normalize(target - eye, dim=-1)
    up = torch.tensor([0.0, 1.0, 0.0], dtype=eye.dtype, device=eye.device).expand_as(forward)
    right = torch.nn.functional.normalize(torch.linalg.cross(forward, up), dim=-1)
    down = torch.linalg.cross(forward, right)
    rotation = torch.stack([right, down, forward], dim=-2)
    viewmats = torch.eye(4, dtype=eye.dtype, device=eye.device).repeat(len(eye), 1, 1)
    viewmats[:, :3, :3] = rotation
    viewmats[:, :3, 3] = -(rotation @ eye[..., None]).squeeze(-1)
    K = torch.tensor(
        [[focal_px, 0, width / 2], [0, focal_px, height / 2], [0, 0, 1]], dtype=eye.dtype, device=eye.device
    )
    return Cameras(viewmats, K.expand(len(eye), 3, 3).clone(), width, height)
