"""Stepping through a long capture: the server's memory stays what it was."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from simulacra.tools.viewer import drawing, studio
from tests.tools.viewer.long_session import long_session, resident_mb, step_through
from tests.tools.viewer.serving import ids_of, served

FRAMES, FEW = 700, 100
CACHE_MB = 2
# Of each step the pictures alone are 0.14 MB, so that 600 that were kept would be 84 MB; the allocator's pages aside.
ALLOWED_MB = 12.0


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_hundreds_of_steps_through_a_long_capture_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(studio, "CACHE_BYTES", CACHE_MB << 20)
    monkeypatch.setattr(drawing, "PHOTOGRAPH_BYTES", CACHE_MB << 20)
    root = long_session(tmp_path / "session", FRAMES)
    with served([root]) as address:
        name = ids_of(address)["session"]
        step_through(address, name, range(FEW))
        gc.collect()
        before = resident_mb("self")
        step_through(address, name, range(FEW, FRAMES))
        gc.collect()
        assert resident_mb("self") - before < ALLOWED_MB
