"""What is known of one run: its settings, versions, session, checks, scores by view and region, tags, times and memory.

Everything is read from the run's own descriptions; no record is opened and nothing is computed, so that the same
folder always gives the same facts. Who writes into a run at the moment is not one of them.
"""

from __future__ import annotations

import datetime
import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulacra.recon.evaluate.metrics import METRICS, REGIONS
from simulacra.recon.evaluate.scores import WORLD
from simulacra.recon.runs.changes import flat_values
from simulacra.recon.runs.files import read_json
from simulacra.recon.runs.run_folder import RUN_FILE, STAGE_FILE, STAGE_ORDER
from simulacra.render.runtime.errors import UserError

from ..comparison.summaries import RunSummary, how_far, summarize
from ..viewer.tags import TAGS_FILE, read_tags

# What a run's facts are read from, beside its stages' descriptions.
SOURCES = (RUN_FILE, "evaluate/metrics.json", "preflight/preflight.json", TAGS_FILE)
# The numbers of one view, in the order in which they are kept: metrics, then PSNR and overlap by region.
SCORES = (*METRICS, *(f"{region}_{kind}" for region in REGIONS for kind in ("psnr", "iou")))


@dataclass(frozen=True)
class ViewScores:
    """The numbers of one view; ``camera`` is "" where a number is of a moment and of no camera.

    Attributes:
        seen_in_training: whether the avatar was trained on it; None of numbers that are of no camera.
        scores: by name in `SCORES`; those that the view has.
    """

    camera: str
    frame: int
    seen_in_training: bool | None
    scores: Mapping[str, float]


@dataclass(frozen=True)
class RunFacts:
    """What is known of one run.

    Attributes:
        run: its name, the path below the folder of all runs.
        facts: rows by table, but for those of views; JSON, without numbers that are not finite.
        views: sorted by camera and frame.
    """

    run: str
    facts: Mapping[str, Any]
    views: tuple[ViewScores, ...]


def signature(folder: Path) -> str:
    """What changes when a run's facts may have: a hash of its sources' sizes, times and inodes.

    Files of a run are replaced and never written into, so that another content is another inode or another time; tags
    are appended to, and grow.
    """
    digest = hashlib.sha256()
    for name in (*SOURCES, *(f"{stage}/{STAGE_FILE}" for stage in STAGE_ORDER)):
        try:
            found = (folder / name).stat()
        except OSError:
            digest.update(b"-\n")
        else:
            digest.update(f"{found.st_size} {found.st_mtime_ns} {found.st_ino}\n".encode())
    return digest.hexdigest()[:32]


def read_facts(folder: Path, above: Path) -> RunFacts:
    """The facts of a run; of a damaged one its name and what is wrong with it.

    Args:
        folder: of the run.
        above: the folder of all runs, which its name is told from.

    Raises:
        RunError: there is no run.
    """
    summary = summarize(folder, above)
    try:
        described = read_json(folder / RUN_FILE)
        about = _about(folder, summary, described)
        facts = {
            "about": about,
            "settings": _settings(summary.config),
            "scores": _scores(summary.metrics),
            "stages": _stages(described),
            "versions": [
                {"package": str(name), "version": str(version)}
                for name, version in sorted((described.get("versions") or {}).items())
            ],
            "checks": _checks(folder),
            "tags": read_tags(folder),
        }
        return RunFacts(summary.name, facts, _views(summary.metrics))
    except (UserError, TypeError, ValueError, KeyError, AttributeError) as error:
        said = summary.state if summary.state.startswith("damaged") else f"damaged: {str(error)[:80]}"
        return RunFacts(summary.name, {"about": {"state": said}}, ())


