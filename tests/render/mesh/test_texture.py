"""Textures: known answers, compiled against the reference, the reference against finite differences."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from simulacra.render.camera import Cameras
from simulacra.render.mesh import (
    MeshRendering,
    build_mips,
    interpolate,
    mip_levels,
    rasterize_mesh,
    sample_texture,
)

backends = pytest.mark.parametrize("backend", ["reference", "cpu"])
QUAD_FACES = torch.tensor([[0, 1, 2], [0, 2, 3]])
QUAD_UVS = torch.tensor([[0.0, 1.0], [1.0, 1.0], [1.0, 0.0], [0.0, 0.0]])  # upper left first, clockwise


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def camera(width: int, height: int) -> Cameras:
    """World x and y at depth 1 are pixels right and down of the image's corner."""
    return Cameras(torch.eye(4)[None], torch.eye(3)[None], width, height)


def quad(width: float, height: float) -> Tensor:
    return torch.tensor([[0.0, 0, 1], [width, 0, 1], [width, height, 1], [0, height, 1]])


def textured_quad(texture: Tensor, width: int, height: int, *, mips: bool, backend: str) -> Tensor:
    """A texture on a quad that fills the image."""
    verts, cameras = quad(width, height), camera(width, height)
    rendering = rasterize_mesh(verts, QUAD_FACES, cameras, backend=backend)
    uvs = interpolate(QUAD_UVS, QUAD_FACES, rendering)
    if not mips:
        return sample_texture(texture, uvs, wrap="clamp", backend=backend)[0]
    size = texture.shape[0], texture.shape[1]
    args = QUAD_UVS, QUAD_FACES, verts, QUAD_FACES, cameras, rendering, size
    levels = mip_levels(*args, backend=backend)
    return sample_texture(build_mips(texture), uvs, levels=levels, wrap="clamp", backend=backend)[0]


@backends
@pytest.mark.parametrize("mips", [False, True])
def test_a_fronto_parallel_quad_reproduces_its_texels(backend: str, mips: bool) -> None:
    """One texel a pixel: the image is the texture, the right way up (row 0 is at v = 1). Coordinates of
    float32 miss the texels' centres by 1e-6 of a texel or so, hence 1e-5.
    """
    checker = (torch.arange(12)[:, None] + torch.arange(16)) % 2
    texture = torch.stack([checker.float(), random(12, 16), random(12, 16, seed=1)], -1)
    image = textured_quad(texture, 16, 12, mips=mips, backend=backend)
    torch.testing.assert_close(image, texture, rtol=0, atol=1e-5)
    assert not torch.allclose(image.flip(0), texture, atol=0.1)  # a picture the wrong way up would differ


@backends
def test_minification_by_mips_is_the_mean(backend: str) -> None:
    """64 x 64 texels on 4 x 4 pixels: each pixel shows the mean of its 16 x 16 texels; a plain sample does
    not.
    """
    texture = random(64, 64, 3)
    expected = texture.reshape(4, 16, 4, 16, 3).mean((1, 3))
    image = textured_quad(texture, 4, 4, mips=True, backend=backend)
    torch.testing.assert_close(image, expected, rtol=0, atol=1e-5)
    assert (textured_quad(texture, 4, 4, mips=False, backend=backend) - expected).abs().max() > 0.1


@given(height=st.integers(1, 40), width=st.integers(1, 40))
def test_every_level_keeps_the_mean_where_sizes_divide_and_the_last_always(height: int, width: int) -> None:
    """Odd sizes are halved by area, so that the 1 x 1 level is the mean of all texels."""
    texture = random(height, width, 2, seed=height * 41 + width).double()
    mips = build_mips(texture)
    assert mips.sizes[-1] == (1, 1)
    assert torch.equal(mips.level(0), texture)
    for index in range(len(mips.sizes)):
        torch.testing.assert_close(mips.level(index).mean((0, 1)), texture.mean((0, 1)), rtol=0, atol=1e-12)


