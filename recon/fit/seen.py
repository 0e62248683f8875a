"""What of a person the cameras ever saw: of each vertex of the body, by which cameras; the rest is a guess.

The body's record has it for vertices (`BodyFit.seen`), the avatar's for Gaussians (`Avatar.seen`), from where exports
take it; `unseen_words` says it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from simulacra.recon.fit.capture import FitCapture, Views
from simulacra.recon.fit.skin import INNER_PARTS
from simulacra.render.avatar import Binding
from simulacra.render.body import BodyModel, BodyPose, RestBody
from simulacra.render.camera import Cameras
from simulacra.render.mesh import rasterize_mesh

# Moments that are looked at, spread over those that show the person; pixels of the longer side that they are looked at.
_MOMENTS, _SIDE = 12, 256
# A vertex is in front where the body's depth there is no nearer than this: pixels are some centimetres wide.
_BEHIND_M = 0.03
# A part is seen by a camera that sees this share of it.
LEAST_SHARE = 0.1
# Masks say nothing of a part where the landmark that it begins with is hidden: a mask that took a table along.
_BEGINS = {
    "thigh_l": 23, "thigh_r": 24, "shin_l": 25, "shin_r": 26, "foot_l": 27, "foot_r": 28,
    "upper_arm_l": 11, "upper_arm_r": 12, "lower_arm_l": 13, "lower_arm_r": 14, "hand_l": 15, "hand_r": 16,
}  # fmt: skip
# What a group of parts is called: the larger ones first.
_WORDS = (
    ("legs", ("thigh", "shin", "foot")),
    ("lower legs", ("shin", "foot")),
    ("feet", ("foot",)),
    ("arms", ("upper_arm", "lower_arm", "hand")),
    ("forearms", ("lower_arm", "hand")),
    ("hands", ("hand",)),
)
_SINGLE = {"feet": "foot"}
_TRUNK = {"torso": "trunk", "face": "face", "scalp": "back of the head"}


def see_body(
    session: FitCapture,
    observations: Any,
    views: Views,
    person: tuple[BodyModel, RestBody, BodyPose],
    frames: Sequence[int],
    shown: Bool[np.ndarray, "33"],
) -> Bool[np.ndarray, "c v"]:
    """The vertices that each camera sees at some of the moments: in its picture, on the person's mask, not behind.

    Args:
        person: the body, shaped, and its pose in every frame.
        frames: numbers of the frames; where a person was not to be seen there should be none.
        shown: which landmarks are ever seen.
    """
    body, rest, pose = person
    rows = sorted(set(np.linspace(0, len(frames) - 1, _MOMENTS).astype(int).tolist()))
    found = np.zeros((len(views.names), body.n_verts), bool)
    with torch.no_grad():
        one = BodyPose(pose.rotations[rows], pose.translation[rows], pose.expression[rows])
        verts = body.pose(rest, one).verts
    for column, camera in enumerate(views.names):
        small = _small_camera(views, column)
        for place, row in enumerate(rows):
            if not session.has(frames[row], camera):
                continue
            mask = observations.mask(frames[row], camera)
            found[column] |= _in_front(verts[place], body.faces, small, mask)
    for part, landmark in _BEGINS.items():
        if not shown[landmark]:
            found[:, (body.part_labels == body.part_names.index(part)).numpy()] = False
    return found


def _small_camera(views: Views, column: int) -> Cameras:
    width, height = views.sizes[column].tolist()
    scale = _SIDE / max(width, height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    K = np.diag([size[0] / width, size[1] / height, 1.0]) @ views.Ks[column]
    return Cameras(
        torch.from_numpy(views.viewmats[[column]]).float(), torch.from_numpy(K[None]).float(), *size
    )


def _in_front(
    verts: Float[Tensor, "v 3"], faces: Int[Tensor, "f 3"], camera: Cameras, mask: np.ndarray | None
) -> Bool[np.ndarray, " v"]:
    depth = rasterize_mesh(verts, faces, camera).depth[0].numpy()
    uv, z = (each[0].numpy() for each in camera.project(verts))
    with np.errstate(invalid="ignore"):
        at = np.floor(np.nan_to_num(uv, nan=-1.0)).astype(int)
    inside = (at >= 0).all(1) & (at[:, 0] < camera.width) & (at[:, 1] < camera.height) & (z > 0)
    found = np.zeros(len(verts), bool)
    x, y = at[inside].T
    found[inside] = z[inside] < depth[y, x] + _BEHIND_M
    if mask is not None:
        size = (camera.width, camera.height)
        person = cv2.resize((mask > 0.5).astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
        found[inside] &= person[y, x]
    return found


def gaussian_views(body: BodyModel, binding: Binding, seen: Bool[np.ndarray, "c v"]) -> Int[Tensor, " n"]:
    """How many cameras saw the face of the body on which each Gaussian hangs."""
    faces = torch.from_numpy(seen)[:, body.faces].any(-1)
    return faces.sum(0)[binding.faces]


def joint_views(body: BodyModel, seen: Bool[np.ndarray, "c v"]) -> dict[str, int]:
    """How many cameras saw a tenth or more of what hangs on each bone; where nothing does, as of the parent."""
    weights = body.dense_weights.double().numpy()
    total = weights.sum(0)
    views = ((seen @ weights) >= LEAST_SHARE * np.maximum(total, 1e-9)).sum(0)
    for bone, parent in enumerate(body.bone_parents.tolist()):
        if total[bone] < 1e-6 and parent >= 0:
            views[bone] = views[parent]
    return dict(zip(body.bone_names, map(int, views), strict=True))


def part_views(body: BodyModel, seen: Bool[np.ndarray, "c v"]) -> dict[str, int]:
    """How many cameras saw a tenth or more of each outer part of the body."""
    labels, found = body.part_labels.numpy(), {}
    for number, part in enumerate(body.part_names):
        own = labels == number
        if part not in INNER_PARTS and own.any():
            found[part] = int((seen[:, own].mean(1) >= LEAST_SHARE).sum())
    return found


def unseen_words(views: dict[str, int]) -> tuple[str, ...]:
    """What no camera saw, in words: "legs", "left hand"; empty where everything was seen.

    Args:
        views: as of `part_views`.
    """
    left = {part for part, count in views.items() if count == 0}
    words = [word for part, word in _TRUNK.items() if part in left]
    for word, parts in _WORDS:
        sides = [side for side in ("l", "r") if {f"{part}_{side}" for part in parts} <= left]
        left -= {f"{part}_{side}" for part in parts for side in sides}
        if len(sides) == 2:
            words.append(word)
        elif sides:
            words.append(f"{'left' if sides == ['l'] else 'right'} {_SINGLE.get(word, word[:-1])}")
    return tuple(words)


def seen_share(body: BodyModel, rest: RestBody, seen: Bool[np.ndarray, "c v"]) -> float:
    """Share of the outer skin, by area, that any camera saw."""
    inner = torch.tensor([name in INNER_PARTS for name in body.part_names])
    outer = ~inner[body.part_labels[body.faces]].any(1)
    a, b, c = rest.verts.detach()[body.faces[outer]].unbind(1)
    area = torch.linalg.cross(b - a, c - a).norm(dim=-1)
    known = torch.from_numpy(seen.any(0))[body.faces[outer]].all(1)
    return float(area[known].sum() / area.sum())


def one_side_sentence(share: float) -> str:
    """What a single camera saw, in one sentence."""
    saw = f"One camera saw {100 * share:.0f} % of the person's skin"
    return f"{saw}: the rest is a guess, in the colors of what was seen."


def unseen_sentence(words: Sequence[str]) -> str:
    """One sentence of what no camera saw; nothing where there is nothing to say."""
    if not words:
        return ""
    named = words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
    return f"No camera saw the {named}: what is there is a guess, at rest as people rest."
