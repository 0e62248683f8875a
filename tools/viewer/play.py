"""The avatar in poses that somebody chooses, and in motions that somebody brings. This imports torch."""

from __future__ import annotations

import hashlib
import math
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from simulacra.recon.avatar.animate import poses_of
from simulacra.recon.avatar.finished import FinishedAvatar
from simulacra.recon.avatar.pictures import BACKDROP, bounding_sphere
from simulacra.recon.motion import describe_skeleton, find_skeleton, load_bvh
from simulacra.recon.session.video import write_video
from simulacra.render.avatar import drive
from simulacra.render.body import BodyPose
from simulacra.render.camera import Cameras, look_at
from simulacra.render.figure import Figure
from simulacra.render.gaussians import Gaussians
from simulacra.render.image import composite
from simulacra.render.rotation import axis_angle_to_matrix, matrix_to_axis_angle
from simulacra.render.runtime.errors import InputError

from .drawing import DRAWING, DrawnRun
from .pictures import as_bytes

FPS = 30.0
FIELD_OF_VIEW = math.radians(30.0)
LARGEST_MOTION, MOST_FRAMES, MOST_MOTIONS = 32 << 20, 6000, 4
SIDES = (64, 2048)
CLIP_FRAMES = 600
# The bones that get sliders: those of which a change is seen from afar; fingers follow their first bones.
_LIMBS = ("clavicle", "upperarm01", "lowerarm01", "wrist", "upperleg01", "lowerleg01", "foot")
BONES = (
    *("root", "spine05", "spine03", "spine01", "neck01", "head", "eye.L", "eye.R"),
    *(f"{bone}.{side}" for bone in _LIMBS for side in "LR"),
    *(f"finger{n}-{k}.{side}" for side in "LR" for n in range(1, 6) for k in (1, 2)),
)


@dataclass(frozen=True)
class Motions:
    """Retargeted motions, a few of them, by run and content."""

    kept: OrderedDict[tuple[Path, str], BodyPose]
    lock: threading.Lock

    @staticmethod
    def none() -> Motions:
        """An empty record."""
        return Motions(OrderedDict(), threading.Lock())


def play_facts(run: DrawnRun) -> dict[str, Any]:
    """What can be moved.

    Raises:
        InputError: free Gaussians cannot be.
    """
    _require_avatar(run)
    bones = [name for name in BONES if name in run.body.bone_names]
    frames = [] if run.fit is None else run.fit.frames.tolist()
    return {"bones": bones, "expressions": list(run.body.expression_names), "frames": frames}


def add_motion(motions: Motions, run: DrawnRun, content: bytes) -> dict[str, Any]:
    """Reads a BVH file and transfers it to the person.

    Raises:
        InputError: it is too large, damaged, or of a skeleton that is not understood.
    """
    avatar = _require_avatar(run)
    if len(content) > LARGEST_MOTION:
        raise InputError("a motion file is too large", expected=f"at most {LARGEST_MOTION >> 20} MiB")
    name = hashlib.sha256(content).hexdigest()[:16]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "motion.bvh"
        path.write_bytes(content)
        recorded = load_bvh(path)
        said = describe_skeleton(recorded, find_skeleton(recorded, None))
        with DRAWING:
            poses = poses_of(avatar, recorded, FPS, None)
    if len(poses.translation) > MOST_FRAMES:
        poses = _rows(poses, slice(0, MOST_FRAMES))
    with motions.lock:
        motions.kept[run.root, name] = poses
        while len(motions.kept) > MOST_MOTIONS:
            motions.kept.popitem(last=False)
    return {"motion": name, "frames": len(poses.translation), "fps": FPS, "skeleton": said}


