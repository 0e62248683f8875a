"""Calls of the program `simulacra`, which lives in another environment than nerfstudio."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path


def call(*words: object) -> None:
    """Runs `simulacra WORDS`.

    Raises:
        FileNotFoundError: there is no such program.
        RuntimeError: it refused; what it said is the message.
    """
    program = os.environ.get("SIMULACRA", "simulacra")
    if shutil.which(program) is None:
        raise FileNotFoundError(
            f"the program {program} is not there: set SIMULACRA to .venv/bin/simulacra of its environment"
        )
    done = subprocess.run([program, *map(str, words)], stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.strip())


def made_once(folder: Path, *words: object) -> Path:
    """The folder or file that `simulacra WORDS --out FOLDER` makes, made where it is not there."""
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        call(*words, "--out", folder)
    return folder
