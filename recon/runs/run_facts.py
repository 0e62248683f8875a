"""What ``run.json`` says of a run: its settings, stages and their cost, and what it was made with."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

from simulacra.recon.runs.files import disk_errors, write_json
from simulacra.recon.runs.run_folder import RUN_FILE, RUN_SCHEMA, RunFolder, read_run_file
from simulacra.recon.runs.stages import StageResult
from simulacra.render.runtime.whole_files import sync

# Libraries whose versions change the numbers of a run.
RECORDED_PACKAGES = (
    "simulacra",
    "torch",
    "numpy",
    "scipy",
    "numba",
    "opencv-python-headless",
    "ai-edge-litert",
    "av",
)


def record_begin(run: RunFolder, config: object, **facts: object) -> None:
    """Says in ``run.json`` what is being made; that of a run that was finished once stays until the end of this one."""
    if read_run_file(run.root).get("stages"):
        return
    described = {"schema": RUN_SCHEMA, "session_fingerprint": run.session_fingerprint, "state": "begun"}
    with disk_errors(run.root):
        write_json(run.root / RUN_FILE, {**described, "config": config, "stages": {}, **facts})


def record_run(run: RunFolder, config: object, results: list[StageResult], **facts: object) -> None:
    """Writes ``run.json``: what produced this run, with which versions, how long each stage took."""
    stages = {
        r.name: {"seconds": r.seconds, "peak_mb": r.peak_mb, "skipped": r.skipped, "digest": r.digest}
        for r in results
    }
    described = {
        "schema": RUN_SCHEMA,
        "session_fingerprint": run.session_fingerprint,
        "state": "complete",
        "config": config,
        "versions": library_versions(),
        "commit": source_commit(),
        "machine": {
            "system": platform.platform(),
            "processors": os.cpu_count(),
            "python": platform.python_version(),
        },
        "stages": stages,
        **facts,
    }
    with disk_errors(run.root):
        write_json(run.root / RUN_FILE, described)
        sync(run.root)


def library_versions() -> dict[str, str]:
    """Versions of the libraries that a run's numbers depend on."""
    found = {}
    for package in RECORDED_PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "absent"
    return found


def source_commit() -> str | None:
    """The commit of the source tree that is running, where it is a git checkout."""
    asked = subprocess.run(
        ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
    )
    return asked.stdout.strip() or None
