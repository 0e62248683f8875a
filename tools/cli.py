"""The command line `simulacra`: words in, one function called, errors that say what to do, an exit status.

The commands' types and docstrings make the parser, the help and the completion (tyro). Nothing heavy is
imported before a command runs, so that `--help` and completion answer at once.
"""

from __future__ import annotations

import difflib
import errno
import functools
import inspect
import os
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Union

import tyro

from simulacra.render.runtime.errors import ConfigError, RunError, UserError

from . import commands, import_commands

DESCRIPTION = """From captured people to drivable Gaussian avatars, on any machine.

In the order of use: `assets` fetches outside files, `import` makes a session out of a capture, `check` says
whether it is usable, `reconstruct` makes an avatar and a report out of a session, `evaluate` scores it again,
`animate` moves it, `export` writes it for other programs. `demo` does all of it on a real capture. Beside them:
`calibrate` cameras, `export-session` for other programs, `stage` records virtual captures whose truth is known,
`design` says what a rig would give, `bench` measures this machine. Each has its own --help.

Completion: simulacra --tyro-print-completion bash > ~/.local/share/bash-completion/completions/simulacra
(zsh, fish likewise)."""

Command = Callable[..., None]
# Commands that take options of a configuration.
CONFIGURED: dict[str, Command] = {
    "reconstruct": commands.reconstruct,
    "stage": commands.stage,
    "design": commands.design,
}
USER_ERROR = 2
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. 0: done; 2: something that a person can mend, said on stderr; 130: stopped."""
    # Idle OpenMP threads sleep instead of spinning: a core that others use too is not worth holding for them.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        parse(sys.argv[1:] if arguments is None else arguments)()
    except UserError as error:
        return _say(error)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        return _say(
            RunError("The disk is full", where=error.filename, remedy="make room and run the same again")
        )
    except KeyboardInterrupt:
        sys.stderr.write("\nStopped. What was finished is kept; the same command continues from there.\n")
        return INTERRUPTED
    return 0


def parse(arguments: Sequence[str]) -> Command:
    """The command that the words ask for, ready to be called. Help and misuse end the program here."""
    words, overrides = split_overrides(arguments)
    choices = {
        "demo": _deferred(commands.demo),
        "assets": _deferred(commands.assets),
        "warmup": _deferred(commands.warmup),
        "import": _import,
        "calibrate": _calibrate,
        "check": _deferred(commands.check),
        "reconstruct": _deferred(commands.reconstruct),
        "evaluate": _deferred(commands.evaluate),
        "animate": _deferred(commands.animate),
        "export": _deferred(commands.export),
        "export-session": _deferred(commands.export_session),
        "bench": _bench,
        "stage": _deferred(commands.stage),
        "design": _deferred(commands.design),
        "stage-people": _deferred(commands.stage_people),
        "stage-sensors": _deferred(commands.stage_sensors),
        "version": _deferred(commands.version),
    }
    markers = (tyro.conf.OmitSubcommandPrefixes, tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff)
    command: Command = tyro.cli(
        _one_of(choices), prog="simulacra", description=DESCRIPTION, args=words, config=markers
    )
    return functools.partial(command, overrides=overrides) if overrides else command


def split_overrides(arguments: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    """The words of the command line without, and only, the configuration's options (`--splat.steps 500`).

    The commands that are configured take every option that is not their own as one of the configuration, which is only
    known when the code that it configures is loaded.

    Raises:
        ConfigError: an option that looks like a misspelt one of the command's own.
    """
    words = list(arguments)
    configured = CONFIGURED.get(words[0]) if words else None
    if configured is None:
        return words, ()
    own = ["help"] + [name.replace("_", "-") for name in inspect.signature(configured).parameters]
    kept: list[str] = []
    overrides: list[str] = []
    while words:
        word = words.pop(0)
        name = word.removeprefix("--").partition("=")[0].replace("_", "-")
        if not word.startswith("--") or name in own or name.startswith("tyro-"):
            kept.append(word)
            continue
        near = difflib.get_close_matches(name, own, n=1, cutoff=0.8)
        if near:
            raise ConfigError("There is no such option", found=word, expected=f"--{near[0]}, perhaps")
        overrides.append(word)
        if "=" not in word and words:
            overrides.append(words.pop(0))
    return kept, tuple(overrides)


def _deferred(command: Callable[..., None]) -> Callable[..., Command]:
    """A call for later: tyro is to parse, and errors of the command itself are none of its business."""

    @functools.wraps(command)
    def later(*positional: Any, **named: Any) -> Command:
        return functools.partial(command, *positional, **named)

    return later


def _one_of(choices: dict[str, Callable[..., Command]]) -> Any:
    return Union[  # noqa: UP007 (made of a computed tuple)
        tuple(
            Annotated[Any, tyro.conf.subcommand(name=name, constructor=constructor)]
            for name, constructor in choices.items()
        )
    ]


_layouts = _one_of(
    {
        "rgbd-rig": _deferred(import_commands.import_rgbd_rig),
        "qualisys": _deferred(import_commands.import_qualisys),
        "caliscope": _deferred(import_commands.import_caliscope),
        "truedepth": _deferred(import_commands.import_truedepth),
        "color-depth": _deferred(import_commands.import_color_depth),
        "images": _deferred(import_commands.import_images),
        "opencv-yaml": _deferred(import_commands.import_opencv_yaml),
        "pose2sim": _deferred(import_commands.import_pose2sim),
        "nerfstudio": _deferred(import_commands.import_nerfstudio),
        "metashape": _deferred(import_commands.import_metashape),
        "colmap": _deferred(import_commands.import_colmap),
    }
)


def _import(layout: Annotated[_layouts, tyro.conf.arg(name="")]) -> Command:  # type: ignore[valid-type]
    """Make a session out of a capture: its cameras and frames checked, its conventions turned into ours."""
    return layout


_calibrations = _one_of(
    {
        "board": _deferred(commands.calibrate_board),
        "apply": _deferred(commands.calibrate_apply),
        "rig": _deferred(commands.calibrate_rig),
        "clocks": _deferred(commands.calibrate_clocks),
    }
)


def _calibrate(what: Annotated[_calibrations, tyro.conf.arg(name="")]) -> Command:  # type: ignore[valid-type]
    """Calibrate cameras: by boards, by people, their clocks by motion."""
    return what


_benchmarks = _one_of(
    {
        "splat": _deferred(commands.bench_splat),
        "mesh": _deferred(commands.bench_mesh),
        "train": _deferred(commands.bench_train),
        "drive": _deferred(commands.bench_drive),
    }
)


def _bench(what: Annotated[_benchmarks, tyro.conf.arg(name="")]) -> Command:  # type: ignore[valid-type]
    """Measure this machine: several ways of doing the same in turns in one process, printed as ratios."""
    return what


def _say(error: UserError) -> int:
    sys.stderr.write("\n".join(["error: " + error.lines()[0], *error.lines()[1:]]) + "\n")
    return USER_ERROR


if __name__ == "__main__":
    sys.exit(main())
