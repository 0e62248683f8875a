"""The avatar stage: makes the first Gaussians, stores the views, trains, and writes the record."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from simulacra.recon.avatar.baseline import baseline_recipe, fused_gaussians
from simulacra.recon.avatar.corrections import (
    LEAST_CORRECTION,
    OF_CAMERAS,
    camera_of,
    corrected_camera,
    correction_angle,
    without_corrections,
)
from simulacra.recon.avatar.device import choose_device, describe_device
from simulacra.recon.avatar.faults import Faults, find_faults
from simulacra.recon.avatar.free_splats import free_splats_recipe, hull_gaussians
from simulacra.recon.avatar.gaussian_trainee import GaussianTrainee, Recipe, gaussians_of
from simulacra.recon.avatar.guesses import join_guesses, mark_unseen, without_guesses
from simulacra.recon.avatar.initial import avatar_on_body, avatar_on_surface, recolor, with_harmonics
from simulacra.recon.avatar.inspection import inspect_avatar, training_sights
from simulacra.recon.avatar.loop import Schedule, train
from simulacra.recon.avatar.losses import Loss, gaussian_losses, pose_loss
from simulacra.recon.avatar.mesh_train import FIRST, MeshEvidence, train_mesh
from simulacra.recon.avatar.perception import perception_losses
from simulacra.recon.avatar.placement import Person, Place, place_free, place_on_body
from simulacra.recon.avatar.poses import PosesInTraining
from simulacra.recon.avatar.record import ACCOUNT, LOSSES, TrainedResult, save_trained
from simulacra.recon.avatar.settings import (
    AvatarConfig,
    Densification,
    DepthSplatsConfig,
    FreeSplatsConfig,
    LearningRates,
    MeshConfig,
    NeuralTextureConfig,
    TrainedConfig,
    has_body,
)
from simulacra.recon.avatar.start import load_start, save_start, start_settings
from simulacra.recon.avatar.training import CHECKPOINT, Training
from simulacra.recon.avatar.views import MaskOf, ViewStore, store_views
from simulacra.recon.avatar.visibility import Corrected
from simulacra.recon.observe.presence import rank_moments
from simulacra.recon.refine import Surface
from simulacra.recon.runs.files import write_arrays, write_json
from simulacra.recon.runs.parts import Parts
from simulacra.recon.runs.progress import working
from simulacra.recon.session import Session
from simulacra.render.avatar import Avatar
from simulacra.render.gaussians import Gaussians
from simulacra.render.runtime.errors import CaptureError
from simulacra.render.unseen import never_seen

# All removed when the stage is done.
VIEWS = "views"
ALIGNMENT = "alignment"
# Raised with the stage's own version where what a training starts from is computed otherwise.
START_VERSION = 1


def train_avatar(
    folder: Path,
    session: Session,
    person: Person | None,
    surface: Surface | None,
    mask_of: MaskOf,
    frames: Sequence[int],
    cameras: Sequence[str],
    settings: TrainedConfig,
    losses: Sequence[Loss] = (),
    parts: Parts | None = None,
) -> TrainedResult:
    """Trains what the configuration asks for and writes it, its losses and its view counts into the folder.

    Args:
        person: None only for the baselines that know no body.
        frames: of the training views; held-out ones must not be among them.
        cameras: of the training views, likewise.
        losses: what a step pays for besides what the configuration says.
        parts: keeps what an avatar's training starts from for trainings of other settings that start from the same,
            and bit for bit as without; None keeps nothing.

    Raises:
        CaptureError: no view shows the person.
        ConfigError: the device that the configuration names is not there.
        MissingExtraError: the device is there, and what draws on it is not installed.
        AssetError: an outside file of a loss that the configuration names is not here.
    """
    device = choose_device(settings.device)
    if not has_body(settings):
        frames = frames[:1]
    views = store_views(folder / VIEWS, session, mask_of, frames, cameras, settings.longest_side)
    if not len(views):
        raise CaptureError(
            "the person is in none of the training views", where=session.root, remedy="look at the masks"
        )
    if isinstance(settings, DepthSplatsConfig | FreeSplatsConfig):
        begin, recipe = _baseline(settings)
        recipe = _append(recipe, losses)
        initial = begin(session, frames[0], cameras, mask_of, settings).to(device)
        trainee = GaussianTrainee(initial, place_free, cameras, recipe)
        training = train(trainee, views, recipe.schedule, folder)
        result = TrainedResult(free=_result(training))
    elif isinstance(settings, MeshConfig | NeuralTextureConfig):
        assert person is not None
        seen = MeshEvidence(session, mask_of, frames, cameras, surface)
        result, training = train_mesh(folder, person, seen, views, settings, losses)
    else:
        assert person is not None
        result, training = _train_avatar(
            folder, session, person, surface, mask_of, views, cameras, settings, losses, parts
        )
    save_trained(folder, result)
    faults = _faults_of(result, person, views, camera_of(training, cameras))
    _write_account(folder, training, result, faults, views, describe_device(device))
    (folder / CHECKPOINT).unlink(missing_ok=True)
    for name in (VIEWS, ALIGNMENT, FIRST):
        shutil.rmtree(folder / name, ignore_errors=True)
    return result


def _baseline(settings: DepthSplatsConfig | FreeSplatsConfig) -> tuple[Callable[..., Gaussians], Recipe]:
    """How free Gaussians begin, and how they are trained."""
    if isinstance(settings, DepthSplatsConfig):
        return fused_gaussians, baseline_recipe(settings)
    return hull_gaussians, free_splats_recipe(settings)


def _train_avatar(  # three arguments more than is good: the stage's own, handed on
    folder: Path,
    session: Session,
    person: Person,
    surface: Surface | None,
    mask_of: MaskOf,
    views: ViewStore,
    cameras: Sequence[str],
    settings: AvatarConfig,
    losses: Sequence[Loss],
    parts: Parts | None,
) -> tuple[TrainedResult, Training]:
    # First, for it says what outside file is missing.
    seeing = perception_losses(settings.weights.perception, settings.seed)
    frame = _best_moment(views) if surface is None else surface.frame
    device = choose_device(settings.device)

    trained_frames = sorted({frame for frame, _ in views.views})
    poses = None
    if settings.refine_poses and len(trained_frames) > 1:
        poses = PosesInTraining(person, trained_frames, device)
        losses = (*losses, Loss("poses", settings.weights.poses, pose_loss))

    def run(avatar: Avatar, recipe: Recipe, work: Path, aligned: Training | None = None) -> Training:
        place = place_on_body(person, avatar.binding, device)
        sought = None if recipe.refine_cameras else poses
        trainee = GaussianTrainee(avatar.gaussians.to(device), place, cameras, recipe, aligned, sought)
        if recipe.refine_cameras:
            return train(trainee, replace(views, halved=True), recipe.schedule, work, "align")
        return train(trainee, views, recipe.schedule, work, "train")

    def start(work: Path) -> tuple[Avatar, Training | None]:
        if surface is not None:
            whole = avatar_on_surface(person, surface, settings)
        else:
            whole = avatar_on_body(person, session, mask_of, frame, cameras, settings)
        whole = with_harmonics(whole, settings.sh_degree)
        if not settings.align_steps:
            return whole, None
        known, guessed = without_guesses(person, whole)
        aligned = run(known, alignment_recipe(settings), work)
        place = place_on_body(person, known.binding, device)
        known, aligned = _with_corrections(place, known, session, mask_of, frame, cameras, aligned)
        return join_guesses(known, guessed), aligned

    if parts is None:
        whole, aligned = start(folder / ALIGNMENT)
    else:
        depends_on = start_settings(settings)
        kept = parts.made("start", START_VERSION, depends_on, lambda work: save_start(work, *start(work)))
        whole, aligned = load_start(kept, device)
    avatar, guessed = without_guesses(person, whole)
    training = run(avatar, _append(avatar_recipe(settings), [*seeing, *losses]), folder, aligned)
    binding = avatar.binding[training.state["origins"].cpu()]
    trained = avatar.replace(binding=binding, gaussians=_result(training))
    found = None if poses is None else poses.corrections(training.tensors)
    with working("looking at what was seen"):
        looked_at = person if found is None else found.of_person(person)
        made = mark_unseen(looked_at, trained, guessed, views, camera_of(training, cameras))
    return TrainedResult(avatar=made, poses=found), training


def _faults_of(
    result: TrainedResult, person: Person | None, views: ViewStore, corrected: Corrected
) -> Faults | None:
    """What is wrong with Gaussians, bound to a body or free; a mesh has other faults."""
    with working("looking for faults"):
        if result.free is not None:
            free = result.free
            return find_faults(free, training_sights(views, lambda *_: free, corrected))
        if result.mesh is not None or result.avatar is None or person is None:
            return None
        drawn = person if result.poses is None else result.poses.of_person(person)
        return inspect_avatar(drawn, result.avatar, views, corrected)


def _with_corrections(
    place: Place,
    avatar: Avatar,
    session: Session,
    mask_of: MaskOf,
    frame: int,
    cameras: Sequence[str],
    aligned: Training,
) -> tuple[Avatar, Training]:
    """The avatar colored anew by the corrected cameras; or as it was, where corrections are as small as their error."""
    device = aligned.state["origins"].device
    with torch.no_grad():
        origins = torch.arange(len(avatar.gaussians), device=device)
        posed = place(avatar.gaussians.to(device), origins, (frame, None), None).to("cpu")
    views = {name: session.cameras_as_tensors(name) for name in cameras}
    if correction_angle(aligned, posed.means, list(views.values())) < LEAST_CORRECTION:
        return avatar, without_corrections(aligned)
    corrected = {name: corrected_camera(aligned, row, views[name]) for row, name in enumerate(cameras)}
    return recolor(avatar, posed, session, mask_of, frame, corrected), aligned


def _best_moment(views: ViewStore) -> int:
    """The first frame with as many views of the person as is usual."""
    frames, counts = np.unique([frame for frame, _ in views.views], return_counts=True)
    return int(frames[rank_moments(counts)[0]])


def avatar_recipe(settings: AvatarConfig) -> Recipe:
    """How an avatar is trained: cameras stay where the calibration has them; those that an alignment moved go on."""
    return Recipe(
        schedule=Schedule(settings.steps, settings.seed, settings.checkpoint_every),
        losses=gaussian_losses(settings.weights),
        rates=settings.rates,
        densify=settings.densify,
        largest=settings.largest_mm / 1000,
        random_background=True,
        match_colors=True,
        refine_cameras=False,
    )


def alignment_recipe(settings: AvatarConfig) -> Recipe:
    """A training for the cameras' sake: the surface hardly moves, so that they have to."""
    recipe = avatar_recipe(settings)
    still = LearningRates(
        means=1e-5, quats=1e-4, log_scales=1e-3, sh=5e-3, camera_poses=settings.rates.camera_poses
    )
    return replace(
        recipe,
        schedule=replace(recipe.schedule, steps=settings.align_steps),
        rates=still,
        densify=Densification(),
        refine_cameras=True,
    )


