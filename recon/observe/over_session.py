"""The observe stage: every frame of every camera through the networks, with masks.

Each camera is read twice, in order: once for landmarks and soft masks, once to bring the masks to the
image's edges with what the first reading taught about the background. Every frame is looked at by itself
(no tracking), so that frames can be shared between threads and a continued run gives the very bytes of an
uninterrupted one. What is held in memory does not grow with the number of frames: landmarks lie on disk.
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
from simulacra.recon.observe.consensus import predict_repeatedly
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
from simulacra.render.runtime.errors import CaptureError

Image = Float[np.ndarray, "h w 3"]
Item = TypeVar("Item")
Result = TypeVar("Result")

# Raised when the code changes what it computes, so that old checkpoints are not continued.
_VERSION = 1
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
        allow_empty_cameras: go on with cameras that show no person in any frame.
    """

    looks: Literal[1, 2, 4] = 4
    face: bool = True
    hands: bool = True
    mask: Literal["auto", "session", "pose", "selfie"] = "auto"
    refine_masks: bool = True
    background: bool = True
    allow_empty_cameras: bool = False


def observe(
    session: Capture,
    config: ObserveConfig,
    folder: Path,
    *,
    frames: Sequence[int] | None = None,
    workers: int = 2,
) -> Observations:
    """Landmarks and masks of a session.

    Args:
        session: what was captured.
        config: how to look.
        folder: receives ``observations.npz``, ``observations.json`` and ``masks/CAM/FRAME.png``, and keeps a
            checkpoint while it runs: called again after an interruption, it continues.
        frames: numbers of the frames to look at; all of the session's if None.
        workers: threads, each with its own networks. The result does not depend on it.

    Raises:
        CaptureError: a camera shows no person in any frame.
        AssetError, MissingExtraError: a network or its runtime is missing.
    """
    numbers = [frame.index for frame in session.frames] if frames is None else list(frames)
    checkpoint = Checkpoint(folder, _key(session, config, numbers))
    if checkpoint.fresh:
        # Masks that are there would be taken for finished ones of this observation.
        shutil.rmtree(folder / MASKS_FOLDER, ignore_errors=True)
    total = _steps(session, config, numbers)
    with Progress("people", total) as bar, ThreadPoolExecutor(max_workers=workers) as pool:
        job = _ObserveJob(session, config, folder, checkpoint, pool, 2 * workers, bar)
        for camera in session.camera_names:
            _observe_camera(job, camera, numbers)
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
    networks: _Workers = field(default_factory=_Workers)


def _key(session: Capture, config: ObserveConfig, numbers: Sequence[int]) -> str:
    described = {
        "version": _VERSION,
        "config": asdict(config),
        "session": session.fingerprint(),
        "frames": list(numbers),
    }
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()


def _steps(session: Capture, config: ObserveConfig, numbers: Sequence[int]) -> int:
    seen = sum(session.has(frame, camera) for camera in session.camera_names for frame in numbers)
    return seen * (2 if config.refine_masks else 1)


def _observe_camera(job: _ObserveJob, camera: str, numbers: Sequence[int]) -> None:
    present = [frame for frame in numbers if job.session.has(frame, camera)]
    _predict_camera(job, camera, present)
    if not job.config.allow_empty_cameras and not any(
        (chunk.arrays["pose_score"] > 0).any() for chunk in job.checkpoint.iter_chunks(camera)
    ):
        raise CaptureError(
            "a camera shows no person",
            where=f"camera {camera}",
            expected="a person in at least one frame",
            found=f"none in {len(present)} frames",
            remedy="leave the camera out of the session, or set observe.allow_empty_cameras: true",
        )
    soft = [frame for frame in present if job.checkpoint.soft_mask_file(camera, frame).is_file()]
    _refine_camera(job, camera, soft)
    if job.config.refine_masks:
        job.bar.advance(len(present) - len(soft))


def _predict_camera(job: _ObserveJob, camera: str, present: Sequence[int]) -> None:
    """The landmarks of a camera's frames; these and masks go to disk as they are found."""
    done = {int(frame) for chunk in job.checkpoint.iter_chunks(camera) for frame in chunk.frames}
    job.bar.advance(len(done))
    waiting = [frame for frame in present if frame not in done]
    images = zip(waiting, job.session.iter_images(camera, waiting), strict=True)
    chunk: list[FrameResult] = []

    def predict(item: tuple[int, Image]) -> FrameResult:
        return _predict_frame(job, camera, *item)

    for result in _in_order(job, predict, images):
        chunk.append(result)
        if len(chunk) == _CHUNK_FRAMES:
            job.checkpoint.save(camera, chunk)
            chunk = []
        job.bar.advance()
    job.checkpoint.save(camera, chunk)


def _predict_frame(job: _ObserveJob, camera: str, frame: int, image: Image) -> FrameResult:
    arrays = empty_arrays()
    poses = job.networks(PoseNetwork)
    roi = poses.find(image)
    person = None if roi is None else predict_repeatedly(poses, image, roi, looks=job.config.looks)
    if person is not None:
        arrays["pose_px"], arrays["pose_visibility"] = person.px, person.visibility
        arrays["pose_spread_px"], arrays["pose_score"] = person.spread_px, np.array(person.score)
    face = job.networks(FaceNetwork)(image, person) if job.config.face else None
    if face is not None:
        arrays["face_px"], arrays["face_score"] = face.px, np.array(face.score)
    if job.config.hands:
        hands = job.networks(HandNetwork)(image, person)
        for side, hand in enumerate((hands.left, hands.right)):
            if hand is not None:
                arrays["hand_px"][side], arrays["hand_score"][side] = hand.px, hand.score
    source, mask = _mask_of_frame(job, camera, frame, image, person, face is not None)
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
