"""Compiled code is kept on disk, and thrown away when any file that it is made of has changed."""

from __future__ import annotations

import os
import shutil
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


def test_nothing_is_left_beside_the_sources(tmp_path: Path) -> None:
    """Where it would outlive them: what was compiled is with the other outside files, or where its user wants it."""
    (tmp_path / "constant.py").write_text(CONSTANT.format(value=1))
    (tmp_path / "uses.py").write_text(KERNEL.format(sources=""))
    elsewhere, users = tmp_path / "elsewhere", tmp_path / "users"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA")} | {
        "SIMULACRA_CACHE": str(elsewhere),
        "PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path(__file__).resolve().parents[3])]),
    }
    for more, there in (({}, elsewhere / "kernels"), ({"NUMBA_CACHE_DIR": str(users)}, users)):
        command = [sys.executable, "-c", "import uses"]
        subprocess.run(command, env=environment | more, check=True, capture_output=True)
        assert list(there.rglob("uses.value-*.nbi"))
    assert not list((tmp_path / "__pycache__").glob("*.nb?"))


READ_ONLY = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && shift && exec "$@"'


def on_read_only_disk(folder: Path, command: list[str]) -> list[str]:
    """The command in a mount namespace of its own, in which nobody, root neither, can write into the folder."""
    inside = ["unshare", "-rm", "sh", "-c", READ_ONLY, "sh", str(folder)]
    if shutil.which("unshare") is None or subprocess.run([*inside, "true"], capture_output=True).returncode:
        pytest.skip("needs a mount namespace (unshare -rm), which this machine does not give")
    return [*inside, *command]


def test_a_read_only_installation_without_a_home_keeps_kernels_in_a_folder_of_the_users_own(
    tmp_path: Path,
) -> None:
    installed, temporary = tmp_path / "installed", tmp_path / "temporary"
    installed.mkdir()
    temporary.mkdir()
    (installed / "constant.py").write_text(CONSTANT.format(value=1))
    (installed / "uses.py").write_text(KERNEL.format(sources=""))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA")} | {
        "HOME": str(installed / "nowhere"),
        "TMPDIR": str(temporary),
        "PYTHONPATH": os.pathsep.join([str(installed), str(Path(__file__).resolve().parents[3])]),
    }
    environment.pop("SIMULACRA_CACHE", None)
    command = on_read_only_disk(installed, [sys.executable, "-c", "import uses"])
    for hits in ("0", "1"):
        found = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert found.stdout.split() == ["1.0", hits]
        assert found.stderr.startswith(f"note: compiled kernels are kept in {temporary}")
    (kept,) = temporary.iterdir()
    assert kept.stat().st_mode & 0o777 == 0o700
    # What others could have put there is not run: then nothing is kept.
    kept.chmod(0o777)
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["1.0", "0"] and found.stderr == ""
