"""`simulacra bench perception`: milliseconds of each perceptual measure, forward and with its gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from simulacra.recon.perception.by_name import ASSETS, OWN, open_measure
from simulacra.recon.perception.l1 import l1
from simulacra.recon.perception.measure import Measure
from simulacra.recon.perception.ssim import ssim
from simulacra.recon.perception.weights import missing_weights

from .printing import Column, print_rows
from .timing import paired


@dataclass(frozen=True)
class PerceptionRow:
    """One measure at one size.

    Attributes:
        name: as settings have it; the first is L1 and SSIM, what a plain step pays for.
        side: of the square picture, pixels.
        forward_ms: of a picture against kept features, without a gradient.
        gradient_ms: the same and back.
        ratio: `gradient_ms` over that of L1 and SSIM at this size: the median of turns.
    """

    name: str
    side: int
    forward_ms: float
    gradient_ms: float
    ratio: float


COLUMNS = (
    Column("measure", lambda row: row.name, "left"),
    Column("side", lambda row: str(row.side)),
    Column("forward ms", lambda row: f"{row.forward_ms:.1f}"),
    Column("with gradient ms", lambda row: f"{row.gradient_ms:.1f}"),
    Column("times L1 + SSIM", lambda row: f"{row.ratio:.1f}"),
)


def run(
    *, sides: Sequence[int] = (128, 256, 512), repeats: int = 5, as_json: bool = False
) -> list[PerceptionRow]:
    """Time every measure whose outside files are here, and print a table or JSON lines.

    Args:
        sides: of square pictures, pixels.
        repeats: measured turns.
        as_json: one JSON object a line instead of the table.
    """
    rows: list[PerceptionRow] = []
    for side in sides:
        forward, gradient = _ways(side)
        forwards = paired(forward, repeats, wall=True)
        gradients = paired(gradient, repeats, wall=True)
        rows += [
            PerceptionRow(there.name, side, there.least_ms, back.least_ms, 1 / back.ratio)
            for there, back in zip(forwards, gradients, strict=True)
        ]
    missing = [name for name, assets in ASSETS.items() if missing_weights(*assets)]
    left_out = f"; without their outside files: {', '.join(missing)}" if missing else ""
    print_rows(rows, COLUMNS, f"Perceptual measures, {torch.get_num_threads()} threads{left_out}", as_json)
    return rows


def _ways(side: int) -> tuple[dict[str, Callable[[], None]], dict[str, Callable[[], None]]]:
    """What is timed by name, without and with gradients."""
    random = torch.Generator().manual_seed(0)
    image, photograph = (_smooth(torch.rand(side, side, 3, generator=random)) for _ in "12")
    forward, gradient = {}, {}
    distances: dict[str, tuple[Tensor, Callable[[Tensor], Tensor]]] = {
        "l1 + ssim": (image, lambda ours: l1(ours, photograph) + 1 - ssim(ours, photograph))
    }
    for name in OWN:
        if missing_weights(*ASSETS.get(name, ())) is None:
            measure = open_measure(name)
            ours, theirs = (i.mean(-1) if measure.of_coverage else i for i in (image, photograph))
            distances[name] = ours, _against(measure, theirs)
    for name, (ours, distance) in distances.items():
        forward[name] = _forward(ours, distance)
        gradient[name] = _and_back(ours, distance)
    return forward, gradient


def _smooth(image: Tensor) -> Tensor:
    planes = torch.nn.functional.avg_pool2d(image.permute(2, 0, 1)[None], 5, 1, 2)
    return planes[0].permute(1, 2, 0).contiguous()


def _against(measure: Measure, photograph: Tensor) -> Callable[[Tensor], Tensor]:
    with torch.no_grad():
        kept = measure.of_reference(photograph, None)
    return lambda image: measure.between(measure.features(image), kept)


def _forward(image: Tensor, distance: Callable[[Tensor], Tensor]) -> Callable[[], None]:
    def call() -> None:
        with torch.no_grad():
            distance(image)

    return call


def _and_back(image: Tensor, distance: Callable[[Tensor], Tensor]) -> Callable[[], None]:
    def call() -> None:
        leaf = image.clone().requires_grad_()
        distance(leaf).backward()

    return call
