"""A session of pictures of the known body, small enough that all stages of a run take some seconds, and a landmark
network that knows where the body is.

Four cameras stand around the person; every picture says along its upper edge which view it is, and the planted network
reads that. What the true answer of every stage is follows from the pose that was drawn.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from simulacra.recon.fit import BodyFit
from simulacra.recon.observe.landmarks import POSE33
from simulacra.recon.observe.pose import PoseDetection, PoseNetwork
from simulacra.recon.observe.roi import Roi
from simulacra.recon.observe.soft_mask import SoftMask
from simulacra.recon.session import Frame, Session, SessionCamera, Source, describe_session, load_session
from simulacra.render.body import BodyModel, BodyPose, BodyShape
from simulacra.render.camera import Cameras
from simulacra.render.image import write_image
from simulacra.render.mesh import rasterize_mesh
from tests.recon.planted_person import project, ring_of_cameras, seen_skeleton

NAMES = ("a", "b", "c", "d")
HELD_OUT = "d"
FRAMES = (0, 1, 2, 3)
SIZE = 192
STRIP = 4  # rows of the picture's upper edge that say which view it is
DEPTH_SCALE = 5000.0
FPS = 4.0


@dataclass(frozen=True)
class World:
    """What is in front of the cameras.

    Attributes:
        colors: of each vertex of the body.
        poses: one more than there are frames: frame i shows pose i + 1, or an earlier one to a camera that lags.
    """

    body: BodyModel
    shape: BodyShape
    colors: torch.Tensor
    poses: BodyPose
    viewmats: np.ndarray
    Ks: np.ndarray

    def camera(self, name: str) -> SessionCamera:
        """As it truly is."""
        i = NAMES.index(name)
        return SessionCamera(name, SIZE, SIZE, self.Ks[i], self.viewmats[i], None, DEPTH_SCALE)


def plant_world(body: BodyModel) -> World:
    """A colorful person who steps to the side, turns and lowers the arms."""
    count = len(FRAMES) + 1
    shape = body.neutral_shape()
    time = torch.arange(count) / FPS
    poses = BodyPose(
        torch.zeros(count, len(body.bone_names), 3),
        torch.stack([0.24 * time - 0.12, 0 * time, 0 * time], -1),
        torch.zeros(count, len(body.expression_names)),
    )
    poses.rotations[:, 0, 1] = 0.8 * time
    for side, sign in (("L", -1.0), ("R", 1.0)):
        poses.rotations[:, body.bone_names.index(f"upperarm01.{side}"), 2] = sign * 0.4 * time
    waves = torch.tensor([[9.0, 5.0, 0.0], [0.0, 7.0, 11.0], [6.0, 0.0, -8.0]])
    colors = 0.5 + 0.3 * torch.sin(body.rest(shape).verts @ waves.T)
    viewmats, Ks = ring_of_cameras(len(NAMES))
    # The ring is of 1000 x 1000 pixels; a third longer, so that the person fills the picture.
    Ks = (
        Ks
        * np.array([SIZE / 1000, SIZE / 1000, 1.0])[:, None]
        * np.array([[1.33, 1, 1], [1, 1.33, 1], [1, 1, 1]])
    )
    return World(body, shape, colors, poses, viewmats, Ks)


def true_fit(world: World, **changes: object) -> BodyFit:
    """What a perfect fit of the training cameras says."""
    cameras = tuple(name for name in NAMES if name != HELD_OUT)
    seen = (len(FRAMES), len(cameras), 33)
    known = {
        "shape": world.shape,
        "pose": _part(world.poses, slice(1, None)),
        "frames": np.array(FRAMES),
        "cameras": cameras,
        "time_offsets": np.zeros(len(cameras)),
        "bias": np.zeros((33, 3)),
        "residual_px": np.ones(seen),
        "confidence": np.ones(seen),
        "summary": {},
    }
    return BodyFit(**(known | changes))  # type: ignore[arg-type]


def write_planted_session(
    root: Path,
    world: World,
    lags: Mapping[str, int] = {},
    turned: Mapping[str, float] = {},
    depth: bool = True,
) -> Session:
    """Pictures, masks and depth of all views.

    Args:
        lags: whole frames that cameras look late.
        turned: radians by which the description has cameras turned about their own vertical.
    """
    for frame in FRAMES:
        for name in NAMES:
            _write_view(root, world, name, frame, lags.get(name, 0))
    cameras = []
    for name in NAMES:
        camera = world.camera(name)
        angle = turned.get(name, 0.0)
        turn = np.eye(4)
        turn[[0, 2], [0, 2]], turn[0, 2], turn[2, 0] = np.cos(angle), np.sin(angle), -np.sin(angle)
        viewmat = turn @ camera.viewmat if angle else camera.viewmat
        cameras.append(
            SessionCamera(name, SIZE, SIZE, camera.K, viewmat, None, DEPTH_SCALE if depth else None)
        )
    frames = [Frame(f, {n: Source(f"images/{n}/{f:06d}.png", time=f / FPS) for n in NAMES}) for f in FRAMES]
    (root / "session.json").write_text(
        describe_session(cameras, frames, notes=[], about={"subject": "S01", "importer": "planted"})
    )
    return load_session(root)


def _write_view(root: Path, world: World, name: str, frame: int, lag: int) -> None:
    camera = world.camera(name)
    view = Cameras(
        torch.from_numpy(camera.viewmat).float()[None], torch.from_numpy(camera.K).float()[None], SIZE, SIZE
    )
    body = world.body
    with torch.no_grad():
        pose = _part(world.poses, slice(frame + 1 - lag, frame + 2 - lag))
        drawn = rasterize_mesh(body.pose(body.rest(world.shape), pose).verts[0], body.faces, view)
    covered = drawn.covered[0].numpy()
    corners = world.colors[body.faces[drawn.face_index[0].clamp(min=0)]]
    person = (corners * drawn.barycentrics[0][..., None]).sum(-2).numpy()
    room = np.random.default_rng(NAMES.index(name)).uniform(0.2, 0.4, (SIZE, SIZE, 1))
    image = np.where(covered[..., None], person, room).astype(np.float32)
    image[:STRIP] = _written(name, frame)[None, :, None]
    file = f"{name}/{frame:06d}.png"
    write_image(root / "images" / file, image)
    write_image(root / "masks" / file, covered.astype(np.float32))
    write_depth(root / "depth" / file, np.where(covered, drawn.depth[0].numpy(), 0.0))


def write_depth(path: Path, depth: np.ndarray) -> None:
    """Metres as the session keeps them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.round(depth * DEPTH_SCALE).astype(np.uint16))


