"""Evaluates a reconstruction: gathers what is compared, scores it, and draws what people look at.

Only here do the held-out cameras come back. Where the session has no mask for one, a network makes it now, from that
camera's picture alone: nothing that was trained can know of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from simulacra.recon.avatar.pictures import write_overlay, write_turntable
from simulacra.recon.avatar.record import TrainedResult
from simulacra.recon.evaluate.joints import limb_joints
from simulacra.recon.evaluate.motion import MotionOf, surface_motion
from simulacra.recon.evaluate.novel import pose_novelty
from simulacra.recon.evaluate.protocol import Protocol, View
from simulacra.recon.evaluate.regions import RegionsOf, draw_cells, face_cells
from simulacra.recon.evaluate.scoring import (
    EvaluateConfig,
    Evaluation,
    JointEvidence,
    KeypointEvidence,
    Subject,
    score_views,
)
from simulacra.recon.evaluate.truth import TrueErrors, true_errors
from simulacra.recon.evaluate.views import CapturedView, RenderView
from simulacra.recon.fit import BodyFit
from simulacra.recon.observe import Observations, ObserveConfig, observe
from simulacra.recon.people.record import load_people
from simulacra.recon.people.survey import expect
from simulacra.recon.perception.flicker import Motion
from simulacra.recon.runs.progress import track
from simulacra.recon.session import Session
from simulacra.recon.session.truth import read_truth
from simulacra.render.avatar import drive, rig_body
from simulacra.render.body import BodyModel
from simulacra.render.figure import Figure, GaussianFigure
from simulacra.render.gaussians import Gaussians
from simulacra.render.rotation import axis_angle_to_matrix

OBSERVED_FOLDER = "observed"


class PosedResult:
    """The result in any frame, or in it as one camera recorded it, whose clock may differ."""

    def __init__(self, trained: TrainedResult, body: BodyModel, fit: BodyFit | None) -> None:
        self._trained, self._fit = trained, fit
        self._rig = (
            None if trained.avatar is None else rig_body(body, trained.avatar.shape, trained.avatar.binding)
        )

    def figure(self, frame: int, camera: str | None = None) -> Figure:
        """What cameras see of it."""
        if self._trained.free is not None:
            return GaussianFigure(self._trained.free)
        assert self._rig is not None
        assert self._fit is not None
        return self._trained.pose(self._rig, self._fit.pose_of(frame, camera))

    def at(self, frame: int, camera: str | None = None) -> Gaussians:
        """As Gaussians."""
        if self._trained.free is not None:
            return self._trained.free
        assert self._trained.avatar is not None
        assert self._rig is not None
        assert self._fit is not None
        with torch.no_grad():
            return drive(self._trained.avatar, self._rig, self._fit.pose_of(frame, camera))


def evaluate_reconstruction(
    folder: Path,
    session: Session,
    protocol: Protocol,
    body: BodyModel,
    observed: Observations | None,
    fit: BodyFit | None,
    trained: TrainedResult,
    settings: EvaluateConfig,
    paid: tuple[str, ...] = (),
) -> Evaluation:
    """Scores the protocol's views, and draws a turntable and the fitted body in every camera, into the folder.

    Args:
        session: all of it, the held-out cameras too.
        observed: None for a result without a body.
        fit: likewise; its poses are drawn as training corrected them.
        paid: names of the losses that the training paid for.

    Raises:
        RunError: a render has values that are not finite.
        AssetError: a mask has to be made and its network is not there.
    """
    # The truth knows its own cameras; everything else is scored through those that the fit adjusted.
    recorded = session
    session = session if fit is None else fit.adjusted(session)
    drawn_fit = None if fit is None else trained.corrected(fit)
    posed = PosedResult(trained, body, drawn_fit)
    unrefined = None if trained.poses is None else _renderer(session, PosedResult(trained, body, fit))
    novelty = None if fit is None or protocol.across is not None else pose_novelty(fit, body, protocol)
    protocol = protocol if novelty is None else replace(protocol, novel_frames=novelty.novel)
    masks = _all_masks(folder / OBSERVED_FOLDER, session, protocol, observed)
    subject = Subject(
        _renderer(session, posed),
        lambda camera, frames: _read_views(session, masks, camera, frames),
        None if fit is None else keypoint_evidence(fit),
        None if fit is None else joint_evidence(session, body, fit),
        _true_errors(recorded, body, fit, posed, protocol, settings),
        None if drawn_fit is None else _regions(session, body, drawn_fit),
        None if drawn_fit is None else _motion(session, body, drawn_fit),
        novelty,
        unrefined,
        paid,
    )
    evaluation = score_views(subject, protocol, settings, folder)
    shown = protocol.training_frames[0] if fit is None else middle_moment(fit, protocol.training_frames)
    if settings.turntable:
        write_turntable(
            folder,
            PosedResult(trained.showing(settings.unseen), body, fit).figure(shown),
            facing=None if fit is None else facing(fit, shown),
            count=settings.turntable,
            progress=lambda numbers: track(numbers, "turntable", settings.turntable),
        )
    if fit is not None:
        _draw_body(folder, session, body, fit, shown)
    return evaluation


def score_render(
    folder: Path,
    session: Session,
    protocol: Protocol,
    observed: Observations | None,
    render_view: RenderView,
    settings: EvaluateConfig,
) -> Evaluation:
    """Scores whatever draws a view, with the masks of a run: nothing but pictures is compared.

    Args:
        render_view: draws for the session's cameras.

    Raises:
        RunError: a render has values that are not finite.
    """
    masks = _all_masks(folder / OBSERVED_FOLDER, session, protocol, observed)
    subject = Subject(render_view, lambda camera, frames: _read_views(session, masks, camera, frames))
    return score_views(subject, protocol, settings, folder)


def render_posed(
    session: Session, trained: TrainedResult, body: BodyModel, fit: BodyFit | None
) -> RenderView:
    """What draws a run's own result, through the cameras as its fit adjusted them."""
    if fit is None:
        return _renderer(session, PosedResult(trained, body, None))
    return _renderer(fit.adjusted(session), PosedResult(trained, body, trained.corrected(fit)))


