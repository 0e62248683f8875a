"""Analytic antialiasing of outlines: areas, their derivatives, and compiled against the reference."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from simulacra.render.camera import Cameras
from simulacra.render.mesh import antialias, face_neighbours, rasterize_mesh
from tests.render.mesh.scenes import front_camera, sphere

backends = pytest.mark.parametrize("backend", ["reference", "cpu"])


def camera(size: int = 16) -> Cameras:
    """Focal length 1 px at depth 1: world x and y are pixels right and down of the image's corner."""
    return Cameras(torch.eye(4)[None], torch.eye(3)[None], size, size)


def rectangle(x0: float, x1: float, y0: float, y1: float) -> tuple[Tensor, Tensor]:
    verts = torch.tensor([[x0, y0, 1.0], [x1, y0, 1.0], [x1, y1, 1.0], [x0, y1, 1.0]])
    return verts, torch.tensor([[0, 1, 2], [0, 2, 3]])


def silhouette(verts: Tensor, faces: Tensor, cameras: Cameras, backend: str) -> Tensor:
    rendering = rasterize_mesh(verts, faces, cameras, backend=backend)
    covered = rendering.covered.to(verts.dtype)[..., None]
    return antialias(covered, verts, faces, cameras, rendering, backend=backend)[..., 0]


@backends
def test_area_of_a_rectangle_is_exact(backend: str) -> None:
    """Straight edges at any fraction of a pixel: each side's strip sums to its true width (corners not
    counted).
    """
    for x0, x1 in ((3.0, 9.0), (3.2, 9.9), (3.4, 9.6), (3.75, 9.3)):
        verts, faces = rectangle(x0, x1, -5.0, 30.0)
        image = silhouette(verts, faces, camera(), backend)
        torch.testing.assert_close(image.sum(-1), torch.full((1, 16), x1 - x0), rtol=1e-5, atol=0)


@backends
def test_a_moving_edge_changes_the_area_by_its_length(backend: str) -> None:
    """d(area)/d(x of the right side) = height in pixels, shared by the side's two ends; the diagonal has
    no gradient.
    """
    verts, faces = rectangle(3.2, 9.9, -5.0, 30.0)
    verts.requires_grad_()
    silhouette(verts, faces, camera(), backend).sum().backward()
    assert float(verts.grad[1:3, 0].sum()) == pytest.approx(16, rel=1e-4)
    assert float(verts.grad[[0, 3], 0].sum()) == pytest.approx(-16, rel=1e-4)
    assert verts.grad[:, 1].abs().max() < 1e-4


@backends
def test_colors_inside_stay_as_they_were(backend: str) -> None:
    """Edges between triangles that both face the camera are no outlines."""
    verts, faces = rectangle(-5.0, 30.0, -5.0, 30.0)
    cameras = camera()
    rendering = rasterize_mesh(verts, faces, cameras, backend=backend)
    image = torch.rand(1, 16, 16, 3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(antialias(image, verts, faces, cameras, rendering, backend=backend), image)


@settings(max_examples=30)
@given(seed=st.integers(0, 2**31 - 1), triangles=st.integers(1, 8), size=st.integers(1, 24))
def test_cpu_equals_reference(seed: int, triangles: int, size: int) -> None:
    """Image, and gradients to image and vertices, on triangles before, behind and across one another.

    Vertices are multiples of 1/64 and the camera is the identity, so that projections (depths 1, 2 or 4)
    are exact in both precisions and no edge falls to another side; sums of a few float32 products are left:
    1e-5.
    """
    g = torch.Generator().manual_seed(seed)
    depth = 2.0 ** torch.randint(0, 3, (triangles, 1, 1), generator=g)
    places = torch.randint(-4 * 64, (size + 4) * 64, (triangles, 3, 2), generator=g) / 64 + 1 / 256
    verts = torch.cat([places * depth, depth.expand(triangles, 3, 1)], -1).reshape(-1, 3)
    faces = torch.arange(3 * triangles).reshape(-1, 3)
    image = torch.rand(1, size, size, 2, generator=g)
    weights = torch.randn(1, size, size, 2, generator=g)
    rendering = rasterize_mesh(verts, faces, camera(size))
    results = []
    for dtype, backend in ((torch.float32, "cpu"), (torch.float64, "reference")):
        leaf, picture = verts.to(dtype).requires_grad_(), image.to(dtype).requires_grad_()
        drawn = type(rendering)(
            rendering.face_index, rendering.barycentrics.to(dtype), rendering.depth.to(dtype)
        )
        result = antialias(picture, leaf, faces, camera(size).to(dtype), drawn, backend=backend)
        gradients = torch.autograd.grad(
            (result * weights.to(dtype)).sum(), [leaf, picture], allow_unused=True
        )
        results.append([result, gradients[0], gradients[1]])
    for found, expected in zip(*results):
        scale = max(1.0, float(expected.detach().abs().max()))
        torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5 * scale)


