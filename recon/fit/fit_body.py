"""The fit stage: from observations to one person moving.

Landmarks are triangulated, which says where the trunk is; then shape, joints, place and facial actions of all frames
are found together in rounds: first by landmarks alone with wide tolerance, then with the usual one and with hands and
face, then also by masks and depth. Captures longer than the window are done piece by piece: the first fixes the
shape and what the detector's constant offsets are, each later piece starts from the last frames of the one before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recon.fit.collapse import collapse
from recon.fit.config import FitConfig
from recon.fit.correspond import mask_term, renew_contact, renew_pull, surface_vertices
from recon.fit.energy import MAPS, Landmarks, Person, Terms, Unknowns, relative_sigma
from recon.fit.evidence import (
    FACE,
    HANDS,
    Capture,
    Silhouettes,
    Surface,
    Tracks,
    Views,
    chosen_views,
    gather_silhouettes,
    gather_surface,
    gather_tracks,
)
from recon.fit.joints import joint_space
from recon.fit.record import BodyFit
from recon.fit.shape_space import shape_space
from recon.fit.solve import first_unknowns, minimise
from recon.fit.start import first_orientation, first_translation
from recon.triangulate import Points3D
from render.body import BodyModel, BodyPose, RestBody, load_body
from render.errors import CaptureError
from render.rotation import axis_angle_to_matrix, matrix_to_axis_angle

Progress = Callable[[str, int, int], None]
"""Called as ``progress(what, done, total)`` after every piece of work."""

_OVERLAP = 4
_WIDE_M = 0.30


def fit_body(
    session: Capture,
    observations: Any,
    config: FitConfig,
    cameras: Sequence[str],
    frames: Sequence[int] | None = None,
    *,
    body: BodyModel | None = None,
    progress: Progress | None = None,
) -> BodyFit:
    """One shape and a pose for every frame.

    Args:
        session: calibration, depth and times.
        observations: landmarks and masks (`recon.observe.Observations`).
        cameras: the only cameras that are looked at: leave held-out ones away.
        frames: numbers of the frames; all observed ones if None.

    Raises:
        CaptureError: fewer than two cameras, no frames, or a person whose joints do not agree between cameras.
    """
    body = load_body() if body is None else body
    numbers = [int(frame) for frame in (observations.frames if frames is None else frames)]
    if not numbers:
        raise CaptureError("There is no frame to fit the body to")
    views = chosen_views(session, cameras)
    tracks = gather_tracks(session, observations, views, numbers, config)
    job = _Job(session, observations, config, views, body, progress or (lambda *_: None))
    pieces = _pieces(len(numbers), config.window)
    solved: list[tuple[Person, Unknowns]] = []
    for index, (first, last) in enumerate(pieces):
        before = solved[-1] if solved else None
        solved.append(_fit_piece(job, _part(tracks, first, last), before))
        job.progress("body", index + 1, len(pieces))
    return _record(job, tracks, solved, pieces)


@dataclass(frozen=True)
class _Job:
    session: Capture
    observations: Any
    config: FitConfig
    views: Views
    body: BodyModel
    progress: Progress


def _pieces(frames: int, window: int) -> list[tuple[int, int]]:
    """First and last + 1 of each piece; a piece repeats the last frames of the one before."""
    pieces = [(0, min(window, frames))]
    while pieces[-1][1] < frames:
        first = pieces[-1][1] - _OVERLAP
        pieces.append((first, min(first + window, frames)))
    return pieces


def _part(tracks: Tracks, first: int, last: int) -> Tracks:
    cut = slice(first, last)
    points = Points3D(
        tracks.points.points[cut],
        tracks.points.covariances[cut],
        tracks.points.inliers[cut],
        tracks.points.residual_px[cut],
    )
    return replace(
        tracks,
        frames=tracks.frames[cut],
        seconds=tracks.seconds[cut],
        rays=tracks.rays[cut],
        weights=tracks.weights[cut],
        pixels=tracks.pixels[cut],
        swapped=tracks.swapped[cut],
        points=points,
    )


def _fit_piece(job: _Job, tracks: Tracks, before: tuple[Person, Unknowns] | None) -> tuple[Person, Unknowns]:
    """Shape and poses of one piece; with a piece before, its shape and its last poses stay."""
    config, body = job.config, job.body
    silhouettes = (
        gather_silhouettes(job.session, job.observations, job.views, tracks, config) if config.masks else None
    )
    surfaces: dict[int, Surface] = {}
    if config.depth:
        for row, frame in enumerate(tracks.frames.tolist()):
            surface = gather_surface(job.session, job.observations, job.views, frame, config)
            if surface is not None:
                surfaces[row] = surface
    chosen = surface_vertices(body, body.rest(body.neutral_shape()), 2500 if len(tracks.frames) <= 8 else 700)
    person, unknowns = _first_person(job, tracks, chosen, before)
    rest = None if before is None else body.rest(person.shape(unknowns))
    settled = 0 if before is None else _OVERLAP
    shared = set() if before is not None else {"shape"}
    wide = _terms(job, tracks, maps=MAPS[:1], wide=True)
    fingers = person.joints.is_hand

    def solve(
        start: Unknowns, terms: Terms, free: set[str], iterations: int, hold: Tensor | None
    ) -> Unknowns:
        return minimise(person, start, terms, config.weights, free, iterations, hold, settled, rest)

    unknowns = solve(unknowns, wide, {"turn", "place"}, 20, None)
    unknowns = solve(unknowns, wide, {"turn", "place", "joints"} | shared, 2 * config.iterations, fingers)
    if before is None:
        shared = {"shape", "bias"}
    maps, free = _seen_maps(tracks), {"turn", "place", "joints"} | shared
    if "face478" in maps:
        free.add("expression")
    terms = _terms(job, tracks, maps)
    hold = None if len(maps) > 1 else fingers
    unknowns = solve(unknowns, terms, free, config.iterations, hold)
    if silhouettes is None and not surfaces:
        return person, solve(unknowns, terms, free, 2 * config.iterations, hold)
    if silhouettes is not None:
        mask = mask_term(body, silhouettes, job.views, tracks, person.vertices, chosen)
        terms = replace(terms, mask=mask)
    for _ in range(config.rounds):
        terms = _with_correspondences(job, person, unknowns, terms, silhouettes, surfaces, chosen)
        unknowns = solve(unknowns, terms, free, config.iterations, hold)
    return person, unknowns


def _first_person(
    job: _Job, tracks: Tracks, chosen: Tensor, before: tuple[Person, Unknowns] | None
) -> tuple[Person, Unknowns]:
    """The body standing where the trunk's landmarks are, facing their way, otherwise at rest or as it was before."""
    body = job.body
    joints = joint_space(body)
    has_face = bool((tracks.weights[:, :, FACE] > 0).any())
    shapes = shape_space(body, face=has_face) if before is None else before[0].shapes
    frames = len(tracks.frames)
    orientation = first_orientation(tracks.points.points)
    rotations = torch.zeros(frames, len(body.bone_names), 3)
    rotations[:, 0] = matrix_to_axis_angle(torch.from_numpy(orientation).float())
    pose = BodyPose(rotations, torch.zeros(frames, 3), torch.zeros(frames, len(body.expression_names)))
    unknowns = first_unknowns(frames, len(shapes), len(joints.bones), len(body.expression_names))
    if before is not None:
        unknowns = replace(unknowns, shape=before[1].shape, bias=before[1].bias)
    rest = body.rest(shapes.shape(unknowns.shape))
    model = body.keypoints_at("pose33", rest, pose)
    translation = first_translation(tracks.points.points, model.double().numpy())
    vertices = torch.unique(
        torch.cat([chosen, *(body.keypoints[name].used_vertices for name in _seen_maps(tracks)[1:])])
    )
    person = Person(
        body,
        joints,
        shapes,
        torch.from_numpy(orientation).float(),
        torch.from_numpy(translation).float(),
        vertices,
        collapse(body, "pose33"),
        _bias_bones(body),
        job.config.weights.bias_m,
    )
    return (person, unknowns) if before is None else _continued(person, unknowns, before)


