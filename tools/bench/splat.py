"""`simulacra bench splat`: the Gaussian rasterizer, forward and forward with gradients."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass

import torch
from rich.console import Console
from rich.table import Table

from render.camera import Cameras
from render.gaussians import Gaussians, rasterize_gaussians, warmup
from render.gaussians.record import FIELDS

from .scene import camera, person_gaussians
from .timing import paired

SIZES = ((10_000, 512), (50_000, 512), (50_000, 1024), (200_000, 1024))
REFERENCE_PAIRS = 30_000_000  # (pixel, Gaussian) pairs that the dense reference is asked for at most


@dataclass(frozen=True)
class SplatRow:
    """One scene and backend: milliseconds, and speed against the cpu backend on one thread in the same
    turns.
    """

    gaussians: int
    size_px: int
    way: str
    forward_ms: float
    forward_ratio: float
    training_ms: float
    training_ratio: float


def run(*, repeats: int = 7, as_json: bool = False) -> list[SplatRow]:
    """Time the rasterizer's backends on a person-shaped scene, in turns, and print a table or JSON lines.

    Args:
        repeats: measured turns of each scene.
        as_json: one JSON object a line instead of the table.
    """
    console = Console()
    before = torch.get_num_threads()
    warmup(lambda text: console.print(f"compiling {text}") if not as_json else None)
    rows = []
    try:
        for count, size in ((200, 64), *SIZES):
            rows += _scene(count, size, repeats, before)
    finally:
        torch.set_num_threads(before)
    if as_json:
        for row in rows:
            print(json.dumps(dataclasses.asdict(row)))
    else:
        console.print(_table(rows))
    return rows


def _scene(count: int, size: int, repeats: int, threads: int) -> list[SplatRow]:
    gaussians, cameras = person_gaussians(count), camera(size)
    leaves = Gaussians(**{name: getattr(gaussians, name).requires_grad_() for name in FIELDS})
    settings = {"cpu, 1 thread": ("cpu", 1)}
    if threads > 1:
        settings[f"cpu, {threads} threads"] = ("cpu", threads)
    if count * size * size <= REFERENCE_PAIRS:
        settings["reference"] = ("reference", threads)
    wall = len(settings) > 1  # processor time cannot compare numbers of threads
    forward = paired({n: _draw(leaves, cameras, *s) for n, s in settings.items()}, repeats, wall=wall)
    training = paired({n: _train(leaves, cameras, *s) for n, s in settings.items()}, repeats, wall=wall)
    return [
        SplatRow(count, size, f.name, f.least_ms, f.ratio, t.least_ms, t.ratio)
        for f, t in zip(forward, training)
    ]


def _draw(gaussians: Gaussians, cameras: Cameras, backend: str, threads: int) -> Callable[[], None]:
    def draw() -> None:
        torch.set_num_threads(threads)
        with torch.no_grad():
            rasterize_gaussians(gaussians, cameras, backend=backend)  # type: ignore[arg-type]

    return draw


def _train(gaussians: Gaussians, cameras: Cameras, backend: str, threads: int) -> Callable[[], None]:
    upstream = torch.rand(1, cameras.height, cameras.width, 3, generator=torch.Generator().manual_seed(0))

    def train() -> None:
        torch.set_num_threads(threads)
        rendering = rasterize_gaussians(gaussians, cameras, backend=backend)  # type: ignore[arg-type]
        torch.autograd.grad(rendering.rgb_premul, [getattr(gaussians, name) for name in FIELDS], upstream)

    return train


def _table(rows: list[SplatRow]) -> Table:
    table = Table(
        title="Gaussian rasterizer (least of all turns; ratios paired within turns, above 1 is faster)"
    )
    for heading in ("Gaussians", "image", "backend", "forward ms", "ratio", "forward + backward ms", "ratio"):
        table.add_column(heading, justify="left" if heading == "backend" else "right")
    for row in rows:
        table.add_row(
            f"{row.gaussians:,}",
            f"{row.size_px}²",
            row.way,
            f"{row.forward_ms:.1f}",
            f"{row.forward_ratio:.2f}",
            f"{row.training_ms:.1f}",
            f"{row.training_ratio:.2f}",
        )
    return table