@settings(max_examples=30)
@given(seed=st.integers(0, 2**31 - 1), size=st.integers(2, 24))
def test_cpu_equals_reference_on_sheets_through_the_near_plane(seed: int, size: int) -> None:
    """Connected triangles, many of them smaller than a pixel, some behind the camera: image and gradients.

    Both start from the same float32 places in the camera's frame and count in float64; amounts and slopes are
    kept in float32: 1e-5 of the largest.
    """
    g = torch.Generator().manual_seed(seed)
    cells = 6
    line = torch.linspace(-1, 1, cells + 1)
    sheet = torch.stack([line.expand(cells + 1, -1), line[:, None].expand(-1, cells + 1)], -1).reshape(-1, 2)
    verts = torch.cat([sheet, 0.5 + torch.randn(len(sheet), 1, generator=g)], -1)
    row = torch.arange(cells)[:, None] * (cells + 1) + torch.arange(cells)
    corners = row, row + 1, row + cells + 2, row + cells + 1
    faces = torch.cat([torch.stack([corners[0], corners[k], corners[k + 1]], -1) for k in (1, 2)]).reshape(
        -1, 3
    )
    K = torch.tensor([[[0.6 * size, 0, size / 2], [0, 0.5 * size, size / 2.5], [0, 0, 1]]])
    cameras = Cameras(torch.eye(4)[None], K, size, size)
    image = torch.rand(1, size, size, 2, generator=g)
    upstream = torch.randn(1, size, size, 2, generator=g)
    rendering = rasterize_mesh(verts, faces, cameras)
    results = []
    for dtype, backend in ((torch.float32, "cpu"), (torch.float64, "reference")):
        leaf, picture = verts.to(dtype).requires_grad_(), image.to(dtype).requires_grad_()
        drawn = type(rendering)(
            rendering.face_index, rendering.barycentrics.to(dtype), rendering.depth.to(dtype)
        )
        result = antialias(picture, leaf, faces, cameras.to(dtype), drawn, backend=backend)
        gradients = torch.autograd.grad((result * upstream.to(dtype)).sum(), [leaf, picture])
        results.append([result, *gradients])
    for found, expected in zip(*results):
        scale = max(1.0, float(expected.detach().abs().max()))
        torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5 * scale)


def test_reference_gradients_by_finite_differences() -> None:
    verts, faces = rectangle(2.3, 5.1, 1.7, 6.2)
    tilt = torch.tensor([[0.0, 0.1, 0.0], [0.3, 0.0, 0.0], [0.0, 0.0, 0.0], [-0.2, 0.0, 0.0]])
    image = torch.rand(1, 8, 8, 2, generator=torch.Generator().manual_seed(0)).double().requires_grad_()
    leaf = (verts + tilt).double().requires_grad_()
    cameras = camera(8).to(torch.float64)

    def outputs(points: Tensor, picture: Tensor) -> Tensor:
        rendering = rasterize_mesh(points.detach(), faces, cameras, backend="reference")
        return antialias(picture, points, faces, cameras, rendering, backend="reference")

    assert torch.autograd.gradcheck(outputs, (leaf, image), eps=1e-6, atol=1e-6)


def test_neighbours() -> None:
    """Two triangles share an edge; a third on the same edge makes it an outline for all three."""
    two = torch.tensor([[0, 1, 2], [2, 1, 3]])
    assert face_neighbours(two).tolist() == [[-1, 1, -1], [0, -1, -1]]
    three = torch.tensor([[0, 1, 2], [2, 1, 3], [1, 2, 4]])
    assert (face_neighbours(three) == -1).all()
    assert face_neighbours(torch.zeros(0, 3, dtype=torch.int64)).shape == (0, 3)


@backends
def test_single_pixels_and_no_triangles_stay_as_they_are(backend: str) -> None:
    """No pair of pixels, or no outline: the picture comes back, with its own gradient."""
    verts, faces = rectangle(-1.0, 0.3, -1.0, 9.0)
    for size, used in ((1, faces), (3, faces[:0])):
        leaf = verts.clone().requires_grad_()
        rendering = rasterize_mesh(leaf, used, camera(size), backend=backend)
        image = torch.rand(1, size, size, 2, generator=torch.Generator().manual_seed(0)).requires_grad_()
        result = antialias(image, leaf, used, camera(size), rendering, backend=backend)
        assert torch.equal(result, image)
        result.sum().backward()
        assert torch.equal(image.grad, torch.ones_like(image))
        assert leaf.grad is None or not leaf.grad.any()


@backends
@pytest.mark.parametrize("cull", ["none", "back", "front"])
def test_outlines_are_the_same_for_the_near_and_the_far_side(backend: str, cull: str) -> None:
    """A ball's silhouette is smooth, and its area right, whichever side of it is drawn."""
    verts, faces = sphere(12, 16)
    verts = verts + torch.tensor([0.013, -0.02, 2.0])
    cameras = front_camera(24, 24, 30.0)
    rendering = rasterize_mesh(verts, faces, cameras, cull=cull, backend=backend)
    covered = rendering.covered.float()[..., None]
    image = antialias(covered, verts, faces, cameras, rendering, backend=backend)
    fine = rasterize_mesh(verts, faces, cameras.scaled(24 * 16, 24 * 16))
    area = float(fine.covered.sum()) / 256
    assert float(image.sum()) == pytest.approx(area, rel=0.01)
    soft = (image > 0.02) & (image < 0.98)
    assert int(soft.sum()) > 25
