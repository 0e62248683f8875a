"""The compiled rasterizer against the torch reference: values, vector-Jacobian products, and the
reference itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from simulacra.render.gaussians import rasterize_features, rasterize_gaussians, reference
from simulacra.render.gaussians.record import Mode

from .conftest import INPUTS, Scene, decided_pixels, make_scene

IMAGES = ("drawn", "alpha", "depth", "median_depth")
STATISTICS = ("radii", "total_weights", "largest_weights")
EXTRAS = ("median_depth", "weights")
SHAPE_INPUTS = tuple(name for name in INPUTS if name != "sh")

Render = Callable[[Scene, dict[str, torch.Tensor], str, Mode], dict[str, torch.Tensor]]


def colors(
    scene: Scene, leaves: dict[str, torch.Tensor], backend: str, mode: Mode
) -> dict[str, torch.Tensor]:
    result = rasterize_gaussians(
        scene.gaussians(leaves),
        scene.cameras(leaves),
        background=leaves["background"],
        screen_offsets=leaves["screen_offsets"],
        mode=mode,
        eps2d=scene.eps2d,
        also=EXTRAS,
        backend=backend,
    )
    images = {name: getattr(result, name) for name in IMAGES[1:]} | {"drawn": result.rgb_premul}
    return images | {name: getattr(result.screen, name) for name in STATISTICS}


def features(
    scene: Scene, leaves: dict[str, torch.Tensor], backend: str, mode: Mode
) -> dict[str, torch.Tensor]:
    result = rasterize_features(
        scene.gaussians(leaves),
        leaves["features"],
        scene.cameras(leaves),
        background=leaves["feature_background"],
        screen_offsets=leaves["screen_offsets"],
        mode=mode,
        eps2d=scene.eps2d,
        also=EXTRAS,
        backend=backend,
    )
    images = {name: getattr(result, name) for name in IMAGES[1:]} | {"drawn": result.features_premul}
    return images | {name: getattr(result.screen, name) for name in STATISTICS}


def with_features(scene: Scene, channels: int, per_camera: bool) -> Scene:
    """The scene with features of the Gaussians (of each camera, if so) and a background of them."""
    g = torch.Generator().manual_seed(channels)
    shape = (len(scene.leaves["means"]), channels)
    if per_camera:
        shape = (len(scene.leaves["viewmats"]), *shape)
    more = {
        "features": torch.randn(*shape, generator=g).double(),
        "feature_background": torch.randn(channels, generator=g).double(),
    }
    return replace(scene, leaves=scene.leaves | more)


def cotangents(decided: torch.Tensor, channels: int, seed: int) -> dict[str, torch.Tensor]:
    """Random weights of every image, zero where a pixel is not decided."""
    g = torch.Generator().manual_seed(seed)
    shapes = dict.fromkeys(IMAGES, decided.shape) | {"drawn": (*decided.shape, channels)}
    weights = {name: torch.randn(*shape, generator=g).double() for name, shape in shapes.items()}
    return {k: v * (decided[..., None] if k == "drawn" else decided) for k, v in weights.items()}


def compare(
    scene: Scene,
    seed: int,
    mode: Mode = "classic",
    render: Render = colors,
    inputs: tuple[str, ...] = INPUTS,
    change: dict[str, float] | None = None,
    losses: tuple[str, ...] = IMAGES,
) -> None:
    """The cpu backend equals the float64 reference in every output and every gradient.

    Tolerance of values: projected centres near pixel 20 carry a float32 error of 2e-6 px, exponents up to
    5.5 and the products of dozens of transmittances multiply it: 2e-5. Gradients sum both signs over the
    image: 1e-4 of their norm (typically 2e-6), and 1e-5 absolute for those that cancel to nothing. Weights
    summed over the image add the errors of up to 2000 pixels, and one that is not decided may differ by
    1/255 or what is left: only Gaussians off all such pixels could be compared exactly, so a hundredth of a
    pixel's worth for each undecided pixel is allowed.
    """
    decided = decided_pixels(scene, mode)
    results = []
    for dtype, backend in ((torch.float64, "reference"), (torch.float32, "cpu")):
        leaves = scene.in_type(dtype)
        if backend == "cpu":
            for name, amount in (change or {}).items():
                leaves[name] = (scene.leaves[name] + amount).float().requires_grad_()
        outputs = render(scene, leaves, backend, mode)
        weights = cotangents(decided, outputs["drawn"].shape[-1], seed)
        loss = sum((outputs[name] * weights[name].to(dtype)).sum() for name in losses)
        gradients = torch.autograd.grad(loss, [leaves[name] for name in inputs])
        results.append((outputs, dict(zip(inputs, gradients))))
    (expected, expected_gradients), (found, found_gradients) = results
    for name in IMAGES:
        mask = decided[..., None] if name == "drawn" else decided
        torch.testing.assert_close(
            (found[name] * mask).double(),
            expected[name] * mask,
            rtol=2e-5,
            atol=2e-5,
            msg=lambda m, n=name: n + m,
        )
    torch.testing.assert_close(found["radii"].double(), expected["radii"], rtol=1e-5, atol=1e-5)
    undecided = int((~decided).sum())
    for name in STATISTICS[1:]:
        slack = 1e-4 + undecided * 1e-2
        torch.testing.assert_close(found[name].double(), expected[name], rtol=2e-5, atol=slack)
    for name in inputs:
        error = (found_gradients[name].double() - expected_gradients[name]).norm()
        assert error <= 1e-4 * expected_gradients[name].norm() + 1e-5, f"gradient of {name}: {error}"


scenes = st.builds(
    make_scene,
    seed=st.integers(0, 2**31 - 1),
    n=st.integers(1, 60),
    width=st.integers(1, 50),
    height=st.integers(1, 40),
    cameras=st.integers(1, 3),
    degree=st.integers(0, 3),
)
modes = st.sampled_from(["classic", "antialiased"])


@settings(max_examples=30)
@given(
    scene=scenes, seed=st.integers(0, 99), mode=modes, eps2d=st.sampled_from([reference.DILATION, 0.1, 2.0])
)
def test_cpu_equals_reference(scene: Scene, seed: int, mode: Mode, eps2d: float) -> None:
    compare(replace(scene, eps2d=eps2d), seed, mode)


@settings(max_examples=30)
@given(
    scene=scenes, seed=st.integers(0, 99), mode=modes, channels=st.integers(1, 32), per_camera=st.booleans()
)
def test_cpu_equals_reference_in_features(
    scene: Scene, seed: int, mode: Mode, channels: int, per_camera: bool
) -> None:
    inputs = (*(name for name in SHAPE_INPUTS if name != "background"), "features", "feature_background")
    compare(with_features(scene, channels, per_camera), seed, mode, features, inputs)


@pytest.mark.parametrize("name", IMAGES)
def test_each_image_alone_has_the_gradients_of_the_reference(name: str) -> None:
    """Where nobody asks for the gradients of the others (some kernels then leave them out altogether)."""
    inputs = ("means", "quats", "log_scales", "logit_opacities", "viewmats", "screen_offsets")
    if name == "median_depth":
        inputs = ("means", "viewmats")
    scene = make_scene(8, width=35)
    compare(scene, 8, inputs=inputs, losses=(name,))
    compare(with_features(scene, 5, per_camera=False), 8, "classic", features, inputs, losses=(name,))


@pytest.mark.parametrize(
    "change", [{"screen_offsets": 0.01}, {"log_scales": 0.003}, {"logit_opacities": 0.01}, {"viewmats": 1e-4}]
)
@pytest.mark.parametrize("mode", ["classic", "antialiased"])
def test_the_comparison_notices_small_changes(mode: Mode, change: dict[str, float]) -> None:
    """The control: centres off by 0.01 px, sizes by 0.3 %, and so on must not pass."""
    with pytest.raises(AssertionError):
        compare(make_scene(3), 3, mode, change=change)


def test_the_comparison_notices_the_wrong_mode() -> None:
    scene = make_scene(3)
    leaves = scene.in_type(torch.float32)
    classic, compensated = (colors(scene, leaves, "cpu", mode) for mode in ("classic", "antialiased"))
    assert (classic["alpha"] - compensated["alpha"]).max() > 0.02


@pytest.mark.parametrize("mode", ["classic", "antialiased"])
def test_pixels_are_mostly_decided(mode: Mode) -> None:
    """The comparison looks at nearly the whole image, not at what is left of it."""
    shares = [decided_pixels(make_scene(seed), mode).double().mean() for seed in range(5)]
    assert min(shares) > 0.95


@pytest.mark.parametrize("mode", ["classic", "antialiased"])
def test_cpu_equals_reference_on_many_tiles(mode: Mode) -> None:
    """More tiles than one in both directions, sizes that are no multiple of a tile, Gaussians over many
    tiles.
    """
    compare(make_scene(11, n=120, width=75, height=53, cameras=1, degree=0), 11, mode)
    scene = with_features(make_scene(12, n=120, width=75, height=53, cameras=1, degree=0), 6, False)
    compare(scene, 12, mode, features, ("means", "log_scales", "features"))


@pytest.mark.parametrize("mode", ["classic", "antialiased"])
@pytest.mark.parametrize("seed", [0, 1])
def test_reference_gradients_by_finite_differences(seed: int, mode: Mode) -> None:
    """Autograd of the reference in float64 against central differences, for every input at once."""
    scene = make_scene(seed, n=7, width=6, height=5, cameras=1, degree=1)
    weights = cotangents(decided_pixels(scene, mode), 3, seed)

    def loss(*values: torch.Tensor) -> torch.Tensor:
        outputs = colors(scene, dict(zip(INPUTS, values)), "reference", mode)
        return sum((outputs[name] * weights[name]).sum() for name in IMAGES)

    leaves = scene.in_type(torch.float64)
    # Steps of 1e-6 in float64: truncation 1e-9 and rounding 1e-9, so 1e-6 is certain to hold and notices
    # any term.
    assert torch.autograd.gradcheck(loss, [leaves[name] for name in INPUTS], eps=1e-6, atol=1e-6, rtol=1e-5)


def test_reference_feature_gradients_by_finite_differences() -> None:
    scene = with_features(make_scene(2, n=6, width=5, height=4, cameras=2), 2, per_camera=True)
    weights = cotangents(decided_pixels(scene), 2, 2)
    names = ("means", "quats", "features", "feature_background", "viewmats")
    fixed = scene.in_type(torch.float64)

    def loss(*values: torch.Tensor) -> torch.Tensor:
        outputs = features(scene, fixed | dict(zip(names, values)), "reference", "classic")
        return sum((outputs[name] * weights[name]).sum() for name in IMAGES)

    # As above.
    assert torch.autograd.gradcheck(loss, [fixed[name] for name in names], eps=1e-6, atol=1e-6, rtol=1e-5)
