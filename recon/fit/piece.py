"""One piece of a capture: a shape and poses of neighbouring frames.

Solving for every frame of a fast camera at once is slow to converge: smoothness ties each frame to its neighbours, and
what must move them all passes from one to the next. So a few frames are solved first, in rounds that renew the
correspondences with masks and depth; the rest are filled in between them by splines and then all are refined.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.interpolate import CubicSpline
from scipy.spatial.transform import Rotation, Slerp
from torch import Tensor

from simulacra.recon.fit.body_space import MAPS, BodySpace, Unknowns, first_unknowns
from simulacra.recon.fit.capture import FitCapture, Views
from simulacra.recon.fit.certainty import joint_covariances
from simulacra.recon.fit.chain import BodyChain
from simulacra.recon.fit.collapse import collapse
from simulacra.recon.fit.config import FitConfig
from simulacra.recon.fit.costs import Maker, make_costs
from simulacra.recon.fit.costs.landmarks import offset_sigma
from simulacra.recon.fit.disagreement import body_sizes, differences
from simulacra.recon.fit.energy import Cost
from simulacra.recon.fit.evidence import Evidence, Round, gather_depth, gather_free_space, gather_silhouettes
from simulacra.recon.fit.hidden import STANCES, HiddenLimb, hidden_limbs, stance_joints
from simulacra.recon.fit.joints import joint_space
from simulacra.recon.fit.shape_space import Stage, shape_space
from simulacra.recon.fit.skin import surface_vertices
from simulacra.recon.fit.solve import Free, minimise
from simulacra.recon.fit.start import first_orientation, first_translation
from simulacra.recon.fit.tracks import FACE, HANDS, Tracks
from simulacra.render.body import BodyModel, BodyPose, RestBody
from simulacra.render.rotation import axis_angle_to_matrix, matrix_to_axis_angle

OVERLAP = 4
"""Frames that a piece shares with the one before; they stay as that one left them."""

FIRST_ROUNDS = 3
"""Rounds by landmarks alone, before those of the configuration."""

_WIDE = Round(MAPS[:1], landmark_scale_m=0.30)
_MIDDLE_M = 0.12
_FIRST_ITERATIONS = 20
_SEEN_SHARE = 0.1
# Who is shorter may be a child, metres: twelve years old, or one adult of a hundred.
_SHORT_M = 1.5
# Of twenty people who are captured one is a child: twice the logarithm of the odds.
_RARE_CHILD = 6.0
_FEW_FRAMES, _MANY_VERTICES, _FEW_VERTICES = 8, 2500, 700


@dataclass(frozen=True)
class Job:
    """What all pieces share.

    Attributes:
        floor_m: height of the floor; None where depth does not show it.
        advance: called after so many rounds.
        costs: makers of the caller's own.
        stature_m: of the body at rest, given or assumed; None where it is measured.
    """

    session: FitCapture
    observations: Any
    config: FitConfig
    views: Views
    body: BodyModel
    floor_m: float | None
    advance: Callable[[int], None]
    costs: tuple[Maker, ...] = ()
    stature_m: float | None = None


@dataclass(frozen=True)
class Solution:
    """A piece's answer.

    Attributes:
        joint_covariance: of `recon.fit.certainty.JOINTS`, square metres; of the nearest keyframe; None where unknown.
        disagreement: what landmarks alone have otherwise (`recon.fit.disagreement`), metres.
    """

    space: BodySpace
    unknowns: Unknowns
    joint_covariance: Float[np.ndarray, "t j 3 3"] | None = None
    disagreement: Mapping[str, float] = field(default_factory=dict)

    def pose(self) -> BodyPose:
        """In every frame of the piece."""
        return self.space.pose(self.unknowns)


@dataclass(frozen=True)
class _Ran:
    """After some rounds: the answer, its energy, the body that it shapes, and the last round's chain and costs."""

    solution: Solution
    energy: float
    rest: RestBody
    chain: BodyChain
    costs: tuple[Cost, ...]


