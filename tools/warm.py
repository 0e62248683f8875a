"""`simulacra warmup`: the one-off work, done when asked for and not in the middle of a reconstruction."""

from __future__ import annotations

import time
from contextlib import nullcontext

from rich.console import Console


def warm_up(*, quiet: bool = False, stage: bool = False) -> None:
    """Bake the body, and compile and cache the kernels.

    Args:
        quiet: say only what took long. stage: those of virtual captures too.

    Raises:
        AssetError: the body's data are not here.
    """
    import torch  # noqa: F401 (its own seconds are nobody's work here)

    console = Console()
    start = time.perf_counter()
    steps = {"body": _body, "Gaussians": _gaussians, "meshes": _mesh, "training": _training}
    if stage:
        steps["virtual captures"] = _stage
    for name, step in steps.items():
        begun = time.perf_counter()
        with (
            nullcontext() if step is _body else console.status(f"compiling: {name}")
        ):  # the body has its own bar
            step()
        seconds = time.perf_counter() - begun
        if not quiet or seconds > 2.0:
            console.print(f"{name}: {seconds:.1f} s")
    if not quiet:
        console.print(f"Ready after {time.perf_counter() - start:.1f} s")


def _body() -> None:
    from simulacra.render.body import load_body

    load_body()


def _gaussians() -> None:
    from simulacra.render.gaussians import warmup

    warmup()


def _mesh() -> None:
    from simulacra.render.mesh import warmup

    warmup()


def _training() -> None:
    from simulacra.recon.avatar.warm import warmup

    warmup()


def _stage() -> None:
    from .virtual.warm import warmup

    warmup()
