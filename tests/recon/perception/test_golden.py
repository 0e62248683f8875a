"""Golden pictures: small ones made by code, and the number that every measure of pictures gives for them.

A disk of color on black, and the same drawn two pixels too large, moved by three, and half as bright. Whoever changes
what a measure computes has to change its number here, and its description in docs/metrics.md.
"""

import math

import numpy as np
import pytest
import torch

from simulacra.recon.evaluate.regions import outline_band
from simulacra.recon.perception.area_ratio import area_ratio
from simulacra.recon.perception.flicker import Motion, flicker
from simulacra.recon.perception.mask_iou import mask_iou
from simulacra.recon.perception.normal_error import normal_error
from simulacra.recon.perception.outline_offset import FARTHEST_PX, outline_offset
from simulacra.recon.perception.psnr import psnr
from simulacra.recon.perception.psnr_near import near_person, psnr_near
from simulacra.recon.perception.ssim import ssim

SIDE = 512
CENTER = 255.5
RADIUS = 100.0


def disk(radius: float = RADIUS, across: float = 0.0, side: int = SIDE) -> np.ndarray:
    """Coverage of each pixel by a disk, linear over its edge's pixel."""
    at = (np.arange(side) + 0.5) * SIDE / side - 0.5 - CENTER
    distance = np.hypot(at[:, None], at[None] - across)
    return np.clip(0.5 + (radius - distance) * side / SIDE, 0, 1).astype(np.float32)


def lit(coverage: np.ndarray, brightness: float = 0.8) -> np.ndarray:
    return (brightness * coverage[..., None] * np.array([1.0, 0.75, 0.5])).astype(np.float32)


GOLDEN = {
    # (alpha, color): psnr_fg, psnr_near, psnr_full, ssim, mask_iou, area_ratio, outline_offset_px
    "larger": (disk(102), lit(disk(102))),
    "smaller": (disk(98), lit(disk(98))),
    "moved": (disk(across=3), lit(disk(across=3))),
    "darker": (disk(), lit(disk(), 0.4)),
}
# Mean angle between the cap of a ball of 0.9 m, two metres away, and a wall, over the disk.
GOLDEN_NORMALS_DEG = 15.542
NUMBERS = {
    "larger": (34.7512, 19.1395, 28.0322, 0.97757, 0.96145, 1.04009, 1.94813),
    "smaller": (19.0204, 19.2407, 28.1333, 0.97804, 0.96004, 0.96004, -1.94851),
    "moved": (22.0708, 19.3917, 28.2843, 0.98074, 0.96253, 1.00000, 0.02265),
    "darker": (10.1663, 10.4826, 19.3752, 0.97014, 1.00000, 1.00000, 0.00000),
}


def measured(alpha: np.ndarray, color: np.ndarray) -> tuple[float, ...]:
    mask = disk()
    person, target = mask >= 0.5, lit(mask)
    ours, theirs = torch.from_numpy(color).double(), torch.from_numpy(target).double()
    offset = outline_offset(alpha, mask)
    assert offset is not None
    return (
        psnr(ours, theirs, torch.from_numpy(person)).item(),
        psnr_near(color, target, person),
        psnr(ours, theirs).item(),
        ssim(torch.from_numpy(color), torch.from_numpy(target)).item(),
        mask_iou(alpha >= 0.5, person),
        area_ratio(alpha >= 0.5, person),
        offset,
    )


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_pictures_have_their_numbers(name: str) -> None:
    # A fifth of the last decimal that reports print.
    found, expected = measured(*GOLDEN[name]), NUMBERS[name]
    assert found[:3] == pytest.approx(expected[:3], abs=2e-3)
    assert found[3:] == pytest.approx(expected[3:], abs=2e-4)


def test_the_golden_numbers_are_those_of_geometry() -> None:
    """What a disk has by formula: the numbers above are not merely what the code gave once."""
    larger, smaller, darker = (NUMBERS[name] for name in ("larger", "smaller", "darker"))
    assert larger[5] == pytest.approx(1.02**2, abs=2e-3)
    assert smaller[5] == pytest.approx(0.98**2, abs=2e-3)
    assert (larger[4], smaller[4]) == pytest.approx((1 / 1.02**2, 0.98**2), abs=2e-3)
    # Two pixels, to the sixteenth that stairs of samples cost.
    assert (larger[6], smaller[6]) == pytest.approx((2.0, -2.0), abs=1 / 16)
    # Half of the brightness is missing everywhere in the mask.
    missing = np.square(0.4 * np.array([1.0, 0.75, 0.5])).mean()
    assert darker[0] == pytest.approx(-10 * math.log10(missing), abs=0.02)
    assert darker[4:6] == (1.0, 1.0) and darker[6] == pytest.approx(0.0, abs=1e-6)


