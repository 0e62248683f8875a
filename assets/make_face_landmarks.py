"""Makes face_landmarks.npz: where MediaPipe's 478 face landmarks lie on the body's face.

    python assets/make_face_landmarks.py  # half a minute; `--pictures FOLDER` to look at what it
    saw

The landmark network itself says where: it is shown faces of the body of both sexes and three origins, painted
with lips, brows, irises and hair, from 90 directions, with the mouth closed and open. Each landmark's pixel
is carried back to the surface there, and the places that the views agree on (geometric median, weighted by
how squarely a view sees them) are put onto the nearest triangle of the skin and made symmetric. A landmark
that half of the views put more than `MAX_SPREAD_M` from there, as they do where the detector follows the
outline of the face, is marked as not valid.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from simulacra.recon.observe.face import FaceNetwork
from simulacra.render.body import BodyModel, BodyPose, BodyShape, load_body
from simulacra.render.camera import Cameras
from simulacra.render.mesh import rasterize_mesh

SIDE_PX, DISTANCE_M, FOCAL = 512, 1.2, 1900.0
VIEWS = 90
MAX_SPREAD_M = 0.006
SKIN = {"african": (0.45, 0.30, 0.22), "asian": (0.87, 0.68, 0.55), "caucasian": (0.92, 0.72, 0.62)}
POINTS = 478
IRIS = np.arange(468, POINTS)
SKIN_PARTS = ("face", "lips", "scalp", "ear_l", "ear_r", "neck")
# The landmarks on the edges of lips and lids (MediaPipe's face_mesh_connections), which must stay on the
# skin, on their own side of the opening, where a pixel may show what is behind it.
INNER_LIPS = [78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95]


@dataclass(frozen=True)
class View:
    """A picture, and at each pixel the neutral face's point, how squarely it is seen, its part (-1: none)."""

    image: Float[np.ndarray, "h w 3"]
    points: Float[np.ndarray, "h w 3"]
    facing: Float[np.ndarray, "h w"]
    part: Int[np.ndarray, "h w"]


