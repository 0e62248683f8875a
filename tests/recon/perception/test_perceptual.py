"""Perceptual measures: known answers of their authors, gradients, flat pictures, and what each is there to tell."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from simulacra.recon.perception import dists, identity, lpips, networks
from simulacra.recon.perception.by_name import ASSETS, OWN, add_measure, measure_names, open_measure
from simulacra.recon.perception.dists import Dists
from simulacra.recon.perception.flip import Flip
from simulacra.recon.perception.identity import Identity
from simulacra.recon.perception.lpips import Lpips
from simulacra.recon.perception.measure import Measure, score
from simulacra.recon.perception.ms_ssim import MultiscaleSsim
from simulacra.recon.perception.outline_loss import OutlineLoss
from simulacra.recon.perception.wasserstein import GaborWasserstein, sigma_of_mask
from simulacra.recon.perception.weights import missing_weights, read_convolutions
from simulacra.render.runtime.errors import AssetError, ConfigError


def here(name: str) -> bool:
    return missing_weights(*ASSETS.get(name, ())) is None


def noise(side: int, seed: int, kind: torch.dtype = torch.float32) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    rough = torch.rand(1, 3, side // 4, side // 4, generator=random, dtype=torch.float64)
    smooth = torch.nn.functional.interpolate(rough, (side, side), mode="bicubic", antialias=False)
    return smooth[0].permute(1, 2, 0).clamp(0.02, 0.98).to(kind).contiguous()


@pytest.fixture
def small_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random weights of the true shapes' kinds but few channels: gradients are about formulas, not about weights."""
    random = torch.Generator().manual_seed(3)

    def convolutions(
        sizes: list[tuple[int, int, int]], kind: torch.dtype
    ) -> tuple[tuple[Tensor, Tensor], ...]:
        return tuple(
            (
                torch.randn(out, inside, side, side, generator=random, dtype=torch.float64).to(kind)
                / side
                / inside**0.5,
                torch.full((out,), 0.1, dtype=kind),
            )
            for inside, out, side in sizes
        )

    kept: dict[tuple[str, torch.dtype], object] = {}

    def planted(asset: str, network: str, kind: torch.dtype, device: torch.device) -> object:
        if (asset, kind) not in kept:
            alex = asset == "lpips_alex"
            sizes = (
                [(3, 4, 11), (4, 4, 5), (4, 4, 3), (4, 4, 3), (4, 4, 3)]
                if alex
                else [(3, 4, 3), *[(4, 4, 3)] * 12]
            )
            kept[asset, kind] = convolutions(sizes, kind), (torch.rand(4, generator=random).to(kind),) * 5
        return kept[asset, kind]

    weights = [(torch.full((c,), 0.02).double(), torch.full((c,), 0.03).double()) for c in (3, 4, 4, 4, 4, 4)]
    monkeypatch.setattr(networks, "convolutions_of", planted)
    monkeypatch.setattr(
        dists, "_weights", lambda kind, device: [(a.to(kind), b.to(kind)) for a, b in weights]
    )


@pytest.mark.parametrize("name", [name for name in OWN if name != "identity"])
def test_gradients_are_those_of_finite_differences(name: str, small_networks: None) -> None:
    measure = open_measure(name)
    ours, theirs = noise(32, 1, torch.float64), noise(32, 2, torch.float64)
    if measure.of_coverage:
        ours, theirs = ours.mean(-1), theirs.mean(-1)
    random = torch.Generator().manual_seed(5)
    leaf = ours.clone().requires_grad_()
    measure(leaf, theirs).backward()
    assert leaf.grad is not None
    for _ in range(4):
        way = torch.randn(ours.shape, generator=random, dtype=torch.float64)
        step = 1e-6
        with torch.no_grad():
            slope = (measure(ours + step * way, theirs) - measure(ours - step * way, theirs)) / (2 * step)
        # Rectifiers and maxima have kinks, of which a step of 1e-6 crosses few: 1e-3 of the slope.
        assert (leaf.grad * way).sum().item() == pytest.approx(slope.item(), rel=1e-3, abs=1e-9)


@pytest.mark.parametrize("name", [name for name in OWN if name != "identity"])
def test_equal_pictures_are_zero_and_flat_ones_have_finite_gradients(name: str, small_networks: None) -> None:
    measure = open_measure(name)
    pictures = [noise(48, 1), torch.zeros(48, 48, 3), torch.full((48, 48, 3), 0.5), torch.ones(48, 48, 3)]
    if measure.of_coverage:
        pictures = [picture.mean(-1) for picture in pictures]
    for picture in pictures:
        assert score(measure, picture, picture) == pytest.approx(0, abs=1e-6)
        for other in pictures:
            leaf = picture.clone().requires_grad_()
            found = measure(leaf, other)
            found.backward()
            assert found.item() >= -1e-6
            assert leaf.grad is not None
            assert torch.isfinite(leaf.grad).all()


