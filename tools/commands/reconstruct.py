"""`simulacra reconstruct`: finds and reads the configuration, and hands it to the pipeline."""

from __future__ import annotations

import functools
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Suppress, arg

from simulacra.recon.runs.run_folder import SESSION_FILE, check_is_session
from simulacra.render.runtime.errors import ConfigError, RunError

from .arguments import Config, Session, check_folder
from .configurations import config_file, config_name
from .next_steps import name_commands, naming_commands
from .outputs import OptionalFolder
from .warmup import warm_up

if TYPE_CHECKING:
    from simulacra.recon.pipeline import ReconstructionConfig

    from .proposal import Proposal

LogTo = Annotated[
    tuple[Literal["tensorboard", "trackio", "wandb"], ...], arg(metavar="PROGRAM [PROGRAM ...]")
]


def reconstruct(
    session: Session,
    /,
    out: OptionalFolder = None,
    config: Config = None,
    print_config: bool = False,
    log: LogTo = (),
    overrides: Suppress[tuple[str, ...]] = (),
) -> None:
    """Make an avatar, its scores and a report out of a session.

    Every value of the configuration can be given as an option with its dotted name, over the file:
    `simulacra reconstruct SESSION --config studio_rgbd --out RUN --avatar.steps 500`. All of them, with what
    they come to: --print-config. A stopped run continues with the same command; what has not changed is not
    done again.

    Args:
        session: the folder that `simulacra import` made.
        out: the folder for the run.
        config: a YAML file with what differs from the defaults, or the name of one that simulacra brings; the one that
            fits the session if not given, which is said with what it holds out.
        print_config: print the whole configuration as YAML and stop.
        log: tell losses and scores to these programs too, which are extras of those names.
    """
    from .plain_schema import check_configuration

    # What is wrong with names and options is said before anything heavy is loaded.
    check_configuration("reconstruct", config_file(config), overrides)
    if not print_config:
        out = _place_of_run(out)
        check_is_session(session)
    from simulacra.recon.runs.progress import working

    with working("loading the libraries"):
        from simulacra.recon.avatar.settings import has_body
        from simulacra.recon.runs.configuration import format_config, load_config

        reconstruction_schema()

    resolved = load_config(reconstruction_schema(), config_file(config), overrides)
    if config is None and (session / SESSION_FILE).is_file():
        config, resolved = _propose(session, overrides, body=has_body(resolved.avatar))
    elif not print_config:
        _say_held_out(session, resolved)
    if print_config or out is None:
        sys.stdout.write(format_config(resolved))
        return
    _run(session, resolved, out, config, log)


def _run(session: Path, resolved: ReconstructionConfig, out: Path, config: str | None, log: LogTo) -> None:
    from simulacra.recon.pipeline import reconstruct as run
    from simulacra.recon.pipeline import reconstruct_everybody
    from simulacra.recon.runs.configuration import dump_config

    from ..loggers import logging_run

    # With a line that says what is compiled, where somebody would otherwise wait in the middle.
    prepare = functools.partial(warm_up, quiet=True)
    folders = [out]
    if resolved.observe.person == "all":
        if log:
            raise ConfigError(
                "runs of several people are not logged", remedy="one after the other: observe.person NAME"
            )
        with naming_commands(session):
            made = reconstruct_everybody(session, resolved, out, config_name(config), prepare=prepare)
        folders = [out / name for name in made]
    else:
        with naming_commands(session), logging_run(log, out, dump_config(resolved)):
            run(session, resolved, out, config_name(config), prepare=prepare)
    _conclude(folders, session)


def _conclude(folders: Sequence[Path], session: Path) -> None:
    """Writes the reports, and says what they say first, where they are and what is next."""
    from ..report.content import read_run
    from ..report.write import write_run_report

    for folder in folders:
        report = write_run_report(folder).resolve()
        content = read_run(folder)
        if content.verdict:
            print(f"{content.verdict.sentence} {name_commands(content.verdict.do, session)}".strip())
        for doubt in content.fit_doubts:
            print(f"The fit doubts: {doubt}")
        print(f"report: {report}\nto see it, open it in a browser: {report.as_uri()}")
    print(f"Next: {shlex.join(['simulacra', 'view', *map(str, folders)])}")


def _place_of_run(out: Path | None) -> Path:
    """Where the run goes, where one can; said before the seconds that the libraries take to load.

    Raises:
        RunError: no folder is named, or no run can be there.
    """
    from simulacra.recon.runs.run_folder import check_run_place

    if out is None:
        raise RunError("A folder for the run is needed", remedy="say which: --out RUN")
    check_folder(out, "a run")
    check_run_place(out)
    return out


def _say_held_out(session: Session, settings: ReconstructionConfig) -> None:
    from simulacra.recon.pipeline import protocol_of
    from simulacra.recon.session import load_session

    from .proposal import held_out

    sys.stderr.write(f"held out: {held_out(protocol_of(load_session(session), settings.views))}\n")


def _propose(session: Session, overrides: Sequence[str], *, body: bool) -> tuple[str, ReconstructionConfig]:
    """The name of the configuration that fits the session, and what it comes to; says so on stderr."""
    from simulacra.recon.runs.configuration import load_config, parse_overrides

    proposal = propose(session, overrides, body=body)
    values = proposal.options | parse_overrides(overrides)
    return proposal.config, load_config(reconstruction_schema(), config_file(proposal.config), values)


def propose(session: Session, overrides: Sequence[str], *, body: bool = True) -> Proposal:
    """The configuration that fits the session; says so on stderr, with what it holds out under the options given."""
    from simulacra.recon.pipeline import protocol_of
    from simulacra.recon.runs.configuration import load_config, parse_overrides
    from simulacra.recon.session import load_session

    from .proposal import propose_config, say_proposal

    captured = load_session(session)
    proposal = propose_config(captured, body=body)
    values = proposal.options | parse_overrides(overrides)
    resolved = load_config(reconstruction_schema(), config_file(proposal.config), values)
    sys.stderr.write(say_proposal(proposal, protocol_of(captured, resolved.views), session))
    return proposal


def reconstruction_schema() -> type[ReconstructionConfig]:
    """The configuration that the command takes options of."""
    from simulacra.recon.pipeline import ReconstructionConfig

    return ReconstructionConfig