def fit_piece(job: Job, tracks: Tracks, before: Solution | None) -> Solution:
    """Shape and poses of one piece; with a piece before, its shape and its last poses stay: those not in which nobody
    was seen, for somebody who comes back is not where the last piece's end was waiting.
    """
    shown = np.isfinite(tracks.points[:OVERLAP]).all(-1).any()
    kept = OVERLAP if before is not None and shown else 0
    rows = keyframes(tracks.seconds, job.config.keyframe_seconds, kept)
    sparse = _solve_keyframes(job, tracks.of_rows(rows), before, kept)
    if len(rows) == len(tracks.frames):
        job.advance(job.config.refine_rounds)
        return sparse
    return _refine_all(job, tracks, rows, sparse, kept)


def landmark_energy(job: Job, tracks: Tracks) -> float:
    """What is left of the energy after a short fit to pose landmarks alone: which of several readings explains more."""
    evidence = Evidence(
        job.body, job.config, job.views, tracks, surface_vertices(job.body, _FEW_VERTICES), None, {}
    )
    first = _first_guess(evidence, MAPS[:1], None)
    fingers = first.space.joints.is_hand
    plan = [
        (_WIDE, Free(frozenset({"turn", "place"})), _FIRST_ITERATIONS),
        (
            Round(MAPS[:1], _MIDDLE_M),
            Free(frozenset({"turn", "place", "joints"}), fingers),
            job.config.iterations,
        ),
    ]
    return _run(_quiet(job), evidence, first, plan, None).energy


def keyframes(seconds: np.ndarray, apart: float, kept: int) -> list[int]:
    """The first ``kept`` frames, then one at least every ``apart`` seconds where there are any, and the last."""
    rows = list(range(max(kept, 1)))
    for row in range(len(rows), len(seconds) - 1):
        if seconds[row + 1] - seconds[rows[-1]] > apart * (1 + 1e-6):
            rows.append(row)
    return sorted({*rows, len(seconds) - 1})


def _solve_keyframes(job: Job, tracks: Tracks, before: Solution | None, kept: int) -> Solution:
    """From nothing: by landmarks with wide tolerance, with the usual one, then with masks and depth too."""
    evidence = _gather(job, tracks, _MANY_VERTICES if len(tracks.frames) <= _FEW_FRAMES else _FEW_VERTICES)
    maps = _seen_maps(tracks)
    first = _first_guess(evidence, maps, before, kept)
    fingers = first.space.joints.is_hand
    whole_person = {"shape", "bias"} if before is None else set()

    def free(names: set[str], held: Tensor | None) -> Free:
        return Free(frozenset({"turn", "place", *names}), held, kept)

    everything = free({"joints", *whole_person, *_expression(maps)}, fingers if len(maps) == 1 else None)
    iterations = job.config.iterations
    by_landmarks = [
        (_WIDE, free(set(), None), _FIRST_ITERATIONS),
        (_WIDE, free({"joints", *(whole_person - {"bias"})}, fingers), 2 * iterations),
        # Fingers and faces start far from their landmarks: these must pull from there.
        (Round(maps, _MIDDLE_M), everything, (2 if len(maps) > 1 else 1) * iterations),
    ]
    by_surface = [(this, everything, iterations) for this in _surface_rounds(job, maps)]
    rest = None if before is None else job.body.rest(first.space.shape(first.unknowns))
    found = _run(job, evidence, first, by_landmarks, rest)
    if before is None:
        found = _other_starts(job, evidence, maps, by_landmarks, first, found)
    ran = found
    if by_surface:
        ran = _run(job, evidence, found.solution, by_surface, found.rest, found.chain)
    with torch.no_grad():
        sure = joint_covariances(ran.chain, ran.costs, everything, ran.rest, ran.solution.unknowns)
    sizes = [body_sizes(each.solution.space, each.solution.unknowns, each.rest) for each in (found, ran)]
    return replace(ran.solution, joint_covariance=sure, disagreement=differences(*sizes))


def _other_starts(
    job: Job,
    evidence: Evidence,
    maps: tuple[str, ...],
    plan: list[tuple[Round, Free, int]],
    first: Solution,
    found: _Ran,
) -> _Ran:
    """What explains the landmarks best: who stands or sits, where one camera sees it; an adult or a child."""
    quiet = _quiet(job)
    if len(job.views.names) == 1:
        # To a single camera a thigh that points at it looks like one that points away, and like a short one.
        seated = _run(quiet, evidence, _seated(first), plan, None)
        found = seated if seated.energy < found.energy else found
    if _stature_m(found.rest) < _SHORT_M:
        child = _run(quiet, evidence, _first_guess(evidence, maps, None, stage="child"), plan, None)
        found = child if child.energy + _RARE_CHILD < found.energy else found
    return found


