"""What is ready before the first frame: the person, the light, and cameras with their faults and an empty room."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float

from simulacra.recon.session import SessionCamera
from simulacra.render.body import BodyModel, load_body
from simulacra.render.runtime.errors import ConfigError

from .config import Fault, PersonConfig, VirtualCaptureConfig
from .files import DEPTH_UNITS
from .light import Light, studio_light
from .motion import MotionConfig, PoseAt, pose_at
from .people.person import PersonRecipe, VirtualPerson, make_person
from .rig import VirtualCamera, make_rig, moved
from .room import RoomView, look_at_room
from .sensors.lens_view import LensView, lens_view

NEVER = Fault(camera="")
# What a judge's calibration knows of faults: nothing.
BESIDE = VirtualCaptureConfig()


@dataclass(frozen=True)
class Station:
    """A camera that is ready: as it is, as the session will describe it, and what it sees of the empty room."""

    camera: VirtualCamera
    given: SessionCamera
    view: LensView
    room: RoomView
    fault: Fault


@dataclass(frozen=True)
class Actor:
    """Somebody in view: who, and their pose at seconds of the rig's time."""

    person: VirtualPerson
    pose: PoseAt


@dataclass(frozen=True)
class Studio:
    """Everything before the first frame.

    Attributes:
        actors: the person, then the companions.
    """

    settings: VirtualCaptureConfig
    body: BodyModel
    actors: tuple[Actor, ...]
    light: Light
    stations: tuple[Station, ...]

    @property
    def person(self) -> VirtualPerson:
        """The one of whom the truth is."""
        return self.actors[0].person

    @property
    def pose(self) -> PoseAt:
        """The person's, at seconds of the rig's time."""
        return self.actors[0].pose

    @property
    def motions(self) -> tuple[MotionConfig, ...]:
        """What each of the actors does."""
        return (self.settings.motion, *(other.motion for other in self.settings.companions))


def build_studio(settings: VirtualCaptureConfig, threads: int = 1) -> Studio:
    """The person, the light, and cameras with their faults, ready to record.

    Raises:
        ConfigError: a rig, a room or a fault that cannot be.
    """
    body = load_body()
    actors = []
    roles = [(settings.person, settings.motion), *((c.person, c.motion) for c in settings.companions)]
    for number, (who, motion) in enumerate(roles):
        person = make_person(body, recipe_of(who))
        actors.append(Actor(person, pose_at(body, person.rest, motion, settings.seed + number)))
    person, start = actors[0].person, actors[0].pose(0.0)
    with torch.no_grad():
        face = body.keypoints_at("face478", person.rest, start)[0]
    eyes = face[[33, 263]].mean(0).double().numpy()
    light = studio_light(settings.light_seed)
    wall = light.radiance.sum(0).double().numpy() / np.pi
    described = _describe_cameras(settings, make_rig(settings.rig, settings.seed, eyes))

    def station(camera: VirtualCamera, given: SessionCamera, fault: Fault) -> Station:
        view = lens_view(camera.K, camera.width, camera.height, camera.lens)
        drawn = replace(camera, K=view.K, width=view.width, height=view.height)
        return Station(camera, given, view, look_at_room(settings.room, drawn, wall, settings.seed), fault)

    with ThreadPoolExecutor(threads) as pool:
        stations = tuple(pool.map(lambda one: station(*one), described))
    return Studio(settings, body, tuple(actors), light, stations)


def _describe_cameras(
    settings: VirtualCaptureConfig, cameras: Sequence[VirtualCamera]
) -> list[tuple[VirtualCamera, SessionCamera, Fault]]:
    """Each camera as it is, as the session describes it, and its fault."""
    faults = {fault.camera: fault for fault in settings.faults}
    unknown = set(faults) - {camera.name for camera in cameras}
    if unknown:
        raise ConfigError(
            "A fault is of a camera that is not there",
            where="faults",
            expected=" or ".join(camera.name for camera in cameras),
            found=", ".join(sorted(unknown)),
        )
    rng = np.random.default_rng([settings.seed, 1])
    described = []
    for camera in cameras:
        fault = faults.get(camera.name, NEVER)
        chance = rng.standard_normal()
        if not camera.judge:
            lag = camera.lag + 0.001 * (settings.sync_ms * chance + fault.lag_ms)
            camera = replace(camera, lag=float(lag))
        given = _miscalibrate(BESIDE if camera.judge else settings, camera, fault, rng)
        described.append((camera, replace(given, depth_scale=DEPTH_UNITS if settings.depth else None), fault))
    return described


def recipe_of(person: PersonConfig) -> PersonRecipe:
    """Who a configuration describes."""
    fixed = {
        name: value
        for name in ("gender", "height", "weight", "muscle")
        if (value := getattr(person, name)) is not None
    }
    return PersonRecipe(seed=person.seed, phenotypes=fixed, years=person.years)


def _miscalibrate(
    settings: VirtualCaptureConfig, camera: VirtualCamera, fault: Fault, rng: np.random.Generator
) -> SessionCamera:
    """The camera as its calibration has it: a little wrong, as all calibrations are."""
    turn = settings.calibration_deg * rng.standard_normal(3)
    shift = settings.calibration_mm * rng.standard_normal(3)
    focal = settings.calibration_focal_percent * rng.standard_normal()
    # A single camera's fault has a size; its direction is chance.
    turn += fault.turn_deg * _direction(rng)
    shift += fault.move_mm * _direction(rng)
    K = camera.K.copy()
    K[[0, 1], [0, 1]] *= 1 + 0.01 * (focal + fault.focal_percent)
    viewmat = moved(camera.viewmat, np.radians(turn), 0.001 * shift)
    return SessionCamera(camera.name, camera.width, camera.height, K, viewmat, camera.lens)


def _direction(rng: np.random.Generator) -> Float[np.ndarray, "3"]:
    vector = rng.standard_normal(3)
    return vector / np.linalg.norm(vector)
