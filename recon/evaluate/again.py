"""Scores a finished run again: by its own protocol, or on other cameras beside it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulacra.recon.avatar.finished import check_body
from simulacra.recon.avatar.record import TrainedResult, load_trained
from simulacra.recon.avatar.settings import losses_used
from simulacra.recon.bodies.opening import body_name_of, open_body
from simulacra.recon.evaluate.protocol import Protocol, choose_other
from simulacra.recon.evaluate.reconstruction import evaluate_reconstruction
from simulacra.recon.evaluate.scoring import EvaluateConfig, Evaluation
from simulacra.recon.fit import BodyFit, load_fit
from simulacra.recon.observe import Observations, load_observations
from simulacra.recon.pipeline import ReconstructionConfig, protocol_of
from simulacra.recon.runs.chain import REMEDY, check_records
from simulacra.recon.runs.configuration import changed_config, dump_config
from simulacra.recon.runs.files import disk_errors, read_json, write_json
from simulacra.recon.runs.lock import write_lock
from simulacra.recon.runs.run_folder import RUN_FILE, STAGE_FILE, check_has_avatar, read_run_file, settle_run
from simulacra.recon.runs.stages import digest_folder
from simulacra.recon.session import Session, load_session
from simulacra.recon.session.fingerprint import SessionWatch
from simulacra.recon.session.truth import evidence_fingerprint
from simulacra.render.body import BodyModel
from simulacra.render.runtime.errors import RunError
from simulacra.render.runtime.whole_files import replace_folder

LOCKED_FOLDER = "evaluate"


@dataclass(frozen=True)
class ScoredRun:
    """A finished run with all that scores it.

    Attributes:
        protocol: its own, or on other cameras.
        watch: whether the session is touched meanwhile.
        stages: what the run's stages say of themselves.
        paid: names of the losses that its training paid for.
    """

    session: Session
    protocol: Protocol
    settings: EvaluateConfig
    body: BodyModel
    observed: Observations | None
    fit: BodyFit | None
    trained: TrainedResult
    watch: SessionWatch
    stages: Mapping[str, dict[str, Any]]
    paid: tuple[str, ...] = ()


def open_scored(root: Path, held_out_cameras: Sequence[str] | None = None) -> ScoredRun:
    """Opens a finished run, its records checked against each other, against the session and against its protocol.

    Args:
        root: the folder of the run.
        held_out_cameras: other cameras than those that the run held out.

    Raises:
        RunError: not a finished run, records that do not belong together or were damaged, or its session has changed.
        ConfigError: a camera that the session has not.
    """
    check_has_avatar(root)
    described = read_run_file(root)
    stages = _check_trained(root, described)
    session, watch = _session_of(described)
    settings = changed_config(ReconstructionConfig(), described["config"], str(root / RUN_FILE))
    protocol = protocol_of(session, settings.views)
    _check_protocol(root, protocol, stages["avatar"]["inputs"])
    if held_out_cameras:
        protocol = choose_other(protocol, tuple(held_out_cameras), session.has)
    observed = load_observations(root / "observe") if "observe" in stages else None
    fit = load_fit(root / "fit") if "fit" in stages else None
    trained, body = load_trained(root / "avatar"), open_body(body_name_of(described))
    check_body(root, body, trained.avatar, fit)
    scored = session, protocol, settings.evaluate, body, observed, fit, trained, watch, stages
    return ScoredRun(*scored, losses_used(settings.avatar))


def evaluate_run(
    root: Path, held_out_cameras: Sequence[str] | None = None, out: Path | None = None
) -> tuple[Evaluation, Path]:
    """Scores a run again and writes what the evaluation writes, all of it or nothing.

    By the run's own protocol the same numbers come out and take the place of the earlier ones. Other cameras are
    scored beside them, in ``evaluate_CAM_CAM``; those that the run was trained on are marked as seen, and the
    protocol as not locked.

    Args:
        root: the folder of the run.
        held_out_cameras: other cameras than those that the run held out.
        out: a folder to write the evaluation into instead of the run, which is only read then.

    Returns:
        The evaluation and its folder.

    Raises:
        RunError: not a finished run, records that do not belong together or were damaged, somebody else writes into it,
            its session has changed, or a render has values that are not finite.
        ConfigError: a camera that the session has not.
    """
    check_has_avatar(root)
    if out is not None and out.resolve().is_relative_to(root.resolve()):
        raise RunError("the scores would lie in the run", where=out, remedy="give an --out outside of it")
    with write_lock(root) if out is None else nullcontext():
        if out is None:
            settle_run(root)
        run = open_scored(root, held_out_cameras)
        evidence = evidence_fingerprint(run.session)
        name = LOCKED_FOLDER if run.protocol.locked else "_".join([LOCKED_FOLDER, *(held_out_cameras or ())])
        folder = (out or root) / name
        with written_again(folder) as work:
            made = evaluate_reconstruction(
                work,
                run.session,
                run.protocol,
                run.body,
                run.observed,
                run.fit,
                run.trained,
                run.settings,
                run.paid,
            )
            if touched := run.watch.touched():
                raise run.watch.error(touched)
            asked = {"protocol": json.dumps(run.protocol.as_json()), "evidence": evidence}
            asked |= {"perception": ",".join(run.settings.view.able())}
            asked |= {name: stage["digest"] for name, stage in run.stages.items()}
            _describe(work, root / name, dump_config(run.settings), asked)
    return made, folder


@contextmanager
def written_again(folder: Path) -> Iterator[Path]:
    """A folder of its own, which takes the place of the earlier one when all is well: an interruption leaves that."""
    work = folder.with_name(f".{folder.name}.again")
    with disk_errors(folder), ExitStack() as otherwise:
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        otherwise.callback(shutil.rmtree, work, ignore_errors=True)
        yield work
        replace_folder(work, folder)


def check_complete(root: Path) -> None:
    """That a run can be evaluated, and has been: every record there, whole, of one run.

    Raises:
        RunError: it is not so; says what is missing.
    """
    check_has_avatar(root)
    described = read_run_file(root)
    _check_trained(root, described)
    check_records(root, {LOCKED_FOLDER, *described["stages"]})


def _check_trained(root: Path, described: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What the avatar and the records under it say of themselves: whole, of one run, and of the one in run.json."""
    stages = check_records(root, ["avatar"])
    stages |= check_records(root, [name for name in ("fit", "observe") if name in stages["avatar"]["inputs"]])
    recorded = described.get("stages")
    for name, stage in stages.items():
        known = recorded.get(name, {}) if isinstance(recorded, dict) else {}
        digest = known.get("digest") if isinstance(known, dict) else None
        if not isinstance(described.get("config"), dict) or digest != stage["digest"]:
            raise RunError(
                f"{RUN_FILE} describes another {name} than the one in this run",
                where=root / RUN_FILE,
                expected=stage["digest"][:12],
                found=str(digest)[:12],
                remedy=f"a later reconstruction was stopped: {REMEDY}",
            )
    return stages