@backends
def test_wrap_repeats_the_image_and_clamp_its_border(backend: str) -> None:
    texture = random(4, 8, 3)
    inside = torch.tensor([[[[0.3, 0.4], [0.02, 0.97]]]])
    moved = inside + torch.tensor([3.0, -2.0])
    plain = sample_texture(texture, inside, backend=backend)
    torch.testing.assert_close(sample_texture(texture, moved, backend=backend), plain, rtol=0, atol=1e-5)
    beyond = torch.tensor([[[[-5.0, 9.0], [7.0, -3.0]]]])
    corners = sample_texture(texture, beyond, wrap="clamp", backend=backend)
    torch.testing.assert_close(corners[0, 0], torch.stack([texture[0, 0], texture[-1, -1]]))
    seam = torch.tensor([[[[0.0, 0.125]]]])  # between the last and the first column, in the last row's centre
    found = sample_texture(texture, seam, backend=backend)[0, 0, 0]
    torch.testing.assert_close(found, (texture[-1, 0] + texture[-1, -1]) / 2)


@backends
def test_what_is_masked_is_zero_and_has_no_gradient(backend: str) -> None:
    texture, uvs = random(4, 4, 3).requires_grad_(), random(1, 2, 3, 2).requires_grad_()
    mask = torch.tensor([[[True, False, False], [False, False, False]]])
    image = sample_texture(texture, uvs, mask=mask, backend=backend)
    image.sum().backward()
    assert not image[~mask].any()
    assert not uvs.grad[~mask].any()
    assert float(texture.grad.sum()) == pytest.approx(3.0)  # the shares of one sample, three channels


@backends
def test_levels_of_a_tilted_plane_are_its_footprints(backend: str) -> None:
    """A floor 1 m below the camera, 1 texel a mm: at depth z and focal length f, moving down a row moves
    z^2 / f along the floor (and more aside), which is longer than the step sideways, z / f, where z > 1.
    """
    verts = torch.tensor([[-50.0, 1, -1], [50, 1, -1], [50, 1, 99], [-50, 1, 99]])
    uvs = torch.tensor([[0.0, 0.0], [1.0, 0], [1, 1], [0, 1]])
    K = torch.tensor([[[60.0, 0, 20], [0, 60, 10], [0, 0, 1]]])
    cameras = Cameras(torch.eye(4)[None], K, 40, 40)
    rendering = rasterize_mesh(verts, QUAD_FACES, cameras, backend=backend)
    size = 100_000, 100_000
    found = mip_levels(uvs, QUAD_FACES, verts, QUAD_FACES, cameras, rendering, size, backend=backend)
    z = rendering.depth
    sideways = (torch.arange(40) + 0.5 - 20) / 60  # a row down also moves along the ray's slant
    expected = torch.log2(z * z / 60 * (1 + sideways**2).sqrt() * 1000)
    seen = rendering.covered
    assert 0.5 < seen.float().mean() < 1
    torch.testing.assert_close(found[seen], expected[seen], rtol=0, atol=1e-3)  # 0.07 % of a step
    assert not found[~seen].any()


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**31 - 1),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    wrap=st.sampled_from(["wrap", "clamp"]),
    mipped=st.booleans(),
)
def test_cpu_equals_reference(
    seed: int, height: int, width: int, wrap: Literal["wrap", "clamp"], mipped: bool
) -> None:
    """Colors and gradients to texture, coordinates and levels. The kernel counts places in float64 and
    colors in float32 sums of eight products: 1e-5. Coordinates within 1e-4 of a texel's centre line, where
    their gradient jumps, do not occur: they are odd multiples of 1/512 and textures have at most 9 texels.
    """
    g = torch.Generator().manual_seed(seed)
    texture = torch.randn(height, width, 3, generator=g)
    uvs = (2 * torch.randint(-400, 700, (2, 5, 6, 2), generator=g) + 1) / 512
    levels = torch.rand(2, 5, 6, generator=g) * 6 - 1
    mask = torch.rand(2, 5, 6, generator=g) < 0.8
    weights = torch.randn(2, 5, 6, 3, generator=g)
    results = []
    for dtype, backend in ((torch.float32, "cpu"), (torch.float64, "reference")):
        leaves = [x.to(dtype).requires_grad_() for x in (texture, uvs, levels)]
        source = build_mips(leaves[0]) if mipped else leaves[0]
        image = sample_texture(source, leaves[1], levels=leaves[2], mask=mask, wrap=wrap, backend=backend)
        gradients = torch.autograd.grad((image * weights.to(dtype)).sum(), leaves)
        results.append([image.detach(), *gradients])
    for found, expected in zip(*results):
        scale = max(1.0, float(expected.abs().max()))
        torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-5 * scale)


