"""What one camera records of a frame, and what it would have recorded without any fault."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, UInt8

from simulacra.recon.session.truth import TrueView

from .config import faulty_sensor
from .people.person import Surfaces
from .picture import LitScene, TruePixels, compose, picture, relit, unhidden
from .rig import VirtualCamera
from .sensors.color import ColorSensor, expose
from .sensors.depth import sense_depth
from .sensors.lens_view import LensView
from .sensors.shutter import motion_blurred, rolled
from .stations import Station, Studio

# A vertex is seen where the picture's depth there is no nearer than this, metres.
SEEN_WITHIN = 0.004
# The sensor of a camera that judges.
CLEAN = ColorSensor(noise=False, defocus_px=0.0)


@dataclass(frozen=True)
class Shot:
    """What one camera recorded, and what it would have without faults (over its pinhole pixels)."""

    color: UInt8[np.ndarray, "h w 3"]
    depth: Float[np.ndarray, "h w"] | None
    mask: Float[np.ndarray, "h w"]
    truth: TrueView | None


@torch.no_grad()
def shoot(studio: Studio, station: Station, scenes: Sequence[LitScene], index: int) -> Shot:
    """What one camera records of a frame.

    Args:
        scenes: of the frame at the rig's own time, one for each actor. Their light is used at the camera's time too,
            which is some milliseconds away; in a turn-around seconds, of a person who stands.
    """
    settings, camera = studio.settings, station.camera
    moment = index / settings.fps
    drawn = station.view.camera(camera.viewmat)
    shown = [_pose_for_shutter(studio, station, n, scene, moment) for n, scene in enumerate(scenes)]
    scene, pictures = shown[0][0], [picture(one, drawn, after) for one, after in shown]
    moves = any(after is not None for _, after in shown)
    seen = compose(pictures)
    rgb = station.room.behind(seen.rgb_linear, seen.alpha, *_stand(scene.surfaces))
    if moves and settings.shutter_ms > 0 and not camera.judge:
        share = 0.001 * settings.shutter_ms * settings.fps
        rgb = motion_blurred(rgb, seen.motion_px, share, seen.depth)
    seed = int(np.random.default_rng([settings.seed, index, _number(studio, station)]).integers(1 << 31))
    color = expose(np.ascontiguousarray(station.view.picture(rgb)), _sensor(studio, station), seed)
    depth = None
    if settings.depth is not None and not camera.judge:
        depth = station.view.nearest(_depth(studio, station, seen, seed))
    own = unhidden(pictures)
    mask = station.view.picture(own.alpha)
    truth = _true_view(station, scene, own) if settings.true_pictures else None
    return Shot(color, depth, mask, truth)


def _sensor(studio: Studio, station: Station) -> ColorSensor:
    """The capture's sensor with the camera's own faults; a judge has one without any."""
    if station.camera.judge:
        return CLEAN
    return faulty_sensor(studio.settings.color, station.fault)


def _number(studio: Studio, station: Station) -> int:
    return [other.camera.name for other in studio.stations].index(station.camera.name)


def _pose_for_shutter(
    studio: Studio, station: Station, number: int, scene: LitScene, moment: float
) -> tuple[LitScene, Surfaces | None]:
    """An actor's scene as the camera's shutter meets it, and the actor a frame interval later where anything moves."""
    settings, camera = studio.settings, station.camera
    actor, motion = studio.actors[number], studio.motions[number]
    if motion.name == "still" and motion.bvh is None and len(motion.path) < 2:
        return scene, None
    surfaces = scene.surfaces
    if camera.lag:
        surfaces = actor.person.posed(actor.pose(moment + camera.lag))
    if camera.judge or settings.shutter_ms == settings.readout_ms == 0:
        return relit(scene, surfaces), None
    later = actor.person.posed(actor.pose(moment + camera.lag + 1 / settings.fps))
    velocity = later.verts - surfaces.verts
    verts = surfaces.verts
    if settings.readout_ms > 0:
        drawn = station.view.camera(camera.viewmat)
        verts = rolled(verts, velocity, drawn, 0.001 * settings.readout_ms * settings.fps)
    if verts is not scene.surfaces.verts:
        scene = relit(scene, replace(surfaces, verts=verts))
    return scene, replace(surfaces, verts=verts + velocity)


def _stand(surfaces: Surfaces) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "3"]]:
    """Where the feet are (the lowest vertices on either side of the middle), and the middle."""
    verts = surfaces.verts.numpy()
    low = verts[verts[:, 1] < verts[:, 1].min() + 0.12]
    hips = verts[::16].mean(0)
    left = low[:, 0] >= hips[0]
    feet = np.array([low[side].mean(0) for side in (left, ~left) if side.any()])
    return feet.reshape(-1, 3), hips


def _depth(studio: Studio, station: Station, seen: TruePixels, seed: int) -> Float[np.ndarray, "ph pw"]:
    """What the depth sensor measures, over the pinhole picture."""
    sensor = studio.settings.depth
    assert sensor is not None
    person, room, view = seen.depth > 0, station.room, station.view
    return sense_depth(
        np.where(person, seen.depth, room.depth).astype(np.float32),
        np.where(person[..., None], seen.normals, room.normals).astype(np.float32),
        np.where(person, seen.infrared, room.infrared).astype(np.float32),
        view.K,
        station.camera.viewmat,
        sensor,
        seed,
    )


def _true_view(station: Station, scene: LitScene, seen: TruePixels) -> TrueView:
    """Over the pixels of the session's pinhole camera: a window of the picture that was drawn."""
    camera, view = station.camera, station.view
    x0, y0 = (round(float(at)) for at in (view.K[:2, 2] - camera.K[:2, 2]))
    width, height = camera.width, camera.height

    def window(values: np.ndarray) -> np.ndarray:
        found = np.zeros((height, width, *values.shape[2:]), values.dtype)
        rows, columns = slice(max(y0, 0), y0 + height), slice(max(x0, 0), x0 + width)
        part = values[rows, columns]
        top, left = max(-y0, 0), max(-x0, 0)
        found[top : top + part.shape[0], left : left + part.shape[1]] = part
        return found

    visible = _visible(scene, view, camera, seen.depth)
    return TrueView(window(seen.depth), window(seen.alpha), window(seen.normals), visible)


def _visible(
    scene: LitScene, view: LensView, camera: VirtualCamera, depth: Float[np.ndarray, "h w"]
) -> np.ndarray:
    uv, z = view.camera(camera.viewmat).project(scene.surfaces.verts)
    at = torch.floor(uv[0]).long().numpy()
    inside = (at >= 0).all(1) & (at[:, 0] < view.width) & (at[:, 1] < view.height) & (z[0].numpy() > 0)
    found = np.zeros(len(at), bool)
    nearest = depth[at[inside, 1], at[inside, 0]]
    found[inside] = (nearest > 0) & (z[0].numpy()[inside] < nearest + SEEN_WITHIN)
    return found
