"""Checks of the cameras against the body that they see: do they put it at one place, and if not, which and why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from simulacra.recon.multiview.up import UpVote, lean_of
from simulacra.recon.preflight.bodies import (
    SEGMENTS,
    BodyAgreement,
    PersonViews,
    measure_agreement,
    pair_errors,
    stack_views,
    stature,
    upright_axis,
)
from simulacra.recon.preflight.diagnosis import SOUND, WRONG, Diagnosis, cost, diagnose, sees_enough
from simulacra.recon.preflight.free_running import SYNCHRONISE, check_time_offset, ends_searched
from simulacra.recon.preflight.record import Check, Status, check_values
from simulacra.recon.preflight.remedies import Remedy, best_remedies
from simulacra.recon.preflight.samples import SessionSamples
from simulacra.recon.session import Session

# A person who stands or sits; children included, metres.
SHORTEST, TALLEST = 0.4, 2.6
# A turn is reported if it removes so much of the disagreement of parts of the body that it was not found from, and at
# least so much of the body's height: a third of what detectors err by.
MIN_GAIN, MIN_CHANGE = 0.25, 0.004
# Part of the disagreement of all cameras together that turning one must remove.
TOGETHER = 0.05
# Degrees from which a camera is doubtful, and from which it cannot be used: half a degree is the width of a wrist at
# four metres, three degrees that of a head.
TURN_WARNS, TURN_FAILS = 0.5, 3.0
MOST_FRAMES = 20
# How far a person who stands or sits leans, degrees, and how seldom one stands on the head.
_PERSON_ERROR, _PERSON_DOUBT = 12.0, 0.003
# Landmarks that pairs must share to tell a camera's error from a detector's: a head and shoulders have five, and a
# profile puts them elsewhere than a face from the front does.
BODY = 8


@dataclass(frozen=True)
class Consistency:
    """What the checks are made of; kept for the page.

    Attributes:
        stills: agreement on the stills.
        motion: agreement on frames spread over the consecutive ones.
        pairs: epipolar errors of pairs of cameras, share of the body's height.
        diagnoses: mistakes that explain what the cameras disagree in.
        turns: cameras that a small turn makes agree; not looked for where there is a diagnosis.
    """

    stills: BodyAgreement
    motion: BodyAgreement
    pairs: Float[np.ndarray, "c c"]
    diagnoses: tuple[Diagnosis, ...]
    turns: dict[str, Remedy]


def measure_consistency(session: Session, samples: SessionSamples) -> Consistency | None:
    """Triangulates what was seen; None where no body was seen in two cameras."""
    everything = stack_views(session, samples)
    seen = (everything.weight > 0).any((0, 2)).sum() if len(everything.frames) else 0
    if len(session.cameras) < 2 or seen < 2:
        return None
    stills = measure_agreement(everything.of_frames(samples.stills))
    step = max(1, len(everything.frames) // MOST_FRAMES)
    motion = (
        measure_agreement(everything.of_frames(everything.frames[::step]))
        if step < len(everything.frames)
        else stills
    )
    diagnoses = tuple(diagnose(everything.of_frames(samples.stills), stills))
    return Consistency(
        stills, motion, pair_errors(motion.views), diagnoses, {} if diagnoses else _find_turns(motion)
    )


def check_consistency(
    session: Session,
    samples: SessionSamples,
    found: Consistency | None,
    look_longer: Callable[[], Check | None] | None = None,
) -> list[Check]:
    """All checks of this file; none where no body was seen in two cameras.

    Args:
        look_longer: asked where cameras disagree whether they were started one by one (`free_running.look_longer`).
    """
    if found is None:
        return []
    apart = _check_reprojection(found) + _check_epipolar(found)
    checks = apart + _check_diagnoses(found) + _check_pose(found)
    checks += _check_stature(found) + _check_upright(session, found)
    near = [] if found.diagnoses else check_time_offset(session, samples)
    doubtful = bool(found.diagnoses) or any(c.status != "pass" for c in apart) or ends_searched(near)
    far = look_longer() if doubtful and look_longer is not None else None
    return checks + (near if far is None else [far])


def _check_reprojection(found: Consistency) -> list[Check]:
    errors = found.motion.of_cameras()
    blind = [name for name in found.stills.of_cameras() if name not in errors]
    values = errors | dict.fromkeys(blind, 0.2)
    # Cameras that see the body and share nothing of it with the others cannot be where they are said to be.
    lost = [n for n, enough in sees_enough(found.motion.views).items() if enough and n not in values]
    if not values and len(lost) >= 2:
        values = dict.fromkeys(lost, 0.2)
    return check_values(
        "reprojection", {name: 100 * value for name, value in values.items()},
        warn=lambda v: v > 100 * SOUND, fail=lambda v: v > 100 * WRONG,
        unit="% of the body's height", limit=f"<= {100 * SOUND:g}, fails over {100 * WRONG:g}",
        remedy="its calibration is of another moment, lens or convention: see the checks below, or calibrate again; "
        f"of cameras that were started one by one first: {SYNCHRONISE}",
        evidence="; ".join(d.evidence() for d in found.diagnoses),
    )  # fmt: skip


def _count_shared(views: PersonViews, c: int) -> int:
    """How many landmarks a camera shares with any other in most frames."""
    seen = views.weight > 0
    both = seen[:, c] & np.delete(seen, c, 1).any(1)
    return int((both.mean(0) >= 0.5).sum())


def _check_epipolar(found: Consistency) -> list[Check]:
    """The worst pair, and the camera without which the rest is consistent."""
    pairs, names = found.pairs, found.motion.views.names
    if not np.isfinite(pairs).any():
        return []
    i, j = np.unravel_index(int(np.nanargmax(pairs)), pairs.shape)
    value = float(pairs[i, j])
    own = {n: float(np.nanmedian(pairs[c])) for c, n in enumerate(names) if np.isfinite(pairs[c]).any()}
    evidence, where = "", f"{names[min(i, j)]} and {names[max(i, j)]}"
    worst = max(own, key=lambda n: own[n])
    c = names.index(worst)
    rest = np.delete(np.delete(pairs, c, 0), c, 1)
    status: Status = "pass" if value <= SOUND else "warn" if value <= WRONG else "fail"
    if len(names) > 2 and np.isfinite(rest).any():
        without = float(np.nanmedian(rest))
        evidence = f"pairs with {worst} {100 * own[worst]:.1f} %, pairs without it {100 * without:.1f} %"
        # One camera's pairs are half as bad again as all others, beyond a detector's noise: it is the odd one out.
        told = len(found.motion.views.frames) >= 5 and _count_shared(found.motion.views, c) >= BODY
        if told and own[worst] > 1.5 * without and own[worst] > 0.0125:
            status, where = ("fail" if own[worst] > WRONG else "warn"), worst
            value = own[worst]
    return [
        Check(
            "epipolar", where, 100 * value, "% of the body's height",
            f"<= {100 * SOUND:g}, and no camera 1.5 times as far off as the others", status,
            f"calibrate {where} again, or leave it out; if it was started by itself: {SYNCHRONISE}",
            evidence,
        )
    ]  # fmt: skip


REMEDIES = {
    "pose-convention": "import again with poses from world to camera and OpenCV's axes (x right, y down, z forward)",
    "camera-order": "give each camera its own calibration: names and files are exchanged",
    "image-turned": "turn the pictures back, or calibrate them as they are",
    "image-mirrored": "mirror the pictures back: some recorders show and store a mirror image",
    "image-scale": "scale K with the pictures, or use pictures of the size that was calibrated",
    "principal-point": "correct the principal point",
    "lens-match": "give the lens of these files: recorded pictures have one, undistorted pictures have none",
}


def _check_diagnoses(found: Consistency) -> list[Check]:
    """One failed check for each kind of mistake, and a passed one for the kinds that were looked for in vain."""
    checks = []
    everyone = "all cameras"
    for code in REMEDIES:
        of_code = [d for d in found.diagnoses if d.mistake.code == code]
        if of_code:
            names = [name for d in of_code for name in d.mistake.cameras] or [everyone]
            worst = max(of_code, key=lambda d: d.before)
            checks.append(
                Check(
                    code, ", ".join(dict.fromkeys(names)), 100 * worst.before, "% of the body's height",
                    f"<= {100 * SOUND:g}, or no better with the mistake undone", "fail", REMEDIES[code],
                    "; ".join(d.evidence() for d in of_code),
                )
            )  # fmt: skip
    return checks


def _find_turns(agreement: BodyAgreement) -> dict[str, Remedy]:
    """Cameras that are turned a little: one after the other the one that makes all agree best."""
    found: dict[str, Remedy] = {}
    views, state = agreement.views, agreement
    if len(views.cameras) < 3:
        return found
    for _ in range(max(1, len(views.cameras) // 2 - 1)):
        before, best = cost(state), None
        for c, name in enumerate(views.names):
            remedy = best_remedies(state, c).get("turn") if name not in found else None
            if remedy is None or remedy.gain < MIN_GAIN or remedy.before - remedy.after < MIN_CHANGE:
                continue
            axis = np.zeros((len(views.cameras), 3))
            axis[c] = remedy.values
            moved = replace(views, viewmats=views.pinhole.turned(axis).viewmats, scale=float("nan"))
            after = measure_agreement(moved, resolve_sides=False)
            if best is None or cost(after) < best[0]:
                best = (cost(after), name, remedy, after)
        if best is None or best[0] > (1 - TOGETHER) * before:
            break
        found[best[1]] = best[2]
        state = best[3]
        views = state.views
    return found


def _check_pose(found: Consistency) -> list[Check]:
    if found.diagnoses or len(found.motion.views.cameras) < 3:
        return []
    values = {n: found.turns[n].size if n in found.turns else 0.0 for n in found.motion.views.names}
    evidence = []
    for name, remedy in found.turns.items():
        c = found.motion.views.names.index(name)
        others = best_remedies(found.motion, c)
        move = others.get("move")
        evidence.append(
            f"turned by {remedy.size:.1f} degrees"
            + (f" (or moved by {100 * move.size:.0f} cm)" if move is not None else "")
            + f", {name} sees the body within {100 * remedy.after:.1f} % of its height instead of"
            f" {100 * remedy.before:.1f} % (parts of the body that the turn was not found from)"
        )
    return check_values(
        "camera-pose", values, warn=lambda v: v >= TURN_WARNS, fail=lambda v: v >= TURN_FAILS, unit="degrees",
        limit=f"< {TURN_WARNS:g}, fails from {TURN_FAILS:g}",
        remedy="the camera was touched after its calibration: calibrate again; the fit turns it back where it can",
        evidence="; ".join(evidence),
    )  # fmt: skip


def _check_stature(found: Consistency) -> list[Check]:
    """By limbs in the calibration's own units: a person is between 0.4 and 2.6 of them."""
    views = found.stills.views
    scale = views.scale
    if not np.isfinite(scale) or scale <= 0:
        return []
    height = stature(found.stills.points) * scale
    if not np.isfinite(height):
        return []
    status: Status = "pass" if SHORTEST <= height <= TALLEST else "fail"
    return [
        Check(
            "stature", "all cameras", height, "m", f"{SHORTEST} to {TALLEST}", status,
            f"the calibration is not in metres: 1 of its units is about {1.7 / height:.3g} m",
            f"by {len(SEGMENTS)} limbs of the triangulated body",
        )
    ]  # fmt: skip


