"""Who is in a capture: everybody is looked for in moments spread over it, found in all cameras, and followed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from jaxtyping import Float

from simulacra.recon.multiview.detections import Detections, PinholeCameras
from simulacra.recon.multiview.triangulate import TriangulationConfig, triangulate
from simulacra.recon.observe.expected import ExpectedBodies
from simulacra.recon.observe.landmarks import POSE33
from simulacra.recon.observe.pose import PoseNetwork
from simulacra.recon.people.associate import Meeting, associate
from simulacra.recon.people.record import People
from simulacra.recon.people.sightings import Sighting, count_people, find_everyone
from simulacra.recon.people.tracks import Track, follow
from simulacra.recon.runs.progress import Progress
from simulacra.recon.session import Session
from simulacra.recon.session.times import frame_seconds

# Moments that are looked at are this far apart, seconds: people walk a quarter of a metre meanwhile.
MOMENT_SECONDS = 0.17
# Somebody who is not seen for longer than this is not there meanwhile, seconds.
LONGEST_GAP = 1.0
# The circle about the body of a usual adult, metres: what is triangulated is brought to it.
_NOMINAL = 1.8
_OUTLIER_M = 0.15
# Pictures in which more than one person is looked for before everybody is, spread over the capture.
_PEEKS = 8
# People are seen by so many cameras in most moments, where there are as many, and in so many moments.
_VIEWS, _MOMENTS = 3, 3

# Share of the height.
_SHADOW = 0.25

Look = Callable[[np.ndarray], list[Sighting]]


class Looker:
    """Networks that look for everybody, one set a thread."""

    def __init__(self) -> None:
        self._threads = threading.local()

    def network(self) -> PoseNetwork:
        """This thread's."""
        if not hasattr(self._threads, "network"):
            self._threads.network = PoseNetwork()
        network: PoseNetwork = self._threads.network
        return network

    def __call__(self, image: Float[np.ndarray, "h w 3"]) -> list[Sighting]:
        return find_everyone(self.network(), image)

    def count(self, image: Float[np.ndarray, "h w 3"]) -> int:
        """How many people a first glance shows."""
        return count_people(self.network(), image)


def is_crowded(session: Session, frames: Sequence[int], look: Looker, workers: int = 2) -> bool:
    """Whether a glance at a few moments shows two people in any picture."""
    chosen = [
        frames[k]
        for k in sorted({round(k) for k in np.linspace(0, len(frames) - 1, min(_PEEKS, len(frames)))})
    ]
    counts = _see(session, chosen, look.count, workers)
    return any(count > 1 for of in counts.values() for count in of.values())


def find_people(
    session: Session,
    frames: Sequence[int],
    look: Look,
    *,
    workers: int = 2,
    seconds_apart: float = MOMENT_SECONDS,
) -> People:
    """Everybody whom enough cameras see, followed through the capture.

    Args:
        frames: numbers of the frames, rising; where people are is said for each.
        look: finds everybody in an undistorted picture.
        seconds_apart: between the moments that are looked at.
    """
    known = {frame.index: frame for frame in session.frames}
    seconds, _ = frame_seconds([known[frame] for frame in frames])
    rows = moments_of(seconds, seconds_apart)
    chosen = [int(frames[row]) for row in rows]
    pictures = sum(session.has(frame, name) for frame in chosen for name in session.camera_names)
    with Progress("several people", pictures) as bar:
        seen = _see(session, chosen, look, workers, bar)
    cameras = cameras_of(session)
    views = [[seen[name].get(frame, []) for name in session.camera_names] for frame in chosen]
    return gather_people(views, cameras, np.asarray(frames), rows, seconds)


def cameras_of(session: Session) -> PinholeCameras:
    """The session's cameras as arrays."""
    return PinholeCameras(
        np.stack([np.asarray(camera.viewmat, np.float64) for camera in session.cameras]),
        np.stack([np.asarray(camera.K, np.float64) for camera in session.cameras]),
    )


