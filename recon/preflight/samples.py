"""One pass over a few frames of each camera: what all checks of pictures share, read once.

Two kinds of frames are read. A few stills, spread over the session, for the most: light and sharpness at full
resolution, the person by several runs of the landmark network and in all four quarter turns, a small picture to show.
And a stretch of consecutive frames for what moves: landmarks, and a grey thumbnail of each. What is kept does not grow
with the session.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import cv2
import numpy as np
from jaxtyping import Float, Shaped, UInt8

from simulacra.recon.observe.consensus import predict_repeatedly
from simulacra.recon.observe.expected import ExpectedBodies, is_expected, region_of_landmarks
from simulacra.recon.observe.pose import PoseDetection, PoseNetwork
from simulacra.recon.observe.roi import Roi
from simulacra.recon.people.record import People
from simulacra.recon.people.sightings import Sighting, count_people, find_everyone
from simulacra.recon.preflight.crowd import CrowdDetector, expect_recorded, look_for_people
from simulacra.recon.preflight.light import LightStats, measure_light
from simulacra.recon.preflight.reading import Problems, iter_raw
from simulacra.recon.runs.progress import Progress
from simulacra.recon.session import Session
from simulacra.render.image import read_mask
from simulacra.render.runtime.errors import AssetError, MissingExtraError, UserError

# Pictures that are kept to be shown, and thumbnails to compare neighbours by: longest sides, pixels.
SHOWN, THUMB = 640, 96
# A detection that the network is less sure of is not tracked from frame to frame.
MIN_SCORE = 0.5
# A turned picture must be seen this much better before a person is taken to be turned.
TURN_GAIN = 0.1
WORKERS = 2
# Pictures of consecutive frames that are read in all cameras together: some fifteen seconds on one core.
MOST_PICTURES = 400


@runtime_checkable
class PersonDetector(Protocol):
    """Finds a person in RGB images of 0..1; tests plant their own."""

    def detect(self, image: Float[np.ndarray, "h w 3"], looks: int) -> PoseDetection | None:
        """The person of an image, the median of so many runs of the network."""

    def track(self, image: Float[np.ndarray, "h w 3"], roi: Roi) -> PoseDetection | None:
        """The person where the frame before had it."""


class NetworkPersonDetector:
    """The landmark network; one set of interpreters a thread.

    Raises:
        AssetError, MissingExtraError: a network or its runtime is missing.
    """

    def __init__(self) -> None:
        self._threads = threading.local()
        self._network()

    def detect(self, image: Float[np.ndarray, "h w 3"], looks: int) -> PoseDetection | None:
        network = self._network()
        roi = network.find(image)
        return None if roi is None else predict_repeatedly(network, image, roi, looks=looks)

    def track(self, image: Float[np.ndarray, "h w 3"], roi: Roi) -> PoseDetection | None:
        return self._network().predict(image, roi)

    def count(self, image: Float[np.ndarray, "h w 3"]) -> int:
        return count_people(self._network(), image)

    def everyone(self, image: Float[np.ndarray, "h w 3"]) -> list[Sighting]:
        return find_everyone(self._network(), image)

    def _network(self) -> PoseNetwork:
        if not hasattr(self._threads, "network"):
            self._threads.network = PoseNetwork()
        network: PoseNetwork = self._threads.network
        return network


def network_detector() -> PersonDetector | None:
    """The landmark network; None without its files."""
    try:
        return NetworkPersonDetector()
    except (AssetError, MissingExtraError):
        return None


@dataclass(frozen=True)
class Body:
    """Landmarks of a person in one picture as it was recorded.

    Attributes:
        px: pixels.
        visibility: 0..1.
        score: 0..1.
        height_px: of the circle about the whole body, as the network imagines it, also where part of it is out of view.
    """

    px: Float[np.ndarray, "33 2"]
    visibility: Float[np.ndarray, "33"]
    score: float
    height_px: float


@dataclass(frozen=True)
class Still:
    """One frame of one camera, closely.

    Attributes:
        picture: small, to be shown.
        silhouette: the session's mask, or where it has none the network's, at the same size; None without either.
        own_mask: whether it is the session's.
        covered: share of the image that the session's mask takes.
        touched: share of the image's border that it takes.
        landmarks_inside: of landmarks that are surely visible, the share inside it.
    """

    frame: int
    picture: UInt8[np.ndarray, "h w 3"]
    silhouette: UInt8[np.ndarray, "h w"] | None
    own_mask: bool
    body: Body | None
    light: LightStats
    covered: float | None = None
    touched: float | None = None
    landmarks_inside: float | None = None


@dataclass(frozen=True)
class CameraSamples:
    """What was seen of one camera.

    Attributes:
        stills: by rising frame.
        turned: quarter turns (clockwise) by which the person's picture is upright and seen better than as it is; 0
            where it is well as it is.
        bodies: landmarks of every frame that shows a person, by its number.
        thumbs: grey, of the consecutive frames, by their numbers.
        crowd: how many people a glance at the stills shows at once.
    """

    name: str
    stills: tuple[Still, ...]
    turned: int
    bodies: dict[int, Body]
    thumbs: dict[int, UInt8[np.ndarray, "h w"]]
    crowd: int = 1


@dataclass(frozen=True)
class SessionSamples:
    """What was seen of a session.

    Attributes:
        cameras: in the session's order.
        stills: numbers of the frames that are spread over the session.
        motion: numbers of the consecutive frames.
        has_detector: whether persons could be searched for.
        people: everybody whom enough cameras see; None where a glance shows nobody beside the person.
    """

    cameras: tuple[CameraSamples, ...]
    stills: tuple[int, ...]
    motion: tuple[int, ...]
    has_detector: bool
    people: People | None = None

    @property
    def several(self) -> bool:
        """Whether more than one person was found at the same places by enough cameras."""
        return self.people is not None and len(self.people) > 1

    def camera(self, name: str) -> CameraSamples:
        """Those of one camera."""
        return next(camera for camera in self.cameras if camera.name == name)


def sample_session(
    session: Session,
    problems: Problems,
    *,
    stills: int = 3,
    motion: int = 100,
    detector: PersonDetector | None = None,
    person: str = "largest",
) -> SessionSamples:
    """Reads frames, and finds the person in them.

    Args:
        problems: files that cannot be read are added.
        stills: how many frames, spread over the session.
        motion: how many consecutive frames from its middle, at most; fewer with many cameras.
        detector: the landmark network if None; without its files nobody is searched for.
        person: whom of several people.
    """
    detector = detector or network_detector()
    indices = session.frame_indices
    chosen = tuple(indices[k] for k in linspace_indices(len(indices), stills))
    motion = min(motion, MOST_PICTURES // max(1, len(session.cameras)))
    # From the middle: at its ends people walk in, and stop the recorders.
    start = max(0, (len(indices) - motion) // 2)
    moving = indices[start : start + motion] if len(indices) > stills else ()

    def sample_all(expected: ExpectedBodies | None) -> tuple[CameraSamples, ...]:
        # What knows of no crowd is asked as it always was.
        more = () if expected is None else (expected,)

        def sample(name: str) -> CameraSamples:
            return _sample_camera(session, name, chosen, moving, detector, problems, bar, *more)

        # Cameras are looked at side by side; what takes long is the pictures of each.
        pictures = len({*chosen, *moving}) * len(session.cameras)
        with Progress("looking at pictures", pictures) as bar, ThreadPoolExecutor(WORKERS) as pool:
            return tuple(pool.map(sample, session.camera_names))

    cameras, people = sample_all(None), None
    if isinstance(detector, CrowdDetector) and any(camera.crowd > 1 for camera in cameras):
        people = look_for_people(session, sorted({*chosen, *moving}), detector, WORKERS)
        if people is not None and len(people):
            cameras = sample_all(expect_recorded(people, session, people.place(person)))
    return SessionSamples(cameras, chosen, tuple(moving), detector is not None, people)


def linspace_indices(count: int, wanted: int) -> list[int]:
    """So many places from the first to the last."""
    return sorted({round(k) for k in np.linspace(0, count - 1, min(count, wanted))})


def _sample_camera(
    session: Session,
    name: str,
    chosen: Sequence[int],
    moving: Sequence[int],
    detector: PersonDetector | None,
    problems: Problems,
    bar: Progress,
    expected: ExpectedBodies | None = None,
) -> CameraSamples:
    stills: list[Still] = []
    bodies: dict[int, Body] = {}
    thumbs: dict[int, np.ndarray] = {}
    last: PoseDetection | None = None
    turned: list[int] = []
    wanted = sorted({*chosen, *moving})
    previous, crowd, looked = -2, 1, 0
    for frame, pixels in iter_raw(session, name, wanted, problems):
        image = pixels.astype(np.float32) / np.float32(255)
        if frame in moving:
            thumbs[frame] = cv2.cvtColor(shrink_to(pixels, THUMB), cv2.COLOR_RGB2GRAY)
        if frame in chosen:
            if expected is None:
                person, turn = _person(detector, image)
            else:
                person, turn = _expected_person(detector, image, expected.at(frame, name)), 0
            if isinstance(detector, CrowdDetector):
                crowd = max(crowd, detector.count(image))
            turned.append(turn)
            stills.append(still_of(session, name, frame, pixels, person, problems))
        elif expected is not None:
            person = _expected_person(detector, image, expected.at(frame, name))
        elif detector is not None:
            follows = last is not None and frame == previous + 1
            person = detector.track(image, last.next_roi) if follows and last is not None else None
            person = person if person is not None else detector.detect(image, 1)
        else:
            person = None
        last = person if person is not None and person.score > MIN_SCORE else None
        previous = frame
        if person is not None:
            bodies[frame] = body_of(person)
        looked += 1
        bar.advance()
    bar.advance(len(wanted) - looked)  # those that cannot be read, or are not there
    stills.sort(key=lambda still: still.frame)
    # Most stills must say the same: a single detection of somebody who bends over may err.
    usual = max(set(turned), key=turned.count) if turned else 0
    agreed = usual if 2 * turned.count(usual) > len(turned) else 0
    return CameraSamples(name, tuple(stills), agreed, bodies, thumbs, crowd)


def _expected_person(
    detector: PersonDetector | None,
    image: Float[np.ndarray, "h w 3"],
    people: Sequence[Float[np.ndarray, "33 2"] | None],
) -> PoseDetection | None:
    """The chosen one of several people, where they should be."""
    if detector is None or people[0] is None:
        return None
    found = detector.track(image, region_of_landmarks(people[0]))
    return found if found is not None and is_expected(found.px, people) else None


def _person(
    detector: PersonDetector | None, image: Float[np.ndarray, "h w 3"]
) -> tuple[PoseDetection | None, int]:
    """The person, and the quarter turns after which the network sees it far better."""
    if detector is None:
        return None, 0
    found = [detector.detect(image, 4)]
    found += [detector.detect(np.ascontiguousarray(np.rot90(image, -turn)), 1) for turn in (1, 2, 3)]
    sure = [float(f.score * f.visibility.mean()) if f is not None else 0.0 for f in found]
    best = int(np.argmax(sure))
    if best == 0 or sure[best] < sure[0] + TURN_GAIN:
        return found[0], 0
    upright = found[best]
    assert upright is not None
    height, width = image.shape[:2]
    px = rotate_back(upright.px, best, width, height)
    return replace(upright, px=px, image_size=(width, height)), best


def rotate_back(
    px: Float[np.ndarray, "*n 2"], turns: int, width: int, height: int
) -> Float[np.ndarray, "*n 2"]:
    """Positions in a picture that was turned clockwise by quarters, in the picture as it is (width x height)."""
    x, y = px[..., 0], px[..., 1]
    if turns == 1:
        x, y = y, height - x
    elif turns == 2:
        x, y = width - x, height - y
    elif turns == 3:
        x, y = width - y, x
    return np.stack([x, y], axis=-1).astype(px.dtype)


def body_of(person: PoseDetection) -> Body:
    """What is kept of a detection."""
    # The region is a square about the circle that holds the whole body, a quarter larger.
    return Body(person.px, person.visibility, person.score, person.next_roi.size[0] / 1.25)


def still_of(
    session: Session,
    name: str,
    frame: int,
    pixels: UInt8[np.ndarray, "h w 3"],
    person: PoseDetection | None,
    problems: Problems,
) -> Still:
    """What is kept of a frame that is looked at closely."""
    mask = _own_mask(session, name, frame, problems)
    seen = None if person is None or person.soft_mask is None else person.mask
    small = shrink_to(pixels, SHOWN)
    shape = mask if mask is not None else seen
    silhouette = None
    if shape is not None:
        silhouette = cv2.resize(shape, small.shape[1::-1], interpolation=cv2.INTER_AREA)
        silhouette = np.round(silhouette * 255).astype(np.uint8)
    # Light is measured where the network sees the person: a mask may be what is wrong.
    inside = seen if seen is not None and (seen > 0.5).mean() > 1e-3 else mask
    landmarks = (None, None) if person is None else (person.px, person.visibility)
    light = measure_light(pixels, None if inside is None else inside > 0.5, *landmarks)
    still = Still(
        frame, small, silhouette, mask is not None, None if person is None else body_of(person), light
    )
    if mask is None:
        return still
    border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]]) > 0.5
    return replace(
        still,
        covered=float((mask > 0.5).mean()),
        touched=float(border.mean()),
        landmarks_inside=None if person is None else _inside(person, mask),
    )


def _own_mask(session: Session, name: str, frame: int, problems: Problems) -> Float[np.ndarray, "h w"] | None:
    """The session's mask as it is in its file."""
    camera = session.camera(name)
    try:
        path = session.path(f"masks/{name}/{frame:06d}.png")
        if not path.exists():
            return None
        mask = read_mask(path)
    except UserError as error:
        problems.add(name, error)
        return None
    # Of another size: said by whoever reads it as depth or mask of that camera.
    return mask if mask.shape == (camera.height, camera.width) else None


def _inside(person: PoseDetection, mask: Float[np.ndarray, "h w"]) -> float | None:
    """Share of the surely visible landmarks inside the mask, grown a little: joints lie within limbs."""
    height, width = mask.shape
    reach = max(3, int(0.02 * person.next_roi.size[0]))
    grown = cv2.dilate((mask > 0.5).astype(np.uint8), np.ones((reach, reach), np.uint8))
    at = np.floor(person.px).astype(int)
    seen = (person.visibility > 0.8) & (at >= 0).all(-1) & (at[:, 0] < width) & (at[:, 1] < height)
    return float(grown[at[seen, 1], at[seen, 0]].mean()) if seen.sum() >= 4 else None


def shrink_to(image: Shaped[np.ndarray, "h w *c"], longest: int) -> Shaped[np.ndarray, "h2 w2 *c"]:
    """An image whose longer side has so many pixels at most."""
    scale = min(1.0, longest / max(image.shape[:2]))
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)
