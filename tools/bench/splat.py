"""`simulacra bench splat`: the Gaussian rasterizer, forward and forward with gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from rich.console import Console
from torch import Tensor

from simulacra.render.camera import Cameras
from simulacra.render.gaussians import Gaussians, rasterize_gaussians, warmup
from simulacra.render.gaussians.record import FIELDS

from .arithmetic import BACKWARD_FLOP, FORWARD_FLOP, peak_flops, useful_pairs
from .memory import peak_mb
from .printing import Column, print_rows
from .scene import camera, person_gaussians
from .timing import Timing, paired
from .torch_tiles import draw as draw_in_torch

SCENES = tuple((count, size) for count in (10_000, 50_000, 200_000) for size in (512, 1024))
TINY = (200, 64)  # what the dense reference can draw
SLOW_TURNS = 1  # of ways that take seconds

Draw = Callable[[Gaussians, Cameras], Tensor]


@dataclass(frozen=True)
class SplatRow:
    """One scene and one way of drawing it.

    Attributes:
        forward_ms: the least wall time of all turns, without gradients.
        training_ms: likewise, with gradients to all fields.
        forward_ratio: speed against the cpu backend on one thread, the median of ratios within turns.
        training_ratio: likewise.
        forward_share: of the machine's measured multiply-add peak on so many threads, counting only useful pairs; None
            on a card, whose peak is not measured.
        training_share: likewise.
        peak_mb: the most memory that a step with gradients takes, MiB; None where it was not measured.
    """

    gaussians: int
    size_px: int
    way: str
    forward_ms: float
    forward_ratio: float
    forward_share: float | None
    training_ms: float
    training_ratio: float
    training_share: float | None
    peak_mb: float | None


def run(*, repeats: int = 7, as_json: bool = False) -> list[SplatRow]:
    """Time the ways of drawing Gaussians on a person-shaped scene, in turns, and print a table or JSON lines."""
    console = Console(stderr=as_json)
    threads = torch.get_num_threads()
    warmup(lambda text: console.print(f"compiling {text}"))
    peaks = {count: peak_flops(count) for count in (1, threads)}
    rows = []
    try:
        for count, size in (TINY, *SCENES):
            with console.status(f"{count:,} Gaussians at {size}²"):
                rows += _scene(count, size, repeats, threads, peaks)
    finally:
        torch.set_num_threads(threads)
    peak = ", ".join(f"{flops / 1e9:.0f} GFLOP/s on {count} threads" for count, flops in peaks.items())
    print_rows(rows, COLUMNS, f"Gaussian rasterizer (multiply-add peak {peak})", as_json)
    return rows


COLUMNS = (
    Column("Gaussians", lambda row: f"{row.gaussians:,}"),
    Column("image", lambda row: f"{row.size_px}²"),
    Column("way", lambda row: row.way, "left"),
    Column("forward ms", lambda row: f"{row.forward_ms:.1f}"),
    Column("ratio", lambda row: f"{row.forward_ratio:.3g}"),
    Column("of peak", lambda row: "" if row.forward_share is None else f"{row.forward_share:.1%}"),
    Column("training ms", lambda row: f"{row.training_ms:.1f}"),
    Column("ratio", lambda row: f"{row.training_ratio:.3g}"),
    Column("of peak", lambda row: "" if row.training_share is None else f"{row.training_share:.1%}"),
    Column("peak MB", lambda row: "" if row.peak_mb is None else f"{row.peak_mb:.0f}"),
)


def _scene(count: int, size: int, repeats: int, threads: int, peaks: dict[int, float]) -> list[SplatRow]:
    gaussians, cameras = person_gaussians(count), camera(size)
    leaves = Gaussians(**{name: getattr(gaussians, name).requires_grad_() for name in FIELDS})
    fast: dict[str, tuple[Draw, int]] = {"cpu, 1 thread": (_backend("cpu"), 1)}
    if threads > 1:
        fast[f"cpu, {threads} threads"] = (_backend("cpu"), threads)
    slow: dict[str, tuple[Draw, int]] = {"plain torch": (draw_in_torch, threads)}
    if (count, size) == TINY:
        slow["reference"] = (_backend("reference"), threads)
    rows = _time_ways(fast, leaves, cameras, repeats)
    rows |= _time_ways(
        {next(iter(fast)): next(iter(fast.values())), **slow}, leaves, cameras, SLOW_TURNS, skip=1
    )
    if torch.cuda.is_available():
        rows |= _time_card(leaves, cameras, fast, repeats)
    pairs = useful_pairs(gaussians, cameras)
    # In a process of its own: the peak of this one is that of everything above.
    memory = {next(iter(fast)): peak_mb(_training_step, count, size)} if count > TINY[0] else {}
    used = {name: n for name, (_, n) in (fast | slow).items()}

    def share(flop: int, name: str, timing: Timing) -> float | None:
        return pairs * flop / (timing.least_ms / 1e3 * peaks[used[name]]) if name in used else None

    return [
        SplatRow(
            count,
            size,
            name,
            f.least_ms,
            f.ratio,
            share(FORWARD_FLOP, name, f),
            t.least_ms,
            t.ratio,
            share(FORWARD_FLOP + BACKWARD_FLOP, name, t),
            memory.get(name),
        )
        for name, (f, t) in rows.items()
    ]


def _time_ways(
    ways: dict[str, tuple[Draw, int]], leaves: Gaussians, cameras: Cameras, repeats: int, skip: int = 0
) -> dict[str, tuple[Timing, Timing]]:
    """Forward and training times of all ways but the first ``skip``, which the others are only compared with."""
    forward = paired(
        {n: _forward(draw, leaves, cameras, threads) for n, (draw, threads) in ways.items()},
        repeats,
        wall=True,
    )
    training = paired(
        {n: _training(draw, leaves, cameras, threads) for n, (draw, threads) in ways.items()},
        repeats,
        wall=True,
    )
    return {f.name: (f, t) for f, t in list(zip(forward, training))[skip:]}


def _time_card(
    leaves: Gaussians, cameras: Cameras, fast: dict[str, tuple[Draw, int]], repeats: int
) -> dict[str, tuple[Timing, Timing]]:
    """gsplat on the first NVIDIA card, against the cpu backend on one thread in the same turns."""
    there = Gaussians(**{n: getattr(leaves, n).detach().cuda().requires_grad_() for n in FIELDS})
    on_card = Cameras(cameras.viewmats.cuda(), cameras.Ks.cuda(), cameras.width, cameras.height)
    name, (draw, threads) = next(iter(fast.items()))

    def synchronised(work: Callable[[], None]) -> Callable[[], None]:
        def call() -> None:
            work()
            torch.cuda.synchronize()

        return call

    cuda = _backend("cuda")
    forward = {name: _forward(draw, leaves, cameras, threads)}
    forward["cuda"] = synchronised(_forward(cuda, there, on_card, threads))
    training = {name: _training(draw, leaves, cameras, threads)}
    training["cuda"] = synchronised(_training(cuda, there, on_card, threads))
    return {"cuda": (paired(forward, repeats, wall=True)[1], paired(training, repeats, wall=True)[1])}


def _backend(name: str) -> Draw:
    def draw(gaussians: Gaussians, cameras: Cameras) -> Tensor:
        return rasterize_gaussians(gaussians, cameras, backend=name).rgb_premul[0]  # type: ignore[arg-type]

    return draw


def _forward(draw: Draw, gaussians: Gaussians, cameras: Cameras, threads: int) -> Callable[[], None]:
    def call() -> None:
        torch.set_num_threads(threads)
        with torch.no_grad():
            draw(gaussians, cameras)

    return call


def _training(draw: Draw, gaussians: Gaussians, cameras: Cameras, threads: int) -> Callable[[], None]:
    upstream = torch.rand(cameras.height, cameras.width, 3, generator=torch.Generator().manual_seed(0))
    upstream = upstream.to(gaussians.means.device)

    def call() -> None:
        torch.set_num_threads(threads)
        torch.autograd.grad(draw(gaussians, cameras), [getattr(gaussians, n) for n in FIELDS], upstream)

    return call


def _training_step(count: int, size: int) -> Callable[[], None]:
    """For the measurement of memory: libraries and kernels are loaded by a tiny scene first."""
    for scene in (TINY, (count, size)):
        gaussians = person_gaussians(scene[0])
        leaves = Gaussians(**{name: getattr(gaussians, name).requires_grad_() for name in FIELDS})
        step = _training(_backend("cpu"), leaves, camera(scene[1]), 1)
        if scene == TINY:
            step()
    return step
