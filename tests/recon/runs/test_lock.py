"""One writer a run: two real processes, a killed one, and a disk without locks."""

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from simulacra.recon.runs.lock import LOCK_FILE, write_lock
from simulacra.render.runtime.errors import RunError

HOLDS = """
import sys
from pathlib import Path
from simulacra.recon.runs.lock import write_lock
with write_lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the run until its input ends."""
    words = [sys.executable, "-c", HOLDS, str(tmp_path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_writer_is_told_who_holds_the_run(holder: subprocess.Popen[str], tmp_path: Path) -> None:
    with pytest.raises(RunError, match=rf"process {holder.pid} on .+, since 20"), write_lock(tmp_path):
        pass
    assert holder.stdin is not None
    holder.stdin.close()
    assert holder.wait() == 0
    with write_lock(tmp_path):
        assert json.loads((tmp_path / LOCK_FILE).read_text())["pid"] == os.getpid()
    assert not list(tmp_path.iterdir())


def test_the_lock_of_a_killed_process_stops_nobody(holder: subprocess.Popen[str], tmp_path: Path) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (tmp_path / LOCK_FILE).exists()
    with (
        write_lock(tmp_path),
        pytest.raises(RunError, match=f"process {os.getpid()} on"),
        write_lock(tmp_path),
    ):
        pass


def test_an_error_lets_go(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), write_lock(tmp_path):
        raise ZeroDivisionError
    with write_lock(tmp_path):
        pass


def test_a_disk_without_locks_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with write_lock(tmp_path):
        pass
    assert "no locks" in capsys.readouterr().err


def test_a_run_that_cannot_be_written_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def protected(path: object, *_: object) -> int:
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(os, "open", protected)
    with pytest.raises(RunError, match="cannot be written"), write_lock(tmp_path):
        pass
