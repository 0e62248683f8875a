"""Light, color, sharpness and noise: of each camera's picture of the person, and against the other cameras'.

Cameras see other sides of one person in one light. How much of it is dark or bright differs between views, but its
parts (trunk, limbs, head) have much the same color all round, whatever it wears. So the colors of the parts are
compared as logarithms: a camera's offset to the others is its exposure and white balance, its slope a gamma or haze.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from simulacra.recon.preflight.record import Check, Status, check_values

# Octaves of detail that are compared, from and to these scales in pixels: just over the pixel grid, and two above it.
FINE, COARSE = (0.7, 1.4), (2.8, 5.6)
# Energy of rounding to whole grey levels in the fine octave, squared levels: no detail.
ROUNDING = 0.02
# Added to colors before their ratios are taken, of 1: darker ones are noise.
FLOOR = 0.02
FEWEST_PIXELS = 400
# Colors of parts that a camera must share with the others to be compared, and their range for a slope, doublings.
FEWEST_COLORS, LEAST_RANGE = 6, 1.0


@dataclass(frozen=True)
class LightStats:
    """Of the person's pixels, or of the whole picture where no person is known; 0..1, sRGB.

    Attributes:
        mean: RGB.
        white: share of pixels at the upper end of the scale.
        black: share of pixels at its lower end.
        log_detail: base 2 logarithm of fine over coarse detail (energies of two octaves).
        noise: standard deviation of the noise in the flattest parts of the whole picture.
        skin: RGB of face or hand, whichever is the reddest; None where none is seen.
        parts: RGB of the body's parts, NaN where not seen.
        brightest: brightness that a hundredth of the whole picture exceeds.
    """

    mean: Float[np.ndarray, "3"]
    white: float
    black: float
    log_detail: float
    noise: float
    skin: Float[np.ndarray, "3"] | None
    parts: Float[np.ndarray, "p 3"]
    brightest: float = 1.0


def measure_light(
    pixels: UInt8[np.ndarray, "h w 3"],
    inside: Bool[np.ndarray, "h w"] | None,
    px: Float[np.ndarray, "33 2"] | None = None,
    visibility: Float[np.ndarray, "33"] | None = None,
) -> LightStats:
    """Measures one picture, within a silhouette if there is one, and at a person's landmarks if there are any."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    region = np.ones(grey.shape, bool)
    if inside is not None and int(inside.sum()) >= FEWEST_PIXELS:
        # The silhouette's edge is half background.
        reach = max(3, int(0.01 * max(grey.shape)))
        core = cv2.erode(inside.astype(np.uint8), np.ones((reach, reach), np.uint8)) > 0
        region = core if core.sum() >= FEWEST_PIXELS else inside
    colors = pixels[region]
    rows, columns = np.flatnonzero(region.any(1)), np.flatnonzero(region.any(0))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    return LightStats(
        mean=colors.mean(0) / 255.0,
        white=float((colors >= 254).any(-1).mean()),
        black=float((colors <= 1).all(-1).mean()),
        log_detail=_log_detail(grey[box], region[box]),
        noise=_noise(grey),
        skin=None if px is None or visibility is None else _skin(pixels, px, visibility),
        parts=_parts(pixels, px, visibility),
        brightest=float(np.quantile(grey, 0.99) / 255.0),
    )


def _log_detail(grey: UInt8[np.ndarray, "h w"], region: Bool[np.ndarray, "h w"]) -> float:
    """Detail of a fine octave over a coarse one: natural pictures have a fixed share of each, blurred ones do not."""

    def energy(scales: tuple[float, float]) -> float:
        narrow, wide = (cv2.GaussianBlur(grey.astype(np.float32), (0, 0), s) for s in scales)
        return float(np.square(narrow - wide)[region].mean())

    return float(np.log2(max(energy(FINE) - ROUNDING, 1e-4) / max(energy(COARSE), 1e-2)))


