"""The command line `simulacra`: words in, one function called, errors that say what to do, an exit status.

The commands' types and docstrings make the parser, the help and the completion (tyro). Of a command line only the
command that it names is parsed, and before that command runs nothing is imported but the standard library, tyro,
annotated-types and those modules of ours that need no more. A command imports what it works with when it has looked at
what it was given: help, completion and mistakes are answered at once.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import inspect
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Annotated, Any, Literal, Union, get_type_hints

import tyro

from simulacra.recon.runs.ranges import check_values, interval_of
from simulacra.render.runtime.errors import ConfigError, UserError

from .commands import bench, calibrate, perception
from .commands.analyse import analyse
from .commands.animate import animate
from .commands.arguments import as_option
from .commands.assets import assets
from .commands.batch import batch
from .commands.body import body
from .commands.check import check
from .commands.compare import compare
from .commands.configurations import names_for
from .commands.demo import demo
from .commands.design import design
from .commands.evaluate import evaluate
from .commands.export import export
from .commands.export_session import export_session
from .commands.found_layout import with_found_layout
from .commands.inputs import check_input, input_of
from .commands.options import CONFIGURED, command_options
from .commands.outputs import check_output, is_positional, marked_outputs
from .commands.overview import overview, refuse_unknown
from .commands.reconstruct import reconstruct
from .commands.repair import repair
from .commands.runs import runs_export, runs_list, runs_show, runs_sql, with_list
from .commands.stage import stage, stage_people, stage_sensors
from .commands.sweep import sweep
from .commands.synchronise import synchronise
from .commands.validate import validate
from .commands.version import version, version_line
from .commands.view import view
from .commands.warmup import warmup

Command = Callable[..., None]
Constructor = Callable[..., Command]
COMMANDS: dict[str, Command] = {
    "demo": demo,
    "assets": assets,
    "body": body,
    "warmup": warmup,
    "check": check,
    "reconstruct": reconstruct,
    "evaluate": evaluate,
    "view": view,
    "compare": compare,
    "sweep": sweep,
    "batch": batch,
    "analyse": analyse,
    "animate": animate,
    "export": export,
    "validate": validate,
    "export-session": export_session,
    "synchronise": synchronise,
    "repair": repair,
    "stage": stage,
    "design": design,
    "stage-people": stage_people,
    "stage-sensors": stage_sensors,
    "version": version,
}


def _layouts() -> dict[str, Command]:
    """A command for each layout; their options are many, and imported for `import` alone."""
    from .commands.imports import LAYOUTS

    return LAYOUTS


# Commands with commands of their own, and what they do.
FAMILIES: dict[str, tuple[str, Callable[[], dict[str, Command]]]] = {
    "import": (
        "Make a session out of a capture: its cameras and frames checked, its conventions turned into ours. "
        "`import SRC SESSION` finds out which layout SRC has.",
        _layouts,
    ),
    "calibrate": (
        "Calibrate cameras: by boards, by people, their clocks by motion.",
        lambda: {
            "board": calibrate.calibrate_board,
            "apply": calibrate.calibrate_apply,
            "rig": calibrate.calibrate_rig,
            "clocks": calibrate.calibrate_clocks,
        },
    ),
    "runs": (
        "What runs there are, and what is known of them. `runs DIR` is `runs list DIR`.",
        lambda: {"list": runs_list, "show": runs_show, "sql": runs_sql, "export": runs_export},
    ),
    "perception": (
        "What people see, and which metrics see the same.",
        lambda: {"study": perception.perception_study},
    ),
    "bench": (
        "Measure this machine: several ways of doing the same in turns in one process, printed as ratios.",
        lambda: {
            "splat": bench.bench_splat,
            "mesh": bench.bench_mesh,
            "perception": bench.bench_perception,
            "train": bench.bench_train,
            "drive": bench.bench_drive,
            "length": bench.bench_length,
            "quality": bench.bench_quality,
            "end-to-end": bench.bench_end_to_end,
            "codec": bench.bench_codec,
            "database": bench.bench_database,
            "soak": bench.bench_soak,
        },
    ),
}
# Names that layouts had, which `import` still takes.
OLD_LAYOUTS = {"colour-depth": "color-depth"}
# Those that keep what they finished, and go on from there.
CONTINUED = ("reconstruct", "sweep", "batch", "demo", "design", "bench quality")
# Those that wait for people: that they go on needs no saying.
WAITING = ("view", "perception")
USER_ERROR = 2
INTERRUPTED = 130
TERMINATED = 143


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. 0: done; 2: something that a person can mend, said on stderr; 130 and 143: stopped."""
    # Idle OpenMP threads sleep instead of spinning: a core that others use too is not worth holding for them.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    words = sys.argv[1:] if arguments is None else arguments
    try:
        with _tidy_when_terminated():
            command = parse(words)
            _check_places(command, words)
            from simulacra.recon.runs.progress import working

            with nullcontext() if words[0] in WAITING else working(words[0]):
                command()
    except UserError as error:
        return _say(error)
    except OSError as error:
        from simulacra.recon.runs.files import describe_disk_error, is_machine_error

        if not is_machine_error(error):
            raise
        return _say(describe_disk_error(error))
    except KeyboardInterrupt as stop:
        if words[0] in CONTINUED or " ".join(words[:2]) in CONTINUED:
            left = "What was finished is kept; the same command continues from there."
        else:
            left = "Nothing half done is left; the same command begins again."
        sys.stderr.write(f"\nStopped. {left}\n")
        return TERMINATED if isinstance(stop, Terminated) else INTERRUPTED
    return 0


