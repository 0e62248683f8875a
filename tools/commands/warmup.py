"""`simulacra warmup`: the one-off work, done when asked for and not in the middle of a reconstruction."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext

# What takes longer is not loaded but made; of a processor's seconds, as a busy machine loads slowly.
LOADED_S = 4.0


def warmup(quiet: bool = False) -> None:
    """Do the one-off work now: bake the body, compile the kernels. Otherwise the first reconstruction does
    it.

    Args:
        quiet: say nothing when there was nothing to do.
    """
    warm_up(quiet=quiet, stage=True)


def warm_up(*, quiet: bool = False, stage: bool = False) -> None:
    """Bake the body, and compile and cache the kernels.

    Args:
        quiet: say only what took long.
        stage: those of virtual captures too.

    Raises:
        AssetError: the body's data are not here.
    """
    import torch  # noqa: F401 (its own seconds are nobody's work here)
    from rich.console import Console

    from simulacra.recon.avatar.warm import warmup as training
    from simulacra.recon.runs.progress import working
    from simulacra.render.body import load_body
    from simulacra.render.gaussians import warmup as gaussians
    from simulacra.render.mesh import warmup as meshes

    console = Console()
    start = time.perf_counter()
    steps: dict[str, Callable[[], object]] = {
        "body": load_body, "Gaussians": gaussians, "meshes": meshes, "training": training
    }  # fmt: skip
    if stage:
        from ..virtual.warm import warmup as virtual_captures

        steps["virtual captures"] = virtual_captures
    for number, (name, step) in enumerate(steps.items()):
        begun, worked = time.perf_counter(), time.process_time()
        which = f"{name}, {number} of {len(steps) - 1}"
        doing = f"compiling kernels ({which}), once per installation: a minute or two in all"
        if step is load_body:
            doing = "building the body, once per installation"
        # The body has its own bar.
        with nullcontext() if step is load_body else console.status(doing), working(doing, LOADED_S):
            step()
        seconds = time.perf_counter() - begun
        made = time.process_time() - worked > LOADED_S
        if made or not quiet:
            console.print(f"{name}: {seconds:.1f} s{', once per installation' if made else ''}")
    if not quiet:
        console.print(f"Ready after {time.perf_counter() - start:.1f} s")