@pytest.mark.parametrize("name", [name for name in OWN if name not in ("identity", "outline")])
def test_more_blur_is_farther(name: str, small_networks: None) -> None:
    sharp = torch.rand(64, 64, 3, generator=torch.Generator().manual_seed(1))
    blurred = [torch.from_numpy(cv2.GaussianBlur(sharp.numpy(), (0, 0), sigma)) for sigma in (0.5, 1.0, 2.0)]
    found = [score(open_measure(name), image, sharp) for image in blurred]
    assert 0 < found[0] < found[1] < found[2]


def test_pictures_that_are_too_small_are_refused(small_networks: None) -> None:
    with pytest.raises(ValueError, match="at least 32"):
        Dists()(noise(16, 1), noise(16, 1))


def test_a_texture_may_lie_elsewhere_but_a_detail_may_not() -> None:
    """White noise is statistically the same as other white noise: with wide neighborhoods much nearer than its mean."""
    first, second = (torch.rand(64, 64, 3, generator=torch.Generator().manual_seed(s)) for s in (1, 2))
    flat = torch.full_like(first, 0.5)
    wide, narrow = GaborWasserstein(8.0), GaborWasserstein(0.0)
    assert score(wide, second, first) < 0.2 * score(wide, flat, first)
    assert score(narrow, second, first) > score(narrow, flat, first)


def test_sigma_is_zero_at_the_outline_and_wide_inside() -> None:
    mask = torch.zeros(128, 128)
    mask[10:118, 10:118] = 1
    sigma = sigma_of_mask(mask)
    assert sigma[5, 5] == 0
    assert sigma[10, 64] <= 0.25 + 1e-6
    assert sigma[64, 64] == 8.0
    shares = GaborWasserstein().shares(sigma)
    # Each layer's shares add up to 1 over all levels: levels of strides 1, 1, 2, 4 are 5, 5, 4, 3.
    for first, last in ((0, 5), (5, 10), (10, 14), (14, 17)):
        assert sum(share.sum().item() for share in shares[first:last]) == pytest.approx(1, abs=1e-5)


def test_a_band_of_too_much_costs_half_its_square() -> None:
    mask = torch.zeros(96, 96)
    mask[:, :48] = 1
    for width in (1, 2, 4):
        drawn = mask.clone()
        drawn[:, 48 : 48 + width] = 1
        assert score(OutlineLoss(), drawn, mask) == pytest.approx(width**2 / 2, rel=1e-5)
    assert score(OutlineLoss(), torch.ones(8, 8), torch.zeros(8, 8)) == 0


def test_structure_at_one_scale_is_plain_ssim() -> None:
    """At 21 pixels only one scale fits, to the power of 1.0001, the sum of the authors' weights."""
    from simulacra.recon.perception.ssim import ssim_reference

    ours, theirs = noise(20, 1, torch.float64), noise(20, 2, torch.float64)
    similar = 0.9 * theirs + 0.1 * ours
    assert 1 - MultiscaleSsim()(similar, theirs).item() == pytest.approx(
        ssim_reference(similar, theirs).item() ** 1.0001, abs=1e-6
    )


def test_flip_of_black_and_white_and_of_nearly_equal_pictures() -> None:
    """What the authors' program says (flip-evaluator 1.7) of the same pictures."""
    black, white = torch.zeros(64, 64, 3), torch.ones(64, 64, 3)
    assert score(Flip(), black, white) == pytest.approx(BLACK_WHITE, abs=1e-3)
    assert score(Flip(), RAMP, RAMP.flip(1)) == pytest.approx(RAMP_TURNED, abs=1e-3)


RAMP = torch.stack(
    [
        torch.linspace(0, 1, 64).expand(64, 64),
        torch.linspace(0, 1, 64)[:, None].expand(64, 64),
        torch.full((64, 64), 0.25),
    ],
    -1,
)
BLACK_WHITE, RAMP_TURNED = 0.96735, 0.70768


@pytest.mark.skipif(not here("lpips_alex"), reason="the outside file lpips_alex is not here")
def test_lpips_and_dists_give_their_authors_numbers(capture_folder: Callable[[str], Path]) -> None:
    pictures = capture_folder("metric_reference")

    def read(name: str) -> Tensor:
        return torch.from_numpy(cv2.imread(str(pictures / name))[..., ::-1].astype(np.float32) / 255)

    alex = Lpips("alex")
    assert score(alex, read("ex_p0.png"), read("ex_ref.png")) == pytest.approx(0.722, abs=1e-3)
    assert score(alex, read("ex_p1.png"), read("ex_ref.png")) == pytest.approx(0.138, abs=1e-3)
    if here("dists"):
        assert score(Dists(), read("dists_r0.png"), read("dists_r1.png")) == pytest.approx(0.3347, abs=1e-3)