class Terminated(KeyboardInterrupt):
    """Another program asked this one to end (SIGTERM, or its terminal has gone): as by Ctrl-C, it tidies up first."""


@contextmanager
def _tidy_when_terminated() -> Iterator[None]:
    """Signals that would end the process at once raise `Terminated`; those that are ignored (nohup) stay so."""

    def terminate(number: int, _: object) -> None:
        raise Terminated(signal.Signals(number).name)

    ours = threading.current_thread() is threading.main_thread()
    taken = [s for s in (signal.SIGTERM, signal.SIGHUP) if ours and signal.getsignal(s) is signal.SIG_DFL]
    for each in taken:
        signal.signal(each, terminate)
    try:
        yield
    finally:
        for each in taken:
            signal.signal(each, signal.SIG_DFL)


def parse(arguments: Sequence[str]) -> Command:
    """The command that the words ask for, ready to be called. Help and misuse end the program here."""
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(overview())
        raise SystemExit(0 if arguments else USER_ERROR)
    if arguments[0] in ("-V", "--version"):
        return version_line
    _refuse_mistyped(arguments)
    words, overrides = split_overrides(_with_todays_layout(arguments))
    markers = (tyro.conf.OmitSubcommandPrefixes, tyro.conf.FlagCreatePairsOff)
    command: Command
    if words[0].startswith("-") or any(word.startswith("--tyro-") for word in words):
        choices = {name: _constructor(name, options=True) for name in (*COMMANDS, *FAMILIES)}
        _complete_configs(choices)
        command = tyro.cli(_one_of(choices), prog="simulacra", args=words, config=markers)
    else:
        # The one that is asked for alone: what is wrong with it is not a matter of the others. Options of a
        # configuration are many: only their help and completion need them here.
        name, rest = words[0], words[1:]
        chosen = _constructor(name, options=bool({"-h", "--help"} & set(words)))
        if name in FAMILIES and rest[:1] and rest[0] in (commands := FAMILIES[name][1]()):
            chosen, name, rest = _later(commands[rest[0]]), f"{name} {rest[0]}", rest[1:]
        with _naming_out(words):
            command = tyro.cli(chosen, prog=f"simulacra {name}", args=rest, config=markers)
    _check_ranges(command)
    return functools.partial(command, overrides=overrides) if overrides else command


