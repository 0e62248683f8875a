"""Histograms of real and virtual sensors in one picture, drawn with Pillow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont

from ...report.charts import nice_ticks

PANEL_WIDTH, PANEL_HEIGHT = 460, 300
LEFT, RIGHT, TOP, BOTTOM = 46, 14, 46, 44
FINER = 2  # drawn larger and shrunk, for smooth lines
REAL, VIRTUAL, OTHER = (120, 120, 120), (200, 60, 30), (40, 90, 180)
INK, GRID = (30, 30, 30), (225, 225, 225)


@dataclass(frozen=True)
class Line:
    """A curve over the panel's axis. filled: as an area, for what is real."""

    name: str
    x: Float[np.ndarray, "n"]
    y: Float[np.ndarray, "n"]
    color: tuple[int, int, int]
    filled: bool = False


@dataclass(frozen=True)
class Panel:
    """Curves with one pair of axes. notes: lines of text in the corner. ticks: places and texts, if not numbers.
    names_low: the curves' names stand in the lower right corner.
    """

    title: str
    across: str
    up: str
    lines: Sequence[Line]
    notes: Sequence[str] = ()
    ticks: Sequence[tuple[float, str]] | None = None
    names_low: bool = False


def histogram(
    name: str,
    values_mm: Float[np.ndarray, "n"],
    reach: float,
    step: float,
    color: tuple[int, int, int],
    filled: bool,
) -> Line:
    """Share of the values per millimetre, as steps."""
    edges = np.arange(-reach - step / 2, reach + step, step)
    counts, _ = np.histogram(values_mm, edges)
    density = counts / max(len(values_mm), 1) / step
    return Line(name, np.repeat(edges, 2)[1:-1], np.repeat(density, 2), color, filled)


def draw_panels(out: Path, panels: Sequence[Panel], columns: int = 2) -> None:
    """Writes all panels as one PNG."""
    rows = -(-len(panels) // columns)
    size = (columns * PANEL_WIDTH * FINER, rows * PANEL_HEIGHT * FINER)
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image, "RGBA")
    for k, panel in enumerate(panels):
        _draw(draw, panel, (k % columns) * PANEL_WIDTH, (k // columns) * PANEL_HEIGHT)
    image.resize((size[0] // FINER, size[1] // FINER), Image.Resampling.LANCZOS).save(out, optimize=True)


def _draw(draw: ImageDraw.ImageDraw, panel: Panel, x0: int, y0: int) -> None:
    low_x = min(float(line.x.min()) for line in panel.lines)
    high_x = max(float(line.x.max()) for line in panel.lines)
    high_y = 1.05 * max(float(np.nanmax(line.y)) for line in panel.lines)
    left, bottom = x0 + LEFT, y0 + PANEL_HEIGHT - BOTTOM
    wide, tall = PANEL_WIDTH - LEFT - RIGHT, PANEL_HEIGHT - TOP - BOTTOM

    def place(x: float, y: float) -> tuple[float, float]:
        right = (x - low_x) / (high_x - low_x) * wide
        return FINER * (left + right), FINER * (bottom - y / high_y * tall)

    small, normal = ImageFont.load_default(11 * FINER), ImageFont.load_default(13 * FINER)
    for tick in nice_ticks(0.0, high_y):
        draw.line([place(low_x, tick), place(high_x, tick)], fill=GRID, width=FINER)
        draw.text((FINER * (left - 5), place(0, tick)[1]), f"{tick:g}", fill=INK, font=small, anchor="rm")
    for tick, text in panel.ticks or [(x, f"{x:g}") for x in nice_ticks(low_x, high_x, 6)]:
        if low_x <= tick <= high_x:
            draw.text((place(tick, 0)[0], FINER * (bottom + 5)), text, fill=INK, font=small, anchor="mt")
    for line in panel.lines:
        # Bins without values have none to draw: the line runs on from the one before.
        known = np.isfinite(line.y)
        points = [place(float(x), float(y)) for x, y in zip(line.x[known], line.y[known])]
        if line.filled:
            shape = [(points[0][0], FINER * bottom), *points, (points[-1][0], FINER * bottom)]
            draw.polygon(shape, fill=(*line.color, 90))
        draw.line(points, fill=line.color, width=2 * FINER, joint="curve")
    draw.line([place(low_x, 0), place(high_x, 0)], fill=INK, width=FINER)
    draw.text((FINER * (x0 + 10), FINER * (y0 + 8)), panel.title, fill=INK, font=normal)
    below = FINER * (left + wide / 2), FINER * (y0 + PANEL_HEIGHT - 10)
    draw.text(below, panel.across, fill=INK, font=small, anchor="ms")
    draw.text((FINER * (x0 + 10), FINER * (y0 + TOP - 6)), panel.up, fill=INK, font=small, anchor="lb")
    _write_names(draw, panel, x0, y0)


def _write_names(draw: ImageDraw.ImageDraw, panel: Panel, x0: int, y0: int) -> None:
    """Names of the lines, in their colors, and notes: in corners that the panel says are free."""
    left, right, top = x0 + LEFT + 8, x0 + PANEL_WIDTH - RIGHT - 4, y0 + TOP + 4
    font = ImageFont.load_default(11 * FINER)
    for k, line in enumerate(panel.lines):
        at_x, at_y, anchor = left, top + 15 * k, "la"
        if panel.names_low:
            low = y0 + PANEL_HEIGHT - BOTTOM - 4
            at_x, at_y, anchor = right, low - 15 * (len(panel.lines) - k), "ra"
        draw.text((FINER * at_x, FINER * at_y), line.name, fill=line.color, font=font, anchor=anchor)
    for k, note in enumerate(panel.notes):
        draw.text((FINER * right, FINER * (top + 15 * k)), note, fill=INK, font=font, anchor="ra")