def chosen_pose(motions: Motions, run: DrawnRun, asked: Mapping[str, Any]) -> BodyPose:
    """The pose that a client asks for: at rest, of a frame, or of a motion; turned further by the sliders.

    Args:
        asked: `frame` or `motion` and `at`; `bones`, axis-angles in radians by name; `expressions`, 0..1 by name.

    Raises:
        InputError: no such frame, motion, bone or action; a value that is none.
    """
    pose = _base_pose(motions, run, asked)
    turned, expression = pose.rotations.clone(), pose.expression.clone()
    for name, value in _named(asked, "bones", run.body.bone_names):
        turn = torch.tensor(_numbers(value, 3, math.pi), dtype=torch.float32)
        bone = run.body.bone_names.index(name)
        both = axis_angle_to_matrix(turned[0, bone]) @ axis_angle_to_matrix(turn)
        turned[0, bone] = matrix_to_axis_angle(both)
    for name, value in _named(asked, "expressions", run.body.expression_names):
        expression[0, run.body.expression_names.index(name)] = _numbers([value], 1, 2.0)[0]
    return BodyPose(turned, pose.translation, expression)


def _base_pose(motions: Motions, run: DrawnRun, asked: Mapping[str, Any]) -> BodyPose:
    motion, frame = asked.get("motion"), asked.get("frame")
    if isinstance(motion, str):
        with motions.lock:
            poses = motions.kept.get((run.root, motion))
        if poses is None:
            raise InputError("this motion is no longer kept", remedy="drop its file in again")
        return _rows(poses, slice(*(at := _whole(asked.get("at", 0)) % len(poses.translation), at + 1)))
    if frame is not None and run.fit is not None:
        try:
            return run.fit.pose_of(_whole(frame))
        except KeyError as error:
            raise InputError("this frame was not fitted", found=frame) from error
    return run.body.zero_pose()


def posed_gaussians(motions: Motions, run: DrawnRun, asked: Mapping[str, Any]) -> Gaussians:
    """The avatar's Gaussians in the pose that a client asks for.

    Raises:
        InputError: as `chosen_pose`.
    """
    with DRAWING, torch.no_grad():
        return _posed(run, chosen_pose(motions, run, asked))


def draw_pose(motions: Motions, run: DrawnRun, asked: Mapping[str, Any]) -> np.ndarray:
    """The avatar in the asked pose from the asked side, 8 bit.

    Args:
        asked: as `chosen_pose`; `azimuth` and `elevation` in degrees, `distance` 1 where all of it fits, `height` of
            the point that is looked at, `side` in pixels, `background` of three numbers.

    Raises:
        InputError: as `chosen_pose`.
    """
    with DRAWING, torch.no_grad():
        figure = _figure(run, chosen_pose(motions, run, asked))
        return _picture(figure, _orbit(_around(figure), asked), _background(asked))


