"""`simulacra bench`: this machine measured, several ways of doing the same in turns in one process."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import arg


def bench_splat(repeats: int = 7, json: bool = False) -> None:
    """The Gaussian rasterizer, forward and with gradients, against plain torch and the peak of this machine.

    Args:
        repeats: measured turns of each scene.
        json: one JSON object a line instead of a table.
    """
    from ..bench.splat import run

    run(repeats=repeats, as_json=json)


def bench_mesh(size: int = 512, repeats: int = 9, json: bool = False) -> None:
    """The mesh rasterizer, step by step.

    Args:
        size: of the square image, pixels.
        repeats: measured turns of each step.
        json: one JSON object a line instead of a table.
    """
    from ..bench.mesh import run

    run(size=size, repeats=repeats, as_json=json)


def bench_train(gaussians: int = 50_000, size: int = 512, repeats: int = 9, json: bool = False) -> None:
    """A training step of an avatar, part by part, against the same in plain torch.

    Args:
        gaussians: how many are on the body.
        size: of the square image, pixels.
        repeats: measured turns of each part.
        json: one JSON object a line instead of a table.
    """
    from ..bench.train import run

    run(gaussians=gaussians, size=size, repeats=repeats, as_json=json)


def bench_drive(gaussians: int = 50_000, size: int = 512, frames: int = 60, json: bool = False) -> None:
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
    out: Path,
    events: int = 1000,
    minutes: float = 60.0,
    seed: int = 0,
    only: Annotated[tuple[int, ...], arg(metavar="NUMBER [NUMBER ...]")] = (),
    workers: int = 2,
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
