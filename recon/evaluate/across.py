"""`cross-session`: the avatar of one session in the poses and cameras of another session of the same person.

The rule for poses: they are what the other session's own run fitted, in its training cameras alone and to its
keypoints, masks and depth; no color, and nothing of the avatar, has a part in them, and nothing is aligned. The avatar
keeps the shape that it was trained with. Views that the other run held out judge: of cameras that its fit did not see
where it held out any. So an error of either fit counts, as it does for whoever uses an avatar.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from simulacra.recon.bodies.opening import body_name_of
from simulacra.recon.evaluate.again import ScoredRun, open_scored, written_again
from simulacra.recon.evaluate.protocol import Across
from simulacra.recon.evaluate.reconstruction import evaluate_reconstruction
from simulacra.recon.evaluate.scoring import Evaluation
from simulacra.recon.runs.lock import write_lock
from simulacra.recon.runs.run_folder import read_run_file
from simulacra.render.runtime.errors import RunError

ACROSS_FOLDER = "evaluate_across"


def evaluate_across(
    root: Path, other: Path, out: Path | None = None, *, same_person: bool = False
) -> tuple[Evaluation, Path]:
    """Scores a run's avatar on the scored views of another session's run, into ``evaluate_across_OTHER``.

    Args:
        root: the folder of the run whose avatar it is.
        other: the folder of a run of the other session, with a body.
        out: a folder to write the evaluation into instead of the run, which is only read then.
        same_person: the user says that it is one person, where the sessions do not.

    Returns:
        The evaluation and its folder.

    Raises:
        RunError: not finished runs with a body, of one session, of different bodies or people, or of people that
            nothing says are one; a session has changed; somebody else writes into the run.
    """
    ours, theirs = open_scored(root), open_scored(other)
    person = check_pair(root, other, ours, theirs, same_person)
    avatar = ours.stages["avatar"]["digest"]
    protocol = replace(theirs.protocol, across=Across(ours.session.root.name, avatar, person))
    folder = (out or root) / f"{ACROSS_FOLDER}_{other.resolve().name}"
    with write_lock(root) if out is None else nullcontext(), written_again(folder) as work:
        made = evaluate_reconstruction(
            work,
            theirs.session,
            protocol,
            ours.body,
            theirs.observed,
            theirs.fit,
            ours.trained,
            ours.settings,
        )
        for run in (ours, theirs):
            if touched := run.watch.touched():
                raise run.watch.error(touched)
    return made, folder


def check_pair(root: Path, other: Path, ours: ScoredRun, theirs: ScoredRun, same_person: bool) -> str | None:
    """That the two belong together; who both sessions say they are of, None where only the user says so."""
    where = f"{root} and {other}"
    if ours.trained.avatar is None or theirs.fit is None:
        raise RunError(
            "a result without a body has no poses to be drawn in",
            where=root if ours.trained.avatar is None else other,
            remedy="use runs with a body, not those of `baselines/depth_splats`",
        )
    described = [read_run_file(path) for path in (root, other)]
    if described[0]["session_fingerprint"] == described[1]["session_fingerprint"]:
        raise RunError(
            "both runs are of one session",
            where=where,
            expected="a run of another session of the same person",
            remedy="`simulacra compare` is for runs of one session",
        )
    bodies = [body_name_of(each) for each in described]
    if bodies[0] != bodies[1]:
        raise RunError(
            "the poses are of another body model than the avatar",
            where=where,
            expected=bodies[0],
            found=bodies[1],
            remedy="reconstruct one again with the other's `fit.body`",
        )
    subjects = [each.session.about.get("subject") for each in (ours, theirs)]
    if subjects[0] is not None and subjects[1] is not None and subjects[0] != subjects[1]:
        raise RunError(
            "the sessions are of different people",
            where=where,
            expected=str(subjects[0]),
            found=str(subjects[1]),
            remedy="cross-session scores are of one person",
        )
    if subjects[0] is not None and subjects[0] == subjects[1]:
        return str(subjects[0])
    if not same_person:
        raise RunError(
            "nothing says that the sessions are of one person",
            where=where,
            found=f"subject {subjects[0]} and {subjects[1]}",
            remedy="say so with --same-person, or name the `subject` in both session.json before reconstructing",
        )
    return None