def _about(folder: Path, summary: RunSummary, described: Mapping[str, Any]) -> dict[str, Any]:
    """The row of the run itself."""
    stages = dict(described.get("stages") or {})
    about = dict(described.get("session_about") or {})
    metrics = summary.metrics or {}
    protocol = metrics.get("protocol", {})
    trained = protocol.get("training_cameras") or ()
    written = datetime.datetime.fromtimestamp((folder / RUN_FILE).stat().st_mtime, datetime.UTC)
    damaged = summary.state.startswith("damaged")
    return {
        "state": summary.state if damaged else how_far(folder, summary.config, stages),
        "config": summary.config_name or None,
        "session": summary.session or None,
        "session_name": Path(summary.session).name or None,
        "session_fingerprint": summary.session_fingerprint or None,
        "subject": _text(about.get("subject")),
        "importer": _text(about.get("importer")),
        "retain_until": _text(about.get("retain_until")),
        "protocol": _text(protocol.get("name")),
        "locked": protocol.get("locked"),
        "training_cameras": len(trained) if metrics else None,
        "training_frames": len(protocol.get("training_frames") or ()) if metrics else None,
        "views": len(metrics["held_out"]["views"]) if metrics else None,
        "device": _text(described.get("device")),
        "backend": _text(described.get("backend")),
        "seed": described.get("seed"),
        "commit": _text(described.get("commit")),
        "simulacra": _text((described.get("versions") or {}).get("simulacra")),
        "written": written.strftime("%Y-%m-%d %H:%M:%S"),
        "seconds": summary.seconds,
        "peak_mb": max((float(stage["peak_mb"]) for stage in stages.values()), default=None),
        **{name: summary.scores.get(name) for name in METRICS},
    }


def _settings(config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every setting by its dotted name: as text, and as a number where it is one."""
    found = []
    for name, value in sorted(flat_values(config).items()):
        number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        found.append({"name": name, "text": _text(value), "number": float(value) if number else None})
    return found


def _scores(metrics: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """A row for each metric that has a mean, with its interval and the version of the metric."""
    found = []
    for name, score in sorted((metrics or {}).get("scores", {}).items()):
        if score["mean"] is not None:
            low, high = score["interval_95"] or (None, None)
            row = {"metric": name, "mean": score["mean"], "deviation": score["std"], "low": low, "high": high}
            found.append(row | {"count": score["count"], "version": score.get("version")})
    return found


def _stages(described: Mapping[str, Any]) -> list[dict[str, Any]]:
    stages = dict(described.get("stages") or {})
    rank = {name: place for place, name in enumerate(STAGE_ORDER)}
    return [
        {"stage": name, "seconds": float(stages[name]["seconds"]), "peak_mb": float(stages[name]["peak_mb"])}
        for name in sorted(stages, key=lambda name: (rank.get(name, len(rank)), name))
    ]


def _checks(folder: Path) -> list[dict[str, Any]]:
    """What the preflight measured; nothing where there was none."""
    path = folder / "preflight" / "preflight.json"
    if not path.is_file():
        return []
    return [
        {
            "code": str(check["code"]),
            "place": str(check["where"]),
            "measured": _finite(check["measured"]),
            "unit": str(check["unit"]),
            "wanted": str(check["limit"]),
            "status": str(check["status"]),
        }
        for check in read_json(path)["checks"]
    ]


def _views(metrics: Mapping[str, Any] | None) -> tuple[ViewScores, ...]:
    """The numbers of every view that has one."""
    if metrics is None:
        return ()
    found: dict[tuple[str, int], dict[str, float]] = {}
    seen = {(v["camera"], v["frame"]): v["seen_in_training"] for v in metrics["held_out"]["views"]}
    for key in seen:
        found[key] = {}
    groups = {name: score["views"] for name, score in metrics["scores"].items() if name in METRICS}
    for region, score in metrics.get("regions", {}).items():
        if region in REGIONS:
            groups[f"{region}_psnr"] = score["views"]
            groups[f"{region}_iou"] = (score.get("mask_iou") or {"views": ()})["views"]
    for name, views in groups.items():
        for view in views:
            found.setdefault((view["camera"] or WORLD, view["frame"]), {})[name] = float(view["value"])
    return tuple(ViewScores(*key, seen.get(key), found[key]) for key in sorted(found))


def _text(value: object) -> str | None:
    """A value in words as JSON would have them; lists with commas, nothing for none."""
    if value is None:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _finite(value: object) -> float | None:
    number = float(value) if isinstance(value, int | float) else math.nan
    return number if math.isfinite(number) else None
