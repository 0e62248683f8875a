"""The person's landmarks in the pictures of free-running cameras: of all, or of a long recording of some.

Of a long one every picture would take as long as a reconstruction: offsets are found at a few pictures a second, and
sharpened in short stretches of all pictures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from simulacra.recon.multiview.offsets import SeenMotion
from simulacra.recon.preflight.bodies import undistort_pixels
from simulacra.recon.preflight.samples import MIN_SCORE, WORKERS, PersonDetector
from simulacra.recon.session import Session, SessionCamera
from simulacra.recon.synchronise.streams import CameraStream, iter_pictures

# Pictures of all cameras together that are looked at one and all.
FEW_PICTURES = 2400
# Pictures a second that are looked at of longer recordings, and for how long.
COARSE_RATE, LONGEST = 8.0, 180.0


def coarse_places(stream: CameraStream, pictures: int) -> list[int]:
    """Which pictures of a camera offsets are searched with.

    Args:
        pictures: of all cameras together.
    """
    if pictures <= FEW_PICTURES:
        return list(range(len(stream.times)))
    inside = stream.times <= stream.times[0] + LONGEST
    slots = np.floor(stream.times[inside] * COARSE_RATE)
    return np.flatnonzero(np.diff(slots, prepend=slots[0] - 1) > 0).tolist()


def watch(
    session: Session,
    streams: Mapping[str, CameraStream],
    places: Mapping[str, Sequence[int]],
    detector: PersonDetector,
) -> dict[str, SeenMotion]:
    """Landmarks in some pictures of each camera, in pixels of its pinhole picture, times by its own clock."""

    def look(name: str) -> SeenMotion:
        return _look(session, session.camera(name), streams[name], places[name], detector)

    with ThreadPoolExecutor(WORKERS) as pool:
        return dict(zip(streams, pool.map(look, streams), strict=True))


def _look(
    session: Session,
    camera: SessionCamera,
    stream: CameraStream,
    places: Sequence[int],
    detector: PersonDetector,
) -> SeenMotion:
    pixels, confidence = np.full((len(places), 33, 2), np.nan), np.zeros((len(places), 33))
    last = None
    for row, picture in enumerate(iter_pictures(session, stream, places)):
        image = picture.astype(np.float32) / np.float32(255)
        person = detector.track(image, last.next_roi) if last is not None else None
        person = person if person is not None else detector.detect(image, 1)
        last = person if person is not None and person.score > MIN_SCORE else None
        if person is not None:
            pixels[row], confidence[row] = person.px, person.visibility * person.score
    pinhole = undistort_pixels(pixels, camera.K, camera.lens)
    confidence[~np.isfinite(pinhole).all(-1)] = 0.0
    return SeenMotion(stream.times[np.asarray(places, dtype=int)], pinhole, confidence)
