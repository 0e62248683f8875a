"""What there is of runs in a folder, each in a line: name, configuration, what differs, scores, and how far it got.

Descriptions are read and no record is, so that hundreds of runs are listed in a second. That records are whole is
checked by those who use them.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from simulacra.recon.evaluate.clusters import WORLD
from simulacra.recon.evaluate.protocol import View
from simulacra.recon.runs.files import read_json
from simulacra.recon.runs.lock import LOCK_FILE
from simulacra.recon.runs.run_folder import RUN_FILE, STAGE_FILE, STAGE_ORDER
from simulacra.render.runtime.errors import RunError, UserError

from ..report.changes import DEFAULTS, changes_of, say_value
from ..report.scores_file import read_scores

COMPLETE = "complete"
# Kinds of avatars that hang on no body; the settings would say so too, but take a second to load.
WITHOUT_BODY = ("depth_splats", "free_splats")
# Deeper than this nobody keeps runs, and a home folder is not to be searched for minutes.
DEEPEST = 4


@dataclass(frozen=True)
class RunSummary:
    """A run in a line.

    Attributes:
        name: of its folder, below the one that was searched.
        state: `complete`, or how far it got, in words.
        config_name: the configuration that was asked for, "" for none.
        base: what the changes are from: that configuration, or the defaults.
        changes: settings that are not as in the base, by dotted name.
        config: all settings, nested, as run.json has them.
        session: where its session is, or was.
        metrics: metrics.json; None where there is none.
        seconds: of all stages together.
    """

    path: Path
    name: str
    state: str
    config_name: str = ""
    base: str = DEFAULTS
    changes: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    session: str = ""
    session_fingerprint: str = ""
    metrics: Mapping[str, Any] | None = None
    seconds: float = 0.0

    @property
    def scores(self) -> dict[str, float]:
        """The mean of every metric that has one."""
        scores = {} if self.metrics is None else self.metrics["scores"]
        return {name: score["mean"] for name, score in scores.items() if score["mean"] is not None}

    @property
    def title(self) -> str:
        """Configuration and what differs, in words."""
        said = ", ".join(f"{name} {say_value(value)}" for name, value in self.changes.items())
        named = self.config_name or DEFAULTS
        if self.base == DEFAULTS and self.config_name:
            return f"{named} ({said})" if said else named
        return f"{named} with {said}" if said else named

    def paid_for(self, metric: str) -> bool:
        """Whether the training paid for a metric, which is then no judge of it."""
        return self.metrics is not None and bool(self.metrics["scores"].get(metric, {}).get("in_loss"))

    def values(self, metric: str) -> dict[View, float]:
        """A metric's number in every view; its camera is "" where a number is of a frame alone."""
        score = {} if self.metrics is None else self.metrics["scores"].get(metric, {})
        return {View(v["camera"] or WORLD, v["frame"]): v["value"] for v in score.get("views", ())}

    def as_json(self) -> dict[str, Any]:
        """For programs; a score is the mean over its views."""
        return {
            "name": self.name,
            "path": str(self.path),
            "state": self.state,
            "config": self.config_name,
            "changes_from": self.base,
            "changes": dict(self.changes),
            "session": self.session,
            "protocol": None if self.metrics is None else self.metrics["protocol"]["name"],
            "seconds": self.seconds,
            "scores": self.scores,
        }


def find_runs(folder: Path) -> list[Path]:
    """The folders of runs in a folder, or the folder itself where it is one, by name.

    Raises:
        RunError: there is no such folder.
    """
    if not folder.is_dir():
        raise RunError("there is no such folder", where=folder, remedy="give one in which runs are")
    return [folder] if (folder / RUN_FILE).is_file() else sorted(_runs_below(folder, DEEPEST))


def _runs_below(folder: Path, depth: int) -> Iterator[Path]:
    try:
        inside = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except PermissionError:
        return
    for path in inside:
        if path.is_dir() and not (path / "session.json").is_file():
            if (path / RUN_FILE).is_file():
                yield path
            elif depth > 1 and not path.is_symlink():
                yield from _runs_below(path, depth - 1)


def summarize(run: Path, above: Path | None = None) -> RunSummary:
    """A run in a line; one that is damaged is a line too, and says so.

    Args:
        run: the folder of a run.
        above: the folder that its name is told from; its own name if None.

    Raises:
        RunError: there is no run.
    """
    name = run.resolve().name if above is None or above == run else run.relative_to(above).as_posix()
    if not (run / RUN_FILE).is_file():
        raise RunError(
            "this is not the folder of a run",
            where=run,
            expected=f"a folder with {RUN_FILE}",
            remedy="give the folder that `simulacra reconstruct` made",
        )
    try:
        described = read_json(run / RUN_FILE)
        scored = run / "evaluate" / "metrics.json"
        metrics = read_scores(scored) if scored.is_file() else None
        config, stages = dict(described.get("config") or {}), dict(described.get("stages") or {})
        config_name = str(described.get("config_name") or "")
        base, changes = changes_of(config_name, config)
        seconds = sum(float(stage["seconds"]) for stage in stages.values())
        state = _state(run, config, stages)
    except (UserError, TypeError, ValueError, KeyError, AttributeError) as error:
        said = error.what if isinstance(error, UserError) else repr(error)[:60]
        return RunSummary(run, name, f"damaged: {said}")
    return RunSummary(
        run,
        name,
        state,
        config_name,
        base,
        changes,
        config,
        str(described.get("session") or ""),
        str(described.get("session_fingerprint") or ""),
        metrics,
        seconds,
    )


def _state(run: Path, config: Mapping[str, Any], stages: Mapping[str, Any]) -> str:
    """Who writes into a run now, or how far it got."""
    writer = _writer(run)
    return f"being written by {writer}" if writer else how_far(run, config, stages)


def how_far(run: Path, config: Mapping[str, Any], stages: Mapping[str, Any]) -> str:
    """How far a run got; by what its stages say of themselves, none of them is opened.

    Args:
        run: its folder.
        config: its settings, nested.
        stages: as run.json describes them.

    Raises:
        RunError: a stage's description is damaged.
    """
    done = [name for name in STAGE_ORDER if (run / name / STAGE_FILE).is_file()]
    # Baselines without a body have no fit and no surface.
    kind = config.get("avatar", {}).get("kind") if config else None
    wanted = [name for name in STAGE_ORDER if kind not in WITHOUT_BODY or name not in ("fit", "refine")]
    missing = [name for name in wanted if name not in done]
    if missing:
        return f"stopped before {missing[0]}" if missing[0] == "preflight" else f"stopped in {missing[0]}"
    for name in wanted:
        if read_json(run / name / STAGE_FILE).get("digest") != stages.get(name, {}).get("digest"):
            return f"stopped in another reconstruction, after {name}"
    return COMPLETE


def _writer(run: Path) -> str:
    """The process of this machine that writes into a run now; nothing where none does."""
    try:
        said = read_json(run / LOCK_FILE)
        if said["host"] == platform.node():
            os.kill(int(said["pid"]), 0)
        return f"process {said['pid']} on {said['host']}"
    except (UserError, OSError, KeyError, TypeError, ValueError):
        return ""