def _check_upright(session: Session, found: Consistency) -> list[Check]:
    axis = upright_axis(found.motion.points)
    if axis is None:
        return []
    lean = float(np.degrees(np.arccos(np.clip(axis[1], -1, 1))))
    viewmats, up = found.motion.views.viewmats.astype(np.float64), np.array([0.0, 1.0, 0.0])
    alone = lean_of(viewmats, up)
    together = lean_of(viewmats, up, [UpVote("the person", axis, _PERSON_ERROR, _PERSON_DOUBT)])
    # People lie down and stand on their hands, and cameras are hung oddly: both together are a wrong axis.
    status: Status = "pass" if lean < 60 else "fail" if together > 45 else "warn"
    return [
        Check(
            "person-upright", "all cameras", lean, "degrees", "< 60; fails if cameras and person agree on another up",
            status, f"the world's up is not +Y: import again with --world-up{_source_axis(session, axis)}",
            f"the cameras alone say an up that is {alone:.0f} degrees off, with the person {together:.0f}",
        )
    ]  # fmt: skip


def _source_axis(session: Session, up: Float[np.ndarray, "3"]) -> str:
    """A direction of the world as the nearest axis of the files that a session was made of; empty if not known."""
    try:
        T = np.array((session.about or {}).get("T_world_source"), np.float64)
    except (TypeError, ValueError):
        return ""
    if T.shape != (4, 4):
        return ""
    source = T[:3, :3].T @ up
    k = int(np.abs(source).argmax())
    return f" {'+' if source[k] > 0 else '-'}{'xyz'[k]}"