@pytest.mark.parametrize("wrap", ["wrap", "clamp"])
def test_reference_gradients_by_finite_differences(wrap: Literal["wrap", "clamp"]) -> None:
    texture = random(5, 6, 2).double().requires_grad_()
    uvs = (random(1, 3, 4, 2, seed=1).double() * 1.6 - 0.3).requires_grad_()
    levels = (random(1, 3, 4, seed=2).double() * 2.9 + 0.02).requires_grad_()

    def image(texels: Tensor, places: Tensor, far: Tensor) -> Tensor:
        return sample_texture(build_mips(texels), places, levels=far, wrap=wrap)

    assert torch.autograd.gradcheck(image, (texture, uvs, levels), eps=1e-7, atol=1e-6)


@settings(max_examples=30)
@given(seed=st.integers(0, 2**31 - 1), width=st.integers(1, 30), height=st.integers(1, 30))
def test_compiled_levels_equal_the_reference(seed: int, width: int, height: int) -> None:
    """Of random triangles, some through the near plane. Two float64 computations in another order, rounded to
    float32: 1e-4 of a level, more than enough; slivers lose digits.
    """
    g = torch.Generator().manual_seed(seed)
    verts = torch.randn(9, 3, generator=g) + torch.tensor([0, 0, 1.5])
    faces, face_uvs = torch.arange(9).reshape(3, 3), torch.tensor([[0, 1, 2], [2, 1, 3], [4, 3, 0]])
    uvs = torch.rand(5, 2, generator=g)
    K = torch.tensor([[[20.0, 0, width / 2], [0, 20, height / 2], [0, 0, 1]]])
    cameras = Cameras(torch.eye(4)[None], K, width, height)
    rendering = rasterize_mesh(verts, faces, cameras)
    exact = MeshRendering(rendering.face_index, rendering.barycentrics.double(), rendering.depth.double())
    found = mip_levels(uvs, face_uvs, verts, faces, cameras, rendering, (64, 128), backend="cpu")
    arguments = uvs.double(), face_uvs, verts.double(), faces, cameras.to(torch.float64), exact, (64, 128)
    torch.testing.assert_close(found.double(), mip_levels(*arguments, backend="reference"), rtol=0, atol=1e-4)


@backends
def test_seams_have_corners_of_their_own(backend: str) -> None:
    """A strip of two quads whose middle vertices carry u = 1 on the left and u = 0 on the right: two whole
    copies of the texture, no smear in between.
    """
    verts = torch.tensor([[x, y, 1.0] for x in (0.0, 8.0, 16.0) for y in (0.0, 8.0)])
    faces = torch.tensor([[0, 2, 3], [0, 3, 1], [2, 4, 5], [2, 5, 3]])
    face_uvs = torch.tensor([[0, 1, 2], [0, 2, 3], [0, 1, 2], [0, 2, 3]])
    cameras, texture = camera(16, 8), random(8, 8, 3)
    rendering = rasterize_mesh(verts, faces, cameras, backend=backend)
    image = sample_texture(texture, interpolate(QUAD_UVS, face_uvs, rendering), backend=backend)[0]
    torch.testing.assert_close(image, torch.cat([texture, texture], 1), rtol=0, atol=1e-5)


def test_same_bits_on_any_number_of_threads() -> None:
    texture, uvs, levels = random(33, 47, 3), random(2, 100, 90, 2) * 3 - 1, random(2, 100, 90) * 5
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            leaves = [x.clone().requires_grad_() for x in (texture, uvs, levels)]
            image = sample_texture(build_mips(leaves[0]), leaves[1], levels=leaves[2])
            image.square().sum().backward()
            results.append(b"".join(x.detach().numpy().tobytes() for x in [image, *(x.grad for x in leaves)]))
    finally:
        torch.set_num_threads(before)
    assert results[0] == results[1]


def test_wrong_input_is_refused() -> None:
    with pytest.raises(ValueError, match="uvs are not finite"):
        sample_texture(random(2, 2, 3), torch.full((1, 1, 1, 2), float("nan")))
    with pytest.raises(ValueError, match="levels are not finite"):
        sample_texture(random(2, 2, 3), random(1, 1, 1, 2), levels=torch.full((1, 1, 1), float("inf")))
    with pytest.raises(ValueError, match="no color"):
        sample_texture(torch.zeros(0, 2, 3), random(1, 1, 1, 2))
    with pytest.raises(ValueError, match="float32"):
        sample_texture(random(2, 2, 3).double(), random(1, 1, 1, 2), backend="cpu")
