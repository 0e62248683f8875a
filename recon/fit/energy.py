"""What a shape and poses cost: the sum of squared, robust, whitened residuals over all frames.

Symbols: ``t`` frames, ``c`` cameras, ``k`` landmarks, ``d`` degrees of freedom of the pose, ``v`` chosen vertices.

Landmarks are compared as transverse metres, |(x, y) - ray z|, as in `recon.multiview.triangulate`. Robust residuals use
Geman and McClure's r^2 / (1 + r^2), which levels off at 1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import grid_sample

from simulacra.recon.fit.collapse import CollapsedMap
from simulacra.recon.fit.config import WeightConfig
from simulacra.recon.fit.joints import JointSpace
from simulacra.recon.fit.shape_space import ShapeSpace
from simulacra.render.body import BodyModel, BodyPose, BodyShape, PosedBody, RestBody
from simulacra.render.rotation import axis_angle_to_matrix, matrix_to_axis_angle

MAPS = ("pose33", "hand21_left", "hand21_right", "face478")

# How much less sure than the clearest landmarks the others are: a detector's hip is a place in the belly, its knuckles
# of a whole-body view are guesses.
_RELATIVE_SIGMA = {
    **dict.fromkeys((0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10), 1.0),
    **dict.fromkeys((11, 12), 1.6),
    **dict.fromkeys((13, 14, 15, 16), 1.0),
    **dict.fromkeys((17, 18, 19, 20, 21, 22), 2.2),
    **dict.fromkeys((23, 24), 2.5),
    **dict.fromkeys((25, 26), 1.3),
    **dict.fromkeys((27, 28), 1.1),
    **dict.fromkeys((29, 30, 31, 32), 1.6),
}

_INDEPENDENT_POINTS = 2000


@dataclass(frozen=True)
class Unknowns:
    """What is sought; all of order one.

    Attributes:
        shape: standard deviations of the shape space.
        joints: standard deviations of the joint space.
        turn: of the root away from its first guess, radians.
        place: of the root away from its first guess, decimetres.
        expression: of the facial actions, 0..1 where sound.
        bias: of each pose landmark in its bone's frame, in units of the prior.
    """

    shape: Float[Tensor, " s"]
    joints: Float[Tensor, "t d"]
    turn: Float[Tensor, "t 3"]
    place: Float[Tensor, "t 3"]
    expression: Float[Tensor, "t e"]
    bias: Float[Tensor, "33 3"]


@dataclass(frozen=True)
class Person:
    """The body and the spaces in which it is sought, with the first guess of where it stands.

    Attributes:
        orientation: world orientation of the root, first guess.
        translation: of the root, first guess, metres.
        vertices: those that any term needs, ascending.
        pose33: the pose landmarks, without their vertices.
        bias_bones: the bone in whose frame each pose landmark's offset lives.
    """

    body: BodyModel
    joints: JointSpace
    shapes: ShapeSpace
    orientation: Float[Tensor, "t 3 3"]
    translation: Float[Tensor, "t 3"]
    vertices: Int[Tensor, " v"]
    pose33: CollapsedMap
    bias_bones: Int[Tensor, " 33"]
    bias_m: float

    def shape(self, unknowns: Unknowns) -> BodyShape:
        return self.shapes.shape(unknowns.shape)

    def pose(self, unknowns: Unknowns) -> BodyPose:
        rotations = self.joints.rotations(unknowns.joints)
        root = matrix_to_axis_angle(self.orientation @ axis_angle_to_matrix(unknowns.turn))
        rotations = torch.cat([root[:, None], rotations[:, 1:]], 1)
        return BodyPose(rotations, self.translation + 0.1 * unknowns.place, unknowns.expression.clamp(0, 1))

    def posed(self, unknowns: Unknowns, rest: RestBody) -> PosedBody:
        """Bones and the chosen vertices."""
        return self.body.pose(rest, self.pose(unknowns), vertices=self.vertices)

    def landmarks(
        self, rest: RestBody, posed: PosedBody, unknowns: Unknowns, maps: tuple[str, ...]
    ) -> Float[Tensor, "t k 3"]:
        """The places of the detectors' landmarks, offsets learned from this capture included."""
        found = [self.pose33(rest, posed), *(self.mapped(posed, name) for name in maps[1:])]
        turned = posed.T_world_bone[:, self.bias_bones, :3, :3] @ (self.bias_m * unknowns.bias)[..., None]
        found[0] = found[0] + turned.squeeze(-1)
        return torch.cat(found, 1)

    def mapped(self, posed: PosedBody, name: str) -> Float[Tensor, "t k 3"]:
        """A keypoint map of the body as it is."""
        keypoints = self.body.keypoints[name]
        subset = posed.verts[:, torch.searchsorted(self.vertices, keypoints.used_vertices)]
        return keypoints.from_subset(replace(posed, verts=subset))


