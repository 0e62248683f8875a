"""The body's keypoint maps: pose33 and hand21 of MediaPipe, its face mesh, and the 23 COCO points with feet.

Joints of pose33 are anny's regressors of the COCO keypoints, which were fitted to what annotators mark and lie nearer
the skin than the bones' heads; fingers are bone heads; the face is what the detector itself says of rendered faces of
this body (`assets/make_face_landmarks.py`). The pose network draws the ears, hands and toes of pose33 towards their
middle: their weights are fitted to its answers, triangulated from twelve renderings of the body in each of seven poses,
and come 40 % nearer to its answers for hands in photographs too. What is left is 1 to 2 cm, mostly upwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources

import numpy as np
import torch
from jaxtyping import Float, Int

from simulacra.render.body.keypoints import KeypointMap
from simulacra.render.runtime.errors import AssetError

POSE33_NAMES = (
    "nose", "left_eye_inner", "left_eye", "left_eye_outer", "right_eye_inner", "right_eye", "right_eye_outer",
    "left_ear", "right_ear", "mouth_left", "mouth_right", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_pinky", "right_pinky", "left_index", "right_index",
    "left_thumb", "right_thumb", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle", "left_heel", "right_heel", "left_foot_index", "right_foot_index",
)  # fmt: skip
_FINGERS = ("thumb", "index", "middle", "ring", "pinky")
HAND21_NAMES = ("wrist", *(f"{finger}_{joint}" for finger in _FINGERS for joint in ("1", "2", "3", "tip")))
"""From the wrist outwards: joint 1 is the thumb's CMC and the other fingers' knuckle (MCP)."""

FACE_POINTS, FACE_POINTS_WITH_IRIS = 468, 478
_POSE_FROM_FACE = {
    "nose": 4,
    "left_eye_inner": 362,
    "left_eye": 473,
    "left_eye_outer": 263,
    "right_eye_inner": 133,
    "right_eye": 468,
    "right_eye_outer": 33,
    "mouth_left": 291,
    "mouth_right": 61,
}
# Weights of other landmarks by what follows the side in their names: COCO's (`far_` is of the other side) ...
_POSE_FROM_COCO = {
    "ear": {"ear": 0.57, "far_ear": 0.09},
    "foot_index": {"big_toe": 0.72, "small_toe": 0.21, "heel": 0.07},
}
# ... the face's, which completes the ear: the outer corner of the eye ...
_POSE_FROM_EYE = {"ear": 0.34}
# ... and heads of bones of the hand.
_POSE_FROM_BONES = {
    "pinky": {"wrist": 0.2, "finger2-1": 0.1, "finger3-1": 0.2, "finger5-1": 0.5},
    "index": {"wrist": 0.1, "finger1-2": 0.2, "finger2-1": 0.4, "finger5-1": 0.3},
    "thumb": {"wrist": 0.15, "finger1-2": 0.55, "finger2-1": 0.15, "finger5-1": 0.15},
}
# A fingertip is the middle of the skin within this distance, along the finger, of its very end.
_TIP_M = 0.006

_OTHER_SIDE = {"left": "right", "right": "left"}

Entry = tuple[int, int, float]
"""Keypoint, vertex or bone, weight."""


@dataclass(frozen=True)
class Sources:
    """What maps are put together from: the entries of the face's and of the COCO landmarks."""

    face: dict[int, list[tuple[int, float]]]
    face_valid: np.ndarray
    coco: dict[str, list[tuple[int, float]]]
    bones: Sequence[str]
    fingertips: dict[str, list[tuple[int, float]]]


def keypoint_maps(arrays: dict[str, np.ndarray], bones: Sequence[str]) -> dict[str, KeypointMap]:
    """All maps, out of the arrays of a baked file and the face landmarks in assets/.

    Raises:
        AssetError: assets/face_landmarks.npz is missing.
    """
    face, face_valid = _face_entries()
    coco_names = [str(name) for name in arrays["coco_names"]]
    coco = _group_weights(arrays["coco_landmark"], arrays["coco_vertex"], arrays["coco_weight"])
    sources = Sources(
        face=face,
        face_valid=face_valid,
        coco={name: coco[i] for i, name in enumerate(coco_names)},
        bones=bones,
        fingertips=_fingertips(arrays, bones),
    )
    return {
        "pose33": _pose33(sources),
        "hand21_left": _hand21(sources, "L"),
        "hand21_right": _hand21(sources, "R"),
        "face468": _face(sources, FACE_POINTS),
        "face478": _face(sources, FACE_POINTS_WITH_IRIS),
        "coco23": _map(coco_names, ((k, v, w) for k in coco for v, w in coco[k]), ()),
    }


