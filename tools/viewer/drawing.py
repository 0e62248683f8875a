"""Pictures of our own rasterizer, and of the capture: exact, as the evaluation compares them. This imports torch."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property, lru_cache
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float

from simulacra.recon.avatar.finished import check_body
from simulacra.recon.avatar.pictures import draw_overlay
from simulacra.recon.avatar.record import TrainedResult, load_trained
from simulacra.recon.bodies.names import BodyName
from simulacra.recon.bodies.opening import body_name_of, open_body
from simulacra.recon.evaluate.reconstruction import PosedResult
from simulacra.recon.evaluate.views import LEAST_ALPHA
from simulacra.recon.fit import BodyFit, load_fit
from simulacra.recon.observe import Observations, load_observations
from simulacra.recon.runs.chain import check_records
from simulacra.recon.runs.run_folder import read_run_file
from simulacra.recon.session import Session, load_session
from simulacra.render.avatar import BodyRig, rig_body
from simulacra.render.body import BodyModel
from simulacra.render.body.records import RestBody
from simulacra.render.camera import Cameras
from simulacra.render.figure import Figure
from simulacra.render.gaussians import (
    OUTLINE_EPS2D,
    Gaussians,
    rasterize_features,
)
from simulacra.render.gaussians.normals import gaussian_normals
from simulacra.render.image import composite, limited_size, resize_area
from simulacra.render.runtime.errors import InputError

from .cache import ByteCache, array_bytes, unchangeable
from .pictures import Picture, as_bytes

# What was drawn, and photographs as they are shown, of each opened run: a layer is often the other of one before.
DRAWN_BYTES, PHOTOGRAPH_BYTES = 32 << 20, 32 << 20
# One drawing at a time: the rasterizer uses all processors for each.
DRAWING = threading.RLock()
# The kinds of parts that a person can tell apart in a picture, with a color each.
PART_GROUPS: dict[str, tuple[tuple[str, ...], tuple[float, float, float]]] = {
    "head": (("face", "lips", "scalp", "ear", "eye", "mouth", "tongue", "neck"), (0.95, 0.75, 0.35)),
    "torso": (("torso",), (0.40, 0.62, 0.90)),
    "arms": (("upper_arm", "lower_arm"), (0.45, 0.80, 0.55)),
    "hands": (("hand",), (0.90, 0.40, 0.45)),
    "legs": (("thigh", "shin"), (0.65, 0.50, 0.85)),
    "feet": (("foot",), (0.85, 0.55, 0.75)),
}
SEEN_RGB, PUT_RGB = (255, 220, 60), (255, 80, 220)
# A region of fewer pixels is not measured.
FEWEST_PIXELS = 20
# Detections of less are not drawn.
LEAST_CONFIDENCE = 0.3

FloatPicture = Float[np.ndarray, "h w 3"]


@lru_cache(maxsize=2)
def body_model(name: BodyName = "anny") -> BodyModel:
    """The body of this name, once for all runs."""
    return open_body(name)


def part_groups(body: BodyModel) -> Float[torch.Tensor, "v"]:
    """The number of each vertex's group in `PART_GROUPS`."""
    numbers = [
        next(i for i, (starts, _) in enumerate(PART_GROUPS.values()) if name.startswith(starts))
        for name in body.part_names
    ]
    return torch.tensor(numbers)[body.part_labels]