class Studio:
    """Takes pictures of painted faces."""

    def __init__(self, body: BodyModel) -> None:
        self.body = body
        self.neutral = body.rest(body.neutral_shape()).verts.double().numpy()
        corners = body.part_labels[body.faces]
        self.face_part = corners.mode(dim=1).values.numpy()
        self.eyes = {side: self.neutral[self.of(f"eye_{side}")] for side in "lr"}

    def of(self, *parts: str) -> Bool[np.ndarray, "v"]:
        labels = [self.body.part_names.index(part) for part in parts]
        return np.isin(self.body.part_labels.numpy(), labels)

    def is_part(self, part: np.ndarray, *names: str) -> np.ndarray:
        return np.isin(part, [self.body.part_names.index(name) for name in names])

    def paint(self, points: np.ndarray, part: np.ndarray, skin: np.ndarray) -> Float[np.ndarray, "n 3"]:
        """Colors of surface points, by where they are on the neutral face."""
        color = np.tile(skin, (len(points), 1))
        across, up = np.abs(points[:, 0]), points[:, 1]
        eye_up = self.eyes["l"][:, 1].mean()
        color[self.is_part(part, "lips")] *= [0.85, 0.55, 0.55]
        along = np.clip((across - 0.015) / 0.037, 0, 1)
        brow_up = eye_up + 0.0175 + 0.006 * np.sin(along * np.pi * 0.8) - 0.001 * along
        brow = np.clip((0.0042 * (1 - 0.5 * along) - np.abs(up - brow_up)) / 0.0015, 0, 1)[:, None]
        brow[(across < 0.014) | (across > 0.053) | (points[:, 2] < 0.08)] = 0
        color = color * (1 - brow) + brow * np.array([0.12, 0.08, 0.06])
        color[self.is_part(part, "scalp") & (up > eye_up - 0.03)] = [0.10, 0.07, 0.05]
        for side, eye in self.eyes.items():
            own = self.is_part(part, f"eye_{side}")
            centre = (eye[:, :2].min(0) + eye[:, :2].max(0)) / 2
            radius = np.linalg.norm(points[:, :2] - centre, axis=1)
            rings = [
                (0.05, (0.95, 0.94, 0.93)),
                (0.0062, (0.12, 0.08, 0.06)),
                (0.0052, (0.25, 0.16, 0.10)),
                (0.0024, (0.02, 0.02, 0.02)),
            ]
            for size, tint in rings:
                color[own & (radius < size)] = tint
            color[self.is_part(part, f"eye_socket_{side}")] = skin * 0.6
        color[self.is_part(part, "mouth_cavity", "tongue")] = [0.30, 0.10, 0.10]
        return color

    def look(self, verts: Float[np.ndarray, "v 3"], yaw: float, pitch: float, skin: np.ndarray) -> View:
        """A picture from `yaw` to the person's left and `pitch` above, lit from above and the front."""
        aim = verts[self.of("face")].mean(0) - [0, 0, 0.03]
        back = np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
        forward = -back
        right = np.cross(forward, [0, 1, 0])
        right /= np.linalg.norm(right)
        rotation = np.stack([right, np.cross(forward, right), forward])
        viewmat = np.eye(4)
        viewmat[:3, :3], viewmat[:3, 3] = rotation, -rotation @ (aim + DISTANCE_M * back)
        K = np.array([[FOCAL, 0, SIDE_PX / 2], [0, FOCAL, SIDE_PX / 2], [0, 0, 1]])
        cameras = Cameras(
            torch.tensor(viewmat[None]).float(), torch.tensor(K[None]).float(), SIDE_PX, SIDE_PX
        )
        seen = rasterize_mesh(torch.tensor(verts).float(), self.body.faces, cameras)
        face, weights = seen.face_index[0].numpy(), seen.barycentrics[0].double().numpy()
        hit = face >= 0
        corner = self.body.faces.numpy()[face[hit]]

        def at(values: np.ndarray) -> np.ndarray:
            return (values[corner] * weights[hit][..., None]).sum(1)

        normal = at(vertex_normals(verts, self.body.faces.numpy()))
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        facing = np.clip(normal @ back, 0, 1)
        light = np.array([0.26, 0.43, 0.86])
        shade = 0.30 + 0.45 * np.clip(normal @ light, 0, 1) + 0.28 * facing
        image = np.full((SIDE_PX, SIDE_PX, 3), 0.55)
        points, squarely = np.full(image.shape, np.nan), np.zeros(hit.shape)
        part = np.full(hit.shape, -1)
        points[hit], squarely[hit], part[hit] = at(self.neutral), facing, self.face_part[face[hit]]
        image[hit] = np.clip(self.paint(points[hit], part[hit], skin) * shade[:, None], 0, 1)
        return View(image.astype(np.float32), points, squarely, part)


def vertex_normals(
    verts: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]
) -> Float[np.ndarray, "v 3"]:
    """Area-weighted, not yet of unit length."""
    a, b, c = (verts[faces[:, i]] for i in range(3))
    normals = np.zeros_like(verts)
    for i in range(3):
        np.add.at(normals, faces[:, i], np.cross(b - a, c - a))
    return normals


def places_in(view: View, px: Float[np.ndarray, "478 2"], studio: Studio) -> tuple[np.ndarray, np.ndarray]:
    """Each landmark's point on the neutral face and its weight; the nearest allowed pixel within six."""
    skin = studio.is_part(view.part, *SKIN_PARTS)
    places, weights = np.full((478, 3), np.nan), np.zeros(478)
    for allowed, landmarks in ((skin, np.arange(468)), (studio.is_part(view.part, "eye_l", "eye_r"), IRIS)):
        distance, label = cv2.distanceTransformWithLabels(
            (~allowed).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
        )
        nearest = np.zeros((label.max() + 1, 2), np.int64)
        nearest[label[allowed]] = np.argwhere(allowed)
        column, row = np.clip(px[landmarks].astype(np.int64), 0, SIDE_PX - 1).T
        at_row, at_column = nearest[label[row, column]].T
        near = distance[row, column] < 6
        places[landmarks[near]] = view.points[at_row, at_column][near]
        weights[landmarks[near]] = view.facing[at_row, at_column][near] ** 2
    weights[weights < 0.15] = 0
    return places, weights


