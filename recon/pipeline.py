"""From a session to an avatar and its scores, in order.

    preflight -> observe -> fit -> refine -> avatar -> evaluate

Every stage reads records of earlier ones and writes its own; see recon.runs.stages for how they are kept, skipped and
continued. What is held out is split off first: the training stages are handed a session in which the held-out
cameras do not exist.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, TypeVar

import numpy as np
import torch
from annotated_types import Interval

from simulacra.recon.avatar.placement import Person
from simulacra.recon.avatar.record import TrainedResult, load_trained, trained_on
from simulacra.recon.avatar.settings import AvatarConfig, TrainedConfig, has_body
from simulacra.recon.avatar.train import train_avatar
from simulacra.recon.bodies.opening import body_key, open_body
from simulacra.recon.evaluate.protocol import Protocol, lock_protocol
from simulacra.recon.evaluate.reconstruction import evaluate_reconstruction
from simulacra.recon.evaluate.scoring import EvaluateConfig
from simulacra.recon.fit import BodyFit, FitConfig, fit_body, load_fit, save_fit
from simulacra.recon.fit.certainty import certainty_sentence
from simulacra.recon.fit.disagreement import difference_sentence
from simulacra.recon.fit.seen import one_side_sentence, unseen_sentence
from simulacra.recon.observe import Observations, ObserveConfig, load_observations
from simulacra.recon.observe.presence import name_ranges, rank_moments
from simulacra.recon.people import People, blind_cameras, load_people, observe_person, survey_session
from simulacra.recon.preflight import PreflightConfig, load_preflight, preflight, save_preflight
from simulacra.recon.preflight.networks import describe_networks
from simulacra.recon.refine import RefineConfig, Surface, choose_moment, load_surface, refine, save_surface
from simulacra.recon.runs.configuration import config, dump_config, format_config
from simulacra.recon.runs.files import disk_errors, write_text
from simulacra.recon.runs.lock import write_lock
from simulacra.recon.runs.parts import Parts
from simulacra.recon.runs.progress import working
from simulacra.recon.runs.ranges import Frames
from simulacra.recon.runs.stages import (
    WORK_FILE,
    RunFolder,
    StageResult,
    check_run_place,
    open_run,
    record_begin,
    record_run,
    run_stage,
    settle_run,
)
from simulacra.recon.session import Session, load_session
from simulacra.recon.session.fingerprint import SessionWatch, watched
from simulacra.recon.session.truth import evidence_fingerprint
from simulacra.render.runtime.errors import RunError, UserError

Record = TypeVar("Record")

STAGES = ("preflight", "observe", "fit", "refine", "avatar", "evaluate")
# Those that a baseline without a body has not.
OF_BODY = ("fit", "refine")
# Checks that are nothing to a run which triangulates nothing.
OF_BODIES = ("joint-error", "shared-view")


@config
class ViewsConfig:
    """Which pictures are used, and for what.

    Attributes:
        held_out_cameras: seen by no stage before the evaluation.
        held_out_every: the last of each so many frames is not used for color; 0 for none.
        frame_step: every so many of the session's frames; 1 for all.
        most_frames: of those, at most so many from the start; 0 for all.
    """

    held_out_cameras: tuple[str, ...] = ()
    held_out_every: Frames = 0
    frame_step: Annotated[int, Interval(ge=1, le=10_000_000)] = 1
    most_frames: Frames = 0


@config
class ReconstructionConfig:
    """A reconstruction; one part a stage."""

    views: ViewsConfig = ViewsConfig()
    preflight: PreflightConfig = field(default_factory=PreflightConfig)
    observe: ObserveConfig = field(default_factory=ObserveConfig)
    fit: FitConfig = field(default_factory=FitConfig)
    refine: RefineConfig = field(default_factory=RefineConfig)
    avatar: TrainedConfig = field(default_factory=AvatarConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)


@dataclass(frozen=True)
class Reconstruction:
    """All records of a run.

    Attributes:
        moment: the frame whose depth was fused; None without depth.
    """

    run: RunFolder
    session: Session
    config: ReconstructionConfig
    protocol: Protocol
    observations: Observations | None
    fit: BodyFit | None
    surface: Surface | None
    trained: TrainedResult
    stages: tuple[StageResult, ...]
    moment: int | None


def reconstruct(
    session_path: Path,
    settings: ReconstructionConfig,
    out: Path,
    config_name: str = "",
    *,
    people: People | None = None,
    siblings: tuple[Path, ...] = (),
    parts: Path | None = None,
    prepare: Callable[[], None] | None = None,
) -> Reconstruction:
    """Runs all stages, or those whose inputs changed.

    Args:
        session_path: the folder of the session.
        settings: the resolved configuration.
        out: the folder of the run.
        config_name: what the configuration is called, for run.json and the report.
        people: everybody in view, where that is known already.
        siblings: other runs, whose stages are taken over where they were made of the same.
        parts: the folder in which parts of stages are kept that other settings have in common with these.
        prepare: one-off work of this installation, done when the run is there and nothing is wrong with its place.

    Raises:
        UserError: whatever the session, the configuration or the machine got wrong; earlier results stay.
    """
    session = load_session(session_path)
    protocol = protocol_of(session, settings.views)
    if out.resolve().is_relative_to(session_path.resolve()):
        raise RunError("the run would lie in its session", where=out, remedy="give an --out outside of it")
    watch = SessionWatch(session)
    check_run_place(out)
    with working("reading the session, every byte of it"):
        fingerprint = session.fingerprint()
    run = replace(open_run(out, fingerprint), siblings=siblings, parts=parts)
    with write_lock(run.root):
        settle_run(run.root)
        where = str(session_path.resolve())
        record_begin(run, dump_config(settings), session=where, config_name=config_name)
        if prepare is not None:
            prepare()
        made = run_stages(run, session, settings, protocol, watch, people=people)
        _check_unchanged(made)
        _record(made, session_path, config_name)
    return made


def reconstruct_everybody(
    session_path: Path,
    settings: ReconstructionConfig,
    out: Path,
    config_name: str = "",
    *,
    prepare: Callable[[], None] | None = None,
) -> dict[str, Reconstruction]:
    """One run for each person, in folders by their names.

    Args:
        session_path: the folder of the session.
        settings: the resolved configuration.
        out: the folder of the runs' folders.
        config_name: what the configuration is called.
        prepare: as of `reconstruct`; before anybody is looked for.

    Raises:
        UserError: as `reconstruct`, of the first person who could not be; after all others were tried.
    """
    session = load_session(session_path)
    protocol = protocol_of(session, settings.views)
    seen = session.with_cameras(list(protocol.training_cameras))
    if prepare is not None:
        prepare()
    people = survey_session(seen, "all", list(protocol.frames))
    made: dict[str, Reconstruction] = {}
    failed: UserError | None = None
    for name in people.names if people is not None else ("person1",):
        print(f"{name}: {out / name}", file=sys.stderr, flush=True)
        of_one = replace(settings, observe=replace(settings.observe, person=name))
        try:
            made[name] = reconstruct(session_path, of_one, out / name, config_name, people=people)
        except UserError as error:
            print(f"{name}: {error}", file=sys.stderr, flush=True)
            failed = failed or error
    if failed is not None:
        raise failed
    return made


def _check_unchanged(made: Reconstruction) -> None:
    """Takes back what was computed now where the session is not what it was: nobody knows which one it shows."""
    found = load_session(made.session.root).fingerprint()
    if found == made.run.session_fingerprint:
        return
    for stage in made.stages:
        if not stage.skipped:
            shutil.rmtree(made.run.stage(stage.name))
    raise RunError(
        "the session was changed while it was reconstructed",
        where=made.session.root,
        expected=f"session {made.run.session_fingerprint[:12]}",
        found=f"session {found[:12]}",
        remedy="leave it as it is and run again; what was computed from it this time has been removed",
    )


def _record(made: Reconstruction, session_path: Path, config_name: str) -> None:
    """Writes config.yaml and run.json: last, so that they never describe what is not there.

    What was begun for other settings and stopped goes: here every stage is done.
    """
    run, session, settings = made.run, made.session, made.config
    facts = {"session": str(session_path.resolve()), "seed": settings.avatar.seed}
    facts |= trained_on(run.root / "avatar")
    facts |= {"frames_without_person": _frames_without_person(made.observations, made.fit)}
    facts |= {} if made.moment is None else {"fused_frame": made.moment}
    facts |= _who_and_what(run, made.observations, made.fit)
    with disk_errors(run.root):
        write_text(run.root / "config.yaml", format_config(settings))
    record_run(run, dump_config(settings), list(made.stages), **facts, session_about=dict(session.about),
               session_notes=list(session.notes), locked=made.protocol.as_json(), config_name=config_name)  # fmt: skip
    with disk_errors(run.root):
        for work in run.root.glob(".*.work"):
            shutil.rmtree(work)


def protocol_of(session: Session, views: ViewsConfig) -> Protocol:
    """What the run may see and what judges it."""
    frames = session.frame_indices[:: views.frame_step]
    frames = frames[: views.most_frames] if views.most_frames else frames
    return lock_protocol(
        session.camera_names, frames, views.held_out_cameras, views.held_out_every, has=session.has
    )


def run_stages(
    run: RunFolder,
    session: Session,
    settings: ReconstructionConfig,
    protocol: Protocol,
    watch: SessionWatch | None = None,
    log: StageLog | None = None,
    people: People | None = None,
) -> Reconstruction:
    """The story: each stage reads the records above it. A stage whose session is touched meanwhile is not kept.

    Args:
        log: what runs the stages; all, one after the other, if None.
        people: everybody in view; they are looked for if None.
    """
    seen = session.with_cameras(protocol.training_cameras)
    cameras, frames = list(protocol.training_cameras), list(protocol.frames)
    key = {
        "session": run.session_fingerprint,
        "cameras": ",".join(cameras),
        "frames": ",".join(map(str, frames)),
    }
    log = log or StageLog(run, watch)
    log.total = len(STAGES) if has_body(settings.avatar) else len(STAGES) - len(OF_BODY)
    person = settings.observe.person

    def check(folder: Path) -> None:
        save_preflight(folder, preflight(seen, cameras, settings.preflight, person=person))

    def observe_it(folder: Path) -> None:
        observe_person(seen, settings.observe, folder, frames=frames, people=people)

    able = key | {"networks": describe_networks()} | ({} if person == "largest" else {"person": person})
    checked = log.run("preflight", 6, settings.preflight, able, check, load_preflight)
    bodiless = () if has_body(settings.avatar) else OF_BODIES
    checked.raise_on_fail((*settings.preflight.ignore, *bodiless))
    observed = log.run("observe", 4, settings.observe, key, observe_it, load_observations)
    body_name = settings.fit.body if has_body(settings.avatar) else "anny"
    body = open_body(body_name)
    fit = surface = None

    def fit_it(folder: Path) -> None:
        save_fit(fit_body(seen, observed, settings.fit, cameras, body=body), folder)

    def fuse_it(folder: Path) -> None:
        fused = None
        if moment is not None:
            assert fit is not None
            with torch.no_grad():
                verts = body.pose(body.rest(fit.shape), fit.pose_of(moment)).verts[0]
            fused = refine(
                placed, moment, cameras, observed.mask, settings.refine, fit.floor_m, (body, verts)
            )
        save_surface(folder, fused)

    placed = seen
    if has_body(settings.avatar):
        fit = log.run(
            "fit", 7, settings.fit, key | body_key(body_name) | log.digests("observe"), fit_it, load_fit
        )
        placed = fit.adjusted(seen)
        moment = best_moment(placed, protocol, observed, fit)
        before = key | log.digests("observe", "fit") | {"moment": str(moment)}
        surface = log.run("refine", 4, settings.refine, before, fuse_it, load_surface)
    else:
        moment = best_moment(placed, protocol, observed, None)
    if absent := _frames_without_person(observed, fit):
        print(f"the person is not to be seen in frames {absent}", file=sys.stderr, flush=True)

    def train(folder: Path) -> None:
        person = Person(body, fit.shape, fit.pose_of, fit.seen) if fit else None
        parts = None if run.parts is None else Parts(run.parts, before)
        seen_by = observed.mask, colored, cameras
        train_avatar(folder, placed, person, surface, *seen_by, settings.avatar, parts=parts)

    colors = {"colors": ",".join(map(str, protocol.training_frames))}
    # Without a body one moment is all that can be trained on.
    colored = protocol.training_frames
    if fit is None and moment is not None:
        colored, colors = (moment,), colors | {"moment": str(moment)}
    before = key | colors | log.digests("observe", "fit", "refine")
    trained = log.run("avatar", 5, settings.avatar, before, train, load_trained)

    def score(folder: Path) -> None:
        evaluate_reconstruction(folder, session, protocol, body, observed, fit, trained, settings.evaluate)

    judged = {"protocol": json.dumps(protocol.as_json()), "evidence": evidence_fingerprint(session)}
    before = key | judged | log.digests("avatar", "fit", "observe")
    log.run("evaluate", 4, settings.evaluate, before, score, lambda _: None)
    stages = tuple(log.results)
    return Reconstruction(run, session, settings, protocol, observed, fit, surface, trained, stages, moment)


def best_moment(
    session: Session, protocol: Protocol, observed: Observations, fit: BodyFit | None
) -> int | None:
    """The frame that is fused: of those whose colors may be used, the first that shows the person as well as usual."""
    views = observed.views_with_person(protocol.training_cameras) if fit is None else fit.views
    rows = np.isin(observed.frames, protocol.training_frames)
    ranked = observed.frames[rows][rank_moments(views[rows])].tolist()
    return choose_moment(session, ranked, protocol.training_cameras, observed.mask)


def _frames_without_person(observed: Observations | None, fit: BodyFit | None) -> str:
    """In words; with a fit those in which the person could not be measured."""
    if fit is not None:
        return name_ranges(fit.frames.tolist(), ~fit.held)
    if observed is None:
        return ""
    return name_ranges(observed.frames.tolist(), observed.views_with_person(observed.cameras) == 0)


def _who_and_what(run: RunFolder, observed: Observations | None, fit: BodyFit | None) -> dict[str, object]:
    """Who is in view, which cameras saw nobody, and what no camera saw; only what there is to say."""
    people = load_people(run.stage("observe"))
    said: dict[str, object] = {}
    if people is not None and len(people) > 1:
        said["people"] = {"looked_at": people.names[people.chosen], "found": list(people.describe())}
        said["people_doubts"] = list(people.doubts)
    said["cameras_without_person"] = [] if observed is None else list(blind_cameras(observed))
    summary = {} if fit is None else fit.summary
    said["scale"] = summary.get("scale", {}).get("said", "")
    said["never_seen"] = unseen_sentence(summary.get("never_seen", ()))
    said["landmarks_alone"] = difference_sentence(summary.get("landmarks_alone_m", {}))
    said["joints_sure"] = certainty_sentence(summary.get("joint_sd_mm", {}))
    if fit is not None and len(fit.cameras) == 1 and "seen_share" in summary:
        said["one_side"] = one_side_sentence(summary["seen_share"])
    return {key: value for key, value in said.items() if value}


class StageLog:
    """Runs stages one after the other and remembers what each gave, for the next one's key and for run.json."""

    def __init__(self, run: RunFolder, watch: SessionWatch | None = None) -> None:
        self.run_folder, self.watch = run, watch
        self.total: int | None = None
        self.results: list[StageResult] = []

    def run(self, name, version, settings, inputs, compute, load):
        """One stage; a line says how long it took and how much memory."""
        described = dump_config(settings)

        def compute_watched(work: Path) -> None:
            with watched(self.watch, work, keep=WORK_FILE):
                compute(work)

        place = "" if self.total is None else f" (stage {len(self.results) + 1} of {self.total})"
        with working(f"{name}{place}"):
            record, result = run_stage(
                self.run_folder,
                name,
                version=version,
                config=described,
                inputs=inputs,
                compute=compute_watched,
                load=load,
            )
        self.results.append(result)
        how = "unchanged" if result.skipped else f"{result.seconds:6.1f} s  {result.peak_mb:6.0f} MiB"
        print(f"{name:10s} {how}", file=sys.stderr, flush=True)
        return record

    def digests(self, *names: str) -> dict[str, str]:
        """What the named stages gave; those that this run does not have are left out."""
        return {result.name: result.digest for result in self.results if result.name in names}
