"""What a run or a capture holds, from its JSON files alone: quick, and whatever state it is in.

What is missing or damaged is one of the summary's `problems`; the rest is shown.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from simulacra.recon.evaluate.metrics import METRICS, label_of
from simulacra.recon.runs.files import read_json
from simulacra.recon.runs.mapped import map_arrays
from simulacra.recon.runs.run_folder import RUN_FILE, SESSION_FILE, STAGE_FILE, read_run_file
from simulacra.render.runtime.errors import RunError, UserError

from .entries import Entry

METRICS_FILE = "evaluate/metrics.json"
VIEWS_FOLDER = "evaluate/views"
PREFLIGHT_FILE = "preflight.json"
LONGEST_SIDE = 512
# What comes of JSON that is not of the form that it should have.
MISFITS = (TypeError, ValueError, KeyError, AttributeError, IndexError)


@dataclass(frozen=True)
class Summary:
    """What there is to show.

    Attributes:
        stamp: another one as soon as any of the files that this was made of is another.
        session: where the capture lies; None where that is not known or it has gone.
        cameras: of the capture, as its file describes them; only names where it has gone.
        frames: numbers of the session's moments.
        absent: frames that a camera did not record.
        scores: of metrics.json, those of the right form.
        scored: (camera, frame) of the scored views.
        stages: finished ones.
        side: pixels of the longer side at which views were compared.
        checks: of the preflight, as its file has them.
        problems: in words.
    """

    entry: Entry
    stamp: str
    session: Path | None = None
    cameras: tuple[Mapping[str, Any], ...] = ()
    frames: tuple[int, ...] = ()
    absent: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    scores: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    scored: tuple[tuple[str, int], ...] = ()
    stages: tuple[str, ...] = ()
    side: int = LONGEST_SIDE
    checks: tuple[Mapping[str, Any], ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    @property
    def camera_names(self) -> tuple[str, ...]:
        return tuple(str(camera["name"]) for camera in self.cameras)

    def has_view(self, camera: str, frame: int) -> bool:
        """Whether there is such a view."""
        there = camera in self.camera_names and frame in set(self.frames)
        return (there and frame not in self.absent.get(camera, ())) or (camera, frame) in set(self.scored)


def stamp_of(entry: Entry) -> str:
    """What changes when any record of the entry does.

    Raises:
        RunError: it has gone.
    """
    digest = hashlib.sha256()
    names = [RUN_FILE, METRICS_FILE, SESSION_FILE, "preflight/" + PREFLIGHT_FILE]
    files = [entry.path / name for name in names] + sorted(entry.path.glob(f"[!.]*/{STAGE_FILE}"))
    seen = False
    for file in files:
        try:
            found = os.stat(file)
        except OSError:
            continue
        seen = True
        digest.update(f"{file}\0{found.st_mtime_ns}\0{found.st_size}\0{found.st_ino}\n".encode())
    if not seen:
        raise RunError("this is no longer there", where=entry.path, remedy="choose another, or make it again")
    return digest.hexdigest()[:16]


def read_summary(entry: Entry) -> Summary:
    """Reads it.

    Raises:
        RunError: it has gone.
    """
    stamp = stamp_of(entry)
    problems: list[str] = []
    if entry.kind == "session":
        described = _session(entry.path, problems)
        checks = _checks(entry.path.with_name(entry.path.name + ".check"), problems)
        return Summary(entry, stamp, entry.path, **described, checks=checks, problems=tuple(problems))
    run = _described(entry.path, problems)
    session = _session_place(entry.path, run, problems)
    described = _session(session, problems) if session else {"cameras": (), "frames": (), "absent": {}}
    described["cameras"] = _adjusted(entry.path / "fit", described["cameras"])
    metrics = _metrics(entry.path, problems)
    scored = tuple(dict.fromkeys(_scored(metrics)))
    if not described["cameras"]:  # the pictures of the scored views are in the run
        described["cameras"] = tuple({"name": name} for name in dict.fromkeys(c for c, _ in scored))
        described["frames"] = tuple(sorted({frame for _, frame in scored}))
    return Summary(
        entry,
        stamp,
        session,
        **described,
        scores=_scores(metrics),
        scored=scored,
        stages=tuple(sorted(path.parent.name for path in entry.path.glob(f"[!.]*/{STAGE_FILE}"))),
        side=_side(metrics),
        checks=_checks(entry.path / "preflight", problems),
        facts=_facts(run),
        problems=tuple(problems),
    )


def summary_json(summary: Summary) -> dict[str, Any]:
    """For the page: without numbers of single views, which may be many."""
    metrics = {
        name: {
            "label": label_of(name, score),
            "unit": "" if score["unit"] == "1" else score["unit"],
            "better": score["better"],
            "mean": score["mean"],
            "decimals": METRICS[name].decimals if name in METRICS else 3,
            "count": len(score["views"]),
        }
        for name, score in sorted(summary.scores.items(), key=lambda named: _place(named[0]))
        if score["views"]
    }
    pictured = [(camera, frame) for camera, frame in summary.scored if _pictured(summary, camera, frame)]
    return {
        "id": summary.entry.id,
        "name": summary.entry.name,
        "kind": summary.entry.kind,
        "path": str(summary.entry.path),
        "stamp": summary.stamp,
        "session": str(summary.session) if summary.session else None,
        "cameras": list(summary.cameras),
        "frames": list(summary.frames),
        "absent": summary.absent,
        "metrics": metrics,
        "scored": [list(view) for view in summary.scored],
        "pictured": [list(view) for view in pictured],
        "stages": list(summary.stages),
        "checks": list(summary.checks),
        "facts": dict(summary.facts),
        "problems": list(summary.problems),
    }


def _place(metric: str) -> int:
    """Scores in the order of their documentation, others behind."""
    order = list(METRICS)
    return order.index(metric) if metric in order else len(order)


def _pictured(summary: Summary, camera: str, frame: int) -> bool:
    return (summary.entry.path / VIEWS_FOLDER / f"{camera}_{frame:06d}_render.png").is_file()


def _described(root: Path, problems: list[str]) -> dict[str, Any]:
    if not (root / RUN_FILE).is_file():
        problems.append("This run is not complete: there is no run.json yet.")
        return {}
    try:
        run = read_run_file(root)
    except RunError as error:
        problems.append(" ".join(error.lines()))
        return {}
    if "config" not in run:
        problems.append("This run is not complete: a reconstruction is going on, or was stopped.")
    return run


def _session_place(root: Path, run: Mapping[str, Any], problems: list[str]) -> Path | None:
    named = run.get("session")
    if not isinstance(named, str):
        return None
    for place in (Path(named), root / named):
        if (place / SESSION_FILE).is_file():
            return place
    problems.append(f"The capture is no longer at {named}: only pictures that are in the run are shown.")
    return None


def _session(root: Path, problems: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {"cameras": (), "frames": (), "absent": {}}
    try:
        described = read_json(root / SESSION_FILE)
        cameras = tuple(_camera(camera) for camera in described["cameras"])
        frames = tuple(int(frame["index"]) for frame in described["frames"])
        recorded = [set(frame["sources"]) for frame in described["frames"]]
    except (UserError, *MISFITS) as error:
        problems.append(f"The capture's session.json cannot be read: {error!r}"[:300])
        return found
    absent = {
        camera["name"]: tuple(
            f for f, there in zip(frames, recorded, strict=True) if camera["name"] not in there
        )
        for camera in cameras
    }
    return {"cameras": cameras, "frames": frames, "absent": {name: a for name, a in absent.items() if a}}


def _camera(described: Mapping[str, Any]) -> dict[str, Any]:
    matrices = {
        name: [[_finite(value) for value in row] for row in described[name]] for name in ("K", "viewmat")
    }
    sizes = {"width": int(described["width"]), "height": int(described["height"])}
    return {
        "name": str(described["name"]),
        "depth": described.get("depth_scale") is not None,
        **sizes,
        **matrices,
    }


def _adjusted(folder: Path, cameras: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], ...]:
    """The cameras where the fit turned them to: views are scored through these."""
    try:
        viewmats = map_arrays(folder / "fit.npz").get("viewmats")
        names = [str(name) for name in read_json(folder / "fit.json")["cameras"]]
    except (UserError, OSError, *MISFITS):
        return cameras
    if viewmats is None or viewmats.shape != (len(names), 4, 4):
        return cameras
    turned = dict(zip(names, viewmats.tolist(), strict=True))
    return tuple(camera | {"viewmat": turned.get(camera["name"], camera["viewmat"])} for camera in cameras)


def _finite(value: object) -> float:
    number = float(value)  # type: ignore[arg-type]
    if not math.isfinite(number):
        raise ValueError(f"{value} is not a number")
    return number


def _metrics(root: Path, problems: list[str]) -> Mapping[str, Any]:
    if not (root / METRICS_FILE).is_file():
        problems.append("There are no scores: simulacra evaluate RUN makes them.")
        return {}
    try:
        return read_json(root / METRICS_FILE)
    except RunError as error:
        problems.append(" ".join(error.lines()))
        return {}


def _scored(metrics: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    held = metrics.get("held_out")
    views = held.get("views") if isinstance(held, dict) else None
    for view in views if isinstance(views, list) else ():
        try:
            camera, frame = str(view["camera"]), int(view["frame"])
        except MISFITS:
            continue
        if "/" not in camera and "\\" not in camera:
            yield camera, frame


def _scores(metrics: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    scores = metrics.get("scores")
    for name, score in scores.items() if isinstance(scores, dict) else ():
        try:
            views = [(v["camera"], int(v["frame"]), _finite(v["value"])) for v in score["views"]]
            mean = None if score["mean"] is None else _finite(score["mean"])
            found[name] = {
                "views": views,
                "mean": mean,
                "unit": str(score["unit"]),
                "better": str(score["better"]),
                "in_loss": bool(score.get("in_loss", False)),
            }
        except MISFITS:
            continue
    return found


def _side(metrics: Mapping[str, Any]) -> int:
    settings = metrics.get("settings")
    side = settings.get("longest_side") if isinstance(settings, dict) else None
    return side if isinstance(side, int) and 16 <= side <= 8192 else LONGEST_SIDE


def _checks(folder: Path, problems: list[str]) -> tuple[Mapping[str, Any], ...]:
    """Those that did not pass, the failed ones first."""
    if not (folder / PREFLIGHT_FILE).is_file():
        return ()
    keys = ("code", "where", "unit", "limit", "status", "remedy", "evidence")
    try:
        found: list[dict[str, Any]] = [
            {**{key: str(check.get(key, "")) for key in keys}, "measured": float(check["measured"])}
            for check in read_json(folder / PREFLIGHT_FILE)["checks"]
        ]
    except (UserError, *MISFITS) as error:
        problems.append(f"preflight.json cannot be read: {error!r}"[:300])
        return ()
    doubtful = [c for c in found if c["status"] != "pass"]
    for check in doubtful:
        if not math.isfinite(check["measured"]):
            check["measured"] = None
    return tuple(sorted(doubtful, key=lambda c: c["status"] != "fail"))


def _facts(run: Mapping[str, Any]) -> dict[str, str]:
    facts = {"configuration": str(run.get("config_name") or "")}
    protocol = run.get("locked")
    if isinstance(protocol, dict):
        facts["protocol"] = str(protocol.get("statement") or "")
    return {name: said for name, said in facts.items() if said}