def moments_of(seconds: Float[np.ndarray, " t"], apart: float) -> list[int]:
    """Rows of frames so far apart, with the first and the last."""
    rows = [0]
    for row in range(1, len(seconds)):
        if seconds[row] - seconds[rows[-1]] >= apart - 1e-6:
            rows.append(row)
    return sorted({*rows, len(seconds) - 1})


def gather_people(
    views: Sequence[Sequence[Sequence[Sighting]]],
    cameras: PinholeCameras,
    frames: np.ndarray,
    rows: Sequence[int],
    seconds: Float[np.ndarray, " t"],
) -> People:
    """People out of what each camera saw of each moment.

    Args:
        views: of the moments, of the cameras: everybody who was seen.
        rows: of the moments among the frames.
        seconds: of all frames.
    """
    meetings = [associate(of_moment, cameras) for of_moment in views]
    tracks, confusions = follow(meetings, views, seconds[list(rows)])
    order = sorted(range(len(tracks)), key=lambda k: -_prominence(tracks[k], views))
    chosen: list[int] = []
    for k in order:
        if _is_person(tracks[k], len(cameras), len(rows)) and not _is_shadow(
            tracks[k], [tracks[c] for c in chosen]
        ):
            chosen.append(k)
    # Names go by where people are first seen, which is the same however many moments are looked at.
    largest = chosen[0] if chosen else -1
    chosen.sort(key=lambda k: float(next(iter(tracks[k].meetings.values())).hip[0]))
    names = {k: f"person{place + 1}" for place, k in enumerate(chosen)}
    points, counts = [], []
    for k in chosen:
        of_moments = _triangulate_track(tracks[k], views, cameras)
        points.append(_spread(of_moments, tracks[k], rows, seconds))
        counts.append(_spread_views(tracks[k], rows, len(frames)))
    shape = (len(chosen), len(frames), len(POSE33), 3)
    return People(
        names=tuple(names.values()),
        frames=np.asarray(frames),
        points=np.array(points).reshape(shape),
        views=np.array(counts, dtype=np.int64).reshape(shape[:2]),
        heights=np.array([tracks[k].height for k in chosen], dtype=np.float64),
        largest=chosen.index(largest) if chosen else 0,
        bystanders=sum(len(track.meetings) >= _MOMENTS for k, track in enumerate(tracks) if k not in names),
        doubts=tuple(
            f"{names[c.one]} and {names[c.other]} cannot be told apart after frame {frames[rows[c.moment]]}"
            for c in confusions
            if c.one in names and c.other in names
        ),
    )


def expect(people: People, session: Session, chosen: int) -> ExpectedBodies:
    """Where people are in the cameras' undistorted pictures."""
    cameras = cameras_of(session)
    px = np.stack([project(points, cameras) for points in people.points])
    return ExpectedBodies(tuple(int(f) for f in people.frames), tuple(session.camera_names), px, chosen)


def project(points: Float[np.ndarray, "t 33 3"], cameras: PinholeCameras) -> Float[np.ndarray, "t c 33 2"]:
    """World points in the cameras' pictures; NaN behind a camera."""
    local = cameras.local(points)
    image = np.einsum("cij,tckj->tcki", cameras.Ks, local)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(local[..., 2:] > 0, image[..., :2] / image[..., 2:], np.nan)


def _see(
    session: Session, frames: Sequence[int], look: Callable, workers: int, bar: Progress | None = None
) -> dict:
    """What `look` says of each camera's pictures of some frames, by camera and frame."""

    def of_camera(name: str) -> dict:
        present = [frame for frame in frames if session.has(frame, name)]
        images = session.iter_images(name, present)
        found = {}
        for frame, image in zip(present, images, strict=True):
            found[frame] = look(image)
            if bar is not None:
                bar.advance()
        return found

    with ThreadPoolExecutor(workers) as pool:
        return dict(zip(session.camera_names, pool.map(of_camera, session.camera_names), strict=True))