def _true_errors(
    session: Session,
    body: BodyModel,
    fit: BodyFit | None,
    posed: PosedResult,
    protocol: Protocol,
    settings: EvaluateConfig,
) -> TrueErrors | None:
    """Against the truth of a virtual capture; None of a real one."""
    truth = read_truth(session)
    if truth is None:
        return None
    side = settings.view.longest_side
    return true_errors(session, truth, body, fit, posed.figure, protocol.evaluated, side)


def _renderer(session: Session, posed: PosedResult) -> RenderView:
    def render(frame: int, camera: str, width: int, height: int) -> tuple[Tensor, Tensor, Tensor]:
        view = session.cameras_as_tensors(camera).scaled(width, height)
        drawn = posed.figure(frame, camera).draw(view)
        return drawn.rgb_premul[0], drawn.alpha[0], drawn.depth[0]

    return render


def _regions(session: Session, body: BodyModel, fit: BodyFit) -> RegionsOf:
    cells = face_cells(body)
    with torch.no_grad():
        rest = body.rest(fit.shape)

    def draw(view: View, width: int, height: int) -> Int[np.ndarray, "h w"]:
        with torch.no_grad():
            verts = body.pose(rest, fit.pose_of(view.frame, view.camera)).verts[0]
        camera = session.cameras_as_tensors(view.camera).scaled(width, height)
        return draw_cells(verts, body.faces, cells, camera)

    return draw


def _motion(session: Session, body: BodyModel, fit: BodyFit) -> MotionOf:
    with torch.no_grad():
        rest = body.rest(fit.shape)

    def move(camera: str, earlier: int, later: int, width: int, height: int) -> Motion:
        with torch.no_grad():
            verts = [body.pose(rest, fit.pose_of(frame, camera)).verts[0] for frame in (earlier, later)]
        seen = session.cameras_as_tensors(camera).scaled(width, height)
        return surface_motion(verts[0], verts[1], body.faces, (seen, seen))

    return move


