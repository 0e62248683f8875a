"""`simulacra bench`: this machine measured, several ways of doing the same in turns in one process."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from annotated_types import Interval
from tyro.conf import arg

from .outputs import OutFolder

Repeats = Annotated[int, Interval(ge=1, le=10_000)]
Side = Annotated[int, Interval(ge=16, le=16384)]
ClipLength = Annotated[int, Interval(ge=1, le=100_000)]
Gaussians = Annotated[int, Interval(ge=100, le=5_000_000)]
Events = Annotated[int, Interval(ge=1, le=1_000_000)]
EventNumber = Annotated[int, Interval(ge=0, le=999_999)]
Minutes = Annotated[float, Interval(ge=0.01, le=100_000)]
Seed = Annotated[int, Interval(ge=0, le=2**32 - 1)]
Workers = Annotated[int, Interval(ge=1, le=64)]


def bench_splat(repeats: Repeats = 7, json: bool = False) -> None:
    """The Gaussian rasterizer, forward and with gradients, against plain torch and the peak of this machine.

    Args:
        repeats: measured turns of each scene.
        json: one JSON object a line instead of a table.
    """
    from ..bench.splat import run

    run(repeats=repeats, as_json=json)


def bench_mesh(size: Side = 512, repeats: Repeats = 9, json: bool = False) -> None:
    """The mesh rasterizer, step by step.

    Args:
        size: of the square image, pixels.
        repeats: measured turns of each step.
        json: one JSON object a line instead of a table.
    """
    from ..bench.mesh import run

    run(size=size, repeats=repeats, as_json=json)


def bench_perception(
    sizes: tuple[Side, ...] = (128, 256, 512), repeats: Repeats = 5, json: bool = False
) -> None:
    """Each perceptual measure, forward and with its gradient, beside L1 and SSIM.

    Args:
        sizes: of the square images, pixels, at least 32.
        repeats: measured turns of each.
        json: one JSON object a line instead of a table.
    """
    from ..bench.perception import run

    run(sides=sizes, repeats=repeats, as_json=json)


def bench_train(
    gaussians: Gaussians = 50_000, size: Side = 512, repeats: Repeats = 9, json: bool = False
) -> None:
    """A training step of an avatar, part by part, against the same in plain torch.

    Args:
        gaussians: how many are on the body.
        size: of the square image, pixels.
        repeats: measured turns of each part.
        json: one JSON object a line instead of a table.
    """
    from ..bench.train import run

    run(gaussians=gaussians, size=size, repeats=repeats, as_json=json)


def bench_length(
    frames: tuple[ClipLength, ...] = (1000, 3000, 10_000), clip: Path | None = None, json: bool = False
) -> None:
    """Memory and time of every stage of captures of many frames: whether they cost more than their length.

    Args:
        frames: of the captures, rising.
        clip: a session whose pictures are repeated; a virtual person who walks if not given.
        json: one JSON object a line instead of a table.
    """
    from ..bench.length import run

    run(frames=frames, clip=clip, as_json=json)


def bench_drive(
    gaussians: Gaussians = 50_000,
    size: Side = 512,
    frames: ClipLength = 60,
    json: bool = False,
) -> None:
    """Frames a second of a moving avatar.

    Args:
        gaussians: how many are on the body.
        size: of the square image, pixels.
        frames: of the clip.
        json: one JSON object a line instead of a table.
    """
    from ..bench.drive import run

    run(gaussians=gaussians, size=size, frames=frames, as_json=json)


def bench_soak(
    out: OutFolder,
    events: Events = 1000,
    minutes: Minutes = 60.0,
    seed: Seed = 0,
    only: Annotated[tuple[EventNumber, ...], arg(metavar="NUMBER [NUMBER ...]")] = (),
    workers: Workers = 2,
    json: bool = False,
) -> None:
    """Commands disturbed at random: killed, without disk, with damaged files, changed sessions and other writers.

    What every command gives in peace is made first. After each event its output must be that, or an error that says
    what to do, and the same command in peace must give it.

    Args:
        out: a folder for the reference, the events and results.jsonl.
        events: at most so many.
        minutes: none is begun after these.
        seed: decides all events.
        only: the events of these numbers alone.
        workers: events at a time.
        json: one JSON object an event instead of a table.
    """
    from ..bench.soak.command import run

    run(out=out, events=events, minutes=minutes, seed=seed, only=only, workers=workers, as_json=json)