def _quiet(job: Job) -> Job:
    """The same, without telling that rounds are done."""
    return replace(job, advance=lambda _: None)


def _stature_m(rest: RestBody) -> float:
    heights = rest.verts[:, 1]
    return float(heights.max() - heights.min())


def _surface_rounds(job: Job, maps: tuple[str, ...]) -> list[Round]:
    """With masks and depth. What one camera measures pushes a limb away from it and nothing pushes back: landmarks must
    not be given up for that while depth still finds its place.
    """
    alone = len(job.views.names) == 1
    rounds = job.config.rounds
    return [
        Round(maps, _WIDE.landmark_scale_m if alone and n < rounds - 1 else None, True) for n in range(rounds)
    ]


def _refine_all(job: Job, tracks: Tracks, rows: list[int], sparse: Solution, kept: int) -> Solution:
    """All frames, begun between the keyframes, with the shape that these gave."""
    evidence, maps = _gather(job, tracks, _FEW_VERTICES), _seen_maps(tracks)
    space, unknowns = _interpolate(tracks.seconds, rows, sparse)
    space = replace(space, vertices=_posed_vertices(evidence, maps))
    hold = space.joints.is_hand if len(maps) == 1 else None
    free = Free(frozenset({"turn", "place", "joints", *_expression(maps)}), hold, kept)
    plan = [(Round(maps, surface=True), free, job.config.iterations)] * job.config.refine_rounds
    ran = _run(job, evidence, Solution(space, unknowns), plan, job.body.rest(space.shape(unknowns)))
    sure = sparse.joint_covariance
    if sure is not None:
        sure = sure[np.abs(tracks.seconds[:, None] - tracks.seconds[rows]).argmin(1)]
    return replace(ran.solution, joint_covariance=sure, disagreement=sparse.disagreement)


def _run(
    job: Job,
    evidence: Evidence,
    start: Solution,
    plan: list[tuple[Round, Free, int]],
    rest: RestBody | None,
    chain: BodyChain | None = None,
) -> _Ran:
    """Rounds one after the other, each with its own costs, free unknowns and iterations.

    Args:
        chain: of the start's space, from rounds before.
    """
    space, unknowns = start.space, start.unknowns
    rest = job.body.rest(space.shape(unknowns)) if rest is None else rest
    energy, chain = 0.0, chain or BodyChain(space, MAPS[:1], verts=False)
    costs: tuple[Cost, ...] = ()
    for this, free, iterations in plan:
        with torch.no_grad():
            costs = make_costs(evidence, this, space.state(unknowns, rest), job.costs)
        verts = this.surface or len(this.maps) > 1
        if (chain.maps, chain.any_verts) != (this.maps, verts):
            chain = BodyChain(space, this.maps, verts)
        unknowns, rest, energy = minimise(chain, unknowns, costs, free, iterations, rest)
        job.advance(1)
    return _Ran(Solution(space, unknowns), energy, rest, chain, costs)


def _seated(start: Solution) -> Solution:
    """The same with the thighs forward and the shins down."""
    space, frames = start.space, len(start.unknowns.joints)
    legs = HiddenLimb("leg", ("L", "R"))
    upright = torch.zeros(frames)
    joints = stance_joints(
        STANCES["leg"][1], legs, space.joints, space.body.bone_names, upright, torch.zeros(frames, 2)
    )
    return replace(start, unknowns=replace(start.unknowns, joints=start.unknowns.joints + joints))


def _interpolate(seconds: np.ndarray, rows: list[int], sparse: Solution) -> tuple[BodySpace, Unknowns]:
    """Every frame from splines through the keyframes."""
    keys = seconds[rows]
    pose = sparse.pose()

    def spline(values: Tensor) -> Tensor:
        return torch.from_numpy(CubicSpline(keys, values.double().numpy())(seconds)).float()

    roots = Slerp(keys, Rotation.from_rotvec(pose.rotations[:, 0].double().numpy()))(seconds)
    space = replace(
        sparse.space,
        orientation=torch.from_numpy(roots.as_matrix()).float(),
        translation=spline(pose.translation),
    )
    frames = len(seconds)
    return space, replace(
        sparse.unknowns,
        joints=spline(sparse.unknowns.joints),
        expression=spline(sparse.unknowns.expression).clamp(0, 1),
        turn=torch.zeros(frames, 3),
        place=torch.zeros(frames, 3),
    )


