"""The color sensor: known statistics of photons, known answers without noise, the same bytes again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import cv2
import numpy as np
import pytest

from simulacra.render.image import linear_to_srgb
from simulacra.render.runtime.errors import ConfigError
from simulacra.tools.virtual.sensors.color import (
    SENSITIVITY,
    ColorSensor,
    black_level,
    colors_of,
    defocused,
    disk,
    expose,
    numbers_per_electron,
    sensed,
)

CLEAN = ColorSensor(noise=False, bits=16, defocus_px=0.0)


def flat(value: float, size: int = 64) -> np.ndarray:
    return np.full((size, size, 3), value, np.float32)


def textured(size: int = 64) -> np.ndarray:
    """Smooth enough for a demosaic, all colors different."""
    y, x = np.mgrid[:size, :size] / size
    return np.stack([0.1 + 0.8 * x, 0.2 + 0.6 * y, 0.5 + 0.4 * np.sin(3 * x + y)], -1).astype(np.float32)


def greens(image: np.ndarray, sensor: ColorSensor, seed: int) -> np.ndarray:
    """Numbers behind the green filters of the even rows, above black."""
    return sensed(image, sensor, seed)[0::2, 1::2].astype(np.float64) - black_level(sensor)


@pytest.mark.parametrize("iso", [100.0, 800.0])
def test_variance_against_mean_is_the_photon_transfer_curve(iso: float) -> None:
    """Slope 1 / (electrons a number), at no light the read noise and the rounding: EMVA 1288."""
    sensor = ColorSensor(iso=iso)
    gain = numbers_per_electron(sensor)
    means, variances = [], []
    for value in (0.0005, 0.002, 0.01, 0.05, 0.2, 0.6):  # few photons (exact Poisson) to many
        found = greens(flat(value, 512), sensor, 7)
        means.append(found.mean())
        variances.append(found.var())
    slope, at_zero = np.polyfit(means, variances, 1, w=1 / np.array(variances))
    # 65536 pixels: a variance is known to 0.6 %.
    assert slope == pytest.approx(gain, rel=0.02)
    assert at_zero == pytest.approx((gain * sensor.read_noise_e) ** 2 + 1 / 12, rel=0.05)
    # Electrons are the scene's, whatever the gain.
    np.testing.assert_allclose(
        np.array(means) / gain,
        np.array([0.0005, 0.002, 0.01, 0.05, 0.2, 0.6]) * sensor.full_well_e * 100 / iso,
        rtol=0.005,
        atol=0.04,  # four deviations of the mean of the darkest
    )


def test_few_photons_are_poisson_numbers() -> None:
    """Without read noise: the chance of none is exp(-mean), and the third moment is the mean."""
    sensor = ColorSensor(read_noise_e=0.0, bits=16, full_well_e=1000.0)
    mean = 2.0
    electrons = greens(flat(mean / 1000, 512), sensor, 3) / numbers_per_electron(sensor)
    assert (electrons < 0.5).mean() == pytest.approx(np.exp(-mean), rel=0.03)
    assert ((electrons - electrons.mean()) ** 3).mean() == pytest.approx(mean, rel=0.1)


def test_without_noise_the_picture_is_the_srgb_of_the_light() -> None:
    image = textured()
    expected = 255 * linear_to_srgb(image.astype(np.float64))
    exact = expose(image, replace(CLEAN, bayer=False), 0)
    assert np.abs(exact - expected).max() <= 0.5 + 0.02  # 16 bits of linear light are 0.02 of a level
    mosaiced = expose(image, CLEAN, 0)
    inner = (slice(3, -3), slice(3, -3))
    assert np.abs(mosaiced[inner] - expected[inner]).max() <= 1.5
    wrong = expose(image, replace(CLEAN, bayer=False, contrast=1.3), 0)
    assert np.abs(wrong - expected).max() > 5  # the control


def test_a_stop_doubles_linear_light_until_it_clips() -> None:
    lit = [colors_of(sensed(flat(0.1), replace(CLEAN, exposure=stop), 0), CLEAN) for stop in (0.0, 1.0, 2.0)]
    above = [part.mean((0, 1)) - black_level(CLEAN) for part in lit]
    np.testing.assert_allclose(above[1], 2 * above[0], rtol=1e-3)
    np.testing.assert_allclose(above[2], 4 * above[0], rtol=1e-3)
    white = expose(flat(0.9), replace(CLEAN, exposure=1.0), 0)
    assert (white == 255).all()
    full = sensed(flat(50.0), CLEAN, 0)
    assert full.max() <= 2**16 - 1


def test_a_flat_grey_behind_filters_is_flat_and_grey() -> None:
    picture = expose(flat(0.3), CLEAN, 0)
    assert np.ptp(picture) <= 1
    mosaic = sensed(flat(0.3), CLEAN, 0) - black_level(CLEAN)
    assert mosaic[0, 0] / mosaic[0, 1] == pytest.approx(SENSITIVITY[0], rel=1e-3)  # red before green
    assert mosaic[1, 1] / mosaic[0, 1] == pytest.approx(SENSITIVITY[2], rel=1e-3)


def test_filters_are_red_green_green_blue() -> None:
    """A red light is seen behind the red filters alone, and comes out red."""
    red = flat(0.0)
    red[..., 0] = 0.5
    mosaic = sensed(red, CLEAN, 0) - black_level(CLEAN)
    assert mosaic[0::2, 0::2].min() > 100
    assert mosaic[1::2].max() == 0 and mosaic[:, 1::2].max() == 0
    assert expose(red, CLEAN, 0)[32, 32, 0] > 150 and expose(red, CLEAN, 0)[32, 32, 1:].max() == 0


def test_fine_grey_detail_takes_less_color_behind_the_default_lens() -> None:
    """Lines of a pixel cannot be told from color behind filters: that is why lenses are not sharper."""
    image = flat(0.1)
    image[::7] = 0.6

    def false_color(sensor: ColorSensor) -> float:
        picture = expose(image, sensor, 0)[4:-4, 4:-4].astype(int)
        return float(np.square(picture[..., 0] - picture[..., 2]).mean())

    assert false_color(ColorSensor(noise=False)) < 0.4 * false_color(CLEAN)


def test_white_balance_and_vignetting_do_what_they_say() -> None:
    warm = expose(flat(0.2), replace(CLEAN, red_gain=1.5, blue_gain=0.5), 0)[32, 32]
    expected = 255 * linear_to_srgb(np.array([0.3, 0.2, 0.1]))
    assert np.abs(warm - expected).max() < 1
    dark = expose(flat(0.4), replace(CLEAN, vignetting=0.5, bayer=False), 0)
    assert dark[0, 0, 0] == pytest.approx(255 * linear_to_srgb(np.array(0.2)), abs=2)
    assert dark[32, 32, 0] == pytest.approx(255 * linear_to_srgb(np.array(0.4)), abs=1)


@pytest.mark.parametrize("radius", [0.4, 1.0, 2.5, 7.3])
def test_defocus_keeps_energy_and_has_its_radius(radius: float) -> None:
    point = np.zeros((65, 65, 3), np.float32)
    point[32, 32] = 1
    spread = defocused(point, radius)
    assert spread.sum() == pytest.approx(3, rel=1e-5)
    x = np.arange(-32, 33)
    # The second moment of a disk is a quarter of its radius squared by axis, of a pixel's square a twelfth, which a
    # disk within a pixel does not show.
    moment = float((spread[..., 0] * x**2).sum())
    assert moment == pytest.approx(radius**2 / 4 + 1 / 12, rel=0.08, abs=0.13)
    assert disk(radius).sum() == pytest.approx(1, abs=1e-5)
    assert spread[32, 32 + int(np.ceil(radius + 0.5)), 0] < 1e-9


def test_noise_is_of_the_seed_not_of_threads() -> None:
    image = textured(128)
    sensor = ColorSensor(iso=1600.0)
    threads = cv2.getNumThreads()
    pictures = []
    for count in (1, 2):
        cv2.setNumThreads(count)
        with ThreadPoolExecutor(count) as pool:
            pictures.append(list(pool.map(lambda seed: expose(image, sensor, seed), [5, 6, 5, 6])))
    cv2.setNumThreads(threads)
    assert all(np.array_equal(a, b) for a, b in zip(*pictures))
    assert np.array_equal(pictures[0][0], pictures[0][2])
    assert not np.array_equal(pictures[0][0], pictures[0][1])
    # Neighbours' noise is their own.
    noise = greens(flat(0.3, 256), replace(sensor, defocus_px=0.0), 1)
    noise -= noise.mean()
    assert abs((noise[:, 1:] * noise[:, :-1]).mean() / noise.var()) < 0.02


def test_more_gain_is_more_noise_and_denoising_takes_some() -> None:
    def noise(sensor: ColorSensor) -> float:
        return float(expose(flat(0.2, 128), sensor, 2)[4:-4, 4:-4].astype(np.float64).std(axis=(0, 1)).mean())

    low, high = noise(ColorSensor()), noise(ColorSensor(iso=1600.0))
    # Sixteen times fewer electrons, four times the noise, and some of the read noise's.
    assert 3.5 < high / low < 5
    assert noise(ColorSensor(iso=1600.0, denoising=25.0)) < 0.7 * high


def test_sharpening_raises_edges() -> None:
    image = flat(0.2)
    image[:, 32:] = 0.5
    plain, sharp = expose(image, CLEAN, 0), expose(image, replace(CLEAN, sharpening=1.0), 0)
    assert np.ptp(sharp[32, :, 1].astype(int)) > np.ptp(plain[32, :, 1].astype(int)) + 5
    assert sharp[32, 5, 1] == plain[32, 5, 1]


def test_a_sensor_that_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError):
        ColorSensor(iso=0.0)
    with pytest.raises(ConfigError):
        ColorSensor(vignetting=1.5)
