"""Trains a mesh avatar: the first mesh and its paint, then vertices, colors and cameras by the losses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from simulacra.recon.avatar.corrections import camera_of, camera_rates, corrected_camera
from simulacra.recon.avatar.guesses import unseen_faces
from simulacra.recon.avatar.loop import Schedule, train
from simulacra.recon.avatar.losses import Loss, photometric_losses
from simulacra.recon.avatar.mesh_initial import first_mesh, paint_mesh, some_moments
from simulacra.recon.avatar.mesh_record import load_mesh, save_mesh
from simulacra.recon.avatar.mesh_trainee import MeshRecipe, MeshTrainee, mesh_regularity, paint_stays
from simulacra.recon.avatar.perception import perception_losses
from simulacra.recon.avatar.placement import Person
from simulacra.recon.avatar.record import TrainedResult
from simulacra.recon.avatar.settings import MeshConfig, MeshRates, NeuralTextureConfig
from simulacra.recon.avatar.training import Training
from simulacra.recon.avatar.views import MaskOf, ViewStore
from simulacra.recon.avatar.visibility import Posed, seen_share
from simulacra.recon.fit.seen import gaussian_views
from simulacra.recon.refine import Surface
from simulacra.recon.refine.subdivide import subdivide_body
from simulacra.recon.runs.progress import working
from simulacra.recon.session import Session
from simulacra.render.camera import Cameras
from simulacra.render.mesh import vertex_normals
from simulacra.render.mesh_avatar import MeshAvatar
from simulacra.render.paint import Paint, TexturePaint, plain_neural

MeshSetting = MeshConfig | NeuralTextureConfig
# The first mesh, kept while it is trained: an interrupted training does not wrap it again.
FIRST = "first_mesh"


@dataclass(frozen=True)
class MeshEvidence:
    """What the person looked like.

    Attributes:
        mask_of: the person's mask of a frame and camera.
        frames: of the training views.
        cameras: likewise.
        surface: fused of one moment; None without depth.
    """

    session: Session
    mask_of: MaskOf
    frames: Sequence[int]
    cameras: Sequence[str]
    surface: Surface | None

    @property
    def moments(self) -> list[int]:
        """Frames whose photographs paint the mesh: the fused one, or a few."""
        if self.surface is not None:
            return [self.surface.frame]
        return some_moments(self.frames, len(self.cameras))

    def paint(self, person: Person, avatar: MeshAvatar, size: int, training: Training | None) -> Tensor:
        """The texture by these photographs, through cameras as a training corrected them."""

        def corrected(name: str, camera: Cameras) -> Cameras:
            if training is None:
                return camera
            return corrected_camera(training, list(self.cameras).index(name), camera)

        where = self.session, self.mask_of, self.moments, self.cameras
        return paint_mesh(person, avatar.mesh, *where, size, corrected)


def train_mesh(
    folder: Path,
    person: Person,
    evidence: MeshEvidence,
    views: ViewStore,
    settings: MeshSetting,
    losses: Sequence[Loss] = (),
) -> tuple[TrainedResult, Training]:
    """The whole way from the body to the trained mesh.

    Args:
        folder: of the checkpoint.
        losses: what a step pays for besides what the configuration says.
    """
    # First, for it says what outside file is missing.
    seeing = perception_losses(settings.weights.perception, settings.seed)
    first = _first(folder / FIRST, person, evidence, settings)
    recipe = MeshRecipe(
        Schedule(settings.steps, settings.seed, settings.checkpoint_every),
        (
            *photometric_losses(settings.weights),
            mesh_regularity(settings.weights),
            paint_stays(settings.paint_stays),
            *seeing,
            *losses,
        ),
        _rates(settings.mesh_rates),
    )
    trainee = MeshTrainee(first, person, evidence.cameras, recipe)
    training = train(trainee, views, recipe.schedule, folder)
    made = trainee.avatar(training.tensors)
    seen = None if person.seen is None else gaussian_views(person.body, made.mesh.binding, person.seen)
    with working("looking at what was seen"), torch.no_grad():

        def posed_in(frame: int, camera: str) -> Posed:
            figure = made.pose(trainee.rig, person.pose_of(frame, camera))
            return Posed(figure, figure.verts, vertex_normals(figure.verts, made.mesh.faces))

        share = seen_share(views, posed_in, camera_of(training, evidence.cameras))
        if person.seen is not None:
            share[unseen_faces(person.body, person.seen)[made.mesh.binding.faces]] = 0
    return TrainedResult.of_mesh(made.replace(seen=seen, seen_share=share)), training


def _first(folder: Path, person: Person, evidence: MeshEvidence, settings: MeshSetting) -> MeshAvatar:
    if folder.is_dir():
        return load_mesh(folder)
    longest = settings.edge_mm / 1000
    if settings.wrap:
        seen = evidence.session, evidence.mask_of, evidence.moments, evidence.cameras
        with working("wrapping the mesh"):
            mesh = first_mesh(person, evidence.surface, *seen, longest)
    else:
        with torch.no_grad():
            mesh = subdivide_body(person.body, person.body.rest(person.shape).verts, longest)
    with working("painting it"):
        avatar = MeshAvatar(person.shape, mesh, TexturePaint(torch.zeros(1, 1, 3)))
        texture = evidence.paint(person, avatar, settings.texture, None)
    made = avatar.replace(paint=_paint(texture, settings))
    work = folder.with_name(f".{folder.name}")
    work.mkdir(parents=True, exist_ok=True)
    save_mesh(work, made)
    work.replace(folder)
    return made


def _paint(texture: Float[Tensor, "s s 3"], settings: MeshSetting) -> Paint:
    if isinstance(settings, MeshConfig):
        return TexturePaint(texture)
    return plain_neural(texture, settings.feature_texels, settings.features, settings.hidden, settings.seed)


def _rates(rates: MeshRates) -> dict[str, float]:
    decoder = dict.fromkeys(("w1", "b1", "w2", "b2"), rates.decoder)
    of_cameras = camera_rates(rates.camera_colors, rates.camera_poses)
    of_mesh = {"verts": rates.verts, "texture": rates.texture, "features": rates.features}
    return of_mesh | decoder | of_cameras
