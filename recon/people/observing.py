"""The landmarks and masks of one person, also where several are in view and where a camera's networks see nobody."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from simulacra.recon.multiview.detections import Detections
from simulacra.recon.multiview.triangulate import TriangulationConfig, triangulate
from simulacra.recon.observe.expected import ExpectedBodies
from simulacra.recon.observe.observations import Observations
from simulacra.recon.observe.over_session import ObserveConfig, observe
from simulacra.recon.people.record import People, load_people, save_people
from simulacra.recon.people.survey import Looker, cameras_of, expect, find_people, is_crowded, project
from simulacra.recon.session import Session
from simulacra.render.runtime.errors import ConfigError

# A view that is as far off as this is of somebody else, or of a limb; metres.
_OUTLIER_M = 0.12
# Fewer landmarks than this in a picture are no body.
_FEWEST = 6
_FRAMES_AT_ONCE = 256


def survey_session(session: Session, person: str, frames: Sequence[int], workers: int = 2) -> People | None:
    """Everybody in a session; None where there is nobody to choose from.

    Where the largest person is wanted it is only looked for others if a glance shows some.
    """
    if len(session.cameras) < 2:
        return None
    look = Looker()
    if person == "largest" and not is_crowded(session, frames, look, workers):
        return None
    people = find_people(session, frames, look, workers=workers)
    return people if len(people) else None


def observe_person(
    session: Session,
    config: ObserveConfig,
    folder: Path,
    *,
    frames: Sequence[int],
    workers: int = 2,
    people: People | None = None,
) -> Observations:
    """As `observe`, of the person whom the configuration names.

    Args:
        people: where they are known already.

    Raises:
        ConfigError: there is nobody of that name.
    """
    people = people or load_people(folder) or survey_session(session, config.person, frames, workers)
    expected = None
    if people is not None:
        chosen = people.place(config.person)
        save_people(replace(people, chosen=chosen), folder)
        expected = expect(people, session, chosen)
        said = "; ".join([*people.describe(), *people.doubts])
        print(
            f"{len(people)} people, {people.names[chosen]} is looked at: {said}", file=sys.stderr, flush=True
        )
    elif config.person not in ("largest", "person1"):
        raise ConfigError(
            "there is nobody of that name", where="observe.person", expected="largest", found=config.person
        )
    found = observe(
        session, config, folder, frames=frames, workers=workers, people=expected,
        second_look=lambda seen: expect_seen(session, seen),
    )  # fmt: skip
    for camera in blind_cameras(found):
        print(f"camera {camera}: the networks see nobody; it gives no landmarks", file=sys.stderr, flush=True)
    return found


def blind_cameras(found: Observations) -> tuple[str, ...]:
    """Cameras in which the networks saw nobody in any frame."""
    scores = dict(zip(found.cameras, np.moveaxis(found.pose_score, 1, 0), strict=True))
    return tuple(camera for camera, score in scores.items() if not (score > 0).any())


def expect_seen(session: Session, found: Observations) -> ExpectedBodies:
    """Where the person should be in each picture by what all cameras saw of it; NaN outside of the picture."""
    chosen = session.with_cameras(found.cameras)
    cameras = cameras_of(chosen)
    px: Float[np.ndarray, "t c 33 2"] = np.full((len(found.frames), len(cameras), 33, 2), np.nan, np.float32)
    sizes = np.array([[camera.width, camera.height] for camera in chosen.cameras])[:, None]
    # Some frames at a time: of ten thousand all of it would be a hundred megabytes.
    for start in range(0, len(px) if len(cameras) >= 2 else 0, _FRAMES_AT_ONCE):
        rows = slice(start, start + _FRAMES_AT_ONCE)
        confidence = np.nan_to_num(found.pose_visibility[rows] * found.pose_score[rows, :, None])
        seen = Detections(np.asarray(found.pose_px[rows], np.float64), confidence.astype(np.float64))
        part = project(triangulate(seen, cameras, TriangulationConfig(outlier_m=_OUTLIER_M)).points, cameras)
        with np.errstate(invalid="ignore"):
            inside = ((part > 0) & (part < sizes)).all(-1)
        part[inside.sum(-1) < _FEWEST] = np.nan
        px[rows] = part
    return ExpectedBodies(tuple(found.frames.tolist()), found.cameras, px[None])
