"""The observe stage: every frame of every camera through the networks, with masks.

Each camera is read twice, in order: once for landmarks and soft masks, once to bring the masks to the
image's edges with what the first reading taught about the background. Between the two, pictures in which nobody was
found, or somebody elsewhere than where the other cameras see the person, are looked at once more there. Every frame is
looked at by itself (no tracking), so that frames can be shared between threads and a continued run gives the very bytes
of an uninterrupted one. What is held in memory does not grow with the number of frames: landmarks lie on disk.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

import numpy as np
from jaxtyping import Float

from simulacra.recon.observe.checkpoint import Checkpoint, FrameResult, empty_arrays
from simulacra.recon.observe.chosen import Expected, find_alone, find_expected, own_part
from simulacra.recon.observe.expected import ExpectedBodies, is_better, is_whole
from simulacra.recon.observe.face import FaceNetwork
from simulacra.recon.observe.hands import HandNetwork
from simulacra.recon.observe.masks import Background, learn_background, refine_mask
from simulacra.recon.observe.observations import (
    MASKS_FOLDER,
    MaskSource,
    Observations,
    load_observations,
    mask_file,
    save_observations,
    write_mask,
)
from simulacra.recon.observe.pose import PoseDetection, PoseNetwork
from simulacra.recon.observe.selfie import SelfieNetwork
from simulacra.recon.observe.soft_mask import SoftMask, load_soft_mask, save_soft_mask
from simulacra.recon.runs.configuration import config
from simulacra.recon.runs.mapped import release
from simulacra.recon.runs.progress import Progress

Image = Float[np.ndarray, "h w 3"]
Item = TypeVar("Item")
Result = TypeVar("Result")

# Raised when the code changes what it computes, so that old checkpoints are not continued.
_VERSION = 3
_CHUNK_FRAMES = 25
_BACKGROUND_SAMPLES = 24


@runtime_checkable
class Capture(Protocol):
    """What observing needs of a session; `recon.session.Session` has it."""

    @property
    def camera_names(self) -> Any:
        """Names of the cameras, in order."""

    @property
    def frames(self) -> Any:
        """The frames, each with its number as `index`."""

    def has(self, frame_index: int, camera: str) -> bool:
        """Whether a camera took a frame."""

    def iter_images(self, camera: str, frame_indices: Any) -> Iterator[Any]:
        """The images of some frames of a camera, undistorted, in that order."""

    def mask(self, frame_index: int, camera: str) -> Any:
        """The session's own mask, or None."""

    def fingerprint(self) -> str:
        """A hash of what the session holds."""


@config
class ObserveConfig:
    """How a session is looked at.

    Attributes:
        looks: times that the pose network runs on each frame (see `recon.observe.consensus`): 1, 2 or 4.
        face: find the face's landmarks.
        hands: find the hands' landmarks.
        mask: where masks come from. `auto`: the session's own where it has them, else the pose network's,
            else the selfie network's where at least a face was found. The others: that source only.
        refine_masks: bring the networks' masks to the image's edges.
        background: learn what each camera sees behind the person, for the refinement. Cameras of a session
            stand still.
        person: whom of several people: `largest` in the pictures, `all` one after the other, or a name that
            `people.json` has.
    """

    looks: Literal[1, 2, 4] = 4
    face: bool = True
    hands: bool = True
    mask: Literal["auto", "session", "pose", "selfie"] = "auto"
    refine_masks: bool = True
    background: bool = True
    person: str = "largest"


# Where the person should be, by what has been seen; what is not known is NaN.
SecondLook = Callable[[Observations], ExpectedBodies]


