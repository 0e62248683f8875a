"""Scores a finished run again: by its own protocol, or on other cameras beside it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from simulacra.recon.avatar.record import load_trained
from simulacra.recon.evaluate.protocol import choose_other
from simulacra.recon.evaluate.reconstruction import evaluate_reconstruction
from simulacra.recon.evaluate.scoring import Evaluation
from simulacra.recon.fit import load_fit
from simulacra.recon.observe import load_observations
from simulacra.recon.pipeline import ReconstructionConfig, protocol_of
from simulacra.recon.runs.configuration import load_config
from simulacra.recon.runs.files import disk_errors, read_json, write_json
from simulacra.recon.runs.stages import RUN_FILE, STAGE_FILE, digest_folder
from simulacra.recon.session import Session, load_session
from simulacra.render.body import load_body
from simulacra.render.runtime.errors import RunError

LOCKED_FOLDER = "evaluate"


def evaluate_run(root: Path, held_out_cameras: Sequence[str] | None = None) -> tuple[Evaluation, Path]:
    """Scores a run again and writes what the evaluation writes, all of it or nothing.

    By the run's own protocol the same numbers come out and take the place of the earlier ones. Other cameras are
    scored beside them, in ``evaluate_CAM_CAM``; those that the run was trained on are marked as seen, and the
    protocol as not locked.

    Returns:
        The evaluation and its folder.

    Raises:
        RunError: not a finished run, its session has changed, or a render has values that are not finite.
        ConfigError: a camera that the session has not.
    """
    session = _session_of(root)
    settings = load_config(ReconstructionConfig, root / "config.yaml")
    protocol = protocol_of(session, settings.views)
    if held_out_cameras:
        protocol = choose_other(protocol, tuple(held_out_cameras), session.has)
    observed = load_observations(root / "observe") if (root / "observe").is_dir() else None
    fit = load_fit(root / "fit") if (root / "fit").is_dir() else None
    name = LOCKED_FOLDER if protocol.locked else "_".join([LOCKED_FOLDER, *(held_out_cameras or ())])
    work = root / f".{name}.again"
    with disk_errors(root):
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        # Into a folder of its own first: an interruption leaves the earlier scores.
        trained = load_trained(root / "avatar")
        made = evaluate_reconstruction(
            work, session, protocol, load_body(), observed, fit, trained, settings.evaluate
        )
        _take_its_place(work, root / name)
    return made, root / name


def _session_of(root: Path) -> Session:
    """The session, which must still be the one that the run was made of."""
    if not (root / RUN_FILE).is_file() or not (root / "avatar" / STAGE_FILE).is_file():
        raise RunError(
            "there is no finished run to evaluate",
            where=root,
            expected=f"{RUN_FILE} and a finished stage avatar",
            remedy="simulacra reconstruct, to the end, and give its --out",
        )
    described = read_json(root / RUN_FILE)
    session = load_session(str(described.get("session")))
    fingerprint = session.fingerprint()
    if fingerprint != described.get("session_fingerprint"):
        raise RunError(
            "the session has changed since the run was made",
            where=session.root,
            expected=f"session {str(described.get('session_fingerprint'))[:12]}",
            found=f"session {fingerprint[:12]}",
            remedy="restore the session, or reconstruct it again",
        )
    return session


def _take_its_place(work: Path, folder: Path) -> None:
    """Puts a finished evaluation where the earlier one was, under that one's description."""
    if (folder / STAGE_FILE).is_file():
        write_json(work / STAGE_FILE, read_json(folder / STAGE_FILE) | {"digest": digest_folder(work)})
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    work.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
