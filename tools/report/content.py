"""What a report says, as records, and reading them from a run's folder.

`read_run` reads exactly these files; what is absent is absent in the report too, and named there:

    config.yaml                  the resolved configuration
    run.json                     config_name, stages (seconds, peak_mb, skipped), versions, commit, machine, session (a
                                 path; session_about and session_notes stand in for it when it has gone), fused_frame,
                                 frames_without_person, cameras_without_person, people, people_doubts, never_seen,
                                 landmarks_alone, joints_sure, scale, one_side, fit_doubts
    preflight/preflight.json     checks: code, where, measured, unit, limit, status, remedy
    evaluate/metrics.json        protocol, held_out, scores, references, settings, versions
    evaluate/views/*.png         CAMERA_FRAME_photo.png, ..._render.png, ..._difference.png
    evaluate/turntable/*.png     one turn, in order of name
    evaluate/overlay/CAMERA.png  the fitted body over each camera's picture
    avatar/losses.npz            step, and one array for each loss
    avatar/training.json         seen_share, faults
    tags.jsonl                   what people said of views: camera, frame, tag, severity, note; a line a tag
    SESSION/session.json         of the session that run.json names: notes, and subject, consent, retention
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from simulacra.recon.preflight import load_preflight
from simulacra.recon.preflight.record import PREFLIGHT_FILE
from simulacra.recon.preflight.verdict import Verdict, as_sentence, fault_of
from simulacra.recon.runs.chain import check_records, finished_stages
from simulacra.recon.runs.files import read_json
from simulacra.recon.runs.records import record_errors
from simulacra.recon.runs.run_folder import STAGE_ORDER
from simulacra.render.runtime.errors import RunError

from ..viewer.tags import chosen_tags
from .avatar_notes import avatar_notes
from .changes import changes_of, say_value
from .charts import Curve
from .curves import read_losses
from .scores_file import read_scores
from .verdict import judge_run

# What session.json may say, under `about`, of the person in it.
PEOPLE = ("subject", "consent", "retain_until", "derived_from")


@dataclass(frozen=True)
class Note:
    """Something that a reader should know, in sentences.

    Attributes:
        level: "error", "warning" or "info".
        title: what it is, "" where the text says it all.
        do: what to do about it.
    """

    level: str
    text: str
    title: str = ""
    do: str = ""


@dataclass(frozen=True)
class ComparedPictures:
    """Photo, render and difference of a scored view, and its own numbers by metric."""

    camera: str
    frame: int
    photo: Path
    render: Path
    difference: Path
    seen_in_training: bool
    values: Mapping[str, float]


@dataclass(frozen=True)
class Beside:
    """Another result's number for a metric, to print beside ours.

    `comparable` is whether it was scored on the same views; None where that is unknown (a published number).
    """

    metric: str
    value: float
    source: str
    comparable: bool | None = None


@dataclass(frozen=True)
class ViewTag:
    """What a person said of a view; `severity` is 1 to 3, the camera None where it is of the frame."""

    camera: str | None
    frame: int
    tag: str
    severity: int
    note: str


@dataclass(frozen=True)
class StageCost:
    """What a stage took. `skipped`: an earlier result was taken."""

    name: str
    seconds: float
    peak_mb: float
    skipped: bool


@dataclass(frozen=True)
class ReportContent:
    """All of a report. Pictures are paths, read when the page is written.

    Attributes:
        title: the run's name.
        config_name: the configuration that was asked for.
        session: the capture's name.
        changes: settings that are not as in that configuration, or the defaults where none was named; as text.
        verdict: whether it can be used; None where nobody judged it.
        fit_doubts: what the fit found wrong with its evidence; among the notes too.
        metrics: metrics.json as it is; None where the run was not evaluated.
        beside: other results' numbers.
        people: what the session says of the person and of consent, as it says it.
        facts: commit, machine and so on, as short lines.
    """

    title: str
    config_name: str
    session: str = ""
    changes: Mapping[str, str] = field(default_factory=dict)
    verdict: Verdict | None = None
    fit_doubts: tuple[str, ...] = ()
    metrics: Mapping[str, Any] | None = None
    beside: tuple[Beside, ...] = ()
    views: tuple[ComparedPictures, ...] = ()
    turntable: tuple[Path, ...] = ()
    overlays: tuple[tuple[str, Path], ...] = ()
    stages: tuple[StageCost, ...] = ()
    losses: tuple[Curve, ...] = ()
    notes: tuple[Note, ...] = ()
    tags: tuple[ViewTag, ...] = ()
    people: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)
    config_text: str = ""


def read_run(
    run: Path, evaluation: str = "evaluate", beside: Sequence[Path] = (), scores: Path | None = None
) -> ReportContent:
    """Collects a report from a run's folder (the files are listed above).

    Args:
        evaluation: which of the run's evaluations: the locked one, or one on other cameras.
        beside: folders of other runs (a baseline) whose scores are printed beside this one's.
        scores: the folder that the evaluation lies in; the run's own if None.

    Raises:
        RunError: not the folder of a run, or records that are damaged or do not belong together.
    """
    if not (run / "run.json").is_file():
        raise RunError(
            "this is not the folder of a run",
            where=run,
            expected="a folder with run.json",
            remedy="give the folder that `simulacra reconstruct` made",
        )
    described = read_json(run / "run.json")
    check_records(run, finished_stages(run))
    with record_errors(run):
        return _collect(run, described, (scores or run) / evaluation, beside)


def _collect(run: Path, described: Mapping[str, Any], folder: Path, beside: Sequence[Path]) -> ReportContent:
    session = _session(described, run)
    metrics = read_scores(folder / "metrics.json") if (folder / "metrics.json").is_file() else None
    return ReportContent(
        title=run.resolve().name,
        config_name=str(described.get("config_name", "")),
        session=str(session.get("name") or ""),
        changes=_changes(described),
        verdict=judge_run(run, described, metrics),
        fit_doubts=tuple(map(str, described.get("fit_doubts", ()))),
        metrics=metrics,
        beside=_beside(metrics, beside),
        views=_views(folder / "views", metrics),
        turntable=tuple(sorted((folder / "turntable").glob("*.png"))),
        overlays=tuple((path.stem, path) for path in sorted((folder / "overlay").glob("*.png"))),
        stages=_stages(described),
        losses=_losses(run / "avatar" / "losses.npz"),
        notes=(
            *_checks(run / "preflight"),
            *_moments(described),
            *avatar_notes(run / "avatar"),
            *session.get("notes", ()),
        ),
        tags=_tags(run),
        people=_people(session),
        facts=_facts(described),
        config_text=(run / "config.yaml").read_text("utf-8") if (run / "config.yaml").is_file() else "",
    )


def _session(described: Mapping[str, Any], run: Path) -> Mapping[str, Any]:
    """`name`, `notes` and `about` of the run's session, as run.json has them where it has been moved away."""
    named = described.get("session")
    if not isinstance(named, str):
        return {}
    for root in (Path(named), run / named):
        if (root / "session.json").is_file():
            found = read_json(root / "session.json")
            notes = [Note("info", as_sentence(text)) for text in found.get("notes", ())]
            return {"name": _session_name(root), "about": found.get("about"), "notes": notes}
    notes = [Note("info", as_sentence(text)) for text in described.get("session_notes", ())]
    gone = Note("warning", f"The session is no longer at {named}.")
    return {
        "name": _session_name(Path(named)),
        "about": described.get("session_about"),
        "notes": [*notes, gone],
    }


