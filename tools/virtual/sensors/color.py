"""A color camera's sensor: linear light to the 8 bit numbers of a picture, by what happens on the way.

Light is counted in electrons (Poisson), the electronics add noise (normal), a converter rounds to whole numbers above
a black level and clips at the full well, all behind red, green and blue filters (RGGB). The picture is made from that
as cameras do it: demosaiced, white-balanced, encoded as sRGB. The noise model is that of the EMVA 1288 standard: of a
grey level the variance is gain x mean + read noise^2 + 1/12, the photon transfer curve (Janesick 2007).

Not modelled: fixed patterns and hot pixels, dark current (exposures are short), crosstalk between filters, blooming,
flare. Colors are taken to be those of the camera's own filters: there is no color matrix.
"""

from __future__ import annotations

import functools
from typing import Annotated

import cv2
import numpy as np
from annotated_types import Interval
from jaxtyping import Float, UInt8

from simulacra.recon.runs.configuration import config
from simulacra.recon.runs.ranges import Share
from simulacra.render.image import linear_to_srgb

from .chance import key
from .color_kernels import count_colors, count_mosaic, demosaic_malvar, encode

Stops = Annotated[float, Interval(ge=-20, le=20)]
Gain = Annotated[float, Interval(ge=0.001, le=1000)]
# Pixels: the disk's kernel has four times the square of so many.
Blur = Annotated[float, Interval(ge=0, le=50)]

# The black level's share of the converter's range: noise around black must not be cut off.
PEDESTAL = 1 / 16
# Electrons of white in red, green and blue, of green's: silicon behind filters in daylight. (Phones and machine vision
# cameras have white-balance gains of about 2 and 1.6 there.)
SENSITIVITY = (0.5, 1.0, 0.62)
TONES = 1 << 16
# Pixels: a disk within its pixel moves no light, and a smaller one has none of the samples that share it out.
LEAST_DISK = 1 / 16


@config
class ColorSensor:
    """A sensor and its processing; the defaults are a good camera in good light.

    Attributes:
        exposure: stops over (or, negative, under) the one that makes linear 1 white.
        red_gain: white balance against the right one, 1 is right.
        blue_gain: of blue, likewise.
        vignetting: the share of light that is lost in the corners; falls with the square of the radius.
        full_well_e: electrons that a pixel holds; linear 1 fills it at ISO 100.
        read_noise_e: of the electronics, standard deviation in electrons.
        iso: 100 g counts g times fewer electrons for the same grey level.
        bits: of the converter.
        noise: False leaves out shot and read noise.
        bayer: RGGB filters and demosaicing; else three colors in each pixel.
        defocus_px: radius of the disk that a point becomes. The default is a sharp lens and a filter before the sensor,
            which halves the false colors of detail that is finer than the color filters.
        denoising: range of a bilateral filter, in grey levels of 255; 0 none.
        sharpening: how much of the difference to a blurred picture (1 px) is added; 0 none.
        contrast: exponent on linear light before the sRGB curve; 1 is right.
        jpeg_quality: for who writes the picture; null is without loss. `expose` does not compress.
    """

    exposure: Stops = 0.0
    red_gain: Gain = 1.0
    blue_gain: Gain = 1.0
    vignetting: Share = 0.0
    full_well_e: Annotated[float, Interval(ge=10, le=1e7)] = 10000.0
    read_noise_e: Annotated[float, Interval(ge=0, le=1e5)] = 2.5
    iso: Annotated[float, Interval(ge=0.1, le=1e7)] = 100.0
    bits: Annotated[int, Interval(ge=8, le=16)] = 12
    noise: bool = True
    bayer: bool = True
    defocus_px: Blur = 0.8
    denoising: Annotated[float, Interval(ge=0, le=1000)] = 0.0
    sharpening: Annotated[float, Interval(ge=0, le=100)] = 0.0
    contrast: Annotated[float, Interval(ge=0.01, le=100)] = 1.0
    jpeg_quality: Annotated[int, Interval(ge=1, le=100)] | None = None


def expose(
    rgb_linear: Float[np.ndarray, "h w 3"], sensor: ColorSensor, seed: int
) -> UInt8[np.ndarray, "h w 3"]:
    """The picture that a sensor makes of linear light (1 is white at exposure 0), sRGB encoded."""
    numbers = colors_of(sensed(rgb_linear, sensor, seed), sensor)
    white = _white_numbers(sensor)
    gains = np.array([sensor.red_gain, 1.0, sensor.blue_gain]) / white
    out = np.empty(rgb_linear.shape, np.uint8)
    encode(numbers, np.float32(black_level(sensor)), gains.astype(np.float32), _tones(sensor.contrast), out)
    return _denoise_and_sharpen(out, sensor)