class Photographs:
    """The photographs of a session."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._shown: ByteCache[tuple[np.ndarray, ...]] = ByteCache(PHOTOGRAPH_BYTES, array_bytes)

    def photo(self, camera: str, frame: int, side: int) -> FloatPicture:
        """The pinhole picture, at most so large.

        Raises:
            InputError: it was not recorded, or cannot be read.
        """
        self._require(camera, frame)

        def make() -> tuple[np.ndarray, ...]:
            photo = self.session.image(frame, camera)
            return unchangeable(resize_area(photo, *limited_size(photo.shape[1], photo.shape[0], side)))

        return self._shown.get((camera, frame, side), make)[0]

    def measured(self, camera: str, frame: int) -> tuple[np.ndarray, np.ndarray]:
        """Depth in metres and where it is known, at its own size.

        Raises:
            InputError: there is none.
        """
        self._require(camera, frame)
        found = self.session.depth(frame, camera)
        if found is None:
            raise InputError("the capture has no depth here", where=f"camera {camera}, frame {frame}")
        return found

    def _require(self, camera: str, frame: int) -> None:
        if camera not in self.session.camera_names or frame not in self.session.frame_indices:
            raise InputError("the capture has no such view", where=f"camera {camera}, frame {frame}")
        if not self.session.has(frame, camera):
            raise InputError("the camera did not record this frame", where=f"camera {camera}, frame {frame}")


class DrawnRun:
    """A run that was opened to be drawn: its records checked, its session as the fit used it.

    Raises:
        RunError: there is nothing to draw, or a record is damaged or of something else.
    """

    def __init__(self, root: Path, session: Path | None) -> None:
        described = read_run_file(root)
        stages = check_records(root, ["avatar"])
        inputs = stages["avatar"]["inputs"]
        check_records(root, [name for name in ("fit", "observe") if name in inputs])
        self.root = root
        self.trained: TrainedResult = load_trained(root / "avatar")
        self.fit: BodyFit | None = load_fit(root / "fit") if "fit" in inputs else None
        self.body = body_model(body_name_of(described))
        check_body(root, self.body, self.trained.avatar, self.fit)
        if self.fit is not None:
            self.fit = self.trained.corrected(self.fit)
        self.posed = PosedResult(self.trained, self.body, self.fit)
        self._drawn: ByteCache[tuple[np.ndarray, ...]] = ByteCache(DRAWN_BYTES, array_bytes)
        self._session = session

    @cached_property
    def capture(self) -> Photographs:
        """The session with its cameras as the fit used them.

        Raises:
            InputError: it has gone.
        """
        if self._session is None:
            raise InputError("the capture of this run has gone", where=self.root)
        session = load_session(self._session)
        return Photographs(session if self.fit is None else self.fit.adjusted(session))

    @cached_property
    def observed(self) -> Observations | None:
        """What the networks saw; None of a result without a body."""
        return load_observations(self.root / "observe") if (self.root / "observe").is_dir() else None

    def camera(self, name: str, side: int) -> Cameras:
        """A camera of the capture with at most so many pixels on its longer side."""
        view = self.capture.session.cameras_as_tensors(name)
        return view.scaled(*limited_size(view.width, view.height, side))

    def gaussians(self, frame: int, camera: str | None = None) -> Gaussians:
        """As they are in a frame.

        Raises:
            InputError: the frame was not fitted.
        """
        with _fitted(frame):
            return self.posed.at(frame, camera)

    def figure(self, frame: int, camera: str | None = None) -> Figure:
        """What cameras see in a frame.

        Raises:
            InputError: the frame was not fitted.
        """
        with _fitted(frame):
            return self.posed.figure(frame, camera)

    def draw(self, frame: int, name: str, side: int) -> tuple[FloatPicture, np.ndarray, np.ndarray]:
        """Color over black, alpha, and depth in metres (0 where there is none)."""

        def make() -> tuple[np.ndarray, ...]:
            figure, camera = self.figure(frame, name), self.camera(name, side)
            with torch.no_grad():
                drawn = figure.draw(camera)
                expected = drawn.depth / drawn.alpha.clamp(min=LEAST_ALPHA)
                depth = torch.where(drawn.alpha > LEAST_ALPHA, expected, torch.zeros(()))
            rgb = drawn.rgb_premul[0].clamp(0, 1)
            return unchangeable(rgb.numpy(), drawn.alpha[0].numpy(), depth[0].numpy())

        with DRAWING:
            rgb, alpha, depth = self._drawn.get((frame, name, side), make)
        return rgb, alpha, depth

    def person_mask(self, camera: str, frame: int, size: tuple[int, int]) -> np.ndarray | None:
        """The person in a view, 0..1, at a width and height; None where nothing knows."""
        mask = self.capture.session.mask(frame, camera)
        if mask is None and self.observed is not None and self.observed.has(frame, camera):
            mask = self.observed.mask(frame, camera)
        return None if mask is None else resize_area(mask, *size)

    def verts(self, frame: int, camera: str | None = None) -> Float[torch.Tensor, "v 3"]:
        """The fitted body in a frame, world, metres.

        Raises:
            InputError: there is no body, or the frame was not fitted.
        """
        if self.fit is None:
            raise InputError("this result has no body", where=self.root)
        try:
            pose = self.fit.pose_of(frame, camera)
        except KeyError as error:
            raise InputError("this frame was not fitted", where=f"frame {frame}") from error
        with torch.no_grad():
            return self.body.pose(self.rest, pose).verts[0]

    @cached_property
    def rig(self) -> BodyRig:
        """What driving the avatar needs, made once.

        Raises:
            InputError: free Gaussians cannot be driven.
        """
        avatar = self.trained.avatar
        if avatar is None:
            raise InputError("free Gaussians have no body and cannot be posed", where=self.root)
        return rig_body(self.body, avatar.shape, avatar.binding)

    @cached_property
    def rest(self) -> RestBody:
        """The fitted person's body at rest."""
        assert self.fit is not None
        with torch.no_grad():
            return self.body.rest(self.fit.shape)


