"""One piece of a capture: a shape and poses of neighbouring frames.

Solving for every frame of a fast camera at once is slow to converge: smoothness ties each frame to its neighbours, and
what must move them all passes from one to the next. So a few frames are solved first, in rounds that renew the
correspondences with masks and depth; the rest are filled in between them by splines and then all are refined.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from scipy.interpolate import CubicSpline
from scipy.spatial.transform import Rotation, Slerp
from torch import Tensor

from simulacra.recon.fit.collapse import collapse
from simulacra.recon.fit.config import FitConfig
from simulacra.recon.fit.correspond import mask_term, renew_contact, renew_pull, surface_vertices
from simulacra.recon.fit.energy import MAPS, Landmarks, Person, Terms, Unknowns, relative_sigma
from simulacra.recon.fit.evidence import Silhouettes, Surface, gather_silhouettes, gather_surface
from simulacra.recon.fit.joints import joint_space
from simulacra.recon.fit.shape_space import shape_space
from simulacra.recon.fit.solve import first_unknowns, minimise
from simulacra.recon.fit.start import first_orientation, first_translation
from simulacra.recon.fit.tracks import FACE, HANDS, Capture, Tracks, Views
from simulacra.recon.multiview.triangulate import Points3D
from simulacra.render.body import BodyModel, BodyPose
from simulacra.render.rotation import axis_angle_to_matrix, matrix_to_axis_angle

OVERLAP = 4
"""Frames that a piece shares with the one before; they stay as that one left them."""

_WIDE_M, _MIDDLE_M = 0.30, 0.12
_SEEN_SHARE = 0.1
_FEW_FRAMES, _MANY_VERTICES, _FEW_VERTICES = 8, 2500, 700


@dataclass(frozen=True)
class Job:
    """What all pieces share."""

    session: Capture
    observations: Any
    config: FitConfig
    views: Views
    body: BodyModel


@dataclass(frozen=True)
class Solved:
    """A piece's answer."""

    person: Person
    unknowns: Unknowns

    def pose(self) -> BodyPose:
        return self.person.pose(self.unknowns)


def rows_of(tracks: Tracks, rows: list[int]) -> Tracks:
    """Some of the frames."""
    points = Points3D(
        tracks.points.points[rows],
        tracks.points.covariances[rows],
        tracks.points.inliers[rows],
        tracks.points.residual_px[rows],
    )
    return replace(
        tracks,
        frames=tracks.frames[rows],
        seconds=tracks.seconds[rows],
        rays=tracks.rays[rows],
        weights=tracks.weights[rows],
        pixels=tracks.pixels[rows],
        seen=tracks.seen[rows],
        swapped=tracks.swapped[rows],
        points=points,
    )


def fit_piece(job: Job, tracks: Tracks, before: Solved | None) -> Solved:
    """Shape and poses of one piece; with a piece before, its shape and its last poses stay."""
    settled = 0 if before is None else OVERLAP
    rows = keyframes(tracks.seconds, job.config.keyframe_seconds, settled)
    sparse = _solve_keyframes(job, rows_of(tracks, rows), before)
    if len(rows) == len(tracks.frames):
        return sparse
    return _refine_all(job, tracks, rows, sparse, before)


def keyframes(seconds: np.ndarray, apart: float, settled: int) -> list[int]:
    """The first ``settled`` frames, then one at least every ``apart`` seconds where there are any, and the last."""
    rows = list(range(max(settled, 1)))
    for row in range(len(rows), len(seconds) - 1):
        if seconds[row + 1] - seconds[rows[-1]] > apart * (1 + 1e-6):
            rows.append(row)
    return sorted({*rows, len(seconds) - 1})