def sensed(
    rgb_linear: Float[np.ndarray, "h w 3"], sensor: ColorSensor, seed: int
) -> Float[np.ndarray, "h w *c"]:
    """The converter's whole numbers: h w behind RGGB filters, h w 3 without them."""
    light = np.ascontiguousarray(defocused(rgb_linear, sensor.defocus_px), np.float32)
    height, width = light.shape[:2]
    out = np.empty((height, width) if sensor.bayer else (height, width, 3), np.float32)
    electrons = np.array(_sensitivity(sensor)) * 2.0**sensor.exposure * _white_electrons(sensor)
    count = count_mosaic if sensor.bayer else count_colors
    count(
        light,
        electrons.astype(np.float32),
        np.float32(sensor.vignetting),
        np.float32(_white_electrons(sensor)),
        np.float32(sensor.read_noise_e),
        sensor.noise,
        key(seed, "colour"),
        np.float32(numbers_per_electron(sensor)),
        np.float32(black_level(sensor)),
        np.float32(2**sensor.bits - 1),
        out,
    )
    return out


def colors_of(numbers: Float[np.ndarray, "h w *c"], sensor: ColorSensor) -> Float[np.ndarray, "h w 3"]:
    """Demosaiced numbers; as they are where the sensor has no filters."""
    if not sensor.bayer:
        return numbers
    out = np.empty((*numbers.shape, 3), np.float32)
    # Mirrored about the outermost pixels: the pattern goes on beyond them.
    demosaic_malvar(cv2.copyMakeBorder(numbers, 2, 2, 2, 2, cv2.BORDER_REFLECT_101), out)
    return out


def defocused(image: Float[np.ndarray, "h w 3"], radius: float) -> Float[np.ndarray, "h w 3"]:
    """Each point spread over a disk of a radius in pixels; energy stays, the border is mirrored."""
    if radius < LEAST_DISK:
        return image
    return cv2.filter2D(image, -1, disk(radius), borderType=cv2.BORDER_REFLECT_101)


def disk(radius: float) -> Float[np.ndarray, "k k"]:
    """Share of each pixel that a disk about the middle one covers, sum 1."""
    reach = int(np.ceil(radius - 0.5)) if radius > 0.5 else 0
    reach = max(reach, 1)
    fine = 16
    at = (np.arange((2 * reach + 1) * fine) + 0.5) / fine - reach - 0.5
    inside = (at[:, None] ** 2 + at[None, :] ** 2 <= radius**2).astype(np.float64)
    covered = inside.reshape(2 * reach + 1, fine, 2 * reach + 1, fine).mean((1, 3))
    return (covered / covered.sum()).astype(np.float32)


def black_level(sensor: ColorSensor) -> float:
    """The number that stands for no light."""
    return round(PEDESTAL * 2**sensor.bits)


def numbers_per_electron(sensor: ColorSensor) -> float:
    """Converter's steps for an electron (the gain of the photon transfer curve)."""
    return (2**sensor.bits - 1 - black_level(sensor)) / _white_electrons(sensor)


def _white_electrons(sensor: ColorSensor) -> float:
    return sensor.full_well_e * 100.0 / sensor.iso


def _sensitivity(sensor: ColorSensor) -> tuple[float, float, float]:
    return SENSITIVITY if sensor.bayer else (1.0, 1.0, 1.0)


def _white_numbers(sensor: ColorSensor) -> Float[np.ndarray, "3"]:
    """Numbers above black of linear 1 at exposure 0, by color."""
    return np.array(_sensitivity(sensor)) * _white_electrons(sensor) * numbers_per_electron(sensor)


@functools.lru_cache(maxsize=8)
def _tones(contrast: float) -> UInt8[np.ndarray, "n"]:
    linear = np.linspace(0.0, 1.0, TONES)
    return np.rint(255 * linear_to_srgb(linear**contrast)).astype(np.uint8)


def _denoise_and_sharpen(
    image: UInt8[np.ndarray, "h w 3"], sensor: ColorSensor
) -> UInt8[np.ndarray, "h w 3"]:
    """Denoising and sharpening as cameras do them, on encoded pictures."""
    if sensor.denoising > 0:
        image = cv2.bilateralFilter(image, 5, sensor.denoising, 2.0)
    if sensor.sharpening > 0:
        blurred = cv2.GaussianBlur(image, (0, 0), 1.0)
        image = cv2.addWeighted(image, 1 + sensor.sharpening, blurred, -sensor.sharpening, 0)
    return image
