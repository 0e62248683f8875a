"""Is this capture usable? Every check has a code, a measure, a limit, and one line on what to do.

A preflight is quick: it reads the description, and a few frames of each camera, once (`samples`). What is wrong is a
failed check, a file that cannot be read among them, which stops a reconstruction unless its code is to be ignored.

    codes           what each code means, for ever
    record          checks, and the file that holds them
    reading         files, and pictures as they were recorded
    crowd           several people in them
    samples         the frames that are read: what was seen of each camera
    geometry        cameras as they are described
    times           frames and their order
    light           exposure, colors, sharpness
    bodies          landmarks in all cameras, triangulated
    second_look     where these show that a camera's picture was not looked at well
    joint_error     whether the cameras stand where they can measure
    diagnosis       which known mistake, undone, makes them agree
    remedies        which small change of a camera would
    consistency     checks made of these three
    masks           visual hulls
    depths          scale, holes, agreement; registration and depth_pose
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace

from simulacra.recon.preflight.codes import CODES
from simulacra.recon.preflight.consistency import (
    REMEDIES,
    Consistency,
    check_consistency,
    measure_consistency,
)
from simulacra.recon.preflight.depths import check_depths
from simulacra.recon.preflight.free_running import look_longer
from simulacra.recon.preflight.geometry import check_cameras
from simulacra.recon.preflight.joint_error import check_joint_error
from simulacra.recon.preflight.light import check_light
from simulacra.recon.preflight.masks import check_masks
from simulacra.recon.preflight.presence import check_detector, check_moments, check_people, check_presence
from simulacra.recon.preflight.reading import Problems, check_files
from simulacra.recon.preflight.record import (
    Check,
    Preflight,
    PreflightConfig,
    Status,
    load_preflight,
    save_preflight,
)
from simulacra.recon.preflight.samples import PersonDetector, SessionSamples, network_detector, sample_session
from simulacra.recon.preflight.second_look import look_again
from simulacra.recon.preflight.storage import check_sizes, check_storage
from simulacra.recon.preflight.times import check_frames, check_motion
from simulacra.recon.runs.progress import working
from simulacra.recon.session import Session
from simulacra.render.runtime.errors import CaptureError

__all__ = [
    "CODES",
    "Check",
    "Inspection",
    "PersonDetector",
    "Preflight",
    "PreflightConfig",
    "Status",
    "inspect",
    "load_preflight",
    "preflight",
    "save_preflight",
]


# Failed, these say that cameras are not where they are said to be.
PLACES = ("camera-distance", "rotation", "up-axis", "reprojection", "epipolar", "stature", *REMEDIES)


@dataclass(frozen=True)
class Inspection:
    """A preflight and what it was made of, to be shown."""

    record: Preflight
    samples: SessionSamples
    consistency: Consistency | None


def preflight(
    session: Session,
    cameras: Sequence[str] | None = None,
    settings: PreflightConfig | None = None,
    *,
    person: str = "largest",
) -> Preflight:
    """Checks a session.

    Args:
        cameras: those to be checked; all if None. Nothing of the others is read.
        settings: how many frames are read.
        person: whom of several people the checks are about.

    Returns:
        all checks, passed or not; ``raise_on_fail`` stops on failed ones.

    Raises:
        CaptureError: those cameras recorded nothing.
    """
    return inspect(session, cameras, settings, person=person).record


def inspect(
    session: Session,
    cameras: Sequence[str] | None = None,
    settings: PreflightConfig | None = None,
    detector: PersonDetector | None = None,
    person: str = "largest",
) -> Inspection:
    """As `preflight`, with what was seen.

    Args:
        detector: finds persons; the landmark network if None.
        person: whom of several people the checks are about.

    Raises:
        CaptureError: those cameras recorded nothing.
    """
    settings = settings or PreflightConfig()
    used = session if cameras is None else session.with_cameras(cameras)
    if not used.frames:
        raise CaptureError(
            "there is no frame to be used",
            where=session.root,
            expected="a frame of a camera that is not held out",
            found=f"cameras {', '.join(used.camera_names) or 'none'}",
        )
    problems = Problems()
    files = check_files(used, problems)
    detector = detector or network_detector()
    samples = sample_session(
        used,
        problems,
        stills=settings.frames,
        motion=settings.motion_frames,
        detector=detector,
        person=person,
    )
    with working("comparing what the cameras saw"):
        samples = look_again(used, samples, detector, problems) if detector is not None else samples
        found = measure_consistency(used, samples)
        checks = check_frames(used) + check_cameras(used) + check_detector(samples)
        checks += (
            check_people(samples, person)
            + check_presence(used, samples)
            + check_moments(samples)
            + check_motion(samples)
        )
        checks += check_light({c.name: tuple(s.light for s in c.stills) for c in samples.cameras})
        # Of several people it is not said here whose motion a camera follows.
        alone = detector if samples.people is None else None
        longer = functools.partial(look_longer, used, alone, problems) if alone is not None else None
        placed = check_consistency(used, samples, found, longer)
        checks += [_doubt_of_many(check) for check in placed] if samples.several else placed
        # Where the calibration is of another convention or moment it says nothing of where cameras stand.
        if not any(c.status == "fail" and c.code in PLACES for c in checks):
            checks += check_joint_error(used, samples)
        checks += check_masks(used, samples, problems)
        checks += check_depths(used, samples, found, problems)
    # Files come last: the checks before find some of the problems.
    ordered = check_storage(problems, files) + check_sizes(used, problems, samples) + checks
    return Inspection(Preflight(tuple(keep_worst(ordered)), session.notes), samples, found)


def _doubt_of_many(check: Check) -> Check:
    """A failure that one of several people stands for is a doubt: a calibration that is wrong is so for all of them.

    Who is behind whom in a camera is seen there less well than elsewhere; and where nothing of a calibration was right,
    nobody would have been found in several cameras at once.
    """
    if check.status != "fail" or check.code not in PLACES:
        return check
    said = f"{check.evidence}; " if check.evidence else ""
    return replace(check, status="warn", evidence=f"{said}by one of several people alone")


def keep_worst(checks: Sequence[Check]) -> list[Check]:
    """One check a code where two looked at the same thing: the worse one; in the order of the codes."""
    rank = {"pass": 0, "warn": 1, "fail": 2}
    best: dict[str, Check] = {}
    for check in checks:
        if check.code not in best or rank[check.status] > rank[best[check.code].status]:
            best[check.code] = check
    return [best[code] for code in CODES if code in best]