def _noise(grey: UInt8[np.ndarray, "h w"]) -> float:
    """Immerkaer's estimate (1996) in blocks; a tenth of the blocks that are neither black nor white is flatter."""
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    answer = np.abs(cv2.filter2D(grey.astype(np.float32), -1, kernel))
    side = 16
    h, w = (size // side * side for size in grey.shape)
    if h == 0 or w == 0:
        return 0.0

    def blocks(values: np.ndarray) -> np.ndarray:
        return values[:h, :w].reshape(h // side, side, w // side, side).mean((1, 3))

    level = blocks(grey.astype(np.float32))
    lit = (level > 12) & (level < 243)
    if lit.sum() < 4:
        return 0.0
    return float(np.sqrt(np.pi / 2) / 6 * np.quantile(blocks(answer)[lit], 0.1) / 255.0)


# Landmarks whose connections run through the body's parts: trunk, upper arms, forearms, thighs, shanks, head.
PARTS = (
    ((11, 23), (12, 24), (11, 24), (12, 23)), ((11, 13), (12, 14)), ((13, 15), (14, 16)),
    ((23, 25), (24, 26)), ((25, 27), (26, 28)), ((7, 8), (0, 7), (0, 8)),
)  # fmt: skip
# Face between eye and mouth on both sides and the nose, and the two hands; how far red and blue of skin may be apart.
SKIN_SPAN = 1.8  # doublings of red over blue
SKIN = (((0, 0), (2, 9), (5, 10)), ((15, 19), (15, 17)), ((16, 20), (16, 18)))


def _parts(
    pixels: UInt8[np.ndarray, "h w 3"],
    px: Float[np.ndarray, "33 2"] | None,
    visibility: Float[np.ndarray, "33"] | None,
) -> Float[np.ndarray, "p 3"]:
    """Median colors along the parts' middle lines."""
    parts = np.full((len(PARTS), 3), np.nan)
    if px is not None and visibility is not None:
        for row, lines in enumerate(PARTS):
            seen = [line for line in lines if visibility[list(line)].min() > 0.6]
            samples = [_along(pixels, px[a], px[b]) for a, b in seen]
            if samples and sum(map(len, samples)) >= 5:
                parts[row] = np.median(np.concatenate(samples), axis=0) / 255.0
    return parts


def _along(
    pixels: UInt8[np.ndarray, "h w 3"], start: Float[np.ndarray, "2"], end: Float[np.ndarray, "2"]
) -> UInt8[np.ndarray, "n 3"]:
    """Pixels between two points, from a fifth of the way to four fifths."""
    points = start + np.linspace(0.2, 0.8, 25)[:, None] * (end - start)
    at = np.floor(points).astype(int)
    inside = (at >= 0).all(-1) & (at[:, 0] < pixels.shape[1]) & (at[:, 1] < pixels.shape[0])
    return pixels[at[inside, 1], at[inside, 0]]


def _skin(
    pixels: UInt8[np.ndarray, "h w 3"], px: Float[np.ndarray, "33 2"], visibility: Float[np.ndarray, "33"]
) -> Float[np.ndarray, "3"] | None:
    """The reddest of face and hands: caps, hair, gloves and sleeves may be in the way of each."""
    found = []
    for lines in SKIN:
        samples = [_along(pixels, px[a], px[b]) for a, b in lines if visibility[[a, b]].min() > 0.8]
        if samples and sum(map(len, samples)) >= 5:
            found.append(np.median(np.concatenate(samples), axis=0) / 255.0)
    found = [color for color in found if _may_be_skin(color)]
    return max(found, key=lambda c: (c[0] + FLOOR) / (c[2] + FLOOR)) if found else None


def _may_be_skin(color: Float[np.ndarray, "3"]) -> bool:
    """Whether a color could be skin's in some light, its red and blue exchanged or not.

    Green lies between the two, and they are not further apart than dark skin in the light of bulbs has them.
    """
    between = min(color[0], color[2]) - 0.02 <= color[1] <= max(color[0], color[2]) + 0.02
    return bool(between and abs(_red_over_blue(color)) < SKIN_SPAN)


# -- checks ----------------------------------------------------------------------------------------


def check_light(stats: Mapping[str, tuple[LightStats, ...]]) -> list[Check]:
    """Checks of all cameras' pictures; of each camera the median over its stills."""
    known = {name: found for name, found in stats.items() if found}
    if not known:
        return []
    return [
        *_check_exposure(known),
        *_check_clipping(known),
        *_check_match(known),
        *_check_channel_order(known),
        *_check_sharpness(known),
    ]


def _check_exposure(stats: Mapping[str, tuple[LightStats, ...]]) -> list[Check]:
    brightness = {name: float(np.mean([s.mean.mean() for s in found])) for name, found in stats.items()}
    brightest = {name: max(s.brightest for s in found) for name, found in stats.items()}
    # Clothes may be dark, but something in a picture is bright: nothing is over 0.54 two stops under white, 0.4 three.
    dim = check_values(
        "exposure", brightest, warn=lambda v: v < 0.45, worse=lambda v: -v,
        unit="of white, in the brightest hundredth", limit=">= 0.45",
        remedy="two stops or more of the scale are not used: more light, or a longer exposure",
    )  # fmt: skip
    # 0.02 is the noise of a sensor: nothing can be matched, trained on or seen there.
    mean = check_values(
        "exposure", brightness, warn=lambda v: not 0.06 < v < 0.94, fail=lambda v: not 0.02 < v < 0.98,
        worse=lambda v: abs(v - 0.5), unit="of white", limit="0.06 to 0.94; fails outside of 0.02 to 0.98",
        remedy="more or less light, or another exposure; a lens cap?",
    )  # fmt: skip
    return mean + [check for check in dim if check.status != "pass"]


def _check_clipping(stats: Mapping[str, tuple[LightStats, ...]]) -> list[Check]:
    clipped = {n: float(np.median([s.white + s.black for s in found])) for n, found in stats.items()}
    # Highlights on skin and dark hair reach the ends in a few per cent of a well exposed person.
    return check_values(
        "clipping", clipped, warn=lambda v: v > 0.1, unit="of the person", limit="<= 0.1",
        remedy="colors at the ends of the scale are lost: less exposure, or a flatter picture profile",
    )  # fmt: skip


@dataclass(frozen=True)
class Match:
    """A camera's colors of the body's parts against the others': log2 of offset, slope and tint."""

    offset: float
    slope: float | None
    chroma: float


def _median_of_parts(
    stats: Mapping[str, tuple[LightStats, ...]], measure: Callable[[np.ndarray], np.ndarray]
) -> dict[str, np.ndarray]:
    """Median over each camera's stills of something of the parts' log2 colors; NaN of parts that are not seen."""
    medians = {}
    for name, found in stats.items():
        values = measure(np.log2(np.stack([s.parts for s in found]) + FLOOR))
        seen = np.isfinite(values).reshape(len(values), len(PARTS), -1).all(-1).any(0)
        medians[name] = np.full(values.shape[1:], np.nan)
        medians[name][seen] = np.nanmedian(values[:, seen], axis=0)
    return medians


def _of_others(values: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """Of all cameras but one, stacked; NaN where there is no other."""
    return np.stack(
        [v for other, v in values.items() if other != name] or [np.full_like(values[name], np.nan)]
    )


def match_colors(stats: Mapping[str, tuple[LightStats, ...]]) -> dict[str, Match]:
    """Each camera's colors of the parts against the median of the other cameras' colors of the same parts."""
    colors = _median_of_parts(stats, lambda logs: logs)
    matches = {}
    for name, own in colors.items():
        others = _of_others(colors, name)
        both = np.isfinite(own).all(-1) & np.isfinite(others).all(-1).any(0)
        if 3 * both.sum() < FEWEST_COLORS:
            continue
        theirs, mine = np.nanmedian(others[:, both], axis=0), own[both]
        shift = np.median(mine - theirs, axis=0)
        matches[name] = Match(
            float(shift.mean()),
            slope_of_parts(theirs, mine),
            float(np.abs(shift[[0, 2]] - shift[1]).max()),
        )
    return matches


def slope_of_parts(theirs: Float[np.ndarray, "p 3"], mine: Float[np.ndarray, "p 3"]) -> float | None:
    """log2 of the slope of a camera's colors over the others' that no single part of the body decides.

    An arm before the trunk, or hair where others see a face, gives one part another color: the slope that is nearest
    to 1 with each part left out in turn. None where the others' colors are too much alike.
    """
    slopes = [_slope(theirs.ravel(), mine.ravel())]
    if slopes[0] is None or len(mine) < 3:
        return slopes[0]
    slopes += [
        _slope(np.delete(theirs, k, 0).ravel(), np.delete(mine, k, 0).ravel()) for k in range(len(mine))
    ]
    known = [slope for slope in slopes if slope is not None]
    return min(known, key=abs) if min(known) * max(known) > 0 else 0.0


def _slope(x: Float[np.ndarray, "n"], y: Float[np.ndarray, "n"]) -> float | None:
    """log2 of the slope of y over x: the median over pairs that are far apart (Theil 1950, Sen 1968)."""
    if np.quantile(x, 0.9) - np.quantile(x, 0.1) < LEAST_RANGE:
        return None
    i, j = np.triu_indices(len(x), 1)
    apart = x[j] - x[i]
    far = np.abs(apart) > 0.5 * LEAST_RANGE
    slope = float(np.median((y[j] - y[i])[far] / apart[far]))
    return float(np.log2(max(slope, 0.05)))


def _check_match(stats: Mapping[str, tuple[LightStats, ...]]) -> list[Check]:
    """Brightness, contrast and color of each camera against the others'."""
    matches = match_colors(stats)
    return [
        # sRGB values: 1.5 (2^0.6) is 1.3 stops of light, more than front and back of a person differ in a room.
        *check_values(
            "brightness-match", {n: 2**m.offset for n, m in matches.items()}, warn=lambda v: _factor(v) > 2**0.6,
            worse=_factor,
            unit="times as bright as in the other cameras", limit="0.66 to 1.5",
            remedy="lock exposure and gain to the same on all cameras, or match colors before training",
        ),
        # The slope of logarithms is the gamma: 2.2 of one recorder against 1 of another is far beyond.
        *check_values(
            "contrast-match", {n: 2**m.slope for n, m in matches.items() if m.slope is not None},
            warn=lambda v: _factor(v) > 2**0.5, worse=_factor,
            unit="times the contrast of the other cameras", limit="0.71 to 1.4",
            remedy="the same picture profile and gamma on all cameras; haze or stray light on a lens?",
        ),
        # Cameras of different make disagree by some 15 % after white balance; 30 % is a color cast to the eye.
        *check_values(
            "color-match", {n: 2**m.chroma for n, m in matches.items()}, warn=lambda v: v > 2**0.4,
            unit="times as much red or blue over green, or as little, as in the other cameras", limit="<= 1.3",
            remedy="lock the white balance to the same on all cameras, or match colors",
        ),
    ]  # fmt: skip


def _factor(value: float) -> float:
    """How many times more, or less."""
    return max(value, 1 / value)


def _red_over_blue(color: Float[np.ndarray, "3"]) -> float:
    return float(np.log2((color[0] + FLOOR) / (color[2] + FLOOR)))


def _check_channel_order(stats: Mapping[str, tuple[LightStats, ...]]) -> list[Check]:
    """Red over blue: of skin, where it is seen, and of the body's parts against the other cameras."""
    skin = {
        name: float(np.median([_red_over_blue(s.skin) for s in found if s.skin is not None]))
        for name, found in stats.items()
        if any(s.skin is not None for s in found)
    }
    parts = _exchange_gains(stats)
    # Skin of every tone reflects more red than blue, by half a doubling at least in white light. A bluish cast takes
    # some of that; it does not turn it round.
    blue = {name: value for name, value in skin.items() if value < -0.2}
    # In one camera gloves, caps and hair from behind may be taken for skin: there the parts must not speak against it,
    # and exchanging the colors has to make it as red as others' skin is, at least by half.
    redness = float(np.median(list(skin.values()))) if skin else 0.0
    swapped = {
        name: value
        for name, value in blue.items()
        if 2 * len(blue) > len(skin) or (parts.get(name, 1.0) > 0 and -value > 0.5 * redness)
    }
    swapped |= {name: skin.get(name, -gain) for name, gain in parts.items() if gain > 0.5}
    if not skin and not parts:
        return []
    status: Status = "fail" if swapped else "pass"
    least = min(skin, key=lambda n: skin[n]) if skin else max(parts, key=lambda n: parts[n])
    named = sorted(swapped, key=lambda n: swapped[n]) or [least]
    value = swapped[named[0]] if swapped else skin.get(least, -parts.get(least, 0.0))
    return [
        Check(
            "channel-order", ", ".join(named), 2**value, "times as much red as blue",
            "skin over 0.87, parts as in the other cameras", status,
            "red and blue are exchanged (BGR written as RGB): convert the images",
        )
    ]  # fmt: skip


def _exchange_gains(stats: Mapping[str, tuple[LightStats, ...]]) -> dict[str, float]:
    """How much nearer a camera's parts come to the other cameras' colors when red and blue are exchanged.

    The part of the difference that goes, of four parts of the body at least; negative where it grows. Left out are
    cameras whose difference is small either way: grey clothes have no order.
    """
    tints = _median_of_parts(stats, lambda logs: logs[..., 0] - logs[..., 2])
    gains = {}
    for name, own in tints.items():
        others = _of_others(tints, name)
        both = np.isfinite(own) & (np.isfinite(others).sum(0) >= 2)
        if both.sum() < 4:
            continue
        theirs = np.nanmedian(others[:, both], axis=0)
        straight, crossed = (float(np.median(np.abs(sign * own[both] - theirs))) for sign in (1, -1))
        if max(straight, crossed) > 0.6:
            gains[name] = 1 - crossed / max(straight, 1e-6)
    return gains


def _check_sharpness(stats: Mapping[str, tuple[LightStats, ...]]) -> list[Check]:
    # The sharpest still counts: in others the person may have moved.
    detail = {name: max(s.log_detail for s in found) for name, found in stats.items()}
    noise = {name: float(np.median([s.noise for s in found])) for name, found in stats.items()}
    usual = float(np.median(list(detail.values())))
    # How much cameras differ that are all in focus: clothes, hair and how near the person is decide that.
    spread = float(np.median([abs(v - usual) for v in detail.values()]))
    within = float(np.clip(6 * spread, 1.0, 2.0)) if len(detail) > 3 else 1.5
    checks = check_values(
        "blur", {name: 2**value for name, value in detail.items()},
        # Sharp pictures of people have 2^-2 to 2^-3; a blur of one pixel divides it by 2.5, of two pixels by 8.
        warn=lambda v: v < 2**-4.5 or (len(detail) > 1 and v < 2 ** (usual - within)), worse=lambda v: -v,
        unit="times as much fine detail as coarse",
        limit=f">= 0.044, and {2**-within:.2f} times as much as in the other cameras",
        remedy="focus, clean the lens, shorter exposure; was the picture enlarged or compressed?",
    )  # fmt: skip
    middle = float(np.median(list(noise.values())))
    return checks + check_values(
        "noise", noise,
        # 8 of 255 levels are seen by everyone; three times the others' is a camera with far more gain, from one and a
        # half levels on: less is lost in compression.
        warn=lambda v: v > 0.03 or (len(noise) > 2 and v > max(3 * middle, 0.006)),
        unit="of white", limit="<= 0.03, and not three times the others'", remedy="more light, less gain",
    )  # fmt: skip