def test_golden_pictures_have_their_flicker_normals_and_outline_band() -> None:
    """The disk half as bright in the next frame; a ball before a wall; a band of 8 pixels."""
    person = disk() >= 0.5
    x, y = np.meshgrid(np.arange(SIDE) + 0.5, np.arange(SIDE) + 0.5)
    still = Motion(np.stack([x, y], -1), person)
    bright, dark = lit(disk()), lit(disk(), 0.4)
    changed = flicker((bright, dark), (bright, bright), (person, person), still)
    # 0.4 of the full range in red, 0.3 and 0.2 in the others are 76.5; the mask's rim is half covered and changes less.
    assert changed is not None and changed.excess == pytest.approx(76.2996, abs=2e-3)
    moved = lit(disk(across=3))
    apart = flicker((bright, moved), (bright, bright), (person, disk(across=3) >= 0.5), still)
    assert apart is not None and apart.excess == pytest.approx(0.3970, abs=2e-3)

    K = np.array([[500.0, 0, 256], [0, 500.0, 256], [0, 0, 1]])
    flat = np.full((SIDE, SIDE), 2.0)
    round_ = 2.9 - np.sqrt(np.maximum(0.9**2 - np.square(x - 256) * 1.6e-5 - np.square(y - 256) * 1.6e-5, 0))
    error = normal_error(round_, person, flat, person, K)
    assert error is not None and error.mean_deg == pytest.approx(GOLDEN_NORMALS_DEG, abs=0.005)
    # By the depth's own slope: the normal is along (f dz/dx, f dz/dy, -(z + (x - cx) dz/dx + (y - cy) dz/dy)).
    p, q = ((place - 256) * 1.6e-5 / np.maximum(2.9 - round_, 0.1) for place in (x, y))
    along = round_ + (x - 256) * p + (y - 256) * q
    angles = np.degrees(np.arctan2(500 * np.hypot(p, q), along))[disk(97) >= 0.5]
    assert error.mean_deg == pytest.approx(angles.mean(), abs=0.2)

    band = outline_band(person)
    # Around a disk of 100 between 7 and 8 pixels wide: the outermost centers are within 4 pixels of the other side's.
    assert band.sum() == 4716 and 7 < band.sum() / (2 * math.pi * 100) < 8


def test_inflation_is_free_inside_the_mask_and_costs_as_much_as_its_opposite_near_it() -> None:
    larger, smaller = NUMBERS["larger"], NUMBERS["smaller"]
    assert larger[0] > smaller[0] + 10
    assert larger[1] == pytest.approx(smaller[1], abs=0.2)


def test_a_silhouette_has_no_offset_from_itself() -> None:
    assert outline_offset(disk(), disk()) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("shift", [0.1, 0.3, -0.1])
def test_offsets_of_parts_of_a_pixel_are_found(shift: float) -> None:
    # An edge lies up to an eighth of a pixel from a sample; around a disk that averages out.
    assert outline_offset(disk(RADIUS + shift), disk()) == pytest.approx(shift, abs=0.02)


def test_pixels_are_of_one_size_however_large_the_picture_is() -> None:
    full = outline_offset(disk(104), disk())
    assert full == pytest.approx(4.0, abs=1 / 16 + 1e-3)
    # Samples are twice as large there.
    assert outline_offset(disk(104, side=256), disk(side=256)) == pytest.approx(4.0, abs=1 / 8)
    rims = [near_person(disk(side=side) >= 0.5).mean() for side in (256, 512)]
    assert rims == pytest.approx([math.pi * 104**2 / SIDE**2] * 2, rel=0.01)


def test_a_missing_arm_is_cut_at_the_farthest() -> None:
    assert outline_offset(disk(30), disk()) == pytest.approx(-FARTHEST_PX, abs=1e-6)


def test_what_has_no_outline_has_no_offset_and_nobody_has_no_area() -> None:
    nothing = np.zeros((SIDE, SIDE), np.float32)
    assert outline_offset(nothing, disk()) is None
    assert outline_offset(disk(), nothing) is None
    assert outline_offset(disk(), nothing + 1) is None
    with pytest.raises(ValueError, match="empty"):
        area_ratio(disk() >= 0.5, nothing >= 0.5)
    with pytest.raises(ValueError, match="empty"):
        psnr_near(lit(disk()), lit(disk()), nothing >= 0.5)


def test_a_person_cut_by_the_picture_has_no_outline_there() -> None:
    half = np.zeros((SIDE, SIDE), np.float32)
    half[:, :200] = 1
    wider = np.zeros_like(half)
    wider[:, :203] = 1
    assert outline_offset(wider, half) == pytest.approx(3.0, abs=1e-6)
