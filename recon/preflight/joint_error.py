"""Whether the cameras, standing where they stand, can measure a body at all: found from the rig before anything runs.

Landmarks err by so much of the person's size. Carried through triangulation at the place where the person is, that is
how far off joints are to be expected: much where lines of sight are nearly parallel or opposite, or where too little of
the body is seen by two cameras at once. Detectors' common biases, swapped sides and the body model's knowledge are not
in it: it judges the rig alone.

Symbols: ``f`` moments, ``n`` points of the body, ``c`` cameras.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from simulacra.recon.multiview.detections import PinholeCameras
from simulacra.recon.multiview.expected import expected_covariances, in_view, meeting_point
from simulacra.recon.preflight.bodies import NOMINAL, at_nominal_size, stack_views
from simulacra.recon.preflight.record import Check, Status
from simulacra.recon.preflight.samples import SessionSamples
from simulacra.recon.session import Session, SessionCamera

# A detector's error across the line of sight, share of the body's height: 3 pixels of the 256 that it looks at, of
# which the body takes 4 in 5. In small pictures a pixel of theirs is more.
NOISE, LEAST_PX = 3 / (0.8 * 256), 1.0
# A joint lies behind the skin that a depth camera measures, by a depth that is known to half a limb, metres.
BEHIND_SKIN = 0.03
# Joints that are expected to be further off, metres: a forearm's width, and as in `diagnosis.WRONG` where a forearm
# lies beside the forearm and nothing fits.
WARNS, FAILS = 0.06, 0.1
# Of what any camera sees of the body, the share that two must see; with less than a tenth no body is found.
SHARED, LOST = 0.5, 0.1
# A person before the cameras takes so much of a picture's height; by that, or by the height of a person who is seen,
# the distance is roughly known.
FILLS, ROUGHLY, SEEN_ROUGHLY = 0.8, 2.0, 0.25
TRUNK = [11, 12, 23, 24]
MOST_MOMENTS = 20
# Places on a circle about the person where another camera is tried.
TRIED = 24


@dataclass(frozen=True)
class Viewpoints:
    """Cameras, and a person before them.

    Attributes:
        names: of the cameras.
        cameras: in metres.
        sizes: width and height of their pictures.
        depth: which measure depth.
        places: the middle of the person's trunk, world, metres.
        seen_by: which cameras see the person at each of these moments.
        found: whether the person was seen there; if not, it is where the cameras look.
    """

    names: tuple[str, ...]
    cameras: PinholeCameras
    sizes: Float[np.ndarray, "c 2"]
    depth: Bool[np.ndarray, " c"]
    places: Float[np.ndarray, "f 3"]
    seen_by: Bool[np.ndarray, "f c"]
    found: bool


@dataclass(frozen=True)
class ExpectedErrors:
    """What a rig is worth.

    Attributes:
        joint_m: expected distance of a joint from where it is, root of the mean square; the median over what two
            cameras (or one with depth) see of the body; infinite where that is nothing.
        shared: of what any camera sees of the body, the share that two (or one with depth) see.
        axis: the direction in which joints err most, unit.
        axis_m: by how much in that direction.
    """

    joint_m: float
    shared: float
    axis: Float[np.ndarray, "3"]
    axis_m: float


def check_joint_error(session: Session, samples: SessionSamples) -> list[Check]:
    """Both checks of this file; none for a single camera, of which ``cameras`` says all."""
    if len(session.cameras) < 2:
        return []
    views = find_person(session, samples)
    found = expect_errors(views)
    return [_check_error(views, found), _check_shared(views, found)]


def _check_error(views: Viewpoints, found: ExpectedErrors) -> Check:
    error = found.joint_m
    status: Status = "pass" if error <= WARNS else "warn" if error <= FAILS else "fail"
    evidence = ""
    if status != "pass" and np.isfinite(error):
        x, y, z = found.axis
        evidence = (
            f"{1000 * found.axis_m:.0f} mm of it along ({x:.1f}, {y:.1f}, {z:.1f}), {_angle_said(views)}; "
            f"judged {_place_said(views)}"
        )
    return Check(
        "joint-error", "all cameras", min(1000 * error, 10000.0), "mm",
        f"<= {1000 * WARNS:.0f}, fails over {1000 * FAILS:.0f}", _soften(status, views),
        _advise(views) if status != "pass" else "", evidence,
    )  # fmt: skip


def _check_shared(views: Viewpoints, found: ExpectedErrors) -> Check:
    status: Status = "pass" if found.shared >= SHARED else "warn" if found.shared >= LOST else "fail"
    return Check(
        "shared-view", "all cameras", found.shared, "of the body that is seen is in two views, or in depth",
        f">= {SHARED:g}, fails under {LOST:g}", _soften(status, views),
        "point the cameras at one place, where the person stands, and so that each sees the whole body",
        f"judged {_place_said(views)}" if status != "pass" else "",
    )  # fmt: skip


def _soften(status: Status, views: Viewpoints) -> Status:
    """Where nobody was seen, nobody knows where the person stands: that is no ground to stop at."""
    return "warn" if status == "fail" and not views.found else status


def _place_said(views: Viewpoints) -> str:
    x, y, z = np.median(views.places, axis=0)
    where = "where the person was seen" if views.found else "where the cameras look"
    return f"{where}, about ({x:.1f}, {y:.1f}, {z:.1f})"


def _angle_said(views: Viewpoints) -> str:
    """The angle between the two lines of sight that cross best."""
    towards = np.median(views.places, axis=0) - views.cameras.centres
    towards /= np.linalg.norm(towards, axis=-1, keepdims=True)
    cosines = (towards @ towards.T)[np.triu_indices(len(towards), 1)]
    angle = np.degrees(np.arccos(np.clip(cosines[np.abs(cosines).argmin()], -1, 1)))
    return f"because no two lines of sight cross at more than {angle:.0f} degrees" if angle < 90 else (
        f"because lines of sight cross at {angle:.0f} degrees at best, where 180 are opposite"
    )  # fmt: skip


def _advise(views: Viewpoints) -> str:
    """Where another camera would help most, and how much; tried all round, as far away and as high as the others."""
    place = np.median(views.places, axis=0)
    offsets = views.cameras.centres - place
    distance, height = np.median(np.linalg.norm(offsets[:, [0, 2]], axis=-1)), np.median(offsets[:, 1])
    angles = np.linspace(0, 2 * np.pi, TRIED, endpoint=False)
    eyes = place + np.stack(
        [distance * np.sin(angles), np.full(TRIED, height), distance * np.cos(angles)], -1
    )
    errors = [expect_errors(_with_camera(views, eye, place)).joint_m for eye in eyes]
    x, y, z = eyes[int(np.argmin(errors))]
    return (
        f"add a camera at about ({x:.1f}, {y:.1f}, {z:.1f}) that looks at the person: joints to "
        f"{1000 * min(errors):.0f} mm; or move one so that lines of sight cross at 60 to 120 degrees, or use depth"
    )


def _with_camera(views: Viewpoints, eye: Float[np.ndarray, "3"], place: Float[np.ndarray, "3"]) -> Viewpoints:
    """One camera more, of the first one's kind."""
    ahead = (place - eye) / np.linalg.norm(place - eye)
    right = np.cross(ahead, [0.0, 1.0, 0.0])
    right /= max(float(np.linalg.norm(right)), 1e-9)
    viewmat = np.eye(4)
    viewmat[:3, :3] = np.stack([right, np.cross(ahead, right), ahead])
    viewmat[:3, 3] = -viewmat[:3, :3] @ eye
    rig = PinholeCameras(
        np.concatenate([views.cameras.viewmats, viewmat[None]]),
        np.concatenate([views.cameras.Ks, views.cameras.Ks[:1]]),
    )
    return replace(
        views,
        cameras=rig,
        sizes=np.concatenate([views.sizes, views.sizes[:1]]),
        depth=np.append(views.depth, False),
        seen_by=np.concatenate([views.seen_by, np.ones((len(views.places), 1), bool)], axis=1),
    )