def _continued(
    person: Person, unknowns: Unknowns, before: tuple[Person, Unknowns]
) -> tuple[Person, Unknowns]:
    """The first frames take over from the last of the piece before; the others start from the last one's joints."""
    old_person, old = before
    pose = old_person.pose(old)
    orientation, translation = person.orientation.clone(), person.translation.clone()
    orientation[:_OVERLAP] = axis_angle_to_matrix(pose.rotations[-_OVERLAP:, 0])
    translation[:_OVERLAP] = pose.translation[-_OVERLAP:]
    joints = old.joints[-1:].repeat(len(unknowns.joints), 1)
    expression = old.expression[-1:].repeat(len(unknowns.joints), 1)
    joints[:_OVERLAP], expression[:_OVERLAP] = old.joints[-_OVERLAP:], old.expression[-_OVERLAP:]
    person = replace(person, orientation=orientation, translation=translation)
    return person, replace(unknowns, joints=joints, expression=expression)


def _bias_bones(body: BodyModel) -> Tensor:
    """For each pose landmark the bone that carries most of it."""
    keypoints = body.keypoints["pose33"]
    weight = torch.zeros(len(keypoints.names), len(body.bone_names))
    carried = body.dense_weights[keypoints.vertex_index] * keypoints.vertex_weight[:, None]
    weight = weight.index_add(0, keypoints.vertex_keypoint, carried)
    weight = weight.index_put(
        (keypoints.bone_keypoint, keypoints.bone_index), keypoints.bone_weight, accumulate=True
    )
    return weight.argmax(1)


def _seen_maps(tracks: Tracks) -> tuple[str, ...]:
    """The keypoint maps up to the last that anything was seen of; their landmarks follow one another."""
    if (tracks.weights[:, :, FACE] > 0).any():
        return MAPS
    return MAPS[:3] if (tracks.weights[:, :, HANDS] > 0).any() else MAPS[:1]