def _session_name(root: Path) -> str:
    """The session's folder, or the one around it where the folder is only called `session`."""
    root = root.resolve()
    return root.parent.name if root.name == "session" else root.name


def _beside(metrics: Mapping[str, Any] | None, runs: Sequence[Path]) -> tuple[Beside, ...]:
    if metrics is None:
        return ()
    given = [Beside(r["metric"], float(r["value"]), r["source"]) for r in metrics.get("references", ())]
    given += [
        Beside(name, float(score["with_poses_of_the_fit"]), "this run in the fit's own poses", True)
        for name, score in metrics["scores"].items()
        if score.get("with_poses_of_the_fit") is not None
    ]
    for run in runs:
        other = read_scores(run / "evaluate" / "metrics.json")
        same = other["held_out"]["views"] == metrics["held_out"]["views"]
        source = run.resolve().name + ("" if same else " (other views: not comparable)")
        given += [
            Beside(name, float(score["mean"]), source, same)
            for name, score in other["scores"].items()
            if score["mean"] is not None
        ]
    return tuple(given)


def _views(folder: Path, metrics: Mapping[str, Any] | None) -> tuple[ComparedPictures, ...]:
    if metrics is None:
        return ()
    numbers: dict[tuple[str, int], dict[str, float]] = {}
    for name, score in metrics["scores"].items():
        for view in score["views"]:
            numbers.setdefault((view["camera"], view["frame"]), {})[name] = view["value"]
    found = []
    for view in metrics["held_out"]["views"]:
        stem = f"{view['camera']}_{view['frame']:06d}"
        paths = [folder / f"{stem}_{kind}.png" for kind in ("photo", "render", "difference")]
        if all(path.is_file() for path in paths):
            values = numbers.get((view["camera"], view["frame"]), {})
            found.append(
                ComparedPictures(
                    camera=view["camera"],
                    frame=view["frame"],
                    photo=paths[0],
                    render=paths[1],
                    difference=paths[2],
                    seen_in_training=view["seen_in_training"],
                    values=values,
                )
            )
    return tuple(found)