def _solve_keyframes(job: Job, tracks: Tracks, before: Solved | None) -> Solved:
    """From nothing: by landmarks with wide tolerance, with the usual one, then with masks and depth too."""
    config, body = job.config, job.body
    neutral = body.rest(body.neutral_shape())
    count = _MANY_VERTICES if len(tracks.frames) <= _FEW_FRAMES else _FEW_VERTICES
    chosen = surface_vertices(body, neutral, count)
    seen = _Seen.of(job, tracks)
    person, unknowns = _first_person(job, tracks, chosen, before)
    rest = None if before is None else body.rest(person.shape(unknowns))
    settled = 0 if before is None else OVERLAP
    fingers = person.joints.is_hand

    def solve(
        start: Unknowns, terms: Terms, free: set[str], iterations: int, hold: Tensor | None
    ) -> Unknowns:
        return minimise(person, start, terms, config.weights, free, iterations, hold, settled, rest)

    wide = _terms(job, tracks, MAPS[:1], scale=_WIDE_M)
    shape = {"shape"} if before is None else set()
    unknowns = solve(unknowns, wide, {"turn", "place"}, 20, None)
    unknowns = solve(unknowns, wide, {"turn", "place", "joints"} | shape, 2 * config.iterations, fingers)
    maps = _seen_maps(tracks)
    free = {"turn", "place", "joints"} | (shape and {"shape", "bias"})
    if "face478" in maps:
        free.add("expression")
    hold = None if len(maps) > 1 else fingers
    # Fingers and faces start far from their landmarks: these must pull from there.
    middle = _terms(job, tracks, maps, scale=_MIDDLE_M)
    unknowns = solve(unknowns, middle, free, (2 if len(maps) > 1 else 1) * config.iterations, hold)
    terms = _terms(job, tracks, maps)
    for _ in range(config.rounds):
        terms = seen.matched(job, tracks, person, unknowns, terms, chosen)
        unknowns = solve(unknowns, terms, free, config.iterations, hold)
    return Solved(person, unknowns)


def _refine_all(job: Job, tracks: Tracks, rows: list[int], sparse: Solved, before: Solved | None) -> Solved:
    """All frames, begun between the keyframes, with the shape that these gave."""
    config = job.config
    person, unknowns = _between(tracks.seconds, rows, sparse, job.body)
    maps = _seen_maps(tracks)
    free = {"turn", "place", "joints"} | ({"expression"} if "face478" in maps else set())
    hold = None if len(maps) > 1 else person.joints.is_hand
    rest = job.body.rest(person.shape(unknowns))
    chosen = surface_vertices(job.body, job.body.rest(job.body.neutral_shape()), _FEW_VERTICES)
    seen = _Seen.of(job, tracks)
    vertices = torch.unique(
        torch.cat([chosen, *(job.body.keypoints[name].used_vertices for name in maps[1:])])
    )
    person = replace(person, vertices=vertices)
    terms = _terms(job, tracks, maps)
    settled = 0 if before is None else OVERLAP
    for _ in range(config.refine_rounds):
        terms = seen.matched(job, tracks, person, unknowns, terms, chosen)
        unknowns = minimise(
            person, unknowns, terms, config.weights, free, config.iterations, hold, settled, rest
        )
    return Solved(person, unknowns)


def _between(
    seconds: np.ndarray, rows: list[int], sparse: Solved, body: BodyModel
) -> tuple[Person, Unknowns]:
    """Every frame from splines through the keyframes."""
    keys = seconds[rows]
    pose = sparse.pose()

    def spline(values: Tensor) -> Tensor:
        return torch.from_numpy(CubicSpline(keys, values.double().numpy())(seconds)).float()

    roots = Slerp(keys, Rotation.from_rotvec(pose.rotations[:, 0].double().numpy()))(seconds)
    person = replace(
        sparse.person,
        orientation=torch.from_numpy(roots.as_matrix()).float(),
        translation=spline(pose.translation),
    )
    frames = len(seconds)
    return person, replace(
        sparse.unknowns,
        joints=spline(sparse.unknowns.joints),
        expression=spline(sparse.unknowns.expression).clamp(0, 1),
        turn=torch.zeros(frames, 3),
        place=torch.zeros(frames, 3),
    )