def geometric_median(places: Float[np.ndarray, "n k 3"], weights: Float[np.ndarray, "n k"]) -> np.ndarray:
    """Weiszfeld's iteration, for each landmark."""
    known = np.nan_to_num(places)
    centre = (known * weights[..., None]).sum(0) / weights.sum(0)[:, None]
    for _ in range(50):
        pull = weights / np.maximum(np.linalg.norm(known - centre, axis=-1), 1e-5)
        centre = (known * pull[..., None]).sum(0) / pull.sum(0)[:, None]
    return centre


def weighted_median(
    values: Float[np.ndarray, "n k"], weights: Float[np.ndarray, "n k"]
) -> Float[np.ndarray, "k"]:
    """Down the columns."""
    order = values.argsort(0)
    share = np.take_along_axis(weights, order, 0).cumsum(0) / weights.sum(0)
    middle = (share >= 0.5).argmax(0)
    return np.take_along_axis(values, order, 0)[middle, np.arange(values.shape[1])]


def mirror_pairs(places: Float[np.ndarray, "k 3"]) -> Int[np.ndarray, "k"]:
    """The landmark on the other side of the face, itself in the middle; pairs of smallest distance."""
    from scipy.optimize import linear_sum_assignment

    distance = np.linalg.norm(places[:, None] * [-1, 1, 1] - places[None], axis=-1)
    _, partner = linear_sum_assignment(distance + distance.T)
    assert (partner[partner] == np.arange(len(places))).all(), "landmarks do not pair up"
    return partner


def nearest_on_triangles(
    points: Float[np.ndarray, "k 3"], verts: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]
) -> tuple[Int[np.ndarray, "k"], Float[np.ndarray, "k 3"]]:
    """Index of the nearest triangle and barycentric weights there."""
    a, b, c = (verts[faces[:, i]] for i in range(3))
    best, weights = [], []
    for point in points:
        w = _barycentric(point, a, b, c)
        gap = np.linalg.norm((w[:, :1] * a + w[:, 1:2] * b + w[:, 2:] * c) - point, axis=1)
        best.append(int(gap.argmin()))
        weights.append(w[best[-1]])
    return np.array(best), np.array(weights)


