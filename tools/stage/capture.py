"""A virtual capture: the person moves, cameras look at their own moments, and a session with its truth is written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8

from recon.configuration import dump_config
from recon.importers.building import new_session_folder
from recon.session import SESSION_FILE, Frame, Session, SessionCamera, Source, describe_session, load_session
from recon.session.truth import (
    TRUTH_FOLDER,
    TrueCamera,
    TrueFrame,
    TrueView,
    write_true_facts,
    write_true_frame,
    write_true_view,
)
from render.body import BodyModel, BodyPose, load_body
from render.errors import ConfigError
from render.threads import thread_count

from .colour_sensor import ColourSensor, expose
from .config import Fault, PersonConfig, StageConfig
from .depth_sensor import sense_depth
from .files import DEPTH_UNITS, PictureFiles, write_depth, write_mask
from .lens_view import LensView, lens_view
from .light import Light, studio
from .motion import PoseAt, pose_at
from .people import Person, PersonRecipe, Surfaces, make_person
from .picture import LitScene, Truth, light_up, picture, relit
from .rig import RigCamera, make_rig, moved
from .room import RoomView, look_at_room
from .shutter import motion_blurred, rolled

# A vertex is seen where the picture's depth there is no nearer than this, metres.
SEEN_WITHIN = 0.004
NEVER = Fault(camera="")
# What a judge's calibration and sensor know of faults: nothing.
BESIDE = StageConfig()
CLEAN = ColourSensor(noise=False, defocus_px=0.0)


@dataclass(frozen=True)
class Station:
    """A camera that is ready: as it is, as the session will describe it, and what it sees of the empty room."""

    camera: RigCamera
    given: SessionCamera
    view: LensView
    room: RoomView
    fault: Fault


@dataclass(frozen=True)
class Shot:
    """What one camera recorded, and what it would have without faults (over its pinhole pixels)."""

    colour: UInt8[np.ndarray, "h w 3"]
    depth: Float[np.ndarray, "h w"] | None
    mask: Float[np.ndarray, "h w"]
    truth: TrueView | None


@dataclass(frozen=True)
class Stage:
    """Everything before the first frame.

    Attributes:
        pose: of the person at seconds of the rig's time.
    """

    settings: StageConfig
    body: BodyModel
    person: Person
    pose: PoseAt
    light: Light
    stations: tuple[Station, ...]


def record_session(
    settings: StageConfig,
    out: Path,
    progress: Callable[[Iterable[int], int], Iterable[int]] = lambda frames, _: frames,
) -> Session:
    """Records a virtual session and its truth into a new folder; the same configuration gives the same bytes.

    Raises:
        ConfigError: a stage that cannot be built.
        RunError: there is something at ``out``, or it cannot be written.
    """
    threads = thread_count()
    with _one_torch_thread(), new_session_folder(out) as folder:
        stage = build_stage(settings, threads)
        _write_descriptions(stage, folder, _record_frames(stage, folder, threads, progress))
        load_session(folder)
    return load_session(out)


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    """Sums of torch's depend on how many threads share them; a person is to be the same to the last bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _record_frames(
    stage: Stage, folder: Path, threads: int, progress: Callable[[Iterable[int], int], Iterable[int]]
) -> list[Frame]:
    """All frames; cameras side by side, and beside them the next frame's light."""
    settings, frames = stage.settings, []
    kept = PictureFiles(folder, settings.files, settings.fps, settings.crf, settings.colour.jpeg_quality)
    ready = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
    with kept as files, ready as pool:
        lit = pool.submit(_lit, stage, 0.0)
        for index in progress(range(settings.frames), settings.frames):
            pose, scene = lit.result()
            if index + 1 < settings.frames:
                lit = pool.submit(_lit, stage, (index + 1) / settings.fps)
            shots = list(
                pool.map(lambda s, k=index, lights=scene: shoot(stage, s, lights, k), stage.stations)
            )
            write_true_frame(folder / TRUTH_FOLDER, index, _true_frame(stage, pose, scene.surfaces))
            frames.append(_kept(stage, folder, files, index, shots))
    return frames


