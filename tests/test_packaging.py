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


# Of every program of the environment, children too. What is caught by somebody is written down all the same.
NO_NETWORK = """
import os, sys
from pathlib import Path

def forbid(event, words):
    named = event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.sendto")
    if named or event == "socket.connect" and not isinstance(words[1], (str, bytes)):  # a path: of this machine
        with open(Path(sys.prefix, "network.log"), "a") as log:
            log.write(f"{event} {words[:2]}\\n")
        raise OSError("no network in this test")

sys.addaudithook(forbid)
"""


# A distribution of its own.
APART = REPOSITORY / "tools" / "nerfstudio"


def files_of(package: str, pattern: str) -> list[Path]:
    """The files of a folder that are the application's."""
    return [path for path in (REPOSITORY / package).rglob(pattern) if APART not in path.parents]


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


def test_uninstalling_leaves_nothing(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "env", with_pip=False)
    python = tmp_path / "env" / "bin" / "python"
    site = Path(sysconfig.get_path("purelib", "venv", {"base": str(tmp_path / "env")}))
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--quiet"]
    subprocess.run([*pip, "install", "--no-deps", "--no-index", str(wheel)], check=True, capture_output=True)
    # Python's own compiled files, as a first run makes them.
    subprocess.run(
        [python, "-m", "compileall", "-q", site / "simulacra" / "render" / "camera.py"], check=True
    )
    assert (site / "simulacra").is_dir()
    subprocess.run([*pip, "uninstall", "--yes", "simulacra"], check=True, capture_output=True)
    assert list(site.iterdir()) == []
    assert not (tmp_path / "env" / "bin" / "simulacra").exists()


def test_the_wheel_carries_every_file_of_the_application(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        content = archive.namelist()
    for package in FOLDERS:
        for file in files_of(package, "*"):
            if file.suffix in {".py", ".yaml", ".html", ".css", ".js", ".json", ".toml", ".npz"}:
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
    (site / "sitecustomize.py").write_text(NO_NETWORK)
    (site / "borrowed.pth").write_text("\n".join(dict.fromkeys(borrowed)) + "\n")
    return folder


def _share_compiled_kernels(installed: Path) -> None:
    """The checkout's compiled kernels, so that two minutes are not spent on compiling the same sources again."""
    for package in FOLDERS:
        for file in files_of(package, "*.py"):
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
    """The smoke configuration, on a capture that the installed program made itself, and all without a network."""
    small = "--rig.count 4 --rig.width 224 --rig.height_px 224 --frames 3 --true-pictures false"
    log = elsewhere / "env/network.log"
    log.unlink(missing_ok=True)
    for words in (
        f"stage --config rgbd_ring --out s {small}",
        "check s --out c",
        "reconstruct s --config smoke --out r",
        "evaluate r",
        "export r --to ply --out a.ply",
    ):
        done = run_there(elsewhere, "-m", "simulacra.tools.cli", *words.split())
        # A check that fails is an answer too: the capture is small.
        assert done.returncode == 0 or (words.startswith("check") and "failed" in done.stdout), done.stderr
    assert (elsewhere / "r" / "report.html").is_file() and (elsewhere / "a.ply").is_file()
    assert not log.exists(), log.read_text()


@pytest.mark.parametrize(
    "program",
    [
        "import socket; socket.create_connection(('127.0.0.1', 9))",
        "import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b'', ('127.0.0.1', 9))",
        "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import urllib.request as u;"
        ' u.urlopen("http://127.0.0.1:9")\'], check=True)',
    ],
)
def test_a_connection_would_be_seen(elsewhere: Path, program: str) -> None:
    log = elsewhere / "env/network.log"
    log.unlink(missing_ok=True)
    done = run_there(elsewhere, "-c", program)
    assert done.returncode != 0 and "no network in this test" in done.stderr
    assert "127.0.0.1" in log.read_text()
