"""Programs of JavaScript that read what is written here: run by node, with packages that lie outside of the project.

They are looked for in `$SIMULACRA_NODE_MODULES`, or in `node_modules` of the checkout; a test says so when it
skips: `npm install three gltf-validator` in the checkout brings those that the tests use.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


def node_modules(*packages: str) -> Path:
    """The folder of packages; skips where one of these is not in it."""
    modules = Path(os.environ.get("SIMULACRA_NODE_MODULES", REPOSITORY / "node_modules"))
    missing = [name for name in packages if not (modules / name).is_dir()]
    if missing:
        pytest.skip(f"no {', '.join(missing)} in {modules}")
    return modules


def run_node(program: str, tmp_path: Path, *packages: str, words: tuple[str, ...] = ()) -> Any:
    """What an ES module prints as JSON on its last line; skips without node or a package.

    Args:
        program: may import the packages by their names.
        tmp_path: where it is run.
        packages: that it needs.
        words: its arguments.
    """
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node")
    modules = node_modules(*packages)
    work = tmp_path / "node"
    work.mkdir(exist_ok=True)
    if not (work / "node_modules").exists():
        (work / "node_modules").symlink_to(modules, target_is_directory=True)
    (work / "program.mjs").write_text(program)
    done = subprocess.run(
        [node, "program.mjs", *words], cwd=work, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.strip().splitlines()[-1])
