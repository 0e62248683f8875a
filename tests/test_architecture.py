"""No import crosses: render knows neither recon nor tools, recon knows no tools. The rule has teeth."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


def lint(tree: Path) -> subprocess.CompletedProcess[str]:
    program = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    command = [sys.executable, "-c", program, "--no-cache", "--no-logo"]
    return subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)


@pytest.fixture
def copied_tree(tmp_path: Path) -> Path:
    for package in ("render", "recon", "tools"):
        shutil.copytree(
            REPOSITORY / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(REPOSITORY / "pyproject.toml", tmp_path)
    return tmp_path


def test_no_import_crosses(copied_tree: Path) -> None:
    found = lint(copied_tree)
    assert found.returncode == 0, found.stdout
    assert "3 kept, 0 broken" in found.stdout


@pytest.mark.parametrize(
    ("file", "crossing"),
    [
        ("render/planted.py", "import simulacra.recon.runs.configuration"),
        ("render/planted.py", "def late() -> None:\n    from simulacra.tools import cli"),
        ("recon/planted.py", "from tools.cli import main"),
        ("recon/planted.py", "import simulacra.tools.cli"),
        ("recon/fit/planted.py", "from simulacra.recon.session.truth import read_truth"),
    ],
)
def test_an_import_that_crosses_is_caught(copied_tree: Path, file: str, crossing: str) -> None:
    (copied_tree / file).write_text(crossing + "\n")
    found = lint(copied_tree)
    assert found.returncode == 1
    assert "1 broken" in found.stdout
    assert file.removesuffix(".py").replace("/", ".") in found.stdout
