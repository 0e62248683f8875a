"""Files of one JSON object a line that several people append to."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from simulacra.recon.runs.files import disk_errors


def append_line(path: Path, record: Mapping[str, Any]) -> None:
    """Adds a line, whole or not at all.

    Raises:
        RunError: the file cannot be written.
    """
    line = json.dumps(record, ensure_ascii=False, sort_keys=True).encode() + b"\n"
    with disk_errors(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            size = os.fstat(descriptor).st_size
            cut_off = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
            whole = b"\n" * cut_off + line
            if os.write(descriptor, whole) != len(whole):
                os.ftruncate(descriptor, size)
                raise OSError(28, os.strerror(28), str(path))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