def _read_views(
    session: Session, masks: Sequence[Observations], camera: str, frames: Sequence[int]
) -> Iterator[CapturedView]:
    for frame, photo in zip(frames, session.iter_images(camera, frames), strict=True):
        mask, source = session.mask(frame, camera), "session"
        for observations in masks:
            if mask is None and observations.has(frame, camera):
                mask, source = observations.mask(frame, camera), observations.mask_source(frame, camera)
        K = session.cameras_as_tensors(camera).Ks[0].double().numpy()
        yield CapturedView(View(camera, frame), photo, mask, source, session.depth(frame, camera), K)


def _all_masks(
    folder: Path, session: Session, protocol: Protocol, observed: Observations | None
) -> list[Observations]:
    """What was observed before, and now also the scored views that nothing has a mask of."""
    before = [] if observed is None else [observed]

    def known(view: View) -> bool:
        seen = any(o.has(view.frame, view.camera) for o in before)
        return seen or session.mask(view.frame, view.camera) is not None

    unknown = [view for view in protocol.evaluated if not known(view)]
    if not unknown:
        return before
    cameras = tuple(dict.fromkeys(view.camera for view in unknown))
    frames = sorted({view.frame for view in unknown})
    settings = ObserveConfig(looks=1, face=False, hands=False)
    chosen = session.with_cameras(cameras)
    # Of several people the one who was fitted, where the other cameras saw them.
    people = None if observed is None else load_people(observed.folder)
    expected = None if people is None else expect(people, chosen, people.chosen)
    return [*before, observe(chosen, settings, folder, frames=frames, people=expected)]


def keypoint_evidence(fit: BodyFit) -> KeypointEvidence:
    """The fit's own residuals: sides put right and clocks aligned, without the learned offsets."""
    frames = tuple(int(frame) for frame in fit.frames)
    return KeypointEvidence(frames, fit.cameras, fit.residual_px, fit.confidence)


def joint_evidence(session: Session, body: BodyModel, fit: BodyFit) -> JointEvidence | None:
    """The body's limb joints and the session's reference at the frames that both have; None without a reference."""
    found = session.reference_joints()
    if found is None:
        return None
    reference_names, reference_frames, reference = found
    rows = {frame: row for row, frame in enumerate(reference_frames)}
    shared = [int(frame) for frame in fit.frames if int(frame) in rows]
    names, joints = limb_joints(fit, body)
    return JointEvidence(
        tuple(shared),
        names,
        joints[[fit.row(frame) for frame in shared]],
        reference_names,
        reference[[rows[frame] for frame in shared]],
        str(session.about.get("reference") or session.reference),
    )


def middle_moment(fit: BodyFit, frames: Sequence[int]) -> int:
    """Of the frames the middle one, or the nearest to it in which the person was seen."""
    middle = len(frames) // 2
    held = [place for place, frame in enumerate(frames) if fit.held[fit.row(frame)]]
    return frames[min(held or [middle], key=lambda place: abs(place - middle))]


def facing(fit: BodyFit, frame: int) -> Float[Tensor, "3"]:
    """Where the fitted person looks in a frame: world, a unit vector."""
    turn = axis_angle_to_matrix(fit.pose_of(frame).rotations[0, 0])
    return turn @ turn.new_tensor([0.0, 0.0, 1.0])


def _draw_body(folder: Path, session: Session, body: BodyModel, fit: BodyFit, wanted: int) -> None:
    """The body over each camera's picture at the wanted frame, or the nearest one that the camera recorded."""
    with torch.no_grad():
        rest = body.rest(fit.shape)
    for camera in track(session.camera_names, "body overlays", len(session.camera_names)):
        there = [int(frame) for frame in fit.frames if session.has(int(frame), camera)]
        if not there:
            continue
        frame = min(there, key=lambda f: abs(f - wanted))
        with torch.no_grad():
            verts = body.pose(rest, fit.pose_of(frame, camera)).verts[0]
        photo = session.image(frame, camera)
        write_overlay(folder, camera, photo, session.cameras_as_tensors(camera), verts, body.faces)