@contextmanager
def _fitted(frame: int) -> Iterator[None]:
    try:
        yield
    except KeyError as error:
        raise InputError("this frame was not fitted", where=f"frame {frame}", found=error) from error


def draw_layer(run: DrawnRun, layer: str, camera: str, frame: int, side: int) -> np.ndarray:
    """A picture of one view.

    Args:
        layer: one of `LAYERS`.

    Raises:
        InputError: there is no such layer here; says why.
        RunError: a record is damaged.
    """
    with DRAWING:
        return as_bytes(LAYERS[layer](run, camera, frame, side))


def _person(run: DrawnRun, camera: str, frame: int, side: int) -> FloatPicture:
    """The photograph over black, as views are compared: cut out at its own size and then made smaller."""
    whole = run.capture.photo(camera, frame, 1 << 16)
    height, width = whole.shape[:2]
    mask = run.person_mask(camera, frame, (width, height))
    if mask is not None:
        whole = whole * mask[..., None]
    return resize_area(whole, *limited_size(width, height, side))


def _render(run: DrawnRun, camera: str, frame: int, side: int) -> FloatPicture:
    return run.draw(frame, camera, side)[0]


def _overlay(run: DrawnRun, camera: str, frame: int, side: int) -> FloatPicture:
    rgb, alpha, _ = run.draw(frame, camera, side)
    photo = run.capture.photo(camera, frame, side)
    return composite(rgb, alpha, photo)


def _depth(run: DrawnRun, camera: str, frame: int, side: int) -> FloatPicture:
    _, alpha, depth = run.draw(frame, camera, side)
    return paint_depth(depth, alpha > 0.5)[0]


def paint_measured(capture: Photographs, camera: str, frame: int, side: int) -> FloatPicture:
    """The sensor's depth in colors."""
    depth, valid = capture.measured(camera, frame)
    size = limited_size(depth.shape[1], depth.shape[0], side)
    near = cv2.resize(np.where(valid, depth, 0), size, interpolation=cv2.INTER_NEAREST)
    return paint_depth(near, near > 0)[0]


def paint_depth(depth: np.ndarray, known: np.ndarray) -> tuple[FloatPicture, tuple[float, float]]:
    """Depth in colors, near ones warm, and the range of metres that they span: 2 to 98 % of the values."""
    if not known.any():
        return np.zeros((*depth.shape, 3), np.float32), (0.0, 0.0)
    low, high = (float(v) for v in np.quantile(depth[known], [0.02, 0.98]))
    level = np.clip((high - depth) / max(high - low, 1e-6), 0, 1)
    colors = cv2.applyColorMap((level * 255).astype(np.uint8), cv2.COLORMAP_TURBO)[..., ::-1]
    return np.where(known[..., None], colors, 0).astype(np.float32) / 255, (low, high)


def _normals(run: DrawnRun, camera: str, frame: int, side: int) -> FloatPicture:
    """Normals in the camera's frame: right is red, up is green, towards the camera is blue."""
    gaussians, view = run.gaussians(frame, camera), run.camera(camera, side)
    with torch.no_grad():
        local = gaussian_normals(gaussians, view) @ view.viewmats[0, :3, :3].T
        colors = 0.5 + 0.5 * local * torch.tensor([1.0, -1.0, -1.0])
        drawn = rasterize_features(gaussians, colors, view, eps2d=OUTLINE_EPS2D)
    return drawn.features_premul[0].numpy()


def part_shares(run: DrawnRun, camera: str, frame: int, side: int) -> Float[np.ndarray, "h w p"]:
    """How much of each pixel is of which group of parts.

    Raises:
        InputError: the result has no body.
    """
    if run.trained.avatar is None:
        raise InputError("free Gaussians have no body parts", where=run.root)
    corner = run.body.faces[run.trained.avatar.binding.faces][:, 0]
    groups = part_groups(run.body)[corner]
    hot = torch.nn.functional.one_hot(groups, len(PART_GROUPS)).float()
    with torch.no_grad():
        view = run.camera(camera, side)
        drawn = rasterize_features(run.gaussians(frame, camera), hot, view, eps2d=OUTLINE_EPS2D)
    return drawn.features_premul[0].numpy()


