"""The wheel carries the application and claims no bare names."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel_content(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    compiled = shutil.ignore_patterns("__pycache__")
    for name in ("render", "recon", "tools", "configs", "assets"):
        shutil.copytree(REPOSITORY / name, source / name, ignore=compiled)
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source)
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
    ]
    subprocess.run([*command, "--wheel-dir", str(folder), str(source)], check=True, capture_output=True)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as archive:
        return archive.namelist()


def test_the_wheel_claims_three_names(wheel_content: list[str]) -> None:
    top = {name.split("/")[0] for name in wheel_content}
    assert {name for name in top if not name.endswith(".dist-info")} == {"render", "recon", "simulacra"}


def test_the_wheel_carries_every_file_of_the_application(wheel_content: list[str]) -> None:
    for package, prefix in (
        ("render", ""),
        ("recon", ""),
        ("tools", "simulacra/"),
        ("configs", "simulacra/"),
    ):
        for file in (REPOSITORY / package).rglob("*"):
            if file.suffix in {".py", ".yaml", ".html", ".css", ".js"}:
                assert prefix + file.relative_to(REPOSITORY).as_posix() in wheel_content
    assert "simulacra/assets/manifest.toml" in wheel_content