def _stages(described: Mapping[str, Any]) -> tuple[StageCost, ...]:
    stages = described.get("stages", {})
    known = [name for name in STAGE_ORDER if name in stages]
    order = known + sorted(set(stages) - set(known))
    return tuple(
        StageCost(
            name,
            float(stages[name]["seconds"]),
            float(stages[name]["peak_mb"]),
            bool(stages[name]["skipped"]),
        )
        for name in order
    )


def _changes(described: Mapping[str, Any]) -> dict[str, str]:
    """What of the run's configuration is its own."""
    config = described.get("config")
    if not isinstance(config, dict):
        return {}
    _, changes = changes_of(str(described.get("config_name") or ""), config)
    return {name: say_value(value) for name, value in changes.items()}


def _tags(run: Path) -> tuple[ViewTag, ...]:
    """What people said of views, the most severe first."""
    return tuple(
        ViewTag(tag["camera"], tag["frame"], tag["tag"], tag["severity"], tag["note"])
        for tag in chosen_tags([("", run)])
    )


def _losses(path: Path) -> tuple[Curve, ...]:
    return read_losses(path) if path.is_file() else ()


def _checks(folder: Path) -> tuple[Note, ...]:
    """What preflight found wrong or doubtful, worst first, and how many checks were passed."""
    if not (folder / PREFLIGHT_FILE).is_file():
        return ()
    checks = load_preflight(folder).checks
    notes = []
    for status, level in (("fail", "error"), ("warn", "warning")):
        for check in (check for check in checks if check.status == status):
            measured = as_sentence(f"measured {check.measure()}, wanted {check.limit} ({check.code})")
            title = as_sentence(fault_of(check))
            notes.append(Note(level, measured, title, as_sentence(check.remedy)))
    passed = sum(check.status == "pass" for check in checks)
    return (*notes, Note("info", f"Preflight: {passed} of {len(checks)} checks passed."))


def _moments(described: Mapping[str, Any]) -> tuple[Note, ...]:
    """Who was found, what of the person was not to be seen and when, and the moment whose depth was fused."""
    notes = []
    if absent := described.get("frames_without_person"):
        said = "the poses there are what lies between the frames around"
        notes.append(Note("warning", f"The person could not be measured in frames {absent}: {said}."))
    for camera in described.get("cameras_without_person", ()):
        notes.append(Note("warning", f"Camera {camera}: the networks see nobody; it gives no landmarks."))
    if scale := described.get("scale"):
        notes.append(Note("warning" if "not known" in scale else "info", str(scale)))
    if one_side := described.get("one_side"):
        notes.append(Note("warning", str(one_side)))
    if never_seen := described.get("never_seen"):
        notes.append(Note("warning", str(never_seen)))
    notes += [Note("warning", str(doubt)) for doubt in described.get("fit_doubts", ())]
    if alone := described.get("landmarks_alone"):
        notes.append(Note("warning", str(alone)))
    if sure := described.get("joints_sure"):
        notes.append(Note("info", str(sure)))
    if people := described.get("people"):
        found = f"{len(people['found'])} people were found, {people['looked_at']} is the one shown"
        notes.append(Note("info", f"{found}: {'; '.join(people['found'])}."))
    notes += [Note("warning", f"{doubt}.") for doubt in described.get("people_doubts", ())]
    if (fused := described.get("fused_frame")) is not None:
        notes.append(
            Note("info", f"The depth of frame {fused} was fused, the first that shows the person as usual.")
        )
    return tuple(notes)


def _people(session: Mapping[str, Any]) -> dict[str, str]:
    """The session's own words on whom it shows and what was agreed; nothing is made up."""
    if not session:
        return {}
    about = session.get("about") or {}
    return dict(pair for key in PEOPLE for pair in _flat(key, about.get(key)))


def _flat(name: str, value: object) -> list[tuple[str, str]]:
    if isinstance(value, Mapping):
        return [pair for key, inner in value.items() for pair in _flat(f"{name}: {key}", inner)]
    return [] if value is None or value == "" else [(name, str(value))]


def _facts(described: Mapping[str, Any]) -> dict[str, str]:
    facts = {}
    if described.get("commit"):
        facts["commit"] = str(described["commit"])[:12]
    for key in ("machine", "versions"):
        for name, value in (described.get(key) or {}).items():
            facts[str(name)] = str(value)
    return facts