def observe(
    session: Capture,
    config: ObserveConfig,
    folder: Path,
    *,
    frames: Sequence[int] | None = None,
    workers: int = 2,
    people: ExpectedBodies | None = None,
    second_look: SecondLook | None = None,
) -> Observations:
    """Landmarks and masks of one person of a session.

    A camera in which the networks see nobody gives what the session itself has: its mask, and no landmarks.

    Args:
        session: what was captured.
        config: how to look.
        folder: receives ``observations.npz``, ``observations.json`` and ``masks/CAM/FRAME.png``, and keeps a
            checkpoint while it runs: called again after an interruption, it continues.
        frames: numbers of the frames to look at; all of the session's if None.
        workers: threads, each with its own networks. The result does not depend on it.
        people: where several people are; the chosen one alone is looked at. The largest in each picture if None.
        second_look: says where the person should be in pictures that do not show it there; nothing if None.

    Raises:
        AssetError, MissingExtraError: a network or its runtime is missing.
    """
    numbers = [frame.index for frame in session.frames] if frames is None else list(frames)
    checkpoint = Checkpoint(folder, _key(session, config, numbers, people))
    if checkpoint.fresh:
        # Masks that are there would be taken for finished ones of this observation.
        shutil.rmtree(folder / MASKS_FOLDER, ignore_errors=True)
    total = _steps(session, config, numbers)
    with Progress("people", total) as bar, ThreadPoolExecutor(max_workers=workers) as pool:
        job = _ObserveJob(session, config, folder, checkpoint, pool, 2 * workers, bar, people)
        present = {c: [frame for frame in numbers if session.has(frame, c)] for c in session.camera_names}
        for camera, of in present.items():
            _predict_camera(job, camera, of)
        if second_look is not None:
            _look_again(job, numbers, second_look)
        for camera, of in present.items():
            soft = [frame for frame in of if checkpoint.soft_mask_file(camera, frame).is_file()]
            _refine_camera(job, camera, soft)
            if config.refine_masks:
                bar.advance(len(of) - len(soft))
    save_observations(_gather_results(job, numbers), folder)
    checkpoint.remove()
    return load_observations(folder)


class _Workers(threading.local):
    """The networks of one thread, loaded when it first needs them."""

    def __init__(self) -> None:
        self._loaded: dict[type, object] = {}

    def __call__(self, kind: type[Result]) -> Result:
        if kind not in self._loaded:
            self._loaded[kind] = kind()
        return self._loaded[kind]  # type: ignore[return-value]


@dataclass(frozen=True)
class _ObserveJob:
    session: Capture
    config: ObserveConfig
    folder: Path
    checkpoint: Checkpoint
    pool: ThreadPoolExecutor
    window: int
    bar: Progress
    people: ExpectedBodies | None = None
    networks: _Workers = field(default_factory=_Workers)


def _key(
    session: Capture, config: ObserveConfig, numbers: Sequence[int], people: ExpectedBodies | None
) -> str:
    described = {
        "version": _VERSION,
        "config": asdict(config),
        "session": session.fingerprint(),
        "frames": list(numbers),
        "people": "" if people is None else hashlib.sha256(people.px.tobytes()).hexdigest(),
    }
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()


def _steps(session: Capture, config: ObserveConfig, numbers: Sequence[int]) -> int:
    seen = sum(session.has(frame, camera) for camera in session.camera_names for frame in numbers)
    return seen * (2 if config.refine_masks else 1)


def _predict_camera(job: _ObserveJob, camera: str, present: Sequence[int]) -> None:
    """The landmarks of a camera's frames; these and masks go to disk as they are found."""
    done = {int(frame) for chunk in job.checkpoint.iter_chunks(camera) for frame in chunk.frames}
    job.bar.advance(len(done))
    waiting = [frame for frame in present if frame not in done]
    images = zip(waiting, job.session.iter_images(camera, waiting), strict=True)
    chunk: list[FrameResult] = []

    def predict(item: tuple[int, Image]) -> FrameResult:
        return _predict_frame(job, camera, *item, people=_people_at(job.people, item[0], camera))

    for result in _in_order(job, predict, images):
        chunk.append(result)
        if len(chunk) == _CHUNK_FRAMES:
            job.checkpoint.save(camera, chunk)
            chunk = []
        job.bar.advance()
    job.checkpoint.save(camera, chunk)


