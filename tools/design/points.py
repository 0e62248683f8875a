"""One point of a design: a virtual capture, its reconstruction, and the errors that only a virtual one can know.

A point's result is kept under the hash of everything that went into it, so that a design that grows costs only what is
new, and a stopped one goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from simulacra.recon.pipeline import ReconstructionConfig, reconstruct
from simulacra.recon.preflight import CODES, load_preflight
from simulacra.recon.runs.configuration import changed_config, dump_config
from simulacra.recon.runs.files import read_json, write_json
from simulacra.recon.runs.run_facts import source_commit
from simulacra.render.runtime.errors import RunError, UserError

from ..virtual.capture import record_session
from ..virtual.config import VirtualCaptureConfig
from .config import DesignConfig, Sweep, Variant

# Raised when the meaning of a result changes: older ones are measured again.
SCHEMA = 1


@dataclass(frozen=True)
class Point:
    """One virtual capture to be made and reconstructed.

    Attributes:
        variant: name of the rig.
        sweep: key of what is varied, None for the rig as it is.
        value: what it is set to.
    """

    variant: str
    sweep: str | None
    value: float | int | str | None
    repeat: int
    stage: VirtualCaptureConfig
    run: ReconstructionConfig

    @property
    def key(self) -> str:
        """Hash of all that decides the result."""
        described = {"schema": SCHEMA, "stage": dump_config(self.stage), "run": dump_config(self.run)}
        return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:24]


@dataclass(frozen=True)
class Result:
    """What a point gave.

    Attributes:
        means: by metric; those that could not be computed are not in it.
        found: codes of the preflight's failed checks, with the cameras.
        failed: why there is no result, or None.
        commit: of the code that measured it, where that is known.
    """

    point: Point
    means: Mapping[str, float]
    found: tuple[str, ...]
    seconds: float
    failed: str | None = None
    commit: str | None = None


def points_of(settings: DesignConfig) -> Iterator[Point]:
    """All points, each rig's own first.

    Raises:
        ConfigError: a variant or a sweep names a key that is not there, or a value that cannot be.
    """
    for variant in settings.variants:
        yield from _repeat_point(settings, variant, None, None)
        for sweep in settings.sweeps:
            for value in sweep.values:
                yield from _repeat_point(settings, variant, sweep, value)


def _repeat_point(
    settings: DesignConfig, variant: Variant, sweep: Sweep | None, value: float | int | str | None
) -> Iterator[Point]:
    where = f"variant {variant.name}"
    stage = changed_config(settings.stage, variant.stage, where)
    run = changed_config(settings.run, variant.run, where)
    if sweep is not None:
        stage = changed_config(stage, {sweep.option: value}, f"{where}, sweep {sweep.name}")
    for repeat in range(settings.repeats):
        own = replace(
            stage,
            seed=stage.seed + repeat,
            light_seed=stage.light_seed + repeat,
            person=replace(stage.person, seed=stage.person.seed + repeat),
        )
        judges = tuple(f"judge{k}" for k in range(own.rig.judges))
        seen = replace(
            run,
            views=replace(run.views, held_out_cameras=judges or run.views.held_out_cameras),
            # What the checks find is kept; a design wants to know what becomes of it.
            preflight=replace(run.preflight, ignore=tuple(CODES)),
        )
        yield Point(variant.name, None if sweep is None else sweep.option, value, repeat, own, seen)


def measure(point: Point, cache: Path, again: bool = False) -> Result:
    """The point's result: kept from before, or by making the capture and reconstructing it.

    Args:
        cache: folder of kept results.
        again: measure even if there is one.
    """
    kept = cache / f"{point.key}.json"
    if kept.is_file() and not again:
        try:
            return _read_result(point, kept)
        except RunError:
            pass  # damaged: measured again
    cache.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".point.", dir=cache))
    try:
        described = _run_point(point, work)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    write_json(kept, described)
    return _read_result(point, kept)


def _run_point(point: Point, work: Path) -> dict[str, Any]:
    described: dict[str, Any] = {
        "schema": SCHEMA,
        "commit": source_commit(),
        "stage": dump_config(point.stage),
        "run": dump_config(point.run),
        "means": {},
        "found": [],
        "seconds": 0.0,
        "failed": None,
    }
    try:
        record_session(point.stage, work / "session")
        made = reconstruct(work / "session", point.run, work / "run")
    except UserError as error:
        return described | {"failed": "; ".join(line.strip() for line in error.lines())}
    scores = read_json(work / "run" / "evaluate" / "metrics.json")["scores"]
    checks = load_preflight(work / "run" / "preflight")
    return described | {
        "means": {name: score["mean"] for name, score in scores.items() if score["mean"] is not None},
        "found": [f"{check.code} {check.where}".strip() for check in checks.failed()],
        "seconds": sum(stage.seconds for stage in made.stages),
    }


def _read_result(point: Point, path: Path) -> Result:
    kept = read_json(path)
    try:
        means = {str(name): float(value) for name, value in kept["means"].items()}
        return Result(
            point, means, tuple(kept["found"]), float(kept["seconds"]), kept["failed"], kept["commit"]
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunError("a kept result cannot be read", where=path, found=error) from error