def draw_clip(motions: Motions, run: DrawnRun, asked: Mapping[str, Any]) -> bytes:
    """An MP4 of a turn around the asked pose (`kind` turntable), or of the asked motion.

    Raises:
        InputError: as `chosen_pose`; there is no motion.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        pictures = (
            _turn(motions, run, asked) if asked.get("kind") == "turntable" else _moved(motions, run, asked)
        )
        write_video(path, (picture.astype(np.float32) / 255 for picture in pictures), FPS)
        return path.read_bytes()


def _turn(motions: Motions, run: DrawnRun, asked: Mapping[str, Any]) -> Iterator[np.ndarray]:
    count = min(CLIP_FRAMES, max(2, _whole(asked.get("count", 90))))
    with DRAWING, torch.no_grad():
        figure = _figure(run, chosen_pose(motions, run, asked))
    around, begin = _around(figure), _number(asked, "azimuth", 0.0, 1e6)
    for index in range(count):
        from_here = {**asked, "azimuth": begin + 360 * index / count}
        with DRAWING, torch.no_grad():
            picture = _picture(figure, _orbit(around, from_here), _background(asked))
        yield picture


def _moved(motions: Motions, run: DrawnRun, asked: Mapping[str, Any]) -> Iterator[np.ndarray]:
    with motions.lock:
        poses = motions.kept.get((run.root, str(asked.get("motion"))))
    if poses is None:
        raise InputError("there is no motion to be drawn", remedy="drop a BVH file in")
    with DRAWING, torch.no_grad():
        around = _around(_figure(run, _rows(poses, slice(0, 1))))
    for at in range(min(CLIP_FRAMES, len(poses.translation))):
        with DRAWING, torch.no_grad():
            figure = _figure(run, chosen_pose(motions, run, {**asked, "at": at}))
            center = figure.points.mean(0)
            picture = _picture(figure, _orbit((center, around[1]), asked), _background(asked))
        yield picture


def _require_avatar(run: DrawnRun) -> FinishedAvatar:
    avatar, fit = run.trained.avatar, run.fit
    if avatar is None or fit is None:
        raise InputError("free Gaussians have no body and cannot be posed", where=run.root)
    return FinishedAvatar(avatar, run.body, run.rig, fit, run.trained.mesh)


def _posed(run: DrawnRun, pose: BodyPose) -> Gaussians:
    rig = run.rig  # which free Gaussians have none of
    assert run.trained.avatar is not None
    return drive(run.trained.avatar, rig, pose)


def _figure(run: DrawnRun, pose: BodyPose) -> Figure:
    return run.trained.pose(run.rig, pose)


def _around(figure: Figure) -> tuple[torch.Tensor, float]:
    sphere = bounding_sphere(figure)
    return sphere.center, sphere.radius


def _orbit(around: tuple[torch.Tensor, float], asked: Mapping[str, Any]) -> Cameras:
    center, radius = around
    side = min(SIDES[1], max(SIDES[0], _whole(asked.get("side", 512))))
    azimuth = math.radians(_number(asked, "azimuth", 0.0, 1e6))
    elevation = math.radians(max(-85.0, min(85.0, _number(asked, "elevation", 6.0, 1e6))))
    distance = max(0.05, _number(asked, "distance", 1.0, 100.0)) * 1.04 * radius / math.sin(FIELD_OF_VIEW / 2)
    level = math.cos(elevation)
    ray = center.new_tensor([math.sin(azimuth) * level, math.sin(elevation), math.cos(azimuth) * level])
    target = center + center.new_tensor([0.0, _number(asked, "height", 0.0, 100.0), 0.0])
    focal = side / 2 / math.tan(FIELD_OF_VIEW / 2)
    return look_at((target + distance * ray)[None], target[None], focal, side, side)


def _picture(figure: Figure, camera: Cameras, background: torch.Tensor) -> np.ndarray:
    drawn = figure.draw(camera)
    return as_bytes(composite(drawn.rgb_premul[0], drawn.alpha[0], background).clamp(0, 1).numpy())


def _background(asked: Mapping[str, Any]) -> torch.Tensor:
    return torch.tensor(_numbers(asked.get("background", BACKDROP), 3, 1.0), dtype=torch.float32)


def _rows(poses: BodyPose, rows: slice) -> BodyPose:
    return BodyPose(poses.rotations[rows], poses.translation[rows], poses.expression[rows])


def _named(asked: Mapping[str, Any], what: str, known: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    given = asked.get(what, {})
    if not isinstance(given, dict):
        raise InputError(f"{what} are given by name", found=repr(given)[:80])
    for name, value in given.items():
        if name not in known:
            raise InputError(f"the body has none of {what} of this name", found=str(name)[:80])
        yield name, value


def _numbers(values: Any, count: int, most: float) -> list[float]:
    good = isinstance(values, list | tuple) and len(values) == count
    if not good or not all(_is_number(v) and abs(v) <= most for v in values):
        raise InputError(f"{count} numbers of at most {most:g} are wanted", found=repr(values)[:80])
    return [float(v) for v in values]


def _number(asked: Mapping[str, Any], name: str, otherwise: float, most: float) -> float:
    return _numbers([asked.get(name, otherwise)], 1, most)[0]


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise InputError("a whole number is wanted", found=repr(value)[:80])
    return value


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
