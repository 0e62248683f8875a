"""The memory that one call needs at its worst, over what the process already holds."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
RESET_PEAK = "5"  # proc(5): the peak resident size becomes the present one


def peak_mb(prepare: Callable[..., Callable[[], object]], *arguments: object) -> float | None:
    """Peak resident memory of a call over the memory before it, MiB; None where the system does not tell (not Linux).

    It is measured in a process of its own, on one thread of torch: memory that earlier work gave back to the
    allocator, and not to the system, would hide what is needed.

    Args:
        prepare: a function of a module, called there with the arguments; it loads what is to be loaded once, and what
            it returns is called once and measured.
    """
    if not RESET.exists():
        return None
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_measure, args=(theirs, prepare, arguments))
    child.start()
    theirs.close()
    try:
        return float(ours.recv())
    finally:
        child.join()


def _measure(
    answer: Connection, prepare: Callable[..., Callable[[], object]], arguments: tuple[object, ...]
) -> None:
    import torch

    torch.set_num_threads(1)
    work = prepare(*arguments)
    before = resident_mb("VmRSS")
    RESET.write_text(RESET_PEAK)
    work()
    answer.send(resident_mb("VmHWM") - before)


def resident_mb(field: str) -> float:
    """Of this process, MiB: VmRSS as it is now, VmHWM at its most (a child's ru_maxrss begins with its parent's)."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1]) / 1024
