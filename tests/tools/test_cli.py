"""The command line: fast help, clear lines and status 2 for what a person can mend, tracebacks for bugs."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from simulacra.render.runtime.errors import ConfigError, InputError
from simulacra.tools import commands
from simulacra.tools.cli import main, parse, split_overrides


def run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "simulacra.tools.cli", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_help_names_every_command_and_loads_nothing_heavy() -> None:
    program = (
        "import sys\n"
        "from simulacra.tools.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit as end: assert end.code == 0\n"
        "print('heavy:', sorted({'torch', 'numba', 'cv2', 'scipy', 'pydantic'} & set(sys.modules)))\n"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "heavy: []" in found.stdout
    for command in "demo assets warmup import reconstruct evaluate animate export".split():
        assert f"• {command} " in found.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_knows_the_commands(shell: str) -> None:
    found = run("--tyro-print-completion", shell)
    assert found.returncode == 0
    assert "reconstruct" in found.stdout
    assert "depth-scale" in found.stdout


@pytest.mark.parametrize(
    "words",
    [
        ["assets", "no-such-file", "--check"],
        ["import", "rgbd-rig", "no-such-folder", "session", "--depth-scale", "1000"],
        ["import", "qualisys", "no-such-folder", "session"],
        ["import", "caliscope", "no-such-folder", "session"],
        ["reconstruct", "no-such-session", "--out", "run"],
        ["reconstruct", "no-such-session", "--config", "no-such-config", "--out", "run"],
        ["reconstruct", "no-such-session", "--out", "run", "--no.such.key", "3"],
        ["evaluate", "no-such-run"],
        ["animate", "no-such-run", "no-such.bvh", "--out", "clip.mp4"],
        ["export", "no-such-run", "--to", "ply", "--out", "avatar.ply"],
    ],
    ids=lambda words: " ".join(words[:2]) + "-" + words[-1],
)
def test_what_is_not_there_is_said_and_nothing_is_made(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith("error: ")
    assert 2 <= len(said) <= 8
    assert "no" in "\n".join(said)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words", [["imoprt"], ["import", "rgbd-rig", "a"], ["export", "run", "--to", "exe"], []]
)
def test_misuse_is_status_2(words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def version() -> None:
        raise error

    monkeypatch.setattr(commands, "version", version)


def test_an_error_has_its_facts_one_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing(
        monkeypatch,
        InputError("It is torn", where="a.png", expected="9 bytes", found="3", remedy="copy it again"),
    )
    assert main(["version"]) == 2
    assert capsys.readouterr().err == (
        "error: It is torn\n  where: a.png\n  expected: 9 bytes\n  found: 3\n  do: copy it again\n"
    )


def test_a_full_disk_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    failing(monkeypatch, OSError(errno.ENOSPC, "No space left on device", "run/observe.npz"))
    assert main(["version"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: The disk is full\n  where: run/observe.npz\n")


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    for error in (KeyError("ours"), PermissionError(errno.EACCES, "ours")):
        failing(monkeypatch, error)
        with pytest.raises(type(error)):
            main(["version"])


def test_ctrl_c_says_what_is_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing(monkeypatch, KeyboardInterrupt())
    assert main(["version"]) == 130
    assert "same command" in capsys.readouterr().err


def test_the_configurations_options_are_kept_apart_from_the_commands() -> None:
    words = (
        "reconstruct S --splat.steps 500 --config demo --fit.sigma=-3 --seed 4 --out R --print-config".split()
    )
    kept, overrides = split_overrides(words)
    assert kept == "reconstruct S --config demo --out R --print-config".split()
    assert overrides == ("--splat.steps", "500", "--fit.sigma=-3", "--seed", "4")
    assert split_overrides(["evaluate", "R", "--splat.steps", "5"]) == (
        ["evaluate", "R", "--splat.steps", "5"],
        (),
    )


def test_a_misspelt_option_of_the_command_is_not_taken_for_the_configurations() -> None:
    with pytest.raises(ConfigError, match="--config, perhaps"):
        split_overrides(["reconstruct", "S", "--confg", "demo"])


def test_words_become_the_arguments_of_the_function(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[tuple[object, ...]] = []

    def fake(
        session: Path, out: Path, config: str, overrides: tuple[str, ...], *, print_config: bool
    ) -> None:
        called.append((session, out, config, overrides, print_config))

    monkeypatch.setattr("simulacra.tools.reconstruct.run_reconstruct", fake)
    parse("reconstruct S --splat.steps 500 --out R --config demo".split())()
    assert called == [(Path("S"), Path("R"), "demo", ("--splat.steps", "500"), False)]