def region_errors(run: DrawnRun, camera: str, frame: int, ours: Picture, theirs: Picture) -> dict[str, float]:
    """PSNR of two pictures of a view over each group of parts that the avatar shows there, dB."""
    with DRAWING:
        shares = part_shares(run, camera, frame, max(ours.shape[:2]))
    if ours.shape != theirs.shape or shares.shape[:2] != ours.shape[:2]:
        return {}
    squared = (((ours.astype(np.float32) - theirs) / 255) ** 2).mean(-1)
    most, covered = shares.argmax(-1), shares.sum(-1) > 0.5
    found = {}
    for number, name in enumerate(PART_GROUPS):
        where = covered & (most == number)
        if np.count_nonzero(where) >= FEWEST_PIXELS:
            found[name] = -10 * math.log10(max(float(squared[where].mean()), 1e-10))
    return found


def _parts(run: DrawnRun, camera: str, frame: int, side: int) -> FloatPicture:
    colors = np.array([color for _, color in PART_GROUPS.values()], np.float32)
    return part_shares(run, camera, frame, side) @ colors


def _body(run: DrawnRun, camera: str, frame: int, side: int) -> FloatPicture:
    photo = run.capture.photo(camera, frame, 1 << 16)
    view = run.capture.session.cameras_as_tensors(camera)
    return draw_overlay(photo, view, run.verts(frame, camera), run.body.faces, side)


def _mask(run: DrawnRun, camera: str, frame: int, side: int) -> FloatPicture:
    photo = run.capture.photo(camera, frame, side)
    mask = run.person_mask(camera, frame, (photo.shape[1], photo.shape[0]))
    if mask is None:
        raise InputError("nothing has a mask of this view", where=f"camera {camera}, frame {frame}")
    green = np.array([0.25, 0.85, 0.45], np.float32)
    return photo * (0.35 + 0.65 * mask[..., None]) + green * (0.25 * (1 - mask[..., None]))


def _keypoints(run: DrawnRun, camera: str, frame: int, side: int) -> FloatPicture:
    """What the network saw (dots) and where the body's own points are (rings)."""
    photo = as_bytes(run.capture.photo(camera, frame, side))
    view = run.camera(camera, side)
    observed = run.observed
    if observed is not None and observed.has(frame, camera):
        row = int(np.flatnonzero(observed.frames == frame)[0])
        column = observed.cameras.index(camera)
        sure = observed.pose_visibility[row, column] * observed.pose_score[row, column]
        places = np.array(observed.pose_px[row, column]) * (
            view.width / run.capture.session.camera(camera).width
        )
        for place in places[np.isfinite(places).all(-1) & (sure > LEAST_CONFIDENCE)]:
            cv2.circle(photo, tuple(np.round(place).astype(int).tolist()), 3, SEEN_RGB, -1, cv2.LINE_AA)
    if run.fit is not None:
        with torch.no_grad():
            points = run.body.keypoints_at("pose33", run.rest, run.fit.pose_of(frame, camera))[0]
        put, depth = view.project(points)
        for place in put[0][depth[0] > 0].numpy():
            if np.isfinite(place).all() and np.abs(place).max() < 1e5:
                cv2.circle(photo, tuple(np.round(place).astype(int).tolist()), 5, PUT_RGB, 1, cv2.LINE_AA)
    return photo.astype(np.float32) / 255


LAYERS: dict[str, Callable[[DrawnRun, str, int, int], FloatPicture]] = {
    "person": _person,
    "render": _render,
    "overlay": _overlay,
    "depth": _depth,
    "normals": _normals,
    "parts": _parts,
    "body": _body,
    "mask": _mask,
    "keypoints": _keypoints,
}


def depth_range(run: DrawnRun, camera: str, frame: int, side: int) -> tuple[float, float]:
    """The metres that the colors of the layer `depth` span."""
    _, alpha, depth = run.draw(frame, camera, side)
    return paint_depth(depth, alpha > 0.5)[1]


def open_photographs(root: Path) -> Photographs:
    """A session without a run.

    Raises:
        InputError: it cannot be read.
    """
    return Photographs(load_session(root))


def draw_photograph(capture: Photographs, layer: str, camera: str, frame: int, side: int) -> np.ndarray:
    """What the capture alone shows: `photo`, or the sensor's depth, `measured`.

    Raises:
        InputError: it has none.
    """
    if layer == "measured":
        return as_bytes(paint_measured(capture, camera, frame, side))
    return as_bytes(capture.photo(camera, frame, side))
