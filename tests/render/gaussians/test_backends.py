"""The compiled rasterizer against the torch reference: values, vector-Jacobian products, and the
reference itself.
"""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from render.gaussians import rasterize_gaussians

from .conftest import INPUTS, Scene, decided_pixels, make_scene

IMAGES = ("rgb_premul", "alpha", "depth")


def render(scene: Scene, leaves: dict[str, torch.Tensor], backend: str) -> dict[str, torch.Tensor]:
    result = rasterize_gaussians(
        scene.gaussians(leaves),
        scene.cameras(leaves),
        background=leaves["background"],
        screen_offsets=leaves["screen_offsets"],
        backend=backend,
    )
    return {name: getattr(result, name) for name in IMAGES} | {"radii": result.screen.radii}


def cotangents(scene: Scene, decided: torch.Tensor, seed: int) -> dict[str, torch.Tensor]:
    """Random weights of every output, zero where a pixel is not decided."""
    g = torch.Generator().manual_seed(seed)
    shapes = {"rgb_premul": (*decided.shape, 3), "alpha": decided.shape, "depth": decided.shape}
    weights = {name: torch.randn(*shape, generator=g).double() for name, shape in shapes.items()}
    weights["rgb_premul"] *= decided[..., None]
    return {k: v * decided if v.shape == decided.shape else v for k, v in weights.items()}


def compare(scene: Scene, seed: int, degree_of_freedom: str | None = None) -> None:
    """The cpu backend equals the float64 reference in every output and every gradient.

    Tolerance of values: projected centres near pixel 20 carry a float32 error of 2e-6 px, exponents up to
    5.5 and the products of dozens of transmittances multiply it: 2e-5. Gradients sum both signs over the
    image: 1e-4 of their norm (typically 2e-6), and 1e-5 absolute for those that cancel to nothing.
    """
    decided = decided_pixels(scene)
    weights = cotangents(scene, decided, seed)
    results = []
    for dtype, backend in ((torch.float64, "reference"), (torch.float32, "cpu")):
        leaves = scene.in_type(dtype)
        if degree_of_freedom == "shifted" and backend == "cpu":
            leaves["screen_offsets"] = (scene.leaves["screen_offsets"] + 0.01).float().requires_grad_()
        outputs = render(scene, leaves, backend)
        loss = sum((outputs[name] * weights[name].to(dtype)).sum() for name in IMAGES)
        gradients = torch.autograd.grad(loss, [leaves[name] for name in INPUTS])
        results.append((outputs, dict(zip(INPUTS, gradients))))
    (expected, expected_gradients), (found, found_gradients) = results
    for name in IMAGES:
        mask = decided[..., None] if name == "rgb_premul" else decided
        torch.testing.assert_close(
            (found[name] * mask).double(),
            expected[name] * mask,
            rtol=2e-5,
            atol=2e-5,
            msg=lambda m, n=name: n + m,
        )
    torch.testing.assert_close(found["radii"].double(), expected["radii"], rtol=1e-5, atol=1e-5)
    for name in INPUTS:
        error = (found_gradients[name].double() - expected_gradients[name]).norm()
        assert error <= 1e-4 * expected_gradients[name].norm() + 1e-5, f"gradient of {name}: {error}"


@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**31 - 1),
    n=st.integers(1, 60),
    width=st.integers(1, 50),
    height=st.integers(1, 40),
    cameras=st.integers(1, 3),
    degree=st.integers(0, 3),
)
def test_cpu_equals_reference(seed: int, n: int, width: int, height: int, cameras: int, degree: int) -> None:
    compare(make_scene(seed, n, width, height, cameras, degree), seed)


def test_the_comparison_notices_a_hundredth_of_a_pixel() -> None:
    """The control: centres off by 0.01 px must not pass."""
    with pytest.raises(AssertionError):
        compare(make_scene(3), 3, "shifted")


def test_pixels_are_mostly_decided() -> None:
    """The comparison looks at nearly the whole image, not at what is left of it."""
    shares = [decided_pixels(make_scene(seed)).double().mean() for seed in range(5)]
    assert min(shares) > 0.95


def test_cpu_equals_reference_on_many_tiles() -> None:
    """More tiles than one in both directions, sizes that are no multiple of a tile, Gaussians over many
    tiles.
    """
    compare(make_scene(11, n=120, width=75, height=53, cameras=1, degree=0), 11)


@pytest.mark.parametrize("seed", [0, 1])
def test_reference_gradients_by_finite_differences(seed: int) -> None:
    """Autograd of the reference in float64 against central differences, for every input at once."""
    scene = make_scene(seed, n=7, width=6, height=5, cameras=1, degree=1)
    weights = cotangents(scene, decided_pixels(scene), seed)

    def loss(*values: torch.Tensor) -> torch.Tensor:
        outputs = render(scene, dict(zip(INPUTS, values)), "reference")
        return sum((outputs[name] * weights[name]).sum() for name in IMAGES)

    leaves = scene.in_type(torch.float64)
    # Steps of 1e-6 in float64: truncation 1e-9 and rounding 1e-9, so 1e-6 is certain to hold and notices
    # any term.
    assert torch.autograd.gradcheck(loss, [leaves[name] for name in INPUTS], eps=1e-6, atol=1e-6, rtol=1e-5)
