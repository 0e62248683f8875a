"""The losses of a training as curves: text for a terminal, SVG for a notebook.

>>> from simulacra.tools.report.curves import read_curves
>>> read_curves(Path("RUN"))          # draws itself, at a prompt or in a cell
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from simulacra.recon.runs.records import read_arrays, record_errors
from simulacra.render.runtime.errors import RunError

from .charts import Curve, line_chart

# Eighths of a line of text.
BLOCKS = " ▁▂▃▄▅▆▇█"
WIDTH, HEIGHT = 60, 6
ORDER = ("total", "l1", "ssim", "mask", "depth")


@dataclass(frozen=True)
class LossCurves:
    """Losses of one training; `str` is text, and a notebook draws it as SVG."""

    curves: tuple[Curve, ...]

    def __str__(self) -> str:
        if not self.curves:
            return "no losses"
        first, *others = self.curves
        lines = [text_chart(first)]
        lines += [f"{curve.name:8s} {sparkline(curve.values, 40)} {_ends(curve)}" for curve in others]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        style = (
            "<style>.simulacra svg{max-width:24rem;font:10px sans-serif}.simulacra path{fill:none;stroke:#1f5fae}"
            ".simulacra .raw{stroke:#a9c4e6}.simulacra .grid{stroke:#ddd}"
            ".simulacra{display:flex;flex-wrap:wrap;gap:1rem}</style>"
        )
        return f"{style}<div class='simulacra'>{''.join(map(line_chart, self.curves))}</div>"


def read_curves(run: Path) -> LossCurves:
    """The losses of a run's training, the total first; those that are zero throughout are left out.

    Raises:
        RunError: there are none, or they are damaged.
    """
    path = run / "avatar" / "losses.npz"
    if not path.is_file():
        raise RunError("the run has no losses", where=path, remedy="simulacra reconstruct, to the end")
    return LossCurves(read_losses(path))


def read_losses(path: Path) -> tuple[Curve, ...]:
    """The curves of a `losses.npz` that say something: a loss that is zero at every step is not in use.

    Raises:
        RunError: the file is damaged, or holds something else.
    """
    with record_errors(path):
        content = read_arrays(path)
        steps = content.pop("step")
        if steps.ndim != 1 or any(array.dtype.kind not in "iuf" for array in (steps, *content.values())):
            raise ValueError("not a number for each step")
        names = [name for name in ORDER if name in content] + sorted(set(content) - set(ORDER))
        used = [name for name in names if content[name].shape == steps.shape and np.any(content[name] != 0)]
        return tuple(Curve(name, steps.astype(np.float64), content[name].astype(np.float64)) for name in used)


def sparkline(values: Float[np.ndarray, " n"], width: int = WIDTH) -> str:
    """A line of blocks: means of as many stretches as fit, from the least to the greatest of them."""
    means = _stretches(values, width)
    if not len(means):
        return ""
    low, high = float(means.min()), float(means.max())
    eighths = np.round((means - low) / (high - low or 1.0) * 7).astype(int)
    return "".join(BLOCKS[1 + eighth] for eighth in eighths)


def text_chart(curve: Curve, width: int = WIDTH, height: int = HEIGHT) -> str:
    """The curve over a few lines of text, from zero (or the least value below it) up."""
    means = _stretches(curve.values, width)
    if not len(means):
        return f"{curve.name}: no finite values"
    low, high = min(0.0, float(means.min())), float(means.max())
    eighths = np.round((means - low) / (high - low or 1.0) * height * 8).astype(int)
    lines = []
    for row in reversed(range(height)):
        filled = np.clip(eighths - 8 * row, 0, 8)
        label = {height - 1: f"{high:9.4g}", 0: f"{low:9.4g}"}.get(row, " " * 9)
        lines.append(f"{label} │{''.join(BLOCKS[each] for each in filled)}")
    lines.append(f"{'':9s} └{'─' * len(means)}")
    return "\n".join([*lines, f"{'':11s}{curve.name}: {_ends(curve)}"])


def _ends(curve: Curve) -> str:
    """What the first and the last tenth come to on average."""
    finite = np.isfinite(curve.values)
    known, steps = curve.values[finite], curve.steps[finite]
    if not len(known):
        return "no finite values"
    tenth = max(1, len(known) // 10)
    return f"{known[:tenth].mean():.3g} to {known[-tenth:].mean():.3g} in {int(steps[-1]) + 1} steps"


def _stretches(values: Float[np.ndarray, " n"], width: int) -> Float[np.ndarray, " m"]:
    """Means of so many consecutive stretches of the finite values, or the values where they are fewer."""
    known = values[np.isfinite(values)].astype(np.float64)
    if len(known) <= width:
        return known
    edges = np.linspace(0, len(known), width + 1).astype(int)
    return np.add.reduceat(known, edges[:-1]) / np.diff(edges)
