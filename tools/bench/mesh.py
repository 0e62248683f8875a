"""`simulacra bench mesh`: z-buffer, interpolation, antialiased silhouettes, and their gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from simulacra.render.mesh import antialias, face_neighbours, interpolate, rasterize_mesh, warmup

from .printing import Column, print_rows
from .scene import camera, person_mesh
from .timing import paired


@dataclass(frozen=True)
class MeshRow:
    """One step at one number of threads: milliseconds, and speed against one thread in the same turns."""

    step: str
    threads: int
    least_ms: float
    ratio: float


def run(*, size: int = 512, repeats: int = 9, as_json: bool = False) -> list[MeshRow]:
    """Time the mesh rasterizer on a person of 14,040 vertices, step by step, and print a table or JSON lines.

    Args:
        size: of the square image, pixels.
        repeats: measured turns.
        as_json: one JSON object a line instead of the table.
    """
    before = torch.get_num_threads()
    warmup()
    counts = (1,) if before == 1 else (1, before)
    rows = []
    try:
        for step, work in _steps(size).items():
            ways = {str(threads): _with_threads(threads, work) for threads in counts}
            for threads, timing in zip(counts, paired(ways, repeats, wall=len(counts) > 1)):
                rows.append(MeshRow(step, threads, timing.least_ms, timing.ratio))
    finally:
        torch.set_num_threads(before)
    print_rows(rows, COLUMNS, f"Mesh rasterizer, 27,144 triangles at {size}²", as_json)
    return rows


COLUMNS = (
    Column("step", lambda row: row.step, "left"),
    Column("threads", lambda row: str(row.threads)),
    Column("ms", lambda row: f"{row.least_ms:.1f}"),
    Column("ratio", lambda row: f"{row.ratio:.2f}"),
)


def _steps(size: int) -> dict[str, Callable[[], object]]:
    verts, faces = person_mesh()
    cameras, neighbours = camera(size), face_neighbours(faces)
    leaf = verts.clone().requires_grad_()
    rendering = rasterize_mesh(leaf, faces, cameras)
    covered = rendering.covered.float()[..., None]
    silhouette = antialias(covered, leaf, faces, cameras, rendering, neighbours=neighbours)
    upstream = torch.rand(rendering.depth.shape, generator=torch.Generator().manual_seed(0))
    return {
        "rasterize": lambda: rasterize_mesh(verts, faces, cameras),
        "rasterize, backward": lambda: torch.autograd.grad(
            rendering.depth, leaf, upstream, retain_graph=True
        ),
        "interpolate positions": lambda: interpolate(verts, faces, rendering),
        "antialias": lambda: antialias(covered, verts, faces, cameras, rendering, neighbours=neighbours),
        "antialias, backward": lambda: torch.autograd.grad(
            silhouette, leaf, upstream[..., None], retain_graph=True
        ),
    }


def _with_threads(threads: int, work: Callable[[], object]) -> Callable[[], None]:
    def call() -> None:
        torch.set_num_threads(threads)
        work()

    return call
