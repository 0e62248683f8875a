"""Session after session in one process: memory, files and threads stay what they were after the first few."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from simulacra.recon.preflight import inspect, samples
from simulacra.recon.session import load_session
from tests.recon.ellipsoid_person import synthetic_session
from tests.recon.preflight.blind import Blind

# Of the first sessions: caches of lenses and modules fill.
WARM_UP = 5
# Pages that the allocator keeps, measured at 0.3 MB over 15 sessions; what a session holds of pictures is 1 MB.
ALLOWED_MB = 8.0


def now() -> tuple[float, int, int]:
    """Resident memory in MB, open files, and threads of this process, also those of libraries and of tests before."""
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    return resident, len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))


def use(root: Path) -> None:
    """What a program does that goes through an archive of captures."""
    session = load_session(root)
    session.fingerprint()
    for frame in session.frames[:2]:
        for camera in frame.sources:
            session.image(frame.index, camera)
            session.mask(frame.index, camera)
            session.depth(frame.index, camera)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
def test_twenty_sessions_leave_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "NetworkPersonDetector", Blind)
    made = synthetic_session(tmp_path / "0", cameras=2, frames=2)
    before = (0.0, 0, 0)
    for number in range(20):
        root = shutil.copytree(made.root, tmp_path / f"s{number}")
        use(root)
        if number % 5 == 0:
            inspect(load_session(root))
        if number == WARM_UP:
            before = now()
    after = now()
    assert after[1] <= before[1]
    assert after[2] <= before[2]
    assert after[0] - before[0] < ALLOWED_MB
