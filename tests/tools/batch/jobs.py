"""Work for a batch that costs nothing: what a task does is in its options."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from simulacra.recon.runs.lock import write_lock
from simulacra.render.runtime.errors import InputError

JOB = "tests.tools.batch.jobs:job"


def job(task: Mapping[str, Any]) -> None:
    """Writes a number in steps, under the lock of the run; does before what the options say."""
    options = dict(task["options"])
    run = Path(task["run"])
    run.mkdir(parents=True, exist_ok=True)
    with write_lock(run):
        tries = run / "tries"
        count = len(tries.read_text()) + 1 if tries.is_file() else 1
        tries.write_text("x" * count)
        print(f"try {count}")
        if "sleep" in options:
            time.sleep(float(options["sleep"]))
        if options.get("kill") and count <= int(options["kill"]):
            os.kill(os.getpid(), signal.SIGKILL)
        if options.get("poison"):
            raise InputError("the session is damaged", where=task["session"], remedy="import it again")
        if options.get("bug"):
            raise ZeroDivisionError("a bug")
        if "megabytes" in options:
            held = bytearray(int(options["megabytes"]) << 20)
            held[::4096] = b"x" * len(held[::4096])
            time.sleep(20)
        threads = {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS")}
        (run / "result.json").write_text(json.dumps({"name": task["name"], "threads": threads}))
        (run / "pid").write_text(str(os.getpid()))