def _barycentric(point: np.ndarray, a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Of the point of each triangle nearest to `point`: inside, or on the nearest edge."""
    normal = np.cross(b - a, c - a)
    square = np.maximum((normal**2).sum(1), 1e-18)
    inside = [(np.cross(q - p, point - p) * normal).sum(1) / square for p, q in ((b, c), (c, a), (a, b))]
    weights = np.stack(inside, 1)
    candidates = [np.where((weights >= 0).all(1)[:, None], weights, np.nan)]
    for i, j, p, q in ((0, 1, a, b), (1, 2, b, c), (2, 0, c, a)):
        t = np.clip(((point - p) * (q - p)).sum(1) / np.maximum(((q - p) ** 2).sum(1), 1e-18), 0, 1)
        edge = np.zeros_like(weights)
        edge[:, i], edge[:, j] = 1 - t, t
        candidates.append(edge)
    stacked = np.stack(candidates)
    foot = stacked[..., :1] * a + stacked[..., 1:2] * b + stacked[..., 2:] * c
    gap = np.nan_to_num(np.linalg.norm(foot - point, axis=-1), nan=np.inf)
    return stacked[gap.argmin(0), np.arange(len(a))]


def collect(studio: Studio, pictures: Path | None) -> tuple[np.ndarray, np.ndarray]:
    """The places and weights of all landmarks in all views."""
    body, rng, network = studio.body, np.random.default_rng(1), FaceNetwork()
    jaw = body.expression_names.index("jawOpen")
    places, weights = [], []
    for number in range(VIEWS):
        race = list(SKIN)[number % 3]
        phenotypes = body.neutral_shape().phenotypes.clone()
        phenotypes[body.phenotype_names.index("gender")] = float(number // 3 % 2)
        for other in SKIN:
            phenotypes[body.phenotype_names.index(other)] = float(other == race)
        opened = 0.45 if number % 2 else 0.0
        expression = torch.zeros(1, len(body.expression_names))
        expression[0, jaw] = opened
        zero = body.zero_pose()
        rest = body.rest(BodyShape(phenotypes, body.neutral_shape().local_changes))
        verts = (
            body.pose(rest, BodyPose(zero.rotations, zero.translation, expression)).verts[0].double().numpy()
        )
        yaw, pitch = np.radians(rng.uniform(-40, 40)), np.radians(rng.uniform(-15, 15))
        view = studio.look(verts, yaw, pitch, np.array(SKIN[race]))
        face = network(view.image)
        if face is None:
            continue
        place, weight = places_in(view, face.px, studio)
        if not opened:
            weight[INNER_LIPS] = 0
        places.append(place)
        weights.append(weight)
        if pictures:
            _picture(pictures / f"view{number:02d}.png", view.image, face.px)
    return np.stack(places), np.stack(weights)


def _picture(path: Path, image: np.ndarray, px: np.ndarray) -> None:
    drawn = np.ascontiguousarray((image[..., ::-1] * 255).astype(np.uint8))
    for x, y in px:
        cv2.circle(drawn, (int(x * 16), int(y * 16)), 20, (0, 255, 0), -1, shift=4)
    cv2.imwrite(str(path), drawn)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--pictures", type=Path)
    pictures = arguments.parse_args().pictures
    body = load_body()
    studio = Studio(body)
    places, weights = collect(studio, pictures)
    centre = geometric_median(places, weights)
    offset = np.linalg.norm(np.nan_to_num(places) - centre, axis=-1)
    spread = weighted_median(offset, weights)
    partner = mirror_pairs(centre)
    centre = (centre + centre[partner] * [-1, 1, 1]) / 2

    entries = surface_entries(studio, centre, partner)
    spread = (spread + spread[partner]) / 2
    valid = spread < MAX_SPREAD_M
    keypoint, vertex, weight = map(np.array, zip(*entries, strict=True))
    destination = Path(__file__).with_name("face_landmarks.npz")
    np.savez_compressed(
        destination,
        keypoint=keypoint.astype(np.int16),
        vertex=vertex.astype(np.int32),
        weight=weight.astype(np.float32),
        partner=partner.astype(np.int16),
        spread_m=spread.astype(np.float32),
        valid=valid,
    )
    print(f"{len(places)} views; {valid.sum()} valid; median spread {np.median(spread) * 1e3:.1f} mm")


def surface_entries(
    studio: Studio, centre: Float[np.ndarray, "k 3"], partner: Int[np.ndarray, "k"]
) -> list[tuple[int, int, float]]:
    """Landmark, vertex, weight: the nearest triangle of the left side, its mirror image on the right."""
    faces, mirror = studio.body.faces.numpy(), studio.body.mirror_vertices.numpy()
    own: dict[int, list[tuple[int, float]]] = {}
    for parts, landmarks in ((SKIN_PARTS, np.arange(468)), (("eye_l", "eye_r"), IRIS)):
        triangles = faces[studio.is_part(studio.face_part, *parts)]
        face, weights = nearest_on_triangles(centre[landmarks], studio.neutral, triangles)
        for landmark, triangle, corner_weights in zip(
            landmarks.tolist(), triangles[face], weights, strict=True
        ):
            own[landmark] = list(zip(triangle.tolist(), corner_weights.tolist(), strict=True))
    entries = []
    for landmark, corners in own.items():
        other = int(partner[landmark])
        if other == landmark:
            entries += [(landmark, v, w / 2) for v, w in corners]
            entries += [(landmark, int(mirror[v]), w / 2) for v, w in corners]
        elif centre[landmark, 0] > 0:
            entries += [(landmark, v, w) for v, w in corners]
            entries += [(other, int(mirror[v]), w) for v, w in corners]
    return sorted(entries)


if __name__ == "__main__":
    main()
