"""The process in which tasks are done: `python -m simulacra.tools.batch.worker MODULE:FUNCTION`.

A task is a line of JSON on standard input, and what came of it a line on what was standard output; all that the work
itself prints goes into the task's log. The process ends with its parent, however that ends.
"""

from __future__ import annotations

import ctypes
import errno
import importlib
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from simulacra.render.runtime.errors import UserError

PR_SET_PDEATHSIG = 1
# Of a disk on another machine, and of a network.
PASSING = (
    errno.ESTALE,
    errno.ETIMEDOUT,
    errno.ENOTCONN,
    errno.EREMOTEIO,
    errno.EIO,
    errno.ECONNRESET,
    errno.EAGAIN,
)
HELD = "another process writes into this run"


def serve(job: Callable[[dict[str, Any]], None]) -> None:
    """Does one task after the other until standard input ends."""
    end_with_parent()
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    nothing = os.open(os.devnull, os.O_WRONLY)
    _print_into(nothing)
    for line in sys.stdin:
        task = json.loads(line)
        log = _open_log(task.get("log", ""))
        try:
            _print_into(nothing if log is None else log)
            answer = attempt(job, task)
        finally:
            _print_into(nothing)
            if log is not None:
                os.close(log)
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def attempt(job: Callable[[dict[str, Any]], None], task: dict[str, Any]) -> dict[str, Any]:
    """Does one task; whatever goes wrong is an answer too: error, details, and whether it may heal."""
    try:
        job(task)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return {"error": error.what, "details": "\n".join(error.lines()[1:]), "heals": _heals(error)}
    except OSError as error:
        traceback.print_exc()
        return {
            "error": str(error),
            "details": traceback.format_exc()[-2000:],
            "heals": error.errno in PASSING,
        }
    except MemoryError:
        return {"error": "there was not enough memory", "details": "", "heals": True}
    except Exception as error:  # noqa: BLE001 (a bug of one task is no other's)
        traceback.print_exc()
        said = f"{type(error).__name__}: {error}"
        return {"error": said[:500], "details": traceback.format_exc()[-2000:], "heals": False}
    return {"error": "", "details": "", "heals": False}


def _heals(error: UserError) -> bool:
    """Whether what a person could mend may also pass: another writer ends, a far disk answers again."""
    cause = error.__cause__
    return error.what == HELD or (isinstance(cause, OSError) and cause.errno in PASSING)


def end_with_parent() -> None:
    """Asks the kernel to kill this process when its parent dies (Linux); elsewhere the lock of the run has to do."""
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before it was asked
            os.kill(os.getpid(), signal.SIGKILL)


def _open_log(name: str) -> int | None:
    if not name:
        return None
    try:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        return os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    except OSError:
        return None  # a log that cannot be written is no reason to do nothing


def _print_into(descriptor: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)


def main() -> None:
    """Serves the function that is named."""
    module, _, name = sys.argv[1].partition(":")
    serve(getattr(importlib.import_module(module), name))


if __name__ == "__main__":
    main()