def poison(
    root: Path, views: Iterable[tuple[str, int]], kinds: Iterable[str], seed: int, keep_strip: bool = False
) -> None:
    """Noise in place of views.

    Args:
        kinds: some of images, masks and depth.
        keep_strip: the planted network goes on to know the view, as a real one may look through noise.
    """
    generator = np.random.default_rng(seed)
    for name, frame in views:
        file = f"{name}/{frame:06d}.png"
        for kind in kinds:
            if kind == "depth":
                write_depth(root / kind / file, generator.uniform(0.5, 5.0, (SIZE, SIZE)))
                continue
            noise = generator.uniform(0, 1, (SIZE, SIZE, 3)).astype(np.float32)
            if keep_strip:
                noise[:STRIP] = _written(name, frame)[None, :, None]
            write_image(root / kind / file, noise if kind == "images" else noise[..., 0].round())


def leave(root: Path, frames: Iterable[int], names: Iterable[str] = NAMES) -> None:
    """The person is not there: an empty room, empty masks, no depth."""
    for name in names:
        for frame in frames:
            file = f"{name}/{frame:06d}.png"
            write_image(root / "images" / file, np.full((SIZE, SIZE, 3), 0.3, np.float32))
            write_image(root / "masks" / file, np.zeros((SIZE, SIZE), np.float32))
            write_depth(root / "depth" / file, np.zeros((SIZE, SIZE)))