def _pose33(sources: Sources) -> KeypointMap:
    vertices: list[Entry] = []
    bones: list[Entry] = []
    for keypoint, name in enumerate(POSE33_NAMES):
        side, _, stem = name.partition("_")
        if name in _POSE_FROM_FACE:
            vertices += [(keypoint, v, w) for v, w in sources.face[_POSE_FROM_FACE[name]]]
            continue
        for bone, share in _POSE_FROM_BONES.get(stem, {}).items():
            bones.append((keypoint, sources.bones.index(f"{bone}.{side[0].upper()}"), share))
        if stem in _POSE_FROM_BONES:
            continue
        for landmark, share in _POSE_FROM_COCO.get(stem, {stem: 1.0}).items():
            own = (
                f"{_OTHER_SIDE[side]}_{landmark[4:]}" if landmark.startswith("far_") else f"{side}_{landmark}"
            )
            vertices += [(keypoint, v, share * w) for v, w in sources.coco[own]]
        if stem in _POSE_FROM_EYE:
            corner = sources.face[_POSE_FROM_FACE[f"{side}_eye_outer"]]
            vertices += [(keypoint, v, _POSE_FROM_EYE[stem] * w) for v, w in corner]
    return _map(POSE33_NAMES, vertices, bones)


def _hand21(sources: Sources, side: str) -> KeypointMap:
    vertices: list[Entry] = []
    bones: list[Entry] = [(0, sources.bones.index(f"wrist.{side}"), 1.0)]
    for finger in range(1, 6):
        first = 4 * finger - 3
        bones += [(first + i, sources.bones.index(f"finger{finger}-{i + 1}.{side}"), 1.0) for i in range(3)]
        vertices += [(first + 3, v, w) for v, w in sources.fingertips[f"finger{finger}-3.{side}"]]
    return _map(HAND21_NAMES, vertices, bones)


def _face(sources: Sources, count: int) -> KeypointMap:
    entries = [(k, v, w) for k in range(count) for v, w in sources.face[k]]
    return _map([f"face_{k}" for k in range(count)], entries, (), sources.face_valid[:count])


def _face_entries() -> tuple[dict[int, list[tuple[int, float]]], np.ndarray]:
    try:
        with (resources.files("simulacra.assets") / "face_landmarks.npz").open("rb") as file:
            table = dict(np.load(file))
    except (OSError, ModuleNotFoundError) as error:
        raise AssetError(
            "The face landmarks that come with simulacra are missing",
            where="simulacra.assets/face_landmarks.npz",
            found=str(error),
            remedy="install simulacra again",
        ) from error
    return _group_weights(table["keypoint"], table["vertex"], table["weight"]), table["valid"]


def _group_weights(
    landmarks: Int[np.ndarray, "n"], vertices: Int[np.ndarray, "n"], weights: Float[np.ndarray, "n"]
) -> dict[int, list[tuple[int, float]]]:
    grouped: dict[int, list[tuple[int, float]]] = {}
    for landmark, vertex, weight in zip(landmarks.tolist(), vertices.tolist(), weights.tolist(), strict=True):
        grouped.setdefault(landmark, []).append((vertex, weight))
    return grouped


def _fingertips(arrays: dict[str, np.ndarray], bones: Sequence[str]) -> dict[str, list[tuple[int, float]]]:
    """The skin at the end of each finger's last bone, on the template; equal weights.

    On the right hand it is the mirror image of the left one's, so that both are the same to the last vertex.
    """
    template, main = arrays["template"], arrays["skin_indices"][:, 0]
    tips: dict[str, list[tuple[int, float]]] = {}
    for finger in range(1, 6):
        name = f"finger{finger}-3"
        own = np.flatnonzero(main == bones.index(f"{name}.L"))
        from_wrist = template[own] - template[main == bones.index("wrist.L")].mean(0)
        centre = from_wrist.mean(0)
        along = from_wrist @ (centre / np.linalg.norm(centre))
        chosen = own[along > along.max() - _TIP_M]
        weight = 1.0 / len(chosen)
        tips[f"{name}.L"] = [(vertex, weight) for vertex in chosen.tolist()]
        tips[f"{name}.R"] = [(vertex, weight) for vertex in arrays["mirror_vertices"][chosen].tolist()]
    return tips


def _map(
    names: Sequence[str],
    vertices: Iterable[Entry],
    bones: Iterable[Entry],
    valid: np.ndarray | None = None,
) -> KeypointMap:
    vertex_columns = list(zip(*vertices, strict=True)) or [(), (), ()]
    bone_columns = list(zip(*bones, strict=True)) or [(), (), ()]
    return KeypointMap(
        names=tuple(names),
        vertex_keypoint=torch.tensor(vertex_columns[0], dtype=torch.long),
        vertex_index=torch.tensor(vertex_columns[1], dtype=torch.long),
        vertex_weight=torch.tensor(vertex_columns[2], dtype=torch.float32),
        bone_keypoint=torch.tensor(bone_columns[0], dtype=torch.long),
        bone_index=torch.tensor(bone_columns[1], dtype=torch.long),
        bone_weight=torch.tensor(bone_columns[2], dtype=torch.float32),
        valid=torch.ones(len(names), dtype=torch.bool) if valid is None else torch.from_numpy(valid.copy()),
    )