def _lit(stage: Stage, moment: float) -> tuple[BodyPose, LitScene]:
    with torch.no_grad():
        pose = stage.pose(moment)
        return pose, light_up(stage.person, stage.person.posed(pose), stage.light)


def build_stage(settings: StageConfig, threads: int = 1) -> Stage:
    """The person, the light, and cameras with their faults, ready to record.

    Raises:
        ConfigError: a rig, a room or a fault that cannot be.
    """
    body = load_body()
    person = make_person(body, recipe_of(settings.person))
    pose = pose_at(body, person.rest, settings.motion, settings.seed)
    start = pose(0.0)
    with torch.no_grad():
        face = body.keypoints_at("face478", person.rest, start)[0]
    eyes = face[[33, 263]].mean(0).double().numpy()
    light = studio(settings.light_seed)
    wall = light.radiance.sum(0).double().numpy() / np.pi
    cameras = make_rig(settings.rig, settings.seed, eyes)
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
        given = _as_given(BESIDE if camera.judge else settings, camera, fault, rng)
        described.append((camera, replace(given, depth_scale=DEPTH_UNITS if settings.depth else None), fault))

    def station(camera: RigCamera, given: SessionCamera, fault: Fault) -> Station:
        view = lens_view(camera.K, camera.width, camera.height, camera.lens)
        drawn = replace(camera, K=view.K, width=view.width, height=view.height)
        return Station(camera, given, view, look_at_room(settings.room, drawn, wall, settings.seed), fault)

    with ThreadPoolExecutor(threads) as pool:
        stations = tuple(pool.map(lambda one: station(*one), described))
    return Stage(settings, body, person, pose, light, stations)


def recipe_of(person: PersonConfig) -> PersonRecipe:
    """Who a configuration describes."""
    fixed = {
        name: value
        for name in ("gender", "height", "weight", "muscle")
        if (value := getattr(person, name)) is not None
    }
    return PersonRecipe(seed=person.seed, phenotypes=fixed, years=person.years)


