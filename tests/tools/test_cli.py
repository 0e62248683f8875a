"""The command line: fast help, clear lines and status 2 for what a person can mend, tracebacks for bugs."""

from __future__ import annotations

import dataclasses
import errno
import functools
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from simulacra.recon.importers.options import ColorDepthOptions, Folders, Intrinsics
from simulacra.recon.pipeline import ReconstructionConfig
from simulacra.recon.runs.changes import flat_values
from simulacra.recon.runs.configuration import config_keys, dump_config, load_config
from simulacra.recon.runs.ranges import interval_of
from simulacra.recon.runs.schema import dataclasses_in
from simulacra.render.runtime.errors import ConfigError, InputError
from simulacra.tools import cli
from simulacra.tools.cli import COMMANDS, FAMILIES, OLD_LAYOUTS, main, parse, split_overrides
from simulacra.tools.commands.configurations import brought_configs
from simulacra.tools.commands.options import CONFIGURED, command_options, documentation
from simulacra.tools.commands.overview import COMMAND_GROUPS
from simulacra.tools.commands.plain_schema import plain_schema
from simulacra.tools.commands.reconstruct import reconstruct
from tests.tools.viewer.serving import write_scored_run

# What takes seconds to load, and what takes a tenth of one.
HEAVY = {"torch", "numba", "scipy", "cv2"}
LIGHTER = {"numpy", "pydantic", "rich", "PIL", "av", "starlette", "uvicorn"}


