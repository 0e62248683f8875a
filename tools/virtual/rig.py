"""Cameras around a virtual person, as capture teams set them up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from annotated_types import Interval
from jaxtyping import Float

from simulacra.recon.runs.configuration import config
from simulacra.recon.session.lens import Lens, LensModel, check_lens
from simulacra.render.camera import look_at
from simulacra.render.rotation import axis_angle_to_matrix
from simulacra.render.runtime.errors import ConfigError

Layout = Literal["ring", "arc", "face", "turnaround"]


@config
class RigConfig:
    """Where cameras stand and what they see.

    Attributes:
        layout: ring: all around, evenly. arc: in front, over `span` degrees. face: three close cameras as on a headset:
            in front below, left and right. turnaround: one camera carried around a person who tries to stand still;
            every picture is a camera of its own.
        count: of cameras, or of the turn's pictures. face has three.
        distance: from the person, metres.
        height: over the floor, metres; `rise` is added to every other one.
        look_at_height: which point over the floor they look at; of the face rig, that of the eyes.
        span: degrees of an arc.
        field_of_view: along the image's longer side, degrees.
        lens: model of all cameras' lenses.
        distortion: its coefficients; none: pinhole images.
        interval_ms: between pictures of a turn.
        jitter_m: how unevenly the cameras are mounted, one standard deviation.
        jitter_deg: likewise, of their directions.
        judges: further cameras of a ring or an arc, half-way between its own, named judge0 and so on: without noise,
            blur, lag or error of calibration, and with the true mask. A reconstruction that holds them out is judged
            by them whatever becomes of the others.
    """

    layout: Layout = "ring"
    count: Annotated[int, Interval(ge=1, le=1000)] = 8
    distance: Annotated[float, Interval(ge=0.05, le=100)] = 2.2
    height: Annotated[float, Interval(ge=-10, le=100)] = 1.2
    rise: Annotated[float, Interval(ge=-100, le=100)] = 0.5
    look_at_height: Annotated[float, Interval(ge=-10, le=100)] = 0.9
    span: Annotated[float, Interval(ge=0, le=360)] = 150.0
    width: Annotated[int, Interval(ge=32, le=16_384)] = 1024
    height_px: Annotated[int, Interval(ge=32, le=16_384)] = 1024
    field_of_view: Annotated[float, Interval(ge=5, le=150)] = 56.0
    lens: LensModel = "opencv"
    distortion: tuple[Annotated[float, Interval(ge=-1000, le=1000)], ...] = ()
    interval_ms: Annotated[float, Interval(ge=0, le=60_000)] = 250.0
    jitter_m: Annotated[float, Interval(ge=0, le=10)] = 0.03
    jitter_deg: Annotated[float, Interval(ge=0, le=180)] = 1.0
    judges: Annotated[int, Interval(ge=0, le=100)] = 0


@dataclass(frozen=True)
class VirtualCamera:
    """A camera as it truly is: pinhole matrix in pixels, world to camera, its lens, and when it looks.

    Attributes:
        lag: seconds after the rig's clock.
        judge: has no faults, and is held out.
    """

    name: str
    width: int
    height: int
    K: Float[np.ndarray, "3 3"]
    viewmat: Float[np.ndarray, "4 4"]
    lens: Lens | None
    lag: float = 0.0
    judge: bool = False


def make_rig(settings: RigConfig, seed: int, eyes: Float[np.ndarray, "3"]) -> tuple[VirtualCamera, ...]:
    """The cameras of a rig, each a little off its place as the seed says.

    Args:
        eyes: between the person's eyes, world, metres: where a face rig is mounted.

    Raises:
        ConfigError: a rig that cannot be built.
        CalibrationError: a lens that cannot be.
    """
    rng = np.random.default_rng(seed)
    lens = Lens(settings.lens, settings.distortion) if settings.distortion else None
    longer = max(settings.width, settings.height_px)
    focal = longer / 2 / float(np.tan(np.radians(settings.field_of_view) / 2))
    cameras = []
    places = [*_places(settings, eyes), *_judges(settings)]
    for number, (eye, target, lag) in enumerate(places):
        eye = eye + settings.jitter_m * rng.standard_normal(3)
        turn = np.radians(settings.jitter_deg) * rng.standard_normal(3)
        center = settings.width / 2, settings.height_px / 2
        shift = (
            0.004 * longer * rng.standard_normal(2)
        )  # of the principal point: sensors are not glued on exactly
        own_focal = focal * (1 + 0.004 * rng.standard_normal())
        K = np.array(
            [[own_focal, 0, center[0] + shift[0]], [0, own_focal, center[1] + shift[1]], [0, 0, 1]], float
        )
        viewmat = _turn_camera(_look_at(eye, target), turn)
        judge = number >= len(places) - settings.judges
        name = f"{number:02d}" if settings.count > 10 else str(number)
        if judge:
            name = f"judge{number - len(places) + settings.judges}"
        if lens is not None:
            check_lens(lens, "rig.distortion", K)
        cameras.append(VirtualCamera(name, settings.width, settings.height_px, K, viewmat, lens, lag, judge))
    return tuple(cameras)


def _places(
    settings: RigConfig, eyes: Float[np.ndarray, "3"]
) -> Sequence[tuple[np.ndarray, np.ndarray, float]]:
    """Eye, target and lag (seconds) of each camera."""
    if settings.layout == "face":
        away = settings.distance
        target = eyes - np.array([0.0, 0.035, 0.05])
        aside = ((0.0, -0.35, 0.94), (0.72, -0.1, 0.68), (-0.72, -0.1, 0.68))
        return [(eyes + away * np.array(direction), target, 0.0) for direction in aside][: settings.count]
    if settings.layout == "arc":
        half = np.radians(settings.span) / 2
        angles = np.linspace(-half, half, settings.count) if settings.count > 1 else np.zeros(1)
    else:
        angles = 2 * np.pi * np.arange(settings.count) / settings.count
    places = []
    target = np.array([0.0, settings.look_at_height, 0.0])
    for number, angle in enumerate(angles):
        height = settings.height + (settings.rise if number % 2 else 0.0)
        if settings.layout == "turnaround":
            height = settings.height + settings.rise * float(np.sin(2.3 * angle))
        eye = np.array([settings.distance * np.sin(angle), height, settings.distance * np.cos(angle)])
        lag = 0.001 * settings.interval_ms * number if settings.layout == "turnaround" else 0.0
        places.append((eye, target, lag))
    return places


def _judges(settings: RigConfig) -> Sequence[tuple[np.ndarray, np.ndarray, float]]:
    """Places of the judges: the gaps between the rig's own cameras, evenly chosen."""
    if settings.judges == 0:
        return []
    if settings.layout not in ("ring", "arc"):
        raise ConfigError(
            "Only a ring and an arc have room for judges", where="rig.judges", found=settings.layout
        )
    turn = 2 * np.pi if settings.layout == "ring" else np.radians(settings.span)
    gaps = max(settings.count if settings.layout == "ring" else settings.count - 1, 1)
    start = 0.0 if settings.layout == "ring" else -turn / 2
    target = np.array([0.0, settings.look_at_height, 0.0])
    found = []
    for k in range(settings.judges):
        angle = start + turn * (int(k * gaps / settings.judges) + 0.5) / gaps
        height = settings.height + 0.5 * settings.rise
        found.append(
            (
                np.array([settings.distance * np.sin(angle), height, settings.distance * np.cos(angle)]),
                target,
                0.0,
            )
        )
    return found


def _look_at(eye: np.ndarray, target: np.ndarray) -> Float[np.ndarray, "4 4"]:
    at = look_at(torch.from_numpy(eye)[None], torch.from_numpy(target)[None], 1.0, 2, 2)
    return at.viewmats[0].numpy()


def _turn_camera(viewmat: Float[np.ndarray, "4 4"], turn: Float[np.ndarray, "3"]) -> Float[np.ndarray, "4 4"]:
    """The camera turned about its own centre; `turn` is axis-angle in its own axes, radians."""
    return moved(viewmat, turn, np.zeros(3))


def moved(
    viewmat: Float[np.ndarray, "4 4"], turn: Float[np.ndarray, "3"], shift: Float[np.ndarray, "3"]
) -> Float[np.ndarray, "4 4"]:
    """A camera turned about its own centre (axis-angle in its axes, radians), and shifted in the world (metres)."""
    center = -viewmat[:3, :3].T @ viewmat[:3, 3] + shift
    rotation = axis_angle_to_matrix(torch.from_numpy(np.asarray(turn, float))).numpy() @ viewmat[:3, :3]
    found = np.eye(4)
    found[:3, :3] = rotation
    found[:3, 3] = -rotation @ center
    return found