@dataclass(frozen=True)
class _Seen:
    """Masks and depth of some frames."""

    silhouettes: Silhouettes | None
    surfaces: dict[int, Surface]

    @staticmethod
    def of(job: Job, tracks: Tracks) -> _Seen:
        silhouettes, surfaces = None, {}
        if job.config.masks:
            silhouettes = gather_silhouettes(job.session, job.observations, job.views, tracks, job.config)
        if job.config.depth:
            for row, frame in enumerate(tracks.frames.tolist()):
                surface = gather_surface(job.session, job.observations, job.views, frame, job.config)
                if surface is not None:
                    surfaces[row] = surface
        return _Seen(silhouettes, surfaces)

    def matched(
        self, job: Job, tracks: Tracks, person: Person, unknowns: Unknowns, terms: Terms, chosen: Tensor
    ) -> Terms:
        """Outlines and measured points matched anew; where depth is measured it says more than clothes' outlines."""
        body, views = job.body, job.views
        columns = torch.searchsorted(person.vertices, chosen)
        if self.silhouettes is not None and terms.mask is None:
            mask = mask_term(body, self.silhouettes, views, tracks, person.vertices, chosen)
            terms = replace(terms, mask=mask)
        with torch.no_grad():
            rest = body.rest(person.shape(unknowns))
            if self.surfaces:
                posed = body.pose(rest, person.pose(unknowns))
                contact = renew_contact(body, posed, self.surfaces, person.vertices, columns)
                return replace(terms, contact=contact)
            if self.silhouettes is not None:
                posed = person.posed(unknowns, rest)
                return replace(terms, pull=renew_pull(posed, columns, self.silhouettes, views))
        return terms


def _first_person(job: Job, tracks: Tracks, chosen: Tensor, before: Solved | None) -> tuple[Person, Unknowns]:
    """The body standing where the trunk's landmarks are, facing their way, otherwise at rest or as it was before."""
    body = job.body
    joints = joint_space(body)
    has_face = "face478" in _seen_maps(tracks)
    shapes = shape_space(body, face=has_face) if before is None else before.person.shapes
    frames = len(tracks.frames)
    orientation = first_orientation(tracks.points.points)
    rotations = torch.zeros(frames, len(body.bone_names), 3)
    rotations[:, 0] = matrix_to_axis_angle(torch.from_numpy(orientation).float())
    pose = BodyPose(rotations, torch.zeros(frames, 3), torch.zeros(frames, len(body.expression_names)))
    unknowns = first_unknowns(frames, len(shapes), len(joints.bones), len(body.expression_names))
    if before is not None:
        unknowns = replace(unknowns, shape=before.unknowns.shape, bias=before.unknowns.bias)
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


def _continued(person: Person, unknowns: Unknowns, before: Solved) -> tuple[Person, Unknowns]:
    """The first frames take over from the last of the piece before; the others start from the last one's joints."""
    old, pose = before.unknowns, before.pose()
    orientation, translation = person.orientation.clone(), person.translation.clone()
    orientation[:OVERLAP] = axis_angle_to_matrix(pose.rotations[-OVERLAP:, 0])
    translation[:OVERLAP] = pose.translation[-OVERLAP:]
    joints = old.joints[-1:].repeat(len(unknowns.joints), 1)
    expression = old.expression[-1:].repeat(len(unknowns.joints), 1)
    joints[:OVERLAP], expression[:OVERLAP] = old.joints[-OVERLAP:], old.expression[-OVERLAP:]
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
    """The keypoint maps up to the last that was seen in a tenth of the frames; their landmarks follow one another."""

    def seen(part: slice) -> bool:
        return bool((tracks.weights[:, :, part] > 0).any((1, 2)).mean() >= _SEEN_SHARE)

    if seen(FACE):
        return MAPS
    return MAPS[:3] if seen(HANDS) else MAPS[:1]


def _terms(job: Job, tracks: Tracks, maps: tuple[str, ...], scale: float | None = None) -> Terms:
    """Landmarks of some maps as the energy wants them.

    Args:
        scale: where their costs begin to level off, metres, if not as configured.
    """
    counts = {"pose33": 33, "hand21_left": 21, "hand21_right": 21, "face478": 478}
    count = sum(counts[name] for name in maps)
    weights = job.config.weights
    valid = torch.cat([job.body.keypoints[name].valid for name in maps]).float()
    share = torch.ones(count)
    share[33:75] = 0.5
    share[75:] = 0.1  # 478 landmarks of one network's one crop err together
    sure = torch.from_numpy(tracks.weights[:, :, :count].astype(np.float32)) * valid * share
    scales = torch.full((count,), scale or weights.keypoint_scale_m)
    if scale is None:
        scales[75:] *= 0.5
    return Terms(
        viewmats=torch.from_numpy(job.views.viewmats).float(),
        seconds=torch.from_numpy(tracks.seconds).float(),
        landmarks=Landmarks(
            torch.from_numpy(tracks.rays[:, :, :count].astype(np.float32)),
            sure.sqrt() / relative_sigma(count, weights),
            scales,
            maps,
        ),
    )