def run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "simulacra.tools.cli", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["import", "colmap", "--help"],
        ["reconstruct", "--help"],
        ["stage", "-h"],
        ["--tyro-print-completion", "bash"],
    ],
    ids=" ".join,
)
def test_help_names_every_command_and_loads_nothing_heavy(words: list[str]) -> None:
    program = (
        "import sys\n"
        "from simulacra.tools.cli import main\n"
        f"try: main({words})\n"
        "except SystemExit as end: assert not end.code\n"
        f"print('heavy:', sorted({HEAVY | LIGHTER} & set(sys.modules)))\n"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "heavy: []" in found.stdout
    expected = {
        "--help": [f"\n  {name} " for name in (*COMMANDS, *FAMILIES)],
        "import": ["--world-up +x|-x"],
        "reconstruct": ["--fit.iterations"],
        "stage": ["--light-seed"],
    }
    assert all(each in found.stdout for each in expected.get(words[0], ["--run.fit.iterations"]))


def test_the_options_that_help_shows_are_those_of_the_schemas() -> None:
    kept = (Path(cli.__file__).parent / "commands" / "options.json").read_text("utf-8")
    assert kept == documentation(), "python -m simulacra.tools.commands.options writes them anew"


def test_the_main_help_fits_one_screen(capsys: pytest.CaptureFixture[str]) -> None:
    for words, status in ((["--help"], 0), ([], 2)):
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert ended.value.code == status
        lines = capsys.readouterr().out.splitlines()
        assert 24 <= len(lines) <= 42 and max(map(len, lines)) <= 80
    named = [name for group in COMMAND_GROUPS.values() for name in group]
    assert sorted(named) == sorted([*COMMANDS, *FAMILIES])


@pytest.mark.parametrize(
    ("words", "near"),
    [
        ("recontruct S --out R", "reconstruct, perhaps"),
        ("imoprt", "import, perhaps"),
        ("chekc S", "check, perhaps"),
        ("calibrate bord S OUT", "board, perhaps"),
        ("bench splats", "splat, perhaps"),
        ("xyzzy", "demo, assets"),
    ],
)
def test_a_mistyped_command_gets_the_nearest(
    words: str, near: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words.split()) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: There is no such command\n") and f"expected: {near}" in said


@pytest.mark.parametrize("word", ["--version", "-V"])
def test_the_version_is_a_line(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([word]) == 0
    assert re.fullmatch(r"simulacra \d+\.\d+\.\d+\n", capsys.readouterr().out)


@pytest.mark.parametrize("layout", FAMILIES["import"][1]())
def test_help_of_an_import_explains_each_of_its_options(
    layout: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["import", layout, "--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert "SRC SESSION" in said
    assert re.search(r"^[│ ]+--", said, re.M)
    assert not re.search(r"^[│ ]+--[a-z-]+( \S+)?[\s│]+\((default|required)", said, re.M)


@pytest.mark.slow
@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_knows_the_commands_and_the_configurations_options(shell: str) -> None:
    found = run("--tyro-print-completion", shell)
    assert found.returncode == 0
    for word in ("reconstruct", "depth-scale", "--fit.iterations", "--rig.count", "--run.fit.iterations"):
        assert word in found.stdout
    for config in ("studio_rgbd", "baselines/depth_splats", "rgbd_ring", "rgb_or_depth"):
        assert config in found.stdout
    assert found.stderr == ""


def test_help_of_a_configured_command_has_every_value_with_its_default(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for words, option in (
        (
            "reconstruct --help",
            "--fit.iterations INT 1..1000 of the optimiser in each of its rounds. (default: 40)",
        ),
        (
            "reconstruct S -h",
            ".kind gaussians|mesh|neural_texture|depth_splats|free_splats (default: gaussians)",
        ),
        ("stage --help", "--light-seed INT 0..2147483647 where the lamps are. (default: 0)"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(words.split())
        assert ended.value.code == 0
        assert option in " ".join(capsys.readouterr().out.replace("│", "").split())


def test_the_help_of_values_is_of_all_values_that_can_be_given() -> None:
    fields = {key for key, _ in config_keys(ReconstructionConfig)}

    def shown(options: type, prefix: str) -> set[str]:
        found = set()
        for field in dataclasses.fields(options):
            inner = field.default_factory
            name = f"{prefix}{field.name}"
            found |= {name} if inner is dataclasses.MISSING else shown(type(inner()), f"{name}.")
        return found

    # Those in lists have no option of their own: the list is one.
    lists = ("evaluate.references", "avatar.weights.perception.own")
    single = {key for key in fields if not key.startswith(tuple(f"{name}." for name in lists))}
    assert shown(command_options("reconstruct"), "") == single | set(lists)


@pytest.mark.parametrize(
    "words",
    [
        *([name] for name in COMMANDS),
        *([family, name] for family, (_, inner) in FAMILIES.items() for name in inner()),
    ],
    ids=" ".join,
)
def test_no_help_shows_a_default_that_is_none(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([*words, "--help"])
    said = " ".join(capsys.readouterr().out.replace("│", "").split())
    assert "None" not in said and "(default: )" not in said
    if words == ["export"]:
        assert "--to ply|spz|sog|" in said
    if words == ["reconstruct"]:
        # Of the configuration it says all.
        assert "--out PATH the folder for the run. --config" in said and said.count("(default: ") > 100


def test_an_option_of_the_configuration_is_refused_in_our_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "S").mkdir()
    (tmp_path / "S/session.json").write_text("{}")
    words = ["reconstruct", "S", "--out", "R"]
    assert main([*words, "--fit.iteratoins", "3"]) == 2
    assert "'fit.iterations', perhaps" in capsys.readouterr().err
    assert main([*words, "--fit.iterations", "many"]) == 2
    said = capsys.readouterr().err
    assert "'fit.iterations' has a wrong value" in said
    assert "where: --fit.iterations on the command line" in said


def test_an_old_name_is_taken_and_noted(capsys: pytest.CaptureFixture[str]) -> None:
    words = "a b --depth-scale 5 --depth-is aligned".split()
    calls = [parse(["import", name, *words]) for name in ("color-depth", *OLD_LAYOUTS)]
    assert [(call.args, call.func) for call in calls] == [(calls[0].args, calls[0].func)] * 2  # type: ignore[attr-defined]
    assert capsys.readouterr().err.count("is called color-depth now") == 1
    (folder,) = OLD_LAYOUTS
    assert parse(["check", folder]).args == (Path(folder),)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "words",
    [
        ["export", "no-such-run", "--out", "avatar.sog"],
        ["animate", "no-such-run", "walk.bvh", "--out", "clip.gif"],
        ["view", "no-such-run"],
        ["view", "no-such-run", "--port", "65536"],
        ["check", "no-such-session"],
        ["runs", "no-such-folder"],
        ["compare", "no-such-run", "no-such-run"],
        ["evaluate", "no-such-run"],
        ["validate", "no-such.avatar"],
        ["reconstruct", ".", "--out", "run"],
        ["reconstruct", "."],
        ["reconstruct", ".", "--out", "run", "--config", "studio"],
        ["reconstruct", ".", "--out", "run", "--fit.iteration", "3"],
        ["reconstruct", ".", "--out", "run", "--fit.iterations", "0"],
        ["reconstruct", ".", "--out", "run", "--avatar.kind", "meshes"],
        ["sweep", ".", "--out", "runs", "--avatar.steps", "1,b"],
        ["stage", "--out", "session", "--person.sed", "3"],
        ["stage", "--out", "session", "--person.seed", "-1"],
        ["design", "--out", "design", "--config", "no-such-design"],
    ],
    ids=" ".join,
)
def test_a_mistake_is_said_before_anything_heavy_is_loaded(words: list[str], tmp_path: Path) -> None:
    program = (
        "import sys\nfrom simulacra.tools.cli import main\n"
        f"code = main({words!r})\n"
        f"print(code, sorted({HEAVY} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "2 []\n", done.stderr
    assert done.stderr.startswith("error: ")


def test_runs_are_listed_with_nothing_heavy(tmp_path: Path) -> None:
    write_scored_run(tmp_path / "one", {("a", 0): 21.0})
    program = (
        "import sys\nfrom simulacra.tools.cli import main\n"
        f"assert main(['runs', {str(tmp_path)!r}]) == 0\n"
        f"print(sorted({HEAVY} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]" and "one" in done.stdout


@pytest.mark.parametrize("command", ["reconstruct", "stage", "design"])
def test_what_is_checked_at_once_is_what_the_schema_checks(command: str) -> None:
    schema, plain = CONFIGURED[command](), plain_schema(command)
    for name, file in {"": None, **brought_configs()}.items():
        of = name.partition("/")[0] if name.startswith(("stage/", "design/")) else "reconstruct"
        if name and of == command:
            assert named_values(plain, file) == named_values(schema, file), name
    ranges = {n: interval_of(hint) for n, hint in annotated_keys(schema) if interval_of(hint)}
    assert len(ranges) > 20
    assert {n: interval_of(hint) for n, hint in annotated_keys(plain) if interval_of(hint)} == ranges


def named_values(schema: type, file: Path | None) -> dict[str, object]:
    """What a configuration comes to; of lists of records, which the plain schema keeps as they are, how many."""
    found = flat_values(dump_config(load_config(schema, file)))
    return {
        name: len(value) if isinstance(value, list) and value and isinstance(value[0], dict) else value
        for name, value in found.items()
    }


def annotated_keys(cls: type, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names and annotated types of single numbers and texts."""
    for name, hint in get_type_hints(cls, include_extras=True).items():
        branches = dataclasses_in(hint) if "tuple" not in str(hint) else []
        for branch in branches:
            yield from annotated_keys(branch, f"{prefix}{name}.")
        if not branches and "tuple" not in str(hint):
            yield prefix + name, hint


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
    # On a busy machine loading may take so long that it is said.
    said = [line for line in capsys.readouterr().err.splitlines() if "so far" not in line]
    assert said[0].startswith("error: ")
    assert 2 <= len(said) <= 8
    assert "no" in "\n".join(said)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [["import", "rgbd-rig", "a"], ["export", "run", "--to", "exe"], []])
def test_misuse_is_status_2(words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def version() -> None:
        raise error

    monkeypatch.setitem(COMMANDS, "version", version)


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
    assert said.startswith("error: a file cannot be read or written\n  where: run/observe.npz\n")
    assert "No space left on device" in said and "free some space" in said


def test_a_file_that_is_not_allowed_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing(monkeypatch, PermissionError(errno.EACCES, "Permission denied", "session/session.json"))
    assert main(["version"]) == 2
    assert "where: session/session.json\n" in capsys.readouterr().err


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
    assert "Nothing half done is left" in capsys.readouterr().err
    monkeypatch.setattr(cli, "CONTINUED", ("version",))
    assert main(["version"]) == 130
    assert "What was finished is kept" in capsys.readouterr().err


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


def test_words_become_the_arguments_of_the_function() -> None:
    call = parse("reconstruct S --splat.steps 500 --out R --config demo".split())
    assert isinstance(call, functools.partial) and call.func is reconstruct
    assert call.args == (Path("S"),)
    assert call.keywords == {
        "out": Path("R"), "config": "demo", "print_config": False, "log": (), "overrides": ("--splat.steps", "500")
    }  # fmt: skip


def test_options_of_an_import_become_its_record() -> None:
    words = "import color-depth S OUT --depth-scale 1000 --depth-is separate --fx 500 --color rgb"
    (src, session), record = parse(words.split()).args[:2], parse(words.split()).keywords["options"]  # type: ignore[attr-defined]
    assert (src, session) == (Path("S"), Path("OUT"))
    assert isinstance(record, ColorDepthOptions)
    expected = ColorDepthOptions(
        depth_scale=1000.0, depth_is="separate", intrinsics=Intrinsics(fx=500.0), folders=Folders(color="rgb")
    )
    assert dataclasses.asdict(record) == dataclasses.asdict(expected)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("reconstruct S --ouput R", "expected: --out, perhaps"),
        ("reconstruct S --configuration demo --out R", "expected: --config, perhaps"),
        ("export R --out a.plyy", "do: --out a.ply, or another of these endings"),
    ],
)
def test_a_slip_in_an_option_is_said_with_what_was_meant(
    words: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "S").mkdir()
    (tmp_path / "S/session.json").write_text("{}")
    (tmp_path / "R").mkdir()
    assert main(words.split()) == 2
    assert said in capsys.readouterr().err


def test_keys_of_a_configuration_are_no_slips() -> None:
    words = ["stage", "--frames", "3", "--files", "png", "--color.iso", "100", "--out", "S"]
    assert split_overrides(words) == (["stage", "--out", "S"], tuple(words[1:7]))


@pytest.mark.parametrize("words", ["reconstruct S R", "reconstruct S -o R", "check S R"])
def test_a_place_that_is_named_without_its_option_gets_it(
    words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words.split())
    assert ended.value.code == 2
    assert capsys.readouterr().err.endswith("writes where --out says: --out PATH\n")


def test_a_mistyped_option_is_a_matter_of_its_own_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["import", "qualisys", "SRC", "S", "--fpss", "30"])
    said = capsys.readouterr().err
    assert "--fps RATE" in said and "colmap" not in said and "simulacra import qualisys --help" in said
    with pytest.raises(SystemExit):
        main(["check", "S", "--frame", "3"])
    said = capsys.readouterr().err
    assert "--frames" in said and "export-session" not in said and "bench" not in said
    assert "writes where" not in said