def _terms(job: _Job, tracks: Tracks, maps: tuple[str, ...], *, wide: bool = False) -> Terms:
    """Landmarks of some maps as the energy wants them."""
    counts = {"pose33": 33, "hand21_left": 21, "hand21_right": 21, "face478": 478}
    count = sum(counts[name] for name in maps)
    weights = job.config.weights
    valid = torch.cat([job.body.keypoints[name].valid for name in maps]).float()
    share = torch.ones(count)
    share[33:75] = 0.5
    share[75:] = 0.1  # 478 landmarks of one network's one crop err together
    sure = torch.from_numpy(tracks.weights[:, :, :count].astype(np.float32)) * valid * share
    scale = torch.full((count,), weights.keypoint_scale_m)
    scale[33:] = 0.5 * weights.keypoint_scale_m
    if wide:
        scale = torch.full((count,), _WIDE_M)
    return Terms(
        viewmats=torch.from_numpy(job.views.viewmats).float(),
        seconds=torch.from_numpy(tracks.seconds).float(),
        landmarks=Landmarks(
            torch.from_numpy(tracks.rays[:, :, :count].astype(np.float32)),
            sure.sqrt() / relative_sigma(count, weights),
            scale,
            maps,
        ),
    )


def _with_correspondences(
    job: _Job,
    person: Person,
    unknowns: Unknowns,
    terms: Terms,
    silhouettes: Silhouettes | None,
    surfaces: dict[int, Surface],
    chosen: Tensor,
) -> Terms:
    """Outlines and measured points matched anew. Where depth is measured it says more than outlines of clothes."""
    with torch.no_grad():
        rest = job.body.rest(person.shape(unknowns))
        columns = torch.searchsorted(person.vertices, chosen)
        if surfaces:
            posed = job.body.pose(rest, person.pose(unknowns))
            contact = renew_contact(job.body, posed, surfaces, person.vertices, columns)
            return replace(terms, contact=contact)
        if silhouettes is not None:
            return replace(
                terms, pull=renew_pull(person.posed(unknowns, rest), columns, silhouettes, job.views)
            )
    return terms


def _record(
    job: _Job, tracks: Tracks, solved: list[tuple[Person, Unknowns]], pieces: list[tuple[int, int]]
) -> BodyFit:
    """Poses of all pieces one after the other, and what they leave unexplained."""
    parts = [person.pose(unknowns) for person, unknowns in solved]
    skip = [0, *([_OVERLAP] * (len(parts) - 1))]
    pose = BodyPose(
        torch.cat([part.rotations[n:] for part, n in zip(parts, skip, strict=True)]).detach(),
        torch.cat([part.translation[n:] for part, n in zip(parts, skip, strict=True)]).detach(),
        torch.cat([part.expression[n:] for part, n in zip(parts, skip, strict=True)]).detach(),
    )
    person, unknowns = solved[0]
    shape = person.shape(unknowns)
    rest = job.body.rest(shape)
    residual = _residual_px(job, tracks, rest, pose)
    return BodyFit(
        shape=type(shape)(shape.phenotypes.detach(), shape.local_changes.detach()),
        pose=pose,
        frames=tracks.frames,
        cameras=job.views.names,
        time_offsets=tracks.offsets.frames,
        bias=(person.bias_m * unknowns.bias).numpy().astype(np.float64),
        residual_px=residual,
        confidence=tracks.weights[:, :, :33],
        summary=_summary(job, tracks, residual, rest),
    )


def _residual_px(job: _Job, tracks: Tracks, rest: RestBody, pose: BodyPose) -> np.ndarray:
    with torch.no_grad():
        points = job.body.keypoints_at("pose33", rest, pose).double().numpy()
    views = job.views
    local = (
        np.einsum("cij,tkj->tcki", views.viewmats[:, :3, :3], points) + views.viewmats[None, :, None, :3, 3]
    )
    image = np.einsum("cij,tckj->tcki", views.Ks, local)
    return np.linalg.norm(image[..., :2] / image[..., 2:] - tracks.pixels, axis=-1)


def _summary(job: _Job, tracks: Tracks, residual: np.ndarray, rest: RestBody) -> dict[str, Any]:
    sure = np.where(tracks.weights[:, :, :33] > 0.5, residual, np.nan)
    stature = float(rest.verts[:, 1].max() - rest.verts[:, 1].min())

    def median(values: np.ndarray) -> float | None:
        known = values[np.isfinite(values)]
        return round(float(np.median(known)), 3) if known.size else None

    return {
        "stature_m": round(stature, 4),
        "reprojection_px": median(sure),
        "per_camera_px": {name: median(sure[:, c]) for c, name in enumerate(job.views.names)},
        "per_landmark_px": {
            name: median(sure[:, :, k]) for k, name in enumerate(job.body.keypoints["pose33"].names)
        },
        "triangulation_px": median(tracks.points.residual_px),
        "swapped_views": int(tracks.swapped.any(-1).sum()),
        "time_offsets": {
            name: round(float(offset), 3)
            for name, offset in zip(job.views.names, tracks.offsets.frames, strict=True)
        },
    }