@dataclass(frozen=True)
class Landmarks:
    """Detections as rays, with one over their standard deviations (0 where there is none)."""

    rays: Float[Tensor, "t c k 2"]
    precision: Float[Tensor, "t c k"]
    scale: Float[Tensor, " k"]
    maps: tuple[str, ...]


@dataclass(frozen=True)
class MaskTerm:
    """Distance images to the person and which vertices they say something about.

    Attributes:
        distance: in focal lengths.
        to_unit: pixels to the unit square of the image, as factors on rays: u = a * ray + b.
        weight: of each vertex in each view.
        columns: of the vertices among those posed.
    """

    distance: Float[Tensor, "t c s s"]
    scale: Float[Tensor, "c 2"]
    shift: Float[Tensor, "c 2"]
    weight: Float[Tensor, "t c m"]
    columns: Int[Tensor, " m"]


@dataclass(frozen=True)
class Pull:
    """Correspondences of outline rays with the vertices next to them; renewed between rounds."""

    frame: Int[Tensor, " n"]
    camera: Int[Tensor, " n"]
    column: Int[Tensor, " n"]
    ray: Float[Tensor, "n 2"]


@dataclass(frozen=True)
class Contact:
    """Correspondences of measured points with vertices: ``normal . (point - vertex)`` should be small."""

    frame: Int[Tensor, " n"]
    column: Int[Tensor, " n"]
    point: Float[Tensor, "n 3"]
    normal: Float[Tensor, "n 3"]
    is_skin: Bool[Tensor, " n"]


@dataclass(frozen=True)
class Terms:
    """Everything observed."""

    viewmats: Float[Tensor, "c 4 4"]
    seconds: Float[Tensor, " t"]
    landmarks: Landmarks
    mask: MaskTerm | None = None
    pull: Pull | None = None
    contact: Contact | None = None


def geman_mcclure(squared: Tensor) -> Tensor:
    """r^2 -> r^2 / (1 + r^2)."""
    return squared / (1 + squared)


def energy(
    person: Person, unknowns: Unknowns, terms: Terms, weights: WeightConfig, rest: RestBody | None = None
) -> Float[Tensor, ""]:
    """Total cost.

    Args:
        rest: the shaped body where the shape is not sought, so that it is not built again.
    """
    if rest is None:
        rest = person.body.rest(person.shape(unknowns))
    posed = person.posed(unknowns, rest)
    total = landmark_cost(person, rest, posed, unknowns, terms) + prior_cost(person, unknowns, weights)
    if len(terms.seconds) > 2:
        total = total + motion_cost(person, posed, unknowns, terms.seconds, weights)
    if terms.mask is not None:
        total = total + mask_cost(posed, terms.mask, terms.viewmats, weights)
    if terms.pull is not None:
        total = total + pull_cost(posed, terms.pull, terms.viewmats, weights)
    if terms.contact is not None:
        total = total + contact_cost(posed, terms.contact, weights)
    return total


def landmark_cost(
    person: Person, rest: RestBody, posed: PosedBody, unknowns: Unknowns, terms: Terms
) -> Float[Tensor, ""]:
    """Robust transverse distances of landmarks to the rays of their detections."""
    seen = terms.landmarks
    points = person.landmarks(rest, posed, unknowns, seen.maps)
    local = points[:, None] @ terms.viewmats[:, :3, :3].mT + terms.viewmats[:, None, :3, 3]
    residual = local[..., :2] - seen.rays * local[..., 2:]
    squared = (residual * residual).sum(-1) * (seen.scale**-2)
    # precision^2 r^2 near zero, precision^2 scale^2 far away
    return (seen.precision**2 * seen.scale**2 * geman_mcclure(squared)).sum()


def prior_cost(person: Person, unknowns: Unknowns, weights: WeightConfig) -> Float[Tensor, ""]:
    """Poses near rest within limits, shapes near the mean, quiet faces, unbiased detectors."""
    expression = unknowns.expression
    beyond = person.joints.beyond(unknowns.joints) / 0.05
    total = weights.pose * (unknowns.joints**2).sum() + (beyond**2).sum()
    total = total + weights.shape * (unknowns.shape**2).sum() + (unknowns.bias**2).sum()
    outside = torch.relu(-expression) + torch.relu(expression - 1)
    return total + weights.expression * ((expression / 0.3) ** 2).sum() + ((outside / 0.03) ** 2).sum()


