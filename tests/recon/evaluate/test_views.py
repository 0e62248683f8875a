"""One view scored, with a made-up capture whose every score can be worked out."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from simulacra.recon.evaluate.protocol import View
from simulacra.recon.evaluate.scores import Missing
from simulacra.recon.evaluate.views import (
    CapturedView,
    RenderView,
    ViewConfig,
    compare_view,
    crop_around,
)
from simulacra.render.image import limited_size
from simulacra.render.runtime.errors import RunError

SIZE = 64
HALF = 32
VIEW = View("a", 0)


@dataclass
class Flat:
    """A grey person, a box of rows 16..48 and columns 20..44 at 2 m, before a wall at 3 m."""

    with_depth: bool = True
    box: tuple[slice, slice] = (slice(16, 48), slice(20, 44))

    def person(self) -> np.ndarray:
        mask = np.zeros((SIZE, SIZE), np.float32)
        mask[self.box] = 1.0
        return mask

    def captured(self, with_mask: bool = True) -> CapturedView:
        mask = self.person()
        photo = np.where(mask[..., None] > 0, 0.4, 0.9).astype(np.float32).repeat(3, axis=-1)
        depth = np.where(mask > 0, 2.0, 3.0).astype(np.float32), np.ones((SIZE, SIZE), bool)
        return CapturedView(
            VIEW, photo, mask if with_mask else None, "session", depth if self.with_depth else None
        )


def renderer(offset: float = 0.0, nearer_m: float = 0.0, columns: slice = slice(10, 22)) -> RenderView:
    """The box, `columns` in pixels of half the size; its color and depth wrong by a constant;"""

    def draw(frame: int, camera: str, width: int, height: int) -> tuple[Tensor, Tensor, Tensor]:
        # The capture's size, and not that at which it is compared.
        assert (width, height) == (SIZE, SIZE)
        alpha = torch.zeros(height, width)
        alpha[16:48, 2 * columns.start : 2 * columns.stop] = 1.0
        return (0.4 + offset) * alpha[..., None].repeat(1, 1, 3), alpha, (2.0 - nearer_m) * alpha

    return draw


def number(outcome: float | Missing) -> float:
    assert isinstance(outcome, float), outcome
    return outcome


def test_known_offset_gives_known_numbers() -> None:
    flat = Flat()
    compared = compare_view(flat.captured(), renderer(0.1, 0.007), ViewConfig(longest_side=HALF))
    scores = compared.scores
    assert number(scores["psnr_fg"]) == pytest.approx(20.0, abs=1e-4)
    # The background is black in both, so that the same error is spread over more pixels.
    assert number(scores["psnr_full"]) == pytest.approx(20.0 + 10 * math.log10(HALF**2 / (16 * 12)), abs=1e-4)
    assert number(scores["mask_iou"]) == 1.0
    assert number(scores["depth_median_mm"]) == pytest.approx(7.0, abs=1e-3)
    assert number(scores["depth_p90_mm"]) == pytest.approx(7.0, abs=1e-3)
    assert 0.8 < number(scores["ssim_crop"]) < 1.0
    assert compared.mask_source == "session"


def test_perfect_render() -> None:
    flat = Flat()
    scores = compare_view(flat.captured(), renderer(), ViewConfig(longest_side=HALF)).scores
    assert math.isinf(number(scores["psnr_fg"]))
    assert number(scores["ssim_crop"]) == pytest.approx(1.0, abs=1e-6)


def test_a_shifted_silhouette_costs_overlap_and_foreground() -> None:
    flat = Flat()
    scores = compare_view(
        flat.captured(), renderer(columns=slice(13, 25)), ViewConfig(longest_side=HALF)
    ).scores
    assert number(scores["mask_iou"]) == pytest.approx(9 / 15)
    # A quarter of the mask's pixels are black where 0.4 is wanted; what lies outside the mask does not count.
    assert number(scores["psnr_fg"]) == pytest.approx(-10 * math.log10(0.25 * 0.16), abs=1e-4)
    assert number(scores["depth_median_mm"]) == pytest.approx(0.0, abs=1e-3)


def test_depth_is_divided_by_alpha() -> None:
    flat = Flat()

    def half_transparent(frame: int, camera: str, width: int, height: int) -> tuple[Tensor, Tensor, Tensor]:
        rgb, alpha, depth = renderer()(frame, camera, width, height)
        return 0.6 * rgb, 0.6 * alpha, 0.6 * depth

    scores = compare_view(flat.captured(), half_transparent, ViewConfig(longest_side=HALF)).scores
    assert number(scores["depth_median_mm"]) == pytest.approx(0.0, abs=1e-3)


@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_render_that_is_not_finite_is_an_error_that_says_where(which: int, bad: float) -> None:
    flat = Flat()

    def broken(frame: int, camera: str, width: int, height: int) -> tuple[Tensor, Tensor, Tensor]:
        images = renderer()(frame, camera, width, height)
        images[which][3, 5] = bad
        return images

    with pytest.raises(RunError, match="not finite") as error:
        compare_view(flat.captured(), broken, ViewConfig(longest_side=HALF))
    assert "camera a, frame 0" in str(error.value)


def test_what_cannot_be_measured_says_why() -> None:
    flat = Flat(with_depth=False)
    settings = ViewConfig(longest_side=HALF)
    scores = compare_view(flat.captured(), renderer(), settings).scores
    assert scores["depth_median_mm"] == Missing("the capture has no depth for this view")
    no_mask = compare_view(flat.captured(with_mask=False), renderer(), settings)
    assert no_mask.mask_source == "none"
    assert all(isinstance(score, Missing) for score in no_mask.scores.values())
    nobody = Flat(box=(slice(0, 0), slice(0, 0)))
    empty = compare_view(nobody.captured(), renderer(), settings).scores
    assert isinstance(empty["psnr_fg"], Missing)
    assert isinstance(empty["ssim_crop"], Missing)
    assert isinstance(empty["depth_p90_mm"], Missing)
    assert empty["mask_iou"] == 0.0


def test_difference_picture_is_black_where_equal_and_bright_where_not() -> None:
    flat = Flat()
    compared = compare_view(flat.captured(), renderer(0.3), ViewConfig(longest_side=HALF))
    difference = compared.difference
    assert difference[0, 0].max() < 0.05
    assert difference[16, 16].mean() > 0.8


def test_sizes_are_never_enlarged() -> None:
    assert limited_size(1024, 1024, 512) == (512, 512)
    assert limited_size(1080, 1920, 512) == (288, 512)
    assert limited_size(640, 480, 1024) == (640, 480)


def test_crop_keeps_a_margin_stays_inside_and_holds_a_window() -> None:
    person = np.zeros((100, 80), bool)
    person[30:70, 20:40] = True
    assert crop_around(person, 0.1) == (16, 26, 28, 48)
    person[:] = False
    person[99, 79] = True
    x0, y0, width, height = crop_around(person, 0.1)
    assert (x0 + width, y0 + height) == (80, 100)
    assert width >= 11 and height >= 11


def test_inflation_is_told_by_rim_outline_and_area_and_not_by_the_person() -> None:
    flat = Flat()
    scores = compare_view(
        flat.captured(), renderer(columns=slice(9, 23)), ViewConfig(longest_side=HALF)
    ).scores
    assert math.isinf(number(scores["psnr_fg"]))
    assert number(scores["area_ratio"]) == pytest.approx(14 / 12)
    # Pixels are 16 of 512 wide, so that the rim is a quarter of one: no more than the person counts.
    assert math.isinf(number(scores["psnr_near"]))
    # One of these pixels on each of two sides is 16, cut at 8; top and bottom are right.
    assert 3.0 < number(scores["outline_offset_px"]) < 6.0


def test_a_view_is_drawn_at_the_captures_size_but_at_most_at_twice_the_compared() -> None:
    asked = []

    def draw(frame: int, camera: str, width: int, height: int) -> tuple[Tensor, Tensor, Tensor]:
        asked.append((width, height))
        # A chequered person: its mean over area is a half, and nothing else.
        rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        alpha = ((rows + columns) % 2).float()
        return alpha[..., None].repeat(1, 1, 3), alpha, 2.0 * alpha

    flat = Flat()
    compared = compare_view(flat.captured(), draw, ViewConfig(longest_side=HALF))
    np.testing.assert_allclose(compared.render, 0.5, atol=1e-6)
    assert number(compared.scores["depth_median_mm"]) == pytest.approx(0.0, abs=1e-3)
    compare_view(flat.captured(), draw, ViewConfig(longest_side=16))
    compare_view(flat.captured(), draw, ViewConfig(longest_side=100))
    assert asked == [(64, 64), (32, 32), (64, 64)]
