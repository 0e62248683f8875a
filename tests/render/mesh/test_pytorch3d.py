"""The PyTorch3D adapter: its conventions on a stand-in that follows PyTorch3D's documentation, and PyTorch3D itself
where it is installed.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from simulacra.render.mesh import rasterize_mesh, reference
from simulacra.render.mesh.pytorch3d import to_device_coordinates
from simulacra.render.mesh.reference import Cull
from simulacra.render.runtime.errors import MissingExtraError
from tests.render.mesh.scenes import front_camera, soup

CULLS: tuple[Cull, ...] = ("none", "back", "front")


def test_device_coordinates_are_pytorch3ds() -> None:
    """+X left, +Y up, the shorter side from -1 to 1: the first pixel's centre of a 4 x 2 image is at
    (1.5, 0.5), and depth stays in metres.
    """
    cameras = front_camera(4, 2, 5.0)
    rays = cameras.local_rays()[0]
    points = torch.stack([rays[0, 0] * 3.0, rays[1, 3] * 2.0])[None]
    found = to_device_coordinates(points, cameras.Ks, 4, 2)
    expected = torch.tensor([[[1.5, 0.5, 3.0], [-1.5, -0.5, 2.0]]])
    torch.testing.assert_close(found, expected)


class FakeMeshes:
    def __init__(self, verts: list[Tensor], faces: list[Tensor]) -> None:
        self.verts, self.faces = verts, faces


def fake_rasterize_meshes(
    meshes: FakeMeshes,
    image_size: tuple[int, int],
    blur_radius: float,
    faces_per_pixel: int,
    perspective_correct: bool,
    cull_backfaces: bool,
    z_clip_value: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What PyTorch3D's documentation says that its rasterizer returns, one pixel and triangle after another, for
    triangles before the near plane only.
    """
    assert blur_radius == 0
    assert faces_per_pixel == 1
    assert perspective_correct
    height, width = image_size
    count = len(meshes.verts)
    index = torch.full((count, height, width, 1), -1)
    depth, weights = (
        torch.full((count, height, width, 1), -1.0),
        torch.full((count, height, width, 1, 3), -1.0),
    )
    short = min(width, height)
    first = 0
    for n, (verts, faces) in enumerate(zip(meshes.verts, meshes.faces)):
        for f, face in enumerate(faces):
            (x0, y0, z0), (x1, y1, z1), (x2, y2, z2) = verts[face].double()
            area = (x1 - x0) * (y2 - y0) - (y1 - y0) * (x2 - x0)
            # Seen with +X to the left, anticlockwise triangles come out clockwise.
            if area == 0 or (cull_backfaces and area > 0) or min(z0, z1, z2) < z_clip_value:
                continue
            for row in range(height):
                for column in range(width):
                    x, y = (width - 2 * column - 1) / short, (height - 2 * row - 1) / short
                    b0 = ((x1 - x) * (y2 - y) - (y1 - y) * (x2 - x)) / area
                    b1 = ((x2 - x) * (y0 - y) - (y2 - y) * (x0 - x)) / area
                    b2 = 1 - b0 - b1
                    if min(b0, b1, b2) <= 0:
                        continue
                    b = torch.stack([b0 * z1 * z2, z0 * b1 * z2, z0 * z1 * b2])
                    b = b / b.sum()
                    z = b[0] * z0 + b[1] * z1 + b[2] * z2
                    if index[n, row, column, 0] < 0 or z < depth[n, row, column, 0]:
                        index[n, row, column, 0], depth[n, row, column, 0] = first + f, z
                        weights[n, row, column, 0] = b
        first += len(faces)
    return index, depth, weights, torch.zeros_like(depth)


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    modules: dict[str, Any] = {
        name: ModuleType(name)
        for name in (
            "pytorch3d",
            "pytorch3d.structures",
            "pytorch3d.renderer",
            "pytorch3d.renderer.mesh",
            "pytorch3d.renderer.mesh.rasterize_meshes",
        )
    }
    modules["pytorch3d.structures"].Meshes = FakeMeshes
    modules["pytorch3d.renderer.mesh.rasterize_meshes"].rasterize_meshes = fake_rasterize_meshes
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize("cull", CULLS)
@pytest.mark.parametrize(("width", "height"), [(9, 6), (5, 8)])
def test_adapter_converts_both_ways(cull: Cull, width: int, height: int) -> None:
    """A batch of two meshes: face rows of each mesh of its own, barycentrics in our order, zeros where there is
    nothing, on images wider and higher than square.
    """
    verts, faces = soup(5, 6)
    both = torch.stack([verts, verts.flip(0)]) * torch.tensor([1, 1, 0.2]) + torch.tensor([0, 0, 2.0])
    cameras = front_camera(width, height, 9.0, count=2)
    expected = rasterize_mesh(both, faces, cameras, cull=cull, backend="reference")
    found = rasterize_mesh(both, faces, cameras, cull=cull, backend="pytorch3d")
    assert 0.05 < expected.covered.float().mean() < 1
    assert torch.equal(found.face_index, expected.face_index)
    torch.testing.assert_close(found.depth, expected.depth, rtol=1e-5, atol=0)
    torch.testing.assert_close(found.barycentrics, expected.barycentrics, rtol=0, atol=1e-4)


@pytest.mark.usefixtures("stand_in")
def test_no_faces() -> None:
    none = torch.zeros(0, 3, dtype=torch.int64)
    assert not rasterize_mesh(torch.ones(3, 3), none, front_camera(3, 2), backend="pytorch3d").covered.any()


def test_missing_pytorch3d_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pytorch3d", None)
    verts, faces = soup(0, 1)
    with pytest.raises(MissingExtraError, match=r"simulacra\[mesh\]"):
        rasterize_mesh(verts, faces, front_camera(), backend="pytorch3d")


def test_pytorch3d_equals_reference() -> None:
    """The real one, on triangles before and through the near plane, values and gradients (of those before it)."""
    pytest.importorskip("pytorch3d", reason="PyTorch3D is not installed: its adapter has not run here")
    verts, faces = soup(5, 6)
    cameras = front_camera(33, 20, 25.0)
    found = rasterize_mesh(verts, faces, cameras, backend="pytorch3d")
    exact = rasterize_mesh(verts.double(), faces, cameras.to(torch.float64), backend="reference")
    same = found.face_index == exact.face_index
    assert same.float().mean() > 0.99  # edges through pixel centres, in float32
    torch.testing.assert_close(found.depth[same].double(), exact.depth[same], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(found.barycentrics[same].double(), exact.barycentrics[same], rtol=0, atol=1e-3)
    ahead = verts * torch.tensor([1, 1, 0.2]) + torch.tensor([0, 0, 2.0])
    gradients = []
    for dtype, backend in ((torch.float32, "pytorch3d"), (torch.float64, "reference")):
        leaf = ahead.to(dtype).requires_grad_()
        rendering = rasterize_mesh(leaf, faces, cameras.to(dtype), backend=backend)
        gradients.append(torch.autograd.grad(rendering.depth.sum(), leaf)[0].double())
    assert (gradients[0] - gradients[1]).norm() < 1e-2 * gradients[1].norm()


def test_near_is_the_same_in_the_stand_in() -> None:
    """The stand-in leaves out what it cannot cut; its scenes must not need it."""
    verts, _ = soup(5, 6)
    assert (verts[:, 2] * 0.2 + 2.0).min() > reference.NEAR
