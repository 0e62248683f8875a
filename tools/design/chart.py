"""Charts of a design as SVG text: a line for each rig, with intervals, and marks of real captures beside them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from ..report.charts import nice_ticks

WIDTH, HEIGHT = 460, 300
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 16, 46
COLORS = ("#1b6ca8", "#c8553d", "#4f8a4b", "#8a5fa8", "#b8860b", "#3f3f3f", "#d4679d", "#2aa5a0", "#8c6d46")
LEGEND = 16  # pixels a line


@dataclass(frozen=True)
class Series:
    """One line: places along the axis, means, and intervals where there are any."""

    name: str
    x: tuple[float, ...]
    means: tuple[float, ...]
    intervals: tuple[tuple[float, float] | None, ...]


@dataclass(frozen=True)
class Mark:
    """A real capture's number: a dashed line across."""

    name: str
    value: float


def interval_chart(
    title: str,
    axis: str,
    ticks: Sequence[tuple[float, str]],
    series: Sequence[Series],
    marks: Sequence[Mark] = (),
    from_zero: bool = True,
) -> str:
    """The chart as a whole SVG document.

    Args:
        ticks: places along the axis and what is written there.
    """
    values = [value for line in series for value in line.means] + [mark.value for mark in marks]
    values += [end for line in series for pair in line.intervals if pair for end in pair]
    low = min(0.0, *values) if from_zero else min(values)
    marked = nice_ticks(low, max(values))
    bottom, top = min(marked[0], low), max(marked[-1], max(values))
    left, right = min(x for x, _ in ticks), max(x for x, _ in ticks)
    tall = HEIGHT + LEGEND * (len(series) + len(marks))

    def across(x: float) -> float:
        inner = WIDTH - LEFT - RIGHT - 24
        return LEFT + 12 + inner * ((x - left) / (right - left) if right > left else 0.5)

    def up(value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - bottom) / ((top - bottom) or 1.0)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {tall}" width="{WIDTH}" height="{tall}" '
        f'font-family="sans-serif" font-size="11" role="img" aria-label="{escape(title)}">',
        f'<rect width="{WIDTH}" height="{tall}" fill="#ffffff"/>',
        *_draw_axes(title, axis, [(across(x), text) for x, text in ticks], [(up(y), y) for y in marked]),
    ]
    for number, mark in enumerate(marks):
        y, shade = up(mark.value), COLORS[(len(series) + number) % len(COLORS)]
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="{shade}" '
            'stroke-dasharray="5 4"/>'
        )
    for number, line in enumerate(series):
        # Rigs stand a little beside each other, so that their intervals can be told apart.
        beside = 5.0 * (number - (len(series) - 1) / 2)
        parts += _line(line, COLORS[number % len(COLORS)], across, up, beside)
    parts += _draw_legend([line.name for line in series] + [f"{mark.name} (real, dashed)" for mark in marks])
    return "\n".join([*parts, "</svg>\n"])


def _draw_axes(
    title: str, axis: str, ticks: Sequence[tuple[float, str]], levels: Sequence[tuple[float, float]]
) -> list[str]:
    """Lines across at the levels, what is written beside and below, and the names of both axes."""
    parts = []
    for y, level in levels:
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#dddddd"/>')
        parts.append(
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end" fill="#444444">{level:g}</text>'
        )
    for x, text in ticks:
        parts.append(
            f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle" fill="#444444">{escape(text)}</text>'
        )
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(
        f'<text x="{(LEFT + WIDTH) / 2}" y="{HEIGHT - 12}" text-anchor="middle">{escape(axis)}</text>'
        f'<text x="13" y="{middle}" text-anchor="middle" transform="rotate(-90 13 {middle})">{escape(title)}</text>'
    )
    return parts


def _draw_legend(names: Sequence[str]) -> list[str]:
    parts = []
    for number, name in enumerate(names):
        y = HEIGHT + LEGEND * number
        parts.append(
            f'<rect x="{LEFT}" y="{y}" width="10" height="10" fill="{COLORS[number % len(COLORS)]}"/>'
            f'<text x="{LEFT + 16}" y="{y + 9}">{escape(name)}</text>'
        )
    return parts


def _line(
    line: Series, shade: str, across: Callable[[float], float], up: Callable[[float], float], beside: float
) -> list[str]:
    points = [(across(x) + beside, up(mean)) for x, mean in zip(line.x, line.means)]
    parts = []
    if len(points) > 1:
        path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        parts.append(f'<path d="{path}" fill="none" stroke="{shade}" stroke-width="1.6"/>')
    for (x, y), interval in zip(points, line.intervals):
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{shade}"/>')
        if interval is not None:
            low, high = up(interval[0]), up(interval[1])
            parts.append(
                f'<path d="M{x:.1f} {low:.1f}V{high:.1f}M{x - 3:.1f} {low:.1f}h6M{x - 3:.1f} {high:.1f}h6" '
                f'stroke="{shade}" fill="none"/>'
            )
    return parts
