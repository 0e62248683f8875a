"""Checks of who is seen: a person in every camera, whole, and the right way up."""

from __future__ import annotations

import numpy as np

from simulacra.recon.observe.presence import FEWEST_VIEWS, name_ranges
from simulacra.recon.preflight.record import Check, check_values
from simulacra.recon.preflight.samples import CameraSamples, SessionSamples
from simulacra.recon.session import Session

# A person whose up is further than this from the world's in most pictures hangs head down, degrees.
HANGS = 120.0
# A picture that was turned by a quarter shows the person at least so far from it.
LEANS = 45.0


def check_detector(samples: SessionSamples) -> list[Check]:
    """Whether the networks could look at all."""
    if samples.has_detector:
        return []
    return [
        Check(
            "keypoints", "session", 0.0, "networks", "the landmark networks", "warn",
            "simulacra assets fetches them; without them calibrations are not checked against the person",
        )
    ]  # fmt: skip


def check_people(samples: SessionSamples, person: str) -> list[Check]:
    """Who is in view, where more than one person is; nothing of one alone."""
    people = samples.people
    if people is None or (len(people) == 1 and not people.doubts):
        return []
    said = "; ".join([*people.describe(), *people.doubts])
    if not len(people):
        crowded = [camera.name for camera in samples.cameras if camera.crowd > 1]
        said = "the cameras do not agree who of them stands where"
        return [
            Check(
                "people", ", ".join(crowded), float(max(camera.crowd for camera in samples.cameras)),
                "people in a picture", "1, or all cameras put them at the same places", "warn",
                "let one person alone into view; or the calibration is wrong: see the other checks", said,
            )
        ]  # fmt: skip
    told = person != "largest" and not people.doubts
    return [
        Check(
            "people", people.names[people.place(person)], float(len(people)), "people whom enough cameras see",
            "1, or observe.person says who", "pass" if told else "warn",
            f"observe.person: all, or one of {', '.join(people.names)}", said,
        )
    ]  # fmt: skip


def check_moments(samples: SessionSamples) -> list[Check]:
    """In which of the frames that were looked at enough cameras see the person, by landmarks or by their own masks."""
    found = any(camera.bodies for camera in samples.cameras)
    masked = {(c.name, s.frame) for c in samples.cameras for s in c.stills if s.own_mask and s.covered}
    if not samples.has_detector and not any(s.own_mask for c in samples.cameras for s in c.stills):
        return []
    frames = sorted({*samples.stills, *(samples.motion if found else ())})
    views = [sum(f in c.bodies or (c.name, f) in masked for c in samples.cameras) for f in frames]
    enough = min(FEWEST_VIEWS, len(samples.cameras))
    held = np.array(views) >= enough
    said = f"not in frames {name_ranges(frames, ~held)} (of those looked at)"
    return check_values(
        "person-moments", {"session": float(held.mean())}, warn=lambda v: v < 0.5, limit=">= 0.5",
        unit=f"of the frames looked at show the person in {enough} cameras",
        remedy="poses of the other frames are guesses: leave these out, or let all cameras see where the person goes",
        evidence="" if held.all() else said,
    )  # fmt: skip


def check_presence(session: Session, samples: SessionSamples) -> list[Check]:
    """Visible and in frame by the landmarks where there are no masks; turned pictures."""
    if not samples.has_detector:
        return []
    bare = [c for c in samples.cameras if not any(s.own_mask for s in c.stills)]
    checks = []
    shares = {c.name: _share_with_person(c) for c in bare if _count_sampled(c)}
    # What the others see is fitted without it.
    enough = sum(bool(c.bodies) for c in samples.cameras) >= FEWEST_VIEWS
    checks += check_values(
        "person-visible", shares, warn=lambda v: v < 0.5, fail=lambda v: v == 0 and not enough, worse=lambda v: -v,
        unit="of the frames that were looked at show a person",
        limit=">= 0.5; fails at 0 where no two other cameras see the person",
        remedy="no person in that camera: point it at the person, light it, or leave it out",
    )  # fmt: skip
    cut = {c.name: _share_cut_off(c, session) for c in bare if c.bodies}
    checks += check_values(
        "person-in-frame", cut, warn=lambda v: v > 0.25, unit="of the body's landmarks are out of the image",
        limit="<= 0.25", remedy="move the cameras back or turn them: hands, feet or hips are guesses otherwise",
    )  # fmt: skip
    leans = {c.name: _lean(c, session) for c in samples.cameras if c.bodies}
    turns = {c.name: _quarters_off(c.turned, leans[c.name]) for c in samples.cameras if c.bodies}
    return checks + check_values(
        "image-turned", turns, warn=lambda v: v != 0, fail=lambda v: False, unit="degrees until the person is upright",
        limit="0", remedy="turn the pictures back, or calibrate them as they are",
        evidence="turned, the network sees the person far better, or not head down" if any(turns.values()) else "",
    )  # fmt: skip


def _quarters_off(turned: int, lean: float) -> float:
    """Degrees until a picture's person is upright.

    The network may see an upright person better in a turned picture (a back view, a head and shoulders), and a camera
    that lies on its side is calibrated so: where the person's up is the calibration's, the picture is as it should be.
    """
    if turned and lean > LEANS:
        return 90.0 * turned
    return 180.0 if lean > HANGS else 0.0


def _lean(camera: CameraSamples, session: Session) -> float:
    """Angle between the person's up in the picture and the world's, degrees; the median over what was seen."""
    R = session.camera(camera.name).viewmat[:3, :3]
    up = R[:2, 1]
    found = []
    for body in camera.bodies.values():
        shoulders = body.px[[11, 12]].mean(0)
        hips_seen = body.visibility[[23, 24]].min() > 0.5
        axis = shoulders - body.px[[23, 24]].mean(0) if hips_seen else body.px[0] - shoulders
        cosine = float(axis @ up) / max(float(np.linalg.norm(axis) * np.linalg.norm(up)), 1e-9)
        found.append(float(np.degrees(np.arccos(np.clip(cosine, -1, 1)))))
    return float(np.median(found))


def _count_sampled(camera: CameraSamples) -> int:
    return len({s.frame for s in camera.stills} | set(camera.thumbs))


def _share_with_person(camera: CameraSamples) -> float:
    return len(camera.bodies) / _count_sampled(camera)


def _share_cut_off(camera: CameraSamples, session: Session) -> float:
    size = np.array([session.camera(camera.name).width, session.camera(camera.name).height])
    outside = [((b.px[11:] < 0) | (b.px[11:] > size)).any(-1).mean() for b in camera.bodies.values()]
    return float(np.median(outside))
