"""A virtual capture: the person moves, cameras look at their own moments, and a session with its truth is written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from simulacra.recon.importers.building import new_session_folder
from simulacra.recon.runs.configuration import dump_config
from simulacra.recon.session import SESSION_FILE, Frame, Session, Source, describe_session, load_session
from simulacra.recon.session.truth import (
    COMPANIONS_FOLDER,
    TRUTH_FOLDER,
    TrueCamera,
    TrueFrame,
    write_true_facts,
    write_true_frame,
    write_true_view,
)
from simulacra.render.body import BodyPose
from simulacra.render.runtime.threads import thread_count

from .config import VirtualCaptureConfig
from .files import PictureFiles, write_depth, write_mask
from .people.person import Surfaces
from .picture import LitScene, light_up
from .shot import Shot, shoot
from .stations import Actor, Studio, build_studio


def record_session(
    settings: VirtualCaptureConfig,
    out: Path,
    progress: Callable[[Iterable[int], int], Iterable[int]] = lambda frames, _: frames,
) -> Session:
    """Records a virtual session and its truth into a new folder; the same configuration gives the same bytes.

    Raises:
        ConfigError: a studio that cannot be built.
        RunError: there is something at ``out``, or it cannot be written.
    """
    threads = thread_count()
    with _one_torch_thread(), new_session_folder(out) as folder:
        studio = build_studio(settings, threads)
        _write_descriptions(studio, folder, _record_frames(studio, folder, threads, progress))
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
    studio: Studio, folder: Path, threads: int, progress: Callable[[Iterable[int], int], Iterable[int]]
) -> list[Frame]:
    """All frames; cameras side by side, and beside them the next frame's light on everybody."""
    settings, frames = studio.settings, []
    kept = PictureFiles(folder, settings.files, settings.fps, settings.crf, settings.color.jpeg_quality)
    ready = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
    with kept as files, ready as pool:
        lit = pool.submit(_light_scene, studio, 0.0)
        for index in progress(range(settings.frames), settings.frames):
            poses, scenes = lit.result()
            if index + 1 < settings.frames:
                lit = pool.submit(_light_scene, studio, (index + 1) / settings.fps)
            shots = list(
                pool.map(lambda s, k=index, lights=scenes: shoot(studio, s, lights, k), studio.stations)
            )
            for number, (actor, pose, scene) in enumerate(zip(studio.actors, poses, scenes)):
                root = folder / TRUTH_FOLDER
                root = root / COMPANIONS_FOLDER / str(number) if number else root
                write_true_frame(root, index, _true_frame(studio, actor, pose, scene.surfaces))
            frames.append(_write_frame(studio, folder, files, index, shots))
    return frames


def _light_scene(studio: Studio, moment: float) -> tuple[list[BodyPose], list[LitScene]]:
    with torch.no_grad():
        poses = [actor.pose(moment) for actor in studio.actors]
        return poses, [
            light_up(actor.person, actor.person.posed(pose), studio.light)
            for actor, pose in zip(studio.actors, poses)
        ]


def _write_frame(
    studio: Studio, folder: Path, files: PictureFiles, index: int, shots: Sequence[Shot]
) -> Frame:
    """Writes what all cameras recorded of a frame."""
    settings = studio.settings
    sources: dict[str, Source] = {}
    for station, shot in zip(studio.stations, shots):
        name = station.camera.name
        sources[name] = files.write(name, index, shot.color, index / settings.fps)
        if shot.depth is not None:
            write_depth(folder, name, index, shot.depth)
        if settings.masks or station.camera.judge:
            write_mask(folder, name, index, shot.mask)
        if shot.truth is not None:
            write_true_view(folder / TRUTH_FOLDER, index, name, shot.truth)
    return Frame(index, sources)


def _true_frame(studio: Studio, actor: Actor, pose: BodyPose, surfaces: Surfaces) -> TrueFrame:
    posed = studio.body.pose(actor.person.rest, pose)
    return TrueFrame(
        posed.verts[0].numpy(),
        posed.T_world_bone[0, :, :3, 3].numpy(),
        surfaces.verts.numpy(),
        pose.rotations[0].numpy(),
        pose.translation[0].numpy(),
        pose.expression[0].numpy(),
    )


def _write_descriptions(studio: Studio, folder: Path, frames: Sequence[Frame]) -> None:
    settings, person = studio.settings, studio.person
    setting = dump_config(settings)
    # Faces and layers are the same in every frame: the resting person has them.
    surfaces = person.posed(studio.body.zero_pose())
    light: Mapping[str, object] = {
        "directions": studio.light.directions.tolist(),
        "radiance": studio.light.radiance.tolist(),
    }
    write_true_facts(
        folder / TRUTH_FOLDER,
        {s.camera.name: TrueCamera(s.camera.K, s.camera.viewmat, s.camera.lag) for s in studio.stations},
        (person.shape.phenotypes.numpy(), person.shape.local_changes.numpy()),
        studio.body.bone_names,
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
        [station.given for station in studio.stations],
        frames,
        notes=["a virtual capture: its truth is in the folder truth"],
        about=about,
    )
    (folder / SESSION_FILE).write_text(text, "utf-8")