def _gather(job: Job, tracks: Tracks, count: int) -> Evidence:
    """What some frames are fitted to, with about ``count`` vertices that masks and depth are compared with."""
    session, observations, views, config = job.session, job.observations, job.views, job.config
    depth = {}
    for row, frame in enumerate(tracks.frames.tolist() if config.depth else ()):
        points = gather_depth(session, observations, views, frame, config)
        if points is not None:
            depth[row] = points
    silhouettes = gather_silhouettes(session, observations, views, tracks, config) if config.masks else None
    free = None
    if config.depth and hidden_limbs(tracks.shown):
        free = gather_free_space(session, observations, views, tracks)
    return Evidence(
        job.body, config, views, tracks, surface_vertices(job.body, count), silhouettes, depth, job.floor_m, free,
        job.stature_m,
    )  # fmt: skip


def _posed_vertices(evidence: Evidence, maps: tuple[str, ...]) -> Int[Tensor, " v"]:
    """Those that any cost needs."""
    keypoints = [evidence.body.keypoints[name].used_vertices for name in maps if name != "pose33"]
    return torch.unique(torch.cat([evidence.vertices, *keypoints]))


def _first_guess(
    evidence: Evidence,
    maps: tuple[str, ...],
    before: Solution | None,
    kept: int = 0,
    stage: Stage = "adult",
) -> Solution:
    """The body standing where the trunk's landmarks are, facing their way, otherwise at rest or as it was before."""
    body, points = evidence.body, evidence.tracks.points
    joints = joint_space(body)
    shapes = shape_space(body, face=MAPS[-1] in maps, stage=stage) if before is None else before.space.shapes
    frames, expressions = len(points), len(body.expression_names)
    unknowns = first_unknowns(frames, len(shapes), len(joints.bones), expressions)
    if before is not None:
        unknowns = replace(unknowns, shape=before.unknowns.shape, bias=before.unknowns.bias)
    orientation = torch.from_numpy(first_orientation(points)).float()
    rotations = torch.zeros(frames, len(body.bone_names), 3)
    rotations[:, 0] = matrix_to_axis_angle(orientation)
    pose = BodyPose(rotations, torch.zeros(frames, 3), torch.zeros(frames, expressions))
    model = body.keypoints_at("pose33", body.rest(shapes.shape(unknowns.shape)), pose)
    space = BodySpace(
        body,
        joints,
        shapes,
        orientation,
        torch.from_numpy(first_translation(points, model.double().numpy())).float(),
        _posed_vertices(evidence, maps),
        collapse(body, "pose33"),
        _bias_bones(body),
        offset_sigma(evidence.config.weights),
    )
    return Solution(space, unknowns) if before is None else _take_over(space, unknowns, before, kept)


def _take_over(space: BodySpace, unknowns: Unknowns, before: Solution, kept: int) -> Solution:
    """The first frames take over from the last of the piece before; the others start from the last one's joints."""
    old, pose = before.unknowns, before.pose()
    # Where nobody is seen in the whole piece, the body waits where it was.
    last, there = axis_angle_to_matrix(pose.rotations[-1:, 0]), pose.translation[-1:]
    orientation = torch.where(space.orientation.isfinite(), space.orientation, last)
    translation = torch.where(space.translation.isfinite(), space.translation, there)
    same = slice(len(pose.translation) - OVERLAP, len(pose.translation) - OVERLAP + kept)
    orientation[:kept] = axis_angle_to_matrix(pose.rotations[same, 0])
    translation[:kept] = pose.translation[same]
    joints = old.joints[-1:].repeat(len(unknowns.joints), 1)
    expression = old.expression[-1:].repeat(len(unknowns.joints), 1)
    joints[:kept], expression[:kept] = old.joints[same], old.expression[same]
    space = replace(space, orientation=orientation, translation=translation)
    return Solution(space, replace(unknowns, joints=joints, expression=expression))


def _bias_bones(body: BodyModel) -> Int[Tensor, " 33"]:
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


def _expression(maps: tuple[str, ...]) -> set[str]:
    """Facial actions are sought where a face is seen."""
    return {"expression"} if MAPS[-1] in maps else set()