def _people_at(people: ExpectedBodies | None, frame: int, camera: str) -> Expected | None:
    return None if people is None else people.at(frame, camera)


def _look_again(job: _ObserveJob, numbers: Sequence[int], second_look: SecondLook) -> None:
    """Pictures that do not show the person where the other cameras do are looked at there."""
    found = _gather_results(job, numbers)
    px = job.checkpoint.remember("expected", lambda: second_look(found).px)
    expected = ExpectedBodies(tuple(numbers), found.cameras, px)
    for column, camera in enumerate(found.cameras):
        for chunk in job.checkpoint.iter_chunks(camera):
            doubtful = [
                frame
                for frame in chunk.frames.tolist()
                if not _is_as_expected(
                    found.pose_px[numbers.index(frame), column], expected.at(frame, camera)[0]
                )
            ]
            images = zip(doubtful, job.session.iter_images(camera, doubtful), strict=True)

            def predict(
                item: tuple[int, Image], camera: str = camera, column: int = column
            ) -> FrameResult | None:
                frame, image = item
                wanted, before = expected.at(frame, camera)[0], found.pose_px[numbers.index(frame), column]
                people = [wanted, *(_people_at(job.people, frame, camera) or [None])[1:]]
                person = find_expected(job.networks(PoseNetwork), image, people, job.config.looks)
                if person is None or wanted is None or not is_better(person.px, before, wanted):
                    return None
                return _predict_rest(job, camera, frame, image, person, people)

            better = {again.frame: again for again in _in_order(job, predict, images) if again is not None}
            if better:
                job.checkpoint.replace(camera, chunk, better)


def _is_as_expected(seen: Float[np.ndarray, "33 2"], expected: Float[np.ndarray, "33 2"] | None) -> bool:
    """Also where nothing is expected."""
    return expected is None or is_whole(seen, expected)


def _predict_frame(
    job: _ObserveJob, camera: str, frame: int, image: Image, people: Expected | None = None
) -> FrameResult:
    poses, looks = job.networks(PoseNetwork), job.config.looks
    if people is None:
        person = find_alone(poses, image, lambda: job.session.mask(frame, camera), looks)
    else:
        person = find_expected(poses, image, people, looks)
    return _predict_rest(job, camera, frame, image, person, people)


def _predict_rest(
    job: _ObserveJob,
    camera: str,
    frame: int,
    image: Image,
    person: PoseDetection | None,
    people: Expected | None,
) -> FrameResult:
    """Face, hands and mask of a person; the mask goes to disk."""
    arrays, poses = empty_arrays(), job.networks(PoseNetwork)
    if person is not None:
        arrays["pose_px"], arrays["pose_visibility"] = person.px, person.visibility
        arrays["pose_spread_px"], arrays["pose_score"] = person.spread_px, np.array(person.score)
        arrays["pose_world"] = person.world
    # Among several people a face or hand that is not looked for near the person's own may be anybody's.
    alone = people is None or person is not None
    face = job.networks(FaceNetwork)(image, person) if job.config.face and alone else None
    if face is not None:
        arrays["face_px"], arrays["face_score"] = face.px, np.array(face.score)
    if job.config.hands and alone:
        hands = job.networks(HandNetwork)(image, person)
        for side, hand in enumerate((hands.left, hands.right)):
            if hand is not None:
                arrays["hand_px"][side], arrays["hand_score"][side] = hand.px, hand.score
    source, mask = _mask_of_frame(job, camera, frame, image, person, face is not None)
    mask = mask if people is None or mask is None else own_part(poses, image, mask, person, people)
    height, width = image.shape[:2]
    if isinstance(mask, SoftMask) and job.config.refine_masks:
        save_soft_mask(mask, job.checkpoint.soft_mask_file(camera, frame))
    elif mask is not None:
        full = mask.in_image(width, height) if isinstance(mask, SoftMask) else mask
        write_mask(mask_file(job.folder, camera, frame), full)
    return FrameResult(
        frame, {name: np.asarray(value, dtype=np.float32) for name, value in arrays.items()}, source
    )