def motion_cost(
    person: Person, posed: PosedBody, unknowns: Unknowns, seconds: Float[Tensor, " t"], weights: WeightConfig
) -> Float[Tensor, ""]:
    """Accelerations of bones and joint angles, across frames at any spacing below half a second."""
    bones = torch.unique(person.joints.bones[~person.joints.is_hand])
    heads = second_differences(posed.T_world_bone[:, bones, :3, 3], seconds)
    angles = second_differences(unknowns.joints * person.joints.sigma, seconds)
    faces = second_differences(unknowns.expression, seconds)
    total = ((heads / weights.acceleration) ** 2).sum() + ((angles / weights.turning) ** 2).sum()
    return total + ((faces / weights.turning) ** 2).sum()


def second_differences(values: Float[Tensor, "t *k"], seconds: Float[Tensor, " t"]) -> Float[Tensor, "u *k"]:
    """Accelerations at inner frames, for uneven spacing; 0 across gaps of half a second."""
    step = seconds[1:] - seconds[:-1]
    view = (-1, *([1] * (values.ndim - 1)))
    speed = (values[1:] - values[:-1]) / step.view(view)
    near = ((step[1:] < 0.5) & (step[:-1] < 0.5)).to(values.dtype)
    return (speed[1:] - speed[:-1]) * (near / (0.5 * (step[1:] + step[:-1]))).view(view)


def mask_cost(
    posed: PosedBody, mask: MaskTerm, viewmats: Float[Tensor, "c 4 4"], weights: WeightConfig
) -> Float[Tensor, ""]:
    """Vertices that project outside the person, by how far (transverse metres); levels off at five times the scale."""
    local = posed.verts[:, None, mask.columns] @ viewmats[:, :3, :3].mT + viewmats[:, None, :3, 3]
    depth = local[..., 2].clamp(min=0.1)
    unit = local[..., :2] / depth[..., None] * mask.scale[:, None] + mask.shift[:, None]
    flat = grid_sample(
        mask.distance.flatten(0, 1)[:, None],
        unit.flatten(0, 1)[:, None],
        align_corners=False,
        padding_mode="border",
    )
    distance = flat[:, 0, 0].unflatten(0, mask.weight.shape[:2]) * depth
    within = (unit.abs() < 1).all(-1)
    squared = (distance / weights.outside_m) ** 2
    return (mask.weight * within * 25 * geman_mcclure(squared / 25)).sum()


def pull_cost(
    posed: PosedBody, pull: Pull, viewmats: Float[Tensor, "c 4 4"], weights: WeightConfig
) -> Float[Tensor, ""]:
    """Outline rays pull the vertices next to them; levels off at twice the scale: clothes, hair, a mask's errors."""
    views = viewmats[pull.camera]
    local = (views[:, :3, :3] @ posed.verts[pull.frame, pull.column][..., None]).squeeze(-1) + views[:, :3, 3]
    residual = (local[:, :2] - pull.ray * local[:, 2:]) / weights.contour_m
    return 4 * geman_mcclure((residual**2).sum(-1) / 4).sum()


def contact_cost(posed: PosedBody, contact: Contact, weights: WeightConfig) -> Float[Tensor, ""]:
    """The body lies at or a little inside the measured surface: clothes and hair stand off, skin does not."""
    # Thousands of points of one sensor's picture of one garment err together: a frame's count as so many at most.
    frames = contact.frame.unique().numel()
    share = min(1.0, _INDEPENDENT_POINTS * frames / len(contact.frame))
    gap = (contact.normal * (contact.point - posed.verts[contact.frame, contact.column])).sum(-1)
    outer = torch.where(contact.is_skin, weights.skin_outside_m, weights.depth_outside_m)
    inside = 9 * geman_mcclure((torch.relu(-gap) / weights.depth_inside_m) ** 2 / 9)
    # Linear far off, and not levelling off: in wide trousers a leg that hugs the front would else be cheaper than
    # one in the middle, whatever the landmarks say.
    outside = 2 * (torch.sqrt(1 + (torch.relu(gap) / outer) ** 2) - 1)
    return share * (inside + outside).sum()


def relative_sigma(count: int, weights: WeightConfig) -> Float[Tensor, " k"]:
    """Standard deviations of pose, hand and face landmarks, metres, one after the other."""
    pose = torch.tensor([_RELATIVE_SIGMA[k] for k in range(33)]) * weights.keypoint_m
    rest = torch.cat([torch.full((42,), weights.hand_m), torch.full((478,), weights.face_m)])
    return torch.cat([pose, rest])[:count]
