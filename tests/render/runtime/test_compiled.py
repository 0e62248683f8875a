"""Compiled code is kept on disk, and thrown away when any file that it is made of has changed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONSTANT = "import numpy as np\nVALUE = np.float32({value})\n"
KERNEL = """
import constant
from simulacra.render.runtime.compiled import kernel_compiler

kernel = kernel_compiler(__file__, {sources})

@kernel()
def value():
    return constant.VALUE

print(value(), sum(value.stats.cache_hits.values()))
"""


def call(folder: Path) -> list[str]:
    root = str(Path(__file__).resolve().parents[3])
    environment = os.environ | {
        "NUMBA_CACHE_DIR": str(folder / "cache"),
        "PYTHONPATH": os.pathsep.join([str(folder), root]),
    }
    command = [sys.executable, "-c", "import uses"]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return found.stdout.split()


@pytest.mark.parametrize(("sources", "second"), [("constant.__file__", "2.0"), ("", "1.0")])
def test_a_change_in_another_file_compiles_again(tmp_path: Path, sources: str, second: str) -> None:
    """With the file named, the new constant is used; without it (the control) the stale code answers."""
    (tmp_path / "constant.py").write_text(CONSTANT.format(value=1))
    (tmp_path / "uses.py").write_text(KERNEL.format(sources=sources))
    assert call(tmp_path) == ["1.0", "0"]
    assert call(tmp_path) == ["1.0", "1"]
    (tmp_path / "constant.py").write_text(CONSTANT.format(value="2.00"))
    assert call(tmp_path)[0] == second
