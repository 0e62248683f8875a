"""`simulacra batch`: many sessions, on this machine's cores or on a Ray cluster."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from annotated_types import Interval
from tyro.conf import Positional, Suppress, arg

from simulacra.render.runtime.errors import RunError, UserError

from .arguments import Config, check_folder
from .configurations import config_file
from .inputs import Input
from .outputs import OptionalFolder

if TYPE_CHECKING:
    from ..batch.holder import Limits
    from ..batch.tasks import Task

Sessions = Annotated[Positional[Path], arg(metavar="DIR|LIST.txt"), Input("capture")]
Workers = Annotated[int, Interval(ge=0, le=1024)]
Seconds = Annotated[float, Interval(ge=1, le=10_000_000)]
Megabytes = Annotated[float, Interval(ge=100, le=100_000_000)]
Tries = Annotated[int, Interval(ge=1, le=100)]
TasksOfWorker = Annotated[int, Interval(ge=1, le=10_000)]
Cluster = Annotated[str | None, arg(metavar="local|ADDRESS")]


def batch(
    src: Sessions,
    /,
    out: OptionalFolder = None,
    config: Config = None,
    workers: Workers = 0,
    seconds: Seconds = 86_400.0,
    memory_mb: Megabytes = 16_000.0,
    tries: Tries = 4,
    tasks_of_worker: TasksOfWorker = 4,
    ray: Cluster = None,
    database: bool = False,
    json_lines: Annotated[bool, arg(name="json")] = False,
    overrides: Suppress[tuple[str, ...]] = (),
) -> None:
    """Reconstruct many sessions, each into the folder of a run in OUT: `simulacra batch sessions --out runs`.

    Settings with several values (`--avatar.steps 60,120`) give each session a run for each of them. A session that
    cannot be reconstructed stops no other; what may heal (a killed worker, a run that somebody else writes, a disk far
    away) is tried again. A batch that was stopped continues with the same command. OUT/batch.jsonl has all that
    happened, OUT/.logs what each run printed.

    Args:
        src: a folder in which sessions are, or a text file with the path of one in each line.
        out: the folder of all runs.
        config: a YAML file with what differs from the defaults, or the name of one that simulacra brings; for each
            session the one that fits it if not given.
        workers: processes at a time, each on one core; 0 for one a core.
        seconds: one run may take so long at a time.
        memory_mb: its process may take so much memory, MiB.
        tries: at most so many of what may heal.
        tasks_of_worker: after so many runs a process is ended and another begun.
        ray: on a Ray cluster (extra `batch`): one that is begun on this machine, or the address of one.
        database: keep the database of runs in step (extra `database`).
        json_lines: for programs: a JSON object for everything that happens, a line each.
    """
    from simulacra.recon.runs.progress import Progress

    from ..batch.events import EVENTS_FILE, Events
    from ..batch.holder import Limits
    from ..batch.running import Patience, run_tasks
    from ..batch.tasks import find_sessions, plan_tasks

    if out is None:
        raise RunError("A folder for the runs is needed", remedy="say which: --out RUNS")
    check_folder(out, "a batch")
    tasks = plan_tasks(find_sessions(src), _settings(config, overrides), out, config)
    limits = Limits(seconds, memory_mb, tasks_of_worker)
    out.mkdir(parents=True, exist_ok=True)
    with Progress("runs", len(tasks)) as progress:
        say = (lambda line: print(line, flush=True)) if json_lines else None
        events = Events(out / EVENTS_FILE, progress, say=say)
        after = _kept_in_step(out) if database else None
        if ray is None:
            _warm_up(limits)
            count = workers or os.cpu_count() or 1
            run_tasks(tasks, out, events, workers=count, limits=limits, patience=Patience(tries), after=after)
        else:
            from ..batch.on_ray import run_on_ray

            run_on_ray(
                tasks,
                out,
                events,
                address=None if ray == "local" else ray,
                workers=workers,
                limits=limits,
                patience=Patience(tries),
                after=after,
            )
    _conclude(events, len(tasks), out)


def _settings(config: str | None, overrides: tuple[str, ...]) -> dict[str, dict[str, str]]:
    """Options by the name of the setting: all combinations of what has several values.

    Raises:
        ConfigError: an unknown setting or a value that it cannot have.
    """
    from simulacra.recon.runs.configuration import parse_overrides

    from ..comparison.sweep import swept_settings
    from .plain_schema import check_configuration, plain_schema

    options = dict(parse_overrides(overrides))
    if any("," in text or ";" in text for text in options.values()):
        swept = swept_settings(plain_schema("batch"), config_file(config), options)
        return {setting.name: dict(setting.options) for setting in swept}
    check_configuration("batch", config_file(config), overrides)
    return {"": options}


def _warm_up(limits: Limits) -> None:
    """What an installation makes once is made by one process, before several would make it at the same time.

    Raises:
        RunError: it could not be.
    """
    from ..batch.holder import Holder
    from ..batch.reconstruction import WARM_UP
    from ..batch.tasks import Task

    holder = Holder(limits)
    attempt = holder.do(Task(WARM_UP, "", ""))
    holder.close()
    if attempt.error:
        raise RunError(f"a worker cannot be begun: {attempt.error}", found=attempt.details or None)


def _kept_in_step(out: Path) -> Callable[[Task], None]:
    """Reads each finished run into the database; that it cannot be is said and stops nothing."""
    from ..database.store import open_database

    database = open_database(out)

    def read(task: Task) -> None:
        try:
            database.update(only=[out / task.name])
        except UserError as error:
            sys.stderr.write(f"{task.name} is not in the database: {error.what}\n")

    return read


def _conclude(events: object, count: int, out: Path) -> None:
    """What was done and what was not, and what is next.

    Raises:
        RunError: some runs could not be made.
    """
    from ..batch.events import Events

    assert isinstance(events, Events)
    print(f"{events.counts['done']} of {count} runs are made, in {out}", file=sys.stderr)
    if events.failed:
        names = sorted(events.failed)
        few = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        raise RunError(
            f"{len(names)} of {count} runs could not be made",
            where=out / "batch.jsonl",
            found=f"{few}: {events.failed[names[0]].error}",
            remedy="see batch.jsonl and .logs; the same command tries them again and leaves the others as they are",
        )
    print(f"Next: {shlex.join(['simulacra', 'runs', str(out)])}", file=sys.stderr)
