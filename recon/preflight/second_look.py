"""A second look at pictures that do not show the person where all other cameras do.

The network finds a person by its face and trunk, and of a side view against a bright wall it may take the upper half
for all of it. Where the others put the body it then sees the whole. A camera whose calibration is wrong gains nothing
by it: what is seen there is no nearer to what is expected.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from simulacra.recon.observe.expected import is_better, is_expected, is_whole, region_of_landmarks
from simulacra.recon.preflight.bodies import measure_agreement, project, stack_views
from simulacra.recon.preflight.crowd import distort_pixels
from simulacra.recon.preflight.reading import Problems, iter_raw
from simulacra.recon.preflight.samples import (
    CameraSamples,
    PersonDetector,
    SessionSamples,
    body_of,
    still_of,
)
from simulacra.recon.session import Session

_FEWEST_LANDMARKS = 6
Expected = dict[int, Float[np.ndarray, "33 2"]]


def look_again(
    session: Session, samples: SessionSamples, detector: PersonDetector, problems: Problems
) -> SessionSamples:
    """The same with better landmarks, where the cameras' common body shows the network where to look.

    Consecutive frames are looked at again in cameras of which a still came out better.

    Args:
        problems: files that cannot be read are added.
    """
    if len(samples.cameras) < 3 or samples.people is not None:
        return samples
    expected = _expect(session, samples, samples.stills)
    found = [_look(session, seen, expected[seen.name], detector, problems) for seen in samples.cameras]
    better = [new.name for old, new in zip(samples.cameras, found, strict=True) if new is not old]
    moving = sorted(set(samples.motion) - set(samples.stills))
    if better and moving:
        expected = _expect(session, replace(samples, cameras=tuple(found)), moving)
        found = [
            _look(session, seen, expected[seen.name], detector, problems) if seen.name in better else seen
            for seen in found
        ]
    return replace(samples, cameras=tuple(found)) if better else samples


def _expect(session: Session, samples: SessionSamples, frames: Sequence[int]) -> dict[str, Expected]:
    """Where the others put the person, in each camera's pictures as they were recorded."""
    agreement = measure_agreement(stack_views(session, samples).of_frames(frames))
    views = agreement.views
    expected: dict[str, Expected] = {name: {} for name in views.names}
    for c, camera in enumerate(views.cameras):
        px, depth = project(agreement.others[c], views.viewmats[c], views.Ks[c])
        px = distort_pixels(camera, np.where(depth[..., None] > 0, px, np.nan))
        for t, frame in enumerate(views.frames):
            if np.isfinite(px[t]).all(-1).sum() >= _FEWEST_LANDMARKS:
                expected[camera.name][frame] = px[t]
    return expected


def _look(
    session: Session, seen: CameraSamples, expected: Expected, detector: PersonDetector, problems: Problems
) -> CameraSamples:
    """A camera's samples with what a second look shows nearer to where it is expected; the same object without."""
    doubtful = [
        frame
        for frame, px in expected.items()
        if frame in seen.bodies and not is_whole(seen.bodies[frame].px, px)
    ]
    bodies, stills = dict(seen.bodies), {still.frame: still for still in seen.stills}
    for frame, pixels in iter_raw(session, seen.name, doubtful, problems):
        image = pixels.astype(np.float32) / np.float32(255)
        person, wanted = detector.track(image, region_of_landmarks(expected[frame])), expected[frame]
        if person is None or not is_expected(person.px, [wanted]):
            continue
        before = bodies[frame]
        # A turned picture of somebody in its middle shows a body where one is expected too, which is seen less well.
        surer = person.score * person.visibility.mean() >= before.score * before.visibility.mean()
        if surer and is_better(person.px, before.px, wanted):
            bodies[frame] = body_of(person)
            if frame in stills:
                stills[frame] = still_of(session, seen.name, frame, pixels, person, problems)
    if all(bodies[frame] is seen.bodies[frame] for frame in bodies):
        return seen
    # What is seen well as it is has not been turned.
    return replace(seen, bodies=bodies, stills=tuple(stills.values()), turned=0)
