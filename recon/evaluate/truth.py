"""True errors of a reconstruction of a virtual capture: against the person as they were, not against pictures.

The reconstruction is in the world of the calibration that it was given; the truth in the world of the cameras as they
are. Nothing is aligned: a calibration that is off costs what it costs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial import cKDTree
from torch import Tensor

from simulacra.recon.avatar.binding import closest_barycentrics
from simulacra.recon.evaluate.clusters import WORLD
from simulacra.recon.evaluate.joints import limb_joints
from simulacra.recon.evaluate.protocol import View
from simulacra.recon.evaluate.scores import Missing, Score, collect
from simulacra.recon.evaluate.views import LEAST_ALPHA
from simulacra.recon.fit import BodyFit
from simulacra.recon.perception.depth_error import depth_error, resize_depth
from simulacra.recon.perception.joints import LIMB_JOINTS
from simulacra.recon.session import Session
from simulacra.recon.session.truth import TrueFrame, Truth
from simulacra.render.body import BodyModel, BodyPose, BodyShape
from simulacra.render.camera import Cameras
from simulacra.render.figure import Figure
from simulacra.render.image import limited_size

# Places on either surface whose distance to the other one is measured, of each frame.
PLACES = 20_000
# Nothing is further away than this for the mean over a surface: a missing hand must not decide alone.
FARTHEST = 0.10


@dataclass(frozen=True)
class TrueErrors:
    """What was compared with the truth.

    Attributes:
        outcomes: by metric and view; a frame's own number has no camera.
        per_joint_mm: mean over frames of each limb joint's error.
    """

    outcomes: Mapping[str, Mapping[View, float | Missing]]
    per_joint_mm: Mapping[str, float] = field(default_factory=dict)

    def scores(self) -> dict[str, Score]:
        """As metrics.json has them."""
        found = {name: collect(name, outcomes) for name, outcomes in self.outcomes.items()}
        if "true_joints_mm" in found:
            found["true_joints_mm"] = replace(
                found["true_joints_mm"], extra={"per_joint": dict(self.per_joint_mm)}
            )
        return found


def true_errors(
    session: Session,
    truth: Truth,
    body: BodyModel,
    fit: BodyFit | None,
    posed: Callable[[int], Figure],
    views: Sequence[View],
    longest_side: int,
) -> TrueErrors:
    """Joints, body, surface and depth against the truth.

    Args:
        session: for its cameras' names; its calibration is not used.
        fit: None for a result without a body.
        posed: the result in a frame.
        views: those that are scored.
        longest_side: of pictures that are compared, pixels.
    """
    outcomes: dict[str, dict[View, float | Missing]] = {"true_surface_mm": {}, "true_depth_mm": {}}
    per_joint: dict[str, float] = {}
    wanted = set(views)
    frames = sorted({view.frame for view in wanted})
    if fit is not None:
        joints, whole, per_joint = _body_errors(truth, body, fit)
        outcomes |= {"true_joints_mm": joints, "true_body_mm": whole}
    for frame in frames:
        # The reconstruction's surface is what it shows to the true cameras, not all of its Gaussians.
        figure, points = posed(frame), []
        for camera in session.cameras:
            true = truth.cameras[camera.name]
            size = limited_size(camera.width, camera.height, longest_side)
            tensors = Cameras(
                torch.from_numpy(true.viewmat.astype(np.float32))[None],
                torch.from_numpy(true.K.astype(np.float32))[None],
                camera.width,
                camera.height,
            ).scaled(*size)
            depth, covered = _draw_depth(figure, tensors)
            points.append(tensors.unproject(depth[None])[0][covered])
            view = View(camera.name, frame)
            if view in wanted:
                outcomes["true_depth_mm"][view] = _depth_error(truth, view, depth, covered)
        reconstructed = torch.cat(points)
        seen = _seen_vertices(truth, frame, session.camera_names)
        outcomes["true_surface_mm"][View(WORLD, frame)] = surface_error(
            truth.frame(frame), truth.faces, seen, reconstructed
        )
    return TrueErrors(outcomes, per_joint)


def _draw_depth(figure: Figure, camera: Cameras) -> tuple[Float[Tensor, "h w"], Tensor]:
    """Expected depth in metres, and where the result covers a pixel."""
    with torch.no_grad():
        drawn = figure.draw(camera)
    alpha = drawn.alpha[0]
    return drawn.depth[0] / alpha.clamp(min=LEAST_ALPHA), alpha >= 0.5


def _depth_error(truth: Truth, view: View, depth: Tensor, covered: Tensor) -> float | Missing:
    seen = truth.view(view.frame, view.camera)
    if seen is None:
        return Missing("the virtual capture kept no true pictures")
    reference, valid = resize_depth(seen.depth, seen.depth > 0, depth.shape[1], depth.shape[0])
    found = depth_error(depth.numpy(), covered.numpy(), reference, valid)
    return Missing("no pixel of the person was rendered") if found is None else 1000 * found.median_m


def _seen_vertices(truth: Truth, frame: int, cameras: Sequence[str]) -> np.ndarray | None:
    """Vertices that any camera sees; None where the capture did not keep which."""
    views = [truth.view(frame, camera) for camera in cameras]
    kept = [view.visible for view in views if view is not None]
    return np.any(kept, axis=0) if kept else None


def surface_error(
    true: TrueFrame,
    faces: np.ndarray,
    seen: np.ndarray | None,
    points: Float[Tensor, "n 3"],
) -> float | Missing:
    """Mean of two means, millimetres: from places of the reconstruction's visible surface to the true one, and from
    places of the true surface that cameras saw to the reconstruction's. No distance counts for more than `FARTHEST`.

    Args:
        seen: which vertices cameras saw; None for all.
        points: of the reconstruction's surface, world, metres.
    """
    if len(points) == 0:
        return Missing("nothing was rendered")
    chosen = points[_linspace_indices(len(points))]
    verts = torch.from_numpy(true.surface)
    to_truth = _to_surface(chosen, verts, torch.from_numpy(faces))
    reached = np.unique(faces) if seen is None else np.flatnonzero(seen)
    places = true.surface[reached[_linspace_indices(len(reached)).numpy()]]
    tree = cKDTree(points.numpy())
    from_truth = torch.from_numpy(tree.query(places)[0]).float()
    both = [distances.clamp(max=FARTHEST).mean() for distances in (to_truth, from_truth)]
    return 500 * float(both[0] + both[1])


def _linspace_indices(count: int) -> Tensor:
    return torch.linspace(0, count - 1, min(count, PLACES)).long()


def _to_surface(
    points: Float[Tensor, "n 3"], verts: Float[Tensor, "v 3"], faces: Tensor
) -> Float[Tensor, " n"]:
    """Distance to the nearest of the triangles that have one of the three nearest centres."""
    corners = verts[faces]
    _, near = cKDTree(corners.mean(1).numpy()).query(points.numpy(), k=3)
    best = torch.full((len(points),), torch.inf)
    for k in range(3):
        triangles = corners[torch.from_numpy(near[:, k])]
        share = closest_barycentrics(points, triangles)
        place = (share[..., None] * triangles).sum(1)
        best = torch.minimum(best, (place - points).norm(dim=-1))
    return best


def _body_errors(
    truth: Truth, body: BodyModel, fit: BodyFit
) -> tuple[dict[View, float | Missing], dict[View, float | Missing], dict[str, float]]:
    """Limb joints and all vertices of the naked body, at every fitted frame."""
    names, ours = limb_joints(fit, body)
    shape = BodyShape(
        torch.from_numpy(truth.phenotypes).to(body.dtype),
        torch.from_numpy(truth.local_changes).to(body.dtype),
    )
    keypoint_names = body.keypoints["coco23"].names
    columns = [keypoint_names.index(name) for name in LIMB_JOINTS]
    joints: dict[View, float | Missing] = {}
    whole: dict[View, float | Missing] = {}
    distances = []
    with torch.no_grad():
        true_rest, our_rest = body.rest(shape), body.rest(fit.shape)
        for row, frame in enumerate(fit.frames.tolist()):
            true = truth.frame(frame)
            pose = BodyPose(
                torch.from_numpy(true.rotations)[None],
                torch.from_numpy(true.translation)[None],
                torch.from_numpy(true.expression)[None],
            )
            theirs = body.keypoints_at("coco23", true_rest, pose)[0, columns].double().numpy()
            distances.append(np.linalg.norm(ours[row] - theirs, axis=1))
            joints[View(WORLD, frame)] = 1000 * float(distances[-1].mean())
            verts = body.pose(our_rest, fit.pose_of(frame)).verts[0]
            apart = (verts - torch.from_numpy(true.body)).norm(dim=-1)
            whole[View(WORLD, frame)] = 1000 * float(apart.mean())
    per_joint = 1000 * np.mean(distances, axis=0)
    return joints, whole, dict(zip(names, map(float, per_joint)))