@contextmanager
def _naming_out(words: Sequence[str]) -> Iterator[None]:
    """Misuse of a command that writes and was not told where, which tyro has said, gets the option that says it."""
    try:
        yield
    except SystemExit as end:
        takes = inspect.signature(COMMANDS[words[0]]).parameters if words[0] in COMMANDS else {}
        given = {word[2:].partition("=")[0].replace("-", "_") for word in words if word.startswith("--")}
        if end.code and "out" in takes and "out" not in given and given <= set(takes):
            sys.stderr.write(f"`simulacra {words[0]}` writes where --out says: --out PATH\n")
        raise


def _refuse_mistyped(words: Sequence[str]) -> None:
    """Refuses a command that there is not, in our own words.

    Raises:
        ConfigError: names the nearest.
    """
    if words[0].startswith("-"):
        return
    refuse_unknown(words[0], [*COMMANDS, *FAMILIES])
    # `import` and `runs` take a folder too, and say themselves what it could be.
    if (
        words[0] in FAMILIES
        and words[0] not in ("import", "runs")
        and words[1:2]
        and not words[1].startswith("-")
    ):
        refuse_unknown(words[1], FAMILIES[words[0]][1](), words[0])


def _constructor(name: str, *, options: bool) -> Constructor:
    """What tyro parses a command by, with every value of its configuration where `options` are asked for."""
    if name in FAMILIES:
        about, commands = FAMILIES[name]
        return _family(about, commands())
    if options and name in CONFIGURED:
        return _with_options(COMMANDS[name], command_options(name))
    return _later(COMMANDS[name])


def _check_ranges(call: Command) -> None:
    """Refuses what is not in the range that the command's signature declares for it.

    Raises:
        ConfigError: names the option, its range and the value.
    """
    if isinstance(call, functools.partial):
        signature = inspect.signature(call.func)
        given = signature.bind(*call.args, **call.keywords).arguments
        hints = get_type_hints(call.func, include_extras=True)
        ranged = {
            name: value
            for name, value in given.items()
            if value != signature.parameters[name].default and interval_of(hints[name])
        }
        if ranged:
            check_values("the command line", hints, ranged)


def _check_places(call: Command, words: Sequence[str]) -> None:
    """Refuses what cannot be written, and what is not there to be read, as the command's signature declares them.

    Raises:
        RunError: names the place, and what is in the way.
        InputError: names what was probably meant.
    """
    if isinstance(call, functools.partial):
        given = inspect.signature(call.func).bind(*call.args, **call.keywords).arguments
        hints = get_type_hints(call.func, include_extras=True)
        for name, mark in marked_outputs(hints).items():
            if given.get(name) is not None:
                option = "" if is_positional(hints[name]) else f"--{name.replace('_', '-')}"
                check_output(given[name], mark.kind, option)
        for name, value in given.items():
            if (read := input_of(hints[name])) is not None:
                for path in value if isinstance(value, tuple) else (value,):
                    if path is not None:
                        check_input(path, read.kind, words)


def _with_todays_layout(arguments: Sequence[str]) -> list[str]:
    words = list(arguments)
    if words[:1] == ["import"] and words[1:2] and words[1] in OLD_LAYOUTS:
        sys.stderr.write(f"note: {words[1]} is called {OLD_LAYOUTS[words[1]]} now\n")
        words[1] = OLD_LAYOUTS[words[1]]
    if words[:1] == ["import"]:
        from .commands.imports import OPTIONS

        return with_found_layout(words, OPTIONS)
    return with_list(words, tuple(FAMILIES["runs"][1]()))


