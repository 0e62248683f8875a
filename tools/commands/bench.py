"""`simulacra bench`: this machine measured, several ways of doing the same in turns in one process."""

from __future__ import annotations

from pathlib import Path


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


def bench_length(
    frames: tuple[int, ...] = (1000, 3000, 10_000), clip: Path | None = None, json: bool = False
) -> None:
    """Memory and time of every stage of captures of many frames: whether they cost more than their length.

    Args:
        frames: of the captures, rising.
        clip: a session whose pictures are repeated; a virtual person who walks if not given.
        json: one JSON object a line instead of a table.
    """
    from ..bench.length import run

    run(frames=frames, clip=clip, as_json=json)


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