def _as_given(
    settings: StageConfig, camera: RigCamera, fault: Fault, rng: np.random.Generator
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


def _kept(stage: Stage, folder: Path, files: PictureFiles, index: int, shots: Sequence[Shot]) -> Frame:
    """Writes what all cameras recorded of a frame."""
    settings = stage.settings
    sources: dict[str, Source] = {}
    for station, shot in zip(stage.stations, shots):
        name = station.camera.name
        sources[name] = files.write(name, index, shot.colour, index / settings.fps)
        if shot.depth is not None:
            write_depth(folder, name, index, shot.depth)
        if settings.masks or station.camera.judge:
            write_mask(folder, name, index, shot.mask)
        if shot.truth is not None:
            write_true_view(folder / TRUTH_FOLDER, index, name, shot.truth)
    return Frame(index, sources)


@torch.no_grad()
def shoot(stage: Stage, station: Station, scene: LitScene, index: int) -> Shot:
    """What one camera records of a frame.

    Args:
        scene: the frame at the rig's own time. Its light is used at the camera's time too, which is a few milliseconds
            away.
    """
    settings, camera = stage.settings, station.camera
    moment = index / settings.fps
    drawn = station.view.camera(camera.viewmat)
    scene, after = _at_camera(stage, station, scene, moment)
    seen = picture(scene, drawn, after)
    rgb = station.room.behind(seen.rgb_linear, seen.alpha, *_stand(scene.surfaces))
    if after is not None and settings.shutter_ms > 0 and not camera.judge:
        share = 0.001 * settings.shutter_ms * settings.fps
        rgb = motion_blurred(rgb, seen.motion_px, share, seen.depth)
    seed = int(np.random.default_rng([settings.seed, index, _number(stage, station)]).integers(1 << 31))
    fault = station.fault
    sensor = replace(
        settings.colour,
        exposure=settings.colour.exposure + fault.exposure,
        defocus_px=float(np.hypot(settings.colour.defocus_px, fault.defocus_px)),
        iso=settings.colour.iso * fault.iso,
        red_gain=settings.colour.red_gain * fault.red_gain,
    )
    if camera.judge:
        sensor = CLEAN
    colour = expose(np.ascontiguousarray(station.view.picture(rgb)), sensor, seed)
    depth = None
    if settings.depth is not None and not camera.judge:
        depth = station.view.nearest(_depth(stage, station, seen, seed))
    mask = station.view.picture(seen.alpha)
    truth = _true_view(station, scene, seen) if settings.true_pictures else None
    return Shot(colour, depth, mask, truth)


def _number(stage: Stage, station: Station) -> int:
    return [other.camera.name for other in stage.stations].index(station.camera.name)


def _at_camera(
    stage: Stage, station: Station, scene: LitScene, moment: float
) -> tuple[LitScene, Surfaces | None]:
    """The scene as the camera's shutter meets it, and the person a frame interval later where anything moves."""
    settings, camera = stage.settings, station.camera
    still = settings.motion.name == "still" and settings.motion.bvh is None
    if still:
        return scene, None
    surfaces = scene.surfaces
    if camera.lag:
        surfaces = stage.person.posed(stage.pose(moment + camera.lag))
    if camera.judge or settings.shutter_ms == settings.readout_ms == 0:
        return relit(scene, surfaces), None
    later = stage.person.posed(stage.pose(moment + camera.lag + 1 / settings.fps))
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


def _depth(stage: Stage, station: Station, seen: Truth, seed: int) -> Float[np.ndarray, "ph pw"]:
    """What the depth sensor measures, over the pinhole picture."""
    sensor = stage.settings.depth
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


def _true_frame(stage: Stage, pose: BodyPose, surfaces: Surfaces) -> TrueFrame:
    posed = stage.body.pose(stage.person.rest, pose)
    return TrueFrame(
        posed.verts[0].numpy(),
        posed.T_world_bone[0, :, :3, 3].numpy(),
        surfaces.verts.numpy(),
        pose.rotations[0].numpy(),
        pose.translation[0].numpy(),
        pose.expression[0].numpy(),
    )


def _true_view(station: Station, scene: LitScene, seen: Truth) -> TrueView:
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
    scene: LitScene, view: LensView, camera: RigCamera, depth: Float[np.ndarray, "h w"]
) -> np.ndarray:
    uv, z = view.camera(camera.viewmat).project(scene.surfaces.verts)
    at = torch.floor(uv[0]).long().numpy()
    inside = (at >= 0).all(1) & (at[:, 0] < view.width) & (at[:, 1] < view.height) & (z[0].numpy() > 0)
    found = np.zeros(len(at), bool)
    nearest = depth[at[inside, 1], at[inside, 0]]
    found[inside] = (nearest > 0) & (z[0].numpy()[inside] < nearest + SEEN_WITHIN)
    return found


def _write_descriptions(stage: Stage, folder: Path, frames: Sequence[Frame]) -> None:
    settings, person = stage.settings, stage.person
    setting = dump_config(settings)
    surfaces = person.posed(stage.body.zero_pose())
    light: Mapping[str, object] = {
        "directions": stage.light.directions.tolist(),
        "radiance": stage.light.radiance.tolist(),
    }
    write_true_facts(
        folder / TRUTH_FOLDER,
        {s.camera.name: TrueCamera(s.camera.K, s.camera.viewmat, s.camera.lag) for s in stage.stations},
        (person.shape.phenotypes.numpy(), person.shape.local_changes.numpy()),
        stage.body.bone_names,
        (
            surfaces.faces.numpy(),
            surfaces.layer_of_face.numpy(),
            tuple(layer.name for layer in person.layers),
        ),
        {"stage": setting, "light": light},
    )
    about: dict[str, object] = {
        "subject": f"virtual person {settings.person.seed}",
        "consent": "not needed: nobody was recorded",
        "retain_until": None,
        "derived_from": "simulacra stage",
        "importer": "stage",
        "arguments": {},
        "T_world_source": np.eye(4).tolist(),
    }
    text = describe_session(
        [station.given for station in stage.stations],
        frames,
        notes=["a virtual capture: its truth is in the folder truth"],
        about=about,
    )
    (folder / SESSION_FILE).write_text(text, "utf-8")