def test_a_missing_file_is_a_reason_or_an_error_that_says_what_to_run(empty_cache: Path) -> None:
    assert "simulacra assets lpips_vgg dists_weights" in (missing_weights(*ASSETS["dists"]) or "")
    with pytest.raises(AssetError, match="simulacra assets lpips_alex"):
        read_convolutions("lpips_alex", "AlexNet_0")


def test_faces_are_embedded_as_planted_weights_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network whose last matrix is zero but for one number, and whose convolutions are zero, sees its biases."""
    channels = {"32": 32, "64": 64, "128": 128, "256": 256}
    entries, content = [], b""

    def add(name: str, array: np.ndarray) -> None:
        nonlocal content
        packed = (array.astype(np.float32) / 0.5).round().astype("u1")
        entries.append({"name": name, "shape": list(array.shape), "quantization": {"scale": 0.5, "min": 0.0}})
        content += packed.tobytes()

    inside = 32
    for name in ("conv32_down", *(f"{b}/conv{n}" for b in identity.BLOCKS for n in (1, 2))):
        out = channels[name.split("_")[0].removeprefix("conv")]
        shape = (7, 7, 3, 32) if name == "conv32_down" else (3, 3, inside, out)
        inside = out
        add(f"{name}/conv/filters", np.zeros(shape))
        add(f"{name}/conv/bias", np.full(out, 0.5))
        add(f"{name}/scale/weights", np.full(out, 2.0))
        add(f"{name}/scale/biases", np.zeros(out))
    last = np.zeros((256, 128))
    last[255, 7] = 1.0
    add("fc", last)
    (tmp_path / "face_recognition_model-weights_manifest.json").write_text(json.dumps([{"weights": entries}]))
    (tmp_path / "face_recognition_model.bin").write_bytes(content)
    monkeypatch.setattr(identity, "asset_path", lambda name: tmp_path)
    identity._read.cache_clear()
    identity._weights.cache_clear()
    try:
        vector = Identity().features(noise(40, 1))[0]
    finally:
        identity._read.cache_clear()
        identity._weights.cache_clear()
    # Channel 255 begins in the block that halves 8 places to 4, of which its convolution fills 3 a side: 1 there, then
    # 2 more from two blocks. The last block halves that to 3, 2.5, 2.5, 2.25 and fills one place: their mean and 1/4.
    assert torch.count_nonzero(vector) == 1
    assert vector[7].item() == pytest.approx((3 + 2.5 + 2.5 + 2.25 + 1) / 4)


def test_names_are_those_of_the_settings_and_unknown_ones_are_refused_with_the_list() -> None:
    from simulacra.recon.avatar.settings import PerceptionWeights

    assert set(vars(PerceptionWeights())) - {"own", "every", "shrink", "crop"} == set(OWN)
    with pytest.raises(ConfigError, match=r"one of lpips_alex.*identity"):
        open_measure("lpips_alx")
    with pytest.raises(ConfigError, match="did you mean lpips_alex"):
        open_measure("lpips_alx")
    with pytest.raises(ConfigError, match="project's own"):
        add_measure("flip", Flip)


def test_a_measure_of_ones_own_joins_by_a_call_and_by_an_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    class Own(Measure):
        def features(self, image: Tensor) -> tuple[Tensor, ...]:
            return (image,)

        def between(self, ours: tuple[Tensor, ...], theirs: tuple[Tensor, ...]) -> Tensor:
            return (ours[0] - theirs[0]).abs().max()

    from simulacra.recon.perception import by_name

    monkeypatch.setattr(by_name, "_ADDED", {})
    add_measure("farthest", Own)
    assert isinstance(open_measure("farthest"), Own)

    class Found:
        name = "planted"

        def load(self) -> Callable[[], object]:
            return Own

    monkeypatch.setattr(
        by_name, "entry_points", lambda group, name="planted": [Found()] if name == "planted" else []
    )
    assert isinstance(open_measure("planted"), Own)
    assert "planted" in measure_names()
    monkeypatch.setattr(Found, "load", lambda self: lambda: "no measure")
    with pytest.raises(ConfigError, match="has to be a Measure"):
        open_measure("planted")


def test_lpips_of_planted_features_is_the_formula(monkeypatch: pytest.MonkeyPatch) -> None:
    """One layer of two channels, at right angles in a half of the places: the weights' sum, halved."""
    first = torch.tensor([[[3.0, 3.0]], [[0.0, 0.0]]])[None]
    second = torch.tensor([[[5.0, 0.0]], [[0.0, 2.0]]])[None]
    layers = iter((first, second))
    monkeypatch.setattr(lpips, "alexnet_layers", lambda image: (next(layers),))
    monkeypatch.setattr(lpips, "channel_weights", lambda *_: (torch.tensor([0.25, 0.5]),))
    assert score(Lpips("alex"), noise(32, 1), noise(32, 2)) == pytest.approx((0.25 + 0.5) / 2)
