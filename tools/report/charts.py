"""Small line charts as SVG text: drawn here so that a report needs no library and no second file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape

import numpy as np
from jaxtyping import Float

# More points than this cannot be told apart at the chart's width; they are averaged into so many bins.
MOST_POINTS = 240
# How many bins the dark line averages over, so that a noisy loss can be read.
SMOOTHING = 15

WIDTH, HEIGHT = 360, 210
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 14, 40


@dataclass(frozen=True)
class Curve:
    """A named sequence over training steps."""

    name: str
    steps: Float[np.ndarray, " n"]
    values: Float[np.ndarray, " n"]
    unit: str = ""


def line_chart(curve: Curve) -> str:
    """The curve as SVG: every value in light, its running mean in dark, axes from zero with labelled ticks.

    Values that are not finite are left out, and counted in the caption.
    """
    finite = np.isfinite(curve.values) & np.isfinite(curve.steps)
    steps, values = binned(curve.steps[finite], curve.values[finite])
    label = curve.name + (f" ({curve.unit})" if curve.unit else "")
    if len(steps) < 2:
        return f'<p class="absent">{escape(label)}: too few values to draw.</p>'
    x_ticks = nice_ticks(float(steps[0]), float(steps[-1]))
    y_ticks = nice_ticks(min(0.0, float(values.min())), float(values.max()))
    x_range = (float(steps[0]), float(steps[-1]))
    y_range = (y_ticks[0], max(y_ticks[-1], float(values.max())))
    middle_x, middle_y = (LEFT + WIDTH - RIGHT) / 2, (TOP + HEIGHT - BOTTOM) / 2

    def path(heights: Float[np.ndarray, " n"]) -> str:
        xs = LEFT + (steps - x_range[0]) / (x_range[1] - x_range[0]) * (WIDTH - LEFT - RIGHT)
        ys = HEIGHT - BOTTOM - (heights - y_range[0]) / (y_range[1] - y_range[0]) * (HEIGHT - TOP - BOTTOM)
        return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in zip(xs, ys))

    parts = [f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">']
    for tick in y_ticks:
        y = HEIGHT - BOTTOM - (tick - y_range[0]) / (y_range[1] - y_range[0]) * (HEIGHT - TOP - BOTTOM)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 6}" y="{y + 3.5:.1f}" text-anchor="end">{tick:g}</text>')
    for tick in x_ticks:
        x = LEFT + (tick - x_range[0]) / (x_range[1] - x_range[0]) * (WIDTH - LEFT - RIGHT)
        parts.append(
            f'<text class="tick" x="{x:.1f}" y="{HEIGHT - BOTTOM + 15}" text-anchor="middle">{tick:g}</text>'
        )
    parts += [
        f'<text class="axis" x="{middle_x}" y="{HEIGHT - 6}" text-anchor="middle">step</text>',
        f'<text class="axis" x="12" y="{middle_y}" text-anchor="middle" '
        f'transform="rotate(-90 12 {middle_y})">{escape(label)}</text>',
        f'<path class="raw" d="{path(values)}"/>',
        f'<path class="mean" d="{path(running_mean(values))}"/>',
        "</svg>",
    ]
    dropped = int(np.count_nonzero(~finite))
    if dropped:
        parts.append(f'<p class="absent">{dropped} values that are not finite are not drawn.</p>')
    return "".join(parts)


def binned(
    steps: Float[np.ndarray, " n"], values: Float[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
    """At most `MOST_POINTS` points: means of consecutive stretches of nearly equal length."""
    if len(steps) <= MOST_POINTS:
        return steps.astype(np.float64), values.astype(np.float64)
    edges = np.linspace(0, len(steps), MOST_POINTS + 1).astype(int)
    counts = np.diff(edges)
    sums = (np.add.reduceat(array.astype(np.float64), edges[:-1]) for array in (steps, values))
    mean_steps, mean_values = (total / counts for total in sums)
    return mean_steps, mean_values


def running_mean(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Centred mean over `SMOOTHING` values, over fewer at both ends."""
    half = min(SMOOTHING, len(values)) // 2
    total = np.concatenate([[0.0], np.cumsum(values)])
    first = np.maximum(np.arange(len(values)) - half, 0)
    last = np.minimum(np.arange(len(values)) + half + 1, len(values))
    return (total[last] - total[first]) / (last - first)


def nice_ticks(low: float, high: float, about: int = 4) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten) that span low..high, the lowest at or below `low`."""
    span = high - low if high > low else max(abs(high), 1.0)
    rough = span / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if factor * power >= rough)
    first, last = math.floor(low / step + 1e-9), math.floor((low + span) / step + 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]
