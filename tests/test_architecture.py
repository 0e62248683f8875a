"""No import crosses: render knows neither recon nor tools, recon knows no tools. The rule has teeth."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


def lint(tree: Path) -> subprocess.CompletedProcess[str]:
    program = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    command = [sys.executable, "-c", program, "--no-cache", "--no-logo"]
    found_here_first = os.environ | {"PYTHONPATH": str(tree)}
    return subprocess.run(
        command, cwd=tree, env=found_here_first, capture_output=True, text=True, check=False
    )


@pytest.fixture
def copied_tree(tmp_path: Path) -> Path:
    """The packages under the name that they are installed by."""
    for package in ("render", "recon", "tools"):
        shutil.copytree(
            REPOSITORY / package,
            tmp_path / "simulacra" / package,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    shutil.copy(REPOSITORY / "pyproject.toml", tmp_path)
    return tmp_path


def test_no_import_crosses(copied_tree: Path) -> None:
    found = lint(copied_tree)
    assert found.returncode == 0, found.stdout
    assert " 0 broken" in found.stdout


@pytest.mark.parametrize(
    ("file", "crossing"),
    [
        ("render/planted.py", "import simulacra.recon.runs.configuration"),
        ("render/planted.py", "def late() -> None:\n    from simulacra.tools import cli"),
        ("recon/planted.py", "from simulacra.tools.cli import main"),
        ("recon/fit/planted.py", "from simulacra.recon.session.truth import read_truth"),
        ("tools/report/planted.py", "from ..virtual.config import VirtualCaptureConfig"),
    ],
)
def test_an_import_that_crosses_is_caught(copied_tree: Path, file: str, crossing: str) -> None:
    (copied_tree / "simulacra" / file).write_text(crossing + "\n")
    found = lint(copied_tree)
    assert found.returncode == 1
    assert "1 broken" in found.stdout
    assert file.removesuffix(".py").replace("/", ".") in found.stdout


def test_nobody_imports_by_a_bare_name() -> None:
    """`recon` and `render` are folders of the repository, not names in anybody's site-packages."""
    bare = ("from render", "from recon", "from tools", "import render", "import recon", "import tools")
    for folder in ("render", "recon", "tools", "tests", "examples"):
        for file in (REPOSITORY / folder).rglob("*.py"):
            for line in file.read_text("utf-8").splitlines():
                assert not line.lstrip().startswith(bare), f"{file}: {line}"