def _append(recipe: Recipe, losses: Sequence[Loss]) -> Recipe:
    return replace(recipe, losses=(*recipe.losses, *losses))


def _result(training: Training) -> Gaussians:
    """The Gaussians on the CPU, where records are."""
    return gaussians_of(training.tensors).to("cpu")


def _write_account(
    folder: Path,
    training: Training,
    result: TrainedResult,
    faults: Faults | None,
    views: ViewStore,
    device: dict[str, str],
) -> None:
    write_arrays(folder / LOSSES, **{name: column.numpy() for name, column in training.losses.items()})
    of_cameras = {name: training.tensors[name].cpu().numpy() for name in OF_CAMERAS}
    described = (
        device
        | _counts(result)
        | _shares(result)
        | ({} if faults is None else {"faults": faults.as_json()})
        | {
            "views": len(views),
            "empty_views": [f"{camera} {frame}" for frame, camera in views.empty],
            "camera_gains": np.exp(of_cameras["gains"]).round(4).tolist(),
            "camera_shifts": of_cameras["shifts"].round(4).tolist(),
            "camera_turns_deg": np.degrees(of_cameras["turns"]).round(4).tolist(),
            "camera_moves_mm": (1000 * of_cameras["moves"]).round(3).tolist(),
        }
    )
    write_json(folder / ACCOUNT, described)


def _counts(result: TrainedResult) -> dict[str, int]:
    """How much there is of what was trained."""
    if result.mesh is not None:
        return {"vertices": len(result.mesh.mesh), "triangles": len(result.mesh.mesh.faces)}
    gaussians = result.free if result.avatar is None else result.avatar.gaussians
    assert gaussians is not None
    return {"gaussians": len(gaussians)}


def _shares(result: TrainedResult) -> dict[str, float]:
    """The share of all that was trained that some training view saw."""
    avatar = result.mesh or result.avatar
    hidden = None if avatar is None else never_seen(avatar)
    return {} if hidden is None else {"seen_share": round(float((~hidden).double().mean()), 4)}
