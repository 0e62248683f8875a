"""The largest resident memory of this process, since a moment that is chosen where the system allows that."""

from __future__ import annotations

import platform
import resource
from pathlib import Path


def reset_peak_memory() -> None:
    """Lets the kernel count the peak from now on (Linux); elsewhere the peak is of the whole process."""
    control = Path("/proc/self/clear_refs")
    if control.exists():
        try:
            control.write_text("5")
        except OSError:
            return


def peak_memory_mb() -> float:
    """Largest resident memory since the last reset, MiB."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    usage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return usage / 2**20 if platform.system() == "Darwin" else usage / 1024