def find_person(session: Session, samples: SessionSamples) -> Viewpoints:
    """Cameras with the person where it was seen, or where they look if it was not."""
    alone = view_rig(session.cameras)
    people = at_nominal_size(stack_views(session, samples))
    moments = []
    for px, height in zip(people.px[:, :, TRUNK].mean(2), people.height_px):
        there = np.isfinite(px).all(-1) & (height > 0)
        if there.any():
            moments.append((_place(people.pinhole, px, height, there, SEEN_ROUGHLY), there))
    moments = moments[:: max(1, -(-len(moments) // MOST_MOMENTS))]
    if not moments:
        return alone
    places, seen_by = (np.array(each) for each in zip(*moments))
    return replace(alone, cameras=people.pinhole, places=places, seen_by=seen_by, found=True)


def view_rig(cameras: Sequence[SessionCamera]) -> Viewpoints:
    """Cameras with a person where they look: by the description alone."""
    rig = PinholeCameras(np.stack([c.viewmat for c in cameras]), np.stack([c.K for c in cameras]))
    sizes = np.array([[c.width, c.height] for c in cameras], dtype=np.float64)
    everywhere = np.ones(len(cameras), bool)
    place = _place(rig, sizes / 2, FILLS * sizes[:, 1], everywhere, ROUGHLY)
    depth = np.array([camera.depth_scale is not None for camera in cameras])
    names = tuple(camera.name for camera in cameras)
    return Viewpoints(names, rig, sizes, depth, place[None], everywhere[None], found=False)


def _place(
    rig: PinholeCameras,
    pixels: Float[np.ndarray, "c 2"],
    heights_px: Float[np.ndarray, " c"],
    there: Bool[np.ndarray, " c"],
    along: float,
) -> Float[np.ndarray, "3"]:
    """Where some pixels' lines of sight meet, with the distance by the person's height in each picture."""
    rays = rig.rays(np.nan_to_num(pixels)[None, :, None])[0, :, 0]
    towards = np.concatenate([rays, np.ones_like(rays[:, :1])], -1)
    lengths = np.linalg.norm(towards, axis=-1)
    directions = np.einsum("cji,cj->ci", rig.viewmats[:, :3, :3], towards / lengths[:, None])
    distances = lengths * rig.Ks[:, 1, 1] * NOMINAL / np.where(there, heights_px, 1.0)
    return meeting_point(rig.centres[there], directions[there], distances[there], along)


def body_points(place: Float[np.ndarray, "3"]) -> Float[np.ndarray, "n 3"]:
    """The room that somebody takes who stands there and faces anywhere: from the ankles to the head, an elbow wide."""
    heights = np.array([0.05, 0.3, 0.5, 0.7, 0.9, 1.1, 1.25, 1.4, 1.6]) - 1.15
    wide = 0.25 * np.array([[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]])
    return place + np.array([[x, y, z] for y in heights for x, z in wide])


def expect_errors(views: Viewpoints) -> ExpectedErrors:
    """Noise of landmarks carried to the body's points at all places."""
    measured, both, one = [], 0, 0
    for place, there in zip(views.places, views.seen_by):
        points = body_points(place)
        inside, depth = in_view(points, views.cameras, views.sizes)
        inside &= there
        noise = np.maximum(NOISE * NOMINAL, LEAST_PX * np.maximum(depth, 0) / views.cameras.Ks[:, 1, 1])
        along = np.where(views.depth, BEHIND_SKIN, np.inf)
        shared = (inside.sum(-1) >= 2) | (inside & views.depth).any(-1)
        measured.append(expected_covariances(points, views.cameras, noise, along, inside)[shared])
        both, one = both + int(shared.sum()), one + int(inside.any(-1).sum())
    if not both:
        return ExpectedErrors(float("inf"), 0.0, np.array([0.0, 1.0, 0.0]), float("inf"))
    covariances = np.concatenate(measured)
    squared = np.trace(covariances, axis1=1, axis2=2)
    middle = covariances[np.argsort(squared)[(both - 1) // 2]]
    values, vectors = np.linalg.eigh(middle)
    return ExpectedErrors(
        float(np.sqrt(np.trace(middle))), both / one, vectors[:, 2], float(np.sqrt(values[2]))
    )