def _prominence(track: Track, views: Sequence[Sequence[Sequence[Sighting]]]) -> float:
    """How much there is of somebody in the pictures: heights summed over all views."""
    return sum(
        views[moment][c][k].height_px for moment, meeting in track.meetings.items() for c, k in meeting.members.items()
    )  # fmt: skip


def _is_person(track: Track, cameras: int, moments: int) -> bool:
    """Whether enough cameras see somebody, and for long enough, to be fitted."""
    usual = float(np.median([len(meeting.members) for meeting in track.meetings.values()]))
    return usual >= (_VIEWS if cameras > _VIEWS else 2) and len(track.meetings) >= min(_MOMENTS, moments)


def _is_shadow(track: Track, others: Sequence[Track]) -> bool:
    """Whether somebody is always where another is: views of that one which did not agree with the rest."""

    def near(other: Track, moment: int) -> bool:
        then = other.meetings[min(other.meetings, key=lambda m: abs(m - moment))]
        return float(np.linalg.norm(track.meetings[moment].hip - then.hip)) < _SHADOW * other.height

    return any(all(near(other, moment) for moment in track.meetings) for other in others)


def _triangulate_track(
    track: Track, views: Sequence[Sequence[Sequence[Sighting]]], cameras: PinholeCameras
) -> Float[np.ndarray, "m 33 3"]:
    """The landmarks of each of a track's moments, world units; NaN where two views do not agree."""
    moments = list(track.meetings)
    shape = (len(moments), len(cameras), len(POSE33))
    pixels, confidence = np.full((*shape, 2), np.nan), np.zeros(shape)
    mirror = np.array(POSE33.mirror)
    for row, moment in enumerate(moments):
        meeting: Meeting = track.meetings[moment]
        # Most views have the sides right.
        flip = sum(meeting.mirrored.values()) > len(meeting.mirrored) / 2
        for c, k in meeting.members.items():
            sighting = views[moment][c][k]
            order = mirror if meeting.mirrored[c] != flip else np.arange(len(mirror))
            pixels[row, c], confidence[row, c] = sighting.px[order], sighting.visibility[order]
    scale = track.height / _NOMINAL
    viewmats = cameras.viewmats.copy()
    viewmats[:, :3, 3] /= scale
    settings = TriangulationConfig(outlier_m=_OUTLIER_M)
    found = triangulate(Detections(pixels, confidence), PinholeCameras(viewmats, cameras.Ks), settings)
    return found.points * scale


def _spread(
    points: Float[np.ndarray, "m 33 3"], track: Track, rows: Sequence[int], seconds: Float[np.ndarray, " t"]
) -> Float[np.ndarray, "t 33 3"]:
    """Landmarks at all frames between a track's moments; where somebody comes or goes, half a moment farther."""
    at = seconds[[rows[moment] for moment in track.meetings]]
    result = np.full((len(seconds), *points.shape[1:]), np.nan)
    step = 0.5 * float(np.median(np.diff(seconds[list(rows)]))) if len(rows) > 1 else 0.0
    after = np.searchsorted(at, seconds)
    before, after = np.clip(after - 1, 0, None), np.clip(after, None, len(at) - 1)
    gap = at[after] - at[before]
    outside = np.maximum(at[0] - seconds, seconds - at[-1])
    there = (gap <= LONGEST_GAP) & (outside <= step + 1e-6)
    for k in range(points.shape[1]):
        known = np.isfinite(points[:, k]).all(-1)
        if known.any():
            for axis in range(3):
                result[:, k, axis] = np.interp(seconds, at[known], points[known, k, axis])
            # A landmark that is not seen for long is not known.
            far = np.abs(seconds[:, None] - at[known]).min(1) > LONGEST_GAP
            result[far, k] = np.nan
    result[~there] = np.nan
    return result


def _spread_views(track: Track, rows: Sequence[int], frames: int) -> np.ndarray:
    counts = np.array([len(meeting.members) for meeting in track.meetings.values()])
    at = np.array([rows[moment] for moment in track.meetings])
    return counts[np.abs(np.arange(frames)[:, None] - at).argmin(1)]
