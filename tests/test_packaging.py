"""The wheel carries the application, claims one name, and works away from the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
FOLDERS = ("render", "recon", "tools", "configs", "assets")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    compiled = shutil.ignore_patterns("__pycache__")
    for name in FOLDERS:
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
    return next(folder.glob("*.whl"))


def test_the_wheel_claims_one_name(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        top = {name.split("/")[0] for name in archive.namelist()}
    assert {name for name in top if not name.endswith(".dist-info")} == {"simulacra"}


def test_the_wheel_carries_every_file_of_the_application(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        content = archive.namelist()
    for package in FOLDERS:
        for file in (REPOSITORY / package).rglob("*"):
            if file.suffix in {".py", ".yaml", ".html", ".css", ".js", ".toml", ".npz"}:
                assert "simulacra/" + file.relative_to(REPOSITORY).as_posix() in content


@pytest.fixture(scope="module")
def elsewhere(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel in it, which borrows only what the wheel depends on."""
    folder = tmp_path_factory.mktemp("elsewhere")
    venv.create(folder / "env", with_pip=False)
    site = next((folder / "env").glob("lib/python*/site-packages"))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    borrowed = [sysconfig.get_path("purelib"), *(p for p in sys.path if p.endswith("site-packages"))]
    _share_compiled_kernels(site / "simulacra")
    (site / "borrowed.pth").write_text("\n".join(dict.fromkeys(borrowed)) + "\n")
    return folder


def _share_compiled_kernels(installed: Path) -> None:
    """The checkout's compiled kernels, so that two minutes are not spent on compiling the same sources again."""
    for package in FOLDERS:
        for file in (REPOSITORY / package).rglob("*.py"):
            twin = installed / file.relative_to(REPOSITORY)
            os.utime(twin, ns=(file.stat().st_atime_ns, file.stat().st_mtime_ns))  # Numba compares these
            for kernel in file.parent.glob(f"__pycache__/{file.stem}.*.nb?"):
                (twin.parent / "__pycache__").mkdir(exist_ok=True)
                shutil.copy(kernel, twin.parent / "__pycache__")


def run_there(elsewhere: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    return subprocess.run(
        [str(elsewhere / "env/bin/python"), *words],
        cwd=elsewhere,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_library_and_the_command_work_away_from_the_checkout(elsewhere: Path) -> None:
    """Nothing of the checkout is imported, and a `render.py` in the working folder is in nobody's way."""
    (elsewhere / "render.py").write_text("raise RuntimeError('somebody else's file')\n")
    (elsewhere / "recon.py").write_text("raise RuntimeError('somebody else's file')\n")
    program = (
        "import simulacra.render.gaussians, simulacra.recon.pipeline, simulacra.tools.cli as cli, sys\n"
        "print(simulacra.render.gaussians.__file__)\n"
        "sys.exit(cli.main(['version']))"
    )
    done = run_there(elsewhere, "-c", program)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.splitlines()[0]).is_relative_to(elsewhere)
    asked = run_there(elsewhere, "-m", "simulacra.tools.cli", "--help")
    assert asked.returncode == 0, asked.stderr
    assert "reconstruct" in asked.stdout


def test_a_virtual_capture_is_reconstructed_away_from_the_checkout(elsewhere: Path) -> None:
    """The smoke configuration, on a capture that the installed program made itself."""
    small = "--rig.count 4 --rig.width 224 --rig.height_px 224 --frames 3 --true-pictures false"
    made = run_there(
        elsewhere, "-m", "simulacra.tools.cli", "stage", "--config", "rgbd_ring", "--out", "s", *small.split()
    )
    assert made.returncode == 0, made.stderr
    done = run_there(
        elsewhere, "-m", "simulacra.tools.cli", "reconstruct", "s", "--config", "smoke", "--out", "r"
    )
    assert done.returncode == 0, done.stderr
    assert (elsewhere / "r" / "report.html").is_file()