def _mask_of_frame(
    job: _ObserveJob, camera: str, frame: int, image: Image, person: PoseDetection | None, has_face: bool
) -> tuple[MaskSource, SoftMask | Float[np.ndarray, "h w"] | None]:
    wanted = job.config.mask
    own = job.session.mask(frame, camera) if wanted in ("auto", "session") else None
    if own is not None:
        return "session", own
    if wanted in ("auto", "pose") and person is not None:
        return "pose", person.soft_mask
    if wanted == "selfie" or (wanted == "auto" and has_face):
        return "selfie", job.networks(SelfieNetwork)(image)
    return "none", None


def _refine_camera(job: _ObserveJob, camera: str, soft: Sequence[int]) -> None:
    """Brings a camera's soft masks to the image's edges; masks that are there already are left."""
    waiting = [frame for frame in soft if not mask_file(job.folder, camera, frame).is_file()]
    job.bar.advance(len(soft) - len(waiting))
    if not waiting:
        return
    background = _background_of(job, camera, soft) if job.config.background else None

    def refine(item: tuple[int, Image]) -> None:
        frame, image = item
        soft = load_soft_mask(job.checkpoint.soft_mask_file(camera, frame))
        mask = refine_mask(image, soft.in_image(image.shape[1], image.shape[0]), background)
        write_mask(mask_file(job.folder, camera, frame), mask)

    images = zip(waiting, job.session.iter_images(camera, waiting), strict=True)
    for _ in _in_order(job, refine, images):
        job.bar.advance()


def _background_of(job: _ObserveJob, camera: str, soft: Sequence[int]) -> Background | None:
    chosen = np.unique(np.linspace(0, len(soft) - 1, min(_BACKGROUND_SAMPLES, len(soft))).round().astype(int))
    frames = [soft[i] for i in chosen]

    def samples() -> Iterator[tuple[Image, Float[np.ndarray, "h w"]]]:
        for frame, image in zip(frames, job.session.iter_images(camera, frames), strict=True):
            soft = load_soft_mask(job.checkpoint.soft_mask_file(camera, frame))
            yield image, soft.in_image(image.shape[1], image.shape[0])

    return learn_background(samples())


def _in_order(job: _ObserveJob, work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """`map` over threads, results in order, with only a few items read ahead."""
    pending: deque[Future[Result]] = deque()
    try:
        for item in items:
            pending.append(job.pool.submit(work, item))
            if len(pending) >= job.window:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()


def _gather_results(job: _ObserveJob, numbers: Sequence[int]) -> Observations:
    """What all cameras showed, in files of the checkpoint."""
    cameras, places = tuple(job.session.camera_names), {frame: row for row, frame in enumerate(numbers)}
    arrays = {
        name: job.checkpoint.new_array(name, (len(numbers), len(cameras), *nothing.shape), nothing.dtype)
        for name, nothing in empty_arrays().items()
    }
    for name, nothing in empty_arrays().items():
        if not np.isfinite(nothing).all():
            for start in range(0, len(numbers), _CHUNK_FRAMES):
                arrays[name][start : start + _CHUNK_FRAMES] = nothing
                release(arrays[name])
    sources: dict[str, list[MaskSource]] = {camera: ["none"] * len(numbers) for camera in cameras}
    for column, camera in enumerate(cameras):
        for chunk in job.checkpoint.iter_chunks(camera):
            rows = [places[int(frame)] for frame in chunk.frames]
            for row, source in zip(rows, chunk.mask_sources, strict=True):
                sources[camera][row] = source
            for name, values in chunk.arrays.items():
                arrays[name][rows, column] = values
                release(arrays[name])
    return Observations(
        frames=np.array(numbers, dtype=np.int64),
        cameras=cameras,
        mask_sources={camera: tuple(of) for camera, of in sources.items()},
        folder=job.folder,
        **arrays,
    )
