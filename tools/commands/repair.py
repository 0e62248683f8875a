"""`simulacra repair`: what a run holds, without what cannot be used, and the command that makes the rest again."""

from __future__ import annotations

import shlex
from pathlib import Path

from simulacra.render.runtime.errors import ConfigError, RunError

from .arguments import Run


def repair(run: Run, /, dry_run: bool = False) -> None:
    """Say what is in the folder of a run, remove what cannot be used, and say which command makes it again.

    Records that are damaged, or were made of others than those beside them, go, as a reconstruction would not take them
    either; half-written files and what killed processes left go too. Nothing is computed; run.json, config.yaml and the
    report are written again where the rest tells what was in them.

    Args:
        run: the folder that `simulacra reconstruct` made.
        dry_run: say it, and change nothing.
    """
    from simulacra.recon.runs.repair import inspect_run, repair_run

    for part in inspect_run(run) if dry_run else repair_run(run):
        print(f"{part.verdict:10s} {part.path.relative_to(run)}: {part.why}")
    if dry_run:
        print("Nothing was changed: without --dry-run what goes is removed.")
        return
    config = _write_config(run)
    if _write_report(run):
        print("The run is complete. It can be evaluated, animated and exported.")
        return
    option = "" if config is None else f" --config {shlex.quote(str(config))}"
    print(f"Next: simulacra reconstruct {_session(run)}{option} --out {shlex.quote(str(run))}")


def _write_config(run: Path) -> Path | None:
    """The run's config.yaml, written again where it is lost; None where nothing tells what was in it."""
    from simulacra.recon.pipeline import ReconstructionConfig
    from simulacra.recon.runs.configuration import changed_config, format_config, load_config
    from simulacra.recon.runs.files import disk_errors, write_text
    from simulacra.recon.runs.repair import recorded_config

    path = run / "config.yaml"
    try:
        if path.is_file():
            load_config(ReconstructionConfig, path)
            return path
        recorded = recorded_config(run)
        if recorded is None:
            return None
        text = format_config(changed_config(ReconstructionConfig(), recorded, str(run)))
    except ConfigError as error:
        print(f"note: the configuration cannot be told: {error.what}")
        return None
    with disk_errors(run):
        write_text(path, text)
    print("written    config.yaml: as the run's records have it")
    return path


def _write_report(run: Path) -> bool:
    """Writes the report of a complete run; False if it is not complete."""
    from simulacra.recon.evaluate.again import check_complete

    from ..report.write import write_run_report

    try:
        check_complete(run)
    except RunError as error:
        print(f"not complete: {error.what}")
        return False
    print(f"written    {write_run_report(run).name}")
    return True


def _session(run: Path) -> str:
    from simulacra.recon.runs.run_folder import read_run_file

    try:
        named = read_run_file(run).get("session")
    except RunError:
        named = None
    return shlex.quote(named) if isinstance(named, str) else "SESSION"