def _check_protocol(root: Path, protocol: Protocol, inputs: Mapping[str, str]) -> None:
    """What was trained decides: the views that the protocol calls training views are those that were."""
    for what, views in (
        ("cameras", protocol.training_cameras),
        ("frames", protocol.frames),
        ("colors", protocol.training_frames),
    ):
        expected = ",".join(map(str, views))
        if inputs.get(what) != expected:
            raise RunError(
                f"the avatar was not trained on the {what} that the run's configuration says",
                where=root / "avatar" / STAGE_FILE,
                expected=expected[:200],
                found=str(inputs.get(what))[:200],
                remedy=REMEDY,
            )


def _session_of(described: Mapping[str, Any]) -> tuple[Session, SessionWatch]:
    """The session, which must still be the one that the run was made of."""
    session = load_session(str(described.get("session")))
    watch = SessionWatch(session)
    fingerprint = session.fingerprint()
    if fingerprint != described.get("session_fingerprint"):
        raise RunError(
            "the session has changed since the run was made",
            where=session.root,
            expected=f"session {str(described.get('session_fingerprint'))[:12]}",
            found=f"session {fingerprint[:12]}",
            remedy="restore the session, or reconstruct it again",
        )
    return session, watch


def _describe(
    work: Path,
    folder: Path,
    config: dict[str, Any],
    asked: Mapping[str, str],
) -> None:
    """Keeps the earlier evaluation's description where that asked for the same: a key is never given other content."""
    if not (folder / STAGE_FILE).is_file():
        return
    earlier = read_json(folder / STAGE_FILE)
    inputs = earlier.get("inputs")
    same = isinstance(inputs, dict) and asked.items() <= inputs.items()
    if same and earlier.get("config") == json.loads(json.dumps(config)):
        write_json(work / STAGE_FILE, earlier | {"digest": digest_folder(work)})