def poison_camera(root: Path, name: str) -> None:
    """Noise in place of all that a camera recorded, and another place for it in the description."""
    poison(root, [(name, frame) for frame in FRAMES], ("images", "masks", "depth"), seed=1)
    described = json.loads((root / "session.json").read_text())
    described["cameras"][NAMES.index(name)]["viewmat"][0][3] += 0.2
    (root / "session.json").write_text(json.dumps(described))


def _written(name: str, frame: int) -> np.ndarray:
    """A row of eight blocks: 1 0 1, two bits of the camera, three of the frame."""
    number = 0b101 << 5 | NAMES.index(name) << 3 | frame
    bits = [number >> (7 - i) & 1 for i in range(8)]
    return np.repeat(np.array(bits, np.float32), SIZE // 8)


def _read(image: np.ndarray) -> tuple[str, int] | None:
    """Which view a picture is; None where nothing is written."""
    bits = (image[:STRIP].mean((0, 2)).reshape(8, -1).mean(1) > 0.5).astype(int)
    number = int("".join(map(str, bits)), 2)
    if image.shape[:2] != (SIZE, SIZE) or number >> 5 != 0b101 or number & 7 not in FRAMES:
        return None
    return NAMES[number >> 3 & 3], number & 7


def planted_network(world: World) -> type[PoseNetwork]:
    """A class in the place of `PoseNetwork`: it reads which view it is shown and knows the truth, to a pixel's half."""
    with torch.no_grad():
        posed = world.body.pose(world.body.rest(world.shape), world.poses)
        landmarks = world.body.keypoints["pose33"](posed).double().numpy()[1:]
    noise = np.random.default_rng(5).normal(0, 0.25, (len(FRAMES), len(NAMES), 33, 2))
    seen = project(landmarks, world.viewmats, world.Ks) + noise
    skeletons = np.stack([seen_skeleton(landmarks, viewmat) for viewmat in world.viewmats], 1)

    class PlantedNetwork(PoseNetwork):
        """Finds the person in every picture that says which it is."""

        def __init__(self) -> None:
            """Loads nothing."""

        def find(self, image: np.ndarray) -> Roi | None:
            return Roi.letterbox(SIZE, SIZE) if _read(image) else None

        def find_all(self, image: np.ndarray, *, tiles: bool = True) -> list[Roi]:
            return [roi] if (roi := self.find(image)) is not None else []

        def predict(self, image: np.ndarray, roi: Roi, *, min_score: float = 0.5) -> PoseDetection | None:
            view = _read(image)
            if view is None:
                return None
            at = FRAMES.index(view[1]), NAMES.index(view[0])
            px, skeleton = seen[at].astype(np.float32), skeletons[at].astype(np.float32)
            middle, side = 0.5 * (px.min(0) + px.max(0)), 1.25 * float(np.ptp(px[:, 1]))
            body = np.zeros((SIZE, SIZE), np.float32)
            cv2.fillConvexPoly(body, cv2.convexHull(px).astype(np.int32), 1.0)
            ones = np.full(33, 0.95, np.float32)
            return PoseDetection(
                px[list(POSE33.mirror)] if roi.mirror else px,
                ones,
                ones,
                skeleton[list(POSE33.mirror)] * [-1, 1, 1] if roi.mirror else skeleton,
                0.99,
                roi,
                Roi.square(middle, side),
                np.zeros(33, np.float32),
                SoftMask(body, Roi.letterbox(SIZE, SIZE)),
                (SIZE, SIZE),
            )

    return PlantedNetwork


def _part(pose: BodyPose, rows: slice) -> BodyPose:
    return BodyPose(pose.rotations[rows], pose.translation[rows], pose.expression[rows])