def split_overrides(arguments: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    """The words of the command line without, and only, the configuration's options (`--fit.iterations 20`).

    The commands that are configured take every option that is not their own as one of the configuration, whose
    schema reads it.

    Raises:
        ConfigError: an option that looks like a misspelt one of the command's own.
    """
    words = list(arguments)
    if not words or words[0] not in CONFIGURED:
        return words, ()
    own = ["help"] + [name.replace("_", "-") for name in inspect.signature(COMMANDS[words[0]]).parameters]
    words_of = words[0]
    kept: list[str] = []
    overrides: list[str] = []
    while words:
        word = words.pop(0)
        name = word.removeprefix("--").partition("=")[0].replace("_", "-")
        if not word.startswith("--") or name in own or name.startswith("tyro-"):
            kept.append(word)
            continue
        # A configuration's own keys of one word are few, and none of them is to be taken for a slip.
        single = "." not in name and name not in _single_keys(words_of)
        near = difflib.get_close_matches(name, own, n=1, cutoff=0.6 if single else 0.8)
        if near:
            raise ConfigError("There is no such option", found=word, expected=f"--{near[0]}, perhaps")
        overrides.append(word)
        if "=" not in word and words:
            overrides.append(words.pop(0))
    return kept, tuple(overrides)


def _single_keys(command: str) -> set[str]:
    """The keys of a command's configuration that are in no group."""
    return {field.name.replace("_", "-") for field in dataclasses.fields(command_options(command))}


def _later(command: Command) -> Constructor:
    """A call for later: tyro is to parse, and errors of the command itself are none of its business."""

    @functools.wraps(command)
    def later(*positional: Any, **named: Any) -> Command:
        return functools.partial(command, *positional, **named)

    del later.__wrapped__  # which tyro would look at
    signature = inspect.signature(command)
    later.__signature__ = signature  # type: ignore[attr-defined]
    later.__annotations__ = {
        name: as_option(hint, signature.parameters[name].default) if name in signature.parameters else hint
        for name, hint in get_type_hints(command, include_extras=True).items()
    }
    return later


def _with_options(command: Command, options: type) -> Constructor:
    """The same with every value of a configuration as an option, for help and completion."""
    shown: Any = _later(command)
    signature = inspect.signature(command)
    replaced = {
        **signature.parameters,
        "overrides": signature.parameters["overrides"].replace(default=options()),
    }
    shown.__signature__ = signature.replace(parameters=list(replaced.values()))
    shown.__annotations__ |= {"overrides": Annotated[options, tyro.conf.arg(name="")]}
    return shown


def _complete_configs(choices: Mapping[str, Constructor]) -> None:
    """Names of configurations as the choices of `--config`; only completion may take files for none."""
    for name, constructor in choices.items():
        signature = inspect.signature(constructor)
        if "config" in signature.parameters:
            names = names_for(name if name in ("stage", "design") else "")
            named = signature.parameters["config"].replace(default=names[0])
            parameters = {**signature.parameters, "config": named}
            constructor.__signature__ = signature.replace(parameters=list(parameters.values()))  # type: ignore[attr-defined]
            constructor.__annotations__["config"] = Literal[tuple(names)]


def _family(about: str, commands: dict[str, Command]) -> Constructor:
    """A command that is one of several."""

    def one(which: Any) -> Command:
        return which

    choices = _one_of({name: _later(command) for name, command in commands.items()})
    one.__doc__, one.__annotations__["which"] = about, Annotated[choices, tyro.conf.arg(name="")]
    return one


def _one_of(choices: dict[str, Constructor]) -> Any:
    return Union[  # noqa: UP007 (made of a computed tuple)
        tuple(
            Annotated[Any, tyro.conf.subcommand(name=name, constructor=constructor)]
            for name, constructor in choices.items()
        )
    ]


def _say(error: UserError) -> int:
    sys.stderr.write("\n".join(["error: " + error.lines()[0], *error.lines()[1:]]) + "\n")
    return USER_ERROR


if __name__ == "__main__":
    sys.exit(main())
